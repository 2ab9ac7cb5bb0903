"""Capture: a selfie video or photos become a `PhoneTexture`.

video ─ read_frames ─► frames ─ find_faces ─► faces ─ choose_keyframes ─► 1-12 keyframes
      ─ fit_head ─► HeadFit ─ unwrap ─► one view per keyframe ─ fuse ─► PhoneTexture + CaptureReport
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from studio_avatar.capture.fitting import HeadFit, fit_head
from studio_avatar.capture.fusion import fuse
from studio_avatar.capture.keyframes import FaceFrame, choose_keyframes, find_faces
from studio_avatar.capture.landmarks import FaceLandmarker
from studio_avatar.capture.phone_texture import PhoneTexture
from studio_avatar.capture.report import CaptureReport, Finding, make_report
from studio_avatar.capture.skin import without_cover
from studio_avatar.capture.tracking import track_points
from studio_avatar.capture.unwrap import Camera, View, unwrap
from studio_avatar.capture.video import MAX_SAMPLES, read_frames

TRACKING_SIZE = 512  # texels
REFINEMENTS = 1

__all__ = ["CaptureReport", "Finding", "HeadFit", "PhoneTexture", "capture"]


def capture(
    source,
    head,
    size: int = 1024,
    max_keyframes: int = 12,
    progress: Callable[[str, float], None] | None = None,
) -> PhoneTexture:
    """Make the phone texture of one person.

    source: path of a video or photo, a PIL image, a uint8 array (H, W, 3) sRGB, or a list of photos as any of
        these.
    head: a `HeadModel`. size: side of the texture, texels. progress: called with a stage's name and [0, 1].
    Raises a `CaptureError` (no such file, unreadable, no face, several faces, too small) or a
    `MissingDependencyError`.
    """
    return observe(source, head, size, max_keyframes, progress).texture


@dataclass(frozen=True)
class Observation:
    """A finished capture with the evidence behind it.

    texture: the result. keyframes: the K frames it was made of; views: the same in texture space, aligned to
    each other; best_view: (H, W) int, the view that each texel's finest detail comes from.
    """

    texture: PhoneTexture
    keyframes: list[FaceFrame]
    views: list[View]
    best_view: np.ndarray


def observe(
    source,
    head,
    size: int = 1024,
    max_keyframes: int = 12,
    progress: Callable[[str, float], None] | None = None,
) -> Observation:
    """`capture` that also hands over the key frames and views, for contact sheets and measurements."""
    tell = progress or (lambda stage, fraction: None)

    # 1. Look for the face in every sampled frame.
    candidates, frames_sampled = _faces_of(source, tell)

    # 2. Keep the frames that show the most.
    keyframes = choose_keyframes(candidates, max_keyframes)
    tell("fit", 0.0)

    # 3. Fit one head to all of them.
    fit = fit_frames(head, keyframes)
    tell("fit", 1.0)

    # 4. Bring each of them into texture space.
    views = _views_of(keyframes, head, fit, size, tell)

    # 5. Make one texture of them.
    tell("fuse", 0.0)
    fused = fuse(views, [keyframe.quality for keyframe in keyframes])
    report = make_report(head, fused, keyframes, fit, frames_sampled, len(candidates))
    tell("fuse", 1.0)
    texture = PhoneTexture(fused.rgb, fused.seen, fit, report)
    return Observation(texture, keyframes, fused.views, fused.best_view)


def fit_frames(head, keyframes: list[FaceFrame]) -> HeadFit:
    """Fit to landmarks; several frames then also to the points that can be followed from frame to frame."""
    from studio_avatar.head.layout import texel_map

    first = keyframes[0].frame.rgb
    known = (
        head,
        [keyframe.face for keyframe in keyframes],
        (first.shape[1], first.shape[0]),
        [keyframe.frame.time for keyframe in keyframes],
    )
    fit = fit_head(*known)
    for _ in range(REFINEMENTS if len(keyframes) > 1 else 0):
        views = _views_of(keyframes, head, fit, TRACKING_SIZE, lambda *_: None)
        fit = fit_head(*known, track_points(head, texel_map(head, TRACKING_SIZE), views), start=fit)
    return fit


def _faces_of(source, tell) -> tuple[list[FaceFrame], int]:
    candidates, count = [], 0
    tell("landmarks", 0.0)
    with FaceLandmarker() as landmarker:
        for found in find_faces(read_frames(source), landmarker):
            count += 1
            if found is not None:
                candidates.append(found)
            tell("landmarks", min(count / MAX_SAMPLES, 1.0))
    tell("landmarks", 1.0)
    return candidates, count


def _views_of(keyframes: list[FaceFrame], head, fit: HeadFit, size: int, tell) -> list[View]:
    import torch

    from studio_avatar.head.layout import texel_map

    texels = texel_map(head, size)
    shapes = head.vertices(torch.from_numpy(fit.identity), torch.from_numpy(fit.expression)).cpu().numpy()
    views = []
    for k, keyframe in enumerate(keyframes):
        camera = Camera(fit.rotation[k], fit.translation[k], fit.focal_px, keyframe.face.height_px)
        views.append(without_cover(unwrap(keyframe.frame, head, texels, shapes[k], camera), head))
        tell("unwrap", (k + 1) / len(keyframes))
    return views
