"""``diptych export``."""

from dataclasses import dataclass
from pathlib import Path

from diptych.cli.console import stderr_console
from diptych.cli.trust import TRUST_CODE, trust_files
from diptych.config.constraints import REQUIRED, argument, option
from diptych.errors import OptionError


@dataclass(frozen=True)
class Export:
    """Convert a model to the format of other software.

    For example:
      diptych export runs/photos2paintings --original checkpoints/photos2paintings
      diptych export model.safetensors --original checkpoints/photos2paintings
    """

    model: Path = argument(REQUIRED, "A run, or its model.safetensors.", "RUN_OR_MODEL")
    original: Path | None = option(
        None,
        "Folder to write the .pth files of the original CycleGAN code to: the generators and, if the run has them, "
        "the discriminators.",
        "DIR",
    )
    trust_code: bool = option(False, TRUST_CODE)

    def __call__(self) -> int:
        if self.original is None:
            raise OptionError("no format is given", cure="give --original DIR")

        from diptych.interop.exporting import export_original, original_options
        from diptych.interop.names import DESCRIPTIONS

        if self.trust_code:
            trust_files(self.model)
        console = stderr_console()
        done = export_original(self.model, self.original)
        for role, file in done.files.items():
            console.print(f"{file.name}: {DESCRIPTIONS[role]}")
        if options := original_options(done.card, done.files):
            console.print(f"the original's test.py builds the generators with {options}")
        else:
            console.print("the original's test.py has no name for generators of this depth")
        if done.card.ema:
            console.print("the generators are the moving average (EMA), as in the model file")
        if not {"a", "b", "joint"} & done.files.keys():
            console.print("no discriminators: only a run's checkpoint holds them")
        print(self.original)
        return 0
