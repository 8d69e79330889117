"""What computes: the device, the arithmetic, and one step down the gradient."""

import contextlib
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer

from diptych.config import Device, EngineConfig, Precision
from diptych.errors import OptionError

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
    if not available[device]:
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


def _has_bf16(device: Device) -> bool:
    """Whether ``device`` computes in bf16 by itself, rather than by converting to fp32 and back."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device == "cpu" and torch.cpu._is_avx512_bf16_supported()


class Engine:
    """A device and an arithmetic, both chosen: no ``auto`` in ``config``."""

    def __init__(self, config: EngineConfig) -> None:
        self.device = torch.device(config.device)
        self.dtype = DTYPES.get(config.precision)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "fp16")

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Convolutions and matrix products inside run in the chosen arithmetic; weights stay in fp32."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None)

    def descend(self, optimiser: Optimizer, losses: Mapping[str, Tensor]) -> Tensor:
        """One step of ``optimiser`` down the gradient of the sum of ``losses``; returns the gradient's norm."""
        optimiser.zero_grad(set_to_none=True)
        total = torch.stack(list(losses.values())).sum()
        self.scaler.scale(total).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(optimiser)
        parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        self.scaler.step(optimiser)
        self.scaler.update()
        return norm
