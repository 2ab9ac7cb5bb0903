"""Damaged files: cut, with flipped bytes, or of foreign bytes. No crash, no hang, no flood of memory; only our errors.

Each damaged file is read in a process of its own whose memory and time are limited, because a decoder that crashes
would take the test run with it.
"""

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers.scheduling import ordinary_scheduling
from PIL import Image

av = pytest.importorskip("av")
resource = pytest.importorskip("resource")

MEMORY_BYTES = 3 << 30  # address space, most of it shared libraries
SECONDS = 60  # for all damaged copies of one file
COPIES = 24
READER = """
import json, resource, sys, time
from studio_avatar.capture.io.video import read_frames
from studio_avatar.errors import StudioAvatarError
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
results = []
for path in sys.argv[2:]:
    begin = time.monotonic()
    try:
        frames = sum(1 for _ in read_frames(path))
        results.append(["frames", frames, time.monotonic() - begin])
    except StudioAvatarError as error:
        results.append(["refused", str(error), time.monotonic() - begin])
print(json.dumps(results))
"""


def clip(path: Path, codec: str, options: dict) -> Path:
    rng = np.random.default_rng(0)
    background = rng.integers(0, 255, (96, 128, 3), np.uint8)
    with ordinary_scheduling(), av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=15, options=options)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(np.roll(background, 3 * number, axis=1), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 15)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def photo(path: Path) -> Path:
    picture = np.random.default_rng(1).integers(0, 255, (120, 160, 3), np.uint8)
    Image.fromarray(picture).save(path)
    return path


def animation(path: Path) -> Path:
    pictures = [Image.fromarray(np.full((80, 80, 3), 40 * i, np.uint8)) for i in range(5)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100)
    return path


ORIGINALS = {
    "h264.mp4": lambda path: clip(path, "libx264", {"crf": "28"}),
    "hevc.mov": lambda path: clip(path, "libx265", {"x265-params": "log-level=none:crf=28"}),
    "vp9.webm": lambda path: clip(path, "libvpx-vp9", {"cpu-used": "8"}),
    "av1.mp4": lambda path: clip(path, "libsvtav1", {"preset": "12"}),
    "photo.jpg": photo,
    "photo.png": photo,
    "animation.gif": animation,
}


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """One of: cut, a few bytes flipped anywhere, flipped in the first part (headers), a piece overwritten."""
    kind, values = rng.integers(4), np.frombuffer(data, np.uint8).copy()
    if kind == 0:
        return data[: rng.integers(1, len(data))]
    if kind == 3:
        begin = rng.integers(len(data))
        values[begin : begin + 64] = rng.integers(0, 256, len(values[begin : begin + 64]))
        return values.tobytes()
    reach = len(data) if kind == 1 else min(len(data), 2048)
    at = rng.integers(0, reach, rng.integers(1, 24))
    values[at] ^= (1 << rng.integers(0, 8, len(at))).astype(np.uint8)
    return values.tobytes()


@pytest.mark.parametrize("name", ORIGINALS)
def test_damaged_files_are_read_or_refused(tmp_path, name):
    original = ORIGINALS[name](tmp_path / name)
    rng = np.random.default_rng(len(name))
    paths = [original]
    for number in range(COPIES):
        paths.append(tmp_path / f"{number}_{name}")
        paths[-1].write_bytes(damaged(original.read_bytes(), rng))
    done = subprocess.run(
        [sys.executable, "-c", READER, str(MEMORY_BYTES), *map(str, paths)],
        capture_output=True, text=True, timeout=SECONDS, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]  # neither a crash nor an error that is not ours
    results = json.loads(done.stdout.splitlines()[-1])
    assert results[0][0] == "frames" and results[0][1] > 0  # the undamaged file is read
    for path, (kind, value, seconds) in zip(paths, results, strict=True):
        assert seconds < 10.0
        if kind == "refused":
            assert value.endswith(".") and "\n" not in value and path.name in value
