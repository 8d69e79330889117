"""The graph of an exported file: the generator, with all that ``Translator`` does around it."""

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from diptych.config_json import to_json
from diptych.data.encoding import Array, Encoding, from_levels, to_levels
from diptych.errors import WeightsError, first_line
from diptych.inference.padding import smallest_multiple

ExportedFunction = Callable[[Array], Array]
"""An exported file: images of one size to their translations."""


@dataclass(frozen=True)
class Interface:
    """What an exported file takes and returns: pictures as files store them, or a network's tensors.

    Pictures are ``(B, H, W, C)`` in the type of ``source`` and of ``target``. Raw tensors are ``(B, C, H, W)``, float32
    in [-1, 1].
    """

    source: Encoding
    target: Encoding
    raw: bool = False

    @property
    def axes(self) -> dict[int, str]:
        """The names of the dynamic dimensions."""
        return {0: "batch", 2: "height", 3: "width"} if self.raw else {0: "batch", 1: "height", 2: "width"}

    def shape(self, encoding: Encoding, batch: int, height: int, width: int) -> tuple[int, ...]:
        """The shape of a batch of images of ``encoding``."""
        channels = encoding.channels
        return (batch, channels, height, width) if self.raw else (batch, height, width, channels)

    def describe(self, encoding: Encoding) -> dict[str, Any]:
        """Layout, type and range of images of ``encoding``, for a description."""
        if self.raw:
            return {"layout": "NCHW", "dtype": "float32", "channels": encoding.channels, "range": [-1, 1]}
        return {"layout": "NHWC", **to_json(encoding)}

    def dtype(self, encoding: Encoding) -> str:
        """The type of images of ``encoding``."""
        return "float32" if self.raw else encoding.dtype


class Graph(nn.Module):
    """Images of any batch size, height and width to their translations, as ``interface`` says.

    ``network`` computes in the type of its weights, ``dtype``.
    """

    def __init__(self, network: nn.Module, stride: int, interface: Interface, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.stride, self.interface, self.dtype = network, stride, interface, dtype

    def forward(self, images: Tensor) -> Tensor:
        interface = self.interface
        x = images if interface.raw else from_levels(images.permute(0, 3, 1, 2), interface.source)
        padded, (top, left) = pad(x, self.stride)
        y = self.network(padded.to(self.dtype)).float()
        y = crop(crop(y, 2, top, x.shape[2]), 3, left, x.shape[3])
        if interface.raw:
            return y
        return to_levels(y, interface.target.limits).to(getattr(torch, interface.target.dtype)).permute(0, 2, 3, 1)


def pad(x: Tensor, stride: int) -> tuple[Tensor, list[int]]:
    """As ``pad_to_stride``, by indices, so that one graph fits every size. Also returns how many rows and columns are
    before the image.

    Pixel i comes from the nearest pixel inside, at ``edge``, or from its mirror image, at 2 × edge − i.
    """
    sides = [x.shape[2], x.shape[3]]
    padded = [_padded_side(side, stride) for side in sides]
    before = [(outer - side) // 2 for side, outer in zip(sides, padded, strict=True)]
    mirrored = 1
    for side, outer, start in zip(sides, padded, before, strict=True):
        room = 2 * side + start - outer  # 0 or less if a mirror image reaches too far
        mirrored *= torch.sym_max(0, torch.sym_min(1, room))  # type: ignore[no-untyped-call]
    for dim, side, outer, start in zip((2, 3), sides, padded, before, strict=True):
        index = torch.arange(outer) - start
        edge = index.clamp(0, side - 1)
        x = x.index_select(dim, edge + mirrored * (edge - index))
    return x, before


def crop(x: Tensor, dim: int, start: int, size: int) -> Tensor:
    """``size`` rows or columns of ``x`` from ``start``."""
    return x.index_select(dim, torch.arange(size) + start)


def _padded_side(side: int, stride: int) -> int:
    """The side that ``pad_to_stride`` gives. The tracer learns only its divisor and its minimum.

    If it knew more, it would trace a U-Net only for sizes at which no feature map has one pixel, and refuse others.
    """
    smallest = smallest_multiple(stride)
    multiple = torch.sym_max(smallest, (side + stride - 1) // stride)  # type: ignore[no-untyped-call]
    unknown: Any = torch.scalar_tensor(multiple, dtype=torch.int64).item()
    torch._check(unknown >= smallest)  # type: ignore[no-untyped-call]
    return stride * unknown  # type: ignore[no-any-return]


def trace(graph: Graph) -> ExportedProgram:
    """The operations of ``graph``, for any batch size, height and width.

    Raises:
        WeightsError: torch cannot trace the generator.
    """
    interface = graph.interface
    dtype = getattr(torch, interface.dtype(interface.source))
    example = torch.zeros(interface.shape(interface.source, 2, 19, 23)).to(dtype)
    axes = {number: Dim(name) for number, name in interface.axes.items()}
    try:
        with torch.no_grad(), quiet():
            return torch.export.export(graph, (example,), dynamic_shapes=(axes,))
    except Exception as error:  # of a generator outside diptych, torch may raise anything
        problem = f"torch.export cannot trace this generator ({first_line(error)})"
        raise WeightsError(problem, cure="change its forward method as the error says") from None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Context manager: torch's exporters log no warnings, which are about their own code."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
