"""Several seeds: the runs differ in nothing else, and the best model is kept."""

import json
from dataclasses import replace

import pytest

from diptych.cli import main
from diptych.config import LengthConfig
from diptych.config_json import flatten
from diptych.errors import RunError
from diptych.model import load_model
from diptych.run import Run
from diptych.training.loop import train
from diptych.training.seeds import SeedScore, best_of, in_words, train_seeds
from helpers.runs import tiny


def short(root, **changes):
    config = tiny(root, length=LengthConfig(pictures=4), **changes)
    return replace(config, generator=replace(config.generator, width=None))


def test_runs_differ_only_in_their_seed_and_equal_single_runs(squares, tmp_path):
    folder, scores = train_seeds(short(squares), tmp_path / "runs", number=2)
    runs = [Run(score.run) for score in scores]
    assert [run.folder.name for run in runs] == ["seed-0", "seed-1"]
    options = [flatten(run.config()) for run in runs]
    assert {key for key in options[0] if options[0][key] != options[1][key]} == {"optimiser.seed"}
    assert runs[0].model_file.read_bytes() != runs[1].model_file.read_bytes()
    config = short(squares)
    alone = train(replace(config, optimiser=replace(config.optimiser, seed=1)), tmp_path / "alone")
    weights, expected = (load_model(run.folder).networks["a2b"].state_dict() for run in (runs[1], alone))
    assert all(weights[key].equal(expected[key]) for key in expected)
    assert (folder / "model.safetensors").read_bytes() == runs[0].model_file.read_bytes()  # no scores: the first


def test_the_same_command_continues_with_the_seeds_that_are_missing(squares, tmp_path):
    train_seeds(short(squares), tmp_path, number=1)
    first = (tmp_path / "seed-0" / "model.safetensors").stat()
    train_seeds(short(squares), tmp_path, number=2)
    assert (tmp_path / "seed-0" / "model.safetensors").stat() == first
    assert set(json.loads((tmp_path / "seeds.json").read_text())["scores"]) == {"seed-0", "seed-1"}


def test_the_run_with_the_lowest_score_is_the_best():
    scores = [SeedScore(seed, f"seed-{seed}", "KID", value) for seed, value in enumerate((0.3, 0.1, None))]
    assert best_of(scores).seed == 1
    assert in_words(scores) == [
        "seed 0: 0.3 (seed-0)", "seed 1: 0.1 (seed-1)", "seed 2: no score (seed-2)", "KID: 0.2 ± 0.14 over 2 seeds",
    ]  # fmt: skip


def test_the_best_model_of_the_best_run_is_kept(squares, tmp_path):
    from diptych.training.seeds import _write

    scores = []
    for seed, value in enumerate((0.3, 0.1)):
        run = Run(tmp_path / f"seed-{seed}")
        run.create()
        run.best_model_file.write_bytes(b"best %d" % seed)
        run.model_file.write_bytes(b"last %d" % seed)
        scores.append(SeedScore(seed, run.folder, "KID", value))
    _write(tmp_path, scores)
    assert (tmp_path / "model.safetensors").read_bytes() == b"best 1"


def test_a_run_is_no_folder_of_seeds(squares, tmp_path):
    run = train(short(squares), tmp_path / "run")
    with pytest.raises(RunError, match="is a run, not a folder of runs: give another folder with --run"):
        train_seeds(short(squares), run.folder, number=2)


def test_forks_of_several_seeds_are_refused(squares, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(
            ["train", "--root", str(squares), "--run", str(tmp_path), "--fork", str(tmp_path / "fork"), "--seeds", "2"]
        )
    assert stop.value.code == 2
    assert capsys.readouterr().err.endswith("fork one run, or train new ones with --seeds\n")
