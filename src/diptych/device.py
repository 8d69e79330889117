"""Devices: where tensors are computed, in which precision and memory format. Training and inference both use them."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn

from diptych.config import DeviceName, EngineConfig, Precision
from diptych.cuda import deterministic_kernels, exact_float32
from diptych.errors import OptionError
from diptych.processor import abilities

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Device:
    """A device with its precision and memory format. ``config`` is resolved: it holds no ``auto``."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self.torch_device = torch.device(config.device)
        self.memory_format = torch.channels_last if config.channels_last else torch.contiguous_format
        self.dtype = DTYPES.get(config.precision)

    def autocast(self, *, cache_weights: bool = True) -> contextlib.AbstractContextManager[object]:
        """Context manager: convolutions and matrix products run in the chosen precision; weights stay in float32.

        ``cache_weights=False`` turns off autocast's cache of cast weights. The cache is shared by threads, so it would
        connect the autograd graphs of the two directions.
        """
        enabled = self.dtype is not None
        return torch.autocast(self.torch_device.type, self.dtype, enabled=enabled, cache_enabled=cache_weights)

    @contextlib.contextmanager
    def kernels(self, *, full_precision: bool = False) -> Iterator[None]:
        """Context manager for a whole update or forward pass: on CUDA, float32 is exact unless the precision is tf32,
        and kernels are deterministic if the config asks for it. ``full_precision``: exact even then."""
        with contextlib.ExitStack() as switches:
            if self.torch_device.type == "cuda":
                if full_precision or self.config.precision != "tf32":
                    switches.enter_context(exact_float32())
                if self.config.deterministic:
                    switches.enter_context(deterministic_kernels())
            yield

    def to(self, module: nn.Module) -> None:
        """Moves ``module`` to the device and into its memory format."""
        module.to(device=self.torch_device)
        module.to(memory_format=self.memory_format)  # type: ignore[call-overload]

    def force_eager(self) -> contextlib.AbstractContextManager[object]:
        """Context manager: compiled networks run eagerly. Rare calls and other image sizes are not worth compiling."""
        return torch.compiler.set_stance("force_eager") if self.config.compile else contextlib.nullcontext()


def resolve_device(device: DeviceName) -> DeviceName:
    """The device that ``device`` means on this machine: auto is CUDA, else MPS, else the CPU.

    Raises:
        OptionError: this machine has no such device.
    """
    available: dict[DeviceName, bool] = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        return next(name for name, is_here in available.items() if is_here)
    if not available.get(device):
        here = ", ".join(name for name, is_here in available.items() if is_here)
        raise OptionError(f"this machine has no {device} device that torch can use", cure=f"give one of {here}")
    return device


def resolve_precision(precision: Precision, device: DeviceName) -> Precision:
    """The precision that ``precision`` means on ``device``: auto is bf16 where the hardware has it, else fp32.

    Raises:
        OptionError: fp16 on another device than CUDA, or tf32 on hardware without it.
    """
    if precision == "auto":
        return "bf16" if _has_bf16(device) else "fp32"
    if precision == "fp16" and device != "cuda":
        raise OptionError(f"fp16 needs CUDA, and the device is {device}", cure="give bf16 or fp32")
    if precision == "tf32" and not (device == "cuda" and torch.cuda.is_tf32_supported()):
        raise OptionError("tf32 needs an NVIDIA GPU of the year 2020 or newer (Ampere)", cure="give bf16 or fp32")
    return precision


def resolve_engine(config: EngineConfig) -> EngineConfig:
    """``config`` with every default resolved for this machine, except ``parallel_directions``, which depends on the
    method too.

    Raises:
        OptionError: the machine cannot do what ``config`` asks for.
    """
    device = resolve_device(config.device)
    precision = resolve_precision(config.precision, device)
    channels_last = config.channels_last
    if channels_last is None:
        # On CUDA it was never measured.
        channels_last = device == "cpu" and (config.compile or _cpu_prefers_channels_last(precision))
    if config.compile and device == "cpu" and not (shutil.which("g++") or shutil.which("clang++")):
        raise OptionError("--compile needs a C++ compiler", cure="install g++, or leave --compile out")
    if device != "cuda" and (config.deterministic or config.cuda_graphs):
        name = "--deterministic" if config.deterministic else "--cuda-graphs"
        raise OptionError(f"{name} is for CUDA and has no effect on {device}", cure="leave it out")
    if config.cuda_graphs and not config.compile:
        raise OptionError("--cuda-graphs needs --compile", cure="add --compile, or leave --cuda-graphs out")
    if config.cuda_graphs and config.activation_checkpointing:
        problem = "--cuda-graphs and --activation-checkpointing cannot be combined"
        raise OptionError(problem, cure="leave one of them out")
    return replace(config, device=device, precision=precision, channels_last=channels_last)


def describe_engine(config: EngineConfig) -> str:
    """``config``, resolved, in a few words for a user."""
    switches = {
        "compiled": config.compile,
        "CUDA graphs": config.cuda_graphs,
        "deterministic": config.deterministic,
        "channels last": config.channels_last,
        "separate forward passes": not config.batch_forwards,
        "parallel directions": config.parallel_directions,
        "unfused optimiser": not config.fused,
        "activation checkpointing": config.activation_checkpointing,
        f"{config.accumulate} micro-batches": config.accumulate > 1,
    }
    return ", ".join([f"{config.precision} on {config.device}", *(name for name, on in switches.items() if on)])


def _has_bf16(device: DeviceName) -> bool:
    """Whether ``device`` has bf16 arithmetic, instead of converting to float32 and back."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device == "cpu" and "AVX512-BF16" in abilities()


def _cpu_prefers_channels_last(precision: Precision) -> bool:
    """Whether channels-last is the default on this processor. docs/performance.md says what was measured, and what not.

    With AVX2 only, the gradients of weights take twice as long; with AVX512-BF16 but without AMX, nothing is gained.
    """
    return ("AMX" if precision == "bf16" else "AVX-512") in abilities()
