"""Training of the networks; needs the `[train]` extra. `python -m studio_avatar.training --help` lists the stages."""
