"""From picture files to network tensors and back."""
