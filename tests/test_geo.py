"""Georeferenced rasters, small and large: GDAL writes them, and GDAL judges what comes back."""

import itertools

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import tifffile

from diptych.data.encoding import Encoding
from diptych.data.formats.slide import is_slide
from helpers.identity import identity_network, translated

RNG = np.random.default_rng(0)
H, W, BANDS = 300, 410, 5
NAMES = ("blue", "green", "red", "red edge", "infrared")
ENCODINGS = {
    "uint8": Encoding(BANDS), "uint16": Encoding(BANDS, "uint16"), "int16": Encoding(BANDS, "int16", -32768, 32767),
    "float32": Encoding(BANDS, "float32", -1, 1),
}  # fmt: skip


def write_raster(path, dtype, *, cog=False, interleave="band"):
    """A raster of five named bands with a corner without data, and a band in which one pixel has none."""
    if dtype == "float32":
        values, nodata = (RNG.integers(-1024, 1024, (BANDS, H, W)) / 1024).astype(dtype), -9999.0
    else:
        values, nodata = RNG.integers(1, np.iinfo(dtype).max, (BANDS, H, W), dtype), 0 if dtype[0] == "u" else -5
    values[:, :40, :50] = nodata
    values[2, 200, 300] = nodata
    plain = path.with_suffix(".plain.tif")
    with rasterio.open(
        plain, "w", driver="GTiff", height=H, width=W, count=BANDS, dtype=dtype, crs="EPSG:32632", nodata=nodata,
        transform=rasterio.Affine(10, 0, 500_000, 0, -20, 5_200_000), interleave=interleave, tiled=True, blockxsize=128,
        blockysize=128, compress="deflate",
    ) as file:  # fmt: skip
        file.write(values)
        file.descriptions = NAMES
        file.update_tags(ACQUIRED="2026-11-28")
        file.update_tags(3, WAVELENGTH="665")
    if cog:
        rasterio.shutil.copy(plain, path, driver="COG", blocksize=128, overview_count=1)
        plain.unlink()
    else:
        plain.rename(path)
    return values


def judge(source, target, values):
    """Checks with GDAL that ``target`` is the raster ``source``."""
    with rasterio.open(source) as before, rasterio.open(target) as after:
        np.testing.assert_array_equal(after.read(), values)
        for name in ("crs", "transform", "nodata", "descriptions", "dtypes", "bounds", "colorinterp"):
            assert getattr(after, name) == getattr(before, name), name
        assert after.tags()["ACQUIRED"] == "2026-11-28"
        assert after.tags(3)["WAVELENGTH"] == "665"
        np.testing.assert_array_equal(after.dataset_mask(), before.dataset_mask())
        return after.tags(ns="IMAGE_STRUCTURE"), after.overviews(1)


@pytest.mark.parametrize("dtype", ENCODINGS)
def test_a_cog_becomes_a_cog(tmp_path, dtype):
    values = write_raster(tmp_path / "x.tif", dtype, cog=True)
    assert not is_slide(tmp_path / "x.tif")
    assert translated(tmp_path / "x.tif", tmp_path / "y.tif", ENCODINGS[dtype]) == []
    structure, overviews = judge(tmp_path / "x.tif", tmp_path / "y.tif", values)
    assert structure["LAYOUT"] == "COG"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.tif", "y.tif"]
    assert overviews == []  # 300×410 fit into one tile of 512


@pytest.mark.parametrize(
    ("dtype", "cog", "interleave"), [*itertools.product(ENCODINGS, [True, False], ["band"]), ("int16", False, "pixel")]
)
def test_a_raster_that_is_too_large_for_memory_is_read_by_windows(tmp_path, monkeypatch, dtype, cog, interleave):
    values = write_raster(tmp_path / "x.tif", dtype, cog=cog, interleave=interleave)
    monkeypatch.setattr("diptych.data.formats.slide.MAX_PIXELS", 10_000)
    monkeypatch.setattr("diptych.data.formats.tiff.MAX_PIXELS", 10_000)  # reading it whole would fail
    assert is_slide(tmp_path / "x.tif")
    translator = identity_network(ENCODINGS[dtype], tile=128)
    assert translated(tmp_path / "x.tif", tmp_path / "y.tif", translator=translator) == []
    structure, _ = judge(tmp_path / "x.tif", tmp_path / "y.tif", values)
    assert (structure.get("LAYOUT") == "COG") == cog
    if not cog:
        with tifffile.TiffFile(tmp_path / "y.tif") as file:
            assert file.pages[0].is_tiled
            assert (file.pages[0].planarconfig == 2) == (interleave == "band")


def test_a_large_raster_is_not_brought_to_the_scale_of_slides(tmp_path, monkeypatch):
    from diptych.inference.slides import SlideOptions

    values = write_raster(tmp_path / "x.tif", "uint8")
    monkeypatch.setattr("diptych.data.formats.slide.MAX_PIXELS", 10_000)
    translator = identity_network(ENCODINGS["uint8"], tile=128)
    (said,) = translated(tmp_path / "x.tif", tmp_path / "y.tif", translator=translator, slides=SlideOptions(mpp=0.1))
    assert said == f"{tmp_path}/x.tif is georeferenced, so --mpp has no effect"
    judge(tmp_path / "x.tif", tmp_path / "y.tif", values)


def test_without_rasterio_the_layout_of_a_cog_is_lost_and_said(tmp_path, monkeypatch):
    values = write_raster(tmp_path / "x.tif", "uint8", cog=True)
    monkeypatch.setattr("diptych.data.formats.cog.find_spec", lambda _: None)
    (said,) = translated(tmp_path / "x.tif", tmp_path / "y.tif", ENCODINGS["uint8"])
    assert said == (
        f"{tmp_path}/y.tif: TIFF files do not keep the layout of a COG, which needs: pip install 'diptych[geo]'"
    )
    structure, _ = judge(tmp_path / "x.tif", tmp_path / "y.tif", values)
    assert "LAYOUT" not in structure


def test_a_mask_of_gdal_is_lost_and_said(tmp_path):
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(
        tmp_path / "x.tif", "w", driver="GTiff", height=64, width=64, count=3, dtype="uint8", crs="EPSG:32632",
        transform=rasterio.Affine(10, 0, 500_000, 0, -20, 5_200_000), photometric="rgb",
    ) as file:  # fmt: skip
        file.write(RNG.integers(0, 255, (3, 64, 64), np.uint8))
        file.write_mask(RNG.integers(0, 2, (64, 64)).astype(bool))
    (said,) = translated(tmp_path / "x.tif", tmp_path / "y.tif", Encoding(3))
    assert said == f"{tmp_path}/y.tif: TIFF files do not keep a mask of pixels without data"


def test_a_large_raster_with_transparency_is_refused(tmp_path, monkeypatch):
    tifffile.imwrite(
        tmp_path / "x.tif", np.zeros((64, 64, 4), np.uint8), photometric="rgb", extrasamples=["unassalpha"]
    )
    monkeypatch.setattr("diptych.data.formats.slide.MAX_PIXELS", 1000)
    with pytest.raises(
        AssertionError, match="4 samples of uint8 with transparency, which diptych cannot read a part at a time"
    ):
        translated(tmp_path / "x.tif", tmp_path / "y.tif", translator=identity_network(Encoding(3)))
