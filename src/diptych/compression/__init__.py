"""Compression: a small generator that learns the outputs of a trained one, chosen by its measured speed."""
