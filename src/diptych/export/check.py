"""Compares an exported file with PyTorch before it is written."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from diptych.data.encoding import levels_in
from diptych.inference.graph import ExportedFunction, Interface
from diptych.inference.translator import Translator

TOLERANCE = 1e-4
"""Largest difference of an output in [-1, 1]: 1/78 of a level of 8 bits; rounding of float32 stays well below."""
HALF_TOLERANCE = 0.02
"""The same in fp16, which rounds each weight and each value to 11 bits: 3 levels of 8 bits."""


@dataclass(frozen=True)
class Difference:
    """How an exported file's outputs differ from PyTorch's in float32."""

    largest: float
    """In [-1, 1] if raw, else in levels."""
    fraction: float
    """The fraction of the values that differ at all."""
    allowed: float
    """The largest that passes."""
    allowed_fraction: float

    in_levels: bool

    def __str__(self) -> str:
        """For a user."""
        if not self.in_levels:
            return f"{self.largest:.1g} (of {self.allowed:g} allowed)"
        return f"{self.largest:g} levels (of {self.allowed:g} allowed), in {self.fraction:.2%} of the values"

    @property
    def passes(self) -> bool:
        return self.largest <= self.allowed and self.fraction <= self.allowed_fraction


def check_sizes(stride: int) -> list[tuple[int, int, int]]:
    """Batches (B, H, W): low, odd, of one stride and of several, padded by reflection and by repeating the edge.

    None has only a few pixels: with few, instance norm amplifies rounding errors.
    """
    side = max(stride, 32)
    return [(1, 3, side), (1, side, 2 * side), (3, side + 5, side + 18), (2, 5, side + 9), (1, 2 * side + 1, side - 1)]


def compare(run: ExportedFunction, translator: Translator, interface: Interface, *, half: bool) -> Difference:
    """The differences of ``run`` from ``translator``, on noise of five sizes.

    Raw outputs may differ by the tolerance. Pictures may differ by the tolerance in levels, rounded up. A value that
    moves by 1/78 of a level is rounded to another level once in 78 times; 1.5 times as many values may differ.
    """
    rng, differences = np.random.default_rng(0), [np.zeros(1)]
    for size in check_sizes(translator.card.generator.stride):
        shape = interface.shape(interface.source, *size)
        if interface.raw:
            images = rng.uniform(-1, 1, shape).astype(np.float32)
            expected = translator.at_any_size(translator.full_precision, torch.from_numpy(images)).numpy()
        else:
            low, high = interface.source.limits
            images = rng.integers(int(low), int(high), shape, interface.source.dtype, endpoint=True)
            expected = np.stack(translator.translate_batch(list(images)))
        found = run(images)
        same_kind = (found.shape, found.dtype) == (expected.shape, expected.dtype)
        differences.append(np.abs(found - expected.astype(np.float64)).ravel() if same_kind else np.array([math.inf]))
    each = np.concatenate(differences)
    tolerance = HALF_TOLERANCE if half else TOLERANCE
    levels = levels_in(tolerance, interface.target)
    allowed, allowed_fraction = (tolerance, 1.0) if interface.raw else (math.ceil(levels), 1.5 * levels)
    return Difference(float(each.max()), float((each > 0).mean()), allowed, allowed_fraction, not interface.raw)
