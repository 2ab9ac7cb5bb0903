"""The stages of training, one module each: `python -m studio_avatar.training STAGE`."""
