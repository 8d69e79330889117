"""Speed of the page without a server, in Chromium with WebAssembly and one thread: the one file, opened from disk.

python benchmarks/page_speed.py [--rounds N] [--sizes 64 256 512]

Prints the processor time of the renderer, which other programs on the machine disturb little, and the shortest time.
"""

import argparse
import io
import os
import re
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from diptych.config import DataConfig, ResnetConfig
from diptych.data.encoding import Encoding
from diptych.model import ModelCard, save_model
from diptych.networks import build_generator
from diptych.page.page import write_page
from diptych.page.parts import collect_parts
from diptych.pair import Pair

NETWORKS = {
    "n = 16, 6 blocks": ResnetConfig(width=16, num_blocks=6),
    "n = 64, 9 blocks": ResnetConfig(width=64, num_blocks=9),
}
PATIENCE = 600_000
"""Milliseconds that a translation may take."""
RESET = "() => { document.getElementById('compare').className = '' }"


def page_of(config: ResnetConfig, folder: Path) -> tuple[Path, int]:
    """A page of random weights with one direction, and the bytes that a visitor would load if it were a folder."""
    torch.manual_seed(0)
    pair = Pair(Encoding(3), Encoding(3))
    card = ModelCard(
        method="cut", generator=config, encodings=pair, names=Pair("A", "B"), data=DataConfig(), pictures=0, ema=False
    )
    save_model(folder / "model.safetensors", {"a2b": build_generator(config, 3, 3)}, card)
    parts = collect_parts(folder / "model.safetensors")
    write_page(parts, folder / "page.html")
    return folder / "page.html", parts.loaded


def noise(side: int) -> bytes:
    """A PNG."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def processor_time() -> float:
    """Seconds of all renderers of Chromium on this machine."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"--type=renderer" in (process / "cmdline").read_bytes():
                user, system = (process / "stat").read_text().rsplit(")", 1)[1].split()[11:13]
                total += int(user) + int(system)
        except OSError:  # it has ended
            continue
    return total / os.sysconf("SC_CLK_TCK")


def translate(page: Page, side: int) -> tuple[float, float]:
    """Seconds by the processor and by the page's own clock."""
    page.evaluate(RESET)
    before = processor_time()
    page.locator("#file").set_input_files({"name": "noise.png", "mimeType": "", "buffer": noise(side)})
    page.locator("#compare.done").wait_for(timeout=PATIENCE)
    taken = re.search(r"in ([\d.]+) s", page.locator("#status").inner_text())
    assert taken is not None
    return processor_time() - before, float(taken[1])


def main() -> None:
    """Prints a row for each network and size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256, 512])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as root, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        for name, config in NETWORKS.items():
            folder = Path(root) / name
            folder.mkdir()
            file, loaded = page_of(config, folder)
            page = browser.new_page()
            page.goto(file.as_uri())
            expect(page.locator("#status")).to_contain_text("Ready", timeout=PATIENCE)
            for side in given.sizes:
                times = [translate(page, side) for _ in range(given.rounds)]
                by_processor, by_clock = (list(each) for each in zip(*times, strict=True))
                print(
                    f"{name}, {side}²: {1000 * float(np.median(by_processor)):.0f} ms of the processor, "
                    f"at least {min(by_clock):.1f} s; a visitor loads {loaded / 1e6:.1f} MB",
                    flush=True,
                )
            page.close()


if __name__ == "__main__":
    main()
