"""Scores while training: of held-out pictures, bounded in time, with the best moment kept."""

from dataclasses import replace

import pytest

from diptych.checksummed import read_checksummed
from diptych.config import (
    DataConfig,
    LengthConfig,
    OptimiserConfig,
    OutputConfig,
    PatchganConfig,
    Pix2pixConfig,
    UnetConfig,
)
from diptych.errors import MissingExtraError
from diptych.model import load_model
from diptych.monitoring.progress import Silent
from diptych.training.loop import train
from helpers.runs import tiny
from helpers.squares import make_squares


def scores_of(run):
    return {record["pictures"]: record["score"] for record in run.metrics() if "score" in record}


@pytest.fixture
def data(tmp_path):
    return make_squares(tmp_path / "data", train=10, test=8)


@pytest.fixture
def often(monkeypatch):
    """No limit to the share of the time that scoring takes."""
    monkeypatch.setattr("diptych.monitoring.in_training_evaluation.SCORING_FRACTION", 1e9)


def pairs(root):
    """The test part's pairs, to train on as well."""
    for part in "AB":
        for file in (root / f"train{part}").iterdir():
            file.unlink()
        for file in (root / f"test{part}").iterdir():
            (root / f"train{part}" / file.name).write_bytes(file.read_bytes())
    return {
        "method": Pix2pixConfig(),
        "generator": UnetConfig(width=4, norm="batch"),
        "discriminator": PatchganConfig(width=4, num_layers=1, norm="batch"),
        "data": DataConfig(load_size=32, crop_size=32, flip=False),
    }


def test_held_out_pictures_are_scored_by_kid_and_the_best_moment_is_kept(data, tmp_path, often):
    config = tiny(data, length=LengthConfig(pictures=12))
    run = train(config, tmp_path / "run")
    scores = scores_of(run)
    assert list(scores) == [4, 8, 12]
    assert {score["criterion"] for score in scores.values()} == {"KID (EfficientNet-Lite0), mean of the directions"}
    assert run.facts().score == f"{scores[12]['value']:.4g} ({scores[12]['criterion']})"
    best = min(scores, key=lambda pictures: scores[pictures]["value"])
    assert load_model(run.best_model_file).card.pictures == best
    _, description = read_checksummed(run.best_checkpoint_file, "checkpoint")
    assert description["numbers"]["pictures"] == best
    assert [file.stem for file in run.checkpoint_files()] == ["000000012"]


def test_pairs_are_scored_by_their_distance_to_the_truth_without_any_network(data, tmp_path, often):
    config = tiny(
        data,
        **pairs(data),
        length=LengthConfig(pictures=400),
        optimiser=OptimiserConfig(batch_size=4, learning_rate=2e-3),
    )
    scores = scores_of(train(replace(config, output=OutputConfig(num_samples=4)), tmp_path / "run"))
    assert {score["criterion"] for score in scores.values()} == {"L1 to the truth, of 255"}
    values = [score["value"] for score in scores.values()]
    assert 0 < values[-1] < values[0] / 1.5 < 128


def test_a_run_whose_score_is_flat_stops_when_it_may(data, tmp_path, often):
    # With such a learning rate nothing changes, so no score is better than the first.
    optimiser = OptimiserConfig(batch_size=2, learning_rate=1e-12)
    config = tiny(data, **pairs(data), optimiser=optimiser, output=OutputConfig(num_samples=10))
    run = train(replace(config, length=LengthConfig(pictures=40, stop_when_flat=3)), tmp_path / "run")
    assert list(scores_of(run)) == [4, 8, 12, 16]
    assert [file.stem for file in run.checkpoint_files()] == ["000000016"]
    whole = train(replace(config, length=LengthConfig(pictures=40)), tmp_path / "whole")
    assert list(scores_of(whole))[-1] == 40


def test_scoring_takes_no_more_than_its_share_of_the_time(data, tmp_path, monkeypatch):
    monkeypatch.setattr("diptych.monitoring.in_training_evaluation.SCORING_FRACTION", 0.0)
    run = train(tiny(data, length=LengthConfig(pictures=12)), tmp_path / "run")
    assert list(scores_of(run)) == [4]  # the first is always taken


def test_without_the_extra_a_run_says_so_once_and_trains(data, tmp_path, monkeypatch):
    def missing(**options):
        raise MissingExtraError("scoring", "evaluate")

    monkeypatch.setattr("diptych.monitoring.in_training_evaluation.load_features", missing)
    said = []
    display = Silent()
    display.note = said.append
    run = train(tiny(data, length=LengthConfig(pictures=4)), tmp_path / "run", display=display)
    assert scores_of(run) == {}
    assert sum("pip install 'diptych[evaluate]'" in line for line in said) == 1


def test_scores_change_nothing_that_is_learnt(data, tmp_path, often):
    config = tiny(data, length=LengthConfig(pictures=8))
    runs = [
        train(replace(config, output=replace(config.output, score=score)), tmp_path / str(score))
        for score in (True, False)
    ]
    (one, _), (two, _) = (read_checksummed(run.checkpoint_file(8), "checkpoint") for run in runs)
    assert all(one[name].equal(two[name]) for name in one)
