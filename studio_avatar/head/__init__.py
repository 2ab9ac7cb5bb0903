"""The head model (shape, expressions, landmarks, regions) and its texture layout ``head-v1``."""
