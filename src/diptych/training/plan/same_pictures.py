"""Checks whether a run that is resumed or forked still has the pictures that it was started with."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from diptych.data.files import Domain, folded_name
from diptych.data.identity import Changes, Identity, is_same, read_identity
from diptych.data.sources import Split
from diptych.errors import RunError
from diptych.monitoring.progress import Display
from diptych.pair import Pair
from diptych.run import Run


class _Comparison(NamedTuple):
    """The pictures of a domain now, and those of the run."""

    domain: Domain
    identity: Identity
    known: Identity
    known_folder: Path

    @property
    def changes(self) -> Changes:
        return self.known.changes(self.identity)

    @property
    def is_elsewhere(self) -> bool:
        return self.domain.folder.resolve() != self.known_folder.resolve()


def with_held_out_of(run: Run, split: Split, *, paired: bool) -> Split:
    """``split`` with the held-out pictures of ``run``. After a picture is removed, ``split`` may hold out others."""

    def divide(train: Domain, test: Domain, names: list[str]) -> tuple[Domain, Domain]:
        if train.folder != test.folder or {file.as_posix() for file in test.files} == set(names):
            return train, test
        everything = train.only(sorted((*train.files, *test.files), key=folded_name if paired else Path.as_posix))
        held = [file for file in everything.files if file.as_posix() in names]
        return everything.without(held), everything.only(held)

    parts = split.train.map(divide, split.test, Pair(*run.about()["held_out"].values()))
    return Split(parts.map(lambda part: part[0]), parts.map(lambda part: part[1]))


def refuse_other_pictures(run: Run, split: Split, identity: Pair[Identity], display: Display) -> None:
    """Checks the pictures of a run to resume. If they have only moved, says so.

    Raises:
        RunError: their names or contents differ from those at the start.
    """
    for found in _compare(run, split, identity):
        now, before = found.domain.folder.absolute(), found.known_folder
        if found.changes and found.is_elsewhere:
            problem = f"{run.folder} was trained on {before}, and {now} holds other pictures ({found.changes})"
            raise RunError(problem, cure="give --run NEW_RUN to train on them, or --fork NEW_RUN to continue on them")
        if found.changes:
            problem = f"{run.folder}: the pictures in {now} have changed since the run was started ({found.changes})"
            cure = "put them back, or give --run NEW_RUN to train on these, or --fork NEW_RUN to continue on these"
            raise RunError(problem, cure=cure)
        if found.is_elsewhere:
            display.note(f"the pictures of {found.domain.name} have moved from {before} to {now}")


def note_other_pictures(origin: Run, split: Split, identity: Pair[Identity], display: Display) -> None:
    """Says how the pictures of a fork differ from those of its parent ``origin``, and whether the parent was trained on
    held-out ones."""
    for found in _compare(origin, split, identity):
        if found.changes:
            place = f" and no longer on {found.known_folder}" if found.is_elsewhere else ""
            display.note(f"the fork trains on {found.domain.folder}{place}: other pictures ({found.changes})")
        seen, held_out = found.known.train, found.identity.held_out
        if leaked := [name for name, one in held_out.items() if name in seen and is_same(seen[name], one)]:
            words = f"{len(leaked):,} held-out pictures of {found.domain.name} were trained on by the parent"
            display.note(f"{words}, so their scores are too good")


def _compare(run: Run, split: Split, identity: Pair[Identity]) -> Iterator[_Comparison]:
    folders = [Path(domain["folder"]) for domain in run.about()["pictures"].values()]
    return map(_Comparison, split.train, identity, read_identity(run.pictures_file), folders)
