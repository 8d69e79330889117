"""What surrounds a test: whose rights it has, and on how many threads torch computes."""

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """While this lasts, the rights of somebody who is not root. What is needed must have been imported before."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@contextlib.contextmanager
def cores(number: int) -> Iterator[None]:
    """While entered, torch computes with so many threads, however many cores there are."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
