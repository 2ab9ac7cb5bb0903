"""Training: data preparation, the four stages and their parts; needs the extra [train]."""
