"""The built-in pictures: emoji as black-and-white drawings (A) and in flat colours (B), 64×64.

Rendered from Microsoft's Fluent emoji, MIT licence, see ``pictures/LICENSE``. The two training parts have no emoji in
common; in the test part, pictures of one name show the same emoji.
"""

import json
from importlib.resources import files
from pathlib import Path

from PIL import Image

TILE, COLUMNS = 64, 32
PARTS = {"trainA": "trainA", "trainB": "trainB", "testA": "test", "testB": "test"}
"""The key in ``names.json`` of each folder."""


def unpack(root: Path) -> None:
    """Writes the built-in pictures to the folders trainA, trainB, testA and testB in ``root``, except those that
    exist."""
    source = files("diptych.demo") / "pictures"
    names: dict[str, list[str]] = json.loads((source / "names.json").read_text(encoding="utf-8"))
    for folder, part in PARTS.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        with (source / f"{folder}.webp").open("rb") as stream, Image.open(stream) as sheet:
            for index, name in enumerate(names[part]):
                file, (row, column) = root / folder / f"{name}.png", divmod(index, COLUMNS)
                if not file.is_file():
                    left, top = column * TILE, row * TILE
                    sheet.crop((left, top, left + TILE, top + TILE)).save(file)
    (root / "LICENSE").write_text((source / "LICENSE").read_text(encoding="utf-8"), encoding="utf-8")
