"""A stranger's ``.pth`` file to tensors by name. Nothing but tensors is ever unpickled."""

import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diptych.errors import WeightsError

ZIP = b"PK\x03\x04"
LEGACY = bytes.fromhex("80028a0a6cfc9c46f9206aa85019")
"""How a file of torch.save from before 1.6 begins: a pickled magic number."""
ANOTHER_COPY = "use another copy of it"
STATE_DICT_ALONE = "save the network's state_dict() alone with torch.save"


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The state dict in ``path``, of either form of torch.save: dense tensors in memory of their own, on the CPU.

    Raises:
        WeightsError: missing, damaged, of another format, or it holds something else than tensors by name.
    """
    size, is_zip = _sniff(path)
    loaded = _load(path, size, is_zip=is_zip)
    if not _is_state_dict(loaded):
        raise WeightsError(f"{path} holds {_in_words(loaded)}, and no bare state dict", cure=STATE_DICT_ALONE)
    if sum(tensor.numel() * tensor.element_size() for tensor in loaded.values()) > size:
        raise WeightsError(f"{path} is damaged (it claims more numbers than it has)", cure=ANOTHER_COPY)
    return {key: tensor.detach().clone() for key, tensor in loaded.items()}


def _sniff(path: Path) -> tuple[int, bool]:
    """The size of the file and whether it is of the zip form.

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
        raise WeightsError(f"{path} cannot be read ({error.strerror})", cure="give a .pth file") from None
    if not start:
        raise WeightsError(f"{path} is empty", cure=ANOTHER_COPY)
    if start[8:9] == b"{":
        cure = "give a .pth file; a model.safetensors of ours needs no import"
        raise WeightsError(f"{path} is a safetensors file, and none of the original code's", cure=cure)
    if not start.startswith((ZIP, LEGACY)):
        raise WeightsError(f"{path} is no checkpoint of PyTorch's", cure="give a .pth file of the original code")
    return size, start.startswith(ZIP)


def _load(path: Path, size: int, *, is_zip: bool) -> Any:
    try:
        if is_zip:
            _check_zip(path, size)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Mapped, a record that claims more numbers than it has ends with the file. Read in the other way, it is for
            # torch to compare the claim with what is there, which not every version does.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        foreign = re.search(r"GLOBAL (\S+)", str(error))
        if foreign is None:
            raise WeightsError(f"{path} is damaged", cure=ANOTHER_COPY) from None
        problem = (
            f"{path} holds something else than tensors ({_short(foreign[1])}), which may run code, so it is not loaded"
        )
        raise WeightsError(problem, cure=STATE_DICT_ALONE) from None
    except Exception:
        # Damage makes zipfile and torch raise nearly anything (KeyError, OverflowError, UnicodeDecodeError,
        # MemoryError, AssertionError, …). Whatever it is, the file is at fault: it is all that they were given.
        raise WeightsError(f"{path} is damaged, or no checkpoint of PyTorch's", cure=ANOTHER_COPY) from None


def _check_zip(path: Path, size: int) -> None:
    """Reads every member once against its CRC-32, which torch writes but does not read.

    Raises:
        Exception: nearly any, where the file is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("torch.save compresses nothing")
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


def _in_words(loaded: Any) -> str:
    if isinstance(loaded, dict):
        return f"a dict with {', '.join(_short(key) for key in list(loaded)[:3]) or 'nothing in it'}"
    return f"a value of type {type(loaded).__name__}"


def _short(name: object) -> str:
    """A name out of a stranger's file, fit for one line."""
    shown = ascii(name) if isinstance(name, str | int | float | None) else type(name).__name__
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
