"""Stream transformations, one a file: items in, items out."""
