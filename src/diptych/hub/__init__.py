"""Models for other people: the facts about a model, its model card, and its upload to the Hugging Face Hub."""
