"""Warp functions of `kernels.py`: how a point of the surface answers to the light of an environment and of lamps."""

import warp as wp

from .cards import LETS_THROUGH
from .structs import Light, Material, Mesh, Radiance, SurfacePoint

# Shadow rays leave the surface by this much, so that it does not shadow itself [m].
SURFACE_OFFSET = wp.constant(2e-4)
FACING_AWAY = wp.constant(-0.25)  # cosine; a little is the error of smooth normals
CARDS_IN_THE_WAY = wp.constant(3)  # so many between a point and a lamp are looked at
CARD_LETS_THROUGH = wp.constant(LETS_THROUGH)
PI = wp.constant(3.14159265358979)


@wp.func
def sample_texture(texture: wp.array2d(dtype=wp.vec3), uv: wp.vec2):
    """Bilinear, clamped at the border; texel centers at +0.5."""
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
def light_through_cards(shape: wp.uint64, own: int, start: wp.vec3, ray: wp.vec3, reach: float):
    """Share of the light along a ray that the cards in its way let through; 0 where the mesh itself is."""
    left = wp.float32(1.0)
    travelled = wp.float32(0.0)
    for _ in range(CARDS_IN_THE_WAY):
        hit = wp.mesh_query_ray(shape, start + ray * travelled, ray, reach - travelled)
        if not hit.result:
            return left
        if hit.face < own:
            return 0.0
        left *= CARD_LETS_THROUGH
        travelled += hit.t + SURFACE_OFFSET
    return left


@wp.func
def lamp_visible(
    mesh: Mesh,
    start: wp.vec3,
    to_lamp: wp.vec3,
    spread: float,
    reach: float,
    samples: int,
    phase: float,
):
    """Share of the lamp's disc that is not hidden, by rays on a golden-angle spiral turned by `phase`."""
    own = mesh.uv_faces.shape[0]  # triangles of the mesh itself; after them come cards
    among_cards = wp.mesh_get(mesh.shape).indices.shape[0] > 3 * own
    seen = wp.float32(0.0)
    for i in range(samples):
        share = (float(i) + 0.5) / float(samples)
        ray = around(to_lamp, wp.cos(spread * wp.sqrt(share)), 2.399963 * float(i) + phase)
        if among_cards:
            seen += light_through_cards(mesh.shape, own, start, ray, reach)
        elif not wp.mesh_query_ray_anyhit(mesh.shape, start, ray, reach):
            seen += 1.0
    return seen / float(samples)


@wp.func
def surface_point(mesh: Mesh, face: int, b: wp.vec3, eye: wp.vec3):
    """The point at barycentric coordinates b of a triangle, looked at from `eye`."""
    m = wp.mesh_get(mesh.shape)
    i0, i1, i2 = m.indices[3 * face], m.indices[3 * face + 1], m.indices[3 * face + 2]
    p0, p1, p2 = m.points[i0], m.points[i1], m.points[i2]
    n0, n1, n2 = mesh.normals[i0], mesh.normals[i1], mesh.normals[i2]
    point = p0 * b[0] + p1 * b[1] + p2 * b[2]
    normal = wp.normalize(n0 * b[0] + n1 * b[1] + n2 * b[2])
    to_eye = wp.normalize(eye - point)
    frontal = wp.float32(1.0)
    if wp.dot(wp.cross(p1 - p0, p2 - p0), to_eye) < 0.0:
        frontal = 0.0  # the inside of the skin does not gleam
    if wp.dot(normal, to_eye) < 0.0:
        # Nor does the inside of hair, whose cards have two sides.
        frontal *= wp.max(1.0 - wp.dot(normal, to_eye) / FACING_AWAY, 0.0)
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
    open_sky = mesh.occlusion[i0] * b[0] + mesh.occlusion[i1] * b[1] + mesh.occlusion[i2] * b[2]
    return SurfacePoint(point, normal, to_eye, start, open_sky, mesh.gloss[face], frontal)


@wp.func
def of_environment(environment: wp.array(dtype=wp.vec3), at: SurfacePoint, roughness: float):
    """What the surrounding light makes a point send to the eye."""
    # Lambert's cosine lobe keeps 1, 2/3 and 1/4 of the three bands of the radiance (irradiance / pi).
    diffuse = harmonics(environment, at.normal, 0.6667, 0.25) * at.open_sky
    mirror = at.normal * (2.0 * wp.dot(at.normal, at.to_eye)) - at.to_eye
    rough = (1.0 - roughness) * (1.0 - roughness)
    grazing = 0.028 + 0.972 * wp.pow(1.0 - wp.max(wp.dot(at.normal, at.to_eye), 0.0), 5.0) * rough
    shine = harmonics(environment, mirror, 1.0 - 0.3 * roughness, 1.0 - roughness)
    # Wet surfaces (gloss above 1) have sharper highlights, but mirror no more of the room than skin does.
    shine *= grazing * at.open_sky * at.frontal / wp.max(at.gloss, 1.0)
    return Radiance(diffuse, shine)


@wp.func
def with_lamps(
    sent: Radiance, mesh: Mesh, material: Material, light: Light, at: SurfacePoint, state: wp.uint32
):
    """What a point sends to the eye when the lamps add to what it `sent` already; state: of the random numbers."""
    diffuse = sent.diffuse
    shine = sent.specular
    roughness = material.roughness / wp.max(at.gloss, 1.0)
    for k in range(light.lamps.shape[0]):
        lamp = light.lamps[k]
        to_lamp = lamp.direction
        fall = wp.float32(1.0)
        reach = wp.float32(10.0)
        if lamp.distance > 0.0:
            offset = lamp.direction * lamp.distance - at.position
            reach = wp.length(offset)
            to_lamp = offset / reach
            fall = lamp.distance * lamp.distance / (reach * reach)
        cosine = wp.dot(at.normal, to_lamp)
        if cosine > 0.0:
            seen = wp.float32(1.0)
            phase = wp.randf(state) * 2.0 * PI
            if lamp.shadow == 1:
                seen = lamp_visible(
                    mesh, at.shadow_start, to_lamp, lamp.spread, reach, light.shadow_samples, phase
                )
            diffuse += wp.cw_mul(scattered(cosine * seen, material.subsurface), lamp.color * fall)
            gleam = ggx(at.normal, at.to_eye, to_lamp, roughness) * PI * at.frontal
            shine += lamp.color * (fall * seen * gleam)
    return Radiance(diffuse, shine)


@wp.func
def scattered(lit: float, subsurface: wp.vec3):
    """Light that enters skin leaves it again some millimeters off, red the farthest: the dim part of a shadow's edge
    is lifted, and reddened."""
    return wp.vec3(
        wp.pow(lit, 1.0 - subsurface[0]), wp.pow(lit, 1.0 - subsurface[1]), wp.pow(lit, 1.0 - subsurface[2])
    )
