"""Which style a person's hair looks like, if any.

Every style is laid on the person's head and seen by the capture's cameras; the best few take the person's outline; the one
whose mask agrees best with the segmented hair is taken. Short hair that looks like none is a crop with the person's outline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .cards import CROP, Style, load_style
from .outline import LONGEST, crown_share, fitted_to_outline, length, lowest
from .skin import Skin
from .views import HeadView

if TYPE_CHECKING:
    from studio_avatar.head.hair_styles import HairStyles
    from studio_avatar.head.model import HeadModel

# By name only: shells with an edge across the forehead, where those that are grown (`tools/groom_hair.py`) have none; and a
# tail, which pictures of a face do not show: from the front it is any hair that is combed back.
NOT_BY_ITSELF = ("short01", "short02", "short03", "short04", "ponytail01")
TRIED = 3  # styles that get the person's outline before the last choice
STRETCHES = 3
BARE_CROWN = (
    0.5  # share of the directions around the head's up that have hair, below which there is none to be made
)
LITTLE_HAIR = 0.06  # area over that of the bare head
CROPPED = (
    0.3  # share of the hair that stands off the bare head in the frontal picture, below which it is stubble
)
IN_THE_FACE = 4.0  # weight of hair over a face that is bare: it hides the person
# Of the best style, below which it is another: at 0.51 cropped gray hair became a tall blond cut.
AGREEMENT = 0.55
HANGS_M = -0.05  # height in head space: what reaches lower and looks like no style may be a scarf
SHORT = "The hair is cropped so close that it does not stand off the head: it is painted on the scalp."


@dataclass(frozen=True)
class Choice:
    """style: `Style` in the person's length, or None. vertices: (N, 3) meters on the person, or None. reason: a sentence.
    agreement: intersection over union of the style's and the segmented hair, over all views; 0 without a style.
    painted: there is hair, but too short for any style: its color belongs on the scalp.
    """

    style: Style | None
    vertices: np.ndarray | None
    reason: str
    agreement: float = 0.0
    painted: bool = False


def agreement(views: list[HeadView], points: np.ndarray) -> float:
    """Intersection over union of hair that is made of `points` (P, 3) and the segmented hair; hair over a bare face counts
    several times."""
    both = either = 0
    for view in views:
        covered = view.covered(points) & view.inside
        hair = view.hair & view.inside
        both += (covered & hair).sum()
        either += (covered | hair).sum() + (IN_THE_FACE - 1) * (covered & ~hair & view.face).sum()
    return float(both / max(either, 1))


def choose(
    head: HeadModel, styles: HairStyles, neutral: np.ndarray, views: list[HeadView], asked: str = "auto"
) -> Choice:
    """The style for a person's head.

    Args:
        neutral: (V, 3) the person's head. views: the capture's pictures, may be none.
        asked: "auto", "none" or the name of a style, which then only takes the person's outline.
    """
    if asked == "none":
        return Choice(None, None, "No hair was asked for.")
    if asked != "auto":
        skin = Skin(head, neutral)
        found = _fitted(*_laid(load_style(head, styles, asked), skin, views), skin, views)
        return Choice(*found[:2], f"The style {asked} was asked for.", found[2])
    if not views:
        return Choice(None, None, "The capture has no pictures of hair.")
    why = why_none(views)
    if why is not None:
        return Choice(None, None, why, painted=why == SHORT)
    names = [name for name in styles.config.names if name not in NOT_BY_ITSELF]
    skin = Skin(head, neutral)
    laid = [_laid(load_style(head, styles, name), skin, views) for name in names]
    before = {style.name: agreement(views, style.points(vertices)) for style, vertices in laid}
    laid.sort(key=lambda pair: -before[pair[0].name])
    found = [_fitted(*pair, skin, views) for pair in laid[:TRIED]]
    # A style that agrees only after much stretching is another one.
    style, vertices, share = max(found, key=lambda one: before[one[0].name] + one[2])
    if share < AGREEMENT:
        why = f"No style looks like this hair: the nearest, {style.name}, agrees to {share:.0%} only."
        if lowest(views[0]) < HANGS_M:
            return Choice(None, None, why)
        crop = next(pair for pair in laid if pair[0].name == CROP)
        style, vertices, share = _fitted(*crop, skin, views)
        return Choice(style, vertices, f"{why} It is short, so {CROP} took its outline.", share)
    return Choice(
        style, vertices, f"The style {style.name} agrees best with the hair in the pictures.", share
    )


def why_none(views: list[HeadView]) -> str | None:
    """A sentence if the pictures show hardly any hair, none above the forehead, or none that stands off; else None."""
    hair = sum((view.hair & view.inside).sum() for view in views)
    area = sum(((view.region >= 0) & view.inside).sum() for view in views)
    if hair < LITTLE_HAIR * max(area, 1):
        return "The pictures show no hair: bald, shaved or covered."
    if crown_share(views[0]) < BARE_CROWN:
        return "The crown of the head shows no hair: bald, shaved, or under a cap or scarf."
    if beside_share(views[0]) < CROPPED:
        return SHORT
    return None


def beside_share(view: HeadView) -> float:
    """Share of the segmented hair that lies beside the bare head."""
    hair = view.hair & view.inside
    return float((hair & (view.region < 0)).sum() / max(hair.sum(), 1))


def _laid(style: Style, skin: Skin, views) -> tuple[Style, np.ndarray]:
    """The style on the head, in the person's length."""
    return style.cut(style.on(skin), length(views[0]) if views else LONGEST)


def _fitted(style: Style, vertices, skin: Skin, views) -> tuple[Style, np.ndarray, float]:
    """The style with the person's outline, and how well it agrees; without views as it is."""
    share = agreement(views, style.points(vertices)) if views else 0.0
    for _ in range(STRETCHES if views else 0):
        moved = style.clear(fitted_to_outline(style, vertices, views[0], skin), skin)
        score = agreement(views, style.points(moved))
        if score <= share:
            break
        vertices, share = moved, score
    return style, vertices, share
