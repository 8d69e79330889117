"""What names the pictures of a domain: a folder, a pattern such as ``photos/*.png``, a list of paths, or a zip."""

import glob
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from diptych.config import ContentConfig, SourceConfig
from diptych.data import archive
from diptych.data.formats import is_picture_file
from diptych.errors import PictureError, did_you_mean_path, os_cure, os_problem

LIST = ".txt"
Options = TypeVar("Options", SourceConfig, ContentConfig)


def is_pattern(source: Path) -> bool:
    """Whether ``source`` is no path, but a pattern of paths."""
    return glob.has_magic(str(source)) and not source.exists()


def is_there(source: Path) -> bool:
    """Whether ``source`` exists; a pattern, if its folder does."""
    return _base(source).exists() if is_pattern(source) else source.exists()


def is_collection(source: Path) -> bool:
    """Whether ``source`` names pictures, and not one picture."""
    return source.is_dir() or is_pattern(source) or source.suffix.lower() in (archive.SUFFIX, LIST)


def name_of(source: Path) -> str:
    """The name of a domain: that of its folder, or of its list or zip without suffix."""
    folder = _base(source) if is_pattern(source) else source
    is_file = folder.suffix.lower() in (archive.SUFFIX, LIST) and not folder.is_dir()
    return (folder.stem if is_file else folder.resolve().name) or "root"


def paths_of(options: Options) -> dict[str, Any]:
    """The paths among ``options``, by name."""
    return {name: path for name, path in vars(options).items() if isinstance(path, Path)}


def relocated(options: Options, elsewhere: Mapping[str, Path]) -> Options:
    """``options`` with each path that is gone replaced by the one of the same name in ``elsewhere``, if that exists."""
    gone = {name for name, path in paths_of(options).items() if not is_there(path)}
    moved: dict[str, Any] = {name: elsewhere[name] for name in gone & elsewhere.keys() if is_there(elsewhere[name])}
    return replace(options, **moved)


def absolute(options: Options) -> Options:
    """``options`` with absolute paths."""
    return replace(options, **{name: path.absolute() for name, path in paths_of(options).items()})


def locate(source: Path) -> tuple[Path, list[Path]]:
    """A folder, and the files that ``source`` names, relative to it, without hidden ones.

    For a list or a zip, the folder is the deepest that holds all the files; in a zip, a path such as ``a.zip/sub``.

    Raises:
        PictureError: ``source`` is missing or cannot be read, or a line of a list is not the path of a picture.
    """
    if is_pattern(source):
        folder = _base(source)
        matches = (path.relative_to(folder) for path in folder.glob(str(source.relative_to(folder))) if path.is_file())
        files = [file for file in matches if not _is_hidden(file)]
        if not files:
            cure = did_you_mean_path(folder) or "give a pattern in quotes, such as 'photos/*.png'"
            raise PictureError(f"no file matches {source}", cure=cure)
        return folder, files
    if source.is_file() and source.suffix.lower() == archive.SUFFIX:
        names = [name for name in archive.open_archive(source).members if not _is_hidden(name)]
        return _relative([source / name for name in names]) if names else (source, [])
    if source.is_file() and source.suffix.lower() == LIST:
        return _relative(_listed(source))
    return source, [path.relative_to(source) for path in _walk(source)]


def _is_hidden(file: Path) -> bool:
    """Whether ``file`` or one of its folders is hidden."""
    return any(part[0] == "." for part in file.parts)


def _base(pattern: Path) -> Path:
    """The part of ``pattern`` before the first one with a wildcard."""
    return next(parent for parent in pattern.parents if not glob.has_magic(str(parent)))


def _relative(paths: list[Path]) -> tuple[Path, list[Path]]:
    """The deepest folder that holds all ``paths``, and the paths relative to it."""
    folder = Path(os.path.commonpath([path.parent for path in paths]))
    return folder, [path.relative_to(folder) for path in paths]


def _listed(file: Path) -> list[Path]:
    """The paths in a text file, which are relative to its folder or absolute, one a line.

    They are returned relative to the working directory if ``file`` is and all lie in it, else absolute.

    Raises:
        PictureError: it is no text, or a line does not name a picture, or names one again.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise PictureError(f"{file} cannot be read ({error})", cure="give a text file with one path a line") from None
    found: dict[Path, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        path = Path(os.path.normpath(Path.cwd() / file.parent / line.strip()))  # links keep their own names
        where = f"{file}, line {number}: {line.strip()}"
        if not path.is_file():
            problem = "is not a file" if path.exists() else "does not exist"
            cure = did_you_mean_path(path) or f"give paths relative to {file.parent}, or absolute ones"
            raise PictureError(f"{where} {problem}", cure=cure)
        if not is_picture_file(path):
            raise PictureError(f"{where} is not a picture that diptych reads", cure="remove the line")
        if path in found:
            raise PictureError(f"{where} is in line {found[path]} too", cure="remove one of the lines")
        found[path] = number
    if not found:
        raise PictureError(f"{file} lists no picture", cure="give one path a line")
    here = Path.cwd()
    inside = not file.is_absolute() and all(path.is_relative_to(here) for path in found)
    return [path.relative_to(here) for path in found] if inside else [*found]


def _walk(folder: Path) -> Iterator[Path]:
    """All files in ``folder`` and its sub-folders that are not hidden."""
    if not folder.is_dir():
        if folder.exists():
            cure = "give a folder of pictures, a zip, a .txt of paths, or a pattern in quotes"
            raise PictureError(f"{folder} is not a folder", cure=cure)
        cure = did_you_mean_path(folder) or "give a folder of pictures"
        raise PictureError(f"{folder} does not exist", cure=cure)

    def refuse(error: OSError) -> None:
        raise PictureError(f"{error.filename} cannot be read ({os_problem(error)})", cure=os_cure(error))

    for directory, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        folders[:] = [name for name in folders if name[0] != "." and not _is_loop(Path(directory, name))]
        yield from (Path(directory, name) for name in names if name[0] != ".")


def _is_loop(folder: Path) -> bool:
    """Whether ``folder`` is a link to one of its own parents."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())
