"""The renderer against geometry and light that can be computed by hand."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from studio_avatar.errors import InvalidInputError
from studio_avatar.imaging.color import srgb_to_linear
from studio_avatar.rendering import (
    FLAT,
    Camera,
    Cards,
    Lamp,
    Light,
    RenderOptions,
    Skin,
    TexturedMesh,
    ambient_occlusion,
    look_at,
    render,
    render_each,
)

MATT = Skin(specular=0.0, subsurface=(0.0, 0.0, 0.0))
DOUBLED = RenderOptions(supersample=2)


def square(half=0.1, z=0.0, center=(0.0, 0.0)):
    """A square facing +Z whose texture is upright for a camera in front of it."""
    corners = np.array([[-1, 1], [1, 1], [1, -1], [-1, -1]]) * half + center
    vertices = np.concatenate([corners, np.full((4, 1), z)], 1).astype(np.float32)
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    faces = np.array([[0, 2, 1], [0, 3, 2]])
    return TexturedMesh(vertices, faces, uv, faces)


def join(a, b):
    """Two meshes in one."""
    return TexturedMesh(
        np.concatenate([a.vertices, b.vertices]),
        np.concatenate([a.faces, b.faces + len(a.vertices)]),
        np.concatenate([a.uv, b.uv]),
        np.concatenate([a.uv_faces, b.uv_faces + len(a.uv)]),
    )


def sphere(radius=0.1, rings=48):
    """A sphere with one texture coordinate for all."""
    polar, around = np.meshgrid(
        np.linspace(0, np.pi, rings), np.linspace(0, 2 * np.pi, 2 * rings), indexing="ij"
    )
    ray = np.stack([np.sin(polar) * np.sin(around), np.cos(polar), np.sin(polar) * np.cos(around)], -1)
    index = np.arange(polar.size).reshape(polar.shape)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    ray = ray.reshape(-1, 3).astype(np.float32)
    uv = np.full((1, 2), 0.5, np.float32)
    return TexturedMesh(ray * radius, faces, uv, np.zeros_like(faces), normals=ray)


def gray(value, size=8):
    return np.full((size, size, 3), value, np.float32)


def test_several_textures_and_lights_at_once_are_the_same_pictures():
    rng = np.random.default_rng(0)
    textures = rng.uniform(0, 1, (2, 8, 8, 3)).astype(np.float32)
    lights = [FLAT, Light(Light.even(0.4).environment, (Lamp((0.6, 0.0, 0.8)),))]
    scene, camera = join(square(), square(0.03, z=0.05)), look_at((0, 0, 1), size=(24, 32), focal_px=120.0)
    rows = render_each(scene, textures, camera, lights, options=DOUBLED)
    for texture, row in zip(textures, rows, strict=True):
        for light, picture in zip(lights, row, strict=True):
            alone = render(scene, texture, camera, light, options=DOUBLED)
            assert alone.alpha.max() == 1 and all(
                np.array_equal(*both) for both in zip(vars(alone).values(), vars(picture).values())
            )


def test_flat_light_shows_every_texel():
    texture = np.random.default_rng(0).uniform(0, 1, (64, 64, 3)).astype(np.float32)
    # 0.2 m seen from 1 m with a focal length of 320 px fill 64 px: one pixel a texel.
    camera = look_at((0, 0, 1), focal_px=320, size=(64, 64))
    picture = render(square(), texture, camera)
    np.testing.assert_allclose(picture.rgb, texture, atol=2e-3)
    assert (picture.alpha == 1).all()


def test_geometry_agrees_with_the_camera():
    mesh = sphere()
    camera = look_at((0.2, 0.1, 0.6), focal_px=200, size=(100, 80), roll=0.3)
    picture = render(mesh, gray(0.5), camera)
    rows, columns = np.nonzero(picture.triangle >= 0)
    corners = mesh.vertices[mesh.faces[picture.triangle[rows, columns]]]
    points = (corners * picture.barycentric[rows, columns][..., None]).sum(1)
    np.testing.assert_allclose(camera.project(points), np.stack([columns, rows], 1) + 0.5, atol=0.02)
    depth = (points @ camera.rotation.T + camera.translation)[:, 2]
    np.testing.assert_allclose(picture.depth[rows, columns], depth, atol=1e-4)
    assert np.isinf(picture.depth[picture.triangle < 0]).all()


def test_the_persons_left_is_on_the_right_of_the_picture():
    camera = look_at((0, 0, 1), focal_px=100, size=(100, 100))
    right_of_center = render(square(0.05, center=(0.2, 0.2)), gray(1.0), camera)
    rows, columns = np.nonzero(right_of_center.alpha)
    assert columns.min() > 50
    assert rows.max() < 50


@pytest.mark.parametrize("degrees", [0, 30, 60])
def test_a_lamp_follows_the_cosine_law(degrees):
    angle = np.radians(degrees)
    light = Light(lamps=(Lamp((np.sin(angle), 0, np.cos(angle)), (0.8, 0.4, 0.2)),))
    camera = look_at((0, 0, 1), focal_px=100, size=(16, 16))
    picture = render(square(), gray(0.5), camera, light, MATT, srgb=False)
    expected = srgb_to_linear(0.5) * np.array([0.8, 0.4, 0.2]) * np.cos(angle)
    np.testing.assert_allclose(picture.rgb[8, 8], expected, rtol=1e-3)


def test_a_near_lamp_falls_off_with_the_square_of_the_distance():
    camera = look_at((0, 0, 1), focal_px=100, size=(16, 16))
    near, far = (
        render(
            square(z=z), gray(0.5), camera, Light(lamps=(Lamp((0, 0, 1), distance=0.5),)), MATT, srgb=False
        )
        for z in (0.25, 0.0)
    )
    np.testing.assert_allclose(near.rgb[8, 8], 4 * far.rgb[8, 8], rtol=0.01)


def test_the_shadow_falls_where_the_ray_meets_the_wall():
    mesh = join(square(0.3), square(0.02, z=0.1))
    light = Light(lamps=(Lamp((1 / np.sqrt(2), 0, 1 / np.sqrt(2)), spread=0.0),))
    camera = look_at((0, 0.0, 1.0), focal_px=500, size=(200, 200))
    picture = render(mesh, gray(1.0), camera, light, MATT, srgb=False)
    # At 45 degrees the occluder 10 cm above the wall throws its shadow 10 cm to the person's right.
    column, row = camera.project(np.array([-0.1, 0.0, 0.0])).astype(int)
    assert picture.rgb[row, column].max() == 0
    assert picture.rgb[row, column + 14].min() > 0.6
    assert picture.rgb[row, column - 14].min() > 0.6


def made_of(mesh, normals=None):
    """Opaque black cards."""
    return Cards(
        mesh.vertices, mesh.smooth_normals() if normals is None else normals, mesh.faces, mesh.uv,
        np.ones_like(mesh.vertices), np.full((4, 4, 4), [0, 0, 0, 1], np.float32), np.ones(len(mesh.vertices)),
    )  # fmt: skip


def test_the_inside_of_hair_does_not_gleam():
    camera, card = look_at((0, 0, 0.6), focal_px=200, size=(32, 32)), square(0.05, z=0.1)

    def middle(normal):
        cards = made_of(card, np.tile(np.float32(normal), (len(card.vertices), 1)))
        return render(square(0.2), gray(0.5), camera, Light.even(), Skin(), srgb=False, cards=cards).rgb[
            16, 16
        ]

    assert middle([0, 0.6, -0.8]).max() < 1e-3 < middle([0, 0.6, 0.8]).min()


def test_cards_let_half_of_a_lamps_light_through_and_the_mesh_none():
    light, camera = (
        Light(lamps=(Lamp((0, 0, 1), spread=0.0),)),
        look_at((0, 0.4, 0.9), focal_px=500, size=(96, 96)),
    )
    cards = join(square(0.05, z=0.1), square(0.03, z=0.12))
    cards = replace(made_of(cards), texture=np.zeros((4, 4, 4), np.float32))  # not to be seen

    def lit(mesh, x):
        picture = render(mesh, gray(1.0), camera, light, MATT, srgb=False, cards=cards)
        column, row = camera.project(np.array([x, 0.0, 0.0])).astype(int)
        return picture.rgb[row, column].mean()

    wall = square(0.3)
    assert lit(wall, 0.04) == pytest.approx(lit(wall, 0.08) / 2, rel=0.05)
    assert lit(wall, 0.0) == pytest.approx(lit(wall, 0.08) / 4, rel=0.05)
    assert lit(join(wall, square(0.01, z=0.14)), 0.0) == 0


def test_a_wide_lamp_has_a_soft_shadow():
    mesh = join(square(0.3), square(0.05, z=0.1))
    camera = look_at((0, 0.4, 0.9), focal_px=200, size=(96, 96))

    def partly_lit(spread):
        light = Light(lamps=(Lamp((0, 0, 1), spread=spread),))
        picture = render(mesh, gray(1.0), camera, light, MATT, RenderOptions(shadow_samples=16), srgb=False)
        return ((picture.rgb > 0.02) & (picture.rgb < 0.9)).mean()

    assert partly_lit(0.3) > 3 * partly_lit(0.0) + 0.01


def test_even_light_shows_the_texture_on_a_convex_body():
    camera = look_at((0, 0, 0.6), focal_px=200, size=(64, 64))
    picture = render(sphere(), gray(0.4), camera, Light.even(), MATT)
    np.testing.assert_allclose(picture.rgb[picture.alpha == 1], 0.4, atol=0.01)


def test_gloss_adds_light_in_the_mirror_direction_only():
    camera = look_at((0, 0, 0.6), focal_px=300, size=(96, 96))
    light = Light(lamps=(Lamp((0.5, 0, np.sqrt(0.75))),))
    matt, glossy = (
        render(
            sphere(),
            gray(0.3),
            camera,
            light,
            Skin(specular=s, roughness=0.3, subsurface=(0, 0, 0)),
            srgb=False,
        )
        for s in (0.0, 1.0)
    )
    gained = (glossy.rgb - matt.rgb)[..., 1]
    assert gained.min() >= -1e-6
    row, column = np.unravel_index(gained.argmax(), gained.shape)
    # The half vector between lamp and eye leaves the sphere at 15 degrees from the axis.
    half = 0.1 * np.array([np.sin(np.radians(15)), 0, np.cos(np.radians(15))])
    np.testing.assert_allclose([column + 0.5, row + 0.5], camera.project(half), atol=3)


def test_occlusion_is_open_sky_on_a_ball_and_half_at_a_wall():
    assert ambient_occlusion(sphere()).min() > 0.97
    floor = square(0.3)
    wall = TexturedMesh(floor.vertices[:, [2, 0, 1]] + (0, 0, 0.3), floor.faces, floor.uv, floor.uv_faces)
    corner = join(square(0.02, center=(0.021, 0.0)), wall)
    corner = TexturedMesh(corner.vertices, corner.faces, corner.uv, corner.uv_faces)
    near_wall = ambient_occlusion(corner, rays=256, reach=1.0)[[0, 3]]
    np.testing.assert_allclose(near_wall, 0.5, atol=0.1)


def test_supersampling_softens_the_silhouette():
    camera = look_at((0, 0, 0.6), focal_px=100, size=(48, 48))
    hard, soft = (render(sphere(), gray(0.7), camera, options=RenderOptions(n)).alpha for n in (1, 3))
    assert set(np.unique(hard)) == {0.0, 1.0}
    assert ((soft > 0.05) & (soft < 0.95)).any()
    assert soft.mean() == pytest.approx(np.pi * (100 * 0.1 / np.sqrt(0.6**2 - 0.1**2)) ** 2 / 48**2, rel=0.02)


def test_the_background_shines_through_where_nothing_is():
    backdrop = np.random.default_rng(0).uniform(0, 1, (48, 48, 3)).astype(np.float32)
    camera = look_at((0, 0, 0.6), focal_px=100, size=(48, 48))
    picture = render(sphere(), gray(0.7), camera, background=backdrop)
    np.testing.assert_array_equal(picture.rgb[picture.alpha == 0], backdrop[picture.alpha == 0])


def test_wrong_shapes_are_explained():
    camera = Camera(100.0, np.eye(3), np.array([0, 0, 1.0]), (8, 8))
    with pytest.raises(InvalidInputError, match="texture"):
        render(square(), np.zeros((8, 8)), camera)
    with pytest.raises(InvalidInputError, match="background"):
        render(square(), gray(0.5), camera, background=np.zeros((4, 4, 3), np.float32))


def test_importing_the_package_does_not_wait_for_warp():
    """Warp is imported, and its kernels are read, when something is drawn or `load_kernels` is called."""
    code = "import sys, studio_avatar.rendering; sys.exit('warp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
