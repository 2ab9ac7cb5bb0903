"""How true the fitted head is: `python benchmarks/shape.py --scans ict_identity.npz --meshes studio/valid --cache DIR`.

People of known shape are filmed by a phone at arm's length, and what the landmark detector would say is simulated: the
true landmarks of every key frame with the bias and the errors that `landmark_errors` has measured. With `--told` the
files tell the focal length, 5 % off. They are fitted by `fit_head`, without the registration network and tracked corners,
which need pictures. Prints Markdown.

people: `anny`, the head's own identity space, N(0, 1); `scans`, ICT-FaceKit's modes (MIT), learned from scans of real
    people, wrapped onto our head; `meshes`, VALID's heads (MIT), each wrapped by itself.
mean, median, 95 %: mm from the vertices of the true faces to the fitted surface, after the best similarity.
nose, lips, chin: mm, mean absolute error forwards, as seen from the side. focal: %, median error without its sign.
seconds: CPU time of a fit.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from studio_avatar.capture.detection.landmark_errors import landmark_errors, pose_terms, rolled
from studio_avatar.capture.detection.landmarks import Face
from studio_avatar.capture.fitting.fit_problem import ERRORS_OF_PERSON
from studio_avatar.capture.fitting.head_fit import fit_head
from studio_avatar.capture.io.lens import SIGMA_PHOTO, Lens
from studio_avatar.data.adapters.placement import similarity
from studio_avatar.data.simulate.simulation import MAKEHUMAN_COMPONENTS, sample_expression
from studio_avatar.data.studio_set import read_rgb
from studio_avatar.head.geometry import geometry
from studio_avatar.head.landmark_ids import NUM_SURFACE_LANDMARKS
from studio_avatar.head.model import HeadModel
from studio_avatar.rendering import TexturedMesh, look_at, nearest_on_surface
from tools.wrap_mesh import skin_vertices, wrap
from tools.wrap_scans import ScanSpace, scan_space

YAW_RANGES_DEG = (42.0, 15.0, 6.0, 0.0)  # to both sides; 0: one photo
PITCH_SHARE = 0.33  # of the range of yaw, up and down
KEYFRAMES = 12
PICTURE = (720, 1280)
FOCAL = (0.72, 1.1)  # over the picture's long side: phones, in front and at the back, films and photos
DISTANCE = (0.30, 0.55)  # meters
TOLD_ERROR = 0.05  # of the focal length in a file, log units
TREMBLE_DEG, SCORE_NOISE = 1.0, 0.1
FACE = ("face", "lips", "brows", "eyelids")
FROM_THE_SIDE = ((1, 4), (0, 17), (199, 175))  # MediaPipe landmarks of nose, lips and chin
ALIGNMENTS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scans", type=Path, help="ict_identity.npz")
    parser.add_argument("--meshes", type=Path, help="folder of VALID heads, NAME.npz and NAME.webp")
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps what was wrapped")
    parser.add_argument("--people", type=int, default=5, help="how many of each source")
    parser.add_argument("--told", action="store_true", help="the files tell the focal length")
    parser.add_argument("--head", default="weights_card", help="folder or Hub id with `head`")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    head = HeadModel.from_pretrained(options.head, subfolder="head")
    print("| people | yaw | mean | median | 95 % | nose | lips | chin | focal | seconds |")
    print("|---|---|" + "---:|" * 8)
    for source, people in sources(head, options):
        print_row(source, "mean head", [compare(head, geometry(head).neutral, person) for person in people])
        for yaw in YAW_RANGES_DEG:
            fits = [
                fitted(head, person, yaw, [3, n, int(yaw)], options.told) for n, person in enumerate(people)
            ]
            errors = [compare(head, fit.vertices, person) for fit, person in zip(fits, people)]
            focal, seconds = (
                np.median([100 * abs(f.focal_error) for f in fits]),
                np.mean([f.seconds for f in fits]),
            )
            label = f"±{yaw:.0f}°" if yaw else "one photo"
            print_row(source, label, errors, f"{focal:.0f} | {seconds:.2f}")


# --- people


def sources(head, options) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Name of a source, and neutral faces of known shape: (V, 3) meters each, on our head's topology."""
    shape, count = geometry(head), options.people
    own = shape.identity_basis[:MAKEHUMAN_COMPONENTS]
    yield "anny", [shape.neutral + np.tensordot(drawn(len(own), n), own, 1) for n in range(count)]
    if options.scans:
        space = kept_space(head, options.scans, options.cache / "scans.npz")
        yield "scans", [space.person(drawn(len(space.modes), n)) for n in range(count)]
    if options.meshes:
        paths = sorted(options.meshes.glob("*.npz"))
        yield (
            "meshes",
            [wrapped_mesh(head, path, options.cache) for path in paths[:: len(paths) // count][:count]],
        )


def drawn(count: int, number: int) -> np.ndarray:
    return np.random.default_rng([1, number]).standard_normal(count)


def kept_space(head, path: Path, cached: Path) -> ScanSpace:
    if not cached.exists():
        scan_space(head, path).save(cached)
    return ScanSpace.load(cached)


def wrapped_mesh(head, path: Path, cache: Path) -> np.ndarray:
    """(V, 3) meters: our head's vertices on a VALID head."""
    cached = cache / f"{path.stem}.npy"
    if not cached.exists():
        with np.load(path) as parts:
            uv = (parts["uv"] * (1, -1) + (0, 1)).astype(np.float32)
            vertices, faces = parts["vertices"].astype(np.float32), parts["faces"]
        # They stand upright in meters, like our head: the crowns are laid on each other.
        vertices[:, 1] += geometry(head).neutral[:, 1].max() - vertices[:, 1].max()
        wrapped = wrap(
            head, TexturedMesh(vertices, faces, uv, faces), read_rgb(path.with_suffix(".webp"))
        ).vertices
        face = skin_vertices(head, *FACE)
        scale, rotation, shift = similarity(wrapped[face], geometry(head).neutral[face])
        np.save(cached, scale * wrapped @ rotation.T + shift)
    return np.load(cached)


# --- captures


@dataclass(frozen=True)
class Fitted:
    """vertices: (V, 3) meters, neutral; focal_error: share; seconds: CPU time."""

    vertices: np.ndarray
    focal_error: float
    seconds: float


def fitted(head, person: np.ndarray, yaw_deg: float, seed, told: bool = False) -> Fitted:
    """The head that is fitted to a person's simulated capture."""
    rng, shape = np.random.default_rng(seed), geometry(head)
    count = KEYFRAMES if yaw_deg else 1
    focal_px, distance = rng.uniform(*FOCAL) * max(PICTURE), rng.uniform(*DISTANCE)
    camera = PhonePath(rng, focal_px, distance, yaw_deg)
    of_person = rng.standard_normal(landmark_errors().components.shape[0])
    faces = []
    for k in range(count):
        expression = sample_expression(rng, list(shape.expression_names))
        vertices = person + np.tensordot(expression, shape.expression_basis, 1)
        faces.append(detected(head, vertices, expression, camera.at(k / max(count - 1, 1)), of_person, rng))
    began = time.process_time()
    said = focal_px / max(PICTURE) * np.exp(rng.normal(0, TOLD_ERROR))
    fit = fit_head(head, faces, PICTURE, lens=Lens(said, SIGMA_PHOTO) if told else None)
    seconds = time.process_time() - began
    vertices = shape.neutral + np.tensordot(fit.identity, shape.identity_basis, 1)
    return Fitted(vertices, fit.focal_px / focal_px - 1, seconds)


class PhonePath:
    """A phone that goes from one side to the other, once up and once down on the way."""

    def __init__(self, rng: np.random.Generator, focal_px: float, distance: float, yaw_deg: float):
        self.rng, self.focal_px, self.distance, self.yaw_deg = rng, focal_px, distance, yaw_deg

    def at(self, share: float):
        """The camera at `share` of the way."""
        rng = self.rng
        yaw = self.yaw_deg * (2 * share - 1) + rng.normal(0, TREMBLE_DEG)
        pitch = PITCH_SHARE * self.yaw_deg * np.sin(2 * np.pi * share) + rng.normal(0, TREMBLE_DEG)
        yaw, pitch = np.radians((yaw, pitch))
        towards = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
        target, near = rng.normal((0.0, 0.0, 0.03), 0.01), self.distance * rng.uniform(0.95, 1.05)
        # The distance counts from the face, which is nearer than the middle of the head.
        return look_at(
            target + towards * (near + 0.08), target, self.focal_px, PICTURE, np.radians(rng.normal(0, 4))
        )


def detected(head, vertices: np.ndarray, expression: np.ndarray, camera, of_person, rng) -> Face:
    """What the detector would say of a head (V, 3) in front of a camera."""
    shape, errors = geometry(head), landmark_errors()
    corners = vertices[shape.faces[shape.landmark_faces]]
    true = camera.project((corners * shape.landmark_barycentric[..., None]).sum(1))
    points = np.zeros((478, 2), np.float32)
    points[:NUM_SURFACE_LANDMARKS] = true
    scores = np.clip(expression + rng.normal(0, SCORE_NOISE, len(expression)), 0, 1)
    names = dict(zip(shape.expression_names, scores.tolist()))
    face = Face(points, names, (np.diag([1.0, -1.0, -1.0]) @ camera.rotation).astype(np.float32))
    of_frame = np.sqrt(1 - ERRORS_OF_PERSON) * rng.standard_normal(len(of_person))
    error = np.tensordot(pose_terms(face), errors.bias, 1)
    error += np.tensordot(np.sqrt(ERRORS_OF_PERSON) * of_person + of_frame, errors.components, 1)
    error += errors.sigma[:, None] * rng.standard_normal(error.shape)
    points[:NUM_SURFACE_LANDMARKS] += face.height_px * rolled(face, error)
    return Face(points, names, face.head_rotation)


# --- what is measured


@dataclass(frozen=True)
class Errors:
    """distance: (N,) mm from scan to mesh; side: (3,) mm that nose, lips and chin are off forwards."""

    distance: np.ndarray
    side: np.ndarray


def compare(head, vertices: np.ndarray, person: np.ndarray) -> Errors:
    """A neutral head (V, 3) against the true one."""
    shape = geometry(head)
    face = skin_vertices(head, *FACE)
    truth, own = person[face], vertices.astype(np.float32)
    scale, rotation, shift = similarity(truth, own[face])
    for _ in range(ALIGNMENTS):
        moved = (scale * truth @ rotation.T + shift).astype(np.float32)
        triangle, shares = nearest_on_surface(own, shape.faces, moved)
        nearest = (own[shape.faces[triangle]] * shares[..., None]).sum(1)
        scale, rotation, shift = similarity(truth, nearest)
    distance = np.linalg.norm(nearest - moved, axis=1) / scale

    def marks(points: np.ndarray) -> np.ndarray:
        return (points[shape.faces[shape.landmark_faces]] * shape.landmark_barycentric[..., None]).sum(1)

    forwards = (marks(scale * person @ rotation.T + shift) - marks(own))[:, 2] / scale
    return Errors(1e3 * distance, 1e3 * np.array([abs(forwards[list(ids)].mean()) for ids in FROM_THE_SIDE]))


def print_row(source: str, label: str, errors: list[Errors], more: str = "| ") -> None:
    distance = np.concatenate([error.distance for error in errors])
    values = (
        distance.mean(),
        np.median(distance),
        np.percentile(distance, 95),
        *np.mean([e.side for e in errors], 0),
    )
    print(
        f"| {source} | {label} | " + " | ".join(f"{value:.2f}" for value in values) + f" | {more} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
