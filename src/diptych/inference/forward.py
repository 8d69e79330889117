"""Networks as functions for inference."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from diptych.cuda import exact_float32
from diptych.data.encoding import Array
from diptych.device import Device
from diptych.errors import PictureError, UserError, first_line

T = TypeVar("T")
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

    @property
    def bytes_per_value(self) -> int:
        """Bytes of each number that a convolution computes."""
        is_half = self.device is not None and self.device.dtype is not None and not self.full_precision
        return 2 if is_half else 4

    def __call__(self, batch: Tensor) -> Tensor:
        with self.computing():
            return self.network(self.to_device(batch)).float()  # type: ignore[no-any-return]

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Context manager: computes in the network's precision, without gradient."""
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            if self.device is None:
                stack.enter_context(exact_float32())
            else:
                stack.enter_context(self.device.kernels(full_precision=self.full_precision))
                stack.enter_context(nullcontext() if self.full_precision else self.device.autocast())
            yield

    def to_device(self, tensor: Tensor) -> Tensor:
        """``tensor`` on the network's device and in its memory format."""
        if self.device is None:
            return tensor
        return tensor.to(self.device.torch_device, memory_format=self.device.memory_format)


class Once(Generic[T]):
    """A value that the first call builds. Threads may share it."""

    def __init__(self, build: Callable[[], T]) -> None:
        self.build, self.lock = build, threading.Lock()

    def __call__(self) -> T:
        with self.lock:
            if not hasattr(self, "value"):
                self.value = self.build()
        return self.value


class EngineForward:
    """A network computed by another engine than torch, as a ``Forward``. Its first call takes seconds. Threads may
    share it."""

    def __init__(
        self, build: Callable[[], Callable[[Array], Array]], torch_forward: TorchForward | None = None
    ) -> None:
        """``torch_forward`` is the same network, if there is one, for tiles and to predict memory."""
        self.run, self.torch_forward = Once(build), torch_forward

    def __call__(self, batch: Tensor) -> Tensor:
        return torch.from_numpy(self.run()(batch.float().contiguous().numpy()))


def in_torch(forward: Forward) -> Forward:
    """The same network computed by torch, if another engine computes ``forward``."""
    return forward.torch_forward or forward if isinstance(forward, EngineForward) else forward


def finite(batch: Tensor) -> Tensor:
    """Returns ``batch`` if it is finite.

    Raises:
        PictureError: a value is NaN or infinite.
    """
    if batch.isfinite().all():
        return batch
    cure = "give --precision fp32, or a model that was trained without NaN"
    raise PictureError("the network's output is not finite, as when fp16 overflows", cure=cure)


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


def first_sentences(error: BaseException) -> str:
    """What ran out, as ``error`` says it, without torch's account of the whole GPU and its advice to programmers."""
    return first_line(error).partition(" GPU ")[0]


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
