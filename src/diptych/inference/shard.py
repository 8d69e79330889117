"""A part of a folder, for several processes or machines that translate it together."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from diptych.errors import OptionError


class Shard(NamedTuple):
    """Part ``number`` (from 1) of ``total``. Which picture is in which part depends on its name alone."""

    number: int
    total: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """The shard that ``text``, such as 2/8, names.

        Raises:
            OptionError: it names none.
        """
        number, _, total = text.partition("/")
        if number.isdecimal() and total.isdecimal() and 1 <= int(number) <= int(total):
            return cls(int(number), int(total))
        raise OptionError(f"--shard is {text!r}", cure="give part and number of parts, such as 1/8 for the first of 8")

    def part_of(self, pairs: Sequence[tuple[Path, Path]], folder: Path) -> list[tuple[Path, Path]]:
        """The pairs of ``plan_outputs`` in this part, by the names of their outputs in ``folder``."""
        return [(source, target) for source, target in pairs if self._holds(target.relative_to(folder))]

    def _holds(self, name: Path) -> bool:
        digest = hashlib.sha256(os.fsencode(name.as_posix())).digest()
        return int.from_bytes(digest[:8], "big") % self.total == self.number - 1

    @property
    def suffix(self) -> str:
        """For the name of a file; empty if there is one part."""
        return f"-{self.number}-of-{self.total}" if self.total > 1 else ""


WHOLE = Shard(1, 1)
