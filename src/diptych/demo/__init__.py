"""The demonstration: built-in pictures, a small run on them, and an honest look at what it learnt."""
