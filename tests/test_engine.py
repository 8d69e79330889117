"""Every engine option computes the same as the default execution; in float64, compared with the authors' numbers."""

import itertools
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from diptych.checksummed import read_checksummed
from diptych.config import (
    CycleganConfig,
    EngineConfig,
    LengthConfig,
    OptimiserConfig,
    OutputConfig,
    PatchganConfig,
    Pix2pixConfig,
    ResnetConfig,
    UnetConfig,
)
from diptych.device import resolve_engine
from diptych.errors import OptionError
from diptych.monitoring.progress import Silent
from diptych.networks.convolutions import ColumnsConv2d, ReflectionPad2d
from diptych.networks.norms import InstanceNorm2d
from diptych.pair import Pair
from diptych.run import Run
from diptych.training.checkpoint import gather_rank_states, restore, save_checkpoint
from diptych.training.loop import train
from diptych.training.stepper import update
from helpers.reference import CYCLEGAN_LOSSES, CYCLEGAN_NETWORKS, INDEX, REFERENCE, picture
from helpers.runs import TINY, records_of, tiny
from helpers.states import gradients, noise, state_of

EXACT = {
    "plain": {},
    "channels last": {"channels_last": True},
    "merged passes": {"batch_forwards": True},
    "directions at once": {"batch_forwards": True, "parallel_directions": True},
    "fused": {"fused": True},
    "low memory": {"activation_checkpointing": True},
    "in two parts": {"accumulate": 2},
    "all": {
        "channels_last": True,
        "batch_forwards": True,
        "fused": True,
        "activation_checkpointing": True,
        "accumulate": 2,
    },
    "compiled": {"compile": True},
    "all, compiled": {"compile": True, "batch_forwards": True, "fused": True, "channels_last": True},
}


EAGER = [name for name in EXACT if not EXACT[name].get("compile")]
WHOLE = [name for name in EAGER if not EXACT[name].get("accumulate")]  # batch norm sees each micro-batch separately
TRAJECTORIES = [
    *((name, choice) for name in ("cyclegan_paper", "cyclegan_no_identity_vanilla_batch2") for choice in EAGER),
    ("cyclegan_paper", "compiled"),  # compiling takes a minute, so each compiled choice follows one trajectory
    ("cyclegan_no_identity_vanilla_batch2", "all, compiled"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "choice"), TRAJECTORIES)
def test_every_exact_engine_option_trains_as_the_authors_do(name, choice, two_cores):
    if EXACT[choice].get("compile") and not shutil.which("g++"):
        pytest.fail("g++ is missing: install it")
    entry, stored = INDEX[name], load_file(REFERENCE / INDEX[name]["file"])
    options = entry["options"]
    state = state_of(
        EXACT[choice],
        method=CycleganConfig(
            gan_loss={"lsgan": "least-squares"}.get(options["gan_mode"], options["gan_mode"]),
            lambda_a=options["lambda_A"],
            lambda_b=options["lambda_B"],
            lambda_identity=options["lambda_identity"],
            pool_size=0,
        ),
        generator=ResnetConfig(width=options["ngf"], num_blocks=6),
        discriminator=PatchganConfig(width=options["ndf"]),
        batch_size=len(stored["real_A"][0]),
    )
    assert (state.execution.parallel is not None) == (EXACT[choice].get("parallel_directions") is True)
    modules = nn.ModuleDict(state.modules).double()
    for theirs, ours in CYCLEGAN_NETWORKS.items():
        for key, value in modules.get_submodule(ours).state_dict().items():
            value.copy_(stored[f"initial.{theirs}.{key}"])
    for step, expected in enumerate(entry["losses"]):
        real = Pair(*(picture(stored[f"real_{domain}"][step], torch.float64) for domain in "AB"))
        real = real.map(lambda values: values.contiguous(memory_format=state.device.memory_format))
        logged = {key: value.item() for key, value in update(state, real, learning_rate=options["lr"]).items()}
        found = {theirs: logged.get(ours, 0.0) for theirs, ours in CYCLEGAN_LOSSES.items()}
        assert found == pytest.approx(expected, rel=1e-6)
    for theirs, ours in CYCLEGAN_NETWORKS.items():
        for key, value in modules.get_submodule(ours).state_dict().items():
            assert (value - stored[f"final.{theirs}.{key}"]).abs().max() < 1e-6, (theirs, key)


@pytest.mark.parametrize(
    ("norm", "choice"), [("instance", name) for name in EAGER] + [("batch", name) for name in WHOLE]
)
def test_pix2pix_has_the_same_gradients_with_every_exact_engine_option(norm, choice):
    dropout = "accumulate" not in EXACT[choice]  # each micro-batch draws its own
    networks = {
        "method": Pix2pixConfig(),
        "generator": UnetConfig(width=4, num_levels=5, norm=norm, dropout=dropout),
        "discriminator": PatchganConfig(width=4, norm=norm),
    }
    plain, other = (state_of(engine, batch_size=2, **networks) for engine in ({}, EXACT[choice]))
    for state in (plain, other):
        nn.ModuleDict(state.modules).double()
    expected, found = (gradients(state, noise(2, dtype=torch.float64)) for state in (plain, other))
    for name, value in expected.items():
        assert torch.allclose(found[name], value, rtol=1e-9, atol=1e-12), name
    running = {name: value for name, value in plain.method.generators.state_dict().items() if "running" in name}
    for name, value in other.method.generators.state_dict().items():
        if name in running:
            assert torch.allclose(value, running[name]), name


RELATIVE_ERROR_BF16 = 0.45
"""Bound of ‖g − g₃₂‖ / ‖g₃₂‖ over a module's gradient; 0.29 was found for the generators, 0.03 for discriminators."""


@pytest.mark.parametrize(
    "engine",
    [
        {},
        {"batch_forwards": True, "fused": True},
        {"batch_forwards": True, "parallel_directions": True},
        {"channels_last": True},
        {"activation_checkpointing": True},
    ],
)
def test_gradients_in_bf16_differ_from_those_in_fp32_by_less_than_half(engine, two_cores):
    real = noise()
    exact, rounded = (gradients(state_of(choice, width=16), real) for choice in ({}, engine | {"precision": "bf16"}))
    for module in ("generators", "discriminators"):
        one, other = (
            torch.cat([g.flatten() for name, g in found.items() if name.startswith(module)])
            for found in (exact, rounded)
        )
        assert 0 < (one - other).norm() / one.norm() < RELATIVE_ERROR_BF16


LAYOUT_NAMES = {"first": torch.contiguous_format, "last": torch.channels_last}
LAYOUTS = list(itertools.product([1, 2], itertools.product(LAYOUT_NAMES, repeat=2)))
SIZES = [(6, 7), (65, 64)]
"""With few pixels, and with so many that channels-last tensors are normed in another way."""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("batch", "layouts"), LAYOUTS)
def test_the_gradient_of_instance_norm_is_its_closed_form_in_every_layout(batch, layouts, size):
    draw = torch.Generator().manual_seed(0)
    x, gradient = (
        torch.randn(batch, 5, *size, generator=draw).contiguous(memory_format=LAYOUT_NAMES[layout])
        for layout in layouts
    )
    x.requires_grad_()
    InstanceNorm2d(5)(x).backward(gradient)
    exact, g = x.detach().double(), gradient.double()
    deviation = (exact.var((2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
    y = (exact - exact.mean((2, 3), keepdim=True)) / deviation
    expected = (g - g.mean((2, 3), keepdim=True) - y * (g * y).mean((2, 3), keepdim=True)) / deviation
    assert (x.grad - expected).abs().max() < 1e-5


@pytest.mark.parametrize("layout", LAYOUT_NAMES)
@pytest.mark.parametrize(("dtype", "side", "limit"), [(torch.float32, 512, 1e-6), (torch.bfloat16, 300, 4e-3)])
def test_instance_norm_of_a_large_image_has_the_precision_of_its_dtype(layout, dtype, side, limit):
    x = torch.randn(1, 4, side, side, generator=torch.Generator().manual_seed(0)).relu().to(dtype)
    x = x.contiguous(memory_format=LAYOUT_NAMES[layout])
    expected = nn.functional.instance_norm(x.double())
    assert (InstanceNorm2d(4)(x) - expected).norm() < limit * expected.norm()


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("side", [9, 300])  # batch norm, and what takes its place for more pixels
def test_channels_last_instance_norm_in_bf16_is_that_of_contiguous_tensors(batch, side):
    draw = torch.Generator().manual_seed(0)
    x, gradient = (torch.randn(batch, 5, side, side + 1, generator=draw).bfloat16() for _ in range(2))
    found = []
    for layout in LAYOUT_NAMES.values():
        given = x.contiguous(memory_format=layout).detach().requires_grad_()
        made = InstanceNorm2d(5)(given)
        made.backward(gradient.contiguous(memory_format=layout))
        assert made.dtype == given.grad.dtype == torch.bfloat16
        found.append((made.detach().float(), given.grad.float()))
    for one, other in zip(*found, strict=True):
        assert (one - other).norm() < 8e-3 * one.norm()


def test_fused_adam_resumes_as_unfused_adam_does(tmp_path):
    run = Run(tmp_path)
    run.create()
    begun = state_of({"fused": True, "channels_last": True})
    update(begun, noise(), learning_rate=2e-4)
    save_checkpoint(run, begun, gather_rank_states(begun))
    states = [state_of({"fused": fused, "channels_last": True}) for fused in (False, True)]
    for state in states:
        restore(run.checkpoint_files()[-1], state)
        torch.manual_seed(0)
        for name, module in state.modules.items():
            for parameter in module.parameters():
                parameter.grad = torch.empty_like(parameter).copy_(torch.randn(parameter.shape))
            state.optimisers[name].step()
    plain, fused = (state.tensors() for state in states)
    for name, value in plain.items():
        assert torch.allclose(value, fused[name], atol=1e-7), name


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_by_columns_is_the_convolution(bias, layout):
    torch.manual_seed(0)
    ours = ColumnsConv2d(5, 3, 7, bias=bias).double()
    theirs = nn.Conv2d(5, 3, 7, bias=bias).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 5, 12, 11, dtype=torch.float64).contiguous(memory_format=layout)
    results = []
    for convolution in (ours, theirs):
        given = x.clone().requires_grad_()
        made = convolution(given)
        (made**2).sum().backward()
        results.append([made, given.grad, *(p.grad for p in convolution.parameters())])
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-10)


def test_reflection_keeps_bf16_as_it_is():
    x = torch.randn(1, 2, 5, 5).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        padded = ReflectionPad2d(2)(x)
    assert padded.dtype == torch.bfloat16
    assert torch.equal(padded, nn.functional.pad(x, (2, 2, 2, 2), mode="reflect"))


@pytest.mark.parametrize(("size", "pad"), [((8, 5), 1), ((7, 4), 3), ((2, 9), 1)])
@pytest.mark.parametrize("layouts", list(itertools.product(LAYOUT_NAMES, repeat=2)))
@pytest.mark.parametrize("batch", [1, 2])
def test_the_gradient_of_reflection_padding_is_torchs(size, pad, layouts, batch):
    given, gradient_format = (LAYOUT_NAMES[name] for name in layouts)
    torch.manual_seed(0)
    x = torch.randn(batch, 3, *size, dtype=torch.float64).contiguous(memory_format=given)
    padded = nn.functional.pad(x, (pad,) * 4, mode="reflect")
    gradient = torch.randn_like(padded).contiguous(memory_format=gradient_format)
    found = []
    for module in (ReflectionPad2d(pad), nn.ReflectionPad2d(pad)):
        real = x.clone().requires_grad_()
        made = module(real)
        assert torch.equal(made, padded)
        made.backward(gradient)
        found.append(real.grad)
    assert torch.allclose(*found, rtol=1e-12)
    assert torch.autograd.gradgradcheck(ReflectionPad2d(pad), x.requires_grad_())


def test_activation_checkpointing_updates_running_statistics_once():
    networks = {"generator": ResnetConfig(width=4, num_blocks=1, norm="batch")}
    plain, other = (state_of(engine, batch_size=2, **networks) for engine in ({}, {"activation_checkpointing": True}))
    for state in (plain, other):
        update(state, noise(2), learning_rate=0.0)
    for name, value in plain.method.generators.state_dict().items():
        assert torch.allclose(value, other.method.generators.state_dict()[name], atol=1e-6), name


class Told(Silent):
    def __init__(self):
        self.notes = []

    def note(self, message):
        self.notes.append(message)


@pytest.mark.slow
def test_a_compiled_run_resumes_bit_by_bit_and_has_the_losses_of_an_eager_one(squares, tmp_path):
    torch._dynamo.reset()
    told = Told()
    config = tiny(
        squares,
        engine=EngineConfig(device="cpu", precision="fp32", compile=True),
        optimiser=OptimiserConfig(batch_size=2, learning_rate=2e-4, ema=0.0),
        length=LengthConfig(pictures=8),
        output=OutputConfig(num_samples=2, save_minutes=0, keep_checkpoints=9, score=False),
    )
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        whole = train(config, tmp_path / "run", display=told)
        expected, _ = read_checksummed(whole.checkpoint_file(8), "checkpoint")
        whole.checkpoint_file(8).unlink()
        whole.checkpoint_file(6).unlink()
        torch._dynamo.reset()  # as another process begins
        found, _ = read_checksummed(train(config, whole.folder).checkpoint_file(8), "checkpoint")
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    eager = train(replace(config, engine=replace(config.engine, compile=False)), tmp_path / "eager")
    (one,), (other,) = (records_of(run) for run in (whole, eager))
    assert one["losses"] == pytest.approx(other["losses"], rel=1e-4)
    assert any(note.startswith("compiled in ") for note in told.notes)


@pytest.mark.parametrize(
    ("engine", "data", "message"),
    [
        ({"accumulate": 3}, {}, "a batch of 2 cannot be split into 3 micro-batches: give a larger --batch-size"),
        ({"compile": True}, {"crop_size": 0, "resize": "none"}, "without a crop, --compile would compile again"),
    ],
)
def test_impossible_engine_options_are_refused_with_a_cure(squares, tmp_path, engine, data, message):
    data = replace(TINY.data, **data)
    with pytest.raises(OptionError, match=message):
        train(tiny(squares, engine=EngineConfig(device="cpu", **engine), data=data), tmp_path / "run")


def test_an_unknown_device_is_refused():
    with pytest.raises(OptionError, match="no gpu device that torch can use: give one of"):
        resolve_engine(EngineConfig(device="gpu"))
