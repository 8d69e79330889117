"""``diptych export``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from diptych.cli.console import stderr_console
from diptych.cli.trust import TRUST_CODE, trust_files
from diptych.config import Direction
from diptych.config.constraints import REQUIRED, Positive, argument, option
from diptych.errors import OptionError


@dataclass(frozen=True)
class Export:
    """Convert a model to ONNX, torch.export, OpenVINO, or checkpoints of the original code.

    An ONNX, .pt2 or .xml file holds one direction. It translates pictures of any size as diptych does, and is compared
    with PyTorch before it is written.

    For example:
      diptych export runs/photos2paintings paint.onnx
      diptych export runs/photos2paintings photograph.onnx --direction b2a --fp16
      diptych export model.safetensors --original checkpoints/photos2paintings
    """

    model: Path = argument(REQUIRED, "A run, its model.safetensors, or hf:OWNER/NAME.", "MODEL")
    file: Path | None = argument(
        None, "File to write: .onnx for ONNX, .pt2 for a program of torch.export, .xml for OpenVINO IR.", "[FILE]"
    )
    direction: Direction | None = option(
        None, "Export the generator from A to B, or from B to A. By default a2b, or the only one of the model."
    )
    raw: bool = option(
        False,
        "Take and return tensors, float32 in [-1, 1], (batch, channels, height, width), instead of pictures of 8 or 16 "
        "bits, (batch, height, width, channels).",
    )
    bits: Literal[8, 16] | None = option(
        None,
        "Bits of the pictures' values, by default 8. Refused if the input's domain had a range in training: the range "
        "decides. No effect with --raw.",
    )
    fp16: bool = option(
        False,
        "Store and compute in fp16: half the size. It may change pixels by up to 3 levels of 255.",
    )
    int8: bool = option(
        False,
        "Compute convolutions in int8 (ONNX only): a quarter of the size. Calibrated on the run's training pictures. "
        "Refused if it is not faster in onnxruntime on this machine.",
    )
    min_psnr: Positive[float] | None = option(
        None,
        "With --int8: smallest PSNR of its outputs to those of fp32, in dB. By default 35.",
        "DB",
    )
    licence: str = option("", "Licence of the model, for the file's metadata.")
    original: Path | None = option(
        None,
        "Folder to write the .pth files of the original CycleGAN code to, instead of FILE: the generators and, if the "
        "run has them, the discriminators.",
        "DIR",
    )
    trust_code: bool = option(False, TRUST_CODE)

    def __call__(self) -> int:
        if self.file is not None and self.original is not None:
            raise OptionError(f"two formats are given, {self.file} and --original", cure="give one at a time")
        if self.file is not None:
            return self._export_file(self.file)
        if self.original is not None:
            return self._export_original(self.original)
        raise OptionError("no format is given", cure="give FILE.onnx, FILE.pt2, FILE.xml or --original DIR")

    def _export_file(self, file: Path) -> int:
        from diptych.export.export import export_model

        done = export_model(
            self.model,
            file,
            direction=self.direction,
            raw=self.raw,
            bits=self.bits,
            fp16=self.fp16,
            int8=self.int8,
            min_psnr=self.min_psnr,
            licence=self.licence,
            trust_code=self.trust_code,
        )
        console = stderr_console()
        console.print(f"{done.direction}: {done.source} to {done.target}")
        console.print(f"largest difference from PyTorch: {done.difference}")
        if done.quantised is not None:
            console.print(str(done.quantised))
        print(file)
        return 0

    def _export_original(self, folder: Path) -> int:
        from diptych.interop.exporting import export_original, original_options
        from diptych.interop.names import DESCRIPTIONS

        if self.trust_code:
            trust_files(self.model)
        console = stderr_console()
        done = export_original(self.model, folder)
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
        print(folder)
        return 0
