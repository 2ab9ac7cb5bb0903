"""What one picture costs the mirror: `python benchmarks/mirror.py`, some seconds of one core.

Frames of a clip as a browser sends them (JPEG, 320 pixels), each answered as the page's server does, without the network and
without the limit of pictures a second. CPU time counts all threads of the process.
"""

import argparse
import io
import time
from pathlib import Path

import numpy as np
from PIL import Image

from studio_avatar.capture.io.video import read_frames
from studio_avatar.ui.mirror import Mirror

LONGER_SIDE, QUALITY = 320, 70
FIRST = 5  # pictures that also start the landmarker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", nargs="?", type=Path, default="examples/selfie.mp4")
    pictures = [as_sent(frame.rgb) for frame in read_frames(parser.parse_args().clip)]
    mirror, seconds, answered = Mirror(""), [], 0
    for picture in pictures:
        began = time.process_time()
        answered += mirror.look(picture) is not None
        seconds.append(time.process_time() - began)
    mirror.close()
    usual = 1000 * np.array(seconds[FIRST:])
    print(
        f"{len(pictures)} pictures of {np.mean([len(one) for one in pictures]) / 1000:.1f} kB, a face in {answered}"
    )
    print(f"started in {sum(seconds[:FIRST]) - usual.mean() * FIRST / 1000:.2f} CPU seconds")
    print(
        f"a picture: median {np.median(usual):.1f} ms, 95 % below {np.percentile(usual, 95):.1f} ms of CPU time"
    )
    print(f"that is {1000 / usual.mean():.0f} answers a second on one core")


def as_sent(rgb: np.ndarray) -> bytes:
    """A frame as static/mirror.js sends it."""
    picture, data = Image.fromarray(rgb), io.BytesIO()
    picture.thumbnail((LONGER_SIDE, LONGER_SIDE))
    picture.save(data, "JPEG", quality=QUALITY)
    return data.getvalue()


if __name__ == "__main__":
    main()
