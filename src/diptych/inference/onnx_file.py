"""ONNX files: converted from a traced graph, with a description, and run by onnxruntime."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from torch.export import ExportedProgram

from diptych import __version__
from diptych.data.encoding import Array
from diptych.errors import MissingExtraError
from diptych.inference.graph import ExportedFunction, Interface, quiet

INPUT, OUTPUT = "input", "output"


def require_onnx() -> None:
    """Raises ``MissingExtraError`` if a package of the extra ``export`` is not installed."""
    if not all(find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime")):
        raise MissingExtraError("export to ONNX", "export")


def to_onnx(program: ExportedProgram, interface: Interface, description: Mapping[str, str]) -> bytes:
    """``program`` as the bytes of an ONNX file that holds ``description`` as metadata."""
    import onnx

    with quiet():
        exported = torch.onnx.export(program, input_names=[INPUT], output_names=[OUTPUT], dynamo=True, verbose=False)
    assert exported is not None
    model = exported.model_proto
    for value in (*model.graph.input, *model.graph.output):
        for number, name in interface.axes.items():
            value.type.tensor_type.shape.dim[number].dim_param = name
    # torch describes each value and node, with paths of this machine.
    del model.graph.value_info[:], model.graph.metadata_props[:]
    for item in (*model.graph.input, *model.graph.output, *model.graph.initializer, *model.graph.node):
        del item.metadata_props[:]
    model.producer_name, model.producer_version = "diptych", __version__
    onnx.helper.set_model_props(model, dict(description))
    return model.SerializeToString()  # type: ignore[no-any-return]


def onnx_run(content: bytes) -> ExportedFunction:
    """The ONNX file ``content`` as a function of arrays, by onnxruntime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(images: Array) -> Array:
        (outputs,) = session.run([OUTPUT], {INPUT: images})
        return outputs  # type: ignore[no-any-return]

    return run


def read_onnx_metadata(path: Path) -> dict[str, str]:
    """The description in an ONNX file. Raises what onnxruntime raises if it is damaged."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    return dict(session.get_modelmeta().custom_metadata_map)
