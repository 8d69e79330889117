"""Meeting other software: the original checkpoints, and what comes after them."""
