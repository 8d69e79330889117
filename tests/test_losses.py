"""Each loss against its closed form."""

import math

import pytest
import torch

from diptych import losses

SCORES = torch.tensor([[0.5, -2.0], [3.0, 0.0]], dtype=torch.float64)


def mean(function):
    return sum(function(float(s)) for s in SCORES.flatten()) / SCORES.numel()


@pytest.mark.parametrize(
    ("kind", "real", "fake"),
    [
        ("least-squares", lambda s: (s - 1) ** 2, lambda s: s**2),
        ("vanilla", lambda s: math.log1p(math.exp(-s)), lambda s: math.log1p(math.exp(s))),
        ("hinge", lambda s: max(0.0, 1 - s), lambda s: max(0.0, 1 + s)),
    ],
)
def test_discriminator_losses_are_low_for_high_real_and_low_fake_scores(kind, real, fake):
    other = SCORES.flip(0) + 0.25
    expected = 0.5 * (mean(real) + sum(fake(float(s)) for s in other.flatten()) / 4)
    assert losses.discriminator_gan(kind, SCORES, other).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("least-squares", lambda s: (s - 1) ** 2),
        ("vanilla", lambda s: math.log1p(math.exp(-s))),
        ("hinge", lambda s: -s),
    ],
)
def test_generator_losses_are_low_for_high_fake_scores(kind, wanted):
    assert losses.generator_gan(kind, SCORES).item() == pytest.approx(mean(wanted))


def test_cycle_and_identity_are_mean_absolute_differences():
    x, y = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5)
    expected = float((x - y).abs().sum() / x.numel())
    assert losses.cycle_consistency(x, y).item() == pytest.approx(expected)
    assert losses.identity(x, y).item() == pytest.approx(expected)
    assert losses.reconstruction(x, y).item() == pytest.approx(expected)


def test_patch_nce_is_the_cross_entropy_of_each_patch_against_the_others_of_its_image():
    torch.manual_seed(0)
    queries, keys = (torch.nn.functional.normalize(torch.randn(2, 5, 3, dtype=torch.float64), dim=2) for _ in range(2))
    terms = []
    for image in range(2):
        for patch in range(5):
            scores = [math.exp(float(queries[image, patch] @ key) / 0.07) for key in keys[image]]
            terms.append(-math.log(scores[patch] / sum(scores)))
    assert losses.patch_nce(queries, keys, 0.07).item() == pytest.approx(sum(terms) / 10, rel=1e-12)


def test_patch_nce_of_patches_that_are_all_alike_is_the_log_of_their_number():
    same = torch.ones(1, 8, 1, dtype=torch.float64)
    assert losses.patch_nce(same, same, 0.07).item() == pytest.approx(math.log(8))


def test_patch_nce_is_computed_on_the_device_of_its_queries():
    """The meta device stands in for a GPU: torch refuses to mix devices."""
    patches = torch.ones(1, 8, 1, device="meta")
    assert losses.patch_nce(patches, patches, 0.07).device.type == "meta"
