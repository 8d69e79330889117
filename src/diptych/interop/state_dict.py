"""Reads an untrusted ``.pth`` file. Nothing but tensors is ever unpickled."""

import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diptych.errors import WeightsError, os_cure, os_problem

ZIP = b"PK\x03\x04"
LEGACY = bytes.fromhex("80028a0a6cfc9c46f9206aa85019")
"""The first bytes of a file that torch.save wrote before version 1.6: a pickled magic number."""
ANOTHER_COPY = "use another copy of it"
STATE_DICT_ALONE = "save the network's state_dict() alone with torch.save"


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The state dict in ``path``, in either format of torch.save: dense tensors on the CPU, independent of the file.

    Raises:
        WeightsError: missing, damaged, of another format, or it holds something other than named tensors.
    """
    size, is_zip = _sniff(path)
    loaded = _load(path, size, is_zip=is_zip)
    if not _is_state_dict(loaded):
        raise WeightsError(f"{path} holds {_describe(loaded)}, not a bare state dict", cure=STATE_DICT_ALONE)
    if sum(tensor.numel() * tensor.element_size() for tensor in loaded.values()) > size:
        raise WeightsError(f"{path} is damaged (it claims more numbers than it has)", cure=ANOTHER_COPY)
    return {key: tensor.detach().clone() for key, tensor in loaded.items()}


def _sniff(path: Path) -> tuple[int, bool]:
    """The size of the file, and whether it has the zip format.

    Raises:
        WeightsError: missing, not readable, or of another format.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(len(LEGACY))
    except FileNotFoundError:
        raise WeightsError(f"{path} does not exist", cure="give a .pth file of the original code") from None
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read ({os_problem(error)})", cure=f"{os_cure(error)}, or give another .pth file"
        ) from None
    if not start:
        raise WeightsError(f"{path} is empty", cure=ANOTHER_COPY)
    if start[8:9] == b"{":
        cure = "give a .pth file; a model.safetensors needs no import"
        raise WeightsError(f"{path} is a safetensors file, not one of the original code", cure=cure)
    if not start.startswith((ZIP, LEGACY)):
        raise WeightsError(f"{path} is not a PyTorch checkpoint", cure="give a .pth file of the original code")
    return size, start.startswith(ZIP)


def _load(path: Path, size: int, *, is_zip: bool) -> Any:
    try:
        if is_zip:
            _check_zip(path, size)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # With mmap, reading a record that claims too many numbers stops at the end of the file. Without mmap, not
            # every version of torch checks the claim.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        match = re.search(r"GLOBAL (\S+)", str(error))
        if match is None:
            raise WeightsError(f"{path} is damaged", cure=ANOTHER_COPY) from None
        problem = f"{path} holds something other than tensors ({_short(match[1])}), which could run code: not loaded"
        raise WeightsError(problem, cure=STATE_DICT_ALONE) from None
    except Exception:
        # Damage makes zipfile and torch raise nearly any type (KeyError, MemoryError, AssertionError, …).
        # The file is their only input, so it is at fault.
        raise WeightsError(f"{path} is damaged, or not a PyTorch checkpoint", cure=ANOTHER_COPY) from None


def _check_zip(path: Path, size: int) -> None:
    """Checks every member against its CRC-32, which torch writes but does not check.

    Raises:
        Exception: of nearly any type, if the file is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("compressed, which torch.save does not do")
        if sum(member.file_size for member in members) > size or archive.testzip() is not None:
            raise ValueError("changed since it was written")


def _is_state_dict(loaded: Any) -> bool:
    return (
        isinstance(loaded, dict)
        and bool(loaded)
        and all(isinstance(key, str) for key in loaded)
        and all(type(value) in (Tensor, nn.Parameter) for value in loaded.values())
        and all(v.layout is torch.strided and v.device.type == "cpu" and not v.is_quantized for v in loaded.values())
    )


def _describe(loaded: Any) -> str:
    if isinstance(loaded, dict):
        return f"a dict with {', '.join(_short(key) for key in list(loaded)[:3]) or 'nothing in it'}"
    return f"a value of type {type(loaded).__name__}"


def _short(name: object) -> str:
    """A name from an untrusted file as printable text of at most 60 characters."""
    shown = ascii(name) if isinstance(name, str | int | float | None) else type(name).__name__
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
