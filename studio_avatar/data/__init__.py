"""Training data: sources, augmentation, simulated captures, and packing. `python -m studio_avatar.data.prepare --help`."""
