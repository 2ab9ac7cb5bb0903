"""Choose the few frames of a capture that show the most of the head, sharp and with open eyes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from studio_avatar.capture.landmarks import Face, FaceLandmarker
from studio_avatar.capture.frame import Frame
from studio_avatar.errors import FaceTooSmallError, NoFaceError, SeveralFacesError

MIN_FACE_HEIGHT_PX = 48  # a smaller face has less detail than the smallest texture
COMPARABLE_FACE = 0.6  # size of a second face, over the first, from which on it is no passer-by
MIN_KEYFRAMES = 6
NEW_VIEW_DEG = 4.0  # views closer than this to a chosen one add nothing once there are enough
FULL_VIEW_DEG = 14.0  # views this far apart count as fully different
SHARPNESS_HEIGHT_PX = 192  # faces are compared at this height, so that near frames do not win by size alone


@dataclass(frozen=True)
class FaceFrame:
    """A frame with its main face.

    sharpness: high-frequency share of the face's detail, about 0 (blurred) to 1 (crisp).
    eyes_open: [0, 1].
    """

    frame: Frame
    face: Face
    sharpness: float
    eyes_open: float

    @property
    def quality(self) -> float:
        """How much this frame is worth, up to its pose."""
        return (0.15 + self.sharpness) * (0.2 + 0.8 * self.eyes_open)

    @property
    def view(self) -> np.ndarray:
        """Yaw and pitch, degrees."""
        return np.array([self.face.yaw_deg, self.face.pitch_deg])


def find_faces(frames: Iterable[Frame], landmarker: FaceLandmarker) -> Iterator[FaceFrame | None]:
    """Yield each frame's main face, None for a frame without one.

    Raises `SeveralFacesError` at the end when a second face of comparable size is there most of the time.
    """
    with_face = with_several = 0
    previous = None
    for frame in frames:
        faces = landmarker.detect(frame.rgb)
        if not faces:
            yield None
            continue
        face = previous = _same_person(faces, previous)
        with_face += 1
        with_several += any(
            other.size_px >= COMPARABLE_FACE * face.size_px for other in faces if other is not face
        )
        yield FaceFrame(frame, face, _sharpness(frame.rgb, face), _eyes_open(face))
    if with_face and with_several > 0.5 * with_face:
        raise SeveralFacesError("Several faces are in the picture: please capture one person alone.")


def choose_keyframes(candidates: list[FaceFrame], max_keyframes: int) -> list[FaceFrame]:
    """The most frontal good frame first, then those that add new views, at most `max_keyframes`.

    Raises `NoFaceError` when there is no candidate, `FaceTooSmallError` when all faces are too small.
    """
    if not candidates:
        raise NoFaceError(
            "No face was found: please look into the camera in good light, the whole head in view."
        )
    candidates = [c for c in candidates if c.face.height_px >= MIN_FACE_HEIGHT_PX]
    if not candidates:
        raise FaceTooSmallError(
            f"The face is less than {MIN_FACE_HEIGHT_PX} pixels high: please come closer."
        )
    quality = np.array([c.quality for c in candidates])
    quality = quality / quality.max()
    views = np.stack([c.view for c in candidates])
    chosen = [int(np.argmax(quality / (1.0 + (np.linalg.norm(views, axis=1) / 8.0) ** 2)))]
    while len(chosen) < min(max_keyframes, len(candidates)):
        distance = np.linalg.norm(views[:, None] - views[None, chosen], axis=-1).min(axis=1)
        gain = quality * np.minimum(distance / FULL_VIEW_DEG, 1.0)
        gain[chosen] = -1.0
        best = int(np.argmax(gain))
        if len(chosen) >= MIN_KEYFRAMES and distance[best] < NEW_VIEW_DEG:
            break
        chosen.append(best)
    return [candidates[i] for i in chosen]


def _same_person(faces: list[Face], previous: Face | None) -> Face:
    """The largest face, unless another one of comparable size continues the face of the frame before."""
    if previous is None or len(faces) == 1:
        return faces[0]
    rivals = [face for face in faces if face.size_px >= COMPARABLE_FACE * faces[0].size_px]
    return min(rivals, key=lambda face: np.linalg.norm(face.points.mean(0) - previous.points.mean(0)))


def _eyes_open(face: Face) -> float:
    return 1.0 - max(face.scores.get("eyeBlinkLeft", 0.0), face.scores.get("eyeBlinkRight", 0.0))


def _sharpness(rgb: np.ndarray, face: Face) -> float:
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
