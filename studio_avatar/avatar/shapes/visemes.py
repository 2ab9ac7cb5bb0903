"""Shapes beside ARKit's: the mouth for each of the 15 Oculus visemes, and five that lip-sync libraries ask for.

The visemes are MakeHuman targets of the TalkingHead project (MIT) on the base mesh that the head comes from, kept in a
file beside this one, written by `python -m tools.bake_visemes`; they go through the same corrections for a person as the
52 do. The five are mixtures of a person's own ARKit shapes.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.errors import InvalidInputError
from studio_avatar.head.geometry import geometry

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

VISEME_FILE = Path(__file__).with_name("visemes.safetensors")
ARKIT, ARKIT_AND_OCULUS = SHAPE_SETS = ("arkit", "arkit+oculus")
VISEMES = (
    "viseme_sil", "viseme_PP", "viseme_FF", "viseme_TH", "viseme_DD", "viseme_kk", "viseme_CH", "viseme_SS",
    "viseme_nn", "viseme_RR", "viseme_aa", "viseme_E", "viseme_I", "viseme_O", "viseme_U",
)  # fmt: skip
MIXTURES = {
    "mouthOpen": {"jawOpen": 0.5},
    "mouthSmile": {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8},
    "eyesClosed": {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    "eyesLookUp": {"eyeLookUpLeft": 1.0, "eyeLookUpRight": 1.0},
    "eyesLookDown": {"eyeLookDownLeft": 1.0, "eyeLookDownRight": 1.0},
}


def shape_names(head: HeadModel, shapes: str) -> list[str]:
    """Names of the shapes of one of `SHAPE_SETS`, in order: the head's 52, the visemes, the mixtures.

    Raises:
        InvalidInputError: there is no such set.
    """
    if shapes not in SHAPE_SETS:
        raise InvalidInputError(f"There are no shapes '{shapes}': use {' or '.join(SHAPE_SETS)}.")
    more = [] if shapes == ARKIT else [*VISEMES, *MIXTURES]
    return [*geometry(head).expression_names, *more]


def viseme_offsets(head: HeadModel) -> np.ndarray:
    """(15, V, 3) float32 meters: the visemes of the mean head, left and right alike, in the order of `VISEMES`.

    Raises:
        InvalidInputError: the head is another one than that which they were baked for.
    """
    count, rows, values, sizes = _read()
    shape = geometry(head)
    if count != len(shape.neutral):
        raise InvalidInputError("The visemes belong to another head: run python -m tools.bake_visemes.")
    offsets = np.zeros((len(VISEMES), count, 3), np.float32)
    offsets[np.repeat(np.arange(len(VISEMES)), sizes), rows] = values
    return 0.5 * (offsets + offsets[:, shape.mirror_vertices] * np.float32([-1, 1, 1]))


def mixtures(head: HeadModel, offsets: np.ndarray) -> np.ndarray:
    """(5, V, 3) offsets of `MIXTURES` for a person whose 52 ARKit shapes are the first rows of `offsets`."""
    shape = geometry(head)
    return np.stack(
        [
            sum(np.float32(share) * offsets[shape.expression(name)] for name, share in parts.items())
            for parts in MIXTURES.values()
        ]
    )


@cache
def _read() -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Vertices of the head, and of every viseme one after another the vertices that move and how, and how many."""
    from safetensors.numpy import load_file

    kept = load_file(VISEME_FILE)
    return int(kept["vertices"][0]), kept["row"], kept["offset"].astype(np.float32), kept["size"]
