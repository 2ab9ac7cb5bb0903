"""Bakes, conversions and pictures of the documents: `python -m tools.NAME --help`, from the root of a checkout."""
