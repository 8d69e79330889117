"""Random sequences of commands on runs and their data end as a simple model predicts.

The suite tries a few sequences. By hand: ``DIPTYCH_SEQUENCES=200 pytest tests/test_run_sequences.py``.
"""

import os
import re
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from PIL import Image

from diptych.cli import parse
from diptych.config.constraints import iter_fields
from diptych.errors import UserError
from diptych.monitoring.progress import Silent
from diptych.run import Run
from diptych.training.loop import train
from helpers.squares import square

NUM_PICTURES = 4
SMALL = (
    "--load-size 36 --crop-size 32 --batch-size 2 --ema 0.999 --num-workers 0 --num-samples 0 --no-score --precision fp32 "
    "--discriminator.width 1 --discriminator.num-layers 1 --generator.width 1"
)
METHODS = {
    "cyclegan": "--pool-size 3 --generator.num-blocks 1",
    "pix2pix": "",
    "cut": "--head-width 2 --num-patches 4 --generator.num-blocks 1",
    "fastcut": "--head-width 2 --num-patches 4 --generator.num-blocks 1",
}
ALL = tuple(METHODS)
OPTIONS = [  # typed, the option, its value, the methods whose forks accept it, and those that have it
    (("--ema", "0"), "optimiser.ema", 0.0, ALL, ALL),
    (("--ema", "0.9"), "optimiser.ema", 0.9, ALL, ALL),
    (("--learning-rate", "0.001"), "optimiser.learning_rate", 0.001, ALL, ALL),
    (("--batch-size", "3"), "optimiser.batch_size", 3, ALL, ALL),
    (("--seed", "7"), "optimiser.seed", 7, ALL, ALL),
    (("--precision", "bf16"), "engine.precision", "bf16", ALL, ALL),
    (("--no-flip",), "data.flip", False, ALL, ALL),
    (("--crop-size", "16"), "data.crop_size", 16, ("cyclegan", "cut", "fastcut"), ALL),
    (("--pool-size", "1"), "method.pool_size", 1, ("cyclegan",), ("cyclegan",)),
    (("--lambda-nce", "2"), "method.lambda_nce", 2.0, ("cut", "fastcut"), ("cut", "fastcut")),
    (("--head-width", "3"), "method.head_width", 3, (), ("cut", "fastcut")),
    (("--generator.width", "2"), "generator.width", 2, (), ALL),
    (("--discriminator.width", "2"), "discriminator.width", 2, (), ALL),
    (("--channels-a", "1"), "data.channels_a", 1, (), ALL),
]
GONE = "is not a folder|does not exist"
OTHER_PICTURES = "holds other pictures|have changed since"
TOO_SHORT = "more than the .* that are asked for"
OTHER_NETWORKS = "other networks|not a multiple of 32|A has 1 channels and B 3"
RUNS, PLACES = ("r0", "r1", "r2"), ("d0", "d1", "d2")
names, places, changes = st.sampled_from(RUNS), st.sampled_from(PLACES), st.sampled_from(OPTIONS)
rarely_changes = st.one_of(*[st.none()] * 4, changes)
indices, parts = st.integers(0, NUM_PICTURES - 1), st.sampled_from(["trainA", "trainB"])
methods = st.one_of(*[st.none()] * 4, st.sampled_from(ALL))
kills = st.sampled_from([0, 0, 2, 4])
lengths = st.one_of(
    st.none(),
    st.sampled_from([2, 4, 6, 8, 12]).map(lambda number: ("--pictures", str(number), number, f"p{number}")),
    st.sampled_from([1, 2]).map(lambda number: ("--epochs", str(number), NUM_PICTURES * number, f"e{number}")),
)


@dataclass
class Expected:
    """What the model knows of a run."""

    method: str
    content: tuple[str, int]
    place: str
    options: dict[str, object]
    length: tuple[str, int]
    """A name of the length, and its pictures before rounding."""
    seen: int = 0
    """Pictures in the newest checkpoint."""
    parent: str | None = None
    start: int = field(default=0)
    """Where it began: 0, or the parent's checkpoint."""
    saves_each: bool = False

    @property
    def total(self):
        pictures, batch = self.length[1], self.options["optimiser.batch_size"]
        return pictures + (max(self.seen, self.start) - pictures) % batch


class Killed(BaseException):
    """Ends training at once, without saving."""


class KillAt(Silent):
    def __init__(self, after):
        self.after = after

    def start(self, pictures, total):
        self.at = pictures + self.after if self.after else float("inf")

    def advance(self, pictures):
        if pictures >= self.at:
            raise Killed


def write_pairs(root, shift):
    for part, start, number in (
        ("trainA", 0, NUM_PICTURES),
        ("trainB", 0, NUM_PICTURES),
        ("testA", 50, 2),
        ("testB", 50, 2),
    ):
        (root / part).mkdir(parents=True)
        for index in range(start, start + number):
            values = np.asarray(square(index, (200, 90, 20 + 60 * shift)))
            Image.fromarray(values if part[-1] == "A" else 255 - values).save(root / part / f"{index}.png")


def is_refused(outcome, reasons):
    """Whether one of ``reasons`` holds. If so, asserts that the command was refused for one that does."""
    holding = [words for words, holds in reasons.items() if holds]
    assert not holding or (outcome.startswith("refused") and re.search("|".join(holding), outcome)), (holding, outcome)
    return bool(holding)


class Sequences(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="sequences"))
        self.runs: dict[str, Expected] = {}
        self.places: dict[str, tuple[str, int]] = {"d0": ("x", 0), "d1": ("y", 0)}
        write_pairs(self.folder / "d0", 0)
        write_pairs(self.folder / "d1", 1)

    def teardown(self):
        shutil.rmtree(self.folder)

    def path(self, name):
        return str(self.folder / name)

    def train(self, words, *, kill=0):
        """Whether the command was accepted, and what it said."""
        try:
            command = parse(["train", *words])
            train(command.config(), command.run, fork=command.fork, display=KillAt(kill))
        except Killed:
            return "killed"
        except UserError as error:
            assert "\n" not in str(error)
            assert error.cure
            return f"refused: {error}"
        return "trained"

    def goes_on(self, name, length, kill, *, saves_each):
        """The model of a run that trains; whether it is killed."""
        run = self.runs[name]
        run.saves_each = saves_each
        run.length = length or run.length
        begin, batch = max(run.seen, run.start), run.options["optimiser.batch_size"]
        end = begin + -(-max(kill, 1) // batch) * batch
        if not kill or end > run.total or begin >= run.total:
            run.seen = max(begin, run.total) if begin < run.total or run.seen else run.seen
            return "trained"
        reached = end - batch
        if saves_each and reached > begin:
            run.seen = reached
        return "killed"

    def existing(self, index):
        """The name of a run."""
        return list(self.runs)[index % len(self.runs)]

    def is_too_short(self, run, length):
        """Whether ``length`` is less than what ``run`` has seen."""
        return length not in (None, run.length) and max(run.seen, run.start) > replace(run, length=length).total

    def is_orphan(self, run, name):
        """Whether a fork without a checkpoint has lost that of its parent, which keeps only two."""
        parent = Run(self.folder / name).about()["parent"] if run.parent and not run.seen else None
        return parent is not None and not Path(parent).exists()

    def resumed(self, name, place, length, outcome, *, others, kill, saves):
        """Checks the outcome of a command that goes on with the run ``name``; ``others`` are reasons to refuse it."""
        run, found = self.runs[name], self.places.get(place)
        reasons = others | {
            GONE: found is None,
            OTHER_PICTURES: found is not None and found != run.content,
            TOO_SHORT: self.is_too_short(run, length),
        }
        if not is_refused(outcome, reasons):
            run.place = place
            assert outcome == self.goes_on(name, length, kill, saves_each=saves)

    @initialize(method=st.sampled_from(ALL), kill=st.sampled_from([0, 2]))
    def first_run(self, method, kill):
        self.train_on("r0", "d0", method, None, None, kill, True)

    @rule(
        name=names, place=places, method=methods, length=lengths, change=rarely_changes, kill=kills, saves=st.booleans()
    )
    def train_on(self, name, place, method, length, change, kill, saves):
        known = self.runs.get(name)
        length = length or ("--pictures", "4", 4, "p4")
        method = method or (known.method if known else "cyclegan")
        words = ["--root", self.path(place), "--run", self.path(name), "--method", method, *length[:2]]
        words += ["--save-minutes", "0" if saves else "10", *(change[0] if change else ())]
        if known is None:
            words = [*SMALL.split(), *METHODS[method].split(), *words]
        is_orphan = known is not None and self.is_orphan(known, name)
        differs = known and (method != known.method or (change and self.stored(name, change[1]) != change[2]))
        outcome, wanted = self.train(words, kill=kill), (length[3], length[2])
        others = {"has no option": change is not None and method not in change[4]}
        if known is not None:
            others |= {"started with other options": bool(differs), "is gone": is_orphan}
            self.resumed(name, place, wanted, outcome, others=others, kill=kill, saves=saves)
            return
        key = change[1] if change else ""
        others |= {
            GONE: place not in self.places,
            "not a multiple of 32": (key, method) == ("data.crop_size", "pix2pix"),
            "A has 1 channels and B 3": key == "data.channels_a" and method in ("cut", "fastcut"),
        }
        if not is_refused(outcome, others):
            options = {"optimiser.ema": 0.999, "optimiser.batch_size": 2} | ({key: change[2]} if change else {})
            self.runs[name] = Expected(method, self.places[place], place, options, wanted)
            assert outcome == self.goes_on(name, wanted, kill, saves_each=saves)

    @rule(name=names, length=lengths, kill=kills)
    def resume(self, name, length, kill):
        run = self.runs.get(name)
        others = {"is gone": run is not None and self.is_orphan(run, name)}
        outcome = self.train(["--run", self.path(name), *(length[:2] if length else ())], kill=kill)
        wanted = (length[3], length[2]) if length else None
        if not is_refused(outcome, {"is not a run": run is None}):
            self.resumed(name, run.place, wanted, outcome, others=others, kill=kill, saves=run.saves_each)

    @rule(name=names, fork=names, length=lengths, change=changes, kill=st.sampled_from([0, 0, 2]))
    def fork(self, name, fork, length, change, kill):
        run, known = self.runs.get(name), self.runs.get(fork)
        is_orphan = known is not None and self.is_orphan(known, fork)
        words = ["--run", self.path(name), "--fork", self.path(fork), *change[0], *(length[:2] if length else ())]
        outcome, wanted = self.train(words, kill=kill), (length[3], length[2]) if length else None
        method = known.method if known else run and run.method
        if is_refused(outcome, {"is not a run": run is None, "has no option": method not in change[4]}):
            return
        if known is not None:
            others = {
                "is a run already": known.parent != name,
                "started with other options": self.stored(fork, change[1]) != change[2],
                "is gone": is_orphan,
            }
            self.resumed(fork, run.place, wanted, outcome, others=others, kill=kill, saves=known.saves_each)
            return
        new = replace(run, options=run.options | {change[1]: change[2]}, length=wanted or run.length)
        new = replace(new, seen=0, start=run.seen, parent=name, content=self.places.get(run.place))
        is_same = self.stored(name, change[1]) == change[2]
        reasons = {
            GONE: new.content is None,
            OTHER_NETWORKS: run.method not in change[3] and not is_same,
            "has no checkpoint": not run.seen,
            "would end at": run.seen >= new.total,
        }
        if not is_refused(outcome, reasons):
            self.runs[fork] = new
            assert outcome == self.goes_on(fork, None, kill, saves_each=run.saves_each)

    @rule(place=places, to=places)
    def move_data(self, place, to):
        if place in self.places and to not in self.places:
            (self.folder / place).rename(self.folder / to)
            self.places[to] = self.places.pop(place)

    @rule(place=places, index=indices, part=parts, back=st.booleans())
    def change_a_picture(self, place, index, part, back):
        if place not in self.places:
            return
        which, version = self.places[place]
        if back:
            shutil.rmtree(self.folder / place)
            write_pairs(self.folder / place, "xy".index(which))
            self.places[place] = (which, 0)
        elif version == 0:
            Image.new("RGB", (32, 32), (index, 9, 9)).save(self.folder / place / part / f"{index}.png")
            self.places[place] = (which, 1 + index + NUM_PICTURES * (part == "trainB"))

    # These two faults need several steps in a row, which single rules seldom make.

    @rule(index=indices, more=st.integers(1, 2))
    def lengthen(self, index, more):
        name = self.existing(index)
        number = self.runs[name].total + more
        self.resume(name, ("--pictures", str(number), number, f"p{number}"), 0)

    @rule(index=indices, part=parts)
    def resume_on_a_changed_picture_and_put_it_back(self, index, part):
        name = self.existing(index)
        place = self.runs[name].place
        self.change_a_picture(place, index, part, back=False)
        self.resume(name, None, 0)
        self.change_a_picture(place, index, part, back=True)

    @rule(name=names)
    def translate(self, name):
        source, output = next(iter(self.places)), self.folder / "translated"
        words = ["translate", self.path(name), str(self.folder / source / "testA"), str(output), "--device", "cpu"]
        run = self.runs.get(name)
        if run is not None and run.seen > run.start:
            assert parse(words)() == 0
            assert len(list(output.glob("*.png"))) == 2
            shutil.rmtree(output)
        else:
            with pytest.raises(UserError):
                parse(words)()

    def stored(self, name, option):
        return {key: value for key, value, _ in iter_fields(Run(self.folder / name).config())}.get(option)

    @invariant()
    def runs_are_as_predicted(self):
        for name, run in self.runs.items():
            found = Run(self.folder / name)
            about = found.about()
            assert about["total"] == run.total, (name, run)
            reached = [int(file.stem) for file in found.checkpoint_files()]
            assert max(reached, default=0) == run.seen, (name, run)
            assert all(self.stored(name, option) == value for option, value in run.options.items())
            assert Path(about["config"]["source"]["root"]).name == run.place
            assert (Path(about["parent"]).parents[1].name if about["parent"] else None) == run.parent
            assert found.facts().total == run.total


@pytest.mark.slow
def test_random_sequences_of_commands_end_as_a_model_predicts():
    number = int(os.environ.get("DIPTYCH_SEQUENCES", "18"))
    run_state_machine_as_test(
        Sequences,
        settings=settings(
            max_examples=number, stateful_step_count=10, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
