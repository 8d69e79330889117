"""The text file in which the original code saves its training options, beside its networks."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from diptych.config import DataConfig, Direction
from diptych.config.data import Resize
from diptych.errors import WeightsError, os_cure, os_problem

NAMES = ("train_opt.txt", "opt.txt")
LINE = re.compile(r"\s*(\w+): (.*?)\s*(?:\[default: .*\])?\s*")
OLDER = {
    "loadSize": "load_size",
    "fineSize": "crop_size",
    "resize_or_crop": "preprocess",
    "which_direction": "direction",
}
"""Option names of the original's older versions."""
RESIZE: dict[str, tuple[Resize, bool]] = {
    "resize_and_crop": ("square", True),
    "scale_width_and_crop": ("width", True),
    "scale_width": ("width", False),
    "crop": ("none", True),
    "none": ("none", False),
}
"""The original's values of --preprocess: our --resize, and whether pictures are cropped."""


def read_options(folder: Path) -> tuple[Path, dict[str, str]] | None:
    """The training options in ``folder`` by their newest names, and the file that holds them; None if there is none.

    Raises:
        WeightsError: the file cannot be read.
    """
    for file in (folder / name for name in NAMES):
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise WeightsError(f"{file} cannot be read ({os_problem(error)})", cure=os_cure(error)) from None
        options = {OLDER.get(match[1], match[1]): match[2] for match in map(LINE.fullmatch, text.splitlines()) if match}
        if options.get("isTrain", "True") == "True":
            return file, options
    return None


def with_preprocessing(data: DataConfig, options: Mapping[str, str], file: Path) -> DataConfig:
    """``data`` with the sizes and the flipping in the ``options`` of ``file``.

    Raises:
        WeightsError: a value that no version of the original has.
    """
    preprocess = options.get("preprocess", "resize_and_crop")
    if preprocess not in RESIZE:
        cure = f"give one of {', '.join(RESIZE)} there, or remove the file"
        raise WeightsError(f"{file}: preprocess is {preprocess!r}", cure=cure)
    sizes = {name: options.get(name, str(getattr(data, name))) for name in ("load_size", "crop_size")}
    for name, text in sizes.items():
        if not text.isdigit():
            raise WeightsError(f"{file}: {name} is {text!r}", cure="correct or remove the file")
    resize, is_cropped = RESIZE[preprocess]
    return replace(
        data,
        resize=resize,
        load_size=int(sizes["load_size"]),
        crop_size=int(sizes["crop_size"]) if is_cropped else 0,
        flip=options.get("no_flip", "False") != "True",
    )


def direction_of(options: Mapping[str, str]) -> Direction:
    """The direction of a single generator trained with ``options``."""
    return "b2a" if options.get("direction") == "BtoA" else "a2b"
