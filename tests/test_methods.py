"""One update of each method with networks that only multiply, so that every term has a closed form."""

import pytest
import torch
from torch import nn

from diptych.config import CycleganConfig, Pix2pixConfig, PixelConfig, ResnetConfig
from diptych.methods import Execution, build_method
from diptych.pair import Pair
from diptych.registry import kind_of
from helpers.methods import losses_of

A, B = 0.2, 0.7  # the pictures: one value everywhere
G, F, D_A, D_B = 2.0, 0.5, 3.0, 5.0  # what each network multiplies by


class Times(nn.Module):
    """Multiplies by one number."""

    def __init__(self, number):
        super().__init__()
        self.number = nn.Parameter(torch.tensor(number, dtype=torch.float64))

    def forward(self, picture):
        return self.number * picture


def picture(value, channels=3):
    return torch.full((1, channels, 4, 4), value, dtype=torch.float64)


def built(config, channels=3):
    small = ResnetConfig(width=2, num_blocks=1), PixelConfig(width=2)
    return build_method(config, *small, Pair(channels, channels))


def cyclegan(**options):
    method = built(CycleganConfig(**options))
    method.generators.update({"a2b": Times(G), "b2a": Times(F)})
    method.discriminators.update({"a": Times(D_A), "b": Times(D_B)})
    return method


def test_every_term_of_cyclegan_has_its_closed_form():
    method = cyclegan(lambda_a=7.0, lambda_b=11.0, lambda_identity=0.3)
    assert losses_of(method, Pair(picture(A), picture(B))) == pytest.approx(
        {
            "gan_a": (D_A * F * B - 1) ** 2,
            "gan_b": (D_B * G * A - 1) ** 2,
            "cycle_a": 7 * abs(F * G * A - A),
            "cycle_b": 11 * abs(G * F * B - B),
            "identity_a": 0.3 * 7 * abs(F * A - A),
            "identity_b": 0.3 * 11 * abs(G * B - B),
            "discriminator_a": ((D_A * A - 1) ** 2 + (D_A * F * B) ** 2) / 2,
            "discriminator_b": ((D_B * B - 1) ** 2 + (D_B * G * A) ** 2) / 2,
        },
        abs=1e-12,
    )


def test_without_an_identity_loss_cyclegan_has_no_such_term():
    logged = losses_of(cyclegan(lambda_identity=0.0), Pair(picture(A), picture(B)))
    assert not any("identity" in name for name in logged)
    assert logged["gan_a"] == pytest.approx((D_A * F * B - 1) ** 2)


def test_only_the_discriminators_train_on_images_from_the_pool():
    method, old = cyclegan(lambda_identity=0.0), Pair(picture(0.1), picture(0.9))
    logged = losses_of(method, Pair(picture(A), picture(B)), lambda fake: old)
    assert logged["discriminator_a"] == pytest.approx(((D_A * A - 1) ** 2 + (D_A * 0.1) ** 2) / 2)
    assert logged["discriminator_b"] == pytest.approx(((D_B * B - 1) ** 2 + (D_B * 0.9) ** 2) / 2)
    assert logged["gan_a"] == pytest.approx((D_A * F * B - 1) ** 2)


def test_the_image_pool_is_given_the_pictures_of_its_domain():
    given = []
    losses_of(cyclegan(lambda_identity=0.0), Pair(picture(A), picture(B)), lambda fake: given.append(fake) or fake)
    assert given[0].a.mean().item() == pytest.approx(F * B)
    assert given[0].b.mean().item() == pytest.approx(G * A)
    assert not given[0].a.requires_grad


class TimesOther(Times):
    """A discriminator of pairs: the first picture plus a number times the second."""

    def forward(self, pair):
        given, other = pair.chunk(2, dim=1)
        return given + self.number * other


@pytest.mark.parametrize(("direction", "given", "wanted"), [("a2b", A, B), ("b2a", B, A)])
def test_every_term_of_pix2pix_has_its_closed_form(direction, given, wanted):
    method = built(Pix2pixConfig(lambda_l1=13.0, direction=direction, gan_loss="least-squares"))
    method.generators[direction] = Times(G)
    method.discriminators["joint"] = TimesOther(D_B)
    assert losses_of(method, Pair(picture(A), picture(B))) == pytest.approx(
        {
            "gan": (given + D_B * G * given - 1) ** 2,
            "l1": 13 * abs(G * given - wanted),
            "discriminator": ((given + D_B * wanted - 1) ** 2 + (given + D_B * G * given) ** 2) / 2,
        }
    )


def numbers(networks):
    return {name: network.number.item() for name, network in networks.items()}


def test_generators_go_by_their_direction_and_discriminators_by_their_domain():
    method = cyclegan(lambda_identity=0.0)
    assert numbers(method.generators_by_direction()) == {"a2b": G, "b2a": F}
    assert numbers(method.discriminators_by_domain()) == {"a": D_A, "b": D_B}
    averages = {"generators": nn.ModuleDict({"a2b": Times(8.0), "b2a": Times(9.0)})}
    assert numbers(method.generators_by_direction(method.modules() | averages)) == {"a2b": 8.0, "b2a": 9.0}


def test_a_discriminator_of_pairs_belongs_to_no_domain():
    assert built(Pix2pixConfig()).discriminators_by_domain() == {}


@pytest.mark.parametrize("config", [CycleganConfig(lambda_identity=0.0), Pix2pixConfig()], ids=kind_of)
def test_networks_have_the_channels_of_their_domains(config):
    method = build_method(config, ResnetConfig(width=2, num_blocks=1), PixelConfig(width=2), Pair(1, 3))
    real = Pair(torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 8, 8))
    for direction, network in method.generators_by_direction().items():
        source, target = real.along(direction)
        assert network(source).shape == target.shape
    assert len(losses_of(method, real)) > 0


@pytest.mark.parametrize(("norm", "num_passes"), [("instance", 1), ("batch", 2)])
def test_two_batches_are_one_forward_pass_except_with_batch_norm(norm, num_passes):
    small = ResnetConfig(width=2, num_blocks=1, norm=norm), PixelConfig(width=2, norm=norm)
    method = build_method(CycleganConfig(lambda_identity=0.5), *small, Pair(3, 3))
    real, passes = Pair(torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)), []
    network = method.discriminators["a"]
    expected = [network(batch) for batch in real]
    network.register_forward_hook(lambda *_: passes.append(1))
    found = Execution(batch_forwards=True).forward(network, *real)
    assert len(passes) == num_passes
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-6)
