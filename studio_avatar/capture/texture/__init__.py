"""Key frames in texture space, and one texture of them."""
