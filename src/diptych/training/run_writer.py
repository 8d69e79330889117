"""What a run writes while it trains: metrics, sample grids, checkpoints and the model."""

import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from diptych.atomic import atomic_write
from diptych.data.encoding import Array, Encoding
from diptych.errors import RunError
from diptych.inference.forward import inference_forwards
from diptych.model import ModelCard, save_model, versions
from diptych.monitoring.grid import Block, draw_grid
from diptych.monitoring.in_training_evaluation import InTrainingEvaluation
from diptych.monitoring.meters import GRADIENT, mean_of
from diptych.monitoring.monitor import Monitor
from diptych.monitoring.progress import Display
from diptych.monitoring.samples import sample_blocks, sample_pictures
from diptych.monitoring.tensorboard import TensorBoard
from diptych.monitoring.throughput import Throughput
from diptych.pair import Pair
from diptych.registry import kind_of
from diptych.report.report import write_report
from diptych.training.checkpoint import RankState, gather_rank_states, save_checkpoint
from diptych.training.plan.plan import Plan
from diptych.training.state import State


class RunWriter:
    """The run folder's files, written from ``state``: by the first process, to which the others give what they have."""

    shown: Pair[list[Array]]
    health: Monitor
    scoring: InTrainingEvaluation
    tensorboard: TensorBoard | None

    def __init__(self, plan: Plan, state: State, display: Display) -> None:
        self.plan, self.state, self.run, self.display, self.world = plan, state, plan.run, display, plan.world
        self.throughput = Throughput(state.pictures)
        self.unlogged: list[dict[str, Any]] = []
        self.blocks: list[Block] = []
        """The newest samples."""

    def open(self) -> None:
        """Reads what is shown and scored, in the first process; begins what a new run writes."""
        plan, state = self.plan, self.state
        data, stride = plan.config.data, plan.config.generator.stride
        self.shown = plan.split.shown.map(
            lambda domain, channels: sample_pictures(domain, data, channels=channels, stride=stride), plan.channels
        )
        self.health = Monitor(plan, state, self.shown, self.display)
        self.tensorboard = TensorBoard(self.run.tensorboard, state.pictures) if plan.config.output.tensorboard else None
        self.scoring = InTrainingEvaluation(plan, state, self.display)
        self._write_config()
        if state.pictures == 0:
            with state.device.force_eager():
                self._draw()

    def _write_config(self) -> None:
        """Writes ``config.json``."""
        pictures = {
            domain.name: {"folder": str(domain.folder), "number": len(domain), "sha256": domain.sha256}
            for domain in self.plan.split.train
        }
        held = {domain.name: [file.as_posix() for file in domain.files] for domain in self.plan.split.test}
        about = {
            "versions": versions(),
            "total": self.plan.total,
            "processes": self.world.size,
            "pictures": pictures,
            "held_out": held,
        }
        parent = str(self.plan.parent) if self.plan.parent else None
        before = self.run.about() if self.run.exists else {}
        begun = {"begun": now(), "parent": parent, "command": command()}
        kept = {key: before.get(key, value) for key, value in begun.items()}
        self.run.write_config(self.plan.config, kept | about)

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """Around the first update, which compiles: says so, and keeps it out of the speed."""
        self.display.note("compiling in the first update, which takes a minute or two")
        begun = time.monotonic()
        yield
        self.display.note(f"compiled, and the first update made, in {time.monotonic() - begun:.0f} s")
        self.throughput.start(self.state.pictures)

    def log(self, learning_rate: float) -> None:
        """Adds a record to the metrics, with the mean of each loss since the last one over all processes.

        Raises:
            NonFiniteError: one became NaN or infinite.
        """
        means = mean_of(self.world.all_gather(self.state.window.means))
        self.state.window.clear()
        if self.world.is_main:
            self._log(learning_rate, means)

    def _log(self, learning_rate: float, means: Mapping[str, float]) -> None:
        state = self.state
        speed, waited = self.throughput.read(state.pictures)
        losses = {name: value for name, value in means.items() if not name.startswith(GRADIENT)}
        gradients = {name.removeprefix(GRADIENT): value for name, value in means.items() if name.startswith(GRADIENT)}
        record = {
            "pictures": state.pictures,
            "epoch": state.pictures / self.plan.epoch_size,
            "learning_rate": learning_rate,
            "pictures_per_second": round(speed, 3),
            "waiting_fraction": round(waited, 4),
            "losses": losses,
            "gradients": gradients,
        }
        self.health.watch(record)
        self._append(record)
        if self.tensorboard:
            self.tensorboard.log(
                state.pictures, losses | {"learning_rate": learning_rate, "pictures_per_second": speed}
            )
        self.display.show(state.pictures, speed, losses, waiting_fraction=waited)

    def _append(self, record: dict[str, Any]) -> None:
        """Adds ``record`` to the metrics; where the disk is full, together with the next one."""
        self.unlogged.append(record)
        try:
            while self.unlogged:
                self.run.log(self.unlogged[0])
                self.unlogged.pop(0)
        except OSError as error:
            self.display.note(f"metrics are kept for later: {describe(error)}")

    def sample_and_score(self) -> bool:
        """Draws samples, tells of alarms and scores, and keeps the best moment; whether scores get no better."""
        best, flat = self.world.on_main(self._sample_and_score)
        if best:
            self.save(best=True)
        return flat

    def _sample_and_score(self) -> tuple[bool, bool]:
        """Whether the score of now is the best so far, and whether scores get no better."""
        with self.state.device.force_eager():
            self._draw()
            self._examine()
            return self._score(), self.scoring.is_flat(self.plan.config.length.stop_when_flat)

    def _examine(self) -> None:
        """Takes the run's indicators, tells new alarms and logs them all."""
        if found := self.health.examine():
            alarms = [alarm.to_json() for alarm in found]
            self._append({"pictures": self.state.pictures, "health": alarms})
            self._report()

    def _draw(self) -> None:
        """Draws the sample grid of now, and writes the report."""
        networks = self.state.inference_generators()
        with inference_forwards(networks, self.state.device) as translators:
            paired = self.plan.config.method.paired
            self.blocks = sample_blocks(
                translators, self.shown, self.plan.names, self.state.device.torch_device, paired=paired
            )
        grid = draw_grid(self.blocks)
        if self.tensorboard:
            self.tensorboard.draw(self.state.pictures, grid)
        try:
            with atomic_write(self.run.samples / f"{self.state.pictures:09d}.png") as aside:
                grid.save(aside, format="png")
        except OSError as error:
            self.display.note(f"no sample grid at {self.state.pictures:,} pictures: {describe(error)}")
        self._report()

    def _score(self) -> bool:
        """Scores held-out pictures; whether they are the best so far."""
        score = self.scoring.score()
        if score is None:
            return False
        self._append({"pictures": self.state.pictures, "score": score})
        share = f"scoring takes {score['fraction_of_time']:.1%} of the time"
        self.display.note(f"score {score['value']:.4g} ({score['criterion']}; lower is better; {share})")
        return bool(score["best"])

    def note_flat(self) -> None:
        """Says that the run stops because its score no longer gets better."""
        if not self.world.is_main:
            return
        patience, best = self.plan.config.length.stop_when_flat, min(self.scoring.history)
        self.display.note(
            f"stopped at {self.state.pictures:,} pictures: {patience} scores without a better one ({best:.4g}, "
            f"{self.scoring.criterion}); the best is kept as {self.run.best_model_file}"
        )

    def _report(self) -> None:
        try:
            write_report(self.run, self.blocks or None)  # a run that goes on has drawn none yet; the model does
        except OSError as error:
            self.display.note(f"no report at {self.state.pictures:,} pictures: {describe(error)}")

    def save(self, *, last: bool = False, best: bool = False) -> None:
        """Writes a checkpoint and the model of now, perhaps as the ``best``; on a full disk, what was there stays.

        Raises:
            NonFiniteError: a loss or a weight became NaN or infinite; nothing is written.
            RunError: the disk is full, and this is the ``last`` chance or the config says to stop.
        """
        rank_states = gather_rank_states(self.state)
        self.world.on_main(lambda: self._save(rank_states, last=last, best=best))

    def _save(self, rank_states: list[RankState], *, last: bool, best: bool) -> None:
        try:
            self._write(rank_states, best=best)
            if last:
                self._report()
        except OSError as error:
            problem = f"no checkpoint at {self.state.pictures:,} pictures: {describe(error)}"
            if last or self.plan.config.output.on_full_disk == "stop":
                raise RunError(
                    problem, cure="make room and run the same command; it goes on from the last one"
                ) from None
            self.display.note(
                f"{problem}; going on, and trying again in {self.plan.config.output.save_minutes:g} minutes"
            )

    def _write(self, rank_states: list[RankState], *, best: bool) -> None:
        config, state = self.plan.config, self.state
        save_checkpoint(self.run, state, rank_states, best=best)
        card = ModelCard(
            method=kind_of(config.method),
            generator=config.generator,
            encodings=self.plan.channels.map(Encoding),
            names=self.plan.names,
            data=config.data,
            pictures=state.pictures,
            ema=bool(state.ema),
        )
        file = self.run.best_model_file if best else self.run.model_file
        save_model(file, state.inference_generators(), card)


def command() -> str:
    """What was typed to start this process."""
    program = Path(sys.argv[0])
    is_ours = program.name == "diptych" or program.parts[-2:] == ("diptych", "__main__.py")
    return shlex.join(["diptych" if is_ours else sys.argv[0], *sys.argv[1:]])


def describe(error: OSError) -> str:
    """What the operating system says of a failed write, in its own words."""
    return error.strerror or str(error)


def now() -> str:
    """The time of now in UTC, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
