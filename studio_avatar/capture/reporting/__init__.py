"""What to do better at the next capture, and the evidence."""
