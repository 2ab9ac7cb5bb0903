"""What glasses and strands of hair hide of the texture, as one camera sees them on one random head."""

import numpy as np

from studio_avatar.head.layout import TexelMap
from studio_avatar.rendering import FLAT, render_texels

from .occluders import sample_glasses, sample_strands
from .parts import attach
from .simulation import sample_cameras, sample_expression, sample_identity, shaped_mesh

FRAME = (720, 960)  # pixels of the frames that are not drawn; sets the cameras' distance


def cover_alpha(rng: np.random.Generator, head, texels: TexelMap, glasses: bool) -> np.ndarray:
    """(S, S) uint8, 255 where the rims of glasses, or else strands, hide skin from a camera that would see it.

    texels: of the size S.
    """
    identity, expression = sample_identity(rng), sample_expression(rng, head.config.expression_names)
    body = shaped_mesh(head, identity, expression, np.ones(len(head.neutral), np.float32))
    camera = sample_cameras(rng, 1, FRAME)[0]
    texture = np.full((*texels.covered.shape, 3), 0.5, np.float32)
    part = sample_glasses(rng, head, body).frame if glasses else sample_strands(rng, head, body, texture)
    dressed, painted = attach(body, texture, [part])
    _, with_part = render_texels(dressed, texels, painted, camera, FLAT)
    _, without = render_texels(body, texels, texture, camera, FLAT)
    return np.where((without > 0) & (with_part == 0), 255, 0).astype(np.uint8)
