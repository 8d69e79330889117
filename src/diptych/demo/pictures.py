"""The built-in pictures: emoji in flat colours (A) and as neon signs at night (B), 64×64.

The flat ones were rendered from Microsoft's Fluent emoji, MIT licence, see ``pictures/LICENSE``. ``neon`` draws the
signs. The two training parts have no emoji in common. In the test part, pictures of one name show the same emoji.
"""

import json
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diptych.demo.neon import neon

TILE, COLUMNS = 64, 32

Drawer = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


def unpack(root: Path) -> None:
    """Writes the built-in pictures to the folders trainA, trainB, testA and testB in ``root``, except those that
    exist."""
    source = files("diptych.demo") / "pictures"
    _unpack("trainA", root / "trainA", lambda flat: flat)
    _unpack("trainB", root / "trainB", neon)
    _unpack("test", root / "testA", lambda flat: flat)
    _unpack("test", root / "testB", neon)
    (root / "LICENSE").write_text((source / "LICENSE").read_text(encoding="utf-8"), encoding="utf-8")


def _unpack(part: str, folder: Path, draw: Drawer) -> None:
    source = files("diptych.demo") / "pictures"
    names: list[str] = json.loads((source / "names.json").read_text(encoding="utf-8"))[part]
    targets = [folder / f"{name}.png" for name in names]
    if all(target.is_file() for target in targets):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (source / f"{part}.webp").open("rb") as stream, Image.open(stream) as sheet:
        values = np.asarray(sheet.convert("RGB"))
    images = (image for row in _rows(values) for image in draw(row))
    for target, image in zip(targets, images, strict=False):  # the last row of the sheet may have empty places
        if not target.is_file():
            Image.fromarray(image).save(target)


def _rows(sheet: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """The pictures of each row of ``sheet``: (COLUMNS, TILE, TILE, 3)."""
    for top in range(0, len(sheet), TILE):
        yield sheet[top : top + TILE].reshape(TILE, COLUMNS, TILE, 3).swapaxes(0, 1)
