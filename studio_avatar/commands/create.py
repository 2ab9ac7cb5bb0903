"""`studio-avatar create`: one person's video or photos become an avatar folder."""

import argparse
import os
from pathlib import Path

from ..creation import capture_arguments, create_avatar, load_pipeline
from ..errors import InvalidInputError
from ..files import new_folder
from ..results import ResultFiles, save_results
from ..weights import find_weights, weights_revision
from . import options as shared
from .progress import StageBar

HELP = "make an avatar from a video or photos (the default)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="one video, or one or more photos of the same person"
    )
    shared.add_output(parser, "folder that gets a folder named after the first file")
    shared.add_settings(parser)
    shared.add_weights(parser)
    shared.add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    """Everything that can be refused cheaply is refused before the networks are loaded."""
    capture_arguments(options.files)
    target = options.output / Path(options.files[0]).stem
    _check_target(target)
    weights = find_weights(options.weights)
    settings = shared.settings(options)
    with StageBar(hidden=options.quiet) as bar:
        bar("load", 0.0)
        pipeline = load_pipeline(weights)
        output = create_avatar(pipeline, options.files, settings, bar)
    with new_folder(target) as folder:
        save_results(output, folder, settings, weights_revision(weights))
    if not options.quiet:
        print(target)
    return 0


def _check_target(target: Path) -> None:
    """Refuse a place that cannot be written, or whose files are not ours to replace."""
    existing = next(folder for folder in (target, *target.parents) if folder.exists())
    if not existing.is_dir():
        raise InvalidInputError(f"'{existing}' is a file: choose another folder with --output.")
    if not os.access(existing, os.W_OK):
        raise InvalidInputError(f"'{existing}' cannot be written: choose another folder with --output.")
    if existing == target and not {path.name for path in target.iterdir()} <= ResultFiles.names():
        raise InvalidInputError(f"'{target}' has other files in it: choose another folder with --output.")
