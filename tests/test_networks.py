"""Every network: the sizes of the papers, and one contract for all."""

import itertools

import pytest
import torch
from torch import nn

from diptych.config import PatchganConfig, PixelConfig, ResnetConfig, UnetConfig
from diptych.model import load_weights
from diptych.networks import build_discriminator, build_generator, initialise
from diptych.networks.norms import InstanceNorm2d
from diptych.networks.stages import Layer
from diptych.registry import DISCRIMINATORS, GENERATORS

SMALL_GENERATORS = [
    *(
        ResnetConfig(width=4, num_blocks=blocks, norm=norm, dropout=dropout, upsampling=upsampling)
        for blocks, norm, dropout, upsampling in itertools.product(
            (0, 2), ("instance", "batch", "none"), (False, True), ("transposed", "nearest", "bilinear")
        )
    ),
    *(ResnetConfig(width=4, num_blocks=6, norm=n, antialias=True, upsampling="blur") for n in ("instance", "batch")),
    ResnetConfig(width=4, num_blocks=5, upsampling="nearest", residual=True),
    *(
        UnetConfig(width=2, num_levels=levels, norm=norm, dropout=dropout)
        for levels, norm, dropout in itertools.product((5, 6, 9), ("instance", "batch", "none"), (False, True))
    ),
]
SMALL_DISCRIMINATORS = [
    *(
        PatchganConfig(width=4, num_layers=layers, norm=norm)
        for layers, norm in itertools.product((1, 2, 3, 4, 5), ("instance", "batch", "none"))
    ),
    *(
        PatchganConfig(width=4, num_layers=layers, norm=norm, antialias=True)
        for layers, norm in itertools.product((1, 3, 5), ("instance", "batch"))
    ),
    *(PixelConfig(width=4, norm=norm) for norm in ("instance", "batch", "none")),
]


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("blocks", "parameters"), [(9, 11_378_179), (6, 7_837_699)])
def test_resnet_has_the_papers_number_of_parameters(blocks, parameters):
    assert count(build_generator(ResnetConfig(num_blocks=blocks), 3, 3)) == parameters


def test_patchgan_has_the_papers_number_of_parameters_and_scores():
    network = build_discriminator(PatchganConfig(), 3)
    assert count(network) == 2_764_737
    assert network(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70), (4, 142), (5, 286)])
def test_patchgan_sees_patches_of_the_stated_size(layers, field):
    # Without norm, the gradient of one score is not zero on exactly its receptive field.
    network = build_discriminator(PatchganConfig(width=2, num_layers=layers, norm="none"), 1).double()
    nn.init.ones_(network.model[0].weight)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.uniform_(module.weight, 0.01, 0.02)
    picture = torch.ones(1, 1, 640, 640, dtype=torch.float64, requires_grad=True)
    scores = network(picture)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    rows = picture.grad[0, 0].abs().sum(1).nonzero()
    assert int(rows.max() - rows.min()) + 1 == field


def test_every_network_of_the_registry_is_tested_by_the_contract():
    assert {type(config) for config in SMALL_GENERATORS} == set(GENERATORS.built_in.values())
    assert {type(config) for config in SMALL_DISCRIMINATORS} == set(DISCRIMINATORS.built_in.values())


@pytest.mark.parametrize("config", SMALL_GENERATORS, ids=repr)
@pytest.mark.parametrize("channels", [(3, 3), (1, 4)])
def test_generators_keep_size_range_and_learn(config, channels):
    network = build_generator(config, *channels)
    initialise(network, "normal")
    height, width = max(8, config.stride), 2 * max(8, config.stride)
    output = network(torch.rand(2, channels[0], height, width) * 2 - 1)
    assert output.shape == (2, channels[1], height, width)
    assert output.abs().max() <= 1
    output.square().mean().backward()
    # A bias before a normalisation has no effect, so its gradient may be 0, but every weight learns.
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    if not config.dropout:
        assert all(p.grad.abs().max() > 0 for name, p in network.named_parameters() if name.endswith("weight"))


@pytest.mark.parametrize("config", SMALL_DISCRIMINATORS, ids=repr)
def test_discriminators_score_the_smallest_picture_they_name(config):
    network = build_discriminator(config, 3)
    side = config.smallest_side
    assert network(torch.rand(2, 3, side, side)).shape[1] == 1
    network(torch.rand(2, 3, side, 2 * side + 3)).mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("config", [SMALL_GENERATORS[0], SMALL_GENERATORS[-6]], ids=repr)
def test_instance_norm_treats_each_picture_by_itself(config):
    network = build_generator(config, 3, 3).double()
    pictures = torch.rand(3, 3, config.stride * 4, config.stride * 4, dtype=torch.float64)
    together = network(pictures)
    alone = torch.cat([network(picture[None]) for picture in pictures])
    assert (together - alone).abs().max() < 1e-12


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
def test_a_convolution_has_a_bias_where_the_authors_have_one(norm):
    def biases(network):
        convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
        return [m.bias is not None for m in convolutions]

    everywhere = norm == "instance"
    for config in (ResnetConfig(width=2, num_blocks=2, norm=norm), UnetConfig(width=2, num_levels=5, norm=norm)):
        found = biases(build_generator(config, 3, 3))
        # U-Net: modules are listed from outside in, so its last convolution is where "last" is not literal.
        assert found.count(True) == (len(found) if everywhere else 1)
    assert biases(build_generator(ResnetConfig(width=2, num_blocks=2, norm=norm), 3, 3))[-1]
    patchgan = biases(build_discriminator(PatchganConfig(width=2, norm=norm), 3))
    assert patchgan == [True, everywhere, everywhere, everywhere, True]
    assert biases(build_discriminator(PixelConfig(width=2, norm=norm), 3)) == [True, everywhere, everywhere]


@pytest.mark.parametrize(
    ("initialisation", "std"),
    [("normal", 0.02), ("xavier", 0.02 * (2 / (64 * 9 + 64 * 9)) ** 0.5), ("kaiming", (2 / (64 * 9)) ** 0.5)],
)
def test_initialisation_has_the_stated_spread(initialisation, std):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(64, 64, 3), nn.BatchNorm2d(4096))
    initialise(network, initialisation)
    assert network[0].weight.std().item() == pytest.approx(std, rel=0.02)
    assert network[0].weight.mean().abs().item() < std / 20
    assert network[0].bias.abs().max() == 0
    assert network[1].weight.mean().item() == pytest.approx(1, abs=0.002)
    assert network[1].weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert network[1].bias.abs().max() == 0


def test_orthogonal_initialisation_is_orthogonal_with_gain():
    network = nn.Conv2d(64, 32, 3)
    initialise(network, "orthogonal")
    rows = network.weight.flatten(1)
    assert torch.allclose(rows @ rows.T, torch.eye(32) * 0.02**2, atol=1e-8)


@pytest.mark.parametrize("config", [ResnetConfig(width=4, num_blocks=1), UnetConfig(width=4, num_levels=5)])
def test_under_autocast_the_image_has_the_values_of_float32(config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_generator(config, 1, 1)
    x = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        image = network(x)
    assert image.dtype == torch.float32
    assert len(image.unique()) > 0.5 * image.numel()  # in bf16, about a quarter


def test_resizing_upsamplings_leave_no_dots_on_a_flat_picture():
    # What a transposed convolution of stride 2 cannot do: give the same value everywhere inside.
    for upsampling, flat in (("nearest", True), ("bilinear", True), ("blur", True), ("transposed", False)):
        torch.manual_seed(0)
        network = build_generator(ResnetConfig(width=4, num_blocks=0, norm="none", upsampling=upsampling), 3, 3)
        with torch.no_grad():
            inside = network(torch.full((1, 3, 64, 64), 0.5))[:, :, 24:40, 24:40]
        assert bool((inside.std(dim=(2, 3)) < 1e-6).all()) == flat


# -- stages: the forward pass in steps


def built(config, channels=3):
    torch.manual_seed(0)
    network = build_generator(config, channels, channels)
    initialise(network, "normal")
    return network


def run(stages, x):
    tensors = (x,)
    for stage in stages:
        tensors = stage(tensors)
    return tensors


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("config", SMALL_GENERATORS, ids=repr)
def test_all_stages_in_order_are_the_forward_pass_to_the_bit(config, layout):
    network, side = built(config), max(8, config.stride)
    for height, width in ((side, side), (side, 3 * side)):
        x = (torch.rand(2, 3, height, width) * 2 - 1).contiguous(memory_format=layout)
        for training in (True, False):
            network.train(training)
            torch.manual_seed(1)  # dropout
            expected = network(x)
            torch.manual_seed(1)
            (found,) = run(network.stages(), x)
            assert torch.equal(found, expected)


@pytest.mark.parametrize("config", SMALL_GENERATORS, ids=repr)
def test_every_layer_that_norms_is_a_stage_of_its_own(config):
    network = built(config)
    norms = (InstanceNorm2d, nn.BatchNorm2d)
    layers = [stage.module for stage in network.stages() if isinstance(stage, Layer)]
    assert [m for m in layers if isinstance(m, norms)] == sorted(
        (m for m in network.modules() if isinstance(m, norms)), key=layers.index
    )
    assert not any(isinstance(inner, norms) for layer in layers for inner in layer.modules() if inner is not layer)


@pytest.mark.parametrize("config", SMALL_GENERATORS, ids=repr)
def test_features_are_the_tensors_after_their_stages_and_gradients_flow_to_the_input(config):
    network = built(config).eval()
    x = (torch.rand(2, 3, config.stride * 2, config.stride * 2) * 2 - 1).requires_grad_()
    stages = network.stages()
    layers = [len(stages) // 2, 0, len(stages) - 1]
    features = network.features(x, layers)
    for number, feature in zip(layers, features, strict=True):
        assert torch.equal(feature, run(stages[: number + 1], x)[-1])
        (gradient,) = torch.autograd.grad(feature.square().sum(), x, retain_graph=True)
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0
    assert torch.equal(features[2], network(x))


@pytest.mark.parametrize("config", [SMALL_GENERATORS[0], SMALL_GENERATORS[-6]], ids=repr)
def test_features_compute_nothing_after_the_last_layer_and_refuse_what_is_no_stage(config):
    network = built(config)
    stages = network.stages()
    last = len(stages) // 2
    computed = []
    for number, stage in enumerate(stages):
        if isinstance(stage, Layer):
            stage.module.register_forward_hook(lambda *_, number=number: computed.append(number))
    network.features(torch.rand(1, 3, config.stride * 2, config.stride * 2), [1, last])
    assert computed == [number for number in range(last + 1) if isinstance(stages[number], Layer)]
    for number in (-1, len(stages)):
        with pytest.raises(IndexError, match=f"no stage {number}: there are stages 0 to {len(stages) - 1}"):
            network.features(torch.rand(1, 3, 64, 64), [number])
    assert network.features(torch.rand(1, 3, 64, 64), []) == []


@pytest.mark.parametrize("config", SMALL_GENERATORS + SMALL_DISCRIMINATORS, ids=repr)
def test_a_network_is_whole_in_its_weights(config):
    """A model file holds the state dict alone; the network is built without memory for its tensors."""

    def build():
        return build_generator(config, 3, 3) if config in SMALL_GENERATORS else build_discriminator(config, 3)

    network = build().eval()
    with torch.device("meta"):
        loaded = build()
    load_weights(loaded, {f"a2b.{key}": value for key, value in network.state_dict().items()}, "a2b")
    size = 2**config.num_levels if isinstance(config, UnetConfig) else 128
    picture = torch.rand(1, 3, size, size)
    with torch.inference_mode():
        assert torch.equal(loaded(picture), network(picture))


def test_a_residual_generator_adds_twice_its_output_to_the_input_and_clips():
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    torch.manual_seed(0)
    network = build_generator(ResnetConfig(width=4, num_blocks=1, residual=True), 3, 3)
    change = network.model(x)
    torch.testing.assert_close(
        network(x), torch.minimum(torch.maximum(x + 2 * change, -torch.ones(())), torch.ones(()))
    )
    assert network(x).abs().max() == 1
    for parameter in (network.model[-2].weight, network.model[-2].bias):
        torch.nn.init.zeros_(parameter)
    torch.testing.assert_close(network(x), x, rtol=0, atol=0)


def test_features_of_a_residual_generator_are_those_of_the_same_layers():
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    features = []
    for residual in (False, True):
        torch.manual_seed(0)
        network = build_generator(ResnetConfig(width=4, num_blocks=5, residual=residual), 3, 3)
        features.append(network.features(x, network.feature_layers()))
    for plain, residual in zip(*features, strict=True):
        torch.testing.assert_close(plain, residual, rtol=0, atol=0)
