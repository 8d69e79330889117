"""Sealed files: safetensors with a JSON description and a SHA-256 over both, written so that a kill leaves no broken
one.

Neither safetensors nor torch notices a flipped bit; the seal does. Nothing is ever unpickled.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from diptych.atomic import atomic_write
from diptych.errors import WeightsError, did_you_mean_path

FORMAT = 1
KEY = "diptych"


def write_checksummed(path: Path, kind: str, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
    """Writes ``tensors`` and their JSON ``description`` to ``path``, of a ``kind`` that reading will ask for.

    The file appears whole or not at all: written aside, flushed to the disk, renamed.

    Raises:
        OSError: the disk is full or may not be written; ``path`` is as it was.
    """
    header = {
        "kind": kind,
        "format": FORMAT,
        "strides": {name: list(tensor.stride()) for name, tensor in tensors.items() if not tensor.is_contiguous()},
        "description": description,
    }
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header["sha256"] = _digest(header, plain)
    with atomic_write(path) as aside:
        try:
            save_file(plain, aside, {KEY: json.dumps(header)})
        except SafetensorError as error:
            raise _os_error(error) from None


def _os_error(error: SafetensorError) -> OSError:
    """What the operating system said, of which safetensors has a sentence alone."""
    said = re.search(r"I/O error: (.+) \(os error (\d+)\)", str(error))
    return OSError(int(said[2]), said[1]) if said else OSError(str(error))


def read_checksummed(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors (on the CPU, in the memory layout they had) and the description that ``write_checksummed`` wrote.

    Raises:
        WeightsError: missing, not a sealed file, of another kind or a later format, or changed since it was written.
    """
    if not path.is_file():
        cure = did_you_mean_path(path) or "give a run, or a file that diptych has written"
        raise WeightsError(f"{path} does not exist", cure=cure)
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        found, sealed_format, seal = header["kind"], int(header["format"]), header.pop("sha256")
        strides = dict(header["strides"])
        description = dict(header["description"])
    except PermissionError:
        raise WeightsError(f"{path} may not be read", cure="change its permissions") from None
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, AttributeError, RecursionError):
        what = "no diptych file" if path.suffix == ".pth" else "damaged, or no diptych file"
        raise WeightsError(f"{path} is {what}", cure=_cure(path)) from None
    if sealed_format > FORMAT:
        raise WeightsError(
            f"{path} has format {sealed_format}, and this diptych reads up to {FORMAT}", cure="pip install -U diptych"
        )
    if seal != _digest(header, tensors):
        raise WeightsError(f"{path} has changed since it was written (SHA-256 differs)", cure="use another copy of it")
    if found != kind:
        raise WeightsError(f"{path} is a {found}, and a {kind} is needed", cure=f"give a {kind}")
    return {name: _with_strides(tensor, strides.get(name)) for name, tensor in tensors.items()}, description


def _cure(path: Path) -> str:
    if path.suffix == ".pth":
        return "turn original checkpoints into ours with diptych import"
    return "use another copy of it" if path.suffix == ".safetensors" else "give a run, or its model.safetensors"


def _digest(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the header (as canonical JSON) and every tensor's name, type, shape and bytes, in order of names."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _with_strides(tensor: Tensor, stride: list[int] | None) -> Tensor:
    if stride is None:
        return tensor
    return torch.empty_strided(tensor.shape, stride, dtype=tensor.dtype).copy_(tensor)
