"""Films and photos with damage: cut, with flipped bytes, or with foreign bytes; and how the readers take them.

    python -m tools.damaged_files --copies 260

A decoder that crashes must not take its caller with it, so each kind is read in a process of its own, whose memory is
limited. Prints a line for each kind: how many copies were read, how many refused with a sentence, the longest time.
Anything else, a crash or an exception that is not ours, ends the command with an error.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

MEMORY_BYTES = 3 << 30  # address space, most of it shared libraries
COPIES_A_PROCESS = 24
SECONDS = 60  # for all of them
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


def clip(path: Path, codec: str, options: dict, pixels: str = "yuv420p") -> Path:
    """Twenty pictures of a pattern that moves."""
    import av

    background = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=15, options=options)
        stream.width, stream.height, stream.pix_fmt = 128, 96, pixels
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(np.roll(background, 3 * number, axis=1), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 15)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def photo(path: Path) -> Path:
    picture = np.random.default_rng(1).integers(0, 255, (120, 160, 3), np.uint8)
    if path.suffix == ".heic":
        from pillow_heif import from_pillow

        from_pillow(Image.fromarray(picture)).save(path)
    else:
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
    "mjpeg.avi": lambda path: clip(path, "mjpeg", {"qscale": "5"}, "yuvj420p"),
    "h264.mkv": lambda path: clip(path, "libx264", {"crf": "28"}),
    "h264.ts": lambda path: clip(path, "libx264", {"crf": "28"}),
    "photo.jpg": photo,
    "photo.png": photo,
    "photo.webp": photo,
    "photo.avif": photo,
    "photo.heic": photo,
    "photo.tiff": photo,
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


def damaged_copies(original: Path, count: int, rng: np.random.Generator) -> list[Path]:
    """Write them beside the original."""
    data = original.read_bytes()
    paths = [original.with_name(f"{number}_{original.name}") for number in range(count)]
    for path in paths:
        path.write_bytes(damaged(data, rng))
    return paths


def read_apart(paths: Sequence[Path]) -> list[tuple[str, int | str, float]]:
    """Read files in a process of their own: ("frames", how many) or ("refused", sentence), and the seconds, of each.

    Raises:
        RuntimeError: it crashed, or met an exception that is not ours. subprocess.TimeoutExpired: it hung.
    """
    done = subprocess.run(
        [sys.executable, "-c", READER, str(MEMORY_BYTES), *map(str, paths)],
        capture_output=True, text=True, timeout=SECONDS, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tools.damaged_files",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--copies", type=int, default=260, help="of each kind (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    begin, total = time.monotonic(), 0
    print("| file | copies | read | refused with a sentence | longest [s] |\n|---|---:|---:|---:|---:|")
    for name, make in ORIGINALS.items():
        with tempfile.TemporaryDirectory() as folder:
            rng = np.random.default_rng([options.seed, len(name)])
            copies = damaged_copies(make(Path(folder) / name), options.copies, rng)
            results = []
            for first in range(0, len(copies), COPIES_A_PROCESS):
                results += read_apart(copies[first : first + COPIES_A_PROCESS])
        read = sum(kind == "frames" for kind, _, _ in results)
        longest = max(seconds for _, _, seconds in results)
        print(f"| {name} | {len(results)} | {read} | {len(results) - read} | {longest:.1f} |", flush=True)
        total += len(results)
    print(f"\n{total} files in {time.monotonic() - begin:.0f} s.")


if __name__ == "__main__":
    main()
