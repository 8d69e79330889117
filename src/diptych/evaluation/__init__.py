"""Evaluation: scores of a model on pictures that it was not trained on."""
