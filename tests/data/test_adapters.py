"""Foreign textures into the studio set, on small folders in the documented layouts, and broken data folders."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("warp", reason="the adapters render (extra [train])")

from studio_avatar.data import flat_views
from studio_avatar.data.adapters import __main__ as adapters
from studio_avatar.data.adapters import convert
from studio_avatar.data.adapters.mesh_files import read_textured_mesh
from studio_avatar.data.adapters.placement import UP_AXES, similarity
from studio_avatar.data.adapters.sources import ffhq_uv, multiface, plain_folder
from studio_avatar.data.prepare import make
from studio_avatar.data.prepare.__main__ import main as prepare
from studio_avatar.data.simulate.simulation import sample_identity, shaped_mesh
from studio_avatar.data.studio_set import studio_subjects, studio_texture
from studio_avatar.errors import InvalidInputError
from studio_avatar.head.layout import region_mask

ROOT = Path(__file__).parents[2]
SIZE = 256
VIEW_SIZE = (640, 640)


@pytest.fixture(scope="module")
def truth():
    """A head-v1 studio texture (SIZE, SIZE, 3)."""
    with Image.open(ROOT / "examples" / "selfie_studio.png") as image:
        return np.asarray(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BOX), np.float32) / 255


@pytest.fixture
def small(monkeypatch):
    """Textures of SIZE texels, from the front and both sides in views of VIEW_SIZE pixels, which still show more."""
    monkeypatch.setattr(adapters, "SIZE", SIZE)
    monkeypatch.setattr(flat_views, "FOCAL_PX", flat_views.FOCAL_PX * VIEW_SIZE[0] / flat_views.VIEW_SIZE[0])
    for module in (flat_views, convert):
        monkeypatch.setattr(module, "VIEW_SIZE", VIEW_SIZE)
        monkeypatch.setattr(module, "VIEWS", flat_views.VIEWS[:3])


@pytest.fixture(scope="module")
def stranger(head):
    """Vertices of somebody's head, in inches, Z up, looking along X, somewhere in the world."""
    vertices = shaped_mesh(head, sample_identity(np.random.default_rng(5)), np.zeros(52, np.float32)).vertices
    return vertices[:, [2, 0, 1]] * 39.37 + (3, 4, 60)


def write_obj(path: Path, head, vertices) -> None:
    """The head with its layout turned by 90 degrees, so that no texel stays where it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["v {:.5f} {:.5f} {:.5f}".format(*v) for v in vertices]
    lines += [f"vt {v:.6f} {1 - u:.6f}" for u, v in head.uv.numpy()]
    corners = zip((head.faces + 1).tolist(), (head.uv_faces + 1).tolist())
    lines += ["f " + " ".join(f"{a}/{b}" for a, b in zip(*corner)) for corner in corners]
    path.write_text("\n".join(lines))


def write_texture(path: Path, truth) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    turned = (truth.transpose(1, 0, 2) * 255 + 0.5).astype(np.uint8)
    Image.fromarray(turned).resize((512, 512), Image.Resampling.BICUBIC).save(path)


def run(source: str, folder: Path, data: Path, *more) -> tuple[int, dict]:
    completion = str(ROOT / "examples" / "selfie_studio.png")
    code = adapters.main(
        [source, "--from", str(folder), "--data", str(data), "--head", str(ROOT / "weights_card"),
         "--completion", completion, *map(str, more)]
    )  # fmt: skip
    return code, json.loads((data / "studio" / "head-v1" / f"{source}.json").read_text())


def error_on_face(head, path: Path, truth) -> float:
    with Image.open(path) as image:
        made = np.asarray(image, np.float32) / 255
    return float(np.abs(made - truth)[region_mask(head, SIZE, "face")].mean())


def test_any_mesh_comes_in_and_broken_files_are_named(head, truth, stranger, small, tmp_path, capsys):
    folder, data = tmp_path / "in", tmp_path / "data"
    write_obj(folder / "good.obj", head, stranger)
    write_texture(folder / "good.png", truth)
    write_texture(folder / "lonely.png", truth)
    write_obj(folder / "bare.obj", head, stranger)
    (folder / "torn.obj").write_text("v 1 2")
    write_texture(folder / "torn.png", truth)
    write_obj(folder / "small.obj", head, stranger)
    Image.new("RGB", (64, 64)).save(folder / "small.png")
    code, report = run("folder", folder, data)
    assert code == 0 and report["converted"] == 1
    assert sorted(report["skipped"]) == ["bare", "lonely", "small", "torn"]
    assert "64x64" in report["skipped"]["small"] and "no mesh" in report["skipped"]["lonely"]
    assert "folder: 1 people" in (printed := capsys.readouterr().out) and "4 skipped" in printed
    path = data / "studio" / "head-v1" / "folder-good.png"
    assert error_on_face(head, path, truth) < 0.03
    # prepare reads it as one more subject.
    (subject,) = studio_subjects(data)
    assert (subject.id, subject.source, subject.bare) == ("folder-good", "head-v1", False)
    assert (
        np.abs(studio_texture(subject, head, 128) - truth.reshape(128, 2, 128, 2, 3).mean((1, 3)))[64:].mean()
        < 0.08
    )


def test_textures_that_share_a_mesh_are_mapped_without_a_capture_each(head, truth, stranger, small, tmp_path):
    folder, data = tmp_path / "ffhq-uv", tmp_path / "data"
    write_obj(tmp_path / "template.obj", head, stranger[:, [1, 2, 0]])  # Y up, looking along Z
    write_texture(folder / "uv-maps" / "000000.png", truth)
    write_texture(folder / "uv-maps" / "000001.png", truth**1.5)
    (folder / "uv-maps" / "000002.png").write_bytes(b"\x89PNG torn")
    code, report = run("ffhq-uv", folder, data, "--template", tmp_path / "template.obj")
    assert code == 0 and report["converted"] == 2 and list(report["skipped"]) == ["000002"]
    for name, answer in (("000000", truth), ("000001", truth**1.5)):
        assert error_on_face(head, data / "studio" / "head-v1" / f"ffhq-uv-{name}.png", answer) < 0.03


def test_ffhq_uv_needs_a_template(truth, tmp_path, capsys):
    write_texture(tmp_path / "uv-maps" / "0.png", truth)
    code = adapters.main(
        ["ffhq-uv", "--from", str(tmp_path), "--data", str(tmp_path), "--head", str(ROOT / "weights_card"),
         "--completion", str(ROOT / "examples" / "selfie_studio.png")]
    )  # fmt: skip
    assert code == 2 and "--template" in capsys.readouterr().err


def test_multiface_gives_one_neutral_frame_a_subject(tmp_path):
    subject = tmp_path / "m--20180227--0000--6795937--GHS"
    neutral = "E001_Neutral_Eyes_Open"
    for segment, frame in ((neutral, "000102"), (neutral, "000099"), ("A_Smile", "000001")):
        for file in (
            f"unwrapped_uv_1024/{segment}/average/{frame}.png",
            f"tracked_mesh/{segment}/{frame}.obj",
        ):
            (subject / file).parent.mkdir(parents=True, exist_ok=True)
            (subject / file).touch()
    (subject / "tracked_mesh/E001_Neutral_Eyes_Open/000099.obj").unlink()
    bare = tmp_path / "m--20180105--0000--002539136--GHS"
    (bare / "unwrapped_uv_1024" / "E001_Neutral_Eyes_Open" / "average").mkdir(parents=True)
    broken, good = multiface(tmp_path)
    assert good.mesh.name == "000102.obj" and good.picture.parts[-3:] == (
        "E001_Neutral_Eyes_Open",
        "average",
        "000102.png",
    )
    assert broken.id == bare.name and bare.name in broken.problem


@pytest.mark.parametrize("layout", [plain_folder, multiface, ffhq_uv])
def test_an_empty_folder_is_an_error(layout, tmp_path):
    with pytest.raises(InvalidInputError, match=tmp_path.name):
        layout(tmp_path)


def test_glb_files_bring_their_own_texture(head, truth, stranger, tmp_path):
    import trimesh

    uv = head.uv.numpy()[head.uv_faces.numpy()].reshape(-1, 2) * (1, -1) + (0, 1)
    corners = stranger[head.faces.numpy()].reshape(-1, 3)
    image = Image.fromarray((truth * 255).astype(np.uint8))
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=image)
    mesh = trimesh.Trimesh(
        corners, np.arange(len(corners)).reshape(-1, 3), process=False,
        visual=trimesh.visual.TextureVisuals(uv=uv, material=material),
    )  # fmt: skip
    mesh.export(tmp_path / "a.glb")
    read, texture = read_textured_mesh(tmp_path / "a.glb")
    assert len(read.faces) == len(head.faces)
    np.testing.assert_allclose(texture, truth, atol=1 / 255)
    np.testing.assert_allclose(np.sort(read.uv, 0)[[0, -1]], np.sort(head.uv.numpy(), 0)[[0, -1]], atol=1e-4)
    (tmp_path / "b.glb").write_bytes(b"glTF torn")
    with pytest.raises(InvalidInputError, match="b.glb"):
        read_textured_mesh(tmp_path / "b.glb")


def test_the_similarity_is_found_again():
    rng = np.random.default_rng(0)
    points = rng.standard_normal((20, 3))
    turn = UP_AXES[1] @ UP_AXES[2]
    scale, rotation, shift = similarity(points, 2.5 * points @ turn.T + (1, 2, 3))
    assert scale == pytest.approx(2.5)
    np.testing.assert_allclose(rotation, turn, atol=1e-9)
    np.testing.assert_allclose(shift, (1, 2, 3), atol=1e-9)


def test_prepare_names_and_counts_what_it_skips(truth, tmp_path, capsys, monkeypatch):
    for name in ("STUDIO_SIZE", "SMALL_SIZE"):
        monkeypatch.setattr(make, name, SIZE)
    data = tmp_path / "data" / "studio"
    (data / "makehuman").mkdir(parents=True)
    (data / "valid").mkdir()
    (data / "head-v1").mkdir()
    (data / "makehuman" / "torn.png").write_bytes(b"\x89PNG torn")
    Image.new("RGB", (512, 256)).save(data / "makehuman" / "wide.png")
    Image.fromarray((truth * 255).astype(np.uint8)).save(data / "head-v1" / "fine.png")
    np.savez(
        data / "valid" / "naked.npz",
        vertices=np.zeros((3, 3)),
        faces=np.zeros((1, 3), int),
        uv=np.zeros((3, 2)),
    )
    (data / "valid" / "broken.npz").write_bytes(b"PK torn")
    code = prepare(
        ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--stage", "studio", "--variants", "1",
         "--workers", "1", "--head", str(ROOT / "weights_card")]
    )  # fmt: skip
    printed = capsys.readouterr().out
    index = json.loads((tmp_path / "out" / "studio.json").read_text())
    assert code == 0
    assert [item["id"] for item in index["items"]] == ["fine"]
    assert sorted(index["skipped"]) == ["broken", "naked", "torn", "wide"]
    assert all(name in reason for name, reason in index["skipped"].items())
    assert "studio: 1 items, 4 skipped" in printed and "studio_augmented: 1 items, 4 skipped" in printed


def test_prepare_without_portraits_says_so(tmp_path, capsys):
    code = prepare(
        [
            "--data",
            str(tmp_path),
            "--out",
            str(tmp_path),
            "--stage",
            "portraits",
            "--head",
            str(ROOT / "weights_card"),
        ]
    )
    assert code == 2 and "portraits" in capsys.readouterr().err
