"""What people wear in front of their face: glasses, and hair that falls over forehead and cheeks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studio_avatar.data.augment.augmentation import HAIR_COLORS
from studio_avatar.head.layout import region_mask
from studio_avatar.rendering import Camera, Light, Rendering, TexturedMesh, render

from .environments import HEIGHT, harmonic_basis
from .parts import Part, merged, tube
from .room import Room, turn_of

GLASSES_PROBABILITY, HAIR_PROBABILITY = 0.2, 0.2
# MediaPipe landmarks.
RIGHT_EYE, LEFT_EYE, BRIDGE = (33, 133), (362, 263), 168
FRAME_COLORS = np.array(
    [[0.03, 0.03, 0.035], [0.12, 0.07, 0.05], [0.30, 0.17, 0.10], [0.45, 0.10, 0.10], [0.12, 0.16, 0.30],
     [0.75, 0.72, 0.68]], np.float32,
)  # fmt: skip
METALS = np.array(
    [[0.62, 0.62, 0.64], [0.70, 0.58, 0.36], [0.25, 0.25, 0.27], [0.72, 0.52, 0.45]], np.float32
)
CLEARANCE = 0.001  # between frame and skin [m]
LENS_TRANSMISSION, LENS_REFLECTANCE = 0.93, 0.045
LENS_RADIUS = 0.13  # of curvature, a common base-4 lens [m]
RIM_POINTS = 48
HAIR_DARKER_THAN_SKIN = 0.75
SKIN_REGIONS = ("face", "lips", "brows", "eyelids", "scalp")


@dataclass(frozen=True)
class Glasses:
    """A frame to attach to a head, and its two lenses as a mesh of their own (they hide nothing)."""

    frame: Part
    lenses: TexturedMesh


def sample_glasses(rng: np.random.Generator, head, mesh: TexturedMesh) -> Glasses:
    """Glasses of random shape, size and material that fit the head `mesh`."""
    import torch

    marks = head.landmarks(torch.from_numpy(mesh.vertices[: len(head.neutral)])).numpy()
    metal = rng.random() < 0.45
    thickness = rng.uniform(0.0006, 0.0010) if metal else rng.uniform(0.0011, 0.0022)
    wide, high = rng.uniform(0.0235, 0.0275), rng.uniform(0.65, 0.95)
    outline = _superellipse(wide, wide * high, rng.uniform(2.0, 4.0), rng.uniform(0, 0.12))
    tilt, skin = np.radians(rng.uniform(4, 10)), _skin(head, mesh)
    pupils = [marks[list(eye)].mean(0) for eye in (RIGHT_EYE, LEFT_EYE)]
    distance = max((pupils[1] - pupils[0])[0], 2 * wide + 0.014)
    middle = (pupils[0] + pupils[1]) / 2 - (0, rng.uniform(0.001, 0.006), 0)
    rims = []
    for side in (-1, 1):
        shape = outline * (side, 1)  # the outer upper corner is the wide one on both sides
        rim = np.column_stack([shape, np.tan(tilt) * shape[:, 1] - 0.10 * np.abs(shape[:, 0] + side * wide)])
        rims.append(middle + (side * distance / 2, 0, 0) + rim)
    bridge = _bridge(rims, marks[BRIDGE])
    clear = max(_needed_clearance(points, skin) for points in (*rims, bridge))
    rims, bridge = [rim + (0, 0, clear) for rim in rims], bridge + (0, 0, clear)
    pieces = [tube(rim, thickness, 8, closed=True) for rim in rims] + [tube(bridge, thickness * 1.1, 8)]
    pieces += [
        tube(_temple(rim, side, head, mesh, skin), thickness * 1.2, 6) for rim, side in zip(rims, (-1, 1))
    ]
    vertices, faces = merged(pieces)
    colors = METALS if metal else FRAME_COLORS
    color = np.clip(colors[rng.integers(len(colors))] * rng.uniform(0.8, 1.2), 0, 1)
    frame = Part(vertices, faces, color, np.zeros(len(faces), int), 6.0 if metal else rng.uniform(0.8, 2.5))
    return Glasses(frame, _lenses(rims))


def sample_strands(rng: np.random.Generator, head, mesh: TexturedMesh, texture: np.ndarray) -> Part:
    """Locks of hair from the hairline over forehead, temples and cheeks, in the color of the hair on the scalp of
    `texture` (S, S, 3) sRGB, or any plausible one on a bald head."""
    surface = _RadialSurface(_skin(head, mesh))
    color = _hair_color(rng, head, texture) * rng.uniform(0.85, 1.2)
    pieces, shades = [], []
    share = np.linspace(0, 1, 14)
    for _ in range(rng.integers(2, 8)):
        azimuth, top = rng.uniform(-80, 80), rng.uniform(36, 52)
        bottom = rng.uniform(-5, 24) - rng.uniform(0, 1) * abs(azimuth) * 0.8
        sweep, lift, wave = rng.normal(0, 20), rng.uniform(0.002, 0.009), rng.normal(0, 2.5)
        for _ in range(rng.integers(15, 50)):
            a = azimuth + rng.normal(0, 3.0) * (1 - 0.6 * share) + (sweep + rng.normal(0, 3)) * share**1.3
            a = a + wave * np.sin(share * np.pi * 2 + rng.normal(0, 0.4))
            e = top + rng.normal(0, 2.0) + (bottom + rng.normal(0, 5) - top) * share
            # Out of the scalp, away from it, and back to the skin.
            off = (
                -0.003
                + 0.0045 * np.minimum(share * 3, 1)
                + lift * np.sin(np.pi * share) * rng.uniform(0.4, 1.3)
            )
            thick = rng.uniform(0.00016, 0.00036) * (1.05 - share**2)
            pieces.append(tube(surface.points(a, e, off), thick, 3))
            shades.append(np.full(len(pieces[-1][1]), rng.integers(0, 6)))
    vertices, faces = merged(pieces)
    colors = np.clip(color * np.linspace(0.5, 1.7, 6)[:, None], 0.01, 1)
    return Part(vertices, faces, colors, np.concatenate(shades), 1.1, np.full(len(vertices), 0.75))


def add_lens_gloss(
    linear: np.ndarray, shown: Rendering, glasses: Glasses, camera: Camera, room: Room, light: Light
) -> np.ndarray:
    """Lay the reflection of the room in the lenses over a picture (H, W, 3) of linear light.

    shown: the rendering without lenses, for its depth; the lenses are clear and take a few per cent of the light.
    """
    lens = render(glasses.lenses, np.ones((2, 2, 3), np.float32), camera, srgb=False)
    in_front = (lens.triangle >= 0) & (lens.depth < shown.depth)
    if not in_front.any():
        return linear
    mesh, rows = glasses.lenses, np.nonzero(in_front)
    corners = mesh.faces[lens.triangle[rows]]
    shares = lens.barycentric[rows][..., None]
    point, normal = ((values[corners] * shares).sum(1) for values in (mesh.vertices, mesh.normals))
    sight = point - camera.center
    sight /= np.linalg.norm(sight, axis=1, keepdims=True)
    mirrored = sight - 2 * (sight * normal).sum(1, keepdims=True) * normal
    grazing = (1 - np.abs((sight * normal).sum(1, keepdims=True))) ** 5
    reflected = _radiance(mirrored, room, light, turn_of(room, camera))
    out = linear.copy()
    out[rows] = linear[rows] * LENS_TRANSMISSION + reflected * (
        LENS_REFLECTANCE + (1 - LENS_REFLECTANCE) * grazing
    )
    return out


def _radiance(directions: np.ndarray, room: Room, light: Light, turn: np.ndarray) -> np.ndarray:
    """What arrives from `directions` (N, 3) of head space, linear (N, 3): the panorama, or harmonics and lamps."""
    if room.panorama is not None:
        there = directions @ turn
        column = (np.arctan2(there[:, 0], there[:, 2]) / (2 * np.pi) + 0.5) * 2 * HEIGHT
        row = (0.5 - np.arcsin(np.clip(there[:, 1], -1, 1)) / np.pi) * HEIGHT
        return room.panorama[row.astype(int).clip(0, HEIGHT - 1), column.astype(int) % (2 * HEIGHT)]
    radiance = np.maximum(harmonic_basis(directions) @ light.environment, 0)
    for lamp in light.lamps:
        spread = max(lamp.spread, 0.03)
        disc = directions @ np.asarray(lamp.direction) > np.cos(spread)
        radiance += disc[:, None] * np.asarray(lamp.color) * (np.pi / (2 * np.pi * (1 - np.cos(spread))))
    return radiance


# ------------------------------------------------------------------------------------------------
# Inside: glasses
# ------------------------------------------------------------------------------------------------


def _superellipse(wide: float, high: float, exponent: float, flare: float) -> np.ndarray:
    """Outline (N, 2) of a lens; `flare` widens its upper half."""
    angle = np.linspace(0, 2 * np.pi, RIM_POINTS, endpoint=False)
    x, y = np.cos(angle), np.sin(angle)
    radius = (np.abs(x) ** exponent + np.abs(y) ** exponent) ** (-1 / exponent)
    x, y = radius * x, radius * y
    return np.column_stack([wide * x * (1 + flare * y), high * y])


def _bridge(rims, nose: np.ndarray) -> np.ndarray:
    """A low arch (9, 3) between the inner edges of both rims, a little above their middle."""
    right, left = rims[0][rims[0][:, 0].argmax()], rims[1][rims[1][:, 0].argmin()]
    share = np.linspace(0, 1, 9)[:, None]
    arch = np.sin(np.pi * share) * np.array([0, 0.0025, 0.0015])
    return right + (left - right) * share + (0, 0.003, 0) + arch


def _temple(rim: np.ndarray, side: int, head, mesh: TexturedMesh, skin: np.ndarray) -> np.ndarray:
    """From the outer upper corner of a rim back over the ear, outside the head, (24, 3)."""
    corner = rim[np.argmax(side * rim[:, 0] + 0.5 * rim[:, 1])]
    names = list(head.config.region_names)
    ear_faces = head.faces.numpy()[head.face_region.numpy() == names.index("ears")]
    ear = mesh.vertices[np.unique(ear_faces)]
    ear = ear[side * ear[:, 0] > 0]
    rest = np.array([side * np.abs(ear[:, 0]).min(), ear[:, 1].max() - 0.006, ear[ear[:, 1].argmax(), 2]])
    share = np.linspace(0, 1, 18)[:, None]
    straight = corner + (rest - corner) * share
    hook = rest + np.linspace(0, 1, 7)[1:, None] ** np.array([1, 1.5, 1]) * np.array(
        [-side * 0.004, -0.03, -0.018]
    )
    path = np.concatenate([straight, hook])
    for point in path[2:]:
        near = skin[np.hypot(skin[:, 1] - point[1], skin[:, 2] - point[2]) < 0.009]
        near = near[side * near[:, 0] > 0.02]
        if len(near):
            point[0] = side * max(side * point[0], np.abs(near[:, 0]).max() + 0.002)
    return path


def _needed_clearance(points: np.ndarray, skin: np.ndarray) -> float:
    """How far `points` must move forward to stay `CLEARANCE` in front of the face, meters (negative: back)."""
    front = skin[skin[:, 2] > 0]
    gap = [
        (front[np.hypot(*(front[:, :2] - point[:2]).T) < 0.005, 2].max(initial=-1.0) + CLEARANCE) - point[2]
        for point in points
    ]
    return max(gap)


def _lenses(rims) -> TexturedMesh:
    """Two slightly convex discs inside the rims."""
    rings = 6
    pieces, normals = [], []
    for rim in rims:
        middle = rim.mean(0)
        share = np.linspace(0, 1, rings + 1)[1:, None, None]
        bulge = (0, 0, 0.0025) * (1 - share**2)
        disc = np.concatenate(
            [[middle + (0, 0, 0.0025)], (middle + (rim - middle) * share + bulge).reshape(-1, 3)]
        )
        index = 1 + np.arange(rings * RIM_POINTS).reshape(rings, RIM_POINTS)
        a, b = index[:-1], index[1:]
        c, d = np.roll(b, -1, 1), np.roll(a, -1, 1)
        fan = np.stack([np.zeros(RIM_POINTS, int), index[0], np.roll(index[0], -1)], -1)
        faces = [fan, np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)]
        pieces.append((disc, np.concatenate(faces)))
        plane = np.linalg.svd(rim - middle, full_matrices=False)[2][-1]
        out = (disc - middle) / LENS_RADIUS + plane * np.sign(plane[2])
        normals.append(out / np.linalg.norm(out, axis=1, keepdims=True))
    vertices, faces = merged(pieces)
    spot = np.full((1, 2), 0.5, np.float32)
    return TexturedMesh(
        vertices.astype(np.float32),
        faces,
        spot,
        np.zeros_like(faces),
        np.concatenate(normals).astype(np.float32),
    )


# ------------------------------------------------------------------------------------------------
# Inside: hair
# ------------------------------------------------------------------------------------------------


def _skin(head, mesh: TexturedMesh) -> np.ndarray:
    """Vertices (N, 3) of everything that is skin outside the mouth and eyes."""
    names = list(head.config.region_names)
    wanted = [names.index(name) for name in names if name in SKIN_REGIONS]
    faces = head.faces.numpy()[np.isin(head.face_region.numpy(), wanted)]
    return mesh.vertices[np.unique(faces)]


def _hair_color(rng, head, texture: np.ndarray) -> np.ndarray:
    size = texture.shape[0]
    scalp, face = (np.median(texture[region_mask(head, size, name)], 0) for name in ("scalp", "face"))
    if scalp.mean() < HAIR_DARKER_THAN_SKIN * face.mean():
        return scalp
    return HAIR_COLORS[rng.integers(len(HAIR_COLORS) if face.mean() > 0.4 else 2)]


class _RadialSurface:
    """The head as a distance from its middle over (azimuth, elevation), smooth, no nearer than the skin."""

    STEP = 3.0  # degrees

    def __init__(self, skin: np.ndarray):
        from scipy.ndimage import gaussian_filter, maximum_filter

        self.center = np.array([0.0, (skin[:, 1].min() + skin[:, 1].max()) / 2 + 0.02, 0.0])
        ray = skin - self.center
        reach = np.linalg.norm(ray, axis=1)
        azimuth = np.degrees(np.arctan2(ray[:, 0], ray[:, 2]))
        elevation = np.degrees(np.arcsin(ray[:, 1] / reach))
        grid = np.zeros((round(180 / self.STEP), round(360 / self.STEP)))
        rows, columns = self._cell(azimuth, elevation)
        np.maximum.at(grid, (rows.astype(int), columns.astype(int)), reach)
        grid = np.where(grid > 0, grid, maximum_filter(grid, 5, mode="nearest"))
        self.reach = gaussian_filter(maximum_filter(grid, 3, mode="nearest"), 0.8, mode="nearest")

    def points(self, azimuth: np.ndarray, elevation: np.ndarray, off: np.ndarray) -> np.ndarray:
        """Points (N, 3) above the skin by `off` meters; angles in degrees."""
        from scipy.ndimage import map_coordinates

        reach = map_coordinates(self.reach, self._cell(azimuth, elevation), order=1, mode="nearest") + off
        a, e = np.radians(azimuth), np.radians(elevation)
        ray = np.stack([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)], -1)
        return self.center + ray * reach[:, None]

    def _cell(self, azimuth, elevation):
        """Coordinates in the grid (rows, columns), as floats inside it."""
        rows = np.clip((90 - elevation) / self.STEP, 0, 180 / self.STEP - 1)
        return rows, np.clip((azimuth + 180) / self.STEP, 0, 360 / self.STEP - 1)
