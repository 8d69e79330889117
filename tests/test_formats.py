"""Every kind of file, written by another library, gives its own values or is refused as what it is; nothing else."""

import itertools
import struct
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from diptych.data.formats.reading import open_picture, read_header, read_picture
from diptych.errors import PictureError
from helpers.pictures import adam7, chunk, png, png_rows, saved

H, W = 6, 5
RNG = np.random.default_rng(0)
DTYPES = ["uint8", "uint16", "uint32", "int8", "int16", "int32", "float16", "float32", "float64"]
COLOURS = {"minisblack": 1, "miniswhite": 1, "rgb": 3}


def random_values(dtype, bands):
    """``(H, W, bands)`` over the whole range of ``dtype``."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return RNG.random((H, W, bands)).astype(dtype)
    limits = np.iinfo(dtype)
    return RNG.integers(limits.min, limits.max, (H, W, bands), dtype=dtype, endpoint=True)


def written(path, values, *, planar="contig", extra=None, **options):
    """``values``, ``(H, W, C)``, as TIFF; ``extra`` is the kind of all extra samples."""
    bands, colours = values.shape[2], COLOURS[options["photometric"]]
    if bands > 1:
        options["planarconfig"] = planar
    if bands > colours:
        options["extrasamples"] = [extra] * (bands - colours)
    stored = values[:, :, 0] if bands == 1 else np.moveaxis(values, 2, 0) if planar == "separate" else values
    tifffile.imwrite(path, stored, metadata=None, **options)
    return path


def on_white(values, alpha, *, associated=False):
    """In exact arithmetic, rounded to the nearest."""
    peak = np.iinfo(values.dtype).max
    share = alpha[:, :, None].astype(np.int64)
    scaled = values.astype(np.int64) * (peak if associated else share) + peak * (peak - share)
    return ((2 * scaled + peak) // (2 * peak)).clip(0, peak)


def opaque_half(values, *, associated=False):
    """``values`` with transparency as its last band: half of it opaque, the rest random."""
    values = values.copy()
    values[: H // 2, :, -1] = np.iinfo(values.dtype).max
    if associated:
        values[:, :, :-1] = np.minimum(values[:, :, :-1], values[:, :, -1:])
    return values


def expectation(values, photometric, extra):
    """The values that are read, or the name by which the file is refused."""
    bands, colours = values.shape[2], COLOURS[photometric]
    dtype = values.dtype.name
    if photometric == "miniswhite":
        if bands > 1 or not dtype.startswith("uint"):
            return f"holds {f'{bands} bands of ' if bands > 1 else ''}{dtype} with white as zero, "
        return np.iinfo(dtype).max - values
    if is_transparency(dtype, bands, colours, extra):
        return on_white(values[:, :, :-1], values[:, :, -1], associated=extra == "assocalpha")
    return values


def is_transparency(dtype, bands, colours, extra):
    """Whether the last of ``bands`` is transparency."""
    return dtype in ("uint8", "uint16") and bands == colours + 1 and extra in ("assocalpha", "unassalpha")


LAYOUTS = [
    (photometric, bands, planar)
    for photometric, bands, planar in itertools.product(COLOURS, range(1, 6), ("contig", "separate"))
    if bands >= COLOURS[photometric] and (bands > 1 or planar == "contig")
]


@pytest.mark.parametrize(("photometric", "bands", "planar"), LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_tiff_gives_its_values_or_is_refused_as_what_it_is(tmp_path, dtype, photometric, bands, planar):
    values = random_values(dtype, bands)
    extras = ("unspecified", "assocalpha", "unassalpha") if bands > COLOURS[photometric] else (None,)
    storages = ({}, {"tile": (16, 16)}, {"compression": "zlib"}, {"bigtiff": True, "rowsperstrip": 2})
    for extra, byteorder, storage in itertools.product(extras, "<>", storages):
        is_alpha = is_transparency(dtype, bands, COLOURS[photometric], extra) and photometric != "miniswhite"
        given = opaque_half(values, associated=extra == "assocalpha") if is_alpha else values
        path = tmp_path / "x.tif"
        written(path, given, planar=planar, extra=extra, photometric=photometric, byteorder=byteorder, **storage)
        expected = expectation(given, photometric, extra)
        if isinstance(expected, str):
            for read in (read_header, read_picture):
                with pytest.raises(PictureError) as caught:
                    read(path)
                assert str(caught.value).startswith(f"{path} {expected}")
                assert "\n" not in str(caught.value)
        else:
            found = read_picture(path)
            assert found.values.dtype == given.dtype
            np.testing.assert_array_equal(found.values, expected, err_msg=f"{extra} {byteorder} {storage}")
            assert read_header(path) == (W, H, expected.shape[2], dtype)
            assert (found.note is None) == (photometric != "minisblack" or expected.shape[2] != 3)
            if is_alpha:
                np.testing.assert_array_equal(found.alpha, given[:, :, -1])


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("extra", ["unspecified", "assocalpha", "unassalpha"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_infrared_is_a_band_whatever_the_file_calls_it(tmp_path, dtype, extra, planar):
    values = random_values(dtype, 4) // 2
    values[: H // 2, :, 3] = 0  # pixels without data, as at the edges of a satellite's picture
    path = written(tmp_path / "x.tif", values, planar=planar, extra=extra, photometric="rgb")
    np.testing.assert_array_equal(read_picture(path, bands=4).values, values)
    if extra != "unspecified":
        with pytest.raises(PictureError, match=rf"x\.tif holds 4 bands of {dtype}.*: train with --channels-a 4"):
            read_picture(path)


@pytest.mark.parametrize(
    ("alpha", "behaves"),
    [
        (np.full((4, 4), 255), True),
        (np.repeat([[0], [0], [255], [128]], 4, axis=1), True),
        (np.repeat([[255], [255], [128], [64]], 4, axis=1), True),
        (np.repeat([[255], [200], [128], [64]], 4, axis=1), False),
        (np.zeros((4, 4)), False),
    ],
    ids=["opaque", "an edge", "half soft", "mostly soft", "nothing visible"],
)
def test_transparency_has_an_opaque_part(tmp_path, alpha, behaves):
    values = np.dstack([np.full((4, 4, 3), 40), alpha]).astype(np.uint8)
    path = written(tmp_path / "x.tif", values, extra="unassalpha", photometric="rgb")
    if behaves:
        np.testing.assert_array_equal(read_picture(path).alpha, alpha)
    else:
        with pytest.raises(PictureError, match="4 bands of uint8: .*; as PNG, if it is transparency"):
            read_picture(path)


@pytest.mark.parametrize(("level", "is_alpha"), [(255, True), (100, False)])
def test_an_extra_sample_beside_a_palette_is_transparency_only_if_it_is_like_it(tmp_path, level, is_alpha):
    image = Image.fromarray(random_values("uint8", 3)).convert("PA")
    image.putalpha(level)
    path = saved(tmp_path / "x.tif", image)
    if is_alpha:
        assert (read_picture(path).alpha == 255).all()
    else:
        with pytest.raises(PictureError, match=r"x\.tif holds 2 bands of uint8: the last is called transparency"):
            read_picture(path)


@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_colours_above_their_associated_alpha_show_that_it_is_a_band(tmp_path, dtype, compression):
    values = opaque_half(random_values(dtype, 4), associated=True)
    values[-1, -1] = (5, 9, 5, 8)
    path = written(tmp_path / "x.tif", values, extra="assocalpha", photometric="rgb", compression=compression)
    with pytest.raises(PictureError, match=f"4 bands of {dtype}"):
        read_picture(path)


@pytest.mark.parametrize("compression", ["lzw", "zlib", "packbits", "zstd", "jpegxl", "jpeg2000"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_every_lossless_compression_gives_the_same_values(tmp_path, dtype, compression):
    values = random_values(dtype, 3)
    path = written(tmp_path / "x.tif", values, photometric="rgb", compression=compression)
    np.testing.assert_array_equal(read_picture(path).values, values)


def test_without_imagecodecs_a_rare_compression_names_the_extra_and_common_ones_are_read(tmp_path):
    rare, common = random_values("uint8", 3), random_values("uint16", 3)
    written(tmp_path / "rare.tif", rare, photometric="rgb", compression="jpegxl")
    written(tmp_path / "planar.tif", common, photometric="rgb", compression="lzw", planar="separate")
    written(tmp_path / "common.tif", common, photometric="rgb", compression="lzw")
    code = """
import sys
sys.modules["imagecodecs"] = None
from pathlib import Path
from diptych.data.formats.reading import read_header, read_picture
print(read_picture(Path("common.tif")).values.tolist())
for name in ("rare.tif", "planar.tif"):
    try:
        read_header(Path(name))
    except ValueError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        str(common.tolist()),
        "rare.tif is compressed by JPEGXL, which needs: pip install 'diptych[images]'",
        "planar.tif is compressed by LZW, which needs: pip install 'diptych[images]'",
    ]
    assert done.stderr == ""


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_of_fewer_bits_fills_the_range_of_8(tmp_path, bits, photometric):
    values = RNG.integers(0, 2**bits, (H, W), dtype=np.uint8)
    options = {} if bits == 1 else {"bitspersample": bits}
    tifffile.imwrite(tmp_path / "x.tif", values > 0 if bits == 1 else values, photometric=photometric, **options)
    expected = values * (255 // (2**bits - 1))
    expected = 255 - expected if photometric == "miniswhite" else expected
    np.testing.assert_array_equal(read_picture(tmp_path / "x.tif").values[:, :, 0], expected)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_cmyk_is_read_as_the_colour_that_its_inks_leave(tmp_path, planar):
    inks = random_values("uint8", 4)
    stored = np.moveaxis(inks, 2, 0) if planar == "separate" else inks
    tifffile.imwrite(tmp_path / "x.tif", stored, photometric="separated", planarconfig=planar)
    light = 255 - inks.astype(float)
    assert np.abs(read_picture(tmp_path / "x.tif").values - light[:, :, :3] * light[:, :, 3:] / 255).max() <= 0.5


def test_lab_is_read_as_the_colour_that_it_describes(tmp_path):
    lab = np.array(
        [[[0, 0, 0], [128, 0, 0], [136, 208, 195], [255, 0, 0]]], np.uint8
    )  # the third: L 53.3, a -48, b -61
    lab[0, 2] = (136, 80, 67)  # L 53.2, a 80, b 67: red of sRGB
    tifffile.imwrite(tmp_path / "x.tif", lab, photometric="cielab")
    expected = [[0, 0, 0], [119, 119, 119], [255, 0, 0], [255, 255, 255]]
    assert np.abs(read_picture(tmp_path / "x.tif").values[0].astype(int) - expected).max() <= 12


@pytest.mark.parametrize("grey", [False, True])
def test_a_palette_of_a_tiff_is_looked_up(tmp_path, grey):
    indices = RNG.integers(0, 256, (H, W), dtype=np.uint8)
    colours = RNG.integers(0, 256, (1 if grey else 3, 256), dtype=np.uint16).repeat(3 if grey else 1, axis=0)
    tifffile.imwrite(tmp_path / "x.tif", indices, photometric="palette", colormap=colours * 257)
    expected = colours.T[indices][:, :, : 1 if grey else 3]
    np.testing.assert_array_equal(read_picture(tmp_path / "x.tif").values, expected)
    assert read_header(tmp_path / "x.tif") == (W, H, 1 if grey else 3, "uint8")


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_bits_may_be_stored_in_reverse_order(tmp_path, dtype, bands, planar):
    values = random_values(dtype, bands)
    reversed_bits = np.array([int(f"{byte:08b}"[::-1], 2) for byte in range(256)], np.uint8)
    stored = reversed_bits[values.view(np.uint8)].view(dtype)
    photometric, path = "rgb" if bands == 3 else "minisblack", tmp_path / "x.tif"
    written(path, stored, photometric=photometric, planar=planar, extratags=[(65000, "H", 1, 2, True)])
    tag, fill_order = (struct.pack("<HHI", number, 3, 1) for number in (65000, 266))  # tifffile writes no FillOrder
    path.write_bytes(path.read_bytes().replace(tag, fill_order))
    np.testing.assert_array_equal(read_picture(path).values, values)


def test_a_tiff_of_jpeg_is_decoded_to_rgb(tmp_path):
    smooth = np.add.outer(np.arange(32), np.arange(32))[:, :, None] * np.array([1, 2, 3], np.uint8)
    path = written(tmp_path / "x.tif", smooth.astype(np.uint8), photometric="rgb", compression="jpeg")
    with tifffile.TiffFile(path) as file:
        assert file.pages[0].photometric == 6  # stored as YCbCr
    assert np.abs(read_picture(path).values - smooth).mean() < 3


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("uint12", lambda path: tifffile.imwrite(path, np.ones((H, W), np.uint16), bitspersample=12)),
        ("complex64", lambda path: tifffile.imwrite(path, np.ones((H, W), np.complex64))),
        ("CMYK of uint16", lambda path: tifffile.imwrite(path, np.ones((H, W, 4), np.uint16), photometric="separated")),
        ("5 bands of uint8", lambda path: tifffile.imwrite(path, np.ones((H, W, 5), np.uint8), photometric="separated")),
        ("YCbCr of uint8", lambda path: tifffile.imwrite(path, np.ones((3, H, W), np.uint8), photometric="ycbcr", planarconfig="separate", subsampling=(1, 1))),
        ("YCbCr of uint8", lambda path: tifffile.imwrite(path, np.ones((H, W, 3), np.uint8), photometric="ycbcr", subsampling=(1, 1))),
        ("4 bands of uint8", lambda path: tifffile.imwrite(path, np.ones((H, W, 4), np.uint8), photometric="separated", extratags=[(332, "H", 1, 2, True)])),
        ("CIELAB of uint16", lambda path: tifffile.imwrite(path, np.ones((H, W, 3), np.uint16), photometric="cielab")),
        ("raw data of uint16", lambda path: tifffile.imwrite(path, np.ones((H, W), np.uint16), photometric="cfa")),
        ("a volume of uint8", lambda path: tifffile.imwrite(path, np.ones((16, 16, 16), np.uint8), volumetric=True, tile=(16, 16, 16))),
    ],
)  # fmt: skip
def test_other_kinds_of_tiff_are_refused_by_name(tmp_path, name, make):
    make(tmp_path / "x.tif")
    types = "uint8, int8, uint16, int16, uint32, int32, float16, float32, float64"
    cure = f"save it as grey, RGB or bands of {types}"
    for read in (read_header, read_picture):
        with pytest.raises(PictureError) as caught:
            read(tmp_path / "x.tif")
        assert str(caught.value) == f"{tmp_path}/x.tif holds {name}, which diptych cannot use: {cure}"


def test_a_file_that_begins_with_a_thumbnail_is_not_read_as_its_thumbnail(tmp_path):
    with tifffile.TiffWriter(tmp_path / "x.tif") as file:
        file.write(np.ones((H, W, 3), np.uint8), photometric="rgb", subfiletype=1)
        file.write(np.ones((4 * H, 4 * W, 3), np.uint8), photometric="rgb")
    with pytest.raises(
        PictureError, match=r"x\.tif begins with a thumbnail, as raw files of cameras do: save the pict"
    ):
        read_header(tmp_path / "x.tif")


def test_a_compression_that_no_package_reads_names_no_package(tmp_path):
    path = written(tmp_path / "x.tif", random_values("uint16", 1), photometric="miniswhite", compression="zlib")
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags["Compression"].overwrite(50002 + 90)
    with pytest.raises(PictureError, match="is compressed by 50092, which diptych does not read: save it with another"):
        read_header(path)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_a_tiff_comes_upright_whichever_library_decodes_it(tmp_path, planar, orientation):
    values = random_values("uint16", 3)
    tag = (274, "H", 1, orientation, True)
    path = written(tmp_path / "x.tif", values, photometric="rgb", planar=planar, extratags=[tag])
    found = read_picture(path).values
    # Where the stored corners are seen, by the names that TIFF 6.0 gives the orientations.
    first_row, first_column = ["TL", "TR", "BR", "BL", "LT", "RT", "RB", "LB"][orientation - 1]
    expected = values.swapaxes(0, 1) if first_row in "LR" else values
    expected = expected[::-1] if "B" in (first_row, first_column) else expected
    expected = expected[:, ::-1] if "R" in (first_row, first_column) else expected
    np.testing.assert_array_equal(found, expected)
    assert read_header(path)[:2] == expected.shape[1::-1]
    with open_picture(path) as file:
        assert (file.orientation != 1) == (orientation != 1)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("as_imagej", [False, True])
def test_the_first_page_of_a_stack_is_read_and_said_so(tmp_path, dtype, as_imagej):
    stack = random_values(dtype, 4).transpose(2, 0, 1)
    options = {"imagej": True, "truncate": True} if as_imagej else {"photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "x.tif", stack, **options)
    found = read_picture(tmp_path / "x.tif")
    np.testing.assert_array_equal(found.values[:, :, 0], stack[0])
    assert found.note == f"{tmp_path}/x.tif has 4 frames: the first is used"


# -- damaged TIFFs


@pytest.mark.parametrize("storage", [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"rowsperstrip": 1}])
@pytest.mark.parametrize("photometric", ["miniswhite", "minisblack"])
def test_a_tiff_without_part_of_its_data_is_not_filled_with_zeros(tmp_path, photometric, storage):
    path = written(tmp_path / "x.tif", random_values("uint16", 1), photometric=photometric, **storage)
    content = path.read_bytes()
    path.write_bytes(content[: -400 if "tile" in storage else -4])  # most of a tile lies outside of the picture
    assert read_header(path) == (W, H, 1, "uint16")
    with pytest.raises(PictureError, match="is cut off or damaged"):
        read_picture(path)


def test_a_tiff_with_an_empty_strip_is_not_filled_with_zeros(tmp_path):
    path = written(tmp_path / "x.tif", random_values("uint16", 1), photometric="miniswhite", compression="zlib", rowsperstrip=2)  # fmt: skip
    with tifffile.TiffFile(path, mode="r+") as file:
        counts = file.pages[0].tags["StripByteCounts"]
        counts.overwrite([*counts.value[:2], 0])
    with pytest.raises(PictureError, match="is cut off or damaged .*; 2 of 3 strips or tiles are complete"):
        read_picture(path)


def test_a_header_that_claims_too_much_is_refused_before_memory_is_taken(tmp_path):
    path = written(tmp_path / "x.tif", random_values("uint16", 1), photometric="miniswhite", compression="zlib")
    with tifffile.TiffFile(path, mode="r+") as file:
        for tag, value in (("ImageWidth", 50_000), ("ImageLength", 50_000)):
            file.pages[0].tags[tag].overwrite(value)
    with pytest.raises(PictureError, match="claims more than 179 million pixels"):
        read_header(path)
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags["ImageWidth"].overwrite(3000)
    with pytest.raises(PictureError, match="is cut off or damaged"):
        read_picture(path)


# -- PNG


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("colour_type", "depth"), [*((0, depth) for depth in (1, 2, 4, 8, 16)), *itertools.product((2, 4, 6), (8, 16))]
)
def test_a_png_of_every_kind_gives_its_values(tmp_path, colour_type, depth, interlaced):
    bands = {0: 1, 2: 3, 4: 2, 6: 4}[colour_type]
    stored = RNG.integers(0, 2**depth, (11, 9, bands), dtype=np.uint16)
    rows = adam7(stored, depth) if interlaced else png_rows(stored, depth)
    path = tmp_path / "x.png"
    path.write_bytes(png(9, 11, depth=depth, colour_type=colour_type, rows=rows, interlaced=interlaced))
    dtype = np.uint16 if depth == 16 else np.uint8
    values = (stored * (np.iinfo(dtype).max // (2**depth - 1))).astype(dtype)
    found = read_picture(path)
    if colour_type in (4, 6):
        np.testing.assert_array_equal(found.values, on_white(values[:, :, :-1], values[:, :, -1]))
        np.testing.assert_array_equal(found.alpha, values[:, :, -1])
    else:
        np.testing.assert_array_equal(found.values, values)
        assert found.alpha is None
    assert found.values.dtype == dtype
    assert found.note is None
    assert read_header(path) == (9, 11, 1 if bands <= 2 else 3, found.values.dtype)


@pytest.mark.parametrize(("colour_type", "depth"), [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16)])
def test_one_transparent_colour_of_a_png_is_exactly_that_colour(tmp_path, colour_type, depth):
    bands = 1 if colour_type == 0 else 3
    stored = RNG.integers(0, 2**depth, (H, W, bands), dtype=np.uint16)
    key = stored[2, 3].copy()
    stored[0, 0] = key
    stored[0, 0, -1] ^= 1  # differs in the lowest bit, which must not be transparent
    transparent = chunk(b"tRNS", struct.pack(f">{bands}H", *map(int, key)))
    content = png(W, H, depth=depth, colour_type=colour_type, rows=png_rows(stored, depth), extra=transparent)
    (tmp_path / "x.png").write_bytes(content)
    found = read_picture(tmp_path / "x.png")
    is_clear = (stored == key).all(axis=2)
    np.testing.assert_array_equal(found.alpha, np.where(is_clear, 0, 65535 if depth == 16 else 255))
    values = stored * (1 if depth == 16 else 255 // (2**depth - 1))
    np.testing.assert_array_equal(found.values[~is_clear], values[~is_clear])
    assert (found.values[is_clear] == np.iinfo(found.values.dtype).max).all()


def test_a_png_of_16_bits_of_colour_is_upright(tmp_path):
    stored = random_values("uint16", 3)
    exif = Image.Exif()
    exif[274] = 6
    chunks = chunk(b"eXIf", exif.tobytes()[6:])
    (tmp_path / "x.png").write_bytes(png(W, H, depth=16, colour_type=2, rows=png_rows(stored, 16), extra=chunks))
    np.testing.assert_array_equal(read_picture(tmp_path / "x.png").values, np.rot90(stored, -1))


def test_gamma_and_colour_profile_leave_the_values_as_they_are(tmp_path):
    stored = random_values("uint8", 3)
    gamma = chunk(b"gAMA", struct.pack(">I", 100_000))
    (tmp_path / "x.png").write_bytes(png(W, H, colour_type=2, rows=png_rows(stored, 8), extra=gamma))
    np.testing.assert_array_equal(read_picture(tmp_path / "x.png").values, stored)


# -- what is not read


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC picture"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "an AVIF picture"),
        (b"8BPS\0\1", "a Photoshop file"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 picture"),
    ],
)
def test_a_foreign_file_with_the_name_of_a_picture_is_named(tmp_path, content, name):
    (tmp_path / "x.jpg").write_bytes(content + bytes(100))
    with pytest.raises(PictureError) as caught:
        read_picture(tmp_path / "x.jpg")
    assert str(caught.value) == f"{tmp_path}/x.jpg is {name}, despite its name: save it as JPEG or PNG to use it"


def test_a_jpeg_of_12_bits_is_refused_as_such(tmp_path):
    path = saved(tmp_path / "x.jpg", Image.fromarray(random_values("uint8", 3)))
    content = bytearray(path.read_bytes())
    content[content.index(b"\xff\xc0") + 4] = 12
    path.write_bytes(content)
    with pytest.raises(
        PictureError, match=r"x\.jpg is a JPEG file that cannot be read \(cannot handle 12-bit layers\)"
    ):
        read_picture(path)


# -- other formats: the values of the library that wrote them


@pytest.mark.parametrize("mode", ["RGB;15", "RGB;16"])
def test_a_bmp_of_16_bits_per_pixel_fills_the_range_of_8(tmp_path, mode):
    levels = {"RGB;15": (32, 32, 32), "RGB;16": (32, 64, 32)}[mode]
    stored = np.stack([RNG.integers(0, number, (4, 4)) for number in levels], axis=2)
    shifts = (10, 5, 0) if mode == "RGB;15" else (11, 5, 0)
    words = sum(stored[:, :, i] << shift for i, shift in enumerate(shifts)).astype("<u2")[::-1].tobytes()
    masks = b"".join(struct.pack("<I", (number - 1) << shift) for number, shift in zip(levels, shifts, strict=True))
    header = struct.pack("<IiiHHIIiiII", 40, 4, 4, 1, 16, 3, len(words), 0, 0, 0, 0)
    (tmp_path / "x.bmp").write_bytes(b"BM" + struct.pack("<IHHI", 66 + len(words), 0, 0, 66) + header + masks + words)
    expected = stored * 255 / (np.array(levels) - 1)
    assert np.abs(read_picture(tmp_path / "x.bmp").values - expected).max() <= 1
