"""The head's shape and layout as arrays, for everything that is not a network: made once from a `HeadModel`."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .model import HeadModel


@dataclass(frozen=True, eq=False)
class HeadGeometry:
    """The buffers of a `HeadModel`, which says what each is, as arrays that cannot be written to.

    On the CPU they share the model's memory.
    """

    neutral: np.ndarray  # (V, 3) meters
    identity_basis: np.ndarray  # (num_identity, V, 3) meters
    expression_basis: np.ndarray  # (52, V, 3) meters
    faces: np.ndarray  # (F, 3)
    uv: np.ndarray  # (T, 2)
    uv_faces: np.ndarray  # (F, 3)
    landmark_faces: np.ndarray  # (468,)
    landmark_barycentric: np.ndarray  # (468, 3)
    face_region: np.ndarray  # (F,)
    mirror_vertices: np.ndarray  # (V,)
    region_names: tuple[str, ...] = field(kw_only=True)
    expression_names: tuple[str, ...] = field(kw_only=True)

    def region(self, name: str) -> int:
        """What `face_region` says where the region is."""
        return self.region_names.index(name)

    def in_regions(self, *names: str) -> np.ndarray:
        """(F,) bool: triangles of the named regions.

        Raises:
            ValueError: there is no region of that name.
        """
        if unknown := sorted(set(names) - set(self.region_names)):
            raise ValueError(f"There is no region {', '.join(unknown)}; use {', '.join(self.region_names)}.")
        return np.isin(self.face_region, [self.region(name) for name in names])

    def expression(self, name: str) -> int:
        """Position of an ARKit expression in `expression_basis`."""
        return self.expression_names.index(name)

    @property
    def mirror_expressions(self) -> np.ndarray:
        """(E,) of each expression the one that does the same on the other side; itself where it has no side."""
        return np.array([self.expression(other_side(name)) for name in self.expression_names])


def other_side(name: str) -> str:
    """ "mouthLeft" for "mouthRight" and the other way round; others as they are."""
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(side):
            return name.removesuffix(side) + other
    return name


def geometry(head: HeadModel) -> HeadGeometry:
    """The arrays of `head`, made at the first call for it."""
    if head not in _GEOMETRIES:
        arrays = (getattr(head, item.name) for item in fields(HeadGeometry) if not item.kw_only)
        _GEOMETRIES[head] = HeadGeometry(
            *map(_locked, arrays),
            region_names=tuple(head.config.region_names),
            expression_names=tuple(head.config.expression_names),
        )
    return _GEOMETRIES[head]


_GEOMETRIES: weakref.WeakKeyDictionary[HeadModel, HeadGeometry] = weakref.WeakKeyDictionary()


def _locked(tensor) -> np.ndarray:
    array = tensor.detach().cpu().numpy()
    array.setflags(write=False)
    return array
