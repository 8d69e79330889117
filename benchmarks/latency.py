"""Milliseconds of one picture in the network, by engine, precision, width and size, and the share of the peak.

python benchmarks/latency.py [--sizes 256 512] [--networks 64x9 24x6 16x6] [--rounds N] [--processor-time]
"""

import argparse
import itertools
import time
from collections.abc import Callable
from functools import partial

import torch
from rounds import convolution_peak, interleave, medians, ratio, show
from torch.utils.flop_counter import FlopCounterMode

from diptych.config import DataConfig, Precision, ResnetConfig
from diptych.data.encoding import Encoding
from diptych.device import resolve_precision
from diptych.inference.engines import EngineName, is_installed
from diptych.inference.translator import Translator
from diptych.model import Model, ModelCard
from diptych.networks import build_generator
from diptych.pair import Pair

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
VARIANTS: list[tuple[EngineName, Precision]] = [
    ("torch", "fp32"), ("torch", "bf16"), ("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "bf16"),
]  # fmt: skip


def model_of(network: str) -> Model:
    """An untrained generator, named as channels × blocks."""
    torch.manual_seed(0)
    width, num_blocks = map(int, network.split("x"))
    config = ResnetConfig(width=width, num_blocks=num_blocks)
    card = ModelCard(
        method="cyclegan",
        generator=config,
        encodings=Pair(Encoding(3), Encoding(3)),
        names=Pair("a", "b"),
        data=DataConfig(),
        pictures=0,
        ema=False,
    )
    return Model({"a2b": build_generator(config, 3, 3)}, card)


def flops(model: Model, batch: torch.Tensor) -> int:
    """Floating-point operations of a forward pass; a multiplication and an addition are two."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.networks["a2b"](batch)
    return int(counter.get_total_flops())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--networks", nargs="+", default=["64x9", "24x6", "16x6"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--processor-time", action="store_true", help="for one thread on a busy machine")
    options = parser.parse_args()
    clock = time.process_time if options.processor_time else time.perf_counter
    precisions = {"fp32", resolve_precision("auto", "cpu")}
    variants = [
        (engine, precision) for engine, precision in VARIANTS if is_installed(engine) and precision in precisions
    ]
    peaks = {precision: convolution_peak(DTYPES[precision], clock=clock) for precision in sorted(precisions)}
    rows = []
    for network, size in itertools.product(options.networks, options.sizes):
        model, batch = model_of(network), torch.rand(1, 3, size, size) * 2 - 1
        calls: dict[str, Callable[[], object]] = {
            f"{engine} {precision}": partial(
                Translator.of(model, "a2b", engine=engine, precision=precision).forward, batch
            )
            for engine, precision in variants
        }
        seconds = interleave(calls, rounds=options.rounds, warm_up=2, clock=clock)
        operations = flops(model, batch)
        for (_, precision), (name, median) in zip(variants, medians(seconds).items(), strict=True):
            share = operations / median / peaks[precision]
            speedup = ratio(seconds, "torch fp32", name)
            rows.append([f"{network}, {size}²", name, f"{1e3 * median:.1f}", f"{speedup:.2f}", f"{share:.0%}"])
    peak = ", ".join(f"{precision} {value / 1e9:.0f} GFLOP/s" for precision, value in peaks.items())
    title = f"One picture in the network (channels × blocks); peak of a 3×3 convolution: {peak}"
    show(title, ["network, picture", "engine", "ms", "speedup", "share of peak"], rows)


if __name__ == "__main__":
    main()
