"""The exported head, read back as a viewer would, on the baked head with a procedural texture."""

import io

import numpy as np
import pytest
import torch
from helpers.glb_reader import Glb, png_chunks
from helpers.node_tools import validate
from PIL import Image

from studio_avatar.avatar import Avatar
from studio_avatar.avatar.export.motion import Motion
from studio_avatar.errors import InvalidInputError
from studio_avatar.head.layout import region_mask
from studio_avatar.rendering.normals import vertex_normals


@pytest.fixture(scope="module")
def avatar(head):
    rng = np.random.default_rng(0)
    row, column = np.mgrid[0:1024, 0:1024] / 1024
    color = np.stack(
        [0.7 + 0.2 * np.sin(30 * column), 0.6 - 0.3 * row, 0.5 + 0.2 * np.cos(40 * row)], axis=-1
    )
    texture = np.clip(color + rng.normal(0, 0.02, color.shape), 0, 1) * 255
    expression = rng.uniform(0, 1, (3, 52))
    turns = np.float32([[0, -0.1, 0, 0.995], [0, 0, 0, 1], [0, 0.1, 0, 0.995]])
    motion = Motion(
        np.float32([0, 0.5, 1.25]), expression, turns / np.linalg.norm(turns, axis=1, keepdims=True)
    )
    return Avatar(head, rng.normal(size=100), texture.astype(np.uint8), expression, motion=motion)


@pytest.fixture(scope="module")
def path(avatar, tmp_path_factory):
    return avatar.export(tmp_path_factory.mktemp("glb") / "avatar.glb")


@pytest.fixture(scope="module")
def glb(path):
    return Glb(path)


@pytest.mark.network
def test_the_khronos_validator_has_nothing_to_say(avatar, path, tmp_path, node_folder):
    light = avatar.export(tmp_path / "light.glb", "light", animation=True)
    plain = Avatar(avatar.head, avatar.identity, avatar.texture).export(tmp_path / "plain.glb")
    for file in (path, light, plain):
        report = validate(file, node_folder)
        assert report["issues"]["messages"] == []
        assert report["info"]["hasMorphTargets"] and report["info"]["hasTextures"]


def test_positions_normals_and_uv_are_the_heads_own(glb, head, avatar):
    attributes = glb.primitive["attributes"]
    mesh = avatar.full_mesh
    corners = glb.accessor(glb.primitive["indices"]).ravel()
    faces, uv_faces = mesh.faces.ravel(), mesh.uv_faces.ravel()
    assert len(corners) == len(faces)
    np.testing.assert_array_equal(mesh.faces[: len(head.faces)], head.faces.numpy())
    neutral = mesh.vertices
    np.testing.assert_allclose(glb.accessor(attributes["POSITION"])[corners], neutral[faces], atol=1e-7)
    np.testing.assert_array_equal(glb.accessor(attributes["TEXCOORD_0"])[corners], mesh.uv[uv_faces])
    normals = glb.accessor(attributes["NORMAL"])
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(normals[corners], vertex_normals(neutral, mesh.faces)[faces], atol=1e-5)
    inside = np.setdiff1d(faces, mesh.faces[len(head.faces) :])  # away from the closed neck
    own = head.normals(torch.from_numpy(avatar.mesh())).numpy()
    np.testing.assert_allclose(vertex_normals(neutral, mesh.faces)[inside], own[inside], atol=1e-5)


def test_one_morph_target_per_arkit_expression(glb, head, avatar):
    (mesh,) = glb.scene["meshes"]
    names = mesh["extras"]["targetNames"]
    assert names == list(head.config.expression_names) and len(set(names)) == 52
    assert {"jawOpen", "eyeBlinkLeft", "mouthSmileRight", "browInnerUp"} <= set(names)
    assert mesh["weights"] == [0.0] * 52 and len(glb.primitive["targets"]) == 52


@pytest.mark.parametrize("name", ["jawOpen", "eyeBlinkLeft", "mouthPucker", "cheekPuff"])
def test_a_morph_target_turns_the_neutral_mesh_into_the_expression(glb, head, avatar, name):
    target = glb.primitive["targets"][list(head.config.expression_names).index(name)]
    corners, faces = glb.accessor(glb.primitive["indices"]).ravel(), avatar.full_mesh.faces.ravel()
    base = {key: glb.accessor(index) for key, index in glb.primitive["attributes"].items()}
    expected = avatar.full_mesh.posed(avatar.coefficients({name: 1.0}))
    moved = base["POSITION"] + glb.accessor(target["POSITION"])
    np.testing.assert_allclose(moved[corners], expected[faces], atol=2e-6)
    turned = base["NORMAL"] + glb.accessor(target["NORMAL"])
    turned /= np.linalg.norm(turned, axis=1, keepdims=True)
    normals = vertex_normals(expected, avatar.full_mesh.faces)
    np.testing.assert_allclose(turned[corners], normals[faces], atol=2e-3)
    assert np.abs(moved - base["POSITION"]).max() > 1e-3  # at least a millimeter: the expression can be seen


def test_every_accessor_states_its_true_bounds(glb):
    bounded = [i for i, entry in enumerate(glb.scene["accessors"]) if "min" in entry]
    assert len(bounded) == 53  # neutral positions and 52 morph targets
    for index in bounded:
        values, entry = glb.accessor(index), glb.scene["accessors"][index]
        assert entry["min"] == values.min(axis=0).tolist() and entry["max"] == values.max(axis=0).tolist()
    assert glb.accessor(glb.primitive["indices"]).max() < len(
        glb.accessor(glb.primitive["attributes"]["POSITION"])
    )


def test_the_head_is_upright_in_meters_and_faces_the_viewer(glb, head):
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


def test_material_and_texture(glb, avatar, head):
    (material,) = glb.scene["materials"]
    assert material["pbrMetallicRoughness"]["metallicFactor"] == 0
    assert set(glb.scene["extensionsUsed"]) == {"KHR_materials_ior"} and "extensionsRequired" not in glb.scene
    packed = np.asarray(Image.open(io.BytesIO(glb.image("roughness"))))
    assert (packed[..., 0] == 255).all() and (packed[..., 2] == 0).all()
    for name, low, high in (("face", 0.4, 0.6), ("eyeball_left", 0.05, 0.12)):
        values = packed[region_mask(head, len(packed), name), 1] / 255
        assert low < np.median(values) < high
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
        {"identity": np.zeros(126)},
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
    assert most[1] < -0.005  # what moves most goes down by half a centimeter and more
    with pytest.raises(InvalidInputError, match="jawopen"):
        avatar.mesh({"jawopen": 1.0})
