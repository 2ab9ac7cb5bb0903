"""What the kernels take, as Warp structs; `upload.py` fills them. Lengths in meters, light linear."""

import warp as wp


@wp.struct
class PrimaryRays:
    """`picture.RayGrid`; origin: pixels from the principal point to the window's corner."""

    eye: wp.vec3
    to_head: wp.mat33
    focal_px: float
    origin: wp.vec2
    supersample: int


@wp.func
def camera_ray(rays: PrimaryRays, row: int, col: int):
    """Of a sample of the picture, in camera axes; 1 along the optical axis."""
    x = (float(col) + 0.5) / float(rays.supersample) + rays.origin[0]
    y = (float(row) + 0.5) / float(rays.supersample) + rays.origin[1]
    return wp.vec3(x / rays.focal_px, y / rays.focal_px, 1.0)


@wp.struct
class Hits:
    """Where rays meet a mesh; triangle: -1 where they meet none; depth: along the optical axis, infinite there."""

    triangle: wp.array2d(dtype=wp.int32)
    barycentric: wp.array2d(dtype=wp.vec3)
    depth: wp.array2d(dtype=wp.float32)


@wp.func
def empty(hits: Hits, row: int, col: int):
    """Nothing was met there."""
    hits.triangle[row, col] = -1
    hits.barycentric[row, col] = wp.vec3(0.0, 0.0, 0.0)
    hits.depth[row, col] = wp.inf


@wp.struct
class Mesh:
    """`mesh.TexturedMesh`; shape: the `wp.Mesh` that throws the shadows, whose first triangles are those of the mesh."""

    shape: wp.uint64
    normals: wp.array(dtype=wp.vec3)
    occlusion: wp.array(dtype=wp.float32)
    gloss: wp.array(dtype=wp.float32)
    uv: wp.array(dtype=wp.vec2)
    uv_faces: wp.array2d(dtype=wp.int32)


@wp.struct
class Material:
    """`mesh.Skin` with textures (T, H, W), each of which is drawn."""

    textures: wp.array3d(dtype=wp.vec3)
    specular: float
    roughness: float
    subsurface: wp.vec3


@wp.struct
class Lamp:
    """`light.Lamp`; distance: 0 for parallel rays."""

    direction: wp.vec3
    color: wp.vec3
    spread: float
    distance: float
    shadow: int


@wp.struct
class Light:
    """`light.Light`; shadow_samples: rays to each lamp; seed: of the turns of these rays."""

    flat: int
    environment: wp.array(dtype=wp.vec3)
    lamps: wp.array(dtype=Lamp)
    shadow_samples: int
    seed: int


@wp.struct
class SurfacePoint:
    """A hit as light sees it; shadow_start: where rays to the lamps begin; frontal: share of its gloss, 0 on the inside of
    skin and hair."""

    position: wp.vec3
    normal: wp.vec3
    to_eye: wp.vec3
    shadow_start: wp.vec3
    open_sky: float
    gloss: float
    frontal: float


@wp.struct
class Radiance:
    """Light that a point sends towards the eye; diffuse: to be multiplied by the texture."""

    diffuse: wp.vec3
    specular: wp.vec3
