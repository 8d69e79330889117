"""Switches of CUDA that belong to the whole process: exact float32, and deterministic kernels."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

cudnn: Any = torch.backends.cudnn
fills: Any = torch.utils.deterministic
Restore = Callable[[], None]


class Switch:
    """A setting of the process that is changed while any thread is inside ``with switch():``.

    ``change`` changes it and returns a function that restores it.
    """

    def __init__(self, change: Callable[[], Restore]) -> None:
        self.change, self.lock, self.num_inside = change, threading.Lock(), 0
        self.restore: Restore = lambda: None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Context manager: the setting is changed. Threads may share it, and contexts may be nested."""
        with self.lock:
            if self.num_inside == 0:
                self.restore = self.change()
            self.num_inside += 1
        try:
            yield
        finally:
            with self.lock:
                self.num_inside -= 1
                if self.num_inside == 0:
                    self.restore()


def _turn_off_tf32() -> Restore:
    """cuDNN's convolutions use TF32 by default, with 10 bits of mantissa instead of 23."""
    before = cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision
    _set_fp32_precision("ieee", "ieee")
    return partial(_set_fp32_precision, *before)


def _set_fp32_precision(conv: str, matmul: str) -> None:
    cudnn.allow_tf32 = conv == "tf32"  # torch's older switch: if the two differ, reading it is an error
    cudnn.conv.fp32_precision = conv
    torch.backends.cuda.matmul.fp32_precision = matmul


def _use_deterministic_kernels() -> Restore:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS requires it, and reads it at its first use
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        cudnn.deterministic,
        cudnn.benchmark,
        fills.fill_uninitialized_memory,
    )
    _set_deterministic(True, False, True, False, False)
    return partial(_set_deterministic, *before)


def _set_deterministic(algorithms: bool, warn_only: bool, of_cudnn: bool, benchmark: bool, fill: bool) -> None:
    torch.use_deterministic_algorithms(algorithms, warn_only=warn_only)
    cudnn.deterministic, cudnn.benchmark = of_cudnn, benchmark
    fills.fill_uninitialized_memory = fill


exact_float32 = Switch(_turn_off_tf32)
"""Float32 with all bits of its mantissa, on CUDA."""
deterministic_kernels = Switch(_use_deterministic_kernels)
"""Kernels that give the same bits every time, on CUDA. An operation that has none raises ``RuntimeError``."""
