"""The original code's files: one bare state dict for each network."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from diptych.atomic import atomic_write
from diptych.config import UnetConfig
from diptych.errors import WeightsError
from diptych.interop.architecture import STATISTICS, Architecture, misfit, read_architecture
from diptych.interop.state_dict import ANOTHER_COPY, read_state_dict

DATA_PARALLEL = "module."


@dataclass(frozen=True)
class OriginalNetwork:
    """What a file of the original code holds."""

    path: Path
    architecture: Architecture
    state: dict[str, Tensor]
    """The state dict in float32, less what the original itself ignores."""
    notes: tuple[str, ...]
    """What was left out, and what the file does not tell."""

    def build(self) -> nn.Module:
        """The network in evaluation mode on the CPU; it shares its memory with ``state``."""
        network = self.architecture.build()
        network.load_state_dict(self.state, assign=True)
        return network.eval()


def load_original(path: Path | str) -> nn.Module:
    """The network of one of the original code's files (``latest_net_G_A.pth``, …) in evaluation mode on the CPU.

    Its architecture is read from the file. Generators and discriminators take ``(B, C, H, W)`` in [-1, 1].

    Raises:
        WeightsError: missing, damaged, holding something else than tensors, or of another network.
    """
    return read_original(Path(path)).build()


def save_original(network: nn.Module, path: Path | str) -> None:
    """Writes ``network`` as the original code does, a bare state dict; whole or not at all.

    Raises:
        OSError: the disk is full or may not be written; ``path`` is as it was.
    """
    state = OrderedDict((key, value.detach().cpu()) for key, value in network.state_dict().items())
    with atomic_write(Path(path)) as aside:
        try:
            with aside.open("wb") as file:  # given the path, torch would write the name of the file aside into it
                torch.save(state, file)
        except RuntimeError as error:  # how torch's zip writer tells of a full disk
            raise OSError(str(error).splitlines()[0]) from None


def read_original(path: Path) -> OriginalNetwork:
    """What one of the original code's files holds.

    Raises:
        WeightsError: missing, damaged, holding something else than tensors, or of another network.
    """
    stored = _without_prefix(read_state_dict(path))
    state = _without_statistics(stored)
    architecture = read_architecture(state)
    if architecture is None:
        first = ascii(next(iter(stored)))[:60]
        unknown = f"{path} holds no whole network of the original code ({len(stored)} keys, the first {first})"
        raise WeightsError(unknown, cure="give a ResNet, U-Net, PatchGAN or pixel network that it saved")
    _count_batches(state)
    notes = []
    if len(state) < len(stored):
        notes.append("running statistics of instance norm, which nothing uses, are left out")
    if any(tensor.is_floating_point() and tensor.dtype != torch.float32 for tensor in state.values()):
        notes.append("numbers are stored as float32, which they were not")
        state = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    problem = misfit(state, architecture.build())
    if problem is not None:
        cure = "give a file as the original code saved it"
        raise WeightsError(f"{path} looks like a {architecture}, but {problem}", cure=cure)
    if bad := next((key for key, tensor in state.items() if not tensor.isfinite().all()), None):
        raise WeightsError(
            f"{path} holds NaN or infinite numbers ({bad})", cure=f"{ANOTHER_COPY}, or an earlier epoch's"
        )
    if isinstance(architecture.config, UnetConfig):
        notes.append(
            "whether a U-Net was trained with dropout leaves no trace in it: taken from train_opt.txt, else as is usual"
        )
    return OriginalNetwork(path, architecture, state, tuple(notes))


def _without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Less the prefix of a network that was saved in its wrapper for several GPUs."""
    if all(key.startswith(DATA_PARALLEL) for key in state):
        return {key.removeprefix(DATA_PARALLEL): tensor for key, tensor in state.items()}
    return state


def _without_statistics(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Less the running statistics beside which there is no weight: of instance norm, from before torch 0.4."""

    def kept(key: str) -> bool:
        layer, _, name = key.rpartition(".")
        return name not in STATISTICS or f"{layer}.weight" in state

    return {key: tensor for key, tensor in state.items() if kept(key)}


def _count_batches(state: dict[str, Tensor]) -> None:
    """Gives batch norm from before torch 0.4.1 the counter that it lacks, as torch does."""
    for key in [key for key in state if key.endswith(".running_mean")]:
        state.setdefault(f"{key.removesuffix('running_mean')}num_batches_tracked", torch.tensor(0))
