"""Checkpoints: the whole state in one sealed file."""

from pathlib import Path

from diptych.config_json import to_json
from diptych.errors import WeightsError
from diptych.run import Run, remove
from diptych.sealed import read_sealed, write_sealed
from diptych.training.state import State
from diptych.training.window import NonFiniteError

KIND = "checkpoint"


def save_checkpoint(run: Run, state: State, *, best: bool = False) -> None:
    """Writes the state of now beside the run's other checkpoints, and removes those that are too many; or in place of
    the ``best`` one.

    Raises:
        NonFiniteError: a tensor of the state holds NaN or infinity; nothing is written.
        OSError: the disk is full or may not be written; the checkpoints there are as they were.
    """
    tensors = state.tensors()
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise NonFiniteError(name, state.pictures)
    description = {"config": to_json(state.config), "numbers": state.numbers()}
    file = run.best_checkpoint_file if best else run.checkpoint_file(state.pictures)
    write_sealed(file, KIND, tensors, description)
    remove(run.checkpoint_files()[: -state.config.output.keep_checkpoints])


def restore(file: Path, state: State) -> None:
    """Puts ``state`` to the checkpoint in ``file``.

    Raises:
        WeightsError: it is damaged, or of networks that differ.
    """
    tensors, description = read_sealed(file, KIND)
    try:
        state.restore(tensors, description["numbers"])
    except (KeyError, RuntimeError) as error:
        problem = str(error).splitlines()[0]
        raise WeightsError(f"{file} is of other networks ({problem})", cure="begin another run with --run") from None
