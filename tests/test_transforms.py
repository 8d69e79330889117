"""From a picture to the input of a network: sizes in closed form, positions of crops, and a lossless range."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from diptych.config import DataConfig
from diptych.data.encoding import from_network, to_network
from diptych.data.transforms import CENTRE, Crop, crop_and_flip, fit, fit_whole, stack

SIDE = st.integers(1, 90)


def blank(width, height):
    return np.zeros((height, width, 3), np.uint8)


def fitted(width, height, *, stride=4, **options):
    """(width, height) of a picture of this size after ``fit``."""
    values = fit(blank(width, height), DataConfig(**options), stride=stride)
    return values.shape[1], values.shape[0]


@given(width=SIDE, height=SIDE)
def test_square_gives_a_square_whatever_the_aspect(width, height):
    assert fitted(width, height, resize="square", load_size=30, crop_size=20) == (30, 30)
    assert fitted(width, height, resize="square", load_size=30, crop_size=0) == (32, 32)


@given(width=SIDE, height=SIDE)
def test_shorter_gives_the_shorter_side_and_keeps_the_aspect(width, height):
    found = fitted(width, height, resize="shorter", load_size=30, crop_size=20)
    short, long = sorted((width, height))
    assert sorted(found) == [30, round(long * 30 / short)]
    assert (found[0] > found[1]) <= (width >= height)


@given(width=SIDE, height=SIDE)
def test_width_gives_the_width_and_enlarges_what_is_then_too_low_for_the_crop(width, height):
    scaled = max(1, round(height * 30 / width))
    expected = (30, scaled) if scaled >= 20 else (round(30 * 20 / scaled), 20)
    assert fitted(width, height, resize="width", load_size=30, crop_size=20) == expected


@given(width=SIDE, height=SIDE)
def test_none_leaves_the_size_and_enlarges_only_what_is_too_small_for_the_crop(width, height):
    short = min(width, height)
    expected = (width, height) if short >= 20 else (round(width * 20 / short), round(height * 20 / short))
    assert fitted(width, height, resize="none", load_size=30, crop_size=20) == expected


@given(
    width=SIDE, height=SIDE, stride=st.sampled_from([1, 4, 32]), resize=st.sampled_from(["shorter", "width", "none"])
)
def test_without_a_crop_sides_become_the_nearest_multiples_of_the_stride(width, height, stride, resize):
    found = fitted(width, height, resize=resize, load_size=30, crop_size=0, stride=stride)
    scale = {"shorter": 30 / min(width, height), "width": 30 / width, "none": 1}[resize]
    for side, original in zip(found, (width, height), strict=True):
        assert side % stride == 0
        assert side >= 2 * stride
        assert side == 2 * stride or abs(side - original * scale) <= stride / 2 + 0.5


@given(
    width=SIDE, height=SIDE, resize=st.sampled_from(["square", "shorter", "width", "none"]), place=st.floats(0, 0.999)
)
def test_every_picture_has_room_for_the_crop(width, height, resize, place):
    values = fit(blank(width, height), DataConfig(resize=resize, load_size=25, crop_size=24), stride=4)
    assert crop_and_flip(values, Crop(place, 1 - 0.001 - place, flipped=True), 24).shape == (24, 24, 3)


def test_fitting_resizes_by_bicubic():
    values = np.random.default_rng(0).integers(0, 256, (33, 47, 3), dtype=np.uint8)
    expected = Image.fromarray(values).resize((30, 30), Image.Resampling.BICUBIC)
    found = fit(values, DataConfig(load_size=30, crop_size=20), stride=4)
    np.testing.assert_array_equal(found, np.asarray(expected))
    assert fit_whole(values, DataConfig(load_size=99, crop_size=40), stride=4).shape == (40, 40, 3)


def test_a_crop_has_the_stated_position():
    values = np.arange(6 * 8).reshape(6, 8, 1)
    np.testing.assert_array_equal(crop_and_flip(values, Crop(0, 0, False), 4), values[:4, :4])
    np.testing.assert_array_equal(crop_and_flip(values, Crop(0.999, 0.999, False), 4), values[2:, 4:])
    np.testing.assert_array_equal(crop_and_flip(values, CENTRE, 4), values[1:5, 2:6])
    np.testing.assert_array_equal(crop_and_flip(values, Crop(0.999, 0, True), 4), values[:4, 4:][:, ::-1])
    np.testing.assert_array_equal(crop_and_flip(values, CENTRE, 0), values)
    np.testing.assert_array_equal(crop_and_flip(values, Crop(0, 0, True), 0), values[:, ::-1])


def test_all_8_bit_values_go_to_the_network_and_back_exactly():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    batch = to_network(stack([values]))
    assert (batch.min(), batch.max(), batch.dtype, batch.shape) == (-1, 1, torch.float32, (1, 1, 16, 16))
    assert batch.is_contiguous()
    torch.testing.assert_close(batch.flatten(), torch.arange(256) / 127.5 - 1)
    np.testing.assert_array_equal(from_network(batch)[0], values)


def test_all_16_bit_values_go_to_the_network_and_back_exactly():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    batch = to_network(stack([values]))
    torch.testing.assert_close(
        batch.flatten().double(), torch.arange(65536) / 32767.5 - 1, rtol=0, atol=3e-7, check_dtype=False
    )
    np.testing.assert_array_equal(from_network(batch, "uint16")[0], values)


def test_8_and_16_bits_share_a_batch_at_one_scale():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    one, other = to_network(stack([values, values.astype(np.uint16) * 257]))
    torch.testing.assert_close(one, other, rtol=0, atol=3e-7)


@pytest.mark.parametrize(("dtype", "top"), [("uint8", 255), ("uint16", 65535)])
def test_the_networks_output_is_rounded_to_the_nearest_and_clamped(dtype, top):
    levels = torch.tensor([0.0, 0.49, 0.51, 1.49, top - 0.51, top - 0.49, top], dtype=torch.float64)
    batch = torch.cat([levels / (top / 2) - 1, torch.tensor([-1.5, 1.5])]).reshape(1, 1, 1, 9)
    found = from_network(batch.float(), dtype).flatten().tolist()
    assert found == [0, 0, 1, 1, top - 1, top, top, 0, top]


def test_channels_and_rows_keep_their_order():
    values = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    batch = stack([values, values[:, ::-1]])
    assert batch.shape == (2, 3, 5, 7)
    assert int(batch[1, 2, 4, 0]) == values[4, 6, 2]
    np.testing.assert_array_equal(from_network(to_network(batch)), [values, values[:, ::-1]])
