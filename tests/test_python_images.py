"""What a translator takes and gives in Python: tensors, batches in one array, and all of them in threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from diptych.errors import PictureError
from diptych.inference.translator import Translator
from helpers.models import save_random_model
from helpers.system import cores

RNG = np.random.default_rng(0)


def noise(*shape, dtype=np.uint8):
    return RNG.integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


@pytest.fixture(scope="module")
def translator(tmp_path_factory):
    return Translator.load(save_random_model(tmp_path_factory.mktemp("model") / "m.safetensors"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_integer_tensor_gives_what_the_array_gives(translator, dtype):
    values = noise(13, 10, 3, dtype=dtype)
    made = translator(torch.from_numpy(values).permute(2, 0, 1))
    np.testing.assert_array_equal(made.permute(1, 2, 0).numpy(), translator(values))


def test_a_batch_in_one_array_or_tensor_gives_what_each_image_gives(translator):
    values = noise(3, 12, 16, 3)
    expected = [translator(each) for each in values]
    made = translator(values)
    assert made.dtype == np.uint8
    assert np.abs(np.subtract(made, expected, dtype=int)).max() <= 1  # a batch may sum in another order
    tensors = translator(torch.from_numpy(values).permute(0, 3, 1, 2))
    np.testing.assert_array_equal(tensors.permute(0, 2, 3, 1).numpy(), made)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_floats_are_in_0_to_1_as_in_torchvision_and_are_not_rounded(translator, dtype):
    images = torch.rand(2, 3, 12, 16).to(dtype)
    made = translator(images)
    assert (made.shape, made.dtype) == (images.shape, dtype)
    exact = (translator.forward(images.float() * 2 - 1) + 1) / 2
    assert (made.float() - exact).abs().max() < (1e-3 if dtype == torch.float16 else 1e-6)
    assert len(made.unique()) > (made.numel() // 4 if dtype == torch.float16 else 0.9 * made.numel())


def test_floats_of_domains_with_a_range_are_values_in_it(translator):
    from dataclasses import replace

    from diptych.data.encoding import Encoding
    from diptych.pair import Pair

    card = replace(translator.card, encodings=Pair(Encoding(3, "uint16", 0, 4095), Encoding(3, "uint8", 10, 20)))
    ranged = Translator(translator.forward, card, "a2b")
    unit = torch.rand(3, 12, 16)
    torch.testing.assert_close(ranged(unit * 4095), translator(unit) * 10 + 10, atol=1e-4, rtol=0)
    echo = Translator(lambda batch: batch, card, "a2b")
    assert echo(torch.tensor([-5.0, 0, 4095, 9000]).expand(3, 2, 4))[0, 0].tolist() == [10, 10, 20, 20]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(5, 5), r"a tensor \(5, 5\) of torch.float32 is not an image: give \(C, H, W\) or"),
        (torch.zeros(0, 3, 5, 5), r"is not an image"),
        (torch.zeros(3, 5, 5, dtype=torch.bool), r"of torch.bool is not an image"),
        (torch.zeros(1, 5, 5), r"has 1 channels, and the model takes 3: give \(B, 3, H, W\)"),
        (torch.full((3, 5, 5), torch.nan), "holds NaN or infinite values: give finite ones, or an array"),
        (np.zeros((0, 5, 5, 3), np.uint8), r"is not an image"),
    ],
)
def test_tensors_that_are_no_images_are_refused(translator, images, message):
    with pytest.raises(PictureError, match=message):
        translator(images)


def test_a_list_may_mix_all_types(translator):
    values = noise(12, 16, 3)
    array, tensor, pillow = translator.translate_batch(
        [values, torch.from_numpy(values).permute(2, 0, 1), Image.fromarray(values)]
    )
    np.testing.assert_array_equal(tensor.permute(1, 2, 0).numpy(), array)
    np.testing.assert_array_equal(np.asarray(pillow), array)


def test_threads_get_what_one_after_the_other_gets_whatever_they_pass(translator):
    images = []
    for index in range(8):
        values = noise(16 + 4 * index, 20, 3)
        images += [values, Image.fromarray(values), torch.from_numpy(values).permute(2, 0, 1).float() / 255]
    with cores(1):
        expected = [np.asarray(translator(image)) for image in images]
    with ThreadPoolExecutor(4, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        found = [np.asarray(made) for made in pool.map(translator, images)]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
