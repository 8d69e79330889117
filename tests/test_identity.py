"""A run knows its data: other pictures under the same names are refused, and moved ones are found again."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from diptych.cli import parse
from diptych.config import LengthConfig, OutputConfig, SourceConfig
from diptych.data.files import by_hash
from diptych.data.identity import Identity, fingerprints, is_same
from diptych.errors import PictureError, RunError
from diptych.evaluation.eval_set import find_pictures_for
from diptych.inference.translator import Translator
from diptych.model import load_model
from diptych.monitoring.progress import Silent
from diptych.report.report import translate_samples
from diptych.run import Run
from diptych.training.loop import train
from diptych.training.plan.plan import make_plan
from helpers.processes import run_python
from helpers.runs import PIX2PIX, SMALL, tiny
from helpers.squares import make_squares

SHORT = {"length": LengthConfig(pictures=4), "output": OutputConfig(num_samples=0, score=False)}
LONGER = {"length": LengthConfig(pictures=8)}


class Listener(Silent):
    """Keeps what is said."""

    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)


def repaint(file):
    """Other pixels under the same name, of the same size in bytes."""
    before = file.stat().st_size
    file.write_bytes(bytes([*file.read_bytes()[:-20], *os.urandom(8), *file.read_bytes()[-12:]]))
    assert file.stat().st_size == before


@pytest.fixture
def trained(tmp_path):
    """Data, the options and a short run on it."""
    config = tiny(make_squares(tmp_path / "data", train=5, test=2), **SHORT)
    return tmp_path / "data", config, train(config, tmp_path / "run")


def resume(config, run, display=None):
    """The plan with which ``run`` would go on."""
    return make_plan(replace(config, **LONGER), run.folder, None, display or Listener())


def test_two_data_sets_of_the_same_names_are_not_mixed(tmp_path, monkeypatch):
    for which in ("one", "two"):
        make_squares(tmp_path / which / "dataset", train=5)
    for file in (tmp_path / "two" / "dataset" / "trainB").iterdir():
        Image.fromarray(255 - np.asarray(Image.open(file))).save(file)
    monkeypatch.chdir(tmp_path)
    one, two = (tiny(Path(which) / "dataset", **SHORT) for which in ("one", "two"))
    first = train(one)
    before = (first.folder / "config.json").read_bytes()
    with pytest.raises(RunError) as refused:
        train(two)
    assert refused.value.problem == (
        f"runs/dataset was trained on {tmp_path}/one/dataset/trainB, and {tmp_path}/two/dataset/trainB holds "
        "other pictures (5 replaced (1000.png, 1001.png, 1002.png, …))"
    )
    assert refused.value.cure.startswith("give --run NEW_RUN")
    assert (first.folder / "config.json").read_bytes() == before
    assert train(two, Path("runs/other")).folder == Path("runs/other")


def test_moved_pictures_go_on_with_one_line(trained, tmp_path):
    data, config, run = trained
    data.rename(tmp_path / "elsewhere")
    display = Listener()
    longer = replace(config, source=SourceConfig(root=tmp_path / "elsewhere"), **LONGER)
    train(longer, run.folder, display=display)
    moved = [line for line in display.said if "have moved" in line]
    names = ("A", "trainA"), ("B", "trainB")
    assert moved == [
        f"the pictures of {name} have moved from {data}/{folder} to {tmp_path}/elsewhere/{folder}"
        for name, folder in names
    ]
    again = Listener()
    resume(longer, run, again)
    assert not any("have moved" in line for line in again.said)
    assert Run(run.folder).config().source.root == tmp_path / "elsewhere"


def test_a_run_and_its_pictures_may_move_together(tmp_path):
    make_squares(tmp_path / "project/data", train=5, test=2)
    train(tiny(tmp_path / "project/data", **SHORT), tmp_path / "project/runs/first")
    (tmp_path / "project").rename(tmp_path / "moved")
    run = Run(tmp_path / "moved/runs/first")
    assert run.config().source.root == tmp_path / "moved/data"
    assert len(run.split().test.a) == 2
    assert parse(["train", "--run", str(run.folder)]).config().source.root == tmp_path / "moved/data"
    assert resume(run.config(), run).total == 8


@pytest.mark.slow
def test_a_run_goes_on_from_another_working_directory(tmp_path):
    make_squares(tmp_path / "data", train=5)
    (tmp_path / "elsewhere").mkdir()
    options = f"{SMALL} --discriminator.num-layers 1 --num-samples 0".split()
    first = ["-m", "diptych", "train", "data/trainA", "data/trainB", "--run", "run", *options, "--pictures", "2"]
    run_python(first, cwd=tmp_path, check=True)
    for again in (["--run", "../run"], ["../data/trainA", "../data/trainB", "--run", "../run"]):
        done = run_python(["-m", "diptych", "train", *again, "--pictures", "4"], cwd=tmp_path / "elsewhere", check=True)
        assert "moved" not in done.stderr
    assert Run(tmp_path / "run").about()["relative"] == {"a": "../data/trainA", "b": "../data/trainB"}


@pytest.mark.parametrize("part", ["trainA", "trainB", "testA", "testB"])
@pytest.mark.parametrize("change", ["replaced", "missing", "new"])
def test_any_change_of_the_pictures_is_noticed(trained, part, change):
    data, config, run = trained
    file = sorted((data / part).iterdir())[0]
    if change == "replaced":
        repaint(file)
    elif change == "missing":
        file.unlink()
    else:
        file = shutil.copy(file, file.with_name("added.png"))
    with pytest.raises(RunError) as refused:
        resume(config, run)
    name = file.name if part.startswith("train") else f"test: {file.name}"
    assert f"have changed since the run was started (1 {change} ({name}))" in refused.value.problem
    assert str(data / f"train{part[-1]}") in refused.value.problem
    display = Listener()
    make_plan(replace(config, **LONGER), run.folder, run.folder.with_name("fork"), display)
    assert f"the fork trains on {data / f'train{part[-1]}'}: other pictures (1 {change} ({name}))" in display.said


def test_touched_and_copied_pictures_are_the_same(trained, tmp_path):
    data, config, run = trained
    for file in (data / "trainA").iterdir():
        os.utime(file, (1, 1))
    assert resume(config, run).total == 8
    shutil.copytree(data, tmp_path / "copy")
    assert resume(replace(config, source=SourceConfig(root=tmp_path / "copy")), run).total == 8


def test_swapped_domains_are_other_pictures(tmp_path):
    data = make_squares(tmp_path / "data", train=5)
    for file in (data / "trainB").iterdir():
        file.rename(file.with_name(f"{int(file.stem) - 1000}.png"))
    a, b = data / "trainA", data / "trainB"
    config = tiny(None, **SHORT)
    run = train(replace(config, source=SourceConfig(a=a, b=b)), tmp_path / "run")
    with pytest.raises(RunError, match=r"was trained on .*trainA, and .*trainB holds other pictures \(5 replaced"):
        resume(replace(config, source=SourceConfig(a=b, b=a)), run)


def test_a_fork_says_which_held_out_pictures_its_parent_saw(tmp_path):
    data = make_squares(tmp_path / "data", train=6)
    config = tiny(None, **SHORT)
    config = replace(config, source=SourceConfig(a=data / "trainA", b=data / "trainB"))
    parent = train(replace(config, data=replace(config.data, holdout=1)), tmp_path / "parent")
    display = Listener()
    more = replace(config, data=replace(config.data, holdout=3), **LONGER)
    make_plan(more, parent.folder, tmp_path / "fork", display)
    said = [line for line in display.said if "were trained on by the parent" in line]
    assert [line.partition(",")[0] for line in said] == [
        f"2 held-out pictures of {name} were trained on by the parent" for name in ("trainA", "trainB")
    ]


def test_other_commands_meet_changed_pictures(trained):
    data, _, run = trained
    card = load_model(run.folder).card
    assert len(find_pictures_for(run.folder, card, SourceConfig())[0].a) == 2
    file = sorted((data / "testA").iterdir())[0]
    repaint(file)
    expected = (
        rf"testA: pictures have changed since .*run was trained on them: 1 replaced \({file.name}\): put them back"
    )
    for command in (lambda: find_pictures_for(run.folder, card, SourceConfig()), lambda: translate_samples(run)):
        with pytest.raises(PictureError, match=expected):
            command()
    assert len(find_pictures_for(run.folder, card, SourceConfig(root=data))[0].a) == 2  # given, so they are taken
    shutil.rmtree(data)
    assert Translator.of(load_model(run.folder), "a2b").source == "A"  # a model needs no data
    assert parse(["show", str(run.folder)])() == 0


def test_a_lost_list_of_pictures_is_named(trained):
    _, config, run = trained
    run.pictures_file.write_text("[1, 2]")
    with pytest.raises(
        RunError, match=r"pictures\.json cannot be read: restore it from a backup, or start another run"
    ):
        resume(config, run)


def test_a_run_records_where_its_pictures_are(trained):
    data, _, run = trained
    about = run.about()
    pictures = about["pictures"]["A"]
    size = sum(file.stat().st_size for file in (data / "trainA").iterdir())
    assert (pictures["folder"], pictures["number"], pictures["bytes"]) == (str(data / "trainA"), 5, size)
    assert about["config"]["source"]["root"] == str(data)
    assert about["relative"] == {"root": "../data"}


@settings(deadline=None)
@given(sizes=st.lists(st.integers(0, 40), min_size=1, max_size=12), bound=st.integers(1, 200), which=st.integers(0, 11))
def test_contents_are_hashed_up_to_a_bound_and_sizes_always(tmp_path_factory, sizes, bound, which):
    folder = tmp_path_factory.mktemp("files")
    files = [Path(f"{index}.png") for index in range(len(sizes))]
    for file, size in zip(files, sizes, strict=True):
        (folder / file).write_bytes(b"x" * size)
    found = fingerprints(folder, files, max_hashed=bound)
    assert fingerprints(folder, files[::-1], max_hashed=bound) == found
    assert {name: size for name, (size, _) in found.items()} == dict(zip(map(str, files), sizes, strict=True))
    hashed = sum(size for size, sha in found.values() if sha)
    assert hashed == sum(sizes) or bound <= hashed < bound + max(sizes)
    file = files[which % len(files)]
    (folder / file).write_bytes(b"y" * sizes[which % len(files)])
    now = fingerprints(folder, files, max_hashed=bound)
    seen = bool(found[str(file)][1]) and sizes[which % len(files)] > 0
    assert bool(Identity.of(found).changes(Identity.of(now))) == seen
    (folder / file).write_bytes(b"y" * (sizes[which % len(files)] + 1))
    grown = fingerprints(folder, files, max_hashed=bound)
    assert Identity({}, found, {}, {}).changes(Identity({}, grown, {}, {})).replaced == [f"test: {file}"]


def test_a_sampled_and_an_unsampled_picture_may_be_the_same():
    assert is_same((3, "ab"), (3, ""))
    assert not is_same((3, "ab"), (3, "cd"))
    assert not is_same((3, ""), (4, ""))


def pairs_of(root, number):
    make_squares(root, train=number)
    for file in (root / "trainB").iterdir():
        file.rename(file.with_name(f"{int(file.stem) - 1000}.png"))
    return SourceConfig(a=root / "trainA", b=root / "trainB")


@pytest.mark.slow
@pytest.mark.parametrize("paired", [False, True], ids=["unpaired", "paired"])
@pytest.mark.parametrize(
    ("cure", "number"), [("replaced", 12), ("removed", 12), ("removed", 40), ("skipped", 12), ("nothing", 12)]
)
def test_each_cure_of_an_unreadable_picture_goes_on_in_the_same_run(tmp_path, paired, cure, number):
    source = pairs_of(tmp_path, number)
    last = by_hash([Path(f"{index}.png") for index in range(number)])[-1]  # neither held out nor in a sample
    file = source.a / last
    good = file.read_bytes()
    options = PIX2PIX if paired else {}
    config = replace(tiny(None, **options, length=LengthConfig(pictures=60)), source=source, output=SHORT["output"])
    display = Listener()
    file.write_bytes(good[:-40])
    with pytest.raises(PictureError, match=rf"{last} is cut off .*: replace or remove it, or pass --skip-unreadable"):
        train(config, tmp_path / "run")
    seen = int(Run(tmp_path / "run").checkpoint_files()[-1].stem)
    if cure == "replaced":
        file.write_bytes(good)
    elif cure == "removed":
        file.unlink()
        if paired:
            with pytest.raises(PictureError, match="no partner .*: add the partners, or pass --skip-unpaired"):
                train(config, tmp_path / "run")
            config = replace(config, data=replace(config.data, skip_unpaired=True))
    elif cure == "skipped":
        config = replace(config, data=replace(config.data, skip_unreadable=True))
    else:
        with pytest.raises(PictureError, match=f"{last} is cut off"):
            train(config, tmp_path / "run")
        return
    run = train(config, tmp_path / "run", display=display)
    assert seen < 60
    assert any(line.endswith(f"{seen} of 60 pictures") for line in display.said)
    assert run.checkpoint_files()[-1].stem == "000000060"
    assert train(config, tmp_path / "run", display=display).about()["pictures"]["trainA"]["number"] == (
        number - (cure == "removed") - (2 if number == 40 else 0)
    )
