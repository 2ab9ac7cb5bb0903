"""Headless pictures of an avatar, and the README's overview of one capture.

    python -m studio_avatar.avatar.preview examples/selfie.mp4 --out docs/example.png

Needs warp-lang (extra `train`).
"""

import argparse
from pathlib import Path

import numpy as np

from ..files import write_atomically
from ..images import encode_png, unit_to_uint8
from ..rendering import Lamp, Light, Skin, TexturedMesh, ambient_occlusion, look_at, render

FOCAL_SHARE = 1.9  # focal length over picture height: a portrait lens
DISTANCE = 0.78  # metres from the camera to the head's origin
BACKGROUND = (0.93, 0.93, 0.94)
SMILE = {"mouthSmileLeft": 0.7, "mouthSmileRight": 0.7, "cheekSquintLeft": 0.4, "cheekSquintRight": 0.4}
TALK = {"jawOpen": 0.35, "browInnerUp": 0.6, "mouthFunnel": 0.2}


def studio_light(azimuth_degrees: float = -40.0) -> Light:
    """Soft surrounding and one large key lamp at `azimuth_degrees`, positive towards the person's left."""
    azimuth = np.radians(azimuth_degrees)
    direction = np.array([np.sin(azimuth) * 0.9, 0.45, np.cos(azimuth) * 0.9])
    key = Lamp(tuple(direction / np.linalg.norm(direction)), (1.25, 1.2, 1.12), spread=0.12)
    return Light(Light.even(0.55).environment, (key,))


def render_avatar(
    avatar, yaw_degrees: float = 0.0, expression=None, light: Light | None = None, size=(512, 640)
) -> np.ndarray:
    """Picture of an `Avatar`, (height, width, 3) uint8 sRGB.

    Args:
        yaw_degrees: turn of the head, positive towards the person's left (the right of the picture).
        expression: ARKit name → coefficient. light: `studio_light()` by default. size: (width, height).
    Raises:
        MissingDependencyError: warp-lang is not installed.
    """
    width, height = size
    mesh = TexturedMesh.of_head(avatar.head, avatar.mesh(expression))
    mesh = TexturedMesh(**{**vars(mesh), "occlusion": ambient_occlusion(mesh)})
    yaw = np.radians(-yaw_degrees)
    centre = np.array([0.0, -0.01, 0.0])
    eye = centre + DISTANCE * np.array([np.sin(yaw), 0.05, np.cos(yaw)])
    camera = look_at(eye, centre, FOCAL_SHARE * height, size)
    background = np.broadcast_to(np.float32(BACKGROUND), (height, width, 3))
    picture = render(
        mesh,
        avatar.texture.astype(np.float32) / 255.0,
        camera,
        studio_light() if light is None else light,
        Skin(specular=0.7),
        supersample=2,
        background=background,
    )
    return unit_to_uint8(picture.rgb)


def overview(frame: np.ndarray, output, height: int = 448) -> np.ndarray:
    """One row: a frame of the capture, phone texture, studio texture, and the avatar three times.

    frame: (H, W, 3) uint8; output: `StudioTextureOutput` with an avatar.
    """
    portrait = (int(height * 0.8), height)
    heads = [
        render_avatar(output.avatar, size=portrait),
        render_avatar(output.avatar, 35.0, SMILE, studio_light(50.0), portrait),
        render_avatar(output.avatar, -30.0, TALK, studio_light(-100.0), portrait),
    ]
    textures = [_resized(np.asarray(image), (height, height)) for image in (output.phone_texture, output.avatar.texture)]
    frame = _resized(frame, (round(height * frame.shape[1] / frame.shape[0]), height))
    return np.concatenate([frame, *textures, *heads], axis=1)


def _resized(image: np.ndarray, size) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def main(arguments=None):
    from ..capture.video import read_frames
    from ..creation import CreationSettings, create_avatar, load_pipeline
    from ..weights import find_weights

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("capture", type=Path, help="a selfie video")
    parser.add_argument("--out", type=Path, required=True, help="PNG to write")
    parser.add_argument("--weights", help="weights folder or repository id")
    options = parser.parse_args(arguments)
    output = create_avatar(load_pipeline(find_weights(options.weights)), [options.capture], CreationSettings())
    first = next(iter(read_frames(options.capture)))
    write_atomically(options.out, encode_png(overview(first.rgb, output)))


if __name__ == "__main__":
    main()
