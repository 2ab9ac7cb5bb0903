"""What the surface looks like: skin, relief, eyes and mouth."""
