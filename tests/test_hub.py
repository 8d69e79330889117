"""``diptych push``, ``diptych pull`` and ``hf:OWNER/NAME``, against a stand-in of the Hub's HTTP interface."""

import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from diptych import Translator, __version__
from diptych.cli import main
from diptych.config import LengthConfig, SourceConfig
from diptych.hub import space
from diptych.hub.facts import facts_of
from diptych.serve import shown
from diptych.serve.models import load_models
from diptych.training.loop import train
from helpers.hub import running_hub
from helpers.runs import TINY
from helpers.squares import make_squares
from helpers.translators import picture

NAME = "somebody/squares"
IN_TORCH = {"device": "cpu", "precision": "fp32", "engine": "torch", "trust_code": False, "report": lambda _: None}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with scores and an alarm."""
    folder = tmp_path_factory.mktemp("pushed")
    source = SourceConfig(root=make_squares(folder / "secret-pictures", train=6))
    run = train(replace(TINY, source=source, length=LengthConfig(pictures=4)), folder / "run")
    score = {"name": "KID (EfficientNet-Lite0)", "better": "lower", "trained": 0.3, "untranslated": 0.2}
    found = {"source": "A", "target": "B", "scores": {"kid": score | {"untrained": 0.5, "real": -0.000387}}}
    protocol = {"seed": 0, "pictures": {"A": {"folder": str(folder / "secret-pictures/testA"), "number": 6}}}
    run.write_json(run.scores_file, {"directions": {"a2b": found}, "protocol": protocol, "remarks": ["few | pictures"]})
    alarm = {"alarm": "the translations are the input", "about": "a2b", "advice": "train longer"}
    run.log({"pictures": 4, "alarms": [alarm]})
    return run


@pytest.fixture
def hub(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # the stand-in has the older interface for large files
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    with running_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        yield hub


def command(capsys, *words, code=0):
    with pytest.raises(SystemExit) as exit_:
        main([*map(str, words)])
    said = capsys.readouterr()
    assert exit_.value.code == code, said.err
    return said.err if code else said.out


class Means(torch.nn.Module):
    """Features for ``diptych evaluate``: the mean of each channel."""

    def forward(self, batch):
        return batch.mean((2, 3))


def push(capsys, run, *words, code=0):
    return command(capsys, "push", run.folder, NAME, "--licence", "cc-by-4.0", *words, code=code)


def test_a_pushed_run_is_pulled_with_the_same_bytes_and_its_facts(hub, run, capsys, tmp_path):
    assert push(capsys, run).strip() == f"{hub.address}/{NAME}"
    assert command(capsys, "pull", NAME).strip() == str((tmp_path / "squares").resolve())
    pulled = Path("squares")
    assert (pulled / "model.safetensors").read_bytes() == run.model_file.read_bytes()
    before, after = facts_of(run.folder), facts_of(pulled)
    assert after == replace(before, name="squares", licence="cc-by-4.0")
    assert after.alarms[0]["alarm"] == "the translations are the input"
    assert {file.name[0] for file in (pulled / "examples").glob("*.png")} == {"a", "b"}


def test_the_card_says_what_the_hub_and_its_readers_need_and_no_path_of_this_machine(hub, run, capsys, tmp_path):
    from huggingface_hub import ModelCard

    push(capsys, run)
    files = hub.repositories[NAME]
    card = ModelCard(files["README.md"].decode())
    assert card.data.license == "cc-by-4.0"
    assert card.data.pipeline_tag == "image-to-image"
    for words in (
        f"diptych translate hf:{NAME}", "the translations are the input", "train longer", "| KID (EfficientNet-Lite0) ↓ |",
        "| trained | input | untrained | real |", "-0.000387", "seed: 0", "few \\| pictures", "6 pictures", "samples.png",
    ):  # fmt: skip
        assert words in card.text, words
    assert Image.open(io.BytesIO(files["samples.png"])).width > 0
    for path, data in files.items():
        for part in run.folder.parts[1:-1]:
            assert part.encode() not in data or path.endswith(".png"), (path, part)


def test_the_served_page_tells_of_a_local_run_its_alarms_scores_and_the_licence_that_is_given(run):
    served = [load_models([run.folder], licence=each, **IN_TORCH).models["run"] for each in ("", "CC0 *1.0*")]
    for each, licence in zip(served, ("not stated: ask the author", "CC0 \\*1.0\\*"), strict=True):
        about = shown.about(each)
        for words in (
            "the translations are the input",
            "train longer",
            "KID (EfficientNet-Lite0)",
            "few \\| pictures",
            licence,
        ):
            assert words in about, words
    assert shown.heading(served[0]).startswith("# run: A ⇄ B\n\n**1 alarm")  # names of folders say nothing


@pytest.mark.parametrize("direction", ["a2b", "b2a"])
def test_hf_stands_for_a_model_in_python_and_in_the_commands(hub, run, capsys, tmp_path, direction):
    push(capsys, run)
    pixels = picture(0, 40, 50)
    expected = Translator.load(run.folder, direction)(pixels)
    assert np.array_equal(Translator.load(f"hf:{NAME}", direction)(pixels), expected)
    Image.fromarray(pixels).save("in.png")
    options = ["--direction", direction, "--precision", "fp32"]
    command(capsys, "translate", f"hf:{NAME}", "in.png", "out.png", *options)
    assert np.array_equal(Image.open("out.png"), expected)
    assert "somebody" not in {path.name for path in tmp_path.iterdir()}


def test_hf_stands_for_a_model_where_it_is_shown_served_exported_scored_and_trained_on(hub, run, squares, capsys):
    push(capsys, run)
    assert "cyclegan" in command(capsys, "show", f"hf:{NAME}")
    catalogue = load_models([Path(f"hf:{NAME}")], **IN_TORCH)
    about = shown.about(catalogue.models["squares"])
    for words in ("the translations are the input", "KID (EfficientNet-Lite0)", "6 pictures", "cc-by-4.0"):
        assert words in about
    command(capsys, "export", f"hf:{NAME}", "out.pt2")
    assert Path("out.pt2").is_file()
    command(capsys, "evaluate", f"hf:{NAME}", squares / "testA", squares / "testB", "--features", f"{__name__}:Means")
    small = ["--pictures", "2", "--batch-size", "2", "--crop-size", "32", "--load-size", "36"]
    command(capsys, "train", "--root", squares, "--init-from", f"hf:{NAME}", "--run", "started", *small)
    assert json.loads(Path("started/config.json").read_text())["config"]["optimiser"]["init_from"] == f"hf:{NAME}"
    assert Path("started/model.safetensors").is_file()


def test_a_push_that_was_refused_sends_nothing_twice(hub, run, capsys):
    hub.failing_commits = 1
    assert f"diptych: the Hub refuses {NAME} (the Hub is under repair)" in push(capsys, run, code=2)
    stored = [request for request in hub.requests if request.startswith("PUT")]
    assert stored
    assert hub.repositories[NAME] == {}
    push(capsys, run)
    assert [request for request in hub.requests if request.startswith("PUT")] == stored
    assert hub.repositories[NAME]["model.safetensors"] == run.model_file.read_bytes()


def test_a_download_that_was_cut_off_goes_on_where_it_stopped(hub, run, capsys, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 500)
    push(capsys, run)
    hub.cut_after = 1000
    command(capsys, "pull", NAME, "there")
    assert Path("there/model.safetensors").read_bytes() == run.model_file.read_bytes()
    parts = [(start, size) for path, start, size in hub.sent if path == "model.safetensors"]
    assert parts == [(0, 1000), (1000, run.model_file.stat().st_size - 1000)]
    hub.sent.clear()
    command(capsys, "pull", NAME, "there")
    assert hub.sent == []


def test_a_space_serves_the_model(hub, run, capsys):
    push(capsys, run, "--space")
    files = hub.repositories[f"spaces/{NAME}"]
    assert b"sdk: gradio" in files["README.md"]
    from diptych.cli import parse
    from diptych.cli.serve import Serve

    given = []
    exec(files["app.py"].decode().replace("from diptych.cli import main", "main = given.append"), {"given": given})
    served = parse(given[0])
    assert isinstance(served, Serve)
    assert (served.models, served.host) == ((Path(f"hf:{NAME}"),), "0.0.0.0")


@pytest.mark.parametrize(
    ("direct_url", "requirement"),
    [
        (None, f"diptych[app,hub]=={__version__}"),
        (
            {"url": "https://example.org/diptych.whl", "archive_info": {}},
            "diptych[app,hub] @ https://example.org/diptych.whl",
        ),
        (
            {"url": "https://example.org/d.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "diptych[app,hub] @ git+https://example.org/d.git@abc",
        ),
    ],
)
def test_a_space_installs_diptych_from_where_pip_got_it(monkeypatch, direct_url, requirement):
    monkeypatch.setattr(
        space, "distribution", lambda _: SimpleNamespace(read_text=lambda _: direct_url and json.dumps(direct_url))
    )
    files = space.space_files(NAME)
    assert files["requirements.txt"].decode() == f"{requirement}\n"
    assert len(files) == 3


def test_a_space_has_the_package_itself_if_pip_got_it_from_this_machine(monkeypatch, tmp_path):
    """As a release would be missing. It works in a folder without any other diptych."""
    needs = [
        "torch>=2.13",
        "gradio>=6.0; extra == 'app'",
        "huggingface-hub>=1.0; extra == 'hub'",
        "mypy; extra == 'dev'",
    ]
    origin = json.dumps({"url": "file:///home", "dir_info": {"editable": True}})
    found = SimpleNamespace(read_text=lambda _: origin, requires=needs)
    monkeypatch.setattr(space, "distribution", lambda _: found)
    files = space.space_files(NAME)
    assert files["requirements.txt"].decode().split() == ["gradio>=6.0", "huggingface-hub>=1.0", "torch>=2.13"]
    assert not any(name.endswith((".pyc", ".jpg")) for name in files)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "app.py").write_bytes(
        b"import diptych; print(diptych.__file__)\n" + files["app.py"].replace(b'"hf:', b'"missing-')
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run([sys.executable, "app.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "diptych: missing-somebody/squares does not exist" in ended.stderr
    assert ended.stdout == f"{tmp_path}/diptych/__init__.py\n"


def test_mistakes_are_one_line_with_a_cure(hub, run, capsys, tmp_path):
    assert command(capsys, "push", run.folder, NAME, code=2).endswith("mit, cc-by-4.0 or other\n")
    assert "is no name on the Hub: give OWNER/NAME" in command(capsys, "pull", "squares", code=2)
    assert "nobody/nothing is not on the Hub" in command(capsys, "pull", "nobody/nothing", code=2)
    assert "is not on the Hub" in command(capsys, "translate", "hf:nobody/nothing", "in.png", "out.png", code=2)
    hub.tokens = ("right",)
    assert "log in with hf auth login" in push(capsys, run, code=2)
    shutil.copytree(run.folder, "squares")
    assert "squares is a run, whose model would be replaced" in command(capsys, "pull", NAME, code=2)
    Path("model.onnx").touch()
    assert "is an exported file" in command(capsys, "push", "model.onnx", NAME, "--licence", "mit", code=2)
