"""Wrinkles and age spots on studio textures, and the small differences between the two sides of a face."""

from __future__ import annotations

import numpy as np

from .painting import blur, draw_path, smooth_noise

# Curves through MediaPipe's landmarks on the person's right, and their mirror images.
NASOLABIAL = ((129, 203, 206, 216, 212), (358, 423, 426, 436, 432))
UNDER_EYE = ((31, 228, 229, 230, 231, 232), (261, 448, 449, 450, 451, 452))
EYE_CORNERS = ((33, 133), (263, 362))  # outer, inner
BROW_LINE = (105, 66, 107, 9, 336, 296, 334)
HAIR_LINE = (103, 67, 109, 10, 338, 297, 332)
FROWN = (((107, 55), (9, 8)), ((336, 285), (9, 8)))
CREASE = np.array([0.55, 0.85, 1.0], np.float32)  # how a crease darkens red, green and blue
WARP_CELLS, WARP_SHARE = 5, 0.006  # bumps across, and root mean square of the displacement over the width


def paint_wrinkles(
    texture: np.ndarray, masks, rng: np.random.Generator, age: float | None = None
) -> np.ndarray:
    """Creases where a face folds, deeper and more of them with `age` in [0, 1] (random if None), and age spots.

    texture: (H, W, 3) float32 sRGB; masks: `StudioMasks` of its size. Even light leaves no shadow in a crease: it
    shows as a fine darker, redder line with a soft valley around it.
    """
    age = rng.uniform(0.15, 1) if age is None else age
    size, marks = texture.shape[0], masks.landmarks
    fine, deep = np.zeros((2, size, size), np.float32)
    for points, depth, bold in _creases(marks, rng, age):
        points = points + rng.normal(0, 0.0015 * size, points.shape)
        ends = np.sin(np.linspace(0.12, 0.88, len(points)) * np.pi)  # they fade out at both ends
        draw_path(deep if bold else fine, points, depth * ends, size / 512 * (2 if bold else 1))
    dose = blur(fine, 0.0012) * 0.5 + blur(deep, 0.002) * 0.7 + blur(deep + 0.5 * fine, 0.010) * 0.8
    dose = dose * (0.3 + 0.5 * age) * masks.skin * (1 - masks.lips)
    out = texture * np.exp(-CREASE * dose[..., None])
    return _spots(out, masks, rng, age) if rng.random() < age else out


def make_asymmetric(texture: np.ndarray, masks, rng: np.random.Generator) -> np.ndarray:
    """Bend the face a little, differently left and right, and tan one side more.

    Nothing moves near the borders of the charts: the layout stays what it is.
    """
    import cv2

    size = texture.shape[0]
    field = np.stack([smooth_noise(rng, size, WARP_CELLS) for _ in range(2)], -1)
    field = (field - field[:, ::-1] * (-1, 1)) / np.sqrt(
        2
    )  # what is mirror-symmetric would be another person
    strength = rng.uniform(0.4, 1.2) * WARP_SHARE * size * blur(_middle(masks), 0.04)
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1) + field * strength[..., None]
    bent = cv2.remap(texture, grid.astype(np.float32), None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    side = np.linspace(-1, 1, size, dtype=np.float32) * rng.normal(0, 0.035)
    tan = np.exp(-side[None, :, None] * np.array([0.5, 0.75, 1.0], np.float32))
    return np.clip(bent * tan, 0, 1).astype(np.float32)


def _creases(marks: np.ndarray, rng, age: float):
    """Yield (points (N, 2), depth, bold) of every crease of a face of this age."""
    for fold in NASOLABIAL:
        yield marks[list(fold)], rng.uniform(0.4, 1) * age, True
    for bag in UNDER_EYE:
        for step in range(rng.integers(1, 3)):
            below = (0, 0.012 * step * np.ptp(marks[:, 0]))
            yield marks[list(bag)] + below, rng.uniform(0.3, 0.9) * age, False
    brow, hair = marks[list(BROW_LINE)], marks[list(HAIR_LINE)]
    for share in np.linspace(0.25, 0.75, rng.integers(0, 2 + round(3 * age))):
        first, last = sorted(rng.choice(7, 2, replace=False))
        if last - first >= 3:
            line = brow + (hair - brow) * (share + rng.normal(0, 0.03))
            yield line[first : last + 1], rng.uniform(0.3, 1) * age, rng.random() < 0.3
    for near, middle in FROWN:
        if rng.random() < 0.6 * age:
            yield 0.6 * marks[list(near)] + 0.4 * marks[list(middle)], rng.uniform(0.4, 1) * age, True
    for outer, inner in EYE_CORNERS:
        eye = marks[outer] - marks[inner]
        for angle in np.radians(np.linspace(-30, 35, rng.integers(1, 2 + round(3 * age)))):
            turned = eye @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
            reach = np.linspace(0.3, rng.uniform(0.55, 0.9), 4)[:, None]
            yield marks[outer] + turned * reach, rng.uniform(0.4, 1) * age, False


def _spots(texture, masks, rng, age: float) -> np.ndarray:
    """Pale brown spots with ragged borders."""
    size = texture.shape[0]
    ragged = smooth_noise(rng, size, 70) + 0.8 * smooth_noise(rng, size, 20)
    spots = np.clip(ragged - 3.8, 0, 1) * masks.skin * (1 - masks.lips)
    return texture * np.exp(-blur(spots, 0.003)[..., None] * np.array([0.15, 0.28, 0.38], np.float32) * age)


def _middle(masks) -> np.ndarray:
    """(H, W) one on the face, zero towards its outline, the ears and other charts."""
    import cv2

    size = len(masks.skin)
    hull = cv2.convexHull(np.round(masks.landmarks).astype(np.int32))
    face = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(face, hull, 1)
    return cv2.erode(face, np.ones((3, 3), np.uint8), iterations=max(size // 24, 1), borderValue=0).astype(
        np.float32
    )
