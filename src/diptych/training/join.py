"""Finding the processes that were launched together with this one."""

from functools import cache

from diptych.launcher import world_size
from diptych.training.processes import ALONE, Processes


@cache
def join() -> Processes:
    """The processes that were launched together with this one: joined at the first call, which waits for all."""
    if world_size() == 1:
        return ALONE
    from diptych.training.several import Several  # brings Accelerate with it, which one process does not need

    return Several()
