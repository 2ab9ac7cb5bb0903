"""The capture's small pictures of hair, and what a style or the bare head covers in them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.head.geometry import geometry
from studio_avatar.head.layout import rasterize

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

BARE = ("scalp", "ears", "neck")  # where hair hides nobody
IN_FRONT_M = 0.004  # hair nearer than this behind the skin counts as seen: it is wrapped around it
SEGMENTED, SURE = 0.5, 0.8  # of what the segmenter says


@dataclass(frozen=True)
class HeadView:
    """One small picture with the head in it.

    hair, sure, inside: (S, S) bool, segmented hair, that which is surely hair, and where the frame is.
    rgb: (S, S, 3) uint8.
    rotation (3, 3), translation (3,), focal, principal (2,): a camera in small pixels.
    depth: (S, S) meters to the bare head, infinite beside it. region: (S, S) number of the head's region, -1 beside it.
    face: (S, S) bool, regions in which hair hides the person.
    """

    hair: np.ndarray
    sure: np.ndarray
    inside: np.ndarray
    rgb: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    focal: float
    principal: np.ndarray
    depth: np.ndarray
    region: np.ndarray
    face: np.ndarray

    def see(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (N, 3) of head space → small pixels (N, 2) and depth (N,) meters."""
        seen = points @ self.rotation.T + self.translation
        return self.focal * seen[:, :2] / seen[:, 2:] + self.principal, seen[:, 2]

    def facing(self, places: np.ndarray, normals: np.ndarray, least: float) -> np.ndarray:
        """(N,) cosine of the angle between the bare head's skin and the camera; 0 below `least` and where not seen."""
        pixel, depth = self.see(places)
        towards = -(places @ self.rotation.T + self.translation)
        cosine = ((normals @ self.rotation.T) * towards).sum(1) / np.linalg.norm(towards, axis=1)
        column, row = np.floor(pixel).astype(int).T
        side = len(self.depth)
        visible = (column >= 0) & (row >= 0) & (column < side) & (row < side) & (cosine > least)
        column, row = column[visible], row[visible]
        visible[visible] = self.inside[row, column] & (depth[visible] < self.depth[row, column] + IN_FRONT_M)
        return np.where(visible, cosine, 0.0)

    def height(self, pixel: np.ndarray) -> np.ndarray:
        """(N,) meters in head space of pixels (N, 2), on the plane through the head's middle that faces the camera."""
        depth = self.translation[2]
        ray = np.concatenate([(pixel - self.principal) / self.focal, np.ones((len(pixel), 1))], 1) * depth
        return ((ray - self.translation) @ self.rotation)[:, 1]

    def covered(self, points: np.ndarray) -> np.ndarray:
        """(S, S) bool: where points that lie close on a surface hide the bare head or what is beside it."""
        from scipy.ndimage import binary_closing

        pixel, depth = self.see(points)
        column, row = np.floor(pixel).astype(int).T
        side = len(self.depth)
        inside = (column >= 0) & (row >= 0) & (column < side) & (row < side)
        column, row, depth = column[inside], row[inside], depth[inside]
        seen = depth < self.depth[row, column] + IN_FRONT_M
        mask = np.zeros((side, side), bool)
        mask[row[seen], column[seen]] = True
        return binary_closing(mask, np.ones((3, 3), bool))


def head_views(head: HeadModel, capture, neutral: np.ndarray) -> list[HeadView]:
    """The views of a capture (`PhoneTexture` with `hair`); neutral: (V, 3) the person's head."""
    views, fit, shape = capture.hair, capture.fit, geometry(head)
    result = []
    for number, k in enumerate(views.keyframe):
        scale = float(views.scale[number])
        principal = (0.5 * np.asarray(fit.image_size) - views.corner[number]) * scale
        camera = fit.rotation[k].astype(float), fit.translation[k].astype(float), fit.focal_px * scale
        bare = HeadView(
            *(views.hair[number] > 255 * share for share in (SEGMENTED, SURE)),
            views.inside[number], views.rgb[number], *camera, principal, *[np.empty(0)] * 3,
        )  # fmt: skip
        pixel, depth = bare.see(neutral[: len(shape.neutral)])
        side = len(bare.hair)
        triangle, barycentric = rasterize(pixel[shape.faces], side, side, depth[shape.faces])
        seen = triangle >= 0
        surface = np.full((side, side), np.inf)
        surface[seen] = (depth[shape.faces][triangle[seen]] * barycentric[seen]).sum(-1)
        region = np.where(seen, shape.face_region[triangle], -1)
        face = seen & ~np.isin(region, [shape.region(name) for name in BARE])
        result.append(replace(bare, depth=surface, region=region, face=face))
    return result
