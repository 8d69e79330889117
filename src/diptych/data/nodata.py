"""Pixels without data, which a file marks by a number that its metadata names."""

from typing import Any

import numpy as np

from diptych.data.encoding import Array


def is_value_of(number: float, dtype: "np.dtype[Any]") -> bool:
    """Whether ``dtype`` can hold ``number``; a float type may round it."""
    if dtype.kind == "f":
        return bool(np.isnan(number) or abs(number) <= np.finfo(dtype).max)
    return bool(number == np.floor(number) and np.iinfo(dtype).min <= number <= np.iinfo(dtype).max)


def in_type(number: float | Array, dtype: "np.dtype[Any]") -> Array:
    """The value of ``dtype`` that is nearest to ``number``, or to each of several."""
    kind = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    nearest = np.clip(number if dtype.kind == "f" else np.rint(number), float(kind.min), float(kind.max))
    return np.asarray(nearest).astype(dtype)


def apart_from(values: Array, nodata: float) -> Array:
    """``values`` with the number ``nodata`` replaced by the number next to it, so that no pixel with data seems to be
    missing."""
    found = values == nodata
    if not found.any():
        return values
    if values.dtype.kind == "f":
        beside = np.nextafter(np.asarray(nodata, values.dtype), np.asarray(0 if nodata else 1, values.dtype))
    else:
        beside = np.asarray(nodata - 1 if nodata == np.iinfo(values.dtype).max else nodata + 1, values.dtype)
    return np.where(found, beside, values)
