"""Small pictures and clips for tests of what is read."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

ALWAYS_SO_MANY = {"threads": "2"}  # x264 codes otherwise with others, and takes as many as there are cores
SHORT_CLIP = (0, 40, 80, 120)  # pictures of the example from all sides


def quadrants(width: int, height: int) -> np.ndarray:
    """Red, green / blue, gray quarters: tells every rotation and mirroring apart."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = (220, 40, 40)
    picture[: height // 2, width // 2 :] = (40, 200, 40)
    picture[height // 2 :, : width // 2] = (40, 40, 220)
    picture[height // 2 :, width // 2 :] = (128, 128, 128)
    return picture


def corner_names(rgb: np.ndarray) -> str:
    """r, g, b or w(hite-ish) of the corners: top left, top right, bottom left, bottom right."""
    height, width = rgb.shape[:2]
    names = ""
    for row, col in ((1, 1), (1, 3), (3, 1), (3, 3)):
        color = rgb[height * row // 4, width * col // 4].astype(int)
        names += "w" if np.ptp(color) < 40 else "rgb"[int(color.argmax())]
    return names


def write_clip(
    path: Path,
    picture: np.ndarray,
    times_ms: list[int],
    options: dict | None = None,
    coding: dict | None = None,
) -> Path:
    """An H.264 clip that shows `picture` at the given times; options of the file and of the coding."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream("libx264", rate=30, options=coding or {})
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for time in times_ms:
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = time, stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def turn_display_matrix(path: Path) -> None:
    """Write "turn clockwise by 90 degrees for display" into the track header, as phones held upright do."""
    data = bytearray(path.read_bytes())
    header = data.index(b"tkhd")
    matrix = header + 4 + 4 + 20 + 16  # name, version, times and id, layer and volume
    one = 0x10000
    assert struct.unpack(">9i", data[matrix : matrix + 36])[0] == one
    data[matrix : matrix + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 0x40000000)
    path.write_bytes(bytes(data))


def shorten(source: Path, target: Path, numbers: tuple[int, ...], width: int = 360, rate: int = 4) -> Path:
    """Some frames of an upright 9:16 clip, by number, as a smaller clip of `rate` pictures a second: the same bytes on any
    number of cores."""
    height = width * 16 // 9
    with av.open(str(source)) as film, av.open(str(target), "w") as clip:
        stream = clip.add_stream("libx264", rate=rate, options={"crf": "18", **ALWAYS_SO_MANY})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number, frame in enumerate(film.decode(video=0)):
            if number in numbers:
                small = frame.reformat(width=width, height=height, format="yuv420p")
                small.pts, small.time_base = numbers.index(number), Fraction(1, rate)
                clip.mux(stream.encode(small))
            if number >= max(numbers):
                break
        clip.mux(stream.encode())
    return target
