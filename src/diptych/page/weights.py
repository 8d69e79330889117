"""Weights of an ONNX file in fp16: half the download. The network still computes in float32."""

import math

MIN_VALUES = 256
"""Smaller tensors stay as they are: they save nothing, and may be constants of the graph."""


def with_half_weights(content: bytes) -> bytes:
    """The ONNX file ``content`` with large float32 tensors stored in fp16, each with a cast to float32 before its use.

    A runtime computes the casts once, when it loads the file. So translating takes as long as before, also where there
    are no kernels for fp16, as in WebAssembly.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load_model_from_string(content)
    graph, casts = model.graph, []
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and math.prod(tensor.dims) >= MIN_VALUES:
            name, stored = tensor.name, f"{tensor.name}_fp16"
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype("float16"), stored))
            casts.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return model.SerializeToString()  # type: ignore[no-any-return]
