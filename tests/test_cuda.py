"""What concerns GPUs, without one: switches of CUDA, options, copies, MPS. Stand-ins act as a GPU where one is needed."""

import threading
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from diptych.config import CutConfig, EngineConfig, Pix2pixConfig, ResnetConfig, UnetConfig
from diptych.cuda import deterministic_kernels, exact_float32
from diptych.data.encoding import to_network
from diptych.device import Device, describe_engine, resolve_engine
from diptych.errors import OptionError
from diptych.evaluation.features import FeatureNetwork
from diptych.inference.forward import TorchForward
from diptych.methods import supports_parallel
from diptych.monitoring import indicators
from diptych.networks.convolutions import Reflection, ReflectionPad2d
from diptych.pair import Pair
from diptych.presets import paper
from diptych.training.state import State
from diptych.training.stepper import update
from helpers.mps import OnMps
from helpers.processes import run_python
from helpers.states import noise, state_of

cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul


def of_float32():
    """torch's precision of float32 on CUDA: of convolutions by both of its switches, and of matrix products."""
    return cudnn.conv.fp32_precision, cudnn.allow_tf32, matmul.fp32_precision


EXACT = "ieee", False, "ieee"


@pytest.fixture
def precisions():
    """Restores torch's precisions of float32 after the test."""
    before = of_float32()
    yield
    cudnn.allow_tf32 = before[1]
    cudnn.conv.fp32_precision, matmul.fp32_precision = before[0], before[2]


@pytest.mark.parametrize("conv", ["tf32", "ieee", "none"])
@pytest.mark.parametrize("product", ["tf32", "ieee", "none"])
def test_float32_is_exact_inside_and_what_the_user_has_set_outside(conv, product, precisions):
    cudnn.allow_tf32 = conv == "tf32"
    cudnn.conv.fp32_precision, matmul.fp32_precision = conv, product
    with exact_float32():
        with exact_float32():
            assert of_float32() == EXACT
        assert of_float32() == EXACT
        with pytest.raises(KeyError), exact_float32():
            raise KeyError
        assert of_float32() == EXACT
    assert of_float32() == (conv, conv == "tf32", product)


def test_float32_stays_exact_until_the_last_thread_is_outside(precisions):
    cudnn.allow_tf32 = True
    inside, leave = threading.Event(), threading.Event()

    def other():
        with exact_float32():
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    with exact_float32():
        thread.start()
        inside.wait(60)
    assert of_float32() == EXACT
    leave.set()
    thread.join()
    assert of_float32()[:2] == ("tf32", True)


def test_deterministic_kernels_are_on_inside_only():
    def flags():
        fill = torch.utils.deterministic.fill_uninitialized_memory
        return torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark, fill

    before = flags()
    with deterministic_kernels():
        assert flags() == (True, True, False, False)
    assert flags() == before == (False, False, False, True)


CUDA = EngineConfig(device="cuda", precision="fp32", channels_last=False)


@pytest.mark.parametrize(
    ("precision", "full_precision", "is_exact"),
    [("fp32", False, True), ("bf16", False, True), ("fp16", False, True), ("tf32", False, False), ("tf32", True, True)],
)
def test_on_cuda_float32_is_exact_unless_tf32_is_asked_for(precision, full_precision, is_exact, precisions):
    cudnn.allow_tf32 = True
    device = Device(replace(CUDA, precision=precision))
    assert device.dtype == {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    with device.kernels(full_precision=full_precision):
        assert of_float32()[:2] == (EXACT[:2] if is_exact else ("tf32", True))
        assert not torch.are_deterministic_algorithms_enabled()
    with Device(replace(CUDA, deterministic=True)).kernels():
        assert torch.are_deterministic_algorithms_enabled()


def test_the_paper_is_in_fp32():
    assert paper(Pix2pixConfig()).engine.precision == "fp32"


class Watched(Device):
    """A CPU that records whether it is inside of ``kernels``."""

    def __init__(self, config):
        super().__init__(config)
        self.inside = []

    @contextmanager
    def kernels(self, *, full_precision=False):
        self.inside.append(full_precision)
        yield
        self.inside.pop()


def test_forward_and_backward_passes_and_steps_are_inside_of_the_kernels_of_the_device():
    state, seen = state_of({}, width=2), []
    state.device = device = Watched(state.config.engine)

    def look(*_):
        seen.append(list(device.inside))

    for name, module in state.modules.items():
        state.optimisers[name].register_step_pre_hook(look)
        for parameter in module.parameters():
            parameter.register_hook(look)
        module.register_forward_pre_hook(look)
        for network in module.children():
            network.register_forward_pre_hook(look)
    update(state, noise(), learning_rate=0.0)
    assert len(seen) > 50
    assert all(inside == [False] for inside in seen)


@pytest.mark.parametrize("full_precision", [True, False])
def test_translations_are_inside_of_the_kernels_of_the_device(full_precision):
    device, seen = Watched(state_of({}, width=2).config.engine), []
    network = nn.Conv2d(3, 3, 1)
    network.register_forward_pre_hook(lambda *_: seen.append(list(device.inside)))
    TorchForward(network, device, full_precision=full_precision)(noise().a)
    assert seen == [[full_precision]]


def test_a_network_without_a_device_and_a_feature_network_compute_in_exact_float32(precisions):
    cudnn.allow_tf32, seen = True, []

    def network(batch):
        seen.append(of_float32())
        return batch.mean((2, 3))

    class Network(nn.Module):
        def forward(self, batch):
            return network(batch)

    TorchForward(Network())(noise().a)
    FeatureNetwork("mean", network, 8, None)([np.zeros((8, 8, 3), np.uint8)])
    assert seen == [EXACT, EXACT]


@pytest.fixture
def on_cuda(monkeypatch):
    """As if torch had found a GPU with bf16."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr(torch.cuda, "is_tf32_supported", lambda: True)


def test_the_defaults_on_cuda_are_those_that_are_not_measured_to_be_slower(on_cuda):
    engine = resolve_engine(EngineConfig())
    assert engine == EngineConfig(device="cuda", precision="bf16", channels_last=False)
    assert describe_engine(engine) == "bf16 on cuda"
    assert resolve_engine(EngineConfig(precision="tf32")).precision == "tf32"
    graphs = EngineConfig(compile=True, cuda_graphs=True, deterministic=True, channels_last=True)
    assert (
        describe_engine(resolve_engine(graphs)) == "bf16 on cuda, compiled, CUDA graphs, deterministic, channels last"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cuda_graphs": True}, "--cuda-graphs needs --compile: add --compile, or leave --cuda-graphs out"),
        (
            {"cuda_graphs": True, "compile": True, "activation_checkpointing": True},
            "--cuda-graphs and --activation-checkpointing cannot be combined: leave one of them out",
        ),
        (
            {"device": "cpu", "cuda_graphs": True, "compile": True},
            "--cuda-graphs is for CUDA and has no effect on cpu: leave it out",
        ),
        (
            {"device": "cpu", "deterministic": True},
            "--deterministic is for CUDA and has no effect on cpu: leave it out",
        ),
        (
            {"device": "cpu", "precision": "tf32"},
            "tf32 needs an NVIDIA GPU of the year 2020 or newer (Ampere): give bf16 or fp32",
        ),
        ({"device": "cpu", "precision": "fp16"}, "fp16 needs CUDA, and the device is cpu: give bf16 or fp32"),
    ],
)
def test_options_without_effect_are_refused_with_a_cure(options, message, on_cuda):
    with pytest.raises(OptionError) as error:
        resolve_engine(EngineConfig(**options))
    assert str(error.value) == message


def test_tf32_is_refused_on_a_gpu_that_has_none(on_cuda, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_tf32_supported", lambda: False)
    with pytest.raises(OptionError, match="^tf32 needs an NVIDIA GPU"):
        resolve_engine(EngineConfig(device="cuda", precision="tf32"))


@pytest.mark.parametrize("cuda_graphs", [True, False])
def test_cuda_graphs_are_torch_compiles_mode_for_them_and_each_update_begins_a_new_step(cuda_graphs, monkeypatch):
    modes, steps = [], []
    monkeypatch.setattr(nn.Module, "compile", lambda self, mode: modes.append(mode))
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: steps.append("step"))
    config = state_of({}, width=2).config
    state = State(replace(config, engine=replace(config.engine, compile=True, cuda_graphs=cuda_graphs)))
    for _ in range(2):
        update(state, noise(), learning_rate=0.0)
    assert modes == ["reduce-overhead" if cuda_graphs else None] * 4
    assert steps == ["step", "step"] * cuda_graphs


class Host(torch.Tensor):
    """A batch that records how it is copied, and that is in pinned memory or not."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func is torch.Tensor.is_pinned:
            return args[0].pinned
        if func is torch.Tensor.to and "non_blocking" in (kwargs or {}):
            args[0].copies.append(kwargs["non_blocking"])
        return super().__torch_function__(func, types, args, kwargs or {}).as_subclass(torch.Tensor)


@pytest.mark.parametrize("pinned", [True, False])
def test_only_a_copy_from_pinned_memory_is_asynchronous(pinned):
    batch = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8).as_subclass(Host)
    batch.pinned, batch.copies = pinned, []
    assert torch.equal(to_network(batch), torch.ones(1, 3, 2, 2))
    assert batch.copies == [pinned]


@pytest.mark.parametrize("padding", [1, 3, (2, 0, 1, 3)])
@pytest.mark.parametrize("size", [(4, 4), (5, 9)])
def test_the_deterministic_reflection_has_the_values_and_both_gradients_of_torchs(padding, size):
    layer = ReflectionPad2d(padding)
    x = torch.randn(2, 1, *size, dtype=torch.float64, requires_grad=True)
    assert torch.equal(Reflection.apply(x, layer.padding), F.pad(x, layer.padding, mode="reflect"))
    assert torch.autograd.gradcheck(lambda x: Reflection.apply(x, layer.padding), x)
    assert torch.autograd.gradgradcheck(lambda x: Reflection.apply(x, layer.padding), x)


METHODS = {
    "cyclegan": {"generator": ResnetConfig(width=2, num_blocks=1)},
    "pix2pix": {"method": Pix2pixConfig(), "generator": UnetConfig(width=2, num_levels=5, norm="batch", dropout=True)},
    "cut": {
        "method": CutConfig().resolved((3, 3)),
        "generator": ResnetConfig(width=2, num_blocks=6, upsampling="blur"),
    },
}


@pytest.mark.parametrize("engine", [{}, {"channels_last": True}, {"activation_checkpointing": True}, {"accumulate": 2}])
@pytest.mark.parametrize("method", METHODS)
def test_an_update_stays_on_a_device_that_is_not_the_cpu(method, engine, monkeypatch):
    """The meta device stands in for a GPU: it takes the same branches of the networks, and computes nothing."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # unknown on meta
    config = state_of({"batch_forwards": True}, batch_size=2, ema=0.9, **METHODS[method]).config
    state = State(replace(config, engine=replace(config.engine, device="meta", **engine)))
    logged = update(state, Pair(*(torch.zeros(2, 3, 64, 64, device="meta") for _ in "ab")), learning_rate=1e-3)
    assert {loss.device.type for loss in logged.values()} == {"meta"}
    where = {tensor.device.type for name, tensor in state.tensors().items() if not name.endswith(".step")}
    assert where == {"meta"}
    assert state.pictures == 2


def test_float64_is_an_error_on_the_stand_in_for_mps():
    x = torch.ones(2).as_subclass(OnMps)
    assert type(x * 2) is OnMps
    assert x.cpu().double().dtype == x.to("cpu").double().dtype == torch.float64
    for convert in (torch.Tensor.double, lambda x: x.to(torch.float64), lambda x: torch.add(x, torch.ones(2).double())):
        with pytest.raises(TypeError, match="MPS framework doesn't support float64"):
            convert(x)


def test_features_are_computed_on_a_device_without_float64():
    network = FeatureNetwork("mean", lambda batch: batch.as_subclass(OnMps).mean((2, 3)), 8, None)
    features = network([np.full((8, 8, 3), 51, np.uint8)])
    assert features.dtype == np.float64
    assert features == pytest.approx(np.full((1, 3), 0.2), abs=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_an_update_and_its_indicators_need_no_float64(method):
    state = state_of({"batch_forwards": True}, batch_size=2, ema=0.9, **METHODS[method])
    logged = update(state, noise(2).map(lambda batch: batch.as_subclass(OnMps)), learning_rate=1e-3)
    assert {type(loss) for name, loss in logged.items() if not name.startswith("gradient.")} == {OnMps}
    state.meters.add(logged, 2)
    assert state.meters.means()["gradient.generators"] > 0
    pictures = torch.rand(4, 3, 32, 32).as_subclass(OnMps)
    assert len(indicators.of_translations(pictures, pictures.flip(1), pictures, lambda y: y)) == 6


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_on_mps_uses_what_torch_has_there(precision):
    device = Device(EngineConfig(device="mps", precision=precision, channels_last=False))
    with device.autocast(), device.kernels():
        assert torch.is_autocast_enabled("mps") == (precision == "bf16")
    assert not torch.amp.GradScaler("mps", enabled=False).is_enabled()
    assert not supports_parallel(device.config, [])


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_the_benchmark_says_in_one_line_that_there_is_no_gpu(request):
    done = run_python([request.path.parents[1] / "benchmarks" / "gpu.py"])
    message = "benchmarks/gpu.py: torch finds no GPU for CUDA on this machine: run it on one that has it\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)
