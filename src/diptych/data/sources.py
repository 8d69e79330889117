"""Finds the training and held-out pictures of a run: in two folders, below one root, or side by side in files."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from diptych.config import SourceConfig
from diptych.data.files import Domain, by_hash, find_domain
from diptych.data.layouts import find_held_out, find_train, is_root, names_below, own_parts
from diptych.data.locations import name_of
from diptych.data.pairing import pair_up
from diptych.data.slicing import with_slices
from diptych.data.volumes import SINGLE_SLICES, Slices, file_of, is_volume
from diptych.errors import OptionError
from diptych.pair import Pair

HOLDOUT_FRACTION, HOLDOUT_MAX, HOLDOUT_MIN_PICTURES = 0.05, 64, 40


@dataclass(frozen=True)
class Split:
    """The pictures to train on and the held-out ones. Held-out domains may be empty."""

    train: Pair[Domain]
    test: Pair[Domain]

    def map(self, function: Callable[[Pair[Domain]], Pair[Domain]]) -> "Split":
        """``function`` of the training and of the held-out pictures."""
        return Split(function(self.train), function(self.test))

    @property
    def shown(self) -> Pair[Domain]:
        """The pictures for sample grids: held-out ones, or training pictures in a domain without held-out ones."""
        return self.test.map(lambda held, trained: held if len(held) else trained, self.train)


def domain_names(source: SourceConfig) -> Pair[str]:
    """The names of the two domains: those of their folders. Below a root, those in its folder train, or A and B."""
    if source.root is not None or source.a is None or source.b is None:
        return names_below(source.root) if source.root else Pair("A", "B")
    names = Pair(source.a, source.b).map(name_of)
    return names if names.a != names.b else Pair(f"{names.a}-A", f"{names.b}-B")


def source_folders(source: SourceConfig) -> Pair[Path] | Path:
    """The two folders of ``source``, or its root.

    Raises:
        OptionError: it has neither, or both.
    """
    if source.root is not None:
        if source.a is not None or source.b is not None:
            raise OptionError("both two folders and a root are given", cure="give A B, or --root ROOT")
        return source.root
    if source.a is None or source.b is None:
        raise _one_folder(source.a or source.b)
    return Pair(source.a, source.b)


def find_split(
    source: SourceConfig,
    holdout: int | None = None,
    *,
    slices: Slices = SINGLE_SLICES,
    paired: bool = False,
    skip_unpaired: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> Split:
    """The pictures of ``source``, split into training and held-out pictures.

    Pictures in test folders are held out (testA and testB below a root; test in a domain's folder, beside train).
    Without such folders, ``hold_out`` chooses ``holdout`` pictures of each domain. Volumes are replaced by their
    ``slices``. ``paired`` domains have the same names in the same order; ``skip_unpaired`` leaves out names that only
    one domain has. ``report`` gets a line for everything that a user may not expect.

    Raises:
        OptionError: neither two folders nor a root is given, both domains share pictures, or ``holdout`` leaves none.
        PictureError: a folder is missing or empty, or ``paired`` pictures have no partner.
    """
    folders = source_folders(source)
    if isinstance(folders, Path):
        train = find_train(folders, paired=paired, report=report)
        held = find_held_out(folders, paired=paired, report=report)
        split = Split(train, held or train.map(lambda domain: domain.only(())))
    else:
        domains = domain_names(source).map(find_domain, folders)
        _refuse_shared_pictures(domains, folders)
        parts = domains.map(lambda domain: own_parts(domain, report))
        split = Split(parts.map(lambda part: part[0]), parts.map(lambda part: part[1]))
    if slices != SINGLE_SLICES and not any(is_volume(file) for domain in split.train for file in domain.files):
        report("--slice-axis and --slices have no effect, since there is no volume")
    split = split.map(lambda pair: pair.map(partial(with_slices, slices=slices)))
    if paired and split.train.a.half is None:
        split = split.map(partial(pair_up, skip_unpaired=skip_unpaired, report=report))
    if any(map(len, split.test)):
        if holdout is not None:
            report("--holdout is not used, since there are folders of held-out pictures")
        return split
    parts = split.train.map(lambda domain: hold_out(domain, holdout))
    return Split(train=parts.map(lambda part: part[0]), test=parts.map(lambda part: part[1]))


def refuse_among_pictures(run: Path, source: SourceConfig) -> None:
    """Checks that the folder ``run`` is not in a folder of pictures, since its samples would be trained on.

    Raises:
        OptionError: it is.
    """
    for folder in (source.a, source.b):
        if folder and folder.is_dir() and run.resolve().is_relative_to(folder.resolve()):
            problem = f"the run {run} would lie in {folder}, and its samples would be trained on"
            raise OptionError(problem, cure="give --run with a folder outside of it")


def _refuse_shared_pictures(domains: Pair[Domain], sources: Pair[Path]) -> None:
    """Raises ``OptionError`` if a picture is in both domains, which the user gave as ``sources``."""
    folders = domains.map(lambda domain: domain.folder)
    if folders.a.resolve() == folders.b.resolve() and domains.a.files == domains.b.files:
        raise OptionError(f"A and B are the same folder, {folders.a}", cure="give two different folders")
    both = set.intersection(*domains.map(_resolved_paths))
    if not both:
        return
    for (inner, outer), domain in ((sources, domains.b), (sources.swapped, domains.a)):
        if inner.is_dir() and outer.is_dir() and inner.resolve().is_relative_to(outer.resolve()):
            problem = f"{inner} lies in {outer}, so its pictures would be in both domains"
            pattern = f", or give '{outer}/*' in quotes" if any(len(file.parts) == 1 for file in domain.files) else ""
            raise OptionError(problem, cure=f"move it out of {outer}{pattern}")
    problem = f"{len(both)} pictures are in both domains, such as {min(both)}"
    raise OptionError(problem, cure="leave them out of one")


def _resolved_paths(domain: Domain) -> set[Path]:
    folders = {parent: (domain.folder / parent).resolve() for parent in {file.parent for file in domain.files}}
    return {folders[file.parent] / file.name for file in domain.files}


def hold_out(domain: Domain, num_pictures: int | None) -> tuple[Domain, Domain]:
    """``domain`` split into training and ``num_pictures`` held-out pictures, chosen by hash of the names.

    By default 5 %, at most 64; none if there are fewer than 40 pictures. A volume counts as one picture.

    Raises:
        OptionError: no picture would be left to train on.
    """
    units = list(dict.fromkeys(map(file_of, domain.files)))
    number = len(units)
    if num_pictures is None:
        few = number < HOLDOUT_MIN_PICTURES
        num_pictures = 0 if few else min(HOLDOUT_MAX, math.ceil(HOLDOUT_FRACTION * number))
    if not 0 <= num_pictures < number:
        kind = "pictures" if number == len(domain) else "volumes"
        problem = f"holdout is {num_pictures}, but {domain.folder} has {number} {kind}"
        raise OptionError(problem, cure=f"give 0 to {number - 1}")
    held = set(by_hash(units)[:num_pictures])
    rest = domain.only([file for file in domain.files if file_of(file) not in held])
    return rest, domain.without(rest.files)


def _one_folder(folder: Path | None) -> OptionError:
    """The error for only one folder, or none."""
    problem = "two folders of pictures are needed" + (f", but only {folder} is given" if folder else "")
    cure = f"give --root {folder}" if folder and is_root(folder) else "give A B, or --root ROOT"
    return OptionError(problem, cure=cure)
