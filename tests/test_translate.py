"""Translating with a trained model: any picture at its own size, whole folders, and files that cannot be read."""

import re
import subprocess
import sys
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from diptych.checksummed import write_checksummed
from diptych.cli import main
from diptych.config import DataConfig, EngineConfig, ResnetConfig, UnetConfig
from diptych.data.encoding import Encoding
from diptych.data.files import find_domain
from diptych.data.formats.reading import read_picture
from diptych.data.image import DecodedImage
from diptych.data.loader import Loader, Reader
from diptych.data.survey import survey
from diptych.device import Device, resolve_engine
from diptych.errors import OptionError, PictureError, UserError
from diptych.inference.folder import translate_files
from diptych.inference.forward import TorchForward, inference_forwards
from diptych.inference.outputs import plan_outputs
from diptych.inference.padding import pad_to_stride
from diptych.inference.translator import Translator
from diptych.model import load_model, save_model
from diptych.networks import build_generator
from diptych.pair import Pair
from helpers.models import save_random_model
from helpers.pictures import CONTENTS, saved
from helpers.system import unprivileged

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")

RESNET = ResnetConfig(width=4, num_blocks=1)
UNET = UnetConfig(width=2, num_levels=5)
RNG = np.random.default_rng(0)
SIZES = [(1, 1), (2, 1), (3, 5), (7, 8), (8, 8), (700, 3), (3, 700), (33, 31), (64, 64), (127, 65)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_random_model(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture(scope="module", params=[RESNET, UNET], ids=["resnet", "unet"])
def translator(request, tmp_path_factory):
    return Translator.load(
        save_random_model(tmp_path_factory.mktemp("model") / "m.safetensors", generator=request.param)
    )


def grey_to_colour(tmp_path, direction="a2b"):
    return Translator.load(save_random_model(tmp_path / "m.safetensors", channels=(1, 3)), direction)


def noise(width, height, *rest, dtype=np.uint8):
    return RNG.integers(0, np.iinfo(dtype).max + 1, (height, width, *rest), dtype=dtype)


def run(capsys, *arguments):
    """The exit code of ``diptych translate`` with ``arguments``, and the lines that it printed, without its speed."""
    with pytest.raises(SystemExit) as stop:
        main(["translate", *map(str, arguments)])
    shown = capsys.readouterr()
    assert shown.out == ""
    return stop.value.code, [line for line in shown.err.splitlines() if " pictures per second; " not in line]


def pictures_in(folder):
    """The names of the files in ``folder``, without the manifest."""
    return sorted(path.name for path in folder.iterdir() if path.name != "manifest.jsonl")


def fill(folder, *names):
    """Small pictures of random content under ``names``."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        saved(folder / name, Image.fromarray(noise(9, 10, 3)))
    return folder


# -- one picture


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_picture_of_any_size_keeps_it(translator, size):
    assert translator(noise(*size, 3)).shape == (*size[::-1], 3)


@pytest.mark.slow
def test_a_large_photograph_keeps_its_size(model):
    assert Translator.load(model)(noise(3000, 2000, 3)).shape == (2000, 3000, 3)


def test_the_translation_is_what_the_network_gives_rounded_to_the_nearest(translator):
    values = noise(64, 96, 3)
    real = torch.from_numpy(values).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        exact = (translator.forward(real)[0].permute(1, 2, 0).numpy().astype(np.float64) + 1) * 127.5
    assert np.abs(translator(values) - exact).max() <= 0.5 + 1e-4


def test_of_pictures_side_by_side_a_half_is_translated(model, tmp_path):
    left, right = noise(40, 40, 3), noise(40, 40, 3)[::-1]
    Image.fromarray(np.concatenate([left, right], axis=1)).save(tmp_path / "pair.png")
    translator = Translator.load(model)
    for half, values in (("left", left), ("right", right)):
        told = []
        pairs = plan_outputs(tmp_path / "pair.png", tmp_path / f"{half}.png")
        translate_files(translator, pairs, half=half, report=told.append)
        assert told == []
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / f"{half}.png")), translator(values))


def test_an_input_that_looks_like_a_pair_is_noted_once_for_pix2pix(model, tmp_path):
    for name in ("one.png", "two.png"):
        Image.fromarray(noise(80, 40, 3)).save(tmp_path / name)
    loaded = Translator.load(model)
    for method, expected in (("cyclegan", 0), ("pix2pix", 1)):
        translator = Translator(loaded.forward, replace(loaded.card, method=method), "a2b")
        told = []
        translate_files(translator, plan_outputs(tmp_path, tmp_path.parent / method), report=told.append)
        assert sum("is twice as wide as it is high: if it is a pair side by side" in line for line in told) == expected


def test_the_only_direction_of_a_model_is_taken(model, tmp_path, capsys):
    loaded = load_model(model)
    save_model(tmp_path / "back.safetensors", {"b2a": loaded.networks["b2a"]}, loaded.card)
    Image.fromarray(noise(32, 32, 3)).save(tmp_path / "x.png")
    code, lines = run(capsys, tmp_path / "back.safetensors", tmp_path / "x.png", tmp_path / "y.png")[:2]
    assert code == 0
    assert any(line.startswith("b2a: ") for line in lines)


def test_the_direction_chooses_the_generator(model):
    values, networks = noise(32, 32, 3), load_model(model).networks
    real = torch.from_numpy(values).permute(2, 0, 1)[None].float() / 127.5 - 1
    for direction in ("a2b", "b2a"):
        with torch.no_grad():
            exact = (networks[direction](real)[0].permute(1, 2, 0).numpy() + 1) * 127.5
        assert np.abs(Translator.load(model, direction)(values) - exact).max() <= 0.5 + 1e-4


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("stride", [4, 32])
def test_padding_reflects_and_where_that_cannot_reach_repeats_the_edge(size, stride):
    values = noise(*size).astype(np.float32)
    extra = [max(8, -(-side // stride) * stride) - side for side in values.shape]
    sides = [(number // 2, number - number // 2) for number in extra]
    reaches = all(max(pair) < side for pair, side in zip(sides, values.shape, strict=True))
    expected = np.pad(values, sides, mode="reflect" if reaches else "edge")
    found = pad_to_stride(torch.from_numpy(values)[None, None], stride)[0, 0].numpy()
    np.testing.assert_array_equal(found, expected)


def test_the_padding_is_removed_at_the_right_position(translator):
    # A generator that gives back what it gets shows where padding and cutting put each pixel.
    echo = Translator(lambda batch: batch, translator.card, "a2b")
    for size in SIZES:
        for dtype in (np.uint8, np.uint16):
            values = noise(*size, 3, dtype=dtype)
            np.testing.assert_array_equal(echo(values), values)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("rest", [(), (1,), (3,)])
def test_an_array_comes_back_in_its_type_and_shape(model, dtype, rest):
    values = noise(13, 10, *rest, dtype=dtype)
    made = Translator.load(model)(values)
    assert (type(made), made.dtype, made.shape) == (np.ndarray, values.dtype, values.shape)


def test_16_bit_translations_agree_with_8_bits_and_are_finer(model):
    translator, values = Translator.load(model), noise(24, 24, 3)
    deep = translator(values.astype(np.uint16) * 257)
    assert np.abs(deep / 257 - translator(values)).max() < 0.51
    assert (deep % 257 != 0).mean() > 0.9


@pytest.mark.parametrize(
    ("given", "got"),
    [
        ("L", "L"), ("RGB", "RGB"), ("LA", "LA"), ("RGBA", "RGBA"), ("I;16", "I;16"),
        ("1", "L"), ("P", "RGB"), ("PA", "RGBA"), ("CMYK", "RGB"), ("YCbCr", "RGB"),
    ],
)  # fmt: skip
def test_a_pillow_image_comes_back_in_its_mode_or_the_nearest(model, given, got):
    deep = Image.fromarray(noise(13, 10, dtype=np.uint16))
    colour = Image.fromarray(noise(13, 10, 4)).convert("RGBA")
    image = deep if given == "I;16" else colour.convert("RGB" if given == "CMYK" else "RGBA").convert(given)
    made = Translator.load(model)(image)
    assert (made.mode, made.size) == (got, image.size)
    if "A" in given:
        np.testing.assert_array_equal(made.getchannel("A"), image.convert("RGBA").getchannel("A"))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((4, 4), np.int64), r"is not an image: give \(H, W\) or \(H, W, C\) of uint8, int8, uint16"),
        (np.zeros((0, 4, 3), np.uint8), "is not an image"),
        (np.zeros((4, 4, 2), np.uint8), "a picture of 2 channels cannot be used where 3 are needed"),
        (np.zeros((4, 4), np.float32), "values of float32 need a range, and the model has none"),
    ],
)
def test_arrays_that_are_not_pictures_are_refused(model, values, said):
    with pytest.raises(PictureError, match=said):
        Translator.load(model)(values)


def test_between_domains_of_different_channels_the_target_decides(tmp_path):
    forth, back = grey_to_colour(tmp_path), grey_to_colour(tmp_path, "b2a")
    for dtype in (np.uint8, np.uint16):
        grey, colour = noise(9, 8, dtype=dtype), noise(9, 8, 3, dtype=dtype)
        assert (forth(grey).shape, forth(grey).dtype) == ((8, 9, 3), dtype)
        assert forth(colour).shape == (8, 9, 3)
        assert (back(colour).shape, back(grey).shape) == ((8, 9, 1), (8, 9))
    assert forth(Image.fromarray(noise(9, 8))).mode == "RGB"
    assert forth(Image.fromarray(noise(9, 8, dtype=np.uint16))).mode == "RGB"  # Pillow has no colour of 16 bits
    assert back(Image.fromarray(noise(9, 8, 4))).mode == "LA"


def test_training_size_is_that_of_the_crops_and_alpha_goes_with_it(model):
    translator = Translator.load(model)
    made = translator.at_training_size(DecodedImage(noise(200, 50, 3), alpha=noise(200, 50), note="hm"))
    assert made.values.shape == (32, 32, 3)
    assert made.alpha.shape == (32, 32)
    assert made.note == "hm"


# -- batches, threads, memory


def test_a_batch_gives_what_each_image_gives_alone(translator):
    images = [noise(32, 40, 3), noise(5, 3, 3), noise(32, 40, 3, dtype=np.uint16), noise(32, 40), noise(32, 40, 3)]
    calls = []
    forward, deep = translator.forward, translator.full_precision
    recorded = Translator(
        lambda batch: (calls.append(len(batch)), forward(batch))[1],
        translator.card,
        "a2b",
        full_precision=lambda batch: (calls.append(-len(batch)), deep(batch))[1],
    )
    batch = recorded.translate_batch(images)
    assert calls == [3, 1, -1]  # by size and dtype
    for image, translated in zip(images, batch, strict=True):
        alone = translator(image)
        assert (translated.shape, translated.dtype) == (alone.shape, alone.dtype)
        step = 1 if image.dtype == np.uint8 else 16  # rounding; a batch may sum in another order
        assert np.abs(translated.astype(int) - alone).max() <= step
    assert recorded.translate_batch([]) == []


def test_a_batch_may_mix_types_of_image(model):
    translator, values = Translator.load(model), noise(16, 12, 3)
    pillow, array, picture = translator.translate_batch([Image.fromarray(values), values, DecodedImage(values)])
    assert isinstance(pillow, Image.Image)
    np.testing.assert_array_equal(np.asarray(pillow), array)
    np.testing.assert_array_equal(picture.values, array)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])  # bf16, since threads share autocast's weight cache
def test_two_threads_may_share_a_translator(model, precision):
    translator = Translator.load(model, precision=precision)
    images = [noise(48 + 4 * index, 40, 3) for index in range(12)]
    expected = [translator(image) for image in images]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(translator, images))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def failing(translator, error, *, tile="auto"):
    def forward(batch):
        raise error

    return Translator(forward, translator.card, "a2b", tile=tile)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_too_little_memory_is_a_mistake_with_a_cure(translator, error):
    with pytest.raises(PictureError, match="20×10 pixels need more memory than there is: give a smaller image"):
        failing(translator, error)(noise(20, 10, 3))
    with pytest.raises(PictureError, match="2 images of 20×10 pixels need more memory.*: give fewer at a time"):
        failing(translator, error, tile=0).translate_batch([noise(20, 10, 3)] * 2)
    with pytest.raises(PictureError, match="^20×10 pixels need more memory"):  # by default, each alone is tried too
        failing(translator, error).translate_batch([noise(20, 10, 3)] * 2)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_an_output_that_is_not_finite_is_refused_and_not_written_as_black(translator, value):
    overflowing = Translator(lambda batch: torch.where(batch == batch.max(), value, batch), translator.card, "a2b")
    with pytest.raises(PictureError, match="output is not finite, as when fp16 overflows: give --precision fp32"):
        overflowing(noise(20, 10, 3))


def test_too_little_memory_is_recognised_by_the_cpu_allocators_own_error(translator):
    with pytest.raises(PictureError, match="need more memory than there is"):
        Translator(lambda batch: torch.empty(10**15), translator.card, "a2b")(noise(20, 10, 3))


def test_another_error_that_mentions_memory_is_not_hidden(translator):
    error = RuntimeError("CUDA error: an illegal memory access was encountered")
    with pytest.raises(RuntimeError, match="illegal memory access"):
        failing(translator, error)(noise(20, 10, 3))


def test_forwards_compute_without_gradient_in_evaluation_mode_which_is_restored():
    convolution, x = torch.nn.Conv2d(3, 3, 1), torch.ones(1, 3, 8, 8, requires_grad=True)
    networks = {name: torch.nn.Sequential(convolution, torch.nn.Dropout()) for name in ("a2b", "b2a")}
    networks["b2a"].eval()
    with inference_forwards(networks) as forwards:
        for forward in forwards.values():
            assert torch.equal(forward(x), convolution(x))
            assert not forward(x).requires_grad
    assert [network.training for network in networks.values()] == [True, False]


def test_the_precision_of_a_forward_is_the_devices_unless_full_precision_is_set():
    torch.manual_seed(0)
    network, x = build_generator(RESNET, 3, 3).eval(), torch.rand(1, 3, 16, 16)
    device = Device(resolve_engine(EngineConfig(device="cpu", precision="bf16")))
    with torch.no_grad():
        exact = network(x)
    assert torch.equal(TorchForward(network, device, full_precision=True)(x), exact)
    rounded = TorchForward(network, device)(x)
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - exact).abs().max() < 0.05


# -- folders


def test_300_pictures_in_three_levels_keep_their_names_and_sizes(model, tmp_path, capsys):
    words = ["plain", "two words", "Zürich", "日本語", "кошка", "قطة", "חתול", "नमस्ते", "🐈", "[red]", "a'b\"c", "100%"]
    source, sizes = tmp_path / "in", {}
    for index in range(300):
        folders = [words[index % 12], f"{words[index // 12 % 12]} {index % 7}", words[index % 5]]
        name = "/".join([*folders[: index % 4], f"{words[index % 11]} {index}.png"])
        width, height = (int(side) for side in RNG.integers(1, 20, 2))
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        saved(source / name, Image.fromarray(noise(width, height, 3)))
        sizes[name] = (width, height)
    code, lines = run(capsys, model, source, tmp_path / "out")
    assert code == 0
    assert lines[-1] == "300 translated, 0 failed"
    made = {path.relative_to(tmp_path / "out").as_posix(): path for path in (tmp_path / "out").rglob("*.png")}
    assert made.keys() == sizes.keys()
    for name, path in made.items():
        with Image.open(path) as image:
            assert image.size == sizes[name]


def test_a_single_picture_goes_to_a_file_or_into_a_folder(model, tmp_path, capsys):
    fill(tmp_path, "x.png")
    assert run(capsys, model, tmp_path / "x.png", tmp_path / "new" / "y.webp") == (
        0,
        [
            "a2b: photos to paintings",
            f"{tmp_path}/x.png has 9×10 pixels, but training saw pictures of 32: if the translation looks wrong, give a copy of that size, or --size training",
            "1 translated, 0 failed",
        ],
    )
    (tmp_path / "folder").mkdir()
    assert (
        run(capsys, model, tmp_path / "x.png", tmp_path / "folder", "--direction", "b2a")[1][0]
        == "b2a: paintings to photos"
    )
    assert [read_picture(tmp_path / name).values.shape for name in ("new/y.webp", "folder/x.png")] == [(10, 9, 3)] * 2


def test_the_written_picture_is_what_the_translator_gives(model, tmp_path, capsys):
    source = fill(tmp_path / "in", "x.png")
    run(capsys, model, source, tmp_path / "out")
    expected = Translator.load(model, precision="auto")(read_picture(source / "x.png").values)
    np.testing.assert_array_equal(read_picture(tmp_path / "out" / "x.png").values, expected)


def test_size_training_resizes_without_a_scale_warning(model, tmp_path, capsys):
    fill(tmp_path / "in", "x.png", "y.jpg")
    assert run(capsys, model, tmp_path / "in", tmp_path / "out", "--size", "training") == (
        0,
        ["a2b: photos to paintings", "2 translated, 0 failed"],
    )
    assert read_picture(tmp_path / "out" / "y.jpg").values.shape == (32, 32, 3)


def test_a_scale_unlike_trainings_is_noted_once_and_one_within_a_factor_of_two_never(model, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for name, side in (("a", 16), ("b", 64), ("c", 65), ("d", 15), ("e", 200)):
        saved(tmp_path / "in" / f"{name}.png", Image.new("RGB", (side, side)))
    lines = run(capsys, model, tmp_path / "in", tmp_path / "out")[1]
    assert [line for line in lines if "--size training" in line] == [
        f"{tmp_path}/in/c.png has 65×65 pixels, but training saw pictures of 32: if the translation looks wrong, give a copy of that size, or --size training"
    ]


def odd_pictures(folder):
    """Pictures of every unusual kind, by name, and the note about each, if any."""
    folder.mkdir(parents=True)
    image, exif = Image.fromarray(noise(30, 20, 3)), Image.Exif()
    exif[0x0112] = 6
    grey = Image.fromarray(noise(30, 20))
    saved(folder / "grey.png", grey)
    saved(folder / "bits.png", grey.convert("1"))
    saved(folder / "palette.png", image.quantize(9))
    saved(folder / "transparent.png", Image.fromarray(noise(30, 20, 4)))
    saved(folder / "grey and transparent.png", Image.fromarray(noise(30, 20, 2)))
    saved(folder / "print.jpg", image.convert("CMYK"))
    saved(folder / "deep.png", Image.fromarray(noise(30, 20, dtype=np.uint16)))
    saved(folder / "deep.tif", Image.fromarray(noise(30, 20, dtype=np.uint16)))
    saved(folder / "sideways.jpg", Image.fromarray(noise(20, 30, 3)), exif=exif)
    saved(folder / "moving.gif", image, save_all=True, append_images=[grey])
    saved(folder / "moving.webp", image, save_all=True, append_images=[image.rotate(180)])
    saved(folder / "pages.tif", image, save_all=True, append_images=[image.rotate(180)])
    return [
        f"{folder}/{name} has 2 frames: the first is used" for name in ("moving.gif", "moving.webp", "pages.tif")
    ]  # fmt: skip


def wrong_pictures(folder):
    """Pictures with every kind of damage, and the start of the error about each."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (content, _) in CONTENTS.items():
        (folder / f"{name}.jpg").write_bytes(content)
    (folder / "link.png").symlink_to("nowhere.png")
    cut = saved(folder / "cut.png", Image.fromarray(noise(50, 50, 3)))
    cut.write_bytes(cut.read_bytes()[:5000])
    tifffile.imwrite(folder / "complex.tif", np.zeros((5, 5), np.complex64))
    messages = {f"{name}.jpg": message for name, (_, message) in CONTENTS.items()}
    messages |= {"link.png": "is a broken link", "cut.png": "is cut off or damaged (5.0 kB; "}
    messages |= {"complex.tif": "holds complex64, which diptych cannot use: save it as grey, RGB or bands of uint8"}
    return [f"{folder}/{name} {message}" for name, message in sorted(messages.items())]


def test_odd_pictures_are_translated_at_the_size_they_are_seen_at(model, tmp_path, capsys):
    notes = odd_pictures(tmp_path / "in")
    code, lines = run(capsys, model, tmp_path / "in", tmp_path / "out")
    assert (code, lines) == (0, ["a2b: photos to paintings", *notes, "12 translated, 0 failed"])
    for path in (tmp_path / "in").iterdir():
        before, after = read_picture(path), read_picture(tmp_path / "out" / path.name)
        assert after.values.shape[:2] == before.values.shape[:2] == (20, 30)
        assert after.values.dtype == before.values.dtype
        if path.suffix != ".webp":
            assert after.values.shape == before.values.shape
        if before.alpha is not None:
            np.testing.assert_array_equal(after.alpha, before.alpha)


def test_unreadable_pictures_are_reported_and_the_others_translated(model, tmp_path, capsys):
    messages = wrong_pictures(fill(tmp_path / "in", "a.png", "z.png"))
    code, lines = run(capsys, model, tmp_path / "in", tmp_path / "out")
    assert code == 1
    assert lines[-1] == f"2 translated, {len(messages)} failed"
    told = [line for line in lines[1:-1] if "--size training" not in line]
    assert len(told) == len(messages)
    assert all(line.startswith(message) for line, message in zip(told, messages, strict=True))
    assert "skip-unreadable" not in " ".join(lines)
    assert pictures_in(tmp_path / "out") == ["a.png", "z.png"]


def test_an_output_whose_name_is_too_long_is_reported_and_the_others_translated(model, tmp_path, capsys):
    # 255 bytes are the most in common file systems; a name without suffix gets .png.
    fill(tmp_path / "in", "a.png", "z.png").joinpath("n" * 255).write_bytes((tmp_path / "in/a.png").read_bytes())
    code, lines = run(capsys, model, tmp_path / "in", tmp_path / "out")
    written = tmp_path / "out" / f"{'n' * 255}.png"
    assert code == 1
    problem = "cannot be written (File name too long): shorten its name, or give another path"
    assert lines[-2:] == [f"{written} {problem}", "2 translated, 1 failed"]
    assert pictures_in(tmp_path / "out") == ["a.png", "z.png"]


def test_a_folder_whose_path_is_too_long_fails_its_pictures_only(model, tmp_path, capsys):
    fill(tmp_path / "in", "a.png", f"{'s' * 250}/b.png", "z.png")
    out = tmp_path / "out"
    while len(str(out)) < 3850:  # of at most 4096
        out /= "o" * 100
    code, lines = run(capsys, model, tmp_path / "in", out)
    assert (code, lines[-1]) == (1, "2 translated, 1 failed")
    assert sum("(File name too long)" in line for line in lines) == 1
    assert pictures_in(out) == ["a.png", "z.png"]


def test_16_bits_that_the_output_cannot_hold_are_scaled_and_said_so(tmp_path, capsys):
    path = save_random_model(tmp_path / "m.safetensors", channels=(1, 3))
    saved(tmp_path / "x.png", Image.fromarray(noise(32, 32, dtype=np.uint16)))
    _, lines = run(capsys, path, tmp_path / "x.png", tmp_path / "y.bmp")
    assert lines[1] == f"{tmp_path}/y.bmp cannot hold 16 bits: it is written with 8"
    expected = Translator.load(path)(read_picture(tmp_path / "x.png").values)
    assert np.abs(read_picture(tmp_path / "y.bmp").values - expected / 257).max() <= 0.5
    _, lines = run(capsys, path, tmp_path / "x.png", tmp_path / "y.png")
    assert lines[1:] == ["1 translated, 0 failed"]
    np.testing.assert_array_equal(read_picture(tmp_path / "y.png").values, expected)


# -- what is refused before anything is translated


def refused(source, target):
    with pytest.raises(UserError) as caught:
        plan_outputs(source, target)
    return str(caught.value)


@pytest.mark.parametrize(
    "names", [("A.png", "a.png"), ("STRASSE/1.png", "straße/1.png"), ("é.png", unicodedata.normalize("NFD", "é.png"))]
)
def test_names_that_are_one_on_many_disks_are_refused(tmp_path, names):
    if len(list(fill(tmp_path / "in", *names).rglob("*.png"))) < 2:
        pytest.skip("they are one on this disk already")
    assert re.search("and .* would both become .*: rename one of them", refused(tmp_path / "in", tmp_path / "out"))


def test_overwriting_an_input_is_refused(tmp_path):
    fill(tmp_path / "in", "x.png", "out/x.png")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for source, target in (
        ("in", "in"),
        ("in", "link"),
        ("in/x.png", "in/x.png"),
        ("in/x.png", "in"),
    ):
        message = refused(tmp_path / source, tmp_path / target)
        assert message.endswith("is also an input, and would be overwritten: give another output"), (source, target)


def test_an_output_inside_the_input_is_refused(tmp_path):
    """Otherwise the second run would translate the translations."""
    fill(tmp_path / "in", "x.png")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for target in ("in/out", "in/deeper/out", "link/out"):
        message = refused(tmp_path / "in", tmp_path / target)
        assert message.endswith("so the next run would translate its own output: give an output outside of it"), target


def test_a_folder_named_like_a_picture_is_refused_as_output(tmp_path):
    fill(tmp_path / "in", "x.png")
    assert refused(tmp_path / "in", tmp_path / "out.jpg").endswith("is a folder: give a folder to write to")


def test_unsupported_formats_are_reported(model, tmp_path, capsys):
    fill(tmp_path / "in", "x.png", "deep/y.png")
    for name in ("in/deep/IMG_1.HEIC", "in/layers.psd", "phone/IMG_1.HEIC"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"not read")
    lines = run(capsys, model, tmp_path / "in", tmp_path / "out")[1]
    words = f"{tmp_path / 'in'} has 2 files in formats that diptych does not read (1 .heic, 1 .psd): save them as JPEG or PNG"
    assert any(line.startswith(words) for line in lines)
    assert "1 file in formats that diptych does not read (1 .heic)" in refused(tmp_path / "phone", tmp_path / "out")


def test_pictures_are_known_by_content_and_those_without_a_suffix_become_png(model, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for name in ("a.jfif", "b.jpe", "c"):
        Image.fromarray(noise(32, 32, 3)).save(tmp_path / "in" / name, "JPEG")
    code, lines = run(capsys, model, tmp_path / "in", tmp_path / "out")
    assert (code, lines[-1]) == (0, "3 translated, 0 failed")
    formats = {name: Image.open(tmp_path / "out" / name).format for name in pictures_in(tmp_path / "out")}
    assert formats == {"a.jfif": "JPEG", "b.jpe": "JPEG", "c.png": "PNG"}
    assert run(capsys, model, tmp_path / "in" / "c", tmp_path / "out")[0] == 0
    fill(tmp_path / "in", "c.png")
    assert "would both become" in refused(tmp_path / "in", tmp_path / "new")


def test_measurements_are_refused_by_what_they_are(model, tmp_path, capsys):
    folder, names = tmp_path / "in", [f"{index}.tif" for index in range(2)]
    folder.mkdir()
    for name in names:
        tifffile.imwrite(folder / name, noise(32, 32, 3, dtype=np.uint16), photometric="rgb")
    bands = noise(32, 32, 4) // 2
    tifffile.imwrite(folder / "infrared.tif", bands, photometric="rgb", extrasamples=["unassalpha"])
    tifffile.imwrite(folder / "scan.tif", noise(32, 32).astype(np.int16))
    code, lines = run(capsys, model, folder, tmp_path / "out")
    assert code == 1
    assert any(line.startswith(f"{folder}/infrared.tif holds 4 bands of uint8: the last is called") for line in lines)
    assert any(line.startswith(f"{folder}/scan.tif: values of int16 need a range") for line in lines)
    assert pictures_in(tmp_path / "out") == names


def test_other_impossible_outputs_are_refused(tmp_path):
    fill(tmp_path, "in/x.png", "file.png")
    (tmp_path / "empty").mkdir()
    assert "does not exist: give a picture or a folder" in refused(tmp_path / "none", tmp_path / "out")
    assert "holds no picture: give a folder with pictures" in refused(tmp_path / "empty", tmp_path / "out")
    assert "is a folder and" in refused(tmp_path / "in", tmp_path / "file.png")
    assert "does not end in a picture suffix: give a name that ends in one of .bmp .dcm .dicom .gif" in refused(
        tmp_path / "file.png", tmp_path / "out.txt"
    )


def test_a_wrong_model_is_one_line_and_exit_code_2(tmp_path, capsys, model):
    fill(tmp_path, "x.png")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(model.read_bytes()[:-1] + b"\0")
    write_checksummed(tmp_path / "other.safetensors", "checkpoint", {}, {})
    (tmp_path / "run").mkdir()
    one_way = load_model(model)
    save_model(tmp_path / "one.safetensors", {"a2b": one_way.networks["a2b"]}, one_way.card)
    for name, options, message in (
        ("none.safetensors", [], "none.safetensors does not exist"),
        ("x.png", [], "x.png is damaged, or not a diptych file"),
        ("damaged.safetensors", [], "has changed since it was written"),
        ("other.safetensors", [], "other.safetensors is a checkpoint, not a model"),
        ("run", [], "run holds no model.safetensors: give a run that has trained"),
        ("one.safetensors", ["--direction", "b2a"], "this model has no direction b2a: give a2b"),
        ("one.safetensors", ["--direction", "b2c"], "b2c"),
    ):
        code, lines = run(capsys, tmp_path / name, tmp_path / "x.png", tmp_path / "y.png", *options)
        assert (code, len(lines)) == (2, 1)
        assert message in lines[0]
    assert not (tmp_path / "y.png").exists()


def test_an_output_that_may_not_be_written_is_one_line_and_exit_code_2(public_folder, capsys):
    model = save_random_model(public_folder / "m.safetensors")
    model.chmod(0o644)
    fill(public_folder, "in/x.png", "in/sub/y.png", "file.png")
    (public_folder / "locked").mkdir(mode=0o555)
    assert run(capsys, model, public_folder / "in", public_folder / "out")[0] == 0
    rights, way = r"\(Permission denied\): change its permissions", r"\(Not a directory\): move what is in its way"
    for target, reason in {"locked": rights, "locked/new": rights, "file.png/new": way}.items():
        with unprivileged():
            code, lines = run(capsys, model, public_folder / "in", public_folder / target)
        assert code == 2
        assert re.search(rf"cannot be written {reason}, or give another path$", lines[-1])
        assert len(lines) <= 3  # direction, scale, mistake


def test_a_full_disk_is_one_line_and_leaves_no_half_picture(model, tmp_path):
    # The limit on a file's size stands in for the disk's, in a process of its own.
    fill(tmp_path / "in", "a.png")
    saved(tmp_path / "in" / "b.png", Image.fromarray(noise(100, 100, 3)))
    code = """
import resource, signal, sys
from diptych.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
main(sys.argv[1:])
"""
    command = [sys.executable, "-c", code, "translate", model, tmp_path / "in", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    *_, last = done.stderr.splitlines()
    assert "Traceback" not in done.stderr
    assert last.endswith(
        "cannot be written (File too large): raise the limit of file sizes (ulimit -f), or give another path"
    )
    assert pictures_in(tmp_path / "out") in ([], ["a.png"])  # both are written at the same time


# -- the same files in training


def reader(folder, *, skip, report, channels=3):
    data = DataConfig(load_size=20, crop_size=16, skip_unreadable=skip, num_workers=1)
    return Reader(find_domain("x", folder), data, encoding=Encoding(channels), stride=4, report=report)


@pytest.mark.parametrize("channels", [1, 3])
def test_training_reads_odd_pictures_and_notes_each_conversion_once(tmp_path, channels):
    notes, told = odd_pictures(tmp_path / "in"), []
    read = reader(tmp_path / "in", skip=False, report=told.append, channels=channels)
    for index in [*range(12), *range(12)]:
        assert read(index).shape == (20, 20, channels)
    assert told == notes


def test_training_stops_at_an_unreadable_picture_with_its_cure_and_the_option(tmp_path):
    messages = wrong_pictures(fill(tmp_path / "in", "z.png"))
    read = reader(tmp_path / "in", skip=False, report=[].append)
    for index, message in enumerate(messages):
        with pytest.raises(PictureError) as caught:
            read(index)
        assert str(caught.value).startswith(message)
        assert str(caught.value).endswith(", or pass --skip-unreadable")
    with pytest.raises(PictureError, match="or pass --skip-unreadable"):
        survey(read.domain, skip_unreadable=False)


def test_a_domain_of_one_kind_that_is_not_used_is_refused_as_that_kind_without_the_option_to_skip(tmp_path):
    for name in ("a.tif", "b.tif"):
        tifffile.imwrite(tmp_path / name, noise(8, 8).astype(np.complex64))
    for skip in (False, True):
        with pytest.raises(PictureError) as caught:
            survey(find_domain("x", tmp_path), skip_unreadable=skip)
        start = f"no picture in {tmp_path} can be read; the first: {tmp_path}/"
        assert str(caught.value).startswith(start)
        assert str(caught.value).endswith(
            ".tif holds complex64, which diptych cannot use: save it as grey, RGB or bands of uint8, int8, uint16, int16,"
            " uint32, int32, float16, float32, float64"
        )


def test_the_option_to_skip_is_no_cure_where_no_other_picture_can_be_read(tmp_path):
    for name in ("a.tif", "b.tif"):  # their headers do not show it
        values = np.full((16, 16, 4), 90, np.uint8)
        tifffile.imwrite(tmp_path / name, values, photometric="rgb", extrasamples=["unassalpha"])
    with pytest.raises(PictureError, match=r"a\.tif holds 4 bands of uint8: .*; as PNG, if it is transparency$"):
        reader(tmp_path, skip=False, report=[].append)(0)


def test_training_keeps_16_bits_of_colour(tmp_path):
    values = noise(16, 16, 3, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "x.tif", values, photometric="rgb")
    read = Reader(find_domain("x", tmp_path), DataConfig(load_size=16, crop_size=16), encoding=Encoding(3), stride=4)
    np.testing.assert_array_equal(read(0), values)


def test_training_skips_unreadable_pictures_only_with_the_option(tmp_path):
    messages, told, surveyed = wrong_pictures(fill(tmp_path / "in", "a.png", "z.png")), [], []
    read = reader(tmp_path / "in", skip=True, report=told.append)
    loader = Loader(Pair(read, read), read.data, seed=0, batch_size=2)
    batches = loader.batches(0)
    for pair in islice(batches, 20):
        assert pair.a.shape == pair.b.shape == (2, 3, 16, 16)
    batches.close()
    problems = [f"skipped: {message.split(': ')[0]}" for message in messages]
    assert len(told) == len(problems)
    assert all(line.startswith(problem) for line, problem in zip(sorted(told), problems, strict=True))
    facts = survey(read.domain, skip_unreadable=True, report=surveyed.append)
    assert (facts.num_pictures, facts.channels) == (len(messages) + 2, 3)
    assert set(surveyed) < set(told)  # the headers show some of it


def test_an_error_ends_the_batches_whatever_reads_them(tmp_path):
    wrong_pictures(fill(tmp_path / "in", "a.png"))
    read = reader(tmp_path / "in", skip=False, report=[].append)
    with pytest.raises(PictureError):
        list(islice(Loader(Pair(read, read), read.data, seed=0, batch_size=2).batches(0), 50))


def test_a_folder_without_a_readable_picture_is_an_error_even_with_the_option(tmp_path):
    wrong_pictures(tmp_path / "in")
    read = reader(tmp_path / "in", skip=True, report=[].append)
    with pytest.raises(PictureError, match=r"no picture in .* can be read"):
        read(0)


def test_pictures_of_different_sizes_cannot_share_a_batch(tmp_path):
    for index, size in enumerate([(16, 16), (32, 16)]):
        (tmp_path / "in").mkdir(exist_ok=True)
        saved(tmp_path / "in" / f"{index}.png", Image.new("RGB", size))
    data = DataConfig(resize="none", load_size=20, crop_size=0)
    read = Reader(find_domain("x", Path(tmp_path / "in")), data, encoding=Encoding(3), stride=4)
    with pytest.raises(PictureError, match="pictures of 16×16 and 32×16 cannot share a batch: give a crop size"):
        Loader(Pair(read, read), data, seed=0, batch_size=8).batch(0)


def test_wrong_options_in_python_are_user_errors(model):
    one_way = load_model(model)
    del one_way.networks["b2a"]
    with pytest.raises(OptionError, match="this model has no direction b2a: give a2b"):
        Translator.of(one_way, "b2a")
