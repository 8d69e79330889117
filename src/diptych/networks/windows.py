"""Layers on a window of a picture: which pixels an output needs, and the same numbers as on the whole picture.

A ``Window`` knows where its tensor lies in the whole one. Padding is added only where the window ends at the picture's
edge. Everywhere else, a layer's output shrinks to the pixels whose inputs are all in the window.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Span(NamedTuple):
    """Pixels ``start`` to ``stop`` (exclusive) along one axis of a picture of ``size`` pixels."""

    start: int
    stop: int
    size: int

    def hull(self, other: "Span") -> "Span":
        """The smallest span that contains both."""
        return Span(min(self.start, other.start), max(self.stop, other.stop), self.size)

    def common(self, other: "Span") -> "Span":
        """The pixels in both."""
        return Span(max(self.start, other.start), min(self.stop, other.stop), self.size)

    def contains(self, other: "Span") -> bool:
        """Whether all pixels of ``other`` are in this span."""
        return self.start <= other.start and other.stop <= self.stop

    @property
    def length(self) -> int:
        """Number of pixels."""
        return self.stop - self.start

    @property
    def edges(self) -> tuple[bool, bool]:
        """Whether the span starts and ends at the picture's edges."""
        return self.start == 0, self.stop == self.size


class Area(NamedTuple):
    """A rectangle of a picture."""

    rows: Span
    columns: Span

    @property
    def slices(self) -> tuple[slice, slice]:
        """The index of the area in an array ``(H, W, ...)`` of the whole picture."""
        return slice(*self.rows[:2]), slice(*self.columns[:2])


class Window(NamedTuple):
    """A tensor ``(B, C, h, w)``, and its area in the tensor of the whole picture."""

    values: Tensor
    area: Area

    def crop(self, area: Area) -> "Window":
        """The part of the window in ``area``, as a view."""
        (top, bottom, _), (left, right, _) = area
        rows, columns = self.area
        values = self.values[..., top - rows.start : bottom - rows.start, left - columns.start : right - columns.start]
        return Window(values, area)


class WindowLayer:
    """The geometry of a layer, the same along both axes; here, that of a layer that maps each pixel by itself."""

    def channels(self, channels: int) -> int:
        """The number of output channels."""
        return channels

    def size(self, size: int) -> int:
        """The output's size along an axis, for an input of ``size``."""
        return size

    def needs(self, span: Span, size: int) -> Span:
        """The pixels of the input, of ``size``, that the output's ``span`` is computed from."""
        return Span(span.start, span.stop, size)


class SpatialLayer(WindowLayer, ABC):
    """A layer that is computed window by window."""

    @abstractmethod
    def __call__(self, window: Window) -> Window:
        """All output pixels that ``window`` suffices for."""


@dataclass(frozen=True)
class Pointwise(SpatialLayer):
    """A layer that maps each pixel by itself."""

    function: Callable[[Tensor], Tensor]

    def __call__(self, window: Window) -> Window:
        return Window(self.function(window.values), window.area)


@dataclass(frozen=True)
class Pad(SpatialLayer):
    """Padding by ``amount`` pixels on each side: ``constant`` (zeros), ``reflect`` or ``replicate``."""

    amount: int
    mode: str = "constant"

    def size(self, size: int) -> int:
        return size + 2 * self.amount

    def needs(self, span: Span, size: int) -> Span:
        start, stop = span.start - self.amount, span.stop - self.amount
        reach = 1 + self.amount * (self.mode == "reflect")  # pixels at the edge that the padding is made of
        low = start if stop < size else min(start, size - reach)
        high = stop if start > 0 else max(stop, reach)
        return Span(max(0, low), min(size, high), size)

    def __call__(self, window: Window) -> Window:
        (top, bottom), (left, right) = (span.edges for span in window.area)
        amounts = [self.amount * is_edge for is_edge in (left, right, top, bottom)]
        with torch.autocast(window.values.device.type, enabled=False):  # it would convert bf16 to float32 and back
            values = F.pad(window.values, amounts, mode=self.mode) if any(amounts) else window.values
        return Window(values, Area(*map(self._padded, window.area)))

    def _padded(self, span: Span) -> Span:
        start, stop = span.start + self.amount, span.stop + self.amount
        at_start, at_stop = span.edges
        return Span(0 if at_start else start, stop + self.amount * at_stop, self.size(span.size))


@dataclass(frozen=True)
class Convolution(SpatialLayer):
    """A convolution without padding."""

    function: Callable[[Tensor], Tensor]
    kernel: int
    stride: int = 1
    out_channels: int | None = None
    """None: as many as the input has."""

    def channels(self, channels: int) -> int:
        return self.out_channels or channels

    def size(self, size: int) -> int:
        return (size - self.kernel) // self.stride + 1

    def needs(self, span: Span, size: int) -> Span:
        return Span(span.start * self.stride, (span.stop - 1) * self.stride + self.kernel, size)

    def __call__(self, window: Window) -> Window:
        outputs = Area(*(self._outputs(span) for span in window.area))
        inputs = Area(*(self.needs(out, span.size) for out, span in zip(outputs, window.area, strict=True)))
        return Window(self.function(window.crop(inputs).values), outputs)

    def _outputs(self, span: Span) -> Span:
        return Span(-(-span.start // self.stride), self.size(span.stop), self.size(span.size))


@dataclass(frozen=True)
class TransposedConvolution(SpatialLayer):
    """A transposed convolution that drops ``padding`` pixels at the start, and ``padding - extra`` at the end."""

    function: Callable[[Tensor], Tensor]
    """The transposed convolution that drops none."""
    kernel: int
    stride: int
    padding: int
    extra: int = 0
    out_channels: int | None = None

    def channels(self, channels: int) -> int:
        return self.out_channels or channels

    def size(self, size: int) -> int:
        return (size - 1) * self.stride + self.kernel - 2 * self.padding + self.extra

    def needs(self, span: Span, size: int) -> Span:
        first = -(-(span.start + self.padding - self.kernel + 1) // self.stride)
        last = (span.stop - 1 + self.padding) // self.stride
        return Span(min(max(0, first), size - 1), min(size, last + 1), size)

    def __call__(self, window: Window) -> Window:
        made = Area(*(self._made(span) for span in window.area))
        outputs = Area(*(self._outputs(span) for span in window.area))
        return Window(self.function(window.values), made).crop(outputs)

    def _made(self, span: Span) -> Span:
        """The pixels that ``function`` computes, valid or not."""
        start = span.start * self.stride - self.padding
        return Span(start, start + (span.length - 1) * self.stride + self.kernel, self.size(span.size))

    def _outputs(self, span: Span) -> Span:
        at_start, at_stop = span.edges
        size = self.size(span.size)
        start = (span.start - 1) * self.stride + self.kernel - self.padding
        stop = span.stop * self.stride - self.padding
        return Span(0 if at_start else start, size if at_stop else stop, size)


@dataclass(frozen=True)
class Doubling(SpatialLayer):
    """Resizing to twice the size, ``nearest`` or ``bilinear``."""

    mode: str

    @property
    def reach(self) -> int:
        """Output pixels next to a window's edge that need inputs beyond it."""
        return int(self.mode == "bilinear")

    def size(self, size: int) -> int:
        return 2 * size

    def needs(self, span: Span, size: int) -> Span:
        start, stop = (span.start - self.reach) // 2, (span.stop - 1 + self.reach) // 2 + 1
        return Span(max(0, start), min(size, stop), size)

    def __call__(self, window: Window) -> Window:
        corners = False if self.mode == "bilinear" else None
        values = F.interpolate(window.values, scale_factor=2, mode=self.mode, align_corners=corners)
        made = Area(*(Span(2 * span.start, 2 * span.stop, 2 * span.size) for span in window.area))
        return Window(values, made).crop(Area(*(self._outputs(span) for span in window.area)))

    def _outputs(self, span: Span) -> Span:
        at_start, at_stop = span.edges
        start, stop = 2 * span.start + self.reach * (not at_start), 2 * span.stop - self.reach * (not at_stop)
        return Span(start, stop, 2 * span.size)
