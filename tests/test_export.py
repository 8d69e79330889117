"""Every network can be copied, exported and differentiated twice, before and after training steps.

A new network is held to this by being registered.
"""

import copy
import itertools

import onnxruntime
import pytest
import torch
from torch.export import Dim

from diptych.config import (
    CycleganConfig,
    DataConfig,
    EngineConfig,
    OptimiserConfig,
    PatchganConfig,
    ResnetConfig,
    TrainConfig,
)
from diptych.networks.convolutions import ColumnsConv2d
from diptych.networks.norms import ChannelsLastNorm, InstanceNorm2d
from diptych.pair import Pair
from diptych.registry import DISCRIMINATORS, GENERATORS
from diptych.training.state import State
from diptych.training.stepper import update

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")

SMALLEST = {"width": 2, "num_blocks": 1, "num_levels": 5, "num_layers": 2}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


def variants(registry, **choices):
    """Every registered config at its smallest, with each of ``choices`` that it has an option for."""
    for cls in registry.built_in.values():
        options = {name: [value] for name, value in SMALLEST.items() if name in cls.__dataclass_fields__}
        options |= {name: values for name, values in choices.items() if name in cls.__dataclass_fields__}
        for values in itertools.product(*options.values()):
            yield cls(**dict(zip(options, values, strict=True)))


NORMS = ("instance", "batch", "none")
EVERY_GENERATOR = list(variants(GENERATORS, norm=NORMS, upsampling=("transposed", "nearest", "bilinear")))
EVERY_DISCRIMINATOR = list(variants(DISCRIMINATORS, norm=NORMS))
EVERY = [*EVERY_GENERATOR, *EVERY_DISCRIMINATOR]
DYNAMO = [*variants(GENERATORS), *variants(DISCRIMINATORS)]  # tracing one takes seconds


def trained(config, layout=torch.contiguous_format):
    """The network of ``config``, prepared by the training state and updated once, in evaluation mode; a sample input."""
    is_generator = type(config) in GENERATORS.built_in.values()
    generator = config if is_generator else ResnetConfig(width=2, num_blocks=1)
    discriminator = PatchganConfig(width=2, num_layers=1) if is_generator else config
    side = 2 * max(generator.stride, 16)
    state = State(
        TrainConfig(
            method=CycleganConfig(lambda_identity=0.5),
            generator=generator,
            discriminator=discriminator,
            data=DataConfig(crop_size=side, load_size=side, channels_a=3, channels_b=3),
            optimiser=OptimiserConfig(batch_size=1, learning_rate=2e-4, ema=0.999),
            engine=EngineConfig(device="cpu", precision="bf16", channels_last=layout is torch.channels_last),
        )
    )
    update(state, Pair(*torch.rand(2, 1, 3, side, side) * 2 - 1), learning_rate=1e-4)
    network = state.method.generators["a2b"] if is_generator else state.method.discriminators["a"]
    smallest = max(config.stride, 8) if is_generator else config.smallest_side
    height, width = 2 * smallest, 3 * smallest if is_generator else 2 * smallest + 3
    x = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return network.eval(), x.contiguous(memory_format=layout)


def dynamic_shapes(config):
    """Batch, height and width of the input, for ``torch.export``."""
    stride = getattr(config, "stride", 1)
    smallest = 2 * getattr(config, "smallest_side", 1)  # torch.export assumes that no size inside is 1
    height, width = (stride * Dim(name, min=smallest, max=4096) for name in ("height", "width"))
    return {0: Dim("batch"), 2: height, 3: width}


def other_size(x):
    """An input of another batch size, height and width."""
    return torch.rand(1, 3, 2 * x.shape[2], x.shape[3])


def onnx_difference(path, network, x):
    session = onnxruntime.InferenceSession(path)
    (output,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    with torch.no_grad():
        return (torch.from_numpy(output) - network(x)).abs().max().item()


@pytest.mark.parametrize("config", EVERY, ids=repr)
def test_a_deep_copy_computes_the_same_and_shares_nothing(config):
    network, x = trained(config)
    expected = network(x)
    clone = copy.deepcopy(network)
    assert torch.equal(clone(x), expected)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert torch.equal(clone(x), expected)


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("config", DYNAMO, ids=repr)
def test_torch_export_holds_no_autocast_and_fits_other_sizes(config, layout):
    network, x = trained(config, LAYOUTS[layout])
    program = torch.export.export(network, (x,), dynamic_shapes=(dynamic_shapes(config),))
    modules = [module for module in program.graph_module.modules() if isinstance(module, torch.fx.GraphModule)]
    assert not any("autocast" in str(node.target) for module in modules for node in module.graph.nodes)
    for picture in (x, other_size(x)):
        assert torch.allclose(program.module()(picture), network(picture), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("config", DYNAMO, ids=repr)
def test_onnx_files_of_the_dynamo_exporter_give_the_same_at_any_size(config, tmp_path):
    network, x = trained(config)
    path = tmp_path / "network.onnx"
    torch.onnx.export(network, (x,), path, dynamo=True, dynamic_shapes=(dynamic_shapes(config),), verbose=False)
    for picture in (x, other_size(x)):
        assert onnx_difference(path, network, picture) < 1e-4


@pytest.mark.parametrize("config", EVERY, ids=repr)
def test_onnx_files_of_the_torchscript_exporter_give_the_same_at_any_size(config, tmp_path):
    network, x = trained(config)
    path = tmp_path / "network.onnx"
    names = {0: "batch", 2: "height", 3: "width"}
    axes = {"input": names, "output": names}
    torch.onnx.export(
        network, (x,), path, dynamo=False, input_names=["input"], output_names=["output"], dynamic_axes=axes
    )
    for picture in (x, other_size(x)):
        assert onnx_difference(path, network, picture) < 1e-4


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("config", EVERY_DISCRIMINATOR, ids=repr)
def test_a_gradient_penalty_has_the_gradient_of_finite_differences(config, layout):
    network, x = trained(config, LAYOUTS[layout])
    network.double().train()
    x = x.double().contiguous(memory_format=LAYOUTS[layout])

    def penalty():
        real = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
        (gradient,) = torch.autograd.grad(network(real).square().sum(), real, create_graph=True)
        return gradient.square().sum()

    parameter = next(network.parameters())
    direction = torch.randn_like(parameter)
    (gradient,) = torch.autograd.grad(penalty(), parameter)
    found = (gradient * direction).sum()
    values, step = [], 1e-8  # so small that no leaky ReLU changes its side
    for sign in (1, -1):
        with torch.no_grad():
            parameter.add_(direction, alpha=sign * step)
        values.append(penalty())
        with torch.no_grad():
            parameter.sub_(direction, alpha=sign * step)
    expected = (values[0] - values[1]) / (2 * step)
    assert abs(found - expected) < 1e-3 * abs(expected)


@pytest.mark.parametrize(("batch", "layout"), list(itertools.product((1, 2), LAYOUTS)))
def test_instance_norm_has_the_second_derivatives_of_finite_differences(batch, layout):
    torch.manual_seed(0)
    x, gradient = (
        torch.randn(batch, 2, 3, 2, dtype=torch.float64).contiguous(memory_format=LAYOUTS[layout]).requires_grad_()
        for _ in range(2)
    )
    norm = InstanceNorm2d(2)

    # gradgradcheck copies its inputs as contiguous: the layout is set inside.
    def function(x):
        return norm(x.contiguous(memory_format=LAYOUTS[layout]))

    assert torch.autograd.gradgradcheck(function, (x,), (gradient,))


@pytest.mark.parametrize("batch", [1, 2])
def test_the_norm_of_large_images_has_the_derivatives_of_finite_differences(batch):
    torch.manual_seed(0)
    x = torch.randn(batch, 2, 3, 2, dtype=torch.float64, requires_grad=True)

    def function(x):
        return ChannelsLastNorm.apply(x.contiguous(memory_format=torch.channels_last), 1e-5)

    assert torch.autograd.gradcheck(function, x)
    assert torch.autograd.gradgradcheck(function, x)


def test_a_convolution_by_columns_has_the_second_derivatives_of_finite_differences():
    torch.manual_seed(0)
    convolution = ColumnsConv2d(2, 2, 3).double()
    weight = convolution.weight.detach().clone().requires_grad_()
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(
        lambda x, weight: torch.func.functional_call(convolution, {"weight": weight}, x), (x, weight)
    )
