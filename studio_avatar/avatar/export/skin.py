"""The skeleton in a glTF document: bones under the node `Armature`, and the head's mesh as their skin."""

from dataclasses import dataclass

import numpy as np

from studio_avatar.avatar.shapes.skeleton import DEFORMING, Skeleton

from .gltf_document import ARRAY_BUFFER, GltfDocument, float32

ARMATURE = "Armature"


@dataclass(frozen=True)
class Rig:
    """A person's bones, and weights (V, 5) of `DEFORMING` in the vertices of the mesh that they move."""

    skeleton: Skeleton
    weights: np.ndarray


def add_rig(document: GltfDocument, scene: dict, rig: Rig, vertex: np.ndarray) -> None:
    """Append bones and skin to a scene whose first node is the head's mesh; hair under it moves to the bone `Head`.

    The mesh stays beside the armature, because a skinned node follows its joints and no parent. The glTF scene has the
    armature's name, too: the TalkingHead library looks for bones and mesh under one object of that name.

    Args:
        vertex: (N,) the mesh's vertex that each of the primitive's vertices is.
    """
    skeleton, nodes = rig.skeleton, scene["nodes"]
    (head,) = [node for node in nodes if node.get("mesh") == 0]
    armature = len(nodes)
    first = armature + 1
    nodes.append({"name": ARMATURE, "children": [first]})
    nodes += _bones(skeleton, first)
    scene["scenes"] = [{"name": ARMATURE, "nodes": [nodes.index(head), armature]}]
    inverse = np.linalg.inv(_matrices(skeleton)).transpose(0, 2, 1)  # glTF writes columns
    scene["skins"] = [
        {
            "name": ARMATURE,
            "joints": list(range(first, len(nodes))),
            "inverseBindMatrices": document.add_accessor(float32(inverse.reshape(-1, 16)), None),
        }
    ]
    head["skin"] = 0
    joints, weights = _influences(rig, vertex)
    attributes = scene["meshes"][0]["primitives"][0]["attributes"]
    attributes["JOINTS_0"] = document.add_accessor(joints, ARRAY_BUFFER)
    attributes["WEIGHTS_0"] = document.add_accessor(weights, ARRAY_BUFFER)
    if hair := head.pop("children", []):
        bone = skeleton.index("Head")
        nodes[first + bone].setdefault("children", []).extend(hair)
        nodes[hair[0]].update(_transform(np.linalg.inv(_matrices(skeleton)[bone])))


def bone_node(scene: dict, name: str) -> int:
    """Number of the node that is the bone of this name."""
    (skin,) = scene["skins"]
    return next(number for number in skin["joints"] if scene["nodes"][number]["name"] == name)


def turned_bone(skeleton: Skeleton, name: str, turns: np.ndarray) -> np.ndarray:
    """(K, 4) local rotations of a bone that turn it by quaternions `turns` (K, 4) in head space, its parents at rest."""
    from scipy.spatial.transform import Rotation

    bone = skeleton.index(name)
    own, parent = (Rotation.from_quat(skeleton.rotation[number]) for number in (bone, skeleton.parent[bone]))
    turned = (parent.inv() * Rotation.from_quat(turns) * own).as_quat()
    turned[1:] *= np.sign((turned[1:] * turned[:-1]).sum(1, keepdims=True)).cumprod(0)  # the short way around
    return turned


def _bones(skeleton: Skeleton, first: int) -> list[dict]:
    """Nodes of the bones, numbered from `first`."""
    whole = _matrices(skeleton)
    nodes = []
    for bone, name in enumerate(skeleton.names):
        parent = skeleton.parent[bone]
        local = whole[bone] if parent < 0 else np.linalg.inv(whole[parent]) @ whole[bone]
        node = {"name": name, **_transform(local)}
        if children := np.flatnonzero(skeleton.parent == bone).tolist():
            node["children"] = [first + child for child in children]
        nodes.append(node)
    return nodes


def _matrices(skeleton: Skeleton) -> np.ndarray:
    """(B, 4, 4) from each bone's space to head space."""
    from scipy.spatial.transform import Rotation

    whole = np.tile(np.eye(4), (len(skeleton.names), 1, 1))
    whole[:, :3, :3] = Rotation.from_quat(skeleton.rotation).as_matrix()
    whole[:, :3, 3] = skeleton.position
    return whole


def _transform(matrix: np.ndarray) -> dict:
    """A rigid transform as a node has it."""
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_matrix(matrix[:3, :3]).as_quat(canonical=True)
    return {"translation": matrix[:3, 3].round(7).tolist(), "rotation": turn.tolist()}


def _influences(rig: Rig, vertex: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joints (N, 4) uint8, 0 where there is no weight, and weights (N, 4) float32 of the primitive's vertices."""
    joint = np.array([rig.skeleton.index(name) for name in DEFORMING])
    weights = rig.weights[vertex]
    most = np.argsort(-weights, axis=1, kind="stable")[:, :4]
    kept = np.take_along_axis(weights, most, 1).astype(np.float64)
    kept /= kept.sum(1, keepdims=True)
    return np.where(kept > 0, joint[most], 0).astype("u1"), float32(kept)
