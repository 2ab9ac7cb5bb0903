"""Decoding takes the same memory however long a clip is, and no more than its header admits."""

import gc
import struct
import subprocess
import sys
import zlib
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.clips import quadrants, turn_display_matrix, write_clip

from studio_avatar.capture.io import clip_plan
from studio_avatar.capture.io.video import read_frames

av = pytest.importorskip("av")
pytest.importorskip("resource")
ROOT = Path(__file__).parents[2]
# Megabytes by which the largest memory grows while a file is read, or its refusal.
READER = """
import resource, sys
from studio_avatar.capture.io import clip_plan
from studio_avatar.capture.io.video import read_frames
from studio_avatar.errors import StudioAvatarError
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
small, large = sys.argv[1:]
sum(1 for _ in read_frames(small))  # what libraries load is no part of it
before, frames, sentence = peak(), 0, ""
try:
    frames = sum(1 for _ in read_frames(large))
except StudioAvatarError as error:
    sentence = str(error)
print(round(peak() - before), frames, sentence)
"""


def png(width: int, height: int, rows: int) -> bytes:
    """A black RGB picture whose header says (width, height) and whose data have so many rows."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(rows * (1 + 3 * width)), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def clip_of_pngs(path: Path, size: tuple[int, int], picture: bytes, count: int) -> Path:
    """A clip whose header says `size`, of the same picture ten times a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "rgb24"
        for number in range(count):
            packet = av.Packet(picture)
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 10), True
            packet.pts = packet.dts = number
            packet.duration = 1
            container.mux(packet)
    return path


def growth_of_memory(small: Path, large: Path) -> tuple[int, int, str]:
    """Megabytes, frames and sentence, of `large` in a process that has read `small`."""
    done = subprocess.run(
        [sys.executable, "-c", READER, str(small), str(large)],
        capture_output=True, text=True, timeout=120, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    megabytes, frames, sentence = done.stdout.rstrip("\n").split(" ", 2)
    return int(megabytes), int(frames), sentence


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return clip_of_pngs(tmp_path_factory.mktemp("small") / "a.mov", (128, 96), png(128, 96, 96), 4)


def pictures_alive() -> int:
    return sum(type(one) is av.VideoFrame for one in gc.get_objects())


def test_pictures_of_a_turned_clip_do_not_pile_up(tmp_path):
    """PyAV's side data and its picture hold each other: looked at for every picture, all would wait for the collector."""
    clip = write_clip(tmp_path / "a.mp4", quadrants(160, 96), list(range(0, 3000, 50)))
    turn_display_matrix(clip)
    gc.collect()
    gc.disable()
    try:
        before = pictures_alive()
        alive = [pictures_alive() - before for _ in read_frames(clip)]
        with av.open(str(clip)) as container:  # that this would be seen
            for picture in container.decode(video=0):
                picture.side_data.get("DISPLAYMATRIX")
        piled_up = pictures_alive() - before
    finally:
        gc.enable()
        gc.collect()
    # At the end a decoder gives out what its threads have, one a core.
    assert len(alive) == 30 and max(alive) < 20 and piled_up > 50


@pytest.mark.parametrize("count", [4, 24])
def test_a_film_of_pngs_takes_a_few_pictures_of_memory(tmp_path, small, count):
    """A picture of 4K has 25 MB; 24 of them took 7.5 GB, with all that was kept of each."""
    large = clip_of_pngs(tmp_path / "a.mov", (3840, 2160), png(3840, 2160, 2160), count)
    megabytes, frames, _ = growth_of_memory(small, large)
    assert frames == count and megabytes < 300


@pytest.mark.parametrize("name", ["a.mov", "a.avi"])
def test_a_film_that_lies_about_its_size_is_refused_before_it_is_decoded(tmp_path, small, name):
    """Its header says 128 × 96, its pictures 12000 × 12000, which would be 432 MB each."""
    large = clip_of_pngs(tmp_path / name, (128, 96), png(12000, 12000, 1000), 4)
    megabytes, frames, sentence = growth_of_memory(small, large)
    assert frames == 0 and megabytes < 100
    assert sentence.startswith(f"{name} ") and sentence.endswith(
        "larger than 8K: please record in 4K or less."
    )


@pytest.mark.parametrize(("size", "threads"), [((1920, 1080), 0), ((3840, 2160), 0), ((8192, 4320), 4)])
def test_a_machine_of_many_cores_holds_few_large_pictures(monkeypatch, size, threads):
    """FFmpeg takes a thread a core, and each holds a picture: 0 leaves it to FFmpeg, which stops at sixteen."""
    monkeypatch.setattr(clip_plan.os, "cpu_count", lambda: 64)
    context = SimpleNamespace(width=size[0], height=size[1], thread_count=0)
    stream = SimpleNamespace(codec_context=context, thread_type="")
    clip_plan.decode_in_threads(stream)
    assert (stream.thread_type, context.thread_count) == ("AUTO", threads)
