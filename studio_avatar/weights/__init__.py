"""Which weights, from where, verified, and loaded as a pipeline."""
