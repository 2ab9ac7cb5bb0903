"""`studio-avatar create`: one person's video or photos become an avatar folder."""

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from studio_avatar.cli import options as shared
from studio_avatar.cli.progress import StageBar
from studio_avatar.imaging.files import new_folder
from studio_avatar.results.settings import capture_arguments, create_avatar, load_and_find
from studio_avatar.weights.locate import find_weights, weights_revision

HELP = "make an avatar from a video or photos (the default)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="one video, or one or more photos of the same person"
    )
    shared.add_output(parser, "folder that gets a folder named after the first file")
    shared.add_mirrored(parser)
    shared.add_settings(parser)
    shared.add_exports(parser)
    shared.add_weights(parser)
    shared.add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    """Everything that can be refused cheaply is refused before the networks are loaded."""
    from studio_avatar.rendering import load_kernels
    from studio_avatar.results.folder import check_target, save_results

    settings, exports = shared.settings(options), shared.exports(options)
    capture_arguments(options.files)
    target = options.output / Path(options.files[0]).stem
    check_target(target)
    weights = find_weights(options.weights)
    with StageBar(hidden=options.quiet) as bar, ThreadPoolExecutor(1) as background:
        pipeline, found = load_and_find(weights, options.files, bar, options.mirrored)
        if exports.draws:  # what goes wrong with it is told when the pictures are drawn
            background.submit(load_kernels)
        output = create_avatar(pipeline, options.files, settings, bar, found=found)
        bar("save", 0.0)
        with new_folder(target) as folder:
            save_results(output, folder, settings, weights_revision(weights), exports=exports)
    if not options.quiet:
        print(target)
    return 0
