"""Capture: a selfie video or photos become a `PhoneTexture`.

video ─ read_frames ─► frames ─ follow_person ─► usable faces ─ choose_keyframes ─► 1-24 keyframes
      ─ fit_head ─► HeadFit ─ unwrap, track_points, register_points ─► HeadFit ─ unwrap ─► one view per keyframe
      ─ fuse ─► PhoneTexture + CaptureReport

Who waits for it can have a first look: the same of the views in the middle, before the skin is followed in them.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from studio_avatar.capture.detection.keyframes import choose_keyframes
from studio_avatar.capture.detection.landmarks import FaceLandmarker
from studio_avatar.capture.detection.people import FaceFrame, Sighting, follow_person
from studio_avatar.capture.fitting.head_fit import HeadFit, Tracks, fit_head
from studio_avatar.capture.fitting.registration import register_points
from studio_avatar.capture.fitting.tracking import track_points
from studio_avatar.capture.hair import HairViews, find_hair
from studio_avatar.capture.io.ahead import one_ahead
from studio_avatar.capture.io.lens import common_lens
from studio_avatar.capture.io.video import MAX_SAMPLES, read_frames
from studio_avatar.capture.reporting.contact_sheet import contact_sheet
from studio_avatar.capture.reporting.report import CaptureReport, Finding, make_report
from studio_avatar.capture.scene import SceneStatistics, measure_scene
from studio_avatar.capture.texture.fusion import fuse
from studio_avatar.capture.texture.skin import without_cover
from studio_avatar.capture.texture.unwrap import FrameCamera, View, unwrap
from studio_avatar.errors import InvalidInputError

from .phone_texture import PhoneTexture

TRACKING_SIZE = 1024  # texels
REGISTRATION_SIZE = 352  # texels, of which the registrar's window has 256
FIRST_LOOK = 2  # a first look has every so manyth texel of `TRACKING_SIZE`
MAX_KEYFRAMES = 24
UNWRAP_THREADS = 2  # at most: the time is spent outside of Python's lock, but for a part
MIN_SIZE, MAX_SIZE = 32, 4096

__all__ = [
    "CaptureReport",
    "Finding",
    "FoundPerson",
    "HeadFit",
    "Observation",
    "PhoneTexture",
    "capture",
    "contact_sheet",
    "find_person",
    "observe",
]


def capture(
    source,
    head,
    size: int = 1024,
    max_keyframes: int = 12,
    progress: Callable[[str, float], None] | None = None,
    mirrored: bool = False,
    registrar=None,
    hair_segmenter=None,
) -> PhoneTexture:
    """Make the phone texture of one person.

    source: path of a video (an animated GIF too) or photo, a PIL image, a uint8 array (H, W, 3) sRGB, a list of
        1 to 5 photos as any of these (arrays may be more: the frames of a clip), or what `find_person` made of one of them;
        max_keyframes and mirrored are its arguments then.
    head: a `HeadModel`. size: side of the texture, texels. max_keyframes: at most 24. progress: called with a
        stage's name and [0, 1].
    mirrored: the pictures are stored as in a mirror, which some selfie cameras do without saying so in the file.
    registrar: the weights' `Registrar`, which places the face more exactly than landmarks alone; None goes without.
    hair_segmenter: the weights' `HairSegmenter`; None leaves out where hair is.
    Raises a `CaptureError` (no such file, unreadable, encrypted, coded in an unknown way, no face, several faces, too
    small, never frontal, nothing sharp), an `InvalidInputError` or a `MissingDependencyError`.
    """
    return observe(source, head, size, max_keyframes, progress, mirrored, registrar, hair_segmenter).texture


@dataclass(frozen=True)
class FoundPerson:
    """What a capture needs of the pictures before it needs the head.

    sighting: the person in all pictures; keyframes: those that show the most, looked at more closely; seconds: how long
    it took.
    """

    sighting: Sighting
    keyframes: list[FaceFrame]
    seconds: float


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
    mirrored: bool = False,
    registrar=None,
    hair_segmenter=None,
    first_look: Callable[[Observation], None] | None = None,
) -> Observation:
    """`capture` that also returns the key frames and views, for contact sheets and measurements.

    first_look: called with a smaller observation, made before the fit is at its best, while the work goes on: on another
        thread, and not of one picture alone, which has no second round. What it raises ends the capture.
    """
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise InvalidInputError(f"The texture's size must be {MIN_SIZE} to {MAX_SIZE}, not {size}.")
    tell = progress or (lambda stage, fraction: None)

    # 1. and 2. Find the person, and the frames that show the most.
    if isinstance(source, FoundPerson):
        found = source
    else:
        found = find_person(source, max_keyframes, progress, mirrored)
    keyframes = found.keyframes

    with ThreadPoolExecutor(1) as aside:
        looking: list[Future] = []

        def look(views: list[View], fit: HeadFit) -> None:
            if first_look is not None:
                looking.append(
                    aside.submit(lambda: first_look(_fused(head, found, fit, _every(FIRST_LOOK, views))))
                )

        # 3. Fit one head to all of them.
        fit = fit_frames(head, keyframes, registrar, lambda fraction: tell("fit", fraction), look)

        # 4. Bring each of them into texture space.
        views = _views_of(keyframes, head, fit, size, lambda fraction: tell("unwrap", fraction))
        for first in looking:
            first.result()

    # 5. Make one texture of them.
    made = _fused(head, found, fit, views, lambda fraction: tell("fuse", fraction))
    if hair_segmenter is None:
        return made
    return replace(made, texture=replace(made.texture, hair=hair_of(keyframes, fit, hair_segmenter)))


def _fused(
    head,
    found: FoundPerson,
    fit: HeadFit,
    views: list[View],
    tell: Callable[[float], None] = lambda fraction: None,
) -> Observation:
    """One texture of all views, and what is to be said of it; where hair is is left open."""
    tell(0.0)
    keyframes = found.keyframes
    qualities = [keyframe.quality * keyframe.sureness for keyframe in keyframes]
    fused = fuse(views, qualities, tell)
    scene = scene_of(head, keyframes, fused)
    report = make_report(head, fused, keyframes, fit, found.sighting, scene.doubt)
    tell(1.0)
    return Observation(
        PhoneTexture(fused.rgb, fused.seen, fit, report, scene), keyframes, fused.views, fused.best_view
    )


def _every(step: int, views: list[View]) -> list[View]:
    """The views with every `step`-th texel each way."""
    return [View(*(np.ascontiguousarray(p[::step, ::step]) for p in vars(view).values())) for view in views]


def find_person(
    source,
    max_keyframes: int = 12,
    progress: Callable[[str, float], None] | None = None,
    mirrored: bool = False,
) -> FoundPerson:
    """The first part of `capture`, which needs no head and no network: it can be done while they are loaded.

    Arguments and errors are those of `capture`.
    """
    if not 1 <= max_keyframes <= MAX_KEYFRAMES:
        raise InvalidInputError(f"max_keyframes must be 1 to {MAX_KEYFRAMES}, not {max_keyframes}.")
    tell = progress or (lambda stage, fraction: None)
    began = time.perf_counter()
    tell("landmarks", 0.0)
    with FaceLandmarker() as landmarker:

        def face_size(rgb: np.ndarray) -> float:
            return max((face.size_px for face in landmarker.detect(rgb)), default=0.0)

        # 1. Follow the person through the sampled frames.
        sighting = follow_person(
            one_ahead(read_frames(source, mirrored, face_size)),
            landmarker,
            lambda count: tell("landmarks", min(count / MAX_SAMPLES, 1.0)),
        )

        # 2. Keep the frames that show the most, and look at them more closely.
        keyframes = [
            replace(keyframe, face=landmarker.refine_landmarks(keyframe.frame.rgb, keyframe.face))
            for keyframe in choose_keyframes(sighting.frames, max_keyframes)
        ]
    tell("landmarks", 1.0)
    return FoundPerson(sighting, keyframes, time.perf_counter() - began)


def scene_of(head, keyframes: list[FaceFrame], fused) -> SceneStatistics:
    """What the key frames say about the light beside the face."""
    from studio_avatar.head.layout import region_mask

    face = region_mask(head, len(fused.seen), "face")
    pictures, points = [k.frame.rgb for k in keyframes], [k.face.points for k in keyframes]
    return measure_scene(pictures, points, fused.rgb, fused.seen, face)


def hair_of(keyframes: list[FaceFrame], fit: HeadFit, segmenter) -> HairViews:
    """Where hair is in a few of the key frames."""
    pictures, points = [k.frame.rgb for k in keyframes], [k.face.points for k in keyframes]
    return find_hair(pictures, points, fit.rotation, segmenter)


def fit_frames(
    head,
    keyframes: list[FaceFrame],
    registrar=None,
    tell: Callable[[float], None] = lambda fraction: None,
    look: Callable[[list[View], HeadFit], None] = lambda views, fit: None,
) -> HeadFit:
    """Fit to landmarks, then also to points of the skin: placed by the registrar, and followed from frame to frame.

    look: called with the views in which the skin is followed, and the fit that they were made with.
    """
    tell(0.0)
    first = keyframes[0].frame.rgb
    known = (
        head,
        [keyframe.face for keyframe in keyframes],
        (first.shape[1], first.shape[0]),
        [keyframe.frame.time for keyframe in keyframes],
    )
    lens = common_lens([keyframe.frame.lens for keyframe in keyframes])
    fit = fit_head(*known, lens=lens)
    first_round = [] if registrar is None else [REGISTRATION_SIZE]
    second_round = [TRACKING_SIZE] if len(keyframes) > 1 else first_round  # one frame has nothing to follow
    sizes = first_round + second_round
    for number, size in enumerate(sizes):

        def tell_round(fraction: float, number=number) -> None:
            tell((number + fraction) / len(sizes))

        views = _views_of(keyframes, head, fit, size, lambda fraction: tell_round(0.5 * fraction))
        if size == TRACKING_SIZE:
            look(views, fit)
        tracks = _points_in(views, head, registrar)
        fit = fit_head(*known, tracks, fit, lambda fraction: tell_round(0.6 + 0.4 * fraction), lens=lens)
    tell(1.0)
    return fit


def _points_in(views: list[View], head, registrar) -> Tracks:
    """What K views add to their landmarks; corners are followed at the size at which there are any."""
    from studio_avatar.head.layout import texel_map

    size, parts = len(views[0].trust), []
    if registrar is not None:
        parts.append(register_points(registrar, head, texel_map(head, size), views))
    if size == TRACKING_SIZE:
        parts.append(track_points(head, texel_map(head, size), views))
    return reduce(Tracks.joined, parts)


def _views_of(keyframes: list[FaceFrame], head, fit: HeadFit, size: int, tell) -> list[View]:
    import cv2
    import torch

    from studio_avatar.head.layout import texel_map

    texels = texel_map(head, size)
    shapes = head.vertices(torch.from_numpy(fit.identity), torch.from_numpy(fit.expression)).cpu().numpy()

    def view_of(k: int) -> View:
        keyframe = keyframes[k]
        size, height = keyframe.frame.rgb.shape[1::-1], keyframe.face.height_px
        camera = FrameCamera(fit.focal_px, fit.rotation[k], fit.translation[k], size, height)
        return without_cover(unwrap(keyframe.frame, head, texels, shapes[k], camera), head)

    views = []
    with ThreadPoolExecutor(min(UNWRAP_THREADS, cv2.getNumThreads())) as pool:
        for view in pool.map(view_of, range(len(keyframes))):
            views.append(view)
            tell(len(views) / len(keyframes))
    return views
