"""Trains networks, draws samples and writes checkpoints."""
