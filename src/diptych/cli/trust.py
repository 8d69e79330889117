"""``--trust-code``, of the commands that read a model from elsewhere."""

from pathlib import Path

TRUST_CODE = (
    "Import the classes outside of diptych that the run or the model file names, which runs their code. Only for files "
    "of somebody you trust."
)


def trust_files(path: Path) -> None:
    """Imports the classes that the run or the model file ``path`` names.

    Raises:
        UserError: ``path`` cannot be read, or a class cannot be imported.
    """
    from diptych.model import read_card
    from diptych.registry import trust_code
    from diptych.run import Run

    if (run := Run(path)).exists:
        trust_code(run.about()["config"])
    trust_code(read_card(path))
