"""Exports a generator to a format that needs no diptych: ONNX, a program of torch.export, or OpenVINO IR."""

import copy
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch.export import ExportedProgram

from diptych.atomic import atomic_write
from diptych.config import Direction, ValueType
from diptych.config_json import to_json
from diptych.data.encoding import Encoding
from diptych.errors import OptionError, UserError, WeightsError, disk_errors, first_line
from diptych.export.check import Difference, compare
from diptych.export.int8 import MIN_PSNR, Quantised, quantise
from diptych.inference.engines import require_engine
from diptych.inference.graph import ExportedFunction, Graph, Interface, trace
from diptych.inference.onnx_file import onnx_run, require_onnx, to_onnx
from diptych.inference.openvino_engine import openvino_of_onnx, openvino_run, write_openvino
from diptych.inference.translator import Translator
from diptych.model import ModelCard, load_model, versions

Bits = Literal[8, 16]
DTYPES: dict[Bits, ValueType] = {8: "uint8", 16: "uint16"}
OTHER_VERSIONS = "install the versions in constraints.txt"


@dataclass(frozen=True)
class Exported:
    """A file that was checked and written."""

    direction: Direction
    source: str
    target: str
    """Names of the domains."""
    difference: Difference
    """From PyTorch in float32, before quantisation."""
    quantised: Quantised | None = None
    """What int8 costs and gains."""


def export_model(
    source: Path,
    path: Path,
    *,
    direction: Direction | None = None,
    raw: bool = False,
    bits: Bits | None = None,
    fp16: bool = False,
    int8: bool = False,
    min_psnr: float | None = None,
    licence: str = "",
    trust_code: bool = False,
) -> Exported:
    """Writes one generator of ``source``, a run or a model file, to ``path``.

    The suffix decides the format: ``.onnx``, ``.pt2`` for torch.export, or ``.xml`` for OpenVINO IR (with a ``.bin``).

    The file takes and returns pictures ``(B, H, W, C)`` of any batch size, height and width. They have ``bits``, by
    default 8, or the values of a domain that has a range. If ``raw``, it takes and returns ``(B, C, H, W)`` in [-1, 1].
    ``fp16`` stores and computes in fp16. ``int8`` computes convolutions in int8, calibrated on the training pictures of
    the run ``source``. The PSNR of its outputs to those in fp32 must be at least ``min_psnr`` dB, by default 35.
    ``licence`` goes into the description. ``trust_code``: see ``load_model``.

    Raises:
        UserError: ``source`` cannot be read or exported, an extra is missing, the file would differ from PyTorch by
            more than the tolerance, int8 is too far from fp32 or not faster, or ``path`` exists or cannot be written.
    """
    if path.suffix not in (".onnx", ".pt2", ".xml"):
        raise OptionError(f"{path} ends in none of .onnx, .pt2, .xml", cure="give a name that ends in one of them")
    for file in (path, path.with_suffix(".bin")) if path.suffix == ".xml" else (path,):
        if file.exists():
            raise OptionError(f"{file} exists already", cure="give another name, or remove it")
    _refuse_int8(path, int8=int8, fp16=fp16, min_psnr=min_psnr)
    if path.suffix != ".pt2":
        require_onnx()
    if path.suffix == ".xml":
        require_engine("openvino")
    model = load_model(source, trust_code=trust_code)
    direction = direction or model.default_direction
    translator = Translator.of(model, direction)
    interface = Interface(*_encodings(translator, bits), raw)
    if not raw and (interface.source.needs_range or interface.target.needs_range):
        problem = f"{source} translates {interface.source.dtype} to {interface.target.dtype}"
        raise OptionError(f"{problem}, and exported files only uint8 and uint16", cure="add --raw")
    network, dtype = model.networks[direction], torch.float32
    if fp16:
        network, dtype = copy.deepcopy(network).half(), torch.float16
    program = trace(Graph(network, model.card.generator.stride, interface, dtype))
    description = _description(source, model.card, direction, interface, licence)
    try:
        content, write, run = _converted(path, program, interface, description)
        difference = compare(run, translator, interface, half=fp16)
        quantised = None
        if int8 and difference.passes:
            quantised = quantise(content, source, translator, interface)
            quantised.refuse(path, MIN_PSNR if min_psnr is None else min_psnr)
            write = partial(_write, path, quantised.content)
    except UserError:
        raise
    except Exception as error:  # exporters and runtimes raise anything
        raise WeightsError(f"{path} cannot be made of {source} ({first_line(error)})", cure=OTHER_VERSIONS) from error
    if not difference.passes:
        cure = "leave --fp16 out" if fp16 else OTHER_VERSIONS
        raise WeightsError(f"{path} is not written, since it would differ from PyTorch by {difference}", cure=cure)
    with disk_errors(path):
        write()
    return Exported(direction, translator.source, translator.target, difference, quantised)


def _refuse_int8(path: Path, *, int8: bool, fp16: bool, min_psnr: float | None) -> None:
    """Raises ``OptionError`` if the options of int8 do not fit the others."""
    if min_psnr is not None and not int8:
        raise OptionError("--min-psnr is given without --int8", cure="leave it out, or add --int8")
    if int8 and fp16:
        raise OptionError("--fp16 and --int8 are given", cure="give one of them")
    if int8 and path.suffix != ".onnx":
        raise OptionError(f"--int8 is given, and {path} is no ONNX file", cure="give a name that ends in .onnx")


def _encodings(translator: Translator, bits: Bits | None) -> tuple[Encoding, Encoding]:
    """The encodings of input and output. As in a translator, an output without a range has the input's type."""
    source, target = translator.encoding_in, translator.encoding_out
    if bits and source.has_range:
        low, high = source.limits
        problem = f"the values of {translator.source} go from {low:g} to {high:g}, so --bits has no effect"
        raise OptionError(problem, cure="leave --bits out")
    if not source.has_range:
        source = replace(source, dtype=DTYPES[bits or 8])
    return source, target if target.has_range else replace(target, dtype=source.dtype)


def _converted(
    path: Path, program: ExportedProgram, interface: Interface, description: Mapping[str, str]
) -> tuple[bytes, Callable[[], None], ExportedFunction]:
    """The content of an ONNX or .pt2 file, what writes ``path``, and what runs it."""
    if path.suffix == ".pt2":
        content, run = _pt2(program, description)
        return content, partial(_write, path, content), run
    content = to_onnx(program, interface, description)
    if path.suffix == ".onnx":
        return content, partial(_write, path, content), onnx_run(content)
    model = openvino_of_onnx(content)
    return content, partial(write_openvino, model, path), openvino_run(model, "fp32")


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def _pt2(program: ExportedProgram, description: Mapping[str, str]) -> tuple[bytes, ExportedFunction]:
    file = io.BytesIO()
    torch.export.save(program, file, extra_files=dict(description))
    file.seek(0)
    module = torch.export.load(file).module()
    return file.getvalue(), lambda images: module(torch.from_numpy(images)).detach().numpy()


def _description(
    source: Path, card: ModelCard, direction: Direction, interface: Interface, licence: str
) -> dict[str, str]:
    """Where the file comes from and what it takes: texts, or JSON."""
    run = source.resolve() if source.is_dir() else source.resolve().parent
    source_name, target_name = card.names.along(direction)
    structured = {
        "card": to_json(card),
        "pictures": card.pictures,
        "ema": card.ema,
        "generator": to_json(card.generator),
        "input": interface.describe(interface.source),
        "output": interface.describe(interface.target),
        "versions": versions(),
    }
    texts = {
        "run": run.name,
        "method": card.method,
        "direction": direction,
        "source": source_name,
        "target": target_name,
        "licence": licence or "not stated",
    }
    return texts | {name: json.dumps(value, ensure_ascii=False) for name, value in structured.items()}
