"""Files of ``diptych export`` as models: they translate as the run does, by each engine that computes them."""

import numpy as np
import pytest
from PIL import Image

from diptych.cli import main
from diptych.errors import MissingExtraError, OptionError, PictureError, RunError, WeightsError
from diptych.evaluation.evaluate import evaluate
from diptych.export.export import export_model
from diptych.inference import engines
from diptych.inference.translator import Translator
from diptych.serve.answers import answer
from diptych.serve.models import load_models
from helpers.features import COLOURS
from helpers.models import save_random_model
from helpers.serving import LIMITS

RNG = np.random.default_rng(0)


def noise(width, height, *rest, dtype=np.uint8):
    return RNG.integers(0, np.iinfo(dtype).max + 1, (height, width, *rest), dtype=dtype)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model and its exported files."""
    folder = tmp_path_factory.mktemp("model")
    model = save_random_model(folder / "m.safetensors")
    export_model(model, folder / "pictures.onnx", direction="b2a")
    export_model(model, folder / "raw.onnx", raw=True)
    export_model(model, folder / "ir.xml")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "direction", "engines"),
    [
        ("pictures.onnx", "b2a", ["torch", "onnxruntime", "openvino"]),
        ("raw.onnx", "a2b", ["onnxruntime", "openvino"]),
        ("ir.xml", "a2b", ["torch", "openvino"]),
    ],
)
def test_an_exported_file_translates_as_the_run_does(folder, name, direction, engines):
    expected = Translator.load(folder / "m.safetensors", direction)
    for engine in engines:
        found = Translator.load(folder / name, engine=engine)
        assert (found.direction, found.source, found.card) == (direction, expected.source, expected.card)
        for shape in ((45, 37, 3), (3, 9, 3), (20, 20)):
            image = noise(*shape)
            difference = np.abs(found(image).astype(int) - expected(image))
            assert difference.max() <= 1
            assert (difference > 0).mean() < 0.03
        if name == "raw.onnx":
            image = noise(24, 20, 3, dtype=np.uint16)
            assert np.abs(found(image).astype(int) - expected(image)).max() <= 4
        else:
            with pytest.raises(PictureError, match="takes pictures of 8 bits: export it with --bits 16 or --raw"):
                found(noise(24, 20, 3, dtype=np.uint16))


@pytest.mark.slow
def test_the_command_line_takes_an_exported_file(folder, tmp_path, capsys):
    Image.fromarray(noise(32, 32, 3)).save(tmp_path / "x.png")
    with pytest.raises(SystemExit) as stop:
        main(["translate", *(str(path) for path in (folder / "ir.xml", tmp_path / "x.png", tmp_path / "y.png"))])
    assert stop.value.code == 0
    assert "a2b: photos to paintings" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "engine", "direction"), [("pictures.onnx", "onnxruntime", "b2a"), ("ir.xml", "openvino", "a2b")]
)
def test_an_exported_file_is_served(folder, tmp_path, name, engine, direction):
    catalogue = load_models(
        [folder / name], device="cpu", precision="fp32", engine=engine, trust_code=False, report=lambda _: None
    )
    stem = name.partition(".")[0]
    assert list(catalogue.models[stem].translators) == [direction]
    values = noise(40, 30, 3)
    (tmp_path / "in").mkdir()
    Image.fromarray(values).save(tmp_path / "in" / "x.png")
    made = answer(
        catalogue, LIMITS, tmp_path / "in" / "x.png", tmp_path, name=stem, direction=direction, back=True, previews=True
    )
    expected = Translator.load(folder / "m.safetensors", direction)(values)
    assert np.abs(np.asarray(Image.open(made.translation)).astype(int) - expected).max() <= 1
    assert made.back is None  # the file has one direction
    (tmp_path / "damaged.onnx").write_bytes(b"x" * 900)
    with pytest.raises(WeightsError, match=r"damaged\.onnx is damaged"):
        load_models(
            [tmp_path / "damaged.onnx"], device="cpu", precision="fp32", engine="auto", trust_code=False, report=print
        )


@pytest.mark.slow
def test_what_a_file_cannot_do_is_one_line(folder, tmp_path, monkeypatch):
    (tmp_path / "damaged.onnx").write_bytes((folder / "raw.onnx").read_bytes()[:900])
    (tmp_path / "empty.xml").write_text("<xml/>")
    for path in tmp_path.iterdir():
        with pytest.raises(WeightsError, match="is damaged, or no file of this version's diptych export"):
            Translator.load(path)
    with pytest.raises(WeightsError, match=r"none\.onnx does not exist"):
        Translator.load(tmp_path / "none.onnx")
    with pytest.raises(OptionError, match="the file has only the direction b2a: give b2a"):
        Translator.load(folder / "pictures.onnx", "a2b")
    with pytest.raises(OptionError, match="an exported file is not computed by tiles: give the run, or --tile 0"):
        Translator.load(folder / "raw.onnx", tile=64)
    with pytest.raises(OptionError, match=r"--engine onnxruntime cannot compute .*ir\.xml: give --engine openvino"):
        Translator.load(folder / "ir.xml", engine="onnxruntime")
    with pytest.raises(OptionError, match=r"ir\.xml exists already"):
        export_model(folder / "m.safetensors", folder / "ir.xml")
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="--engine openvino needs"):
        Translator.load(folder / "ir.xml")


@pytest.mark.slow
def test_an_exported_file_scores_as_the_model_does(folder, squares):
    root, features = squares, COLOURS
    whole = evaluate(folder / "m.safetensors", root=root, features=features)
    for name, direction, engine in (("pictures.onnx", "b2a", "onnxruntime"), ("ir.xml", "a2b", "openvino")):
        found = evaluate(folder / name, root=root, features=features)
        assert list(found.scores) == [direction]
        assert found.protocol["engine"]["translations"] == engine
        assert found.scores[direction]["kid"].trained == pytest.approx(whole.scores[direction]["kid"].trained, rel=0.05)
        assert found.scores[direction]["kid"].untrained == whole.scores[direction]["kid"].untrained
        assert "cycle_psnr" not in found.scores[direction]
    with pytest.raises(RunError, match="is not a run, so it has no held-out pictures"):
        evaluate(folder / "ir.xml", features=features)
