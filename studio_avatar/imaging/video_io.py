"""Frames to an MP4 file that every browser plays, and back."""

import io
from collections.abc import Iterable

import numpy as np

from .media import demuxer_options


def encode_h264(
    frames: Iterable[np.ndarray],
    size: tuple[int, int],
    frames_per_second: int,
    crf: int = 23,
    preset: str = "medium",
) -> bytes:
    """An MP4 file (H.264, yuv420p) of uint8 sRGB frames (H, W, 3); the same frames give the same bytes.

    Args:
        size: (width, height) in pixels, both even. crf: constant rate factor, lower is better and larger.
        preset: of libx264, how long it takes.
    """
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        # Without B frames, because libx264's choice of them differs from run to run.
        options = {"crf": str(crf), "preset": preset, "bf": "0"}
        stream = container.add_stream("libx264", rate=frames_per_second, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def decode(video: bytes) -> list[np.ndarray]:
    """All frames of a short MP4 file, uint8 sRGB (H, W, 3)."""
    import av

    with av.open(io.BytesIO(video), format="mp4", options=demuxer_options()) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
