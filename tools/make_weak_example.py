"""A capture to learn from, made of the good example.

    python -m tools.make_weak_example --capture examples/selfie.mp4 --out examples/weak_selfie.mp4

The same head as in the good example, filmed as one should not: too dark, too far away, shaky, never turning.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from studio_avatar.capture.io.video import read_frames
from studio_avatar.data.simulate.phone_camera import smooth_walk
from studio_avatar.imaging.files import write_atomically
from studio_avatar.imaging.video_io import encode_h264
from tools.make_example import FRAMES_PER_SECOND

SIZE = (480, 854)
FRONTAL_SECONDS = 0.6  # the good example looks straight ahead until then
FRAMES = 66  # at FRAMES_PER_SECOND
EXPOSURE = 0.09  # share of the light
SHRINK = 0.72  # farther away
SHAKE_PX, NOISE = 5.0, 0.012


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--capture", type=Path, required=True, help="a good capture that starts frontal")
    parser.add_argument("--out", type=Path, required=True, help="video to write")
    parser.add_argument("--seed", type=int, default=11, help="of shake and noise")
    options = parser.parse_args(argv)
    frontal = [frame.rgb for frame in read_frames(options.capture) if frame.time <= FRONTAL_SECONDS]
    video = encode_h264(spoilt(frontal, np.random.default_rng(options.seed)), SIZE, FRAMES_PER_SECOND)
    write_atomically(options.out, video)
    print(f"{options.out}: {len(video) / 1e3:.0f} kB")


def spoilt(frontal: list[np.ndarray], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Dark, small, shaken and noisy frames, uint8 sRGB (854, 480, 3), from frontal ones forth and back."""
    import cv2

    there_and_back = [*frontal, *frontal[-2:0:-1]]
    shake = SHAKE_PX * smooth_walk(rng, FRAMES)[:, :2]
    width, height = SIZE
    for number in range(FRAMES):
        source = there_and_back[number // 4 % len(there_and_back)]
        scale = SHRINK * height / source.shape[0]
        middle = np.array([source.shape[1], source.shape[0]]) / 2
        offset = np.array([width, height]) / 2 - scale * middle + shake[number]
        moved = cv2.warpAffine(
            source, np.float32([[scale, 0, offset[0]], [0, scale, offset[1]]]), SIZE,
            flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT_101,
        )  # fmt: skip
        blurred = cv2.blur(moved, (7, 3))  # a hand that does not hold still
        dark = EXPOSURE ** (1 / 2.2) * blurred / 255.0 + NOISE * rng.standard_normal((height, width, 1))
        yield np.rint(255 * np.clip(dark, 0, 1)).astype(np.uint8)


if __name__ == "__main__":
    main()
