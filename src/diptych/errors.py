"""Errors that a user can correct, each with its cure.

The command line prints such an error as one line and exits with code 2. Python code may catch ``UserError``.
"""

import difflib
import errno
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

EXIT_MISTAKE, EXIT_INTERRUPTED = 2, 130
"""Exit codes of a process: after a mistake of the user, and after Ctrl-C."""


class UserError(ValueError):
    """An error that the user can correct. ``problem`` names file and value; ``cure`` says what to do."""

    def __init__(self, problem: str, *, cure: str) -> None:
        self.problem, self.cure = problem, cure
        super().__init__(f"{problem}: {cure}")

    def __reduce__(self) -> tuple[object, tuple[type[Self], str, str], dict[str, object]]:
        return _rebuild, (type(self), self.problem, self.cure), vars(self)  # so that other ranks can unpickle it


def _rebuild(kind: type[UserError], problem: str, cure: str) -> UserError:
    error = kind.__new__(kind)
    UserError.__init__(error, problem, cure=cure)
    return error


class OptionError(UserError):
    """An option, or a combination of options, that is not possible."""


class PictureError(UserError):
    """A picture, or a folder of pictures, that cannot be used. ``file`` is the picture, if it is one to train on."""

    def __init__(self, problem: str, *, cure: str, file: Path | None = None) -> None:
        super().__init__(problem, cure=cure)
        self.file = file


class WeightsError(UserError):
    """A file of weights that is damaged, or of another kind or version."""


class RunError(UserError):
    """A run that cannot be started, resumed or read."""


class MissingExtraError(UserError):
    """An optional dependency that is not installed."""

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs", cure=f"pip install 'diptych[{extra}]'")


IN_ITS_WAY = "move what is in its way"
CURES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space of your quota",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f)",
    errno.EROFS: "mount the disk for writing",
    errno.EACCES: "change its permissions",
    errno.EPERM: "change its permissions",
    errno.ENOENT: "create it",
    errno.ENOTDIR: IN_ITS_WAY,
    errno.EISDIR: IN_ITS_WAY,
    errno.EEXIST: IN_ITS_WAY,
    errno.ENAMETOOLONG: "shorten its name",
    errno.EINVAL: "choose a name that this file system allows",
    errno.EILSEQ: "choose a name that this file system allows",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "end programs that hold files open",
    errno.ENOMEM: "end other programs",
    errno.EIO: "check the disk, which fails",
    errno.ESTALE: "mount the network drive again",
}
"""What to do about an error of the operating system, by its number."""
NAME_ERRORS = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)
"""Numbers of the errors about one file's name, in a folder where other files can be written."""


def os_cure(error: OSError) -> str:
    """What to do about ``error`` if the path must stay the same."""
    return CURES.get(error.errno or 0, "see where it happens with --debug")


def path_cure(error: OSError) -> str:
    """What to do about ``error``."""
    return f"{os_cure(error)}, or give another path"


def os_problem(error: OSError) -> str:
    """What the operating system says."""
    return error.strerror or first_line(error)


@contextmanager
def disk_errors(path: Path, *, name_error: type[UserError] = UserError) -> Iterator[None]:
    """Context manager: converts an ``OSError`` while writing ``path`` to a ``UserError``, or to a ``name_error`` if the
    file system does not allow its name."""
    try:
        yield
    except OSError as error:
        kind = name_error if error.errno in NAME_ERRORS else UserError
        raise kind(f"{path} cannot be written ({os_problem(error)})", cure=path_cure(error)) from None


def print_traceback(error: BaseException) -> None:
    """Prints the traceback of ``error``, and of the errors that it replaced."""
    each: BaseException | None = error
    while each is not None:
        each.__suppress_context__ = False
        each = each.__context__
    traceback.print_exception(error)


def first_line(error: BaseException) -> str:
    """The first line of the message of ``error``, or its type if it has no message."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def did_you_mean(word: str, names: Iterable[str], *, prefix: str = "") -> str:
    """The cure for a misspelled ``word``: the nearest of ``names``, which share ``prefix``; empty if none is near."""
    near = difflib.get_close_matches(word.removeprefix(prefix), [name.removeprefix(prefix) for name in names], n=1)
    return f"did you mean {prefix}{near[0]}?" if near else ""


def did_you_mean_path(path: Path) -> str:
    """The cure for a misspelled ``path``: the nearest one that exists; empty if none is near."""
    if path.exists():
        return ""
    missing = next((part for part in (*reversed(path.parents), path) if not part.exists()), path)
    with suppress(OSError):  # a folder that may not be listed has no names to offer
        names = [entry.name for entry in missing.parent.iterdir()]
        for near in difflib.get_close_matches(missing.name, names, cutoff=0.7):
            if (there := missing.with_name(near) / path.relative_to(missing)).exists():
                return f"did you mean {there}?"
    return ""
