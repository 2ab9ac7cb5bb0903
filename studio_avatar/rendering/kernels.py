"""Warp kernels of `renderer.py`; imported by it only, because importing needs `warp-lang`."""

import warp as wp

# Shadow rays leave the surface by this much, so that it does not shadow itself [m].
SURFACE_OFFSET = wp.constant(2e-4)
PI = wp.constant(3.14159265358979)


@wp.kernel
def cast(
    mesh: wp.uint64,
    eye: wp.vec3,
    to_head: wp.mat33,
    focal_px: float,
    origin: wp.vec2,
    supersample: int,
    triangle: wp.array2d(dtype=wp.int32),
    barycentric: wp.array2d(dtype=wp.vec3),
    depth: wp.array2d(dtype=wp.float32),
):
    """Primary rays; `origin` is the window's corner relative to the principal point, in pixels."""
    row, col = wp.tid()
    x = (float(col) + 0.5) / float(supersample) + origin[0]
    y = (float(row) + 0.5) / float(supersample) + origin[1]
    ray = wp.vec3(x / focal_px, y / focal_px, 1.0)
    length = wp.length(ray)
    hit = wp.mesh_query_ray(mesh, eye, to_head * (ray / length), 100.0)
    triangle[row, col] = -1
    barycentric[row, col] = wp.vec3(0.0, 0.0, 0.0)
    depth[row, col] = wp.inf
    if hit.result:
        triangle[row, col] = hit.face
        barycentric[row, col] = wp.vec3(hit.u, hit.v, 1.0 - hit.u - hit.v)
        depth[row, col] = hit.t / length


@wp.func
def sample_texture(texture: wp.array2d(dtype=wp.vec3), uv: wp.vec2):
    """Bilinear, clamped at the border; texel centres at +0.5."""
    height, width = texture.shape[0], texture.shape[1]
    x = wp.clamp(uv[0] * float(width) - 0.5, 0.0, float(width - 1))
    y = wp.clamp(uv[1] * float(height) - 0.5, 0.0, float(height - 1))
    c = wp.min(int(x), width - 2)
    r = wp.min(int(y), height - 2)
    fx = x - float(c)
    fy = y - float(r)
    top = texture[r, c] * (1.0 - fx) + texture[r, c + 1] * fx
    bottom = texture[r + 1, c] * (1.0 - fx) + texture[r + 1, c + 1] * fx
    return top * (1.0 - fy) + bottom * fy


@wp.func
def harmonics(sh: wp.array(dtype=wp.vec3), n: wp.vec3, band1: float, band2: float):
    """Nine real spherical harmonics along n; `band1`, `band2` scale the two upper bands."""
    x, y, z = n[0], n[1], n[2]
    light = sh[0] * 0.282095
    light += (sh[1] * y + sh[2] * z + sh[3] * x) * (0.488603 * band1)
    light += (sh[4] * (x * y) + sh[5] * (y * z) + sh[7] * (x * z)) * (1.092548 * band2)
    light += (sh[6] * (0.315392 * (3.0 * z * z - 1.0)) + sh[8] * (0.546274 * (x * x - y * y))) * band2
    return wp.max(light, wp.vec3(0.0, 0.0, 0.0))


@wp.func
def ggx(normal: wp.vec3, to_eye: wp.vec3, to_lamp: wp.vec3, roughness: float):
    """Cook-Torrance reflectance times n·l, with Schlick's Fresnel term for skin (F0 = 0.028)."""
    half = wp.normalize(to_eye + to_lamp)
    nl = wp.max(wp.dot(normal, to_lamp), 0.0)
    nv = wp.max(wp.dot(normal, to_eye), 0.15)
    nh = wp.max(wp.dot(normal, half), 0.0)
    a = roughness * roughness
    d = nh * nh * (a * a - 1.0) + 1.0
    distribution = a * a / (PI * d * d)
    k = (roughness + 1.0) * (roughness + 1.0) / 8.0
    visibility = 1.0 / ((nl * (1.0 - k) + k) * (nv * (1.0 - k) + k))
    fresnel = 0.028 + 0.972 * wp.pow(1.0 - wp.max(wp.dot(to_eye, half), 0.0), 5.0)
    return distribution * visibility * fresnel * 0.25 * nl


@wp.func
def around(axis: wp.vec3, cosine: float, angle: float):
    """The unit vector at polar `cosine` and azimuth `angle` around `axis`."""
    helper = wp.vec3(0.0, 1.0, 0.0)
    if wp.abs(axis[1]) > 0.9:
        helper = wp.vec3(1.0, 0.0, 0.0)
    side = wp.normalize(wp.cross(axis, helper))
    other = wp.cross(axis, side)
    sine = wp.sqrt(wp.max(1.0 - cosine * cosine, 0.0))
    return axis * cosine + (side * wp.cos(angle) + other * wp.sin(angle)) * sine


@wp.func
def lamp_visible(
    mesh: wp.uint64, start: wp.vec3, to_lamp: wp.vec3, spread: float, reach: float, samples: int, phase: float
):
    """Share of the lamp's disc that is not hidden, by rays on a golden-angle spiral turned by `phase`."""
    seen = wp.float32(0.0)
    for i in range(samples):
        share = (float(i) + 0.5) / float(samples)
        ray = around(to_lamp, wp.cos(spread * wp.sqrt(share)), 2.399963 * float(i) + phase)
        if not wp.mesh_query_ray_anyhit(mesh, start, ray, reach):
            seen += 1.0
    return seen / float(samples)


@wp.kernel
def occlude(
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    rays: int,
    reach: float,
    open_sky: wp.array(dtype=wp.float32),
):
    """Cosine-weighted share of free rays; the same spiral for all vertices, so that neighbours agree."""
    i = wp.tid()
    start = points[i] + normals[i] * 1e-3
    free = wp.float32(0.0)
    for k in range(rays):
        share = (float(k) + 0.5) / float(rays)
        ray = around(normals[i], wp.sqrt(1.0 - share), 2.399963 * float(k))
        if not wp.mesh_query_ray_anyhit(mesh, start, ray, reach):
            free += 1.0
    open_sky[i] = free / float(rays)


@wp.kernel
def open_directions(
    mesh: wp.uint64,
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
        if not wp.mesh_query_ray_anyhit(mesh, start, directions[k], reach):
            is_open[i, k] = wp.uint8(1)


@wp.kernel
def nearest(
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),
    reach: float,
    triangle: wp.array(dtype=wp.int32),
    barycentric: wp.array(dtype=wp.vec3),
):
    """The point of the surface that is nearest to each point; triangle -1 beyond `reach`."""
    i = wp.tid()
    hit = wp.mesh_query_point_no_sign(mesh, points[i], reach)
    triangle[i] = -1
    barycentric[i] = wp.vec3(0.0, 0.0, 0.0)
    if hit.result:
        triangle[i] = hit.face
        barycentric[i] = wp.vec3(hit.u, hit.v, 1.0 - hit.u - hit.v)


@wp.kernel
def shade(
    triangle: wp.array2d(dtype=wp.int32),
    barycentric: wp.array2d(dtype=wp.vec3),
    eye: wp.vec3,
    mesh: wp.uint64,
    normals: wp.array(dtype=wp.vec3),
    occlusion: wp.array(dtype=wp.float32),
    gloss: wp.array(dtype=wp.float32),
    uv: wp.array(dtype=wp.vec2),
    uv_faces: wp.array2d(dtype=wp.int32),
    textures: wp.array3d(dtype=wp.vec3),
    flat: int,
    environment: wp.array(dtype=wp.vec3),
    lamp_direction: wp.array(dtype=wp.vec3),
    lamp_colour: wp.array(dtype=wp.vec3),
    lamp_row: wp.array(dtype=wp.vec3),
    specular: float,
    roughness: float,
    bleed: wp.vec3,
    shadow_samples: int,
    seed: int,
    out: wp.array3d(dtype=wp.vec3),
):
    """Linear radiance towards the eye of each hit, once for each texture: what falls on it and gleams is the same."""
    row, col = wp.tid()
    face = triangle[row, col]
    if face < 0:
        return
    b = barycentric[row, col]
    t = uv[uv_faces[face, 0]] * b[0] + uv[uv_faces[face, 1]] * b[1] + uv[uv_faces[face, 2]] * b[2]
    if flat == 1:
        for i in range(textures.shape[0]):
            out[i, row, col] = sample_texture(textures[i], t)
        return

    m = wp.mesh_get(mesh)
    i0, i1, i2 = m.indices[3 * face], m.indices[3 * face + 1], m.indices[3 * face + 2]
    p0, p1, p2 = m.points[i0], m.points[i1], m.points[i2]
    n0, n1, n2 = normals[i0], normals[i1], normals[i2]
    point = p0 * b[0] + p1 * b[1] + p2 * b[2]
    normal = wp.normalize(n0 * b[0] + n1 * b[1] + n2 * b[2])
    to_eye = wp.normalize(eye - point)
    frontal = wp.int32(1)
    if wp.dot(wp.cross(p1 - p0, p2 - p0), to_eye) < 0.0:
        frontal = 0  # the inside of the skin does not gleam
    if wp.dot(normal, to_eye) < 0.0:
        # Smooth normals of coarse triangles can point away at the silhouette; leave them at grazing angle.
        normal = wp.normalize(normal - to_eye * wp.dot(normal, to_eye) * 1.01)
    # Shadow rays start on the curved surface that the smooth normals pretend, or every coarse edge would show
    # as a stair in the shadow's border.
    start = point - (
        n0 * (b[0] * wp.min(wp.dot(point - p0, n0), 0.0))
        + n1 * (b[1] * wp.min(wp.dot(point - p1, n1), 0.0))
        + n2 * (b[2] * wp.min(wp.dot(point - p2, n2), 0.0))
    )
    start += normal * SURFACE_OFFSET

    # Wet surfaces (gloss above 1) have sharper highlights, but mirror no more of the room than skin does.
    wet = gloss[face]
    rough_here = roughness / wp.max(wet, 1.0)
    sky = occlusion[i0] * b[0] + occlusion[i1] * b[1] + occlusion[i2] * b[2]
    # Lambert's cosine lobe keeps 1, 2/3 and 1/4 of the three bands of the radiance (irradiance / pi).
    light = harmonics(environment, normal, 0.6667, 0.25) * sky
    mirror = normal * (2.0 * wp.dot(normal, to_eye)) - to_eye
    rough = (1.0 - roughness) * (1.0 - roughness)
    grazing = 0.028 + 0.972 * wp.pow(1.0 - wp.max(wp.dot(normal, to_eye), 0.0), 5.0) * rough
    shine = harmonics(environment, mirror, 1.0 - 0.3 * roughness, 1.0 - roughness)
    shine *= grazing * sky * float(frontal) / wp.max(wet, 1.0)

    state = wp.rand_init(seed, row * triangle.shape[1] + col)
    for k in range(lamp_direction.shape[0]):
        to_lamp = lamp_direction[k]
        fall = wp.float32(1.0)
        reach = wp.float32(10.0)
        distance = lamp_row[k][1]
        if distance > 0.0:
            offset = lamp_direction[k] * distance - point
            reach = wp.length(offset)
            to_lamp = offset / reach
            fall = distance * distance / (reach * reach)
        cosine = wp.dot(normal, to_lamp)
        if cosine > 0.0:
            seen = wp.float32(1.0)
            phase = wp.randf(state) * 2.0 * PI
            if lamp_row[k][2] > 0.0:
                seen = lamp_visible(mesh, start, to_lamp, lamp_row[k][0], reach, shadow_samples, phase)
            # Light that enters skin leaves it again some millimetres off, red the farthest: the dim part of a
            # shadow's edge is lifted, and reddened.
            lit = cosine * seen
            scattered = wp.vec3(
                wp.pow(lit, 1.0 - bleed[0]), wp.pow(lit, 1.0 - bleed[1]), wp.pow(lit, 1.0 - bleed[2])
            )
            light += wp.cw_mul(scattered, lamp_colour[k] * fall)
            if frontal == 1:
                shine += lamp_colour[k] * (fall * seen * ggx(normal, to_eye, to_lamp, rough_here) * PI)
    for i in range(textures.shape[0]):
        out[i, row, col] = wp.cw_mul(sample_texture(textures[i], t), light) + shine * (specular * wet)


@wp.kernel
def face_camera(
    triangle: wp.array2d(dtype=wp.int32),
    barycentric: wp.array2d(dtype=wp.vec3),
    eye: wp.vec3,
    mesh: wp.uint64,
    normals: wp.array(dtype=wp.vec3),
    cosine: wp.array2d(dtype=wp.float32),
):
    """Cosine between a texel's normal and the line to the eye; 0 where turned away or something is in front."""
    row, col = wp.tid()
    face = triangle[row, col]
    if face < 0:
        return
    b = barycentric[row, col]
    m = wp.mesh_get(mesh)
    i0, i1, i2 = m.indices[3 * face], m.indices[3 * face + 1], m.indices[3 * face + 2]
    point = m.points[i0] * b[0] + m.points[i1] * b[1] + m.points[i2] * b[2]
    normal = wp.normalize(normals[i0] * b[0] + normals[i1] * b[1] + normals[i2] * b[2])
    reach = wp.length(eye - point)
    to_eye = (eye - point) / reach
    facing = wp.dot(normal, to_eye)
    # A millimetre of slack: lids lie on the eyeballs, lips on the teeth.
    if facing > 0.0 and not wp.mesh_query_ray_anyhit(mesh, point + normal * 1e-3, to_eye, reach):
        cosine[row, col] = facing
