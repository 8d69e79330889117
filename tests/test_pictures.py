"""Picture files as they come: each kind is read as a user expects, each wrong file is reported in one line."""

import io
import random
import struct
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from diptych.data.encoding import eight_bits
from diptych.data.formats.reading import read_header, read_picture
from diptych.data.formats.writing import storable, write_picture
from diptych.data.image import DecodedImage, from_pillow, to_pillow, with_channels
from diptych.data.transforms import resize
from diptych.errors import PictureError
from helpers.pictures import CONTENTS, png, saved
from helpers.system import unprivileged

# pytest turns on again what diptych.data.formats.pillow turns off; see test_pillow_prints_no_warning_of_its_own.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (12, 17), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (12, 17, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (12, 17), dtype=np.uint8)
ALPHA[:6] = 255  # a TIFF's transparency must have an opaque part
DEEP = RNG.integers(0, 65536, (12, 17), dtype=np.uint16)
SMOOTH = np.stack([np.add.outer(np.arange(40), np.arange(60)) * k % 256 for k in (1, 2, 2)], axis=2).astype(np.uint8)


# -- every kind of picture


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".gif", ".webp"])
def test_every_lossless_format_keeps_colour_exactly(tmp_path, suffix):
    image = Image.fromarray(COLOUR[:10, :10])  # at most 256 colours, for GIF
    picture = read_picture(saved(tmp_path / f"x{suffix}", image))
    np.testing.assert_array_equal(picture.values, COLOUR[:10, :10])
    assert picture[1:4] == (None, None, None)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".gif"])
def test_grey_is_kept_exactly_and_has_one_channel(tmp_path, suffix):
    path = saved(tmp_path / f"x{suffix}", Image.fromarray(GREY))
    np.testing.assert_array_equal(read_picture(path).values, GREY[:, :, None])
    assert read_header(path) == (17, 12, 1, "uint8")


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_is_nearly_unchanged(tmp_path, mode):
    path = saved(tmp_path / "x.jpg", Image.fromarray(SMOOTH).convert(mode))
    expected = np.asarray(Image.open(path).convert("L" if mode == "L" else "RGB")).reshape(40, 60, -1)
    found = read_picture(path).values
    np.testing.assert_array_equal(found, expected)
    original = np.asarray(Image.fromarray(SMOOTH).convert(mode).convert("L" if mode == "L" else "RGB")).reshape(
        40, 60, -1
    )
    assert np.abs(found.astype(int) - original).mean() < 4


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".gif"])
def test_black_and_white_is_grey_of_0_and_255(tmp_path, suffix):
    bits = GREY > 127
    found = read_picture(saved(tmp_path / f"x{suffix}", Image.fromarray(bits))).values
    np.testing.assert_array_equal(found, bits[:, :, None] * np.uint8(255))


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".gif"])
@pytest.mark.parametrize(("source", "channels"), [(GREY, 1), (COLOUR, 3)])
def test_a_palette_is_looked_up_and_a_palette_of_greys_is_grey(tmp_path, suffix, source, channels):
    image = Image.fromarray(source).quantize(16)
    path = saved(tmp_path / f"x{suffix}", image)
    found = read_picture(path).values
    np.testing.assert_array_equal(found, np.asarray(image.convert("RGB"))[:, :, :channels])
    assert read_header(path).channels == channels


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("grey", [False, True])
def test_transparent_pictures_lie_on_white_and_keep_their_alpha(tmp_path, suffix, grey):
    layers = np.dstack([GREY if grey else COLOUR, ALPHA])
    options = {"exact": True} if suffix == ".webp" else {}
    picture = read_picture(saved(tmp_path / f"x{suffix}", Image.fromarray(layers), **options))
    share = ALPHA[:, :, None] / 255
    expected = layers[:, :, :-1] * share + 255 * (1 - share)
    assert picture.values.shape[2] == (1 if grey and suffix != ".webp" else 3)
    np.testing.assert_array_equal(picture.alpha, ALPHA)
    assert np.abs(picture.values - expected).max() <= 1


@pytest.mark.parametrize("suffix", [".png", ".gif"])
def test_a_transparent_colour_of_a_palette_is_alpha(tmp_path, suffix):
    image = Image.fromarray(COLOUR).quantize(16)
    picture = read_picture(saved(tmp_path / f"x{suffix}", image, transparency=3))
    np.testing.assert_array_equal(picture.alpha == 0, np.asarray(image) == 3)
    assert (picture.values[picture.alpha == 0] == 255).all()


@pytest.mark.parametrize("mode", ["PA", "CMYK", "LAB"])
def test_the_rarer_modes_of_tiff_are_read_as_colour(tmp_path, mode):
    image = (
        Image.frombytes("LAB", (17, 12), COLOUR.tobytes()) if mode == "LAB" else Image.fromarray(COLOUR).convert(mode)
    )
    assert read_picture(saved(tmp_path / "x.tif", image)).values.shape == (12, 17, 3)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_grey_of_16_bits_keeps_its_whole_range(tmp_path, suffix):
    path = saved(tmp_path / f"x{suffix}", Image.fromarray(DEEP))
    picture = read_picture(path)
    assert picture.values.dtype == np.uint16
    np.testing.assert_array_equal(picture.values, DEEP[:, :, None])
    assert read_header(path).channels == 1


def test_big_endian_tiff_of_16_bits_has_the_same_values(tmp_path):
    # By hand, as Pillow writes little-endian only: a header, one strip, and a directory of eight entries.
    tags = [(256, 17), (257, 12), (258, 16), (259, 1), (262, 1), (273, 8), (278, 12), (279, DEEP.nbytes)]
    entries = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in tags)
    strip = DEEP.astype(">u2").tobytes()
    (tmp_path / "x.tif").write_bytes(
        b"MM\0*" + struct.pack(">I", 8 + len(strip)) + strip + struct.pack(">H", len(tags)) + entries + bytes(4)
    )
    np.testing.assert_array_equal(read_picture(tmp_path / "x.tif").values, DEEP[:, :, None])


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_a_pillow_image_of_other_numbers_keeps_them(dtype):
    values = GREY.astype(dtype) - 1000
    decoded = from_pillow(Image.fromarray(values))
    np.testing.assert_array_equal(decoded.values[:, :, 0], values)
    assert decoded.values.dtype == dtype
    np.testing.assert_array_equal(np.asarray(to_pillow(decoded.values)), values)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_come_upright_from_every_exif_orientation(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / f"x{suffix}", Image.fromarray(SMOOTH), exif=exif)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    found = read_picture(path).values
    np.testing.assert_array_equal(found, expected)
    # Independently of Pillow's transposition: the visual top-left corner is the stored one of the orientation's name.
    stored = [(0, 0), (0, -1), (-1, -1), (-1, 0), (0, 0), (-1, 0), (-1, -1), (0, -1)][orientation - 1]
    assert np.abs(found[0, 0].astype(int) - SMOOTH[stored]).max() <= (12 if suffix == ".jpg" else 0)
    assert read_header(path)[:2] == (found.shape[1], found.shape[0]) == ((60, 40) if orientation < 5 else (40, 60))


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01"]
)
def test_damaged_exif_leaves_the_picture_as_it_is(tmp_path, suffix, exif):
    assert read_picture(saved(tmp_path / f"x{suffix}", Image.fromarray(SMOOTH), exif=exif)).values.shape == (40, 60, 3)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif"])
def test_of_several_frames_the_first_is_read_and_said_so(tmp_path, suffix):
    frames = [Image.new("RGB", (9, 7), colour) for colour in ("red", "lime", "blue")]
    path = saved(tmp_path / f"x{suffix}", frames[0], save_all=True, append_images=frames[1:])
    picture = read_picture(path)
    assert (picture.values == (255, 0, 0)).all()
    assert picture.note == f"{path} has 3 frames: the first is used"


# -- wrong files


def assert_refused(path, message, *, by_header=False):
    for read in (read_header, read_picture) if by_header else (read_picture,):
        with pytest.raises(PictureError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path} {message}")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", CONTENTS)
def test_each_wrong_file_is_named_with_its_cure(tmp_path, name):
    content, message = CONTENTS[name]
    (tmp_path / "x.jpg").write_bytes(content)
    assert_refused(tmp_path / "x.jpg", message)


def test_a_path_that_is_not_a_file_is_named_with_its_cure(tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    assert_refused(tmp_path / "folder.png", "is not a file: replace or remove it", by_header=True)
    assert_refused(tmp_path / "link.png", "is a broken link: replace or remove it", by_header=True)
    assert_refused(tmp_path / "loop.png", "is a broken link: replace or remove it", by_header=True)
    assert_refused(tmp_path / "none.png", "does not exist: give an existing picture", by_header=True)


def test_a_file_that_may_not_be_read_is_named_with_its_cure(public_folder):
    path = saved(public_folder / "x.png", Image.fromarray(COLOUR))
    for locked in (path, public_folder):
        locked.chmod(0)
        with unprivileged():
            assert_refused(
                path, "cannot be read (Permission denied): change its permissions, or remove it", by_header=True
            )
        locked.chmod(0o755)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif", ".gif"])
def test_a_cut_off_picture_is_reported(tmp_path, suffix, share):
    path = saved(tmp_path / f"x{suffix}", Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert_refused(path, "is cut off or damaged (")


def mutated(rng, content):
    """``content`` with a few bytes changed, put in, taken out or cut off, most of them near the beginning."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 2, 5, 20])):
        place = rng.randrange(min(len(content), rng.choice([40, 200, len(content)])))
        match rng.randrange(4):
            case 0:
                content[place] = rng.randrange(256)
            case 1:
                content[place:place] = rng.randbytes(rng.randrange(1, 9))
            case 2:
                del content[place : place + rng.randrange(1, 9)]
            case 3:
                content = content[: max(place, 1)] if rng.random() < 0.2 else content
        content = content or bytearray(b"x")
    return bytes(content)


def test_a_damaged_file_is_a_picture_or_a_picture_error_and_nothing_else(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    image, more = Image.fromarray(SMOOTH), {"save_all": True, "append_images": [Image.fromarray(SMOOTH[::-1])]}
    kinds = [
        ("JPEG", image, {"exif": exif}), ("JPEG", image, {"progressive": True}), ("PNG", image, {"exif": exif}),
        ("PNG", image.quantize(9), {"transparency": 2}), ("PNG", Image.fromarray(DEEP), {}), ("GIF", image, more),
        ("WEBP", image, {"exif": exif}), ("BMP", image, {}), ("TIFF", image, {"compression": "packbits"}),
        ("WEBP", image, more), ("PNG", image, more), ("TIFF", image, more),
    ]  # fmt: skip
    contents = []
    for kind, picture, options in kinds:
        stream = io.BytesIO()
        picture.save(stream, kind, **options)
        contents.append(stream.getvalue())
    for options in ({"tile": (16, 16)}, {"compression": "zlib", "rowsperstrip": 3}):  # these go through tifffile
        stream = io.BytesIO()
        tifffile.imwrite(stream, DEEP, photometric="miniswhite", **options)
        contents.append(stream.getvalue())
    rng, path, num_read, messages = random.Random(0), tmp_path / "x.jpg", 0, set()
    for content in contents:
        for _ in range(60):
            path.write_bytes(mutated(rng, content))
            for read in (read_header, read_picture):
                try:
                    num_read += isinstance(read(path), DecodedImage)
                except PictureError as error:
                    messages.add(str(error))
    assert all(message.startswith(f"{path} ") and "\n" not in message for message in messages)
    assert 100 < num_read < 700  # so that both ends were reached


def test_pillow_prints_no_warning_of_its_own(tmp_path):
    large = b"".join(b"\0" + bytes(1250) for _ in range(10_000))
    (tmp_path / "large.png").write_bytes(png(10_000, 10_000, depth=1, rows=large))  # 100 million pixels in 12 kB
    code = "import sys, pathlib, diptych.data.formats.reading as f; f.read_picture(pathlib.Path(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "large.png"], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


# -- arrays


@pytest.mark.parametrize("size", [(5, 7), (30, 12), (17, 40), (1, 1)])
@pytest.mark.parametrize("values", [GREY[:, :, None], COLOUR], ids=["grey", "colour"])
def test_resizing_is_pillows_bicubic_and_16_bits_agree_with_8(values, size):
    image = Image.fromarray(values.squeeze()).resize(size, Image.Resampling.BICUBIC)
    found = resize(values, *size)
    np.testing.assert_array_equal(found, np.asarray(image).reshape(size[1], size[0], -1))
    deep = resize(values.astype(np.uint16) * 257, *size)
    assert deep.dtype == np.uint16
    # Pillow rounds 8 bits after each of the two directions, and clips there too.
    assert np.abs(deep / 257 - found).max() <= 1.01


def test_resizing_16_bits_stays_in_its_range():
    edge = np.zeros((8, 8, 1), np.uint16)
    edge[:, 4:] = 65535
    found = resize(edge, 37, 8)
    assert (found.min(), found.max()) == (0, 65535)
    assert (np.diff(found[0, 12:25, 0].astype(int)) >= 0).all()


def test_eight_bits_are_the_nearest_to_sixteen():
    everything = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(eight_bits(everything), np.floor(everything / 257 + 0.5))
    np.testing.assert_array_equal(eight_bits(np.arange(256, dtype=np.uint16) * 257), np.arange(256))


def test_colour_becomes_its_luma_and_grey_is_repeated():
    luma = with_channels(COLOUR, 1)
    assert np.abs(luma[:, :, 0] - COLOUR @ [0.299, 0.587, 0.114]).max() <= 0.5
    assert np.abs(luma[:, :, 0].astype(int) - np.asarray(Image.fromarray(COLOUR).convert("L"))).max() <= 1
    np.testing.assert_array_equal(with_channels(luma, 3), np.dstack([luma] * 3))
    assert with_channels(DEEP[:, :, None], 3).dtype == with_channels(np.dstack([DEEP] * 3), 1).dtype == np.uint16
    np.testing.assert_array_equal(with_channels(np.dstack([DEEP] * 3), 1)[:, :, 0], DEEP)


# -- writing


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
@pytest.mark.parametrize("values", [GREY[:, :, None], COLOUR], ids=["grey", "colour"])
def test_what_is_written_without_loss_is_read_back(tmp_path, suffix, values):
    write_picture(tmp_path / f"x{suffix}", DecodedImage(values))
    np.testing.assert_array_equal(read_picture(tmp_path / f"x{suffix}").values, values)
    assert [path.name for path in tmp_path.iterdir()] == [f"x{suffix}"]


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("alpha", [None, ALPHA], ids=["opaque", "transparent"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_picture_can_be_written_in_every_format_and_looks_the_same(tmp_path, suffix, channels, alpha, dtype):
    values = SMOOTH[:12, :17, :channels].astype(dtype) * (257 if dtype == np.uint16 else 1)
    write_picture(tmp_path / f"x{suffix}", DecodedImage(values, alpha))
    found = read_picture(tmp_path / f"x{suffix}")
    keeps_alpha = alpha is not None and suffix.lower() not in (".jpg", ".jpeg", ".bmp")
    assert (found.alpha is not None) == keeps_alpha
    if not keeps_alpha:
        original = with_channels(eight_bits(values), found.values.shape[2])
        assert np.abs(eight_bits(found.values).astype(int) - original).mean() < 8
    else:
        expected = np.where(alpha < 128, 0, 255) if suffix == ".gif" else alpha
        np.testing.assert_array_equal(eight_bits(found.alpha), expected)


@pytest.mark.parametrize(
    ("suffix", "kept"), [(".png", True), (".tiff", True), (".jpg", False), (".webp", False), (".gif", False)]
)
def test_16_bits_are_kept_where_the_format_has_them_and_else_scaled_and_said_so(tmp_path, suffix, kept):
    path, picture = tmp_path / f"x{suffix}", DecodedImage(DEEP[:, :, None])
    made = storable(picture, path)
    assert made.note == (None if kept else f"{path} cannot hold 16 bits: it is written with 8")
    np.testing.assert_array_equal(made.values, picture.values if kept else eight_bits(picture.values))
    if kept:
        write_picture(path, picture)
        np.testing.assert_array_equal(read_picture(path).values, picture.values)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_with_transparency_are_written_with_16(tmp_path, suffix, channels):
    values, alpha = np.repeat(DEEP[:, :, None], channels, axis=2), np.full(DEEP.shape, 65535, np.uint16)
    write_picture(tmp_path / f"x{suffix}", DecodedImage(values, alpha))
    found = read_picture(tmp_path / f"x{suffix}")
    np.testing.assert_array_equal(found.values, values)
    np.testing.assert_array_equal(found.alpha, alpha)


def test_a_picture_too_large_for_the_format_is_refused_and_nothing_is_written(tmp_path):
    for suffix in (".jpg", ".webp"):
        path = tmp_path / f"x{suffix}"
        with pytest.raises(
            PictureError, match=r"cannot be written in this format \(66000×1 pixels; .*: give a name that ends"
        ):
            write_picture(path, DecodedImage(np.zeros((1, 66000, 3), np.uint8)))
    assert list(tmp_path.iterdir()) == []


def test_a_name_as_long_as_a_name_can_be_is_written(tmp_path):
    write_picture(tmp_path / f"{'猫' * 83}.png", DecodedImage(COLOUR))  # 253 bytes, of 255
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_keeps_the_old_file_and_no_temporary_file(tmp_path):
    # The limit on a file's size stands in for the disk's, in a process of its own.
    path = saved(tmp_path / "x.png", Image.fromarray(COLOUR))
    before = path.read_bytes()
    code = f"""
import resource, signal, numpy
from pathlib import Path
from diptych.data.formats.writing import write_picture
from diptych.data.image import DecodedImage
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
picture = DecodedImage(numpy.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=numpy.uint8))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for suffix in (".png", ".jpg", ".webp", ".bmp", ".tif", ".gif"):
    try:
        write_picture(Path({str(path)!r}).with_suffix(suffix), picture)
    except OSError as error:
        print(error.errno is not None, end=" ")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"] * 6
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_pillow_and_back_keeps_values_and_alpha():
    assert to_pillow(GREY[:, :, None], ALPHA).mode == "LA"
    assert to_pillow(COLOUR, ALPHA).mode == "RGBA"
    assert to_pillow(DEEP[:, :, None]).mode == "I;16"
    np.testing.assert_array_equal(np.asarray(to_pillow(COLOUR, ALPHA)), np.dstack([COLOUR, ALPHA]))
