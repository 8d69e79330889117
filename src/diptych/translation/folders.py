"""Translating a picture or a folder of pictures on disk, names and sub-folders kept."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from diptych.data.files import find_pictures
from diptych.data.pictures import SAVE_OPTIONS, read_picture, write_picture
from diptych.errors import OptionError, PictureError
from diptych.translation.translator import Translator

Size = Literal["own", "training"]
SCALE_WARNING = 2.0


@dataclass
class Outcome:
    """What became of the pictures."""

    num_translated: int = 0
    failed: list[str] = field(default_factory=list)
    """What is wrong with each picture that was not translated."""


def plan_outputs(source: Path, target: Path) -> list[tuple[Path, Path]]:
    """Each picture of ``source`` (a picture, or a folder) with where its translation goes.

    Raises:
        PictureError: nothing to translate.
        OptionError: two translations would have one name, or one would replace a picture that is read.
    """
    if not source.exists():
        raise PictureError(f"{source} does not exist", cure="give a picture or a folder of pictures")
    if source.is_dir():
        if target.is_file():
            raise OptionError(f"{source} is a folder and {target} is a file", cure="give a folder to write to")
        pairs = [(source / file, target / file) for file in find_pictures(source)]
        if not pairs:
            raise PictureError(f"{source} holds no picture", cure="give a folder with pictures")
    else:
        pairs = [(source, target / source.name if target.is_dir() else target)]
        if pairs[0][1].suffix.lower() not in SAVE_OPTIONS:
            raise OptionError(
                f"{target} does not end like a picture", cure=f"end it in one of {' '.join(sorted(SAVE_OPTIONS))}"
            )
    _refuse_collisions(pairs)
    return pairs


def _refuse_collisions(pairs: list[tuple[Path, Path]]) -> None:
    sources = {source.resolve() for source, _ in pairs}
    taken: dict[str, Path] = {}
    for source, target in pairs:
        if target.resolve() in sources:
            raise OptionError(f"{target} would be written over a picture that is read", cure="give another output")
        # Names that differ in case or in the form of their accents are one name on many disks.
        name = unicodedata.normalize("NFC", str(target)).casefold()
        if name in taken:
            raise OptionError(f"{taken[name]} and {source} would both become {target}", cure="rename one of them")
        taken[name] = source


def translate_files(
    translator: Translator,
    pairs: list[tuple[Path, Path]],
    *,
    size: Size = "own",
    report: Callable[[str], None] = lambda message: None,
    advance: Callable[[], None] = lambda: None,
) -> Outcome:
    """Translates each picture to its place, as ``plan_outputs`` has it; one that fails is reported and the rest done.

    ``report`` is told of failures, and once of frames left out and of a scale unlike training's; ``advance`` is called
    after each picture.

    Raises:
        OSError: the disk is full, or may not be written.
    """
    outcome, warned = Outcome(), False
    for source, target in pairs:
        try:
            picture = read_picture(source)
            if picture.note:
                report(picture.note)
            if size == "training":
                picture = translator.at_training_size(picture)
            elif not warned and not 1 / SCALE_WARNING <= translator.scale_of(picture) <= SCALE_WARNING:
                warned = True
                report(_scale_warning(translator, picture.values, source))
            target.parent.mkdir(parents=True, exist_ok=True)
            write_picture(target, translator.translate(picture))
            outcome.num_translated += 1
        except PictureError as error:
            outcome.failed.append(str(error))
            report(str(error) if str(source) in str(error) or str(target) in str(error) else f"{source}: {error}")
        advance()
    return outcome


def _scale_warning(translator: Translator, values: Any, source: Path) -> str:
    size = f"{values.shape[1]}×{values.shape[0]}"
    trained = translator.card.data.load_size
    return f"{source} has {size} pixels, but training saw pictures of {trained}: try --size training if it looks wrong"
