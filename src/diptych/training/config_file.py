"""What a run records of its start: options, pictures, versions, the processor and the command."""

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from diptych.data.files import Domain
from diptych.data.identity import Identity, read_identity, summary, write_identity
from diptych.data.locations import absolute, paths_of
from diptych.errors import PictureError
from diptych.model import versions
from diptych.pair import Pair
from diptych.processor import describe_processor
from diptych.training.plan.plan import Plan


def write_config(plan: Plan) -> None:
    """Writes ``config.json`` and ``pictures.json``. A resumed run keeps the time and the command of its start."""
    run, source, content = plan.run, plan.config.source, plan.config.content
    started = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "parent": str(plan.parent.absolute()) if plan.parent else None,
        "command": command(),
    }
    before = run.about() if run.exists else {}
    paths = paths_of(source) | paths_of(content)
    about = {
        "versions": _history(before.get("versions", []), plan),
        "total": plan.total,
        "relative": {name: os.path.relpath(path, run.folder) for name, path in paths.items()},
        "pictures": {
            domain.name: {"folder": str(domain.folder.absolute())} | summary(found.train)
            for domain, found in zip(plan.split.train, plan.identity, strict=True)
        },
        "held_out": {domain.name: [file.as_posix() for file in domain.files] for domain in plan.split.test},
    }
    write_identity(run.pictures_file, plan.identity)
    kept = {key: before.get(key, value) for key, value in started.items()}
    run.write_config(replace(plan.config, source=absolute(source), content=absolute(content)), kept | about)


@contextmanager
def unreadable_recorded(plan: Plan) -> Iterator[None]:
    """Context manager: records a training picture that cannot be read, with its mask and the partner of a paired one.
    The run can then resume after they are replaced, removed or skipped."""
    try:
        yield
    except PictureError as error:
        if error.file is not None and plan.world.is_main and plan.run.pictures_file.exists():
            _record_unreadable(plan, error.file)
        raise


def _record_unreadable(plan: Plan, file: Path) -> None:
    domains, known = plan.split.train, read_identity(plan.run.pictures_file)
    names = _names(domains, file, paired=plan.config.method.paired)
    masks = names.map(
        lambda files, of: [of.files[one].as_posix() for one in files if of and one in of.files], plan.kept.masks
    )
    pairs = Pair([], []) if plan.kept.known is None else _names(plan.kept.known, file, paired=True)
    as_text = [each.map(lambda files: [one.as_posix() for one in files]) for each in (names, pairs)]
    write_identity(plan.run.pictures_file, known.map(Identity.unreadable, *as_text, masks))


def _names(domains: Pair[Domain], file: Path, *, paired: bool) -> Pair[list[Path]]:
    """The names of ``file`` in the ``domains``, and of the partners of ``paired`` pictures."""
    found = domains.map(lambda domain: {index for index in range(len(domain)) if domain.path(index) == file})
    if paired:
        found = Pair(found.a | found.b, found.a | found.b)
    return domains.map(lambda domain, indices: [domain.files[index] for index in indices], found)


def _history(before: list[dict[str, Any]], plan: Plan) -> list[dict[str, Any]]:
    """An entry for each change of versions, processor or number of processes, with the number of pictures seen
    before it."""
    earlier = [entry for entry in before if entry["from_pictures"] < plan.done]
    now = versions() | {"processor": describe_processor(), "processes": plan.world.size}
    if earlier and earlier[-1] == {"from_pictures": earlier[-1]["from_pictures"]} | now:
        return earlier
    return [*earlier, {"from_pictures": plan.done} | now]


def command() -> str:
    """The command line that started this process."""
    program = Path(sys.argv[0])
    is_ours = program.name == "diptych" or program.parts[-2:] == ("diptych", "__main__.py")
    return shlex.join(["diptych" if is_ours else sys.argv[0], *sys.argv[1:]])
