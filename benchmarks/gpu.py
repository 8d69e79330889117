"""Speed and memory of the training update on a CUDA GPU: the plain recipe, the default, and each optimisation.

python benchmarks/gpu.py [--batch N ...] [--seconds N]

Needs only the core dependencies. It ends after about --seconds, and lists the variants that
were not measured.
"""

import argparse
import itertools
import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from statistics import median
from typing import NamedTuple

import torch
from rounds import convolution_peak, show
from torch import Tensor
from worker import PLAIN, Variant, begin, flop, noise

from diptych.cuda import exact_float32
from diptych.data.loader import Batch
from diptych.errors import first_line
from diptych.training.speed import measure_speed

SETTING = Variant(size=256, width=64, num_blocks=9)
RECIPE = replace(SETTING, engine=PLAIN, own_layers=False)
COMPILED = {"compile": True}
VARIANTS = {
    "plain": RECIPE,
    "plain in TF32": replace(RECIPE, engine=PLAIN | {"precision": "tf32"}),
    "plain in bf16": replace(RECIPE, engine=PLAIN | {"precision": "bf16"}),
    "default": SETTING,
    "default, fp16": replace(SETTING, engine={"precision": "fp16"}),
    "default, channels last": replace(SETTING, engine={"channels_last": True}),
    "default, activation checkpointing": replace(SETTING, engine={"activation_checkpointing": True}),
    "default, deterministic": replace(SETTING, engine={"deterministic": True}),
    "default, cudnn.benchmark": SETTING,
    "default, channels last, cudnn.benchmark": replace(SETTING, engine={"channels_last": True}),
    "default, compiled": replace(SETTING, engine=COMPILED),
    "default, compiled, channels last": replace(SETTING, engine=COMPILED | {"channels_last": True}),
    "default, compiled, CUDA graphs": replace(SETTING, engine=COMPILED | {"cuda_graphs": True}),
}
WARM_UP_UPDATES = 4
"""Compiling, selecting kernels and recording CUDA graphs take the first three updates."""
ROUNDS, ROUND_SECONDS, ROUND_UPDATES = 3, 1.0, 8
"""A round ends after this number of seconds or of updates."""
COMPILE_SECONDS = 75.0
"""A compiled variant starts only if at least this time is left."""


class Measured(NamedTuple):
    """The measurements of one variant."""

    seconds: float
    """Per update: the median of the rounds."""
    memory: int
    """Peak memory of the GPU in bytes, with what torch's allocator keeps."""
    warm_up: float
    """Seconds of the first updates."""


@contextmanager
def benchmarked_kernels(enabled: bool) -> Iterator[None]:
    """Context manager: cuDNN measures which of its kernels is fastest. diptych has no option for it."""
    torch.backends.cudnn.benchmark = enabled
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = False


def measure(variant: Variant) -> Measured:
    """Measures ``variant`` in this process, on the GPU."""
    torch._dynamo.reset()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    state, batches = begin(variant), itertools.repeat(Batch(noise(variant)).map(Tensor.pin_memory))
    started = time.perf_counter()
    measure_speed(state, batches, seconds=math.inf, max_updates=WARM_UP_UPDATES - 1)
    warm_up = time.perf_counter() - started
    speeds = [measure_speed(state, batches, seconds=ROUND_SECONDS, max_updates=ROUND_UPDATES) for _ in range(ROUNDS)]
    seconds = median(variant.batch_size / speed.pictures_per_second for speed in speeds)
    return Measured(seconds, torch.cuda.max_memory_reserved(), warm_up)


def peaks() -> dict[str, float]:
    """FLOP per second of convolutions, by precision."""

    def of(dtype: torch.dtype) -> float:
        return convolution_peak(dtype, device="cuda", batch_size=16, repeats=20, rounds=10)

    with benchmarked_kernels(True):
        found = {"TF32": of(torch.float32), "bf16": of(torch.bfloat16), "fp16": of(torch.float16)}
        with exact_float32():
            return {"fp32": of(torch.float32)} | found


def outcome(name: str, batch_size: int) -> Measured | str:
    """The measurement of a variant, or why there is none."""
    try:
        with benchmarked_kernels("cudnn.benchmark" in name):
            return measure(replace(VARIANTS[name], batch_size=batch_size))
    except (RuntimeError, ValueError) as error:  # what this GPU lacks must not end the other measurements
        return first_line(error)[:100]


def measure_all(batches: Sequence[int], *, until: float) -> dict[int, dict[str, Measured | str]]:
    """The outcome of each variant for each batch size. Compiled variants come last, since they take longest."""
    found: dict[int, dict[str, Measured | str]] = {batch_size: {} for batch_size in batches}
    for compiled, batch_size in itertools.product((False, True), batches):
        for name, variant in VARIANTS.items():
            if bool(variant.engine.get("compile")) == compiled:
                has_time = time.monotonic() + COMPILE_SECONDS * compiled < until
                found[batch_size][name] = outcome(name, batch_size) if has_time else "no time was left"
                print(f"batch {batch_size}, {name}: {found[batch_size][name]}", file=sys.stderr, flush=True)
    return found


def row(name: str, batch_size: int, found: Measured | str, *, operations: int, peak: float, plain: float) -> list[str]:
    """One row of a table. ``operations`` are those of a picture, ``peak`` is in FLOP per second, and ``plain`` are the
    seconds of an update of the plain recipe."""
    if isinstance(found, str):
        return [name, found, *["–"] * 5]
    speed = operations * batch_size / found.seconds
    return [
        name,
        f"{found.seconds / batch_size * 1e3:.2f}",
        f"{plain / found.seconds:.2f}",
        f"{speed / 1e9:,.0f}",
        f"{speed / peak:.0%}",
        f"{found.memory / 1e9:.2f}",
        f"{found.warm_up:.1f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16, 4])
    parser.add_argument("--seconds", type=float, default=280)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit(refused())
    until, by_precision, operations = time.monotonic() + options.seconds, peaks(), flop(SETTING)
    found = measure_all(options.batch, until=until)
    known = ", ".join(f"{name} {value / 1e12:.1f}" for name, value in by_precision.items())
    header = ["variant", "ms per picture", "speedup", "GFLOP/s", "of the bf16 peak", "peak GB", "warm-up, s"]
    for batch_size, outcomes in sorted(found.items()):
        plain = outcomes["plain"]
        seconds = plain.seconds if isinstance(plain, Measured) else math.nan
        of = partial(row, operations=operations, peak=by_precision["bf16"], plain=seconds)
        title = f"{SETTING.size}², batch {batch_size}, {SETTING.num_blocks} blocks, n = {SETTING.width}"
        remark = f"{operations / 1e12:.3f} TFLOP per picture; peaks of convolutions in TFLOP/s: {known}"
        show(f"{title}: {remark}", header, [of(name, batch_size, each) for name, each in outcomes.items()])


def refused() -> int:
    """Says that there is no GPU; returns the exit code."""
    print("benchmarks/gpu.py: torch finds no GPU for CUDA on this machine: run it on one that has it", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
