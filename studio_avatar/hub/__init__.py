"""The weights repository: its code, index, card, variants, checks and upload. `python -m studio_avatar.hub --help`."""
