"""The result of the demo: scores against the true pictures, and a picture to look at."""

from pathlib import Path

from PIL.PngImagePlugin import PngInfo

from diptych.config import Direction
from diptych.data.formats.reading import read_picture
from diptych.evaluation.metrics import mean_psnr
from diptych.evaluation.scores import Score
from diptych.evaluation.untrained import untrained
from diptych.inference.translator import Translator
from diptych.model import load_model
from diptych.monitoring.grid import Block, Row, draw_grid
from diptych.pair import Pair
from diptych.run import Run

NAMES = Pair("emoji", "neon")
COST = 4.0
"""Duration of ``score_and_draw``, as a multiple of that of a sample grid."""
SHOWN = (
    "beach-with-umbrella", "brown-mushroom", "dog", "hot-beverage", "mountain-cableway", "pear", "petri-dish",
    "worried-face",
)  # fmt: skip
"""Test pictures in the demo's picture: varied subjects, not chosen by how well they are translated."""


def score_and_draw(run: Run) -> tuple[dict[Direction, Score], Path]:
    """Scores a finished demo ``run`` on its test pictures (mean PSNR in dB), and draws some as input, translation and
    truth. Writes ``demo.png`` with the scores in its description."""
    test = run.split().test
    pictures = test.map(lambda domain: [read_picture(domain.path(index)).values for index in range(len(domain))])
    columns = [index for index, file in enumerate(test.a.files) if file.stem in SHOWN]
    trained = load_model(run.folder)
    baseline = untrained(trained.card, trained.networks)
    scores: dict[Direction, Score] = {}
    blocks = []
    for direction in trained.networks:
        inputs, targets = pictures.along(direction)
        source, target = NAMES.along(direction)
        outputs, untrained_outputs = (
            Translator.of(model, direction).translate_batch(inputs) for model in (trained, baseline)
        )
        scores[direction] = Score(
            name="PSNR, dB",
            better="higher",
            trained=mean_psnr(outputs, targets),
            untranslated=mean_psnr(inputs, targets),
            untrained=mean_psnr(untrained_outputs, targets),
        )
        rows = [
            Row(caption, [images[index] for index in columns])
            for caption, images in ((source, inputs), ("translated", outputs), (f"true {target}", targets))
        ]
        blocks.append(Block(describe(direction, scores[direction]), rows))
    seen = f"{trained.card.pictures:,} pictures of each domain seen, never a pair"
    footer = f"{seen}; none of these emoji was seen in training"
    info = PngInfo()
    info.add_itxt("Description", "\n".join(describe(direction, score) for direction, score in scores.items()))
    draw_grid(blocks, footer=footer).save(run.picture_file, pnginfo=info)
    return scores, run.picture_file


def describe(direction: Direction, score: Score) -> str:
    """``score`` in one line."""
    source, target = NAMES.along(direction)
    references = f"untrained {score.untrained:.1f}, unchanged {score.untranslated:.1f}"
    return f"{source} to {target}: {score.trained:.1f} dB ({references})"
