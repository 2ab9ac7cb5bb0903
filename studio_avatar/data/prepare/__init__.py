"""Both training domains, packed: `python -m studio_avatar.data.prepare`."""
