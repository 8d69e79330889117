"""Files from strangers: none of them makes diptych import a module without consent."""

import sys

import pytest
import torch

from diptych import Translator
from diptych.checksummed import read_checksummed, write_checksummed
from diptych.cli import main
from diptych.config import LengthConfig, ResnetConfig
from diptych.errors import WeightsError
from diptych.model import load_model
from diptych.registry import UntrustedCodeError, load_class
from diptych.run import Run
from diptych.training.loop import train
from helpers.runs import TINY, tiny

EVIL = """
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from diptych.config import LengthConfig, ResnetConfig
Path("ran").touch()

@dataclass(frozen=True)
class Config(ResnetConfig):
    implementation: ClassVar[str] = ResnetConfig.implementation
"""
KIND = "evil_module:Config"


@pytest.fixture(scope="module")
def honest(squares, tmp_path_factory):
    return train(tiny(squares, length=LengthConfig(pictures=2)), tmp_path_factory.mktemp("honest") / "run")


@pytest.fixture
def download(honest, squares, tmp_path, monkeypatch):
    """A folder with a run that names a class, and with the module of this name: the current folder, which is where Python
    looks first."""
    (tmp_path / "evil_module.py").write_text(EVIL)
    (tmp_path / "in").symlink_to(squares / "testA")
    run = Run(tmp_path / "run")
    run.create()
    tensors, description = read_checksummed(honest.model_file, "model")
    description["card"]["generator"]["kind"] = KIND
    write_checksummed(run.model_file, "model", tensors, description)
    about = honest.about()
    about["config"]["generator"]["kind"] = KIND
    run.write_json(run.config_file, about)
    for file in honest.folder.iterdir():  # whatever else a run has
        if file.is_file() and not (run.folder / file.name).exists():
            (run.folder / file.name).write_bytes(file.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "evil_module", raising=False)
    return tmp_path


def run_command(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        main([*map(str, words)])
    return stop.value.code, capsys.readouterr()


@pytest.mark.parametrize("path", ["run", "run/model.safetensors"])
@pytest.mark.parametrize(
    "words",
    [
        ["translate", "PATH", "in", "out"],
        ["evaluate", "PATH", "--root", "ROOT"],
        ["export", "PATH", "--original", "out"],
        ["compress", "PATH", "--root", "ROOT", "--run", "new"],
        ["report", "PATH"],
        ["train", "--root", "ROOT", "--init-from", "PATH", "--run", "new"],
    ],
    ids=lambda words: words[0],
)
def test_a_class_that_a_file_names_is_not_imported(download, capsys, squares, words, path):
    if words[0] == "report" and path != "run":
        pytest.skip("the report is of a run")
    code, out = run_command(capsys, *({"PATH": path, "ROOT": squares}.get(word, word) for word in words))
    assert code == 2
    assert out.err.count("\n") == 1
    assert f"kind is {KIND}, and reading it would run the code of evil_module: give --trust-code" in out.err
    assert out.err.startswith("diptych: run/")
    assert not (download / "ran").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["translate", "run/model.safetensors", "in", "out"],
        ["export", "run", "--original", "out"],
        ["compress", "run", "--width", "2", "--pictures", "2", "--no-score", "--run", "new"],
        ["report", "run"],
    ],
    ids=lambda words: words[0],
)
def test_the_cure_is_accepted(download, capsys, words):
    code, out = run_command(capsys, *words, "--trust-code")
    assert (code, (download / "ran").exists()) == (0, True), out.err


@pytest.mark.parametrize(
    ("words", "shown"), [(["runs", "."], "run"), (["show", "run"], KIND), (["show", "run/model.safetensors"], KIND)]
)
def test_a_stranger_s_run_can_be_looked_at_without_consent(download, capsys, words, shown):
    code, out = run_command(capsys, *words)
    assert code == 0
    assert shown in out.out
    assert not (download / "ran").exists()


def test_the_user_s_own_run_resumes_without_consent(download, capsys, honest):
    code, out = run_command(capsys, "train", "--run", "run", "--dry-run")
    assert (code, (download / "ran").exists()) == (0, True), out.err


@pytest.mark.parametrize(
    "words",
    [["evaluate"], ["compress", "--width", "2", "--pictures", "2", "--no-score"]],
    ids=lambda words: words[0],
)
def test_a_method_that_a_model_file_names_is_not_imported(download, capsys, honest, squares, words):
    tensors, description = read_checksummed(honest.model_file, "model")
    description["card"]["method"] = KIND
    write_checksummed(download / "m.safetensors", "model", tensors, description)
    command = (words[0], "m.safetensors", "--root", squares, *words[1:])
    code, out = run_command(capsys, *command)
    assert (code, (download / "ran").exists()) == (2, False)
    assert f"card.method is {KIND}, and reading it would run the code of evil_module: give --trust-code" in out.err


def test_from_python_it_takes_an_argument_or_an_import(download):
    with pytest.raises(UntrustedCodeError, match=KIND):
        load_model(download / "run")
    with pytest.raises(UntrustedCodeError, match=KIND):
        Translator.load("run")
    with pytest.raises(UntrustedCodeError, match=KIND):
        Run(download / "run").config()
    assert not (download / "ran").exists()
    load_class(KIND, "generator")
    assert load_model(download / "run").card.generator.num_blocks == 1


def test_with_the_argument_it_loads(download):
    assert Translator.load("run", trust_code=True).card.generator.width == TINY.generator.width


@pytest.mark.parametrize("kind", ["os:system", "sys:implementation", "diptych.cli:main", "torch:nn", "os:", ":"])
def test_a_module_that_is_imported_already_gives_no_other_power(honest, tmp_path, kind):
    tensors, description = read_checksummed(honest.model_file, "model")
    description["card"]["generator"]["kind"] = kind
    write_checksummed(tmp_path / "m.safetensors", "model", tensors, description)
    with pytest.raises((WeightsError, UntrustedCodeError)):
        load_model(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    "changes",
    [
        {"num_blocks": 10**9},
        {"width": 10**12},
        {"width": 0},
        {"width": -3},
        {"width": 2**70},
        {"num_blocks": -1},
        {"width": True},
        {"norm": "evil"},
    ],
    ids=str,
)
def test_hostile_sizes_are_refused(honest, tmp_path, changes):
    tensors, description = read_checksummed(honest.model_file, "model")
    description["card"]["generator"] |= changes
    write_checksummed(tmp_path / "m.safetensors", "model", tensors, description)
    with pytest.raises(WeightsError, match="cannot read it"):
        load_model(tmp_path / "m.safetensors")


def test_the_files_of_this_test_are_sound(honest):
    assert isinstance(load_model(honest.folder).card.generator, ResnetConfig)
    assert torch.is_tensor(next(iter(load_model(honest.folder).networks["a2b"].parameters())))
