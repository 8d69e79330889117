"""What the demo's run learnt: scores against the truth, and a picture to look at."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from diptych.config import Direction
from diptych.data.encoding import Array
from diptych.data.formats.pillow import read_picture
from diptych.data.sources import find_split
from diptych.evaluation.metrics import mean_psnr
from diptych.evaluation.untrained import untrained
from diptych.inference.translator import Translator
from diptych.model import Model, load_model
from diptych.monitoring.grid import Block, Row, draw_grid
from diptych.pair import Pair
from diptych.run import Run

NAMES = Pair("drawing", "emoji")
SHOWN = (
    "beach-with-umbrella", "brown-mushroom", "dog", "hot-beverage", "mountain-cableway", "pear", "petri-dish",
    "worried-face",
)  # fmt: skip
"""Test pictures in the demo's picture: a spread of subjects, not chosen by how well they come out."""


@dataclass(frozen=True)
class Score:
    """Mean PSNR in dB against the true pictures, of one direction: the model's, and what it must beat."""

    trained: float
    untrained: float
    unchanged: float

    def __str__(self) -> str:
        return f"{self.trained:.1f} dB (untrained {self.untrained:.1f}, unchanged {self.unchanged:.1f})"


def show(run: Run) -> tuple[dict[Direction, Score], Image.Image]:
    """The scores of a finished demo ``run`` on its test pictures, and a picture of some: input, translation, truth."""
    config = run.config()
    test = find_split(config.source).test
    truth = test.map(lambda domain: [read_picture(domain.path(index)).values for index in range(len(domain))])
    trained = load_model(run.folder)
    beginner = untrained(trained)
    scores: dict[Direction, Score] = {}
    blocks = []
    for direction in trained.networks:
        given, wanted = truth.along(direction)
        source, target = NAMES.along(direction)
        made = _translate(trained, direction, given)
        scores[direction] = Score(
            trained=mean_psnr(made, wanted),
            untrained=mean_psnr(_translate(beginner, direction, given), wanted),
            unchanged=mean_psnr(given, wanted),
        )
        places = [index for index, file in enumerate(test.a.files) if file.stem in SHOWN]
        rows = [
            Row(caption, [pictures[place] for place in places])
            for caption, pictures in ((source, given), ("translated", made), (f"true {target}", wanted))
        ]
        blocks.append(Block(f"{source} to {target}: {scores[direction]}", rows))
    seen = f"{trained.card.pictures:,} pictures of each domain seen, never a pair"
    footer = f"{seen}; none of these emoji was seen in training"
    return scores, draw_grid(blocks, footer=footer)


def _translate(model: Model, direction: Direction, pictures: list[Array]) -> list[Array]:
    translator = Translator.of(model, direction)
    return [translator(picture) for picture in pictures]


def describe(direction: Direction, score: Score) -> str:
    """``score`` in one line."""
    source, target = NAMES.along(direction)
    return f"{source} to {target}: {score}"


def write_show(run: Run) -> tuple[dict[Direction, Score], Path]:
    """``show``, with the picture written to the run folder as ``demo.png``, the scores inside as its description."""
    scores, picture = show(run)
    info = PngInfo()
    info.add_itxt("Description", "\n".join(describe(direction, score) for direction, score in scores.items()))
    picture.save(run.picture_file, pnginfo=info)
    return scores, run.picture_file
