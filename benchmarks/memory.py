"""Peak memory of training at 256² and the time per update, compared with the baseline.

python benchmarks/memory.py [--rounds N]
"""

import argparse
from dataclasses import replace

from rounds import medians, ratio, show
from worker import PLAIN, Variant, measure

SETTING = Variant(size=256, width=64, num_blocks=9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    variants = {
        "baseline": replace(SETTING, engine=PLAIN, own_layers=False, keep_memory=False),
        "default": SETTING,
        "default, activation checkpointing": replace(SETTING, engine={"activation_checkpointing": True}),
        "default, batch 2": replace(SETTING, batch_size=2),
        "default, batch 2, accumulated over two parts": replace(SETTING, batch_size=2, engine={"accumulate": 2}),
    }
    seconds, peaks = measure(variants, rounds=options.rounds)
    rows = []
    for name, median in medians(seconds).items():
        gigabytes, share = f"{peaks[name] / 1e9:.2f}", f"{peaks[name] / peaks['baseline']:.2f}"
        rows.append([name, gigabytes, share, f"{median:.1f}", f"{1 / ratio(seconds, 'baseline', name):.2f}"])
    title = f"{SETTING.size}², {SETTING.num_blocks} blocks, n = {SETTING.width}: peak memory of the process"
    show(title, ["variant", "peak GB", "of baseline", "s per update", "time, of baseline"], rows)


if __name__ == "__main__":
    main()
