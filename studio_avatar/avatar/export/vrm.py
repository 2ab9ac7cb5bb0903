"""What makes a glTF file with a skeleton a VRM 1.0 avatar: bones, expressions, gaze, and what others may do with it."""

import numpy as np
from scipy.spatial.transform import Rotation

from studio_avatar.avatar.shapes.skeleton import EYES, Skeleton

from .skin import bone_node

EXTENSION = "VRMC_vrm"
BONES = {
    "hips": "Hips", "spine": "Spine", "chest": "Spine1", "upperChest": "Spine2", "neck": "Neck", "head": "Head",
    "leftEye": "LeftEye", "rightEye": "RightEye",
    **{
        f"{side}{part}": f"{side.capitalize()}{bone}"
        for side in ("left", "right")
        for part, bone in {
            "Shoulder": "Shoulder", "UpperArm": "Arm", "LowerArm": "ForeArm", "Hand": "Hand",
            "UpperLeg": "UpLeg", "LowerLeg": "Leg", "Foot": "Foot", "Toes": "ToeBase",
        }.items()
    },
}  # fmt: skip


def _both(name: str, share: float) -> dict[str, float]:
    return {f"{name}Left": share, f"{name}Right": share}


# VRM's preset expressions as shares of our shapes.
EXPRESSIONS = {
    "happy": {**_both("mouthSmile", 0.8), **_both("cheekSquint", 0.5), **_both("eyeSquint", 0.3)},
    "angry": {**_both("browDown", 1.0), **_both("mouthFrown", 0.4), **_both("noseSneer", 0.5), **_both("eyeSquint", 0.4)},
    "sad": {"browInnerUp": 0.9, **_both("mouthFrown", 0.8), **_both("eyeLookDown", 0.2)},
    "relaxed": {**_both("mouthSmile", 0.3), **_both("eyeBlink", 0.2)},
    "surprised": {"browInnerUp": 0.8, **_both("browOuterUp", 0.8), **_both("eyeWide", 0.7), "jawOpen": 0.25},
    "aa": {"viseme_aa": 1.0},
    "ih": {"viseme_I": 1.0},
    "ou": {"viseme_U": 1.0},
    "ee": {"viseme_E": 1.0},
    "oh": {"viseme_O": 1.0},
    "blink": {"eyesClosed": 1.0},
    "blinkLeft": {"eyeBlinkLeft": 1.0},
    "blinkRight": {"eyeBlinkRight": 1.0},
    "lookUp": {"eyesLookUp": 1.0},
    "lookDown": {"eyesLookDown": 1.0},
    "lookLeft": {"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0},
    "lookRight": {"eyeLookOutRight": 1.0, "eyeLookInLeft": 1.0},
    "neutral": {},
}  # fmt: skip
# The likeness is a person's: nobody else may perform as them. The person's own use has no limits.
LICENSE = {
    "licenseUrl": "https://vrm.dev/licenses/1.0/",
    "avatarPermission": "onlyAuthor",
    "allowExcessivelyViolentUsage": False,
    "allowExcessivelySexualUsage": False,
    "commercialUsage": "corporation",
    "allowPoliticalOrReligiousUsage": False,
    "allowAntisocialOrHateUsage": False,
    "creditNotation": "unnecessary",
    "allowRedistribution": False,
    "modification": "allowModification",
}
# Degrees of a target that the eyes follow, and by which they then turn.
SIDEWAYS, UP, DOWN = (35.0, 25.0), (25.0, 15.0), (25.0, 15.0)


def vrm_extension(scene: dict, skeleton: Skeleton, names: list[str], title: str) -> dict:
    """The root extension `VRMC_vrm` of a scene with a rig.

    Args:
        names: of the morph targets of the node 0, those of `EXPRESSIONS` among them. title: of the avatar.
    """
    return {
        "specVersion": "1.0",
        "meta": {"name": title, "authors": ["the person who is shown"], **LICENSE},
        "humanoid": {"humanBones": {part: {"node": bone_node(scene, name)} for part, name in BONES.items()}},
        "expressions": {"preset": {name: _expression(parts, names) for name, parts in EXPRESSIONS.items()}},
        "lookAt": {
            "type": "bone",
            "offsetFromHeadBone": _between_the_eyes(skeleton),
            **{
                f"rangeMap{way}": {"inputMaxValue": seen, "outputScale": turned}
                for way, (seen, turned) in {
                    "HorizontalInner": SIDEWAYS, "HorizontalOuter": SIDEWAYS, "VerticalUp": UP, "VerticalDown": DOWN,
                }.items()
            },
        },
    }  # fmt: skip


def _expression(parts: dict[str, float], names: list[str]) -> dict:
    binds = [{"node": 0, "index": names.index(name), "weight": share} for name, share in parts.items()]
    return {"morphTargetBinds": binds} if binds else {}


def _between_the_eyes(skeleton: Skeleton) -> list[float]:
    """The middle of both eyes in the space of the bone `Head`, meters."""
    middle = np.mean([skeleton.position[skeleton.index(eye)] for eye in EYES], axis=0)
    bone = skeleton.index("Head")
    turn = Rotation.from_quat(skeleton.rotation[bone])
    return turn.inv().apply(middle - skeleton.position[bone]).round(6).tolist()
