"""Engines: what computes a network in inference. torch does on any device, OpenVINO and onnxruntime on the CPU."""

from importlib.util import find_spec
from typing import Literal, cast

import torch
from torch import nn

from diptych.config import DeviceName, Precision
from diptych.data.encoding import Encoding
from diptych.device import resolve_precision
from diptych.errors import MissingExtraError, OptionError
from diptych.inference.forward import EngineForward, Forward, Once, TorchForward
from diptych.inference.graph import Graph, Interface, trace
from diptych.inference.onnx_file import onnx_run, require_onnx, to_onnx
from diptych.inference.openvino_engine import openvino_model, openvino_run
from diptych.pair import Pair

EngineName = Literal["torch", "onnxruntime", "openvino"]
OTHERS: tuple[EngineName, ...] = ("openvino", "onnxruntime")
"""The engines besides torch. All compute on the CPU."""
NEEDS = {"openvino": ("openvino",), "onnxruntime": ("onnx", "onnxscript", "onnxruntime")}


def is_installed(engine: EngineName) -> bool:
    """Whether the packages of ``engine`` are installed."""
    return all(find_spec(name) for name in NEEDS.get(engine, ()))


def require_engine(engine: EngineName) -> None:
    """Raises ``MissingExtraError`` if ``engine`` is not installed."""
    if engine == "onnxruntime":
        require_onnx()
    elif not is_installed(engine):
        raise MissingExtraError(f"--engine {engine}", engine)


def resolve_engine_precision(engine: EngineName, precision: Precision, device: DeviceName) -> Precision:
    """The precision that ``precision`` means for ``engine``.

    Raises:
        OptionError: the machine or the engine lacks it, or the engine lacks the device.
    """
    if engine != "torch" and device not in ("auto", "cpu"):
        raise OptionError(f"{engine} computes on the CPU, not on {device}", cure="give --device cpu, or --engine torch")
    if engine == "onnxruntime" and precision not in ("auto", "fp32"):
        raise OptionError(f"onnxruntime does not compute in {precision} on a CPU", cure="give --precision fp32")
    return "fp32" if engine == "onnxruntime" else resolve_precision(precision, "cpu")


def engine_forwards(
    engine: EngineName, network: nn.Module, precision: Precision, *, channels: Pair[int], stride: int
) -> tuple[Forward, Forward]:
    """``network`` by ``engine``: in the resolved ``precision``, and in fp32. The network is on the CPU, in evaluation
    mode. ``channels`` are those of input and output."""
    in_torch = TorchForward(network)
    if engine == "openvino":
        model = Once(lambda: openvino_model(network, channels.a, stride))
        exact = EngineForward(lambda: openvino_run(model(), "fp32"), in_torch)
        if precision == "fp32":
            return exact, exact
        return EngineForward(lambda: openvino_run(model(), cast(Literal["bf16"], precision)), in_torch), exact
    exact = EngineForward(lambda: onnx_run(_onnx(network, channels, stride)), in_torch)
    return exact, exact


def _onnx(network: nn.Module, channels: Pair[int], stride: int) -> bytes:
    interface = Interface(*channels.map(Encoding), raw=True)
    return to_onnx(trace(Graph(network, stride, interface, torch.float32)), interface, {})
