"""Translate an image file, or a folder of them; names and sub-folders are kept."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from diptych.data.encoding import Encoding, eight_bits
from diptych.data.files import Half
from diptych.data.formats.pillow import storable, write_picture
from diptych.data.formats.reading import read_header, read_picture
from diptych.data.image import DecodedImage
from diptych.data.transforms import half_of
from diptych.errors import PictureError, disk_errors
from diptych.inference.translator import Translator
from diptych.inference.unlike_training import WARNINGS, Size
from diptych.memory import shortage

DECODING_BYTES = 16
"""Bytes per pixel that decoding a picture takes at most, in Pillow and as an array."""


@dataclass
class Outcome:
    """The result of translating several files."""

    num_translated: int = 0
    failed: list[str] = field(default_factory=list)
    """One message for each image that was not translated."""


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
            for warning in WARNINGS:
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


def _range_to_eight_bits(image: DecodedImage, encoding: Encoding, path: Path) -> DecodedImage:
    """``image`` with its 16-bit range mapped to 0..255 if the format of ``path`` holds only 8 bits."""
    if not (encoding.has_range and encoding.is_deep) or not storable(image, path).note:
        return image
    low, high = encoding.limits
    note = f"{path} cannot hold values from {low:g} to {high:g}: they are written as 0 to 255"
    return image._replace(values=eight_bits(encoding.normalised(image.values)), note=note)
