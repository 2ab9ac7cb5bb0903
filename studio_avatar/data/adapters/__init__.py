"""Other people's face textures into our studio set: see docs/training-data.md."""
