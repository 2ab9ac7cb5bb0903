"""What the frames of a capture say about its light beside the face: things of known color, and the surroundings.

A face alone does not tell dark skin in bright light from light skin in dim light. The whites of the eyes and the teeth are
much alike in all people and stand in the same light; the surroundings tell what the phone exposed for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from studio_avatar.head.landmark_ids import CHIN, FOREHEAD
from studio_avatar.imaging.color import luma

# MediaPipe landmarks: outlines of the openings of right and left eye and of the mouth, and the irises' middle and rim.
EYES = (
    (
        (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
        468,
        (469, 470, 471, 472),
    ),
    (
        (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
        473,
        (474, 475, 476, 477),
    ),
)
CHEEKS = ((50, 101, 205), (280, 330, 425))  # three landmarks around the middle of each
MOUTH = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
IRIS_MARGIN = 1.2  # over the iris' radius: the limbus is dark
BRIGHT = (0.6, 0.9)  # quantiles of brightness that count: above are highlights, below lashes and shadow
MIN_PIXELS = 16  # of the white of the eyes in a frame
# Of the whites of the eyes: brightness and saturation over the cheeks. Half white and half lid have about that saturation.
DARKEST_WHITE, MOST_COLORED = 0.72, 0.6
OPEN_MOUTH = 0.02  # height of the opening over face height from which teeth are looked for
HEAD_ELLIPSE = (1.15, 1.25)  # half axes over face height around which the surroundings begin
SURROUNDINGS_SIDE = 96  # pixels of the picture in which they are measured
CLIPPED, DARK = 0.98, 0.06  # of full scale
GRAY, PALE = 0.012, 0.10  # mean chroma of pictures without color, and of log footage
FLAT, LIFTED = 0.5, 0.12  # range and black level of log footage
MOSTLY_DARK = 0.6  # share of the face below DARK
# Against the light: brightness of the face (its median) up to which, and how much brighter the surroundings' median is.
BACKLIT_FACE, BACKLIGHT = 0.15, 2.5
VECTOR_SIZE = 20


@dataclass(frozen=True)
class SceneStatistics:
    """Measurements in the capture's own sRGB-encoded values, [0, 1].

    sclera: (3,) bright part of the whites of the eyes, median over the frames, or None. teeth: (3,) the same of the teeth.
    surroundings: (3,) mean color around the head, or None where the head fills the picture. levels: (3,) 10 %, 50 % and
    90 % quantiles of their brightness. blown: share of them above 97 %.
    clipped, dark: shares of the seen face above 98 % and below 6 % of full scale, from the phone texture.
    level: median brightness of the seen face, from the phone texture.
    chroma: mean of the largest less the smallest channel over the frames; 0 is a gray picture. face_chroma: the same over
    the seen face, which may be small before a gray wall.
    contrast: 2 % and 98 % quantiles of the frames' brightness.
    """

    sclera: tuple[float, float, float] | None = None
    teeth: tuple[float, float, float] | None = None
    surroundings: tuple[float, float, float] | None = None
    levels: tuple[float, float, float] = (0.0, 0.0, 0.0)
    blown: float = 0.0
    clipped: float = 0.0
    dark: float = 0.0
    level: float = 1.0
    chroma: float = 1.0
    face_chroma: float = 0.0
    contrast: tuple[float, float] = (0.0, 1.0)

    @property
    def doubt(self) -> str | None:
        """Why the pictures say next to nothing of skin tone, as a sentence; None where they do."""
        low, high = self.contrast
        if max(self.chroma, self.face_chroma) < GRAY:
            return "The pictures have no color: choose the skin tone."
        if high - low < FLAT and self.chroma < PALE and low > LIFTED:
            return "The pictures look flat and pale, like log footage: convert them, or choose the skin tone."
        if self.dark > MOSTLY_DARK:
            return "The face is nearly black: film in more light, or choose the skin tone."
        if self._backlit and self.sclera is None:
            return "The face is dark before bright surroundings: film with the light in front, or choose the skin tone."
        return None

    @property
    def _backlit(self) -> bool:
        """Light skin far under and dark skin then look alike, unless the whites of the eyes tell by how much."""
        around = self.surroundings is not None and self.levels[1] > BACKLIGHT * self.level
        return around and self.level < BACKLIT_FACE

    @property
    def vector(self) -> np.ndarray:
        """(VECTOR_SIZE,) float32 as the tone estimator takes it: values, each group with a 1 where it is known."""
        parts = [self.sclera or (0, 0, 0), [self.sclera is not None]]
        around = self.surroundings is not None
        parts += [
            self.levels if around else (0, 0, 0),
            self.surroundings or (0, 0, 0),
            [self.blown if around else 0, around],
        ]
        parts += [self.teeth or (0, 0, 0), [self.teeth is not None], [self.clipped, self.dark]]
        values = np.concatenate([np.asarray(part, np.float32) for part in parts])
        return np.pad(values, (0, VECTOR_SIZE - len(values)))


def measure_scene(
    pictures: Sequence[np.ndarray], points: Sequence[np.ndarray], rgb, visibility, face
) -> SceneStatistics:
    """Measure the key frames of a capture.

    Args:
        pictures: K frames, uint8 (H, W, 3) sRGB. points: K times (478, 2) landmarks in pixels.
        rgb, visibility: the phone texture (S, S, 3) in [0, 1] and (S, S) in [0, 1]. face: (S, S) bool, texels of the face.
    """
    frames = list(zip(pictures, points, strict=True))
    around = [_surroundings(picture, marks) for picture, marks in frames]
    around = [pixels for pixels in around if len(pixels)]
    seen = rgb[face & (visibility > 0.3)]
    brightest = seen.max(-1) if len(seen) else np.zeros(1, np.float32)
    known = {"clipped": float((brightest > CLIPPED).mean()), "dark": float((brightest < DARK).mean())}
    if len(seen):
        known["level"] = float(np.median(luma(seen)))
        known["face_chroma"] = float(np.ptp(seen, axis=-1).mean())
    if around:
        pixels = np.concatenate(around)
        brightness = luma(pixels)
        known["surroundings"] = tuple(map(float, pixels.mean(0)))
        known["levels"] = tuple(map(float, np.quantile(brightness, (0.1, 0.5, 0.9))))
        known["blown"] = float((brightness > 0.97).mean())
    small = [picture[::8, ::8].astype(np.float32) / 255 for picture in pictures]
    brightness = np.concatenate([luma(picture).ravel() for picture in small])
    chroma = float(np.mean([np.ptp(picture, axis=-1).mean() for picture in small]))
    return SceneStatistics(
        sclera=_median([_sclera(*frame) for frame in frames]),
        teeth=_median([_teeth(*frame) for frame in frames]),
        chroma=chroma,
        contrast=tuple(map(float, np.quantile(brightness, (0.02, 0.98)))),
        **known,
    )


def _median(colors) -> tuple[float, float, float] | None:
    found = [color for color in colors if color is not None]
    return tuple(map(float, np.median(found, 0))) if found else None


def _sclera(picture, marks):
    """(3,) of one frame: both eyes together, or None where too little is open.

    In narrow eyes lashes and lids are all there is: what is no lighter and no less colored than the cheeks is no white.
    """
    pixels = []
    for outline, middle, rim in EYES:
        mask, crop = _filled(picture, marks[list(outline)])
        radius = np.linalg.norm(marks[list(rim)] - marks[middle], axis=1).mean()
        y, x = np.mgrid[crop]
        iris = np.hypot(x + 0.5 - marks[middle][0], y + 0.5 - marks[middle][1]) < IRIS_MARGIN * radius
        pixels.append(picture[crop][mask & ~iris])
    white = _bright(np.concatenate(pixels))
    cheeks = np.concatenate(
        [picture[_filled(picture, marks[list(cheek)])[1]].reshape(-1, 3) for cheek in CHEEKS]
    )
    skin = _bright(cheeks)
    if white is None or skin is None:
        return None
    is_white = (
        luma(white) > DARKEST_WHITE * luma(skin)
        and _saturation(white) < MOST_COLORED * _saturation(skin) + 0.02
    )
    return white if is_white else None


def _saturation(color) -> float:
    return float(1 - color.min() / max(color.max(), 1e-3))


def _teeth(picture, marks):
    """(3,) of one frame, or None with a closed mouth or none in sight."""
    height = np.linalg.norm(marks[FOREHEAD] - marks[CHIN])
    if np.linalg.norm(marks[13] - marks[14]) < OPEN_MOUTH * height:
        return None
    mask, crop = _filled(picture, marks[list(MOUTH)])
    color = _bright(picture[crop][mask])
    # Lips and tongue are red; a dark mouth shows nothing.
    return color if color is not None and color[1] > 0.75 * color[0] and color.max() > 0.25 else None


def _filled(picture, outline):
    """Mask of a polygon in its bounding box, and the box as two slices."""
    low = np.maximum(np.floor(outline.min(0)).astype(int), 0)
    high = np.minimum(np.ceil(outline.max(0)).astype(int) + 1, (picture.shape[1], picture.shape[0]))
    size = np.maximum(high - low, 0)
    mask = np.zeros((size[1], size[0]), np.uint8)
    if mask.size:
        cv2.fillPoly(mask, [np.rint((outline - low - 0.5) * 16).astype(np.int32)], 1, shift=4)
    return mask.astype(bool), (slice(low[1], low[1] + size[1]), slice(low[0], low[0] + size[0]))


def _bright(pixels):
    """Mean (3,) of the pixels between the quantiles `BRIGHT` of brightness, [0, 1]; None of too few."""
    if len(pixels) < MIN_PIXELS:
        return None
    pixels = pixels.astype(np.float32) / 255
    brightness = luma(pixels)
    low, high = np.quantile(brightness, BRIGHT)
    return pixels[(brightness >= low) & (brightness <= high)].mean(0)


def _surroundings(picture, marks):
    """(N, 3) colors in [0, 1] of a small picture outside of an ellipse around the head, above the chin."""
    scale = SURROUNDINGS_SIDE / max(picture.shape[:2])
    small = (
        cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    )
    forehead, chin = marks[FOREHEAD] * scale, marks[CHIN] * scale
    height = np.linalg.norm(chin - forehead)
    y, x = np.mgrid[: small.shape[0], : small.shape[1]] + 0.5
    middle = forehead * 0.6 + chin * 0.4
    outside = np.hypot((x - middle[0]) / HEAD_ELLIPSE[0], (y - middle[1]) / HEAD_ELLIPSE[1]) > height
    pixels = small[outside & (y < chin[1])]
    return pixels if len(pixels) >= MIN_PIXELS else pixels[:0]
