"""A page that translates pictures in the visitor's browser: no server computes anything."""
