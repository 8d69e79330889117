"""Colour profiles: pictures are brought to sRGB and back. Judges are the closed form of a profile with a matrix, and
LittleCMS in float32 (imagecodecs)."""

import io
import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from diptych.config import DataConfig, SourceConfig
from diptych.data.colour import TableConversion
from diptych.data.encoding import Encoding
from diptych.data.formats.reading import read_picture
from diptych.data.icc import formula_of
from diptych.data.loader import Reader
from diptych.data.sources import find_split
from diptych.inference.tiled_translation import TiledTranslation
from helpers.identity import identity, identity_network, translated
from helpers.pictures import saved

RNG = np.random.default_rng(0)
GAMMA = 2.2
TO_XYZ = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
"""Adobe RGB (1998) to XYZ, adapted to D50 (Lindbloom)."""
SRGB_TO_XYZ = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def s15(*values):
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def gamma_of(gamma):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def parametric(form, *values):
    return b"para\0\0\0\0" + struct.pack(">HH", form, 0) + s15(*values)


def make_profile(name, *, grey=False, curve=None, matrix=TO_XYZ):
    """An ICC profile of version 2 (ICC.1:2001-04): a matrix and a curve, or for grey a curve alone."""
    text = name.encode() + b"\0"
    description = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(4 + 4 + 2 + 1 + 67)
    curve = curve or gamma_of(GAMMA)
    white = b"XYZ \0\0\0\0" + s15(0.9642, 1, 0.8249)
    tags = {b"desc": description, b"cprt": b"text\0\0\0\0none\0", b"wtpt": white}
    if grey:
        tags[b"kTRC"] = curve
    else:
        for letter, column in zip((b"r", b"g", b"b"), matrix.T, strict=True):
            tags |= {letter + b"XYZ": b"XYZ \0\0\0\0" + s15(*column), letter + b"TRC": curve}
    offset, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for tag, content in tags.items():
        table += tag + struct.pack(">II", offset + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(
        ">I4sI4s4s4s", offset + len(body), b"none", 0x02400000, b"mntr", b"GRAY" if grey else b"RGB ", b"XYZ "
    )
    head += struct.pack(">6H4s4sI4s4s8sI", 2026, 11, 28, 0, 0, 0, b"acsp", b"none", 0, b"none", b"none", bytes(8), 1)
    return (head + s15(0.9642, 1, 0.8249)).ljust(128, b"\0") + table + body


DISPLAY_P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
APPLE = np.array([[0.47557, 0.33967, 0.14898], [0.25518, 0.67257, 0.07225], [0.01847, 0.11338, 0.69336]])
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
TABLE = b"curv\0\0\0\0" + struct.pack(">I65H", 65, *(round(65535 * (n / 64) ** 2) for n in range(65)))
PROFILES = {
    "Adobe RGB": make_profile("A wide gamut"),
    "Display P3": make_profile("P3", matrix=DISPLAY_P3, curve=parametric(3, *SRGB_CURVE)),
    "a smaller gamut": make_profile("Apple", matrix=APPLE, curve=gamma_of(1.8)),
    "linear": make_profile("Linear", curve=b"curv\0\0\0\0" + bytes(4)),
    "a table": make_profile("Table", curve=TABLE),
    "form 0": make_profile("0", curve=parametric(0, 2.6)),
    "form 1": make_profile("1", curve=parametric(1, 2.0, 1.02, -0.02)),
    "form 2": make_profile("2", curve=parametric(2, 2.0, 0.95, -0.02, 0.02)),
    "form 4": make_profile("4", curve=parametric(4, 2.4, 0.9, 0.09, 0.06, 0.04, 0.004, 0.0)),
}
ADOBE, GREY = make_profile("A wide gamut"), make_profile("A grey of gamma 1.8", grey=True, curve=gamma_of(1.8))


def encoded_srgb(linear):
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.clip(linear, 0, None) ** (1 / 2.4) - 0.055)
    return 255 * curve.clip(0, 1)


def as_srgb(values):
    """The closed form: the profile's gamma and matrix, then those of sRGB, inverted."""
    linear = (values / 255) ** GAMMA
    return encoded_srgb(linear @ TO_XYZ.T @ np.linalg.inv(SRGB_TO_XYZ).T)


def picture(channels=3):
    """Colours that both gamuts hold."""
    shape = (24, 28, channels)
    return (RNG.integers(90, 160, shape) if channels == 3 else RNG.integers(0, 255, shape)).astype(np.uint8)


def seen_by(translator):
    """What the network gets, in levels of 8 bits."""
    seen = []
    original = translator.forward
    translator.forward = lambda batch: seen.append((batch + 1) * 127.5) or original(batch)
    translator.full_precision = translator.forward
    return seen


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_the_network_sees_srgb_and_the_translation_has_the_profile_of_its_input(tmp_path, suffix):
    values = picture()
    source, target = tmp_path / f"x{suffix}", tmp_path / f"y{suffix}"
    saved(source, Image.fromarray(values), icc_profile=ADOBE)
    stored, translator = np.asarray(Image.open(source)), identity(Encoding(3))
    seen = seen_by(translator)
    assert translated(source, target, translator=translator) == []
    found = seen[0][0].permute(1, 2, 0).numpy()
    assert np.abs(found - as_srgb(stored)).max() <= 1.5
    assert np.abs(found - stored).max() > 8
    with Image.open(target) as image:
        assert image.info["icc_profile"] == ADOBE
        assert np.abs(np.asarray(image).astype(int) - stored).max() <= (12 if suffix in (".jpg", ".webp") else 0)


def test_grey_with_a_profile_is_converted_and_brought_back(tmp_path):
    values = picture(1)[:, :, 0]
    source = saved(tmp_path / "x.png", Image.fromarray(values), icc_profile=GREY)
    translator = identity(Encoding(1))
    seen = seen_by(translator)
    assert translated(source, tmp_path / "y.png", translator=translator) == []
    assert np.abs(seen[0][0, 0].numpy() - encoded_srgb((values / 255) ** 1.8)).max() <= 1.5
    with Image.open(tmp_path / "y.png") as image:
        assert (image.mode, image.info["icc_profile"]) == ("L", GREY)
        np.testing.assert_array_equal(np.asarray(image), values)


def by_littlecms(values, icc):
    """sRGB in [0, 1], not clipped, by LittleCMS in float32."""
    srgb, options = imagecodecs.cms_profile("srgb"), {"colorspace": "rgb", "outcolorspace": "rgb", "intent": 1}
    return imagecodecs.cms_transform(values.astype(np.float32) / 255, icc, srgb, outdtype="float32", **options)


@pytest.mark.parametrize("name", PROFILES)
def test_every_colour_that_srgb_holds_comes_back_bit_for_bit(tmp_path, name):
    values = RNG.integers(0, 255, (300, 400, 3), endpoint=True).astype(np.uint8)
    values[:, :200] = values[:, :200] // 4 + values[:, :200, :1] // 4 * 3  # half of the colours are near grey
    judged, translator = by_littlecms(values, PROFILES[name]), identity(Encoding(3))
    is_held = ((judged >= 0) & (judged <= 1)).all(axis=2)
    assert is_held.mean() > 0.6
    source, seen = saved(tmp_path / "x.png", Image.fromarray(values), icc_profile=PROFILES[name]), seen_by(translator)
    assert translated(source, tmp_path / "y.png", translator=translator) == []
    found = seen[0][0].permute(1, 2, 0).numpy()
    assert np.abs(found - 255 * judged.clip(0, 1))[is_held].max() <= (0.1 if name == "a table" else 0.01)
    if name not in ("form 1", "form 2"):  # these make several dark values one
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "y.png"))[is_held], values[is_held])


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
def test_every_grey_comes_back_bit_for_bit(gamma):
    image = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    image.info["icc_profile"] = make_profile("A grey", grey=True, curve=gamma_of(gamma))
    for translator in (identity(Encoding(1)), identity(Encoding(3))):
        np.testing.assert_array_equal(np.asarray(translator(image)), np.asarray(image))


def test_by_tiles_colours_come_back_too(tmp_path):
    values = picture()
    source = saved(tmp_path / "x.png", Image.fromarray(values), icc_profile=ADOBE)
    translator = identity_network(Encoding(3), tile=16)
    seen, read = [], TiledTranslation._read
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TiledTranslation, "_read", lambda self, area: seen.append(read(self, area)) or seen[-1])
        assert translated(source, tmp_path / "y.png", translator=translator) == []
    assert len(seen) > 1
    with Image.open(tmp_path / "y.png") as image:
        assert image.info["icc_profile"] == ADOBE
        np.testing.assert_array_equal(np.asarray(image), values)


def test_profiles_with_tables_are_converted_by_littlecms_in_8_bits():
    assert formula_of(ADOBE, 3) is not None
    assert formula_of(ADOBE.replace(b"wtpt", b"A2B0"), 3) is None
    assert formula_of(ADOBE[:150], 3) is None
    assert formula_of(GREY, 3) is None
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    table = TableConversion(ImageCms.ImageCmsProfile(io.BytesIO(ADOBE)), srgb, "RGB")
    values = picture()
    assert np.abs(table.to_srgb(values) - as_srgb(values)).max() <= 1.5
    assert np.abs(table.from_srgb(table.to_srgb(values)).astype(int) - values).max() <= 2
    grey = TableConversion(ImageCms.ImageCmsProfile(io.BytesIO(GREY)), srgb, "L")
    values = picture(1)
    assert np.abs(grey.from_srgb(grey.to_srgb(values)).astype(int) - values).max() <= 3


def test_without_a_profile_and_with_srgb_the_values_come_back_bit_for_bit(tmp_path):
    values = picture()
    for name, options in (("plain", {}), ("srgb", {"icc_profile": SRGB})):
        source = saved(tmp_path / f"{name}.png", Image.fromarray(values), **options)
        assert translated(source, tmp_path / "y.png") == []
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "y.png")), values)


def test_a_pillow_image_in_python_is_brought_to_srgb_and_back():
    image = Image.fromarray(picture())
    image.info["icc_profile"] = ADOBE
    translator = identity(Encoding(3))
    seen = seen_by(translator)
    found = translator(image)
    assert np.abs(seen[0][0].permute(1, 2, 0).numpy() - as_srgb(np.asarray(image))).max() <= 1.5
    assert found.info["icc_profile"] == ADOBE
    np.testing.assert_array_equal(np.asarray(found), np.asarray(image))


def test_training_and_scores_see_srgb(tmp_path):
    values = picture()
    for name in "ab":
        (tmp_path / name).mkdir()
        saved(tmp_path / name / "1.png", Image.fromarray(values), icc_profile=ADOBE)
    domain = find_split(SourceConfig(a=tmp_path / "a", b=tmp_path / "b")).train.a
    data = DataConfig(resize="none", load_size=24, crop_size=0)
    reader = Reader(domain, data, encoding=Encoding(3), stride=1)
    assert np.abs(reader(0) - as_srgb(values)).max() <= 1.5
    measured = Reader(domain, data, encoding=Encoding(3, "uint8", 0, 255), stride=1)
    np.testing.assert_array_equal(measured(0), values)  # with a range, values are measurements

    from diptych.evaluation.eval_set import Pictures

    pictures = Pictures(domain, identity(Encoding(3)).card, Encoding(3))
    assert np.abs(pictures.original(0) - as_srgb(values)).max() <= 1.5


def test_16_bits_are_not_converted_and_said(tmp_path):
    values = RNG.integers(0, 65535, (24, 28, 3)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "x.tif", values, photometric="rgb", iccprofile=ADOBE, metadata=None)
    (said,) = translated(tmp_path / "x.tif", tmp_path / "y.tif")
    assert said == f"{tmp_path}/x.tif has the colour profile A wide gamut: values are not converted"
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "y.tif"), values)
    with tifffile.TiffFile(tmp_path / "y.tif") as file:
        assert file.pages[0].iccprofile == ADOBE


def test_a_translation_into_measurements_has_no_profile_and_this_is_said(tmp_path):
    source = saved(tmp_path / "x.png", Image.fromarray(picture()), icc_profile=ADOBE)
    translator = identity(Encoding(3), Encoding(3, "uint16", 0, 4095))
    (said,) = translated(source, tmp_path / "y.tif", translator=translator)
    assert said == f"{tmp_path}/y.tif: TIFF files do not keep the colour profile: the translation is in sRGB"
    assert read_picture(tmp_path / "y.tif").metadata.icc is None
