"""Runs on measurements: two bands of floats in one domain, 12 bits of grey in the other."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from diptych.cli import main
from diptych.config import SourceConfig
from diptych.data.encoding import Encoding
from diptych.errors import OptionError
from diptych.evaluation.evaluate import evaluate
from diptych.inference.outputs import plan_outputs
from diptych.model import load_model
from diptych.training.loop import train
from helpers.blobs import blobs
from helpers.runs import measured_run


def write_measurements(root, number=10):
    """Folder a: radar of two bands in decibels, float32, with a pixel without data; folder b: scans of 12 bits."""
    for name in "ab":
        (root / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(number):
        fine = blobs(index) + rng.random((40, 40))
        radar = np.stack([fine / 8 - 30, fine / 16 - 20], axis=2).astype(np.float32)
        radar[1, 2] = np.nan
        tifffile.imwrite(
            root / "a" / f"{index}.tif", radar, photometric="minisblack", planarconfig="contig", metadata=None
        )
        Image.fromarray((4095 - 16 * fine).clip(0, 4095).astype(np.uint16)).save(root / "b" / f"{index}.png")
    return SourceConfig(a=root / "a", b=root / "b")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("measurements")
    config = measured_run(write_measurements(root), range_a="auto", range_b="0 4095")
    return train(config, root / "run")


def translate(run, source, target, direction):
    with pytest.raises(SystemExit) as stop:
        main(["translate", str(run.folder), str(source), str(target), "--direction", direction])
    assert stop.value.code == 0


def test_the_card_has_the_channels_types_and_ranges_of_both_domains(run):
    a, b = load_model(run.folder).card.encodings
    assert (a.channels, a.dtype, b) == (2, "float32", Encoding(1, "uint16", 0, 4095))
    assert -31 < a.low < -19 < a.high < 3
    data = run.config().data
    assert (data.type_a, data.type_b, data.channels_a, data.channels_b) == ("float32", "uint16", 2, 1)


def test_translations_have_the_units_type_and_bands_of_the_target_and_many_levels(run, tmp_path):
    radar, scan = run.folder.parent / "a/0.tif", run.folder.parent / "b/0.png"
    translate(run, radar, tmp_path / "scan.png", "a2b")
    made = np.asarray(Image.open(tmp_path / "scan.png"))
    assert made.dtype == np.uint16
    assert made.max() <= 4095
    assert len(np.unique(made)) > 512
    assert made[1, 2] == 0  # no data
    translate(run, scan, tmp_path / "radar.tif", "b2a")
    made = tifffile.imread(tmp_path / "radar.tif")
    low, high = load_model(run.folder).card.encodings.a.limits
    assert (made.dtype, made.shape) == (np.float32, (40, 40, 2))
    assert low <= made.min() < made.max() <= high
    assert len(np.unique(made)) > 512


def test_a_folder_is_translated_to_the_format_that_holds_the_target(run, tmp_path, capsys):
    folder = run.folder.parent / "b"
    for words, code, said in (
        ([], 1, "cannot hold 2 channels, but 1 or 3: give a name that ends in .tif or .npy"),
        (["--format", "npy"], 0, "10 translated, 0 failed"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["translate", str(run.folder), str(folder), str(tmp_path / "out"), "--direction", "b2a", *words])
        assert stop.value.code == code
        assert said in capsys.readouterr().err.replace("\n", " ")
    assert np.load(tmp_path / "out/0.npy").shape == (40, 40, 2)
    with pytest.raises(OptionError, match=r"y\.tif is no folder, so --format has no effect: leave it out"):
        plan_outputs(folder / "0.png", tmp_path / "y.tif", suffix=".npy")


def test_such_a_run_is_scored_shown_and_resumed(run, tmp_path):
    scores = evaluate(run.folder).scores["a2b"]
    assert scores["kid"].trained is not None
    grid = Image.open(next(run.samples.iterdir()))
    assert np.ptp(np.asarray(grid.convert("L"))) > 100
    longer = measured_run(SourceConfig(a=run.folder.parent / "a", b=run.folder.parent / "b"), pictures=8)
    assert train(longer, run.folder).config().data.range_a == run.config().data.range_a


def test_measurements_without_a_range_are_refused_with_a_cure_that_works(tmp_path):
    source = write_measurements(tmp_path, number=6)
    with pytest.raises(OptionError, match=r"a holds float32, .*: give --range-a auto, which measures it, or LOW HIGH"):
        train(measured_run(source), tmp_path / "run")
    train(measured_run(source, range_a="auto", type_b="uint8", range_b="0 255"), tmp_path / "run")
    assert load_model(tmp_path / "run").card.encodings.b == Encoding(1, "uint8", 0, 255)
