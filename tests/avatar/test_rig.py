"""Bones: where they lie, what they carry, the skin in the file, and VRM avatars as our reader and three-vrm see them."""

import numpy as np
import pytest
from helpers.glb_reader import Glb
from helpers.node_tools import validate
from helpers.three_viewer import VRM_PAGE, find_chromium, three_viewer
from scipy.spatial.transform import Rotation

from studio_avatar.avatar import Avatar
from studio_avatar.avatar.export.motion import Motion
from studio_avatar.avatar.export.skin import ARMATURE, bone_node
from studio_avatar.avatar.export.vrm import EXPRESSIONS, LICENSE
from studio_avatar.avatar.shapes.skeleton import DEFORMING, RIGS, person_skeleton, skin_weights
from studio_avatar.avatar.shapes.visemes import ARKIT_AND_OCULUS
from studio_avatar.errors import InvalidInputError
from studio_avatar.head.geometry import geometry
from studio_avatar.pipeline.studio_texture_pipeline import RIGS as PIPELINE_RIGS
from studio_avatar.results.settings import RIGS as OFFERED

TURN = Rotation.from_euler("y", 40, degrees=True)
# VRM 1.0: an avatar without one of these bones is none.
REQUIRED = {"hips", "spine", "head"} | {
    f"{side}{part}"
    for side in ("left", "right")
    for part in ("UpperArm", "LowerArm", "Hand", "UpperLeg", "LowerLeg", "Foot")
}


@pytest.fixture(scope="module")
def avatar(head):
    identity = np.random.default_rng(4).normal(size=100)
    motion = Motion(np.float32([0, 1]), np.zeros((2, 52)), np.float32([[0, 0, 0, 1], TURN.as_quat()]))
    texture = np.full((64, 64, 3), (190, 145, 125), np.uint8)
    return Avatar(head, identity, texture, motion=motion, shapes=ARKIT_AND_OCULUS, rig="mixamo")


@pytest.fixture(scope="module")
def folder(avatar, tmp_path_factory):
    """avatar.vrm, light, and rigged.glb, full with the animation."""
    folder = tmp_path_factory.mktemp("rig")
    avatar.export(folder / "avatar.vrm", "light")
    avatar.export(folder / "rigged.glb", animation=True)
    return folder


def region(head, *names):
    shape = geometry(head)
    return np.unique(shape.faces[shape.in_regions(*names)])


def matrices(glb, turns=None):
    """(J, 4, 4) of the skin's joints in the scene; turns: name of a bone -> local rotation instead of its own."""
    nodes = glb.scene["nodes"]
    parent = {child: number for number, node in enumerate(nodes) for child in node.get("children", [])}

    def whole(number):
        node, own = nodes[number], np.eye(4)
        own[:3, 3] = node.get("translation", [0, 0, 0])
        own[:3, :3] = Rotation.from_quat(
            (turns or {}).get(node["name"], node.get("rotation", [0, 0, 0, 1]))
        ).as_matrix()
        return whole(parent[number]) @ own if number in parent else own

    return np.stack([whole(joint) for joint in glb.scene["skins"][0]["joints"]])


def skinned(glb, turns=None):
    """(N, 3) places of the primitive's vertices as a player skins them."""
    attributes = {name: glb.accessor(index) for name, index in glb.primitive["attributes"].items()}
    inverse = glb.accessor(glb.scene["skins"][0]["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
    moves = matrices(glb, turns) @ inverse
    points = np.concatenate([attributes["POSITION"], np.ones((len(attributes["POSITION"]), 1))], 1)
    each = np.einsum("nkij,nj->nki", moves[attributes["JOINTS_0"]], points)[..., :3]
    return (each * attributes["WEIGHTS_0"][..., None]).sum(1)


def test_every_layer_offers_the_same_rigs(head, avatar):
    assert OFFERED == RIGS == PIPELINE_RIGS
    with pytest.raises(InvalidInputError, match="unreal"):
        Avatar(head, avatar.identity, avatar.texture, rig="unreal").export("never.glb")


def test_bones_lie_in_the_person(head, avatar):
    skeleton = person_skeleton(head, avatar.full_mesh.vertices)
    place = dict(zip(skeleton.names, skeleton.position))
    assert (
        list(skeleton.names)[0] == "Hips" and (skeleton.parent[1:] < np.arange(1, len(skeleton.names))).all()
    )
    for side, eye in (("left", "LeftEye"), ("right", "RightEye")):
        ball = avatar.mesh()[region(head, f"eyeball_{side}")]
        assert np.linalg.norm(place[eye] - ball.mean(0)) < 0.003
    assert place["LeftEye"][0] > 0 > place["RightEye"][0] and place["LeftArm"][0] > 0.1
    assert (
        place["Hips"][1] < place["Spine2"][1] < place["Neck"][1] < place["Head"][1] < place["HeadTop_End"][1]
    )
    skull = avatar.mesh()[region(head, "scalp", "face")]
    assert (skull.min(0) < place["Head"]).all() and (place["Head"] < skull.max(0)).all()
    arm = [place[f"Left{part}"] for part in ("Arm", "ForeArm", "Hand", "HandIndex1")]
    assert (
        np.ptp([joint[1] for joint in arm[:3]]) < 1e-6 and (np.diff([joint[0] for joint in arm]) > 0.05).all()
    )  # T


def test_the_neck_blends_and_the_rest_is_rigid(head):
    weights = skin_weights(head)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    of = dict(zip(DEFORMING, weights.T))
    assert (
        of["LeftEye"][region(head, "eyeball_left")].min()
        == 1
        == of["RightEye"][region(head, "eyeball_right")].min()
    )
    assert (
        of["Head"][region(head, "face", "brows", "eyelids", "lips", "teeth", "tongue", "mouth")].min() > 0.9
    )
    neck = region(head, "neck")
    height = geometry(head).neutral[neck, 1]
    low, high = height < np.quantile(height, 0.2), height > np.quantile(height, 0.8)
    assert of["Head"][neck][low].mean() < 0.15 and of["Head"][neck][high].mean() > 0.4
    assert of["Neck"][neck].mean() > 0.2


def test_the_skin_rests_where_the_mesh_is_and_follows_head_and_eyes(head, avatar, folder):
    glb = Glb(folder / "rigged.glb")
    rest = glb.accessor(glb.primitive["attributes"]["POSITION"])
    np.testing.assert_allclose(skinned(glb), rest, atol=2e-6)
    (animation,) = glb.scene["animations"]
    (channel,) = [c for c in animation["channels"] if c["target"]["path"] == "rotation"]
    assert channel["target"]["node"] == bone_node(glb.scene, "Head")
    turns = glb.accessor(animation["samplers"][channel["sampler"]]["output"])
    np.testing.assert_allclose(skinned(glb, {"Head": turns[0]}), rest, atol=2e-6)
    joint = person_skeleton(head, avatar.full_mesh.vertices)
    joint = joint.position[joint.index("Head")]
    turned = skinned(glb, {"Head": turns[1]})
    nose = rest[:, 2].argmax()
    np.testing.assert_allclose(turned[nose], joint + TURN.apply(rest[nose] - joint), atol=1e-4)
    assert np.linalg.norm((turned - rest)[rest[:, 1] < rest[:, 1].min() + 0.01], axis=1).max() < 0.005
    looking = skinned(glb, {"LeftEye": Rotation.from_euler("y", 20, degrees=True).as_quat()})
    moved = np.linalg.norm(looking - rest, axis=1) > 1e-4
    assert moved.any() and rest[moved, 0].min() > 0.01 and np.ptp(rest[moved, 1]) < 0.04


def test_bones_stand_under_the_armature(folder):
    scene = Glb(folder / "rigged.glb").scene
    (armature,) = [node for node in scene["nodes"] if node["name"] == ARMATURE]
    assert [scene["nodes"][child]["name"] for child in armature["children"]] == ["Hips"]
    names = {scene["nodes"][joint]["name"] for joint in scene["skins"][0]["joints"]}
    assert {
        "Spine",
        "Spine1",
        "Spine2",
        "Neck",
        "Head",
        "LeftEye",
        "RightEye",
        "LeftHandThumb1",
        "RightFoot",
    } <= names
    assert scene["scenes"][0]["name"] == ARMATURE  # of both bones and mesh, for the TalkingHead library


def test_a_vrm_has_what_the_standard_asks_for(folder):
    scene = Glb(folder / "avatar.vrm").scene
    assert "VRMC_vrm" in scene["extensionsUsed"]
    vrm = scene["extensions"]["VRMC_vrm"]
    bones = {
        part: scene["nodes"][bone["node"]]["name"] for part, bone in vrm["humanoid"]["humanBones"].items()
    }
    assert bones.keys() >= REQUIRED and len(set(bones.values())) == len(bones)
    assert bones["leftUpperLeg"] == "LeftUpLeg" and bones["rightLowerArm"] == "RightForeArm"
    names = scene["meshes"][0]["extras"]["targetNames"]
    presets = vrm["expressions"]["preset"]
    assert presets.keys() == EXPRESSIONS.keys()
    for name, parts in EXPRESSIONS.items():
        binds = presets[name].get("morphTargetBinds", [])
        assert {names[bind["index"]]: bind["weight"] for bind in binds} == parts
    assert vrm["specVersion"] == "1.0" and vrm["meta"]["name"] == "avatar" and vrm["meta"]["authors"]
    assert LICENSE.items() <= vrm["meta"].items() and "vrm.dev" in LICENSE["licenseUrl"]
    x, y, z = vrm["lookAt"]["offsetFromHeadBone"]
    assert abs(x) < 0.005 and 0.05 < y < 0.15 and 0.05 < z < 0.15


@pytest.mark.network
def test_the_khronos_validator_has_nothing_to_say(folder, node_folder):
    assert validate(folder / "rigged.glb", node_folder)["issues"]["messages"] == []
    messages = validate(folder / "avatar.vrm", node_folder)["issues"]["messages"]
    assert [message["code"] for message in messages] == ["UNSUPPORTED_EXTENSION"]  # it does not know VRM


@pytest.mark.browser
@pytest.mark.skipif(find_chromium() is None, reason="Chromium is not installed")
def test_three_vrm_makes_it_speak_turn_and_look(folder, node_folder, tmp_path):
    pytest.importorskip("playwright", reason="playwright is in the extra [dev]")
    with three_viewer(folder / "avatar.vrm", node_folder, tmp_path, VRM_PAGE) as viewer:
        assert (
            viewer.ask("meta")["metaVersion"] == "1"
            and viewer.ask("meta")["avatarPermission"] == "onlyAuthor"
        )
        assert REQUIRED <= set(viewer.ask("bones")) and EXPRESSIONS.keys() <= set(viewer.ask("expressions"))
        ahead = viewer.ask("pose({}, 0, [0, 0.02, 5])")
        assert ahead["weights"] == {} and ahead["gaze"][2] > 0.99
        speaking = viewer.ask("pose({ aa: 1, blinkLeft: 1 }, 0, [0, 0.02, 5])")
        assert speaking["weights"] == {"viseme_aa": 1, "eyeBlinkLeft": 1}
        turned = viewer.ask("pose({}, 30, [5, 0.02, 5])")
        assert turned["nose"][0] > ahead["nose"][0] + 0.04  # to the person's left
        looking = viewer.ask("pose({}, 0, [1, 0.02, 1])")
        assert np.sin(np.radians(15)) < looking["gaze"][0] < np.sin(np.radians(30))
