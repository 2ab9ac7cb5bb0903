"""Head renderer without a window or a GPU: ray casting on NVIDIA Warp meshes.

    mesh + texture + camera ─ cast ─► triangle, barycentric, depth ─ shade ─► linear light ─► picture
                                                     environment (9 harmonics) × ambient occlusion
                                                   + lamps × shadow rays + skin gloss (GGX)

Used to draw previews of avatars and to simulate phone captures with a known answer. Runs on the CPU (one core) and on
CUDA with the same code.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np

from studio_avatar.errors import InvalidInputError, MissingDependencyError
from studio_avatar.imaging.color import linear_to_srgb, srgb_to_linear
from studio_avatar.imaging.native_logs import quiet_native_logs

from .cards import VISIBLE, Cards, light_of, look_through
from .normals import vertex_normals


@dataclass(frozen=True)
class Camera:
    """Pinhole camera in OpenCV axes: `p_cam = rotation @ p + translation`, pixel centers at +0.5.

    focal_px: focal length in pixels; rotation: (3, 3); translation: (3,) in meters; size: (width, height) in
    pixels.
    """

    focal_px: float
    rotation: np.ndarray
    translation: np.ndarray
    size: tuple[int, int]

    @property
    def centre(self) -> np.ndarray:
        """Position of the camera in head space, (3,) meters."""
        return -np.asarray(self.rotation).T @ np.asarray(self.translation)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) in meters -> pixels (..., 2)."""
        p = points @ np.asarray(self.rotation).T + np.asarray(self.translation)
        return self.focal_px * p[..., :2] / p[..., 2:] + np.asarray(self.size) / 2


@dataclass(frozen=True)
class Lamp:
    """One light source.

    direction: (3,) unit vector in head space, from the head towards the lamp; colour: (3,) linear irradiance
    on a facing surface at the head's origin; spread: angular radius in radians, 0 = hard shadow; distance:
    meters from the head's origin, infinite = parallel rays; shadow: whether the head shadows itself.
    """

    direction: tuple[float, float, float]
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    spread: float = 0.05
    distance: float = np.inf
    shadow: bool = True


@dataclass(frozen=True)
class Light:
    """What shines on the head.

    environment: (9, 3) real spherical-harmonic coefficients of the surrounding linear radiance, or None for
    darkness; lamps: any number of `Lamp`s; flat: ignore both and show the texture as it is.
    """

    environment: np.ndarray | None = None
    lamps: tuple[Lamp, ...] = ()
    flat: bool = False

    @classmethod
    def even(cls, radiance: float = 1.0) -> Light:
        """White light from everywhere: with no occlusion, a texture is shown at `radiance` times its own
        value.
        """
        environment = np.zeros((9, 3), np.float32)
        environment[0] = radiance / _SH_CONSTANT
        return cls(environment)


FLAT = Light(flat=True)


@dataclass(frozen=True)
class Skin:
    """How the surface answers to light.

    specular: strength of the gloss (1 = the 2.8 % reflectance of skin at normal incidence); roughness: GGX
    roughness in [0, 1]; bleed: (3,) how much each of red, green, blue lifts the dim side of a shadow's edge
    (subsurface scattering), 0 = none.
    """

    specular: float = 1.0
    roughness: float = 0.45
    bleed: tuple[float, float, float] = (0.2, 0.06, 0.03)


@dataclass(frozen=True)
class TexturedMesh:
    """Triangles with texture coordinates.

    vertices: (V, 3) meters; faces: (F, 3); uv: (T, 2) glTF convention (v down); uv_faces: (F, 3);
    normals: (V, 3) unit, computed if None; occlusion: (V,) share of open sky in [0, 1], 1 everywhere if None;
    gloss: (F,) factor on `Skin.specular` per triangle, 1 everywhere if None; above 1, highlights get sharper.
    """

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    uv_faces: np.ndarray
    normals: np.ndarray | None = None
    occlusion: np.ndarray | None = None
    gloss: np.ndarray | None = None

    @classmethod
    def of_head(cls, head, vertices: np.ndarray, **more) -> TexturedMesh:
        """The mesh of a `HeadModel` in the shape `vertices` (V, 3)."""
        arrays = (t.detach().cpu().numpy() for t in (head.faces, head.uv, head.uv_faces))
        return cls(np.asarray(vertices, np.float32), *arrays, **more)


@dataclass(frozen=True)
class Rendering:
    """A picture and its geometry.

    rgb: (H, W, 3) float32, linear or sRGB as asked, premultiplied onto black where no background was given;
    alpha: (H, W) coverage in [0, 1]; triangle: (H, W) int32 at the pixel centre, -1 = background;
    barycentric: (H, W, 3); depth: (H, W) meters along the optical axis, infinite in the background.
    """

    rgb: np.ndarray
    alpha: np.ndarray
    triangle: np.ndarray
    barycentric: np.ndarray
    depth: np.ndarray


def look_at(
    position, target=(0.0, 0.0, 0.0), focal_px: float = 1000.0, size=(720, 960), roll: float = 0.0
) -> Camera:
    """A camera at `position` (head space, meters) that looks at `target`; `roll` in radians turns it about
    its axis.
    """
    forward = np.asarray(target, np.float64) - np.asarray(position, np.float64)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 1.0, 0.0))
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(forward, right), forward])
    turn = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    rotation = turn @ axes
    return Camera(float(focal_px), rotation, -rotation @ np.asarray(position, np.float64), tuple(size))


def ambient_occlusion(
    mesh: TexturedMesh, rays: int = 64, reach: float = 0.12, device: str = "cpu"
) -> np.ndarray:
    """Share of each vertex' hemisphere that is open up to `reach` meters, cosine-weighted, (V,) in [0, 1]."""
    wp, kernels = _warp()
    normals = mesh.normals if mesh.normals is not None else vertex_normals(mesh.vertices, mesh.faces)
    shape = _build(wp, mesh, device)
    open_sky = wp.zeros(len(mesh.vertices), dtype=wp.float32, device=device)
    points = wp.array(np.asarray(mesh.vertices, np.float32), dtype=wp.vec3, device=device)
    wp.launch(
        kernels.occlude,
        dim=len(mesh.vertices),
        inputs=[shape.id, points, _vectors(wp, normals, device), rays, float(reach)],
        outputs=[open_sky],
        device=device,
    )
    return open_sky.numpy()


def open_directions(
    mesh: TexturedMesh, points: np.ndarray, normals: np.ndarray, directions: np.ndarray, device: str = "cpu"
) -> np.ndarray:
    """Which directions of the sky each of the points on a mesh sees, up to a meter away: what light needs of its geometry.

    Args:
        points: (N, 3) meters. normals: (N, 3) unit, outward. directions: (D, 3) unit.

    Returns:
        (N, D) bool.
    """
    wp, kernels = _warp()
    shape = _build(wp, mesh, device)
    is_open = wp.empty((len(points), len(directions)), dtype=wp.uint8, device=device)
    inputs = [_vectors(wp, array, device) for array in (points, normals, directions)]
    wp.launch(
        kernels.open_directions,
        dim=is_open.shape,
        inputs=[shape.id, *inputs, 1.0],
        outputs=[is_open],
        device=device,
    )
    return is_open.numpy().astype(bool)


def nearest_on_surface(
    vertices: np.ndarray, faces: np.ndarray, points: np.ndarray, reach: float = np.inf, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """Where the surface of a mesh is nearest to each of the points.

    Args:
        vertices: (V, 3) meters. faces: (F, 3). points: (N, 3). reach: meters beyond which there is no answer.

    Returns:
        triangle (N,) int32, -1 where there is none, and barycentric (N, 3) float32.
    """
    wp, kernels = _warp()
    shape = _build(wp, SimpleNamespace(vertices=vertices, faces=faces), device)
    triangle = wp.empty(len(points), dtype=wp.int32, device=device)
    barycentric = wp.empty(len(points), dtype=wp.vec3, device=device)
    wp.launch(
        kernels.nearest,
        dim=len(points),
        inputs=[shape.id, _vectors(wp, points, device), float(min(reach, 1e6))],
        outputs=[triangle, barycentric],
        device=device,
    )
    return triangle.numpy(), barycentric.numpy()


def render(
    mesh: TexturedMesh,
    texture: np.ndarray,
    camera: Camera,
    light: Light = FLAT,
    skin: Skin = Skin(),
    supersample: int = 1,
    shadow_samples: int = 4,
    background: np.ndarray | None = None,
    srgb: bool = True,
    seed: int = 0,
    device: str = "cpu",
    cards: Cards | None = None,
) -> Rendering:
    """Draw one textured mesh.

    Args:
        texture: (H, W, 3) float32, sRGB-encoded in [0, 1].
        supersample: n x n rays a pixel.
        shadow_samples: rays to each lamp a primary ray; penumbras are noisy when few.
        background: (H, W, 3) in the same encoding as the result, or None for black.
        srgb: encode the result as sRGB, clipped to [0, 1]; otherwise linear light.
        cards: hair in front of the mesh, which casts its shadow on it; the geometry of the result is without it.

    Raises:
        InvalidInputError: the texture or the background has the wrong shape.
        MissingDependencyError: `warp-lang` is not installed.
    """
    rows = render_each(
        mesh,
        texture[None],
        camera,
        [light],
        skin,
        supersample,
        shadow_samples,
        background,
        srgb,
        seed,
        device,
        cards,
    )
    return rows[0][0]


def render_each(
    mesh: TexturedMesh,
    textures: np.ndarray,
    camera: Camera,
    lights: Sequence[Light],
    skin: Skin = Skin(),
    supersample: int = 1,
    shadow_samples: int = 4,
    background: np.ndarray | None = None,
    srgb: bool = True,
    seed: int = 0,
    device: str = "cpu",
    cards: Cards | None = None,
) -> list[list[Rendering]]:
    """What `render` draws, for each of `textures` (T, H, W, 3) a list with one `Rendering` for each of `lights`.

    The mesh is looked at once, and shadows are found once a light, so that all of them take little longer than one texture.
    """
    _check(textures, camera, background)
    wp, kernels = _warp()
    shape = _build(wp, mesh, device)
    window = _window(mesh.vertices, camera)
    if cards is not None:
        window = _window(np.concatenate([mesh.vertices, cards.vertices]), camera)
    hits = _cast(wp, kernels, shape, camera, window, supersample, device)
    shadows = shape if cards is None else _build(wp, with_cards(mesh, cards), device)
    centre_hits = hits if supersample == 1 else _cast(wp, kernels, shape, camera, window, 1, device)
    geometry, hit = _geometry(centre_hits, camera, window), hits[0].numpy() >= 0
    coverage = hit
    if cards is not None:
        card_shape = _build(wp, cards, device)
        layers, through = _look_through(wp, cards, card_shape, camera, window, supersample, hits, device)
        coverage = 1 - through * (1 - hit)
    rows = [[] for _ in textures]
    for light in lights:
        colours = _shade(
            wp, kernels, shadows, mesh, textures, camera, light, skin, hits, shadow_samples, seed, device
        )
        if cards is not None:
            of_cards = _light_of_cards(
                wp, kernels, cards, card_shape, camera, light, layers, hit.shape, seed, device
            )
            colours = of_cards + through[..., None] * colours
        for row, colour in zip(rows, colours, strict=True):
            rgb, alpha = _resolve(colour, coverage, camera, window, supersample)
            row.append(Rendering(_on_background(rgb, alpha, background, srgb), alpha, *geometry))
    return rows


def render_texels(
    mesh: TexturedMesh,
    texels,
    texture: np.ndarray,
    camera: Camera,
    light: Light,
    skin: Skin = Skin(),
    shadow_samples: int = 4,
    seed: int = 0,
    device: str = "cpu",
) -> tuple[np.ndarray, np.ndarray]:
    """What `camera` would see of every texel, had each a free line of sight, and which it really sees.

    The same shading as `render`, without the picture in between: a hundredth of the rays.

    Args:
        texels: the `TexelMap` of the texture layout, (S, S).
        texture: (H, W, 3) float32, sRGB-encoded in [0, 1].

    Returns:
        linear light (S, S, 3), black off the charts; cosine between normal and line of sight (S, S), 0 where hidden.
    """
    wp, kernels = _warp()
    shape = _build(wp, mesh, device)
    hits = (
        wp.array(np.ascontiguousarray(texels.triangle), dtype=wp.int32, device=device),
        wp.array(np.ascontiguousarray(texels.barycentric), dtype=wp.vec3, device=device),
        None,
    )
    light_there = _shade(
        wp, kernels, shape, mesh, texture[None], camera, light, skin, hits, shadow_samples, seed, device
    )[0]
    normals = mesh.normals if mesh.normals is not None else vertex_normals(mesh.vertices, mesh.faces)
    cosine = wp.zeros(texels.triangle.shape, dtype=wp.float32, device=device)
    wp.launch(
        kernels.face_camera,
        dim=cosine.shape,
        inputs=[*hits[:2], wp.vec3(*map(float, camera.centre)), shape.id, _vectors(wp, normals, device)],
        outputs=[cosine],
        device=device,
    )
    return light_there, cosine.numpy()


# ------------------------------------------------------------------------------------------------
# Inside
# ------------------------------------------------------------------------------------------------

_SH_CONSTANT = 0.28209479177387814


@dataclass(frozen=True)
class _Window:
    """The part of the picture that the mesh can touch, in pixels: rays elsewhere are a waste."""

    left: int
    top: int
    width: int
    height: int

    @property
    def slices(self):
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def _check(textures, camera, background) -> None:
    if textures.ndim != 4 or textures.shape[3] != 3:
        raise InvalidInputError(f"The texture must be (H, W, 3), not {textures.shape[1:]}.")
    if background is not None and background.shape != (camera.size[1], camera.size[0], 3):
        raise InvalidInputError(
            f"The background must be {(camera.size[1], camera.size[0], 3)}, not {background.shape}."
        )


def _window(vertices: np.ndarray, camera: Camera) -> _Window:
    width, height = camera.size
    depth = (vertices @ np.asarray(camera.rotation).T + np.asarray(camera.translation))[:, 2]
    if depth.min() <= 0.01:
        return _Window(0, 0, width, height)
    pixels = camera.project(vertices)
    low = np.clip(np.floor(pixels.min(0)).astype(int) - 1, 0, (width, height))
    high = np.clip(np.ceil(pixels.max(0)).astype(int) + 1, 0, (width, height))
    return _Window(low[0], low[1], max(high[0] - low[0], 1), max(high[1] - low[1], 1))


def _vectors(wp, array, device):
    return wp.array(np.ascontiguousarray(array, np.float32), dtype=wp.vec3, device=device)


def _build(wp, mesh: TexturedMesh, device: str):
    indices = np.ascontiguousarray(mesh.faces, np.int32).reshape(-1)
    return wp.Mesh(_vectors(wp, mesh.vertices, device), wp.array(indices, dtype=wp.int32, device=device))


def with_cards(mesh: TexturedMesh, cards: Cards) -> TexturedMesh:
    """Both as one solid shape, the mesh first, for shadows."""
    normals = mesh.normals if mesh.normals is not None else vertex_normals(mesh.vertices, mesh.faces)
    return TexturedMesh(
        np.concatenate([mesh.vertices, cards.vertices]),
        np.concatenate([mesh.faces, cards.faces + len(mesh.vertices)]),
        mesh.uv,
        mesh.uv_faces,
        np.concatenate([normals, cards.normals]),
    )


def _look_through(wp, cards, shape, camera, window, supersample, hits, device):
    """What rays meet of the cards, in front of the mesh: `cards.look_through`."""
    from .card_kernels import cast_through

    rays = _rays(wp, camera, window, supersample)
    place = (
        wp.array(np.ascontiguousarray(cards.uv, np.float32), dtype=wp.vec2, device=device),
        wp.array(np.ascontiguousarray(cards.faces, np.int32), dtype=wp.int32, device=device),
        wp.array(np.ascontiguousarray(cards.texture[..., 3], np.float32), dtype=wp.float32, device=device),
    )
    depth = hits[2].numpy()
    rows, columns = np.indices(depth.shape)
    x = (columns + 0.5) / supersample + window.left - camera.size[0] / 2
    y = (rows + 0.5) / supersample + window.top - camera.size[1] / 2
    along = depth * np.sqrt(1 + (x**2 + y**2) / camera.focal_px**2)  # depth is along the optical axis

    def cast_layer(start, end):
        outputs = [
            wp.empty(depth.shape, dtype=kind, device=device)
            for kind in (wp.int32, wp.vec3, wp.float32, wp.float32)
        ]
        limits = [
            wp.array(limit.astype(np.float32), dtype=wp.float32, device=device) for limit in (start, end)
        ]
        inputs = [shape.id, *rays, *place, VISIBLE, *limits]
        wp.launch(cast_through, dim=depth.shape, inputs=inputs, outputs=outputs, device=device)
        return outputs

    return look_through(cast_layer, cards, along)


def _light_of_cards(wp, kernels, cards, shape, camera, light, layers, like, seed, device) -> np.ndarray:
    """Linear light of the cards along every ray, (h, w, 3); they cast no shadow on each other."""
    unshadowed = replace(light, lamps=tuple(replace(lamp, shadow=False) for lamp in light.lamps))
    dull, rgb = Skin(specular=0.5, roughness=0.6), cards.texture[None, ..., :3]

    def shade_layer(hits):
        return _shade(wp, kernels, shape, cards, rgb, camera, unshadowed, dull, hits, 1, seed, device)[0]

    return light_of(layers, shade_layer, like)


def _rays(wp, camera: Camera, window: _Window, supersample: int) -> list:
    """What the kernels make rays of."""
    half = np.asarray(camera.size) / 2
    return [
        wp.vec3(*map(float, camera.centre)),
        wp.mat33(np.asarray(camera.rotation, np.float32).T),
        float(camera.focal_px),
        wp.vec2(float(window.left - half[0]), float(window.top - half[1])),
        supersample,
    ]


def _cast(wp, kernels, shape, camera: Camera, window: _Window, supersample: int, device: str):
    """-> Warp arrays over the window at `supersample` resolution: triangle (int32), barycentric (vec3),
    depth.
    """
    grid = (window.height * supersample, window.width * supersample)
    triangle = wp.empty(grid, dtype=wp.int32, device=device)
    barycentric = wp.empty(grid, dtype=wp.vec3, device=device)
    depth = wp.empty(grid, dtype=wp.float32, device=device)
    inputs = [shape.id, *_rays(wp, camera, window, supersample)]
    wp.launch(kernels.cast, dim=grid, inputs=inputs, outputs=[triangle, barycentric, depth], device=device)
    return triangle, barycentric, depth


def _shade(
    wp, kernels, shape, mesh, textures, camera, light, skin, hits, shadow_samples, seed, device
) -> np.ndarray:
    """-> linear light of every ray of the window with each texture, (T, h, w, 3); black where nothing was hit."""
    triangle, barycentric, _ = hits
    normals = mesh.normals if mesh.normals is not None else vertex_normals(mesh.vertices, mesh.faces)
    occlusion = mesh.occlusion if mesh.occlusion is not None else np.ones(len(mesh.vertices))
    gloss = mesh.gloss if mesh.gloss is not None else np.ones(len(mesh.faces))
    environment = light.environment if light.environment is not None else np.zeros((9, 3))
    lamps = light.lamps or (Lamp((0.0, 0.0, 1.0), (0.0, 0.0, 0.0), shadow=False),)
    model = [
        shape.id,
        _vectors(wp, normals, device),
        wp.array(np.asarray(occlusion, np.float32), dtype=wp.float32, device=device),
        wp.array(np.asarray(gloss, np.float32), dtype=wp.float32, device=device),
        wp.array(np.ascontiguousarray(mesh.uv, np.float32), dtype=wp.vec2, device=device),
        wp.array(np.ascontiguousarray(mesh.uv_faces, np.int32), dtype=wp.int32, device=device),
        wp.array(srgb_to_linear(np.asarray(textures, np.float32)), dtype=wp.vec3, device=device),
    ]
    shining = [
        int(light.flat),
        _vectors(wp, environment, device),
        _vectors(wp, [lamp.direction for lamp in lamps], device),
        _vectors(wp, [lamp.colour for lamp in lamps], device),
        wp.array(np.array([_lamp_row(lamp) for lamp in lamps], np.float32), dtype=wp.vec3, device=device),
    ]
    surface = [float(skin.specular), float(skin.roughness), wp.vec3(*map(float, skin.bleed))]
    out = wp.zeros((len(textures), *triangle.shape), dtype=wp.vec3, device=device)
    eye = wp.vec3(*map(float, camera.centre))
    wp.launch(
        kernels.shade,
        dim=triangle.shape,
        inputs=[triangle, barycentric, eye, *model, *shining, *surface, shadow_samples, seed],
        outputs=[out],
        device=device,
    )
    return out.numpy()


def _lamp_row(lamp: Lamp) -> tuple[float, float, float]:
    """(spread, distance or 0 for parallel rays, shadow) as the kernel reads it."""
    return lamp.spread, lamp.distance if np.isfinite(lamp.distance) else 0.0, float(lamp.shadow)


def _resolve(colour, hit, camera, window, supersample):
    """Average the rays of each pixel and put the window into the picture -> rgb (H, W, 3), alpha (H, W)."""
    n, (h, w) = supersample, (window.height, window.width)
    rgb = np.zeros((camera.size[1], camera.size[0], 3), np.float32)
    alpha = np.zeros(rgb.shape[:2], np.float32)
    rgb[window.slices] = colour.reshape(h, n, w, n, 3).mean((1, 3))
    alpha[window.slices] = hit.reshape(h, n, w, n).mean((1, 3))
    return rgb, alpha


def _on_background(rgb, alpha, background, srgb) -> np.ndarray:
    if srgb:
        # Coverage must not darken the silhouette twice: encode the surface colour, then lay it over the
        # background.
        rgb = linear_to_srgb(rgb / np.maximum(alpha, 1e-6)[..., None]) * alpha[..., None]
    if background is not None:
        rgb = rgb + (1 - alpha[..., None]) * background
    return rgb.astype(np.float32)


def _geometry(hits, camera, window):
    size = (camera.size[1], camera.size[0])
    triangle = np.full(size, -1, np.int32)
    barycentric = np.zeros((*size, 3), np.float32)
    depth = np.full(size, np.inf, np.float32)
    for whole, part in zip((triangle, barycentric, depth), hits, strict=True):
        whole[window.slices] = part.numpy()
    return triangle, barycentric, depth


_LOADING = threading.RLock()


def load_kernels(device: str = "cpu") -> None:
    """Make everything else here start at once: the kernels are compiled at a machine's first run, 4 s, later read.

    Another thread that needs them meanwhile waits.
    """
    with _LOADING:
        wp, kernels = _warp()
        wp.load_module(kernels.cast.module, device=device)


def _warp():
    with _LOADING:
        return _warp_once()


@functools.cache
def _warp_once():
    """Import Warp once and compile the kernels; they are cached on disk between runs."""
    try:
        import warp as wp
    except ImportError as error:
        raise MissingDependencyError("Rendering needs Warp: run pip install warp-lang.") from error
    wp.config.log_level = wp.LOG_ERROR  # the banner and "no CUDA driver" are no news to the user
    # Nothing is differentiated here, and without adjoint code the kernels compile in half the time.
    wp.config.enable_backward = False
    with quiet_native_logs():
        wp.init()  # its native part complains on stderr where there is no CUDA driver
    from . import kernels as rendering_kernels

    names = ("cast", "shade", "occlude", "face_camera", "nearest", "open_directions")
    return wp, SimpleNamespace(**{name: getattr(rendering_kernels, name) for name in names})
