"""The training update, each measure alone and all together, beside the plain recipe.

python benchmarks/train_speed.py [SETTING ...] [--rounds N] [--compile]
"""

import argparse
from dataclasses import replace

import torch
from rounds import convolution_peak, medians, ratio, show
from worker import PLAIN, Variant, Worker, flop

SETTINGS = {
    "256": Variant(size=256, width=64, num_blocks=9),
    "128": Variant(size=128, width=64, num_blocks=6),
    "64": Variant(size=64, width=32, num_blocks=6),
    "64x4": Variant(size=64, width=32, num_blocks=6, batch_size=4),
}
BATCH_ONE = {"64x4": "64"}
"""Settings whose plain recipe is that of another, per picture."""


def variants(setting: Variant, *, compiled: bool) -> dict[str, Variant]:
    """What is compared: the plain recipe with one measure each, and all of them."""
    plain = replace(setting, engine=PLAIN, own_layers=False, keep_memory=False)
    each = {
        "plain": plain,
        "bf16": replace(plain, engine=PLAIN | {"precision": "bf16"}),
        "memory kept": replace(plain, keep_memory=True),
        "own layers": replace(plain, own_layers=True),
        "merged passes": replace(plain, engine=PLAIN | {"merge_passes": True}),
        "fused Adam": replace(plain, engine=PLAIN | {"fused": True}),
        "default": setting,
        "default in fp32": replace(setting, engine={"precision": "fp32"}),
        "default, low memory": replace(setting, engine={"low_memory": True}),
    }
    if compiled:
        each["default, compiled"] = replace(setting, engine={"compile": True})
    return each


def compare(name: str, *, rounds: int, compiled: bool, peak: float) -> None:
    """Measures the setting ``name`` and prints its table."""
    setting = SETTINGS[name]
    workers = {label: Worker(variant) for label, variant in variants(setting, compiled=compiled).items()}
    batch = setting.batch_size
    if name in BATCH_ONE:
        plain = replace(SETTINGS[BATCH_ONE[name]], engine=PLAIN, own_layers=False, keep_memory=False)
        workers = {"plain, batch 1": Worker(plain)} | workers
    for worker in workers.values():
        worker(), worker()
    seconds: dict[str, list[float]] = {label: [] for label in workers}
    for _ in range(rounds):
        for label, worker in workers.items():
            seconds[label].append(worker() / (1 if label == "plain, batch 1" else batch))
    operations = flop(setting) / batch
    reference = next(iter(workers))
    rows = [
        [
            label,
            f"{median * 1e3:.0f}",
            f"{ratio(seconds, reference, label):.2f}",
            f"{operations / median / 1e9:.0f}",
            f"{operations / median / peak:.0%}",
            f"{workers[label].peak / 1e9:.2f}",
        ]
        for label, median in medians(seconds).items()
    ]
    for worker in workers.values():
        worker.close()
    title = f"{setting.size}², batch {batch}, {setting.num_blocks} blocks, n = {setting.width}"
    remark = f"{operations / 1e12:.3f} TFLOP per picture, bf16 peak {peak / 1e9:.0f} GFLOP/s, {rounds} rounds"
    header = ["variant", "ms per picture", "times plain", "GFLOP/s", "of the peak", "peak GB"]
    show(f"{title}: {remark}", header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", nargs="*", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    for name in options.settings:
        peak = convolution_peak(torch.bfloat16)
        compare(name, rounds=options.rounds, compiled=options.compile, peak=peak)


if __name__ == "__main__":
    main()
