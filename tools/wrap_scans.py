"""People of a shape space learned from scans, on our head: more identity components, and what is known of all of them.

`python -m tools.wrap_scans --scans ict_identity.npz --head weights_card/head`

ICT-FaceKit's identity modes (MIT; ../docs/training-data.md) are wrapped onto the head once. What the head's own components,
which are MakeHuman's, cannot say of them becomes `NUM_EXTRA` components more; the Gaussian of both spaces' people over all
components is the prior of the capture's fit. Writes the head and `studio_avatar/capture/fitting/shape_prior.safetensors`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from studio_avatar.capture.fitting.shape_prior import ShapePrior
from studio_avatar.data.adapters.placement import similarity
from studio_avatar.data.simulate.simulation import MAKEHUMAN_COMPONENTS
from studio_avatar.head.geometry import geometry
from studio_avatar.rendering import TexturedMesh, vertex_normals
from tools.wrap_mesh import laplacian, skin_vertices, wrap

CENTIMETERS, ABOUT_OUR_SIZE = 0.01, 0.95
GRAY_SKIN = np.full((8, 8, 3), (0.75, 0.62, 0.54), np.float32)
FACE = ("face", "lips", "brows", "eyelids")
FOLLOWERS = ((("eyeball_left",), "eyelids"), (("eyeball_right",), "eyelids"), (("teeth", "tongue"), "lips"))
NUM_EXTRA = 25
PRIOR = Path("studio_avatar/capture/fitting/shape_prior.safetensors")
WEIGHTS = {"neck": 0.03, "scalp": 0.1, "ears": 0.2, "face": 1.0, "lips": 1.0, "brows": 1.0, "eyelids": 1.0}
ALONG_THE_SURFACE = 0.4  # of the weight along the normal: the wrap does not know it better
PRECISION = 0.001  # meters to which coefficients explain a scan
SHARE_OF_SCANS = 0.5
VARIANCE_OF_EXTRA = 0.02  # of the extra components in MakeHuman's people


@dataclass(frozen=True)
class ScanSpace:
    """People of a linear shape space: mean + N(0, 1) @ modes, laid on the mean head by a similarity.

    mean: (V, 3) meters; modes: (M, V, 3), one standard deviation each; on_scan: (V,) bool, where they are known.
    """

    mean: np.ndarray
    modes: np.ndarray
    on_scan: np.ndarray

    def person(self, coefficients: np.ndarray) -> np.ndarray:
        """(V, 3) meters."""
        return self.mean + np.tensordot(coefficients, self.modes, 1)

    def save(self, path: Path) -> None:
        np.savez(path, mean=self.mean, modes=self.modes, on_scan=self.on_scan)

    @classmethod
    def load(cls, path: Path) -> ScanSpace:
        with np.load(path) as parts:
            return cls(**parts)


def scan_space(head, path: Path) -> ScanSpace:
    """ICT-FaceKit's identity modes (`vertices` in centimeters, `faces`, `identity`) on our head's vertices."""
    with np.load(path) as parts:
        points, faces, modes = (parts[name] for name in ("vertices", "faces", "identity"))
    size = np.float32(CENTIMETERS * ABOUT_OUR_SIZE)
    points, faces = size * points, faces.astype(np.int32)
    mesh = TexturedMesh(points, faces, np.zeros((len(points), 2), np.float32), faces)
    wrapped = wrap(head, mesh, GRAY_SKIN)
    corners, shares = faces[wrapped.triangle], wrapped.barycentric[..., None]
    modes = np.stack([size * (mode.astype(np.float32)[corners] * shares).sum(1) for mode in modes])
    neutral, face = geometry(head).neutral, skin_vertices(head, *FACE)
    scale, rotation, shift = similarity(wrapped.vertices[face], neutral[face])
    offsets = np.stack(
        [scale * wrapped.vertices @ rotation.T + shift - neutral, *(scale * modes @ rotation.T)]
    )
    known = wrapped.on_mesh & wrapped.on_mesh[geometry(head).mirror_vertices]
    # People and their mirror images: an even and an odd mode for each.
    even, odd = _mirror_parts(head, completed(head, offsets, known).astype(np.float32))
    return ScanSpace(neutral + even[0], np.concatenate([even[1:], odd[1:]]), known)


def completed(head, offsets: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Offsets (M, V, 3) where they are `known` (V,); the rest follows.

    Eyeballs move with their lids and keep their size, teeth and tongue move with the lips, and skin that no scan shows
    (inner lips, lid margins, sockets, the inner mouth) is a membrane between what is known.
    """
    from scipy.sparse.linalg import splu

    shape, result = geometry(head), offsets.astype(np.float64)
    skin = np.zeros(len(known), bool)
    for parts, leader in FOLLOWERS:
        where = skin_vertices(head, *parts)
        near = skin_vertices(head, leader) & known
        if leader == "eyelids":
            near &= np.sign(shape.neutral[:, 0]) == np.sign(shape.neutral[where, 0].mean())
        result[:, where] = result[:, near].mean(1)[:, None]
        skin |= where
    free = np.flatnonzero(~known & ~skin)
    membrane = laplacian(shape.faces, len(known)).tocsr()[free]
    fixed = np.setdiff1d(np.arange(len(known)), free)
    right = -(membrane[:, fixed] @ result[:, fixed].transpose(1, 0, 2).reshape(len(fixed), -1))
    filled = splu(membrane[:, free].tocsc()).solve(right)
    result[:, free] = filled.reshape(len(free), len(offsets), 3).transpose(1, 0, 2)
    return result


def extra_components(head, space: ScanSpace) -> np.ndarray:
    """(NUM_EXTRA, V, 3) meters: what the head's own components leave of the scans, by falling variance, N(0, 1) each.

    Each is its own mirror image, or the negative of it, as the head's own components are.
    """
    own = np.concatenate([geometry(head).identity_basis, _placements(head)])
    offsets = np.concatenate([(space.mean - geometry(head).neutral)[None], space.modes]).astype(np.float64)
    explained = np.linalg.lstsq(_felt(head, space, own).T, _felt(head, space, offsets).T, rcond=None)[0]
    found = []
    for part in _mirror_parts(head, offsets - np.tensordot(explained.T, own, 1)):
        directions, spread, _ = np.linalg.svd(_felt(head, space, part), full_matrices=False)
        found += zip(spread, np.tensordot(directions.T, part, 1))
    components = np.stack([component for _, component in sorted(found, key=lambda one: -one[0])[:NUM_EXTRA]])
    # A direction has no sign of its own: the largest offset is positive, so that the same input gives the same file.
    flat = components.reshape(NUM_EXTRA, -1)
    peak = np.take_along_axis(flat, np.abs(flat).argmax(1)[:, None], 1)
    return components * np.sign(peak)[..., None]


def _mirror_parts(head, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The parts of offsets (M, V, 3) that a mirror leaves, and that it turns around."""
    mirrored = offsets[:, geometry(head).mirror_vertices] * (-1, 1, 1)
    return (offsets + mirrored) / 2, (offsets - mirrored) / 2


def joint_prior(head, space: ScanSpace) -> ShapePrior:
    """The Gaussian with mean and covariance of both spaces' people; `head` has the extra components already."""
    shape = geometry(head)
    basis = np.concatenate([shape.identity_basis, _placements(head)]).astype(np.float64)
    count = len(shape.identity_basis)
    felt = _felt(head, space, basis) / PRECISION
    matrix = felt @ felt.T + np.diag(np.r_[np.ones(count), np.full(len(basis) - count, 1e-6)])
    offsets = np.concatenate([(space.mean - shape.neutral)[None], space.modes])
    mean, *modes = np.linalg.solve(matrix, felt @ _felt(head, space, offsets).T / PRECISION).T[:, :count]
    # What scans cannot tell keeps the head's own variance.
    of_scans = np.transpose(modes) @ np.array(modes) + np.linalg.inv(matrix)[:count, :count]
    of_own = np.diag(np.where(np.arange(count) < count - NUM_EXTRA, 1.0, VARIANCE_OF_EXTRA))
    share = SHARE_OF_SCANS
    covariance = share * of_scans + (1 - share) * of_own + share * (1 - share) * np.outer(mean, mean)
    return ShapePrior(share * mean, np.linalg.inv(covariance))


def _felt(head, space: ScanSpace, offsets: np.ndarray) -> np.ndarray:
    """(M, N) how much offsets (M, V, 3) count, in meters: the face most, along the normals most."""
    weight = np.zeros(len(space.on_scan))
    for region, value in WEIGHTS.items():
        weight[skin_vertices(head, region)] = value
    at = np.flatnonzero(weight * space.on_scan)
    shape = geometry(head)
    normal = vertex_normals(shape.neutral, shape.faces)[at].astype(np.float64)
    along = (offsets[:, at] * normal).sum(-1, keepdims=True) * normal
    felt = along + ALONG_THE_SURFACE * (offsets[:, at] - along)
    return (felt * np.sqrt(weight[at])[:, None]).reshape(len(offsets), -1)


def _placements(head) -> np.ndarray:
    """(7, V, 3) what shifts, turns and scales a head, which is nobody's identity."""
    points = geometry(head).neutral.astype(np.float64)
    shifts = [np.broadcast_to(axis, points.shape) for axis in np.eye(3)]
    return np.stack([*shifts, *(np.cross(axis, points) for axis in np.eye(3)), points])


def with_scans(head, space: ScanSpace):
    """The head model with `NUM_EXTRA` components after MakeHuman's own; those that it has there already are made anew."""
    import torch

    own = _with_basis(head, head.identity_basis[:MAKEHUMAN_COMPONENTS])
    more = torch.from_numpy(extra_components(own, space)).to(own.identity_basis)
    return _with_basis(own, torch.cat([own.identity_basis, more.half().float()]))


def _with_basis(head, basis):
    """The head model with another identity basis (I, V, 3)."""
    from studio_avatar.head.model import HeadModel

    names = ("num_vertices", "num_faces", "num_uvs", "expression_names", "region_names", "layout")
    changed = HeadModel(num_identity=len(basis), **{name: head.config[name] for name in names})
    changed.load_state_dict({**head.state_dict(), "identity_basis": basis})
    return changed


def main() -> None:
    import argparse

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scans", type=Path, required=True, help="ict_identity.npz")
    parser.add_argument(
        "--head", type=Path, default=Path("weights_card/head"), help="folder of the head, written anew"
    )
    options = parser.parse_args()
    from studio_avatar.head.model import HeadModel

    head = HeadModel.from_pretrained(options.head)
    space = scan_space(head, options.scans)
    head = with_scans(head, space)
    for variant in (None, "fp16"):
        head.save_pretrained(options.head, variant=variant)
    joint_prior(head, space).save(PRIOR)


if __name__ == "__main__":
    main()
