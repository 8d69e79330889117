"""The identity of pictures: their names, sizes and contents, by which a run knows its data."""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

from diptych.atomic import atomic_write
from diptych.data.archive import file_size, open_file
from diptych.data.files import by_hash
from diptych.errors import RunError
from diptych.pair import Pair

MAX_HASHED = 256 * 2**20
"""Bytes of a domain's pictures whose contents are compared; of the others, only the sizes."""
NUM_LISTED = 3

Fingerprints = dict[str, tuple[int, str]]
"""By name: the size in bytes, and the SHA-256 of the content, or empty where only sizes are compared."""

UNREADABLE = (-1, "")
"""The fingerprint of a picture that training could not read: it may be replaced or removed."""


def fingerprints(folder: Path, files: Sequence[Path], *, max_hashed: int = MAX_HASHED) -> Fingerprints:
    """The fingerprints of ``files`` in ``folder``. A file that cannot be read has size 0.

    Contents are hashed in the order of a hash of the names, until ``max_hashed`` bytes are reached: all of a small
    domain, and the same sample of a large one each time.
    """
    ordered = by_hash(files)
    sizes = [_size(folder / file) for file in ordered]
    starts = [end - size for end, size in zip(accumulate(sizes), sizes, strict=True)]
    with ThreadPoolExecutor() as pool:
        hashes = pool.map(lambda file, start: _sha256(folder / file) if start < max_hashed else "", ordered, starts)
        found = {file.as_posix(): (size, sha) for file, size, sha in zip(ordered, sizes, hashes, strict=True)}
    return dict(sorted(found.items()))


def summary(found: Fingerprints) -> dict[str, Any]:
    """The number of pictures, their size in bytes, and one hash of all fingerprints."""
    sha256 = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
    return {"number": len(found), "bytes": sum(size for size, _ in found.values()), "sha256": sha256}


@dataclass(frozen=True)
class Changes:
    """Names of pictures that changed."""

    replaced: list[str]
    """Pictures whose content is different."""
    missing: list[str]
    new: list[str]

    def __bool__(self) -> bool:
        return bool(self.replaced or self.missing or self.new)

    def __str__(self) -> str:
        return ", ".join(f"{len(names):,} {what} ({_listed(names)})" for what, names in vars(self).items() if names)


def is_same(one: tuple[int, str], other: tuple[int, str]) -> bool:
    """Whether two fingerprints can be of the same content."""
    if UNREADABLE in (one, other):
        return True
    return one[0] == other[0] and (one[1] == other[1] or "" in (one[1], other[1]))


class Identity(NamedTuple):
    """The fingerprints of a domain's training and held-out pictures, its side of known pairs, and its masks."""

    train: Fingerprints
    held_out: Fingerprints
    known: Fingerprints
    masks: Fingerprints

    @classmethod
    def of(cls, train: Fingerprints) -> "Identity":
        """That of training pictures alone."""
        return cls(train, {}, {}, {})

    def unreadable(self, names: Sequence[str], known: Sequence[str] = (), masks: Sequence[str] = ()) -> "Identity":
        """A copy in which these are unreadable: training pictures by ``names``, those of ``known`` pairs, ``masks``."""
        marked = (dict.fromkeys(each, UNREADABLE) for each in (names, known, masks))
        train, pairs, of_masks = (before | now for before, now in zip((self.train, *self[2:]), marked, strict=True))
        return Identity(train, self.held_out, pairs, of_masks)

    def _named(self) -> Fingerprints:
        """All fingerprints, under names that say what they are of."""
        parts = {"": self.train, "test: ": self.held_out, "pair: ": self.known, "mask: ": self.masks}
        return {f"{prefix}{name}": one for prefix, part in parts.items() for name, one in part.items()}

    def changes(self, now: "Identity") -> Changes:
        """What changed from this identity to ``now``."""
        before, after = self._named(), now._named()
        return Changes(
            replaced=[name for name in after if name in before and not is_same(before[name], after[name])],
            missing=[name for name, one in before.items() if name not in after and one != UNREADABLE],
            new=[name for name in after if name not in before],
        )


def write_identity(path: Path, identity: Pair[Identity]) -> None:
    """Writes the identity of both domains as JSON, atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps([domain._asdict() for domain in identity]) + "\n", encoding="utf-8")


def read_identity(path: Path) -> Pair[Identity]:
    """The identity of both domains in the file ``path``.

    Raises:
        RunError: it is missing or cannot be read.
    """
    try:
        a, b = json.loads(path.read_text(encoding="utf-8"))
        return Pair(a, b).map(lambda domain: Identity(*(_from_json(domain[part]) for part in Identity._fields)))
    except (OSError, ValueError, AttributeError, TypeError, KeyError):
        cure = "restore it from a backup, or start another run with --run"
        raise RunError(f"{path} cannot be read", cure=cure) from None


def _from_json(table: dict[str, list[Any]]) -> Fingerprints:
    return {name: (int(size), str(sha256)) for name, (size, sha256) in table.items()}


def _listed(names: list[str]) -> str:
    return ", ".join(names[:NUM_LISTED]) + (", …" if len(names) > NUM_LISTED else "")


def _size(path: Path) -> int:
    try:
        return file_size(path) or 0
    except OSError:
        return 0


def _sha256(path: Path) -> str:
    try:
        with open_file(path) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, BadZipFile):
        return ""
