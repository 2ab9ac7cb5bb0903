"""The face at rest: how this person's lids, brows and corners of the mouth stay when nothing is expressed.

The head's model has one neutral face for everybody, wide awake. What a person shows in calm pictures becomes the mesh
itself; the shapes lead from there to where they led before.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.head.geometry import geometry

from .visemes import MIXTURES, mixtures

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

    from .person_shapes import PersonShapes

# The shapes that a resting face may have, and how much of each at most: what is more is an expression.
MOST = {
    "eyeBlink": 0.3, "eyeSquint": 0.5, "eyeWide": 0.3, "browDown": 0.5, "browInnerUp": 0.4, "browOuterUp": 0.4,
    "mouthSmile": 0.25, "mouthFrown": 0.4,
}  # fmt: skip
CALM = 0.5  # share of the pictures, those with the least expression, that tell
FEW, SHARE_OF_FEW = 3, 0.5  # fewer pictures are of a moment: so much of what they show is taken for rest
GAZE = "eyeLook"  # turns with the head, and is no expression


def resting_expression(head: HeadModel, expression: np.ndarray) -> np.ndarray:
    """(52,) what of a person's expressions in K pictures, (52,) or (K, 52), is how the face rests.

    The median of the calm pictures, alike on both sides: which eye is the narrower one is less sure than that both are.
    """
    shape = geometry(head)
    seen = np.atleast_2d(np.asarray(expression, np.float32))
    moving = np.array([not name.startswith(GAZE) for name in shape.expression_names])
    calm = np.argsort(seen[:, moving].sum(1), kind="stable")[: max(round(CALM * len(seen)), 1)]
    usual = np.median(seen[calm], axis=0) * (SHARE_OF_FEW if len(seen) < FEW else 1.0)
    stems = [name.removesuffix("Left").removesuffix("Right") for name in shape.expression_names]
    most = np.float32([MOST.get(stem, 0.0) for stem in stems])
    return np.minimum(0.5 * (usual + usual[shape.mirror_expressions]), most)


def at_rest(head: HeadModel, shapes: PersonShapes, rest: np.ndarray) -> PersonShapes:
    """The shapes with a neutral face that has the expression `rest` (52,); at coefficient 1 each leads where it did."""
    own = shapes.offsets[: len(rest)]
    left = own * (1 - rest)[:, None, None]
    more = shapes.offsets[len(rest) :]
    if len(more):  # the last are mixtures of the first
        more = np.concatenate([more[: -len(MIXTURES)], mixtures(head, left)])
    neutral = shapes.neutral + np.tensordot(rest, own, 1)
    return replace(shapes, neutral=neutral.astype(np.float32), offsets=np.concatenate([left, more]))


def beyond_rest(expression: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Coefficients (..., 52) for shapes of a face at rest that do what `expression` does for those without."""
    return np.clip((np.asarray(expression, np.float32) - rest) / (1 - rest), 0, 1)
