"""Make-up on studio textures: foundation, lipstick, eye shadow, eyeliner, blush."""

from __future__ import annotations

import numpy as np

from .painting import blur, draw_path, fill_polygon, lay

# MediaPipe landmarks; the right eye's list and, in the same order, its mirror image.
LIDS = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133),
    (263, 466, 388, 387, 386, 385, 384, 398, 362),
)  # the upper lid's edge from the outer to the inner corner
LIDS_BELOW = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133),
    (263, 249, 390, 373, 374, 380, 381, 382, 362),
)
SOCKETS = (
    (226, 247, 30, 29, 27, 28, 56, 190, 243),
    (446, 467, 260, 259, 257, 258, 286, 414, 463),
)  # the crease above the lid
CHEEKBONES = ((50, 117, 123), (280, 346, 352))
LIPSTICKS = np.array(
    [[0.60, 0.08, 0.12], [0.72, 0.25, 0.28], [0.45, 0.10, 0.16], [0.80, 0.38, 0.36], [0.55, 0.20, 0.30],
     [0.35, 0.14, 0.12]], np.float32,
)  # fmt: skip
SHADOWS = np.array(
    [[0.35, 0.24, 0.20], [0.25, 0.22, 0.24], [0.45, 0.30, 0.33], [0.28, 0.30, 0.42], [0.50, 0.38, 0.26]],
    np.float32,
)
LINER = np.array([0.06, 0.045, 0.045], np.float32)


def paint_makeup(texture: np.ndarray, masks, rng: np.random.Generator) -> np.ndarray:
    """Each kind of make-up with its own chance, from hardly visible to an evening out.

    texture: (H, W, 3) float32 sRGB; masks: `StudioMasks` of its size.
    """
    out = texture
    if rng.random() < 0.5:
        out = _foundation(out, masks, rng.uniform(0.2, 0.7))
    if rng.random() < 0.8:
        out = _lipstick(out, masks, rng)
    if rng.random() < 0.6:
        out = _eye_shadow(out, masks, rng)
    if rng.random() < 0.6:
        out = _eyeliner(out, masks, rng)
    if rng.random() < 0.5:
        out = _blush(out, masks, rng)
    return out


def _foundation(texture, masks, strength: float) -> np.ndarray:
    """Evens out blotches, and keeps pores and whatever is larger than a cheek."""
    blotches = blur(texture, 0.008) / np.maximum(blur(texture, 0.05), 0.02)
    # Brows, lips, nostrils and hair are no blotches.
    mild = np.exp(-((np.abs(np.log(np.maximum(blotches, 0.02))).max(-1) / 0.12) ** 2))[..., None]
    return texture * blotches ** (-strength * mild * (1 - masks.lips[..., None]))


def _lipstick(texture, masks, rng) -> np.ndarray:
    """The color of the stick with the lips' own light and dark."""
    color = np.clip(LIPSTICKS[rng.integers(len(LIPSTICKS))] * rng.uniform(0.8, 1.2), 0, 1)
    luma = texture.mean(-1, keepdims=True)
    lips = masks.lips > 0.5
    bump = luma / max(float(luma[lips].mean()), 0.05)
    return lay(texture, masks.lips * rng.uniform(0.3, 0.85), np.clip(color * bump, 0, 1))


def _eye_shadow(texture, masks, rng) -> np.ndarray:
    size, marks = texture.shape[0], masks.landmarks
    alpha = np.zeros((size, size), np.float32)
    reach = rng.uniform(0.7, 1.5)  # 1: up to the crease
    for lid, socket in zip(LIDS, SOCKETS):
        edge, crease = marks[list(lid)], marks[list(socket)]
        area = np.concatenate([edge, (edge + reach * (crease - edge))[::-1]])
        alpha = np.maximum(alpha, fill_polygon(size, area, 0.006))
    color = np.clip(SHADOWS[rng.integers(len(SHADOWS))] * rng.uniform(0.7, 1.3), 0, 1)
    color = np.minimum(color, texture[masks.cheek].mean(0) * 0.9)  # shadow, not chalk, on dark skin
    return lay(texture, alpha * rng.uniform(0.2, 0.7), color)


def _eyeliner(texture, masks, rng) -> np.ndarray:
    size, marks = texture.shape[0], masks.landmarks
    canvas = np.zeros((size, size), np.float32)
    wing, below = rng.uniform(0, 0.35), rng.random() < 0.4
    for upper, lower in zip(LIDS, LIDS_BELOW):
        edge = marks[list(upper)]
        outwards = (edge[0] - edge[-1]) * (1, 1.4)
        tail = edge[0] + wing * 0.5 * outwards + (0, -wing * 0.12 * size / 10)
        draw_path(
            canvas, np.concatenate([[tail], edge]), np.linspace(1, 0.6, 10), size / 512 * rng.uniform(1.5, 3)
        )
        if below:
            draw_path(canvas, marks[list(lower)], np.linspace(0.7, 0.2, 9), size / 512 * 1.3)
    return lay(texture, np.clip(blur(canvas, 0.0012) * rng.uniform(0.5, 0.95), 0, 1), LINER)


def _blush(texture, masks, rng) -> np.ndarray:
    size, marks = texture.shape[0], masks.landmarks
    alpha = sum(fill_polygon(size, marks[list(points)], 0.035) for points in CHEEKBONES)
    tint = np.array([0.02, 0.35, 0.25], np.float32) * rng.uniform(0.4, 1.2)
    return texture * np.exp(-np.clip(alpha * 1.6, 0, 1)[..., None] * tint)
