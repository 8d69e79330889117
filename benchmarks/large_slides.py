"""Peak memory and time of translating slides of growing size, each in a process of its own.

python benchmarks/large_slides.py 5000 10000 20000
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

TILE = 512


def make_slide(path: Path, side: int) -> None:
    """A tiled TIFF of random blocks of 16×16 pixels, with a pyramid level at half the size."""

    def tiles(size: int) -> Iterator[Any]:
        rng = np.random.default_rng(0)
        for _ in range((-(-size // TILE)) ** 2):
            coarse = rng.integers(0, 256, (TILE // 16, TILE // 16, 3), np.uint8)
            yield np.repeat(np.repeat(coarse, 16, 0), 16, 1)

    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        options: dict[str, Any] = {"tile": (TILE, TILE), "dtype": "uint8", "photometric": "rgb"}
        options |= {"compression": "adobe_deflate"}
        writer.write(tiles(side), shape=(side, side, 3), subifds=1, **options)
        writer.write(tiles(side // 2), shape=(side // 2, side // 2, 3), subfiletype=1, **options)


def translate(source: Path, target: Path) -> None:
    """Translates in this process, and prints seconds, processor seconds and the peak of its memory."""
    import torch

    from diptych.config import DataConfig, ResnetConfig
    from diptych.data.encoding import Encoding
    from diptych.inference.forward import TorchForward
    from diptych.inference.slides import translate_slide
    from diptych.inference.translator import Translator
    from diptych.model import ModelCard
    from diptych.networks import build_generator
    from diptych.pair import Pair

    torch.manual_seed(0)
    config = ResnetConfig(width=4, num_blocks=1)
    data = DataConfig(load_size=32, crop_size=32)
    card = ModelCard(
        method="cyclegan", generator=config, encodings=Pair(Encoding(3), Encoding(3)), names=Pair("A", "B"), data=data,
        pictures=0, ema=False,
    )  # fmt: skip
    network = build_generator(config, 3, 3).eval()
    start = time.perf_counter()
    translate_slide(Translator(TorchForward(network), card, "a2b", tile=1024), source, target, report=print)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(
        f"{time.perf_counter() - start:.0f} s, {usage.ru_utime + usage.ru_stime:.0f} s of processor time, "
        f"peak {usage.ru_maxrss / 2**20:.2f} GiB",
        flush=True,
    )


if __name__ == "__main__":
    if sys.argv[1] == "--translate":
        translate(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            for side in map(int, sys.argv[1:]):
                source, target = Path(folder) / "in.tif", Path(folder) / "out.ome.tif"
                make_slide(source, side)
                print(f"{side} × {side}: ", end="", flush=True)
                subprocess.run([sys.executable, __file__, "--translate", source, target], check=True)
                target.unlink()
