"""One material for the whole avatar: color, fine bump and roughness as pictures in the head's layout."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.head.layout import fill_gutters, region_mask, texel_map
from studio_avatar.imaging.image_io import encode_png

from .detail_normal import detail_normal, encode_normals

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

IOR = 1.4  # of skin and of the eye's surface; reflectance at normal incidence 2.8 %
SUBSURFACE_RADIUS_M = (0.0048, 0.0016, 0.0008)  # mean path of red, green and blue light in skin
ROUGHNESS = {"face": 0.50, "neck": 0.55, "ears": 0.50, "scalp": 0.65, "brows": 0.65, "eyelids": 0.45, "lips": 0.35,
             "eye_sockets": 0.35, "eyeball_left": 0.08, "eyeball_right": 0.08, "teeth": 0.20, "tongue": 0.30,
             "mouth": 0.35}  # fmt: skip
ROUGHNESS_SIZE = 256  # texels; it is smooth
WET = ("eyeball_left", "eyeball_right", "teeth", "tongue", "mouth", "eye_sockets")


@dataclass(frozen=True)
class Material:
    """Encoded pictures of one avatar, PNG bytes in the head's layout.

    color: base color, 8-bit sRGB, tagged. normal: tangent-space normal map (x right, y up in the picture, z outward).
    roughness: red 255 (no occlusion), green roughness, blue 0 (no metal), as glTF packs them.
    """

    color: bytes
    normal: bytes
    roughness: bytes


def skin_material(texture: np.ndarray, head: HeadModel) -> Material:
    """The material of a texture (H, H, 3) uint8 sRGB."""
    size = texture.shape[0]
    normal = encode_normals(detail_normal(texture.astype(np.float32) / 255, head))
    rough = roughness_map(head, min(ROUGHNESS_SIZE, size))
    packed = np.stack([np.full_like(rough, 1.0), rough, np.zeros_like(rough)], -1)
    return Material(
        encode_png(texture), _plain_png(normal), _plain_png(np.rint(packed * 255).astype(np.uint8))
    )


@functools.lru_cache(maxsize=4)
def roughness_map(head: HeadModel, size: int) -> np.ndarray:
    """(size, size) float32 GGX roughness in [0, 1] by region; soft on skin, sharp where wet meets dry."""
    from scipy.ndimage import gaussian_filter

    rough = np.zeros((size, size), np.float32)
    for region, value in ROUGHNESS.items():
        rough[region_mask(head, size, region)] = value
    texels = texel_map(head, size)
    rough = texels.filled(rough)
    wet = region_mask(head, size, *WET)
    return np.where(
        wet, rough, fill_gutters(gaussian_filter(rough, size / 128), texels.covered & ~wet)
    ).astype(np.float32)


def shrunk(texture: np.ndarray, size: int) -> np.ndarray:
    """Texture (H, H, 3) uint8 at most `size` wide; as it is when it already is."""
    from PIL import Image

    if texture.shape[0] <= size:
        return texture
    return np.asarray(Image.fromarray(texture).resize((size, size), Image.Resampling.BOX))


def _plain_png(values: np.ndarray) -> bytes:
    """PNG without a color space: these are numbers, not colors."""
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()
