"""Several runs that differ only in their seed: their scores, the spread, and the best of them."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev

from diptych.atomic import atomic_write
from diptych.config import TrainConfig
from diptych.data.sources import domain_names
from diptych.errors import RunError
from diptych.monitoring.progress import Display
from diptych.run import Run, default_folder
from diptych.training.distributed import connect
from diptych.training.loop import train


@dataclass(frozen=True)
class SeedScore:
    """The best in-training score of a run; lower is better. None if it has no score."""

    seed: int
    run: Path
    criterion: str = ""
    value: float | None = None


def train_seeds(
    config: TrainConfig, folder: Path | None, *, number: int, display: Display | None = None
) -> tuple[Path, list[SeedScore]]:
    """Trains ``number`` runs, with the seed of ``config`` and those after it, one after the other.

    They are in ``folder/seed-<seed>``. The same call continues. Defaults are resolved for the first run, and the
    others use the same. Writes the scores to ``folder/seeds.json``, and the best model to
    ``folder/model.safetensors``. Returns the folder and the scores.

    Raises:
        RunError: ``folder`` is a run.
        UserError: as ``train``.
    """
    folder = folder or default_folder(domain_names(config.source), config.source.root)
    if Run(folder).exists:
        raise RunError(f"{folder} is a run, not a folder of runs", cure="give another folder with --run")
    scores: list[SeedScore] = []
    for seed in range(config.optimiser.seed, config.optimiser.seed + number):
        if scores:
            first = Run(scores[0].run).config(trust_code=True)
            config = replace(first, source=config.source, length=config.length, output=config.output)
        config = replace(config, optimiser=replace(config.optimiser, seed=seed))
        scores.append(_score(train(config, folder / f"seed-{seed}", display=display), seed))
    connect().on_main(lambda: _write(folder, scores))
    return folder, scores


def in_words(scores: Sequence[SeedScore]) -> list[str]:
    """A line for each run, and one for their mean and spread."""
    lines = [
        f"seed {one.seed}: {'no score' if one.value is None else f'{one.value:.4g}'} ({one.run})" for one in scores
    ]
    values = [one.value for one in scores if one.value is not None]
    if values:
        spread = f" ± {stdev(values):.2g}" if len(values) > 1 else ""
        lines.append(f"{scores[0].criterion}: {mean(values):.4g}{spread} over {len(values)} seeds")
    return lines


def best_of(scores: Sequence[SeedScore]) -> SeedScore:
    """The run with the lowest score; the first if there are no scores."""
    return min(scores, key=lambda one: float("inf") if one.value is None else one.value)


def _score(run: Run, seed: int) -> SeedScore:
    scores = [record["score"] for record in run.metrics() if "score" in record]
    best = min(scores, key=lambda score: score["value"], default=None)
    return SeedScore(seed, run.folder, best["criterion"], best["value"]) if best else SeedScore(seed, run.folder)


def _write(folder: Path, scores: Sequence[SeedScore]) -> None:
    best = best_of(scores)
    summary = {
        "criterion": best.criterion,
        "best": best.run.name,
        "scores": {one.run.name: one.value for one in scores},
    }
    with atomic_write(folder / "seeds.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    run = Run(best.run)
    model = run.best_model_file if best.value is not None else run.model_file
    with atomic_write(folder / "model.safetensors") as temporary:
        shutil.copyfile(model, temporary)
