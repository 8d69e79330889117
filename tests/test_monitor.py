"""Every alarm is raised where it should be, and not elsewhere."""

import io
import json
import math
import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import nn

from diptych.cli import main
from diptych.config import DataConfig, LengthConfig, PixelConfig, TrainConfig
from diptych.config.constraints import iter_fields, option_name
from diptych.data.encoding import rounded_to_eight_bits
from diptych.losses import chance_level
from diptych.monitoring import indicators
from diptych.monitoring.alarms import RULES, alarms
from diptych.monitoring.meters import Meters, NonFiniteError, mean_over_ranks
from diptych.monitoring.monitor import RECORDS
from diptych.monitoring.progress import Silent, Terminal
from diptych.registry import GENERATORS, METHODS
from diptych.training.loop import open_run, train
from diptych.training.plan.plan import make_plan
from helpers.alarms import assert_clear
from helpers.runs import tiny
from helpers.squares import BLUE, square


def pictures(number=6, size=64, channels=3, seed=0):
    """Smooth random pictures in [-1, 1], as different from each other as photographs."""
    noise = torch.randn(number, channels, size // 8, size // 8, generator=torch.Generator().manual_seed(seed))
    return torch.tanh(F.interpolate(noise, size=(size, size), mode="bicubic"))


X = pictures()
RECOLOURED = (X.roll(1, dims=1) * 0.8).clamp(-1, 1)


def names(found):
    return [alarm.name for alarm in found]


@pytest.mark.parametrize(
    ("outputs", "name", "value"),
    [
        (-X, "luminance_correlation", indicators.luminance_correlation(X, -X)),
        (X + 0.001, "change", indicators.change(X, X + 0.001)),
        (X[:1].expand_as(X), "relative_spread", indicators.spread(X[:1].expand_as(X)) / indicators.spread(X)),
    ],
    ids=["inverted", "identity", "collapsed"],
)
def test_degenerate_pictures_raise_their_alarm(outputs, name, value):
    assert names(alarms("a2b", {name: value}, ())) == [name]


def test_good_pictures_raise_no_alarm():
    numbers = {
        "luminance_correlation": indicators.luminance_correlation(X, RECOLOURED),
        "change": indicators.change(X, RECOLOURED),
        "relative_spread": indicators.spread(RECOLOURED) / indicators.spread(X),
    }
    assert alarms("a2b", numbers, ()) == []


def test_indicators_have_their_closed_forms():
    assert indicators.luminance_correlation(X, -2 * X + 1) == pytest.approx(-1)
    assert indicators.change(torch.zeros(2, 1, 4, 4), torch.ones(2, 1, 4, 4)) == 0.5
    assert indicators.spread(torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)])) == pytest.approx(0.5)
    assert indicators.spread(X[:1].expand_as(X)) == 0
    assert indicators.memorised_fraction(torch.ones(3), torch.full((2,), 0.25), torch.zeros(4)) == pytest.approx(0.75)


def objects(seed, *, ground, size=32):
    """Eight pictures (B, 3, size, size) of an object of another brightness in the middle of ``ground``."""
    draw = torch.Generator().manual_seed(seed)
    batch = torch.full((8, 3, size, size), float(ground))
    for picture in batch:
        top, left = torch.randint(size // 8, size // 3, (2,), generator=draw).tolist()
        picture[:, top : top + size // 2, left : left + size // 2] = -ground * torch.rand(3, 1, 1, generator=draw)
    return batch


def test_where_the_domains_are_inverted_themselves_a_translation_may_be():
    paper, signs = objects(0, ground=1), objects(1, ground=-1, size=48)
    assert indicators.domains_are_inverted(paper, signs)
    assert not indicators.domains_are_inverted(paper, objects(1, ground=1))
    assert not indicators.domains_are_inverted(X, pictures(seed=1))
    assert "luminance_correlation" not in indicators.of_translations(paper, -paper, signs)
    found = indicators.of_translations(paper, -paper, objects(1, ground=1))
    assert "luminance_correlation" in names(alarms("a2b", found, ()))


def test_hidden_information_is_found_and_plain_reconstruction_is_not():
    # The translation is grey; the colour is hidden in it a thousandfold smaller, and read back from there.
    grey = X.mean(1, keepdim=True).expand_as(X).mul(100).round().div(100)
    hiding = grey + (X - X.mean(1, keepdim=True)) / 1000

    def reveals(y):
        base = y.mean(1, keepdim=True).mul(100).round().div(100)
        return base + (y - base) * 1000

    assert (reveals(hiding) - X).abs().mean() < 0.02
    assert names(alarms("a2b", {"hidden_information": indicators.hidden_information(X, hiding, reveals)}, ())) == [
        "hidden_information"
    ]
    honest = indicators.hidden_information(X, RECOLOURED, lambda y: (y / 0.8).roll(-1, dims=1) + 0.02)
    assert alarms("a2b", {"hidden_information": honest}, ()) == []


CHECKERBOARD, DOTS = RULES["relative_checkerboard"].high, RULES["relative_dots"].high


@pytest.mark.parametrize("steps", [0, 0.25, 0.5, 1, 4])
def test_patterns_have_their_closed_forms(steps):
    """On even grey, a pattern of ± ``steps`` (of 255) has the energy (2 ``steps``)²: the unit is half a step."""
    x = torch.arange(64)
    amplitude, energy = 2 * steps / 255, (2 * steps) ** 2
    for pattern in ((-1.0) ** x, (-1.0) ** x[:, None]):
        grey = (0.1 + amplitude * pattern).expand(2, 3, 64, 64)
        assert indicators.dots(grey) == pytest.approx(energy, abs=1e-4)
        assert indicators.checkerboard(grey) == pytest.approx(1 + energy, abs=1e-4)
    quarter = (0.1 + amplitude * torch.cos(math.pi / 2 * x)).expand(2, 3, 64, 64)  # half of it at N/4, half at 3N/4
    assert indicators.checkerboard(quarter) == pytest.approx(1 + energy / 4, abs=1e-4)


@pytest.mark.parametrize("strength", [0.1, 0.3])
def test_a_checkerboard_is_found_by_a_margin(strength):
    upsample = nn.ConvTranspose2d(3, 3, 3, stride=2, padding=1, output_padding=1)
    nn.init.dirac_(upsample.weight)  # odd pixels get the picture, even ones nothing
    with torch.no_grad():
        dotted = strength * upsample(F.avg_pool2d(X, 2))
    found = indicators.of_translations(X, dotted, X)["relative_checkerboard"]
    assert found > 2 * CHECKERBOARD


def test_a_smoothly_resized_picture_has_no_checkerboard():
    resized = F.interpolate(F.avg_pool2d(X, 2), scale_factor=2, mode="bilinear")
    assert_clear({"relative_checkerboard": indicators.of_translations(X, resized, X)["relative_checkerboard"]})


def blurred(pictures):
    """Means of 3×3 pixels."""
    return F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="reflect"), 3, stride=1)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_soft_edges_are_no_pattern(times):
    """Blurring a flat square leaves almost no energy near the finest frequencies: a ratio to it is meaningless."""
    squares = torch.stack([torch.from_numpy(np.array(square(index, BLUE))) for index in range(8)])
    sharp = squares.permute(0, 3, 1, 2) / 127.5 - 1
    soft = sharp
    for _ in range(times):
        soft = blurred(soft)
    for outputs in (soft, rounded_to_eight_bits(soft)):
        found = indicators.of_translations(sharp, outputs, sharp)
        assert_clear({name: found[name] for name in ("relative_checkerboard", "relative_dots")})


def test_a_faint_lattice_is_found_and_busy_pictures_are_not():
    """The lattice is 2 of 255 steps up and down in turn, over smooth pictures and over noisy ones."""
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    busy = X + 0.02 * torch.randn(X.shape, generator=torch.Generator().manual_seed(1))
    for lattice in ((-1.0) ** columns, (-1.0) ** rows, (-1.0) ** (rows + columns)):
        for sound in (X, busy):
            assert indicators.of_translations(X, sound + 4 / 255 * lattice, sound)["relative_dots"] > 2 * DOTS
            written = rounded_to_eight_bits(sound + 4 / 255 * lattice)
            assert indicators.of_translations(X, written, sound)["relative_dots"] > 2 * DOTS
    resized = F.interpolate(F.avg_pool2d(X, 2), scale_factor=2, mode="nearest")
    for sound in (X, busy, resized):
        assert_clear({"relative_dots": indicators.of_translations(X, sound, X)["relative_dots"]})


@pytest.mark.parametrize(("kind", "least"), [("least-squares", 0.25), ("vanilla", math.log(2)), ("hinge", 1.0)])
def test_the_chance_level_is_the_lowest_loss_of_a_constant_score(kind, least):
    assert chance_level(kind) == pytest.approx(least, rel=1e-6)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"losses": {"discriminator_a": 0.15}}, []),
        ({"losses": {"discriminator_a": 0.25}}, []),
        ({"losses": {"discriminator_a": 0.001}}, ["relative_discriminator_loss"]),
        ({"losses": {"discriminator_a": 0.3}}, ["relative_discriminator_loss_high"]),
        ({"losses": {}, "gradients": {"generators": 3.0}}, []),
        ({"losses": {}, "gradients": {"generators": 1e6}}, ["gradient_large"]),
        ({"losses": {}, "gradients": {"discriminators": 1e-9}}, ["gradient_small"]),
        ({"losses": {}, "waiting_fraction": 0.01}, []),
        ({"losses": {}, "waiting_fraction": 0.3}, ["waiting_fraction"]),
    ],
)
def test_records_of_a_run_raise_their_alarms(squares, tmp_path, record, expected):
    plan = make_plan(tiny(squares, length=LengthConfig(pictures=10)), tmp_path / "run", None, Silent())
    plan.run.create()
    _, outputs = open_run(plan, Silent())
    monitor = outputs.observer.monitor
    for _ in range(RECORDS):
        monitor.watch(record)
    assert names(monitor._of_records()) == expected


@pytest.mark.parametrize(("waiting_fraction", "number"), [(0.04, 0), (0.06, 1)])
def test_waiting_for_pictures_is_reported_once_before_any_sample_is_drawn(squares, tmp_path, waiting_fraction, number):
    plan = make_plan(tiny(squares, length=LengthConfig(pictures=10)), tmp_path / "run", None, Silent())
    plan.run.create()
    console = Console(file=io.StringIO(), width=200)
    _, outputs = open_run(plan, Terminal(console))
    monitor = outputs.observer.monitor
    for _ in range(2 * RECORDS):
        monitor.watch({"losses": {}, "waiting_fraction": waiting_fraction})
    lines = [line for line in console.file.getvalue().splitlines() if "training waits for pictures" in line]
    assert len(lines) == number
    assert all("--num-workers" in line and "--disk-cache-gib" in line for line in lines)


def test_the_terminal_shows_the_fraction_of_time_spent_waiting_for_data():
    terminal = Terminal(Console(file=io.StringIO(), width=200))
    terminal.start(0, 100)
    terminal.show(100, 3.21, {"cycle_a": 0.5}, waiting_fraction=0.07)
    assert "3.21/s, waiting 7% for data" in terminal.console.file.getvalue()


def test_a_discriminator_that_has_memorised_its_pictures_is_detected(squares, tmp_path):
    class ByHeart(nn.Module):
        """Real is what it has seen, to the pixel."""

        def __init__(self, known):
            super().__init__()
            self.known = known

        def forward(self, x):
            return torch.stack([(self.known - picture).abs().flatten(1).mean(1).min() < 1e-3 for picture in x]).float()

    class ByColour(nn.Module):
        """Real is orange in A, blue in B."""

        def __init__(self, channel):
            super().__init__()
            self.channel = channel

        def forward(self, x):
            return (x[:, self.channel].amax((1, 2)) > 0.5).float()

    plan = make_plan(tiny(squares, length=LengthConfig(pictures=10)), tmp_path / "run", None, Silent())
    plan.run.create()
    state, outputs = open_run(plan, Silent())
    monitor = outputs.observer.monitor
    generators = state.inference_generators()
    for domain, channel in (("a", 0), ("b", 2)):
        for discriminator, alarming in (
            (ByHeart(getattr(monitor.trained_on, domain)), True),
            (ByColour(channel), False),
        ):
            found = monitor._of_discriminators(generators, {domain: discriminator})
            assert [alarm.about for alarm in found] == [f"discriminator {domain}"] * alarming


def test_an_alarm_is_shown_once_logged_each_time_and_not_early_in_a_run(squares, tmp_path, monkeypatch):
    # With such a bound, whatever is translated is translated too little.
    monkeypatch.setitem(RULES, "change", replace(RULES["change"], low=2.0))
    monkeypatch.setattr("diptych.monitoring.alarms.MIN_ALARM_PICTURES", 0)
    said = []
    display = Silent()
    display.note = said.append
    config = tiny(squares, length=LengthConfig(pictures=40))
    run = train(replace(config, output=replace(config.output, num_samples=10)), tmp_path / "run", display=display)
    logged = {record["pictures"]: record["alarms"] for record in run.metrics() if "alarms" in record}
    unchanged = {pictures: [a for a in found if a["name"] == "change"] for pictures, found in logged.items()}
    assert list(unchanged) == [8, 12, 16, 20, 24, 28, 32, 36, 40]
    assert all([alarm["about"] for alarm in found] == ["a2b", "b2a"] for found in unchanged.values())
    assert unchanged[40][0]["threshold"] == 2.0
    lines = [line for line in said if line.startswith("alarm: a2b: nothing is translated")]
    assert len(lines) == 1
    assert lines[0].endswith(": lower --lambda-identity, or --lambda-a and --lambda-b")


@pytest.mark.parametrize("method", METHODS.kinds)
@pytest.mark.parametrize("generator", GENERATORS.kinds)
def test_advice_names_only_options_that_train_takes_with_this_method(method, generator, capsys):
    config = TrainConfig(method=METHODS.config(method)(), generator=GENERATORS.config(generator)())
    options = {option_name(name) for name, _, _ in iter_fields(config)}
    with pytest.raises(SystemExit):
        main(["train", "--method", method, "--generator", generator, "--help-all"])
    listed = re.findall("--[a-z0-9.-]+", capsys.readouterr().out.replace("--[no-]", "--"))
    for name in RULES:
        (alarm,) = alarms("a2b", {name: math.nan}, options)
        for option in re.findall("--[a-z0-9.-]+", alarm.advice):
            assert option in listed
    (unchanged,) = alarms("a2b", {"change": 0.0}, options)
    weight = {"cyclegan": "--lambda-a", "pix2pix": "--lambda-l1", "cut": "--lambda-nce", "fastcut": "--lambda-nce"}
    assert weight[method] in unchanged.advice


def test_gradients_that_overflow_are_left_out_of_the_mean():
    meters = Meters()
    meters.add({"gan": torch.tensor(1.0), "gradient.generators": torch.tensor(math.inf)}, 1)
    meters.add({"gan": torch.tensor(3.0), "gradient.generators": torch.tensor(2.0)}, 2)
    assert meters.means() == {"gan": 2.0, "gradient.generators": 2.0}


def test_a_module_whose_every_step_overflowed_has_no_gradient_in_the_record():
    meters = Meters()
    for pictures in (1, 2):
        meters.add({"gan": torch.tensor(1.0), "gradient.generators": torch.tensor(math.inf)}, pictures)
    assert meters.means() == {"gan": 1.0}
    assert mean_over_ranks([meters.means(), {"gan": 3.0, "gradient.generators": 5.0}]) == {
        "gan": 2.0,
        "gradient.generators": 5.0,
    }


def test_means_survive_a_checkpoint_and_names_are_sorted():
    meters, restored = Meters(), Meters()
    for value in (1.0, math.nan, 2.0):
        meters.add({"gan": torch.tensor(4.0), "gradient.generators": torch.tensor(value)}, 1)
    restored.restore(json.loads(json.dumps(meters.totals())))
    restored.add({"cycle": torch.tensor(1.0), "gradient.generators": torch.tensor(6.0)}, 2)
    assert restored.means() == {"gan": 4.0, "cycle": 1.0, "gradient.generators": 3.0}
    assert list(mean_over_ranks([restored.means()])) == ["cycle", "gan", "gradient.generators"]


@pytest.mark.parametrize(("value", "word"), [(math.nan, "NaN"), (math.inf, "infinite"), (-math.inf, "infinite")])
def test_the_first_loss_that_is_not_finite_is_named_with_its_kind(value, word):
    meters = Meters()
    meters.add({"gan": torch.tensor(1.0), "cycle": torch.tensor(2.0)}, 1)
    meters.add({"gan": torch.tensor(1.0), "cycle": torch.tensor(value)}, 2)
    meters.add({"gan": torch.tensor(-value), "cycle": torch.tensor(-value)}, 3)
    with pytest.raises(NonFiniteError) as error:
        meters.means()
    assert str(error.value) == str(pickle.loads(pickle.dumps(error.value))) == f"cycle is {word} after 2 pictures"


def test_a_record_without_a_gradient_is_left_out_of_what_the_alarms_see(squares, tmp_path):
    plan = make_plan(tiny(squares, length=LengthConfig(pictures=10)), tmp_path / "run", None, Silent())
    plan.run.create()
    _, outputs = open_run(plan, Silent())
    monitor = outputs.observer.monitor
    for gradients in ({"generators": 1e6}, {"discriminators": 1.0}, {}):
        monitor.watch({"losses": {}, "gradients": gradients})
    assert [(alarm.name, alarm.about, alarm.value) for alarm in monitor._of_records()] == [
        ("gradient_large", "generators", 1e6)
    ]


@pytest.mark.parametrize("size", [4, 8, 12, 16])
def test_pictures_too_small_for_a_pattern_raise_no_alarm_of_one(size):
    small = X[..., :size, :size]
    numbers = indicators.of_translations(small, small.roll(1, dims=1), small)
    assert all(math.isfinite(number) for number in numbers.values())
    assert not {"relative_checkerboard", "relative_dots"} & set(names(alarms("a2b", numbers, ())))


def test_a_run_with_crops_of_8_pixels_trains_past_its_checks(squares, tmp_path, monkeypatch):
    monkeypatch.setattr("diptych.monitoring.alarms.MIN_ALARM_PICTURES", 0)
    config = tiny(squares, length=LengthConfig(pictures=8), data=DataConfig(load_size=8, crop_size=8))
    run = train(replace(config, discriminator=PixelConfig(width=4)), tmp_path / "run")
    assert run.model_file.is_file()
