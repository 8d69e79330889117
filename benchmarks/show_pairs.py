"""Draws held-out pairs of a finished run: the pictures, their translations and the true pictures.

    python benchmarks/show_pairs.py RUN PICTURE.png

Pairs are files of the same name. It shows the first pairs by the hash of their names, not the best.
"""

import sys
from pathlib import Path

from diptych import Translator
from diptych.data.files import by_hash
from diptych.data.formats.reading import read_picture
from diptych.data.pairing import pair_up
from diptych.data.sources import find_split
from diptych.model import load_model
from diptych.monitoring.grid import Block, Row, draw_grid
from diptych.pair import Pair
from diptych.run import Run

NUMBER = 10


def main(folder: str, picture: str) -> None:
    """Writes the picture."""
    run = Run(Path(folder))
    test = pair_up(find_split(run.config().source).test, skip_unpaired=True)
    names = by_hash(test.a.files)[:NUMBER]
    real = test.map(lambda domain: [read_picture(domain.folder / name).values for name in names])
    model, blocks = load_model(run.folder), []
    for direction in model.networks:
        source, target = ("A", "B") if direction == "a2b" else ("B", "A")
        given, truth = real if direction == "a2b" else Pair(real.b, real.a)
        translate = Translator.of(model, direction)
        made = [translate(values) for values in given]
        rows = [Row(source, given), Row("translated", made), Row(f"true {target}", truth)]
        blocks.append(Block(f"{source} to {target}", rows))
    draw_grid(blocks).save(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
