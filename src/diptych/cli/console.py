"""The console for messages on standard error. Rich is imported at first use: ``--help`` does not need it."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def stderr_console() -> "Console":
    """A console on standard error that prints text as it is: no markup, no emoji, no line breaks of its own."""
    from rich.console import Console

    return Console(file=sys.stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)
