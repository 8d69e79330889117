"""``diptych export --int8``: quantised by onnxruntime, measured against fp32 before it is written."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from diptych import Translator
from diptych.config import LengthConfig, OutputConfig, ResnetConfig
from diptych.errors import OptionError, WeightsError
from diptych.evaluation.metrics import mean_psnr
from diptych.export import export, int8
from diptych.export.export import export_model
from diptych.training.loop import train
from helpers.models import save_random_model
from helpers.runs import tiny


@pytest.fixture(scope="module")
def run(squares, tmp_path_factory):
    config = tiny(
        squares,
        generator=ResnetConfig(width=8, num_blocks=1, upsampling="nearest", residual=True),
        length=LengthConfig(pictures=8),
        output=OutputConfig(num_samples=1, score=False),
    )
    return train(config, tmp_path_factory.mktemp("int8") / "run")


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"raw": True}], ids=["8 bits", "raw"])
def test_convolutions_are_int8_and_outputs_are_as_near_as_it_says(run, options, tmp_path, monkeypatch):
    monkeypatch.setattr(int8, "_speedup", lambda *_: 1.5)  # a network this small gains nothing
    file = tmp_path / "paint.onnx"
    done = export_model(run.folder, file, int8=True, **options)
    graph = onnx.load(file).graph
    stored = {tensor.name: tensor.data_type for tensor in graph.initializer}
    assert sum(kind == onnx.TensorProto.INT8 for kind in stored.values()) >= 5
    scales = [node for node in graph.node if node.op_type == "DequantizeLinear" and node.attribute]
    assert any(attribute.name == "axis" for node in scales for attribute in node.attribute)  # per channel
    whole, small = Translator.load(run.folder), Translator.load(file)
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (40, 36, 3), dtype=np.uint8) for _ in range(4)]
    found = [np.asarray(small(picture)) for picture in pictures]
    expected = [np.asarray(whole(picture)) for picture in pictures]
    assert 20 < mean_psnr(found, expected) < 100
    assert done.quantised.psnr > 35


def test_a_file_that_costs_too_much_or_is_not_faster_is_refused():
    int8.Quantised(b"", 35.0, True, 1.1).refuse(Path("p.onnx"), 35)
    with pytest.raises(
        WeightsError, match="int8 is 34.9 dB from fp32, less than 35 dB: leave --int8 out, or give --min-psnr 34"
    ):
        int8.Quantised(b"", 34.9, True, 2.0).refuse(Path("p.onnx"), 35)
    with pytest.raises(WeightsError, match="int8 is 0.80 times as fast as fp32 on this machine: leave --int8 out"):
        int8.Quantised(b"", 50.0, True, 0.8).refuse(Path("p.onnx"), 35)


@pytest.mark.slow
def test_a_refused_file_is_not_written(run, tmp_path):
    with pytest.raises(WeightsError, match="less than 99 dB"):
        export_model(run.folder, tmp_path / "paint.onnx", int8=True, min_psnr=99)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("held_out", "words"), [(True, "on held-out pictures;"), (False, "on training pictures, since")]
)
def test_it_says_which_pictures_its_psnr_is_of(held_out, words):
    assert words in str(int8.Quantised(b"", 40.0, held_out, 2.0))


def test_options_that_do_not_fit(run, tmp_path):
    model = save_random_model(tmp_path / "m.safetensors")
    for path, source, options, words in (
        ("p.onnx", run.folder, {"int8": True, "fp16": True}, "--fp16 and --int8 are given"),
        ("p.xml", run.folder, {"int8": True}, "p.xml is no ONNX file"),
        ("p.onnx", run.folder, {"min_psnr": 30.0}, "--min-psnr is given without --int8"),
        ("p.onnx", model, {"int8": True}, "is no run, and --int8 is calibrated on its pictures"),
    ):
        with pytest.raises(OptionError, match=words):
            export_model(source, tmp_path / path, **options)
    assert export.MIN_PSNR == 35
