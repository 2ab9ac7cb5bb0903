"""One head fitted to all key frames: by landmarks, tracked corners and registered points."""
