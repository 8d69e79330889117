"""The demo: built-in pictures, a short training run on them, and its result on held-out ones."""
