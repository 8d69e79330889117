"""``diptych translate``."""

import glob
import shlex
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from diptych.cli.console import stderr_console
from diptych.cli.trust import TRUST_CODE
from diptych.config import DeviceName, Direction, InferenceEngine, Precision
from diptych.config.constraints import REQUIRED, NotNegative, Positive, argument, check_ranges, option
from diptych.errors import EXIT_MISTAKE, OptionError

EXIT_SOME_FAILED = 1
MODEL_SUFFIXES = (".safetensors", ".onnx", ".xml")


@dataclass(frozen=True)
class Translate:
    """Translate a picture, or a folder of pictures.

    Each picture is translated at its own size. Bit depth and transparency are kept if the output's format can hold
    them. In a folder, names are kept too.

    Exit code: 0 if all were translated, 1 if some of several failed (each is named, the others are done), 2 for a
    mistake, also in the only picture.

    For example:
      diptych translate runs/photos2paintings holiday.jpg painted.jpg
      diptych translate runs/photos2paintings photos painted
      diptych translate model.safetensors paintings photographed --direction b2a
    """

    model: Path = argument(
        REQUIRED, "A run, its model.safetensors, hf:OWNER/NAME, or a file of diptych export (.onnx, .xml).", "MODEL"
    )
    input: Path = argument(
        REQUIRED,
        "A picture, or a folder with its sub-folders, a zip, a .txt with one path a line, or a pattern in quotes.",
        "INPUT",
    )
    output: Path = argument(
        REQUIRED, "File for the translation, or a folder for translations of the same names.", "OUTPUT"
    )
    direction: Direction | None = option(
        None, "Translate A to B, or B to A. By default a2b, or the only direction of the model."
    )
    size: Literal["own", "training"] = option(
        "own", "Translate each picture at its own size, or resized to the crop size of training."
    )
    format: Literal["jpg", "png", "tif", "webp", "bmp", "npy", "dcm", "nii", "nii.gz"] | None = option(
        None, "Format of the translations, if OUTPUT is a folder. By default that of each picture's name."
    )
    half: Literal["left", "right"] | None = option(
        None, "Translate only this half of each picture, if the files hold pairs side by side as for pix2pix."
    )
    device: DeviceName = option("auto", "Device to compute on; auto tries CUDA, then MPS, then the CPU.")
    precision: Precision = option(
        "auto",
        "Arithmetic; auto is bf16 if the hardware supports it (its error is about that of 8-bit rounding), else "
        "fp32. Pictures of more than 8 bits always use fp32.",
    )
    engine: InferenceEngine = option(
        "torch",
        "What computes the network on a CPU: torch, openvino (extra: openvino), onnxruntime (extra: export), or auto, "
        "the fastest that is installed, measured once. All but torch take seconds to start.",
    )
    shard: str | None = option(
        None,
        "Translate only this part of the pictures, such as 1/8 for the first of 8. Start one process for each part, on "
        "one machine or on several.",
        "PART/PARTS",
    )
    overwrite: bool = option(
        False, "Translate all pictures of a folder again, also those that an earlier run translated."
    )
    tile: str = option(
        "auto",
        "Translate by tiles of this many pixels, with the statistics of the whole picture. auto uses tiles for "
        "pictures that do not fit in memory; 0 never does. Slides are always translated by tiles.",
        "auto|SIZE|0",
    )
    scratch_gib: NotNegative[float] = option(
        16.0,
        "Disk space for activations of tiles, in GiB, in the folder for temporary files. Where all tiles need more, "
        "statistics are those of a sample of tiles.",
    )
    mpp: Positive[float] | None = option(None, "Micrometres per pixel of slides whose files do not say it.")
    skip_background: bool = option(
        False,
        "In slides, copy what is nearly white instead of translating it: whole tiles, and blocks of 64 pixels "
        "in others.",
    )
    trust_code: bool = option(False, TRUST_CODE)

    def __call__(self) -> int:
        from diptych.cli.progress import FolderProgress
        from diptych.data.files import find_files
        from diptych.data.formats import UNREAD_CURE
        from diptych.data.locations import is_collection
        from diptych.inference.folder import translate_files
        from diptych.inference.manifest import Manifest
        from diptych.inference.outputs import plan_outputs
        from diptych.inference.shard import WHOLE, Shard
        from diptych.inference.slides import SlideOptions
        from diptych.inference.translator import Translator

        check_ranges(self)
        refuse_swapped(self.model, self.input, self.output)
        console, shard = stderr_console(), WHOLE if self.shard is None else Shard.parse(self.shard)
        translator = Translator.load(
            self.model,
            self.direction,
            device=self.device,
            precision=self.precision,
            engine=self.engine,
            tile=parsed_tile(self.tile),
            scratch_gib=self.scratch_gib,
            trust_code=self.trust_code,
        )
        direction = translator.direction
        pairs = plan_outputs(self.input, self.output, suffix=f".{self.format}" if self.format else "")
        manifest: Manifest | None = None
        if is_collection(self.input):
            if unread := find_files(self.input).unread:
                console.print(f"{unread}: {UNREAD_CURE}")
            pairs = shard.part_of(pairs, self.output)
            manifest = Manifest(self.output, self._settings(direction), shard=shard, overwrite=self.overwrite)
        elif self.shard is not None or self.overwrite:
            name = "--overwrite" if self.shard is None else "--shard"
            raise OptionError(f"{self.input} is one picture, so {name} has no effect", cure="leave it out")
        console.print(f"{direction}: {translator.source} to {translator.target}")
        with FolderProgress(console, len(pairs)) as progress, manifest or nullcontext():
            outcome = translate_files(
                translator,
                pairs,
                size=self.size,
                half=self.half,
                manifest=manifest,
                slides=SlideOptions(self.mpp, self.skip_background),
                report=console.print,
                advance=progress.show,
            )
        if manifest:
            console.print(outcome.describe_speed())
        skipped = f", {outcome.num_skipped} already there" if outcome.num_skipped else ""
        console.print(f"{outcome.num_translated} translated{skipped}, {len(outcome.failed)} failed")
        if outcome.failed:
            return EXIT_SOME_FAILED if is_collection(self.input) else EXIT_MISTAKE
        return 0

    def _settings(self, direction: Direction) -> dict[str, str]:
        """What the translations depend on, for their manifest. An empty text means that the option is not given."""
        from diptych.inference.exported_model import weights_file
        from diptych.inference.manifest import content_of

        model = content_of(weights_file(self.model)).sha256
        names = ("size", "half", "precision", "engine", "tile", "mpp", "skip_background")
        options = {name: str(getattr(self, name) or "") for name in names}
        return {"model": model, "direction": direction} | options


def parsed_tile(text: str) -> int | Literal["auto"]:
    """The value of ``--tile``.

    Raises:
        OptionError: neither auto nor a number.
    """
    if text == "auto":
        return "auto"
    if not text.isdigit():
        raise OptionError(f"tile is {text!r}", cure="give auto, 0, or a side in pixels")
    return int(text)


def refuse_swapped(model: Path, source: Path, target: Path) -> None:
    """Checks the order of the three paths.

    Raises:
        OptionError: the model is not first, or input and output are swapped; the cure has the right order.
    """
    others = [path for path in (source, target) if _is_model(path)]
    if others and not _is_model(model):
        rest = [path for path in (model, source, target) if path != others[0]]
        problem, right = f"{others[0]} is a model, and {model} is not", (others[0], *rest)
    elif _is_model(model) and not source.exists() and not glob.has_magic(str(source)) and target.exists():
        problem, right = f"{source} does not exist, and {target} does", (model, target, source)
    else:
        return
    raise OptionError(problem, cure=f"did you mean diptych translate {shlex.join(map(str, right))}?")


def _is_model(path: Path) -> bool:
    return (path / "model.safetensors").is_file() or (path.suffix in MODEL_SUFFIXES and path.is_file())
