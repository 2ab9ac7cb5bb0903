"""The exported head in three.js, in a real browser."""

import numpy as np
import pytest
from helpers.three_viewer import SIZE, find_chromium, three_viewer

from studio_avatar.avatar import Avatar
from studio_avatar.avatar.export.motion import Motion
from studio_avatar.head.model import HeadModel

pytest.importorskip("playwright", reason="playwright is not installed (extra [dev])")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.network,
    pytest.mark.skipif(find_chromium() is None, reason="Chromium is not installed"),
]


@pytest.fixture(scope="module")
def avatar():
    head = HeadModel.from_pretrained("weights_card", subfolder="head")
    rng = np.random.default_rng(3)
    texture = np.kron(rng.integers(60, 220, (64, 64, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
    expression = rng.uniform(0, 1, (2, 52))
    turns = np.float32([[0, 0, 0, 1], [0, np.sin(0.2), 0, np.cos(0.2)]])
    return Avatar(
        head, rng.normal(size=100), texture, expression, motion=Motion(np.float32([0, 1]), expression, turns)
    )


@pytest.fixture(scope="module", params=["full", "light"])
def viewed(request, avatar, node_folder, tmp_path_factory):
    """(level, viewer)"""
    folder = tmp_path_factory.mktemp("three")
    glb = avatar.export(folder / "exported.glb", request.param, animation=True)
    with three_viewer(glb, node_folder, folder) as viewer:
        yield request.param, viewer


def test_names_and_numbers_are_ours(viewed, avatar):
    level, viewer = viewed
    assert viewer.ask("names") == list(avatar.head.config.expression_names)
    assert viewer.ask("targets") == 52
    assert (
        viewer.ask("triangles") == len(avatar.full_mesh.faces)
        if level == "full"
        else viewer.ask("triangles") <= 5000
    )
    assert viewer.ask("colourSpace") == "srgb"


def test_the_browser_sees_the_textures_colors(viewed, avatar):
    level, viewer = viewed
    if level == "full":
        difference = np.abs(viewer.texture().astype(int) - avatar.texture)
        assert difference.max() <= 1


@pytest.mark.parametrize("name", ["jawOpen", "eyeBlinkLeft", "mouthSmileRight", "browInnerUp"])
def test_a_morph_target_moves_the_right_pixels(viewed, avatar, name):
    """What changes on the screen is where the vertices are that the expression moves."""
    _, viewer = viewed
    viewer.ask("pose(null, 0)")
    rest = viewer.screenshot().astype(int)
    viewer.ask(f"pose('{name}', 1)")
    changed = np.abs(viewer.screenshot().astype(int) - rest).max(-1) > 12
    assert changed.sum() > 60

    mesh = avatar.full_mesh
    moves = mesh.offsets[list(avatar.head.config.expression_names).index(name)]
    moved = np.linalg.norm(moves, axis=1) > 2e-4
    points = np.concatenate([mesh.vertices[moved], (mesh.vertices + moves)[moved]])
    screen = (np.array(viewer.ask("project(argument)", points.tolist())) * [1, -1] + 1) * SIZE / 2
    low, high = screen.min(0) - 4, screen.max(0) + 4
    rows, columns = np.nonzero(changed)
    inside = (columns > low[0]) & (columns < high[0]) & (rows > low[1]) & (rows < high[1])
    assert inside.mean() > 0.98


def test_the_animation_plays(viewed, avatar):
    _, viewer = viewed
    ((name, duration),) = viewer.ask("clips")
    assert name == "capture" and duration == pytest.approx(1.0)
    weights, turn = viewer.ask("play(0.5)")
    np.testing.assert_allclose(weights, avatar.motion.expression.mean(0), atol=1e-4)
    np.testing.assert_allclose(turn, [0, np.sin(0.1), 0, np.cos(0.1)], atol=1e-4)
