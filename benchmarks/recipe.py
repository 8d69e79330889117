"""The recipe study: trains variants or methods for equal time, and validates them on a slice of the training pictures.

    python benchmarks/recipe.py DATA OUT --task sketch2flat --time 8m --seeds 0 1 2
    python benchmarks/recipe.py DATA OUT --task sketch2flat --methods --time 60m --seeds 0 1 2
    python benchmarks/recipe.py DATA OUT --task apple2orange --time 8m --variant "wide: --generator.width 32"

DATA holds the folders that a task names. Test pictures are never read. Each run uses one core, so that runs beside each
other are a fair comparison; ``--jobs`` is the number of cores. OUT keeps all runs: the same command continues, and the
table has every run that has finished. A variant is the options that it adds to ``diptych train``. pix2pix trains on the
pictures that both styles have, without the validation slice.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

from rounds import show

from diptych.data.files import by_hash
from diptych.pair import Pair

NUM_VALIDATION = 100
"""Pictures of each domain that are kept out of training."""


class Task(NamedTuple):
    """Two domains, and the folders of known pairs, if there are any. The pictures of a pair have the same file name."""

    root: str
    pairs: Pair[str] | None = None


TASKS = {
    "sketch2flat": Task("emoji_sketch2flat", Pair("emoji_pairs/trainA", "emoji_pairs/trainB")),
    "flat2fluent": Task("emoji_flat2fluent", Pair("emoji_pairs/trainB", "emoji_flat2fluent/trainB")),
    "apple2orange": Task("apple2orange"),
}
VARIANTS = {
    "default": "",
    "plain": "--preset paper --crop-size 64 --load-size 72",
}
METHODS = {
    "CycleGAN": "",
    "CUT": "--method cut",
    "FastCUT": "--method fastcut",
    "pix2pix": "--method pix2pix",
}
"""The variants of ``--methods``, each with the defaults of its method."""
PAIRED = "--method pix2pix"
SCORES = {
    "kid": ("KID × 1000", 1000, ".0f"),
    "psnr": ("PSNR, dB", 1, ".2f"),
    "l1": ("L1 (0 to 1)", 1 / 255, ".3f"),
    "edges_lost": ("edges lost", 1, ".2f"),
    "edges_invented": ("edges invented", 1, ".2f"),
}
"""The columns of the table by key of the score: name, factor, format."""


class Job(NamedTuple):
    """A run of the study."""

    variant: str
    options: str
    seed: int
    folder: Path


def prepare(task: Task, data: Path, out: Path) -> Path:
    """Writes the training pictures and the validation slice to ``out``, and known pairs to ``pairs_beside(out)``."""
    parts = Pair("trainA", "trainB").map(lambda part: data / task.root / part)
    truth = parts if task.pairs is None else task.pairs.map(lambda folder: data / folder)
    names = truth.map(lambda folder: {path.name for path in folder.iterdir()})
    if task.pairs is not None:
        names = Pair(names.a & names.b, names.a & names.b)
    held_out = names.map(lambda found: set(by_hash([Path(name) for name in sorted(found)])[:NUM_VALIDATION]))
    for letter, train, true, held in zip("AB", parts, truth, held_out, strict=True):
        hidden = {path.name for path in held}
        _copy((path for path in train.iterdir() if path.name not in hidden), out / f"train{letter}")
        for root in (out, pairs_beside(out)):
            _copy((true / name for name in hidden), root / f"test{letter}")
        if task.pairs is not None:
            shared = sorted((names.a & names.b) - hidden)
            _copy((true / name for name in shared), pairs_beside(out) / f"train{letter}")
    return out


def pairs_beside(root: Path) -> Path:
    """The folder of the same pictures as pairs, for methods that need them."""
    return root.with_name("pairs")


def _copy(paths: Iterator[Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        shutil.copy(path, folder / path.name)


def run(job: Job, root: Path, time: str, *, paired: bool) -> None:
    """Trains and scores ``job``, unless it has been scored."""
    if (job.folder / "scores.json").is_file() and (job.folder / "finished").is_file():
        return
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    length = [] if "--pictures" in job.options else ["--time", time]
    pictures = pairs_beside(root) if PAIRED in job.options else root
    fixed = ["--run", str(job.folder), "--root", str(pictures), "--seed", str(job.seed), *length]
    diptych = [sys.executable, "-m", "diptych"]
    commands = [
        [*diptych, "train", *fixed, *shlex.split(job.options)],
        [*diptych, "evaluate", str(job.folder), "--trust-code", *(["--pairs"] if paired else [])],
    ]
    job.folder.parent.mkdir(parents=True, exist_ok=True)
    with job.folder.with_name(job.folder.name + ".log").open("a", encoding="utf-8") as log:
        for command in commands:
            subprocess.run(command, env=environment, stdout=log, stderr=log, check=True)
    (job.folder / "finished").touch()


def table(jobs: Sequence[Job]) -> list[list[str]]:
    """A row for each variant: mean ± standard deviation over the seeds of each score, A → B / B → A."""
    rows = []
    for variant in dict.fromkeys(job.variant for job in jobs):
        folders = [job.folder for job in jobs if job.variant == variant and (job.folder / "finished").is_file()]
        if not folders:
            continue
        results = [json.loads((folder / "scores.json").read_text(encoding="utf-8")) for folder in folders]
        cells = [" / ".join(_cell(results, direction, key) for direction in results[0]["directions"]) for key in SCORES]
        pictures = mean(result["protocol"]["model"]["pictures_seen"] for result in results)
        rows.append([variant, str(len(folders)), f"{pictures:,.0f}", *cells])
    return rows


def _cell(results: Sequence[dict[str, object]], direction: str, key: str) -> str:
    _, factor, form = SCORES[key]
    values = []
    for result in results:
        score = result["directions"][direction]["scores"].get(key)  # type: ignore[index]
        if score is None:
            return "–"
        values.append(factor * score["trained"])
    return f"{mean(values):{form}}" + (f" ± {stdev(values):{form}}" if len(values) > 1 else "")


def main() -> None:
    """Runs the study and prints the table."""
    parser = argparse.ArgumentParser(description="Train variants for equal time, and compare them.")
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--time", default="8m")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--methods", action="store_true", help="compare the methods instead of the built-in variants")
    parser.add_argument("--variant", action="append", metavar="NAME: OPTIONS", help="instead of the built-in ones")
    given = parser.parse_args()
    task = TASKS[given.task]
    out = given.out / given.task
    root = out / "data"
    if not root.is_dir():
        prepare(task, given.data, root)
    texts = [text.partition(":")[::2] for text in given.variant or ()]
    variants = {name.strip(): options.strip() for name, options in texts} or (METHODS if given.methods else VARIANTS)
    if task.pairs is None:
        variants = {name: options for name, options in variants.items() if PAIRED not in options}
    jobs = [
        Job(name, options, seed, out / given.time / f"{name.replace(' ', '-')}-{seed}")
        for seed in given.seeds
        for name, options in variants.items()
    ]
    with ThreadPoolExecutor(given.jobs) as pool:
        list(pool.map(lambda job: run(job, root, given.time, paired=task.pairs is not None), jobs))
    header = ["variant", "seeds", "pictures", *(f"{name}, A→B / B→A" for name, _, _ in SCORES.values())]
    show(f"{given.task}, {given.time} on one core", header, table(jobs))


if __name__ == "__main__":
    main()
