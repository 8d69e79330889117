"""Checkpoints: the whole state in one sealed file."""

from diptych.config_json import to_json
from diptych.errors import WeightsError
from diptych.run import Run, remove
from diptych.sealed import read_sealed, write_sealed
from diptych.training.state import State

KIND = "checkpoint"


def save_checkpoint(run: Run, state: State) -> None:
    """Writes the state of now beside the run's other checkpoints, and removes those that are too many.

    Raises:
        OSError: the disk is full or may not be written; the checkpoints there are as they were.
    """
    description = {"config": to_json(state.config), "numbers": state.numbers()}
    write_sealed(run.checkpoint_file(state.pictures), KIND, state.tensors(), description)
    remove(run.checkpoint_files()[: -state.config.output.keep_checkpoints])


def restore_latest(run: Run, state: State) -> bool:
    """Puts ``state`` to the newest checkpoint of ``run``; False where there is none.

    Raises:
        WeightsError: the newest is damaged or of another configuration.
    """
    files = run.checkpoint_files()
    if not files:
        return False
    tensors, description = read_sealed(files[-1], KIND)
    try:
        state.restore(tensors, description["numbers"])
    except (KeyError, RuntimeError) as error:
        problem = str(error).splitlines()[0]
        raise WeightsError(
            f"{files[-1]} is of another configuration ({problem})", cure="begin another run with --run"
        ) from None
    return True
