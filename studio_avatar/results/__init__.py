"""What a result is made of, its settings and its files; many at once."""
