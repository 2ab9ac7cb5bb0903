"""Points of the head found in every view by the registrar, for the fit: what landmarks leave open.

The registrar says for each view where on the head its texels truly lie. Turned around: in which pixel of each frame a given
place of the head is seen. The fit takes that like points tracked through the frames (`Tracks`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.capture.texture.unwrap import SKIN, View, triangle_material

from .fit_problem import TRACK_SIGMA
from .head_fit import Tracks

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

STRIDE = 1.0 / 44.0  # distance of neighboring points over the size of the texture
MIN_TRUST = 0.3  # of a view, where a point may be looked for in it
TURNS = 3  # fixed-point iterations of turning the offsets around
NEIGHBORS = 2.0  # points err together with so many others, in standard deviations: each counts less
FACE_HEIGHT = 0.6  # over the size of the texture
UNKNOWN = 1e4  # texels: sigma where the registrar does not look
TANGENTIAL_SIGMA_M = (
    0.0005  # the registrar errs alike in all views: how far a point may lie beside its place, meters
)


def register_points(registrar, head: HeadModel, texels, views: Sequence[View]) -> Tracks:
    """Places on a grid of the skin, found in K `views` of the same size as `texels` (a `TexelMap`).

    registrar: a `Registrar`.
    """
    size = len(texels.triangle)
    rows, cols = _grid(size)
    skin = (texels.triangle[rows, cols] >= 0) & (triangle_material(head)[texels.triangle[rows, cols]] == SKIN)
    rows, cols = rows[skin], cols[skin]
    pixel = np.zeros((len(views), len(rows), 2))
    trust = np.zeros((len(views), len(rows)))
    for k, (view, (offset, sigma)) in enumerate(zip(views, predicted_offsets(registrar, views), strict=True)):
        pixel[k], trust[k] = _found(view, offset, sigma, rows, cols)
    kept = trust.max(0) > 0
    rows, cols = rows[kept], cols[kept]
    tangential = np.full(len(rows), TANGENTIAL_SIGMA_M)
    return Tracks(
        texels.triangle[rows, cols],
        texels.barycentric[rows, cols],
        pixel[:, kept],
        trust[:, kept],
        tangential,
    )


def predicted_offsets(registrar, views: Sequence[View]) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each view offset (S, S, 2), columns and rows in texels, and sigma (S, S), texels; `UNKNOWN` outside the window."""
    import torch

    config, size = registrar.config, len(views[0].trust)
    rgb, trust = (
        torch.from_numpy(np.stack(part)) for part in zip(*(_window(view, config) for view in views))
    )
    with torch.no_grad():
        inputs = (
            part.to(registrar.device, registrar.dtype)
            for part in (rgb.permute(0, 3, 1, 2) * 2 - 1, trust[:, None])
        )
        offset, log_scale = (part.float().cpu() for part in registrar(*inputs))
    unit = config.unit * size
    offset, sigma = (unit * offset).permute(0, 2, 3, 1).numpy(), (unit * log_scale.exp())[:, 0].numpy()
    return [
        (_unwindow(o, config, size, 0.0), _unwindow(s, config, size, UNKNOWN)) for o, s in zip(offset, sigma)
    ]


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    at = np.arange(0.5 * STRIDE, 1.0, STRIDE) * size
    rows, cols = np.meshgrid(at, at, indexing="ij")
    return rows.astype(int).ravel(), cols.astype(int).ravel()


def _window(view: View, config) -> tuple[np.ndarray, np.ndarray]:
    """What the registrar sees of a view: rgb (R, R, 3), trust (R, R)."""
    import cv2

    left, top, side = (round(value * len(view.trust)) for value in config.window)
    cut, shape = (slice(top, top + side), slice(left, left + side)), (config.resolution, config.resolution)
    return tuple(
        cv2.resize(part[cut], shape, interpolation=cv2.INTER_AREA) for part in (view.rgb, view.trust)
    )


def _unwindow(cells: np.ndarray, config, size: int, outside: float) -> np.ndarray:
    """Cells of the registrar's answer as a map of the whole texture."""
    import cv2

    left, top, side = (round(value * size) for value in config.window)
    whole = np.full((size, size, *cells.shape[2:]), outside, np.float32)
    whole[top : top + side, left : left + side] = cv2.resize(
        cells, (side, side), interpolation=cv2.INTER_LINEAR
    )
    return whole


def _found(view: View, offset, sigma, rows, cols) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 2) in which a view shows N places of the head, and how much each counts, (N,)."""
    import cv2

    place = np.stack([cols, rows], axis=1).astype(np.float32)
    at = place.copy()
    for _ in range(TURNS):  # a texel t shows the place t + offset(t)
        at = place - cv2.remap(offset, at[None], None, cv2.INTER_LINEAR)[0]
    pixel, trust, spread = (
        cv2.remap(image, at[None], None, cv2.INTER_LINEAR)[0] for image in (view.pixel, view.trust, sigma)
    )
    surely = np.minimum(1.0, (TRACK_SIGMA * FACE_HEIGHT * len(view.trust) / (NEIGHBORS * spread)) ** 2)
    return pixel, np.where((trust > MIN_TRUST) & (spread < 0.01 * UNKNOWN), trust * surely, 0.0)
