"""A web page that translates pictures with trained models. The Python behind it, and the server around it."""
