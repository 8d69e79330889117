"""``diptych import``."""

from dataclasses import dataclass
from pathlib import Path

from diptych.cli.console import stderr_console
from diptych.config import Direction
from diptych.config.constraints import REQUIRED, argument, option


@dataclass(frozen=True)
class Import:
    """Convert checkpoints of the original CycleGAN code to a model.

    The architecture and the channels are read from the files, the role of each network from the file names, and the
    preprocessing from the train_opt.txt beside them.

    For example:
      diptych import latest_net_G_A.pth latest_net_G_B.pth --to runs/horse2zebra
      diptych import checkpoints/horse2zebra --to runs/horse2zebra
      diptych import latest_net_G.pth --to style_monet.safetensors
      diptych import G__AB_200.pth G__BA_200.pth --to runs/imported
    """

    files: tuple[Path, ...] = argument(
        REQUIRED,
        "The original .pth files: one or two generators and, for training, the discriminators; or their folder.",
        "FILE...",
    )
    to: Path = option(
        REQUIRED, "New folder for model.safetensors, or a file name that ends in .safetensors.", "RUN_OR_FILE"
    )

    direction: Direction | None = option(
        None, "Direction of a single generator. By default the one in the options file beside it, else a2b."
    )

    def __call__(self) -> int:
        from diptych.interop.importing import import_original
        from diptych.interop.names import DESCRIPTIONS

        console = stderr_console()
        done = import_original(self.files, self.to, direction=self.direction)
        for role, network in done.networks.items():
            console.print(f"{network.path}: {DESCRIPTIONS[role]}: {network.architecture}")
        for note in done.notes:
            console.print(note)
        print(done.file)
        return 0
