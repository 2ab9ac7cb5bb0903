"""Geometry of one person: lids, lips, folds, neck, and the mesh."""
