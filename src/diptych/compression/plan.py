"""What a compression starts with: the size of the student, the pictures that the teacher translates, and the config of
the run."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from diptych.checksummed import sha256_of
from diptych.compression.candidates import Request, choose, in_words
from diptych.compression.speed import interleaved
from diptych.config import (
    DeviceName,
    Direction,
    DistillationConfig,
    EngineConfig,
    GeneratorConfig,
    InferenceEngine,
    LengthConfig,
    OptimiserConfig,
    OutputConfig,
    PairedDistillationConfig,
    PatchganConfig,
    SourceConfig,
    TrainConfig,
)
from diptych.config_json import from_json, to_json
from diptych.errors import OptionError, RunError
from diptych.evaluation.feature_networks import DEFAULT
from diptych.inference.engine_choice import SIDE
from diptych.inference.forward import TorchForward
from diptych.model import Model, model_file
from diptych.registry import METHODS
from diptych.revisions import read_revisions
from diptych.run import Run
from diptych.training.plan.length import is_given, parse_time

FASTER = 15.0
TIME_FRACTION = 1 / 3
"""Of the teacher's training time."""
CACHE_GIB = 2.0
"""Memory for the teacher's outputs."""
TEACHER_FRACTION, FEWEST = 0.4, 16
"""The teacher may take this fraction of the time, but translates at least this number of crops of each domain."""
LEARNING_RATE = 1e-3
BATCH_PIXELS, BATCHES = 512, (2, 8)
"""The batch size is ``BATCH_PIXELS`` divided by the crop size, but within the range ``BATCHES``."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is chosen when a run starts, and kept when it is resumed."""

    generator: GeneratorConfig
    num_distinct: int
    """Crops of each domain that the teacher translates."""
    time: str | None
    """Length as a time; None for another length."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What ``compress`` is asked for."""

    request: Request
    direction: Direction | None = None
    """The only direction to compress; by default all of the teacher's."""
    source: SourceConfig = SourceConfig()
    """Pictures; see ``source_of``."""
    length: LengthConfig = field(default_factory=LengthConfig)
    """By default a third of the teacher's training time."""
    engine: InferenceEngine = "torch"
    """What the times are measured with."""
    device: DeviceName = "auto"
    """Where to train."""
    seed: int = 0
    features: str = DEFAULT
    pairs: bool | None = None
    score: bool = True
    """Whether to evaluate both models at the end."""
    trust_code: bool = False
    """Whether to import the classes outside of diptych that the teacher's files name, which runs their code."""


def make_choice(path: Path, teacher: Model, run: Run, options: Options, report: Callable[[str], None]) -> Choice:
    """What was chosen for the existing ``run``, or a new choice, which is written there."""
    asked = {"teacher_sha256": sha256_of(model_file(path)), "request": to_json(options.request)}
    if run.compression_file.is_file():
        known = read_choice(run)
        if other := [name for name in asked if known[name] != asked[name]]:
            was = "another teacher" if "teacher_sha256" in other else f"other options ({_asked(known['request'])})"
            raise RunError(f"{run.folder} was started with {was}", cure="give --run NEW_RUN, or the same options")
        choice: Choice = from_json(Choice, known["choice"], "choice")
        return choice
    if run.exists:
        raise RunError(f"{run.folder} is a run that diptych train started", cure="give another --run")
    report("measuring networks")
    generator = choose(teacher, options.request, engine=options.engine)
    report(f"from {in_words(teacher.card.generator)} to {in_words(generator)}")
    length = options.length if is_given(options.length) else LengthConfig(time=_default_time(Run(path)))
    choice = Choice(generator=generator, time=length.time, num_distinct=_num_distinct(teacher, length))
    run.create()
    run.write_json(run.compression_file, {"teacher": str(path.absolute()), **asked, "choice": to_json(choice)})
    return choice


def _num_distinct(teacher: Model, length: LengthConfig) -> int:
    """How many crops of each domain the teacher translates: those that fit into a fraction of the time, and into the
    memory that is kept for them. For a length in pictures, only the memory counts."""
    data, directions = teacher.card.data, teacher.networks
    side = data.crop_size or data.load_size or SIDE
    num_bytes = 2 * side**2 * sum(teacher.card.channels.along(direction)[1] for direction in directions)
    in_memory = int(CACHE_GIB * 2**30 / num_bytes)
    if length.time is None:
        return in_memory
    picture = torch.zeros(1, teacher.card.channels.along(teacher.default_direction)[0], side, side)
    forward = TorchForward(teacher.networks[teacher.default_direction])
    seconds = interleaved({"teacher": lambda: forward(picture)}, rounds=5)["teacher"].median * len(directions)
    return min(in_memory, max(FEWEST, int(TEACHER_FRACTION * parse_time(length.time) / seconds)))


def read_choice(run: Run) -> dict[str, Any]:
    """The content of ``compression.json``.

    Raises:
        RunError: it cannot be read.
    """
    with suppress(ValueError, OSError):
        value = json.loads(run.compression_file.read_text(encoding="utf-8"))
        if isinstance(value, dict) and {"teacher_sha256", "request", "choice"} <= value.keys():
            return value
    problem = f"{run.compression_file} cannot be read"
    raise RunError(problem, cure="restore it from a backup, or give another --run")


def _asked(request: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in request.items() if value is not None)


def config_of(path: Path, teacher: Model, choice: Choice, options: Options) -> TrainConfig:
    """The config of the run that trains the student."""
    card, data = teacher.card, teacher.card.data
    method_config = METHODS.config_in_file(card.trained_by, f"{path}: card.method", trust_code=options.trust_code)
    learns = PairedDistillationConfig if method_config.paired else DistillationConfig
    method = learns(
        teacher=model_file(path).absolute(),
        teacher_sha256=sha256_of(model_file(path)),
        teacher_method=card.trained_by,
        direction=next(iter(teacher.networks)) if len(teacher.networks) == 1 else None,
        num_distinct=choice.num_distinct,
        teacher_cache_gib=CACHE_GIB,
    )
    low, high = BATCHES
    crop_size = data.crop_size or (data.load_size if data.resize == "square" else None)
    optimiser = OptimiserConfig(
        batch_size=min(high, max(low, BATCH_PIXELS // crop_size)) if crop_size else 1,
        learning_rate=LEARNING_RATE,
        beta1=0.9,
        ema=0.99,
        seed=options.seed,
    )
    return TrainConfig(
        source=options.source,
        method=method,
        generator=choice.generator,
        discriminator=PatchganConfig(width=1, num_layers=1),  # not used
        data=data,
        optimiser=optimiser,
        length=options.length if is_given(options.length) else LengthConfig(time=choice.time),
        engine=EngineConfig(device=options.device),
        output=OutputConfig(score=False),
    )


def source_of(path: Path, given: SourceConfig, *, trust_code: bool) -> SourceConfig:
    """The pictures that are ``given``, or those of the run ``path``. ``trust_code``: see ``Run.config``.

    Raises:
        OptionError: neither.
    """
    if given != SourceConfig():
        return given
    if not Run(path).exists:
        raise OptionError(f"{path} is no run, so its pictures are not known", cure="give A B, or --root ROOT")
    return Run(path).config(trust_code=trust_code).source


def _default_time(teacher: Run) -> str:
    """A third of the time that ``teacher`` was trained for."""
    seconds = training_seconds(teacher) if teacher.exists else 0.0
    if seconds <= 0:
        problem = f"{teacher.folder} does not say how long it was trained"
        raise OptionError(problem, cure="give --time, such as --time 10m")
    return f"{max(1, round(TIME_FRACTION * seconds))}s"


def training_seconds(run: Run) -> float:
    """Seconds of training of ``run``: those of a run with a time, or the time of its updates by its log."""
    if revisions := read_revisions(run.revisions_file):
        return max(revision.seconds for revision in revisions)
    seconds, before = 0.0, 0
    for record in run.metrics():
        if speed := record.get("pictures_per_second"):
            seconds, before = seconds + (record["pictures"] - before) / speed, record["pictures"]
    return seconds


def parse_budget(text: str) -> float:
    """Seconds in a budget such as ``10ms`` or ``0.5s``.

    Raises:
        OptionError: ``text`` is not such a time.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s)", text)
    seconds = float(found[1]) * (1e-3 if found[2] == "ms" else 1) if found else 0.0
    if seconds <= 0:
        raise OptionError(f"budget is {text!r}", cure="give a time for a picture, such as 10ms")
    return seconds
