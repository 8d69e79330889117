"""The rank of this process, from the environment that ``torchrun`` or ``accelerate launch`` sets. Needs no torch."""

import os


def world_size() -> int:
    """Number of processes that were launched together, over all machines; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def is_main() -> bool:
    """Whether this is the main process (rank 0), which alone writes and prints."""
    return world_size() == 1 or os.environ["RANK"] == "0"
