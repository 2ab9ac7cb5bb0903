"""Evaluation on held-out people: metrics, baselines, and the table that compares them with ours."""
