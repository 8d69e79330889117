"""The plan of a run: its pictures, its resolved options, its length and its initial weights."""
