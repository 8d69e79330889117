"""Slides: read and written a part at a time, at the scale of training; an interrupted one goes on."""

import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import openslide
import pytest
import rasterio
import tifffile
from PIL import Image

from diptych.cli import main
from diptych.config import ResnetConfig
from diptych.data.encoding import Encoding
from diptych.data.formats.pyramid import RawImage, write_pyramid
from diptych.data.formats.reading import read_header, read_picture
from diptych.data.formats.slide import is_slide, open_slide
from diptych.errors import OptionError, PictureError
from diptych.inference.folder import translate_files
from diptych.inference.outputs import plan_outputs
from diptych.inference.slide_scale import at_scale
from diptych.inference.slides import SlideOptions, translate_slide
from diptych.inference.translator import Translator
from diptych.networks.windows import Area, Span
from helpers.identity import translated
from helpers.models import save_random_model
from helpers.translators import RESNET, make_translator, picture


def write_slide(path, values, *, mpp=0.25, levels=1, **options):
    """A tiled, pyramidal TIFF."""
    options = {"tile": (128, 128), "photometric": "rgb" if values.ndim == 3 else "minisblack", **options}
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        scale = {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"} if mpp else {}
        writer.write(values, subifds=levels, **scale, **options)
        for number in range(levels):
            step = 2 << number
            writer.write(np.ascontiguousarray(values[::step, ::step]), subfiletype=1, **options)
    return path


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "jpeg"},
        {"compression": "adobe_deflate", "predictor": True},
        {"tile": None, "rowsperstrip": 7},
        {"tile": None, "rowsperstrip": 7, "compression": "lzw"},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["colour", "grey", "deep"])
def test_areas_are_what_tifffile_reads_of_the_whole(tmp_path, options, kind):
    dtype = np.uint16 if kind == "deep" else np.uint8
    if dtype == np.uint16 and options.get("compression") == "jpeg":
        options = {"compression": "zstd"}
    values = picture(0, 301, 423, 3 if kind == "colour" else 1, dtype)
    values = values if kind == "colour" else values[:, :, 0]
    path = write_slide(tmp_path / "x.tif", values, **options)
    whole = tifffile.imread(path).reshape(301, 423, -1)
    with open_slide(path) as slide:
        assert slide.size == (301, 423)
        assert slide.mpp == pytest.approx(0.25)
        assert slide.level_sizes == [(301, 423), (151, 212)]
        for rows, columns in (
            (slice(0, 301), slice(0, 423)),
            (slice(100, 290), slice(120, 260)),
            (slice(300, 301), slice(0, 9)),
        ):
            assert np.array_equal(slide.read(rows, columns), whole[rows, columns])
        assert np.array_equal(
            slide.read(slice(3, 9), slice(0, 212), 1), tifffile.imread(path, level=1).reshape(151, 212, -1)[3:9]
        )


def to_ndpi(source, target):
    """Writes the TIFF ``source`` of one page as NDPI: offsets of pages have 8 bytes, and high words follow the tags."""
    content = bytearray(source.read_bytes())
    start = int.from_bytes(content[4:8], "little")
    number = int.from_bytes(content[start : start + 2], "little")
    directory = content[start : start + 2 + 12 * number] + bytes(8 + 4 * number)
    content[4:12] = len(content).to_bytes(8, "little")
    target.write_bytes(content + directory)


def test_the_scale_is_read_from_ome_xml_aperios_description_and_resolution_tags(tmp_path):
    values = picture(0, 64, 64)
    tifffile.imwrite(
        tmp_path / "a.ome.tif", values, metadata={"axes": "YXS", "PhysicalSizeX": 250, "PhysicalSizeXUnit": "nm"}
    )
    tifffile.imwrite(
        tmp_path / "b.svs",
        values,
        description="Aperio Image Library\r\n256x256|AppMag = 40|MPP = 0.2525",
        metadata=None,
    )
    tifffile.imwrite(tmp_path / "c.tif", values, resolution=(72, 72), resolutionunit="INCH")
    tifffile.imwrite(tmp_path / "d.tif", values, resolution=(50800, 50800), resolutionunit="INCH")
    tifffile.imwrite(tmp_path / "e.tif", values, resolution=(300, 300), resolutionunit=None)
    hamamatsu = [(271, 2, 0, "Hamamatsu", True), (65420, 4, 1, 1, True)]
    plain = tmp_path / "f.tif"
    tifffile.imwrite(
        plain, values, resolution=(43_478, 43_478), resolutionunit="CENTIMETER", extratags=hamamatsu, metadata=None
    )
    to_ndpi(plain, tmp_path / "f.ndpi")
    with tifffile.TiffFile(tmp_path / "f.ndpi") as file:
        assert file.is_ndpi
    found = []
    for name in ("a.ome.tif", "b.svs", "c.tif", "d.tif", "e.tif", "f.ndpi"):
        with open_slide(tmp_path / name) as slide:
            found.append(slide.mpp)
    assert found == [pytest.approx(0.25), 0.2525, None, pytest.approx(0.5), None, pytest.approx(0.23, rel=1e-4)]


@pytest.mark.parametrize(
    ("values", "options"),
    [
        (np.zeros((64, 64, 4), np.uint8), {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
        (np.zeros((3, 64, 64), np.uint8), {"photometric": "minisblack"}),
        (np.zeros((64, 64), np.complex64), {"photometric": "minisblack"}),
        (np.zeros((64, 64), np.uint8), {"photometric": "miniswhite"}),
    ],
)
def test_other_samples_are_refused(tmp_path, values, options):
    tifffile.imwrite(tmp_path / "x.tif", values, **options)
    with pytest.raises(PictureError, match="cannot read a part at a time"), open_slide(tmp_path / "x.tif"):
        pass


def test_a_damaged_or_missing_tile_is_named(tmp_path):
    path = write_slide(tmp_path / "x.tif", picture(0, 256, 256), compression="adobe_deflate", levels=0)
    with tifffile.TiffFile(path) as file:
        offset = file.pages[0].dataoffsets[3]
    content = bytearray(path.read_bytes())
    content[offset : offset + 40] = bytes(40)
    path.write_bytes(content)
    with open_slide(path) as slide:
        slide.read(slice(0, 128), slice(0, 128))
        with pytest.raises(PictureError, match=r"x\.tif: tile 3 cannot be read"):
            slide.read(slice(0, 256), slice(0, 256))
    (tmp_path / "y.svs").write_bytes(b"II*\0 nothing")
    with pytest.raises(PictureError, match=r"y\.svs is no TIFF that can be read"), open_slide(tmp_path / "y.svs"):
        pass


def test_slides_are_known_by_suffix_resolutions_or_size(tmp_path):
    tifffile.imwrite(tmp_path / "plain.tif", picture(0, 64, 64))
    Image.new("L", (8, 8)).save(tmp_path / "x.png")
    assert is_slide(write_slide(tmp_path / "x.tif", picture(0, 64, 64)))
    assert is_slide(tmp_path / "missing.svs")
    assert not any(is_slide(tmp_path / name) for name in ("plain.tif", "x.png", "missing.tif"))


def test_slides_in_a_folder_become_ome_tiff_at_the_scale_that_each_says(tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    values = picture(0, 160, 224)
    for name, mpp in (("a.svs", 0.25), ("sub/b.ndpi", 0.5)):
        write_slide(tmp_path / "in" / name, values, mpp=mpp)
    Image.fromarray(values[:50, :60]).save(tmp_path / "in" / "c.png")
    pairs = plan_outputs(tmp_path / "in", tmp_path / "out")
    names = [target.relative_to(tmp_path / "out").as_posix() for _, target in pairs]
    assert names == ["a.ome.tif", "c.png", "sub/b.ome.tif"]
    translator = make_translator(tile=128)
    translator.card = replace(translator.card, data=replace(translator.card.data, mpp=0.5))
    assert translate_files(translator, pairs).num_translated == 3
    for name, size in (("a", (80, 112)), ("sub/b", (160, 224))):
        with tifffile.TiffFile(tmp_path / "out" / f"{name}.ome.tif") as file:
            assert file.is_ome
            assert file.series[0].shape[:2] == size
        with open_slide(tmp_path / "out" / f"{name}.ome.tif") as slide:
            assert slide.mpp == pytest.approx(0.5)
    write_slide(tmp_path / "in" / "a.ndpi", values)
    with pytest.raises(OptionError, match="would both become"):
        plan_outputs(tmp_path / "in", tmp_path / "out")


def test_slides_are_not_trained_on(tmp_path, monkeypatch):
    write_slide(tmp_path / "a.svs", picture(0, 64, 64))
    with pytest.raises(
        PictureError, match=r"a\.svs is a slide, which is no picture: cut it into smaller pictures to train"
    ):
        read_header(tmp_path / "a.svs")
    monkeypatch.setattr("diptych.data.formats.tiff.MAX_PIXELS", 1000)
    with pytest.raises(PictureError, match="claims more than 0 million pixels: cut it into smaller pictures to train"):
        read_header(write_slide(tmp_path / "a.tif", picture(0, 64, 64)))


@pytest.mark.parametrize("name", ["out.tif", "out.ome.tif"])
@pytest.mark.parametrize(("channels", "dtype"), [(3, np.uint8), (1, np.uint16)])
def test_a_pyramid_holds_the_picture_and_its_halves(tmp_path, name, channels, dtype):
    values = picture(0, 1101, 2203, channels, dtype)
    raw = RawImage(tmp_path / "raw", values.shape, values.dtype.name)
    raw.create()
    raw.write(slice(0, 1101), slice(0, 2203), values)
    write_pyramid(tmp_path / name, raw, mpp=0.5)
    with tifffile.TiffFile(tmp_path / name) as file:
        assert file.is_ome == (".ome" in name)
        (series,) = file.series
        assert [level.shape[:2] for level in series.levels] == [(1101, 2203), (550, 1101), (275, 550)][
            : len(series.levels)
        ]
        assert len(series.levels) == 3
        assert np.array_equal(series.asarray().reshape(values.shape), values)
        half = values[:1100, :2202].reshape(550, 2, 1101, 2, channels).mean((1, 3))
        assert np.abs(series.levels[1].asarray().reshape(half.shape) - half).max() <= 0.5
    with open_slide(tmp_path / name) as slide:
        assert slide.mpp == pytest.approx(0.5)
        assert slide.level_sizes == [(1101, 2203), (550, 1101), (275, 550)]
    with openslide.OpenSlide(tmp_path / name) as slide:
        assert slide.level_dimensions == ((2203, 1101), (1101, 550), (550, 275))
        red = np.asarray(slide.read_region((1000, 500), 0, (600, 400)))[:, :, 0]
        assert np.abs(red - (values / np.iinfo(dtype).max * 255)[500:900, 1000:1600, 0]).max() <= 1
    assert read_picture(tmp_path / name).note is None  # other resolutions are no frames
    with rasterio.open(tmp_path / name) as raster:
        assert set(raster.overviews(1)) == {2, 4}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "raw"])


@pytest.mark.parametrize("name", ["out.tif", "out.ome.tif"])
def test_a_small_slide_is_tiled_so_that_openslide_reads_it(tmp_path, name):
    values = picture(6, 96, 120)
    write_slide(tmp_path / "in.tif", values, levels=0)  # of one resolution and small, so it is read as a picture
    assert translated(tmp_path / "in.tif", tmp_path / name) == []
    with openslide.OpenSlide(tmp_path / name) as slide:
        np.testing.assert_array_equal(np.asarray(slide.read_region((0, 0), 0, (120, 96)))[:, :, :3], values)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("tile", [128, 0])
def test_a_slide_becomes_what_its_picture_becomes(tmp_path, dtype, tile):
    values = picture(1, 333, 517, dtype=dtype)
    write_slide(tmp_path / "in.tif", values)
    translate_slide(make_translator(tile=tile), tmp_path / "in.tif", tmp_path / "out.ome.tif")
    found = tifffile.imread(tmp_path / "out.ome.tif")
    assert found.dtype == dtype
    assert np.abs(found.astype(int) - make_translator(tile=0)(values)).max() <= 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.tif", "out.ome.tif"]


def test_the_command_translates_slides(tmp_path, capsys):
    model, values = save_random_model(tmp_path / "m.safetensors", generator=RESNET), picture(2, 300, 400)
    write_slide(tmp_path / "in.tif", values)
    with pytest.raises(SystemExit) as stop:
        main(
            [
                "translate",
                *map(str, (model, tmp_path / "in.tif", tmp_path / "out.ome.tif")),
                "--tile",
                "128",
                "--precision",
                "fp32",
            ]
        )
    assert stop.value.code == 0, capsys.readouterr().err
    expected = Translator.load(model)(values)
    assert np.abs(tifffile.imread(tmp_path / "out.ome.tif").astype(int) - expected).max() <= 1
    with pytest.raises(SystemExit) as stop:
        main(["translate", *map(str, (model, tmp_path / "in.tif", tmp_path / "out.png"))])
    assert stop.value.code == 2
    assert "in.tif is a slide, and" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--mpp", "-1"], "mpp is -1.0: give more than 0"),
        (["--scratch-gib", "-1"], "scratch-gib is -1.0: give 0 or more"),
        (["--tile", "big"], "tile is 'big': give auto, 0, or a side in pixels"),
    ],
)
def test_the_command_refuses_values_out_of_range(tmp_path, capsys, words, problem):
    model = save_random_model(tmp_path / "m.safetensors", generator=RESNET)
    with pytest.raises(SystemExit) as stop:
        main(["translate", str(model), str(tmp_path / "in.tif"), str(tmp_path / "out.tif"), *words])
    assert stop.value.code == 2
    assert problem in capsys.readouterr().err


def test_options_of_slides_without_effect_are_named(tmp_path, capsys):
    model = save_random_model(tmp_path / "m.safetensors", generator=RESNET)
    Image.new("RGB", (32, 32)).save(tmp_path / "x.png")
    with pytest.raises(SystemExit):
        main(["translate", *map(str, (model, tmp_path / "x.png", tmp_path / "y.png")), "--skip-background"])
    assert "x.png is no slide: --mpp and --skip-background have no effect" in " ".join(capsys.readouterr().err.split())


def scaled_translator(mpp, **options):
    """A translator that was trained at ``mpp``."""
    translator = make_translator(tile=128, **options)
    translator.card = replace(translator.card, data=replace(translator.card.data, mpp=mpp))
    return translator


def test_a_slide_is_brought_to_the_scale_of_training(tmp_path):
    values = picture(3, 400, 600)
    write_slide(tmp_path / "x.tif", values, mpp=0.25, levels=2)
    with open_slide(tmp_path / "x.tif") as slide:
        own, level, between = (at_scale(slide, mpp, None) for mpp in (0.26, 0.5, 0.7))
        assert (own.level, own.factor, own.height, own.width) == (0, 1, 400, 600)
        assert (level.level, level.factor, level.height, level.width) == (1, 1, 200, 300)
        assert (between.level, between.height, between.width) == (1, 143, 214)
        with pytest.raises(
            PictureError, match=r"has 0\.25 µm per pixel, and the model was trained at 0\.1: give a finer"
        ):
            at_scale(slide, 0.1, None)
        whole = between.read(Area(Span(0, 143, 143), Span(0, 214, 214)))
        expected = Image.fromarray(np.ascontiguousarray(values[::2, ::2])).resize((214, 143), Image.Resampling.BICUBIC)
        assert np.abs(whole.astype(int) - np.asarray(expected)).max() <= 1
        for rows, columns in (((0, 50), (0, 60)), ((40, 143), (150, 214)), ((71, 72), (3, 4))):
            part = between.read(Area(Span(*rows, 143), Span(*columns, 214)))
            assert np.array_equal(part, whole[slice(*rows), slice(*columns)])
    translate_slide(scaled_translator(0.5), tmp_path / "x.tif", tmp_path / "out.tif")
    with open_slide(tmp_path / "out.tif") as out:
        assert out.size == (200, 300)
        assert out.mpp == pytest.approx(0.5)


def test_the_scale_of_a_slide_that_does_not_say_it_can_be_given(tmp_path):
    write_slide(tmp_path / "x.tif", picture(3, 400, 600), mpp=None)
    with open_slide(tmp_path / "x.tif") as slide:
        assert slide.mpp is None
        assert at_scale(slide, 0.5, None).height == 400
        assert at_scale(slide, 0.5, 0.25).height == 200


def test_background_is_copied_and_counted(tmp_path):
    values = picture(4, 512, 512)
    values[:256] = 250
    write_slide(tmp_path / "x.tif", values)
    lines = []
    translate_slide(
        make_translator(tile=128),
        tmp_path / "x.tif",
        tmp_path / "y.tif",
        SlideOptions(skip_background=True),
        report=lines.append,
    )
    assert lines == [f"{tmp_path}/x.tif: 8 of 16 tiles are background"]
    found = tifffile.imread(tmp_path / "y.tif")
    assert (found[:256] == 250).all()
    assert (found[256:] != values[256:]).mean() > 0.9
    ranged = make_translator(tile=128)
    ranged.encoding_out = Encoding(3, "uint16", low=0, high=4000)
    with pytest.raises(OptionError, match="leave --skip-background out"):
        translate_slide(ranged, tmp_path / "x.tif", tmp_path / "z.tif", SlideOptions(skip_background=True))


def test_white_blocks_of_translated_tiles_are_copied_and_others_are_not(tmp_path):
    values = picture(4, 256, 256)
    values[:100, :70] = 250
    write_slide(tmp_path / "x.tif", values)
    for skip, target in ((False, "all.tif"), (True, "kept.tif")):
        options = SlideOptions(skip_background=skip)
        translate_slide(make_translator(tile=256), tmp_path / "x.tif", tmp_path / target, options)
    everything, kept = (tifffile.imread(tmp_path / name) for name in ("all.tif", "kept.tif"))
    assert (kept[:64, :64] == 250).all()
    assert (everything[:64, :64] != 250).any()
    everything[:64, :64] = 250
    assert np.array_equal(kept, everything)


def test_a_slide_says_how_far_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr("diptych.inference.slides.REPORT_SECONDS", 0.0)
    source, lines = write_slide(tmp_path / "x.tif", picture(5, 256, 256)), []
    translate_slide(make_translator(tile=128), source, tmp_path / "y.tif", report=lines.append)
    norms = [line for line in lines if "norms" in line]
    assert norms[-1] == f"{source}: statistics of {len(norms)} of {len(norms)} norms"
    assert lines[len(norms) :] == [f"{source}: {n} of 4 tiles" for n in (1, 2, 3, 4)]


WORKER = """
import sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from diptych.inference import slides
from helpers.translators import make_translator
real = slides.Progress.add
def slow(self, name, value):
    real(self, name, value)
    time.sleep(0.2)
slides.Progress.add = slow
slides.translate_slide(make_translator(tile=64), Path({source!r}), Path({target!r}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("num_lines", [3, 12], ids=["in the statistics", "in the tiles"])
def test_a_killed_translation_goes_on_and_gives_the_same(tmp_path, request, num_lines):
    values = picture(5, 256, 256)
    source, target = write_slide(tmp_path / "in.tif", values), tmp_path / "out.ome.tif"
    progress = tmp_path / ".out.ome.tif.progress"
    code = WORKER.format(tests=str(request.path.parent), source=str(source), target=str(target))
    process = subprocess.Popen([sys.executable, "-c", code])
    while process.poll() is None and (not progress.exists() or progress.read_text().count("\n") < num_lines):
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not target.exists()
    before = progress.read_text().splitlines()
    assert len(before) >= num_lines
    progress.write_text("\n".join([*before, '{"done": [64,']))  # a line that was cut off

    lines = []
    translator = make_translator(tile=64)
    translate_slide(translator, source, target, report=lines.append)
    num_done = sum("done" in line for line in before)
    assert lines == ([f"{target}: {num_done} of 16 tiles are there from an earlier run"] if num_done else [])
    translate_slide(make_translator(tile=64), source, tmp_path / "whole.ome.tif")
    found, whole = tifffile.imread(target), tifffile.imread(tmp_path / "whole.ome.tif")
    assert np.abs(found.astype(int) - whole).max() <= 1
    assert not progress.exists()


def test_a_stopped_translation_ends_before_the_next_tile(tmp_path):
    source, calls = write_slide(tmp_path / "in.tif", picture(5, 256, 256)), []
    with pytest.raises(PictureError, match=r"in\.tif was stopped: run the same command again"):
        translate_slide(
            make_translator(tile=64), source, tmp_path / "out.tif", stop=lambda: calls.append(0) or len(calls) > 70
        )
    assert len(calls) == 71
    assert not (tmp_path / "out.tif").exists()
    lines = []
    translate_slide(make_translator(tile=64), source, tmp_path / "out.tif", report=lines.append)
    assert (tmp_path / "out.tif").exists()


def test_another_model_begins_again(tmp_path):
    source, target = write_slide(tmp_path / "in.tif", picture(5, 256, 256)), tmp_path / "out.tif"
    first, other = make_translator(tile=64), make_translator(ResnetConfig(width=4, num_blocks=1), tile=64)

    def stop(line):
        raise KeyboardInterrupt

    translate_slide(first, source, target)
    expected = tifffile.imread(target)
    target.unlink()
    for translator in (other, first):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("diptych.inference.slides.write_pyramid", lambda *_, **__: stop(""))
            with pytest.raises(KeyboardInterrupt):
                translate_slide(translator, source, target)
    lines = []
    translate_slide(first, source, target, report=lines.append)
    assert lines == [f"{target}: 16 of 16 tiles are there from an earlier run"]
    assert np.array_equal(tifffile.imread(target), expected)
