"""The bundled example capture: `python -m tools.make_example --texture T.png --out examples/`.

A head that nobody has, facing a window, turns left and right in front of a phone, then looks up and down. Writes
`selfie.mp4` (720x1280 H.264, 30 frames a second) and `selfie_studio.png`, the true studio texture behind it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from studio_avatar.data.simulate.clip import eased
from studio_avatar.data.simulate.environments import temperature
from studio_avatar.data.simulate.phone_camera import PhoneCamera, expose, smooth_walk
from studio_avatar.data.simulate.room import Room, sample_background
from studio_avatar.data.simulate.simulation import Scene, photograph, sample_identity, shaped_mesh
from studio_avatar.errors import InvalidInputError
from studio_avatar.head.model import HeadModel
from studio_avatar.imaging.files import write_atomically
from studio_avatar.imaging.image_io import encode_png, unit_to_uint8
from studio_avatar.imaging.video_io import encode_h264
from studio_avatar.rendering import Lamp, Skin, look_at

SIZE, SECONDS = (720, 1280), 7.0
FRAMES_PER_SECOND, RENDERED_PER_SECOND = 30, 15
FOCAL_PX, DISTANCE = 1450.0, 0.52  # a phone at arm's length [px, m]
# The turn of the head over time: (seconds, degrees to the person's right), and its nod: (seconds, degrees up).
TURN = ((0.0, 0.0), (0.5, 0.0), (1.6, 42.0), (2.7, 0.0), (3.8, -42.0), (4.8, 0.0), (7.0, 0.0))
NOD = ((0.0, 0.0), (4.9, 0.0), (5.6, 17.0), (6.4, -17.0), (7.0, 0.0))
BLINK_AT, SMILE_FROM = 2.6, 3.2  # [s]
CRF = 23
SEED = 7
SHIRT = (0.17, 0.22, 0.30)


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texture", type=Path, required=True, help="a square head-v1 studio texture")
    parser.add_argument("--out", type=Path, required=True, help="folder for selfie.mp4 and selfie_studio.png")
    parser.add_argument(
        "--head", default="weights_card", help="folder or Hub id whose subfolder `head` has the head"
    )
    parser.add_argument("--seed", type=int, default=SEED, help="of the head's shape, the room and the noise")
    options = parser.parse_args(argv)
    texture = read_texture(options.texture)
    head = HeadModel.from_pretrained(options.head, subfolder="head")
    options.out.mkdir(parents=True, exist_ok=True)
    video = encode_h264(
        film(head, texture, np.random.default_rng(options.seed)), SIZE, FRAMES_PER_SECOND, CRF
    )
    write_atomically(options.out / "selfie.mp4", video)
    write_atomically(options.out / "selfie_studio.png", encode_png(unit_to_uint8(texture)))
    print(f"{options.out / 'selfie.mp4'}: {len(video) / 1e6:.1f} MB")


def read_texture(path: Path) -> np.ndarray:
    """A square picture as (H, H, 3) float32 sRGB.

    Raises:
        InvalidInputError: it is not square.
    """
    from PIL import Image

    with Image.open(path) as image:
        texture = np.asarray(image.convert("RGB"), np.float32) / 255
    if texture.shape[0] != texture.shape[1]:
        raise InvalidInputError(
            f"{path.name} must be a square texture, not {texture.shape[1]}x{texture.shape[0]}."
        )
    return texture


def film(head, texture: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The frames of the example one after the other, uint8 sRGB (1280, 720, 3)."""
    identity, backdrop, tremble = drawn(head, rng)
    room, phone = bright_room(), example_phone()
    occlusion = shaped_mesh(head, identity, expression_at(head, 0.0)).occlusion
    scene = Scene(
        head, texture, identity, occlusion, Skin(specular=0.7, roughness=0.5), room, np.array(SHIRT), 0.012, backdrop, 0.0
    )  # fmt: skip
    for number in range(int(SECONDS * RENDERED_PER_SECOND)):
        seconds = number / RENDERED_PER_SECOND
        camera, _ = camera_at(seconds, tremble[number])
        frame = expose(
            photograph(scene, expression_at(head, seconds), camera, seed=number).linear, phone, rng
        )
        for _ in range(FRAMES_PER_SECOND // RENDERED_PER_SECOND):
            yield frame


def drawn(head, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is random before the first frame: identity (I,), backdrop (h, w, 3) and the hand's tremble (K, 6)."""
    identity = sample_identity(rng, head.config.num_identity) * np.float32(0.8)
    backdrop = sample_background(rng, bright_room(), SIZE)
    return identity, backdrop, smooth_walk(rng, int(SECONDS * RENDERED_PER_SECOND) + 1)


def bright_room() -> Room:
    """A large window that the person faces, a warm lamp at the right, and walls that send both back."""
    warm, cool = temperature(4200), temperature(6500)
    lamp, window = np.array([-0.5, 0.3, 0.8]), np.array([0.2, 0.1, 0.97])
    return Room(
        ambient=cool * 0.7,
        lobes=((window / np.linalg.norm(window), cool * 0.45, 0.9),),
        lamps=(Lamp(tuple(lamp / np.linalg.norm(lamp)), tuple(warm * 0.2), spread=0.3),),
        turns_with_camera=True,
    )


def example_phone() -> PhoneCamera:
    """A decent phone whose white balance leaves a part of the warm cast in."""
    return PhoneCamera(
        0.95, np.array([0.93, 1.0, 1.12]), 0.25, blur=0.6, motion=0.0, noise=0.004, codec=("h264", CRF)
    )


def camera_at(seconds: float, tremble: np.ndarray):
    """The camera as seen from the head, and how far the head is turned, radians."""
    times, degrees = np.array(TURN).T
    turn = np.radians(eased(times, degrees[:, None], seconds).item()) + 0.02 * tremble[0]
    times, degrees = np.array(NOD).T
    pitch = -np.radians(eased(times, degrees[:, None], seconds).item()) + 0.015 * tremble[1]
    direction = np.array([np.sin(turn) * np.cos(pitch), np.sin(pitch), np.cos(turn) * np.cos(pitch)])
    target = np.array([0.0, -0.035, 0.03]) + 0.003 * tremble[2:5]
    return look_at(target + direction * DISTANCE, target, FOCAL_PX, SIZE, 0.01 * tremble[5]), turn


def expression_at(head, seconds: float) -> np.ndarray:
    """A resting face that blinks once and smiles a little towards the end, (52,)."""
    names = list(head.config.expression_names)
    value = np.zeros(len(names), np.float32)
    blink = max(0.0, 1 - abs(seconds - BLINK_AT) / 0.15)
    smile = 0.25 * np.clip((seconds - SMILE_FROM) / 0.8, 0, 1)
    for side in ("Left", "Right"):
        value[names.index(f"eyeBlink{side}")] = blink
        value[names.index(f"mouthSmile{side}")] = smile
    return value


if __name__ == "__main__":
    main()
