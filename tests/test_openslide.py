"""Slides that OpenSlide reads. The truth is what was written; OpenSlide itself judges that the files are slides."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from diptych.cli import main
from diptych.data.encoding import Encoding
from diptych.data.files import find_files
from diptych.data.formats.pyramid import RawImage
from diptych.data.formats.slide import open_slide
from diptych.data.formats.slide_openslide import open_with_openslide
from diptych.errors import PictureError
from diptych.inference.folder import translate_files
from diptych.inference.outputs import plan_outputs
from diptych.inference.slide_scale import at_scale
from diptych.inference.slides import SlideOptions, translate_slide
from diptych.networks.windows import Area, Span
from helpers.identity import identity_network
from helpers.mirax import TILE, write_mirax
from helpers.models import save_random_model
from helpers.translators import RESNET, make_translator, picture

HEIGHT, WIDTH = 256, 384
CREAM = (255, 250, 240)


def in_a_third(row, column):
    """Whether a tile is scanned: those of the first two columns are not."""
    return column >= 2


def test_areas_and_what_was_scanned_are_those_that_were_written(tmp_path):
    values = picture(0, HEIGHT, WIDTH)
    path = write_mirax(tmp_path / "x.mrxs", values, scanned=in_a_third, fill=CREAM)
    expected = values.copy()
    expected[:, : 2 * TILE] = CREAM
    half = values.reshape(HEIGHT // 2, 2, WIDTH // 2, 2, 3).mean((1, 3)).round()
    half[:, :TILE] = CREAM
    with open_slide(path) as slide:
        assert (slide.size, slide.level_sizes[1], slide.mpp) == ((HEIGHT, WIDTH), (HEIGHT // 2, WIDTH // 2), 0.25)
        assert slide.gaps == "about 33% was not scanned and has the colour #fffaf0"
        for rows, columns in (((0, HEIGHT), (0, WIDTH)), ((3, 200), (100, 133)), ((255, 256), (383, 384))):
            area = slice(*rows), slice(*columns)
            np.testing.assert_array_equal(slide.read(*area), expected[area])
            np.testing.assert_array_equal(
                slide.scanned(*area), np.broadcast_to(np.arange(WIDTH) >= 2 * TILE, (HEIGHT, WIDTH))[area]
            )
        np.testing.assert_array_equal(slide.read(slice(5, 99), slice(60, 70), 1), half[5:99, 60:70])


def test_a_tiff_is_the_same_by_openslide_and_by_tifffile(tmp_path):
    values, path = picture(1, 300, 500), tmp_path / "x.tif"
    with tifffile.TiffWriter(path) as writer:
        for step in (1, 2):
            writer.write(
                np.ascontiguousarray(values[::step, ::step]),
                tile=(128, 128),
                photometric="rgb",
                metadata=None,
                compression="jpeg",
            )
    with open_with_openslide(path) as one, open_slide(path) as other:
        assert one.size == other.size
        assert one.gaps == ""
        area = slice(17, 290), slice(100, 450)
        np.testing.assert_array_equal(one.read(*area), other.read(*area))


def test_a_network_that_returns_its_input_returns_the_slide(tmp_path):
    values = picture(2, HEIGHT, WIDTH)
    source, said = write_mirax(tmp_path / "x.mrxs", values, scanned=in_a_third, fill=CREAM), []
    translate_slide(identity_network(Encoding(3), tile=128), source, tmp_path / "y.ome.tif", report=said.append)
    assert said == [f"{source}: about 33% was not scanned and has the colour #fffaf0; this is not translated"]
    values[:, : 2 * TILE] = CREAM
    with tifffile.TiffFile(tmp_path / "y.ome.tif") as file:
        assert file.is_ome
        np.testing.assert_array_equal(file.asarray(), values)


def test_what_was_not_scanned_stays_background_and_does_not_change_the_rest(tmp_path):
    values = picture(3, HEIGHT, WIDTH)
    source = write_mirax(tmp_path / "x.mrxs", values, scanned=lambda y, x: (y, x) != (1, 1) and x < 4)
    translate_slide(make_translator(tile=128), source, tmp_path / "y.tif")
    found = tifffile.imread(tmp_path / "y.tif")
    seen = values.copy()
    seen[:, 4 * TILE :] = seen[TILE : 2 * TILE, TILE : 2 * TILE] = 255
    gap = np.zeros((HEIGHT, WIDTH), bool)
    gap[:, 4 * TILE :] = gap[TILE : 2 * TILE, TILE : 2 * TILE] = True
    assert (found[gap] == 255).all()
    # The tiles on the right hold nothing: the statistics are those of the others.
    tifffile.imwrite(tmp_path / "z.tif", seen, tile=(64, 64), photometric="rgb", metadata=None)
    translate_slide(
        make_translator(tile=128), tmp_path / "z.tif", tmp_path / "o.tif", SlideOptions(skip_background=True)
    )
    np.testing.assert_array_equal(found[~gap], tifffile.imread(tmp_path / "o.tif")[~gap])
    assert np.abs(found[~gap].astype(int) - values[~gap]).mean() > 20


def test_what_was_not_scanned_takes_no_space_before_it_is_compressed(tmp_path, monkeypatch):
    source = write_mirax(tmp_path / "x.mrxs", picture(3, 1536, 1536), scanned=lambda y, x: y < 2 and x < 2, fill=CREAM)
    blocks = []
    monkeypatch.setattr(
        RawImage,
        "read",
        lambda self, *area, read=RawImage.read: blocks.append(self.path.stat().st_blocks) or read(self, *area),
    )
    translate_slide(make_translator(tile=128), source, tmp_path / "y.tif")
    assert 0 < max(blocks) * 512 <= 2**21  # of 7 MB
    assert (tifffile.imread(tmp_path / "y.tif", level=1)[64:] == CREAM).all()


def test_in_measurements_there_is_no_data_where_nothing_was_scanned(tmp_path):
    translator = make_translator(tile=128)
    translator.encoding_out = Encoding(3, "float32", low=0, high=10)
    source = write_mirax(tmp_path / "x.mrxs", picture(4, HEIGHT, WIDTH), scanned=in_a_third)
    translate_slide(translator, source, tmp_path / "y.tif")
    found = np.isnan(tifffile.imread(tmp_path / "y.tif"))
    assert found[:, : 2 * TILE].all()
    assert not found[:, 2 * TILE :].any()


def test_a_slide_is_read_at_the_scale_of_training_and_its_background_is_skipped(tmp_path):
    values = picture(5, 512, 512)
    values[:256] = 250
    source = write_mirax(tmp_path / "x.mrxs", values, mpp=0.25)
    with open_slide(source) as slide:
        level, between = at_scale(slide, 0.5, None), at_scale(slide, 0.7, None)
        assert (level.level, level.height, level.width) == (1, 256, 256)
        area = Area(Span(20, 90, 183), Span(60, 100, 183))
        assert between.read(area).shape == (70, 40, 3)
        assert between.scanned(area).all()
    translator, said = make_translator(tile=128), []
    translator.card = replace(translator.card, data=replace(translator.card.data, mpp=0.5))
    translate_slide(translator, source, tmp_path / "y.tif", SlideOptions(skip_background=True), report=said.append)
    assert said == [f"{source}: 2 of 4 tiles are background"]
    found = tifffile.imread(tmp_path / "y.tif")
    assert (found[:128] == 250).all()
    assert found.shape == (256, 256, 3)


def test_a_folder_with_slides_in_several_files_is_translated_once_and_again_after_a_change(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    slide = write_mirax(folder / "x.mrxs", picture(6, HEIGHT, WIDTH))
    (folder / "h.vms").write_text("[Virtual Microscope Specimen]\nImageFile=h.jpg\nImageFile(1,0)=h(1,0).jpg\n")
    for name in ("h.jpg", "h(1,0).jpg", "other.jpg"):
        (folder / name).write_bytes(b"\xff\xd8\xff")
    found = find_files(folder)
    assert [file.as_posix() for file in found.files] == ["h.vms", "other.jpg", "x.mrxs"]
    assert found.unread == ""
    for name in ("h.vms", "h.jpg", "h(1,0).jpg", "other.jpg"):
        (folder / name).unlink()
    model = save_random_model(tmp_path / "m.safetensors", generator=RESNET)

    def lines():
        with pytest.raises(SystemExit) as stop:
            main(["translate", *map(str, (model, folder, tmp_path / "out")), "--precision", "fp32"])
        assert stop.value.code == 0
        return capsys.readouterr().err

    assert "1 translated, 0 failed" in lines()
    assert (tmp_path / "out" / "x.ome.tif").exists()
    assert "0 translated, 1 already there" in lines()
    data = folder / "x" / "Data0000.dat"
    data.write_bytes(data.read_bytes() + b"more")
    assert "1 translated, 0 failed" in lines()
    entries = (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()[1:]
    size = slide.stat().st_size + sum(file.stat().st_size for file in (folder / "x").iterdir())
    assert json.loads(entries[-1])["bytes"] == size


def test_a_stopped_translation_goes_on_if_no_file_of_the_slide_has_changed(tmp_path):
    source = write_mirax(tmp_path / "x.mrxs", picture(7, HEIGHT, HEIGHT))
    target, calls = tmp_path / "y.tif", []
    with pytest.raises(PictureError, match="was stopped"):
        translate_slide(make_translator(tile=64), source, target, stop=lambda: calls.append(0) or len(calls) > 150)
    lines = (tmp_path / ".y.tif.progress").read_text().splitlines()
    num_done, said = sum("done" in line for line in lines), []
    assert 0 < num_done < 16
    translate_slide(make_translator(tile=64), source, target, report=said.append)
    assert said == [f"{target}: {num_done} of 16 tiles are there from an earlier run"]
    calls.clear()
    with pytest.raises(PictureError, match="was stopped"):
        translate_slide(make_translator(tile=64), source, target, stop=lambda: calls.append(0) or len(calls) > 150)
    (tmp_path / "x" / "Data0000.dat").touch()
    said.clear()
    translate_slide(make_translator(tile=64), source, target, report=said.append)
    assert said == []


def test_what_cannot_be_read_is_one_line_with_a_cure(tmp_path, monkeypatch):
    path = write_mirax(tmp_path / "x.mrxs", picture(8, HEIGHT, HEIGHT))
    data = tmp_path / "x" / "Data0000.dat"
    data.write_bytes(data.read_bytes()[:2000])
    with (
        pytest.raises(PictureError, match=r"x\.mrxs cannot be read by OpenSlide \(.+\): copy it again with all"),
        open_slide(path) as slide,
    ):
        slide.read(slice(0, HEIGHT), slice(0, HEIGHT))
    (tmp_path / "y.mrxs").write_bytes(b"y")
    with (
        pytest.raises(PictureError, match=r"y\.mrxs has no folder y beside it, which holds its pixels: copy that too"),
        open_slide(tmp_path / "y.mrxs"),
    ):
        pass
    tifffile.imwrite(tmp_path / "l.tif", picture(8, 64, 64), description="<scn></scn>", metadata=None)
    with (
        pytest.raises(PictureError, match=r"l\.tif is a slide by Leica: rename it to l\.scn"),
        open_slide(tmp_path / "l.tif"),
    ):
        pass
    (tmp_path / "z.czi").write_bytes(b"z")
    with (
        pytest.raises(PictureError, match=r"z\.czi cannot be read by OpenSlide \(Unsupported or missing"),
        open_slide(tmp_path / "z.czi"),
    ):
        pass
    monkeypatch.setitem(sys.modules, "openslide", None)
    outcome = translate_files(make_translator(), plan_outputs(path, tmp_path / "o.ome.tif"))
    assert outcome.failed == [f"{path} is a slide for OpenSlide, which needs: pip install 'diptych[slides]'"]
