"""The web demo: `python app.py`, `make app`, or a Hugging Face Space. Options as for `studio-avatar demo`."""

import sys

from studio_avatar.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["demo", *sys.argv[1:]]))
