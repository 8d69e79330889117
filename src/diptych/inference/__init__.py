"""Inference: translate images with a trained model."""
