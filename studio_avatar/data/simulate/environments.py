"""Light from all around: equirectangular panoramas, painted or read from HDR files.

    panorama ─ brightest spots ─► lamps that cast shadows
             └ what is left ────► nine harmonics
             └ where the camera looks ─► the picture's background

A panorama is (H, 2H, 3) float32 linear radiance. Row 0 looks up; the middle column looks along +Z (what the face
sees straight ahead), columns right of it towards the person's left.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from studio_avatar.errors import InvalidInputError, MissingDependencyError
from studio_avatar.imaging.color import LUMA
from studio_avatar.rendering import Camera, Lamp

WEIGHTS = np.array(LUMA, np.float32)  # of the brightness of a panorama
HEIGHT = 128  # rows of a panorama: 1.4 degrees each, finer than any background out of focus shows
MEAN_RADIANCE = 0.5  # every panorama is scaled to it: files come in any unit, and phones set their exposure
SUFFIXES = (".hdr", ".exr")
SPOT = 5.0  # a spot is that many times brighter than the mean
MAX_SPREAD = 0.4  # angular radius above which a spot is cut in two [radians]
EYE_LEVEL = 1.5  # of a phone in a room [m]


# ------------------------------------------------------------------------------------------------
# From a panorama to light
# ------------------------------------------------------------------------------------------------


def harmonic_basis(directions: np.ndarray) -> np.ndarray:
    """Nine real spherical harmonics at unit `directions` (..., 3) -> (..., 9), in the renderer's order."""
    x, y, z = np.moveaxis(np.asarray(directions), -1, 0)
    return np.stack(
        [
            np.full_like(x, 0.282095), 0.488603 * y, 0.488603 * z, 0.488603 * x, 1.092548 * x * y, 1.092548 * y * z,
            0.315392 * (3 * z * z - 1), 1.092548 * x * z, 0.546274 * (x * x - y * y),
        ],
        -1,
    )  # fmt: skip


def harmonics(panorama: np.ndarray, turn: np.ndarray | None = None) -> np.ndarray:
    """Coefficients (9, 3) of the panorama's radiance, after its directions were turned by `turn` (3, 3)."""
    directions, solid_angle = _sphere(panorama.shape[0])
    if turn is not None:
        directions = directions @ np.asarray(turn).T
    return np.einsum("hwk,hwc,hw->kc", harmonic_basis(directions), panorama, solid_angle)


def without_spots(panorama: np.ndarray, count: int = 3) -> tuple[np.ndarray, tuple[Lamp, ...]]:
    """Take the brightest spots out of a panorama, as lamps.

    Connected bright regions are cut in halves of equal power until none is wider than `MAX_SPREAD` (the median cut);
    the `count` most powerful pieces become lamps, weaker ones stay in the panorama. No light is lost or added.

    Returns:
        the panorama without them, and the lamps.
    """
    directions, solid_angle = _sphere(panorama.shape[0])
    brightness = panorama @ WEIGHTS
    mean = float((brightness * solid_angle).sum() / (4 * np.pi))
    # A spot shines on top of the surface behind it, which keeps the mean's brightness and the spot's color.
    kept = panorama * np.minimum(1, mean / np.maximum(brightness, 1e-9))[..., None]
    power = ((panorama - kept) @ WEIGHTS) * solid_angle
    pieces = [
        piece for region in _regions(brightness > SPOT * mean) for piece in _cut(region, power, directions)
    ]
    pieces = sorted(pieces, key=lambda piece: -power[piece].sum())[:count]
    rest, lamps = panorama.copy(), []
    for piece in pieces:
        center, spread = _center(piece, power, directions)
        arriving = solid_angle[piece] * np.maximum(directions[piece] @ center, 0) / np.pi
        color = arriving @ (panorama[piece] - kept[piece])
        lamps.append(Lamp(tuple(map(float, center)), tuple(map(float, color)), float(spread)))
        rest[piece] = kept[piece]
    return rest, tuple(lamps)


def seen_by(panorama: np.ndarray, camera: Camera, turn: np.ndarray, blur: float) -> np.ndarray:
    """What the camera sees behind the person, out of focus, (H, W, 3) linear.

    turn: (3, 3), from the panorama's axes to the head's; blur: of the lens, share of the picture's width.
    """
    import cv2

    width, height = (max(side // 8, 8) for side in camera.size)
    x, y = np.meshgrid((np.arange(width) + 0.5) / width - 0.5, (np.arange(height) + 0.5) / height - 0.5)
    rays = np.stack([x * camera.size[0], y * camera.size[1], np.full_like(x, camera.focal_px)], -1)
    rays = (
        rays / np.linalg.norm(rays, axis=-1, keepdims=True) @ np.asarray(camera.rotation) @ np.asarray(turn)
    )
    rows = panorama.shape[0]
    column = (np.arctan2(rays[..., 0], rays[..., 2]) / (2 * np.pi) + 0.5) * 2 * rows - 0.5
    row = (0.5 - np.arcsin(np.clip(rays[..., 1], -1, 1)) / np.pi) * rows - 0.5
    wrapped = np.concatenate([panorama[:, -1:], panorama, panorama[:, :1]], 1)  # interpolate across the seam
    small = cv2.remap(
        wrapped,
        (column + 1).astype(np.float32),
        row.astype(np.float32),
        cv2.INTER_LINEAR,
        None,
        cv2.BORDER_REPLICATE,
    )
    small = cv2.GaussianBlur(small, (0, 0), max(blur * width, 0.5))
    return cv2.resize(small, camera.size, interpolation=cv2.INTER_CUBIC).clip(0)


@functools.cache
def _sphere(height: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit direction (H, 2H, 3) and solid angle (H, 2H) of every pixel, read-only."""
    elevation = np.pi / 2 - (np.arange(height) + 0.5) * np.pi / height
    azimuth = -np.pi + (np.arange(2 * height) + 0.5) * np.pi / height
    e, a = np.meshgrid(elevation, azimuth, indexing="ij")
    directions = np.stack([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)], -1)
    band = np.sin(elevation + np.pi / 2 / height) - np.sin(elevation - np.pi / 2 / height)
    solid_angle = np.repeat(band[:, None] * np.pi / height, 2 * height, 1)
    for array in (directions, solid_angle):
        array.setflags(write=False)
    return directions, solid_angle


def _regions(bright: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Connected regions of a mask that closes around the seam -> (rows, columns) each."""
    import cv2

    width = bright.shape[1]
    shift = int(np.argmin(bright.sum(0)))  # put the seam where the least is cut
    count, label = cv2.connectedComponents(np.roll(bright, -shift, 1).astype(np.uint8))
    regions = (np.nonzero(label == k) for k in range(1, count))
    return [(rows, (columns + shift) % width) for rows, columns in regions]


def _cut(piece, power, directions) -> list:
    """Halve a piece at the median of its power, along its longer extent, until no part is too wide."""
    center, spread = _center(piece, power, directions)
    if spread <= MAX_SPREAD or len(piece[0]) < 2:
        return [piece]
    along = np.linalg.svd((directions[piece] - center) * np.sqrt(power[piece])[:, None], full_matrices=False)[
        2
    ][0]
    order = np.argsort(directions[piece] @ along, kind="stable")
    total = np.cumsum(power[piece][order])
    half = int(np.clip(np.searchsorted(total, total[-1] / 2), 1, len(order) - 1))
    halves = ((piece[0][part], piece[1][part]) for part in (order[:half], order[half:]))
    return [small for one in halves for small in _cut(one, power, directions)]


def _center(piece, power, directions) -> tuple[np.ndarray, float]:
    """Direction of a piece's power and the angular radius of an even disc as wide as it."""
    mean = power[piece] @ directions[piece] / power[piece].sum()
    length = np.linalg.norm(mean)
    return mean / max(length, 1e-9), 2 * np.sqrt(max(1 - length, 1e-6))


# ------------------------------------------------------------------------------------------------
# Files
# ------------------------------------------------------------------------------------------------


def read_panorama(path: str | Path) -> np.ndarray:
    """A Radiance (.hdr) or OpenEXR (.exr) panorama as (HEIGHT, 2 HEIGHT, 3), scaled to `MEAN_RADIANCE`.

    Raises:
        InvalidInputError: the file is broken, dark, or not twice as wide as high.
        MissingDependencyError: an .exr file, and `OpenEXR` is not installed.
    """
    import cv2

    path = Path(path)
    radiance = (_read_exr if path.suffix.lower() == ".exr" else _read_hdr)(path)
    height, width = radiance.shape[:2]
    if width != 2 * height:
        raise InvalidInputError(f"{path.name} is {width}x{height}: a panorama must be twice as wide as high.")
    radiance = np.nan_to_num(radiance, nan=0.0, posinf=65504.0, neginf=0.0).clip(0)
    if not radiance.any():
        raise InvalidInputError(f"{path.name} is black.")
    return scaled(cv2.resize(radiance, (2 * HEIGHT, HEIGHT), interpolation=cv2.INTER_AREA))


def read_panoramas(folder: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """All panoramas of a folder, by file name, and why files of other names were skipped.

    Raises:
        InvalidInputError: no file can be used.
    """
    good, skipped = {}, {}
    for path in sorted(p for p in Path(folder).glob("*") if p.suffix.lower() in SUFFIXES):
        try:
            good[path.name] = read_panorama(path)
        except InvalidInputError as error:
            skipped[path.name] = str(error)
    if not good:
        raise InvalidInputError(
            f"There is no usable .hdr or .exr panorama in {folder}: {'; '.join(skipped.values()) or 'no such file'}."
        )
    return good, skipped


def scaled(panorama: np.ndarray) -> np.ndarray:
    """The panorama at `MEAN_RADIANCE`."""
    mean = ((panorama @ WEIGHTS) * _sphere(panorama.shape[0])[1]).sum() / (4 * np.pi)
    return (panorama * (MEAN_RADIANCE / mean)).astype(np.float32)


def _read_hdr(path: Path) -> np.ndarray:
    import cv2

    data = np.fromfile(path, np.uint8) if path.stat().st_size else np.zeros(1, np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if picture is None or picture.ndim != 3 or picture.dtype != np.float32:
        raise InvalidInputError(f"{path.name} is no readable Radiance picture.")
    return picture[..., 2::-1]


def _read_exr(path: Path) -> np.ndarray:
    try:
        import OpenEXR
    except ImportError as error:
        raise MissingDependencyError(
            'Reading .exr files needs OpenEXR: run pip install "studio-avatar[train]".'
        ) from error
    try:
        with OpenEXR.File(str(path)) as file:
            channels = file.channels()
            picture = channels["RGB" if "RGB" in channels else "RGBA"].pixels
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        raise InvalidInputError(
            f"{path.name} is no readable OpenEXR picture with red, green and blue."
        ) from error
    return np.ascontiguousarray(picture[..., :3], np.float32)


# ------------------------------------------------------------------------------------------------
# Painted panoramas
# ------------------------------------------------------------------------------------------------


def paint_panorama(rng: np.random.Generator) -> np.ndarray:
    """A plausible place, (HEIGHT, 2 HEIGHT, 3): a room with windows and lamps, an open sky, or colored light at night."""
    paint = (_paint_room, _paint_sky, _paint_night)[rng.choice(3, p=(0.6, 0.25, 0.15))]
    return scaled(np.maximum(paint(rng), 1e-3))


def temperature(kelvin: float) -> np.ndarray:
    """Linear sRGB of a black body, (3,) scaled to green = 1; a fit good to a few per cent from 2500 to 10000 K."""
    t = np.log(kelvin / 6500.0)
    return np.exp(np.array([-0.62 * t + 0.25 * t * t, 0.0, 0.98 * t - 0.62 * t * t]))


def _paint_room(rng) -> np.ndarray:
    """The inside of a box: tinted walls, pictures and furniture, one to three windows, perhaps a ceiling lamp."""
    half = np.array([rng.uniform(1.5, 3.5), 1.25, rng.uniform(1.5, 3.5)])  # [m]
    wall, place = _box(half, rng.uniform(-0.5, 0.5, 3) * (half[0], 0, half[2]) + (0, EYE_LEVEL - half[1], 0))
    paint = rng.uniform(0.35, 0.85) * rng.normal(1, 0.06, 3)
    surfaces = {0: paint, 1: paint, 2: [rng.uniform(0.1, 0.4)] * np.array([1.1, 1, 0.85]), 3: np.full(3, 0.8)}
    radiance = np.empty((*wall.shape, 3))
    for face in range(6):
        radiance[wall == face] = surfaces.get(face, paint) * rng.uniform(0.75, 1.1)
    radiance *= 0.35 * temperature(rng.uniform(3500, 7000))
    walls = rng.permutation([0, 1, 4, 5])
    for _ in range(rng.integers(2, 8)):  # furniture and pictures
        low, high = (-1.25, rng.uniform(-0.9, 0.7)) if rng.random() < 0.6 else (0.0, rng.uniform(0.3, 0.9))
        shade = rng.uniform(0.02, 0.7) * rng.normal(1, 0.2, 3)
        radiance[
            _patch(wall, place, rng.choice(walls), rng.uniform(-2, 2), rng.uniform(0.4, 1.6), low, high)
        ] = shade * 0.35
    daylight = temperature(rng.uniform(5500, 9000)) * rng.uniform(2, 12)
    for face in walls[: rng.integers(0, 4)]:
        center, width = rng.uniform(-1, 1), rng.uniform(0.8, 2.2)
        pane = _patch(wall, place, face, center, width, rng.uniform(-1.2, -0.2), rng.uniform(0.6, 1.1))
        radiance[pane] = daylight * rng.uniform(0.6, 1, (int(pane.sum()), 1))
    for _ in range(rng.integers(0, 3)):  # lamps under the ceiling
        spot = rng.uniform(-0.7, 0.7, 2) * half[[0, 2]]
        near = (wall == 3) & (
            np.hypot(place[..., 0] - spot[0], place[..., 2] - spot[1]) < rng.uniform(0.1, 0.45)
        )
        radiance[near] = temperature(rng.uniform(2700, 5500)) * rng.uniform(8, 40)
    return radiance


def _paint_sky(rng) -> np.ndarray:
    """Sky over a horizon of trees and houses, with the sun out or behind cloud."""
    directions, _ = _sphere(HEIGHT)
    height = directions[..., 1]
    cloud = rng.uniform(0, 1)
    blue = np.array([0.35, 0.6, 1.1]) * (1 - cloud) + np.array([0.9, 0.95, 1.0]) * cloud
    sky = (
        blue * (1.3 - 0.8 * np.clip(height, 0, 1))[..., None] * (1 + 0.25 * cloud * _noise(rng, 9))[..., None]
    )
    ground = rng.uniform(0.08, 0.4) * np.array([1.0, 0.95, 0.85]) * np.ones_like(sky)
    skyline = np.clip(0.06 + 0.10 * _noise(rng, 24)[HEIGHT // 2], -0.02, 0.6) * rng.uniform(0.3, 2)
    land = height < skyline
    walls = rng.uniform(0.05, 0.5) * rng.normal(1, 0.15, 3) * (1 + 0.3 * _noise(rng, 30))[..., None]
    radiance = np.where((height < -0.02)[..., None], ground, np.where(land[..., None], walls.clip(0.02), sky))
    if cloud < 0.6:
        azimuth, elevation = rng.uniform(-np.pi, np.pi), rng.uniform(0.1, 1.2)
        sun = np.array(
            [np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)]
        )
        glow = np.exp((directions @ sun - 1) / 0.0006) * (~land)
        radiance = radiance + glow[..., None] * temperature(3200 + 2800 * min(elevation, 1)) * rng.uniform(
            80, 400
        )
    return radiance


def _paint_night(rng) -> np.ndarray:
    """A dim place with one to three large lights of any hue: signs, screens, stage light."""
    import colorsys

    directions, _ = _sphere(HEIGHT)
    dim = 0.03 * (1 + 0.2 * _noise(rng, 12)).clip(0.1)
    radiance = dim[..., None] * temperature(rng.uniform(3000, 8000))
    for _ in range(rng.integers(1, 4)):
        color = np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.2, 0.85), 1.0)) ** 2.2
        azimuth, elevation = rng.uniform(-180, 180), rng.uniform(-15, 50)
        wide, high = rng.uniform(5, 35), rng.uniform(4, 25)
        a = np.degrees(np.arctan2(directions[..., 0], directions[..., 2])) - azimuth
        e = np.degrees(np.arcsin(directions[..., 1])) - elevation
        inside = (np.abs((a + 180) % 360 - 180) < wide) & (np.abs(e) < high)
        radiance[inside] = color * rng.uniform(2, 8) / np.sqrt(wide * high / 100)
    return radiance


def _box(half: np.ndarray, eye: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which wall (0 -x, 1 +x, 2 floor, 3 ceiling, 4 -z, 5 +z) each direction meets from `eye`, and where [m]."""
    directions, _ = _sphere(HEIGHT)
    reach = (np.where(directions > 0, half, -half) - eye) / np.where(
        np.abs(directions) < 1e-9, 1e-9, directions
    )
    axis = reach.argmin(-1)
    along = np.take_along_axis(directions, axis[..., None], -1)[..., 0]
    return 2 * axis + (along > 0), eye + directions * reach.min(-1, keepdims=True)


def _patch(wall, place, face: int, center: float, width: float, low: float, high: float) -> np.ndarray:
    """Mask of an upright rectangle on a side wall, meters from the room's center."""
    across = place[..., 2] if face < 2 else place[..., 0]
    return (
        (wall == face)
        & (np.abs(across - center) < width / 2)
        & (place[..., 1] > low)
        & (place[..., 1] < high)
    )


def _noise(rng, cells: int) -> np.ndarray:
    """Smooth noise about N(0, 1) over the panorama, closed around the seam, `cells` bumps around."""
    import cv2

    nodes = rng.standard_normal((max(cells // 2, 2), cells)).astype(np.float32)
    nodes = np.concatenate([nodes[:, -2:], nodes, nodes[:, :2]], 1)
    step = 2 * HEIGHT / cells
    wide = cv2.resize(nodes, (round(nodes.shape[1] * step), HEIGHT), interpolation=cv2.INTER_CUBIC)
    return 1.4 * wide[:, round(2 * step) : round(2 * step) + 2 * HEIGHT]
