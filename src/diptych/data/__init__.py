"""Picture files to tensors and back: domains, preprocessing, seeded sampling."""
