"""Evaluation on held-out people: metrics, trivial floors, and the table that compares them with ours."""
