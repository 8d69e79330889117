"""Variants of one measurement, interleaved over several rounds of one run.

Machines are shared and noisy, so compare only ratios within one run.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F

from diptych.processor import describe_processor

SECONDS = Mapping[str, Sequence[float]]
"""The durations of each variant, one per round."""


def interleave(
    variants: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    warm_up: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each variant in each of ``rounds``. Every round runs all variants; ``warm_up`` rounds come before."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(warm_up + rounds):
        for name, variant in variants.items():
            start = clock()
            variant()
            if number >= warm_up:
                seconds[name].append(clock() - start)
    return seconds


def medians(seconds: SECONDS) -> dict[str, float]:
    """The median of each variant."""
    return {name: median(values) for name, values in seconds.items()}


def ratio(seconds: SECONDS, baseline: str, name: str) -> float:
    """Speedup of the variant ``name`` over ``baseline``: the median of the ratios of all rounds."""
    return median(slow / fast for slow, fast in zip(seconds[baseline], seconds[name], strict=True))


def convolution_peak(
    dtype: torch.dtype,
    *,
    rounds: int = 30,
    device: str = "cpu",
    batch_size: int = 1,
    repeats: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """FLOP per second of a 3×3 convolution from 256 to 256 channels at 64×64, channels-last: about the most that
    ``device`` reaches in ``dtype``. A round is ``repeats`` convolutions, so that a GPU need not wait for the CPU."""
    channels, side = 256, 64
    shape, options = (batch_size, channels, side, side), {"dtype": dtype, "device": device}
    picture = torch.randn(shape, **options).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    weight = torch.randn(channels, channels, 3, 3, **options).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def convolve() -> None:
        for _ in range(repeats):
            F.conv2d(picture, weight, padding=1)
        if device == "cuda":
            torch.cuda.synchronize()

    with torch.no_grad():
        times = interleave({"convolution": convolve}, rounds=rounds, warm_up=5, clock=clock)
    return repeats * batch_size * 2 * 9 * channels**2 * side**2 / median(times["convolution"])


@contextmanager
def busy(number: int) -> Iterator[None]:
    """Inside, ``number`` other programs keep one core busy each."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def machine() -> str:
    """One line with the commit and the machine of a measurement."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    cuda = f", {torch.cuda.get_device_name()} (CUDA {torch.version.cuda})" if torch.cuda.is_available() else ""
    return (
        f"commit {commit.stdout.strip() or 'unknown'}, torch {torch.__version__}, {torch.get_num_threads()} threads of "
        f"{os.cpu_count()} cores of {describe_processor()}{cuda}"
    )


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints ``title``, the line of ``machine`` and a Markdown table. The first column is aligned to the left."""
    print(f"\n### {title}\n\n{machine()}\n")
    print(f"| {' | '.join(header)} |")
    print("|---" + "|---:" * (len(header) - 1) + "|")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |", flush=True)
