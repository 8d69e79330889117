"""A file of ``diptych export``, ONNX or OpenVINO IR, computed by onnxruntime or OpenVINO."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor

from diptych import registry
from diptych.config import DeviceName, Direction, InferenceEngine, Precision
from diptych.config_json import from_json
from diptych.data.encoding import Array, Encoding, from_levels, from_network
from diptych.errors import OptionError, PictureError, UserError, WeightsError, first_line
from diptych.inference.engine_choice import fastest_engine
from diptych.inference.engines import EngineName, is_installed, require_engine, resolve_engine_precision
from diptych.inference.forward import EngineForward, Forward
from diptych.inference.graph import ExportedFunction
from diptych.inference.onnx_file import onnx_run, read_onnx_metadata
from diptych.inference.openvino_engine import openvino_run, read_openvino
from diptych.model import ModelCard, model_file

ONNX, IR = ".onnx", ".xml"
COMPUTED_BY: dict[str, tuple[EngineName, ...]] = {ONNX: ("onnxruntime", "openvino"), IR: ("openvino",)}
"""The engines that compute a file, by its suffix."""


class Exported(NamedTuple):
    """An exported generator: its description, the network in the chosen precision and in fp32, and what computes it."""

    card: ModelCard
    direction: Direction
    forward: Forward
    exact: Forward
    engine: EngineName

    def refuse(self, direction: Direction | None, tile: int | str) -> None:
        """Raises ``OptionError`` if it lacks the direction, or if tiles are asked for: only torch computes them."""
        if direction not in (None, self.direction):
            raise OptionError(f"the file has only the direction {self.direction}", cure=f"give {self.direction}")
        if tile not in ("auto", 0):
            raise OptionError("an exported file is not computed by tiles", cure="give the run, or --tile 0")


def is_exported(path: Path) -> bool:
    """Whether ``path`` has the suffix of a file that this module loads."""
    return path.suffix in COMPUTED_BY


def weights_file(path: Path) -> Path:
    """The file that holds the weights of ``path``, a run, a model file or an exported file."""
    return path.with_suffix(".bin") if path.suffix == IR else path if is_exported(path) else model_file(path)


def load_exported(
    path: Path, engine: InferenceEngine, *, device: DeviceName, precision: Precision, trust_code: bool = False
) -> Exported:
    """Loads ``path``. ``engine`` torch means the first that computes such a file and is installed.

    Raises:
        UntrustedCodeError: it names a class outside of diptych, without ``trust_code``.
        WeightsError: it is missing, damaged, or no file of ``diptych export``.
        OptionError: the engine does not compute such a file, or lacks the device or precision.
        MissingExtraError: no engine for it is installed.
    """
    if not path.is_file():
        raise WeightsError(f"{path} does not exist", cure="give a run, or a file that diptych has written")
    engines = COMPUTED_BY[path.suffix]
    installed = [name for name in engines if is_installed(name)]
    if not installed or engine in ("openvino", "onnxruntime"):
        named = engine if engine in ("openvino", "onnxruntime") else engines[-1]
        if named not in engines:
            raise OptionError(f"--engine {named} cannot compute {path}", cure=f"give --engine {' or '.join(engines)}")
        require_engine(named)
        installed = [named]
    try:
        description = _description(path)
        if trust_code:
            registry.trust_code(description["card"])
        card: ModelCard = from_json(ModelCard, description["card"], "card")
        interface = _interface(description["input"]), _interface(description["output"])
        direction: Direction = description["direction"]
    except UserError:
        raise
    except Exception as error:  # of a damaged or foreign file, the runtimes raise anything
        problem = f"{path} is damaged, or no file of this version's diptych export ({first_line(error)})"
        raise WeightsError(problem, cure="export it again") from None
    is_raw = description["input"]["layout"] == "NCHW"
    made = {}
    for name in installed if engine == "auto" else installed[:1]:
        resolved = resolve_engine_precision(name, precision, device)
        made[name] = [
            EngineForward(partial(_run, path, name, kind, *interface, is_raw=is_raw))
            for kind in dict.fromkeys((resolved, "fp32"))
        ]
    fastest = fastest_engine(
        card.generator, card.channels.along(direction)[0], precision, {name: each[0] for name, each in made.items()}
    )
    forward, exact = made[fastest][0], made[fastest][-1]
    takes_8_bits = not is_raw and not interface[0].is_deep
    return Exported(card, direction, forward, _refusing(path) if takes_8_bits else exact, fastest)


def _description(path: Path) -> dict[str, Any]:
    texts = read_onnx_metadata(path) if is_installed("onnxruntime") and path.suffix == ONNX else read_openvino(path)[1]
    structured = {name: json.loads(texts[name]) for name in ("card", "input", "output")}
    return structured | {"direction": texts["direction"]}


def _interface(described: Mapping[str, Any]) -> Encoding:
    if described["layout"] == "NCHW":
        return Encoding(int(described["channels"]))
    encoding: Encoding = from_json(Encoding, {key: value for key, value in described.items() if key != "layout"})
    return encoding


def _run(
    path: Path, engine: EngineName, precision: Precision, source: Encoding, target: Encoding, *, is_raw: bool
) -> ExportedFunction:
    """The file as a function from ``(B, C, H, W)`` in [-1, 1] to the same."""
    if engine == "onnxruntime":
        run = onnx_run(path.read_bytes())
    else:
        run = openvino_run(read_openvino(path)[0], cast(Literal["fp32", "bf16"], precision))

    def of_levels(batch: Array) -> Array:
        outputs = run(from_network(torch.from_numpy(batch), source.dtype, limits=source.limits))
        return from_levels(torch.from_numpy(outputs).permute(0, 3, 1, 2), target).numpy()

    return run if is_raw else of_levels


def _refusing(path: Path) -> Forward:
    def forward(_: Tensor) -> Tensor:
        raise PictureError(f"{path} takes pictures of 8 bits", cure="export it with --bits 16 or --raw")

    return forward
