"""The losses, as pure functions of tensors. Every mean is over all elements.

CycleGAN: Zhu, Park, Isola, Efros 2017 (arXiv 1703.10593), "the paper" below.
CUT: Park, Efros, Zhang, Zhu 2020 (arXiv 2007.15651).
"""

from collections.abc import Callable, Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor


def least_squares(scores: Tensor, is_real: bool) -> Tensor:
    """Mean squared distance of ``scores`` (any shape) to 1 for real, 0 for fake (paper, section 4; Mao et al. 2017)."""
    return F.mse_loss(scores, torch.full_like(scores, float(is_real)))


def vanilla(scores: Tensor, is_real: bool) -> Tensor:
    """Cross entropy of ``scores`` (any shape, logits) with real = 1, fake = 0 (paper, equation 1; Goodfellow et al.
    2014)."""
    return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, float(is_real)))


def hinge(scores: Tensor, is_real: bool) -> Tensor:
    """Hinge at ±1 of ``scores`` (any shape), for discriminators (Lim and Ye 2017, equation 6)."""
    return F.relu(1 - scores if is_real else 1 + scores).mean()


def hinge_generator(scores: Tensor) -> Tensor:
    """The generator's loss against ``hinge``: minus the mean of ``scores`` (Lim and Ye 2017, equation 7)."""
    return -scores.mean()


DISCRIMINATOR_LOSSES: dict[str, Callable[[Tensor, bool], Tensor]] = {
    "least-squares": least_squares,
    "vanilla": vanilla,
    "hinge": hinge,
}


def generator_gan(kind: str, fake_scores: Tensor) -> Tensor:
    """A generator's adversarial loss: low if its fakes get the scores of real images.

    ``kind`` is a key of ``DISCRIMINATOR_LOSSES``; ``fake_scores`` may have any shape. A scalar.
    """
    return hinge_generator(fake_scores) if kind == "hinge" else DISCRIMINATOR_LOSSES[kind](fake_scores, True)


def discriminator_gan(kind: str, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """A discriminator's loss: ½ (loss of real as real + loss of fake as fake). The half slows it down (paper, appendix
    7.1)."""
    loss = DISCRIMINATOR_LOSSES[kind]
    return 0.5 * (loss(real_scores, True) + loss(fake_scores, False))


@cache
def chance_level(kind: str) -> float:
    """Chance level: the lowest ``discriminator_gan`` that a constant score reaches."""
    return min(discriminator_gan(kind, score, score).item() for score in torch.linspace(-1, 1, 201))


def cycle_consistency(real: Tensor, reconstructed: Tensor) -> Tensor:
    """‖F(G(x)) − x‖₁ as a mean, for two ``(B, C, H, W)`` in [-1, 1] (paper, equation 2)."""
    return F.l1_loss(reconstructed, real)


def reconstruction(truth: Tensor, output: Tensor) -> Tensor:
    """‖G(x) − y‖₁ as a mean, for pairs (x, y) (Isola et al. 2017, equation 3)."""
    return F.l1_loss(output, truth)


def identity(real: Tensor, same: Tensor) -> Tensor:
    """‖G(y) − y‖₁ as a mean: an image of the target domain should not change (paper, section 5.2)."""
    return F.l1_loss(same, real)


def kept_content(source: Tensor, output: Tensor, mask: Tensor) -> Tensor:
    """‖m (G(x) − x)‖₁ / ‖m‖₁ of each image, and its mean over images: an image without content to keep counts as 0.

    ``source`` and ``output`` are (B, C, H, W) in [-1, 1], ``mask`` (B, 1, H, W) is 1 where content is kept, else 0.
    Each image counts equally, so that a batch, its micro-batches and ranks have the same loss.
    """
    difference = (mask * (output - source).abs()).mean(1).sum((1, 2))
    return (difference / mask.sum((1, 2, 3)).clamp_min(1)).mean()


def structure(source: Tensor, output: Tensor) -> Tensor:
    """Mean absolute difference between the ``self_similarity`` of two batches (B, C, H, W) in [-1, 1].

    Edges that move, vanish or appear raise it; other colours do not. Source: the spatially-correlative loss (Zheng,
    Cham, Cai 2021, arXiv 2104.00854, equation 3), here of pixels instead of the features of a classifier.
    """
    return F.l1_loss(self_similarity(output), self_similarity(source))


STEPS = [(y * step, x * step) for step in (1, 2, 4) for y, x in ((0, 1), (1, 0), (1, 1), (1, -1))]
"""The neighbours of ``self_similarity``, in rows and columns; by symmetry, the opposite ones need not be compared."""
PATCH = 3
"""Side of the patches of ``self_similarity``."""
PLAIN = 2 * (8 / 255) ** 2
"""Squared difference of values in [-1, 1] below which patches count as alike: that of noise of 4 of 255 levels."""


def self_similarity(images: Tensor) -> Tensor:
    """How a 3×3 patch differs from its neighbours, (B, 12, H, W): squared differences, divided by their mean over the
    12 neighbours plus ``PLAIN``.

    It shows where edges are and how they run, whatever the colours on both sides. Images (B, C, H, W) in [-1, 1] are
    continued by their border. Source: Shechtman and Irani 2007, "Matching Local Self-Similarities across Images and
    Videos", equation 1, with a sum of squared differences of 3×3 patches.
    """
    reach, (height, width) = max(x for _, x in STEPS), images.shape[2:]
    images = images.to(torch.promote_types(images.dtype, torch.float32))
    padded = F.pad(images, (reach,) * 4, mode="replicate")
    shifted = [padded[:, :, reach + y :, reach + x :][:, :, :height, :width] for y, x in STEPS]
    squares = torch.stack([(images - neighbour).square().mean(1) for neighbour in shifted], 1)
    differences = F.avg_pool2d(squares, PATCH, stride=1, padding=PATCH // 2, count_include_pad=False)
    return differences / (differences.mean(1, keepdim=True) + PLAIN)


def dissimilarity(x: Tensor, y: Tensor) -> Tensor:
    """1 − SSIM of two ``(B, C, H, W)`` in [-1, 1], H and W at least 7: 0 for equal images. Uniform windows of 7×7
    inside the images.

    Source: Wang, Bovik, Sheikh, Simoncelli 2004, "Image Quality Assessment: From Error Visibility to Structural
    Similarity", equation 13.
    """
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    mean_x, mean_y, xx, yy, xy = (F.avg_pool2d(moment, 7, stride=1) for moment in (x, y, x * x, y * y, x * y))
    covariance, variances = xy - mean_x * mean_y, xx - mean_x**2 + yy - mean_y**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return 1 - (luminance * (2 * covariance + c2) / (variances + c2)).mean()


def feature_distance(truth: Sequence[Tensor], found: Sequence[Tensor]) -> Tensor:
    """The mean absolute difference of two lists of feature maps, relative to the mean absolute value of ``truth``; the
    mean over the maps. Maps of one index have the same shape."""
    return torch.stack([F.l1_loss(y, x) / x.abs().mean() for x, y in zip(truth, found, strict=True)]).mean()


def patch_nce(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """PatchNCE: each query should be closer to the key of its own patch than to those of other patches.

    ``queries`` and ``keys`` are unit vectors, (B, N, C): N patches of each image. The negatives of a patch are the
    other patches of the same image. Mean cross entropy over all B·N patches (CUT, equations 2 and 3).
    """
    similarities = queries @ keys.transpose(1, 2)  # (B, N, N); the positive of each patch is on the diagonal
    own = torch.arange(queries.shape[1], device=queries.device).expand(len(queries), -1)
    return F.cross_entropy(similarities.flatten(0, 1) / temperature, own.flatten())
