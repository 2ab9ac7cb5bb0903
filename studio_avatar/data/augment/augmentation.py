"""More people out of few: color, brows, beard, hair, freckles, wrinkles, make-up, asymmetry and mixed features.

All paint is drawn in texture space around MediaPipe's landmarks, so it needs the head's layout and nothing
else. Geometry that does not change between calls is made once in `studio_masks`.

`python -m tools.draw_augmented --data DATA --prepared RUNS/data --out docs/augmented.jpg` draws 64 samples.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from studio_avatar.head.landmark_ids import CHIN, FOREHEAD
from studio_avatar.head.layout import landmark_uv, region_mask, texel_map, texel_positions
from studio_avatar.imaging.color import srgb_to_linear
from studio_avatar.imaging.ramps import smoothstep
from studio_avatar.pipeline import skin_tone

from .ageing import make_asymmetric, paint_wrinkles
from .makeup import paint_makeup
from .painting import blend, blur, lay, smooth_noise

# How melanin and hemoglobin darken red, green and blue light, as -log(linear light) per unit of dose.
MELANIN = np.array(skin_tone.MELANIN, np.float32)
HEMOGLOBIN = np.array([0.10, 0.85, 0.70], np.float32)
SHEET_SAMPLES = 64
TYPOLOGY_ANGLE_RANGE = (-58.0, 62.0)  # individual typology angle of human skin [degrees]
# CIELAB hue angle of cheeks [degrees]: the studio set's 44 to 63 and a little more. Below it looks like pink paint,
# above it green.
HUE_RANGE = (38.0, 66.0)
NOT_SKIN = ("eyeball_left", "eyeball_right", "teeth", "tongue", "mouth")

# MediaPipe landmarks: (upper edge, lower edge) of a brow from its inner to its outer end.
RIGHT_BROW = ((107, 66, 105, 63, 70), (55, 65, 52, 53, 46))
LEFT_BROW = ((336, 296, 334, 293, 300), (285, 295, 282, 283, 276))
BEARD = (
    234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454,
    447, 376, 411, 425, 423, 327, 2, 98, 203, 205, 187, 147, 227,
)  # fmt: skip
UPPER_LIP_ROOM, FACE_CENTER = 164, 6
FEATURES = {
    "nose": (6, 98, 327, 4),
    "mouth": (164, 61, 291, 199),
    "eyes": (70, 300, 117, 346),
    "chin": (17, 176, 400),
}

HAIR_COLORS = np.array(
    [[0.07, 0.06, 0.055], [0.13, 0.09, 0.07], [0.24, 0.16, 0.11], [0.36, 0.25, 0.16], [0.55, 0.42, 0.27],
     [0.45, 0.20, 0.10], [0.55, 0.53, 0.51]], np.float32,
)  # fmt: skip


@dataclass(frozen=True)
class StudioMasks:
    """Layout geometry for painting at one texture size; float32 (H, W) in [0, 1] unless said otherwise.

    skin: everything that has blood and melanin; cheek: bool, for measuring skin tone; beard: where a beard
    grows; hairline: height above a common hairline in meters, far below zero on the ears; lips;
    beard_strokes, hair_strokes: (3, H, W) drawn hair; landmarks: (468, 2) texels; features: name -> soft
    blob; covered: bool, the texels that a chart covers.
    """

    skin: np.ndarray
    cheek: np.ndarray
    beard: np.ndarray
    hairline: np.ndarray
    lips: np.ndarray
    beard_strokes: np.ndarray
    hair_strokes: np.ndarray
    landmarks: np.ndarray
    features: dict[str, np.ndarray]
    covered: np.ndarray


_CACHE: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def studio_masks(head, size: int) -> StudioMasks:
    """The `StudioMasks` of `head` at `size`; made once per head object and size."""
    per_size = _CACHE.setdefault(head, {})
    if size not in per_size:
        per_size[size] = _make_masks(head, size)
    return per_size[size]


def augment_studio(
    texture: np.ndarray,
    masks: StudioMasks,
    rng: np.random.Generator,
    other: np.ndarray | None = None,
    bare: bool = False,
) -> np.ndarray:
    """Another plausible studio texture.

    Args:
        texture: (H, W, 3) float32 sRGB in [0, 1], layout head-v1, of the masks' size.
        other: a second subject's texture, from which some features may be mixed in.
        bare: the texture has no brows and no hair (MakeHuman): brows are always painted, hair and beard
        often.

    Returns:
        (H, W, 3) float32 sRGB, gutters not refilled.
    """
    out = np.asarray(texture, np.float32)
    if other is not None and rng.random() < 0.6:
        out = mix_features(out, other, masks, rng)
    if bare:
        out = paint_brows(out, masks, rng)
    out = shift_pigment(out, masks, rng)
    # Dark hair on dark skin, any hair on light skin; gray comes with any of them.
    brightness = out[masks.cheek].mean()
    hair = HAIR_COLORS[rng.integers(0, 2) if brightness < 0.45 else rng.integers(0, len(HAIR_COLORS))]
    hair = np.clip(hair * rng.uniform(0.8, 1.2), 0, 1)
    bearded = rng.random() < (0.35 if bare else 0.1)
    if bearded:
        out = paint_beard(out, masks, rng, hair)
    if rng.random() < (0.6 if bare else 0.1):
        out = paint_scalp_hair(out, masks, rng, hair)
    if rng.random() < 0.35:
        out = paint_freckles(out, masks, rng)
    if rng.random() < 0.3:
        out = paint_wrinkles(out, masks, rng)
    if not bearded and rng.random() < 0.25:
        out = paint_makeup(out, masks, rng)
    if rng.random() < 0.6:
        out = make_asymmetric(out, masks, rng)
    out = texture + masks.skin[..., None] * (out - texture)
    if rng.random() < 0.5:
        out = out[:, ::-1]
    return np.ascontiguousarray(np.clip(out, 0, 1), np.float32)


def shift_pigment(texture: np.ndarray, masks: StudioMasks, rng: np.random.Generator) -> np.ndarray:
    """More or less melanin and blood, inside the range of human skin, with patches of redness."""
    melanin, blood = rng.normal(0, 0.3), rng.normal(0, 0.08)
    patches = rng.uniform(0, 0.12) * _centered(smooth_noise(rng, texture.shape[0], 6), masks.cheek)
    flush = np.exp(-HEMOGLOBIN / 2.2 * patches[..., None])
    tone = np.median(texture[masks.cheek], 0)
    for _ in range(6):
        if is_human(tone * _transmission(melanin, blood)):
            break
        melanin, blood = melanin / 2, blood / 2
    factor = _transmission(melanin, blood) * flush
    skin = masks.skin[..., None]
    return texture * (1 + skin * (factor - 1))


def is_human(rgb: np.ndarray) -> bool:
    """Whether one sRGB color (3,) can be that of a human cheek in white light."""
    low, high = TYPOLOGY_ANGLE_RANGE
    return low < typology_angle(rgb) < high and HUE_RANGE[0] < hue_angle(rgb) < HUE_RANGE[1]


def typology_angle(rgb: np.ndarray) -> float:
    """Individual typology angle (ITA) of one sRGB color (3,), degrees; light skin is above 41, dark below
    -30.
    """
    lightness, _, b = _lab(rgb)
    return float(np.degrees(np.arctan2(lightness - 50, b)))


def hue_angle(rgb: np.ndarray) -> float:
    """CIELAB hue of one sRGB color (3,), degrees; 0 is red, 90 yellow."""
    _, a, b = _lab(rgb)
    return float(np.degrees(np.arctan2(b, a)))


def mix_features(texture, other, masks: StudioMasks, rng: np.random.Generator) -> np.ndarray:
    """Take some features from `other`, in this texture's tone, without a seam."""
    names = rng.choice(list(masks.features), size=rng.integers(1, 3), replace=False)
    return blend(texture, other, np.clip(sum(masks.features[name] for name in names), 0, 1))


def paint_brows(texture, masks: StudioMasks, rng: np.random.Generator, color=None) -> np.ndarray:
    """Draw both eyebrows with single hairs over a soft shade; a random `color` (3,) sRGB if None."""
    size = texture.shape[0]
    if color is None:
        natural = HAIR_COLORS[rng.integers(0, 2 if texture[masks.cheek].mean() < 0.45 else 5)]
        color = np.clip(natural * rng.uniform(0.8, 1.3), 0, 0.6)
    thickness, density = rng.uniform(0.8, 1.7), rng.uniform(0.5, 1.0)
    layers = np.zeros((4, size, size), np.float32)
    for upper, lower in (RIGHT_BROW, LEFT_BROW):
        roots, tips = _brow_hairs(
            masks.landmarks[list(upper)], masks.landmarks[list(lower)], thickness, density, rng
        )
        _draw_hairs(layers, roots, tips)
    hairs = 1 - np.prod(1 - 0.45 * layers, 0)
    shade = blur(hairs, 0.007)
    alpha = np.clip(0.75 * hairs + 0.5 * shade, 0, 0.92) * rng.uniform(0.7, 1.0)
    return lay(texture, alpha, color)


def paint_beard(texture, masks: StudioMasks, rng: np.random.Generator, color: np.ndarray) -> np.ndarray:
    """Anything from a bluish shadow of stubble to a full beard."""
    strokes = _pick(masks.beard_strokes, rng)
    patchy = np.clip(0.9 + 0.15 * smooth_noise(rng, texture.shape[0], 10), 0, 1)
    area = masks.beard * patchy
    if rng.random() < 0.6:  # stubble: the skin shines through between the hairs
        alpha = area * rng.uniform(0.15, 0.45) * (0.45 + 0.55 * strokes)
        color = 0.7 * color + 0.3 * np.array([0.20, 0.22, 0.25], np.float32)
        return lay(texture, alpha, color)
    alpha = smoothstep(area + 0.5 * (strokes - 0.5), 0.2, 0.8) * rng.uniform(0.75, 1.0)
    return lay(texture, alpha, color * (0.7 + 0.7 * strokes[..., None]))


def paint_scalp_hair(texture, masks: StudioMasks, rng: np.random.Generator, color: np.ndarray) -> np.ndarray:
    """Short hair above a smooth, slightly wavy hairline."""
    strokes = _pick(masks.hair_strokes, rng)
    line = masks.hairline + 0.005 * smooth_noise(rng, texture.shape[0], 10) + rng.uniform(-0.015, 0.008)
    soft = rng.uniform(0.004, 0.014)
    edge = smoothstep(line + 0.3 * soft * (strokes - 0.5), -soft, soft)
    alpha = edge * rng.uniform(0.55, 1.0) * (0.75 + 0.25 * strokes)
    shine = (
        color
        * (0.6 + 0.8 * strokes[..., None])
        * (1 + 0.15 * smooth_noise(rng, texture.shape[0], 5)[..., None])
    )
    return lay(texture, alpha, np.clip(shine, 0, 1))


def paint_freckles(texture, masks: StudioMasks, rng: np.random.Generator) -> np.ndarray:
    """Freckles on nose and cheeks, or a few moles anywhere on the face."""
    import cv2

    size = texture.shape[0]
    dots = np.zeros((size, size), np.float32)
    face = masks.landmarks
    freckled = rng.random() < 0.5
    spread = np.linalg.norm(face[CHIN] - face[FOREHEAD]) / 2
    count = rng.integers(60, 260) if freckled else rng.integers(1, 8)
    center = face[195 if freckled else FACE_CENTER]
    places = center + rng.normal(0, 1, (count, 2)) * spread * ((0.45, 0.2) if freckled else (0.5, 0.5))
    radius = rng.uniform(0.4, 1.1, count) if freckled else rng.uniform(0.8, 2.2, count)
    for (x, y), r in zip(places, radius * size / 512, strict=True):
        cv2.circle(
            dots,
            (round(x * 16), round(y * 16)),
            round(r * 16),
            float(rng.uniform(0.3, 1)),
            -1,
            cv2.LINE_AA,
            4,
        )
    dots = (
        cv2.GaussianBlur(dots, (0, 0), 0.6 * size / 512)
        * masks.skin
        * (rng.uniform(0.1, 0.35) if freckled else 0.6)
    )
    return texture * np.exp(-MELANIN * dots[..., None] * (1 - masks.lips[..., None]))


# ------------------------------------------------------------------------------------------------
# Inside
# ------------------------------------------------------------------------------------------------


def _make_masks(head, size: int) -> StudioMasks:
    import cv2

    landmarks = (landmark_uv(head) * size).astype(np.float32)
    covered = texel_map(head, size).covered
    lips = blur(region_mask(head, size, "lips").astype(np.float32), 0.003)
    beard = np.zeros((size, size), np.float32)
    cv2.fillPoly(beard, [np.round(landmarks[list(BEARD)]).astype(np.int32)], 1.0)
    beard = blur(beard, 0.014) * (1 - np.clip(lips * 1.5, 0, 1))
    rng = np.random.default_rng(0)
    center = landmarks[FACE_CENTER]
    features = {name: _feature(landmarks[list(points)], size) for name, points in FEATURES.items()}
    return StudioMasks(
        skin=(~region_mask(head, size, *NOT_SKIN)).astype(np.float32),
        cheek=_cheek(landmarks, size),
        beard=beard,
        hairline=_hairline(head, size),
        lips=lips,
        beard_strokes=_strokes(size, rng, lambda p: (p - center) * (0.5, 0.2) + (0, 0.25 * size), 0.012),
        hair_strokes=_strokes(size, rng, lambda p: p - center, 0.045),
        landmarks=landmarks,
        features=features,
        covered=covered,
    )


def _hairline(head, size: int) -> np.ndarray:
    """Height of each texel above a line around the head: forehead, temple, sideburn, behind the ear, nape."""
    import torch

    with torch.no_grad():
        marks = head.landmarks(head.neutral).numpy()
    texels = texel_map(head, size)
    place = texel_positions(texels, head, head.neutral.cpu().numpy())
    forehead, brow, ear_front, lobe = marks[10, 1], marks[105, 1], marks[127, 1], marks[58, 1]
    behind = place[..., 2] - marks[127, 2]  # ahead of (+) or behind (-) the front edge of the ear [m]
    knots = np.array([-0.13, -0.06, -0.03, 0.0, 0.012, 0.03, marks[10, 2] - marks[127, 2]])
    heights = [
        lobe - 0.015,
        lobe,
        ear_front,
        ear_front - 0.01,
        ear_front + 0.01,
        brow + 0.02,
        forehead + 0.012,
    ]
    line = place[..., 1] - np.interp(behind, knots, heights)
    ears = blur(region_mask(head, size, "ears").astype(np.float32), 0.006)
    return blur(texels.filled((line - 0.2 * ears).astype(np.float32)), 0.004)


def _cheek(landmarks, size) -> np.ndarray:
    """Texels of both cheeks, bool."""
    import cv2

    mask = np.zeros((size, size), np.uint8)
    for polygon in ((50, 118, 101, 205), (280, 347, 330, 425)):
        cv2.fillConvexPoly(mask, cv2.convexHull(np.round(landmarks[list(polygon)]).astype(np.int32)), 1)
    return mask.astype(bool)


def _feature(points, size) -> np.ndarray:
    """A soft ellipse around some landmarks, mirrored so that both sides are in it."""
    low, high = points.min(0), points.max(0)
    half = np.maximum((high - low) / 2 * 1.15, 0.03 * size)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    center = (low + high) / 2
    radius = np.hypot((x - center[0]) / half[0], (y - center[1]) / half[1])
    return smoothstep(radius, 1.35, 0.8).astype(np.float32)


def _strokes(size: int, rng, direction, length: float, variants: int = 3) -> np.ndarray:
    """(variants, H, W) hair along a direction field, brightness 0..1 with mean about one half."""
    import cv2

    fields = []
    for _ in range(variants):
        canvas = np.full((size, size), 0.5, np.float32)
        count = int(2.0 / (length * (1.2 / size)))
        roots = rng.uniform(0, size, (count, 2))
        along = np.asarray([direction(p) for p in roots])
        along = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6) + rng.normal(
            0, 0.22, roots.shape
        )
        tips = roots + along * (length * size * rng.uniform(0.5, 1.5, (count, 1)))
        shades = np.clip(rng.normal(0.5, 0.28, count), 0, 1)
        for a, b, shade in zip(
            np.round(roots * 16).astype(int), np.round(tips * 16).astype(int), shades, strict=True
        ):
            cv2.line(canvas, tuple(map(int, a)), tuple(map(int, b)), float(shade), 1, cv2.LINE_AA, 4)
        fields.append(canvas)
    return np.stack(fields)


def _brow_hairs(upper, lower, thickness: float, density: float, rng) -> tuple[np.ndarray, np.ndarray]:
    """Roots and tips (N, 2) in texels of one brow; edges (5, 2) run from the inner to the outer end."""
    count = int(260 * density)
    along = rng.beta(1.05, 1.15, count)
    taper = thickness * np.interp(along, [0, 0.15, 0.6, 1], [0.8, 1.0, 0.8, 0.25])
    across = 0.5 + (rng.beta(2, 2, count) - 0.5) * taper  # 0 = lower edge, 1 = upper edge
    knots = np.linspace(0, 1, 5)

    def on(edge, t):
        return np.stack([np.interp(t, knots, edge[:, i]) for i in range(2)], 1)

    low, high = on(lower, along), on(upper, along)
    roots = low + (high - low) * across[:, None]
    tangent = on((upper + lower) / 2, np.minimum(along + 0.1, 1)) - on(
        (upper + lower) / 2, np.maximum(along - 0.1, 0)
    )
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-6)
    rise = (high - low) / np.maximum(np.linalg.norm(high - low, axis=1, keepdims=True), 1e-6)
    # Hairs stand up at the inner end and lie down along the brow towards the tail; upper hairs lean
    # downwards.
    upright = np.interp(along, [0, 0.25, 1], [1.3, 0.5, 0.05])[:, None] - 0.8 * (across[:, None] - 0.4)
    lean = tangent + rise * upright + rng.normal(0, 0.15, roots.shape)
    lean /= np.linalg.norm(lean, axis=1, keepdims=True)
    length = np.linalg.norm(upper - lower, axis=1).mean() * rng.uniform(0.45, 0.9, (count, 1))
    return roots, roots + lean * length


def _draw_hairs(layers: np.ndarray, roots, tips) -> None:
    """Draw hair i into layer i mod L, so that crossing hairs add up."""
    import cv2

    for i, (a, b) in enumerate(
        zip(np.round(roots * 16).astype(int), np.round(tips * 16).astype(int), strict=True)
    ):
        cv2.line(layers[i % len(layers)], tuple(map(int, a)), tuple(map(int, b)), 1.0, 1, cv2.LINE_AA, 4)


def _pick(strokes: np.ndarray, rng) -> np.ndarray:
    field = strokes[rng.integers(len(strokes))]
    return field[:, ::-1] if rng.random() < 0.5 else field


def _centered(noise: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Noise whose median over `mask` is zero: patches must not shift the tone that was checked."""
    return noise - np.median(noise[mask])


def _lab(rgb: np.ndarray) -> tuple[float, float, float]:
    """One sRGB color (3,) in CIELAB, D65."""
    linear = srgb_to_linear(np.asarray(rgb, np.float32)).astype(np.float64)
    return tuple(skin_tone.linear_to_lab(torch.from_numpy(linear)).tolist())


def _transmission(melanin: float, blood: float) -> np.ndarray:
    """Factor on sRGB-encoded values, (3,); the encoding is close to a power of 1/2.2."""
    return np.exp(-(MELANIN * melanin + HEMOGLOBIN * blood) / 2.2).astype(np.float32)


# ------------------------------------------------------------------------------------------------
# The sheet of the documentation
# ------------------------------------------------------------------------------------------------


def sheet(textures: Iterable[np.ndarray], columns: int = 8, side: int = 128) -> np.ndarray:
    """Textures (H, H, 3) float32 sRGB side by side, uint8; their faces, without the charts at the upper border."""
    import cv2

    tiles = []
    for texture in textures:
        size = len(texture)
        face = texture[int(0.12 * size) : int(0.92 * size), int(0.10 * size) : int(0.90 * size)]
        tiles.append(cv2.resize(np.ascontiguousarray(face), (side, side), interpolation=cv2.INTER_AREA))
    rows = [np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)]
    return (np.concatenate(rows).clip(0, 1) * 255 + 0.5).astype(np.uint8)
