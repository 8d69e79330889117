"""``diptych import``."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from diptych.config import Direction


@dataclass(frozen=True)
class Import:
    """Turn checkpoints of the original CycleGAN code into a model.

    Architecture and channels are read from the files, which network is which from their names, how pictures were
    prepared from the train_opt.txt beside them.

    For example:
      diptych import latest_net_G_A.pth latest_net_G_B.pth --to runs/horse2zebra
      diptych import checkpoints/horse2zebra --to runs/horse2zebra
      diptych import latest_net_G.pth --to style_monet.safetensors
      diptych import G__AB_200.pth G__BA_200.pth --to runs/blog
    """

    files: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="FILE...")]
    """Their .pth files: one or two generators and, to train on, the discriminators; or the folder with all of them."""
    to: Annotated[Path, tyro.conf.arg(metavar="RUN_OR_FILE")]
    """A new folder, which gets a model.safetensors, or a file that ends in .safetensors."""

    direction: Direction | None = None
    """What a lone generator does. By default what the options file beside it says, else a2b."""

    def __call__(self) -> int:
        from rich.console import Console

        from diptych.interop.importing import import_original

        console = Console(file=sys.stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)
        done = import_original(self.files, self.to, direction=self.direction)
        for role, network in done.networks.items():
            console.print(f"{network.path}: {role}: {network.architecture}")
        for note in done.notes:
            console.print(note)
        print(done.file)
        return 0
