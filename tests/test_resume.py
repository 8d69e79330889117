"""A run that is killed, at any moment and repeatedly, resumes as if it had never stopped."""

import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from diptych.checksummed import read_checksummed
from diptych.config import CycleganConfig, EngineConfig, LengthConfig, OptimiserConfig, ResnetConfig
from diptych.errors import RunError
from diptych.lock import locked
from diptych.run import Run
from diptych.training.loop import train
from helpers.processes import Process, run_python
from helpers.runs import PICTURES, SMALL, InterruptAt, assert_equal_runs, records_of, state_of, tiny


def command(root, run, *options):
    """Trains with a checkpoint after every update, so that most kills fall into writing one."""
    arguments = f"train --root {root} --run {run} {SMALL} --discriminator.num-layers 1 --batch-size 2 --save-minutes 0"
    return ["-m", "diptych", *arguments.split(), "--pictures", str(PICTURES), *options]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_killed_at_random_moments_equals_one_that_never_stopped(squares, tmp_path, precision):
    options = ["--precision", precision]
    run_python(command(squares, tmp_path / "whole", *options, "--num-workers", "0"), check=True)
    rng, kills, inside_a_write = random.Random(precision), 0, 0
    killed = Run(tmp_path / "killed")
    for number_of_workers in (0, 3, 2, 5):
        process = Process(command(squares, killed.folder, *options, "--num-workers", str(number_of_workers)))
        already = len(list(killed.samples.glob("*.png"))), killed.checkpoint_files()
        while process.poll() is None and killed.checkpoint_files() == already[1]:
            time.sleep(0.002)  # it has begun when it writes its first checkpoint
        if number_of_workers % 2:
            while process.poll() is None and not any(killed.checkpoints.glob(".*.tmp")):
                pass  # a checkpoint is being written while its temporary file exists
        else:
            time.sleep(rng.random() * 0.4)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        inside_a_write += any(killed.checkpoints.glob(".*.tmp"))
    run_python(command(squares, killed.folder, *options), check=True)
    assert kills >= 3
    assert inside_a_write >= 1
    assert not any(killed.checkpoints.glob(".*.tmp"))
    assert_equal_runs(Run(tmp_path / "whole"), killed)
    tensors, _ = state_of(killed)
    assert sum(name.startswith("pools.a.") for name in tensors) == 50
    assert any(name.startswith("ema.") for name in tensors)
    rates = [record["learning_rate"] for record in records_of(killed)]
    assert rates[-1] < rates[0] / 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"generator": ResnetConfig(width=4, num_blocks=1, dropout=True)},
        {"generator": ResnetConfig(width=4, num_blocks=1, norm="batch")},
        {"optimiser": OptimiserConfig(batch_size=2, ema=0.0, schedule="cosine")},
        {"method": CycleganConfig(gan_loss="hinge", lambda_identity=0.0, pool_size=3)},
    ],
    ids=["dropout", "batch norm", "no ema", "hinge"],
)
def test_every_kind_of_run_resumes_to_the_bit(squares, tmp_path, changes):
    config = tiny(squares, length=LengthConfig(pictures=PICTURES), **changes)
    whole = train(config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "broken", display=InterruptAt(100))
    assert_equal_runs(whole, train(config, tmp_path / "broken"))


@pytest.mark.slow
def test_a_longer_run_keeps_what_was_learnt_and_stretches_the_decay(squares, tmp_path):
    config = tiny(squares, length=LengthConfig(pictures=200))
    train(config, tmp_path / "run")
    run = train(replace(config, length=LengthConfig(pictures=400)), tmp_path / "run")
    rates = {record["pictures"]: record["learning_rate"] for record in records_of(run)}
    assert list(rates) == [100, 200, 300, 400]
    assert rates[200] == pytest.approx(2e-4 / 51)
    assert rates[300] == pytest.approx(2e-4 * (1 - 50 / 101))


def test_a_run_resumes_without_repeated_options(squares, tmp_path):
    options = ["--precision", "fp32", "--lambda-a", "7", "--pictures", "4"]
    run_python(command(squares, tmp_path / "run", *options), check=True)
    again = ["-m", "diptych", "train", "--run", str(tmp_path / "run"), "--pictures", "6"]
    done = run_python(again)
    assert done.returncode == 0, done.stderr
    assert "4 of 6 pictures" in done.stderr
    assert Run(tmp_path / "run").config().method.lambda_a == 7


def test_two_processes_never_train_one_run(squares, tmp_path):
    config = tiny(squares, length=LengthConfig(pictures=4))
    (tmp_path / "run").mkdir()
    code = f"""
import time
from pathlib import Path
from diptych.lock import locked
with locked(Path({str(tmp_path / "run")!r})):
    print("locked", flush=True)
    time.sleep(60)
"""
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "locked\n"
    with pytest.raises(RunError, match=f"is being trained by process {holder.pid}: wait for it"):
        train(config, tmp_path / "run")
    holder.kill()  # the lock is released with its process
    holder.wait()
    train(config, tmp_path / "run")


def test_the_lock_is_free_again_after_use(tmp_path):
    for _ in range(2):
        with locked(tmp_path):
            pass


def test_weights_that_are_not_finite_are_never_written(squares, tmp_path):
    # With a learning rate of infinity, the losses of the first update are finite and the weights after it are not.
    config = tiny(
        squares, optimiser=OptimiserConfig(batch_size=2, learning_rate=float("inf")), length=LengthConfig(pictures=2)
    )
    with pytest.raises(RunError, match="is (NaN|infinite) after 2 pictures: start again with a lower"):
        train(config, tmp_path / "run")
    assert not any((tmp_path / "run" / "checkpoints").iterdir())
    assert not (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize(("on_full_disk", "code"), [("continue", 0), ("stop", 2)])
def test_a_full_disk_loses_nothing(squares, tmp_path, on_full_disk, code):
    # A limit on the file size simulates a full disk: checkpoints grow with the pools until they no longer fit.
    run = Run(tmp_path / "run")
    options = ["--precision", "fp32", "--pictures", "8", "--pool-size", "50", "--on-full-disk", on_full_disk]
    run_python(command(squares, run.folder, *options), check=True)
    limit = run.checkpoint_files()[-1].stat().st_size + 20_000
    kept = run.checkpoint_files()[-1]
    script = f"""
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
from diptych.cli import main
main({command(squares, run.folder, *options)[2:]!r} + ["--pictures", "12", "--save-minutes", "0"])
"""
    done = run_python(["-c", script])
    assert "no checkpoint at" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == 2  # at the end there is no next checkpoint
    assert ("training continues, and tries again" in done.stderr) == (code == 0)
    read_checksummed(kept if kept.exists() else run.checkpoint_files()[-1], "checkpoint")
    assert not any(run.checkpoints.glob(".*.tmp"))
    again = run_python(command(squares, run.folder, *options, "--pictures", "12"))
    assert again.returncode == 0


def test_precision_of_a_run_is_kept(squares, tmp_path):
    config = tiny(squares, engine=EngineConfig(precision="bf16"), length=LengthConfig(pictures=2))
    train(config, tmp_path / "run")
    longer = replace(config, engine=EngineConfig(), length=LengthConfig(pictures=4))
    assert train(longer, tmp_path / "run").config().engine.precision == "bf16"


def test_a_damaged_checkpoint_names_the_one_before(squares, tmp_path):
    config = tiny(squares, length=LengthConfig(pictures=4))
    train(config, tmp_path / "run")
    run = train(replace(config, length=LengthConfig(pictures=6)), tmp_path / "run")
    older, newest = run.checkpoint_files()
    newest.write_bytes(newest.read_bytes()[:-1])
    longer = replace(config, length=LengthConfig(pictures=8))
    with pytest.raises(
        RunError, match=f"{newest.name} is damaged.*: remove it, and the run continues from .*{older.name}"
    ):
        train(longer, run.folder)
    newest.unlink()
    assert train(longer, run.folder).checkpoint_files()[-1].stem == "000000008"
