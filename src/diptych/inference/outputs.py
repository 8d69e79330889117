"""Where the translation of each picture goes."""

import unicodedata
from pathlib import Path

from diptych.data.files import find_files
from diptych.data.formats import SLIDE_SUFFIXES, SUFFIXES, format_of, head_of
from diptych.data.locations import is_collection, is_pattern
from diptych.data.volumes import suffix_of
from diptych.errors import OptionError, PictureError, did_you_mean_path


def plan_outputs(source: Path, target: Path, *, suffix: str = "") -> list[tuple[Path, Path]]:
    """Pairs (image, path of its translation) for ``source``: an image, a folder, a pattern, a list or a zip.

    ``suffix`` such as ``.tif`` replaces that of each image in the names of its translation, if ``target`` is a folder.

    Raises:
        PictureError: there is nothing to translate.
        OptionError: ``target`` is not named like a picture, is one file for several pictures, or lies inside
            ``source``; ``suffix`` has no effect; two translations would share a path, or one would overwrite an input.
    """
    if not source.exists() and not is_pattern(source):
        cure = did_you_mean_path(source) or "give a picture or a folder of pictures"
        raise PictureError(f"{source} does not exist", cure=cure)
    if is_collection(source):
        what = "is a folder" if source.is_dir() else "names several pictures"
        if target.is_file():
            raise OptionError(f"{source} {what} and {target} is a file", cure="give a folder to write to")
        if suffix_of(target) in SUFFIXES and not target.exists():
            raise OptionError(
                f"{target} is named like a picture, and {source} {what}", cure="give a folder to write to"
            )
        folder, files, unread = find_files(source)
        is_recursive = source.is_dir() or "**" in str(source)
        if is_recursive and folder.resolve() in target.resolve().parents:
            problem = f"{target} is inside {source}, so the next run would translate its own output"
            raise OptionError(problem, cure="give an output outside of it")
        pairs = [(folder / file, _with_suffix(target / file, folder / file, suffix)) for file in files]
        if not pairs:
            problem = unread or f"{source} holds no picture"
            raise PictureError(problem, cure="give a folder with pictures")
    else:
        if suffix and not target.is_dir():
            raise OptionError(f"{target} is no folder, so --format has no effect", cure="leave it out")
        pairs = [(source, _with_suffix(target / source.name, source, suffix) if target.is_dir() else target)]
        if suffix_of(pairs[0][1]) not in SUFFIXES:
            endings = " ".join(sorted(SUFFIXES))
            cure = f"give a name that ends in one of {endings}, or an existing folder"
            raise OptionError(f"{target} does not end in a picture suffix", cure=cure)
    _refuse_collisions(pairs)
    return pairs


def _with_suffix(target: Path, source: Path, suffix: str) -> Path:
    """``target`` with ``suffix``. By default it keeps its own, but slides become OME-TIFF. Without one, DICOM stays
    DICOM, and all else becomes PNG."""
    if suffix:
        return target.with_name(target.name[: len(target.name) - len(suffix_of(target))] + suffix)
    if target.suffix.lower() in SLIDE_SUFFIXES:
        return target.with_suffix(".ome.tif")
    if target.suffix:
        return target
    return target.with_name(f"{target.name}{'.dcm' if format_of(head_of(source)) == 'DICOM' else '.png'}")


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
