"""Checksummed files: safetensors with a JSON description and a SHA-256 over both, which detects any change.

Nothing is ever unpickled.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from diptych.atomic import atomic_write
from diptych.errors import WeightsError, did_you_mean_path, os_problem, path_cure

FORMAT = 1
MODEL = "model"
"""The kind of a model file."""
KEY = "diptych"


def write_checksummed(path: Path, kind: str, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
    """Atomically writes ``tensors`` and their JSON ``description`` to ``path``. Reading must ask for the same ``kind``.

    Raises:
        OSError: the disk is full or read-only; ``path`` is as it was.
    """
    header = {
        "kind": kind,
        "format": FORMAT,
        "strides": {
            name: list(tensor.stride())
            for name, tensor in tensors.items()
            if not tensor.is_contiguous() and _is_dense(tensor.shape, tensor.stride())
        },
        "description": description,
    }
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header["sha256"] = _sha256_of(header, contiguous)
    with atomic_write(path) as temporary:
        try:
            save_file(contiguous, temporary, {KEY: json.dumps(header)})
        except SafetensorError as error:  # safetensors hides the system's error in its message
            match = re.search(r"I/O error: (.+) \(os error (\d+)\)", str(error))
            raise (OSError(int(match[2]), match[1]) if match else OSError(str(error))) from None


def read_checksummed(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the description that ``write_checksummed`` wrote: on the CPU, in their original memory layout.

    Raises:
        WeightsError: missing, not a checksummed file, of another kind or a later format, or changed since it was
            written.
    """
    if not path.is_file():
        cure = did_you_mean_path(path) or "give a run, or a file that diptych has written"
        raise WeightsError(f"{path} does not exist", cure=cure)
    try:
        path.open("rb").close()  # safetensors reports any error of the system as a missing file
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({os_problem(error)})", cure=path_cure(error)) from None
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        file_kind, file_format, sha256 = header["kind"], int(header["format"]), header.pop("sha256")
        strides, description = dict(header["strides"]), dict(header["description"])
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, AttributeError, RecursionError):
        problem, cure = {
            ".pth": ("not a diptych file", "convert original checkpoints with diptych import"),
            ".safetensors": ("damaged, or not a diptych file", "use another copy of it"),
        }.get(path.suffix, ("damaged, or not a diptych file", "give a run, or its model.safetensors"))
        raise WeightsError(f"{path} is {problem}", cure=cure) from None
    if file_format > FORMAT:
        problem = f"{path} has format {file_format}, and this diptych reads up to {FORMAT}"
        raise WeightsError(problem, cure="pip install -U diptych")
    if sha256 != _sha256_of(header, tensors):
        raise WeightsError(f"{path} has changed since it was written (SHA-256 differs)", cure="use another copy of it")
    if file_kind != kind:
        raise WeightsError(f"{path} is a {file_kind}, not a {kind}", cure=f"give a {kind}")
    for name, stride in strides.items():
        if name not in tensors or not _is_dense(tensors[name].shape, stride):
            raise WeightsError(
                f"{path} has a memory layout that fits no tensor ({name})", cure="use another copy of it"
            )
        tensors[name] = torch.empty_strided(tensors[name].shape, stride, dtype=tensors[name].dtype).copy_(tensors[name])
    return tensors, description


def _is_dense(shape: Sequence[int], strides: Any) -> bool:
    """Whether a tensor with these strides fills its memory without gaps or overlaps, in some order of dimensions."""
    if (
        not isinstance(strides, Sequence)
        or len(strides) != len(shape)
        or any(type(step) is not int for step in strides)
    ):
        return False
    expected = 1
    for step, size in sorted((step, size) for step, size in zip(strides, shape, strict=True) if size != 1):
        if step != expected:
            return False
        expected *= size
    return min(strides, default=0) >= 0


def _sha256_of(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the header as canonical JSON, and of each tensor's name, dtype, shape and bytes, sorted by name."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def sha256_of(file: Path) -> str:
    """The SHA-256 of the contents of ``file``."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
