"""Detects export: exported graphs hold torch's own layers, which other runtimes support."""

import torch


def is_exporting() -> bool:
    """Whether ``torch.export`` or TorchScript records this forward pass, as both ONNX exporters do."""
    return torch.compiler.is_exporting() or bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]
