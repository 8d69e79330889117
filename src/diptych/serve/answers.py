"""From an uploaded file to its answer: checked, translated as ``diptych translate`` does, and shown."""

import time
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from diptych.config import Direction
from diptych.data.formats import SUFFIXES
from diptych.data.formats.reading import read_header
from diptych.errors import OptionError, PictureError, UserError
from diptych.inference.folder import translate_files
from diptych.inference.translator import Translator
from diptych.pair import REVERSE
from diptych.serve.limits import Limits
from diptych.serve.models import Catalogue, Served
from diptych.serve.preview import write_preview


@dataclass(frozen=True)
class Answer:
    """A translated picture. All files are in the folder that was given."""

    translation: Path
    """The file to download, in the format and depth of the upload."""
    back: Path | None
    """The translation, translated back."""
    previews: list[Path]
    """What a browser shows: the upload, its translation and the way back, if they were asked for."""
    width: int
    height: int
    seconds: float
    notes: list[str] = field(default_factory=list)


def find_model(catalogue: Catalogue, name: str, direction: str) -> tuple[Served, Direction]:
    """The model ``name``, and ``direction`` as one of its directions.

    Raises:
        OptionError: there is no such model or direction.
    """
    served = catalogue.models.get(name)
    if served is None:
        raise OptionError(f"there is no model {name!r}", cure=f"give one of {', '.join(catalogue.models)}")
    found = next((each for each in served.translators if each == direction), None)
    if found is None:
        raise OptionError(f"{name} has no direction {direction!r}", cure=f"give {' or '.join(served.translators)}")
    return served, found


def answer(
    catalogue: Catalogue,
    limits: Limits,
    upload: Path,
    folder: Path,
    *,
    name: str,
    direction: str,
    back: bool,
    previews: bool,
) -> Answer:
    """Translates ``upload`` into ``folder``, which is empty.

    Raises:
        UserError: the file is no picture, over a limit, or the model does not take it. The text names no folder.
    """
    served, way = find_model(catalogue, name, direction)
    with _without_folders(upload, folder):
        width, height = check(served, limits, [upload], way, back=back)
        target = folder / _target_name(upload, served.facts.along(way)[1])
        notes: list[str] = []
        with catalogue.computing:
            start = time.perf_counter()
            _translate(served, way, [(upload, target)], notes)
            reverse, returned = REVERSE[way], None
            if back and reverse in served.translators:
                returned = folder / "back" / target.name
                _translate(served, reverse, [(target, returned)], [])
            seconds = time.perf_counter() - start
        shown = _previews(served.translators[way], upload, target, returned) if previews else []
        tidy = [_tidied(note, (upload.parent, folder)) for note in notes]
        return Answer(target, returned, shown, width, height, seconds, tidy)


def _previews(forth: Translator, upload: Path, target: Path, returned: Path | None) -> list[Path]:
    """Previews of the files, beside ``target``."""
    folder = target.parent
    made = [
        write_preview(upload, folder / "before.png", forth.encoding_in),
        write_preview(target, folder / "after.png", forth.encoding_out),
    ]
    return made if returned is None else [*made, write_preview(returned, folder / "back.png", forth.encoding_in)]


def answer_all(
    catalogue: Catalogue, limits: Limits, uploads: Sequence[Path], folder: Path, *, name: str, direction: str
) -> tuple[Path, list[str]]:
    """Translates ``uploads`` into a zip in ``folder``, which is empty. Returns the zip, and a line for each picture
    that is not in it, with the reason.

    Raises:
        UserError: nothing can be translated, or all of it together is over a limit. The text names no folder.
    """
    served, way = find_model(catalogue, name, direction)
    if not uploads:
        raise OptionError("there is no picture", cure="choose some")
    if len(uploads) > limits.max_files:
        raise OptionError(f"{len(uploads)} pictures are more than {limits.max_files}", cure="choose fewer at a time")
    problems: list[str] = []
    usable: list[Path] = []
    for upload in uploads:
        try:
            with _without_folders(upload, folder):
                check(served, limits, [upload], way)
            usable.append(upload)
        except PictureError as error:
            problems.append(str(error))
    check(served, limits, usable, way)
    pairs = _distinct([(upload, folder / _target_name(upload, served.facts.along(way)[1])) for upload in usable])
    with catalogue.computing:
        failed = translate_files(served.translators[way], pairs).failed
    problems += [_tidied(line, [*(upload.parent for upload in uploads), folder]) for line in failed]
    written = [target for _, target in pairs if target.is_file()]
    if not written:
        raise PictureError(problems[0].partition(": ")[0], cure=problems[0].partition(": ")[2] or "give pictures")
    archive = folder / f"{slug(served.facts.along(way)[1])}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for target in written:
            packed.write(target, target.name)
            target.unlink()
    return archive, problems


def check(
    served: Served, limits: Limits, uploads: Sequence[Path], way: Direction, *, back: bool = False
) -> tuple[int, int]:
    """Compares ``uploads`` with the limits, by their headers. Returns width and height of the last.

    Raises:
        PictureError: one is no picture, or over a limit.
    """
    pixels, size = 0, (0, 0)
    for upload in uploads:
        num_bytes = upload.stat().st_size
        if num_bytes > limits.max_bytes:
            problem = f"{upload.name} has {num_bytes / 1e6:.1f} MB, more than {limits.max_mb:g}"
            raise PictureError(problem, cure="give a smaller file")
        header = read_header(upload)
        size = header.width, header.height
        pixels += header.width * header.height
        if header.width * header.height > limits.max_megapixels * 1e6:
            problem = f"{upload.name} has {size[0]}×{size[1]} pixels, more than {limits.max_megapixels:g} million"
            raise PictureError(problem, cure="give a smaller picture")
    ways = [way, REVERSE[way]] if back else [way]
    seconds = sum(served.seconds_per_pixel.get(each, 0.0) for each in ways) * pixels
    if seconds > limits.max_seconds:
        problem = f"it would take about {seconds:.0f} s, more than {limits.max_seconds:g}"
        raise PictureError(problem, cure="give fewer or smaller pictures")
    return size


def slug(name: str) -> str:
    """``name`` as a part of a file name."""
    return "".join(letter if letter.isalnum() else "-" for letter in name).strip("-")[:40] or "translation"


def _target_name(upload: Path, domain: str) -> str:
    """``holiday-paintings.jpg`` for ``holiday.jpg``. A file without the suffix of a picture becomes a PNG."""
    suffix = upload.suffix.lower()
    return f"{upload.stem[:100]}-{slug(domain)}{suffix if suffix in SUFFIXES else '.png'}"


def _distinct(pairs: list[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """``pairs`` with numbers in the names of targets that were equal."""
    taken: set[str] = set()
    made = []
    for source, target in pairs:
        number, free = 1, target
        while free.name.casefold() in taken:
            number += 1
            free = target.with_stem(f"{target.stem}-{number}")
        taken.add(free.name.casefold())
        made.append((source, free))
    return made


def _translate(served: Served, way: Direction, pairs: list[tuple[Path, Path]], notes: list[str]) -> None:
    """Raises ``PictureError`` if the picture was not translated."""
    outcome = translate_files(served.translators[way], pairs, report=notes.append)
    if outcome.failed:
        problem, _, cure = outcome.failed[0].rpartition(": ")
        raise PictureError(problem, cure=cure)


@contextmanager
def _without_folders(upload: Path, folder: Path) -> Iterator[None]:
    """Context manager: errors name files without the folders of the server."""
    try:
        yield
    except UserError as error:
        places = (upload.parent, folder)
        raise type(error)(_tidied(error.problem, places), cure=_tidied(error.cure, places)) from None


def _tidied(text: str, folders: Iterable[Path]) -> str:
    for folder in folders:
        text = text.replace(f"{folder}/", "")
    return text
