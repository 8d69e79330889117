"""Example pictures of a model: a few inputs in each direction."""

from pathlib import Path

from PIL import Image

from diptych.data.image import displayed, to_pillow
from diptych.errors import UserError
from diptych.monitoring.samples import sample_pictures
from diptych.pair import DomainName
from diptych.run import Run

EXAMPLES = "examples"
NUM_EXAMPLES = 4


def write_examples(path: Path, folder: Path, number: int = NUM_EXAMPLES) -> dict[DomainName, list[Path]]:
    """Writes at most ``number`` pictures of A and of B into ``folder``, at the size that training saw: pictures of the
    run ``path`` that were held out, or those that came with a model of the Hub. Empty lists if there are none."""
    shipped: dict[DomainName, list[Path]] = {"a": [], "b": []}
    for domain, files in shipped.items():
        for file in sorted((path / EXAMPLES).glob(f"{domain}-*.png"))[:number]:
            with Image.open(file) as image:
                image.convert("RGB").save(folder / file.name)
            files.append(folder / file.name)
    if any(shipped.values()):
        return shipped
    made: dict[DomainName, list[Path]] = {"a": [], "b": []}
    try:
        run = Run(path)
        pictures = sample_pictures(run.split().shown, run.config(), number)
    except UserError:  # no run, or its pictures are gone
        return made
    for (domain, files), arrays in zip(made.items(), pictures, strict=True):
        for index, values in enumerate(arrays):
            files.append(folder / f"{domain}-{index + 1}.png")
            to_pillow(displayed(values)).save(files[-1])
    return made
