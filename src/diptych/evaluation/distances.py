"""Distances between two sets of pictures, as pure functions of their features: ``(N, D)`` and ``(M, D)`` float64."""

import warnings

import numpy as np
import torch
from torch import nn

from diptych.evaluation.features import Features
from diptych.rng import Stream, generator, torch_seed

MAX_SUBSET, NUM_SUBSETS = 1000, 100
NUM_BOOTSTRAPS, CONFIDENCE, MAX_RESAMPLED = 1000, 0.95, 2000
NUM_NEIGHBOURS = 5


def kid_subsets(num_real: int, num_fake: int) -> tuple[int, int]:
    """Size and number of the subsets that ``kid`` averages over: a single one with everything, if both sets have the
    same number of pictures and at most 1000."""
    size = min(MAX_SUBSET, num_real, num_fake)
    return size, 1 if num_real == num_fake == size else NUM_SUBSETS


def kid(real: Features, fake: Features, *, seed: int = 0) -> float:
    """Kernel inception distance, by torchmetrics: the unbiased squared maximum mean discrepancy for the kernel
    (xᵀy / D + 1)³, averaged over random subsets. Its expectation for two samples of one distribution is 0.

    Source: Bińkowski, Sutherland, Arbel, Gretton 2018, "Demystifying MMD GANs", section 4.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    size, number = kid_subsets(len(real), len(fake))
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # the metric warns that it keeps all features in memory
        torch.manual_seed(torch_seed(seed, Stream.SCORES, 0))
        metric = KernelInceptionDistance(nn.Identity(), subsets=number, subset_size=size)
        metric.update(torch.from_numpy(real), real=True)
        metric.update(torch.from_numpy(fake), real=False)
        return float(metric.compute()[0])


def kid_interval(real: Features, fake: Features, *, seed: int = 0) -> tuple[float, float]:
    """The 95 % confidence interval of KID: percentiles over 1000 bootstraps of at most 2000 random pictures per set."""
    rng = generator(seed, Stream.SCORES, 1)
    real, fake = (x[rng.permutation(len(x))[:MAX_RESAMPLED]] for x in (real, fake))
    counts = [rng.multinomial(len(x), np.full(len(x), 1 / len(x)), NUM_BOOTSTRAPS).astype(float) for x in (real, fake)]
    quantiles = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    low, high = np.nanquantile(squared_mmd(real, fake, *counts), quantiles)
    return float(low), float(high)


def squared_mmd(real: Features, fake: Features, real_counts: Features, fake_counts: Features) -> Features:
    """The unbiased squared maximum mean discrepancy for KID's kernel, for bootstrap samples with replacement.

    ``(R, N)`` and ``(R, M)`` counts of each picture in R samples give ``(R,)``. A repeated picture is not compared with
    itself, which would bias the result upwards: with wᵢ the count of picture i, the mean within a set is
    Σ_{i≠j} wᵢwⱼk(xᵢ, xⱼ) / Σ_{i≠j} wᵢwⱼ; NaN if a sample repeats a single picture.
    """
    within = _mean_within(_kernel(real, real), real_counts) + _mean_within(_kernel(fake, fake), fake_counts)
    between = ((real_counts @ _kernel(real, fake)) * fake_counts).sum(1) / (real_counts.sum(1) * fake_counts.sum(1))
    return np.asarray(within - 2 * between)


def _kernel(x: Features, y: Features) -> Features:
    return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)


def _mean_within(kernel: Features, counts: Features) -> Features:
    """The mean of ``kernel`` over pairs of different pictures, weighted by their ``counts``; one value per row."""
    total = ((counts @ kernel) * counts).sum(1) - counts**2 @ np.diag(kernel)
    pairs = counts.sum(1) ** 2 - (counts**2).sum(1)
    return np.asarray(np.divide(total, pairs, out=np.full(len(counts), np.nan), where=pairs > 0))


def fid(real: Features, fake: Features) -> float:
    """Fréchet inception distance: ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½). Biased: more pictures give a lower value.

    With centred features X and Y, tr (Σ₁Σ₂)^½ is the sum of the singular values of XYᵀ over ((N − 1)(M − 1))^½. This is
    faster, and also exact if there are fewer pictures than features. With more pictures, it equals torchmetrics' value.

    Source: Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter 2017, "GANs Trained by a Two Time-Scale Update Rule
    Converge to a Local Nash Equilibrium", equation 6.
    """
    centred = [(x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (real, fake)]
    variances = sum(float((x**2).sum()) for x in centred)
    x, y = (np.linalg.qr(x)[1] if len(x) > x.shape[1] else x for x in centred)  # RᵀR = XᵀX, and R is smaller
    root = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    return float(((real.mean(0) - fake.mean(0)) ** 2).sum() + variances - 2 * root)


def density_coverage(real: Features, fake: Features) -> tuple[float, float]:
    """Density: how densely real pictures surround the fake ones. Coverage: the fraction of real pictures that have a
    fake one near them.

    With Bᵢ the ball around real picture i that reaches to its k-th nearest real neighbour (k = 5, or fewer if there
    are fewer): density is Σⱼ Σᵢ 1[yⱼ ∈ Bᵢ] / kM (about 1 for equal distributions; it can exceed 1); coverage is
    Σᵢ 1[some yⱼ ∈ Bᵢ] / N.

    Source: Naeem, Oh, Uh, Choi, Yoo 2020, "Reliable Fidelity and Diversity Metrics for Generative Models", equations 3
    and 4.
    """
    k = min(NUM_NEIGHBOURS, len(real) - 1)
    radius = np.sort(_euclidean(real, real), axis=1)[:, k]  # column 0 is the picture itself
    inside = _euclidean(real, fake) < radius[:, None]
    return float(inside.sum() / (k * len(fake))), float(inside.any(axis=1).mean())


def _euclidean(x: Features, y: Features) -> Features:
    exact = "donot_use_mm_for_euclid_dist"
    return np.asarray(torch.cdist(torch.from_numpy(x), torch.from_numpy(y), compute_mode=exact).numpy())


def diversity(features: Features) -> float:
    """The mean of 1 − cos(xᵢ, xⱼ) over pairs of different pictures: 0 if all look the same."""
    directions, number = _directions(features), len(features)
    return float(1 - ((directions.sum(0) ** 2).sum() - (directions**2).sum()) / (number * (number - 1)))


def feature_distance(features: Features, reference: Features) -> float:
    """The mean of 1 − cos(xᵢ, yᵢ) over pictures and their references.

    Similar to LPIPS (Zhang, Isola, Efros, Shechtman, Wang 2018, equation 1), which weights channels, averages over
    positions and sums over layers.
    """
    return float(1 - (_directions(features) * _directions(reference)).sum(1).mean())


def _directions(features: Features) -> Features:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, np.finfo(float).tiny))
