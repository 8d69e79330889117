"""How far a picture is from another, where that is the truth: both ``(H, W, C)`` uint8 of one shape."""

from collections.abc import Sequence
from typing import cast

import numpy as np

from diptych.data.pictures import Array

MAX_PSNR = 100.0
"""What equal pictures get, in dB, so that means stay finite."""


def psnr(picture: Array, truth: Array) -> float:
    """Peak signal-to-noise ratio in dB, at most 100: 10 log₁₀(255² / mean squared difference)."""
    error = float(np.mean((picture.astype(np.float64) - truth) ** 2))
    return MAX_PSNR if error == 0 else min(MAX_PSNR, 10 * float(np.log10(255**2 / error)))


def mean_psnr(pictures: Sequence[Array], truths: Sequence[Array]) -> float:
    """The mean over pictures of their ``psnr``, in dB."""
    return float(np.mean([psnr(picture, truth) for picture, truth in zip(pictures, truths, strict=True)]))


def ssim(picture: Array, truth: Array) -> float:
    """Structural similarity, by torchmetrics: Gaussian windows of 11×11 with σ 1.5; 1 where the pictures are equal.

    Source: Wang, Bovik, Sheikh, Simoncelli 2004, "Image Quality Assessment: From Error Visibility to Structural
    Similarity", equation 13.
    """
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure

    both = (torch.from_numpy(x.astype(np.float64)).permute(2, 0, 1)[None] for x in (picture, truth))
    return float(cast(torch.Tensor, structural_similarity_index_measure(*both, data_range=255.0)))


def l1(picture: Array, truth: Array) -> float:
    """The mean absolute difference, in levels of 255."""
    return float(np.abs(picture.astype(np.float64) - truth).mean())
