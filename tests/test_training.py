"""A run: what it writes, how it stops, and that a resumed run equals an uninterrupted one."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console

from diptych.checksummed import read_checksummed
from diptych.config import (
    CycleganConfig,
    DataConfig,
    EngineConfig,
    LengthConfig,
    OptimiserConfig,
    OutputConfig,
    PatchganConfig,
    ResnetConfig,
    SourceConfig,
    UnetConfig,
)
from diptych.errors import OptionError, PictureError, RunError
from diptych.model import load_model
from diptych.monitoring.progress import Silent, Terminal
from diptych.processor import describe_processor
from diptych.run import Run
from diptych.training.config_file import write_config
from diptych.training.fit_time import Pace, fit_to_time, images_in_time, measure_pace
from diptych.training.loop import train
from diptych.training.plan.plan import make_plan
from diptych.training.state import State
from helpers.runs import TINY, InterruptAt, losses_of, records_of, tiny


def test_a_run_folder_has_all_documented_files(squares, tmp_path):
    run = train(tiny(squares), tmp_path / "run")
    assert sorted(path.name for path in run.folder.iterdir() if not path.name.startswith(".")) == [
        "checkpoints", "config.json", "metrics.jsonl", "model.safetensors", "pictures.json", "report.html",
        "samples",
    ]  # fmt: skip
    about = json.loads(run.config_file.read_text())
    assert about["versions"][0]["torch"] == torch.__version__
    assert about["held_out"]["A"] == ["2000.png", "2001.png", "2002.png", "2003.png"]
    assert about["config"]["generator"]["num_blocks"] == 1
    assert [record["pictures"] for record in records_of(run)] == [100, 200, 300]
    assert set(records_of(run)[0]["losses"]) == {
        "gan_a", "gan_b", "cycle_a", "cycle_b", "identity_a", "identity_b", "discriminator_a", "discriminator_b",
    }  # fmt: skip
    assert [path.name for path in run.checkpoint_files()] == ["000000300.safetensors"]
    assert sorted(path.stem for path in run.samples.iterdir()) == [f"{n:09d}" for n in (0, 100, 200, 300)]
    card = load_model(run.folder).card
    assert (card.pictures, card.ema, card.names, card.channels) == (300, True, ("A", "B"), (3, 3))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_interrupted_run_resumes_bit_for_bit(squares, tmp_path, precision):
    config = tiny(squares, engine=EngineConfig(precision=precision))
    whole = train(config, tmp_path / "whole")
    for pictures in (100, 200):
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "broken", display=InterruptAt(pictures))
    broken = train(config, tmp_path / "broken")
    assert losses_of(broken) == losses_of(whole)
    files = [run.checkpoint_file(300) for run in (whole, broken)]
    (expected, numbers), (found, found_numbers) = (read_checksummed(file, "checkpoint") for file in files)
    assert found_numbers["numbers"] == numbers["numbers"]
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert sum(name.startswith("pools.") for name in found) == 10


def test_a_run_is_a_function_of_its_seed(squares, tmp_path):
    config = tiny(squares, length=LengthConfig(pictures=20))
    runs = [
        train(replace(config, optimiser=replace(TINY.optimiser, seed=seed)), tmp_path / name)
        for name, seed in (("one", 1), ("two", 1), ("three", 2))
    ]
    one, two, three = (losses_of(run) for run in runs)
    assert one == two
    assert one != three


def test_a_complete_run_is_left_as_it_is(squares, tmp_path):
    config = tiny(squares, length=LengthConfig(pictures=20))
    run = train(config, tmp_path / "run")
    before = run.model_file.stat().st_mtime_ns
    train(config, tmp_path / "run")
    assert run.model_file.stat().st_mtime_ns == before


def test_another_configuration_is_refused_with_the_difference(squares, tmp_path):
    train(tiny(squares, length=LengthConfig(pictures=20)), tmp_path / "run")
    changed = tiny(squares, generator=ResnetConfig(width=8, num_blocks=1))
    with pytest.raises(RunError, match=r"generator.width was 4 and is 8: .*--fork NEW_RUN"):
        train(changed, tmp_path / "run")


def test_resolved_defaults_are_kept_on_resume(squares, tmp_path):
    config = tiny(squares, generator=ResnetConfig(width=4), length=LengthConfig(pictures=4))
    assert train(config, tmp_path / "run").config().generator.num_blocks == 6
    train(replace(config, length=LengthConfig(pictures=8)), tmp_path / "run")


@pytest.mark.slow
def test_the_rate_of_each_epoch_is_the_papers(squares, tmp_path):
    # 24 pictures an epoch, 10 epochs: the records at 100, 200 and 240 lie in epochs 5, 9 and 10 (counted from 1).
    optimiser = OptimiserConfig(batch_size=1, schedule_unit="epoch")
    run = train(tiny(squares, optimiser=optimiser, length=LengthConfig(epochs=10)), tmp_path / "run")
    rates = {record["pictures"]: record["learning_rate"] / 2e-4 for record in records_of(run)}
    assert rates == {pictures: pytest.approx(1 - max(0, -(-pictures // 24) - 5) / 6) for pictures in (100, 200, 240)}


def paced(time, pace, *, num_samples=None, score=True, **options):
    config = tiny(None, length=LengthConfig(time=time), output=OutputConfig(num_samples=num_samples, score=score))
    return images_in_time(config, Pace(*pace), **{"batch_size": 2} | options)


def test_a_time_is_converted_to_pictures_by_the_measured_speed():
    assert paced("100s", (3.0, 0.1), num_samples=20, score=False) == (3 * (100 - 20 * 0.1), 20)
    assert paced("100s", (3.0, 0.1), num_samples=20) == (3 * (95 - 20 * 0.1), 20)  # scores get 5 %
    assert paced("100s", (3.0, 0.1), num_samples=20, score=False, elapsed=8.0) == (3 * (92 - 20 * 0.1), 20)


@pytest.mark.parametrize(("wanted", "drawn"), [(None, 4), (20, 4), (2, 2)])
def test_samples_get_a_tenth_of_the_time_at_most(wanted, drawn):
    assert paced("3s", (100.0, 0.07), num_samples=wanted)[1] == drawn


def test_there_is_one_sample_grid_however_long_it_takes():
    assert paced("100s", (1.0, 60.0), score=False) == (40, 1)


@pytest.mark.parametrize(("pace", "options"), [((100.0, 3.0), {}), ((0.5, 0.1), {}), ((100.0, 0.1), {"elapsed": 3.0})])
def test_a_time_too_short_for_an_update_is_refused(pace, options):
    with pytest.raises(
        OptionError, match=r"3s is too short for an update: an update takes .* s, and samples .* s: give"
    ):
        paced("3s", pace, **options)


def test_a_time_becomes_a_number_of_pictures_in_the_plan(squares, tmp_path):
    notes = []
    display = Silent()
    display.note = notes.append
    config = tiny(squares, length=LengthConfig(time="100h"), output=OutputConfig(num_samples=20))
    plan = make_plan(config, tmp_path / "run", None, display)
    fitted = fit_to_time(plan, display, measure=lambda *_: Pace(1.0, 9000.0))
    assert fitted.config.output.num_samples == 4
    assert fitted.total == pytest.approx(360_000 * 0.95 - 4 * 9000, abs=2)
    assert fitted.total % 2 == 0
    assert "samples are drawn 4 times, not 20: 100h is too short for more" in notes


def test_measuring_the_speed_does_not_change_training(squares, tmp_path):
    plan = make_plan(tiny(squares), tmp_path / "run", None, Silent())
    state = State(plan.config)
    before = {name: tensor.clone() for name, tensor in state.tensors().items()}
    pace = measure_pace(state, plan.loader, 0.0)
    assert pace.pictures_per_second > 0
    assert pace.sample_seconds > 0
    assert [name for name, tensor in before.items() if not torch.equal(state.tensors()[name], tensor)] == []
    assert not plan.run.folder.exists()


@pytest.mark.parametrize("first", [LengthConfig(pictures=4), LengthConfig(epochs=4 / 24)])
@pytest.mark.parametrize("then", [LengthConfig(pictures=8), LengthConfig(epochs=8 / 24), LengthConfig(time="100h")])
def test_a_finished_run_is_lengthened_by_any_kind_of_length(squares, tmp_path, first, then):
    config = tiny(squares, length=first, output=OutputConfig(num_samples=1, score=False))
    run = Run(tmp_path / "run")
    plan = make_plan(config, run.folder, None, Silent())
    assert plan.total == 4
    run.create()
    write_config(plan)
    run.checkpoint_file(4).touch()
    plan = make_plan(replace(config, length=then), run.folder, None, Silent())
    if then.time:
        plan = fit_to_time(plan, Silent(), measure=lambda *_: Pace(1e-4, 1.0))
    assert (plan.done, plan.total) == (4, 40 if then.time else 8)
    assert plan.config.length == then
    assert make_plan(replace(config, length=LengthConfig()), run.folder, None, Silent()).config.length == first


def test_a_run_is_not_shortened_below_what_it_has_seen(squares, tmp_path):
    config = tiny(squares, length=LengthConfig(pictures=4))
    run = train(config, tmp_path / "run")
    with pytest.raises(RunError, match="is at 4 pictures, more than the 2 that are asked for: give --pictures of more"):
        train(replace(config, length=LengthConfig(pictures=2)), run.folder)
    assert train(replace(config, length=LengthConfig(pictures=4)), run.folder).about()["total"] == 4


def test_versions_are_a_history(squares, tmp_path, monkeypatch):
    config = tiny(squares, length=LengthConfig(pictures=2))
    train(config, tmp_path / "run")
    monkeypatch.setattr("diptych.training.config_file.versions", lambda: {"torch": "9.9"})
    for pictures in (4, 6):
        run = train(replace(config, length=LengthConfig(pictures=pictures)), tmp_path / "run")
    first, second = run.about()["versions"]
    assert (first["from_pictures"], first["torch"], first["processes"]) == (0, torch.__version__, 1)
    assert second == {"from_pictures": 2, "torch": "9.9", "processor": describe_processor(), "processes": 1}


def test_the_fork_of_a_run_that_is_over_is_refused_unless_it_is_longer(squares, tmp_path):
    train(tiny(squares, length=LengthConfig(pictures=4)), tmp_path / "run")
    gentler = tiny(squares, length=LengthConfig(pictures=4), optimiser=replace(TINY.optimiser, learning_rate=1e-5))
    with pytest.raises(
        RunError, match=r"is at 4 pictures, .* end at 4: give --pictures of more than 4, or a longer --epochs"
    ):
        train(gentler, tmp_path / "run", fork=tmp_path / "fork")
    with pytest.raises(RunError, match=r"is at 4 pictures, .* end at 2: give --pictures of more than 4"):
        train(replace(gentler, length=LengthConfig(pictures=2)), tmp_path / "run", fork=tmp_path / "fork")
    assert not (tmp_path / "fork").exists()
    train(replace(gentler, length=LengthConfig(pictures=6)), tmp_path / "run", fork=tmp_path / "fork")


def test_a_loss_that_is_not_finite_stops_the_run_and_is_named(squares, tmp_path):
    config = tiny(squares, method=CycleganConfig(lambda_a=float("inf"), pool_size=0))
    with pytest.raises(
        RunError, match=r"cycle_a is infinite after 2 pictures: start again with a lower --learning-rate"
    ):
        train(config, tmp_path / "run")
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []


def test_a_picture_that_becomes_unreadable_during_training_loses_nothing(tmp_path):
    from helpers.squares import make_squares

    root = make_squares(tmp_path / "data", train=24)
    config = tiny(root, data=replace(TINY.data, cache_gib=0.0, disk_cache_gib=0.0))

    class Breaks(Silent):
        def show(self, pictures, pictures_per_second, losses, *, waiting_fraction):
            for file in (root / "trainA").iterdir():
                file.write_bytes(file.read_bytes()[:60])

    with pytest.raises(PictureError, match="trainA/.*png is cut off or damaged"):
        train(config, tmp_path / "run", display=Breaks())
    (checkpoint,) = (tmp_path / "run" / "checkpoints").iterdir()
    assert int(checkpoint.stem) >= 100


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": DataConfig(crop_size=30)}, "crop-size 30 is not a multiple of 4"),
        ({"data": DataConfig(crop_size=64, load_size=32)}, "load-size 32 is less than crop-size 64"),
        ({"data": DataConfig(channels_a=2)}, "channels-a is 2, but pictures in .*trainA have 3: give 3"),
        ({"discriminator": PatchganConfig(num_layers=5)}, "crop-size 32 is too small for this discriminator"),
        ({"optimiser": OptimiserConfig(batch_size=0)}, "batch-size is 0: give more than 0"),
        ({"generator": ResnetConfig(width=0)}, "generator.width is 0: give more than 0"),
        ({"optimiser": OptimiserConfig(ema=1.0)}, "ema is 1.0: give at least 0 and less than 1"),
        ({"length": LengthConfig(time="soon")}, "time is 'soon': give a time such as 40m"),
        ({"engine": EngineConfig(precision="fp16", device="cpu")}, "fp16 needs CUDA, and the device is cpu"),
        (
            {"method": CycleganConfig(lambda_identity=0.5), "data": DataConfig(channels_a=1)},
            "lambda-identity is 0.5, but A",
        ),
    ],
)
def test_impossible_options_are_refused_before_anything_is_written(squares, tmp_path, changes, words):
    with pytest.raises(OptionError, match=words):
        train(tiny(squares, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_with_other_files_is_refused(squares, tmp_path):
    (tmp_path / "thesis.txt").write_text("all my work")
    with pytest.raises(RunError, match="is not a run and holds other files"):
        train(tiny(squares), tmp_path)


def test_grey_and_colour_domains_train_without_identity(tmp_path):
    from helpers.squares import make_squares

    root = make_squares(tmp_path / "data", train=6)
    for file in [*(root / "trainA").iterdir(), *(root / "testA").iterdir()]:
        Image.open(file).convert("L").save(file)
    said = []
    display = Silent()
    display.note = said.append
    run = train(tiny(root, length=LengthConfig(pictures=4)), tmp_path / "run", display=display)
    assert said.count("no identity loss, since A has 1 and B 3 channels") == 1
    assert load_model(run.folder).card.channels == (1, 3)
    assert not any("identity" in name for record in records_of(run) for name in record["losses"])


def test_the_sample_grid_has_a_row_for_each_kind_of_picture(squares, tmp_path):
    run = train(tiny(squares, length=LengthConfig(pictures=2)), tmp_path / "run")
    grid = Image.open(sorted(run.samples.iterdir())[0]).convert("RGB")
    # Orange squares stand in the first row of A to B, and blue ones in the first of B to A; pictures are 96 pixels high.
    colours = grid.getcolors(2**24)
    assert {(240, 140, 20), (30, 80, 230)} <= {colour for _, colour in colours}
    assert grid.height > 8 * 96


def test_the_default_folder_is_named_after_the_domains(squares, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = replace(
        TINY, source=SourceConfig(a=squares / "trainA", b=squares / "trainB"), length=LengthConfig(pictures=2)
    )
    assert train(config).folder == Path("runs/trainA2trainB")
    assert train(tiny(squares, length=LengthConfig(pictures=2))).folder == Path("runs") / squares.name


def test_a_run_starts_from_the_networks_of_a_model(squares, tmp_path):
    config = tiny(squares, length=LengthConfig(pictures=4))
    first = train(config, tmp_path / "first")
    begin = replace(TINY.optimiser, init_from=first.model_file, learning_rate=1e-12)
    second = train(replace(config, generator=ResnetConfig(), optimiser=begin), tmp_path / "second")
    assert second.config().generator == config.generator
    ours, theirs = (load_model(run.folder).networks["b2a"].state_dict() for run in (first, second))
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in ours)


def test_a_run_starts_from_the_original_codes_checkpoints(squares, tmp_path):
    from diptych.interop import export_original, import_original

    config = tiny(squares, length=LengthConfig(pictures=4))
    first = train(config, tmp_path / "first")
    export_original(first.folder, tmp_path / "original")
    import_original(sorted((tmp_path / "original").glob("*.pth")), tmp_path / "imported.safetensors")
    begin = replace(TINY.optimiser, init_from=tmp_path / "imported.safetensors", learning_rate=1e-12)
    said = []
    display = Silent()
    display.note = said.append
    second = train(replace(config, optimiser=begin), tmp_path / "second", display=display)
    networks = "generator a2b, generator b2a, discriminator a, discriminator b"
    assert f"initial weights from {tmp_path / 'imported.safetensors'}: {networks}" in said
    before, _ = read_checksummed(first.checkpoint_file(4), "checkpoint")
    after, _ = read_checksummed(second.checkpoint_file(4), "checkpoint")
    for name in before:
        if name.startswith("discriminators."):
            assert torch.allclose(before[name], after[name], atol=1e-6)


def test_a_run_started_from_a_model_resumes_by_the_same_command(squares, tmp_path):
    """The config of the command has the networks of the preset, not those of the model."""
    first = train(tiny(squares, length=LengthConfig(pictures=2)), tmp_path / "first")
    config = tiny(squares, length=LengthConfig(pictures=2), generator=ResnetConfig(), discriminator=PatchganConfig())
    config = replace(config, optimiser=replace(TINY.optimiser, init_from=first.model_file))
    train(config, tmp_path / "second")
    longer = replace(config, length=LengthConfig(pictures=4))
    assert train(longer, tmp_path / "second").config().generator == TINY.generator
    with pytest.raises(OptionError, match=r"generator.width is 8, but the generator in .*second has 4: leave it out"):
        train(replace(longer, generator=ResnetConfig(width=8)), tmp_path / "second")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"generator": ResnetConfig(width=8)}, "generator.width is 8, but the generator in"),
        ({"generator": UnetConfig()}, "is a resnet, not a unet: leave --generator out"),
    ],
)
def test_an_architecture_that_the_model_does_not_have_is_refused(squares, tmp_path, changes, words):
    first = train(tiny(squares, length=LengthConfig(pictures=2)), tmp_path / "first")
    usual = {"generator": ResnetConfig(), "discriminator": PatchganConfig()}
    config = tiny(squares, **usual | changes, optimiser=replace(TINY.optimiser, init_from=first.model_file))
    with pytest.raises(OptionError, match=words):
        train(config, tmp_path / "second")
    assert not (tmp_path / "second").exists()


def test_the_command_that_started_a_run_is_kept(squares, tmp_path, monkeypatch):
    for program, typed in (("/somewhere/bin/diptych", "first"), ("/somewhere/diptych/__main__.py", "second")):
        monkeypatch.setattr("sys.argv", [program, "train", typed])
        train(tiny(squares, length=LengthConfig(pictures=2)), tmp_path / "run")
    assert Run(tmp_path / "run").about()["command"] == "diptych train first"


def test_the_terminal_counts_every_update_and_has_lines_without_a_terminal(monkeypatch):
    said = io.StringIO()
    now = [0.0]
    monkeypatch.setattr("diptych.monitoring.progress.time.monotonic", lambda: now[0])
    display = Terminal(Console(file=said))
    display.start(0, 50)
    for pictures in (1, 2, 3):
        now[0] += 20
        display.advance(pictures)
    assert display.progress.tasks[0].completed == 3
    assert said.getvalue() == "2/50 pictures\n"


def test_an_imported_model_is_not_trained_over(squares, tmp_path):
    first = train(tiny(squares, length=LengthConfig(pictures=2)), tmp_path / "first")
    imported = tmp_path / "imported"
    imported.mkdir()
    (imported / "model.safetensors").write_bytes(first.model_file.read_bytes())
    with pytest.raises(RunError, match=r"imported is not a run .*--init-from .*imported starts from its model"):
        train(tiny(squares), imported)
    assert [path.name for path in imported.iterdir()] == ["model.safetensors"]


def test_networks_that_do_not_fit_are_refused(squares, tmp_path):
    first = train(tiny(squares, length=LengthConfig(pictures=2)), tmp_path / "first")
    begin = replace(TINY.optimiser, init_from=first.folder)
    with pytest.raises(OptionError, match=r"channels-a is 1, but .*first has 3: leave it out"):
        train(tiny(squares, optimiser=begin, data=replace(TINY.data, channels_a=1)), tmp_path / "second")
