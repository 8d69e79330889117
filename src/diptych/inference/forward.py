"""Networks as functions for inference."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from diptych.cuda import exact_float32
from diptych.device import Device
from diptych.errors import UserError

Name = TypeVar("Name", bound=str)

Forward = Callable[[Tensor], Tensor]
"""A network for inference: ``(B, C, H, W)`` in [-1, 1] to the same in float32, without gradient."""


@dataclass(frozen=True)
class TorchForward:
    """A PyTorch network, in evaluation mode, as a ``Forward``. Threads may share it."""

    network: nn.Module
    device: Device | None = None
    """Where and in which precision to compute; by default where the network is, in its own precision."""
    full_precision: bool = False
    """Ignore the precision of ``device``: compute in float32."""

    @property
    def is_on_cpu(self) -> bool:
        """Whether the network computes on the CPU."""
        first = next(self.network.parameters(), torch.empty(0))
        return (self.device.torch_device if self.device else first.device).type == "cpu"

    @torch.no_grad()
    def __call__(self, batch: Tensor) -> Tensor:
        if self.device is None:
            with exact_float32():
                return self.network(batch).float()  # type: ignore[no-any-return]
        batch = batch.to(self.device.torch_device, memory_format=self.device.memory_format)
        with (
            self.device.kernels(full_precision=self.full_precision),
            nullcontext() if self.full_precision else self.device.autocast(),
        ):
            return self.network(batch).float()  # type: ignore[no-any-return]


@contextmanager
def inference_forwards(
    networks: Mapping[Name, nn.Module], device: Device | None = None
) -> Iterator[dict[Name, Forward]]:
    """Yields ``networks`` as ``Forward``s, in evaluation mode; restores their modes at the end."""
    modes = [(network, network.training) for network in networks.values()]
    try:
        yield {name: TorchForward(network.eval(), device) for name, network in networks.items()}
    finally:
        for network, training in modes:
            network.train(training)


@contextmanager
def memory_errors(convert: Callable[[BaseException], UserError]) -> Iterator[None]:
    """Context manager: an error that says that memory ran out becomes the one that ``convert`` returns."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise convert(error) from None
        raise


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that the device or the CPU is out of memory."""
    # torch's allocators for the CPU and MPS, and the libraries of CUDA, raise a bare RuntimeError.
    words = (
        "DefaultCPUAllocator: ",
        "MPS backend out of memory",
        "CUDA error: out of memory",
        "CUBLAS_STATUS_ALLOC_FAILED",
        "CUDNN_STATUS_ALLOC_FAILED",
    )
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(word in str(error) for word in words)
