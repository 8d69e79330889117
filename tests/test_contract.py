"""One contract for every method with every network: train, resume to the bit, save, load, translate any size.

A new method or network is held to it by being registered; no line here changes.
"""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from diptych import Translator
from diptych.checksummed import read_checksummed
from diptych.config import ContentConfig, LengthConfig, TrainConfig
from diptych.methods import Content, Execution, module_names, with_content
from diptych.model import load_model
from diptych.pair import Pair
from diptych.registry import DISCRIMINATORS, GENERATORS, METHODS
from diptych.training.loop import train
from diptych.training.state import build_from
from helpers.methods import ONE_BY_ONE, flat, graph_of
from helpers.runs import tiny

SMALLER = {"width": 2, "num_blocks": 1, "num_levels": 5, "num_layers": 1}


def small(kind, norm):
    """The config of ``kind`` with every size at its smallest."""
    return kind(norm=norm, **{name: size for name, size in SMALLER.items() if name in kind.__dataclass_fields__})


def config_of(method, generator, discriminator, norm, root) -> TrainConfig:
    return tiny(
        root,
        method=METHODS.config(method)(),
        generator=small(GENERATORS.config(generator), norm),
        discriminator=small(DISCRIMINATORS.config(discriminator), norm),
        length=LengthConfig(pictures=4),
    )


EVERY = list(itertools.product(METHODS.kinds, GENERATORS.kinds, DISCRIMINATORS.kinds))


@pytest.fixture
def pairs(squares, tmp_path):
    """The toy pictures with equal names in both domains, so that every method can use them."""
    for part in ("trainA", "trainB"):
        (tmp_path / "data" / part).mkdir(parents=True)
        for number, file in enumerate(sorted((squares / part).iterdir())[:6]):
            (tmp_path / "data" / part / f"{number}.png").write_bytes(file.read_bytes())
    return tmp_path / "data"


@pytest.mark.parametrize(("method", "generator", "discriminator"), EVERY)
def test_every_method_trains_resumes_and_translates_with_every_network(
    method, generator, discriminator, pairs, tmp_path
):
    config = config_of(method, generator, discriminator, "instance", pairs)
    config = replace(config, output=replace(config.output, save_minutes=0, keep_checkpoints=9))
    whole = train(config, tmp_path / "whole")
    expected, _ = read_checksummed(whole.checkpoint_file(4), "checkpoint")
    whole.checkpoint_file(4).unlink()  # as if it had been killed before its last checkpoint
    found, _ = read_checksummed(train(config, whole.folder).checkpoint_file(4), "checkpoint")
    assert all(torch.equal(expected[name], found[name]) for name in expected)

    model = load_model(whole.folder)
    for direction, network in model.networks.items():
        translator = Translator.of(model, direction)
        for shape in ((1, 1), (5, 40), (37, 64)):
            picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
            assert translator(picture).shape == picture.shape
        saved = {f"ema.generators.{direction}.{key}": value for key, value in network.state_dict().items()}
        assert all(torch.equal(expected[name], value) for name, value in saved.items())


def method_of(method, generator, discriminator, norm):
    """The method with initial weights, and batches to train it on."""
    config = config_of(method, generator, discriminator, norm, None)
    data = replace(config.data, channels_a=3, channels_b=3)
    resolved = {"method": config.method.resolved((3, 3)), "generator": config.generator.resolved(32)}
    torch.manual_seed(0)
    real = Pair(*(torch.rand(2, 3, 64, 64) * 2 - 1 for _ in range(2)))
    return build_from(replace(config, data=data, **resolved)), real


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize(("method", "generator", "discriminator"), EVERY)
def test_every_update_reaches_every_weight_of_its_module_and_no_other(method, generator, discriminator, norm):
    built, real = method_of(method, generator, discriminator, norm)
    modules, visited = built.modules(), []
    for names, groups, *_ in built.update(real, lambda fake: fake, ONE_BY_ONE):
        names = module_names(names)
        for module in modules.values():
            module.zero_grad(set_to_none=True)
        sum(flat(groups).values()).backward()
        stepping = [parameter for name in names for parameter in modules[name].parameters()]
        assert all(p.grad is not None and p.grad.isfinite().all() for p in stepping)
        others = [module for other, module in modules.items() if other not in names]
        assert all(p.grad is None for module in others for p in module.parameters())
        visited += names
    assert sorted(visited) == sorted(modules)
    assert all(p.requires_grad for module in modules.values() for p in module.parameters())


@pytest.mark.parametrize("execution", [ONE_BY_ONE, Execution(batch_forwards=True)], ids=["one by one", "batched"])
@pytest.mark.parametrize(("method", "generator", "discriminator"), EVERY)
def test_losses_of_different_groups_share_only_parameters_also_with_content(
    method, generator, discriminator, execution
):
    built, real = method_of(method, generator, discriminator, "instance")
    masks = real.map(lambda images: (images[:, :1] > 0).float())
    content = Content(ContentConfig(lambda_pairs=1.0, lambda_masks=1.0, keep_edges=1.0), masks, real)
    steps = built.update(real, lambda fake: fake, execution)
    for _, groups, *_ in with_content(built, steps, content, execution):
        graphs = [set().union(*(graph_of(loss) for loss in group.values())) for group in groups.values()]
        assert all(graphs)
        assert all(one.isdisjoint(other) for one, other in itertools.combinations(graphs, 2))
        sum(flat(groups).values()).backward()
