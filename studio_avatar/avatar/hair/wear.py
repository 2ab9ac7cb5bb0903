"""Hair for an avatar: choice, place and color together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.errors import InvalidInputError

from .cards import CROP, Hair, load_style, round_normals
from .choice import choose
from .color import colored, dyed, hair_color, light_gain, tints
from .scalp import hair_cover, painted_cover, stubble
from .skin import Skin
from .views import head_views

if TYPE_CHECKING:
    from studio_avatar.head.hair_styles import HairStyles
    from studio_avatar.head.model import HeadModel

AUTO, NONE = "auto", "none"


@dataclass(frozen=True)
class Worn:
    """What was decided about a person's hair.

    hair: `Hair`, or None. reason: a sentence. agreement: intersection over union with the segmented hair in [0, 1].
    cover: (H, H) float32, how much of the skin's texture is under hair or painted with it, or None. color: (3,) linear
        mean, or None.
    """

    hair: Hair | None
    reason: str
    agreement: float = 0.0
    cover: np.ndarray | None = None
    color: np.ndarray | None = None

    def to_dict(self) -> dict:
        """For JSON: style or None, why, agreement and sRGB-free linear color."""
        return {
            "style": None if self.hair is None else self.hair.style,
            "reason": self.reason,
            "agreement": round(self.agreement, 3),
            "color": None if self.color is None else [round(float(c), 4) for c in self.color],
        }


def style_names(styles: HairStyles) -> list[str]:
    """All that `hair=` may be."""
    return [AUTO, *styles.config.names, NONE]


def wear_hair(
    head: HeadModel, styles: HairStyles, capture, texture, neutral, asked: str = AUTO, color: str = AUTO
) -> Worn:
    """Hair for a captured person.

    Args:
        capture: `PhoneTexture`; without `hair` it has no pictures to go by. texture: (H, H, 3) float32 studio texture, sRGB
            in [0, 1]. neutral: (V, 3) the person's head. asked: "auto", "none" or the name of a style. color: "auto",
            that of the hair in the pictures, or "#rrggbb".
    Raises:
        InvalidInputError: there is no such style.
    """
    if asked not in style_names(styles):
        raise InvalidInputError(f"There is no hair '{asked}': use one of {', '.join(style_names(styles))}.")
    views = [] if capture.hair is None else head_views(head, capture, neutral)
    choice = choose(head, styles, neutral, views, asked)
    if choice.painted:
        return _painted(head, styles, capture, texture, neutral, views, choice.reason, color)
    if choice.style is None:
        return Worn(None, choice.reason)
    style, points = choice.style, choice.style.points(choice.vertices)
    gain = light_gain(head, capture.rgb, capture.seen, texture)
    heights, colors = hair_color(views, gain)
    colors = dyed(colors, color)
    of_cards, tint = tints(choice.vertices, heights, colors)
    normals, cards = round_normals(choice.vertices, style.faces), colored(style.light, style.alpha, of_cards)
    hair = Hair(style.name, choice.vertices, normals, style.faces, style.uv, tint, cards, points)
    cover = hair_cover(head, neutral, points, len(texture))
    return Worn(hair, choice.reason, choice.agreement, cover, colors.mean(0))


def _painted(head, styles, capture, texture, neutral, views, reason: str, color: str) -> Worn:
    """Hair without cards: its color on the scalp."""
    style = load_style(head, styles, CROP)
    points = style.points(style.on(Skin(head, neutral)))
    cover = painted_cover(head, neutral, points, views, len(texture))
    _, colors = hair_color(views, light_gain(head, capture.rgb, capture.seen, texture))
    colors = dyed(colors, color)
    return Worn(None, reason, cover=stubble(cover, capture.seen), color=colors.mean(0))
