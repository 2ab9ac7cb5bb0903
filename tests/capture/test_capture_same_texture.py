"""One clip stored in many ways gives one texture: turned, mirrored, at a variable rate, in high dynamic range."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.painted_head import IMAGE, facing, paint, render
from helpers.scheduling import ordinary_scheduling
from skimage.color import deltaE_ciede2000, rgb2lab

from studio_avatar.capture import capture
from studio_avatar.capture.io.video import read_frames

av = pytest.importorskip("av")

SIZE = 256
YAWS = (0, 34, -32)
MAX_DELTA_E = 2.0
BT2020, NARROW = 9, 1  # H.273 numbers
PQ, HLG = 16, 18


@pytest.fixture(scope="module")
def pictures(head):
    painting, vertices = paint(head), head.neutral.numpy()
    return [render(head, painting, vertices, facing(yaw)) for yaw in YAWS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def original(head, pictures, folder):
    return capture(write(folder / "original.mp4", pictures), head, size=SIZE)


def write(path: Path, pictures, times=None, codec="libx264", options=None, turn=None) -> Path:
    """The pictures (H, W, 3) uint8 as a clip, at `times` seconds; turn: degrees and whether mirrored, for display."""
    with ordinary_scheduling(), av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30, options=options or {"crf": "12"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        if turn:
            stream.set_display_rotation(*turn)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            frame.pts = round(1000 * (number / 8 if times is None else times[number]))
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def assert_same(texture, original) -> None:
    both = (texture.seen > 0.5) & (original.seen > 0.5)
    assert both.sum() > 0.9 * (original.seen > 0.5).sum()
    error = deltaE_ciede2000(rgb2lab(texture.rgb[both]), rgb2lab(original.rgb[both])).mean()
    print(f"mean ΔE2000 {error:.2f}")
    assert error < MAX_DELTA_E


def assert_shows(clip: Path, pictures) -> None:
    """The clip is read as these pictures; what a capture makes of pictures, the other tests look at."""
    frames = [frame.rgb for frame in read_frames(clip)]
    assert len(frames) == len(pictures) and all(frame.shape == (*IMAGE[::-1], 3) for frame in frames)
    for frame, picture in zip(frames, pictures):
        assert deltaE_ciede2000(rgb2lab(frame), rgb2lab(picture)).mean() < MAX_DELTA_E


def turned(path: Path, pictures, degrees: int) -> Path:
    """A clip that is stored turned and says so."""
    stored = [np.rot90(picture, -degrees // 90) for picture in pictures]
    return write(path, stored, turn=(degrees, False))


def test_turned_by_metadata(head, pictures, folder, original):
    assert_same(capture(turned(folder / "turned.mp4", pictures, 90), head, size=SIZE), original)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_every_turn_is_undone(pictures, folder, degrees):
    assert_shows(turned(folder / f"turned{degrees}.mp4", pictures, degrees), pictures)


def test_mirrored_by_metadata(pictures, folder):
    clip = write(folder / "mirrored.mp4", [picture[:, ::-1] for picture in pictures], turn=(0, True))
    assert_shows(clip, pictures)


def test_mirrored_without_saying_so(head, pictures, original):
    stored = [np.ascontiguousarray(picture[:, ::-1]) for picture in pictures]
    assert_same(capture(stored, head, size=SIZE, mirrored=True), original)


def test_variable_frame_rate(head, pictures, folder, original):
    """The first pictures stay for a while in many short frames, the others come late."""
    order = [0, 0, 0, 0, 0, 1, 1, 2]
    times = [0, 0.02, 0.04, 0.06, 0.08, 0.5, 0.51, 2.0]
    clip = write(folder / "variable.mp4", [pictures[i] for i in order], times)
    assert_same(capture(clip, head, size=SIZE), original)


# --- high dynamic range: the forward way, written out from BT.2100 and BT.2408, independent of the project


def srgb_to_bt2020_nits(picture: np.ndarray) -> np.ndarray:
    """Display light with diffuse white at 203 cd/m², in BT.2020 primaries (BT.2087 matrix)."""
    value = picture / 255.0
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    matrix = [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
    return 203.0 * linear @ np.array(matrix).T


def pq_signal(nits: np.ndarray) -> np.ndarray:
    """Inverse EOTF of BT.2100 table 4."""
    y = np.clip(nits / 10000.0, 0.0, 1.0) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1.0 + 18.6875 * y)) ** 78.84375


def hlg_signal(nits: np.ndarray) -> np.ndarray:
    """Inverse OOTF of a 1000 cd/m² display, then the OETF of BT.2100 table 5."""
    luma = np.maximum(nits @ np.array([0.2627, 0.6780, 0.0593]), 1e-9)[..., None]
    scene = np.clip((luma / 1000.0) ** ((1 - 1.2) / 1.2) * nits / 1000.0, 0.0, 1.0)
    high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)


def planes_10bit(signal: np.ndarray) -> list[np.ndarray]:
    """Y'CbCr 4:2:0, BT.2020 non-constant luminance, narrow range, 10 bits."""
    luma = signal @ np.array([0.2627, 0.6780, 0.0593])
    blue, red = (signal[..., 2] - luma) / 1.8814, (signal[..., 0] - luma) / 1.4746
    small = [cv2.resize(c, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for c in (blue, red)]
    return [(876 * luma + 64.5).astype("<u2"), *[(896 * c + 512.5).astype("<u2") for c in small]]


def write_hdr(path: Path, pictures, signal, transfer: int) -> Path:
    with av.open(str(path), "w") as container:
        options = {"x265-params": "log-level=none:crf=8", "preset": "fast"}
        stream = container.add_stream("libx265", rate=8, options=options)
        stream.width, stream.height, stream.pix_fmt = *IMAGE, "yuv420p10le"
        context = stream.codec_context
        context.color_primaries = context.colorspace = BT2020
        context.color_trc, context.color_range = transfer, NARROW
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame(*IMAGE, "yuv420p10le")
            for plane, values in zip(frame.planes, planes_10bit(signal(srgb_to_bt2020_nits(picture)))):
                padded = np.zeros((values.shape[0], plane.line_size // 2), "<u2")
                padded[:, : values.shape[1]] = values
                plane.update(padded)
            frame.color_primaries = frame.colorspace = BT2020
            frame.color_trc, frame.color_range = transfer, NARROW
            frame.pts, frame.time_base = number, Fraction(1, 8)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("name, signal, transfer", [("hlg", hlg_signal, HLG), ("pq", pq_signal, PQ)])
def test_high_dynamic_range(pictures, folder, name, signal, transfer):
    clip = write_hdr(folder / f"{name}.mp4", pictures, signal, transfer)
    with av.open(str(clip)) as container:
        frame = next(container.decode(video=0))
        assert (frame.color_trc, frame.color_primaries) == (transfer, BT2020)  # it is what it claims to be
    assert_shows(clip, pictures)


# --- codings


@pytest.mark.parametrize(
    "name, codec, options",
    [
        ("a.mov", "libx264", {"crf": "14"}),
        ("a.mp4", "libx265", {"x265-params": "log-level=none:crf=14"}),
        ("a.webm", "libvpx-vp9", {"crf": "16", "b:v": "0", "cpu-used": "8"}),
        ("b.mp4", "libsvtav1", {"crf": "16", "preset": "12"}),
    ],
)
def test_codings(pictures, folder, name, codec, options):
    frames = list(read_frames(write(folder / name, pictures[:3], codec=codec, options=options)))
    assert len(frames) == 3
    error = np.abs(frames[0].rgb.astype(int) - pictures[0])
    assert np.median(error) <= 3 and error.mean() < 5
