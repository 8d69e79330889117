"""Measures the speed of training, and estimates the time and the memory of a run.

``estimate`` measures in a subprocess: its peak memory is that of training alone, and if memory runs out, only the
subprocess ends.
"""

import json
import resource
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from diptych.config import TrainConfig
from diptych.config_json import from_json, to_json
from diptych.data.sampling import epoch_size
from diptych.errors import OptionError, UserError
from diptych.malloc import keep_freed_memory
from diptych.monitoring.progress import Silent
from diptych.pair import Pair
from diptych.registry import trust_code
from diptych.training.plan.length import parse_time, total_pictures
from diptych.training.plan.plan import make_plan
from diptych.training.speed import measure_speed
from diptych.training.state import State

TRIAL_SECONDS, TRIAL_UPDATES = 10.0, 20
"""Limits of the measurement that ``estimate`` makes."""
LONG_HOURS = 12
"""For a longer run, the estimate suggests how to shorten it."""
GIB = 2**30
OUT_OF_MEMORY = (
    "out of memory",
    "ALLOC_FAILED",
    "can't allocate memory",
    "Cannot allocate memory",
    "MemoryError",
    "bad_alloc",
)


@dataclass(frozen=True)
class Estimate:
    """Time and memory that a run needs on this machine."""

    device: str
    precision: str
    num_updates: int
    """Updates that were measured."""
    done: int
    """Images per domain seen so far."""
    pictures: int
    """Images per domain still to be seen."""
    epochs: float
    pictures_per_second: float
    hours: float
    memory_gib: float | None
    """Peak memory of the process, including decoded pictures."""
    device_memory_gib: float | None
    """Peak memory of the GPU; None without CUDA."""

    @property
    def words(self) -> str:
        """One line for a user."""
        units = (("hours", 1), ("minutes", 60), ("seconds", 3600))
        unit, per_hour = next(((unit, per) for unit, per in units if self.hours * per >= 2), units[-1])
        memory = f" and {self.memory_gib:.1f} GiB of memory" if self.memory_gib else ""
        memory += f" ({self.device_memory_gib:.1f} on the GPU)" if self.device_memory_gib else ""
        rest = f"{'the remaining ' if self.done else ''}{self.epochs:,.4g} epochs ({self.pictures:,} pictures)"
        updates = f"{self.num_updates} {'update' if self.num_updates == 1 else 'updates'}"
        speed = self.pictures_per_second
        pace = f"{speed:.3g} pictures per second" if speed >= 1 else f"{1 / speed:.2g} seconds per picture"
        words = (
            f"{rest} would take about {self.hours * per_hour:,.0f} {unit}{memory} on this machine "
            f"({self.device}, {self.precision}): {pace}, measured over {updates} at the machine's current load"
        )
        shorter = "; --time 4h, or a smaller --crop-size and --generator.width 32, makes a shorter run"
        return words + (shorter if self.hours > LONG_HOURS else "")

    def json(self) -> dict[str, Any]:
        return asdict(self)


def estimate(config: TrainConfig, sizes: Pair[int], *, done: int = 0, total: int | None = None) -> Estimate:
    """Estimates the rest of a run with the resolved ``config``, after ``done`` of ``total`` images per domain. By
    default, the total is that of ``config``.

    ``sizes`` are the numbers of training pictures. Unreadable pictures are left out.

    Raises:
        OptionError: training cannot start, or needs too much memory.
    """
    config = replace(config, data=replace(config.data, skip_unreadable=True))
    command = [sys.executable, "-m", "diptych.training.estimate"]
    trial = subprocess.run(command, input=json.dumps(to_json(config)), capture_output=True, text=True, check=False)
    if trial.returncode == -9 or (trial.returncode and any(words in trial.stderr for words in OUT_OF_MEMORY)):
        cure = "give --activation-checkpointing, a smaller --crop-size, or --generator.width 32"
        raise OptionError("training needs more memory than this machine has", cure=cure)
    if trial.returncode:
        reason = next(reversed(trial.stderr.splitlines()), f"exit code {trial.returncode}")
        raise OptionError(f"trial updates failed ({reason})", cure="diptych train shows the whole error")
    measured = json.loads(trial.stdout.splitlines()[-1])
    size = epoch_size(sizes)
    if total is None and config.length.time is not None:
        total = max(1, round(parse_time(config.length.time) * measured["pictures_per_second"]))
    pictures = (total_pictures(config, size, start=done) if total is None else total) - done
    memory = measured.pop("memory")
    return Estimate(
        done=done,
        pictures=pictures,
        epochs=pictures / size,
        hours=pictures / measured["pictures_per_second"] / 3600,
        memory_gib=None if memory is None else memory / GIB + _cache_gib(config, sizes),
        **measured,
    )


def _cache_gib(config: TrainConfig, sizes: Pair[int]) -> float:
    """Memory for decoded pictures once all that fit have been read."""
    data = config.data
    num_values = Pair(sizes.a * (data.channels_a or 0), sizes.b * (data.channels_b or 0))
    return sum(min(data.cache_gib / 2, number * (data.load_size or 0) ** 2 / GIB) for number in num_values)


def _measure(config: TrainConfig) -> dict[str, Any]:
    """The measurement of ``estimate``, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        plan = make_plan(config, Path(folder) / "run", None, Silent())
    if plan.config.engine.device == "cpu":
        keep_freed_memory()  # as the command that trains
    state = State(plan.config)
    batches = plan.loader.updates(state.next_picture)
    speed = measure_speed(state, batches, seconds=TRIAL_SECONDS, max_updates=TRIAL_UPDATES)
    engine = plan.config.engine
    device_memory = torch.cuda.max_memory_reserved() / GIB if engine.device == "cuda" else None
    about = {"device": engine.device, "precision": engine.precision, "device_memory_gib": device_memory}
    return speed._asdict() | about | {"memory": _peak_memory()}


def _peak_memory() -> int:
    """Peak memory of this process in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


if __name__ == "__main__":
    try:
        value = json.load(sys.stdin)
        trust_code(value)  # it is from the process that started this one
        print(json.dumps(_measure(from_json(TrainConfig, value))))
    except UserError as mistake:
        sys.exit(str(mistake))
