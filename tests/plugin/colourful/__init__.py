"""A package outside of diptych, which only ``test_plugin`` puts on the path: a generator, and a method of one direction
with a module that no method of diptych has."""
