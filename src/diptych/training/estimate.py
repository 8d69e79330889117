"""How long a run would take and how much memory it needs, by some updates in a process of their own.

A process of its own, since its peak of memory is then that of training alone, and running out of memory ends no other.
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from diptych.config import TrainConfig
from diptych.config_json import from_json, to_json
from diptych.data.sampling import epoch_size
from diptych.errors import OptionError, UserError
from diptych.pair import Pair
from diptych.training.plan.length import total_pictures

MAX_SECONDS, MAX_UPDATES = 10.0, 20
"""Of measuring. One update is always measured, and one before it is not."""
LONG_HOURS = 12
"""Longer runs are told how to be shorter."""
GIB = 2**30
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "Cannot allocate memory", "MemoryError", "bad_alloc")
SMALLER = "give a smaller --crop-size, --generator.width 32, or another machine"


@dataclass(frozen=True)
class Estimate:
    """What a run needs on this machine."""

    device: str
    precision: str
    num_updates: int
    """That were measured."""
    done: int
    """Pictures per domain that the run has behind it."""
    pictures: int
    """Those that it has before it."""
    epochs: float
    pictures_per_second: float
    hours: float
    memory_gib: float | None
    """Of the process at its largest, decoded pictures included; None where the system does not tell."""
    device_memory_gib: float | None
    """Of the GPU."""

    @property
    def words(self) -> str:
        units = (("hours", 1), ("minutes", 60), ("seconds", 3600))
        unit, per_hour = next(((unit, per) for unit, per in units if self.hours * per >= 2), units[-1])
        duration = f"{self.hours * per_hour:,.0f} {unit}"
        memory = f" and {self.memory_gib:.1f} GiB of memory" if self.memory_gib else ""
        memory += f" ({self.device_memory_gib:.1f} on the GPU)" if self.device_memory_gib else ""
        of = f"{'the remaining ' if self.done else ''}{self.epochs:,.4g} epochs ({self.pictures:,} pictures)"
        updates = f"{self.num_updates} {'update' if self.num_updates == 1 else 'updates'}"
        speed = self.pictures_per_second
        pace = f"{speed:.3g} pictures a second" if speed >= 1 else f"{1 / speed:.2g} seconds a picture"
        words = (
            f"{of} would take about {duration}{memory} on this machine ({self.device}, {self.precision}): {pace}, "
            f"measured over {updates} while it is as busy as now"
        )
        shorter = "; --time 4h, or a smaller --crop-size and --generator.width 32, makes a shorter run"
        return words + (shorter if self.hours > LONG_HOURS else "")

    def json(self) -> dict[str, Any]:
        return asdict(self)


def estimate(config: TrainConfig, sizes: Pair[int], *, done: int = 0) -> Estimate:
    """What a run of the resolved ``config`` on so many pictures needs, of which it has ``done`` some; unreadable ones
    are left out.

    Raises:
        OptionError: training cannot begin, or has not enough memory.
    """
    config = replace(config, data=replace(config.data, skip_unreadable=True))
    command = [sys.executable, "-m", "diptych.training.estimate"]
    trial = subprocess.run(command, input=json.dumps(to_json(config)), capture_output=True, text=True, check=False)
    if trial.returncode == 0:
        measured = json.loads(trial.stdout.splitlines()[-1])
    elif trial.returncode == -9 or any(words in trial.stderr for words in OUT_OF_MEMORY):
        raise OptionError("training needs more memory than this machine has", cure=SMALLER)
    else:
        reason = next(reversed(trial.stderr.splitlines()), f"exit code {trial.returncode}")
        raise OptionError(f"some updates to try did not run ({reason})", cure="diptych train tells more")
    size = epoch_size(sizes)
    pictures = total_pictures(config, size) - done
    speed, memory = measured.pop("pictures_per_second"), measured.pop("memory")
    return Estimate(
        done=done,
        pictures=pictures,
        epochs=pictures / size,
        pictures_per_second=speed,
        hours=pictures / speed / 3600,
        memory_gib=None if memory is None else memory / GIB + _cache_gib(config, sizes),
        **measured,
    )


def _cache_gib(config: TrainConfig, sizes: Pair[int]) -> float:
    """What decoded pictures take up once all that fit have been read."""
    data = config.data
    num_values = Pair(sizes.a * (data.channels_a or 0), sizes.b * (data.channels_b or 0))
    return sum(min(data.cache_gib / 2, number * (data.load_size or 0) ** 2 / GIB) for number in num_values)


def measure(config: TrainConfig) -> dict[str, Any]:
    """Speed and memory of some updates in this process, and what they were computed with."""
    from diptych.device import Engine
    from diptych.monitoring.progress import Silent
    from diptych.training.plan.plan import make_plan
    from diptych.training.state import State
    from diptych.training.update import update

    with tempfile.TemporaryDirectory() as folder:
        plan = make_plan(config, Path(folder) / "run", None, Silent())
    state = State(plan.config, Engine(plan.config.engine))
    durations: list[float] = []
    for batch in plan.loader.batches(0):
        begun = time.perf_counter()
        losses = update(state, batch.map(state.engine.receive), learning_rate=0.0)
        sum(float(loss) for loss in losses.values())  # waits for the device
        durations.append(time.perf_counter() - begun)
        if len(durations) > 1 and (sum(durations) > MAX_SECONDS or len(durations) > MAX_UPDATES):
            break
    timed = durations[1:]
    return {
        "device": plan.config.engine.device,
        "precision": plan.config.engine.precision,
        "num_updates": len(timed),
        "pictures_per_second": len(timed) * plan.config.optimiser.batch_size / sum(timed),
        "memory": _peak_memory(),
        "device_memory_gib": _device_memory_gib(plan.config.engine.device),
    }


def _peak_memory() -> int | None:
    """Bytes of this process at its largest."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _device_memory_gib(device: str) -> float | None:
    import torch

    return torch.cuda.max_memory_reserved() / GIB if device == "cuda" else None


if __name__ == "__main__":
    try:
        print(json.dumps(measure(from_json(TrainConfig, json.load(sys.stdin)))))
    except UserError as mistake:
        sys.exit(str(mistake))
