"""Writes the run folder during training: config, metrics, sample grids, report, checkpoints and models."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial

from diptych.atomic import atomic_write
from diptych.data.encoding import encodings_of
from diptych.errors import RunError, os_cure, os_problem
from diptych.inference.forward import Forward, inference_forwards
from diptych.model import CompressedFrom, ModelCard, save_model
from diptych.monitoring.context import RunContext
from diptych.monitoring.grid import Block, draw_grid
from diptych.monitoring.meters import GRADIENT, mean_over_ranks
from diptych.monitoring.metrics_log import MetricsLog
from diptych.monitoring.observer import Observer
from diptych.monitoring.progress import Display
from diptych.monitoring.tensorboard import TensorBoard
from diptych.monitoring.throughput import Throughput
from diptych.pair import Direction, DomainName
from diptych.registry import kind_of
from diptych.report.report import write_report
from diptych.training.checkpoint import RankState, gather_rank_states, save_checkpoint
from diptych.training.config_file import write_config
from diptych.training.plan.plan import Plan
from diptych.training.state import State
from diptych.training.stepper import refuse_endless_overflow
from diptych.training.timing import Timing


class RunWriter:
    """Writes the run folder. ``log``, ``sample_and_score`` and ``save`` are collectives; only the main rank writes."""

    def __init__(self, plan: Plan, state: State, display: Display) -> None:
        self.plan, self.state, self.run, self.display = plan, state, plan.run, display
        self.timing = Timing(plan, state, display)
        self.throughput = Throughput(state.pictures)
        self.metrics = MetricsLog(plan.run, display)
        self.blocks: list[Block] = []
        """The newest samples; none yet when a run resumes."""

    @cached_property
    def observer(self) -> Observer:
        """For the main rank. Created at first use: it reads the held-out pictures and loads a feature network."""
        return Observer(context_of(self.plan, self.state), self.display)

    @cached_property
    def tensorboard(self) -> TensorBoard | None:
        enabled = self.plan.config.output.tensorboard
        return TensorBoard(self.run.tensorboard, self.state.pictures) if enabled else None

    def open(self) -> None:
        """For the main rank. Writes ``config.json``, the plan of a run with a time, and the first samples of a new run.

        Raises:
            PictureError: a picture for samples or scores cannot be read.
            OSError: the disk is full or read-only.
        """
        observer = self.observer
        self.timing.record()
        write_config(self.plan)
        if self.state.pictures == 0:
            with self._forwards() as (generators, _):
                self._write_samples(observer.sample(generators))

    @contextmanager
    def first_update(self) -> Iterator[None]:
        """Context of the first update. If it compiles, reports the time. Leaves it out of the measured speed."""
        compiles, started = self.plan.config.engine.compile, time.monotonic()
        if compiles:
            self.display.note("compiling in the first update, which takes a minute or two")
        yield
        if compiles:
            self.display.note(f"compiled in {time.monotonic() - started:.0f} s, the first update included")
            self.throughput.restart(self.state.pictures)
        self.timing.restart()

    @contextmanager
    def _forwards(self) -> Iterator[tuple[dict[Direction, Forward], dict[DomainName, Forward]]]:
        """The generators by direction and the discriminators by domain for inference, without compilation."""
        state, device = self.state, self.state.device
        with (
            device.force_eager(),
            state.execution.threads(),
            inference_forwards(state.inference_generators(), device) as generators,
            inference_forwards(state.method.discriminators_by_domain(), device) as discriminators,
        ):
            yield generators, discriminators

    def log(self, learning_rate: float) -> None:
        """Adds a record to the metrics: each loss is the mean since the last record, over all ranks.

        Raises:
            NonFiniteError: a loss became NaN or infinite, or all gradients did in fp16.
        """
        means = mean_over_ranks(self.state.world.all_gather(self._means))
        self.state.meters.clear()
        if self.state.world.is_main:
            self._log(learning_rate, means)

    def _means(self) -> dict[str, float]:
        refuse_endless_overflow(self.state)
        return self.state.meters.means()

    def _log(self, learning_rate: float, means: Mapping[str, float]) -> None:
        pictures = self.state.pictures
        speed, waiting_fraction = self.throughput.read(pictures)
        losses = {name: value for name, value in means.items() if not name.startswith(GRADIENT)}
        gradients = {name.removeprefix(GRADIENT): value for name, value in means.items() if name.startswith(GRADIENT)}
        record = {
            "pictures": pictures,
            "epoch": pictures / self.plan.epoch_size,
            "learning_rate": learning_rate,
            "pictures_per_second": round(speed, 3),
            "waiting_fraction": round(waiting_fraction, 4),
            "losses": losses,
            "gradients": gradients,
        }
        self.observer.monitor.watch(record)
        self.metrics.append(record)
        if self.tensorboard:
            self.tensorboard.log(pictures, losses | {"learning_rate": learning_rate, "pictures_per_second": speed})
        self.display.show(pictures, speed, losses, waiting_fraction=waiting_fraction)

    def sample_and_score(self, *, last: bool = False) -> bool:
        """Writes samples, alarms, a score and the best model. Skips them if there is no time, except the ``last`` ones.
        Returns whether the last ``patience`` scores are no better than before."""
        if not (last or self.state.world.on_main(lambda: self.timing.has_time_to_sample)):
            return False
        with self.timing.sampling(self._scoring_seconds):
            is_best, has_plateaued = self.state.world.on_main(self._sample_and_score)
            if is_best:
                self._save_on_main(best=True)
        return has_plateaued

    def _scoring_seconds(self) -> float:
        return self.observer.evaluation.spent if self.state.world.is_main else 0.0

    def _sample_and_score(self) -> tuple[bool, bool]:
        pictures, evaluation = self.state.pictures, self.observer.evaluation
        with self._forwards() as (generators, discriminators):
            blocks, alarms, score = self.observer.observe(generators, discriminators, pictures, self.plan.total)
        if alarms:
            self.metrics.append({"pictures": pictures, "alarms": [alarm.to_json() for alarm in alarms]})
        if score:
            self.metrics.append({"pictures": pictures, "score": score})
            cost = f"scoring takes {score['fraction_of_time']:.1%} of the time"
            self.display.note(f"score {score['value']:.4g} ({score['criterion']}; lower is better; {cost})")
        self._write_samples(blocks)
        return bool(score and score["best"]), evaluation.has_plateaued(self.plan.config.length.patience)

    def _write_samples(self, blocks: list[Block]) -> None:
        """Writes the sample grid and the report."""
        self.blocks, grid, pictures = blocks, draw_grid(blocks), self.state.pictures
        if self.tensorboard:
            self.tensorboard.draw(pictures, grid)
        try:
            with atomic_write(self.run.samples / f"{pictures:09d}.png") as temporary:
                grid.save(temporary, format="png")
        except OSError as error:
            self.display.note(f"no sample grid at {pictures:,} pictures: {os_problem(error)}")
        self._write_report()

    def _write_report(self) -> None:
        try:
            write_report(self.run, self.blocks or None)
        except OSError as error:
            self.display.note(f"no report at {self.state.pictures:,} pictures: {os_problem(error)}")

    def report_early_stop(self) -> None:
        """Reports that the run stops because its score no longer improves."""
        if self.state.world.is_main:
            patience, evaluation = self.plan.config.length.patience, self.observer.evaluation
            self.display.note(
                f"stopped at {self.state.pictures:,} pictures: the last {patience} scores are no better than "
                f"{min(evaluation.history):.4g} ({evaluation.criterion}); the best model is {self.run.best_model_file}"
            )

    def save(self, *, last: bool = False) -> None:
        """Writes a checkpoint and the model. If the disk is full, older files stay.

        Raises:
            NonFiniteError: a loss or a weight became NaN or infinite; nothing is written.
            RunError: the disk is full, and this is the ``last`` checkpoint or ``on_full_disk`` is "stop".
        """
        with self.timing.saving():
            self._save_on_main(last=last)

    def _save_on_main(self, *, last: bool = False, best: bool = False) -> None:
        rank_states = gather_rank_states(self.state)
        self.state.world.on_main(partial(self._save, rank_states, last=last, best=best))

    def _save(self, rank_states: list[RankState], *, last: bool, best: bool) -> None:
        output = self.plan.config.output
        try:
            save_checkpoint(self.run, self.state, rank_states, best=best)
            file = self.run.best_model_file if best else self.run.model_file
            save_model(file, self.state.inference_generators(), card_of(self.plan, self.state))
            if last:
                self.timing.record()
                self._write_report()
        except OSError as error:
            problem = f"no checkpoint at {self.state.pictures:,} pictures: {os_problem(error)}"
            if last or output.on_full_disk == "stop":
                cure = f"{os_cure(error)} and run the same command: it resumes from the last checkpoint"
                raise RunError(problem, cure=cure) from None
            self.display.note(f"{problem}; training continues, and tries again in {output.save_minutes:g} minutes")


def context_of(plan: Plan, state: State) -> RunContext:
    """The run of ``plan`` as monitoring sees it."""
    return RunContext(
        config=plan.config,
        run=plan.run,
        names=plan.names,
        split=plan.split,
        device=state.device.torch_device,
    )


def card_of(plan: Plan, state: State) -> ModelCard:
    """The description in the model file."""
    return ModelCard(
        method=kind_of(plan.config.method),
        generator=plan.config.generator,
        encodings=encodings_of(plan.config.data),
        names=plan.names,
        data=plan.config.data,
        pictures=state.pictures,
        ema=bool(state.ema),
        compressed_from=CompressedFrom.of(plan.config.method),
    )
