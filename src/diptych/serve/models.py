"""The models that are served: a translator for each direction, and its speed."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

import numpy as np

from diptych.config import DeviceName, Direction, InferenceEngine, Precision
from diptych.hub.facts import Facts, facts_of
from diptych.inference.exported_model import is_exported
from diptych.inference.translator import Translator
from diptych.model import load_model
from diptych.remote import local

SIDE = 256
"""Side of the picture that is translated to measure the speed."""


@dataclass(frozen=True)
class Served:
    """A model that is served."""

    path: Path
    facts: Facts
    translators: dict[Direction, Translator]
    seconds_per_pixel: dict[Direction, float] = field(default_factory=dict)

    @property
    def default_direction(self) -> Direction:
        """The direction that is shown first."""
        return next(iter(self.translators))


@dataclass(frozen=True)
class Catalogue:
    """The served models by name. One picture is computed at a time, by all cores."""

    models: dict[str, Served]
    computing: Lock = field(default_factory=Lock)


def load_models(
    paths: Sequence[Path],
    *,
    device: DeviceName,
    precision: Precision,
    engine: InferenceEngine,
    licence: str = "",
    trust_code: bool,
    report: Callable[[str], None],
) -> Catalogue:
    """Loads the models in ``paths``, each in all its directions, and measures their speed. ``licence`` is that of all;
    if it is empty, each has the one that came with it.

    Raises:
        UserError: one cannot be loaded, or the machine lacks the device or precision.
    """
    models: dict[str, Served] = {}
    for path in map(local, paths):
        translators: dict[Direction, Translator] = {}
        if is_exported(path):
            only = Translator.load(path, device=device, precision=precision, engine=engine, trust_code=trust_code)
            translators[only.direction] = only
        else:
            model = load_model(path, trust_code=trust_code)
            for direction in sorted(model.networks):
                translators[direction] = Translator.of(
                    model, direction, device=device, precision=precision, engine=engine
                )
        facts = facts_of(path)
        served = Served(path, replace(facts, licence=licence or facts.licence), translators)
        for direction, translator in translators.items():
            served.seconds_per_pixel[direction] = _measure(translator)
        name = _free_name(served.facts.name, models)
        models[name] = served
        pace = min(served.seconds_per_pixel.values()) * SIDE**2
        ways = ", ".join(" to ".join(facts.along(direction)) for direction in translators)
        report(f"{name}: {ways}, {1000 * pace:.0f} ms for {SIDE}×{SIDE}")
    return Catalogue(models)


def _free_name(name: str, taken: dict[str, Served]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free


def _measure(translator: Translator) -> float:
    """Seconds per pixel. The first picture also builds the engine."""
    side = max(SIDE, translator.card.generator.stride)
    picture = np.zeros((side, side, translator.channels_in), translator.encoding_in.dtype)
    translator(picture)
    start = time.perf_counter()
    translator(picture)
    return (time.perf_counter() - start) / side**2
