"""Tiles: the same numbers as the whole picture, no seams, and an honest estimate where statistics are sampled."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from diptych.config import ResnetConfig, UnetConfig
from diptych.data.colour import AS_THEY_ARE
from diptych.data.encoding import Encoding
from diptych.data.image import DecodedImage
from diptych.errors import OptionError, PictureError
from diptych.inference import tiled_translation
from diptych.inference.padding import Padding, pad_to_stride
from diptych.inference.tile_store import tile_store
from diptych.inference.tiled_translation import TiledTranslation
from diptych.inference.tiles import Moments, spread, tile_cores
from diptych.inference.translator import Translator
from diptych.memory import GIB
from diptych.networks import build_generator
from diptych.networks.stages import Staged, stages_of
from diptych.networks.window_program import WindowProgram, receptive_radius
from diptych.networks.windows import Area, Span
from helpers.squares import ORANGE
from helpers.translators import RESNET, make_translator, picture

UNET = UnetConfig(width=2, num_levels=5)
CONFIGS = {
    "resnet": RESNET,
    "no norm": replace(RESNET, norm="none"),
    "batch norm": replace(RESNET, norm="batch"),
    "dropout": replace(RESNET, dropout=True),
    "nearest": replace(RESNET, upsampling="nearest"),
    "bilinear": replace(RESNET, upsampling="bilinear"),
    "residual": replace(RESNET, residual=True),
    "cut": replace(RESNET, upsampling="blur", antialias=True),
    "unet": UNET,
    "unet batch norm": replace(UNET, norm="batch", dropout=True),
}


def by_tiles(translator, **options):
    """A copy of ``translator`` that uses tiles."""
    return Translator(
        translator.forward,
        translator.card,
        translator.direction,
        full_precision=translator.full_precision,
        **{"tile": 64, **options},
    )


def squares_picture(seed, height=330, width=400):
    """Many squares of the domain that ``learnt`` knows, in uneven light."""
    rng = np.random.default_rng(seed)
    values = np.full((height, width, 3), 50.0)
    for _ in range(height * width // 1024):
        side, top, left = rng.integers(8, 24), rng.integers(0, height - 8), rng.integers(0, width - 8)
        values[top : top + side, left : left + side] = ORANGE + rng.integers(-40, 40, 3)
    light = picture(seed, height, width).mean(2, keepdims=True) / 255
    return (values * (0.6 + 0.8 * light)).clip(0, 255).astype(np.uint8)


def psnr(first, second, peak=2.0):
    """In dB; ``peak`` is the range of the values."""
    error = np.mean((np.asarray(first, np.float64) - np.asarray(second, np.float64)) ** 2)
    return 10 * np.log10(peak**2 / max(error, 1e-30))


def outputs(translator, values, *, sample=None, own=False):
    """The network's outputs (H, W, C) in [-1, 1], untiled and by tiles."""
    return untiled_output(translator, values), tiled_output(translator, values, sample=sample, own=own)


def untiled_output(translator, values):
    whole = translator.at_any_size(translator.forward, translator.network_input([values], [AS_THEY_ARE]))
    return whole[0].permute(1, 2, 0).numpy()


def tiled_output(translator, values, *, sample=None, own=False):
    """``sample``: the fraction of the tiles that statistics are taken of. ``own``: each tile takes its own."""
    tiled = tiled_of(translator, values)
    if sample is not None:
        tiled.sample = spread(tiled.cores, tiled.side)[: round(sample * len(tiled.cores))]
    made, padding = torch.empty(1, tiled.encoding.channels, *_padded(values, tiled.padding)), tiled.padding
    if not own:
        with tile_store(4 * tiled.slot_values, in_memory=True) as store:
            statistics = list(tiled.tiled.measure(tiled.sample, store))
    for core in tiled.cores:
        with tile_store(4 * tiled.slot_values, in_memory=True) as store:
            known = list(tiled.tiled.measure([core], store)) if own else statistics
        made[:, :, *core.slices] = tiled.tiled.translate(core, known)
    height, width = values.shape[:2]
    made = made[:, :, padding.top : padding.top + height, padding.left : padding.left + width]
    return made[0].permute(1, 2, 0).numpy()


def tiled_of(translator, values):
    """The translation of ``values`` by tiles."""
    return TiledTranslation(translator, *values.shape[:2], lambda area: values[area.slices], Encoding.of(values))


def _padded(values, padding):
    height, width = values.shape[:2]
    return height + padding.top + padding.bottom, width + padding.left + padding.right


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("size", [(197, 301), (64, 200), (33, 130)])
def test_tiles_give_the_numbers_of_the_whole_picture(config, size):
    translator = make_translator(config, tile=32)
    whole, tiled = outputs(translator, picture(0, *size))
    assert psnr(whole, tiled) >= 100


def test_the_scratch_file_holds_what_memory_would(monkeypatch):
    translator, values = make_translator(tile=64), picture(1)
    in_memory = translator(values)
    stores, real = [], tile_store
    monkeypatch.setattr(tiled_translation, "IN_MEMORY", 1000)
    monkeypatch.setattr(
        tiled_translation, "tile_store", lambda *a, **b: (stores.append(b["in_memory"]), real(*a, **b))[1]
    )
    assert np.array_equal(translator(values), in_memory)
    assert stores == [False]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [(3, 3), (1, 3), (3, 1)])
def test_images_of_every_depth_and_channels_are_translated_alike(dtype, channels):
    whole = make_translator(channels=channels, tile=0)
    for given in (1, 3):
        values = picture(2, 70, 90, given, dtype)
        expected, found = whole(values), by_tiles(whole, tile=32)(values)
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        assert np.abs(found.astype(int) - expected).max() <= 1


def test_transparency_and_ranges_are_kept():
    whole = make_translator(tile=0)
    limits = Encoding(3, "uint16", low=100, high=4000)
    whole.encoding_in = whole.encoding_out = limits
    tiled = by_tiles(whole)
    tiled.encoding_in = tiled.encoding_out = limits
    values = (picture(3, 100, 150, dtype=np.uint16) // 16).astype(np.uint16)
    alpha = np.random.default_rng(0).integers(0, 256, (100, 150), dtype=np.uint8)
    expected, found = whole(DecodedImage(values, alpha)), tiled(DecodedImage(values, alpha))
    assert np.array_equal(found.alpha, alpha)
    assert np.abs(found.values.astype(int) - expected.values).max() <= 1
    assert len(np.unique(found.values)) > 256


def test_bf16_tiles_differ_from_the_whole_no_more_than_bf16_from_fp32():
    values = picture(4)
    exact = make_translator(tile=64)
    rounded = make_translator(precision="bf16", tile=64)
    whole, tiled = outputs(rounded, values)
    reference, _ = outputs(exact, values)
    assert psnr(whole, tiled) >= psnr(reference, whole) - 1


def test_the_receptive_radius_is_that_of_the_gradient():
    for config in (RESNET, CONFIGS["bilinear"], CONFIGS["cut"], UNET):
        network = build_generator(replace(config, norm="none"), 1, 1).double().eval()
        for parameter in network.parameters():
            nn.init.uniform_(parameter, 0.5, 1)
        network.apply(_without_saturation)
        stride, radius = config.stride, receptive_radius(network, config.stride)
        side = 2 * stride * (radius // stride + 2)
        found = 0
        for phase in range(stride):
            x = torch.ones(1, 1, 4 * stride, side, dtype=torch.float64, requires_grad=True)
            network(x)[0, 0, 2 * stride, side // 2 + phase].backward()
            columns = x.grad.abs().sum((0, 1, 2)).nonzero()[:, 0]
            pixel = side // 2 + phase
            found = max(found, pixel - int(columns.min()), int(columns.max()) - pixel)
        assert radius == found


def _without_saturation(module):
    """Replaces what hides a gradient: tanh of large numbers is flat."""
    for name, child in module.named_children():
        if isinstance(child, nn.Tanh):
            setattr(module, name, nn.Identity())


def test_the_papers_networks_reach_84_and_60_pixels():
    assert receptive_radius(build_generator(ResnetConfig(width=1, num_blocks=9), 3, 3), 4) == 84
    assert receptive_radius(build_generator(ResnetConfig(width=1, num_blocks=6), 3, 3), 4) == 60


@pytest.mark.parametrize("config", [RESNET, UNET, CONFIGS["cut"]], ids=["resnet", "unet", "cut"])
def test_shares_of_the_cores_cover_every_norm_once(config):
    program = WindowProgram(build_generator(config, 3, 3), 3, 160, 224)
    for norm in program.norms:
        shares = [program.core_at(core, norm) for core in tile_cores(160, 224, 96)]
        covered = np.zeros((shares[0].rows.size, shares[0].columns.size), int)
        for share in shares:
            covered[share.slices] += 1
        assert (covered == 1).all()


def test_moments_are_those_of_all_values_together():
    parts = [torch.randn(1, 3, 5, size, dtype=torch.float64) * 4 + 100 for size in (1, 7, 30)]
    moments = Moments()
    for part in parts:
        moments.add(part)
    whole = torch.cat(parts, 3)
    mean, variance = moments.statistics()
    assert torch.allclose(mean, whole.mean((0, 2, 3)), rtol=1e-6)
    assert torch.allclose(variance, whole.var((0, 2, 3), correction=0), rtol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (7, 64), (33, 31), (130, 66)])
@pytest.mark.parametrize("stride", [4, 32])
def test_padding_by_indices_is_that_of_torch(size, stride):
    height, width = size
    values = torch.arange(height * width, dtype=torch.float32).view(1, 1, height, width)
    expected = pad_to_stride(values, stride)[0, 0]
    padding = Padding.of(height, width, stride)
    whole = Area(Span(0, expected.shape[0], expected.shape[0]), Span(0, expected.shape[1], expected.shape[1]))
    rows, columns = padding.sources(whole)
    assert torch.equal(values[0, 0][rows][:, columns], expected)
    assert padding.inside(whole) == Area(Span(0, height, height), Span(0, width, width))


def test_any_first_tiles_of_a_sample_are_spread_over_the_picture():
    ordered = spread(tile_cores(640, 1280, 32), 32)  # 20 × 40 tiles
    for first in (50, 100, 400):
        quarters = np.zeros((2, 2))
        for core in ordered[:first]:
            quarters[core.rows.start // 320, core.columns.start // 640] += 1
        assert quarters.min() >= 0.8 * first / 4


@pytest.fixture(scope="module")
def trained(learnt):
    """A trained translator, in fp32."""
    return Translator.load(learnt.folder, tile=64)


@pytest.mark.slow
def test_twenty_pictures_exact_sampled_and_with_own_statistics(trained):
    exact, sampled, own, steps = [], [], [], []
    for seed in range(20):
        values = squares_picture(seed)
        whole = untiled_output(trained, values)
        exact.append(psnr(whole, tiled_output(trained, values)))
        half = tiled_output(trained, values, sample=0.5)
        alone = tiled_output(trained, values, own=True)
        sampled.append(psnr(whole, half))
        own.append(psnr(whole, alone))
        steps.append([seam_ratio(trained, made, values) for made in (whole, half, alone)])
    whole, half, alone = np.median(steps, axis=0)
    print(
        f"exact {min(exact):.0f}, sampled {np.median(sampled):.1f}, own {np.median(own):.1f} dB; seams {whole:.3f} {half:.3f} {alone:.3f}"
    )
    assert min(exact) >= 100
    assert np.median(sampled) >= 40 > np.median(own)
    assert half <= whole + 0.02 < alone


def seam_ratio(translator, output, values):
    """The mean step between neighbours on both sides of a seam, divided by that inside tiles."""
    padding = Padding.of(*values.shape[:2], translator.card.generator.stride)
    seams = np.arange(64 - padding.left, values.shape[1], 64)
    steps = np.abs(np.diff(output, axis=1)).mean((0, 2))
    inside = np.delete(steps, seams - 1)
    return steps[seams - 1].mean() / inside.mean()


@pytest.mark.slow
def test_the_expected_error_is_near_the_real_one(trained):
    ratios = []
    for seed in range(10):
        values = squares_picture(seed)
        whole, half = outputs(trained, values, sample=0.5)
        tiled = tiled_of(trained, values)
        chosen = spread(tiled.cores, tiled.side)[: round(len(tiled.cores) / 2)]
        others = [core for core in tiled.cores if core not in chosen]
        with tile_store(4 * tiled.slot_values, in_memory=True) as store:
            expected = tiled.tiled.sampling_error(chosen, others, store)
        ratios.append(expected / np.sqrt(np.mean((whole - half) ** 2)))
    print(np.round(ratios, 2))
    assert 1 / 3 < np.median(ratios) < 3


def test_too_little_scratch_space_samples_tiles_and_says_so(monkeypatch):
    monkeypatch.setattr(tiled_translation, "IN_MEMORY", 0)
    translator, values = make_translator(tile=32, scratch_gib=0.002), picture(5)
    image = translator(DecodedImage(values))
    assert "tiles are used for all: expected error" in image.note
    said = int(re.search(r"\((\d+) dB\)", image.note)[1])
    assert psnr(image.values, make_translator(tile=0)(values), 255) == pytest.approx(said, abs=6)


def test_no_scratch_space_is_an_error_with_a_cure(monkeypatch):
    monkeypatch.setattr(tiled_translation, "IN_MEMORY", 0)
    with pytest.raises(OptionError, match=r"0 GiB holds 0 tiles .*: give --scratch-gib 1"):
        make_translator(tile=64, scratch_gib=0)(picture(6))


def test_auto_uses_tiles_only_where_memory_is_short():
    values = picture(7, 512, 512)
    expected = make_translator(tile=0)(values)
    roomy, tight = make_translator(free_memory=lambda: 64 * GIB), make_translator(free_memory=lambda: 60 * 2**20)
    assert roomy.lacks_memory(512, 512) == ""
    assert np.array_equal(roomy(values), expected)
    assert tight.lacks_memory(512, 512)
    assert np.abs(tight(values).astype(int) - expected).max() <= 1
    with pytest.raises(PictureError, match="give a smaller image"):
        make_translator(free_memory=lambda: 60 * 2**20, tile=0)(values)
    with pytest.raises(PictureError, match="even tiles of 128 pixels need"):
        make_translator(free_memory=lambda: 2**20)(values)


def test_a_device_without_memory_for_a_tile_is_one_line(monkeypatch):
    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(WindowProgram, "run", fail)
    with pytest.raises(PictureError, match="tiles of 64 pixels need more memory than there is: give a smaller --tile"):
        make_translator(tile=64)(picture(8, 64, 64))


class Foreign(Staged):
    """A network with a layer whose reach is unknown."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Sequential(nn.AdaptiveAvgPool2d(1))

    def stages(self):
        return stages_of(self.layer)

    def forward(self, x):
        return self.layer(x)


def test_an_unknown_layer_is_refused_by_name():
    with pytest.raises(OptionError, match="AdaptiveAvgPool2d of Foreign cannot be computed by tiles"):
        WindowProgram(Foreign(), 3, 64, 64)
    with pytest.raises(OptionError, match="Conv2d cannot be computed by tiles"):
        WindowProgram(nn.Conv2d(1, 1, 1), 1, 64, 64)
