"""The studio subjects as head-v1 textures: MakeHuman skins, VALID people, and what `adapters` has converted.

MakeHuman skins share the mesh with our head: their chart is only resampled. VALID people have their own
meshes: they are photographed without light from several sides, captured by our own capture code, and
completed where no view reaches (back, neck under the shirt, inside of the lids) from the tone-matched mean
MakeHuman skin.
"""

from __future__ import annotations

import functools
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from studio_avatar.avatar.material.eyes import paint_eyes_and_mouth
from studio_avatar.data.augment.augmentation import paint_brows, studio_masks, typology_angle
from studio_avatar.data.augment.painting import membrane
from studio_avatar.errors import InvalidInputError
from studio_avatar.head.layout import landmark_uv, region_mask, resample_chart, texel_map
from studio_avatar.imaging.ramps import smoothstep
from studio_avatar.rendering import TexturedMesh

from .flat_views import VIEWS, flat_views

HELD_OUT_PER_SOURCE, VALIDATION_PER_SOURCE = 4, 3
# The eyeball's picture in VALID's 2048² atlas: center, radius, radius of its iris [px].
EYE_DISC, EYE_DISC_RADIUS, EYE_DISC_ANGLE = (289, 116), 108, np.radians(105)
EYE_RADIUS = 0.0125  # [m]
MIN_TEXTURE = 256  # texels a side; smaller pictures are thumbnails
SKIN_LIKE = 0.22  # largest distance from the face's tone, in log RGB, at which a neck texel is still skin
IRISES = {
    "brown": (0.30, 0.18, 0.11),
    "dark": (0.17, 0.10, 0.07),
    "blue": (0.36, 0.47, 0.56),
    "green": (0.38, 0.40, 0.27),
    "hazel": (0.42, 0.29, 0.15),
    "grey": (0.45, 0.48, 0.50),
}


@dataclass(frozen=True)
class StudioSubject:
    """One person of the studio set.

    source: "makehuman" or "valid"; path: the texture's file; split: "train", "validation" or "held_out".
    """

    id: str
    source: str
    path: Path
    split: str

    @property
    def bare(self) -> bool:
        """Brows and hair are missing from the source."""
        return self.source == "makehuman"


def studio_subjects(data: str | Path) -> list[StudioSubject]:
    """The subjects under `data`/studio, sorted, with their split.

    Held out and validation subjects are spread evenly over the names of each source, which begin with age, tone or
    ethnic group: the last ones by name would all be of one kind.

    Raises:
        InvalidInputError: the folder has no studio set.
    """
    subjects = []
    for source, pattern in (("makehuman", "*.png"), ("valid", "*.npz"), ("head-v1", "*.png")):
        paths = sorted((Path(data) / "studio" / source).glob(pattern))
        held_out = _spread(HELD_OUT_PER_SOURCE, len(paths), 0.5)
        validation = _spread(VALIDATION_PER_SOURCE, len(paths), 0.25) - held_out
        for index, path in enumerate(paths):
            split = "held_out" if index in held_out else "validation" if index in validation else "train"
            subjects.append(StudioSubject(path.stem, source, path, split))
    if not subjects:
        raise InvalidInputError(
            f"There is no studio set in {Path(data) / 'studio'}: see docs/training-data.md for its sources."
        )
    return subjects


def _spread(count: int, length: int, phase: float) -> set[int]:
    """`count` indices spread evenly over range(length); none where there are too few to leave any for training."""
    return {int((k + phase) * length / count) for k in range(count)} if length > 3 * count else set()


def studio_texture(subject: StudioSubject, head, size: int = 1024, brows: bool = True) -> np.ndarray:
    """One subject's complete studio texture, (size, size, 3) float32 sRGB, layout head-v1, gutters filled.

    brows: paint brows on subjects that have none.
    """
    seed = _seed_of(subject.id)
    rng = np.random.default_rng(seed)
    masks = studio_masks(head, size)
    if subject.source == "makehuman":
        texture = makehuman_skin(subject.path, head, size)
        texture = paint_brows(texture, masks, rng) if brows else texture
    elif subject.source == "head-v1":
        return _resized(read_square(subject.path), size)  # the adapters have done the rest
    else:
        texture = valid_skin(subject.path, head, size, subject.path.parent.parent / "makehuman")
    texture = texel_map(head, size).filled(texture)
    return paint_eyes_and_mouth(texture, head, sample_iris(rng, texture[masks.cheek]), seed, shaded=False)


def makehuman_skin(path: Path, head, size: int) -> np.ndarray:
    """A MakeHuman skin in head-v1, (size, size, 3) float32 sRGB, without brows."""
    return np.clip(resample_chart(read_square(path), head.anny_uv.cpu().numpy(), head, size), 0, 1)


def valid_skin(path: Path, head, size: int, skins: Path) -> np.ndarray:
    """A VALID person in head-v1, completed from the mean of the MakeHuman `skins` (folder)."""
    from studio_avatar.capture import capture

    phone = capture(valid_views(path), head, size=size, max_keyframes=len(VIEWS))
    return complete(phone.rgb, trusted(phone.rgb, phone.seen, head), mean_makehuman(skins, head, size))


def _resized(texture: np.ndarray, size: int) -> np.ndarray:
    import cv2

    method = cv2.INTER_AREA if size < len(texture) else cv2.INTER_CUBIC
    return np.clip(cv2.resize(texture, (size, size), interpolation=method), 0, 1)


def sample_iris(rng: np.random.Generator, cheek_rgb: np.ndarray) -> np.ndarray:
    """A natural iris color (3,) for a person with this skin (N, 3): light eyes come with light skin only."""
    light = typology_angle(np.median(cheek_rgb, 0)) > 25
    names = ("brown", "blue", "green", "hazel", "grey") if light else ("brown", "dark", "dark")
    return np.clip(np.array(IRISES[rng.choice(names)]) * rng.uniform(0.85, 1.15), 0, 1).astype(np.float32)


def read_rgb(path: Path) -> np.ndarray:
    """An image file as (H, W, 3) float32 sRGB in [0, 1].

    Raises:
        InvalidInputError: the file is missing, or is no readable picture.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"), np.float32) / 255
    except FileNotFoundError as error:
        raise InvalidInputError(f"There is no {path.name} in {path.parent}.") from error
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises on broken files
        raise InvalidInputError(f"{path.name} is no readable picture.") from error


def read_square(path: Path) -> np.ndarray:
    """A square texture of at least `MIN_TEXTURE` texels a side; otherwise like `read_rgb`."""
    rgb = read_rgb(path)
    if rgb.shape[0] != rgb.shape[1] or len(rgb) < MIN_TEXTURE:
        raise InvalidInputError(
            f"{path.name} is {rgb.shape[1]}x{rgb.shape[0]}: a texture must be square, {MIN_TEXTURE} or more a side."
        )
    return rgb


# ------------------------------------------------------------------------------------------------
# VALID people in front of the camera
# ------------------------------------------------------------------------------------------------


def valid_views(path: Path, device: str = "cpu") -> list[np.ndarray]:
    """Flat-lit pictures of a VALID head from `VIEWS`, uint8 sRGB; eyeballs are put behind the empty lids."""
    vertices, faces, uv = _read_valid(path)
    atlas = read_rgb(path.with_suffix(".webp"))
    mesh, middle = _with_eyeballs(vertices, faces, uv)
    return flat_views(mesh, atlas, middle, device)


def _read_valid(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, triangles and texture coordinates (v down) of a VALID head."""
    try:
        with np.load(path) as parts:
            vertices, faces, uv = (parts[key] for key in ("vertices", "faces", "uv"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidInputError(f"{path.name} is no readable mesh with vertices, faces and uv.") from error
    return vertices.astype(np.float32), faces, (uv * (1, -1) + (0, 1)).astype(np.float32)


def _with_eyeballs(vertices, faces, uv) -> tuple[TexturedMesh, np.ndarray]:
    """-> the mesh with two spheres behind the eye holes, and the point between and behind the eyes."""
    holes = _eye_holes(vertices, faces)
    all_vertices, all_faces, all_uv = [vertices], [faces], [uv]
    for hole in holes:
        middle = (hole.min(0) + hole.max(0)) / 2
        # The lids' rim lies on the ball: it pins the depth of the center.
        reach = np.sqrt(np.maximum(EYE_RADIUS**2 - ((hole - middle)[:, :2] ** 2).sum(1), 0))
        center = np.array([middle[0], middle[1], np.mean(hole[:, 2] - reach) - 0.0012])
        ball, ball_faces, ball_uv = _eyeball(center)
        all_faces.append(ball_faces + sum(map(len, all_vertices)))
        all_vertices.append(ball)
        all_uv.append(ball_uv)
    vertices, faces, uv = (np.concatenate(a) for a in (all_vertices, all_faces, all_uv))
    middle = np.mean([hole.mean(0) for hole in holes], 0) + np.array([0, -0.02, -0.06])
    return TexturedMesh(vertices.astype(np.float32), faces, uv.astype(np.float32), faces), middle


def _eye_holes(vertices, faces) -> list[np.ndarray]:
    """Rim points of the two eye holes: the pair of small mirrored border loops highest in the mesh."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    points, merged = np.unique(np.round(vertices, 5), axis=0, return_inverse=True)
    triangles = merged.reshape(-1)[faces]
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), 1)
    edges, count = np.unique(edges, axis=0, return_counts=True)
    border = edges[count == 1]
    graph = coo_matrix((np.ones(len(border)), border.T), shape=(len(points),) * 2)
    label = connected_components(graph, directed=False)[1]
    on_border = np.unique(border)
    loops = [points[on_border[label[on_border] == k]] for k in np.unique(label[on_border])]
    small = [loop for loop in loops if 0.015 < np.ptp(loop[:, 0]) < 0.045 and np.ptp(loop[:, 1]) < 0.03]
    if len(small) < 2:
        raise InvalidInputError("The mesh has no two eye holes.")
    return sorted(small, key=lambda loop: -loop[:, 1].mean())[:2]


def _eyeball(center: np.ndarray, rings: int = 24, sectors: int = 32):
    """A sphere looking along +Z whose texture coordinates point at the eyeball's picture in the atlas."""
    polar, around = np.meshgrid(
        np.linspace(0, np.pi, rings + 1), np.linspace(0, 2 * np.pi, sectors + 1), indexing="ij"
    )
    ray = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], -1)
    share = np.minimum(polar / EYE_DISC_ANGLE, 1) * EYE_DISC_RADIUS
    uv = np.stack([EYE_DISC[0] + share * np.cos(around), EYE_DISC[1] - share * np.sin(around)], -1) / 2048
    index = np.arange((rings + 1) * (sectors + 1)).reshape(rings + 1, sectors + 1)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    return (center + EYE_RADIUS * ray).reshape(-1, 3), faces, uv.reshape(-1, 2)


# ------------------------------------------------------------------------------------------------
# Completion
# ------------------------------------------------------------------------------------------------


def trusted(rgb: np.ndarray, seen: np.ndarray, head) -> np.ndarray:
    """How far each captured texel may be used, (H, W) in [0, 1], soft at its borders: seen well, and no
    clothes.
    """
    import cv2

    size = rgb.shape[0]
    cheek = np.median(rgb[studio_masks(head, size).cheek], 0)
    smooth = cv2.GaussianBlur(rgb, (0, 0), size / 256)
    distance = np.abs(np.log(np.maximum(smooth, 0.02) / np.maximum(cheek, 0.02))).mean(-1)
    neck = region_mask(head, size, "neck") | _below_chin(head, size)
    usable = (seen > 0.15) & ~(neck & (distance > SKIN_LIKE))
    usable &= ~region_mask(head, size, "eyeball_left", "eyeball_right", "teeth", "tongue", "mouth")
    kernel = np.ones((3, 3), np.uint8)
    usable = cv2.morphologyEx(usable.astype(np.uint8), cv2.MORPH_OPEN, kernel, iterations=max(size // 256, 1))
    inside = cv2.distanceTransform(usable, cv2.DIST_L2, 5)
    return smoothstep(inside, 0.0, size * 0.018).astype(np.float32)


def complete(rgb: np.ndarray, trust: np.ndarray, completion: np.ndarray) -> np.ndarray:
    """Keep `rgb` where trusted; elsewhere `completion`, its tone bent smoothly to meet the trusted texels."""
    import cv2

    known = trust > 0.25
    weight = (trust * known)[..., None]
    sigma = rgb.shape[0] / 128
    # The offset is compared over small patches: pores and hairs of the two people have nothing to do with
    # each other.
    offset = np.log(np.maximum(rgb, 0.02) / np.maximum(completion, 0.02)) * weight
    offset = (
        cv2.GaussianBlur(offset, (0, 0), sigma)
        / np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma), 1e-4)[..., None]
    )
    tone = np.exp(membrane(offset, known))
    return np.clip(rgb * trust[..., None] + completion * tone * (1 - trust[..., None]), 0, 1).astype(
        np.float32
    )


def _below_chin(head, size: int) -> np.ndarray:
    """Texels below the jaw's end in the texture, where shirts begin, bool."""
    chin = landmark_uv(head)[152, 1] * size
    rows = np.arange(size)[:, None] > chin + 0.03 * size
    return np.broadcast_to(rows, (size, size))


@functools.lru_cache(maxsize=4)
def mean_makehuman(folder: Path, head, size: int) -> np.ndarray:
    """Geometric mean of the skins whose scalp is not painted black, (size, size, 3) sRGB."""
    skins = [p for p in sorted(folder.glob("*.png")) if "darkskinned" not in p.name]
    logs = []
    for path in skins:
        with suppress(InvalidInputError):  # `prepare` names broken skins where they are subjects themselves
            logs.append(np.log(np.maximum(makehuman_skin(path, head, size), 0.02)))
    if not logs:
        raise InvalidInputError(f"There is no readable skin in {folder} to complete others from.")
    return np.exp(np.mean(logs, 0)).astype(np.float32)


def _seed_of(name: str) -> int:
    """A number that stays the same between runs (unlike Python's `hash`)."""
    import zlib

    return zlib.crc32(name.encode())
