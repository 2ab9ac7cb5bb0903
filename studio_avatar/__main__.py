"""`python -m studio_avatar` is the `studio-avatar` command."""

import sys

from .cli import main

sys.exit(main())
