"""What computes: the device, the arithmetic, how networks are run, and one step down the gradient."""

import contextlib
import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.optim import Adam, Optimizer
from torch.utils.checkpoint import checkpoint

from diptych.config import Device, EngineConfig, OptimiserConfig, Precision
from diptych.data.transforms import to_network
from diptych.errors import OptionError
from diptych.malloc import keep_freed_memory
from diptych.networks.layers import running_statistics_kept
from diptych.training.parallel import ParallelDirections, Part, independent

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(device: Device) -> Device:
    """The device that ``device`` means on this machine.

    Raises:
        OptionError: it is not here.
    """
    available: dict[Device, bool] = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        return next(name for name, here in available.items() if here)
    if not available.get(device):
        here = [name for name, is_here in available.items() if is_here]
        raise OptionError(
            f"this machine has no {device} device that torch can use", cure=f"give one of {', '.join(here)}"
        )
    return device


def choose_precision(precision: Precision, device: Device) -> Precision:
    """The arithmetic that ``precision`` means on ``device``: auto is bf16 where the hardware has it, else fp32.

    Raises:
        OptionError: fp16 elsewhere than on CUDA.
    """
    if precision == "auto":
        return "bf16" if _has_bf16(device) else "fp32"
    if precision == "fp16" and device != "cuda":
        raise OptionError(f"fp16 does not train on {device}", cure="give bf16 or fp32")
    return precision


def resolve_engine(config: EngineConfig) -> EngineConfig:
    """``config`` with every choice made for this machine.

    Raises:
        OptionError: something asked for that it cannot do.
    """
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    channels_last = config.channels_last
    if channels_last is None:
        channels_last = precision != "fp32" if device == "cuda" else device == "cpu" and config.compile
    if config.compile and device == "cpu" and not (shutil.which("g++") or shutil.which("clang++")):
        raise OptionError("--compile needs a C++ compiler", cure="install g++, or leave it out")
    return replace(config, device=device, precision=precision, channels_last=channels_last)


def describe_engine(config: EngineConfig) -> str:
    """``config``, resolved, in a few words for a person."""
    switches = {
        "compiled": config.compile,
        "channels last": config.channels_last,
        "passes apart": not config.batch_forwards,
        "one direction at a time": not config.parallel_directions,
        "weights stepped apart": not config.fused,
        "low memory": config.activation_checkpointing,
        f"in {config.accumulate} parts": config.accumulate > 1,
    }
    return ", ".join([f"{config.precision} on {config.device}", *(name for name, on in switches.items() if on)])


def _has_bf16(device: Device) -> bool:
    """Whether ``device`` computes in bf16 by itself, rather than by converting to fp32 and back."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device == "cpu" and torch.cpu._is_avx512_bf16_supported()


class Engine:
    """A device and an arithmetic, both chosen: no ``auto`` in ``config``."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self.memory_format = torch.channels_last if config.channels_last else torch.contiguous_format
        self.device = torch.device(config.device)
        self.dtype = DTYPES.get(config.precision)
        self.parallel_directions: ParallelDirections | None = None
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "fp16")

    def autocast(self, *, keep: bool = True) -> contextlib.AbstractContextManager[object]:
        """Convolutions and matrix products inside run in the chosen arithmetic; weights stay in fp32. Whether to
        ``keep`` what they are cast to: all threads share it, so that it would bind their graphs together."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None, cache_enabled=keep)

    def place(self, module: nn.Module) -> None:
        """Moves ``module`` to the device, in the layout of the memory format."""
        module.to(device=self.device)
        module.to(memory_format=self.memory_format)  # type: ignore[call-overload]

    def receive(self, batch: Tensor) -> Tensor:
        """The loader's ``batch`` as networks take it: see ``to_network``."""
        return to_network(batch, self.device).contiguous(memory_format=self.memory_format)

    def prepare(self, modules: Collection[nn.Module], *, alone: bool = True) -> None:
        """Sets how the networks inside ``modules``, their children, are run in training: same names, same weights.
        ``alone``: by this process only."""
        if self.device.type == "cpu":
            keep_freed_memory()
        if alone and self._may_be_at_once(modules):
            self.parallel_directions = ParallelDirections(partial(self.autocast, keep=False))
        for module in modules:
            if self.config.activation_checkpointing or not self.config.batch_forwards:
                setattr(module, "merge", False)  # noqa: B010  a switch that some modules have
            if self.parallel_directions:
                setattr(module, "each", self.parallel_directions.map)  # noqa: B010
            for network in module.children():
                if self.config.activation_checkpointing:
                    network.forward = partial(_recomputed, network, network.forward)
                if self.config.compile:
                    network.compile()

    def _may_be_at_once(self, modules: Collection[nn.Module]) -> bool:
        """Whether computing the halves of each of ``modules`` at once is wanted, and leaves the numbers as they are."""
        config = self.config
        wanted = config.parallel_directions and self.device.type == "cpu" and torch.get_num_threads() > 1
        able = config.batch_forwards and not (config.activation_checkpointing or config.compile)
        layers = (layer for module in modules for layer in module.modules())
        ordered = any(isinstance(layer, (_BatchNorm, _DropoutNd)) for layer in layers)
        return wanted and able and all(hasattr(module, "each") for module in modules) and not ordered

    def updating(self) -> contextlib.AbstractContextManager[object]:
        """Around an update: where directions are computed at once, each thread has half of the cores."""
        return self.parallel_directions.halved() if self.parallel_directions else contextlib.nullcontext()

    def plain(self) -> contextlib.AbstractContextManager[object]:
        """Inside, nothing is compiled: what runs seldom, or at other sizes, is not worth it."""
        return torch.compiler.set_stance("force_eager") if self.config.compile else contextlib.nullcontext()

    def optimiser(self, parameters: Iterable[nn.Parameter], options: OptimiserConfig) -> Optimizer:
        """Adam as ``options`` ask."""
        betas = (options.beta1, options.beta2)
        return Adam(parameters, options.learning_rate, betas, fused=self.config.fused or None)

    def add_gradient(self, losses: Mapping[str, Tensor], *, share: float) -> None:
        """Adds the gradient of ``share`` times the sum of ``losses`` to that of their parameters."""
        if self.parallel_directions and len(parts := independent(losses.values())) > 1:
            self.parallel_directions.backward(parts, share)
        else:
            whole = Part(list(losses.values()))
            self.scaler.scale(share * whole.total).backward()  # type: ignore[no-untyped-call]

    def descend(self, optimiser: Optimizer) -> Tensor:
        """One step of ``optimiser`` down the gradient that was added up; returns the gradient's norm."""
        self.scaler.unscale_(optimiser)
        parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        self.scaler.step(optimiser)
        self.scaler.update()
        optimiser.zero_grad(set_to_none=True)
        return norm


def _recomputed(network: nn.Module, forward: Any, picture: Tensor) -> Any:
    """``forward(picture)`` of ``network``, of which the backward pass computes the activations again."""
    contexts = partial(running_statistics_kept, network)
    return checkpoint(forward, picture, use_reentrant=False, context_fn=contexts)
