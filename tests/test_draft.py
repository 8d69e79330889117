"""Drafts: JPEGs decoded at a lower resolution differ from fully decoded ones by less than 1/255."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from diptych.config import CycleganConfig, DataConfig
from diptych.data.encoding import Encoding
from diptych.data.files import Domain
from diptych.data.formats.pillow import reduction
from diptych.data.formats.reading import read_picture
from diptych.data.loader import Reader
from diptych.demo.pictures import unpack
from diptych.presets import default, paper

SIZE = 40
HEIGHT, WIDTH = 720, 960
"""Large enough for half the resolution at 40 pixels."""
EXIF_ORIENTATION = 0x0112


def spectrum(slope, *, height=HEIGHT, width=WIDTH, seed=0):
    """Noise whose amplitude falls with frequency to the power ``slope``: photographs have 1, white noise 0."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf
    noise = np.random.default_rng(seed).standard_normal((3, height, width))
    filtered = np.fft.irfft2(np.fft.rfft2(noise) / frequency**slope, (height, width))
    filtered *= 50 / filtered.std(axis=(1, 2), keepdims=True)
    mixed = np.tensordot(filtered, [[0.9, 0.9, 0.9], [0.3, -0.1, -0.2], [0.1, 0.2, -0.3]], (0, 0))
    return (128 + mixed).clip(0, 255).astype(np.uint8)


def gradient():
    rows, columns = np.linspace(0, 255, HEIGHT), np.linspace(0, 255, WIDTH)
    return np.stack(np.broadcast_arrays(rows[:, None], columns, 128), axis=2).astype(np.uint8)


def stripes():
    return np.broadcast_to((np.arange(WIDTH) // 3 % 2 * 255)[:, None], (HEIGHT, WIDTH, 3)).astype(np.uint8)


PICTURES = {
    "as photographs": lambda: spectrum(1.0),
    "soft": lambda: spectrum(1.3),
    "sharper than photographs": lambda: spectrum(0.8),
    "white noise": lambda: spectrum(0.0),
    "gradient": gradient,
    "stripes": stripes,
}


def saved(path, values, **options):
    Image.fromarray(values).save(path, quality=90, **options)
    return path


def read(path, *, draft, half=None, channels=3, **options):
    data = DataConfig(**({"load_size": SIZE, "crop_size": 32} | options), draft=draft)
    return Reader(Domain("x", path.parent, (Path(path.name),), half), data, encoding=Encoding(channels), stride=4)(0)


def difference(path, **options):
    """Mean difference of the draft to the exact picture, which is decoded whole and resized by Pillow."""
    exact, draft = (read(path, draft=draft, **options).astype(int) for draft in (False, True))
    assert exact.shape == draft.shape
    return np.abs(exact - draft).mean()


def is_reduced(path, **options):
    """Whether the draft is decoded at a lower resolution."""
    reader = Reader(
        Domain("x", path.parent, (Path(path.name),), options.pop("half", None)),
        DataConfig(**({"load_size": SIZE, "crop_size": 32} | options)),
        encoding=Encoding(3),
        stride=4,
    )
    whole, decoded = read_picture(path).values.shape, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("diptych.data.loader.fit", lambda values, *_, **__: decoded.append(values.shape) or values)
        reader(0)
    return decoded[0][0] < whole[0]


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("load_size", [20, 40, 45, 90, 286])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_a_draft_is_less_than_a_level_from_the_exact_picture(tmp_path, name, load_size, subsampling):
    path = saved(tmp_path / "x.jpg", PICTURES[name](), subsampling=subsampling)
    assert is_reduced(path, load_size=load_size, crop_size=16) == (load_size <= 90)
    assert difference(path, load_size=load_size, crop_size=16) < 1


def test_drafts_of_the_demos_pictures_are_less_than_a_level_away(tmp_path):
    unpack(tmp_path / "demo")
    for path in sorted((tmp_path / "demo" / "testA").iterdir())[::12]:
        large = Image.open(path).convert("RGB").resize((768, 768), Image.Resampling.BICUBIC)
        assert difference(saved(tmp_path / "x.jpg", np.asarray(large))) < 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_draft_is_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    path = saved(tmp_path / "x.jpg", spectrum(1.0), exif=exif)
    assert is_reduced(path, resize="width")
    assert difference(path, resize="width") < 1


@pytest.mark.parametrize("mode", ["L", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_draft_of_grey_or_cmyk_has_the_colours_of_the_exact_picture(tmp_path, mode, channels):
    image = Image.fromarray(spectrum(1.0)).convert(mode)
    image.save(tmp_path / "x.jpg", quality=90)
    assert is_reduced(tmp_path / "x.jpg")
    assert difference(tmp_path / "x.jpg", channels=channels) < 1


@pytest.mark.parametrize("width", [1920, 1922, 1924, 1928])
def test_a_draft_of_a_half_ends_where_the_half_ends(tmp_path, width):
    # White beside black: a pixel of the other half would be seen at the seam.
    left, right = np.full((HEIGHT, width // 2, 3), 255, np.uint8), np.zeros((HEIGHT, width // 2, 3), np.uint8)
    path = saved(tmp_path / "x.jpg", np.concatenate([left, right], axis=1))
    assert is_reduced(path, half="left") == (width % 4 == 0)
    for half, level in (("left", 255), ("right", 0)):
        assert np.abs(read(path, draft=True, half=half).astype(int) - level).max() <= 2


@pytest.mark.parametrize("crop_size", [0, 32])
def test_what_is_not_resized_is_not_reduced(tmp_path, crop_size):
    path = saved(tmp_path / "x.jpg", spectrum(1.0))
    assert not is_reduced(path, resize="none", crop_size=crop_size)
    assert difference(path, resize="none", crop_size=crop_size) == 0


def test_a_picture_whose_sides_do_not_divide_is_decoded_at_full_resolution(tmp_path):
    assert not is_reduced(saved(tmp_path / "x.jpg", spectrum(1.0, height=721, width=963)))


@given(
    size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    target=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    columns=st.integers(1, 2),
)
def test_a_reduction_leaves_four_times_the_target_and_whole_pixels(size, target, columns):
    factor = reduction(size, target, columns=columns)
    assert factor in (1, 2, 4, 8)
    if factor > 1:
        assert size[0] % (columns * factor) == size[1] % factor == 0
        sides = (size[0] // columns, size[1])
        assert all(side // factor >= 4 * least for side, least in zip(sides, target, strict=True))


def test_the_paper_is_never_read_as_a_draft():
    assert not paper(CycleganConfig()).data.draft
    assert default(CycleganConfig()).data.draft


def test_other_formats_are_decoded_at_full_resolution(tmp_path):
    Image.fromarray(spectrum(1.0)).save(tmp_path / "x.png")
    assert not is_reduced(tmp_path / "x.png")
    assert difference(tmp_path / "x.png") < 0.02
