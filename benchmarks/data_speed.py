"""Speed of reading pictures, from JPEG files to network tensors: plain Pillow, diptych's first epoch, its later epochs,
and each optimisation alone.

    python benchmarks/data_speed.py [--pictures 32] [--rounds 7]
"""

import argparse
import random
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image
from rounds import interleave, ratio, show
from torch import Tensor

from diptych.config import DataConfig
from diptych.data.cache import PictureCache
from diptych.data.encoding import Encoding, to_network
from diptych.data.files import Domain, find_domain
from diptych.data.formats.reading import open_picture, read_picture
from diptych.data.loader import Loader, Reader
from diptych.data.transforms import fit, fitted_size
from diptych.pair import Pair

EXACT = DataConfig(load_size=286, crop_size=256, num_workers=0, draft=False)
DRAFT = replace(EXACT, draft=True)
STRIDE, CHANNELS = 4, 3
PLENTY = 2**30


def photograph(width: int, height: int, seed: int) -> Image.Image:
    """Noise with the spectrum of photographs: amplitudes fall as 1/frequency."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf
    noise = np.random.default_rng(seed).standard_normal((3, height, width))
    planes = np.fft.irfft2(np.fft.rfft2(noise) / frequency, (height, width))
    planes *= 50 / planes.std(axis=(1, 2), keepdims=True)
    grey, red, blue = planes
    colours = np.stack([grey + 0.3 * red, grey - 0.1 * red + 0.1 * blue, grey - 0.2 * red - 0.3 * blue], axis=2)
    return Image.fromarray((128 + 0.9 * colours).clip(0, 255).astype(np.uint8))


def write_pictures(folder: Path, number: int, width: int, height: int) -> Domain:
    """Writes ``number`` JPEGs of Pillow's default quality (75, 4:2:0)."""
    folder.mkdir(parents=True)
    for index in range(number):
        photograph(width, height, index).save(folder / f"{index}.jpg")
    return find_domain(folder.name, folder)


def plain(path: Path) -> Tensor:
    """The authors' recipe in Pillow alone: decode, resize to 286 (bicubic), crop, flip, to float in [-1, 1]."""
    picture = Image.open(path).convert("RGB").resize((286, 286), Image.Resampling.BICUBIC)
    left, top = random.randint(0, 30), random.randint(0, 30)
    picture = picture.crop((left, top, left + 256, top + 256))
    if random.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    values = torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()
    return values.float().div(255).sub(0.5).div(0.5)[None]


def draft_decode(path: Path) -> object:
    """Decodes at a lower resolution if the picture is large enough, and resizes with Pillow. No crop, no floats."""
    with open_picture(path) as file:
        image = file.decode(fitted_size(*file.size, DRAFT, stride=STRIDE))
    return fit(image.values, DRAFT, stride=STRIDE)


def torch_resize(path: Path) -> object:
    """Decodes at full resolution and resizes with torch. No crop, no floats."""
    return fit(read_picture(path).values, DRAFT, stride=STRIDE, draft=True)


def exact(path: Path) -> object:
    """Decodes at full resolution and resizes with Pillow. No crop, no floats."""
    return fit(read_picture(path).values, DRAFT, stride=STRIDE)


def loader(domains: Pair[Domain], data: DataConfig, make: Callable[[], PictureCache]) -> Loader:
    """A loader that returns each picture once per epoch."""
    readers = domains.map(lambda domain: Reader(domain, data, encoding=Encoding(CHANNELS), stride=STRIDE, cache=make()))
    return Loader(readers, data, seed=0, batch_size=1, paired=True)


def epoch(loading: Loader) -> None:
    """Reads all pictures of both domains once, as network tensors."""
    batches = loading.batches(0)
    for _ in range(len(loading.readers.a.domain)):
        next(batches).map(to_network)
    batches.close()


def in_memory() -> PictureCache:
    return PictureCache(PLENTY)


def measure(title: str, variants: dict[str, Callable[[], object]], *, number: int, rounds: int) -> None:
    """Prints the speed of each variant, over ``number`` pictures, and its speedup over the first."""
    seconds, first = interleave(variants, rounds=rounds), next(iter(variants))
    rows = [
        (name, f"{number / median(times):.0f}", f"{ratio(seconds, first, name):.2f}") for name, times in seconds.items()
    ]
    show(f"{title}, {number} pictures", ("", "pictures per second", "speedup"), rows)


def measure_epochs(domains: Pair[Domain], folder: Path, rounds: int) -> None:
    """Measures plain Pillow and diptych from files to network tensors."""
    threads = replace(DRAFT, num_workers=2)
    memory, memory_threads = (loader(domains, data, in_memory) for data in (DRAFT, threads))
    disk = loader(domains, DRAFT, lambda: PictureCache(disk_bytes=PLENTY, folder=folder))
    for loading in (memory, memory_threads, disk):
        epoch(loading)
    paths = paths_of(domains)
    variants: dict[str, Callable[[], object]] = {
        "plain Pillow": lambda: [plain(path) for path in paths],
        "first epoch, exact (`--no-draft`)": lambda: epoch(loader(domains, EXACT, in_memory)),
        "first epoch": lambda: epoch(loader(domains, DRAFT, in_memory)),
        "later epochs, from memory": lambda: epoch(memory),
        "later epochs, from disk": lambda: epoch(disk),
        "first epoch, 2 threads": lambda: epoch(loader(domains, threads, in_memory)),
        "later epochs, from memory, 2 threads": lambda: epoch(memory_threads),
    }
    measure("1200×600 JPEGs, from file to floats", variants, number=len(paths), rounds=rounds)


def measure_reading(title: str, domains: Pair[Domain], rounds: int) -> None:
    """Measures decoding and resizing, with each optimisation alone."""
    paths = paths_of(domains)
    variants: dict[str, Callable[[], object]] = {
        "full resolution, Pillow's filter": lambda: [exact(path) for path in paths],
        "lower resolution, Pillow's filter": lambda: [draft_decode(path) for path in paths],
        "full resolution, torch's filter": lambda: [torch_resize(path) for path in paths],
        "lower resolution, torch's filter (as in training)": lambda: [
            reader.read(index)
            for reader in loader(domains, DRAFT, PictureCache).readers
            for index in range(len(reader.domain))
        ],
    }
    measure(f"{title}, decoding and resizing alone", variants, number=len(paths), rounds=rounds)


def paths_of(domains: Pair[Domain]) -> list[Path]:
    """The files of both domains."""
    return [domain.path(index) for domain in domains for index in range(len(domain))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=32, help="per domain; of the large pictures an eighth of this")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        small = Pair("a", "b").map(lambda name: write_pictures(root / name, options.pictures, 1200, 600))
        large = Pair("c", "d").map(lambda name: write_pictures(root / name, -(-options.pictures // 8), 4000, 3000))
        measure_epochs(small, root, options.rounds)
        measure_reading("1200×600 JPEGs", small, options.rounds)
        measure_reading("4000×3000 JPEGs", large, options.rounds)


if __name__ == "__main__":
    main()
