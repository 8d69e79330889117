"""How image values are stored, and their conversion to network tensors and back.

Only this file maps the values of files to [-1, 1] and back. Networks use float32; scores and displays use 8 bits.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diptych.config import DataConfig, Interpolation, ValueType
from diptych.errors import OptionError, PictureError
from diptych.pair import Pair

Array = NDArray[Any]
TYPES: tuple[ValueType, ...] = get_args(ValueType)
UNSIGNED: tuple[ValueType, ...] = ("uint8", "uint16")
"""Types whose whole range is that of brightness. All others need a range."""

LIKE_TRAINING = "give pictures like those of training"
PEAK = 255
"""The largest value of the 8-bit view, in which images are scored and shown."""
LEVEL = 2 / PEAK
"""One step of the 8-bit view, in a network's range [-1, 1]."""
GREY, RGB = 1, 3
"""Numbers of channels: luma, or red, green and blue of sRGB."""


@dataclass(frozen=True)
class Encoding:
    """Channels, type and range of an image's values, and how it is resized.

    Without a range, values use the whole range of the type, from 0 to ``peak``: only uint8 and uint16 can be without.
    Images of 8 and of 16 bits then keep their own depth in training and translation.
    """

    channels: int
    dtype: ValueType = "uint8"
    low: float | None = None
    high: float | None = None
    """The values that become -1 and 1; others are clipped. Both are None if there is no range."""
    interpolation: Interpolation = "bicubic"

    @classmethod
    def of(cls, values: Array) -> "Encoding":
        """The encoding of ``(H, W, C)``."""
        return cls(values.shape[2], cast(ValueType, values.dtype.name))

    @property
    def peak(self) -> int:
        """The value of white: 255 or 65535."""
        return int(np.iinfo(self.dtype).max)

    @property
    def needs_range(self) -> bool:
        """Whether the type has no range of brightness of its own."""
        return self.dtype not in UNSIGNED

    @property
    def is_deep(self) -> bool:
        """Whether the type is not uint8."""
        return self.dtype != "uint8"

    @property
    def limits(self) -> tuple[float, float]:
        """The values that become -1 and 1 in images of ``dtype``."""
        return (0, self.peak) if self.low is None or self.high is None else (self.low, self.high)

    @property
    def has_range(self) -> bool:
        return self.high is not None

    def normalised(self, values: Array) -> Array:
        """``values`` of a file, with ``limits`` mapped to the whole range of the type that is returned: float32 in
        [0, 255] if the type of the file or of the domain needs a range, else uint8 or uint16.

        Raises:
            PictureError: the values need a range, and there is none.
        """
        if not self.has_range:
            if Encoding.of(values).needs_range:
                raise PictureError(f"values of {values.dtype} need a range, and the model has none", cure=LIKE_TRAINING)
            return narrowed(values)
        low, high = self.limits
        if self.needs_range or Encoding.of(values).needs_range:
            return ((values.astype(np.float64) - low) * (PEAK / (high - low))).clip(0, PEAK).astype(np.float32)
        peak = np.iinfo(np.uint16).max
        scaled = (values.astype(np.float32) - np.float32(low)) * np.float32(peak / (high - low))
        return narrowed(np.rint(scaled).clip(0, peak).astype(np.uint16))


def with_checked_ranges(data: DataConfig) -> DataConfig:
    """``data`` with each range written in one way, so that equal ranges are equal texts.

    Raises:
        OptionError: a range is neither two numbers nor auto.
    """
    checked = {name: getattr(data, name) for name in ("range_a", "range_b")}
    for name, text in checked.items():
        if text not in (None, "auto"):
            checked[name] = range_text(_parsed(text, name.replace("_", "-")))
    return replace(data, **checked)


def range_text(limits: tuple[float, float]) -> str:
    """``limits`` as in the options ``--range-a`` and ``--range-b``."""
    return " ".join(f"{value:.10g}" if float(f"{value:.10g}") == value else repr(float(value)) for value in limits)


def _parsed(text: str, option: str) -> tuple[float, float]:
    try:
        low, high = map(float, text.split())
    except ValueError:
        low = high = math.nan
    if not -math.inf < low < high < math.inf:
        cure = "give two numbers, the lower one first, or auto"
        raise OptionError(f"{option} is {text!r}", cure=cure)
    return low, high


def encodings_of(data: DataConfig) -> Pair[Encoding]:
    """The encodings of the two domains; ``data`` is resolved."""

    def of(channels: int | None, dtype: ValueType | None, text: str | None, interpolation: Interpolation) -> Encoding:
        low, high = (None, None) if text is None else _parsed(text, "range")
        usual: ValueType = "uint8" if high is None or high <= PEAK else "uint16"
        return Encoding(channels or 0, dtype or usual, low, high, interpolation)

    return Pair(
        of(data.channels_a, data.type_a, data.range_a, data.interpolation_a),
        of(data.channels_b, data.type_b, data.range_b, data.interpolation_b),
    )


def output_encoding(target: Encoding, image: Encoding) -> Encoding:
    """The encoding of a translation of ``image`` into the ``target`` domain. Without a range there, 8 and 16 bits
    stay as they are. If both are floats, the image keeps its precision."""
    if not target.has_range:
        return target if image.needs_range else image
    are_floats = all(np.dtype(each.dtype).kind == "f" for each in (target, image))
    return replace(target, dtype=image.dtype) if are_floats else target


def eight_bits(values: Array) -> Array:
    """uint8, uint16, or float32 in [0, 255], as uint8, scaled and rounded to the nearest: of uint16, 257 becomes 1."""
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.float32:
        return np.rint(values).astype(np.uint8)
    rounded: Array = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return rounded


def sixteen_bits(values: Array) -> Array:
    """uint8 or uint16 as uint16: 255 becomes 65535."""
    return values if values.dtype == np.uint16 else values.astype(np.uint16) * 257


def narrowed(values: Array) -> Array:
    """uint16 as uint8 if that loses nothing, so that a 16-bit copy of an 8-bit picture gives the same results."""
    if values.dtype == np.uint16 and not (values % 257).any():
        return eight_bits(values)
    return values


def scaled_to_eight_bits(values: Array) -> Array:
    """uint8, uint16, or float32 in [0, 255], as float32 in [0, 255], scaled but not rounded."""
    if values.dtype == np.float32:
        return values
    return values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max / PEAK)


def to_network(
    batch: Tensor, device: torch.device | str = "cpu", memory_format: torch.memory_format = torch.contiguous_format
) -> Tensor:
    """``(B, C, H, W)`` in [0, 255], as ``stack`` returns it, to float32 in [-1, 1] on ``device``: v / 127.5 − 1.

    Only a copy from pinned memory may be asynchronous: other memory may be freed before it is read.
    """
    moved = batch.to(device, non_blocking=batch.is_pinned()).to(torch.float32, memory_format=torch.contiguous_format)
    return (moved / (PEAK / 2) - 1).contiguous(memory_format=memory_format)


def from_network(batch: Tensor, dtype: ValueType = "uint8", *, limits: tuple[float, float] | None = None) -> Array:
    """``(B, C, H, W)`` to ``(B, H, W, C)`` of ``dtype``: -1 and 1 become the ``limits``, NaN the lower one; values
    outside are clipped, integers rounded to the nearest. Only uint8 and uint16 have default limits."""
    batch = batch.float().nan_to_num(-1)
    if dtype in UNSIGNED:
        peak = int(np.iinfo(dtype).max)
        values = to_levels(batch, limits or (0, peak)).clamp_(0, peak)
        return values.permute(0, 2, 3, 1).cpu().numpy().astype(dtype)
    assert limits is not None
    low, high = limits
    wide = ((batch.cpu().double().numpy() + 1) * ((high - low) / 2) + low).clip(low, high)
    kind = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else np.finfo(dtype)
    wide = np.rint(wide) if isinstance(kind, np.iinfo) else wide
    return np.asarray(np.moveaxis(wide, 1, 3).clip(float(kind.min), float(kind.max)).astype(dtype))


def to_levels(batch: Tensor, limits: tuple[float, float]) -> Tensor:
    """Float32 in [-1, 1] as the nearest integers within ``limits``, still float32; exported graphs end with it."""
    return to_limits(batch, limits).round()


def to_limits(batch: Tensor, limits: tuple[float, float]) -> Tensor:
    """Float32 in [-1, 1] to float32 from the first to the second of ``limits``."""
    low, high = limits
    return ((batch + 1) * ((high - low) / 2) + low).clamp(low, high)


def from_limits(batch: Tensor, limits: tuple[float, float]) -> Tensor:
    """The inverse of ``to_limits``; values outside are clipped."""
    low, high = limits
    return ((batch - low) * (2 / (high - low)) - 1).clamp(-1, 1)


def from_levels(values: Tensor, encoding: Encoding) -> Tensor:
    """Values of ``encoding`` as float32 in [-1, 1], like ``normalised`` and ``to_network``; exported graphs begin with
    it."""
    levels, peak = values.float(), encoding.peak
    if encoding.has_range:
        (low, high), peak = encoding.limits, int(np.iinfo(np.uint16).max)
        levels = ((levels - low) * (peak / (high - low))).round().clamp(0, peak)
    return levels / (peak / 2) - 1


def levels_in(difference: float, encoding: Encoding) -> float:
    """A difference between values in [-1, 1], in levels of ``encoding``."""
    low, high = encoding.limits
    return difference * (high - low) / 2


def rounded_to_eight_bits(batch: Tensor) -> Tensor:
    """A network's output in [-1, 1], rounded as ``from_network`` rounds it to 8 bits."""
    return ((batch + 1) * (PEAK / 2)).round().clamp(0, PEAK) / (PEAK / 2) - 1


def to_unit_range(batch: Tensor) -> Tensor:
    """uint8 as float32 in [0, 1], as feature networks take it."""
    return batch.float() / PEAK


def hex_colour(colour: tuple[float, ...]) -> str:
    """Red, green and blue in [0, 1] as ``#rrggbb``."""
    return "#" + "".join(f"{round(PEAK * value):02x}" for value in colour)
