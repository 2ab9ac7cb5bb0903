"""Follow one person through the pictures of a capture, and say why a picture cannot be used.

pictures ─ detect (upright) ─► people (faces that continue each other) ─► the main one ─► usable faces + counted reasons
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from studio_avatar.capture.io.clip_plan import MAX_SECONDS
from studio_avatar.capture.io.frame import Frame, centered
from studio_avatar.errors import (
    BlurredError,
    FaceTooSmallError,
    NeverFrontalError,
    NoFaceError,
    SeveralFacesError,
)
from studio_avatar.head.landmark_ids import FACE_OVAL, NUM_SURFACE_LANDMARKS

from .far_sight import FarSight
from .landmarks import Face, FaceLandmarker
from .upright import upright

MIN_FACE_HEIGHT_PX = 120  # a smaller face has less detail than the smallest texture
COMPARABLE_FACE = 0.6  # size of a second face, over the first, from which on it is no passer-by
SAME_PERSON = 0.6  # how far a face may move between two pictures, over its size
SAME_SIZE = 2.0  # by which factor it may grow or shrink between them
CUT_MOVES, CUT_SCALES, CUT_CHANGES = 0.75, 1.5, 30.0  # over the face's size; factor; mean gray levels
# Mean gray levels from which on a face is compared by color with the one before. Medians over its landmarks are 0.02 to
# 0.06 for one person who turns, 0.05 after changes of exposure, 0.15 for two people (0.085 and less for one pair in 20).
MAY_BE_A_CUT, OTHER_PERSON = 15.0, 0.09
# Movement of a picture of a face, filmed by hand; of somebody who turns by 20 degrees.
STILL, MOVES = 0.006, 0.015
FRONTAL_DEG = 35.0
SURE_WITHIN_DEG = 10.0
LONG_CLIP = 0.95  # of the seconds that are read: a last picture from there on may have others after it
SMOOTH_SHARE = 0.025  # of the face's height, over which colors are averaged to compare people
SHARPNESS_HEIGHT_PX = 192  # faces are compared at this height, so that near frames do not win by size alone
NOTHING_SHARP = 0.12
BLURRED, CLOSED = 0.55, 0.35  # sharpness over the capture's median; how far eyes are open
OTHER_COLOR = 0.3  # log units of chromaticity
# Of the face's landmarks, compared with all pictures, and with the nearest in view, which light and angle change less.
OCCLUDED_SHARE, OCCLUDED_SHARE_BESIDE = 0.25, 0.12
ENOUGH_TO_COMPARE = 5  # pictures; below, nothing is rejected by comparison
REASONS = ("no_face", "too_small", "cut", "blurred", "eyes_closed", "occluded")


@dataclass(frozen=True)
class FaceFrame:
    """A frame with its main face.

    sharpness: high-frequency share of the face's detail, about 0 (blurred) to 1 (crisp).
    eyes_open, mouth_closed: [0, 1].
    """

    frame: Frame
    face: Face
    sharpness: float
    eyes_open: float
    mouth_closed: float

    @property
    def quality(self) -> float:
        """How much this frame is worth, up to its pose."""
        return (0.15 + self.sharpness) * (0.2 + 0.8 * self.eyes_open) * (0.5 + 0.5 * self.mouth_closed)

    @property
    def sureness(self) -> float:
        """How exactly the head is known to sit in this frame, 1 = frontal: landmarks of turned heads are worse."""
        return float(1.0 / (1.0 + np.square(self.view / SURE_WITHIN_DEG).sum()))

    @property
    def view(self) -> np.ndarray:
        """Yaw and pitch, degrees."""
        return np.array([self.face.yaw_deg, self.face.pitch_deg])


@dataclass(frozen=True)
class Sighting:
    """One person in the pictures of a capture.

    frames: the usable ones, in order; sampled: how many pictures were looked at; with_face: in how many of them the
    person was found; rejected: how many were left out for each of `REASONS`.
    """

    frames: list[FaceFrame]
    sampled: int
    with_face: int
    rejected: dict[str, int]


@dataclass
class _Person:
    frames: list[FaceFrame] = field(default_factory=list)

    @property
    def movement(self) -> float:
        """How much the face changes its shape in the picture, over its size: by turning and by expressions."""
        shapes = [(seen.face.points - seen.face.points.mean(0)) / seen.face.size_px for seen in self.frames]
        return float(np.linalg.norm(np.std(shapes, axis=0), axis=1).mean())


def follow_person(
    frames: Iterable[Frame], landmarker: FaceLandmarker, tell: Callable[[int], None] = lambda count: None
) -> Sighting:
    """Find the main person (largest, most central, longest in view) and the pictures that can be used.

    tell: called after each picture with the number of pictures so far.
    Raises `NoFaceError`, `SeveralFacesError` (a second person of comparable size most of the time),
    `FaceTooSmallError`, `NeverFrontalError` or `BlurredError`.
    """
    people: list[_Person] = []
    sampled, thumbnail, frame = 0, None, None
    for frame, faces in upright(frames, FarSight(landmarker)):
        sampled += 1
        previous, thumbnail = thumbnail, _thumbnail(frame.rgb)
        change = 0.0 if previous is None else float(np.abs(thumbnail - previous).mean())
        _assign(frame, faces, people, change)
        tell(sampled)
    if not people:
        raise _no_face(frame)
    people = _living(people)
    main = max(people, key=_presence)
    others = {seen.frame.time for person in people if person is not main for seen in person.frames}
    alone = sum(seen.frame.time not in others for seen in main.frames)
    if alone < 0.5 * len(main.frames):
        raise SeveralFacesError("Several faces are in the picture: please capture one person alone.")
    usable, rejected = _usable(_on_one_square(main.frames))
    elsewhere = sum(len(person.frames) for person in people if person is not main and _replaces(person, main))
    rejected["cut"] = elsewhere
    rejected["no_face"] = sampled - len(main.frames) - elsewhere
    return Sighting(usable, sampled, len(main.frames), {reason: rejected[reason] for reason in REASONS})


def _no_face(last: Frame | None) -> NoFaceError:
    """What to say where nobody was found up to the last picture: of a long clip the rest may show somebody."""
    if last is not None and last.of_clip and last.time > LONG_CLIP * MAX_SECONDS:
        return NoFaceError(
            f"No face was found in the first {MAX_SECONDS:.0f} seconds, and no more are read: please cut away what comes "
            "before the face."
        )
    return NoFaceError(
        "No face was found: please look into the camera in good light, the whole head in view."
    )


def _assign(frame: Frame, faces: list[Face], people: list[_Person], change: float) -> None:
    """Give each face to the person it continues, or to a new one; `change` is of the whole picture."""
    comparable = [face for face in faces if face.size_px >= COMPARABLE_FACE * faces[0].size_px]
    taken = set()
    for face in comparable:
        seen = _face_frame(frame, face)
        free = [p for p in people if id(p) not in taken and _continues(p.frames[-1], seen, change)]
        person = min(free, key=lambda p, seen=seen: _farness(p.frames[-1], seen), default=None)
        if person is None:
            people.append(person := _Person())
        taken.add(id(person))
        person.frames.append(seen)


def _living(people: list[_Person]) -> list[_Person]:
    """Without posters, pictures on walls and screens: faces in a clip that never move while another one does."""
    told = [p for p in people if len(p.frames) >= ENOUGH_TO_COMPARE and p.frames[0].frame.of_clip]
    if not any(person.movement > MOVES for person in told):
        return people
    still = {id(person) for person in told if person.movement < STILL}
    return [person for person in people if id(person) not in still]


def _distance(one: Face, other: Face) -> float:
    """Between the middles of two faces, over their size."""
    shift = one.points.mean(0) - other.points.mean(0)
    return float(np.linalg.norm(shift) / max(one.size_px, other.size_px))


def _farness(last: FaceFrame, seen: FaceFrame) -> float:
    """How far a face is from where it was, in its size; in a clip every second since then counts as much as that."""
    return _distance(last.face, seen.face) + (
        seen.frame.time - last.frame.time if seen.frame.of_clip else 0.0
    )


def _continues(last: FaceFrame, seen: FaceFrame, change: float) -> bool:
    """Whether `seen` is the person last seen in `last`; photos of one person need not continue each other, nor do pictures
    before and after the phone was turned, which changes their shape, as no cut does.
    """
    if not seen.frame.of_clip or last.frame.picture != seen.frame.picture:
        return True
    scale = max(last.face.size_px, seen.face.size_px) / min(last.face.size_px, seen.face.size_px)
    moved = _distance(last.face, seen.face)
    if change > CUT_CHANGES and (moved > CUT_MOVES or scale > CUT_SCALES):
        return False
    patience = max(1.0, 4.0 * (seen.frame.time - last.frame.time))
    if not (moved < SAME_PERSON * patience and scale < SAME_SIZE * patience):
        return False
    return change <= MAY_BE_A_CUT or _difference_of_skin(last, seen) < OTHER_PERSON


def _difference_of_skin(one: FaceFrame, other: FaceFrame) -> float:
    """Median difference of two faces' colors, in log units of chromaticity, each over its own median."""
    colors = [_landmark_colors(_smooth(seen)) for seen in (one, other)]
    return float(np.median(np.linalg.norm(colors[0] - colors[1], axis=1)))


def _smooth(seen: FaceFrame) -> FaceFrame:
    """Without noise and the blocks of a coding."""
    import cv2

    size = max(round(SMOOTH_SHARE * seen.face.height_px), 1)
    return replace(seen, frame=replace(seen.frame, rgb=cv2.blur(seen.frame.rgb, (size, size))))


def _presence(person: _Person) -> float:
    """How much of the capture a person fills: size and nearness to the middle, summed over the pictures."""
    total = 0.0
    for seen in person.frames:
        height, width = seen.frame.rgb.shape[:2]
        off = np.linalg.norm(seen.face.points.mean(0) - (0.5 * width, 0.5 * height)) / np.hypot(width, height)
        total += seen.face.size_px / np.hypot(width, height) * (1.0 - off)
    return total


def _replaces(person: _Person, main: _Person) -> bool:
    """Whether a person is seen while the main one is not: before or after a cut, not beside them."""
    times = {seen.frame.time for seen in main.frames}
    return not any(seen.frame.time in times for seen in person.frames)


def _on_one_square(frames: list[FaceFrame]) -> list[FaceFrame]:
    """Photos, of which some were turned sideways, padded to one size, because one camera is fitted to them."""
    shapes = {seen.frame.rgb.shape for seen in frames}
    return frames if len(shapes) == 1 else [_padded(seen, max(map(max, shapes))) for seen in frames]


def _padded(seen: FaceFrame, side: int) -> FaceFrame:
    frame = centered(seen.frame, side)
    moved = np.subtract(frame.picture[:2], seen.frame.picture[:2])
    points = (seen.face.points + moved).astype(np.float32)
    return replace(seen, frame=frame, face=replace(seen.face, points=points))


def _usable(frames: list[FaceFrame]) -> tuple[list[FaceFrame], Counter]:
    """What is left of a person's frames, and how many went for which reason."""
    rejected = Counter()
    large = [f for f in frames if f.face.height_px >= MIN_FACE_HEIGHT_PX]
    rejected["too_small"] = len(frames) - len(large)
    if not large:
        tallest = max(f.face.height_px for f in frames)
        raise FaceTooSmallError(
            f"The face is only {tallest:.0f} pixels high and {MIN_FACE_HEIGHT_PX} are needed: please come closer."
        )
    if min(abs(f.face.yaw_deg) for f in large) > FRONTAL_DEG:
        raise NeverFrontalError(
            "The face never looks towards the camera: please begin with a look straight into it."
        )
    if max(f.sharpness for f in large) < NOTHING_SHARP:
        raise BlurredError(
            "No picture of the face is sharp: please hold still, wipe the lens or find more light."
        )
    if len(large) < ENOUGH_TO_COMPARE:
        return large, rejected
    typical = np.median([f.sharpness for f in large])
    kept = []
    for seen, covered in zip(large, _covered(large), strict=True):
        if seen.sharpness < BLURRED * typical:
            rejected["blurred"] += 1
        elif seen.eyes_open < CLOSED:
            rejected["eyes_closed"] += 1
        elif covered:
            rejected["occluded"] += 1
        else:
            kept.append(seen)
    if not any(abs(f.face.yaw_deg) <= FRONTAL_DEG for f in kept):
        return large, Counter(
            too_small=rejected["too_small"]
        )  # rather blurred or blinking than from the side only
    return kept, rejected


# ------------------------------------------------------------------------------------------------------------
# One picture


def _face_frame(frame: Frame, face: Face) -> FaceFrame:
    closed = max(face.scores.get("eyeBlinkLeft", 0.0), face.scores.get("eyeBlinkRight", 0.0))
    return FaceFrame(
        frame, face, sharpness(frame.rgb, face), 1.0 - closed, 1.0 - face.scores.get("jawOpen", 0.0)
    )


def sharpness(rgb: np.ndarray, face: Face) -> float:
    """Share of gradient energy that a small blur removes, inside the face's box: 0 blurred, 1 crisp."""
    import cv2

    points = face.points
    left, top = np.maximum(points.min(axis=0).astype(int), 0)
    right, bottom = np.minimum(points.max(axis=0).astype(int) + 1, rgb.shape[1::-1])
    if right - left < 8 or bottom - top < 8:
        return 0.0
    gray = cv2.cvtColor(rgb[top:bottom, left:right], cv2.COLOR_RGB2GRAY).astype(np.float32)
    scale = SHARPNESS_HEIGHT_PX / gray.shape[0]
    if scale < 1.0:
        gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    energy, blurred = (_gradient_energy(image) for image in (gray, cv2.GaussianBlur(gray, (0, 0), 1.2)))
    return float(np.clip(1.0 - blurred / max(energy, 1e-6), 0.0, 1.0))


def _gradient_energy(gray: np.ndarray) -> float:
    return float(np.square(np.diff(gray, axis=0)).mean() + np.square(np.diff(gray, axis=1)).mean())


def _covered(frames: list[FaceFrame]) -> np.ndarray:
    """(K,) bool: too many of a face's inner landmarks have a color unlike the same landmarks' in the other frames."""
    colors, views = (
        np.stack([_landmark_colors(seen) for seen in frames]),
        np.stack([seen.view for seen in frames]),
    )

    def unlike(one: np.ndarray, others: np.ndarray) -> float:
        return float((np.linalg.norm(one - np.median(others, axis=0), axis=-1) > OTHER_COLOR).mean())

    covered = np.zeros(len(frames), bool)
    for k, color in enumerate(colors):
        beside = np.argsort(np.linalg.norm(views - views[k], axis=1), kind="stable")[:ENOUGH_TO_COMPARE]
        covered[k] = (
            unlike(color, colors) > OCCLUDED_SHARE or unlike(color, colors[beside]) > OCCLUDED_SHARE_BESIDE
        )
    return covered


def _landmark_colors(seen: FaceFrame) -> np.ndarray:
    """(N, 2) log chromaticity of the inner face's landmarks over the frame's own median: neither shade nor the phone's
    white balance is a hand.
    """
    inner = np.setdiff1d(np.arange(NUM_SURFACE_LANDMARKS), FACE_OVAL)
    at = np.clip(seen.face.points[inner].astype(int), 0, np.array(seen.frame.rgb.shape[1::-1]) - 1)
    red, green, blue = np.log(seen.frame.rgb[at[:, 1], at[:, 0]].astype(np.float32) + 8.0).T
    chroma = np.stack([red - green, blue - green], axis=1)
    return chroma - np.median(chroma, axis=0)


def _thumbnail(rgb: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.resize(rgb, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
