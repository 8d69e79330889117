"""The mistakes of a user, each with its cure.

The command line prints such a mistake as one line and exits with code 2; Python code may catch ``UserError``.
"""


class UserError(ValueError):
    """Something that the person at the keyboard can mend: what is wrong, naming the file and the value, then the
    cure."""

    def __init__(self, problem: str, *, cure: str) -> None:
        self.problem, self.cure = problem, cure
        super().__init__(f"{problem}: {cure}")

    def __reduce__(self) -> "tuple[object, tuple[type[UserError], str, str]]":
        return _again, (type(self), self.problem, self.cure)  # for other processes of the same run


def _again(kind: type[UserError], problem: str, cure: str) -> UserError:
    error = kind.__new__(kind)
    UserError.__init__(error, problem, cure=cure)
    return error


class OptionError(UserError):
    """An option, or a combination of options, that cannot be."""


class PictureError(UserError):
    """A picture, or a folder of pictures, that cannot be used."""


class WeightsError(UserError):
    """A file of weights that is damaged, of another kind or of another version."""


class RunError(UserError):
    """A run that cannot be started, continued or read."""


class MissingExtraError(UserError):
    """An optional dependency that is not installed."""

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs", cure=f"pip install 'diptych[{extra}]'")
