"""Speed of the training update, with each optimisation alone and with all, compared with the baseline.

python benchmarks/train_speed.py [SETTING ...] [--rounds N] [--compile] [--busy N]
"""

import argparse
from dataclasses import replace

import torch
from rounds import busy, convolution_peak, medians, ratio, show
from worker import PLAIN, Variant, flop, measure

from diptych.processor import abilities

HAS_BF16 = "AVX512-BF16" in abilities()
SETTINGS = {
    "256": Variant(size=256, width=64, num_blocks=9),
    "128": Variant(size=128, width=64, num_blocks=6),
    "64": Variant(size=64, width=32, num_blocks=6),
    "64x4": Variant(size=64, width=32, num_blocks=6, batch_size=4),
    "narrow": Variant(size=64, width=16, num_blocks=6, batch_size=2),
}
BATCH_ONE = {"64x4": "64"}
"""Settings that are compared with the baseline of another setting, per picture."""


def baseline(setting: Variant) -> Variant:
    """The baseline of the same size."""
    return replace(setting, engine=PLAIN, own_layers=False, keep_memory=False)


def variants(setting: Variant, *, compiled: bool) -> dict[str, Variant]:
    """The variants to compare: the baseline, the baseline with one optimisation (below 256²), and the default."""
    recipe = baseline(setting)
    alone = {
        "keep freed memory": replace(recipe, keep_memory=True),
        "CPU layers": replace(recipe, own_layers=True),
        "batched forward passes": replace(recipe, engine=PLAIN | {"batch_forwards": True}),
        "fused Adam": replace(recipe, engine=PLAIN | {"fused": True}),
    }
    each = {
        "baseline": recipe,
        **({"bf16": replace(recipe, engine=PLAIN | {"precision": "bf16"})} if HAS_BF16 else {}),
        **(alone if setting.size < 256 else {}),
        "default": setting,
        "default, contiguous": replace(setting, engine={"channels_last": False}),
        "default, channels-last": replace(setting, engine={"channels_last": True}),
        "default, one direction at a time": replace(setting, engine={"parallel_directions": False}),
        **({"default in fp32": replace(setting, engine={"precision": "fp32"})} if HAS_BF16 else {}),
        "default, activation checkpointing": replace(setting, engine={"activation_checkpointing": True}),
    }
    if compiled:
        each["default, compiled"] = replace(setting, engine={"compile": True})
    return each


def compare(name: str, *, rounds: int, compiled: bool, peak: float) -> None:
    """Measures the setting ``name`` and prints its table."""
    setting = SETTINGS[name]
    compared = variants(setting, compiled=compiled)
    if name in BATCH_ONE:
        compared = {"baseline, batch 1": baseline(SETTINGS[BATCH_ONE[name]])} | compared
    batches = {label: variant.batch_size for label, variant in compared.items()}
    updates, peaks = measure(compared, rounds=rounds)
    seconds = {label: [each / batches[label] for each in values] for label, values in updates.items()}
    operations = flop(setting) / setting.batch_size
    reference = next(iter(compared))
    rows = [
        [
            label,
            f"{median * 1e3:.0f}",
            f"{ratio(seconds, reference, label):.2f}",
            f"{operations / median / 1e9:.0f}",
            f"{operations / median / peak:.0%}",
            f"{peaks[label] / 1e9:.2f}",
        ]
        for label, median in medians(seconds).items()
    ]
    title = f"{setting.size}², batch {setting.batch_size}, {setting.num_blocks} blocks, n = {setting.width}"
    remark = f"{operations / 1e12:.3f} TFLOP per picture, peak {peak / 1e9:.0f} GFLOP/s, {rounds} rounds"
    header = ["variant", "ms per picture", "speedup", "GFLOP/s", "of the peak", "peak GB"]
    show(f"{title}: {remark}", header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", nargs="*", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--busy", type=int, default=0, help="number of other programs, which keep one core busy each")
    options = parser.parse_args()
    for name in options.settings:
        peak = convolution_peak(torch.bfloat16 if HAS_BF16 else torch.float32)
        with busy(options.busy):
            compare(name, rounds=options.rounds, compiled=options.compile, peak=peak)


if __name__ == "__main__":
    main()
