"""Image file formats: one file per library that reads them."""
