"""Models for other people: what a model is, in facts, and how it gets to the Hugging Face Hub and back."""
