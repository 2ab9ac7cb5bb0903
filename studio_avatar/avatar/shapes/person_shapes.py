"""One person's neutral shape and expressions (ARKit's 52, and visemes), from the head's linear model.

    neutral + identity ─ lips meet ─ inner mouth under the skin ─ eyeballs behind the lids ─► neutral (V, 3)
    mean offsets ─ mouth ─ eyeballs turn, lids glide ─ skin does not fold ─ inner mouth ─► offsets (E, V, 3)

Eyeballs, blink and gaze are made anew for each person (`eyeballs`, `eyelids`); all else moves by tenths of
millimeters.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.head.geometry import geometry

from .eye_rig import EDGE, EyeRig, eye_rigs
from .eyeballs import place_eyeball, turn_eyeball
from .eyelids import clear_lids, lift_lids, move_lids
from .folds import FoldRig, fold_rig, unfold
from .lips import LipRig, PouchRig, close_lips, lip_rig, nearest_skin, pouch_rig, tuck_pouch
from .mouth import correct_mouth, teeth_forward
from .visemes import ARKIT, mixtures, shape_names, viseme_offsets

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

TUCK_ROUNDS = 3


@dataclass(frozen=True)
class PersonShapes:
    """neutral: (V, 3) float32 meters; offsets: (E, V, 3) float32 meters at coefficient 1, in the order of `shape_names`."""

    neutral: np.ndarray
    offsets: np.ndarray

    def posed(self, coefficients: np.ndarray) -> np.ndarray:
        """Vertices (..., V, 3) for coefficients (..., E)."""
        return self.neutral + np.tensordot(np.asarray(coefficients, np.float32), self.offsets, 1)


@dataclass(frozen=True)
class _Rig:
    offsets: np.ndarray  # (52 or 67, V, 3) the mean head's, left and right alike
    teeth: np.ndarray  # (V, 3) by which everybody's teeth move
    eyes: tuple[EyeRig, EyeRig]
    lips: LipRig
    pouch: PouchRig
    folds: FoldRig


def person_shapes(head: HeadModel, identity: np.ndarray, shapes: str = ARKIT) -> PersonShapes:
    """The shapes of the person with these identity coefficients (at most 125,); about 50 ms.

    The first call for a head object also finds its lids, lips and inner mouth.

    Args:
        shapes: one of `SHAPE_SETS`; the first 52 are the same in all.
    Raises:
        InvalidInputError: there is no such set.
    """
    names = shape_names(head, shapes)
    rig, shape = _rig(head, shapes), geometry(head)
    mean = shape.neutral
    identity = np.asarray(identity, np.float32)
    neutral = mean + np.tensordot(identity, shape.identity_basis[: len(identity)], 1)
    neutral = (neutral + rig.teeth).astype(np.float32)
    offsets = rig.offsets.copy()

    close_lips(neutral, rig.lips)
    neutral[rig.pouch.inner] += tuck_pouch(neutral[None], rig.pouch)[0]
    for _ in range(TUCK_ROUNDS):
        neutral[rig.pouch.inner] += tuck_pouch(neutral[None], nearest_skin(neutral, rig.pouch))[0]
    for eye in rig.eyes:
        center = place_eyeball(neutral, eye)
        lift_lids(neutral, eye)
        turn_eyeball(neutral, offsets, center, eye, shape.expression_names)
        move_lids(neutral, offsets, center, eye, shape.expression_names)
        clear_lids(neutral, offsets, eye)
    unfold(neutral, offsets, rig.folds)
    offsets[:, rig.pouch.inner] += tuck_pouch(neutral + offsets, rig.pouch)
    if len(names) > len(offsets):
        offsets = np.concatenate([offsets, mixtures(head, offsets)])
    return PersonShapes(neutral, offsets)


def worn_expression(head: HeadModel, shapes: PersonShapes, expression: np.ndarray) -> np.ndarray:
    """Coefficients (..., 52) for these shapes that do what the head's own expressions do with `expression` (..., 52).

    The capture fits the head's own, whose blink goes on after the eye is closed, at about 0.7; a person's ends there.
    """
    worn, own = np.array(expression, np.float32), geometry(head)
    for rig, side in zip(eye_rigs(head), ("Left", "Right"), strict=True):
        number = own.expression(f"eyeBlink{side}")
        lid = rig.rings[EDGE, rig.outer_corner // 3 : -(-2 * rig.outer_corner // 3)]
        travel = [
            np.linalg.norm(offsets[number, lid], axis=-1).mean()
            for offsets in (own.expression_basis, shapes.offsets)
        ]
        worn[..., number] = np.minimum(worn[..., number] * travel[0] / max(travel[1], 1e-6), 1)
    return worn


def symmetric_offsets(head: HeadModel) -> np.ndarray:
    """(52, V, 3) expressions of the mean head; each is made the exact mirror image of its partner.

    MakeHuman's are modeled by hand: its left and right smiles differ by half a millimeter.
    """
    shape = geometry(head)
    offsets = shape.expression_basis.copy()
    return 0.5 * (
        offsets + offsets[shape.mirror_expressions][:, shape.mirror_vertices] * np.float32([-1, 1, 1])
    )


def _rig(head: HeadModel, shapes: str) -> _Rig:
    rigs = _RIGS.setdefault(head, {})
    if ARKIT not in rigs:
        offsets, shape = symmetric_offsets(head), geometry(head)
        correct_mouth(shape, offsets)
        parts = teeth_forward(shape), eye_rigs(head), lip_rig(head), pouch_rig(head), fold_rig(head, offsets)
        rigs[ARKIT] = _Rig(offsets, *parts)
    if shapes not in rigs:  # more offsets, and folds that they make; all else is the head's
        offsets = np.concatenate([rigs[ARKIT].offsets, viseme_offsets(head)])
        rigs[shapes] = replace(rigs[ARKIT], offsets=offsets, folds=fold_rig(head, offsets))
    return rigs[shapes]


_RIGS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
