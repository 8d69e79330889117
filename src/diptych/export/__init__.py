"""Export of trained generators to files that run without diptych: ONNX, torch.export and OpenVINO IR."""
