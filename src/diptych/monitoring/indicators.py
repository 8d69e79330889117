"""Indicators: numbers that show how a generator fails, each a pure function of pictures.

Pictures are batches ``(B, C, H, W)`` in [-1, 1].
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from diptych.data.encoding import LEVEL, rounded_to_eight_bits
from diptych.data.image import luminance
from diptych.evaluation.content import edges, lost

MIN_FOR_SPREAD = 4
"""Fewer pictures do not show how outputs differ from each other."""
INVERTED_DOMAINS = -0.1
"""If the luminance of unrelated real pictures of the two domains correlates less, a translation must invert."""
MIN_SIDE = 16
"""In pixels. Smaller pictures do not show periodic patterns."""
MIN_GAP = 0.2
"""If the mean scores of real and fake differ by less, ``memorised_fraction`` is 0."""
MIN_CHANCE = 0.2
"""Edges are too dense to compare if less than this fraction of them has no edge near in an unrelated picture."""
DISTURBANCE = 2 * LEVEL
"""Standard deviation of the noise that a reconstruction must tolerate: two levels of 8 bits."""
INVISIBLE = LEVEL / 2
"""Root mean square of the strongest pattern that rounding to 8 bits can remove: half a level."""


def luminance_correlation(inputs: Tensor, outputs: Tensor) -> float:
    """Pearson's correlation of input and output luminance, the mean over pictures: −1 inverted, 1 unchanged."""
    x, y = (luminance(pictures).flatten(1) for pictures in (inputs, outputs))
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    return F.cosine_similarity(x, y, dim=1).mean().item()


def domains_are_inverted(one: Tensor, other: Tensor) -> bool:
    """Whether light parts of one domain are where the other has dark parts: objects on white paper, signs at night."""
    if min(len(one), len(other)) < MIN_FOR_SPREAD:
        return False
    other = F.interpolate(other, size=one.shape[2:], mode="area")
    number = min(len(one), len(other))
    pairs = [luminance_correlation(one[:number], other[:number].roll(shift, 0)) for shift in range(number)]
    return sum(pairs) / number < INVERTED_DOMAINS


def change(inputs: Tensor, outputs: Tensor) -> float:
    """Mean absolute difference of input and output, as a fraction of the range (0..1): 0 is no translation at all."""
    return (inputs - outputs).abs().mean().item() / 2


def spread(pictures: Tensor) -> float:
    """Mean absolute difference of two of at least 2 pictures, as a fraction of the range (0..1): 0 if all are equal."""
    flat = pictures.flatten(1)
    number = len(flat)
    return (torch.cdist(flat, flat, p=1).sum() / (number * (number - 1)) / flat.shape[1] / 2).item()


def relative_edges(inputs: Tensor, outputs: Tensor) -> dict[str, float]:
    """The fraction of the inputs' edges that the outputs lose, and of the outputs' edges that they invent.

    Both are divided by the same fraction for inputs and outputs of different pictures: about 1 if the edges of input
    and output have nothing to do with each other. Needs at least 2 pictures. A fraction is left out if its divisor is
    less than ``MIN_CHANCE``.
    """
    before, after = edges(inputs), edges(outputs)
    found = {}
    for name, one, other in (("lost", before, after), ("invented", after, before)):
        chance = torch.stack([lost(one, other.roll(shift, 0)).mean() for shift in range(1, len(one))]).mean().item()
        if chance >= MIN_CHANCE:
            found[f"relative_edges_{name}"] = lost(one, other).mean().item() / chance
    return found


def hidden_information(inputs: Tensor, outputs: Tensor, back: Callable[[Tensor], Tensor], *, seed: int = 0) -> float:
    """How much the cycle error grows, as a factor, if noise and rounding to 8 bits disturb the translation.

    1 means no growth. A generator that hides the input in invisible detail cannot reconstruct it from a disturbed
    translation (Chu, Zhmoginov, Sandler 2017, "CycleGAN, a Master of Steganography").
    """
    noise = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(seed)).to(outputs)
    disturbed = rounded_to_eight_bits(outputs + DISTURBANCE * noise)
    undisturbed_error, error = ((back(y) - inputs).abs().mean() for y in (outputs, disturbed))
    return (error / undisturbed_error.clamp_min(1e-3)).item()


def checkerboard(pictures: Tensor) -> float:
    """Energy of the finest periodic patterns, relative to neighbouring frequencies: about 1 or less without patterns.

    Upsampling by 2 that treats odd and even pixels differently copies energy to half of the sampling frequency. A
    second upsampling copies it to a quarter (Odena, Dumoulin, Olah 2016). ``INVISIBLE`` is added to both energies.
    Returns the larger value of rows and columns, the median over pictures.
    """
    if min(pictures.shape[2:]) < MIN_SIDE:
        return 1.0
    grey = luminance(pictures)
    size = min(grey.shape[1:]) // 16 * 16
    return torch.stack([_excess(spectrum) for spectrum in _spectra(grey[:, :size, :size])]).amax(0).median().item()


def _excess(spectrum: Tensor) -> Tensor:
    """For ``(B, N)`` energies by frequency: the larger of E(N/2) / E(3N/8) and E(N/4) / √(E(3N/16) E(5N/16))."""
    size = spectrum.shape[1]

    def band(sixteenths: int) -> Tensor:
        place, width = sixteenths * size // 16, max(1, size // 32)
        return spectrum[:, place - width : place + width + 1].sum(1) + INVISIBLE**2

    return torch.maximum(band(8) / band(6), band(4) / (band(3) * band(5)).sqrt())


def dots(pictures: Tensor) -> float:
    """Energy of the highest frequency (alternating pixels), relative to its neighbours: about 1 or less without dots.

    A faint lattice over the whole picture has only this frequency, and no band around it. ``INVISIBLE`` is added to
    the energy of the neighbours. Returns the larger value of rows and columns, the median over pictures.
    """
    if min(pictures.shape[2:]) < MIN_SIDE:
        return 1.0
    grey = luminance(pictures)
    height, width = (side // 2 * 2 for side in grey.shape[1:])
    return torch.stack([_line(spectrum) for spectrum in _spectra(grey[:, :height, :width])]).amax(0).median().item()


def _line(spectrum: Tensor) -> Tensor:
    """For ``(B, N)`` energies by frequency: E(N/2) over the mean of E(N/2 − 2) and E(N/2 − 3).

    E(N/2) does not leak into these two."""
    size = spectrum.shape[1]
    beside = spectrum[:, size // 2 - 3 : size // 2 - 1].mean(1)
    return spectrum[:, size // 2] / (beside + INVISIBLE**2)


def _spectra(grey: Tensor) -> tuple[Tensor, Tensor]:
    """Mean square of ``(B, H, W)`` by vertical frequency ``(B, H)`` and by horizontal frequency ``(B, W)``."""
    power = torch.fft.fft2(grey, norm="forward").abs().square()
    return power.sum(2), power.sum(1)


def memorised_fraction(seen: Tensor, unseen: Tensor, fake: Tensor) -> float:
    """How much of a discriminator's training pictures is memorised, from mean scores: (seen − unseen) / (seen − fake).

    ``seen`` are scores of training pictures, ``unseen`` of held-out ones, ``fake`` of translations, of any shape. 0:
    unseen pictures look as real as seen ones. 1: they look fake.
    """
    gap = (seen.mean() - fake.mean()).item()
    return 0.0 if gap <= MIN_GAP else (seen.mean() - unseen.mean()).item() / gap


def of_translations(
    inputs: Tensor, outputs: Tensor, target: Tensor, back: Callable[[Tensor], Tensor] | None = None
) -> dict[str, float]:
    """The indicators of ``outputs`` by their names in ``alarms.RULES``; ``target`` are real pictures of their domain.

    ``back`` translates them back. An indicator that needs more pictures, equal channels or ``back`` is left out, and
    ``luminance_correlation`` if the domains are inverted themselves.
    """
    numbers = {}
    if not domains_are_inverted(inputs, target):
        numbers["luminance_correlation"] = luminance_correlation(inputs, outputs)
    if inputs.shape[1] == outputs.shape[1]:
        numbers["change"] = change(inputs, outputs)
    if min(len(outputs), len(target)) >= MIN_FOR_SPREAD:
        numbers |= relative_edges(inputs, outputs)
        numbers["relative_spread"] = spread(outputs) / max(spread(target), 1e-6)
    numbers["relative_checkerboard"] = checkerboard(outputs) / max(checkerboard(target), 1.0)
    numbers["relative_dots"] = dots(outputs) / max(dots(target), 1.0)
    if back is not None:
        numbers["hidden_information"] = hidden_information(inputs, outputs, back)
    return numbers
