"""CUT: its blur filters, its head, and every way to execute it. Its trajectories are in test_reference.py."""

from pathlib import Path

import numpy as np
import pytest
import torch

from diptych.config import CutConfig, FastcutConfig, PatchganConfig, ResnetConfig
from diptych.errors import OptionError
from diptych.methods import Execution, module_names
from diptych.methods.cut import Cut, ProjectionHead
from diptych.networks.convolutions import BlurDown, BlurUp
from diptych.networks.initialisation import initialise
from diptych.networks.stages import Layer, StagedGenerator
from diptych.pair import Pair
from helpers.methods import ONE_BY_ONE, flat, losses_of

GENERATOR = ResnetConfig(width=4, num_blocks=5, antialias=True, upsampling="blur")


def built(config, generator=GENERATOR, channels=(3, 3)):
    torch.manual_seed(0)
    method = Cut(config, generator, PatchganConfig(width=4, num_layers=1, antialias=True), Pair(*channels))
    method.materialise(Pair(*(torch.zeros(1, number, 32, 32) for number in channels)))
    for module in method.modules().values():
        initialise(module, "xavier")
        module.double()
    return method


def batches(channels=3):
    torch.manual_seed(1)
    return Pair(*(torch.rand(2, channels, 32, 32, dtype=torch.float64) * 2 - 1 for _ in range(2)))


def losses_and_gradients(method, real, execution):
    torch.manual_seed(2)
    found = {}
    for names, groups, *_ in method.update(real, lambda fake: fake, execution):
        sum(flat(groups).values()).backward()
        found |= {name: loss.item() for name, loss in flat(groups).items()}
        for name in module_names(names):
            for key, parameter in method.modules()[name].named_parameters():
                found[f"{name}.{key}"] = parameter.grad.clone()
                parameter.grad = None
    return found


def test_blur_before_halving_is_a_binomial_filter():
    picture = torch.rand(1, 2, 7, 8, dtype=torch.float64)
    padded = np.pad(picture.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
    rows = 0.25 * padded[:, :, :-2] + 0.5 * padded[:, :, 1:-1] + 0.25 * padded[:, :, 2:]
    whole = 0.25 * rows[..., :-2] + 0.5 * rows[..., 1:-1] + 0.25 * rows[..., 2:]
    assert np.allclose(BlurDown(2)(picture), whole[:, :, ::2, ::2], rtol=0, atol=1e-15)


def test_blur_that_doubles_weighs_the_two_nearest_pixels_three_to_one():
    row = torch.rand(6, dtype=torch.float64)
    before, after = torch.cat([row[:1], row[:-1]]), torch.cat([row[1:], row[-1:]])
    expected = torch.stack([0.25 * before + 0.75 * row, 0.75 * row + 0.25 * after], dim=1).flatten()
    doubled = BlurUp(1)(row.expand(1, 1, 4, 6))
    assert doubled.shape == (1, 1, 8, 12)
    assert torch.allclose(doubled, expected.expand(1, 1, 8, 12), rtol=0, atol=1e-15)


@pytest.mark.parametrize("config", [CutConfig(num_patches=20), FastcutConfig(num_patches=20)], ids=["cut", "fastcut"])
@pytest.mark.parametrize(
    "execution",
    [Execution(batch_forwards=True), Execution(activation_checkpointing=True)],
    ids=["batched", "checkpointed"],
)
def test_every_execution_gives_the_same_losses_and_gradients(config, execution):
    expected = losses_and_gradients(built(config), batches(), ONE_BY_ONE)
    found = losses_and_gradients(built(config), batches(), execution)
    assert found.keys() == expected.keys()
    assert any(key.startswith("head.") for key in found)
    for key, value in expected.items():
        assert torch.allclose(torch.as_tensor(found[key]), torch.as_tensor(value), rtol=1e-9, atol=1e-12), key


def test_b_to_a_is_a_to_b_with_the_domains_exchanged():
    forth, back = built(CutConfig(num_patches=20)), built(CutConfig(num_patches=20, direction="b2a"))
    back.generator.load_state_dict(forth.generator.state_dict())
    back.discriminators["a"].load_state_dict(forth.discriminators["b"].state_dict())
    back.head.load_state_dict(forth.head.state_dict())
    expected = losses_and_gradients(forth, batches(), ONE_BY_ONE)
    found = losses_and_gradients(back, batches().swapped, ONE_BY_ONE)
    for here, there in (("nce_a", "nce_b"), ("nce_b", "nce_a"), ("gan_b", "gan_a")):
        assert found[there] == pytest.approx(expected[here], rel=1e-12)


def test_an_input_that_is_not_mirrored_is_encoded_once_with_the_same_features():
    method = built(CutConfig())
    outputs, keys = method.translate(ONE_BY_ONE, batches(), mirrored=False)
    assert torch.equal(outputs[0], method.generator(batches().a))
    separate = method.generator.features(batches().b, method.generator.feature_layers())
    assert all(torch.equal(one, other) for one, other in zip(keys[1], separate, strict=True))


def test_mirrored_updates_are_half_of_all():
    torch.manual_seed(0)
    method = built(FastcutConfig())
    assert 420 < sum(method.draw_mirrored() for _ in range(1000)) < 580


def test_domains_of_different_channels_are_refused():
    with pytest.raises(OptionError, match="A has 3 channels and B 1"):
        CutConfig().resolved((3, 1))


def test_a_generator_without_stages_is_refused(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).with_name("plugin"))
    from colourful.config import ShiftConfig

    with pytest.raises(OptionError, match=r"ShiftGenerator has no feature_layers\(\).* give --generator resnet"):
        built(CutConfig(), ShiftConfig(kernel=3))


class Times(torch.nn.Module):
    """Multiplies by one number, or by one for each column."""

    def __init__(self, *numbers):
        super().__init__()
        self.numbers = torch.nn.Parameter(torch.tensor(numbers, dtype=torch.float64))

    def forward(self, picture):
        return self.numbers * picture


class ThreeLayers(StagedGenerator):
    """A generator of three layers. The outputs of the first two are its features."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = torch.nn.ModuleList(layers)

    def stages(self):
        return [Layer(layer) for layer in self.layers]

    def feature_layers(self):
        return [0, 1]

    def forward(self, x):
        (output,) = self.features(x, [2])
        return output


class DrawnCut(Cut):
    """CUT that mirrors whenever it may."""

    def draw_mirrored(self):
        return True


COLUMNS = (1.0, 2.0, -3.0, 5.0)
"""What the discriminator multiplies the columns by."""


def patch_nce(head, keys, queries):
    """PatchNCE in numpy over all pixels of ``keys`` and ``queries``, a feature map (H, W) each."""
    first, _, second = head
    vectors = []
    for feature in (queries, keys):
        hidden = (first.weight.detach().numpy() @ feature.reshape(1, -1)).T + first.bias.detach().numpy()
        projected = hidden.clip(0) @ second.weight.detach().numpy().T + second.bias.detach().numpy()
        vectors.append(projected / (np.sqrt((projected**2).sum(1, keepdims=True)) + 1e-7))
    similarities = np.exp(vectors[0] @ vectors[1].T / 0.07)
    return -np.log(np.diag(similarities) / similarities.sum(1)).mean()


@pytest.mark.parametrize("direction", ["a2b", "b2a"])
@pytest.mark.parametrize(
    ("kind", "options", "mirrored"),
    [(CutConfig, {}, False), (CutConfig, {"flip_equivariance": True}, True), (FastcutConfig, {}, True)],
    ids=["cut", "mirrored cut", "fastcut"],
)
def test_every_term_of_cut_has_its_closed_form(kind, options, mirrored, direction):
    """The generator treats each pixel alike, so mirroring changes what the discriminator sees, and not the PatchNCE loss."""
    config = kind(direction=direction, lambda_nce=7.0, head_width=5, **options)
    method = DrawnCut(config, ResnetConfig(width=2, num_blocks=1), PatchganConfig(width=2), Pair(1, 1))
    method.generator = ThreeLayers(Times(2.0), Times(3.0), Times(0.5))  # features 2x and 6x, output 3x
    method.materialise(Pair(torch.zeros(1, 1, 3, 4), torch.zeros(1, 1, 3, 4)))
    target_name = direction[-1]
    method.discriminators[target_name] = Times(*COLUMNS)
    torch.manual_seed(0)
    for parameter in method.head.double().parameters():
        torch.nn.init.normal_(parameter)
    real = Pair(*torch.rand(2, 1, 1, 3, 4, dtype=torch.float64))
    source, target = (picture.numpy()[0, 0] for picture in real.along(direction))
    fake = 3 * (source[:, ::-1] if mirrored else source)
    expected = {
        f"gan_{target_name}": ((COLUMNS * fake - 1) ** 2).mean(),
        f"discriminator_{target_name}": (((COLUMNS * target - 1) ** 2).mean() + ((COLUMNS * fake) ** 2).mean()) / 2,
    }
    compared = {direction[0]: source} | ({target_name: target} if kind is CutConfig else {})
    for name, picture in compared.items():
        terms = [patch_nce(head, k * picture, 3 * k * picture) for head, k in zip(method.head, (2, 6), strict=True)]
        expected[f"nce_{name}"] = 7 / len(compared) * np.mean(terms)
    assert losses_of(method, real) == pytest.approx(expected, rel=1e-12)


def test_autocast_leaves_outputs_and_vectors_in_float32():
    torch.manual_seed(0)
    head, feature, positions = ProjectionHead([4], 8), torch.randn(1, 4, 3, 3), torch.arange(9)
    method = built(CutConfig())
    method.generator = ThreeLayers(*(torch.nn.Conv2d(3, 3, 1) for _ in range(3)))
    with torch.autocast("cpu", torch.bfloat16):
        (found,) = head([feature.bfloat16()], [positions])
        outputs, keys = method.translate(ONE_BY_ONE, batches().map(torch.Tensor.float), mirrored=False)
    (expected,) = head([feature.bfloat16().float()], [positions])
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    assert [key.dtype for key in keys[0]] == [torch.bfloat16] * 2
    assert [output.dtype for output in outputs] == [torch.float32] * 2
