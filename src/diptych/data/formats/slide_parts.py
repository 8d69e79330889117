"""Files that a slide consists of beside its own."""

from pathlib import Path

MIRAX = ".mrxs"
LISTS = (".vms", ".vmu")
"""Suffixes of slides by Hamamatsu, whose file lists the others: lines such as ``ImageFile(1,0)=x.jpg``."""


def folder_of(path: Path) -> Path:
    """The folder of the files of a MIRAX slide."""
    return path.with_suffix("")


def parts_of(path: Path) -> list[Path]:
    """The other files of the slide ``path``, sorted: of MIRAX, those in the folder of its name; of Hamamatsu, those
    that its file lists."""
    suffix = path.suffix.lower()
    if suffix == MIRAX:
        return sorted(part for part in folder_of(path).rglob("*") if part.is_file())
    if suffix in LISTS and path.is_file():
        names = {line.partition("=")[2].strip() for line in path.read_text("utf-8", "replace").splitlines()}
        return sorted(part for name in names if name and (part := path.parent / name).is_file())
    return []
