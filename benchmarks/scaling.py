"""Two processes of one core each that train one run, compared with two independent processes.

    python benchmarks/scaling.py

All four processes start once. In every round the two pairs train in turn, each process on its own core.
"""

import argparse
import itertools
import math
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from statistics import median

VARIANTS = ("apart", "together")


def worker(core: int, size: int, width: int, compiled: bool) -> None:
    """For each line of the standard input, takes that number of updates and prints the images per second."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    import torch

    from diptych.config import CycleganConfig, DataConfig, EngineConfig, OptimiserConfig, ResnetConfig, TrainConfig
    from diptych.data.loader import Batch
    from diptych.device import resolve_engine
    from diptych.pair import Pair
    from diptych.training.distributed import connect
    from diptych.training.speed import measure_speed
    from diptych.training.state import State

    torch.set_num_threads(1)
    config = TrainConfig(
        method=CycleganConfig(lambda_identity=0.5),
        generator=ResnetConfig(width=width, num_blocks=6),
        data=DataConfig(crop_size=size, channels_a=3, channels_b=3),
        optimiser=OptimiserConfig(batch_size=1, learning_rate=2e-4, ema=0.999),
        engine=resolve_engine(EngineConfig(device="cpu", compile=compiled)),
    )
    world = connect()
    state = State(config, world)
    draw = torch.Generator().manual_seed(world.rank)
    noise = Pair(*torch.randint(0, 256, (2, 1, 3, size, size), dtype=torch.uint8, generator=draw))
    print("ready", flush=True)
    for line in sys.stdin:
        speed = measure_speed(state, itertools.repeat(Batch(noise)), seconds=math.inf, max_updates=int(line))
        print(speed.pictures_per_second / world.size, flush=True)


def start(options: argparse.Namespace, rank: int, port: int | None) -> subprocess.Popen[str]:
    """Starts a worker on core ``rank``: one of two ranks if a ``port`` is given, else independent."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    if port is not None:
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "RANK": str(rank)}
        environment |= {"LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2"}
    command = [sys.executable, __file__, "--worker", str(rank), "--size", str(options.size)]
    command += ["--width", str(options.width), *["--compile"] * options.compile]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def speeds_of(pair: list[subprocess.Popen[str]], num_updates: int) -> list[float]:
    """Images per second of both processes of ``pair``, which train at the same time."""
    for process in pair:
        assert process.stdin is not None
        process.stdin.write(f"{num_updates}\n")
        process.stdin.flush()
    return [float(answer(process)) for process in pair]


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def measure(options: argparse.Namespace) -> dict[str, list[float]]:
    """Images per second of each variant in each round, as the mean of its two processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with ExitStack() as running:
        pairs = {}
        for name in VARIANTS:
            pairs[name] = [start(options, rank, port if name == "together" else None) for rank in range(2)]
            for process in pairs[name]:
                running.callback(process.kill)
        for pair in pairs.values():
            for process in pair:
                assert answer(process) == "ready\n"
        speeds: dict[str, list[float]] = {name: [] for name in VARIANTS}
        for number in range(options.rounds + 1):  # the first round is not measured
            for name, pair in pairs.items():
                each = speeds_of(pair, options.updates)
                if number:
                    speeds[name].append(sum(each) / len(each))
    return speeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--updates", type=int, default=4, help="in each round")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is not None:
        worker(options.worker, options.size, options.width, options.compile)
        return
    from rounds import show

    speeds = measure(options)
    ratios = [together / apart for apart, together in zip(speeds["apart"], speeds["together"], strict=True)]
    rows = [
        (f"two {name}", f"{median(values):.3f}", f"{min(values):.3f} to {max(values):.3f}")
        for name, values in speeds.items()
    ]
    title = f"Two processes of one core, {options.size}², n = {options.width}, 6 blocks, batch 1"
    show(title, ("variant", "pictures per second and process", "rounds"), rows)
    print(f"\ntogether over apart: {median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
