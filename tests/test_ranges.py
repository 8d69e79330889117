"""A range of values for each domain: given or measured, stored, undone by translating; and nearest resizing."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image

from diptych.cli import main, parse
from diptych.config import (
    CutConfig,
    CycleganConfig,
    DataConfig,
    FastcutConfig,
    LengthConfig,
    OutputConfig,
    Pix2pixConfig,
    ResnetConfig,
    SourceConfig,
)
from diptych.data.encoding import Encoding, with_checked_ranges
from diptych.data.files import find_domain
from diptych.data.formats.reading import read_picture
from diptych.data.loader import Reader
from diptych.data.transforms import resize
from diptych.errors import OptionError, RunError, WeightsError
from diptych.evaluation.evaluate import evaluate
from diptych.inference.translator import Translator
from diptych.interop.exporting import export_original
from diptych.model import ModelCard, load_model
from diptych.monitoring.progress import Silent
from diptych.pair import Pair
from diptych.training.loop import train
from helpers.blobs import blobs, write_pairs
from helpers.runs import TINY

METHODS = {
    "cyclegan": CycleganConfig(pool_size=5),
    "pix2pix": Pix2pixConfig(),
    "cut": CutConfig(num_patches=16, head_width=8),
    "fastcut": FastcutConfig(num_patches=16, head_width=8),
}
STORED = {
    "12 bits": (lambda v: v.astype(np.uint16) * 16, "0 4080"),
    "offset": (lambda v: v.astype(np.uint16) * 16 + 1000, "1000 5080"),
}
"""The same pictures with other values, and their range."""


class Listener(Silent):
    """Keeps what is said."""

    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)


def short(source, method="cyclegan", **data):
    return replace(
        TINY,
        source=source,
        method=METHODS[method],
        data=DataConfig(**{"load_size": 36, "crop_size": 32, "holdout": 3} | data),
        length=LengthConfig(pictures=4),
        output=OutputConfig(num_samples=1),
    )


def identity(a, b):
    """A translator whose network changes nothing."""
    card = ModelCard(
        method="cyclegan", generator=ResnetConfig(), encodings=Pair(a, b), names=Pair("A", "B"),
        data=DataConfig(load_size=32, crop_size=32), pictures=0, ema=False,
    )  # fmt: skip
    return Translator(lambda batch: batch, card, "a2b")


def said_of(source, tmp_path, **data):
    display = Listener()
    train(short(source, **data), tmp_path / "run", display=display)
    return [line for line in display.said if "value" in line]


# -- the conversion


@pytest.mark.parametrize(("low", "high"), [(0, 4095), (1000, 5080), (0, 65535), (32768, 36000), (7, 8)])
def test_a_range_is_undone_exactly(low, high):
    encoding = Encoding(1, "uint16", low, high)
    values = np.linspace(low, high, 40 * 40).round().astype(np.uint16).reshape(40, 40)
    np.testing.assert_array_equal(identity(encoding, encoding)(values), values)


def test_values_are_mapped_linearly_between_ranges_and_clipped():
    labels, photographs = Encoding(1, "uint8", 0, 5), Encoding(1)
    values = np.array([[0, 1, 2, 5, 6, 200]], np.uint8)
    np.testing.assert_array_equal(identity(labels, photographs)(values), [[0, 51, 102, 255, 255, 255]])
    back = identity(photographs, labels)(np.array([[0, 51, 102, 255]], np.uint8))
    np.testing.assert_array_equal(back, [[0, 1, 2, 5]])
    assert back.dtype == np.uint8
    scans = identity(photographs, Encoding(1, "uint16", 1000, 5080))(np.array([[0, 100, 255]], np.uint8))
    np.testing.assert_array_equal(scans, [[1000, 2600, 5080]])
    assert scans.dtype == np.uint16


@pytest.mark.parametrize("method", METHODS)
def test_a_run_with_a_range_is_the_run_of_the_8_bit_pictures(tmp_path, method):
    stored, limits = STORED["offset"]
    plain = train(short(write_pairs(tmp_path / "8", number=8, stored=np.asarray), method), tmp_path / "plain")
    source = write_pairs(tmp_path / "16", number=8, stored=stored)
    ranged = train(short(source, method, range_a=limits, range_b=limits), tmp_path / "ranged")
    models = [load_model(run.folder) for run in (plain, ranged)]
    weights = [model.networks["a2b"].state_dict() for model in models]
    assert all(tensor.equal(weights[1][name]) for name, tensor in weights[0].items())
    grids = [(run.samples / "000000004.png").read_bytes() for run in (plain, ranged)]
    assert grids[0] == grids[1]
    low, high = map(int, limits.split())
    assert models[1].card.encodings == Pair(*[Encoding(1, "uint16", low, high)] * 2)
    assert json.loads(ranged.config_file.read_text())["config"]["data"]["range_a"] == limits
    eight, deep = Translator.of(models[0], "a2b")(blobs(0)), Translator.of(models[1], "a2b")(stored(blobs(0)))
    assert deep.dtype == np.uint16
    assert abs((deep - float(low)) / 16 - eight).max() <= 0.5 + 1 / 16
    if method == "cyclegan":
        scores = [evaluate(run.folder).scores for run in (plain, ranged)]
        assert scores[0] == scores[1]


# -- giving and measuring a range


@pytest.mark.parametrize("text", ["5", "5 2", "3 3", "-9 -10", "0 inf", "a b", "nan 5", "1 2 3", "lots"])
def test_a_range_that_is_none_is_refused(text):
    with pytest.raises(OptionError, match=r"range-b is '.*': give two numbers, the lower one first"):
        with_checked_ranges(DataConfig(range_b=text))


def test_the_command_line_takes_two_numbers_or_auto():
    command = parse(["train", "a", "--range-a", "0", "4095", "--range-b", "auto", "b", "--crop-size", "32"])
    data = with_checked_ranges(command.options.data)
    assert (data.range_a, data.range_b, data.crop_size) == ("0 4095", "auto", 32)
    assert (str(command.options.source.a), str(command.options.source.b)) == ("a", "b")
    assert with_checked_ranges(DataConfig(range_a="0.0 4095.0")).range_a == "0 4095"


def test_auto_is_measured_once_without_the_tails_and_kept(tmp_path):
    ramp = np.arange(5000, 15000, dtype=np.uint16)
    ramp[:4], ramp[-4:] = 0, 65535  # hot and dead pixels, fewer than 0.1 %
    for name in "ab":
        (tmp_path / name).mkdir()
        for index in range(8):
            Image.fromarray(np.roll(ramp, index).reshape(100, 100)).save(tmp_path / name / f"{index}.png")
    config = short(SourceConfig(a=tmp_path / "a", b=tmp_path / "b"), range_a="auto")
    display = Listener()
    run = train(config, tmp_path / "run", display=display)
    low, high = map(float, run.config().data.range_a.split())
    ends = np.percentile(ramp, (0.1, 99.9))
    assert abs(np.array([low, high]) - ends).max() <= 2
    assert run.config().data.range_b is None
    assert [line for line in display.said if "clipped" in line] == [
        f"{100 * np.mean((ramp < low) | (ramp > high)):.2g} % of the values of a lie outside of {low:g} to {high:g} and are clipped: give a wider --range-a, "
        "if they matter"
    ]
    longer = replace(config, length=LengthConfig(pictures=8))
    assert train(longer, tmp_path / "run").config().data.range_a == run.config().data.range_a
    for other in (replace(config.data, range_a="0 9"), replace(config.data, range_b="auto")):
        with pytest.raises(RunError, match=r"range-[ab] was .* and is (0 9|auto): give the same options, or --fork"):
            train(replace(longer, data=other), tmp_path / "run")
    fork = train(
        replace(config, data=replace(config.data, range_b="auto"), length=LengthConfig(pictures=12)),
        tmp_path / "run",
        fork=tmp_path / "fork",
    )
    assert fork.config().data.range_a == fork.config().data.range_b == run.config().data.range_a


def test_initial_weights_bring_their_range(tmp_path):
    source = write_pairs(tmp_path, number=8, stored=STORED["12 bits"][0])
    run = train(short(source, range_a="0 4080"), tmp_path / "one")
    config = short(source, range_b="0 9000")
    config = replace(config, optimiser=replace(config.optimiser, init_from=run.folder))
    data = train(config, tmp_path / "two").config().data
    assert (data.range_a, data.range_b) == ("0 4080", "0 9000")


def test_the_original_code_gets_no_model_with_a_range(tmp_path):
    source = write_pairs(tmp_path, number=8, stored=STORED["12 bits"][0])
    run = train(short(source, range_b="0 4080"), tmp_path / "run")
    with pytest.raises(WeightsError, match="has a range of values, which the original code does not have"):
        export_original(run.folder, tmp_path / "original")


# -- warnings


FINDINGS = {
    "12 bits": (
        lambda v: v.astype(np.uint16) * 16 + v // 16,
        "uses only the values 0 to 4[0-9]{3} of 0 to 65535: give",
    ),
    "offset": (
        lambda v: v.astype(np.uint16) * 64 + 40000,
        "uses only the values 40[0-9]{3} to 5[0-9]{4} of 0 to 65535",
    ),
    "masks": (
        lambda v: (v > 99).astype(np.uint8),
        "uses only the values 0 to 1 of 0 to 255: .*, and --interpolation-a",
    ),
    "classes": (lambda v: v // 43, "uses only the values 0 to 5 of 0 to 255: .*, and --interpolation-a nearest if"),
    "black and white": (lambda v: (v > 99) * np.uint8(255), "has only 2 different values: give --interpolation-a"),
    "one value": (lambda v: v * 0, "every value of a is 0: replace its pictures"),
}


def test_transparent_parts_and_the_8_bit_pictures_of_a_16_bit_folder_do_not_count(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        for index in range(8):
            alpha = np.where(blobs(index) > 60, 65535, 0).astype(np.uint16)
            values = np.dstack([np.where(blobs(index) > 80, 3007, 3000).astype(np.uint16)] * 3 + [alpha])
            tifffile.imwrite(tmp_path / name / f"{index}.tif", values, photometric="rgb", extrasamples=["unassalpha"])
    Image.fromarray(blobs(0)).save(tmp_path / "a" / "eight.png")
    source = SourceConfig(a=tmp_path / "a", b=tmp_path / "b")
    said = said_of(source, tmp_path, range_a="auto")
    assert (
        "a has pictures of several types, such as 8 and 16 bits, and --range-a means the values of all: convert them "
        "to one type"
    ) in said
    assert "values of a: 3000 to 3007 become -1 to 1" in said


@pytest.mark.parametrize("kind", FINDINGS)
def test_check_and_train_say_in_one_line_what_the_values_are(tmp_path, capsys, kind):
    stored, pattern = FINDINGS[kind]
    source = write_pairs(tmp_path / "odd", number=8, stored=stored)
    source = replace(source, b=write_pairs(tmp_path / "usual", number=8, stored=np.asarray).b)
    said = said_of(source, tmp_path)
    assert len(said) == 1
    assert re.search(pattern, said[0])
    with pytest.raises(SystemExit) as stop:
        main(["check", str(source.a), str(source.b), "--json", "--no-estimate"])
    found = json.loads(capsys.readouterr().out)["findings"]
    assert said[0] in [f"{one['problem']}: {one['cure']}" for one in found]
    assert stop.value.code == 1


def test_usual_pictures_and_those_with_a_fitting_range_are_not_warned_about(tmp_path):
    assert said_of(write_pairs(tmp_path / "8", number=8, stored=np.asarray), tmp_path / "x") == []
    stored, limits = STORED["offset"]
    source = write_pairs(tmp_path / "16", number=8, stored=stored)
    assert said_of(source, tmp_path / "y", range_a=limits, range_b=limits) == [
        "values of a: 1000 to 5080 become -1 to 1",
        "values of b: 1000 to 5080 become -1 to 1",
    ]


def test_train_and_check_report_the_clipped_fraction(tmp_path, capsys):
    for name in "ab":
        (tmp_path / name).mkdir()
        for index in range(8):
            values = np.arange(1000 + index, 2600 + index, dtype=np.uint16) * 10
            Image.fromarray(values.reshape(40, 40)).save(tmp_path / name / f"{index}.png")
    source = SourceConfig(a=tmp_path / "a", b=tmp_path / "b")
    line = "25 % of the values of a lie outside of 10000 to 22000 and are clipped"
    assert [said for said in said_of(source, tmp_path, range_a="10000 22000") if line in said]
    with pytest.raises(SystemExit):
        main(["check", *map(str, (source.a, source.b)), "--range-a", "10000", "22000", "--json", "--no-estimate"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert line in [finding["problem"] for finding in findings if finding["severity"] == "warning"]


def test_translate_says_what_is_clipped_and_what_a_format_cannot_hold(tmp_path, capsys):
    source = write_pairs(tmp_path, number=8, stored=STORED["12 bits"][0])
    run = train(short(source, range_a="0 4080", range_b="0 4080"), tmp_path / "run")

    def translated(values, name):
        Image.fromarray(values).save(tmp_path / "in.png")
        with pytest.raises(SystemExit):
            main(["translate", str(run.folder), str(tmp_path / "in.png"), str(tmp_path / name)])
        return np.asarray(Image.open(tmp_path / name)), capsys.readouterr().err

    scan = STORED["12 bits"][0](blobs(1))
    deep, said = translated(scan, "out.png")
    assert "values" not in said
    assert deep.max() <= 4080
    shown, said = translated(scan, "out.webp")
    assert "out.webp cannot hold values from 0 to 4080: they are written as 0 to 255" in said
    assert abs(shown[..., 0].astype(int) - deep / 16).mean() < 8  # WebP loses a little
    opaque = np.stack([scan, np.full_like(scan, 65535)], axis=2)
    tifffile.imwrite(tmp_path / "in.tif", opaque, photometric="minisblack", extrasamples=["unassalpha"])
    with pytest.raises(SystemExit):
        main(["translate", str(run.folder), str(tmp_path / "in.tif"), str(tmp_path / "alpha.png")])
    assert "alpha.png" not in capsys.readouterr().err
    np.testing.assert_array_equal(read_picture(tmp_path / "alpha.png").values[..., 0], deep)
    assert (
        "in.png: 50% of the values are clipped, since training saw values from 0 to 4080"
        in translated(np.repeat(np.array([[0, 9000]], np.uint16), 20, axis=0), "out.png")[1]
    )
    assert "in.png has 8 bits, but training saw values from 0 to 4080" in translated(blobs(1), "out.png")[1]
    tifffile.imwrite(
        tmp_path / "bands.tif", np.full((20, 20, 5), 9000, np.uint16), photometric="minisblack", planarconfig="contig"
    )
    with pytest.raises(SystemExit) as stop:
        main(["translate", str(run.folder), str(tmp_path / "bands.tif"), str(tmp_path / "out.tif")])
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert "a picture of 5 channels cannot be used" in said
    assert "clipped" not in said  # of a picture that is refused


# -- label maps


def test_nearest_resizing_is_pillows_and_mixes_no_values(tmp_path):
    labels = (blobs(3) // 43)[:, :, None]
    for size in ((80, 80), (20, 20), (33, 37)):
        expected = np.asarray(Image.fromarray(labels[:, :, 0]).resize(size, Image.Resampling.NEAREST))
        np.testing.assert_array_equal(resize(labels, *size, interpolation="nearest")[:, :, 0], expected)
    Image.fromarray(labels[:, :, 0]).save(tmp_path / "0.png")
    domain = find_domain("a", tmp_path)
    for interpolation, is_mixed in (("nearest", False), ("bicubic", True)):
        encoding = Encoding(1, "uint8", 0, 5, interpolation)
        read = Reader(domain, DataConfig(load_size=36, crop_size=32), encoding=encoding, stride=4)(0)
        assert bool(set(np.unique(read)) - {0, 51, 102, 153, 204, 255}) == is_mixed
