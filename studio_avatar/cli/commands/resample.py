"""`studio-avatar resample`: textures between head-v1 and any other layout."""

import argparse
from pathlib import Path

from studio_avatar.cli import options as shared
from studio_avatar.errors import InvalidInputError, MediaNotFoundError
from studio_avatar.imaging.files import write_atomically
from studio_avatar.weights.locate import find_weights

HELP = "carry a texture from head-v1 to the layout of another mesh, or back"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("texture", type=Path, help="picture to carry over")
    parser.add_argument(
        "mesh", type=Path, help="OBJ with texture coordinates, wrapped around the head (metres)"
    )
    parser.add_argument(
        "--to",
        choices=("mesh", "head-v1"),
        default="mesh",
        help="which layout the result has (default: %(default)s)",
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("resampled.png"), help="PNG to write")
    parser.add_argument("--size", type=int, default=1024, help="width and height (default: %(default)s)")
    parser.add_argument(
        "--head",
        type=Path,
        metavar="FOLDER",
        help="plain folder of the avatar that the mesh was wrapped around (default: the mean head)",
    )
    shared.add_weights(parser)
    shared.add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    from studio_avatar.head.model import HeadModel
    from studio_avatar.head.resample import from_head_v1, read_wrapped_mesh, to_head_v1
    from studio_avatar.imaging.image_io import encode_png, unit_to_uint8

    if options.size < 1:
        raise InvalidInputError("--size must be at least 1.")
    texture, mesh = _read_picture(options.texture), read_wrapped_mesh(options.mesh)
    head = HeadModel.from_pretrained(find_weights(options.weights), subfolder="head")
    vertices = None if options.head is None else _read_shape(options.head, head)
    if options.to == "mesh":
        result, covered = from_head_v1(texture, head, mesh, options.size, vertices)
    else:
        result, covered = to_head_v1(texture, mesh, head, options.size, vertices)
    if not covered.any():
        raise InvalidInputError(
            "The mesh lies nowhere on the head: wrap it around the head first, in metres, in the head's own place."
        )
    write_atomically(options.output, encode_png(unit_to_uint8(result)))
    if not options.quiet:
        print(f"{options.output}: {covered.mean():.0%} of the texels have a counterpart")
    return 0


def _read_picture(path: Path):
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise MediaNotFoundError(f"There is no file '{path}': check the path.")
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"), np.float32) / 255
    except (UnidentifiedImageError, OSError) as error:
        raise InvalidInputError(f"'{path}' is no picture that can be read.") from error


def _read_shape(folder: Path, head):
    import numpy as np

    try:
        with np.load(folder / "mesh.npz") as arrays:
            return arrays["vertices"][: len(head.neutral)]
    except (OSError, ValueError, KeyError) as error:
        raise InvalidInputError(
            f"'{folder}' is no plain folder of an avatar: it has no readable mesh.npz."
        ) from error
