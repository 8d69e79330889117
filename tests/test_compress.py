"""``diptych compress``: a small model that learns the outputs of a trained one."""

import itertools
import json
import os
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from diptych import Translator
from diptych.checksummed import MODEL, read_checksummed, sha256_of, write_checksummed
from diptych.cli import main
from diptych.compression import candidates
from diptych.compression.candidates import Request, choose
from diptych.compression.compress import compress
from diptych.compression.plan import Options
from diptych.compression.speed import Timing
from diptych.config import (
    CutConfig,
    DistillationConfig,
    OutputConfig,
    PatchganConfig,
    Pix2pixConfig,
    ResnetConfig,
    UnetConfig,
)
from diptych.data.loader import Loader
from diptych.errors import OptionError, RunError
from diptych.losses import dissimilarity
from diptych.methods import Execution, build_method
from diptych.methods.distillation import Teacher
from diptych.model import load_model
from diptych.monitoring.progress import Silent
from diptych.networks import build_generator
from diptych.pair import Pair
from diptych.run import Run
from diptych.training.loop import train
from diptych.training.plan.initial_weights import with_architecture_of
from diptych.training.plan.plan import make_plan
from diptych.training.state import build_from
from helpers.methods import ONE_BY_ONE, flat, graph_of
from helpers.models import save_random_model
from helpers.runs import LengthConfig, tiny


def diptych(capsys, *arguments):
    """The exit code and what was printed, on both streams."""
    with pytest.raises(SystemExit) as end:
        main(list(map(str, arguments)))
    return end.value.code, "".join(capsys.readouterr())


SMALL = ResnetConfig(width=2, num_blocks=1)


def method_for(teacher, *, channels=(3, 3), generator=SMALL, **options):
    config = DistillationConfig(teacher=teacher, teacher_sha256=sha256_of(teacher), **options)
    torch.manual_seed(0)
    return build_method(config, generator.resolved(64), PatchganConfig(), Pair(*channels))


def test_the_ssim_loss_is_the_published_formula_in_each_window():
    torch.manual_seed(0)
    x = torch.rand(1, 2, 12, 10) * 2 - 1
    y = (x + 0.3 * torch.randn_like(x)).clamp(-1, 1)
    c1, c2, found = (0.01 * 2) ** 2, (0.03 * 2) ** 2, []
    for channel, top, left in itertools.product(range(2), range(6), range(4)):
        one, other = (image[0, channel, top : top + 7, left : left + 7].double().numpy() for image in (x, y))
        covariance = np.cov(one.ravel(), other.ravel(), bias=True)
        structure = (2 * covariance[0, 1] + c2) / (covariance[0, 0] + covariance[1, 1] + c2)
        found.append(structure * (2 * one.mean() * other.mean() + c1) / (one.mean() ** 2 + other.mean() ** 2 + c1))
    assert dissimilarity(x, y).item() == pytest.approx(1 - np.mean(found), abs=1e-5)
    assert dissimilarity(x, x).item() == pytest.approx(0, abs=1e-6)


def test_the_student_learns_the_teachers_outputs(learnt, tmp_path, capsys):
    student = tmp_path / "student"
    command = ("compress", learnt.folder, "--run", student, "--width", 4, "--num-blocks", 1, "--pictures", 600)
    code, text = diptych(capsys, *command, "--no-score")
    assert code == 0, text
    stored = json.loads((student / "compression.json").read_text())["comparison"]
    card = load_model(student).card
    assert (card.method, card.compressed_from.method) == ("distillation", "cyclegan")
    assert card.compressed_from.sha256 == sha256_of(learnt.model_file)
    assert card.generator.width == 4

    held_out = Run(student).split().test
    for direction in ("a2b", "b2a"):
        teacher, small = (Translator.load(folder, direction) for folder in (learnt.folder, student))
        domain = held_out.along(direction)[0]
        errors, changes = [], []
        for index in range(len(domain)):
            picture = np.asarray(Image.open(domain.path(index)).convert("RGB"))
            expected = teacher(picture).astype(float)
            errors.append(np.mean((small(picture) - expected) ** 2))
            changes.append(np.mean((picture - expected) ** 2))
        assert np.mean(errors) < 0.2 * np.mean(changes)
        assert stored["psnr_to_teacher"][direction] > 20


@pytest.fixture(scope="module")
def student(teacher, tmp_path_factory):
    """A student of ``teacher``; read-only."""
    options = Options(request=Request(width=2), length=LengthConfig(pictures=16), score=False)
    return compress(teacher.folder, options, tmp_path_factory.mktemp("student") / "run")[0]


@pytest.fixture(scope="module")
def teacher(squares, tmp_path_factory):
    """A run of CycleGAN on the toy pictures, of a few updates."""
    config = tiny(squares, length=LengthConfig(pictures=8), output=OutputConfig(num_samples=1, score=False))
    return train(config, tmp_path_factory.mktemp("teacher") / "run")


class Interrupt(Silent):
    """Sends SIGINT, as Ctrl-C does, after the first update."""

    def advance(self, pictures):
        if pictures == 8:
            os.kill(os.getpid(), signal.SIGINT)


def compressed(teacher, folder, capsys, *options):
    command = ("compress", teacher.folder, "--run", folder, "--width", 2, "--pictures", 16, "--no-score")
    code, text = diptych(capsys, *command, *options)
    assert code == 0, text
    return Run(folder)


def test_a_stopped_compression_resumes_to_the_bit(teacher, tmp_path, capsys):
    whole = compressed(teacher, tmp_path / "whole", capsys)
    config = whole.config()
    config = replace(config, output=replace(config.output, save_minutes=0, keep_checkpoints=9))
    parts = Run(tmp_path / "parts")
    with pytest.raises(KeyboardInterrupt):
        train(config, parts.folder, display=Interrupt())
    assert int(parts.checkpoint_files()[-1].stem) == 8
    train(config, parts.folder)
    expected, found = (read_checksummed(run.checkpoint_file(16), "checkpoint")[0] for run in (whole, parts))
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


def test_the_same_command_goes_on_and_another_is_refused(teacher, tmp_path, capsys):
    run = compressed(teacher, tmp_path / "student", capsys)
    weights = run.model_file.read_bytes()
    compressed(teacher, tmp_path / "student", capsys)
    assert run.model_file.read_bytes() == weights
    code, text = diptych(capsys, "compress", teacher.folder, "--run", run.folder, "--width", 3)
    assert code == 2
    assert "was started with other options (width 2): give --run NEW_RUN, or the same options" in text


def test_a_student_is_an_ordinary_run(student, tmp_path, capsys):
    assert diptych(capsys, "show", student.model_file)[1].count("cyclegan") == 1
    code, text = diptych(capsys, "train", "--run", student.folder, "--fork", tmp_path / "longer", "--pictures", 24)
    assert code == 0, text
    assert int(Run(tmp_path / "longer").checkpoint_files()[-1].stem) == 24
    assert load_model(tmp_path / "longer").card.compressed_from == load_model(student.folder).card.compressed_from
    tuned = with_architecture_of(student.folder, tiny(None, generator=ResnetConfig()))  # --init-from
    assert tuned.generator == load_model(student.folder).card.generator


def test_a_student_of_a_student(student, tmp_path, capsys):
    again = compressed(student, tmp_path / "smaller", capsys, "--direction", "b2a")
    assert list(load_model(again.folder).networks) == ["b2a"]
    assert load_model(again.folder).card.trained_by == "cyclegan"


@pytest.mark.parametrize(
    ("method", "generator"),
    [
        (Pix2pixConfig(direction="b2a"), UnetConfig(width=4, num_levels=5, norm="batch", dropout=True)),
        (CutConfig(), ResnetConfig(width=4, num_blocks=1, antialias=True, upsampling="blur")),
    ],
)
def test_teachers_of_one_direction(method, generator, squares, tmp_path, capsys):
    for part in ("trainA", "trainB"):
        (tmp_path / "data" / part).mkdir(parents=True)
        for number, file in enumerate(sorted((squares / part).iterdir())[:6]):
            (tmp_path / "data" / part / f"{number}.png").write_bytes(file.read_bytes())
    config = tiny(
        tmp_path / "data",
        method=method,
        generator=generator,
        length=LengthConfig(pictures=2),
        output=OutputConfig(num_samples=1, score=False),
    )
    run = compressed(train(config, tmp_path / "teacher"), tmp_path / "student", capsys)
    (direction,) = load_model(run.folder).networks
    assert direction == method.direction
    assert run.config().method.paired == method.paired
    assert not load_model(run.folder).card.generator.dropout


KINDS = {
    "resnet": ResnetConfig(width=4, num_blocks=1),
    "residual": ResnetConfig(width=4, num_blocks=1, residual=True, upsampling="nearest"),
    "batch norm": ResnetConfig(width=4, num_blocks=1, norm="batch"),
    "unet": UnetConfig(width=4, num_levels=5, dropout=True),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [(3, 3), (1, 3)])
def test_the_update_reaches_every_weight_of_the_student_and_none_of_the_teacher(kind, channels, tmp_path):
    if kind == "residual" and channels != (3, 3):
        return  # such a generator needs equal channels
    path = save_random_model(tmp_path / "m.safetensors", generator=KINDS[kind], channels=channels, seen=True)
    student = replace(KINDS[kind], width=2, **({"dropout": False} if kind == "unet" else {}))
    method = method_for(path, channels=channels, generator=student, other_domain=True)
    real = Pair(*(torch.rand(2, number, 64, 64) * 2 - 1 for number in channels))
    ((names, groups, _),) = list(method.update(real, lambda fake: fake, Execution(batch_forwards=True)))
    assert names == "generators"
    assert set(flat(groups)) == {f"{term}_{into}" for term in ("l1", "ssim", "features") for into in "ab"}
    graphs = [set().union(*(graph_of(loss) for loss in group.values())) for group in groups.values()]
    assert all(one.isdisjoint(other) for one, other in itertools.combinations(graphs, 2))
    sum(flat(groups).values()).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in method.generators.parameters())
    teacher = method.teacher(torch.device("cpu"))
    assert all(weight.grad is None for network in teacher.networks.values() for weight in network.parameters())


def test_a_perfect_student_has_no_loss(tmp_path):
    generator = ResnetConfig(width=4, num_blocks=1)
    path = save_random_model(tmp_path / "m.safetensors", generator=generator)
    method = method_for(path, generator=generator)
    for direction, network in load_model(path).networks.items():
        method.generators[direction].load_state_dict(network.state_dict())
    real = Pair(*(torch.rand(1, 3, 32, 32) * 2 - 1 for _ in range(2)))
    ((_, groups, _),) = list(method.update(real, lambda fake: fake, ONE_BY_ONE))
    assert all(loss.item() < 2e-3 for loss in flat(groups).values())  # outputs are kept in float16


def test_outputs_that_are_kept_equal_those_that_are_computed_alone_or_in_any_batch(tmp_path):
    path = save_random_model(tmp_path / "m.safetensors")
    batch = torch.rand(3, 3, 32, 32) * 2 - 1
    kept, none_kept = (Teacher(path, sha256_of(path), size, torch.device("cpu")) for size in (1e6, 0))
    first = kept.translate("a2b", batch)
    assert len(kept.outputs) == 3
    assert not none_kept.outputs
    assert torch.equal(kept.translate("a2b", batch.flip(0)), first.flip(0))
    assert torch.equal(torch.cat([none_kept.translate("a2b", image) for image in batch.split(1)]), first)
    expected = load_model(path).networks["a2b"](batch)
    assert torch.allclose(first, expected, atol=1e-3)
    assert not torch.allclose(kept.translate("b2a", batch), first, atol=1e-3)


def test_a_teacher_that_changed_is_refused(tmp_path):
    path = save_random_model(tmp_path / "m.safetensors")
    method = method_for(path)
    save_random_model(path, generator=ResnetConfig(width=4, num_blocks=2))
    with pytest.raises(RunError, match="has changed since the run was started: give --run NEW_RUN to begin again"):
        list(method.update(Pair(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32)), None, ONE_BY_ONE))


def test_distillation_without_a_teacher_is_refused():
    with pytest.raises(OptionError, match="distillation needs a teacher: give diptych compress RUN"):
        build_from(
            replace(tiny(None), method=DistillationConfig(), data=replace(tiny(None).data, channels_a=3, channels_b=3))
        )


def test_images_are_drawn_again_after_the_distinct_ones(teacher, squares):
    plan = make_plan(tiny(squares), squares.parent / "no-run", None, Silent())
    loader = Loader(plan.loader.readers, plan.config.data, seed=0, batch_size=2, num_distinct=4)
    batches = [loader.batch(count) for count in (0, 2, 4, 6)]
    assert torch.equal(batches[0].a, batches[2].a)
    assert torch.equal(batches[1].b, batches[3].b)
    assert not torch.equal(batches[0].a, batches[1].a)
    assert torch.equal(batches[1].a, plan.loader.batch(2).a)


def timed_by(monkeypatch, seconds_of):
    """Replaces the clock: a call takes ``seconds_of`` the operations of its network."""

    def interleaved(calls, *, rounds):
        return {name: Timing([seconds_of(call.operations)] * rounds) for name, call in calls.items()}

    class Call:
        def __init__(self, model, engine):
            self.operations = candidates.operations(model)

    monkeypatch.setattr(candidates, "interleaved", interleaved)
    monkeypatch.setattr(candidates, "network_call", Call)


def test_the_largest_network_that_is_fast_enough_is_chosen(tmp_path, monkeypatch):
    path = save_random_model(tmp_path / "m.safetensors", generator=ResnetConfig(width=32, num_blocks=3))
    teacher = load_model(path)
    timed_by(monkeypatch, lambda operations: 1e-9 * operations)
    seconds = 1e-9 * candidates.operations(teacher)
    chosen = choose(teacher, Request(faster=8), engine="torch")
    others = candidates.candidates(teacher.card.generator, Request(faster=8))
    students = {each: candidates.operations(candidates.student_of(teacher, each)) for each in others}
    fitting = [each for each, operations in students.items() if 8 * 1.05 * 1e-9 * operations <= seconds]
    assert 1 < len(fitting) < len(others)
    weights = {each: sum(p.numel() for p in build_generator(each, 3, 3).parameters()) for each in fitting}
    assert weights[chosen] == max(weights.values())
    assert choose(teacher, Request(budget=seconds / 8), engine="torch") == chosen


def test_a_speed_that_cannot_be_reached_is_refused_with_the_greatest_that_can(tmp_path, monkeypatch):
    teacher = load_model(save_random_model(tmp_path / "m.safetensors", generator=ResnetConfig(width=16, num_blocks=6)))
    timed_by(monkeypatch, lambda operations: 1.0 if operations > 2e9 else 0.12)
    with pytest.raises(OptionError) as error:
        choose(teacher, Request(faster=15), engine="torch")
    words = "no smaller resnet of width 16 is 15 times as fast as the teacher on this machine: the fastest is 7.9 times"
    assert error.value.problem.startswith(words)
    assert error.value.cure == "give --faster 7"
    assert choose(teacher, Request(faster=7), engine="torch").width < 16
    with pytest.raises(OptionError, match="the fastest takes 126.0 ms: give --budget 127ms"):
        choose(teacher, Request(budget=0.01), engine="torch")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--faster", "3", "--budget", "9ms"], "--faster and --budget are given: give one of them"),
        (["--budget", "9"], "budget is '9': give a time for a picture, such as 10ms"),
        (["--time", "1m", "--pictures", "3"], "--time and --pictures are given: give one of them"),
        ([], "is no run, so its pictures are not known: give A B, or --root ROOT"),
        (["--direction", "b2a", "--root", "x", "--run", "y"], "has no direction b2a: give a2b"),
    ],
)
def test_mistakes_are_one_line(words, message, tmp_path, capsys):
    path = save_random_model(tmp_path / "m.safetensors")
    if "b2a" in words:
        tensors, description = read_checksummed(path, MODEL)
        description["directions"] = ["a2b"]
        write_checksummed(path, MODEL, {k: v for k, v in tensors.items() if k.startswith("a2b")}, description)
    code, text = diptych(capsys, "compress", path, *words)
    assert code == 2
    assert text.startswith("diptych: ")
    assert message in text
    assert text.count("\n") == 1


def test_an_exported_file_is_no_teacher(tmp_path, capsys):
    code, text = diptych(capsys, "compress", tmp_path / "paint.onnx")
    assert (code, text.count("\n")) == (2, 1)
    assert "is an exported file: give the run or the model.safetensors that it is from" in text


def test_a_model_file_needs_pictures_and_a_time(teacher, squares, tmp_path, capsys):
    model = shutil.copy(teacher.model_file, tmp_path / "paint.safetensors")
    code, text = diptych(capsys, "compress", model, "--root", squares, "--width", 2, "--no-score")
    assert code == 2
    assert "does not say how long it was trained: give --time, such as --time 10m" in text
    code, text = diptych(capsys, "compress", model, "--root", squares, "--width", 2, "--pictures", 4, "--no-score")
    assert code == 0, text
    assert str(tmp_path / "paint-small") in text.splitlines()
