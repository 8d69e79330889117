"""With a network that returns its input, every format, type and number of bands gives the file's values and metadata
back. tifffile's, Pillow's and NumPy's own readers are the judges."""

import io
import itertools

import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import IFDRational

from diptych.data.encoding import Encoding
from diptych.data.formats.reading import read_picture
from diptych.data.formats.writing import write_picture
from diptych.data.image import DecodedImage
from diptych.errors import PictureError
from helpers.identity import identity, translated
from helpers.pictures import saved

RNG = np.random.default_rng(0)
H, W = 12, 17
LIMITS = {
    "uint8": (0, 255), "uint16": (0, 65535), "int8": (-128, 127), "int16": (-32768, 32767), "uint32": (5, 2**23),
    "int32": (-(2**22), 2**22 - 1), "float16": (-1, 1), "float32": (-1, 1), "float64": (-1, 1),
}  # fmt: skip


def values_of(dtype, bands, size=(H, W)):
    """``(H, W, bands)`` over the whole of ``LIMITS``; floats are multiples of 1/1024, which float32 holds."""
    low, high = LIMITS[dtype]
    if dtype.startswith("float"):
        return (RNG.integers(-1024, 1024, (*size, bands), endpoint=True) / 1024).astype(dtype)
    return RNG.integers(low, high, (*size, bands), dtype, endpoint=True)


def encoding_of(dtype, bands):
    return Encoding(bands, dtype) if dtype in ("uint8", "uint16") else Encoding(bands, dtype, *LIMITS[dtype])


def tiff_of(path, values, *, planar=False, **options):
    bands = values.shape[2]
    if bands > 1:
        options["planarconfig"] = "separate" if planar else "contig"
    options.setdefault("photometric", "minisblack" if bands != 3 else "rgb")
    if options["photometric"] == "minisblack" and bands > 1:
        options["extrasamples"] = ["unspecified"] * (bands - 1)
    stored = values[:, :, 0] if bands == 1 else np.moveaxis(values, 2, 0) if planar else values
    tifffile.imwrite(path, np.ascontiguousarray(stored), metadata=None, **options)
    return path


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("dtype", LIMITS)
def test_a_tiff_comes_back_with_its_values_type_bands_and_layout(tmp_path, dtype, bands):
    values = values_of(dtype, bands)
    layouts = itertools.product((False, True) if bands > 1 else (False,), (False, True), ({}, {"compression": "zlib"}, {"tile": (16, 16)}))  # fmt: skip
    for planar, big, storage in layouts:
        source = tiff_of(tmp_path / "x.tif", values, planar=planar, bigtiff=big, **storage)
        assert translated(source, tmp_path / "y.tif", encoding_of(dtype, bands)) == []
        with tifffile.TiffFile(source) as before, tifffile.TiffFile(tmp_path / "y.tif") as after:
            one, other = before.pages[0], after.pages[0]
            np.testing.assert_array_equal(after.asarray(), before.asarray())
            for name in (
                "dtype",
                "shape",
                "photometric",
                "planarconfig",
                "samplesperpixel",
                "extrasamples",
                "is_tiled",
            ):
                assert getattr(other, name) == getattr(one, name), name
            assert after.is_bigtiff == big


@pytest.mark.parametrize("bands", [1, 2, 5])
@pytest.mark.parametrize("dtype", LIMITS)
def test_an_array_comes_back_with_its_values_and_type(tmp_path, dtype, bands):
    values = values_of(dtype, bands)
    np.save(tmp_path / "x.npy", np.asfortranarray(values).astype(values.dtype.newbyteorder(">")))
    assert translated(tmp_path / "x.npy", tmp_path / "y.npy", encoding_of(dtype, bands)) == []
    found = np.load(tmp_path / "y.npy")
    np.testing.assert_array_equal(found, values[:, :, 0] if bands == 1 else values)
    assert found.dtype == dtype


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [*itertools.product([".png", ".tif"], ["L", "LA", "RGB", "RGBA"]), (".bmp", "L"), (".bmp", "RGB"), (".webp", "RGB"),
     (".webp", "RGBA")],
)  # fmt: skip
def test_pictures_of_8_bits_come_back(tmp_path, suffix, mode):
    image = Image.fromarray(values_of("uint8", 4), "RGBA").convert(mode)
    if "A" in mode:
        image.putalpha(255)
        image.putpixel((0, 0), (7,) * (len(mode) - 1) + (0,))
    source = saved(tmp_path / f"x{suffix}", image)
    translated(source, tmp_path / f"y{suffix}")
    before, after = Image.open(source), Image.open(tmp_path / f"y{suffix}")
    assert (after.mode, after.size) == (before.mode, before.size)
    if "A" in mode:
        np.testing.assert_array_equal(after.getchannel("A"), before.getchannel("A"))
    np.testing.assert_array_equal(np.asarray(after)[1:], np.asarray(before)[1:])


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_16_bits_of_colour_and_of_transparency_come_back(tmp_path, suffix, bands):
    values = values_of("uint16", bands)
    if bands in (2, 4):
        values[:, :, -1] = 65535
        values[0, 0, -1] = 12345
    channels, alpha = (bands - 1, values[:, :, -1]) if bands in (2, 4) else (bands, None)
    source = tmp_path / f"x{suffix}"
    write_picture(source, DecodedImage(values[:, :, :channels], alpha))
    if suffix == ".png":  # of colour, Pillow reads the higher bytes
        with Image.open(source) as image:
            high = values if image.mode == "I;16" else values >> 8
            np.testing.assert_array_equal(np.asarray(image).reshape(H, W, -1)[1:, :, 0], high[1:, :, 0])
    translated(source, tmp_path / f"y{suffix}")
    found = read_picture(tmp_path / f"y{suffix}")
    np.testing.assert_array_equal(
        found.values.reshape(-1, channels)[1:], values[:, :, :channels].reshape(-1, channels)[1:]
    )
    if alpha is not None:
        np.testing.assert_array_equal(found.alpha, alpha)
    if suffix == ".tif":
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "y.tif").reshape(H, W, -1)[1:], values[1:])


def test_floats_come_back_as_closely_as_a_network_in_float32_holds_them(tmp_path):
    values = RNG.uniform(-1000, 3000, (H, W, 2)).astype(np.float32)
    np.save(tmp_path / "x.npy", values)
    translated(tmp_path / "x.npy", tmp_path / "y.npy", Encoding(2, "float32", -1000, 3000))
    found = np.load(tmp_path / "y.npy")
    assert abs(found.astype(np.float64) - values).max() <= 4000 * 2**-23
    assert len(np.unique(found)) == len(np.unique(values))


# -- metadata

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GEO = [
    (33550, 12, 3, (10.0, 10.0, 0.0)), (33922, 12, 6, (0.0, 0.0, 0.0, 500000.0, 5200000.0, 0.0)),
    (34735, 3, 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32632)),
    (34736, 12, 2, (298.25, 6378137.0)), (34737, 2, 0, "WGS 84 / UTM zone 32N|"),
    (42112, 2, 0, '<GDALMetadata><Item name="DESCRIPTION" sample="0">red</Item></GDALMetadata>'),
]  # fmt: skip


def test_a_geotiff_keeps_its_tags_and_its_pixels_without_data(tmp_path):
    values = values_of("float32", 4)
    values[2, 3] = -9999
    values[5, 5, 1] = np.nan
    tags = [(*tag, True) for tag in GEO] + [(42113, 2, 0, "-9999", True), (315, 2, 0, "A. Mapper", True)]
    source = tiff_of(
        tmp_path / "x.tif", values, extratags=tags, description="four bands", resolution=(300.5, 150.25),
        resolutionunit="CENTIMETER", iccprofile=None,
    )  # fmt: skip
    assert translated(source, tmp_path / "y.tif", Encoding(4, "float32", -1, 1)) == []
    with tifffile.TiffFile(source) as before, tifffile.TiffFile(tmp_path / "y.tif") as after:
        np.testing.assert_array_equal(after.asarray(), before.asarray())
        for code in (270, 282, 283, 296, 315, 42113, *(tag[0] for tag in GEO)):
            assert after.pages[0].tags[code].value == before.pages[0].tags[code].value, code
        assert after.pages[0].geotiff_tags == before.pages[0].geotiff_tags


def test_a_translation_never_makes_a_pixel_with_data_look_as_if_it_had_none(tmp_path):
    values = np.full((8, 8, 1), 40, np.uint16)
    values[0] = 0
    source = tiff_of(tmp_path / "x.tif", values, extratags=[(42113, 2, 0, "0", True)])
    darker = identity(Encoding(1, "uint16"))
    darker.full_precision = lambda batch: batch * 0 - 1
    found = darker(read_picture(source))
    assert (found.values[0] == 0).all()
    assert (found.values[1:] == 1).all()


def test_without_data_in_another_type_is_the_nodata_value_if_it_fits_else_zero(tmp_path):
    values = values_of("float32", 1)
    values[3, 3] = np.nan
    picture = DecodedImage(values).with_missing()
    to_bytes = identity(Encoding(1, "float32", -1, 1), Encoding(1, "uint8", 0, 200))
    assert to_bytes(picture).values[3, 3] == 0
    scan = DecodedImage(np.array([[[-9999], [3]]], np.int16)).with_missing(-9999)
    to_floats = identity(Encoding(1, "int16", 0, 100), Encoding(1, "float32", 0, 1))
    np.testing.assert_allclose(to_floats(scan).values[0, :, 0], [np.nan, 0.03], rtol=1e-6)


def with_metadata(path, suffix, orientation=1):
    """A picture with a profile, EXIF data, XMP data and a resolution."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Maker"
    exif.get_ifd(0x8769)[0x9003] = "2026:11:28 12:00:00"
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">Lens</x:xmpmeta>'
    options = {"icc_profile": PROFILE, "exif": exif, "dpi": (300, 150)}
    if suffix == ".png":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    else:
        options["xmp"] = xmp
    image = Image.fromarray(values_of("uint8", 3))
    return saved(path / f"x{suffix}", image, **options), xmp


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_profile_exif_xmp_and_resolution_are_kept_and_the_pixels_are_upright(tmp_path, suffix, orientation):
    source, xmp = with_metadata(tmp_path, suffix, orientation)
    assert translated(source, tmp_path / f"y{suffix}") == []
    before, after = Image.open(source), Image.open(tmp_path / f"y{suffix}")
    upright = ImageOps.exif_transpose(before)
    assert after.size == upright.size
    if suffix != ".jpg":
        np.testing.assert_array_equal(np.asarray(after), np.asarray(upright))
    assert after.info["icc_profile"] == PROFILE
    exif = after.getexif()
    assert exif.get(0x0112, 1) == 1
    assert (exif[0x010F], exif.get_ifd(0x8769)[0x9003]) == ("Maker", "2026:11:28 12:00:00")
    assert after.info["xmp"] == xmp
    if suffix != ".webp":
        x, y = after.info["dpi"]
        assert (round(x), round(y)) == ((300, 150) if orientation < 5 else (150, 300))


def with_exif(path, **options):
    """EXIF data with a sub-directory of its own, places and texts; and a picture of it."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0131], exif[0x013B] = 1, "Maker", "Program", "Artist"
    exif.get_ifd(0x8769).update(
        {0x829A: IFDRational(1, 250), 0x9003: "2026:11:28 12:00:00", 0x8827: 400, 0x927C: b"note" * 9}
    )
    exif.get_ifd(0x8825).update({1: "N", 2: (IFDRational(47), IFDRational(22), IFDRational(61, 2))})
    return saved(path, Image.fromarray(values_of("uint8", 3)), exif=exif, **options)


def judge_exif(path):
    """What Pillow finds in the picture."""
    with Image.open(path) as image:
        exif = image.getexif()
        inner, places = exif.get_ifd(0x8769), exif.get_ifd(0x8825)
        assert (exif[0x010F], exif[0x013B]) == ("Maker", "Artist")
        assert (float(inner[0x829A]), inner[0x9003], inner[0x8827]) == (0.004, "2026:11:28 12:00:00", 400)
        assert (inner[0x927C], places[1], tuple(map(float, places[2]))) == (b"note" * 9, "N", (47, 22, 30.5))
        assert exif.get(0x0112, 1) == 1


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_exif_data_goes_into_a_tiff_and_back(tmp_path, suffix):
    source = with_exif(tmp_path / f"x{suffix}")
    judge_exif(source)
    assert translated(source, tmp_path / "y.tif") == []
    judge_exif(tmp_path / "y.tif")
    with tifffile.TiffFile(tmp_path / "y.tif") as file:
        found = file.pages[0].tags
        assert found["ExifTag"].value["ISOSpeedRatings"] == 400
        assert found["GPSTag"].value["GPSLatitudeRef"] == "N"
        assert found["Software"].value == "Program"
    for name in ("z.tif", "z.jpg", "z.png"):
        assert translated(tmp_path / "y.tif", tmp_path / name, Encoding(3)) == []
        judge_exif(tmp_path / name)


@pytest.mark.parametrize(("order", "big"), [("<", False), ("<", True), (">", False)])
def test_exif_data_of_a_tiff_that_pillow_does_not_read_is_kept(tmp_path, order, big):
    from diptych.data.formats.tiff_exif import exif_tags, write_directories

    exif = read_picture(with_exif(tmp_path / "x.jpg")).metadata.exif
    tags = [(tag.code, tag.dtype, tag.number, tag.value, True) for tag in exif_tags(exif, ())]
    source = tiff_of(
        tmp_path / "x.tif", values_of("float32", 4), planar=True, bigtiff=big, byteorder=order, extratags=tags
    )
    write_directories(source, exif)
    assert translated(source, tmp_path / "y.tif", Encoding(4, "float32", -1, 1)) == []
    for path in (source, tmp_path / "y.tif"):
        with tifffile.TiffFile(path) as file:
            assert file.is_bigtiff == big
            found = file.pages[0].tags
            assert found["ExifTag"].value["ISOSpeedRatings"] == 400
            assert found["ExifTag"].value["ExposureTime"] == (1, 250)
            assert found["GPSTag"].value["GPSLatitude"] == (47, 1, 22, 1, 61, 2)
            assert found["Make"].value == "Maker"


def test_a_png_of_16_bits_of_colour_keeps_its_metadata(tmp_path):
    image = read_picture(with_metadata(tmp_path, ".png")[0])
    write_picture(tmp_path / "deep.png", image._replace(values=values_of("uint16", 3)))
    translated(tmp_path / "deep.png", tmp_path / "y.png")
    after = Image.open(tmp_path / "y.png")
    after.load()
    assert after.info["icc_profile"] == PROFILE
    assert after.getexif()[0x010F] == "Maker"
    assert b"Lens" in after.info["xmp"]
    assert tuple(map(round, after.info["dpi"])) == (300, 150)


def test_what_a_format_does_not_keep_is_said_once(tmp_path):
    source, _ = with_metadata(tmp_path, ".png")
    assert translated(source, tmp_path / "y.bmp") == [
        f"{tmp_path}/y.bmp: BMP files do not keep the colour profile, EXIF data, XMP data"
    ]
    assert translated(source, tmp_path / "y.tif") == []
    with tifffile.TiffFile(tmp_path / "y.tif") as file:
        assert file.pages[0].iccprofile == PROFILE


def test_another_profile_than_srgb_is_said_and_kept(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    profile = profile[:16] + b"RGB " + profile[20:]
    source = saved(tmp_path / "x.png", Image.fromarray(values_of("uint8", 3)), icc_profile=profile)
    (said,) = translated(source, tmp_path / "y.png")
    assert said.startswith(f"{source} has the colour profile ")
    assert said.endswith(": values are not converted")
    assert Image.open(tmp_path / "y.png").info["icc_profile"] == profile


def test_a_profile_for_colour_is_not_written_into_a_grey_translation(tmp_path):
    source = saved(tmp_path / "x.png", Image.fromarray(values_of("uint8", 3)), icc_profile=PROFILE)
    grey = identity(Encoding(3), Encoding(1))
    grey.forward = lambda batch: batch[:, :1]
    assert grey(read_picture(source)).metadata.icc is None


# -- GDAL as the judge


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
def test_gdal_reads_the_same_place_bands_and_values(tmp_path, dtype):
    values = np.moveaxis(values_of(dtype, 5), 2, 0)
    values[2, :, 0] = nodata = 3 if dtype.startswith("u") else -1
    profile = {"driver": "GTiff", "height": H, "width": W, "count": 5, "dtype": dtype, "crs": "EPSG:32632"}
    place = rasterio.transform.from_origin(500_000, 5_200_000, 10, 20)
    source, target = tmp_path / "x.tif", tmp_path / "y.tif"
    with rasterio.open(source, "w", transform=place, nodata=nodata, interleave="band", tiled=True, blockxsize=16,
                       blockysize=16, **profile) as file:  # fmt: skip
        file.write(values)
        file.descriptions = ("blue", "green", "red", "red edge", "infrared")
        file.update_tags(ACQUIRED="2026-11-28")
    assert translated(source, target, encoding_of(dtype, 5)) == []
    with rasterio.open(source) as before, rasterio.open(target) as after:
        np.testing.assert_array_equal(after.read(), values)
        for name in ("crs", "transform", "nodata", "descriptions", "dtypes", "bounds", "interleaving"):
            assert getattr(after, name) == getattr(before, name), name
        assert after.tags()["ACQUIRED"] == "2026-11-28"


# -- what does not fit


def test_bands_and_types_that_a_format_does_not_hold_are_refused_or_mapped_and_said(tmp_path):
    bands = DecodedImage(values_of("uint8", 5))
    with pytest.raises(
        PictureError, match=r"x\.png cannot hold 5 channels, but 1 or 3: give a name that ends in \.tif"
    ):
        write_picture(tmp_path / "x.png", bands)
    source = tiff_of(tmp_path / "x.tif", values_of("float32", 1))
    (said,) = translated(source, tmp_path / "y.png", Encoding(1, "float32", -1, 1))
    assert said == f"{tmp_path}/y.png cannot hold values from -1 to 1: they are written as 0 to 65535"
    levels = np.rint((tifffile.imread(source).astype(np.float64) + 1) / 2 * 65535)
    assert abs(np.asarray(Image.open(tmp_path / "y.png")).astype(int) - levels).max() <= 1
    assert len(np.unique(levels)) > 150


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((3, 200, 200), np.uint8), "is an array of 3 × 200 × 200, not of height × width × channels"),
        (np.zeros(5, np.float32), "is an array of 5, not"),
        (np.zeros((4, 4), np.int64), "holds int64: save it as uint8, int8, "),
        (np.zeros((4, 4), bool), "holds bool"),
        (np.array([{}]), "is cut off or damaged"),
    ],
)
def test_an_array_that_is_no_picture_is_refused(tmp_path, array, said):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(PictureError) as caught:
        read_picture(tmp_path / "x.npy")
    assert said in str(caught.value)


def test_an_array_in_a_zip_is_read(tmp_path):
    from zipfile import ZipFile

    values, content = values_of("float32", 2), io.BytesIO()
    np.save(content, values)
    with ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr("a/x.npy", content.getvalue())
    np.testing.assert_array_equal(read_picture(tmp_path / "x.zip/a/x.npy").values, values)


def test_an_array_of_too_many_pixels_is_refused_before_memory_is_taken(tmp_path):
    np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, (20_000, 10_000)).flush()  # takes no space
    with pytest.raises(PictureError, match=r"x\.npy claims more than 179 million pixels"):
        read_picture(tmp_path / "x.npy")
