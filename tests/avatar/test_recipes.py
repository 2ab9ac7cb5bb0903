"""The recipes of docs/recipes.md, run as they stand in the document on a head with hair, all shapes and bones."""

import io
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from helpers.godot import godot_scene
from helpers.node_tools import PACKAGES
from helpers.packed import turned, unpacked
from helpers.recipes import SHAPES, blocks, commands, file_block, recipe_page
from helpers.three_viewer import find_chromium
from PIL import Image

from studio_avatar.avatar import Avatar
from studio_avatar.avatar.hair.cards import Hair
from studio_avatar.avatar.hair.wear import Worn
from studio_avatar.avatar.shapes.visemes import ARKIT_AND_OCULUS, VISEMES, shape_names

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def folder(head, node_folder, tmp_path_factory):
    """A folder as the document asks for, with avatar.glb; a strip stands for the hair."""
    random = np.random.default_rng(4)
    strip = np.float32([[x, y, -0.1] for y in (0.1, 0.0) for x in (-0.05, 0.05)])
    hair = Hair(
        "strip", strip, np.float32([[0, 0, -1]] * 4), np.array([[0, 1, 2], [2, 1, 3]]), np.float32(np.eye(4)[:, :2]),
        np.ones((4, 3), np.float32), np.full((8, 8, 4), 255, np.uint8), strip,
    )  # fmt: skip
    worn = Worn(hair, "for the test", cover=np.zeros((64, 64), np.float32), color=np.float32([0.1, 0.1, 0.1]))
    texture = random.integers(150, 200, (64, 64, 3), np.uint8)
    avatar = Avatar(head, random.normal(size=100), texture, worn=worn, shapes=ARKIT_AND_OCULUS, rig="mixamo")
    folder = tmp_path_factory.mktemp("recipes")
    avatar.export(folder / "avatar.glb", "light")
    (folder / "node_modules").symlink_to(node_folder / "node_modules")
    return folder


@pytest.fixture
def browser():
    pytest.importorskip("playwright", reason="playwright is in the extra [dev]")
    if find_chromium() is None:
        pytest.skip("Chromium is not installed")


def test_the_packages_are_those_of_the_tests():
    asked = {package for line in commands("npm install") for package in line.split()[2:]}
    assert len(asked) == 4 and asked <= {f"{name}@{version}" for name, version in PACKAGES.items()}


@pytest.mark.browser
def test_three_js_smiles_blinks_and_turns(folder, browser):
    with recipe_page("head.html", folder) as page:
        seen = []
        for _ in range(8):
            page.clock.fast_forward(400)
            seen.append([page.evaluate(SHAPES), page.evaluate("bone.rotation.y")])
    turns = np.array([turn for _, turn in seen])
    assert np.ptp(turns) > 0.1 and np.abs(turns).max() <= 0.4 + 1e-6
    for name in ("mouthSmileLeft", "mouthSmileRight", "eyeBlinkLeft", "eyeBlinkRight"):
        assert np.ptp([shapes[name] for shapes, _ in seen]) > 0.1, name


@pytest.mark.browser
def test_talkinghead_says_a_sentence_with_our_visemes(folder, browser):
    with recipe_page("talk.html", folder) as page:
        page.wait_for_selector("#speak:enabled")

        def listen():
            page.clock.fast_forward(80)
            return {name: value for name, value in page.evaluate(SHAPES).items() if name in VISEMES}

        assert max(listen().values()) == 0
        page.click("#speak")
        heard = [listen() for _ in range(40)]
    most = {name: max(moment[name] for moment in heard) for name in VISEMES}
    assert {"viseme_PP", "viseme_FF", "viseme_O"} <= {name for name, value in most.items() if value > 0.3}, (
        most
    )
    assert max(heard[-1].values()) < 0.05


def test_packed_files_keep_names_counts_and_normals(folder):
    for line in commands("npx"):
        subprocess.run(["bash", "-c", line], cwd=folder, check=True, capture_output=True)
    plain = unpacked(folder / "avatar.glb", folder)
    for name in ("web.glb", "small.glb", "packed.glb"):
        assert turned(plain, unpacked(folder / name, folder)).max() < 5
    assert (folder / "small.glb").stat().st_size < 0.7 * (folder / "avatar.glb").stat().st_size


@pytest.mark.browser
def test_three_js_reads_a_packed_file_with_its_decoder(folder, browser):
    (lines,) = (block.splitlines() for block in blocks() if "MeshoptDecoder" in block)
    if not (folder / "packed.glb").is_file():
        subprocess.run(
            ["bash", "-c", commands("npx gltfpack")[0]], cwd=folder, check=True, capture_output=True
        )
    changes = (
        ("import { GLTFLoader }", f"{lines[0]}\nimport {{ GLTFLoader }}"),
        (
            "const { scene: avatar } = await new GLTFLoader()",
            f"{lines[1]}\nconst {{ scene: avatar }} = await loader",
        ),
        ("'avatar.glb'", "'packed.glb'"),
    )
    with recipe_page("head.html", folder, changes=changes) as page:
        assert set(VISEMES) <= set(page.evaluate(SHAPES))


@pytest.mark.browser
@pytest.mark.skipif(
    "STUDIO_AVATAR_GODOT" not in os.environ,
    reason="STUDIO_AVATAR_GODOT names no folder with Godot's web build; see tests/helpers/godot.py",
)
def test_godot_smiles_blinks_and_turns(head, folder, browser):
    with godot_scene(folder, Path(os.environ["STUDIO_AVATAR_GODOT"])) as scene:
        seen = [scene.step(2) for _ in range(8)]
        shot = np.asarray(Image.open(io.BytesIO(scene.screenshot())).convert("L"))
        problems = scene.problems()
    assert set(shape_names(head, ARKIT_AND_OCULUS)) == set(seen[0]["shapes"]) and seen[0]["bones"] == 57
    turns = np.array([moment["turn"] for moment in seen])
    assert np.ptp(turns) > 0.1 and np.abs(turns).max() <= 0.4 + 1e-6
    for name in ("mouthSmileLeft", "mouthSmileRight", "eyeBlinkLeft", "eyeBlinkRight"):
        assert np.ptp([moment["shapes"][name] for moment in seen]) > 0.1, name
    assert shot.std() > 5
    assert problems == [], problems


@pytest.mark.skipif(
    "STUDIO_AVATAR_BLENDER_PYTHON" not in os.environ,
    reason="STUDIO_AVATAR_BLENDER_PYTHON names no Python that has bpy; see benchmarks/blender.py",
)
def test_blender_poses_saves_and_renders(folder):
    script, samples = re.subn(r"samples = \"CYCLES\", 32", 'samples = "CYCLES", 2', file_block("smile.py"))
    assert samples == 1
    (folder / "smile.py").write_text(script)
    subprocess.run([os.environ["STUDIO_AVATAR_BLENDER_PYTHON"], "smile.py"], cwd=folder, check=True)
    assert (folder / "head.blend").stat().st_size > 1e5
    assert np.asarray(Image.open(folder / "smile.png").convert("L")).std() > 5
