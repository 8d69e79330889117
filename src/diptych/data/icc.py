"""The formula of a colour profile (ICC) that has a matrix and curves, or a grey curve. It is computed in float32.

Source: ICC.1:2022, 7.2 (header), 9.2 (tags), 10.6 and 10.18 (curves), F.2 and F.3 (grey, and matrix with curves).
"""

import struct
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from diptych.data.encoding import GREY, PEAK, RGB, Array

CHUNK = 2**14
"""Pixels that are converted at a time."""
SPACES = {GREY: b"GRAY", RGB: b"RGB "}
CURVES = {GREY: (b"kTRC",), RGB: (b"rTRC", b"gTRC", b"bTRC")}
COLUMNS = (b"rXYZ", b"gXYZ", b"bXYZ")
TABLES = (b"A2B", b"B2A", b"D2B", b"B2D")
"""Beginnings of the names of tables, which take precedence over matrix and curves."""
PARAMETERS = {0: "g", 1: "gab", 2: "gabc", 3: "gabcd", 4: "gabcdef"}
FIXED = 65536
"""Numbers are stored as multiples of 1/65536 (s15Fixed16Number)."""


class Curve(NamedTuple):
    """From stored values in [0, 1] to linear light, and back."""

    to_linear: Callable[[Array], Array]
    from_linear: Callable[[Array], Array]


class Formula(NamedTuple):
    """A profile: a curve for each channel, and the matrix from linear light to XYZ (none for grey)."""

    curves: tuple[Curve, ...]
    matrix: Array | None


def formula_of(icc: bytes, channels: int) -> Formula | None:
    """The formula of a profile for ``channels``; None if it has another form, or is damaged."""
    try:
        (number,) = struct.unpack_from(">I", icc, 128)
        entries = [struct.unpack_from(">4sII", icc, 132 + 12 * index) for index in range(number)]
        tags = {name: icc[start : start + size] for name, start, size in entries}
        is_simple = icc[16:20] == SPACES[channels] and icc[20:24] == b"XYZ "
        if not is_simple or any(name.startswith(TABLES) for name in tags):
            return None
        curves = tuple(_curve(tags[name]) for name in CURVES[channels])
        if channels == GREY:
            return Formula(curves, None)
        columns = [np.array(struct.unpack_from(">3i", tags[name], 8)) / FIXED for name in COLUMNS]
        np.linalg.inv(matrix := np.stack(columns, 1))
        return Formula(curves, matrix)
    except (struct.error, KeyError, ValueError, ZeroDivisionError, np.linalg.LinAlgError):
        return None


def _curve(tag: bytes) -> Curve:
    kind, (number,) = tag[:4], struct.unpack_from(">I", tag, 8)
    if kind == b"para":
        (form,) = struct.unpack_from(">H", tag, 8)
        values = struct.unpack_from(f">{len(PARAMETERS[form])}i", tag, 12)
        named = dict(zip(PARAMETERS[form], (value / FIXED for value in values), strict=True))
        if form in (1, 2):  # constant below -b/a
            named |= {"d": -named["b"] / named["a"], "c": 0, "e": named.get("c", 0), "f": named.get("c", 0)}
        return _power(**named)
    if kind != b"curv":
        raise ValueError(kind)
    if number <= 1:
        return _power(g=1 if number == 0 else struct.unpack_from(">H", tag, 12)[0] / 256)
    table = np.array(struct.unpack_from(f">{number}H", tag, 12)) / 65535
    if (np.diff(table) < 0).any() or table[0] == table[-1]:
        raise ValueError("no inverse")
    at = np.linspace(0, 1, number)
    return Curve(lambda x: _interpolated(x, at, table), lambda y: _interpolated(y, table, at))


def _interpolated(x: Array, at: Array, values: Array) -> Array:
    return np.interp(x, at, values).astype(np.float32)


def _power(
    g: float, a: float = 1, b: float = 0, c: float = 0, d: float = 0, e: float = 0, f: float = 0
) -> Curve:  # the letters of the specification, table 68
    """``(a x + b)^g + e`` from ``d`` on, ``c x + f`` below."""
    edge = max(a * d + b, 0) ** g + e

    def to_linear(x: Array) -> Array:
        return np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f)

    def from_linear(y: Array) -> Array:
        below = (y - f) / c if c else np.zeros_like(y)
        return np.where(y >= edge, (np.maximum(y - e, 0) ** (1 / g) - b) / a, below)

    return Curve(to_linear, from_linear)


class FormulaConversion:
    """8 bits of a profile to sRGB that is not rounded, and back. Colours that the target does not hold are clipped."""

    def __init__(self, profile: Formula, srgb: Formula) -> None:
        self._curves, self._srgb = profile.curves, srgb.curves[0]
        levels = np.arange(PEAK + 1, dtype=np.float32) / PEAK
        self._linear = [curve.to_linear(levels).astype(np.float32) for curve in profile.curves]
        self._matrix = self._inverse = None
        if profile.matrix is not None and srgb.matrix is not None:
            matrix = np.linalg.solve(srgb.matrix, profile.matrix)
            self._matrix, self._inverse = matrix, np.linalg.inv(matrix)

    def to_srgb(self, values: Array) -> Array:
        """``(H, W, C)``, uint8, to float32 in [0, 255]."""

        def convert(part: Array) -> Array:
            linear = np.stack([table[part[..., n]] for n, table in enumerate(self._linear)], -1)
            return np.asarray(PEAK * self._srgb.from_linear(_mixed(linear, self._matrix)))

        return _by_parts(convert, values, np.float32)

    def from_srgb(self, values: Array) -> Array:
        """The inverse, rounded to uint8."""

        def convert(part: Array) -> Array:
            linear = _mixed(self._srgb.to_linear(part / np.float32(PEAK)), self._inverse)
            stored = [curve.from_linear(linear[..., n]) for n, curve in enumerate(self._curves)]
            return np.asarray(np.rint(PEAK * np.stack(stored, -1).clip(0, 1)))

        return _by_parts(convert, values, np.uint8)


def _mixed(linear: Array, matrix: Array | None) -> Array:
    """``matrix`` times the channels of ``(h, w, C)``, clipped."""
    mixed = linear if matrix is None else linear @ np.ascontiguousarray(matrix.T, np.float32)
    return np.asarray(mixed.clip(0, 1))


def _by_parts(convert: Callable[[Array], Array], values: Array, dtype: type) -> Array:
    """``convert`` of ``(H, W, C)``, some rows at a time, so that little memory is needed."""
    result: Array = np.empty(values.shape, dtype)
    rows = max(1, CHUNK // values.shape[1])
    for top in range(0, len(values), rows):
        result[top : top + rows] = convert(values[top : top + rows])
    return result
