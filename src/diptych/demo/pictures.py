"""The built-in pictures: emoji as black-and-white drawings (A) and in flat colours (B), 64×64.

Rendered from Microsoft's Fluent emoji, MIT licence, see ``pictures/LICENSE``. The two training parts have no emoji in
common; in the test part, pictures of one name show the same emoji.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from PIL import Image

TILE, COLUMNS = 64, 32
PARTS = {"trainA": "trainA", "trainB": "trainB", "testA": "test", "testB": "test"}


def unpack(root: Path) -> None:
    """Writes the built-in pictures to ``root`` as trainA, trainB, testA and testB, those that are not there yet."""
    source = files("diptych.demo") / "pictures"
    names: dict[str, Any] = json.loads((source / "names.json").read_text(encoding="utf-8"))
    for folder, part in PARTS.items():
        missing = [(place, root / folder / f"{name}.png") for place, name in enumerate(names[part])]
        missing = [(place, file) for place, file in missing if not file.is_file()]
        if not missing:
            continue
        (root / folder).mkdir(parents=True, exist_ok=True)
        with (source / f"{folder}.webp").open("rb") as stream, Image.open(stream) as sheet:
            for place, file in missing:
                row, column = divmod(place, COLUMNS)
                left, top = column * TILE, row * TILE
                sheet.crop((left, top, left + TILE, top + TILE)).save(file)
    (root / "LICENSE").write_text((source / "LICENSE").read_text(encoding="utf-8"), encoding="utf-8")
