"""`studio-avatar capture`: the front end alone, from video or photos to a phone texture, a report and a contact sheet."""

import argparse
import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from studio_avatar.cli import options as shared
from studio_avatar.cli.progress import StageBar
from studio_avatar.imaging.files import new_folder, write_atomically
from studio_avatar.results.settings import capture_arguments
from studio_avatar.weights.locate import find_weights

HELP = "look at a video or photos only: phone texture, what was seen, report and contact sheet"
FILES = ("phone_texture.png", "seen.png", "report.json", "contact_sheet.png", "fit.npz")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="one video, or one or more photos of the same person"
    )
    shared.add_output(parser, "folder that gets the files")
    shared.add_setting(parser, "size")
    parser.add_argument(
        "--max-keyframes", type=int, default=12, help="pictures that are used, 8 to 24 (default: %(default)s)"
    )
    shared.add_mirrored(parser)
    shared.add_weights(parser)
    shared.add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    """Capture, then write the folder as a whole; avatars that `create` has put into the same one stay."""
    from studio_avatar.results.folder import check_target, result_folders

    (source,) = capture_arguments(options.files).values()
    check_target(options.output, {*FILES} | result_folders(options.output))
    weights = find_weights(options.weights)
    with StageBar(hidden=options.quiet) as bar, ThreadPoolExecutor(1) as background:
        from studio_avatar.capture import contact_sheet, find_person, observe

        loading = background.submit(_load, weights)  # which finding the person does not wait for
        found = find_person(source, options.max_keyframes, bar, options.mirrored)
        bar("load", 0.0)
        head, registrar = loading.result()
        observation = observe(found, head, options.size, progress=bar, registrar=registrar)
        sheet = contact_sheet(observation, head)
    with new_folder(options.output, FILES) as folder:
        _save(observation.texture, sheet, folder)
    if not options.quiet:
        print(observation.texture.report.summary)
        print(options.output)
    return 0


def _load(weights: str):
    """The `HeadModel` and the `Registrar`."""
    from studio_avatar.head.model import HeadModel
    from studio_avatar.models.registrar import Registrar

    return HeadModel.from_pretrained(weights, subfolder="head"), Registrar.from_pretrained(
        weights, subfolder="registrar"
    )


def _save(texture, sheet, folder: Path) -> None:
    """Write `FILES`; fit.npz has the fields of `HeadFit` under their names."""
    import numpy as np

    from studio_avatar.imaging.image_io import encode_png, unit_to_uint8

    report = json.dumps(texture.report.to_dict(), indent=2, allow_nan=False).encode() + b"\n"
    fit = io.BytesIO()
    np.savez(fit, **asdict(texture.fit))
    contents = (
        encode_png(unit_to_uint8(texture.rgb)),
        encode_png(unit_to_uint8(texture.seen)),
        report,
        encode_png(sheet),
        fit.getvalue(),
    )
    for name, data in zip(FILES, contents, strict=True):
        write_atomically(folder / name, data)
