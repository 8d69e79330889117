"""Several processes that train one run: the numbers of one process, one writer, and a common end."""

import ast
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pytest
import torch

from diptych.checksummed import read_checksummed
from diptych.config import SourceConfig
from diptych.data.files import by_hash
from diptych.data.sampling import order
from diptych.data.sources import find_split
from diptych.monitoring import meters
from diptych.monitoring.samples import MAX_COLUMNS
from diptych.run import Run
from diptych.training import image_pool
from helpers.processes import Process
from helpers.runs import SMALL, losses_of, records_of
from helpers.squares import make_squares

WORKER = Path(__file__).with_name("update_worker.py")
PATIENCE = 600
"""Seconds after which a process that does not end counts as hanging. Our own waits would last for hours."""
OPTIONS = f"{SMALL} --discriminator.num-layers 1 --precision fp32 --num-samples 2".split()


def environments(number):
    """The environment variables that a launcher sets for each process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    for rank in range(number):
        ranks = {"RANK": rank, "WORLD_SIZE": number, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": number}
        yield os.environ | address | {name: str(value) for name, value in ranks.items()}


def start(arguments, number, folders=None):
    """Starts Python processes with ``arguments`` as a launcher does, each in its own folder if ``folders`` are given."""
    where = folders or [None] * number
    return [
        Process(arguments, env=environment, cwd=folder)
        for environment, folder in zip(environments(number), where, strict=True)
    ]


def finish(processes):
    """Waits for all processes; returns the exit code, standard output and standard error of each."""
    outputs = [process.communicate(timeout=PATIENCE) for process in processes]
    return [(process.returncode, *texts) for process, texts in zip(processes, outputs, strict=True)]


def training(root, run, *options):
    return ["-m", "diptych", "train", "--root", root, "--run", run, *OPTIONS, *options]


def trained(number, root, run, *options):
    """The output of ``number`` processes that trained to the end."""
    outcomes = finish(start(training(root, run, *options), number))
    assert [code for code, _, _ in outcomes] == [0] * number, outcomes
    return outcomes


def last_state(run):
    return read_checksummed(run.checkpoint_files()[-1], "checkpoint")


def wait_for(condition, processes):
    """Waits until ``condition`` holds; fails if a process ends before."""
    for _ in range(int(PATIENCE / 0.02)):
        if condition():
            return
        assert all(process.poll() is None for process in processes), finish(processes)
        time.sleep(0.02)
    pytest.fail(f"nothing happened for {PATIENCE} seconds: {condition}")


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 4])
def test_several_processes_compute_the_update_of_one_with_the_global_batch(number, tmp_path):
    for processes, file in ((1, "one"), (number, "all")):
        batch_size = 4 // processes
        outcomes = finish(start([WORKER, batch_size, tmp_path / file], processes))
        assert [code for code, _, _ in outcomes] == [0] * processes, outcomes
    one, several = torch.load(tmp_path / "one"), torch.load(tmp_path / "all")
    assert one.keys() == several.keys()
    for case, expected in one.items():
        assert expected.keys() == several[case].keys()
        assert int(several[case]["pictures"]) == 12
        for name, value in expected.items():
            assert torch.allclose(several[case][name], value, rtol=1e-9, atol=1e-9), (case, name)


BUILT = """
import torch
from diptych.training.distributed import ProcessGroup

world, layer = ProcessGroup(), torch.nn.Linear(2, 1, bias=False)
torch.nn.init.ones_(layer.weight)
hook = world.all_reduce_hook(layer)
for batch, is_last in ((1.0, False), (world.rank * 10.0, True)):
    if is_last:
        hook()
    layer(torch.full((1, 2), batch)).backward()
print(hook.device_ids, layer.weight.grad.tolist())
"""


def test_gradients_are_averaged_in_the_last_backward_pass_without_device_ids():
    """With device_ids, as accelerate sets on CUDA, DDP moves the inputs of the forward pass; ours has none."""
    outcomes = finish(start(["-c", BUILT], 2))
    assert [(code, out) for code, out, _ in outcomes] == [(0, "None [[6.0, 6.0]]\n")] * 2, outcomes


ON_GPUS = """
import sys
sys.path.insert(0, {tests!r})
from dataclasses import replace
from types import SimpleNamespace
import torch
from torch import distributed, nn
from diptych.config import Pix2pixConfig, UnetConfig
from diptych.errors import OptionError
from diptych.training.distributed import ProcessGroup
from diptych.training.state import State
from helpers.states import state_of

new_group, said = distributed.new_group, []

def of_gloo(*, backend, timeout):
    said.append((backend, timeout.total_seconds()))
    return new_group(backend="gloo", timeout=timeout)

class OnCuda(nn.Sequential):
    def parameters(self, recurse=True):
        return iter([SimpleNamespace(device=torch.device("cuda"))])

distributed.new_group, torch.cuda.set_device, torch.cuda.device_count = of_gloo, said.append, lambda: 2
world = ProcessGroup()
for _ in range(2):
    world.set_device(torch.device("cuda"))
torch.cuda.device_count = lambda: world.rank
try:
    world.set_device(torch.device("cuda"))
except OptionError as error:
    said.append(str(error))
hook, module = world.all_reduce_hook(nn.Linear(2, 1)), OnCuda(nn.BatchNorm2d(2))
assert hook.process_group is world.gradient_group is not distributed.group.WORLD
assert hook.device_ids is None
world.convert_batch_norm(module)
assert type(module[0]) is nn.SyncBatchNorm
assert module[0].process_group is world.gradient_group

config = state_of({{}}, method=Pix2pixConfig(), generator=UnetConfig(width=2, num_levels=5, norm="batch"), ema=0.9).config
world.convert_batch_norm = lambda module: nn.SyncBatchNorm.convert_sync_batchnorm(module, world.gradient_group)
world.all_reduce_hook = lambda module: None  # refuses such layers on the CPU
state = State(config, world)
kinds = [{{type(layer) for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)}}
         for module in (state.modules["generators"], state.ema["generators"].module)]
assert kinds == [{{nn.SyncBatchNorm}}, {{nn.BatchNorm2d}}]
state.ema["generators"].update(state.modules["generators"], 1)
print(said)
"""


def test_on_gpus_gradients_and_batch_norm_have_a_group_of_nccl_with_a_limit_of_minutes(request):
    """gloo stands in for NCCL. The default group, through which ranks wait for the main one, has a limit of hours."""
    outcomes = finish(start(["-c", ON_GPUS.format(tests=str(request.path.parent))], 2))
    assert [code for code, _, _ in outcomes] == [0, 0], outcomes
    for rank, (_, out, _) in enumerate(outcomes):
        *said, refused = ast.literal_eval(out)
        assert said == [rank, ("nccl", 600.0), rank]
        cure = f"start {rank} processes on each machine, or give --device cpu"
        assert refused == f"process {rank} of this machine has no GPU of its own: torch finds {rank}: {cure}"


@pytest.mark.slow
def test_a_run_of_two_that_were_killed_equals_one_that_never_stopped(squares, tmp_path):
    options = ["--pictures", "120", "--batch-size", "1", "--save-minutes", "0"]
    trained(2, squares, tmp_path / "whole", *options)
    killed = Run(tmp_path / "killed")
    processes = start(training(squares, killed.folder, *options), 2)
    wait_for(lambda: any(int(file.stem) >= 70 for file in killed.checkpoint_files()), processes)
    for process in processes:
        process.kill()
    finish(processes)
    assert int(killed.checkpoint_files()[-1].stem) < 120
    trained(2, squares, killed.folder, *options)
    assert losses_of(killed) == losses_of(Run(tmp_path / "whole"))
    (expected, numbers), (found, found_numbers) = last_state(Run(tmp_path / "whole")), last_state(killed)
    assert numbers["numbers"] == found_numbers["numbers"]
    assert len(numbers["numbers"]["meters"]) == 2
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    assert {name.split(".")[2] for name in found if name.startswith("pools.a.")} == {"0", "1"}


@pytest.mark.slow
@pytest.mark.parametrize(("before", "now"), [(2, 1), (1, 2)])
def test_with_more_or_fewer_processes_a_run_resumes_with_the_same_weights_and_pictures(squares, tmp_path, before, now):
    # The global batch stays two, so the uninterrupted run is the reference, up to rounding.
    whole = {"ema": "0.9", "learning-rate": "1e-4", "pool-size": "0", "schedule": "constant"}
    options = [word for name, value in whole.items() for word in (f"--{name}", value)]
    trained(before, squares, tmp_path / "whole", *options, "--pictures", "48", "--batch-size", str(2 // before))
    trained(before, squares, tmp_path / "part", *options, "--pictures", "40", "--batch-size", str(2 // before))
    longer = ["--fork", tmp_path / "rest", "--pictures", "48", "--batch-size", str(2 // now)]
    trained(now, squares, tmp_path / "part", *options, *longer)
    expected, found = (last_state(Run(tmp_path / name))[0] for name in ("whole", "rest"))
    begun = last_state(Run(tmp_path / "part"))[0]
    assert expected.keys() == found.keys()
    kinds = (".weight", ".weight.exp_avg", ".weight.exp_avg_sq")  # biases before instance norm move by rounding alone
    compared = [name for name in expected if name.endswith(kinds)]
    assert len(compared) > 40
    apart = {
        name: ((expected[name] - found[name]).norm() / (expected[name] - begun[name]).norm()).item()
        for name in compared
    }
    assert median(apart.values()) < 0.05  # the gradients of ReLU and of L1 jump, so some tensors move further apart
    assert max(apart.values()) < 0.3, apart


def test_pools_and_meters_are_kept_or_redistributed_if_the_number_of_processes_changes():
    pictures = [torch.tensor(number) for number in range(7)]
    assert image_pool.redistribute([pictures[:4], pictures[4:]], 2, 4) == [pictures[:4], pictures[4:]]
    assert image_pool.redistribute([pictures[:4], pictures[4:]], 1, 5) == [pictures[:5]]
    assert image_pool.redistribute([pictures], 3, 5) == [pictures[0::3], pictures[1::3], pictures[2::3]]
    totals = [{"gan": (1.0, 2), "gradient.generators": (3.0, 1)}, {"gan": (4.0, 2)}]
    assert meters.redistribute(totals, 2) == totals
    assert meters.redistribute(totals, 3) == [{"gan": (2.5, 2), "gradient.generators": (3.0, 1)}] * 3


def test_only_the_main_process_writes_and_prints(squares, tmp_path):
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    outcomes = finish(start(training(squares, "run", "--pictures", "8"), 2, folders))
    (code, out, stderr), second = outcomes
    assert second == (0, "", "")
    assert (code, out) == (0, "run\n")
    assert "batch 2 on each of 2 processes" in stderr
    assert list(folders[1].iterdir()) == []
    about = json.loads((folders[0] / "run" / "config.json").read_text())
    assert (about["versions"][-1]["processes"], about["total"]) == (2, 8)


FITTED = """
import sys
from dataclasses import replace
from pathlib import Path

from diptych.cli import parse
from diptych.monitoring.progress import Silent
from diptych.training.distributed import connect
from diptych.training.fit_time import Pace, fit_to_time
from diptych.training.plan.plan import make_plan

world, command = connect(), parse(sys.argv[1:])
plan = make_plan(command.config(), command.run, None, Silent(), world)
fitted = fit_to_time(plan, Silent(), measure=lambda *_: Pace(1.0 + world.rank, 0.1))
print(fitted.total)
"""


def test_a_time_becomes_one_number_of_pictures_for_all(squares, tmp_path):
    """Even if the processes measure different speeds."""
    options = training(squares, tmp_path / "run", "--time", "100h", "--batch-size", "3")
    (_, first, _), (_, second, _) = outcomes = finish(start(["-c", FITTED, *options[2:]], 2))
    assert [code for code, _, _ in outcomes] == [0, 0], outcomes
    assert first == second
    assert int(first) > 0
    assert int(first) % 6 == 0


def test_losses_are_means_over_the_processes(squares, tmp_path):
    options = ["--pictures", "4", "--pool-size", "0"]
    trained(1, squares, tmp_path / "one", *options, "--batch-size", "4")
    trained(2, squares, tmp_path / "two", *options, "--batch-size", "2")
    one, two = (records_of(Run(tmp_path / name))[0] for name in ("one", "two"))
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-4)
    assert two["gradients"] == pytest.approx(one["gradients"], rel=1e-3)


def test_a_picture_that_one_process_cannot_read_ends_all_with_its_name_and_saves(tmp_path):
    root = make_squares(tmp_path / "data", train=24)
    drawn = order(0, 0, 24)
    domain = find_split(SourceConfig(root=root), 0, paired=False, skip_unpaired=False).train.a
    monitored = by_hash(domain.files)[:MAX_COLUMNS]  # read before training starts
    place = next(place for place in range(5, 24, 2) if domain.files[drawn[place]] not in monitored)  # odd: rank 1
    broken = domain.path(int(drawn[place]))
    broken.write_bytes(broken.read_bytes()[:60])  # a valid header; only headers are read at the start
    outcomes = finish(start(training(root, tmp_path / "run", "--pictures", "200", "--batch-size", "1"), 2))
    (code, _, stderr), second = outcomes
    assert (code, second) == (2, (2, "", ""))
    mistakes = [line for line in stderr.splitlines() if line.startswith("diptych: ")]
    assert len(mistakes) == 1
    assert mistakes[0].startswith(f"diptych: {broken} is cut off or damaged")
    assert "Traceback" not in stderr
    assert [int(file.stem) for file in Run(tmp_path / "run").checkpoint_files()] == [place - 1]


@pytest.mark.parametrize("victim", [0, 1])
def test_when_a_process_dies_the_other_ends_at_once(squares, tmp_path, victim):
    run = Run(tmp_path / "run")
    processes = start(training(squares, run.folder, "--pictures", "100000", "--save-minutes", "0"), 2)
    wait_for(lambda: len(run.checkpoint_files()) > 0, processes)
    processes[victim].kill()
    code, _, stderr = finish(processes)[1 - victim]  # within its time limit; a collective would wait for hours
    assert code == 2
    assert "Traceback" not in stderr
    if victim == 1:
        assert stderr.splitlines()[-1].startswith("diptych: another process of this run was ended")
    trained(2, squares, run.folder, "--pictures", str(int(run.checkpoint_files()[-1].stem) + 4))


def test_an_error_on_one_process_is_reported_by_the_main_process(squares, tmp_path):
    code = (
        "import sys, diptych.training.loop as loop\n"
        "from diptych.launcher import is_main\n"
        "from diptych.cli import main\n"
        "def broken(*_, **__): raise RuntimeError('a broken kernel')\n"
        "loop.update = loop.update if is_main() else broken\n"
        "main(sys.argv[1:])"
    )
    (first, _, stderr), (second, _, trace) = finish(start(["-c", code, *training(squares, tmp_path / "run")[2:]], 2))
    assert first == 2
    assert "diptych: process 1 failed: a broken kernel: " in stderr.splitlines()[-1]
    assert second == 1
    assert "RuntimeError" in trace


@pytest.mark.slow
def test_a_signal_to_one_process_stops_and_saves_all_at_the_same_update(squares, tmp_path):
    run = Run(tmp_path / "run")
    processes = start(training(squares, run.folder, "--pictures", "100000"), 2)
    wait_for(lambda: len(records_of(run)) > 0, processes)
    processes[1].send_signal(signal.SIGTERM)
    (first, _, stderr), second = finish(processes)
    assert (first, second) == (130, (130, "", ""))
    assert stderr.splitlines()[-1] == "diptych: stopped; the same command resumes"
    pictures = int(run.checkpoint_files()[-1].stem)
    again = trained(2, squares, run.folder, "--pictures", str(pictures + 4))
    assert f"{pictures:,} of {pictures + 4:,} pictures" in again[0][2]


def test_batch_norm_over_processes_without_cuda_is_refused(squares, tmp_path):
    norms = ["--generator.norm", "batch", "--discriminator.norm", "batch"]
    (code, _, stderr), second = finish(start(training(squares, tmp_path / "run", *norms), 2))
    assert (code, second) == (2, (2, "", ""))
    assert stderr.endswith(
        "diptych: batch norm over several processes needs CUDA, since torch has none for the CPU: "
        "give --generator.norm instance --discriminator.norm instance, or train in one process\n"
    )
    assert not (tmp_path / "run").exists()


def test_a_mistake_in_the_options_is_reported_once(squares, tmp_path):
    outcomes = finish(start(training(squares, tmp_path / "run", "--batch-sise", "2"), 2))
    assert outcomes == [(2, "", "diptych: train has no option --batch-sise: did you mean --batch-size?\n"), (2, "", "")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [
        ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--"],
        ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "-m"],
    ],
    ids=["torchrun", "accelerate"],
)
def test_launchers_start_it_and_ctrl_c_reaches_it(squares, tmp_path, launcher):
    run = Run(tmp_path / "run")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if "accelerate" in launcher[0]:
        launcher = [launcher[0], "--main_process_port", str(port), *launcher[1:]]
    command = [sys.executable, "-m", *launcher, *training(squares, run.folder, "--device", "cpu")[1:]]
    process = subprocess.Popen(
        [*map(str, command), "--pictures", "100000"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    wait_for(lambda: len(records_of(run)) > 0, [process])
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=PATIENCE)
    assert re.search("^diptych: stopped; the same command resumes$", stderr, flags=re.MULTILINE)
    assert run.about()["versions"][-1]["processes"] == 2
    assert len(run.checkpoint_files()) == 1
