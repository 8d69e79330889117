"""The command line: help that answers at once, mistakes in one line with exit code 2."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from diptych.checksummed import read_checksummed
from diptych.cli import COMMANDS, main, parse
from diptych.cli.help import EXIT_CODES
from diptych.cli.options import options_of
from diptych.cli.train import Train
from diptych.config import (
    CycleganConfig,
    EngineConfig,
    PatchganConfig,
    PixelConfig,
    ResnetConfig,
    TrainConfig,
    UnetConfig,
)
from diptych.presets import PRESETS
from diptych.registry import kind_of
from diptych.run import Run
from helpers.processes import Process, run_python


def run(*arguments, cwd=None):
    return run_python(["-m", "diptych", *arguments], cwd=cwd)


def complaint(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1, line
    return line


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["train", "--help"],
        ["translate", "--help"],
        ["evaluate", "--help"],
        ["demo", "--help"],
        ["import", "--help"],
        ["export", "--help"],
        ["show", "--help"],
        ["--version"],
        ["train", "--help-all"],
        ["completion", "bash"],
        ["completion", "zsh"],
        ["completion", "fish"],
        ["completion", "bash", "--", "train", "--gen"],
        ["trian"],
        ["train", "a", "b", "--batchsize", "3"],
        ["translate", "a"],
    ],
)
def test_help_completion_and_mistakes_need_neither_torch_nor_numpy(arguments):
    code = f"""
import sys
from diptych.cli import main
try:
    main({arguments})
except SystemExit as stop:
    print(stop.code)
heavy = {{"torch", "numpy", "PIL", "rich", "argparse"}} & sys.modules.keys()
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len((done.stdout + done.stderr).splitlines()) > 1


@pytest.mark.parametrize("columns", ["80", "120"])
def test_help_fits_the_terminal(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    for words in (["--help"], ["train", "--help-all"], *([name, "--help"] for name in COMMANDS)):
        with pytest.raises(SystemExit):
            main(words)
        too_long = [line for line in capsys.readouterr().out.splitlines() if len(line) > int(columns)]
        assert not too_long, words


def shown(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 0
    return capsys.readouterr().out


def test_the_short_help_explains_the_common_options_and_names_all(capsys):
    short, long = shown(capsys, "train", "--help"), shown(capsys, "train", "--help-all")
    explained = re.findall(r"^  (--[\w-]+)", short, flags=re.MULTILINE)
    assert explained[: len(Train.common)] == list(Train.common)
    assert len(short.splitlines()) < len(long.splitlines()) / 2
    names = set(re.findall(r"--[\w.\[\]-]*\w", long))
    assert names == set(re.findall(r"--[\w.\[\]-]*\w", short))
    for option in options_of(Train, Train.defaults({})):
        if not option.is_argument:
            shown_name = option.opposite.replace("no-", "[no-]", 1)
            assert re.search(rf"^  {re.escape(option.name)}( |$)", long, flags=re.MULTILINE) or shown_name in names
            assert option.help.split()[-1] in long


def test_help_shows_the_default_0_and_no_empty_one(capsys):
    assert re.search(
        r"--seed INT +Seed of every random choice in the run\. \(default: 0\)", shown(capsys, "compress", "--help")
    )
    assert "(default: )" not in shown(capsys, "export", "--help")


def test_help_explains_the_options_of_what_is_chosen(capsys):
    said = shown(capsys, "train", "--generator", "unet", "--help")
    assert re.search(r"^  --generator.num-levels INT$", said, flags=re.MULTILINE)
    assert "Number of times the size is halved" in said
    assert "--generator.num-blocks" not in said


def in_a_terminal(*words, **environment):
    """What a command writes into a terminal, stdout and stderr together."""
    process, screen = pty.fork()
    if process == 0:
        plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
        os.execve(
            sys.executable, [sys.executable, "-m", "diptych", *words], plain | {"TERM": "xterm-256color"} | environment
        )
    written = b""
    with contextlib.suppress(OSError):  # on Linux, reading a closed terminal raises an error
        while part := os.read(screen, 65536):
            written += part
    os.waitpid(process, 0)
    os.close(screen)
    return written.decode()


def test_the_exit_codes_are_those_in_the_documentation():
    table = (Path(__file__).parents[1] / "docs" / "command-line.md").read_text().partition("## Exit codes")[2]
    rows = dict(re.findall(r"^\| (\d+) \| (.+) \|$", table.replace("`", ""), flags=re.MULTILINE))
    assert {code: meaning.partition(" (diptych")[0] for code, meaning in rows.items()} == EXIT_CODES


COLOUR = r"\x1b\[[\d;]*(?:3[0-7]|38;|9[0-7])[\d;]*m"


@pytest.mark.slow
def test_a_terminal_has_colours_unless_no_color_is_set(squares):
    check = ["check", "--root", str(squares), "--no-estimate"]
    assert re.search(COLOUR, in_a_terminal(*check))
    assert not re.search(COLOUR, in_a_terminal(*check, NO_COLOR="1"))
    assert "\x1b[1m" in in_a_terminal("--help")
    assert "\x1b" not in in_a_terminal("--help", NO_COLOR="1")
    assert "\x1b" not in run(*check).stdout + run("--help").stdout


@pytest.mark.parametrize("command", list(COMMANDS))
def test_examples_in_the_help_are_commands_that_parse(command):
    text = run(command, "--help").stdout
    examples = re.findall(r"^  diptych (.+)$", text, flags=re.MULTILINE)
    assert examples
    for example in examples:
        parse(example.split())


def test_options_reach_the_config():
    command = parse(
        [
            "train",
            "a",
            "b",
            "--crop-size",
            "128",
            "--generator",
            "unet",
            "--generator.width",
            "32",
            "--no-flip",
            "--lambda-a",
            "5",
        ]
    )
    config = command.config()
    assert (str(config.source.a), str(config.source.b), config.data.crop_size, config.data.flip) == (
        "a",
        "b",
        128,
        False,
    )
    assert config.generator == UnetConfig(width=32)
    assert config.method.lambda_a == 5
    assert parse(["train", "--discriminator=pixel"]).config().discriminator == PixelConfig()


@pytest.mark.parametrize(
    ("typed", "option", "value"),
    [
        ("--crop-size 64 --crop-size=128", "data.crop_size", 128),
        ("--flip --no-flip", "data.flip", False),
        ("--no-flip --flip", "data.flip", True),
        ("--generator unet --generator resnet", "generator", ResnetConfig()),
        ("--generator=resnet --generator.width 8 --generator=unet", "generator", UnetConfig(width=8)),
        ("--discriminator pixel --discriminator patchgan", "discriminator", PatchganConfig()),
        ("--method pix2pix --method cyclegan", "method", CycleganConfig()),
        ("--preset paper --preset default", "engine", EngineConfig()),
    ],
)
def test_the_last_of_repeated_options_wins(typed, option, value):
    config = parse(["train", "a", "b", *typed.split()]).config()
    for name in option.split("."):
        config = getattr(config, name)
    assert config == value


def test_only_one_length_is_given(capsys):
    said = complaint(capsys, "train", "a", "b", "--pictures", "4", "--time", "40m")
    assert said == "diptych: --pictures and --time are given: give one of them\n"


def test_an_option_of_a_choice_that_is_replaced_is_refused(capsys):
    words = "--generator unet --generator.num-levels 6 --generator resnet"
    said = complaint(capsys, "train", "a", "b", *words.split())
    assert said == "diptych: train has no option --generator.num-levels here: it belongs to --generator unet\n"


OUTSIDE = """
from dataclasses import dataclass
from typing import ClassVar, Literal
from diptych.config import CycleganConfig, PatchganConfig, ResnetConfig
from diptych.config.constraints import option

@dataclass(frozen=True, kw_only=True)
class Tiny(ResnetConfig):
    \"\"\"A tiny generator.\"\"\"
    implementation: ClassVar[str] = "nowhere:Tiny"
    num_steps: int = option(2, "Steps of the tiny one.")
    gated: bool = False
    taps: Literal[1, 2] = 1

@dataclass(frozen=True, kw_only=True)
class Scorer(PatchganConfig):
    implementation: ClassVar[str] = "nowhere:Scorer"
    strictness: float = 0.5

@dataclass(frozen=True, kw_only=True)
class Method(CycleganConfig):
    implementation: ClassVar[str] = "nowhere:Method"
    lambda_tv: float = 0.0

@dataclass(frozen=True, kw_only=True)
class Needy(ResnetConfig):
    implementation: ClassVar[str] = "nowhere:Needy"
    depth: int

@dataclass(frozen=True, kw_only=True)
class Odd(ResnetConfig):
    implementation: ClassVar[str] = "nowhere:Odd"
    sizes: dict = None
"""


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A package that is not diptych's, with options of a method and networks."""
    (tmp_path / "outside_of_diptych.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "outside_of_diptych"
    sys.modules.pop("outside_of_diptych", None)


def test_a_class_path_is_accepted_for_each_kind_with_its_options(outside, capsys):
    typed = f"""--generator {outside}:Tiny --generator.num-steps 3 --generator.gated --generator.taps 2 --generator.width 8
        --discriminator={outside}:Scorer --discriminator.strictness 0.9 --method {outside}:Method --lambda-tv 0.1"""
    config = parse(["train", "a", "b", *typed.split()]).config()
    generator, discriminator, method = config.generator, config.discriminator, config.method
    assert (generator.num_steps, generator.gated, generator.taps, generator.width) == (3, True, 2, 8)
    assert discriminator.strictness == 0.9
    assert (method.lambda_tv, method.lambda_a) == (0.1, None)
    assert [kind_of(part) for part in (generator, discriminator, method)] == [
        f"{outside}:Tiny", f"{outside}:Scorer", f"{outside}:Method",
    ]  # fmt: skip
    said = shown(capsys, "train", "--generator", f"{outside}:Tiny", "--help")
    assert re.search(r"^  --generator.num-steps INT +Steps of the tiny one. \(default: 2\)$", said, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("--generator resent", "there is no generator 'resent': did you mean resnet?"),
        ("--generator nowhere:Tiny", "generator nowhere:Tiny: nowhere cannot be imported (No module named 'nowhere')"),
        ("--generator {}:Tinny", "generator {0}:Tinny: {0} has no 'Tinny'"),
        ("--generator.gated --generator {}:Tiny", "name its class first: --generator package.module:Class"),
        ("--generator.widht 3", "train has no option --generator.widht: did you mean --generator.width?"),
        ("--generator {}:Tiny --generator.taps 3", "--generator.taps is '3': give one of 1, 2"),
        ("--generator {}:Needy", "{0}:Needy cannot be created"),
        ("--generator {}:Odd", "Odd.sizes has the type <class 'dict'>, which the command line cannot read"),
    ],
)
def test_a_mistake_in_a_class_path_is_one_line(outside, capsys, typed, line):
    assert line.format(outside) in complaint(capsys, "train", "a", "b", *typed.format(outside).split())


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_other_options_override_the_preset(preset):
    config = parse(["train", "--preset", preset, "--seed", "7"]).config()
    expected = PRESETS[preset](config.method)
    assert config.optimiser.seed == 7
    assert config.data == expected.data
    assert config.engine == expected.engine


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], "no command 'trian': did you mean train?"),
        (["xyz"], "no command 'xyz': give one of demo, check, train,"),
        (["train", "a", "b", "--batchsize", "3"], "did you mean --batch-size?"),
        (["train", "a", "b", "--frobnicate"], "diptych train --help lists them"),
        (["train", "a", "b", "--crop-size", "big"], "--crop-size"),
        (["train", "a", "b", "--preset", "papre"], "papre"),
        (["train"], "two folders of pictures are needed: give A B, or --root ROOT"),
        (["train", "nowhere", "b"], "nowhere does not exist: give a folder of pictures"),
        (["train", "a", "b", "--time", "later"], "time is 'later': give a time such as 40m"),
        (["completion", "bsh"], "SHELL is 'bsh': did you mean bash? (of bash, zsh, fish)"),
        (["translate", "nothing", "a", "b"], "nothing does not exist"),
        (
            ["train", "a", "b", "c"],
            "train takes [A] [B], and 'c' is one too many: put patterns and names with spaces in quotes",
        ),
        (["train", "a", "--time", "--run", "x"], "--time has no value: give --time TIME"),
        (["train", "a", "b", "--no-flip=1"], "--no-flip takes no value: give --flip or --no-flip"),
        (["train", "a", "b", "--ema", "nan"], "--ema is 'nan': give a number"),
        (["train", "a", "b", "--seed", "1.5"], "--seed is '1.5': give a whole number"),
        (["import", "a.pth"], "import needs --to: give diptych import FILE... --to RUN_OR_FILE"),
        (["translate"], "translate needs MODEL and INPUT and OUTPUT: give diptych translate MODEL INPUT OUTPUT"),
    ],
)
def test_a_mistake_is_one_line(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert words in complaint(capsys, *arguments)


def test_the_command_is_installed():
    done = subprocess.run([sys.executable, "-m", "diptych", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("diptych 0.")


def test_training_from_the_command_line(squares, tmp_path):
    arguments = (
        f"train --root {squares} --run {tmp_path / 'run'} --pictures 4 --batch-size 2 --crop-size 32 --load-size 36"
    )
    small = "--generator.width 4 --generator.num-blocks 1 --discriminator.width 4 --discriminator.num-layers 1"
    first = run(*arguments.split(), *small.split())
    assert first.returncode == 0, first.stderr
    assert first.stdout.strip() == str(tmp_path / "run")
    assert "4/4 pictures" in first.stderr
    again = run(*arguments.split(), *small.split())
    assert "is complete: 4 pictures" in again.stderr
    longer = run("train", "--run", str(tmp_path / "run"), "--epochs", str(8 / 24))
    assert "continuing from" in longer.stderr
    assert "4 of 8 pictures" in longer.stderr


def tiny_run(squares, folder, *options):
    arguments = f"train --root {squares} --run {folder} --batch-size 2 --crop-size 32 --load-size 36 --precision fp32"
    small = "--generator.width 4 --generator.num-blocks 1 --discriminator.width 4 --discriminator.num-layers 1"
    return ["-m", "diptych", *arguments.split(), *small.split(), *options]


@pytest.mark.slow
@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_says_how_to_resume_and_exits_with_130(squares, tmp_path, signal_):
    folder = tmp_path / "run"
    process = Process(tiny_run(squares, folder))
    while not (folder / "metrics.jsonl").is_file() or not (folder / "metrics.jsonl").read_text():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal_)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "diptych: stopped; the same command resumes"
    (checkpoint,) = (folder / "checkpoints").iterdir()
    again = run_python(tiny_run(squares, folder, "--pictures", str(int(checkpoint.stem) + 2)))
    assert f"{int(checkpoint.stem):,} of {int(checkpoint.stem) + 2:,} pictures" in again.stderr


def test_a_second_ctrl_c_stops_at_once_and_keeps_the_checkpoint(squares, tmp_path):
    folder = tmp_path / "run"
    process = Process(tiny_run(squares, folder, "--save-minutes", "0"))
    while not list((folder / "checkpoints").glob("0*.safetensors")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    for checkpoint in (folder / "checkpoints").glob("0*.safetensors"):
        read_checksummed(checkpoint, "checkpoint")


@pytest.mark.slow
def test_a_dry_run_shows_options_time_and_memory_and_writes_nothing(squares, tmp_path):
    done = run_python(tiny_run(squares, tmp_path / "run", "--dry-run"), check=True)
    assert "A 24 pictures and 4 held out" in done.stdout
    assert "4,800 pictures (200 epochs of 24)" in done.stdout
    assert "method.lambda_identity = 1.0" in done.stdout
    assert not (tmp_path / "run").exists()
    needs = r"200 epochs \(4,800 pictures\) would take about [\d,]+ \w+ and [\d.]+ GiB of memory on this machine \(cpu, fp32\)"
    assert re.match(needs, done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_dry_run_of_an_existing_run_estimates_the_rest(squares, tmp_path):
    run_python(tiny_run(squares, tmp_path / "run", "--pictures", "4"), check=True)
    before = sorted((tmp_path / "run").rglob("*"))
    for pictures, words in (
        ("28", "the remaining 1 epochs (24 pictures) would take"),
        ("4", f"{tmp_path / 'run'} is complete"),
    ):
        command = tiny_run(squares, tmp_path / "run", "--pictures", pictures, "--dry-run")
        done = run_python(command, check=True)
        assert words in done.stdout.splitlines()[-1]
    assert sorted((tmp_path / "run").rglob("*")) == before


def test_tensorboard_gets_every_loss(squares, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    options = ["--pictures", "4", "--tensorboard"]
    run_python(tiny_run(squares, tmp_path / "run", *options), check=True)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    logged = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    for name, value in next(record for record in logged if "losses" in record)["losses"].items():
        assert events.Scalars(name)[-1].value == pytest.approx(value)
    assert events.Images("samples")


def test_a_missing_extra_is_one_line(capsys, squares, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    command = tiny_run(squares, tmp_path / "run", "--pictures", "4", "--tensorboard")[2:]
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == "diptych: TensorBoard needs: pip install 'diptych[tensorboard]'"


def test_runs_and_show_list_runs_and_their_facts(capsys, squares, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    run_python(tiny_run(squares, tmp_path / "a" / "run", "--pictures", "4"), check=True)
    for arguments, words in (
        (["runs", str(tmp_path)], ["a/run", "100%", "last score"]),
        (["show", str(tmp_path / "a" / "run")], ["4 of 4", "lambda_identity", "000000004.safetensors"]),
        (["show", str(tmp_path / "a" / "run" / "model.safetensors")], ["cyclegan", "num_blocks"]),
    ):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 0
        said = capsys.readouterr().out
        assert all(word in said for word in words), said


@pytest.mark.parametrize("words", ["--help", "train --help-all", "--version"])
def test_a_closed_pipe_is_not_an_error(words):
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as closed:
        command = [sys.executable, "-m", "diptych", *words.split()]
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("name", ["[old]", "a[/b]c", ":cat:", "[bold red]x"])
def test_runs_and_show_write_names_of_folders_as_they_are(capsys, monkeypatch, tmp_path, name):
    (tmp_path / name).mkdir(parents=True)
    Run(tmp_path / name).write_config(TrainConfig(), {"total": 5})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    assert name.split("/")[0] in shown(capsys, "runs", ".")
    assert name in shown(capsys, "show", name)
