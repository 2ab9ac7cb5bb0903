"""One style on one head: where its cards lie."""

from __future__ import annotations

import io
import weakref
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.imaging.color import srgb_to_linear
from studio_avatar.imaging.image_io import encode_png
from studio_avatar.rendering.normals import vertex_normals

from .skin import Skin

if TYPE_CHECKING:
    from studio_avatar.head.hair_styles import HairStyles
    from studio_avatar.head.model import HeadModel

CROP = "crop01"  # short and even: what hair is like of which little more is known than that it is short
CLEAR_M = 0.0015  # of skin, where a style does not start inside of it
POINTS = 24_000  # on the cards of a style: enough to fill its outline in a small picture
OPAQUE = 0.5  # alpha
UNEVEN_M = 0.012  # how far the ends of cut hair lie from each other
WAVES = ((5, 0.0), (11, 1.3), (23, 2.9))  # of these around the head, and their phases
ROUND = (
    0.6  # share of the head's roundness in the normals: light falls on hair as a whole, not on single cards
)
MIDDLE = np.float32([0.0, 0.03, -0.02])  # of the skull, meters in head space


@dataclass(frozen=True)
class Hair:
    """A style on a person's head, ready to draw.

    style: its name. vertices, normals: (N, 3) float32 meters. faces: (F, 3). uv: (N, 2), v down.
    tint: (N, 3) float32 in [0, 1], linear factors on the texture's color. texture: (S, S, 4) uint8 sRGB and alpha.
    points: (P, 3) meters, spread over the opaque parts of the cards.
    """

    style: str
    vertices: np.ndarray
    normals: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    tint: np.ndarray
    texture: np.ndarray
    points: np.ndarray


@dataclass(frozen=True)
class Style:
    """A style as stored, with its strands and points spread over the opaque parts of its cards.

    light: (S, S) float32 linear; alpha: (S, S) in [0, 1]. start: (N,) meters that each vertex may come near the skin.
    triangle: (P,), barycentric: (P, 3) of the points.
    """

    name: str
    rest: np.ndarray
    uv: np.ndarray
    faces: np.ndarray
    anchors: np.ndarray
    weights: np.ndarray
    light: np.ndarray
    alpha: np.ndarray
    start: np.ndarray
    triangle: np.ndarray
    barycentric: np.ndarray

    def on(self, skin: Skin) -> np.ndarray:
        """(N, 3) float32 vertices on a person's head."""
        return self.clear(self.rest + (skin.moved[self.anchors] * self.weights[..., None]).sum(1), skin)

    def clear(self, vertices: np.ndarray, skin: Skin) -> np.ndarray:
        """`vertices` lifted off the skin where they came nearer to it than the style has them."""
        result = vertices.astype(np.float32)
        for _ in range(2):  # the nearest place changes while a vertex moves
            height, normal = skin.heights(result)
            result += normal * np.maximum(self.start - height, 0.0)[:, None]
        return result.astype(np.float32)

    def cut(self, vertices: np.ndarray, end: float) -> tuple[Style, np.ndarray]:
        """The style without what lies on `vertices` (N, 3) below the height `end` in meters, and its vertices.

        The ends are a little uneven: hair has no edge.
        """
        turn = np.arctan2(vertices[:, 0], vertices[:, 2])
        uneven = sum(np.sin(turn * waves + phase) for waves, phase in WAVES) / len(WAVES)
        end = end + UNEVEN_M * uneven
        below = vertices[:, 1] < end
        kept = ~below[self.faces].all(1)
        number = np.cumsum(kept) - 1
        shown = kept[self.triangle]
        used, faces = np.unique(self.faces[kept], return_inverse=True)
        shorter = replace(
            self,
            faces=faces.reshape(-1, 3).astype(self.faces.dtype),
            triangle=number[self.triangle[shown]],
            barycentric=self.barycentric[shown],
            **{name: getattr(self, name)[used] for name in ("rest", "uv", "anchors", "weights", "start")},
        )
        cut = vertices[used]
        cut[:, 1] = np.maximum(cut[:, 1], end[used])
        return shorter, cut

    def points(self, vertices: np.ndarray) -> np.ndarray:
        """(P, 3) points of the cards."""
        return (vertices[self.faces[self.triangle]] * self.barycentric[..., None]).sum(1)


def load_style(head: HeadModel, styles: HairStyles, name: str) -> Style:
    """A style of the weights, read once.

    Raises:
        ValueError: there is none of that name.
    """
    known = _STYLES.setdefault(styles, {})
    if name not in known:
        stored = styles.style(name)
        light, alpha = _strands(stored.pop("texture"))
        height, _ = Skin(head).heights(stored["rest"])
        spread = _spread(stored["rest"], stored["uv"], stored["faces"], alpha)
        known[name] = Style(
            name, light=light, alpha=alpha, start=np.minimum(height, CLEAR_M), **stored,
            triangle=spread[0], barycentric=spread[1],
        )  # fmt: skip
    return known[name]


_STYLES: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def _strands(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    from PIL import Image

    stored = np.asarray(Image.open(io.BytesIO(data))).astype(np.float32) / 255
    return srgb_to_linear(stored[..., 0]), stored[..., 1]


def _spread(vertices, uv, faces, alpha) -> tuple[np.ndarray, np.ndarray]:
    """Points on triangles by area, those on transparent texels left out; the same ones every time."""
    random = np.random.default_rng(0)
    edges = vertices[faces[:, 1:]] - vertices[faces[:, :1]]
    area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    triangle = random.choice(len(faces), POINTS, p=area / area.sum())
    a, b = np.sort(random.random((2, POINTS)), axis=0)
    barycentric = np.stack([a, b - a, 1 - b], 1).astype(np.float32)
    place = (uv[faces[triangle]] * barycentric[..., None]).sum(1)
    column, row = np.minimum(place * alpha.shape[::-1], np.array(alpha.shape[::-1]) - 1).astype(int).T
    opaque = alpha[row, column] > OPAQUE
    return triangle[opaque], barycentric[opaque]


def round_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(N, 3) unit normals of cards: outward, and bent towards the head's own roundness."""
    own = vertex_normals(vertices, faces)
    outward = vertices - MIDDLE
    outward[:, 1] = np.where(
        outward[:, 1] < 0, outward[:, 1] * 0.3, outward[:, 1]
    )  # hanging hair faces sideways
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-6)
    own *= np.where((own * outward).sum(1, keepdims=True) < 0, -1.0, 1.0)
    mixed = ROUND * outward + (1 - ROUND) * own
    return (mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-6)).astype(np.float32)


def hair_png(hair: Hair) -> bytes:
    """The hair's texture as PNG, color and alpha."""
    return encode_png(hair.texture)
