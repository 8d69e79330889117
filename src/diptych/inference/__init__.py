"""Using a model: one picture, or a folder of them."""
