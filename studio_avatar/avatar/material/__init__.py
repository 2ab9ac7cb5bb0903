"""What the surface looks like: skin, bump, eyes and mouth."""
