"""``--time`` is kept: on a simulated clock, the machine becomes slower or faster while a run trains."""

from dataclasses import replace
from functools import partial
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

from diptych.checksummed import read_checksummed
from diptych.cli.runs import Show
from diptych.config import LengthConfig, OutputConfig
from diptych.errors import OptionError, RunError
from diptych.monitoring.progress import Silent
from diptych.revisions import Pace, Revision, append_revision, in_effect, read_revisions
from diptych.run import Run
from diptych.training.budget import Budget
from diptych.training.fit_time import fit_to_time, images_in_time
from diptych.training.loop import train
from diptych.training.plan.length import Length, parse_time
from diptych.training.plan.plan import make_plan
from diptych.training.run_writer import RunWriter
from diptych.training.schedules import factor
from diptych.training.stepper import update
from helpers.runs import TINY, losses_of, tiny

BATCH = 2
PACE = Pace(2.0, 3.0)


class Machine:
    """A clock that advances by what a run does. ``speed(fraction of the time)`` is 1 at the start."""

    def __init__(self, speed=lambda _: 1.0, *, time="40m"):
        self.speed, self.now, self.started, self.seconds = speed, 1000.0, 1000.0, parse_time(time)

    def __call__(self):
        return self.now

    def works(self, seconds):
        self.now += seconds / self.speed((self.now - self.started) / self.seconds)


class Scores:
    """Scores as ``InTrainingEvaluation`` makes them: always the first, later ones in at most a twentieth of the time."""

    def __init__(self, machine, seconds):
        self.machine, self.seconds, self.spent = machine, seconds, 0.0

    def score(self):
        if self.spent == 0 or self.spent + self.seconds <= 0.05 * (self.machine() - self.machine.started):
            begun = self.machine()
            self.machine.works(self.seconds)
            self.spent += self.machine() - begun


def simulated(machine, *, time="40m", update=1.0, sample=3.0, score=0.0, save=0.0, afterwards=0.0, revise=True):
    """A simulated run; returns the learning rate of each update and the number of images at each sample grid."""
    output, pace = OutputConfig(num_samples=20, score=score > 0), Pace(BATCH / update, sample)
    config = replace(TINY, length=LengthConfig(time=time), output=output)
    started, scores = machine(), Scores(machine, score)
    machine.works(0.02 * machine.seconds)
    elapsed = machine() - started + afterwards * sample
    total, number = images_in_time(config, pace, batch_size=BATCH, elapsed=elapsed)
    config = replace(config, output=replace(output, num_samples=number))
    length = Length([Revision(0, total // BATCH * BATCH, 20, pace, starts=True)])
    budget = Budget(config, pace, batch_size=BATCH, started=started, afterwards=afterwards, clock=machine)
    pictures, rates, samples, saved = 0, [], [], machine()
    while pictures < length.total:
        due, before = budget.is_due and revise, pictures
        rates.append(factor("linear", *length.step(pictures, BATCH), 0.5))
        machine.works(update)
        pictures += BATCH
        if before == 0:
            budget.restart(pictures)
        passed = length.num_passed(number, before) < length.num_passed(number, pictures)
        if due and pictures < length.total:
            length.revise(budget.revise(length, pictures))
        if pictures >= length.total or (passed and budget.has_time_to_sample):
            samples.append(pictures)
            with budget.sampling(lambda: scores.spent):
                machine.works(sample)
                if score:
                    scores.score()
        if machine() - saved >= budget.save_seconds or pictures >= length.total:
            with budget.saving():
                machine.works(save)
            saved = machine()
    machine.works(afterwards * sample)
    return rates, samples


def changed(at, speed):
    return lambda now: 1.0 if now < at else speed


SPEEDS = {
    "steady": changed(1.0, 1.0),
    "half as fast from half-way": changed(0.5, 0.5),
    "twice as fast from half-way": changed(0.5, 2.0),
    "half as fast from 95 %": changed(0.95, 0.5),
    "twice as fast from 95 %": changed(0.95, 2.0),
    "half as fast in every second twentieth": lambda now: 1.0 if int(20 * now) % 2 else 0.5,
    "a tenth as fast in the middle": lambda now: 0.1 if 0.4 < now < 0.6 else 1.0,
}
COSTS = {
    "updates alone": {"sample": 0.01},
    "samples": {"sample": 10.0},
    "scores and checkpoints": {"score": 8.0, "save": 10.0},
    "slow updates": {"update": 20.0},
    "work afterwards": {"afterwards": 6.0, "save": 5.0},
    "a short time": {"time": "3m", "update": 0.5, "sample": 1.0, "score": 2.0, "save": 1.0},
}


@pytest.mark.parametrize("costs", COSTS.values(), ids=COSTS)
@pytest.mark.parametrize("speed", SPEEDS.values(), ids=SPEEDS)
def test_a_run_ends_within_5_percent_of_its_time_and_its_learning_rate_only_falls(speed, costs):
    machine = Machine(speed, time=costs.get("time", "40m"))
    rates, samples = simulated(machine, **costs)
    assert machine() - machine.started == pytest.approx(machine.seconds, rel=0.05)
    assert all(later <= earlier for earlier, later in pairwise(rates))
    assert rates[0] == 1
    assert 0 < rates[-1] < 0.1
    assert 1 <= len(samples) <= 21


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_without_revisions_the_simulated_run_would_miss_its_time(speed):
    machine = Machine(changed(0.5, speed))
    simulated(machine, revise=False)
    assert machine() - machine.started != pytest.approx(machine.seconds, rel=0.2)


def test_samples_are_spread_over_the_run_however_it_is_revised():
    _, samples = simulated(Machine(SPEEDS["half as fast in every second twentieth"]))
    assert len(samples) == 20
    distances = [later - earlier for earlier, later in pairwise(samples)]
    assert max(distances) < 2.2 * min(distances)


def revision(pictures, total, **options):
    return Revision(pictures, total, 1.5 * pictures, PACE, **options)


@pytest.mark.parametrize("unit", [1, 2, 7, 100])
def test_without_revisions_a_step_is_a_whole_number_of_units(unit):
    length = Length.fixed(701)
    assert [length.step(pictures, unit) for pictures in range(701)] == [
        (pictures // unit, -(-701 // unit)) for pictures in range(701)
    ]


def test_a_revision_spreads_the_remaining_steps_over_the_remaining_pictures():
    length = Length([revision(0, 100, starts=True)])
    length.revise(revision(60, 80))  # 40 steps in 20 pictures
    assert [length.step(pictures, 1)[0] for pictures in (60, 70, 80)] == [60, 80, 100]
    length.revise(revision(70, 110))  # 20 steps in 40 pictures
    assert [length.step(pictures, 1)[0] for pictures in (70, 80, 90, 110)] == [80, 85, 90, 100]
    assert length.step(90, 10) == (9, 10)  # the same in tens: 8 + 2 × 2 / 4
    assert length.total == 110


def test_points_are_spread_evenly_over_the_steps():
    length = Length([revision(0, 100, starts=True)])
    assert [length.num_passed(5, pictures) for pictures in (0, 19, 20, 40, 60)] == [0, 0, 1, 2, 3]
    length.revise(revision(60, 80))
    assert [length.num_passed(5, pictures) for pictures in (60, 69, 70, 79, 80)] == [3, 3, 4, 4, 5]


def test_a_revision_of_lost_work_is_replaced_and_a_longer_run_starts_again(tmp_path):
    lines = [revision(0, 100, starts=True), revision(30, 90), revision(50, 95), revision(40, 80), revision(60, 70)]
    for line in lines:
        append_revision(tmp_path / "revisions.jsonl", line)
    with (tmp_path / "revisions.jsonl").open("a") as file:
        file.write('{"pictures": 70, "tot')  # a power failure
    read = read_revisions(tmp_path / "revisions.jsonl")
    assert read == lines
    append_revision(tmp_path / "revisions.jsonl", lines[0])
    assert read_revisions(tmp_path / "revisions.jsonl") == [*lines, lines[0]]
    assert in_effect(read, 60) == [lines[0], lines[1], lines[3], lines[4]]
    assert in_effect(read, 45) == [lines[0], lines[1], lines[3]]
    longer = revision(70, 300, starts=True)
    assert in_effect([*read, longer], 70) == [longer]
    assert in_effect([*read, longer], 69) == in_effect(read, 69)
    assert read_revisions(tmp_path / "none.jsonl") == []


@pytest.fixture
def machine(monkeypatch):
    """A clock for real runs: an update takes 10 s, a sample grid 4 s, twice as fast after half of 10 minutes."""
    clock = Machine(changed(0.5, 2.0), time="10m")
    clock.updates = 0

    def timed_update(*arguments, **options):
        clock.works(10)
        clock.updates += 1
        return update(*arguments, **options)

    def timed_sample(writer):
        clock.works(4)
        return sample(writer)

    sample = RunWriter._sample_and_score
    monkeypatch.setattr("diptych.training.loop.update", timed_update)
    monkeypatch.setattr(RunWriter, "_sample_and_score", timed_sample)
    monkeypatch.setattr("diptych.training.loop.LOG_EVERY", 10)
    monkeypatch.setattr(
        "diptych.training.loop.fit_to_time", partial(fit_to_time, clock=clock, measure=lambda *_: Pace(0.2, 4.0))
    )
    return clock


def timed(root, time="10m"):
    return tiny(root, length=LengthConfig(time=time), output=OutputConfig(num_samples=4, score=False))


class Killed(BaseException):
    """Ends training at once, without saving."""


class KillAt(Silent):
    def __init__(self, pictures):
        self.pictures = pictures

    def advance(self, pictures):
        if pictures >= self.pictures:
            raise Killed


class Recorded(Budget):
    """A budget that repeats recorded revisions."""

    def __init__(self, revisions, machine, config):
        super().__init__(config, PACE, batch_size=BATCH, clock=machine)
        self.recorded, self.machine = {each.pictures: each for each in revisions}, machine

    @property
    def is_due(self):
        return BATCH * (self.machine.updates + 1) in self.recorded

    def revise(self, length, pictures):
        return self.recorded[pictures]


@pytest.mark.slow
def test_a_run_that_is_killed_and_resumed_keeps_its_time_and_equals_one_with_the_same_revisions(
    squares, tmp_path, machine, monkeypatch
):
    config, folder = timed(squares), tmp_path / "killed"
    with pytest.raises(Killed):  # after the checkpoint at a quarter of the time
        train(config, folder, display=KillAt(56), started=machine())
    lost = read_revisions(folder / "revisions.jsonl")[-1].pictures
    saved = int(Run(folder).checkpoint_files()[-1].stem)
    assert 0 < saved < lost
    run = train(config, folder, started=machine())
    assert machine() - machine.started == pytest.approx(600, rel=0.05)
    pictures = run.facts().pictures
    assert pictures == run.total() == int(run.checkpoint_files()[-1].stem)
    revisions = in_effect(read_revisions(run.revisions_file), pictures)
    assert saved in [each.pictures for each in revisions]
    assert len({each.total for each in revisions}) > 5
    time_used = f"{revisions[-1].seconds:,.0f} s of 10m"
    assert dict(Show(run.folder)._facts())["time"] == time_used
    assert "10 minutes of 10m used" in run.report_file.read_text()
    assert revisions[-1].seconds == pytest.approx(machine() - machine.started, abs=11)  # of the update that was killed

    machine.updates = 0

    def planned(plan, *_, **__):
        config = replace(plan.config, output=run.config().output)
        budget = Recorded(revisions, machine, config)
        return replace(plan, config=config, length=Length(revisions[:1]), budget=budget)

    monkeypatch.setattr("diptych.training.loop.fit_to_time", planned)
    whole = train(config, tmp_path / "whole")
    assert losses_of(whole) == losses_of(run)
    files = [each.checkpoint_file(pictures) for each in (whole, run)]
    (expected, _), (found, _) = (read_checksummed(file, "checkpoint") for file in files)
    assert found.keys() == expected.keys()
    assert [name for name in found if not torch.equal(found[name], expected[name])] == []


@pytest.mark.slow
def test_a_finished_run_is_complete_and_a_longer_time_continues_it(squares, tmp_path, machine):
    run = train(timed(squares), tmp_path / "run", started=machine())
    pictures, before = run.facts().pictures, run.revisions_file.read_bytes()
    train(timed(squares), run.folder, started=machine())
    assert run.revisions_file.read_bytes() == before
    with pytest.raises(RunError, match=r"has trained for 6\d\d s, and 5m is asked for: give a longer --time, or no"):
        train(timed(squares, "5m"), run.folder, started=machine())
    begun, used = machine(), read_revisions(run.revisions_file)[-1].seconds
    train(timed(squares, "20m"), run.folder, started=begun)
    assert machine() - begun + used == pytest.approx(1200, rel=0.05)
    revisions = in_effect(read_revisions(run.revisions_file), run.total())
    assert (revisions[0].pictures, revisions[0].starts) == (pictures, True)
    assert run.facts().pictures == run.total() > pictures
    longer = replace(timed(squares), length=LengthConfig(pictures=run.total() + 4))
    total = run.total()
    train(longer, run.folder)
    assert run.total() == run.facts().pictures == total + 4


def test_a_fork_has_its_own_time(squares, tmp_path, machine):
    parent = train(replace(timed(squares), length=LengthConfig(pictures=4)), tmp_path / "parent")
    begun = machine()
    machine.speed = changed(0.0, 1.0)
    fork = train(timed(squares), parent.folder, fork=tmp_path / "fork", started=begun)
    assert machine() - begun == pytest.approx(600, rel=0.05)
    assert in_effect(read_revisions(fork.revisions_file), fork.total())[0].pictures == 4


def test_a_run_without_a_checkpoint_and_without_time_is_refused(squares, tmp_path, machine):
    with pytest.raises(Killed):
        train(timed(squares), tmp_path / "run", display=KillAt(6), started=machine())
    append_revision(tmp_path / "run" / "revisions.jsonl", revision(0, 100)._replace(seconds=599.0))
    with pytest.raises(RunError, match="has no checkpoint, and has used its 10m: give a longer --time"):
        train(timed(squares), tmp_path / "run", started=machine())


def test_a_revision_that_cannot_be_recorded_is_not_made(squares, tmp_path, machine, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    notes, display = [], Silent()
    display.note = notes.append
    monkeypatch.setattr("diptych.training.timing.append_revision", full)
    config = timed(squares)
    plan = fit_to_time(make_plan(config, tmp_path / "run", None, Silent()), Silent(), measure=lambda *_: Pace(0.2, 4.0))
    from diptych.training.state import State
    from diptych.training.timing import Timing

    timing, total = Timing(plan, State(plan.config), display), plan.total
    timing.revise()
    assert plan.total == total
    assert notes == ["the plan cannot be revised yet: No space left on device"]


def test_a_time_and_another_length_are_refused(squares, tmp_path):
    with pytest.raises(OptionError, match="--time and --pictures are given: give one of them"):
        train(tiny(squares, length=LengthConfig(time="1h", pictures=4)), tmp_path / "run")


@pytest.mark.slow
def test_the_demo_keeps_its_time_with_everything_that_follows_training(tmp_path, machine, monkeypatch):
    from diptych.cli.demo import Demo
    from diptych.demo.show import COST

    def show(run):
        machine.works(4 * COST)
        return {}, run.picture_file

    monkeypatch.setattr("diptych.cli.demo.time", SimpleNamespace(monotonic=machine))
    monkeypatch.setattr("diptych.demo.show.score_and_draw", show)
    assert Demo(run=tmp_path / "demo", time="5m")() == 0
    assert machine() - machine.started == pytest.approx(300, rel=0.05)
