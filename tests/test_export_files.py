"""``diptych export RUN FILE``: an ONNX or .pt2 file translates every picture as diptych does, or is not written."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

from diptych import Translator, UserError
from diptych.cli import main
from diptych.config import DataConfig, ResnetConfig, UnetConfig
from diptych.data.encoding import Encoding
from diptych.export import export as exporting
from diptych.export.check import compare
from diptych.export.export import export_model
from diptych.inference.graph import Graph, Interface
from diptych.inference.onnx_file import onnx_run
from diptych.model import Model, ModelCard, save_model
from diptych.networks import build_generator
from diptych.pair import Pair

SIZES = ((1, 1), (2, 3), (8, 8), (5, 40), (37, 50), (64, 64), (131, 66))
RESNET, UNET = ResnetConfig(width=2, num_blocks=1), UnetConfig(width=2, num_levels=5)


def model_of(generator, *, channels=(3, 3), method="cyclegan"):
    """A model of random weights; its batch norms have seen pictures."""
    torch.manual_seed(0)
    card = ModelCard(
        method=method, generator=generator, encodings=Pair(*channels).map(Encoding), names=Pair("day", "night"), data=DataConfig(), pictures=7, ema=True
    )  # fmt: skip
    network = build_generator(generator, *channels)
    for norm in network.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(norm.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(norm.running_var, 0.01, 0.1)
    return Model({"a2b": network.eval()}, card)


def saved(tmp_path, model):
    save_model(tmp_path / "m.safetensors", model.networks, model.card)
    return tmp_path / "m.safetensors"


def sizes_for(generator):
    """Instance norm makes rounding noise of a picture of one pixel."""
    return [size for size in SIZES if generator.norm != "instance" or size != (1, 1)]


def noise(shape, dtype="uint8"):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return stop.value.code, said.out, said.err


EVERY = [*(replace(kind, norm=norm) for kind in (RESNET, UNET) for norm in ("instance", "batch"))]


@pytest.mark.parametrize("raw", [False, True], ids=["pictures", "raw"])
@pytest.mark.parametrize("generator", EVERY, ids=repr)
def test_the_graph_computes_what_the_translator_does_at_every_size(generator, raw):
    """Before it is traced. In float64, so that rounding is no excuse."""
    model = model_of(generator, channels=(3, 1))
    network, stride = model.networks["a2b"], generator.stride
    translator = Translator(lambda x: network(x.to(torch.float64)).float(), model.card, "a2b")
    network.double()
    graph = Graph(network, stride, Interface(*model.card.encodings, raw), torch.float64)
    for size in sizes_for(generator):
        images = noise((2, *size, 3))
        with torch.no_grad():
            if raw:
                batch = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous() / 128 - 1
                assert torch.equal(graph(batch), translator.at_any_size(translator.forward, batch))
            else:
                assert np.array_equal(
                    graph(torch.from_numpy(images)), np.stack(translator.translate_batch(list(images)))
                )


RANGES = Pair(Encoding(1, "uint16", 100, 2000), Encoding(3, "uint8", 10, 240))


@pytest.mark.parametrize("direction", ["a2b", "b2a"])
def test_the_graph_honours_the_ranges_of_both_domains(direction):
    encodings = RANGES.along(direction)
    model = model_of(replace(RESNET, norm="batch"), channels=[encoding.channels for encoding in encodings])
    card, network = replace(model.card, encodings=Pair(*encodings)), model.networks["a2b"]
    images = noise((2, 37, 50, encodings[0].channels), encodings[0].dtype)  # values outside of the range too
    with torch.no_grad():
        found = Graph(network, 4, Interface(*encodings), torch.float32)(torch.from_numpy(images)).numpy()
        expected = np.stack(Translator(network, card, "a2b").translate_batch(list(images)))
    assert found.dtype == encodings[1].dtype
    assert np.ptp(found) > 0
    assert np.array_equal(found, expected)


def test_bits_are_refused_where_the_range_decides(tmp_path):
    model = model_of(RESNET, channels=(1, 3))
    model = replace(model, card=replace(model.card, encodings=RANGES))
    with pytest.raises(
        UserError, match="the values of day go from 100 to 2000, so --bits has no effect: leave --bits out"
    ):
        export_model(saved(tmp_path, model), tmp_path / "paint.onnx", bits=8)


def translations(file, pictures):
    """By the exported file alone: plain onnxruntime, or plain torch."""
    if file.suffix == ".onnx":
        session = onnxruntime.InferenceSession(file)
        return session.run(None, {"input": pictures})[0]
    return torch.export.load(file).module()(torch.from_numpy(pictures)).numpy()


CASES = {
    "cut": (ResnetConfig(width=4, num_blocks=1, antialias=True, upsampling="blur"), (3, 3), "paint.onnx", []),
    "pix2pix": (UnetConfig(width=4, num_levels=5, norm="batch"), (1, 3), "paint.onnx", []),
    "16 bits": (ResnetConfig(width=4, num_blocks=1, norm="batch", upsampling="bilinear"), (1, 1), "paint.onnx", ["--bits", "16"]),
    "pt2": (UnetConfig(width=4, num_levels=5), (3, 3), "paint.pt2", []),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_an_exported_file_gives_the_files_of_diptych_translate(case, tmp_path, capsys):
    generator, channels, name, options = CASES[case]
    model = saved(tmp_path, model_of(generator, channels=channels))
    file, dtype = tmp_path / name, "uint16" if options else "uint8"
    code, out, err = run(capsys, "export", model, file, *options)
    assert (code, out) == (0, f"{file}\n"), err
    assert_translates_alike(model, file, "a2b", channels[0], dtype, capsys, sizes_for(generator))


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["a2b", "b2a"])
def test_both_directions_of_a_run_are_exported(direction, learnt, tmp_path, capsys):
    file = tmp_path / "paint.onnx"
    assert run(capsys, "export", learnt.folder, file, "--direction", direction)[0] == 0
    assert_translates_alike(learnt.folder, file, direction, 3, "uint8", capsys, sizes_for(RESNET))


def assert_translates_alike(model, file, direction, channels, dtype, capsys, sizes):
    pictures, painted = file.parent / "pictures", file.parent / "painted"
    pictures.mkdir()
    arrays = {f"{height}x{width}.png": noise((height, width, channels), dtype) for height, width in sizes}
    for name, values in arrays.items():
        Image.fromarray(values[..., 0] if channels == 1 else values).save(pictures / name)
    command = [
        "translate",
        model,
        pictures,
        painted,
        "--direction",
        direction,
        "--precision",
        "fp32",
        "--device",
        "cpu",
    ]
    assert run(capsys, *command)[0] == 0
    changed, total = 0, 0
    for name, values in arrays.items():
        with Image.open(painted / name) as picture:
            expected = np.asarray(picture)
        found = translations(file, np.stack([values[::-1], values, values]))[1]
        assert found.dtype == expected.dtype == dtype
        difference = np.abs(found.reshape(expected.shape).astype(int) - expected)
        assert difference.max() <= (4 if dtype == "uint16" else 1)
        changed, total = changed + np.count_nonzero(difference), total + difference.size
    assert dtype == "uint16" or changed <= 0.02 * total


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A model file, and an ONNX file of it."""
    folder = tmp_path_factory.mktemp("night shots")
    model = saved(folder, model_of(RESNET))
    done = export_model(model, folder / "paint.onnx", licence="CC BY 4.0")
    assert (done.direction, done.source, done.target) == ("a2b", "day", "night")
    return model, folder / "paint.onnx"


@pytest.mark.slow
def test_the_file_describes_itself_and_holds_nothing_of_this_machine(small):
    model, file = small
    loaded = onnx.load(file)
    onnx.checker.check_model(loaded, full_check=True)
    about = onnxruntime.InferenceSession(file).get_modelmeta().custom_metadata_map
    assert {name: about[name] for name in ("run", "method", "direction", "source", "target", "pictures", "licence")} == {
        "run": model.parent.name, "method": "cyclegan", "direction": "a2b", "source": "day", "target": "night", "pictures": "7", "licence": "CC BY 4.0",
    }  # fmt: skip
    assert json.loads(about["input"]).items() >= {"layout": "NHWC", "channels": 3, "dtype": "uint8"}.items()
    assert json.loads(about["versions"])["torch"] == torch.__version__
    assert json.loads(about["generator"])["kind"] == "resnet"
    names = [
        [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*loaded.graph.input, *loaded.graph.output)
    ]
    assert names == [["batch", "height", "width", 3]] * 2
    assert b".py" not in file.read_bytes()


@pytest.mark.slow
def test_the_graph_casts_only_at_its_edges_and_pads_by_reflection(small):
    nodes = onnx.load(small[1]).graph.node
    kinds = [node.op_type for node in nodes]
    assert kinds.count("Cast") == 2
    assert {
        attribute.s
        for node in nodes
        if node.op_type == "Pad"
        for attribute in node.attribute
        if attribute.name == "mode"
    } == {b"reflect"}
    assert {"Conv", "ConvTranspose", "InstanceNormalization"} <= set(kinds)


def tampered(file, change):
    loaded = onnx.load(file)
    change(loaded.graph)
    return loaded.SerializeToString()


def add_to_a_weight(graph):
    weight = next(each for each in graph.initializer if len(each.dims) == 4)
    values = onnx.numpy_helper.to_array(weight).copy()
    values[0, 0, 0, 0] += 0.02
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))


def pad_by_repeating(graph):
    for node in graph.node:
        if node.op_type == "Pad":
            next(each for each in node.attribute if each.name == "mode").s = b"edge"


def drop_the_rounding(graph):
    next(node for node in graph.node if node.op_type == "Round").op_type = "Floor"


@pytest.mark.slow
@pytest.mark.parametrize("change", [add_to_a_weight, pad_by_repeating, drop_the_rounding])
def test_a_file_that_translates_otherwise_is_not_written(change, small, tmp_path, monkeypatch):
    model, file = small
    interface = Interface(Encoding(3), Encoding(3))
    translator = Translator.load(model)
    assert compare(onnx_run(file.read_bytes()), translator, interface, half=False).passes
    content = tampered(file, change)
    assert not compare(onnx_run(content), translator, interface, half=False).passes
    monkeypatch.setattr(exporting, "to_onnx", lambda *_: content)
    with pytest.raises(
        UserError, match=r"paint.onnx is not written, since it would differ from PyTorch by .*constraints"
    ):
        export_model(model, tmp_path / "paint.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_half_stores_fp16_and_raw_takes_a_networks_tensors(tmp_path):
    model = saved(tmp_path, model_of(RESNET))
    done = export_model(model, tmp_path / "half.onnx", raw=True, fp16=True)
    assert 0 < done.difference.largest <= 0.02
    loaded = onnx.load(tmp_path / "half.onnx")
    assert {each.data_type for each in loaded.graph.initializer if len(each.dims) == 4} == {onnx.TensorProto.FLOAT16}
    x = torch.rand(2, 3, 37, 50) * 2 - 1
    translator = Translator.load(model)
    difference = translations(tmp_path / "half.onnx", x.numpy()) - translator.at_any_size(translator.forward, x).numpy()
    assert np.abs(difference).max() <= 0.02


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("m.safetensors", "no format is given: give FILE.onnx, FILE.pt2, FILE.xml or --original DIR"),
        ("m.safetensors paint.png", "paint.png ends in none of .onnx, .pt2, .xml: give a name that ends in one of them"),
        ("m.safetensors taken.onnx", "taken.onnx exists already: give another name, or remove it"),
        ("m.safetensors paint.onnx --original out", "two formats are given, paint.onnx and --original: give one at a time"),
        ("m.safetensors paint.onnx --direction b2a", "this model has no direction b2a: give a2b"),
        ("m.safetensors paint.onnx --bits 12", "--bits is '12': give one of 8, 16"),
        ("nowhere paint.onnx", "nowhere does not exist"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, model_of(RESNET))
    Path("taken.onnx").write_text("precious")
    before = sorted(tmp_path.rglob("*"))
    code, out, err = run(capsys, "export", *arguments.split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_one_line(missing, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, missing, None)
    code, _, err = run(capsys, "export", saved(tmp_path, model_of(RESNET)), tmp_path / "paint.onnx")
    assert (code, err) == (2, "diptych: export to ONNX needs: pip install 'diptych[export]'\n")


def test_a_generator_that_torch_cannot_trace_is_refused(tmp_path):
    class Fickle(torch.nn.Module):
        def forward(self, x):
            return x if x.mean() > 0 else -x

    with pytest.raises(UserError, match=r"torch.export cannot trace this generator \(.*\): change its forward method"):
        exporting.trace(Graph(Fickle(), 4, Interface(Encoding(3), Encoding(3)), torch.float32))
