"""Clips and photos as phones, browsers and editors make them: several tracks, other sizes, gaps, held pictures, depth."""

import io
import struct
import warnings
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.clips import corner_names, quadrants, turn_display_matrix, write_clip
from PIL import Image, ImageCms

from studio_avatar.capture.detection.people import follow_person
from studio_avatar.capture.io.ahead import one_ahead
from studio_avatar.capture.io.video import read_frames
from studio_avatar.errors import NoFaceError, UnreadableMediaError

av = pytest.importorskip("av")
SKIN = (200, 140, 110)
SELFIE = Path(__file__).parents[2] / "examples" / "selfie.mp4"


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 200, (height, width, 3), np.uint8)


def join(path: Path, clips: list[Path], sound_seconds: float = 0.0) -> Path:
    """The first video track of each clip as a track of one file, and a tone."""
    sources = [av.open(str(clip)) for clip in clips]
    packets = []
    with av.open(str(path), "w") as target:
        tracks = [target.add_stream_from_template(source.streams.video[0]) for source in sources]
        tone = (
            target.add_stream("aac" if path.suffix in (".mp4", ".mov") else "libopus", rate=48000)
            if sound_seconds
            else None
        )
        for source, track in zip(sources, tracks, strict=True):
            for packet in source.demux(source.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = track
                    packets.append((float(packet.dts * packet.time_base), packet))
        if tone is not None:
            tone.layout = "mono"
            for start in range(0, int(sound_seconds * 48000), 960):
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.float32), "fltp", "mono")
                frame.sample_rate, frame.pts = 48000, start
                packets += [(float(p.dts * p.time_base), p) for p in tone.encode(frame)]
        for _, packet in sorted(packets, key=lambda timed: timed[0]):
            target.mux(packet)
    for source in sources:
        source.close()
    return path


def changing_clip(path: Path, parts: list[list[np.ndarray]], rate: int = 10, codec: str = "libvpx") -> Path:
    """One track whose pictures change their size from part to part, as a browser's recording."""
    with av.open(str(path), "w", format="webm") as container:
        stream, number = None, 0
        for pictures in parts:
            coder = av.CodecContext.create(codec, "w")
            coder.height, coder.width = pictures[0].shape[:2]
            coder.pix_fmt, coder.time_base, coder.framerate = "yuv420p", Fraction(1, rate), rate
            coder.options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}
            if stream is None:
                stream = container.add_stream(codec, rate=rate)
                stream.width, stream.height, stream.pix_fmt = coder.width, coder.height, "yuv420p"
            packets = []
            for picture in pictures:
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                frame.pts, frame.time_base = number, Fraction(1, rate)
                packets += coder.encode(frame)
                number += 1
            for packet in packets + coder.encode(None):
                packet.stream, packet.time_base = stream, Fraction(1, rate)
                container.mux(packet)
    return path


# --- which track, which pictures


@pytest.mark.parametrize("other", ["preview", "still", "screen"])
def test_the_camera_s_track_is_read_wherever_it_is(tmp_path, other):
    times = list(range(0, 2000, 100))
    main = write_clip(tmp_path / "main.mp4", noise(160, 96), times)
    first = {
        "preview": lambda path: write_clip(path, quadrants(64, 64), times),
        "still": lambda path: write_clip(path, quadrants(192, 192), [0]),
        "screen": lambda path: write_clip(path, np.full((96, 192, 3), 235, np.uint8), times),
    }[other](tmp_path / "other.mp4")
    for order in ([first, main], [main, first]):
        frames = list(read_frames(join(tmp_path / "both.mov", order)))
        assert frames[0].rgb.shape[:2] == (160, 96) and len(frames) == 20


TWO_SECONDS = list(range(0, 2000, 200))


def person() -> np.ndarray:
    """A small picture of the example."""
    with av.open(str(SELFIE)) as film:
        return next(film.decode(video=0)).to_ndarray(format="rgb24", width=360, height=640)


def read_by(landmarker, clip: Path):
    """The person in a clip, as a capture finds it: one detector chooses the track and looks at its pictures."""

    def face_size(rgb: np.ndarray) -> float:
        return max((face.size_px for face in landmarker.detect(rgb)), default=0.0)

    return follow_person(one_ahead(read_frames(clip, face_size=face_size)), landmarker)


@pytest.mark.parametrize("suffix", ["mov", "mkv"])
def test_the_track_with_a_face_is_read(tmp_path, landmarker, suffix):
    """The other has larger pictures, more data, and comes first."""
    screen = write_clip(tmp_path / "screen.mp4", noise(600, 800), TWO_SECONDS)
    camera = write_clip(tmp_path / "camera.mp4", person(), TWO_SECONDS)
    both = join(tmp_path / f"both.{suffix}", [screen, camera])
    assert next(iter(read_frames(both))).rgb.shape[:2] == (600, 800)
    seen = read_by(landmarker, both)
    assert seen.with_face == seen.sampled == 10 and seen.frames[0].frame.rgb.shape[:2] == (640, 360)


def test_a_much_larger_track_without_a_face_is_not_read(tmp_path, landmarker):
    """Slides in the largest pictures, which take little data."""
    slides = write_clip(tmp_path / "slides.mp4", quadrants(1920, 1080), TWO_SECONDS)
    camera = write_clip(tmp_path / "camera.mp4", person(), TWO_SECONDS)
    seen = read_by(landmarker, join(tmp_path / "both.mov", [slides, camera]))
    assert seen.with_face == seen.sampled == 10


def test_a_turned_track_is_looked_at_the_right_way_up(tmp_path):
    """Its face is asked for in the picture that would be read."""
    screen = write_clip(tmp_path / "screen.mp4", noise(200, 240), TWO_SECONDS)
    camera = write_clip(tmp_path / "camera.mp4", quadrants(160, 96), TWO_SECONDS)
    both, asked = join(tmp_path / "both.mov", [camera, screen]), []
    turn_display_matrix(both)

    def face_size(rgb: np.ndarray) -> float:
        asked.append(rgb.shape[:2])
        return 50.0 if corner_names(rgb) == "brwg" else 0.0

    frames = list(read_frames(both, face_size=face_size))
    assert set(asked) == {(200, 240), (160, 96)}
    assert frames[0].rgb.shape[:2] == (160, 96)


@pytest.mark.parametrize("sizes", [(0.0, 0.0), (100.0, 120.0)], ids=["none", "both"])
def test_without_a_clearly_larger_face_the_tracks_are_told_apart_as_ever(tmp_path, sizes):
    """No face anywhere, or the same face in both, as a stereo camera films it."""
    likely = write_clip(tmp_path / "likely.mp4", noise(128, 160), TWO_SECONDS)
    other = write_clip(tmp_path / "other.mp4", quadrants(128, 128), TWO_SECONDS)
    both = join(tmp_path / "both.mkv", [other, likely])

    def face_size(rgb: np.ndarray) -> float:
        return sizes[0] if rgb.shape[1] == 160 else sizes[1]

    frames = list(read_frames(both, face_size=face_size))
    assert frames[0].rgb.shape[:2] == (128, 160) and len(frames) == 10


def test_no_face_in_any_track_ends_as_ever(tmp_path, landmarker):
    tracks = [
        write_clip(tmp_path / f"{i}.mp4", quadrants(*size), TWO_SECONDS)
        for i, size in enumerate([(200, 160), (160, 200)])
    ]
    with pytest.raises(NoFaceError, match="No face was found"):
        read_by(landmarker, join(tmp_path / "both.mov", tracks))


@pytest.mark.parametrize("beside", [None, "preview", "still"])
def test_where_one_track_can_be_meant_no_face_is_asked_for(tmp_path, beside):
    camera = write_clip(tmp_path / "camera.mp4", noise(160, 96), TWO_SECONDS)
    others = {
        None: lambda path: [],
        "preview": lambda path: [write_clip(path, quadrants(48, 80), TWO_SECONDS)],
        "still": lambda path: [write_clip(path, quadrants(192, 192), [0])],
    }[beside](tmp_path / "other.mp4")
    frames = list(read_frames(join(tmp_path / "all.mov", [*others, camera]), face_size=pytest.fail))
    assert len(frames) == 10


def test_a_recording_that_grows_gives_its_large_pictures(tmp_path):
    clip = changing_clip(tmp_path / "a.webm", [[quadrants(64, 80)] * 10, [quadrants(256, 320)] * 10])
    frames = list(read_frames(clip))
    assert {frame.rgb.shape for frame in frames} == {(320, 256, 3)} and len(frames) >= 9
    assert frames[0].time >= 0.9


def test_a_recording_that_grows_keeps_its_colors(tmp_path):
    """Without a tag small pictures alone would be BT.601 and large ones BT.709."""
    skin = [np.full((height, width, 3), SKIN, np.uint8) for width, height in ((360, 640), (720, 1280))]
    clip = changing_clip(tmp_path / "a.webm", [[picture] * 3 for picture in skin], codec="libvpx-vp9")
    first, *_, last = [frame.rgb.reshape(-1, 3).mean(0) for frame in read_frames(clip)]
    assert np.abs(first - last).max() < 1.5


def test_pictures_a_little_smaller_are_scaled_in(tmp_path):
    clip = changing_clip(tmp_path / "a.webm", [[quadrants(192, 240)] * 10, [quadrants(256, 320)] * 10])
    frames = list(read_frames(clip))
    assert {frame.rgb.shape for frame in frames} == {(320, 256, 3)} and len(frames) >= 19
    assert corner_names(frames[0].rgb) == corner_names(frames[-1].rgb) == "rgbw"


def test_a_phone_turned_while_filming_keeps_both_views(tmp_path):
    clip = changing_clip(tmp_path / "a.webm", [[quadrants(192, 320)] * 10, [quadrants(320, 192)] * 10])
    frames = list(read_frames(clip))
    assert {frame.rgb.shape for frame in frames} == {(320, 320, 3)} and len(frames) >= 19
    assert frames[0].picture == (64, 0, 256, 320) and frames[-1].picture == (0, 64, 320, 256)
    for frame in (frames[0], frames[-1]):
        left, top, right, bottom = frame.picture
        assert corner_names(frame.rgb[top:bottom, left:right]) == "rgbw"


# --- lengths


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm"])
def test_sound_that_is_longer_is_no_damage(tmp_path, suffix):
    times = list(range(0, 2000, 100))
    source = changing_clip(tmp_path / "v.webm", [[noise(96, 96)] * 20]) if suffix == "webm" else None
    source = source or write_clip(tmp_path / "v.mp4", noise(96, 96), times)
    assert len(list(read_frames(join(tmp_path / f"a.{suffix}", [source], 9.0)))) >= 19


def test_a_picture_held_to_the_end_is_no_damage(tmp_path):
    """As screen recorders write it: the last packet lasts eight seconds."""
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"bf": "0"})
        stream.height, stream.width, stream.pix_fmt = 96, 96, "yuv420p"
        packets = []
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(noise(96, 96, number), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            packets += stream.encode(frame)
        packets += stream.encode()
        packets[-1].duration = int(8 / packets[-1].time_base)
        container.mux(packets)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.duration > 5e6
    assert len(list(read_frames(tmp_path / "a.mp4"))) == 10


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "ts"])
def test_a_clock_that_does_not_begin_at_zero_is_no_damage(tmp_path, suffix):
    """A recorder that has run for an hour before."""
    times = list(range(3_600_000, 3_603_000, 100))
    clip = write_clip(tmp_path / f"a.{suffix}", quadrants(96, 96), times, {}, {"bf": "0"})
    assert len(list(read_frames(clip))) == 30


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_long_gap_is_skipped(tmp_path, suffix):
    times = [0, *range(70_000, 73_000, 100)]
    frames = list(
        read_frames(write_clip(tmp_path / f"a.{suffix}", quadrants(96, 96), times, {}, {"bf": "0"}))
    )
    assert len(frames) >= 30 and frames[-1].time < 4.0


def test_a_file_cut_short_still_is(tmp_path):
    clip = write_clip(tmp_path / "v.mp4", noise(96, 96), list(range(0, 4000, 33)), {"movflags": "faststart"})
    join(tmp_path / "a.mkv", [clip])
    data = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "a.mkv").write_bytes(data[: len(data) // 2])
    with pytest.raises(UnreadableMediaError, match=r"a\.mkv breaks off after \d\.\d of 4\.\d"):
        list(read_frames(tmp_path / "a.mkv"))


def test_interlaced_pictures_are_not_combed(tmp_path):
    """The two fields of a moving bar, a quarter of the width apart."""
    picture = np.full((128, 128, 3), 40, np.uint8)
    picture[::2, 32:64] = picture[1::2, 64:96] = 220
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        coding = {"flags": "+ildct+ilme", "x264-params": "tff=1", "crf": "10"}
        stream = container.add_stream("libx264", rate=25, options=coding)
        stream.height, stream.width, stream.pix_fmt = 128, 128, "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    rgb = next(iter(read_frames(tmp_path / "a.mp4"))).rgb.astype(int)
    assert rgb.shape == (128, 128, 3)
    assert np.abs(np.diff(rgb[8:-8, 24:104], axis=0)).mean() < 8


# --- photos


D50 = np.array([0.9642, 1.0, 0.8249])


def wide_profile() -> bytes:
    """Display P3's primaries with gamma 2.2, written by hand (ICC.1:2001)."""
    xy = [(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)]
    to_xyz = np.array([(x / y, 1.0, (1.0 - x - y) / y) for x, y in xy]).T
    white = np.array([0.3127 / 0.3290, 1.0, (1 - 0.3127 - 0.3290) / 0.3290])
    cone = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    adapt = np.linalg.inv(cone) @ np.diag((cone @ D50) / (cone @ white)) @ cone
    columns = adapt @ (to_xyz * np.linalg.solve(to_xyz, white))
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    colorants = {name: icc_xyz(columns[:, i]) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    return icc_profile(b"RGB ", {**colorants, **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)})


def linear_gray_profile() -> bytes:
    """Gray without any gamma."""
    return icc_profile(b"GRAY", {b"kTRC": b"curv\0\0\0\0" + struct.pack(">I", 0)})


def icc_xyz(values) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(v * 65536)) for v in values)


def icc_profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 2) + b"P\0" + b"\0" * 80,
        b"cprt": b"text\0\0\0\0none",
        b"wtpt": icc_xyz(D50),
    } | tags
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        data += b"\0" * (-len(data) % 4)
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data
    head = (
        struct.pack(">I4sI4s4s4s", start + len(body), b"none", 0x02100000, b"mntr", space, b"XYZ ")
        + b"\0" * 12
    )
    head += b"acsp" + b"\0" * 28 + b"".join(struct.pack(">i", round(v * 65536)) for v in D50)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_color_profile_counts_whatever_the_pixels_are(tmp_path, mode):
    profile = wide_profile()
    wanted = Image.new("RGB", (80, 80), SKIN)
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    stored = ImageCms.profileToProfile(wanted, ImageCms.createProfile("sRGB"), source)
    assert np.abs(np.array(stored)[0, 0].astype(int) - SKIN).max() >= 5  # the test would see it
    stored = stored.quantize(16) if mode == "P" else stored.convert(mode)
    stored.save(tmp_path / "a.png", icc_profile=profile)
    (frame,) = read_frames(tmp_path / "a.png")
    assert np.abs(frame.rgb[40, 40].astype(int) - SKIN).max() <= 2


def test_deep_gray_is_scaled(tmp_path):
    ramp = np.tile(np.linspace(0, 65535, 80).astype(np.uint16), (80, 1))
    Image.fromarray(ramp).save(tmp_path / "a.png")
    (frame,) = read_frames(tmp_path / "a.png")
    assert np.abs(frame.rgb[40, :, 0].astype(int) - np.linspace(0, 255, 80)).max() <= 1


@pytest.mark.parametrize("deep", [False, True], ids=["8 bits", "16 bits"])
def test_a_gray_profile_counts_whatever_the_depth(tmp_path, deep):
    """A linear one: half of the light is 188 in sRGB."""
    values = np.full((80, 80), 32896 if deep else 128, np.uint16 if deep else np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png", icc_profile=linear_gray_profile())
    (frame,) = read_frames(tmp_path / "a.png")
    assert np.abs(frame.rgb[40, 40].astype(int) - 188).max() <= 2


def test_a_huge_photo_is_scaled_while_it_is_decoded(tmp_path):
    Image.new("RGB", (12000, 16000), SKIN).save(tmp_path / "a.jpg", quality=50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (frame,) = read_frames(tmp_path / "a.jpg")
    assert frame.rgb.shape == (2048, 1536, 3)
    assert np.abs(frame.rgb[40, 40].astype(int) - SKIN).max() <= 3


def test_a_huge_photo_of_another_kind_is_refused_by_its_header(tmp_path):
    Image.new("1", (12000, 16000)).save(tmp_path / "a.png")
    with pytest.raises(UnreadableMediaError, match=r"a\.png has 12000 × 16000 pixels: please give a JPEG"):
        list(read_frames(tmp_path / "a.png"))


@pytest.mark.parametrize("suffix", ["webp", "png", "avif"])
def test_animated_pictures_are_clips(tmp_path, suffix):
    pictures = [Image.fromarray(np.full((80, 96, 3), 40 * i + 20, np.uint8)) for i in range(5)]
    options = {"lossless": True} if suffix == "webp" else {}
    pictures[0].save(
        tmp_path / f"a.{suffix}", save_all=True, append_images=pictures[1:], duration=200, **options
    )
    frames = list(read_frames(tmp_path / f"a.{suffix}"))
    assert [round(frame.time, 1) for frame in frames] == [0.0, 0.2, 0.4, 0.6, 0.8]
    assert all(frame.of_clip for frame in frames)
    assert [round(float(frame.rgb.mean()) / 40 - 0.5) for frame in frames] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", ["name", "content"])
def test_raw_photos_are_refused(tmp_path, kind):
    path = tmp_path / ("a.dng" if kind == "name" else "a.tif")
    options = {} if kind == "name" else {"tiffinfo": {50706: b"\1\4\0\0"}}
    Image.fromarray(quadrants(96, 96)).save(path, format="TIFF", **options)
    with pytest.raises(
        UnreadableMediaError, match="is a raw photo, which is not supported: please export a JPEG"
    ):
        list(read_frames(path))


def test_kinds_of_pictures_that_are_not_read_are_to_be_exported(tmp_path):
    cv2.imwrite(str(tmp_path / "floats.tiff"), np.full((80, 96, 3), 0.5, np.float32))
    (tmp_path / "odd.tiff").write_bytes(b"II*\0\x08\0\0\0\xff\xff" + b"\x01" * 200)
    (tmp_path / "a.jxl").write_bytes(b"\0\0\0\x0cJXL \r\n\x87\n" + b"\x01" * 200)
    for name in ("floats.tiff", "odd.tiff", "a.jxl"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow's words about odd.tiff are not the user's
            with pytest.raises(UnreadableMediaError, match=rf"^{name} is .* a kind of picture .* a JPEG"):
                list(read_frames(tmp_path / name))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_titles_in_another_encoding_are_no_damage(tmp_path, suffix):
    """Old phones and editors write titles, and names of tracks, in Latin-1."""
    path = tmp_path / f"a{suffix}"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Fxte d'xtx"
        stream = container.add_stream("mpeg4", rate=10)
        stream.metadata.update({"title": "Fxte d'xtx", "handler_name": "Fxte d'xtx"})
        stream.height, stream.width, stream.pix_fmt = 96, 160, "yuv420p"
        for _ in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(quadrants(160, 96), "rgb24")))
        container.mux(stream.encode())
    data = path.read_bytes()
    assert b"Fxte d'xtx" in data
    path.write_bytes(data.replace(b"Fxte d'xtx", "Fête d'été".encode("latin-1")))
    assert [corner_names(frame.rgb) for frame in read_frames(path)] == ["rgbw"] * 4


def test_pictures_with_exif_in_a_clip_are_turned(tmp_path):
    """Motion JPEG of a camera: each picture has EXIF, a kind of side data that PyAV may not know."""
    exif, photo = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6  # turn clockwise by 90 degrees for display
    Image.fromarray(quadrants(160, 96)).save(photo, "JPEG", exif=exif, quality=95)
    path = tmp_path / "a.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuvj420p"
        for number in range(3):
            packet = av.Packet(photo.getvalue())
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 10), True
            packet.pts = packet.dts = number
            container.mux(packet)
    frames = list(read_frames(path))
    assert [corner_names(frame.rgb) for frame in frames] == ["brwg"] * 3
