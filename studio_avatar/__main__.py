"""`python -m studio_avatar` is the `studio-avatar` command."""

import sys

from studio_avatar.cli.main import main

sys.exit(main())
