"""Translate an image file, or a folder of them; names and sub-folders are kept."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from diptych.data.encoding import Encoding, eight_bits
from diptych.data.files import Half, find_files
from diptych.data.formats import SUFFIXES
from diptych.data.formats.pillow import storable, write_picture
from diptych.data.formats.reading import read_header, read_picture
from diptych.data.image import DecodedImage
from diptych.data.locations import is_collection, is_pattern
from diptych.data.transforms import half_of
from diptych.data.used_values import NOTABLE
from diptych.errors import OptionError, PictureError, did_you_mean_path, disk_errors
from diptych.inference.translator import Translator
from diptych.memory import shortage
from diptych.pair import Pair

Size = Literal["own", "training"]
SCALE_WARNING = 2.0
DECODING_BYTES = 16
"""Bytes per pixel that decoding a picture takes at most, in Pillow and as an array."""


@dataclass
class Outcome:
    """The result of translating several files."""

    num_translated: int = 0
    failed: list[str] = field(default_factory=list)
    """One message for each image that was not translated."""


def plan_outputs(source: Path, target: Path) -> list[tuple[Path, Path]]:
    """Pairs (image, path of its translation) for ``source``: an image, a folder, a pattern, a list or a zip.

    Raises:
        PictureError: there is nothing to translate.
        OptionError: two translations would share a path, or one would overwrite an input.
    """
    if not source.exists() and not is_pattern(source):
        cure = did_you_mean_path(source) or "give a picture or a folder of pictures"
        raise PictureError(f"{source} does not exist", cure=cure)
    if is_collection(source):
        what = "is a folder" if source.is_dir() else "names several pictures"
        if target.is_file():
            raise OptionError(f"{source} {what} and {target} is a file", cure="give a folder to write to")
        if target.suffix.lower() in SUFFIXES and not target.exists():
            raise OptionError(
                f"{target} is named like a picture, and {source} {what}", cure="give a folder to write to"
            )
        folder, files, unread = find_files(source)
        is_recursive = source.is_dir() or "**" in str(source)
        if is_recursive and folder.resolve() in target.resolve().parents:
            problem = f"{target} is inside {source}, so the next run would translate its own output"
            raise OptionError(problem, cure="give an output outside of it")
        pairs = [(folder / file, _with_suffix(target / file)) for file in files]
        if not pairs:
            problem = unread or f"{source} holds no picture"
            raise PictureError(problem, cure="give a folder with pictures")
    else:
        pairs = [(source, _with_suffix(target / source.name) if target.is_dir() else target)]
        if pairs[0][1].suffix.lower() not in SUFFIXES:
            endings = " ".join(sorted(SUFFIXES))
            cure = f"give a name that ends in one of {endings}, or an existing folder"
            raise OptionError(f"{target} does not end in a picture suffix", cure=cure)
    _refuse_collisions(pairs)
    return pairs


def _with_suffix(target: Path) -> Path:
    """``target``, as PNG if its name has no suffix to choose a format by."""
    return target if target.suffix else target.with_name(f"{target.name}.png")


def _refuse_collisions(pairs: list[tuple[Path, Path]]) -> None:
    sources = {source.resolve() for source, _ in pairs}
    taken: dict[str, Path] = {}
    for source, target in pairs:
        if target.resolve() in sources:
            raise OptionError(f"{target} is also an input, and would be overwritten", cure="give another output")
        # Many file systems ignore case and how accents are encoded.
        name = unicodedata.normalize("NFC", str(target)).casefold()
        if name in taken:
            raise OptionError(f"{taken[name]} and {source} would both become {target}", cure="rename one of them")
        taken[name] = source


def translate_files(
    translator: Translator,
    pairs: list[tuple[Path, Path]],
    *,
    size: Size = "own",
    half: Half | None = None,
    report: Callable[[str], None] = lambda _: None,
    advance: Callable[[], None] = lambda: None,
) -> Outcome:
    """Translates the ``pairs`` of ``plan_outputs``; an image that fails is reported, and the others are translated.

    ``half`` translates only that half of each image. ``report`` gets a line for each failure and each note (such
    as ignored frames), and one for the first image that differs much from training in scale or in its range of values,
    that looks like a pair, or that has a georeference. ``advance`` is called after each image.

    Raises:
        UserError: the disk is full or read-only.
    """
    outcome, warned = Outcome(), set[Callable[..., str]]()
    for source, target in pairs:
        try:
            with disk_errors(target.parent, name_error=PictureError):
                target.parent.mkdir(parents=True, exist_ok=True)
            _refuse_too_large(translator, source)
            picture = _half_of(read_picture(source), half)
            for warning in (_scale_warning, _pair_warning, _georeference_warning, _range_warning):
                if warning not in warned and (words := warning(translator, picture, source, size, half)):
                    warned.add(warning)
                    report(words)
            sized = translator.at_training_size(picture) if size == "training" else picture
            translation = storable(_range_to_eight_bits(translator(sized), translator.encoding_out, target), target)
            for note in filter(None, (picture.note, translation.note)):
                report(note)
            with disk_errors(target, name_error=PictureError):
                write_picture(target, translation)
            outcome.num_translated += 1
        except PictureError as error:
            message = str(error) if str(source) in str(error) or str(target) in str(error) else f"{source}: {error}"
            outcome.failed.append(message)
            report(message)
        advance()
    return outcome


def _refuse_too_large(translator: Translator, source: Path) -> None:
    """Raises ``PictureError`` if there is no memory to decode ``source``, before that is tried."""
    header = read_header(source)
    if lack := shortage(DECODING_BYTES * header.width * header.height, translator.free_memory()):
        problem = f"{source} has {header.width}×{header.height} pixels, which need {lack}"
        raise PictureError(problem, cure="give a smaller picture")


def _half_of(picture: DecodedImage, half: Half | None) -> DecodedImage:
    alpha = None if picture.alpha is None else half_of(picture.alpha, half)
    return picture._replace(values=half_of(picture.values, half), alpha=alpha)


def _scale_warning(translator: Translator, picture: DecodedImage, source: Path, size: Size, half: Half | None) -> str:
    del half
    if size == "training" or 1 / SCALE_WARNING <= translator.scale_of(picture) <= SCALE_WARNING:
        return ""
    height, width, _ = picture.values.shape
    trained = translator.card.data.load_size
    return (
        f"{source} has {width}×{height} pixels, but training saw pictures of {trained}: "
        "try --size training if it looks wrong"
    )


def _pair_warning(translator: Translator, picture: DecodedImage, source: Path, size: Size, half: Half | None) -> str:
    del size
    height, width, _ = picture.values.shape
    if half is not None or translator.card.method != "pix2pix" or width != 2 * height:
        return ""
    first, _ = Pair("left", "right").along(translator.direction)
    return f"{source} is twice as wide as it is high: if it is a pair side by side, give --half {first}"


def _georeference_warning(
    translator: Translator, picture: DecodedImage, source: Path, size: Size, half: Half | None
) -> str:
    del translator, size, half
    return f"{source} is georeferenced: translations are not" if picture.is_georeferenced else ""


def _range_warning(translator: Translator, picture: DecodedImage, source: Path, size: Size, half: Half | None) -> str:
    del size, half
    encoding = translator.encoding_in
    low, high = encoding.limits
    trained = f"training saw values from {low:g} to {high:g}"
    if not encoding.has_range:
        return ""
    if high > picture.encoding.peak:
        return f"{source} has 8 bits, but {trained}: give pictures like those of training"
    outside = np.mean((picture.values < low) | (picture.values > high))
    return f"{source}: {outside:.0%} of the values are clipped, since {trained}" if outside > NOTABLE else ""


def _range_to_eight_bits(image: DecodedImage, encoding: Encoding, path: Path) -> DecodedImage:
    """``image`` with its 16-bit range mapped to 0..255 if the format of ``path`` holds only 8 bits."""
    if not (encoding.has_range and encoding.is_deep) or not storable(image, path).note:
        return image
    low, high = encoding.limits
    note = f"{path} cannot hold values from {low:g} to {high:g}: they are written as 0 to 255"
    return image._replace(values=eight_bits(encoding.normalised(image.values)), note=note)
