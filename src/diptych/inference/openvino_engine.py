"""Networks computed by OpenVINO on the CPU."""

import threading
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
