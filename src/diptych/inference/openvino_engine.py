"""Networks computed by OpenVINO on the CPU."""

import tempfile
import threading
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from diptych.data.encoding import Array
from diptych.inference.graph import ExportedFunction, quiet

HINTS = {"fp32": "f32", "bf16": "bf16"}
"""OpenVINO's names of precisions."""


def openvino_model(network: nn.Module, channels: int, stride: int) -> Any:
    """``network`` as an OpenVINO model, for any batch size, and heights and widths that are multiples of ``stride``.

    OpenVINO's ``convert_model`` does the same, but it may report its use over the network.
    """
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with torch.no_grad(), quiet():
        decoder = TorchScriptPythonDecoder(network, example_input=torch.zeros(2, channels, 2 * stride, 3 * stride))
    frontend = FrontEndManager().load_by_framework("pytorch")
    model = frontend.convert(frontend.load(decoder))
    model.reshape([-1, channels, -1, -1])
    return model


def read_openvino(path: Path) -> tuple[Any, dict[str, str]]:
    """The model in an ONNX or IR file, and the description in it. Raises what OpenVINO raises if it is damaged."""
    from openvino import Core

    model = Core().read_model(path)
    entries = model.get_rt_info(["framework"]).astype(dict)
    return model, {name: value if isinstance(value, str) else value.astype(str) for name, value in entries.items()}


def openvino_of_onnx(content: bytes) -> Any:
    """The ONNX file ``content``, with its description, as an OpenVINO model."""
    from openvino import Core

    return Core().read_model(content)


def write_openvino(model: Any, path: Path) -> None:
    """Writes ``path``, which ends in ``.xml``, and beside it the weights in ``.bin``."""
    from openvino import save_model

    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".diptych-") as folder:
        temporary = Path(folder) / path.name
        save_model(model, temporary, compress_to_fp16=False)
        for suffix in (".bin", ".xml"):
            temporary.with_suffix(suffix).replace(path.with_suffix(suffix))


def openvino_run(model: Any, precision: Literal["fp32", "bf16"]) -> ExportedFunction:
    """An OpenVINO model as a function of arrays, which threads may share. It uses torch's number of threads."""
    from openvino import Core

    options = {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    compiled, local = Core().compile_model(model, "CPU", options), threading.local()

    def run(images: Array) -> Array:
        if not hasattr(local, "request"):
            local.request = compiled.create_infer_request()
        (output,) = local.request.infer([images]).values()
        return output  # type: ignore[no-any-return]

    return run
