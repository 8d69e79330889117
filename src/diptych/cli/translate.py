"""``diptych translate``."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from diptych.config import Device, Direction

EXIT_SOME_FAILED = 1


@dataclass(frozen=True)
class Translate:
    """Translate a picture, or a folder of pictures.

    Each is translated at its own size and keeps its name, bit depth and transparency.

    Exit code: 0 when all were translated, 1 when some failed (each is named, the others are done), 2 for a mistake.

    For example:
      diptych translate runs/photos2paintings holiday.jpg painted.jpg
      diptych translate runs/photos2paintings photos painted
      diptych translate model.safetensors paintings photographed --direction b2a
    """

    model: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="MODEL")]
    """A run, or its model.safetensors."""
    input: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="INPUT")]
    """A picture, or a folder of pictures with any sub-folders."""
    output: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUTPUT")]
    """Where the translation goes: a picture, or a folder that gets the same names."""
    direction: Direction = "a2b"
    """From A to B, or back."""
    size: Literal["own", "training"] = "own"
    """Translate at each picture's own size, or resized as in training."""
    device: Device = "auto"
    """Where to compute; auto takes CUDA, then MPS, then the CPU."""

    def __call__(self) -> int:
        from rich.console import Console
        from rich.progress import Progress

        from diptych.engine import choose_device
        from diptych.translation.folders import plan_outputs, translate_files
        from diptych.translation.translator import Translator

        console = Console(file=sys.stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)
        translator = Translator.load(self.model, self.direction, device=choose_device(self.device))
        pairs = plan_outputs(self.input, self.output)
        console.print(f"{self.direction}: {translator.source} to {translator.target}")
        with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
            task = progress.add_task("", total=len(pairs))
            outcome = translate_files(
                translator, pairs, size=self.size, report=console.print, advance=lambda: progress.advance(task)
            )
        console.print(f"{outcome.num_translated} translated, {len(outcome.failed)} failed")
        return EXIT_SOME_FAILED if outcome.failed else 0
