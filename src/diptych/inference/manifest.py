"""The manifest of an output folder: one JSON line for each picture that was translated into it, or failed.

A second run skips the pictures that a manifest has, if the output is still there and the input is the same. Each shard
writes a manifest of its own, and all are read.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

from diptych.atomic import atomic_write
from diptych.data.archive import open_file, size_and_time
from diptych.data.formats.slide_parts import parts_of
from diptych.errors import OptionError, disk_errors
from diptych.inference.pipeline import Work
from diptych.inference.shard import WHOLE, Shard

STEM, SUFFIX = "manifest", ".jsonl"


class Content(NamedTuple):
    """What identifies the content of a file. Size and time are compared first, since hashing reads the file."""

    size: int
    changed: int
    """Time of the last change in nanoseconds."""
    sha256: str


def content_of(path: Path) -> Content:
    """Reads the file at ``path``, which may be in a zip; of a slide in several files, all.

    Raises:
        OSError: one cannot be read.
    """
    digest = hashlib.sha256()
    for each in (path, *parts_of(path)):
        with open_file(each) as file:
            hashlib.file_digest(file, lambda: digest)
    return Content(*_size_and_time(path), digest.hexdigest())


def _size_and_time(path: Path) -> tuple[int, int]:
    """The bytes of all files of the picture ``path``, and the time of the last change."""
    sizes, times = zip(*(size_and_time(each) for each in (path, *parts_of(path))), strict=True)
    return sum(sizes), max(times)


class Manifest:
    """The manifest in ``folder`` of one shard. A context manager, which closes the file.

    ``settings`` name what the translations depend on, such as the model and the options.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, str], *, shard: Shard = WHOLE, overwrite: bool = False
    ) -> None:
        """If ``overwrite``, this shard's manifest starts empty; without shards, all manifests are removed.

        Raises:
            OptionError: the folder holds translations with other settings, or a file that is no manifest.
            UserError: the disk is full or read-only.
        """
        self.folder, self.path = folder, folder / f"{STEM}{shard.suffix}{SUFFIX}"
        self.known: dict[str, Content] = {}
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with disk_errors(self.path):
            paths = sorted(folder.glob(f"{STEM}*{SUFFIX}"))
            for path in paths:
                if overwrite and (path == self.path or shard == WHOLE):
                    path.unlink()
                else:
                    self._read(path, settings, may_differ=overwrite)
            if not self.path.exists():
                with atomic_write(self.path) as temporary:
                    temporary.write_text(json.dumps({"settings": dict(settings)}) + "\n", encoding="utf-8")
            is_whole = self.path.read_bytes()[-1:] == b"\n"
            self.file = self.path.open("a", encoding="utf-8", buffering=1)
            if not is_whole:  # the process was killed within a line
                self.file.write("\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def _read(self, path: Path, settings: Mapping[str, str], *, may_differ: bool) -> None:
        with path.open(encoding="utf-8") as file:
            theirs = _parsed(file.readline()).get("settings")
            if not isinstance(theirs, dict):
                raise OptionError(f"{path} is not a manifest of diptych", cure="move it, or give another output")
            if theirs != settings:
                if may_differ:
                    return
                cure = "give another output, or pass --overwrite to translate all again"
                raise OptionError(f"{self.folder} holds translations {_difference(theirs, settings)}", cure=cure)
            for line in file:
                entry = _parsed(line)
                with suppress(KeyError):
                    self.known.pop(entry["output"], None)
                    if entry["error"] is None:
                        self.known[entry["output"]] = Content(entry["bytes"], entry["changed"], entry["sha256"])

    def has(self, work: Work) -> bool:
        """Whether the translation is there, and was made of the same input. Threads may call it."""
        known = self.known.get(self._name(work))
        if known is None or not work.target.exists():
            return False
        try:
            return _size_and_time(work.source) == known[:2] or content_of(work.source).sha256 == known.sha256
        except OSError:
            return False  # reading says what is wrong

    def record(self, work: Work) -> None:
        """Adds ``work``, which is finished.

        Raises:
            UserError: the disk is full or read-only.
        """
        size, changed, sha256 = work.content or (None, None, None)
        entry = {
            "input": str(work.source),
            "output": self._name(work),
            "bytes": size,
            "changed": changed,
            "sha256": sha256,
            "seconds": round(work.seconds, 4),
            "error": work.error or None,
        }
        with disk_errors(self.path):
            self.file.write(json.dumps(entry) + "\n")

    def _name(self, work: Work) -> str:
        return work.target.relative_to(self.folder).as_posix()


def _parsed(line: str) -> dict[str, Any]:
    """The object in ``line``; empty if it was cut off."""
    with suppress(ValueError):
        if isinstance(entry := json.loads(line), dict):
            return entry
    return {}


def _difference(theirs: Mapping[str, str], ours: Mapping[str, str]) -> str:
    """How two settings differ, for a user."""
    names = [name for name in ours if theirs.get(name) != ours[name]]
    if "model" in names or not names:
        return "by another model"
    name = names[0]
    before = f"with --{name} {theirs[name]}" if theirs.get(name) else f"without --{name}"
    return f"{before}, not {f'--{name} {ours[name]}' if ours[name] else 'without it'}"
