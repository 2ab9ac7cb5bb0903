"""One person's neutral shape and 52 expressions, from the head's linear model.

    neutral + identity ─ lips meet ─ inner mouth under the skin ─ lids off the eyeballs ─► neutral (V, 3)
    52 mean offsets ── eyeballs turn in their own shape ─ lids glide ─ skin does not fold ─ inner mouth ─► offsets (52, V, 3)

The corrections are small (tenths of millimeters) and leave the mean head nearly alone; see `eyelids` and `lips`.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.head.geometry import geometry

from .eyelids import EyeRig, clear_lids, eye_rigs, turn_in_own_shape
from .folds import FoldRig, fold_rig, unfold
from .lips import LipRig, PouchRig, close_lips, lip_rig, nearest_skin, pouch_rig, tuck_pouch

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

# A blink goes this much further than MakeHuman's, or eyes that bulge stay open by a millimeter seen from the side.
BLINK_OVERLAP = np.float32(1.07)
TUCK_ROUNDS = 3


@dataclass(frozen=True)
class PersonShapes:
    """neutral: (V, 3) float32 meters; offsets: (52, V, 3) float32 meters at coefficient 1, in the head's order."""

    neutral: np.ndarray
    offsets: np.ndarray

    def posed(self, coefficients: np.ndarray) -> np.ndarray:
        """Vertices (..., V, 3) for coefficients (..., 52)."""
        return self.neutral + np.tensordot(np.asarray(coefficients, np.float32), self.offsets, 1)


@dataclass(frozen=True)
class _Rig:
    offsets: np.ndarray  # (52, V, 3) the mean head's, left and right alike
    eyes: tuple[EyeRig, EyeRig]
    lips: LipRig
    pouch: PouchRig
    folds: FoldRig


def person_shapes(head: HeadModel, identity: np.ndarray) -> PersonShapes:
    """The shapes of the person with these identity coefficients (100,); about 50 ms.

    The first call for a head object also finds its lids, lips and inner mouth.
    """
    rig = _RIGS.get(head)
    if rig is None:
        rig = _RIGS[head] = _find_rig(head)
    shape = geometry(head)
    mean = shape.neutral
    identity = np.asarray(identity, np.float32)
    neutral = mean + np.tensordot(identity, shape.identity_basis[: len(identity)], 1)
    neutral = neutral.astype(np.float32)
    offsets = rig.offsets.copy()

    close_lips(neutral, rig.lips)
    neutral[rig.pouch.inner] += tuck_pouch(neutral[None], rig.pouch)[0]
    for _ in range(TUCK_ROUNDS):
        neutral[rig.pouch.inner] += tuck_pouch(neutral[None], nearest_skin(neutral, rig.pouch))[0]
    for eye in rig.eyes:
        turn_in_own_shape(neutral, offsets, mean, eye)
        clear_lids(neutral, offsets, eye)
    unfold(neutral, offsets, rig.folds)
    offsets[:, rig.pouch.inner] += tuck_pouch(neutral + offsets, rig.pouch)
    return PersonShapes(neutral, offsets)


def symmetric_offsets(head: HeadModel) -> np.ndarray:
    """(52, V, 3) expressions of the mean head; each is made the exact mirror image of its partner.

    MakeHuman's are modelled by hand: its left and right smiles differ by half a millimeter.
    """
    shape = geometry(head)
    names = shape.expression_names
    swap = {"Left": "Right", "Right": "Left"}
    partner = [
        next(
            (names.index(name.removesuffix(side) + swap[side]) for side in swap if name.endswith(side)), index
        )
        for index, name in enumerate(names)
    ]
    offsets = shape.expression_basis.copy()
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        offsets[names.index(name)] *= BLINK_OVERLAP
    return 0.5 * (offsets + offsets[partner][:, shape.mirror_vertices] * np.float32([-1, 1, 1]))


def _find_rig(head: HeadModel) -> _Rig:
    offsets = symmetric_offsets(head)
    return _Rig(offsets, eye_rigs(head), lip_rig(head), pouch_rig(head), fold_rig(head, offsets))


_RIGS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
