"""Evaluation on held-out people: metrics, trivial floors and the table of `python -m studio_avatar.evaluation`."""
