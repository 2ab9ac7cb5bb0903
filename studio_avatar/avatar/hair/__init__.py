"""Hair: cards around the head, chosen and colored by what the capture's frames show."""
