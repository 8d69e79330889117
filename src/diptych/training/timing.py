"""When a run draws samples, saves and ends. A run with ``--time`` revises its plan."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from diptych.errors import os_problem
from diptych.monitoring.progress import Display
from diptych.revisions import Revision, append_revision
from diptych.training.plan.plan import Plan
from diptych.training.state import State


class Timing:
    """The points of a run at which more than an update happens. If a point depends on time, the main rank decides."""

    def __init__(self, plan: Plan, state: State, display: Display) -> None:
        assert plan.length is not None
        self.run, self.length, self.budget, self.output = plan.run, plan.length, plan.budget, plan.config.output
        self.state, self.display = state, display
        self.clock = time.monotonic if plan.budget is None else plan.budget.clock
        self.saved = self.clock()

    @property
    def is_save_due(self) -> bool:
        """Whether the main rank wants a checkpoint."""
        interval = self.budget.save_seconds if self.budget else 60 * self.output.save_minutes
        return self.state.world.is_main and self.clock() - self.saved >= interval

    @property
    def is_revision_due(self) -> bool:
        """Whether the main rank wants to revise the plan."""
        return self.state.world.is_main and self.budget is not None and self.budget.is_due

    def has_passed_sample(self, before: int) -> bool:
        """Whether a sampling point lies after ``before`` images per domain, up to now."""
        number = self.output.num_samples or 0
        return self.length.num_passed(number, before) < self.length.num_passed(number, self.state.pictures)

    @property
    def has_time_to_sample(self) -> bool:
        """For the main rank. Whether another sample grid before the end leaves enough time for training."""
        return self.budget is None or self.budget.has_time_to_sample

    def restart(self) -> None:
        """Measures the speed of updates from here on."""
        if self.budget:
            self.budget.restart(self.state.pictures)

    def saving(self) -> AbstractContextManager[None]:
        """Context of writing a checkpoint."""
        self.saved = self.clock()
        return self.budget.saving() if self.budget else nullcontext()

    def sampling(self, scoring_seconds: Callable[[], float]) -> AbstractContextManager[None]:
        """Context of a sample grid, its alarms and its score; as ``Budget.sampling``."""
        return self.budget.sampling(scoring_seconds) if self.budget else nullcontext()

    def revise(self) -> None:
        """Revises and records the number of images that fit into the time. A collective."""
        self.state.world.all_gather(self.state.meters.synchronize)  # waits for the device
        revision = self.state.world.on_main(self._recorded_revision)
        if revision is not None:
            self.length.revise(revision)
            self.display.revise(revision.total)

    def _recorded_revision(self) -> Revision | None:
        """A revision; None if it cannot be recorded, since a resumed run would not know it."""
        assert self.budget is not None
        revision = self.budget.revise(self.length, self.state.pictures)
        try:
            append_revision(self.run.revisions_file, revision)
        except OSError as error:
            self.display.note(f"the plan cannot be revised yet: {os_problem(error)}")
            return None
        return revision

    def record(self) -> None:
        """For the main rank. Records the plan and how long the run has trained, when it starts, stops or ends.

        Raises:
            OSError: the disk is full or read-only.
        """
        if self.budget:
            now = self.length.revisions[-1]._replace(seconds=self.budget.used, pace=self.budget.pace)
            append_revision(self.run.revisions_file, now)
