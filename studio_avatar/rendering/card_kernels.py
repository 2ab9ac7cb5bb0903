"""Warp kernel of `card_layers.py`, in a module of its own: heads without hair need not compile it."""

import warp as wp

from .structs import Hits, PrimaryRays, camera_ray, empty


@wp.struct
class CardSurface:
    """Hair cards as rays see them; visible: opacity above which a texel is there."""

    shape: wp.uint64
    uv: wp.array(dtype=wp.vec2)
    faces: wp.array2d(dtype=wp.int32)
    opacity: wp.array2d(dtype=wp.float32)
    visible: float


@wp.func
def opacity_at(cards: CardSurface, face: int, b: wp.vec3):
    """Of the texel at barycentric coordinates b of a triangle."""
    uv = (
        cards.uv[cards.faces[face, 0]] * b[0]
        + cards.uv[cards.faces[face, 1]] * b[1]
        + cards.uv[cards.faces[face, 2]] * b[2]
    )
    c = wp.clamp(int(uv[0] * float(cards.opacity.shape[1])), 0, cards.opacity.shape[1] - 1)
    r = wp.clamp(int(uv[1] * float(cards.opacity.shape[0])), 0, cards.opacity.shape[0] - 1)
    return cards.opacity[r, c]


@wp.kernel
def cast_through(
    cards: CardSurface,
    rays: PrimaryRays,
    start: wp.array2d(dtype=wp.float32),
    end: wp.array2d(dtype=wp.float32),
    hits: Hits,
    alpha: wp.array2d(dtype=wp.float32),
):
    """The nearest texel that is there between `start` and `end` meters along each ray of `cast`; the depth of these hits
    is meters along the ray, too."""
    row, col = wp.tid()
    empty(hits, row, col)
    alpha[row, col] = 0.0
    ray = rays.to_head * wp.normalize(camera_ray(rays, row, col))
    travelled = wp.float32(start[row, col])
    for _step in range(24):  # no style has more cards one behind another
        if travelled < end[row, col]:
            travelled += 1e-5  # off the card that was hit last
            hit = wp.mesh_query_ray(cards.shape, rays.eye + ray * travelled, ray, 100.0)
            if not hit.result:
                travelled = wp.inf
            else:
                travelled += hit.t
                b = wp.vec3(hit.u, hit.v, 1.0 - hit.u - hit.v)
                opacity = opacity_at(cards, hit.face, b)
                if opacity > cards.visible and travelled < end[row, col]:
                    hits.triangle[row, col] = hit.face
                    hits.barycentric[row, col] = b
                    hits.depth[row, col] = travelled
                    alpha[row, col] = opacity
                    travelled = wp.inf
