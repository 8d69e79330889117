"""Export of trained generators to files that run without diptych: ONNX and torch.export, checked before written."""
