"""`studio-avatar publish`: weights become a repository on the Hugging Face Hub."""

import argparse
import tempfile
from pathlib import Path

from studio_avatar.cli import options as shared

HELP = "publish weights on the Hugging Face Hub"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("repository", help="org/name on the Hub; made when it does not exist")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--revision", help="branch to commit to; made when it does not exist (default: main)")
    parser.add_argument("--dry-run", action="store_true", help="do everything but the upload")
    shared.add_weights(parser)


def run(options: argparse.Namespace) -> int:
    """Assemble, check and upload; the token is asked for before the work is done."""
    from studio_avatar.hub import publish, upload
    from studio_avatar.weights.locate import find_weights

    if not options.dry_run:
        upload.require_token()
    weights = Path(find_weights(options.weights))
    with tempfile.TemporaryDirectory() as folder:
        files = publish.assemble(weights, Path(folder), options.repository)
        publish.check(Path(folder))
        for file in files:
            print(f"{file.size:>12,}  {file.name}")
        print(
            f"{sum(file.size for file in files):>12,}  bytes in {len(files)} files, loaded through both doors"
        )
        if options.dry_run:
            print(f"Dry run: nothing was uploaded to {options.repository}.")
            return 0
        print(upload.upload(Path(folder), options.repository, options.private, options.revision))
    return 0
