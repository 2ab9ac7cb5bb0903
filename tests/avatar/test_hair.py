"""Hair: styles on every head, the choice among them, color, and the files with it."""

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.glb_reader import Glb
from helpers.node_tools import validate
from PIL import Image
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from studio_avatar.avatar import Avatar, build_avatar
from studio_avatar.avatar.hair.cards import load_style
from studio_avatar.avatar.hair.choice import NOT_BY_ITSELF, choose
from studio_avatar.avatar.hair.color import dyed, hair_color
from studio_avatar.avatar.hair.outline import LONGEST
from studio_avatar.avatar.hair.scalp import hair_cover
from studio_avatar.avatar.hair.skin import Skin
from studio_avatar.avatar.hair.views import head_views
from studio_avatar.avatar.preview import Scene
from studio_avatar.capture.hair import HairViews, find_hair
from studio_avatar.errors import InvalidInputError
from studio_avatar.evaluation.hair import silhouettes
from studio_avatar.head.geometry import geometry
from studio_avatar.head.hair_styles import HairStyles
from studio_avatar.head.landmark_ids import CHIN, FOREHEAD
from studio_avatar.head.layout import region_mask, texel_map, texel_normals, texel_positions
from studio_avatar.imaging.color import linear_to_srgb, luma
from studio_avatar.rendering import Camera
from tools.groom_hair import GROOMS, groom

ROOT = Path(__file__).parents[2]
STYLES = ("afro01", "long01", "short03", "swept01")
SIDE = 128
BROWN = np.float32([0.12, 0.06, 0.03])  # linear


@pytest.fixture(scope="module")
def styles():
    return HairStyles.from_pretrained(ROOT / "weights_card", subfolder="hair_styles")


def identity_of(seed):
    return np.random.default_rng(seed).normal(size=100).astype(np.float32)


def person(head, seed):
    shape = geometry(head)
    return (shape.neutral + np.tensordot(identity_of(seed), shape.identity_basis[:100], 1)).astype(np.float32)


def capture_of(head, seed, hair=None, color=BROWN):
    """What a capture says of a head in front of a camera, whose hair is `hair`, points (P, 3), or none."""
    fit = SimpleNamespace(
        identity=identity_of(seed), expression=np.zeros((1, 52), np.float32), timestamps=np.zeros(1),
        rotation=np.diag([1.0, -1.0, -1.0])[None], translation=np.array([[0.0, 0.0, 0.7]]), focal_px=1000.0,
        image_size=(800, 800),
    )  # fmt: skip
    views = HairViews(
        np.zeros((1, SIDE, SIDE, 3), np.uint8), np.zeros((1, SIDE, SIDE), np.uint8), np.ones((1, SIDE, SIDE), bool),
        np.array([[50.0, 100.0]]), np.array([SIDE / 700]), np.array([0]),
    )  # fmt: skip
    capture = SimpleNamespace(fit=fit, hair=views)
    if hair is not None:
        mask = head_views(head, capture, person(head, seed))[0].covered(hair)
        views.hair[0] = 255 * mask
        views.rgb[0] = np.where(mask[..., None], np.rint(linear_to_srgb(color) * 255), 200)
    return capture


@pytest.mark.parametrize("name", STYLES)
def test_a_style_follows_the_head_without_holes_and_stays_off_the_skin(head, styles, name):
    style = load_style(head, styles, name)
    edges = np.concatenate([style.faces[:, [0, 1]], style.faces[:, [1, 2]], style.faces[:, [2, 0]]])
    at_rest = np.linalg.norm(style.rest[edges[:, 0]] - style.rest[edges[:, 1]], axis=1)
    for seed in range(3):
        neutral = person(head, seed)
        skin = Skin(head, neutral)
        laid = style.on(skin)
        height, _ = skin.heights(laid)
        assert (
            np.quantile(height - style.start, 0.01) > -5e-4
        )  # what the style itself has in the skin may stay there
        length = np.linalg.norm(laid[edges[:, 0]] - laid[edges[:, 1]], axis=1)
        long = at_rest > 0.004
        assert 0.5 < np.quantile(length[long] / at_rest[long], 0.002)
        assert np.quantile(length[long] / at_rest[long], 0.998) < 1.8


@pytest.mark.parametrize("name", [name for name in STYLES if name not in NOT_BY_ITSELF])
def test_auto_finds_the_style_that_a_head_wears(head, styles, name):
    style, neutral = load_style(head, styles, name), person(head, 5)
    style, laid = style.cut(style.on(Skin(head, neutral)), LONGEST)
    assert np.array_equal(
        np.unique(style.faces), np.arange(len(laid))
    )  # files carry no vertex without a triangle
    assert len(style.points(laid)) and len(style.on(Skin(head, neutral))) == len(laid)
    capture = capture_of(head, 5, style.points(laid))
    choice = choose(head, styles, neutral, head_views(head, capture, neutral))
    assert choice.style.name == name and choice.agreement > 0.9


def test_the_short_styles_are_as_they_are_grown(head, styles):
    """What the weights have of a style is what `tools.groom_hair` makes of the head today."""
    grown, stored = groom(head, GROOMS["crop01"]), styles.style("crop01")
    assert set(GROOMS) <= set(styles.config.names)
    np.testing.assert_allclose(stored["rest"], grown["rest"], atol=1e-5)
    assert stored["texture"] == grown["texture"] and np.array_equal(stored["faces"], grown["faces"])


def test_grown_hair_is_longest_on_top_and_fills_the_scalp(head):
    rows = GROOMS["swept01"].rows
    rest = groom(head, GROOMS["swept01"])["rest"].reshape(-1, rows, 2, 3).mean(2)  # the middles of the cards
    high, _ = Skin(head).heights(rest[:, -1])
    top, side = rest[:, 0, 1] > 0.1, (rest[:, 0, 1] < 0.05) & (rest[:, 0, 2] < 0)
    rise = GROOMS["swept01"].rise
    assert (
        rise[1] < np.quantile(high[top], 0.5) < 1.1 * rise[0] and np.quantile(high[side], 0.5) < 1.1 * rise[1]
    )
    roots = rest[:, 0]
    scalp = geometry(head).neutral[np.unique(geometry(head).faces[geometry(head).in_regions("scalp")])]
    assert np.quantile(cKDTree(roots).query(scalp)[0], 0.98) < 2 * GROOMS["swept01"].spacing


def test_a_bald_head_and_a_bare_crown_get_none_and_are_told_why(head, styles):
    neutral = person(head, 5)
    bald = choose(head, styles, neutral, head_views(head, capture_of(head, 5), neutral))
    assert bald.style is None and "no hair" in bald.reason
    style = load_style(head, styles, "long01")
    points = style.points(style.on(Skin(head, neutral)))
    capped = capture_of(head, 5, points[points[:, 1] < 0.05])
    choice = choose(head, styles, neutral, head_views(head, capped, neutral))
    assert choice.style is None and "cap" in choice.reason


def test_cropped_hair_is_painted_on_the_scalp_in_its_color(head, styles, texture):
    neutral, shape = person(head, 5), geometry(head)
    corners = neutral[shape.faces[shape.in_regions("scalp")]]
    shares = np.random.default_rng(0).dirichlet(np.ones(3), (len(corners), 12))
    points = (corners[:, None] * shares[..., None]).sum(2).reshape(-1, 3)
    capture = capture_of(head, 5, points, np.float32([0.1, 0.1, 0.1]))
    capture.rgb, capture.seen = texture, np.zeros(texture.shape[:2], np.float32)
    avatar = build_avatar(head, capture, texture, styles, "auto")
    assert avatar.hair is None and "cropped" in avatar.worn.reason
    scalp, face = (region_mask(head, len(texture), name) for name in ("scalp", "face"))
    painted = avatar.worn.cover > 0.3
    assert painted[scalp].mean() > 0.5 and painted[face].mean() < 0.01
    skin, bare = avatar.under_hair(avatar.texture), replace(avatar, worn=None)
    change = bare.under_hair(avatar.texture).astype(int).min(-1) - skin.max(-1)  # darker
    assert change[painted].mean() > 20 and np.abs(change[face]).mean() < 1
    capture.seen = np.ones(texture.shape[:2], np.float32)  # what the phone saw shows its hair itself
    assert not build_avatar(head, capture, texture, styles, "auto").worn.cover.any()


def test_a_scarf_is_no_hair_to_be_painted(head, styles):
    """All that is not face is taken for hair: it hangs down to the shoulders and looks like no style."""
    neutral = person(head, 5)
    (view,) = head_views(head, capture_of(head, 5), neutral)
    choice = choose(head, styles, neutral, [replace(view, hair=~view.face, sure=~view.face)])
    assert choice.style is None and "No style" in choice.reason and not choice.painted


def test_short_hair_that_looks_like_no_style_is_a_crop_with_its_outline(head, styles, monkeypatch):
    neutral = person(head, 5)
    style = load_style(head, styles, "curls01")
    capture = capture_of(head, 5, style.points(style.on(Skin(head, neutral))))
    monkeypatch.setattr("studio_avatar.avatar.hair.choice.AGREEMENT", 1.01)
    choice = choose(head, styles, neutral, head_views(head, capture, neutral))
    asked = choose(head, styles, neutral, [], "crop01")
    assert choice.style.name == "crop01" and "No style" in choice.reason and not choice.painted
    assert choice.agreement > 0.55 and choice.vertices[:, 1].max() > asked.vertices[:, 1].max() + 0.004


def test_the_forehead_between_face_and_hair_is_head_and_a_bald_one_is_not_made_up(head):
    """The detected oval ends at the middle of the forehead: only under hair is what lies above it known to be head."""
    neutral = person(head, 5)
    (view,) = head_views(head, capture_of(head, 5), neutral)
    rows = np.nonzero((view.region >= 0).any(1))[0]
    brow, hairline = np.quantile(rows, [0.4, 0.2]).astype(int)
    model, row = view.region >= 0, np.arange(len(view.region))[:, None]
    head_and_neck = model & (view.height(np.argwhere(np.ones_like(model))[:, ::-1] + 0.5) > LONGEST).reshape(
        model.shape
    )
    columns = np.nonzero(model[brow])[0]
    low = np.nonzero(head_and_neck.any(1))[0].max() + 1
    oval = np.float32([[columns[0], brow], [columns[-1], brow], [columns[-1], low], [columns[0], low]]) + 0.5
    haired = replace(view, hair=model & (row < hairline))
    with_hair, bald = (silhouettes(one, head, oval, None) for one in (haired, view))
    above = head_and_neck & (row < brow)
    assert with_hair - bald > 0.8 * above.sum() / head_and_neck.sum()


def test_the_outline_follows_the_person(head, styles):
    """Hair a tenth wider than the style: the style is drawn out to it."""
    style, neutral = load_style(head, styles, "afro01"), person(head, 5)
    laid = style.on(Skin(head, neutral))
    wide = style.points(laid) * np.float32([1.15, 1.1, 1.0])
    views = head_views(head, capture_of(head, 5, wide), neutral)
    choice = choose(head, styles, neutral, views, "afro01")
    assert np.ptp(choice.vertices[:, 0]) > 1.06 * np.ptp(laid[:, 0])


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ([0.013, 0.006, 0.004], [0.013, 0.006, 0.004]),  # dark brown is not grayer for being nearly black
        ([0.004, 0.002, 0.001], [0.014, 0.007, 0.0035]),  # and no hole
        ([0.100, 0.085, 0.127], [0.109, 0.092, 0.092]),  # the sky's sheen
        ([0.050, 0.050, 0.200], [0.050, 0.050, 0.200]),  # dyed
    ],
)
def test_hair_has_the_hue_of_melanin_unless_it_is_dyed(head, styles, shown, expected):
    style, neutral = load_style(head, styles, "short03"), person(head, 5)
    capture = capture_of(head, 5, style.points(style.on(Skin(head, neutral))), np.float32(shown))
    _, colors = hair_color(head_views(head, capture, neutral), np.ones(3))
    np.testing.assert_allclose(colors, np.tile(expected, (len(colors), 1)), rtol=0.2)


def test_color_is_that_of_the_pictures_without_the_phones_light(head, styles):
    style, neutral = load_style(head, styles, "short03"), person(head, 5)
    capture = capture_of(head, 5, style.points(style.on(Skin(head, neutral))))
    _, colors = hair_color(head_views(head, capture, neutral), np.array([2.0, 1.0, 0.5]))
    np.testing.assert_allclose(colors, np.tile(BROWN * [2.0, 1.0, 0.5], (len(colors), 1)), rtol=0.1)


def test_skin_that_is_taken_for_hair_does_not_color_it(head, styles):
    style, neutral = load_style(head, styles, "short03"), person(head, 5)
    capture = capture_of(head, 5, style.points(style.on(Skin(head, neutral))))
    face = head_views(head, capture, neutral)[0].region >= 0
    face &= capture.hair.hair[0] == 0
    capture.hair.rgb[0][face] = 190, 140, 115
    forehead = np.cumsum(face, 0) < 12  # under the hair
    capture.hair.hair[0][face & forehead] = 255
    doubtful = ~face & (np.arange(SIDE) < 8)
    capture.hair.hair[0][doubtful], capture.hair.rgb[0][doubtful] = 150, 250
    _, colors = hair_color(head_views(head, capture, neutral), np.ones(3))
    np.testing.assert_allclose(colors, np.tile(BROWN, (len(colors), 1)), rtol=0.1)


@pytest.fixture(scope="module")
def texture():
    return np.full((1024, 1024, 3), 0.6, np.float32)


@pytest.fixture(scope="module")
def worn(head, styles, texture):
    """An avatar with the style that its capture shows."""
    style, neutral = load_style(head, styles, "bob01"), person(head, 5)
    capture = capture_of(head, 5, style.points(style.on(Skin(head, neutral))))
    capture.rgb, capture.seen = texture, np.ones(texture.shape[:2], np.float32)
    return build_avatar(head, capture, texture, styles, "auto")


def test_the_scalp_under_hair_is_dark_and_the_face_is_not(worn, head):

    change = worn.texture.astype(int) - worn.under_hair(worn.texture)
    assert worn.hair.style == "bob01"
    assert change[region_mask(head, 1024, "scalp")].mean() > 20
    assert change[region_mask(head, 1024, "lips", "eyelids", "brows")].max() == 0


@pytest.mark.parametrize("name", ["swept01", "long01"])
def test_skin_beside_the_face_is_dark_under_hair_that_lies_on_it_alone(head, styles, name):
    neutral, face = head.neutral.numpy(), region_mask(head, 256, "face")
    texels = texel_map(head, 256)
    places, normals = (of(texels, head, neutral)[face] for of in (texel_positions, texel_normals))
    style = load_style(head, styles, name)
    points = style.points(style.on(Skin(head, neutral)))
    side = np.abs(normals[:, 0]) > 0.5
    cover, raised = (hair_cover(head, neutral, hair, 256)[face] for hair in (points, points * (1.5, 1, 1)))
    under = side & (cKDTree(points).query(places)[0] < 0.003) & (places[:, 1] > 0.02)
    assert under.sum() > 100 and cover[under].mean() > 0.4
    middle = (places[:, 1].min() + places[:, 1].max()) / 2
    # Neither the jaw, which long hair touches, nor the front; and what hangs far beside the head is no sideburn.
    assert cover[side & (places[:, 1] < middle - 0.02)].max() < 0.05
    assert cover[np.abs(normals[:, 0]) < 0.3].mean() < 0.02
    assert raised[side].mean() < 0.3 * cover[side].mean()


def test_an_unknown_style_is_named(head, styles, worn, texture):
    capture = capture_of(head, 5)
    capture.rgb, capture.seen = texture, np.ones(texture.shape[:2])
    with pytest.raises(InvalidInputError, match="mohawk"):
        build_avatar(head, capture, texture, styles, "mohawk")


@pytest.mark.parametrize("level", ["full", "light"])
def test_the_file_with_hair_is_valid_small_and_quickly_written(worn, tmp_path, node_folder, level):
    assert len(worn.full_mesh.faces)
    began = time.process_time()
    path = worn.export(tmp_path / "worn.glb", level)
    assert time.process_time() - began < 6  # 3 s on a machine that does nothing else
    assert path.stat().st_size < 8e6
    report = validate(path, node_folder)["issues"]
    assert (report["numErrors"], report["numWarnings"], report["numInfos"]) == (0, 0, 0), report["messages"]
    scene = Glb(path).scene
    assert [mesh["name"] for mesh in scene["meshes"]] == ["head", "hair"]
    assert scene["nodes"][0]["children"] == [1] and scene["materials"][1]["alphaMode"] == "MASK"


def test_with_bones_hair_hangs_on_the_head_and_stays_in_its_place(worn, tmp_path, node_folder):
    path = replace(worn, rig="mixamo").export(tmp_path / "rigged.glb", "light")
    assert validate(path, node_folder)["issues"]["messages"] == []
    nodes = Glb(path).scene["nodes"]
    parent = {child: number for number, node in enumerate(nodes) for child in node.get("children", [])}
    (at,) = [number for number, node in enumerate(nodes) if node["name"] == "hair"]
    assert nodes[parent[at]]["name"] == "Head"
    point = np.array([0.01, 0.1, 0.02])
    moved = point
    while at is not None:
        turn = Rotation.from_quat(nodes[at].get("rotation", [0, 0, 0, 1]))
        moved, at = turn.apply(moved) + nodes[at].get("translation", [0, 0, 0]), parent.get(at)
    np.testing.assert_allclose(moved, point, atol=1e-6)


def test_the_plain_folder_has_hair_too(worn, tmp_path):
    folder = worn.export(tmp_path / "plain")
    with np.load(folder / "hair.npz") as hair:
        np.testing.assert_array_equal(hair["vertices"], worn.hair.vertices)
        assert hair["faces"].max() < len(hair["vertices"]) == len(hair["tint"]) == len(hair["uv"])
    assert Image.open(folder / "hair.png").mode == "RGBA"


def test_hair_is_dyed_and_stays_darker_where_it_was():
    roots_to_tips = np.float32([[0.02, 0.01, 0.01], [0.06, 0.04, 0.03]])
    red = dyed(roots_to_tips, "#a03020")
    np.testing.assert_allclose(linear_to_srgb(red.mean(0)) * 255, (0xA0, 0x30, 0x20), atol=1)
    np.testing.assert_allclose(
        luma(red[0]) / luma(red[1]), luma(roots_to_tips[0]) / luma(roots_to_tips[1]), rtol=1e-4
    )
    assert dyed(roots_to_tips, "auto") is roots_to_tips


def test_without_hair_the_file_has_one_mesh(worn, tmp_path):
    bare = Avatar(worn.head, worn.identity, worn.texture[::8, ::8])
    assert len(Glb(bare.export(tmp_path / "bare.glb")).scene["meshes"]) == 1


def test_pictures_show_hair(worn):
    bare = Avatar(worn.head, worn.identity, worn.texture)
    with_hair, without = (avatar.render("even", size=(96, 120)) for avatar in (worn, bare))
    hair = np.abs(with_hair.astype(int) - without).max(-1) > 25
    assert hair[:45].mean() > 0.15  # the crown
    assert hair[74:84, 42:54].mean() < 0.05  # the mouth


def test_hair_is_looked_for_around_the_head_in_few_frames():
    """Five key frames: the frontal one first and the two turned furthest; a pixel of the frame keeps its place."""
    yaws = np.radians([20.0, -35.0, 2.0, 10.0, 40.0])
    turns = np.stack([[[np.cos(a), 0, np.sin(a)], [0, -1, 0], [np.sin(a), 0, -np.cos(a)]] for a in yaws])
    frame = np.zeros((400, 300, 3), np.uint8)
    frame[40:60, 50:70] = 255
    points = np.tile(np.float32([60, 150]), (478, 1))
    points[[FOREHEAD, CHIN]] = [60, 100], [60, 200]
    segmenter = SimpleNamespace(segment=lambda picture: picture[..., 0].astype(np.float32) / 255)
    views = find_hair([frame] * 5, [points] * 5, turns, segmenter)
    assert views.keyframe.tolist() == [2, 1, 4] or views.keyframe.tolist() == [2, 4, 1]
    row, column = np.nonzero(views.hair[0] > 127)
    middle = (np.array([column.mean(), row.mean()]) + 0.5) / views.scale[0] + views.corner[0]
    np.testing.assert_allclose(middle, [60, 50], atol=1.5)
    assert not views.inside[0][:, 0].any() and views.inside[0][64, 64]


def test_an_avatar_is_drawn_where_the_captures_camera_sees_it(worn, head):
    """Nose and background of a small picture: hair and face stand where the camera projects them."""
    camera = Camera(250.0, np.diag([1.0, -1.0, -1.0]), np.array([0.03, 0.0, 0.6]), (120, 160))
    picture = Scene(worn).photographed(worn.texture, camera).astype(int)
    vertices = worn.full_mesh.vertices
    x, y = np.rint(camera.project(vertices[[vertices[:, 2].argmax()]])[0]).astype(int)
    assert abs(x - 76) < 3 and np.ptp(picture[y, x]) == np.ptp(picture[y + 3, x]) == 0  # gray skin
    assert (picture[y, x] < 200).all() and (picture[:, :20] > 230).all()
