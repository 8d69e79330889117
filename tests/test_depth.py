"""16-bit pictures: runs score and show them like their 8-bit copies."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from diptych.config import DataConfig, LengthConfig, OutputConfig
from diptych.data.files import find_domain
from diptych.model import load_model
from diptych.monitoring.samples import sample_pictures
from diptych.pair import Pair
from diptych.training.loop import train
from helpers.blobs import write_pairs
from helpers.runs import PIX2PIX, TINY


def deep(values):
    return values.astype(np.uint16) * 257


@pytest.fixture
def often(monkeypatch):
    """No limit to the fraction of the time that scoring takes."""
    monkeypatch.setattr("diptych.monitoring.in_training_evaluation.SCORING_FRACTION", 1e9)


def test_a_16_bit_run_has_the_scores_best_model_and_grids_of_its_8_bit_copy(tmp_path, often):
    runs = []
    for depth, stored in (("8", lambda values: values), ("16", deep)):
        source = write_pairs(tmp_path / depth, number=12, stored=stored)
        data = DataConfig(load_size=36, crop_size=32, holdout=4)  # resized, so both depths are rounded
        length = LengthConfig(pictures=60, patience=3)
        config = replace(TINY, **PIX2PIX, source=source, data=data, length=length, output=OutputConfig(num_samples=6))
        runs.append(train(config, tmp_path / f"run{depth}"))
    eight, sixteen = ([record["score"] for record in run.metrics() if "score" in record] for run in runs)
    assert [score["value"] for score in sixteen] == pytest.approx([score["value"] for score in eight], rel=1e-3)
    assert len(eight) >= 4
    assert max(score["value"] for score in eight) < 128  # the score is L1, 0 to 255
    best = [load_model(run.best_model_file).card.pictures for run in runs]
    assert best[0] == best[1] > 10
    weights = [load_model(run.model_file).networks["a2b"].state_dict() for run in runs]
    assert all(tensor.equal(weights[1][name]) for name, tensor in weights[0].items())
    grids = [sorted(run.samples.iterdir()) for run in runs]
    assert [file.name for file in grids[0]] == [file.name for file in grids[1]]
    for one, other in zip(*grids, strict=True):
        difference = np.asarray(Image.open(one)).astype(int) - np.asarray(Image.open(other))
        assert abs(difference).max() <= 1


@pytest.mark.parametrize("paired", [True, False])
def test_16_bit_pictures_with_fine_values_are_scored_and_shown_in_8_bits(tmp_path, paired):
    fine = np.random.default_rng(0).integers(0, 100, (40, 40), np.uint16)
    folders = {"8": lambda values: values, "16": lambda values: (deep(values).clip(0, 65400) + fine).astype(np.uint16)}
    shown = []
    for depth, stored in folders.items():
        source = write_pairs(tmp_path / depth, number=4, stored=stored)
        domains = Pair(find_domain("a", source.a), find_domain("b", source.b))
        method = {"method": PIX2PIX["method"]} if paired else {}
        data = DataConfig(load_size=36, crop_size=32, channels_a=1, channels_b=1)
        shown.append(sample_pictures(domains, replace(TINY, **method, data=data)))
    for eight, sixteen in zip(*(pair.a + pair.b for pair in shown), strict=True):
        assert eight.dtype == sixteen.dtype == np.uint8
        assert abs(eight.astype(int) - sixteen).max() <= 1
