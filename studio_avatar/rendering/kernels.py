"""Warp kernels of the renderer: one Warp module, which is compiled as a whole at a machine's first run.

Imported inside functions only, after `runtime.start_warp`.
"""

import warp as wp

from .reflectance import around, of_environment, sample_texture, surface_point, with_lamps
from .structs import Hits, Light, Material, Mesh, PrimaryRays, camera_ray, empty


@wp.kernel
def cast(shape: wp.uint64, rays: PrimaryRays, hits: Hits):
    """Primary rays."""
    row, col = wp.tid()
    ray = camera_ray(rays, row, col)
    length = wp.length(ray)
    hit = wp.mesh_query_ray(shape, rays.eye, rays.to_head * (ray / length), 100.0)
    empty(hits, row, col)
    if hit.result:
        hits.triangle[row, col] = hit.face
        hits.barycentric[row, col] = wp.vec3(hit.u, hit.v, 1.0 - hit.u - hit.v)
        hits.depth[row, col] = hit.t / length


@wp.kernel
def shade(
    hits: Hits, eye: wp.vec3, mesh: Mesh, material: Material, light: Light, out: wp.array3d(dtype=wp.vec3)
):
    """Linear radiance towards the eye of each hit, once for each texture: what falls on it and gleams is the same."""
    row, col = wp.tid()
    face = hits.triangle[row, col]
    if face < 0:
        return
    b = hits.barycentric[row, col]
    uv = (
        mesh.uv[mesh.uv_faces[face, 0]] * b[0]
        + mesh.uv[mesh.uv_faces[face, 1]] * b[1]
        + mesh.uv[mesh.uv_faces[face, 2]] * b[2]
    )
    if light.flat == 1:
        for i in range(material.textures.shape[0]):
            out[i, row, col] = sample_texture(material.textures[i], uv)
        return

    at = surface_point(mesh, face, b, eye)
    state = wp.rand_init(light.seed, row * hits.triangle.shape[1] + col)
    sent = of_environment(light.environment, at, material.roughness)
    sent = with_lamps(sent, mesh, material, light, at, state)
    for i in range(material.textures.shape[0]):
        albedo = sample_texture(material.textures[i], uv)
        out[i, row, col] = wp.cw_mul(albedo, sent.diffuse) + sent.specular * (material.specular * at.gloss)


@wp.kernel
def face_camera(hits: Hits, eye: wp.vec3, mesh: Mesh, cosine: wp.array2d(dtype=wp.float32)):
    """Cosine between a texel's normal and the line to the eye; 0 where turned away or something is in front."""
    row, col = wp.tid()
    face = hits.triangle[row, col]
    if face < 0:
        return
    b = hits.barycentric[row, col]
    m = wp.mesh_get(mesh.shape)
    i0, i1, i2 = m.indices[3 * face], m.indices[3 * face + 1], m.indices[3 * face + 2]
    point = m.points[i0] * b[0] + m.points[i1] * b[1] + m.points[i2] * b[2]
    normal = wp.normalize(mesh.normals[i0] * b[0] + mesh.normals[i1] * b[1] + mesh.normals[i2] * b[2])
    reach = wp.length(eye - point)
    to_eye = (eye - point) / reach
    facing = wp.dot(normal, to_eye)
    # A millimeter of slack: lids lie on the eyeballs, lips on the teeth.
    if facing > 0.0 and not wp.mesh_query_ray_anyhit(mesh.shape, point + normal * 1e-3, to_eye, reach):
        cosine[row, col] = facing


@wp.kernel
def occlude(
    shape: wp.uint64,
    points: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    rays: int,
    reach: float,
    open_sky: wp.array(dtype=wp.float32),
):
    """Cosine-weighted share of free rays; the same spiral for all vertices, so that neighbors agree."""
    i = wp.tid()
    start = points[i] + normals[i] * 1e-3
    free = wp.float32(0.0)
    for k in range(rays):
        share = (float(k) + 0.5) / float(rays)
        ray = around(normals[i], wp.sqrt(1.0 - share), 2.399963 * float(k))
        if not wp.mesh_query_ray_anyhit(shape, start, ray, reach):
            free += 1.0
    open_sky[i] = free / float(rays)


@wp.kernel
def open_directions(
    shape: wp.uint64,
    points: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    reach: float,
    is_open: wp.array2d(dtype=wp.uint8),
):
    """1 where nothing is in the way from a point along a direction. A little below the horizon counts, too: light that
    wanders in skin gets there."""
    i, k = wp.tid()
    is_open[i, k] = wp.uint8(0)
    if wp.dot(normals[i], directions[k]) > -0.2:
        start = points[i] + normals[i] * 1e-3
        if not wp.mesh_query_ray_anyhit(shape, start, directions[k], reach):
            is_open[i, k] = wp.uint8(1)


@wp.kernel
def nearest(
    shape: wp.uint64,
    points: wp.array(dtype=wp.vec3),
    reach: float,
    triangle: wp.array(dtype=wp.int32),
    barycentric: wp.array(dtype=wp.vec3),
):
    """The point of the surface that is nearest to each point; triangle -1 beyond `reach`."""
    i = wp.tid()
    hit = wp.mesh_query_point_no_sign(shape, points[i], reach)
    triangle[i] = -1
    barycentric[i] = wp.vec3(0.0, 0.0, 0.0)
    if hit.result:
        triangle[i] = hit.face
        barycentric[i] = wp.vec3(hit.u, hit.v, 1.0 - hit.u - hit.v)
