"""Speed of translating a folder of pictures of 256² (read, translate, write), compared with the baseline.

python benchmarks/translate_speed.py [--pictures N] [--rounds N]
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rounds import interleave, medians, ratio, show
from worker import with_torch_layers

from diptych.config import DataConfig, PatchganConfig, Precision, ResnetConfig
from diptych.data.encoding import Encoding
from diptych.data.transforms import resize
from diptych.inference.folder import translate_files
from diptych.inference.forward import TorchForward
from diptych.inference.outputs import plan_outputs
from diptych.inference.translator import Translator
from diptych.model import Model, ModelCard
from diptych.networks import build_generator
from diptych.pair import Pair

SIDE = 256


def pictures(folder: Path, number: int) -> None:
    """Writes ``number`` smooth random pictures as PNG."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    for index in range(number):
        small = draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(resize(small, SIDE, SIDE)).save(folder / f"{index:03d}.png")


def translator(*, plain: bool, precision: Precision) -> Translator:
    """Translates with the paper's generator, untrained. If ``plain``, it has torch's own layers and is contiguous."""
    torch.manual_seed(0)
    config = ResnetConfig(num_blocks=9)
    network = build_generator(config, 3, 3)
    if plain:
        with_torch_layers(network)
    card = ModelCard(
        method="cyclegan",
        generator=config,
        encodings=Pair(Encoding(3), Encoding(3)),
        names=Pair("a", "b"),
        data=DataConfig(crop_size=SIDE, load_size=SIDE),
        pictures=0,
        ema=False,
        discriminator=PatchganConfig(),
    )
    if plain:
        return Translator(TorchForward(network.eval()), card, "a2b")
    return Translator.of(Model({"a2b": network}, card), "a2b", precision=precision)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    number = options.pictures // options.rounds
    translators = {
        "baseline": translator(plain=True, precision="fp32"),
        "CPU layers": translator(plain=False, precision="fp32"),
        "default": translator(plain=False, precision="auto"),
    }
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in"
        pictures(source, number)

        def run(name: str) -> Callable[[], object]:
            pairs = plan_outputs(source, Path(folder) / name.replace(" ", "-"))
            return lambda: translate_files(translators[name], pairs)

        for each in translators.values():  # warm-up, not measured
            each(np.zeros((SIDE, SIDE, 3), dtype=np.uint8))
        seconds = interleave({name: run(name) for name in translators}, rounds=options.rounds, warm_up=0)
    rows = [
        [name, f"{1e3 * median / number:.0f}", f"{ratio(seconds, 'baseline', name):.2f}"]
        for name, median in medians(seconds).items()
    ]
    title = f"A folder of {number * options.rounds} pictures of {SIDE}², 9 blocks, n = 64, in {options.rounds} parts"
    show(title, ["variant", "ms per picture", "speedup"], rows)


if __name__ == "__main__":
    main()
