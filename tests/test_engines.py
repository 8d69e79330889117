"""Engines of inference: OpenVINO and onnxruntime give what torch gives, within the bounds that the docs state."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from diptych.cli import main
from diptych.config import ResnetConfig, UnetConfig
from diptych.device import resolve_precision
from diptych.errors import MissingExtraError, OptionError
from diptych.inference import engine_choice, engines
from diptych.inference.engine_choice import fastest_engine
from diptych.inference.folder import translate_files
from diptych.inference.outputs import plan_outputs
from diptych.inference.translator import Translator
from helpers.models import save_random_model

BOUND = 1e-4
"""Of an output in [-1, 1], in fp32."""
BF16_MEAN = 0.02
"""Of the mean difference in bf16."""
GENERATORS = [
    ResnetConfig(width=8, num_blocks=2),
    ResnetConfig(width=4, num_blocks=1, norm="batch", upsampling="blur", antialias=True),
    UnetConfig(width=4, num_levels=5, norm="instance"),
]
RNG = np.random.default_rng(0)


def noise(width, height, *rest, dtype=np.uint8):
    return RNG.integers(0, np.iinfo(dtype).max + 1, (height, width, *rest), dtype=dtype)


@pytest.fixture(scope="module", params=GENERATORS, ids=["resnet", "antialiased", "unet"])
def model(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    return save_random_model(path, generator=request.param, channels=(3, 1), seen=True)


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "directions"), [("openvino", ["a2b", "b2a"]), ("onnxruntime", ["a2b"])])
def test_an_engine_gives_what_torch_gives_at_any_size_and_depth(model, engine, directions):
    for direction in directions:
        torch_way, other = Translator.load(model, direction), Translator.load(model, direction, engine=engine)
        for shape in ((1, 64, 64), (3, 96, 32), (2, 32, 160)):
            batch = torch.rand(shape[0], torch_way.channels_in, *shape[1:]) * 2 - 1
            assert (other.forward(batch) - torch_way.forward(batch)).abs().max() < BOUND
        for dtype, step in ((np.uint8, 1), (np.uint16, 4)):
            image = noise(45, 37, torch_way.channels_in, dtype=dtype)
            difference = np.abs(other(image).astype(int) - torch_way(image))
            assert difference.max() <= step
            assert (difference > 0).mean() < (0.019 if dtype == np.uint8 else 1)


def test_openvino_in_bf16_is_as_near_to_fp32_as_torch_is(model):
    exact, batch = Translator.load(model), torch.rand(2, 3, 64, 96) * 2 - 1
    expected = exact.forward(batch)
    errors = []
    for engine in ("torch", "openvino"):
        translator = Translator.load(model, engine=engine, precision="bf16")
        errors.append((translator.forward(batch) - expected).abs().mean())
        in_fp32 = Translator.load(model, engine=engine).forward(batch)  # perhaps in another memory format
        torch.testing.assert_close(translator.full_precision(batch), in_fp32, rtol=0, atol=1e-5)
    assert errors[1] < BF16_MEAN
    assert errors[1] <= 1.5 * errors[0] + 1e-6


def test_threads_share_an_engine(tmp_path):
    translator = Translator.load(save_random_model(tmp_path / "m.safetensors"), engine="openvino")
    images = [noise(32 + 4 * index, 40, 3) for index in range(8)]
    expected = [translator(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(pool.map(translator, images), expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_folder_and_tiles_work_with_an_engine(tmp_path):
    model, expected = save_random_model(tmp_path / "m.safetensors"), {}
    (tmp_path / "in").mkdir()
    for index in range(12):
        Image.fromarray(noise(40, 32 + 8 * (index % 2), 3)).save(tmp_path / "in" / f"{index}.png")
    for name, options in (
        ("torch", {}),
        ("openvino", {"engine": "openvino"}),
        ("tiles", {"engine": "openvino", "tile": 64}),
    ):
        pairs = plan_outputs(tmp_path / "in", tmp_path / name)
        assert translate_files(Translator.load(model, **options), pairs).num_translated == 12
        for _, target in pairs:
            values = np.asarray(Image.open(target)).astype(int)
            assert np.abs(values - expected.setdefault(target.name, values)).max() <= 1


# -- which engine


class Slow:
    """A forward that takes a number of seconds, and counts its calls."""

    def __init__(self, seconds):
        self.seconds, self.calls = seconds, 0

    def __call__(self, batch):
        import time

        self.calls += 1
        time.sleep(self.seconds)
        return batch


def test_auto_takes_the_fastest_measures_once_and_forgets_if_something_changed(tmp_path):
    file, generator = tmp_path / "cache" / "engines.json", ResnetConfig(width=4, num_blocks=1)

    def choose(precision="fp32", **seconds):
        forwards = {name: Slow(value) for name, value in seconds.items()}
        chosen = fastest_engine(generator, 3, precision, forwards, file)
        return chosen, sum(forward.calls for forward in forwards.values())

    assert choose(torch=0.05, openvino=0.001)[0] == "openvino"
    assert choose(torch=0.001, openvino=0.05) == ("openvino", 0)  # remembered
    assert choose("bf16", torch=0.001, openvino=0.05)[0] == "torch"
    assert choose(torch=0.001, openvino=0.05, onnxruntime=0.05)[0] == "torch"  # another one was installed
    assert choose(torch=1) == ("torch", 0)  # no choice
    file.write_text("damaged")
    assert choose(torch=0.001, openvino=0.05)[0] == "torch"
    assert len(json.loads(file.read_text())) == 1


def test_auto_measures_in_the_users_cache_folder_and_not_in_the_run(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(engine_choice, "SIDE", 32)
    model = save_random_model(tmp_path / "m.safetensors")
    translator, image = Translator.load(model, engine="auto"), noise(32, 32, 3)
    assert np.abs(translator(image).astype(int) - Translator.load(model)(image)).max() <= 1
    assert list((tmp_path / "cache").rglob("*.json")) == [tmp_path / "cache" / "diptych" / "engines.json"]


def test_an_engine_that_is_not_installed_and_what_it_cannot_do_are_one_line(tmp_path, monkeypatch):
    model = save_random_model(tmp_path / "m.safetensors")
    with pytest.raises(OptionError, match="onnxruntime does not compute in bf16 on a CPU: give --precision fp32"):
        Translator.load(model, engine="onnxruntime", precision="bf16")
    with pytest.raises(OptionError, match="openvino computes on the CPU, not on cuda: give --device cpu"):
        Translator.load(model, engine="openvino", device="cuda")
    monkeypatch.setattr(engines, "find_spec", lambda name: None if name == "openvino" else name)
    with pytest.raises(MissingExtraError, match=r"--engine openvino needs: pip install 'diptych\[openvino\]'"):
        Translator.load(model, engine="openvino")


def test_the_command_line_takes_an_engine_and_does_not_mix_it_with_another(tmp_path, capsys):
    model = save_random_model(tmp_path / "m.safetensors")
    (tmp_path / "in").mkdir()
    Image.fromarray(noise(32, 32, 3)).save(tmp_path / "in" / "x.png")
    words = [str(tmp_path / name) for name in ("m.safetensors", "in", "out")]
    for options, code in ((["--engine", "openvino"], 0), ([], 2)):
        with pytest.raises(SystemExit) as stop:
            main(["translate", *words, *options])
        assert stop.value.code == code
    assert "holds translations with --engine openvino, not --engine torch" in capsys.readouterr().err
    expected = Translator.load(model, engine="openvino", precision=resolve_precision("auto", "cpu"))
    made = np.asarray(Image.open(tmp_path / "out" / "x.png"))
    np.testing.assert_array_equal(made, expected(np.asarray(Image.open(tmp_path / "in" / "x.png"))))
