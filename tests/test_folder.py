"""Folders of any size: translating many at a time equals one by one, and a run that was killed goes on."""

import json
import os
import signal
import socket
import threading
import time
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from diptych.atomic import remove_leftovers
from diptych.cli import main
from diptych.config import ResnetConfig, UnetConfig
from diptych.data.formats.reading import read_picture
from diptych.data.image import DecodedImage
from diptych.errors import OptionError, PictureError, UserError
from diptych.inference import pipeline as pipeline_module
from diptych.inference.folder import translate_files
from diptych.inference.manifest import Manifest
from diptych.inference.outputs import plan_outputs
from diptych.inference.pipeline import Pipeline
from diptych.inference.shard import Shard
from diptych.inference.translator import Translator
from helpers.models import save_random_model
from helpers.processes import Process
from helpers.system import cores

RNG = np.random.default_rng(0)
SETTINGS = {"model": "x"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_random_model(tmp_path_factory.mktemp("model") / "model.safetensors")


def fill(folder, number, sides=(8, 12, 16)):
    """``number`` pictures of noise, of a few sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(number):
        values = RNG.integers(0, 256, (sides[index % len(sides)], sides[-1], 3), dtype=np.uint8)
        Image.fromarray(values).save(folder / f"{index:05d}.png", compress_level=1)
    return folder


def translate(capsys, *arguments):
    """The exit code of ``diptych translate``, and the last line that it prints."""
    with pytest.raises(SystemExit) as stop:
        main(["translate", *map(str, arguments)])
    return stop.value.code, capsys.readouterr().err.splitlines()[-1]


def entries(folder):
    """The lines of all manifests in ``folder`` but their settings."""
    lines = [line for path in folder.glob("manifest*.jsonl") for line in path.read_text().splitlines()[1:]]
    return [json.loads(line) for line in lines]


# -- batches


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "generator",
    [
        ResnetConfig(width=8, num_blocks=1),
        ResnetConfig(width=8, num_blocks=1, norm="batch"),
        UnetConfig(width=4, num_levels=5, norm="batch"),
    ],
    ids=["instance", "batch", "unet"],
)
def test_a_folder_gives_what_its_pictures_give_one_by_one(tmp_path, generator, precision, two_cores):
    model = save_random_model(tmp_path / "m.safetensors", generator=generator, seen=True)
    translator = Translator.load(model, precision=precision)
    sizes = []
    forward = translator.forward
    recorded = Translator(lambda batch: (sizes.append(len(batch)), forward(batch))[1], translator.card, "a2b")
    pairs = plan_outputs(fill(tmp_path / "in", 60), tmp_path / "out")
    assert translate_files(recorded, pairs).num_translated == sum(sizes) == 60
    assert max(sizes) > 2
    with cores(1):  # as the threads of a pipeline on two cores
        differences = [
            np.subtract(read_picture(b).values, translator(read_picture(a).values), dtype=int) for a, b in pairs
        ]
    assert max(np.abs(each).max() for each in differences) <= 1  # a batch may sum in another order
    assert sum(np.count_nonzero(each) for each in differences) <= 5


class Steps:
    """Steps of a pipeline that record how much happens at once."""

    def __init__(self, num_pixels=lambda work: 100, fail=lambda batch: False):
        self.num_pixels, self.fail, self.lock = num_pixels, fail, threading.Lock()
        self.in_memory, self.most, self.batches = 0, 0, []

    @property
    def translated(self):
        return [*chain(*self.batches)]

    def stop(self):
        pass

    def examine(self, work):
        work.num_pixels = self.num_pixels(work)

    def read(self, work):
        with self.lock:
            self.in_memory += work.num_pixels
            self.most = max(self.most, self.in_memory)
        work.image = DecodedImage(np.zeros((2, 2, 3), np.uint8))

    def translate(self, batch):
        time.sleep(0.002)
        with self.lock:
            self.batches.append([work.source.name for work in batch])
        if self.fail(batch):
            raise PictureError("too much", cure="less")

    def write(self, work):
        with self.lock:
            self.in_memory -= work.num_pixels


def pairs_of(number):
    return [(Path(f"{index:03d}"), Path(f"out/{index}")) for index in range(number)]


def test_pictures_are_finished_in_order_and_each_once():
    steps = Steps(num_pixels=lambda work: 1 + int(work.source.name) ** 3)
    with Pipeline(pairs_of(200), steps, is_on_cpu=True) as pipeline:
        assert [work.source.name for work in pipeline.finished()] == [f"{index:03d}" for index in range(200)]
        assert not pipeline.computing
        assert steps.in_memory == 0
    assert sorted(steps.translated) == [f"{index:03d}" for index in range(200)]
    assert steps.most <= pipeline_module.PIXELS_AHEAD


def test_pictures_of_more_pixels_than_are_held_are_read_one_at_a_time():
    large = pipeline_module.PIXELS_AHEAD + 1
    steps = Steps(num_pixels=lambda work: large)
    with Pipeline(pairs_of(5), steps, is_on_cpu=True) as pipeline:
        assert len(list(pipeline.finished())) == 5
    assert steps.most == large


def test_a_batch_that_finds_no_memory_is_translated_one_by_one_and_only_what_fails_alone_fails():
    steps = Steps(fail=lambda batch: len(batch) > 1 or batch[0].source.name == "007")
    with Pipeline(pairs_of(60), steps, is_on_cpu=True) as pipeline:
        found = {work.source.name: work.error for work in pipeline.finished()}
    assert max(map(len, steps.batches)) > 1
    assert len(found) == 60
    assert {name: error for name, error in found.items() if error} == {"007": "too much: less"}


def test_another_error_than_of_a_picture_ends_the_pipeline():
    steps = Steps()
    steps.write = lambda work: (_ for _ in ()).throw(UserError("disk full", cure="free some space"))
    with pytest.raises(UserError, match="disk full"), Pipeline(pairs_of(200), steps, is_on_cpu=True) as pipeline:
        list(pipeline.finished())
    assert len(steps.translated) < 200


def test_the_network_waits_all_the_time_for_slow_files_and_hardly_for_fast_ones():
    slow, fast = Steps(), Steps()
    slow.read = lambda work: (time.sleep(0.2), Steps.read(slow, work))
    fast.translate = lambda batch: time.sleep(0.05)
    fractions = []
    for steps in (slow, fast):
        with cores(1), Pipeline(pairs_of(40), steps, is_on_cpu=True) as pipeline:
            list(pipeline.finished())
            fractions.append(pipeline.waiting_fraction)
    assert fractions[0] > 0.5 > fractions[1]


# -- a second run


def test_a_second_run_translates_only_what_is_new_changed_or_gone(model, tmp_path, capsys):
    source, out = fill(tmp_path / "in", 6), tmp_path / "out"
    assert translate(capsys, model, source, out) == (0, "6 translated, 0 failed")
    times = {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
    os.utime(source / "00000.png", (1, 1))  # copied: another time, but the same content
    fill(tmp_path / "other", 1, sides=(20,)).joinpath("00000.png").rename(source / "00001.png")
    (out / "00002.png").unlink()
    fill(tmp_path / "other", 1).joinpath("00000.png").rename(source / "new.png")
    assert translate(capsys, model, source, out) == (0, "3 translated, 4 already there, 0 failed")
    changed = {path.name for path in out.glob("*.png") if times.get(path.name) != path.stat().st_mtime_ns}
    assert changed == {"00001.png", "00002.png", "new.png"}
    assert Image.open(out / "00001.png").size == (20, 20)
    assert translate(capsys, model, source, out) == (0, "0 translated, 7 already there, 0 failed")
    assert translate(capsys, model, source, out, "--overwrite") == (0, "7 translated, 0 failed")
    assert len(entries(out)) == 7


def test_the_manifest_names_input_output_content_time_and_error(model, tmp_path, capsys):
    source, out = fill(tmp_path / "in", 1), tmp_path / "out"
    (source / "bad.jpg").write_bytes(b"no picture")
    assert translate(capsys, model, source, out)[0] == 1
    good, bad = entries(out)
    assert (good["input"], good["output"], good["error"]) == (str(source / "00000.png"), "00000.png", None)
    assert good["bytes"] == (source / "00000.png").stat().st_size
    assert 0 < good["seconds"] < 60
    assert bad["error"].startswith(f"{source}/bad.jpg is not a picture")
    Image.new("RGB", (8, 8)).save(source / "bad.jpg")  # repaired
    assert translate(capsys, model, source, out) == (0, "1 translated, 1 already there, 0 failed")


def test_translations_of_another_model_or_with_other_options_are_not_mixed(model, tmp_path, capsys):
    source, out = fill(tmp_path / "in", 1), tmp_path / "out"
    other = save_random_model(tmp_path / "m.safetensors", generator=ResnetConfig(width=4, num_blocks=2))
    assert translate(capsys, model, source, out)[0] == 0
    cure = "give another output, or pass --overwrite to translate all again"
    for arguments, words in (
        ((model, source, out, "--direction", "b2a"), "with --direction a2b, not --direction b2a"),
        ((model, source, out, "--half", "left"), "without --half, not --half left"),
        ((other, source, out), "by another model"),
    ):
        assert translate(capsys, *arguments) == (2, f"diptych: {out} holds translations {words}: {cure}")
    assert translate(capsys, other, source, out, "--overwrite") == (0, "1 translated, 0 failed")
    assert translate(capsys, other, source, out) == (0, "0 translated, 1 already there, 0 failed")


def test_a_line_that_was_cut_off_is_ignored_and_the_next_one_is_whole(tmp_path, model):
    translator, source, out = Translator.load(model), fill(tmp_path / "in", 2), tmp_path / "out"
    pairs = plan_outputs(source, out)
    with Manifest(out, SETTINGS) as manifest:
        translate_files(translator, pairs, manifest=manifest)
    path = out / "manifest.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    with Manifest(out, SETTINGS) as manifest:
        outcome = translate_files(translator, pairs, manifest=manifest)
    assert (outcome.num_translated, outcome.num_skipped) == (1, 1)
    with Manifest(out, SETTINGS) as manifest:
        assert translate_files(translator, pairs, manifest=manifest).num_skipped == 2


def test_a_file_that_only_has_the_name_of_a_manifest_is_kept(tmp_path):
    (tmp_path / "manifest.jsonl").write_text("mine\n")
    with pytest.raises(OptionError, match="is not a manifest of diptych: move it, or give another output"):
        Manifest(tmp_path, SETTINGS)
    assert (tmp_path / "manifest.jsonl").read_text() == "mine\n"


def test_pictures_of_a_zip_are_skipped_until_the_zip_changes(model, tmp_path, capsys):
    import zipfile

    folder, out = fill(tmp_path / "in", 3), tmp_path / "out"
    for expected in ("3 translated, 0 failed", "1 translated, 2 already there, 0 failed"):
        with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
            for path in sorted(folder.iterdir()):
                archive.write(path, path.name)
        assert translate(capsys, model, tmp_path / "in.zip", out) == (0, expected)
        assert translate(capsys, model, tmp_path / "in.zip", out)[1].startswith("0 translated")
        fill(folder, 1, sides=(24,))


def test_temporary_files_of_killed_processes_are_removed_and_no_others(tmp_path):
    process = Process(["-c", "pass"])
    process.wait()
    name = socket.gethostname().replace("-", "").replace(".", "")[:32]
    dead, alive = (tmp_path / f".{name}-{pid}-5.tmp" for pid in (process.pid, os.getpid()))
    elsewhere, mine = tmp_path / f".another-{process.pid}-5.tmp", tmp_path / ".notes.tmp"
    for path in (dead, alive, elsewhere, mine):
        path.touch()
    remove_leftovers(tmp_path)
    assert set(tmp_path.iterdir()) == {alive, elsewhere, mine}


# -- parts of a folder


def test_shards_are_disjoint_and_together_the_whole_whatever_else_is_there(tmp_path):
    pairs = plan_outputs(fill(tmp_path / "in", 40), tmp_path / "out")
    parts = [Shard(number, 3).part_of(pairs, tmp_path / "out") for number in (1, 2, 3)]
    assert sorted(chain(*parts)) == pairs
    assert all(parts)
    assert Shard(2, 3).part_of(pairs[::2], tmp_path / "out") == [pair for pair in parts[1] if pair in pairs[::2]]


def test_shards_write_manifests_that_the_whole_reads(model, tmp_path, capsys):
    source, out = fill(tmp_path / "in", 9), tmp_path / "out"
    done = [translate(capsys, model, source, out, "--shard", f"{number}/2") for number in (1, 2)]
    assert sum(int(line.split()[0]) for _, line in done) == 9
    assert sorted(path.name for path in out.glob("*.jsonl")) == ["manifest-1-of-2.jsonl", "manifest-2-of-2.jsonl"]
    assert translate(capsys, model, source, out) == (0, "0 translated, 9 already there, 0 failed")


def test_wrong_shards_and_options_without_effect_are_refused(model, tmp_path, capsys):
    source = fill(tmp_path / "in", 1)
    cure = "give part and number of parts, such as 1/8 for the first of 8"
    for text in ("0/2", "3/2", "2", "a/b", "1/0", "-1/2", ""):
        assert translate(capsys, model, source, tmp_path / "out", f"--shard={text}") == (
            2,
            f"diptych: --shard is {text!r}: {cure}",
        )
    picture = source / "00000.png"
    for option in (["--shard", "1/2"], ["--overwrite"]):
        assert translate(capsys, model, picture, tmp_path / "x.png", *option) == (
            2,
            f"diptych: {picture} is one picture, so {option[0]} has no effect: leave it out",
        )


# -- killed


def killed_run(model, source, out, after):
    """Starts ``diptych translate`` and kills it when ``after`` more outputs are there."""
    before = len(list(out.glob("*.png")))
    process = Process(["-m", "diptych", "translate", model, source, out])
    while len(list(out.glob("*.png"))) < before + after:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
def test_a_folder_with_bad_pictures_that_is_killed_twice_is_whole_at_the_end(tmp_path, capsys):
    model = save_random_model(tmp_path / "m.safetensors", generator=ResnetConfig(width=2, num_blocks=1))
    number, num_bad = int(os.environ.get("DIPTYCH_TEST_PICTURES", "1000")), 50
    source, out = fill(tmp_path / "in", number, sides=(8,)), tmp_path / "out"
    bad = sorted(source.iterdir())[7 :: number // num_bad]
    for index, path in enumerate(bad):
        path.write_bytes((b"", b"no picture", path.read_bytes()[:60])[index % 3])
    for _ in range(2):
        killed_run(model, source, out, number // 4)
    done = len(list(out.glob("*.png")))
    with pytest.raises(SystemExit) as stop:
        main(["translate", str(model), str(source), str(out)])
    assert stop.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    assert all(any(line.startswith(f"{path} ") for line in lines) for path in bad)
    words = lines[-1].replace(",", "").split()
    assert int(words[0]) + int(words[2]) == number - num_bad
    assert done - 100 < int(words[2]) <= done  # few were written and not recorded
    made = {path.name for path in out.iterdir()} - {"manifest.jsonl"}
    assert made == {path.name for path in source.iterdir()} - {path.name for path in bad}  # no temporary file
    for name in made:
        assert read_picture(out / name).values.shape == (8, 8, 3)
    failed = {entry["input"] for entry in entries(out) if entry["error"]}
    assert failed == set(map(str, bad))
    assert torch.get_num_threads() == 1  # the caller's threads are as they were
