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
from diptych.training.loop import open_run, train
from diptych.training.plan.plan import make_plan
from helpers.runs import tiny
from helpers.squares import make_squares


def scores_of(run):
    return {record["pictures"]: record["score"] for record in run.metrics() if "score" in record}


@pytest.fixture
def data(tmp_path):
    return make_squares(tmp_path / "data", train=10, test=8)


@pytest.fixture
def often(monkeypatch):
    """No limit to the fraction of the time that scoring takes."""
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
    assert {score["criterion"] for score in scores.values()} == {"L1 to the true picture (0 to 255)"}
    values = [score["value"] for score in scores.values()]
    assert 0 < values[-1] < values[0] / 1.5 < 128


def test_a_run_stops_early_after_patience_scores_without_improvement(data, tmp_path, often):
    # With such a learning rate nothing changes, so no score is better than the first.
    optimiser = OptimiserConfig(batch_size=2, learning_rate=1e-12)
    config = tiny(data, **pairs(data), optimiser=optimiser, output=OutputConfig(num_samples=10))
    run = train(replace(config, length=LengthConfig(pictures=40, patience=3)), tmp_path / "run")
    assert list(scores_of(run)) == [4, 8, 12, 16]
    assert [file.stem for file in run.checkpoint_files()] == ["000000016"]
    whole = train(replace(config, length=LengthConfig(pictures=40)), tmp_path / "whole")
    assert list(scores_of(whole))[-1] == 40


def test_scoring_takes_at_most_its_fraction_of_the_time(data, tmp_path, monkeypatch):
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


def test_scoring_does_not_change_training(data, tmp_path, often):
    config = tiny(data, length=LengthConfig(pictures=8))
    runs = [
        train(replace(config, output=replace(config.output, score=score)), tmp_path / str(score))
        for score in (True, False)
    ]
    (one, _), (two, _) = (read_checksummed(run.checkpoint_file(8), "checkpoint") for run in runs)
    assert all(one[name].equal(two[name]) for name in one)


def test_an_unreadable_held_out_picture_skips_its_pair(data, tmp_path):
    options = pairs(data)
    options["data"] = replace(options["data"], skip_unreadable=True)
    names = sorted(file.name for file in (data / "testA").iterdir())
    (data / "testA" / names[2]).write_bytes(b"no picture")
    (data / "testB" / names[5]).write_bytes(b"no picture")
    plan = make_plan(tiny(data, **options, length=LengthConfig(pictures=4)), tmp_path / "run", None, Silent())
    plan.run.create()
    _, writer = open_run(plan, Silent())
    for pictures in (writer.observer.pictures, writer.observer.evaluation.pictures):
        assert len(pictures.a) == len(pictures.b) == 6
        for a, b in zip(pictures.a, pictures.b, strict=True):
            assert ((a[..., 0] > 100) == (b[..., 2] > 100)).all()  # the square is at one place in both
    rows = {row.caption: row.pictures for row in writer.blocks[0].rows}
    assert len(rows["A"]) == len(rows["as B"]) == len(rows["true B"]) == 6


def test_an_unreadable_held_out_picture_without_a_partner_is_left_out_alone(data, tmp_path):
    config = tiny(data, length=LengthConfig(pictures=4))
    config = replace(config, data=replace(config.data, skip_unreadable=True))
    next((data / "testA").iterdir()).write_bytes(b"no picture")
    plan = make_plan(config, tmp_path / "run", None, Silent())
    plan.run.create()
    _, writer = open_run(plan, Silent())
    assert len(writer.observer.pictures.a) == len({picture.tobytes() for picture in writer.observer.pictures.a}) == 7
    assert len(writer.observer.pictures.b) == 8
    assert writer.observer.evaluation.network is None  # 7 pictures are too few for KID
