"""What the registrar learns from: views of simulated captures with the offsets that a perfect fit would leave at zero.

random head ─ photographed ─► frames ─ landmarks, joint fit ─► fitted head ─ unwrap ─► view ──┐
                   └─ true head, true cameras ─────────────── unwrap ─► true view ────────────┴─► offsets
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from studio_avatar.capture.detection.landmarks import FaceLandmarker
from studio_avatar.capture.fitting.head_fit import fit_head
from studio_avatar.capture.io.frame import Frame
from studio_avatar.capture.texture.unwrap import FrameCamera, unwrap
from studio_avatar.errors import NoFaceError
from studio_avatar.head.layout import texel_map

from .correspondences import true_offsets
from .simulation import MAKEHUMAN, Population, SimulationOptions, simulate

NUM_VIEWS, FRAME = 3, (540, 720)
SIZE = 352  # texels of the texture of which the registrar sees a window
CELL = 4  # texels; offsets are stored as the mean of so many, squared


@dataclass(frozen=True)
class RegistrationView:
    """`rgb` (R, R, 3) and `trust` (R, R) uint8 of a window of the texture; `offset` (R/4, R/4, 2) float16 in `Registrar`
    units, columns and rows; `known` (R/4, R/4) uint8, the share of the cell's texels behind it.
    """

    rgb: np.ndarray
    trust: np.ndarray
    offset: np.ndarray
    known: np.ndarray


def registration_views(
    head,
    texture: np.ndarray,
    rng: np.random.Generator,
    config,
    panoramas: Sequence[np.ndarray] | None = None,
    population: Population = MAKEHUMAN,
) -> list[RegistrationView]:
    """Photograph `texture` (S, S, 3) float32 sRGB on a random head from three sides, fit a head, and compare.

    config: of the `Registrar`. Raises `NoFaceError` when a frame's face is not found.
    """
    import torch

    options = SimulationOptions(FRAME, panoramas=panoramas, population=population)
    made = simulate(head, texture, rng, NUM_VIEWS, options)
    with FaceLandmarker() as landmarker:
        faces = [_face(landmarker, frame) for frame in made.frames]
    fit = fit_head(head, faces, made.image_size)
    shapes = head.vertices(torch.from_numpy(fit.identity), torch.from_numpy(fit.expression)).numpy()
    texels, views = texel_map(head, SIZE), []
    for k, picture in enumerate(made.frames):
        frame = Frame(picture, float(k), (0, 0, *made.image_size))
        fitted, true = (
            FrameCamera(at.focal_px, at.rotation[k], at.translation[k], made.image_size, faces[k].height_px)
            for at in (fit, made)
        )
        view = unwrap(frame, head, texels, shapes[k], fitted)
        offset, known = true_offsets(view, unwrap(frame, head, texels, made.vertices[k], true))
        views.append(_window(view, offset, known & texels.covered, config))
    return views


def _face(landmarker: FaceLandmarker, picture: np.ndarray):
    found = landmarker.detect(picture)
    if not found:
        raise NoFaceError("The landmark detector does not find a simulated face.")
    return landmarker.refine_landmarks(picture, found[0])


def _window(view, offset: np.ndarray, known: np.ndarray, config) -> RegistrationView:
    left, top, _ = (round(value * SIZE) for value in config.window)
    side = config.resolution
    cut = (slice(top, top + side), slice(left, left + side))

    def cells(values: np.ndarray) -> np.ndarray:
        return values.reshape(side // CELL, CELL, side // CELL, CELL, -1).mean((1, 3))

    weight = known[cut][..., None].astype(np.float32)
    share = cells(weight)
    mean = cells(offset[cut] * weight) / np.maximum(share, 1e-6) / config.unit
    return RegistrationView(
        np.rint(255 * view.rgb[cut]).astype(np.uint8),
        np.rint(255 * view.trust[cut]).astype(np.uint8),
        mean.astype(np.float16),
        np.rint(255 * share[..., 0]).astype(np.uint8),
    )
