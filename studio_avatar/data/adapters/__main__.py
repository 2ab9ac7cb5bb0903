"""Bring a foreign dataset into the studio set: `python -m studio_avatar.data.adapters SOURCE --from DIR --data DATA`.

Writes DATA/studio/head-v1/SOURCE-ID.png, which `studio_avatar.data.prepare --data DATA` reads like its other
subjects, and DATA/studio/head-v1/SOURCE.json with what was skipped and why. People already converted are left alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from studio_avatar.data.studio_set import mean_makehuman, read_square, trusted
from studio_avatar.errors import InvalidInputError, StudioAvatarError
from studio_avatar.head.model import HeadModel
from studio_avatar.imaging.files import write_atomically
from studio_avatar.imaging.image_io import encode_png, unit_to_uint8

from .convert import capture_flat, finished, layout_map
from .mesh_files import read_textured_mesh
from .sources import ForeignTexture, ffhq_uv, multiface, plain_folder

SOURCES = {"folder": plain_folder, "multiface": multiface, "ffhq-uv": ffhq_uv}
SIZE = 1024


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m studio_avatar.data.adapters", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "source", choices=tuple(SOURCES), help="layout of the folder, see docs/training-data.md"
    )
    parser.add_argument("--from", dest="folder", type=Path, required=True, help="folder of the dataset")
    parser.add_argument(
        "--data", type=Path, required=True, help="data folder to add to; its studio/head-v1 is written"
    )
    parser.add_argument(
        "--template", type=Path, help="ffhq-uv: OBJ of the shared mesh, with texture coordinates"
    )
    parser.add_argument("--completion", type=Path,
                        help="head-v1 texture for what is missing (default: mean of DATA/studio/makehuman)")  # fmt: skip
    parser.add_argument(
        "--head", default="weights_card", help="folder or Hub id whose subfolder `head` has the head"
    )
    options = parser.parse_args(argv)
    try:
        done, skipped = convert_all(options)
    except StudioAvatarError as error:
        print(f"adapters: {error}", file=sys.stderr)
        return 2
    for name, reason in skipped.items():
        print(f"skipped {name}: {reason}")
    print(f"{options.source}: {done} people in {options.data / 'studio' / 'head-v1'}, {len(skipped)} skipped")
    return 0


def convert_all(options) -> tuple[int, dict[str, str]]:
    """Convert everyone in `options.folder` -> how many there are now, and why others were skipped, by id.

    Raises:
        InvalidInputError: the folder, the template or the completion cannot be used at all.
    """
    if not options.folder.is_dir():
        raise InvalidInputError(f"There is no folder {options.folder}.")
    people = SOURCES[options.source](options.folder)
    head = HeadModel.from_pretrained(options.head, subfolder="head")
    completion = _completion(options, head)
    convert = (
        _shared_mesh(people, options, head, completion)
        if options.source == "ffhq-uv"
        else _own_mesh(head, completion)
    )
    target = options.data / "studio" / "head-v1"
    target.mkdir(parents=True, exist_ok=True)
    done, skipped = 0, {}
    for person in people:
        path = target / f"{options.source}-{person.id}.png"
        try:
            if not path.exists():
                write_atomically(path, encode_png(unit_to_uint8(convert(person))))
            done += 1
        except StudioAvatarError as error:
            skipped[person.id] = str(error)
    report = {"converted": done, "skipped": skipped}
    write_atomically(target / f"{options.source}.json", json.dumps(report, indent=1).encode())
    return done, skipped


def _own_mesh(head, completion) -> Callable[[ForeignTexture], np.ndarray]:
    """Converts people who each have a mesh."""

    def convert(person: ForeignTexture) -> np.ndarray:
        if person.problem:
            raise InvalidInputError(person.problem)
        mesh, texture = read_textured_mesh(person.mesh, person.picture)
        return capture_flat(mesh, texture, head, SIZE, completion)

    return convert


def _shared_mesh(people, options, head, completion) -> Callable[[ForeignTexture], np.ndarray]:
    """Converts people who share the mesh `options.template`; its map is found with the first usable picture."""
    if options.template is None:
        raise InvalidInputError(
            "ffhq-uv needs --template, an OBJ of the HIFI3D++ mesh with texture coordinates."
        )
    mesh, texture = read_textured_mesh(options.template, _first_readable(people))
    layout = layout_map(mesh, texture, head, SIZE)

    def convert(person: ForeignTexture) -> np.ndarray:
        rgb = layout.carry(read_square(person.picture))
        return finished(rgb, trusted(rgb, layout.covered.astype(np.float32), head), head, completion)

    return convert


def _first_readable(people: list[ForeignTexture]) -> Path:
    for person in people:
        try:
            read_square(person.picture)
        except InvalidInputError:
            continue
        return person.picture
    raise InvalidInputError("None of the pictures can be read.")


def _completion(options, head) -> np.ndarray:
    """The texture that fills what a source does not show, (SIZE, SIZE, 3)."""
    import cv2

    if options.completion is not None:
        return cv2.resize(read_square(options.completion), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    skins = options.data / "studio" / "makehuman"
    if not any(skins.glob("*.png")):
        raise InvalidInputError(f"There are no skins in {skins}: give a head-v1 texture with --completion.")
    return mean_makehuman(skins, head, SIZE)


if __name__ == "__main__":
    sys.exit(main())
