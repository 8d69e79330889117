"""How far apart two sets of pictures are: pure functions of their features, ``(N, D)`` and ``(M, D)`` float64."""

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from diptych.evaluation.features import Features
from diptych.rng import Stream, generator, torch_seed

MAX_SUBSET, NUM_SUBSETS = 1000, 100
NUM_BOOTSTRAPS, LEVEL, MAX_RESAMPLED = 1000, 0.95, 2000
NUM_NEIGHBOURS = 5


class _Given(nn.Module):
    """Stands where torchmetrics wants a feature network: the features are there already."""

    def forward(self, features: Tensor) -> Tensor:
        return features


def kid_subsets(num_real: int, num_made: int) -> tuple[int, int]:
    """Size and number of the subsets over which ``kid`` is a mean: all pictures at once, where there are few and
    equally many."""
    size = min(MAX_SUBSET, num_real, num_made)
    return size, 1 if num_real == num_made == size else NUM_SUBSETS


def kid(real: Features, made: Features, *, seed: int = 0) -> float:
    """Kernel inception distance, by torchmetrics: the unbiased squared maximum mean discrepancy for the kernel
    (xᵀy / D + 1)³, a mean over random subsets. 0 for sets of one distribution, and then below 0 as often as above.

    Source: Bińkowski, Sutherland, Arbel, Gretton 2018, "Demystifying MMD GANs", section 4.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    size, number = kid_subsets(len(real), len(made))
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # it says that it keeps the features
        torch.manual_seed(torch_seed(seed, Stream.SCORES, 0))
        metric = KernelInceptionDistance(_Given(), subsets=number, subset_size=size)
        metric.update(torch.from_numpy(real), real=True)
        metric.update(torch.from_numpy(made), real=False)
        return float(metric.compute()[0])


def kid_interval(real: Features, made: Features, *, seed: int = 0) -> tuple[float, float]:
    """Where KID lies with 95 % confidence, had other pictures been drawn: percentiles over 1000 bootstraps.

    Of more than 2000 pictures, 2000 enter, chosen at random.
    """
    draw = generator(seed, Stream.SCORES, 1)
    real, made = (x[draw.permutation(len(x))[:MAX_RESAMPLED]] for x in (real, made))
    times = [draw.multinomial(len(x), np.full(len(x), 1 / len(x)), NUM_BOOTSTRAPS).astype(float) for x in (real, made)]
    low, high = np.nanquantile(squared_mmd(real, made, *times), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def squared_mmd(real: Features, made: Features, times_real: Features, times_made: Features) -> Features:
    """The unbiased squared maximum mean discrepancy for KID's kernel, of pictures that each come so many times.

    ``(R, N)`` and ``(R, M)`` times give ``(R,)``. A picture that comes twice is not compared with itself, which would
    push it up: with wᵢ the times of picture i, within a set it is Σ_{i≠j} wᵢwⱼk(xᵢ, xⱼ) / Σ_{i≠j} wᵢwⱼ; NaN where there
    is only one.
    """
    within = _mean_of_others(_kernel(real, real), times_real) + _mean_of_others(_kernel(made, made), times_made)
    between = ((times_real @ _kernel(real, made)) * times_made).sum(1) / (times_real.sum(1) * times_made.sum(1))
    squared: Features = within - 2 * between
    return squared


def _kernel(x: Features, y: Features) -> Features:
    kernel: Features = (x @ y.T / x.shape[1] + 1) ** 3
    return kernel


def _mean_of_others(kernel: Features, times: Features) -> Features:
    """The mean of ``kernel`` over pairs of different pictures, drawn so many ``times`` (a row for each bootstrap)."""
    total = ((times @ kernel) * times).sum(1) - times**2 @ np.diag(kernel)
    pairs = times.sum(1) ** 2 - (times**2).sum(1)
    means: Features = np.divide(total, pairs, out=np.full(len(times), np.nan), where=pairs > 0)
    return means


def fid(real: Features, made: Features) -> float:
    """Fréchet inception distance: ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½), the less biased the more pictures there are.

    With centred features X and Y, tr (Σ₁Σ₂)^½ is the sum of the singular values of XYᵀ over ((N − 1)(M − 1))^½: exact
    where pictures are fewer than features and (Σ₁Σ₂)^½ is not, and sooner; torchmetrics' number otherwise.

    Source: Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter 2017, "GANs Trained by a Two Time-Scale Update Rule
    Converge to a Local Nash Equilibrium", equation 6.
    """
    centred = [(x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (real, made)]
    variances = sum(float((x**2).sum()) for x in centred)
    x, y = (np.linalg.qr(x)[1] if len(x) > x.shape[1] else x for x in centred)  # RᵀR = XᵀX, and R is smaller
    root = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    return float(((real.mean(0) - made.mean(0)) ** 2).sum() + variances - 2 * root)


def density_coverage(real: Features, made: Features) -> tuple[float, float]:
    """How many made pictures lie where real ones are, and how many real ones have a made one near.

    With Bᵢ the ball around real picture i that reaches to its k-th nearest real neighbour (k = 5, or fewer where there
    are fewer): density is Σⱼ Σᵢ 1[yⱼ ∈ Bᵢ] / kM (1 for sets of one distribution, and it may be more); coverage is
    Σᵢ 1[some yⱼ ∈ Bᵢ] / N.

    Source: Naeem, Oh, Uh, Choi, Yoo 2020, "Reliable Fidelity and Diversity Metrics for Generative Models", equations 3
    and 4.
    """
    k = min(NUM_NEIGHBOURS, len(real) - 1)
    radius = np.sort(_euclidean(real, real), axis=1)[:, k]  # at place 0 is the picture itself
    inside = _euclidean(real, made) < radius[:, None]
    return float(inside.sum() / (k * len(made))), float(inside.any(axis=1).mean())


def _euclidean(x: Features, y: Features) -> NDArray[np.float64]:
    distances: NDArray[np.float64] = torch.cdist(
        torch.from_numpy(x), torch.from_numpy(y), compute_mode="donot_use_mm_for_euclid_dist"
    ).numpy()
    return distances


def diversity(features: Features) -> float:
    """The mean of 1 − cos(xᵢ, xⱼ) over pairs of different pictures: 0 where all look alike."""
    directions, number = _directions(features), len(features)
    return float(1 - ((directions.sum(0) ** 2).sum() - (directions**2).sum()) / (number * (number - 1)))


def feature_distance(made: Features, truth: Features) -> float:
    """The mean of 1 − cos(xᵢ, yᵢ) over pictures and their truths.

    In the way of LPIPS (Zhang, Isola, Efros, Shechtman, Wang 2018, equation 1), which sums it over places and layers.
    """
    return float(1 - (_directions(made) * _directions(truth)).sum(1).mean())


def _directions(features: Features) -> Features:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    directions: Features = features / np.maximum(lengths, np.finfo(float).tiny)
    return directions
