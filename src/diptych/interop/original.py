"""The original code's files: each holds the bare state dict of one network."""

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from diptych.atomic import atomic_write
from diptych.errors import WeightsError, first_line
from diptych.interop.architecture import STATISTICS, Architecture, mismatch, read_architecture
from diptych.interop.state_dict import ANOTHER_COPY, read_state_dict
from diptych.model import load_weights

DATA_PARALLEL = "module."
"""Prefix of the keys of a network that was saved inside nn.DataParallel."""


@dataclass(frozen=True)
class OriginalNetwork:
    """The network in a file of the original code."""

    path: Path
    architecture: Architecture
    state: dict[str, Tensor]
    """The state dict in float32, without tensors that the original ignores."""
    notes: tuple[str, ...]
    """What was left out, converted or assumed."""

    def build(self) -> nn.Module:
        """The network in evaluation mode on the CPU. It shares its memory with ``state``."""
        return load_weights(self.architecture.build(), self.state)


def load_original(path: Path | str) -> nn.Module:
    """The network in a file of the original code (``latest_net_G_A.pth``, …), in evaluation mode on the CPU.

    Its architecture is read from the file. Generators and discriminators take ``(B, C, H, W)`` in [-1, 1].

    Raises:
        WeightsError: missing, damaged, holding something other than tensors, or of another network.
    """
    return read_original(Path(path)).build()


def save_original(network: nn.Module, path: Path | str) -> None:
    """Atomically writes ``network`` in the original code's format, a bare state dict.

    Raises:
        OSError: the disk is full or read-only; ``path`` is as it was.
    """
    state = OrderedDict((key, value.detach().cpu()) for key, value in network.state_dict().items())
    with atomic_write(Path(path)) as temporary:
        try:
            with temporary.open("wb") as file:  # given a path, torch would store the temporary name in the file
                torch.save(state, file)
        except RuntimeError as error:  # torch's zip writer raises it when the disk is full
            raise OSError(first_line(error)) from None


def read_original(path: Path) -> OriginalNetwork:
    """The network in a file of the original code.

    Raises:
        WeightsError: missing, damaged, holding something other than tensors, or of another network.
    """
    stored = read_state_dict(path)
    if all(key.startswith(DATA_PARALLEL) for key in stored):
        stored = {key.removeprefix(DATA_PARALLEL): tensor for key, tensor in stored.items()}
    if any(key.endswith(".filt") for key in stored):
        problem = f"{path} has blur filters: it is an antialiased network of the CUT code, which cannot be imported"
        raise WeightsError(
            problem, cure="give a network of the CycleGAN code, or train one with diptych train --method cut"
        )
    state = _without_unused_statistics(stored)
    architecture = read_architecture(state)
    if architecture is None:
        first_key = ascii(next(iter(stored)))[:60]
        problem = f"{path} holds no complete network of the original code ({len(stored)} keys, the first {first_key})"
        raise WeightsError(problem, cure="give a ResNet, U-Net, PatchGAN or pixel network that it saved")
    for key in [key for key in state if key.endswith(".running_mean")]:  # torch before 0.4.1 did not count batches
        state.setdefault(f"{key.removesuffix('running_mean')}num_batches_tracked", torch.tensor(0))
    notes = []
    if len(state) < len(stored):
        notes.append("running statistics of instance norm, which nothing uses, are left out")
    if any(tensor.is_floating_point() and tensor.dtype != torch.float32 for tensor in state.values()):
        notes.append("weights of another dtype are converted to float32")
        state = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    if difference := mismatch(state, architecture.build()):
        cure = "give a file as the original code saved it"
        raise WeightsError(f"{path} looks like a {architecture}, but {difference}", cure=cure)
    if bad := next((key for key, tensor in state.items() if not tensor.isfinite().all()), None):
        cure = f"{ANOTHER_COPY}, or an earlier epoch's"
        raise WeightsError(f"{path} holds NaN or infinite numbers ({bad})", cure=cure)
    return OriginalNetwork(path, architecture, state, tuple(notes))


def _without_unused_statistics(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """``state`` without the running statistics of layers without weights: instance norm, before torch 0.4."""
    layers = {key: key.rpartition(".") for key in state}
    return {
        key: state[key]
        for key, (layer, _, name) in layers.items()
        if name not in STATISTICS or f"{layer}.weight" in state
    }
