"""report.html: one file that needs nothing else, for any content of the run and any names."""

import base64
import io
import json
import os
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from diptych.cli import main
from diptych.config import LengthConfig, SourceConfig
from diptych.monitoring.grid import Block, Row
from diptych.monitoring.progress import Silent
from diptych.report.charts import binned, nice_ticks, smoothed
from diptych.report.collect import collect
from diptych.report.embed import MAX_GRIDS, embed, thinned
from diptych.report.report import write_report
from diptych.run import Run
from diptych.training.loop import train
from helpers.runs import TINY
from helpers.squares import make_squares

HOSTILE = "<script>alert('&amp;')</script>\"&>"
EMPTY_TAGS = {"meta", "img", "input", "br", "line"}
ALARM = {
    "alarm": "mode collapse: different pictures come out alike",
    "name": "relative_spread",
    "about": "a2b",
    "value": 0.04,
    "threshold": 0.2,
    "advice": "give more pictures",
}


class Page(HTMLParser):
    """The page's text, its tags with their attributes, and whether they nest as they should."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in EMPTY_TAGS:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, (tag, self.open)

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag, **wanted):
        """The attributes of each ``tag`` that has all attributes ``wanted``; a value may be a part of the tag's."""
        found = [attributes for name, attributes in self.tags if name == tag]
        return [a for a in found if all(key in a and value in a[key] for key, value in wanted.items())]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of three sample grids; read-only."""
    folder = tmp_path_factory.mktemp("report")
    config = replace(TINY, source=SourceConfig(root=make_squares(folder / "pictures", train=24)))
    config = replace(config, length=LengthConfig(pictures=200), output=replace(config.output, num_samples=2))
    return train(config, folder / "run")


@pytest.fixture
def run(trained, tmp_path):
    """A copy of ``trained`` that a test may change, without the alarms that so short a run raises."""
    run = Run(Path(shutil.copytree(trained.folder, tmp_path / "run")))
    records = [record for record in run.metrics() if "alarms" not in record]
    run.metrics_file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return run


def page_of(run, blocks=None):
    return Page(write_report(run, blocks).read_text(encoding="utf-8"))


def score(**numbers):
    return {"name": "KID (Net)", "better": "lower", "trained": 0.3, "untranslated": 0.2, "untrained": 0.5,
            "real": -0.001, "interval": [0.25, 0.35]} | numbers  # fmt: skip


@pytest.mark.slow
def test_a_run_updates_its_report_during_training(trained):
    page = Page(trained.report_file.read_text(encoding="utf-8"))
    assert "Finished · 200 pictures of each domain" in page.text
    assert len(page.all("img", **{"data-at": ""})) == len(list(trained.samples.glob("*.png")))
    assert len(page.all("div", **{"class": "compare"})) == 2 * 4
    assert {"Adversarial", "Cycle consistency", "Identity", "Discriminator", "Learning rate", "Speed"} <= set(
        page.words
    )
    assert "diptych translate" in page.text
    assert "optimiser.learning_rate" in page.text


def test_nothing_is_loaded_from_elsewhere(run):
    run.picture_file.write_bytes(next(run.samples.glob("*.png")).read_bytes())
    text = write_report(run).read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|<link|<iframe", text)
    page = Page(text)
    assert all(image["src"].startswith("data:image/webp;base64,") for image in page.all("img"))
    assert all("src" not in script for script in page.all("script"))
    assert all(link["href"].startswith("#") for link in page.all("a"))
    assert "default-src 'none'" in page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    anchors = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {link["href"][1:] for link in page.all("a")} <= anchors


def test_the_report_made_afterwards_compares_the_same_pictures(trained, run):
    before = Page(trained.report_file.read_text(encoding="utf-8"))
    after = page_of(run)
    given = [[image["src"] for image in page.all("img", alt=", picture ")] for page in (before, after)]
    assert given[0] == given[1]
    assert len(given[0]) == 16


def test_names_are_escaped(run):
    about = run.about()
    about["config"]["source"] = {"a": f"x/{HOSTILE.replace('/', '')}", "b": "y/絵画-לוח", "root": None}
    about["command"] = f"diptych train {HOSTILE}"
    about["versions"] = [{HOSTILE: HOSTILE}]
    run.write_json(run.config_file, about)
    run.log({"pictures": 200, "losses": {HOSTILE: 1.0}})
    run.log({"pictures": 200, "alarms": [dict.fromkeys(ALARM, HOSTILE)]})
    found = {"source": HOSTILE, "target": HOSTILE, "scores": {"kid": score(name=HOSTILE)}}
    scores = {"directions": {"a2b": found}, "remarks": [HOSTILE], "protocol": {HOSTILE: {"x": HOSTILE}}}
    run.write_json(run.scores_file, scores)
    info = PngInfo()
    info.add_itxt("Description", HOSTILE)
    Image.new("RGB", (8, 8)).save(run.picture_file, pnginfo=info)
    picture = np.zeros((8, 8, 3), np.uint8)
    page = page_of(run, [Block(HOSTILE, [Row(HOSTILE, [picture]), Row(HOSTILE, [picture])])])
    assert len(page.all("script")) == 1
    assert page.words.count(HOSTILE) >= 9
    assert "絵画-לוח" in page.words
    assert run.report_file.read_text(encoding="utf-8").count("<script") == 1


def test_scores_are_shown_with_reference_values_and_protocol(run):
    found = {"kid": score(), "diversity": score(name="diversity", better=None, interval=None, real=None)}
    protocol = {"model": {"pictures_seen": 100}, "features": {"network": "Net", "sha256": "abc"}}
    scores = {"directions": {"b2a": {"source": "B", "target": "A", "scores": found}}, "remarks": ["few"]}
    run.write_json(run.scores_file, scores | {"protocol": protocol})
    text = page_of(run).text
    assert "B to A" in text
    assert "KID (Net) ↓ 0.25 … 0.35 with 95 % confidence not better than the input 0.3 0.2 0.5 −0.001" in text
    assert text.count("not better than the input") == 1
    assert "Scores of the model after 100 pictures; the run has continued since then." in text
    assert "features.network Net features.sha256 abc" in text


def test_scores_while_training_are_a_curve(run):
    for pictures, value in ((100, 0.3), (150, 0.1), (200, 0.2)):
        run.log({"pictures": pictures, "score": {"criterion": "KID (Net)", "value": value, "a2b": value, "b2a": value}})
    page = page_of(run)
    assert "KID (Net); lower is better. Best at 150 pictures." in page.text
    lines = json.loads(page.all("figure", **{"data-lines": "A to B"})[0]["data-lines"])
    assert [line["name"] for line in lines] == ["A to B", "B to A"]
    assert lines[0]["points"] == [[100, 0.3], [150, 0.1], [200, 0.2]]


def test_charts_come_in_the_order_of_the_losses_and_lines_in_that_of_the_domains(run):
    run.metrics_file.unlink()
    names = ("novel", "discriminator_b", "gan_b", "gan_a", "cycle_b", "cycle_a", "discriminator_a")
    run.log({"pictures": 100, "learning_rate": 0.1, "losses": dict.fromkeys(names, 1.0)})
    page = page_of(run)
    charts = [json.loads(figure["data-lines"]) for figure in page.all("figure", **{"class": "chart"})]
    assert [[line["name"] for line in lines] for lines in charts] == [
        *3 * [["A", "B"]], ["novel"], ["learning rate"],
    ]  # fmt: skip
    titles = ["Adversarial", "Cycle consistency", "Discriminator", "Novel", "Learning rate"]
    assert [word for word in page.words if word in titles] == titles


def test_alarms_are_shown_until_they_are_gone(run):
    run.log({"pictures": 100, "alarms": [ALARM | {"about": "data"}]})
    assert "No alarms." in page_of(run).text  # the grid at 200 was drawn without one
    assert "1 earlier alarm, no longer raised" in page_of(run).text
    run.log({"pictures": 200, "alarms": [ALARM]})
    text = page_of(run).text
    assert (
        "1 alarm A to B : mode collapse: different pictures come out alike. relative spread 0.04, threshold 0.2" in text
    )
    assert "What to try: give more pictures." in text
    assert "Last seen at 100 pictures." in text
    run.log({"pictures": 200, "alarms": []})
    assert "No alarms." in page_of(run).text


@pytest.mark.parametrize("missing", ["samples", "metrics.jsonl", "model.safetensors", "pictures", "all"])
def test_a_missing_part_is_left_out(run, missing):
    if missing == "pictures":
        about = run.about()
        about["config"]["source"]["root"] = about["relative"]["root"] = "nowhere"
        run.write_json(run.config_file, about)
    every = ("samples", "metrics.jsonl", "model.safetensors", "checkpoints")
    for name in every if missing == "all" else (missing,):
        path = run.folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    text = page_of(run).text
    expected = {
        "samples": ["No samples yet."],
        "metrics.jsonl": ["Nothing has been measured yet."],
        "model.safetensors": ["holds no model"],
        "pictures": ["There are no pictures to compare: nowhere is not a folder"],
    }
    for words in expected.get(
        missing, ["No samples yet.", "Nothing has been measured yet.", "Not finished · 0 of 200"]
    ):
        assert words in text
    assert "No scores yet." in text


def test_damaged_parts_are_left_out(run):
    grids = sorted(run.samples.glob("*.png"))
    grids[0].write_bytes(grids[0].read_bytes()[:100])
    run.scores_file.write_text("{")
    run.picture_file.write_bytes(b"no picture")
    run.log({"pictures": 200, "losses": {"cycle_a": float("nan")}})
    page = page_of(run)
    assert len(page.all("img", **{"data-at": ""})) == len(grids) - 1
    assert "No scores yet." in page.text
    assert "nan" not in json.dumps(page.all("figure"))


@pytest.mark.slow
def test_it_stays_under_20_mb_whatever_the_run_holds(run):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (1600, 2200, 3), np.uint8)
    first = run.samples / "000001000.png"
    Image.fromarray(noise).save(first, compress_level=0)
    for index in range(1, 200):
        os.link(first, run.samples / f"{1000 + index:09d}.png")
    os.link(first, run.picture_file)
    with run.metrics_file.open("a") as file:
        for index in range(20000):
            file.write(
                json.dumps({"pictures": 200 + index, "losses": {"cycle_a": 1.0, "cycle_b": rng.random()}}) + "\n"
            )
    rows = [Row("x", [noise[:1000, :1000]] * 8), Row("as y", [noise[:1000, :1000]] * 8)]
    page = page_of(run, [Block("x to y", rows)] * 2)
    assert run.report_file.stat().st_size < 20e6
    grids = page.all("img", **{"data-at": ""})
    assert len(grids) == MAX_GRIDS
    assert [grid["data-at"] for grid in grids][-1] == "1,199"
    assert len(page.all("div", **{"class": "compare"})) == 12


def test_small_pictures_are_kept_without_loss():
    values = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    made = embed(Image.fromarray(values), 10_000)
    again = Image.open(io.BytesIO(base64.b64decode(made.uri.partition(",")[2])))
    assert (np.asarray(again.convert("RGB")) == values).all()


def test_thinning_keeps_the_first_and_the_last():
    assert thinned(range(5), 12) == [0, 1, 2, 3, 4]
    assert thinned(range(200), 3) == [0, 100, 199]


def test_curves_keep_their_ends_and_their_level():
    points = [(float(x), 2.0) for x in range(1000)]
    assert binned(points)[-1] == (999.0, 2.0)
    assert len(binned(points)) <= 240
    assert smoothed([(0.0, 0.0), (1.0, 3.0), (2.0, 0.0)]) == [(0.0, 1.5), (1.0, 1.0), (2.0, 1.5)]
    for values in ([0.0], [5.0], [-3.0], [0.2, 7.0], [99.0, 100.0], [-1.0, 1.0], [1e-9], [2e-4, 2e-4]):
        ticks = nice_ticks(values)
        assert ticks[0] <= min(values)
        assert ticks[-1] >= max(values) * (1 - 1e-9)
        assert 2 <= len(ticks) <= 7


def test_a_full_disk_leaves_the_run_and_the_last_report_as_they_are(run, monkeypatch):
    before = run.report_file.read_bytes()
    monkeypatch.setattr(Path, "write_text", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="No space left"):
        write_report(run, [])
    assert run.report_file.read_bytes() == before
    assert not list(run.folder.glob(".*.tmp"))


def test_a_report_that_cannot_be_written_does_not_end_the_run(squares, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left")

    monkeypatch.setattr("diptych.training.run_writer.write_report", full)
    config = replace(TINY, source=SourceConfig(root=squares), length=LengthConfig(pictures=2))
    notes = []
    display = Silent()
    display.note = notes.append
    assert train(config, tmp_path / "run", display=display).model_file.is_file()
    assert "no report at 2 pictures: No space left" in notes


def test_the_command_writes_it_and_says_where(run, capsys):
    run.report_file.unlink()
    with pytest.raises(SystemExit) as stop:
        main(["report", str(run.folder)])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"{run.report_file}\n"
    assert run.report_file.is_file()


def test_what_is_no_run_gets_no_report(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["report", str(tmp_path)])
    assert stop.value.code == 2
    assert "is not a run" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_reach_of_a_run_without_records_is_that_of_its_samples(run):
    run.metrics_file.unlink()
    assert collect(run, []).pictures == 200
