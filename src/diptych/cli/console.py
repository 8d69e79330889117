"""The process of a command: its console on standard error, and its memory. Imports wait for the first use, since
``--help`` needs neither."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from diptych.config import DeviceName


def stderr_console() -> "Console":
    """A console on standard error that prints text as it is: no markup, no emoji, no line breaks of its own."""
    from rich.console import Console

    return Console(file=sys.stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)


def tune_malloc(device: "DeviceName") -> None:
    """Keeps freed memory if ``device`` is the CPU. Only commands do so: a library leaves its caller's process alone."""
    from diptych import malloc
    from diptych.device import resolve_device

    if resolve_device(device) == "cpu":
        malloc.keep_freed_memory()
