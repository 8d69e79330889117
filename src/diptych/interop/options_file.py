"""The text file in which the original code keeps the options of a training, beside its networks."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from diptych.config import DataConfig, Direction
from diptych.config.training import Resize
from diptych.errors import WeightsError

NAMES = ("train_opt.txt", "opt.txt")
LINE = re.compile(r"\s*(\w+): (.*?)\s*(?:\[default: .*\])?\s*")
OLDER = {
    "loadSize": "load_size",
    "fineSize": "crop_size",
    "resize_or_crop": "preprocess",
    "which_direction": "direction",
}
RESIZE: dict[str, tuple[Resize, bool]] = {
    "resize_and_crop": ("square", True),
    "scale_width_and_crop": ("width", True),
    "scale_width": ("width", False),
    "crop": ("none", True),
    "none": ("none", False),
}
"""By their name of the preprocessing: how pictures are resized here, and whether they are cropped."""


def read_options(folder: Path) -> tuple[Path, dict[str, str]] | None:
    """The options in ``folder`` by today's names, and the file that holds them; none where there is none of training.

    Raises:
        WeightsError: it cannot be read.
    """
    for file in (folder / name for name in NAMES):
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise WeightsError(f"{file} cannot be read ({error.strerror})", cure="make it readable") from None
        found = {OLDER.get(match[1], match[1]): match[2] for match in map(LINE.fullmatch, text.splitlines()) if match}
        if found.get("isTrain", "True") == "True":
            return file, found
    return None


def with_preprocessing(data: DataConfig, options: Mapping[str, str], file: Path) -> DataConfig:
    """``data`` with sizes and mirroring as the ``options`` of ``file`` say.

    Raises:
        WeightsError: it says what no version of theirs does.
    """
    resize, is_cropped = _known(RESIZE, options.get("preprocess", "resize_and_crop"), "preprocess", file)
    sizes = {}
    for name in ("load_size", "crop_size"):
        text = options.get(name, str(getattr(data, name)))
        if not text.isdigit():
            raise WeightsError(f"{file}: {name} is {text!r}", cure="mend the file, or remove it")
        sizes[name] = int(text)
    crop_size = sizes["crop_size"] if is_cropped else 0
    flip = options.get("no_flip", "False") != "True"
    return replace(data, resize=resize, load_size=sizes["load_size"], crop_size=crop_size, flip=flip)


def direction_of(options: Mapping[str, str]) -> Direction:
    """The direction that the ``options`` name, of a model that has one."""
    return "b2a" if options.get("direction") == "BtoA" else "a2b"


def _known(table: Mapping[str, tuple[Resize, bool]], value: str, name: str, file: Path) -> tuple[Resize, bool]:
    if value not in table:
        raise WeightsError(f"{file}: {name} is {value!r}", cure=f"give one of {', '.join(table)} there, or remove it")
    return table[value]
