"""Capture: a selfie video or photos become a `PhoneTexture`.

video ─ read_frames ─► frames ─ find_faces ─► faces ─ choose_keyframes ─► 1-12 keyframes
      ─ fit_head ─► HeadFit ─ unwrap ─► one view per keyframe ─ fuse ─► PhoneTexture + CaptureReport
"""

from collections.abc import Callable

from studio_avatar.capture.fitting import HeadFit, fit_head
from studio_avatar.capture.fusion import fuse
from studio_avatar.capture.keyframes import FaceFrame, choose_keyframes, find_faces
from studio_avatar.capture.landmarks import FaceLandmarker
from studio_avatar.capture.phone_texture import PhoneTexture
from studio_avatar.capture.report import CaptureReport, Finding, make_report
from studio_avatar.capture.skin import without_cover
from studio_avatar.capture.unwrap import Camera, View, unwrap
from studio_avatar.capture.video import MAX_SAMPLES, read_frames

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
    tell = progress or (lambda stage, fraction: None)

    # 1. Look for the face in every sampled frame.
    candidates, frames_sampled = _faces_of(source, tell)

    # 2. Keep the frames that show the most.
    keyframes = choose_keyframes(candidates, max_keyframes)
    first = keyframes[0].frame
    tell("fit", 0.0)

    # 3. Fit one head to all of them.
    image_size = (first.rgb.shape[1], first.rgb.shape[0])
    fit = fit_head(head, [keyframe.face for keyframe in keyframes], image_size)
    tell("fit", 1.0)

    # 4. Bring each of them into texture space.
    views = _views_of(keyframes, head, fit, size, tell)

    # 5. Make one texture of them.
    tell("fuse", 0.0)
    fused = fuse(views, [keyframe.quality for keyframe in keyframes])
    report = make_report(head, fused, keyframes, fit, frames_sampled, len(candidates))
    tell("fuse", 1.0)
    return PhoneTexture(fused.rgb, fused.trust, fit, report)


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
