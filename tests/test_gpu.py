"""Tests on a CUDA GPU: ``pytest -m gpu``. They need only the core dependencies, and are skipped where there is no GPU."""

import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from diptych.checksummed import read_checksummed
from diptych.cli import main
from diptych.config import (
    CutConfig,
    CycleganConfig,
    EngineConfig,
    LengthConfig,
    OutputConfig,
    PatchganConfig,
    Pix2pixConfig,
    ResnetConfig,
    UnetConfig,
)
from diptych.data.encoding import to_network
from diptych.errors import OptionError
from diptych.evaluation.evaluate import evaluate
from diptych.inference.translator import Translator
from diptych.run import Run
from diptych.training.loop import train
from diptych.training.stepper import update
from helpers.runs import SMALL, tiny
from helpers.squares import make_squares
from helpers.states import gradients, noise, state_of

pytestmark = pytest.mark.gpu

DEVICE = "cuda"
WORKER = Path(__file__).with_name("gpu_worker.py")
BOUNDS = {"fp32": 1e-3, "tf32": 0.1, "fp16": 0.1, "bf16": 0.45}
"""Of ‖g − g₃₂‖ / ‖g₃₂‖ over a module's gradient, where g₃₂ is that of the CPU in fp32. bf16 has 8 significant bits, fp16
and TF32 have 11; on a CPU, bf16 differs by 0.29."""
BOUND_OF_CUT = 1e-2
"""The same for CUT in fp32: on a CPU, the order of its sums alone makes 0.002. The temperature of PatchNCE is low."""
METHODS = {
    "cyclegan": {"method": CycleganConfig(lambda_identity=0.5), "generator": ResnetConfig(width=8, num_blocks=2)},
    "pix2pix": {"method": Pix2pixConfig(), "generator": UnetConfig(width=8, num_levels=5, norm="batch")},
    "cut": {
        "method": CutConfig().resolved((3, 3)),
        "generator": ResnetConfig(width=8, num_blocks=6, upsampling="blur"),
    },
}
ENGINES = {
    "plain": {},
    "channels last": {"channels_last": True},
    "default": {"batch_forwards": True, "fused": True},
    "checkpointing": {"activation_checkpointing": True},
    "in two parts": {"accumulate": 2},
    "deterministic": {"deterministic": True},
    "all": {"channels_last": True, "fused": True, "activation_checkpointing": True, "accumulate": 2},
}


def on_gpu(batch):
    return batch.to(DEVICE)


def assert_close(found, expected, *, bound):
    """‖found − expected‖ / ‖expected‖ of the gradient of each module is less than ``bound``."""
    for module in sorted({name.partition(".")[0] for name in expected}):
        names = [name for name in expected if name.startswith(f"{module}.")]
        one, other = (torch.cat([each[name].float().cpu().flatten() for name in names]) for each in (found, expected))
        error = ((one - other).norm() / other.norm()).item()
        assert error < bound, module


@pytest.fixture
def torchs_own_tf32():
    """Convolutions in TF32, as is torch's default: what promises fp32 must turn it off."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize("precision", BOUNDS)
@pytest.mark.parametrize("method", METHODS)
def test_the_gradients_of_an_update_are_those_of_the_cpu(method, precision, torchs_own_tf32):
    if precision == "tf32" and not torch.cuda.is_tf32_supported():
        pytest.skip("this GPU has no TF32")
    real = noise(2)
    expected = gradients(state_of({}, batch_size=2, **METHODS[method]), real)
    engine = {"device": DEVICE, "precision": precision, "batch_forwards": True, "fused": True}
    state = state_of(engine, batch_size=2, **METHODS[method])
    assert state.scaler.is_enabled() == (precision == "fp16")
    if precision == "fp16":
        state.scaler = torch.amp.GradScaler(DEVICE, init_scale=256.0)  # so that the first step does not overflow
    found = gradients(state, real.map(on_gpu))
    assert_close(found, expected, bound=BOUND_OF_CUT if (method, precision) == ("cut", "fp32") else BOUNDS[precision])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("method", METHODS)
def test_every_exact_engine_option_has_the_gradients_of_the_cpu(method, engine):
    real, options = noise(2), dict(ENGINES[engine])
    if method != "cyclegan":  # batch norm sees each micro-batch separately, and CUT draws other positions
        options.pop("accumulate", None)
    expected = gradients(state_of({}, batch_size=2, **METHODS[method]), real)
    state = state_of({"device": DEVICE} | options, batch_size=2, **METHODS[method])
    real = real.map(lambda batch: on_gpu(batch).contiguous(memory_format=state.device.memory_format))
    assert_close(gradients(state, real), expected, bound=BOUND_OF_CUT if method == "cut" else BOUNDS["fp32"])


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_some_updates_lower_the_losses_as_on_the_cpu(precision):
    """The loss of the cycle and of the identity after ten updates on one batch, beside that of the CPU in fp32."""
    real, ends = noise(2), []
    for engine in ({}, {"device": DEVICE, "precision": precision, "batch_forwards": True, "fused": True}):
        state = state_of(engine, batch_size=2, ema=0.9, **METHODS["cyclegan"])
        batch = real.map(lambda images, state=state: images.to(state.device.torch_device))
        losses = [update(state, batch, learning_rate=1e-3) for _ in range(10)]
        sums = [sum(each[name].item() for name in each if name.startswith(("cycle", "identity"))) for each in losses]
        assert sums[-1] < 0.95 * sums[0]
        ends.append(sums[-1])
    assert ends[1] == pytest.approx(ends[0], rel=0.1)


def test_a_batch_in_pinned_memory_arrives_whole():
    batch = torch.randint(0, 256, (16, 3, 256, 256), dtype=torch.uint8)
    for _ in range(20):
        assert torch.equal(to_network(batch.pin_memory(), DEVICE).cpu(), to_network(batch))


@pytest.fixture(scope="session")
def pairs(tmp_path_factory):
    """Pictures of which those of the same name in A and B are pairs."""
    root = make_squares(tmp_path_factory.mktemp("pairs"), train=8)
    for path in (root / "trainB").iterdir():
        path.rename(path.with_name(f"{int(path.stem) - 1000}.png"))
    return root


@pytest.mark.parametrize(
    ("method", "precision"), [("cyclegan", "fp32"), ("cyclegan", "fp16"), ("pix2pix", "bf16"), ("cut", "bf16")]
)
def test_with_deterministic_kernels_a_resumed_run_is_the_same_bit_for_bit(method, precision, pairs, tmp_path):
    networks = METHODS[method] | {"discriminator": PatchganConfig(width=4, num_layers=1)}
    if method == "pix2pix":
        networks["generator"] = replace(networks["generator"], dropout=True)
    config = tiny(
        pairs,
        engine=EngineConfig(device=DEVICE, precision=precision, deterministic=True),
        length=LengthConfig(pictures=16),
        output=OutputConfig(num_samples=2, save_minutes=0, keep_checkpoints=99, score=False),
        **networks,
    )
    whole = train(config, tmp_path / "whole")
    again = train(config, tmp_path / "again")
    for file in again.checkpoint_files():
        if int(file.stem) > 6:
            file.unlink()
    again = train(config, again.folder)
    (expected, numbers), (found, found_numbers) = (
        read_checksummed(run.checkpoint_file(16), "checkpoint") for run in (whole, again)
    )
    assert numbers["numbers"] == found_numbers["numbers"]
    assert expected.keys() == found.keys()
    assert [name for name, value in expected.items() if not torch.equal(found[name], value)] == []


def test_one_rank_of_torchrun_averages_gradients_through_nccl(request):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1"]
    done = subprocess.run([*launcher, str(WORKER), DEVICE], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    largest, backend, flags = done.stdout.strip().splitlines()[-1].split(" ", 2)
    assert (backend, flags) == ("nccl", "(True, False)")
    assert float(largest) == 0


@pytest.mark.parametrize("cuda_graphs", [False, True])
def test_compiled_updates_are_those_of_eager_ones(cuda_graphs):
    """Five updates: with CUDA graphs, the first ones record them and the last ones replay them."""
    if find_spec("triton") is None or not (shutil.which("gcc") or shutil.which("clang")):
        pytest.skip("torch.compile needs triton and a C compiler")
    torch._dynamo.reset()
    engine = {"device": DEVICE, "batch_forwards": True, "fused": True}
    states = [
        state_of(engine | compiled, batch_size=1, ema=0.9, **METHODS["cyclegan"])
        for compiled in ({}, {"compile": True, "cuda_graphs": cuda_graphs})
    ]
    for seed in range(5):
        real = noise(seed=seed).map(on_gpu)
        expected, found = (update(state, real, learning_rate=1e-4) for state in states)
        for name, value in expected.items():
            assert found[name].item() == pytest.approx(value.item(), rel=1e-2), (seed, name)
    assert all(value.isfinite().all() for value in states[1].tensors().values())


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A short run on the GPU with every default."""
    root = make_squares(tmp_path_factory.mktemp("squares"), train=24, test=8)
    folder = tmp_path_factory.mktemp("runs") / "run"
    with pytest.raises(SystemExit) as stop:
        main(["train", "--root", str(root), "--run", str(folder), *SMALL.split(), "--pictures", "200"])
    assert stop.value.code == 0
    return Run(folder)


def test_a_run_chooses_the_gpu_and_its_precision(run):
    engine = run.config().engine
    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    assert (engine.device, engine.precision) == (DEVICE, "bf16" if has_bf16 else "fp32")


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_translations_are_those_of_the_cpu(run, depth, torchs_own_tf32):
    """16-bit pictures are translated in fp32, whatever the precision: TF32 would change some 0.1 % of the range."""
    peak = np.iinfo(depth).max
    picture = np.random.default_rng(0).integers(0, peak, (45, 70, 3), dtype=depth, endpoint=True)
    precision = "auto" if depth is np.uint16 else "fp32"
    found, expected = (
        Translator.load(run.folder, device=device, precision=precision)(picture).astype(int)
        for device in (DEVICE, "cpu")
    )
    assert np.abs(found - expected).max() <= (1 if depth is np.uint8 else 16)


def test_the_command_translates_a_folder(run, tmp_path):
    source = run.config().source.root / "testA"
    with pytest.raises(SystemExit) as stop:
        main(["translate", str(run.folder), str(source), str(tmp_path / "out")])
    assert stop.value.code == 0
    names = sorted(path.name for path in source.iterdir())
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == names
    with Image.open(tmp_path / "out" / names[0]) as picture:
        assert picture.size == (32, 32)


class Colours(nn.Module):
    """A feature network: the mean colours of 4×4 places."""

    input_size = 32

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 8, 3)

    def forward(self, batch):
        return nn.functional.avg_pool2d(self.layer(batch), 7).flatten(1)


def colours():
    torch.manual_seed(0)
    return Colours()


def test_scores_are_those_of_the_cpu(run):
    found, expected = (
        evaluate(run.folder, features=f"{__name__}:colours", device=device).to_json()["directions"]
        for device in (DEVICE, "cpu")
    )
    assert found.keys() == expected.keys()
    for direction, of_gpu in found.items():
        of_cpu = expected[direction]["scores"]
        assert of_gpu["scores"].keys() == of_cpu.keys()
        for key, score in of_gpu["scores"].items():
            assert score["trained"] == pytest.approx(of_cpu[key]["trained"], rel=0.05, abs=1e-3), (direction, key)


def test_the_short_demo_ends_with_its_picture_and_report(tmp_path):
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--short", "--run", str(tmp_path / "demo")])
    assert stop.value.code == 0
    assert (tmp_path / "demo" / "demo.png").is_file()
    assert (tmp_path / "demo" / "report.html").is_file()
    assert Run(tmp_path / "demo").config().engine.device == DEVICE


@pytest.fixture
def little_memory():
    """A quarter of a GiB of the card."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**28) / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def test_a_crop_that_is_too_large_for_the_card_is_one_line_with_a_cure(pairs, tmp_path, little_memory):
    config = tiny(pairs, engine=EngineConfig(device=DEVICE), length=LengthConfig(pictures=2))
    large = replace(config, data=replace(config.data, load_size=1024, crop_size=1024))
    with pytest.raises(
        OptionError, match=r"^out of memory while training \(CUDA out of memory.*give .*smaller --crop-size"
    ):
        train(large, tmp_path / "large")
    assert train(config, tmp_path / "small").model_file.is_file()
