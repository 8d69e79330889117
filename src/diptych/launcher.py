"""Which of several processes this one is, by what ``torchrun`` and ``accelerate launch`` put into the environment."""

import os


def world_size() -> int:
    """How many processes a launcher started together, on all machines; 1 where there was none."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def is_main() -> bool:
    """Whether this process is the one of them that writes and speaks."""
    return world_size() == 1 or os.environ["RANK"] == "0"
