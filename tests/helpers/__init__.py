"""What several test files need. Tests import from here, never from each other."""
