"""The exported head, read back as a viewer would, on the baked head with a procedural texture."""

import io
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from glb_reader import Glb, png_chunks
from PIL import Image

from studio_avatar.avatar import Avatar
from studio_avatar.errors import InvalidInputError
from studio_avatar.head.model import HeadModel

WEIGHTS = Path(__file__).parents[1] / "weights_card"
VALIDATOR = "gltf-validator@2.0.0-dev.3.10"
VALIDATE = """
const validator = require('gltf-validator');
validator.validateBytes(new Uint8Array(require('fs').readFileSync(process.argv[1])))
  .then(report => console.log(JSON.stringify(report)));
"""


@pytest.fixture(scope="module")
def head():
    return HeadModel.from_pretrained(WEIGHTS, subfolder="head")


@pytest.fixture(scope="module")
def avatar(head):
    rng = np.random.default_rng(0)
    row, column = np.mgrid[0:1024, 0:1024] / 1024
    colour = np.stack(
        [0.7 + 0.2 * np.sin(30 * column), 0.6 - 0.3 * row, 0.5 + 0.2 * np.cos(40 * row)], axis=-1
    )
    texture = np.clip(colour + rng.normal(0, 0.02, colour.shape), 0, 1) * 255
    return Avatar(head, rng.normal(size=100), texture.astype(np.uint8), rng.uniform(0, 1, (3, 52)))


@pytest.fixture(scope="module")
def path(avatar, tmp_path_factory):
    return avatar.export(tmp_path_factory.mktemp("glb") / "avatar.glb")


@pytest.fixture(scope="module")
def glb(path):
    return Glb(path)


@pytest.fixture(scope="session")
def validator_folder(tmp_path_factory):
    """A folder whose node_modules has the Khronos validator."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("validator")
    command = [
        "npm",
        "install",
        "--prefix",
        str(folder),
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        VALIDATOR,
    ]
    try:
        installed = subprocess.run(command, capture_output=True, text=True, timeout=90)
    except subprocess.TimeoutExpired:
        pytest.skip("the npm registry does not answer")
    if installed.returncode:
        pytest.skip(f"the npm registry cannot be reached: {installed.stderr.strip()[-200:]}")
    return folder


def test_the_khronos_validator_has_nothing_to_say(path, validator_folder):
    done = subprocess.run(
        ["node", "-e", VALIDATE, str(path)], cwd=validator_folder, capture_output=True, text=True, check=True
    )
    report = json.loads(done.stdout)
    assert report["issues"]["messages"] == []
    assert report["info"]["hasMorphTargets"] and report["info"]["hasTextures"]


def test_positions_normals_and_uv_are_the_heads_own(glb, head, avatar):
    attributes = glb.primitive["attributes"]
    corners = glb.accessor(glb.primitive["indices"]).ravel()
    faces, uv_faces = head.faces.numpy().ravel(), head.uv_faces.numpy().ravel()
    assert len(corners) == len(faces)
    neutral = avatar.mesh()
    np.testing.assert_allclose(glb.accessor(attributes["POSITION"])[corners], neutral[faces], atol=1e-7)
    np.testing.assert_array_equal(glb.accessor(attributes["TEXCOORD_0"])[corners], head.uv.numpy()[uv_faces])
    normals = glb.accessor(attributes["NORMAL"])
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(
        normals[corners], head.normals(torch.from_numpy(neutral)).numpy()[faces], atol=1e-5
    )


def test_one_morph_target_per_arkit_expression(glb, head, avatar):
    (mesh,) = glb.scene["meshes"]
    names = mesh["extras"]["targetNames"]
    assert names == list(head.config.expression_names) and len(set(names)) == 52
    assert {"jawOpen", "eyeBlinkLeft", "mouthSmileRight", "browInnerUp"} <= set(names)
    assert mesh["weights"] == [0.0] * 52 and len(glb.primitive["targets"]) == 52


@pytest.mark.parametrize("name", ["jawOpen", "eyeBlinkLeft", "mouthPucker", "cheekPuff"])
def test_a_morph_target_turns_the_neutral_mesh_into_the_expression(glb, head, avatar, name):
    target = glb.primitive["targets"][list(head.config.expression_names).index(name)]
    corners, faces = glb.accessor(glb.primitive["indices"]).ravel(), head.faces.numpy().ravel()
    base = {key: glb.accessor(index) for key, index in glb.primitive["attributes"].items()}
    expected = avatar.mesh({name: 1.0})
    moved = base["POSITION"] + glb.accessor(target["POSITION"])
    np.testing.assert_allclose(moved[corners], expected[faces], atol=2e-6)
    turned = base["NORMAL"] + glb.accessor(target["NORMAL"])
    normals = head.normals(torch.from_numpy(expected)).numpy()
    np.testing.assert_allclose(turned[corners], normals[faces], atol=2e-3)
    assert np.abs(moved - base["POSITION"]).max() > 1e-3  # at least a millimetre: the expression can be seen


def test_every_accessor_states_its_true_bounds(glb):
    bounded = [i for i, entry in enumerate(glb.scene["accessors"]) if "min" in entry]
    assert len(bounded) == 53  # neutral positions and 52 morph targets
    for index in bounded:
        values, entry = glb.accessor(index), glb.scene["accessors"][index]
        assert entry["min"] == values.min(axis=0).tolist() and entry["max"] == values.max(axis=0).tolist()
    assert glb.accessor(glb.primitive["indices"]).max() < len(
        glb.accessor(glb.primitive["attributes"]["POSITION"])
    )


def test_the_head_is_upright_in_metres_and_faces_the_viewer(glb, head):
    positions = glb.accessor(glb.primitive["attributes"]["POSITION"])
    height = np.ptp(positions[:, 1])
    assert 0.2 < height < 0.5
    eyes = [list(head.config.region_names).index(name) for name in ("eyeball_left", "eyeball_right")]
    left, right = (
        head.neutral.numpy()[np.unique(head.faces.numpy()[head.face_region.numpy() == eye])].mean(axis=0)
        for eye in eyes
    )
    assert left[0] > 0.02 > -0.02 > right[0]  # +X is the person's left
    assert min(left[2], right[2]) > 0.03  # +Z is the front


def test_material_and_texture(glb, avatar):
    (material,) = glb.scene["materials"]
    assert material["pbrMetallicRoughness"]["metallicFactor"] == 0
    assert 0.4 < material["pbrMetallicRoughness"]["roughnessFactor"] < 0.7
    png = glb.image()
    assert b"sRGB" in png_chunks(png)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), avatar.texture)


def test_extras_carry_layout_and_captured_expressions(glb, avatar):
    extras = glb.scene["meshes"][0]["extras"]
    assert extras["textureLayout"] == "head-v1"
    np.testing.assert_allclose(extras["captureExpressions"], avatar.expression, atol=1e-6)
    assert glb.scene["asset"]["generator"].startswith("studio-avatar ")


def test_a_second_reader_agrees(path, glb, avatar):
    trimesh = pytest.importorskip("trimesh", reason="trimesh is in the extra [dev]")
    mesh = trimesh.load(path, force="mesh", process=False)
    np.testing.assert_allclose(
        mesh.vertices, glb.accessor(glb.primitive["attributes"]["POSITION"]), atol=1e-7
    )
    uv = glb.accessor(glb.primitive["attributes"]["TEXCOORD_0"])
    np.testing.assert_allclose(
        mesh.visual.uv, np.stack([uv[:, 0], 1 - uv[:, 1]], axis=1), atol=1e-6
    )  # its v is up
    assert mesh.visual.material.baseColorTexture.size == (1024, 1024)


def test_small_enough_and_the_same_bytes_each_time(path, avatar, tmp_path):
    assert path.stat().st_size <= 15e6
    assert avatar.export(tmp_path / "again.glb").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"identity": np.full(100, np.nan)},
        {"identity": np.zeros(99)},
        {"texture": np.zeros((64, 64, 3), np.float32)},
        {"texture": np.zeros((64, 64), np.uint8)},
        {"expression": np.zeros(51)},
    ],
)
def test_a_wrong_array_is_refused_and_an_older_file_kept(head, tmp_path, change):
    target = tmp_path / "avatar.glb"
    target.write_bytes(b"older")
    parts = {"identity": np.zeros(100), "texture": np.zeros((64, 64, 3), np.uint8), "expression": None}
    with pytest.raises(InvalidInputError):
        Avatar(head, **(parts | change)).export(target)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("avatar.glb", b"older")]


def test_a_folder_that_is_missing_leaves_nothing(head, tmp_path):
    with pytest.raises(OSError):
        Avatar(head, np.zeros(100), np.zeros((8, 8, 3), np.uint8)).export(tmp_path / "missing" / "avatar.glb")
    assert list(tmp_path.iterdir()) == []


def test_posing_by_name(avatar, head):
    neutral, jaw = avatar.mesh(), avatar.mesh({"jawOpen": 1.0})
    half = avatar.mesh({"jawOpen": 0.5})
    np.testing.assert_allclose(half, (neutral + jaw) / 2, atol=1e-6)
    most = (jaw - neutral)[np.abs(jaw - neutral).sum(axis=1).argmax()]
    assert most[1] < -0.005  # what moves most goes down by half a centimetre and more
    with pytest.raises(InvalidInputError, match="jawopen"):
        avatar.mesh({"jawopen": 1.0})
