"""Networks trained, samples drawn, checkpoints written."""
