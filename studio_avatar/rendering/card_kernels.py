"""Warp kernel of `cards.py`, in a module of its own: heads without hair need not compile it."""

import warp as wp


@wp.kernel
def cast_through(
    mesh: wp.uint64,
    eye: wp.vec3,
    to_head: wp.mat33,
    focal_px: float,
    origin: wp.vec2,
    supersample: int,
    uv: wp.array(dtype=wp.vec2),
    uv_faces: wp.array2d(dtype=wp.int32),
    opacity: wp.array2d(dtype=wp.float32),
    visible: float,
    start: wp.array2d(dtype=wp.float32),
    end: wp.array2d(dtype=wp.float32),
    triangle: wp.array2d(dtype=wp.int32),
    barycentric: wp.array2d(dtype=wp.vec3),
    distance: wp.array2d(dtype=wp.float32),
    alpha: wp.array2d(dtype=wp.float32),
):
    """The nearest texel with an opacity above `visible` between `start` and `end` metres along each ray of `cast`."""
    row, col = wp.tid()
    triangle[row, col] = -1
    barycentric[row, col] = wp.vec3(0.0, 0.0, 0.0)
    distance[row, col] = wp.inf
    alpha[row, col] = 0.0
    x = (float(col) + 0.5) / float(supersample) + origin[0]
    y = (float(row) + 0.5) / float(supersample) + origin[1]
    ray = wp.vec3(x / focal_px, y / focal_px, 1.0)
    ray = to_head * (ray / wp.length(ray))
    travelled = wp.float32(start[row, col])
    for _step in range(24):  # no style has more cards one behind another
        if travelled < end[row, col]:
            travelled += 1e-5  # off the card that was hit last
            hit = wp.mesh_query_ray(mesh, eye + ray * travelled, ray, 100.0)
            if not hit.result:
                travelled = wp.inf
            else:
                travelled += hit.t
                w = 1.0 - hit.u - hit.v
                t = (
                    uv[uv_faces[hit.face, 0]] * hit.u
                    + uv[uv_faces[hit.face, 1]] * hit.v
                    + uv[uv_faces[hit.face, 2]] * w
                )
                c = wp.clamp(int(t[0] * float(opacity.shape[1])), 0, opacity.shape[1] - 1)
                r = wp.clamp(int(t[1] * float(opacity.shape[0])), 0, opacity.shape[0] - 1)
                if opacity[r, c] > visible and travelled < end[row, col]:
                    triangle[row, col] = hit.face
                    barycentric[row, col] = wp.vec3(hit.u, hit.v, w)
                    distance[row, col] = travelled
                    alpha[row, col] = opacity[r, c]
                    travelled = wp.inf
