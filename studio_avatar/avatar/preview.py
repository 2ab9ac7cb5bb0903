"""Headless pictures of an avatar: one view, three lights for phone and studio texture, a turntable, and the README's
overview of one capture (drawn by `python -m tools.draw_overview`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from studio_avatar.avatar.material.skin_material import ROUGHNESS, shrunk
from studio_avatar.errors import InvalidInputError
from studio_avatar.imaging.image_io import unit_to_uint8
from studio_avatar.rendering import (
    LETS_THROUGH,
    Camera,
    Cards,
    Lamp,
    Light,
    RenderOptions,
    Skin,
    TexturedMesh,
    ambient_occlusion,
    look_at,
    render_each,
    with_cards,
)
from studio_avatar.rendering.normals import vertex_normals

FOCAL_SHARE = 2.1  # focal length over picture height: a portrait lens
DISTANCE = 0.78  # meters from the camera to the middle of the head
TALLEST = 0.165  # meters from the middle to the upper edge of the picture, and a little room
MIDDLE = np.array([0.0, -0.018, 0.0])
BACKGROUND = (0.93, 0.93, 0.94)
PREVIEW_CELL = (320, 400)  # pixels
TURNTABLE_SIZE, TURNTABLE_FPS, TURNTABLE_SECONDS = (720, 900), 20, 3.0
PAINTED_SHADE = ("eyeball_left", "eyeball_right", "eye_sockets")  # the paint has the shade of the lids
INSIDE, MOUTH_LIGHT = (
    ("teeth", "tongue"),
    0.35,
)  # share of light that walls of the mouth hand on to each other
TURNTABLE_TEXELS = 1024  # as many as its pixels can show
SMILE = {"mouthSmileLeft": 0.7, "mouthSmileRight": 0.7, "cheekSquintLeft": 0.4, "cheekSquintRight": 0.4}
TALK = {"jawOpen": 0.35, "browInnerUp": 0.6, "mouthFunnel": 0.2}


def studio_light(azimuth_degrees: float = -40.0) -> Light:
    """Soft surrounding and one large key lamp at `azimuth_degrees`, positive towards the person's left."""
    return _key_light(azimuth_degrees, 27.0, (1.25, 1.2, 1.12), 0.55, spread=0.12)


def _key_light(azimuth, elevation, color, ambient, spread) -> Light:
    a, e = np.radians((azimuth, elevation))
    direction = (np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e))
    return Light(Light.even(ambient).environment, (Lamp(direction, color, spread=spread),))


# By name, for `Avatar.render`: large soft lamp, a window at the side, a low warm sun, light from everywhere.
LIGHTS = {
    "studio": studio_light(),
    "window": _key_light(75.0, 15.0, (1.25, 1.4, 1.6), 0.3, spread=0.3),
    "sunset": _key_light(-65.0, 8.0, (2.0, 1.15, 0.55), 0.28, spread=0.03),
    "even": Light.even(1.0),
}
PREVIEW_LIGHTS = ("studio", "window", "sunset")


class Scene:
    """An avatar in one expression, ready to be looked at from any side: shadows of the sky are computed once."""

    def __init__(self, avatar, expression: Mapping[str, float] | None = None):
        mesh = avatar.full_mesh
        vertices = mesh.posed(avatar.coefficients(expression))
        normals = vertex_normals(vertices, mesh.faces)
        rough = np.array([ROUGHNESS[name] for name in avatar.head.config.region_names])[mesh.region]
        gloss = np.clip(0.45 / rough, 0.6, 3.0).astype(np.float32)  # the renderer's gloss is relative to skin
        shape = TexturedMesh(vertices, mesh.faces, mesh.uv, mesh.uv_faces, normals, gloss=gloss)
        self._avatar = avatar
        top = 0.0 if avatar.hair is None else float(avatar.hair.vertices[:, 1].max() - MIDDLE[1])
        self._distance = DISTANCE * max(1.0, top / TALLEST)  # the same for every head but for tall hair
        if avatar.hair is None:
            self._cards, occlusion = None, ambient_occlusion(shape)
        else:
            self._cards, bare = hair_cards(avatar.hair, shape)
            under = ambient_occlusion(with_cards(shape, self._cards))[: len(vertices)]
            occlusion = under + LETS_THROUGH * (bare - under)
        painted, mouth = (_vertices(avatar.head, mesh, names) for names in (PAINTED_SHADE, INSIDE))
        occlusion[painted] = 1.0
        occlusion[mouth] = MOUTH_LIGHT + (1 - MOUTH_LIGHT) * occlusion[mouth]
        self._mesh = replace(shape, occlusion=occlusion)

    def view(
        self,
        texture: np.ndarray,
        yaw_degrees: float,
        light: Light,
        size: tuple[int, int],
        turning: bool = False,
    ) -> np.ndarray:
        """(height, width, 3) uint8 sRGB.

        Args:
            texture: (H, H, 3) uint8. yaw_degrees: turn of the head, positive towards its left (the picture's right).
            turning: one frame of many: the light stays with the camera while the head turns, and a pixel gets one sample.
        """
        return self.views([texture], yaw_degrees, [light], size, turning)[0][0]

    def views(
        self,
        textures: Sequence[np.ndarray],
        yaw_degrees: float,
        lights: Sequence[Light],
        size: tuple[int, int],
        turning: bool = False,
    ) -> list[list[np.ndarray]]:
        """What `view` shows, for each texture (all of one size) a list with one picture for each light."""
        yaw = np.radians(-yaw_degrees)
        eye = MIDDLE + self._distance * np.array([np.sin(yaw), 0.05, np.cos(yaw)])
        camera = look_at(eye, MIDDLE, FOCAL_SHARE * size[1], size)
        lights = [_turned(light, yaw) if turning else light for light in lights]
        options = RenderOptions(supersample=1 if turning else 2, shadow_samples=4)
        return self._drawn(textures, camera, lights, Skin(specular=0.7), options)

    def photographed(self, texture: np.ndarray, camera: Camera) -> np.ndarray:
        """(height, width, 3) uint8 sRGB of any camera, under even light without gloss; texture: (H, H, 3) uint8."""
        return self._drawn(
            [texture], camera, [LIGHTS["even"]], Skin(specular=0.0), RenderOptions(supersample=2)
        )[0][0]

    def _drawn(
        self, textures, camera: Camera, lights, skin: Skin, options: RenderOptions
    ) -> list[list[np.ndarray]]:
        width, height = camera.size
        rows = render_each(
            self._mesh,
            np.stack([self._avatar.under_hair(texture) for texture in textures]).astype(np.float32) / 255.0,
            camera,
            lights,
            skin,
            options,
            background=np.broadcast_to(np.float32(BACKGROUND), (height, width, 3)),
            cards=self._cards,
        )
        return [[unit_to_uint8(picture.rgb) for picture in row] for row in rows]


def _vertices(head, mesh, regions: tuple[str, ...]) -> np.ndarray:
    """Vertices of the named regions."""
    names = list(head.config.region_names)
    return np.unique(mesh.faces[np.isin(mesh.region, [names.index(name) for name in regions])])


def hair_cards(hair, skin: TexturedMesh) -> tuple[Cards, np.ndarray]:
    """The hair as the renderer takes it, which takes light from skin, not from hair; and the open sky (V,) of bare skin."""
    bare = TexturedMesh(
        np.concatenate([skin.vertices, hair.vertices]), skin.faces, skin.uv, skin.uv_faces,
        np.concatenate([skin.normals, hair.normals]),
    )  # fmt: skip
    of_skin, of_hair = np.split(ambient_occlusion(bare), [len(skin.vertices)])
    texture = hair.texture.astype(np.float32) / 255
    return Cards(hair.vertices, hair.normals, hair.faces, hair.uv, hair.tint, texture, of_hair), of_skin


def named_light(light: str | Light) -> Light:
    """A light of `LIGHTS` by name, or the light itself.

    Raises:
        InvalidInputError: there is no light of that name.
    """
    if isinstance(light, Light):
        return light
    if light not in LIGHTS:
        raise InvalidInputError(f"There is no light '{light}': use one of {', '.join(LIGHTS)}.")
    return LIGHTS[light]


def three_lights(avatar) -> np.ndarray:
    """The avatar under three lights, (H, W, 3) uint8 sRGB: studio texture below, and above it, where the avatar has
    one, the phone texture: light that was left in a texture is seen twice.
    """
    textures = [texture for texture in (avatar.phone_texture, avatar.texture) if texture is not None]
    rows = Scene(avatar).views(textures, -18.0, [LIGHTS[name] for name in PREVIEW_LIGHTS], PREVIEW_CELL)
    picture = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    return _captioned(picture, ("phone texture", "studio texture")) if len(rows) == 2 else picture


def turntable_frames(avatar, light: Light, size: tuple[int, int] = TURNTABLE_SIZE) -> Iterator[np.ndarray]:
    """One full turn in front of a fixed camera and light; the last frame is one step before the first."""
    scene, count = Scene(avatar), round(TURNTABLE_FPS * TURNTABLE_SECONDS)
    texture = shrunk(avatar.texture, TURNTABLE_TEXELS)
    for number in range(count):
        yield scene.view(texture, 360.0 * number / count, light, size, turning=True)


def overview(frame: np.ndarray, output, height: int = 448) -> np.ndarray:
    """One row: a frame of the capture, phone texture, studio texture, and the avatar three times.

    frame: (H, W, 3) uint8; output: `StudioTextureOutput` with an avatar.
    """
    portrait = (int(height * 0.8), height)
    avatar = output.avatar
    heads = [
        Scene(avatar).view(avatar.texture, 0.0, studio_light(), portrait),
        Scene(avatar, SMILE).view(avatar.texture, 35.0, studio_light(50.0), portrait),
        Scene(avatar, TALK).view(avatar.texture, -30.0, studio_light(-100.0), portrait),
    ]
    textures = [
        _resized(np.asarray(image), (height, height)) for image in (output.phone_texture, avatar.texture)
    ]
    frame = _resized(frame, (round(height * frame.shape[1] / frame.shape[0]), height))
    return np.concatenate([frame, *textures, *heads], axis=1)


def _turned(light: Light, yaw: float) -> Light:
    """The light turned about the vertical by `yaw` radians. Its surrounding must be the same all around."""
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    lamps = tuple(replace(lamp, direction=tuple(turn @ np.asarray(lamp.direction))) for lamp in light.lamps)
    return replace(light, lamps=lamps)


def _captioned(picture: np.ndarray, captions) -> np.ndarray:
    """Rows of equal height, each with its caption at the top left."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    for row, caption in enumerate(captions):
        draw.text((10, 8 + row * picture.shape[0] // len(captions)), caption, fill=(60, 60, 60), font_size=18)
    return np.asarray(image)


def _resized(image: np.ndarray, size) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
