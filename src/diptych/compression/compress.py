"""Compresses a model: chooses a smaller generator, trains it on the outputs of the model, and compares both."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from diptych.compression.comparison import Comparison, compare
from diptych.compression.plan import Options, config_of, make_choice, read_choice, source_of
from diptych.config import Direction
from diptych.errors import OptionError, WeightsError
from diptych.inference.exported_model import is_exported
from diptych.model import Model, load_model
from diptych.monitoring.progress import Display, Silent
from diptych.run import Run
from diptych.training.distributed import connect
from diptych.training.loop import train

MODEL_FILE = "model.safetensors"


def compress(
    path: Path, options: Options, folder: Path | None = None, *, display: Display | None = None
) -> tuple[Run, Comparison]:
    """Trains a smaller generator on the outputs of ``path``, a run or a model file, in the run ``folder``, by default
    ``<path>-small``. The same call resumes. Returns the run and the comparison with the teacher, on every rank.

    Raises:
        UserError: a mistake that the caller can correct.
        KeyboardInterrupt: stopped by Ctrl-C; the run is saved.
    """
    started, world = time.monotonic(), connect()
    display = display if display and world.is_main else Silent()
    if is_exported(path):
        raise WeightsError(f"{path} is an exported file", cure="give the run or the model.safetensors that it is from")
    run = Run(folder or _default_folder(path))
    teacher = _one_direction(load_model(path, trust_code=options.trust_code), options.direction)
    options = replace(options, source=source_of(path, options.source, trust_code=options.trust_code))
    choice = world.on_main(partial(make_choice, path, teacher, run, options, display.note))
    config = config_of(path, teacher, choice, options)
    train(config, run.folder, display=display, started=started)
    return run, world.on_main(partial(_compared, path, teacher, run, options, display.note))


def _default_folder(path: Path) -> Path:
    """``<run>-small`` beside a run, or ``<name>-small`` beside a model file."""
    run = path.parent if path.name == MODEL_FILE else path
    return run.with_name(f"{(run.resolve() if run.is_dir() else run.with_suffix('')).name}-small")


def _one_direction(teacher: Model, direction: Direction | None) -> Model:
    if direction is None:
        return teacher
    if direction not in teacher.networks:
        raise OptionError(f"the teacher has no direction {direction}", cure=f"give {' or '.join(teacher.networks)}")
    return Model({direction: teacher.networks[direction]}, teacher.card)


def _compared(path: Path, teacher: Model, run: Run, options: Options, report: Callable[[str], None]) -> Comparison:
    """Both models compared; the result is written to the run."""
    comparison = compare(
        path,
        teacher,
        run,
        engine=options.engine,
        features=options.features if options.score else None,
        pairs=options.pairs,
        device=options.device,
        report=report,
    )
    known = read_choice(run)
    run.write_json(run.compression_file, known | {"comparison": comparison.to_json()})
    return comparison
