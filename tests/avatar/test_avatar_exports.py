"""Light level, OBJ, plain folder, animation, bump, seams, pictures and the resampler, on the baked head."""

import io
import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.glb_reader import Glb
from PIL import Image

from studio_avatar.avatar import Avatar, build_avatar
from studio_avatar.avatar.export.lod import LIGHT_TRIANGLES, light_mesh, light_topology
from studio_avatar.avatar.export.motion import captured_motion
from studio_avatar.avatar.material.detail_normal import detail_normal
from studio_avatar.avatar.material.seams import level_seams
from studio_avatar.avatar.preview import TURNTABLE_FPS, TURNTABLE_SECONDS, TURNTABLE_SIZE
from studio_avatar.avatar.shapes.mesh import split_at_seams, tangents
from studio_avatar.cli.commands import resample
from studio_avatar.errors import InvalidInputError
from studio_avatar.head.layout import region_mask, texel_map
from studio_avatar.head.resample import WrappedMesh, from_head_v1, read_wrapped_mesh, to_head_v1
from studio_avatar.rendering import Light
from studio_avatar.rendering.normals import vertex_normals
from studio_avatar.results.exports import ExportSettings, write_exports

ROOT = Path(__file__).parents[2]
SIZE = 256


def smooth_texture(size=SIZE):
    row, column = np.mgrid[0:size, 0:size] / size
    return np.stack(
        [0.5 + 0.3 * np.sin(9 * column), 0.4 + 0.2 * row, 0.5 + 0.2 * np.cos(7 * row + column)], -1
    )


@pytest.fixture(scope="module")
def fit():
    """Three keyframes of a turning head, out of order in time."""
    angles = np.radians([0.0, 30.0, -20.0])
    turn = np.array([[[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]] for a in angles])
    rng = np.random.default_rng(1)
    return SimpleNamespace(
        identity=rng.normal(size=100),
        expression=rng.uniform(0, 1, (3, 52)),
        rotation=np.diag([1, -1, -1]) @ turn,
        timestamps=np.array([4.0, 2.5, 3.0]),
    )


@pytest.fixture(scope="module")
def avatar(head, fit):
    texture = (smooth_texture() * 255).astype(np.uint8)
    return Avatar(
        head, fit.identity, texture, fit.expression, texture[:, ::-1], captured_motion(fit, fit.expression)
    )


# ------------------------------------------------------------------------------------------ light level


def test_the_light_mesh_is_a_choice_of_the_full_ones_vertices(avatar):
    full = avatar.full_mesh
    light = light_mesh(full)
    assert len(light.faces) <= LIGHT_TRIANGLES <= 5000
    order = {tuple(point): number for number, point in enumerate(full.vertices.tolist())}
    number = [order[tuple(point)] for point in light.vertices.tolist()]
    np.testing.assert_array_equal(light.offsets, full.offsets[:, number])
    assert set(np.unique(light.region)) == set(np.unique(full.region))
    texture_pairs = {(tuple(p), tuple(t)) for p, t in corner_pairs(full)}
    assert {(tuple(p), tuple(t)) for p, t in corner_pairs(light)} <= texture_pairs
    skin = light.region != list(avatar.head.config.region_names).index(
        "neck"
    )  # the cap's strips run both ways
    assert (np.sign(texture_area(light)[skin]) == np.sign(np.median(texture_area(full)))).all()


def texture_area(mesh):
    first, second = (mesh.uv[mesh.uv_faces[:, k]] - mesh.uv[mesh.uv_faces[:, 0]] for k in (1, 2))
    return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]


def corner_pairs(mesh):
    return zip(
        mesh.vertices[mesh.faces.ravel()].tolist(), mesh.uv[mesh.uv_faces.ravel()].tolist(), strict=True
    )


def test_the_light_surface_is_near_the_full_one(avatar):
    """Vertices that went are within a millimeter of the light surface on the face, at rest and with the jaw open."""
    from studio_avatar.rendering import nearest_on_surface

    full, light = avatar.full_mesh, light_mesh(avatar.full_mesh)
    regions = list(avatar.head.config.region_names)
    seen = np.unique(
        full.faces[np.isin(full.region, [regions.index(name) for name in ("face", "lips", "eyelids")])]
    )
    for expression in (None, {"jawOpen": 1.0}, {"mouthSmileLeft": 1.0}):
        coefficients = avatar.coefficients(expression)
        points, surface = full.posed(coefficients)[seen], light.posed(coefficients)
        triangle, shares = nearest_on_surface(surface, light.faces, points)
        distance = np.linalg.norm(
            (surface[light.faces[triangle]] * shares[..., None]).sum(1) - points, axis=1
        )
        assert np.percentile(distance, 99) < 1e-3


@pytest.mark.slow
def test_the_kept_choice_is_what_the_code_makes(head, avatar):
    made, light = light_topology(head), light_mesh(avatar.full_mesh)
    np.testing.assert_array_equal(made.faces, light.faces)
    np.testing.assert_array_equal(made.uv_faces, light.uv_faces)


def test_the_light_file_has_the_same_names_and_a_smaller_texture(head, avatar, tmp_path):
    big = Avatar(head, avatar.identity, np.kron(avatar.texture, np.ones((4, 4, 1), np.uint8)))
    glb = Glb(big.export(tmp_path / "light.glb", "light"))
    assert glb.scene["meshes"][0]["extras"]["targetNames"] == list(head.config.expression_names)
    assert Image.open(io.BytesIO(glb.image())).size == (512, 512)


# ------------------------------------------------------------------------------------------ other formats


def test_obj_is_the_neutral_head(avatar, tmp_path):
    trimesh = pytest.importorskip("trimesh")
    folder = avatar.export(tmp_path / "head.obj")
    assert sorted(path.name for path in folder.iterdir()) == [
        "colour.png", "head.mtl", "head.obj", "normal.png", "roughness.png",
    ]  # fmt: skip
    mesh = trimesh.load(folder / "head.obj", force="mesh", process=False, maintain_order=True)
    assert len(mesh.faces) == len(avatar.full_mesh.faces)
    np.testing.assert_allclose(mesh.bounds[0], avatar.full_mesh.vertices.min(0), atol=1e-6)
    wrapped = read_wrapped_mesh(folder / "head.obj")
    np.testing.assert_array_equal(wrapped.uv_faces, avatar.full_mesh.uv_faces)
    np.testing.assert_allclose(wrapped.uv, avatar.full_mesh.uv, atol=1e-6)
    assert np.asarray(Image.open(folder / "colour.png")).tolist() == avatar.texture.tolist()


def test_the_plain_folder_has_mesh_names_and_pictures(avatar, head, tmp_path):
    folder = avatar.export(tmp_path / "plain")
    with np.load(folder / "mesh.npz") as arrays:
        np.testing.assert_array_equal(arrays["offsets"], avatar.full_mesh.offsets)
        np.testing.assert_array_equal(arrays["vertices"][: len(head.neutral)], avatar.mesh())
    description = json.loads((folder / "expressions.json").read_text())
    assert description["expressions"] == list(head.config.expression_names)
    assert description["regions"] == list(head.config.region_names)
    assert len(description["captureExpressions"]) == 3 and description["textureLayout"] == "head-v1"


@pytest.mark.parametrize(("name", "options"), [
    ("head.fbx", {}), ("head.glb", {"level": "tiny"}), ("head.obj", {"animation": True}),
])  # fmt: skip
def test_what_cannot_be_exported_is_refused(avatar, tmp_path, name, options):
    with pytest.raises(InvalidInputError):
        avatar.export(tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


def test_every_export_at_once(avatar, tmp_path):
    write_exports(
        avatar, tmp_path, ExportSettings(("obj", "folder", "vrm"), light=True, animation=True, preview=False)
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "avatar.glb", "avatar.vrm", "avatar_light.glb", "avatar_obj", "avatar_plain",
    ]  # fmt: skip
    assert Glb(tmp_path / "avatar_light.glb").scene["animations"][0]["name"] == "capture"
    with pytest.raises(InvalidInputError, match="fbx"):
        ExportSettings(("fbx",))


# ------------------------------------------------------------------------------------------ motion


def test_motion_follows_the_times_of_the_keyframes(fit):
    motion = captured_motion(fit, fit.expression)
    np.testing.assert_allclose(motion.times, [0, 0.5, 1.5])
    np.testing.assert_array_equal(motion.expression, fit.expression[[1, 2, 0]])
    np.testing.assert_allclose(np.linalg.norm(motion.rotation, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(
        motion.rotation[2], [0, 0, 0, 1], atol=1e-6
    )  # the keyframe that faces the camera
    np.testing.assert_allclose(
        motion.rotation[0], [0, np.sin(np.radians(15)), 0, np.cos(np.radians(15))], atol=1e-6
    )
    single = {name: values[:1] for name, values in vars(fit).items()}
    assert captured_motion(SimpleNamespace(**single), single["expression"]) is None


def test_the_glbs_animation_is_the_motion(avatar, tmp_path):
    glb = Glb(avatar.export(tmp_path / "a.glb", animation=True))
    (animation,) = glb.scene["animations"]
    values = {
        channel["target"]["path"]: glb.accessor(animation["samplers"][channel["sampler"]]["output"])
        for channel in animation["channels"]
    }
    np.testing.assert_allclose(values["weights"].reshape(3, 52), avatar.motion.expression, atol=1e-6)
    np.testing.assert_allclose(values["rotation"], avatar.motion.rotation, atol=1e-6)


# ------------------------------------------------------------------------------------------ material


def test_relief_follows_the_textures_detail(head):
    size = 512
    flat = np.full((size, size, 3), 0.6, np.float32)
    np.testing.assert_allclose(
        detail_normal(flat, head), np.broadcast_to([0, 0, 1], (size, size, 3)), atol=1e-6
    )
    wrinkled = flat.copy()
    row = int(np.flatnonzero(region_mask(head, size, "face")[:, size // 2]).mean())
    wrinkled[row] *= 0.8  # a crease across the face
    normal = detail_normal(wrinkled, head)
    assert (
        normal[row - 1, size // 2, 1] < -0.05 < 0.05 < normal[row + 1, size // 2, 1]
    )  # above it looks down, below up
    assert abs(normal[row, size // 2, 0]) < 1e-3
    eyes = region_mask(head, size, "eyeball_left", "teeth")
    noise = np.random.default_rng(0).uniform(0.3, 0.7, (size, size, 3)).astype(np.float32)
    assert np.degrees(np.arccos(detail_normal(noise, head)[eyes][:, 2].clip(-1, 1))).mean() < 3


def test_tangents_follow_the_texture(avatar):
    mesh, corners = avatar.full_mesh, split_at_seams(avatar.full_mesh)
    normals = vertex_normals(mesh.vertices, mesh.faces)[corners.vertex]
    tangent = tangents(mesh, corners, normals)
    np.testing.assert_allclose(np.linalg.norm(tangent[:, :3], axis=1), 1, atol=1e-5)
    assert np.abs((tangent[:, :3] * normals).sum(1)).max() < 1e-5
    nose = np.argmax(mesh.vertices[corners.vertex, 2])
    assert tangent[nose, 0] > 0.9 and tangent[nose, 3] == 1  # the picture's right is the person's left


def test_seams_are_levelled_and_the_face_is_left_alone(head):
    texture = smooth_texture().astype(np.float32)
    level = level_seams(texture, head)
    texels, uv = texel_map(head, SIZE), head.uv.numpy()
    faces, uv_faces = head.faces.numpy(), head.uv_faces.numpy()
    scalp = list(head.config.region_names).index("scalp")
    own = head.face_region.numpy() == scalp
    pairs = np.unique(np.stack([faces[own].ravel(), uv_faces[own].ravel()], 1), axis=0)
    shared = np.flatnonzero(np.bincount(pairs[:, 0]) == 2)
    at = [np.clip((uv[pairs[pairs[:, 0] == v, 1]] * SIZE).astype(int), 0, SIZE - 1) for v in shared]

    def step(picture):
        return np.mean([np.abs(picture[a[0, 1], a[0, 0]] - picture[a[1, 1], a[1, 0]]).mean() for a in at])

    assert step(level) < 0.35 * step(texture)
    middle = region_mask(head, SIZE, "lips", "brows")
    assert np.abs(level - texture)[middle].max() < 0.01
    assert texels.covered.shape == level.shape[:2]


def test_build_avatar_paints_both_textures(head, fit):
    texture = smooth_texture().astype(np.float32)
    capture = SimpleNamespace(rgb=texture[:, ::-1], seen=np.ones((SIZE, SIZE), np.float32), fit=fit)
    avatar = build_avatar(head, capture, texture)
    eyes = region_mask(head, SIZE, "eyeball_left", "eyeball_right")
    np.testing.assert_array_equal(avatar.texture[eyes], avatar.phone_texture[eyes])
    assert avatar.motion is not None and avatar.expression.shape == (3, 52)


# ------------------------------------------------------------------------------------------ pictures


def test_render_obeys_light_yaw_and_expression(avatar):
    pictures = {
        name: avatar.render(size=(96, 120), **options).astype(int)
        for name, options in {
            "front": {}, "left": {"yaw": 45}, "right": {"yaw": -45}, "sunset": {"light": "sunset"},
            "jaw": {"expression": {"jawOpen": 1.0}}, "dark": {"light": Light()},
        }.items()
    }  # fmt: skip
    assert all(picture.shape == (120, 96, 3) for picture in pictures.values())
    head = (pictures["front"] != pictures["front"][0, 0]).any(-1)
    for name, picture in pictures.items():
        if name != "front":
            assert np.abs(picture - pictures["front"])[head].mean() > 1, name
    assert pictures["dark"][60, 48].max() < 30 < pictures["front"][60, 48].min()
    with pytest.raises(InvalidInputError, match="moon"):
        avatar.render("moon")


def test_preview_shows_both_textures_under_three_lights(avatar, tmp_path, monkeypatch):
    monkeypatch.setattr("studio_avatar.avatar.preview.PREVIEW_CELL", (64, 80))
    picture = np.asarray(Image.open(avatar.preview(tmp_path / "preview.png")))
    assert picture.shape == (160, 192, 3)
    cells = [
        picture[80 * r : 80 * r + 80, 64 * c : 64 * c + 64].astype(int) for r in range(2) for c in range(3)
    ]
    assert min(np.abs(a - b).mean() for i, a in enumerate(cells) for b in cells[:i]) > 1


def test_the_turntable_plays_three_seconds(avatar, tmp_path, monkeypatch):
    import av

    monkeypatch.setattr("studio_avatar.avatar.preview.TURNTABLE_SIZE", (48, 60))
    monkeypatch.setattr(
        "studio_avatar.avatar.preview.turntable_frames", lambda a, light: small_frames(a, light)
    )
    path = avatar.turntable(tmp_path / "turn.mp4")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
        assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"
        assert float(stream.average_rate) == TURNTABLE_FPS
    assert (
        len(frames) == TURNTABLE_FPS * TURNTABLE_SECONDS
        and TURNTABLE_SIZE[0] % 2 == TURNTABLE_SIZE[1] % 2 == 0
    )
    steps = [np.abs(a - b).mean() for a, b in zip(frames, frames[1:] + frames[:1], strict=True)]
    assert steps[-1] < 2.5 * np.mean(steps[:-1])  # the end meets the beginning


def small_frames(avatar, light):
    from studio_avatar.avatar.preview import Scene

    scene = Scene(avatar)
    for number in range(60):
        yield scene.view(avatar.texture, 6.0 * number, light, (48, 60), turning=True)


# ------------------------------------------------------------------------------------------ resampling


def other_layout(head) -> WrappedMesh:
    """The head's outer skin with its texture transposed, on a mesh with another order of vertices."""
    regions = list(head.config.region_names)
    outer = np.isin(
        head.face_region.numpy(),
        [regions.index(n) for n in ("face", "lips", "brows", "scalp", "neck", "ears")],
    )
    shuffle = np.random.default_rng(0).permutation(len(head.neutral))
    place = np.argsort(shuffle)
    return WrappedMesh(
        head.neutral.numpy()[shuffle],
        place[head.faces.numpy()[outer]],
        head.uv.numpy()[:, ::-1].copy(),
        head.uv_faces.numpy()[outer],
    )


def test_there_and_back_gives_the_same_texture(head):
    mesh, texture = other_layout(head), smooth_texture(512)
    there, covered = from_head_v1(texture, head, mesh, 512)
    assert covered.mean() > 0.6
    np.testing.assert_allclose(there[covered], texture.transpose(1, 0, 2)[covered], atol=0.02)
    back, known = to_head_v1(there, mesh, head, 512)
    face = region_mask(head, 512, "face", "lips", "brows") & known
    assert face.sum() > 0.99 * region_mask(head, 512, "face", "lips", "brows").sum()
    difference = np.abs(back - texture)[face]
    assert np.percentile(difference, 99) < 0.01 and difference.mean() < 0.002
    assert not known[region_mask(head, 512, "eyeball_left", "teeth")].any()


def test_the_command_resamples(head, avatar, tmp_path, capsys):
    from studio_avatar.cli.main import main

    folder = avatar.export(tmp_path / "head.obj")
    plain = avatar.export(tmp_path / "plain")
    out = tmp_path / "out.png"
    command = [
        "resample",
        str(folder / "colour.png"),
        str(folder / "head.obj"),
        "-o",
        str(out),
        "--size",
        "256",
    ]
    assert main([*command, "--head", str(plain)]) == 0
    assert "%" in capsys.readouterr().out
    skin = region_mask(head, 256, "face")
    difference = np.abs(np.asarray(Image.open(out)).astype(int) - avatar.texture)[skin]
    assert np.percentile(difference, 99) <= 3
    (tmp_path / "empty.obj").write_text("v 0 0 0\n")
    command[2] = str(tmp_path / "empty.obj")
    assert main(command) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert resample.HELP


# ------------------------------------------------------------------------------------------ Blender


@pytest.mark.skipif(
    "STUDIO_AVATAR_BLENDER_PYTHON" not in os.environ,
    reason="STUDIO_AVATAR_BLENDER_PYTHON names no Python that has bpy; see benchmarks/blender.py",
)
def test_blender_imports_names_and_renders(avatar, head, tmp_path):
    path = avatar.export(tmp_path / "head.glb", animation=True)
    command = [os.environ["STUDIO_AVATAR_BLENDER_PYTHON"], ROOT / "benchmarks" / "blender.py", path]
    done = subprocess.run(
        [*map(str, command), "--out", str(tmp_path / "b.png"), "--samples", "4"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    assert found["shape_keys"] == list(head.config.expression_names)
    assert found["triangles"] == len(avatar.full_mesh.faces)
    assert found["images"] == {"colour": "sRGB", "normal": "Non-Color", "roughness": "Non-Color"}
    assert found["actions"] and np.asarray(Image.open(tmp_path / "b.png")).std() > 5
