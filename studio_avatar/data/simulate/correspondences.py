"""Where on the head the texels of a captured view truly lie, for simulated captures, whose head and cameras are known.

A capture fits a head that is not quite the true one, so what a texel of a view shows belongs a few texels beside it. The
view knows which pixel each texel was sampled from; the same frame unwrapped by the true head knows which pixel it should be.
The texel whose true pixel is the sampled one is found by Newton's method on the second map, which is smooth.
"""

from dataclasses import replace

import numpy as np

from studio_avatar.capture import Observation
from studio_avatar.capture.texture.alignment import Average
from studio_avatar.capture.texture.fusion import blend
from studio_avatar.capture.texture.unwrap import FrameCamera, View, unwrap
from studio_avatar.head.layout import texel_map

from .simulation import SimulatedCapture

ITERATIONS = 4
MIN_TRUST = 0.05  # of the true view: where the true head hides the texel there is no answer
FAR_OFF = 0.04  # over the size of the texture: no fit is as wrong as this; the iteration has gone astray
CLOSE_PX = 0.25  # a place is found when its true pixel is this near
FILL = 1 / 64  # over the size of the texture: how far known offsets reach into unknown places


def true_offsets(view: View, true_view: View) -> tuple[np.ndarray, np.ndarray]:
    """What to add to a texel's place to get the place that the view shows there.

    view: a frame unwrapped by the fitted head; true_view: the same frame unwrapped by the true one, at the same size S.
    Returns offset (S, S, 2) float32, columns and rows over the size of the texture, and known (S, S) bool.
    """
    import cv2

    size = len(view.trust)
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1).astype(np.float32)
    valid = (true_view.trust > MIN_TRUST).astype(np.float32)
    along, down = (np.gradient(true_view.pixel, axis=axis).astype(np.float32) for axis in (1, 0))

    def at(image: np.ndarray, place: np.ndarray) -> np.ndarray:
        return cv2.remap(image, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    place = grid.copy()
    for _ in range(ITERATIONS):
        miss = view.pixel - at(true_view.pixel, place)
        (a, c), (b, d) = (np.moveaxis(at(slope, place), -1, 0) for slope in (along, down))
        determinant = a * d - b * c
        determinant = np.where(np.abs(determinant) < 1e-3, np.inf, determinant)
        step = np.stack([d * miss[..., 0] - b * miss[..., 1], a * miss[..., 1] - c * miss[..., 0]], axis=-1)
        place = place + (step / determinant[..., None]).clip(-0.01 * size, 0.01 * size)
    offset = ((place - grid) / size).astype(np.float32)
    miss = np.linalg.norm(view.pixel - at(true_view.pixel, place), axis=-1)
    known = (view.trust > 0) & (at(valid, place) > 0.99) & (miss < CLOSE_PX)
    return offset, known & (np.linalg.norm(offset, axis=-1) < FAR_OFF)


def true_views(head, made: SimulatedCapture, seen: Observation) -> list[View]:
    """The key frames of a capture of `made.frames` unwrapped by the true head and cameras, at the capture's size."""
    texels, views = texel_map(head, len(seen.best_view)), []
    for keyframe in seen.keyframes:
        k = round(keyframe.frame.time)  # of pictures in a list: which
        size, height = keyframe.frame.rgb.shape[1::-1], keyframe.face.height_px
        camera = FrameCamera(made.focal_px, made.rotation[k], made.translation[k], size, height)
        views.append(unwrap(keyframe.frame, head, texels, made.vertices[k], camera))
    return views


def registered_texture(head, made: SimulatedCapture, seen: Observation) -> np.ndarray:
    """The true texture through the capture's own registration: (S, S, 3) float32 sRGB.

    Every view shows the true texture where the view truly looks, and every detail comes from the view that leads in the
    phone texture: what that would be without light, noise and cover. Where nothing was seen it is the true texture.
    """
    import cv2

    size, truth = len(seen.best_view), made.texture
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1).astype(np.float32)
    flat = []
    for view, true_view in zip(seen.views, true_views(head, made, seen), strict=True):
        offset, known = true_offsets(view, true_view)
        known = known.astype(np.float32)
        reach = cv2.GaussianBlur(known, (0, 0), FILL * size)[..., None]
        around = cv2.GaussianBlur(offset * known[..., None], (0, 0), FILL * size) / (reach + 1e-3)
        place = grid + size * np.where(known[..., None] > 0, offset, around)
        rgb = cv2.remap(truth, place, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        flat.append(replace(view, rgb=np.clip(rgb, 0, 1)))
    average = Average(flat[0])
    for view in flat[1:]:
        average.add(view)
    rgb, share = blend(flat, average, seen.best_view, lead=1.0), np.clip(4 * average.trust, 0, 1)[..., None]
    return share * rgb + (1 - share) * truth
