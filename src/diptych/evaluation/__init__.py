"""Looking at what a model does, with the eye and with numbers."""
