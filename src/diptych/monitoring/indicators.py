"""Symptoms: numbers that tell a sick translator from a sound one, each a pure function of pictures.

Pictures are batches ``(B, C, H, W)`` in [-1, 1]; every function returns one number.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from diptych.data.encoding import LEVEL, rounded_to_eight_bits
from diptych.data.image import LUMA

MIN_FOR_SPREAD = 4
"""Fewer pictures than these say nothing of how outputs differ from each other."""
MIN_GAP = 0.2
"""Between a discriminator's scores of real and fake: where it hardly tells them apart, it knows nothing by heart."""
DISTURBANCE = 2 * LEVEL
"""Standard deviation of the noise that a reconstruction must tolerate: two levels of 8 bits."""
INVISIBLE = LEVEL / 2
"""Root mean square of the strongest pattern that rounding to 8 bits can remove: half a level."""


def luminance(pictures: Tensor) -> Tensor:
    """``(B, H, W)``: the luma of colour, or grey as it is."""
    if pictures.shape[1] == 1:
        return pictures[:, 0]
    weights = torch.tensor(LUMA, dtype=pictures.dtype, device=pictures.device)
    return torch.einsum("bchw,c->bhw", pictures, weights)


def luminance_correlation(inputs: Tensor, outputs: Tensor) -> float:
    """Pearson's correlation of input and output luminance, the mean over pictures: −1 is a negative, 1 the same."""
    x, y = (luminance(pictures).flatten(1) for pictures in (inputs, outputs))
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    return F.cosine_similarity(x, y, dim=1).mean().item()


def change(inputs: Tensor, outputs: Tensor) -> float:
    """Mean absolute difference of input and output, of the whole range (0..1): 0 is no translation at all."""
    return (inputs - outputs).abs().mean().item() / 2


def spread(pictures: Tensor) -> float:
    """Mean absolute difference between two different pictures, of the whole range (0..1): 0 is one and the same."""
    flat = pictures.flatten(1)
    number = len(flat)
    return (torch.cdist(flat, flat, p=1).sum() / (number * (number - 1)) / flat.shape[1] / 2).item()


def hidden_information(inputs: Tensor, outputs: Tensor, back: Callable[[Tensor], Tensor], *, seed: int = 0) -> float:
    """How many times worse the cycle closes when the translation is rounded to 8 bits and slightly disturbed.

    A translator that hides the input in invisible detail loses it then (Chu, Zhmoginov, Sandler 2017, "CycleGAN, a
    Master of Steganography"). 1 is no worse.
    """
    noise = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(seed)).to(outputs)
    disturbed = rounded_to_eight_bits(outputs + DISTURBANCE * noise)
    undisturbed_error, error = ((back(y) - inputs).abs().mean() for y in (outputs, disturbed))
    return (error / undisturbed_error.clamp_min(1e-3)).item()


def checkerboard(pictures: Tensor) -> float:
    """Energy of the finest periodic patterns over that of the frequencies beside them: at most about 1 without any.

    An upsampling by 2 that treats odd and even pixels differently repeats the picture's energy around half of the
    sampling frequency, and after two of them around a quarter (Odena, Dumoulin, Olah 2016). ``INVISIBLE`` is added to
    both energies. The larger of rows and columns, median over pictures.
    """
    grey = luminance(pictures)
    size = min(grey.shape[1:]) // 16 * 16
    return torch.stack([_excess(spectrum) for spectrum in _spectra(grey[:, :size, :size])]).amax(0).median().item()


def _excess(spectrum: Tensor) -> Tensor:
    """Of ``(B, N)`` energies by frequency: around N/2 over 3N/8, or around N/4 over 3N/16 and 5N/16, the larger."""
    size = spectrum.shape[1]

    def band(sixteenths: int) -> Tensor:
        place, width = sixteenths * size // 16, max(1, size // 32)
        return spectrum[:, place - width : place + width + 1].sum(1) + INVISIBLE**2

    return torch.maximum(band(8) / band(6), band(4) / (band(3) * band(5)).sqrt())


def dots(pictures: Tensor) -> float:
    """Energy of the finest frequency, light and dark in turn, over that of those beside it: at most about 1 without a
    pattern, however busy the picture.

    A faint lattice over the whole picture is this one frequency and no band around it. ``INVISIBLE`` is added to the
    energy beside it. The larger of rows and columns, median over pictures.
    """
    grey = luminance(pictures)
    height, width = (side // 2 * 2 for side in grey.shape[1:])
    return torch.stack([_line(spectrum) for spectrum in _spectra(grey[:, :height, :width])]).amax(0).median().item()


def _line(spectrum: Tensor) -> Tensor:
    """Of ``(B, N)`` energies by frequency: at N/2 over N/2 − 2 and N/2 − 3, to which nothing of it leaks."""
    size = spectrum.shape[1]
    beside = spectrum[:, size // 2 - 3 : size // 2 - 1].mean(1)
    return spectrum[:, size // 2] / (beside + INVISIBLE**2)


def _spectra(grey: Tensor) -> tuple[Tensor, Tensor]:
    """Mean square of ``(B, H, W)`` by vertical frequency ``(B, H)`` and by horizontal frequency ``(B, W)``."""
    power = torch.fft.fft2(grey, norm="forward").abs().square()
    return power.sum(2), power.sum(1)


def memorised_fraction(seen: Tensor, unseen: Tensor, fake: Tensor) -> float:
    """How far a discriminator's scores of real pictures it never saw fall from those it trained on towards fakes.

    ``seen``, ``unseen`` and ``fake`` are its scores, any shape. 0: real is real; 1: what it has not seen is fake to it.
    """
    gap = (seen.mean() - fake.mean()).item()
    return 0.0 if gap <= MIN_GAP else (seen.mean() - unseen.mean()).item() / gap


def of_translations(
    inputs: Tensor, outputs: Tensor, target: Tensor, back: Callable[[Tensor], Tensor] | None = None
) -> dict[str, float]:
    """The indicators of ``outputs`` by their names in ``RULES``, compared with real pictures of the ``target`` domain.

    ``back`` translates them back. What cannot be computed (no ``back``, other channels, few pictures) is left out.
    """
    numbers = {"luminance_correlation": luminance_correlation(inputs, outputs)}
    if inputs.shape[1] == outputs.shape[1]:
        numbers["change"] = change(inputs, outputs)
    if min(len(outputs), len(target)) >= MIN_FOR_SPREAD:
        numbers["relative_spread"] = spread(outputs) / max(spread(target), 1e-6)
    numbers["relative_checkerboard"] = checkerboard(outputs) / max(checkerboard(target), 1.0)
    numbers["relative_dots"] = dots(outputs) / max(dots(target), 1.0)
    if back is not None:
        numbers["hidden_information"] = hidden_information(inputs, outputs, back)
    return numbers
