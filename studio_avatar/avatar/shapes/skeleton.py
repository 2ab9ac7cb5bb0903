"""A skeleton with Mixamo's names in the head, and which bone carries which part of the skin.

The head hangs on a whole body's bones, because players of animations and VRM look for them; only the upper spine, neck,
head and eyes move anything. Bones and weights are those of the TalkingHead project (MIT), in a T-pose, kept in a file
beside this one, written by `python -m tools.bake_skeleton`. Head and eyes lie where the person has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.errors import InvalidInputError
from studio_avatar.head.geometry import geometry

from .neck import neck_cap

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

SKELETON_FILE = Path(__file__).with_name("skeleton.safetensors")
NO_RIG, MIXAMO = RIGS = ("none", "mixamo")
EYES = ("LeftEye", "RightEye")
DEFORMING = ("Spine2", "Neck", "Head", *EYES)  # the bones that carry vertices


@dataclass(frozen=True)
class Skeleton:
    """Bones at rest, parents first; the first is the root.

    parent: (B,) index, -1 for the root. position: (B, 3) meters and rotation: (B, 4) quaternions x, y, z, w, both in head
    space: the y axis of a bone runs along it, that of an eye is up and its z axis ahead.
    """

    names: tuple[str, ...]
    parent: np.ndarray
    position: np.ndarray
    rotation: np.ndarray

    def index(self, name: str) -> int:
        return self.names.index(name)


def person_skeleton(head: HeadModel, neutral: np.ndarray) -> Skeleton:
    """The skeleton of a person with the vertices `neutral` (V or more, 3), meters.

    Raises:
        InvalidInputError: the head is another one than that which the skeleton was baked for.
    """
    names, kept = _read()
    _check(head, kept)
    shape = geometry(head)
    position = kept["position"] + neutral[kept["joint"]].mean(0)
    for eye, region in zip(EYES, ("eyeball_left", "eyeball_right")):
        ball = neutral[np.unique(shape.faces[shape.in_regions(region)])]
        position[names.index(eye)] = (ball.min(0) + ball.max(0)) / 2
    return Skeleton(names, kept["parent"], position, kept["rotation"])


def skin_weights(head: HeadModel) -> np.ndarray:
    """(V + c, 5) float32 share of `DEFORMING` in every vertex of `avatar_mesh`, the neck's cap included; rows sum to 1.

    Raises:
        InvalidInputError: the head is another one than that which the skeleton was baked for.
    """
    _, kept = _read()
    _check(head, kept)
    weights = kept["weights"].astype(np.float32)
    whole = np.concatenate([weights, neck_cap(head).offsets(weights[None])[0]])
    return whole / whole.sum(1, keepdims=True)


def _check(head: HeadModel, kept: dict[str, np.ndarray]) -> None:
    if len(kept["weights"]) != head.config.num_vertices:
        raise InvalidInputError("The skeleton belongs to another head: run python -m tools.bake_skeleton.")


@cache
def _read() -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Names of the bones, and the arrays of the file."""
    from safetensors import safe_open

    with safe_open(SKELETON_FILE, "np") as kept:
        return tuple(kept.metadata()["names"].split()), {name: kept.get_tensor(name) for name in kept.keys()}
