"""The color of a person's hair, from above to below, in the light that the studio texture stands in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.head.hair_styles import TEXTURE_MEAN
from studio_avatar.head.layout import region_mask
from studio_avatar.imaging.color import linear_to_srgb, luma, srgb_to_linear

from .views import HeadView

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

BANDS = 4  # heights at which the color is measured
LIT = (0.25, 0.85)  # quantiles of brightness that count: below is shadow between strands, above is gloss
MIN_PIXELS = 40  # in a band
SKIN_LIKE = (
    36  # distance of a pixel from the median of the face's skin, in 8-bit sRGB, up to which it may be skin
)
UNLIKE_SHARE = 0.35  # of the hair's pixels, below which hair is taken to have the color of skin
UNSEEN = (0.035, 0.025, 0.018)  # linear: dark brown, where the pictures say nothing
DARKEST, BRIGHTEST = 0.008, 0.9  # linear: black hair is no hole
DYED = 1.5  # blue over red, from which on hair is blue by itself
CHANGE = (0.6, 1.7)  # of a band's brightness over the whole: more is shadow or background
HUE_CHANGE = (0.98, 1.02)  # of a channel beside that: background and sky would color dark hair
GAIN = (0.25, 4.0)  # limits of what the phone's light is said to have changed
# Of the gain's hue, in logarithms: the skin's sheen is part of it, and would make gray hair blond.
HUE_SHARE = 0.5


def light_gain(head: HeadModel, phone: np.ndarray, seen: np.ndarray, studio: np.ndarray) -> np.ndarray:
    """(3,) factors in linear light that took the phone's light off the face: the studio texture's mean over the phone's.

    phone, studio: (H, H, 3) sRGB in [0, 1]. seen: (H, H) in [0, 1].
    """
    weight = (np.asarray(seen) * region_mask(head, len(phone), "face"))[..., None]
    if weight.sum() < 1:
        return np.ones(3)
    step = max(len(phone) // 256, 1)
    weight = weight[::step, ::step]
    sums = [(srgb_to_linear(t[::step, ::step]) * weight).sum((0, 1)) for t in (studio, phone)]
    gain = (sums[0] / np.maximum(sums[1], 1e-6)).clip(*GAIN)
    brightness = luma(sums[0]) / max(luma(sums[1]), 1e-6)
    return (gain**HUE_SHARE * brightness ** (1 - HUE_SHARE)).clip(*GAIN)


def hair_color(views: list[HeadView], gain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heights (BANDS,) meters in head space, upwards, and linear colors (BANDS, 3) there."""
    heights, colors = [], []
    for view in views:
        hair = _own_pixels(view)
        row, column = np.nonzero(hair)
        heights.append(view.height(np.stack([column + 0.5, row + 0.5], 1)))
        colors.append(srgb_to_linear(view.rgb[hair].astype(np.float32) / 255))
    height, color = (np.concatenate(parts) if parts else np.empty(0) for parts in (heights, colors))
    if len(height) < MIN_PIXELS:
        return np.linspace(-0.1, 0.15, BANDS), np.tile(np.float32(UNSEEN), (BANDS, 1))
    whole = _lit(color)
    edges = np.quantile(height, np.linspace(0, 1, BANDS + 1))
    bands = [
        color[(height >= low) & (height <= high)] for low, high in zip(edges[:-1], edges[1:], strict=True)
    ]
    found = np.stack([_lit(band) if len(band) >= MIN_PIXELS else whole for band in bands])
    brightness = (luma(found) / max(luma(whole), 1e-5))[:, None]
    hue = found / np.maximum(whole * brightness, 1e-6)
    found = whole * brightness.clip(*CHANGE) * hue.clip(*HUE_CHANGE)
    return 0.5 * (edges[:-1] + edges[1:]), _natural(found * gain)


def dyed(colors: np.ndarray, color: str) -> np.ndarray:
    """Linear colors (N, 3) with another mean: "auto" leaves them, "#rrggbb" (sRGB) dyes them."""
    if color == "auto":
        return colors
    wanted = srgb_to_linear(np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)], np.float32) / 255)
    brightness = luma(colors)[:, None]
    return (wanted * brightness / max(float(brightness.mean()), 1e-6)).clip(0, BRIGHTEST)


def _natural(colors: np.ndarray) -> np.ndarray:
    """Colors (N, 3) as bright as before, within what hair has: melanin leaves at most as much blue as green, and as much
    green as red, and where there is a little more, it is the sky's sheen."""
    brightness = luma(colors)[:, None]
    melanin = np.minimum.accumulate(colors, 1)
    colors = np.where(colors[:, 2:] < DYED * colors[:, :1], melanin, colors)
    wanted = brightness.clip(DARKEST, BRIGHTEST)
    return (colors * (wanted / np.maximum(luma(colors)[:, None], 1e-6))).clip(0, BRIGHTEST)


def _own_pixels(view: HeadView) -> np.ndarray:
    """(S, S) bool: segmented hair without its rim, without what the network is not sure of, and without skin.

    Skin-colored hair is left alone: where hardly anything else remains, it is blond.
    """
    hair = _inner(view.sure & view.inside & ~view.face)
    skin = view.face & ~view.hair & view.inside
    if skin.sum() < MIN_PIXELS:
        return hair
    difference = np.linalg.norm(view.rgb - np.median(view.rgb[skin], 0), axis=-1)
    unlike = hair & (difference > SKIN_LIKE)
    return unlike if unlike.sum() >= max(MIN_PIXELS, UNLIKE_SHARE * hair.sum()) else hair


def _inner(hair: np.ndarray) -> np.ndarray:
    """Without the rim, where the background mixes in, if anything is left."""
    from scipy.ndimage import binary_erosion

    inner = binary_erosion(hair, iterations=2)
    return inner if inner.sum() >= MIN_PIXELS else hair


def _lit(color: np.ndarray) -> np.ndarray:
    """Mean (3,) of the middling bright of colors (N, 3)."""
    brightness = luma(color)
    low, high = np.quantile(brightness, LIT)
    return color[(brightness >= low) & (brightness <= high)].mean(0)


def colored(light: np.ndarray, alpha: np.ndarray, color: np.ndarray) -> np.ndarray:
    """Strands (S, S) in a linear color (3,): (S, S, 4) uint8 sRGB and alpha."""
    rgb = linear_to_srgb(light[..., None] / TEXTURE_MEAN * np.float32(color))
    return np.rint(np.concatenate([rgb, alpha[..., None]], -1) * 255).astype(np.uint8)


def tints(vertices: np.ndarray, heights: np.ndarray, colors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The color (3,) that the texture gets and factors (N, 3) in [0, 1] on it, for vertices (N, 3)."""
    brightest = colors.max(0)
    factors = [np.interp(vertices[:, 1], heights, colors[:, k] / brightest[k]) for k in range(3)]
    return brightest, np.stack(factors, 1).astype(np.float32)
