"""Memory: how much there is, and how much a computation will need."""

import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

GIB = 2**30
MEMORY_MARGIN = 1.5
"""``predicted_peak`` counts tensors. Kernels need more: up to 1.43 times as much was measured (U-Net, AVX2 kernels)."""
LIMITS = (
    ("memory.max", "memory.current", ("inactive_file", "active_file")),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file")),
)
"""Files of a control group, versions 2 and 1: its limit, its usage, and what of the usage is only a cache."""


def available_memory(root: Path = Path("/")) -> int | None:
    """Bytes that this process may still allocate: what the system has, swap included, within the limits of its control
    groups. None if the system does not say. ``root`` holds ``proc`` and ``sys``."""
    system = _numbers(root / "proc/meminfo")
    if "MemAvailable" not in system:
        return None
    swap = 1024 * system.get("SwapFree", 0)
    left = [1024 * system["MemAvailable"] + swap]
    for group in _groups(root):
        for limit_file, usage_file, cached in LIMITS:
            limit, usage = _number(group / limit_file), _number(group / usage_file)
            if limit is not None and usage is not None:
                statistics = _numbers(group / "memory.stat")
                left.append(limit - usage + sum(statistics.get(name, 0) for name in cached))
    return max(0, min(left))


def _groups(root: Path) -> Iterator[Path]:
    """The control groups of this process, and those that they are in."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(",") or not controllers:
            for mount in ("sys/fs/cgroup", "sys/fs/cgroup/unified", "sys/fs/cgroup/memory"):
                top = root / mount
                group = top / path.strip("/")
                yield from (each for each in (group, *group.parents) if each == top or top in each.parents)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""


def _number(file: Path) -> int | None:
    text = _text(file).strip()
    return int(text) if text.isdigit() else None  # "max" is no limit


def _numbers(file: Path) -> Mapping[str, int]:
    """The first number of each line, by the name before it."""
    lines = (line.replace(":", " ").split() for line in _text(file).splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}


def predicted_peak(function: Callable[[], object]) -> int | None:
    """Bytes of all tensors that ``function`` creates on the CPU, at its peak. Nothing is computed or allocated.

    None if ``function`` needs the values of a tensor, as a network of another package may.
    """
    try:
        peak = _Peak()
        with FakeTensorMode(allow_non_fake_inputs=True), peak:
            function()
    except Exception:
        return None
    return peak.largest


def shortage(needed: float | None, free: int | None) -> str:
    """Both numbers in words if ``needed`` bytes are more than ``free``; empty if not, or if either is unknown."""
    if needed is None or free is None or needed <= free:
        return ""
    return f"about {needed / GIB:.1f} GiB of memory, and {free / GIB:.1f} GiB are free"


class _Peak(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that are created inside."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sizes: dict[int, int] = {}
        self.largest: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and (key := tensor.untyped_storage()._cdata) not in self.sizes:
                self.sizes[key] = tensor.untyped_storage().nbytes()
                weakref.finalize(tensor.untyped_storage(), self.sizes.pop, key, 0)
        self.largest = max(self.largest, sum(self.sizes.values()) + _workspace(func, args, result))
        return result


def _workspace(func: Any, args: Any, result: Any) -> int:
    """Bytes that an operation needs only while it runs: a convolution on a CPU reorders its input and its output."""
    if func is torch.ops.aten.convolution.default:
        given, made, is_transposed = args[0].nbytes, result.nbytes, args[6]
        return int(2 * given + made if is_transposed else max(given, made))
    if func is torch.ops.aten.convolution_backward.default:
        return int(args[0].nbytes + args[1].nbytes)
    return 0
