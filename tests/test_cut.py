"""CUT: its blur filters, its head, and every way to execute it. Its trajectories are in test_reference.py."""

from pathlib import Path

import numpy as np
import pytest
import torch

from diptych.config import CutConfig, FastcutConfig, PatchganConfig, ResnetConfig
from diptych.errors import OptionError
from diptych.methods import Execution, module_names
from diptych.methods.cut import Cut
from diptych.networks.convolutions import BlurDown, BlurUp
from diptych.networks.initialisation import initialise
from diptych.pair import Pair
from helpers.methods import ONE_BY_ONE, flat

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
    for names, groups in method.update(real, lambda fake: fake, execution):
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
