"""Decoding of clips and photos: orientation, sampling, and one clear error for each kind of bad file."""

from pathlib import Path

import numpy as np
import pytest
from helpers.clips import corner_names, quadrants, turn_display_matrix, write_clip

from studio_avatar import errors
from studio_avatar.capture.io.video import MAX_VIDEO_SIDE_PX, read_frames

av = pytest.importorskip("av")
Image = pytest.importorskip("PIL.Image")


# --- good input


def test_upright_clip_keeps_its_picture(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", quadrants(160, 96), list(range(0, 1000, 33)))
    frames = list(read_frames(clip))
    assert frames[0].rgb.shape == (96, 160, 3) and frames[0].rgb.dtype == np.uint8
    assert corner_names(frames[0].rgb) == "rgbw"
    assert abs(frames[0].rgb[24, 40].astype(int) - (220, 40, 40)).max() < 12


def test_clip_turns_by_its_display_matrix(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", quadrants(160, 96), [0, 33, 66])
    turn_display_matrix(clip)
    frame = next(iter(read_frames(clip)))
    assert frame.rgb.shape == (160, 96, 3)
    assert corner_names(frame.rgb) == "brwg"  # what was at the left is at the top


def test_clip_is_sampled_in_time_not_in_frames(tmp_path):
    """A variable frame rate: 60 frames in the first second, then one every quarter of a second."""
    times = list(range(0, 1000, 16)) + list(range(1000, 3001, 250))
    sampled = [frame.time for frame in read_frames(write_clip(tmp_path / "a.mp4", quadrants(96, 96), times))]
    assert 9 <= sum(t < 1.0 for t in sampled) <= 12
    assert sum(t >= 1.0 for t in sampled) >= 8
    assert sampled[0] == 0.0 and np.all(np.diff(sampled) > 0.04)


def test_long_clip_gives_about_sixty_frames(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", quadrants(64, 64), list(range(0, 20_000, 50)))
    frames = list(read_frames(clip))
    assert 50 <= len(frames) <= 61
    assert frames[-1].time > 19.0


def test_large_clip_is_scaled_down_while_decoding(tmp_path):
    frame = next(iter(read_frames(write_clip(tmp_path / "a.mp4", quadrants(1920, 1080), [0, 33]))))
    assert frame.rgb.shape[:2] == (MAX_VIDEO_SIDE_PX * 1080 // 1920, MAX_VIDEO_SIDE_PX)


def test_recording_without_duration_is_sampled_evenly(tmp_path):
    """Browsers write WebM and Matroska without a duration, because they stream."""
    times = list(range(0, 9000, 50))
    clip = write_clip(tmp_path / "a.mkv", quadrants(64, 64), times, {"live": "1"})
    with av.open(str(clip)) as container:
        assert not container.duration and not container.streams.video[0].duration
    assert 45 <= len(list(read_frames(clip))) <= 61


def test_photo_turns_by_exif(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by 90 degrees for display
    Image.fromarray(quadrants(160, 96)).save(tmp_path / "a.jpg", exif=exif, quality=95)
    (frame,) = read_frames(tmp_path / "a.jpg")
    assert frame.rgb.shape == (160, 96, 3)
    assert corner_names(frame.rgb) == "brwg"


@pytest.mark.parametrize("mode", ["L", "P", "RGBA"])
def test_photo_modes_become_rgb(tmp_path, mode):
    Image.fromarray(quadrants(80, 80)).convert(mode).save(tmp_path / "a.png")
    (frame,) = read_frames(tmp_path / "a.png")
    assert frame.rgb.shape == (80, 80, 3) and frame.rgb.dtype == np.uint8


def test_photos_of_different_sizes_share_a_canvas():
    frames = list(read_frames([quadrants(200, 100), Image.fromarray(quadrants(100, 100))]))
    assert [frame.rgb.shape for frame in frames] == [(200, 200, 3)] * 2
    assert frames[0].picture == (0, 50, 200, 150) and frames[1].picture == (0, 0, 200, 200)
    left, top, right, bottom = frames[0].picture
    assert corner_names(frames[0].rgb[top:bottom, left:right]) == "rgbw"


# --- bad input: each a typed exception with one sentence that names the file


def assert_one_sentence(error: BaseException, *words: str) -> None:
    text = str(error)
    assert text.endswith(".") and "\n" not in text and len(text) < 300
    for word in words:
        assert word in text


def test_missing_file(tmp_path):
    with pytest.raises(errors.MediaNotFoundError) as caught:
        list(read_frames(tmp_path / "gone.mp4"))
    assert_one_sentence(caught.value, "gone.mp4")


def test_folder(tmp_path):
    with pytest.raises(errors.UnreadableMediaError) as caught:
        list(read_frames(tmp_path))
    assert_one_sentence(caught.value, "folder")


def test_empty_file(tmp_path):
    (tmp_path / "a.mp4").touch()
    with pytest.raises(errors.UnreadableMediaError) as caught:
        list(read_frames(tmp_path / "a.mp4"))
    assert_one_sentence(caught.value, "a.mp4", "empty")


@pytest.mark.parametrize(
    "text", ["This is no video.\n" * 40, "1\n00:00:01,000 --> 00:00:02,000\nHello\n", "{}"]
)
def test_text_named_mp4(tmp_path, text):
    (tmp_path / "a.mp4").write_text(text)
    with pytest.raises(errors.UnreadableMediaError) as caught:
        list(read_frames(tmp_path / "a.mp4"))
    assert_one_sentence(caught.value, "a.mp4")


def test_clip_cut_before_its_index(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", quadrants(96, 96), list(range(0, 2000, 33)))
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    with pytest.raises(errors.UnreadableMediaError) as caught:
        list(read_frames(clip))
    assert_one_sentence(caught.value, "a.mp4")


def test_clip_cut_after_its_index(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
    clip = write_clip(tmp_path / "a.mp4", noise, list(range(0, 4000, 33)), {"movflags": "faststart"})
    size = clip.stat().st_size
    clip.write_bytes(clip.read_bytes()[: size - size // 3])
    with pytest.raises(errors.UnreadableMediaError) as caught:
        list(read_frames(clip))
    assert_one_sentence(caught.value, "a.mp4", "breaks off")


@pytest.mark.parametrize("name", ["a.mp4", "a.wav", "a.mp3"])
def test_sound_only(tmp_path, name):
    codec = {"a.mp4": "aac", "a.wav": "pcm_s16le", "a.mp3": "mp3"}[name]
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, rate=44100)
        sound = np.zeros((1, 44100), np.int16) if codec == "pcm_s16le" else np.zeros((1, 44100), np.float32)
        frame = av.AudioFrame.from_ndarray(sound, "s16" if codec == "pcm_s16le" else "fltp", "mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(errors.UnreadableMediaError) as caught:
        list(read_frames(tmp_path / name))
    assert_one_sentence(caught.value, name, "no pictures")


def test_photo_cut_short(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(errors.UnreadableMediaError) as caught:
        list(read_frames(tmp_path / "a.jpg"))
    assert_one_sentence(caught.value, "a.jpg")


def test_small_photo(tmp_path):
    Image.fromarray(quadrants(63, 200)).save(tmp_path / "a.png")
    with pytest.raises(errors.FaceTooSmallError) as caught:
        list(read_frames(tmp_path / "a.png"))
    assert_one_sentence(caught.value, "a.png", "63 × 200", "64")


def test_small_clip(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", quadrants(160, 48), [0, 33, 66])
    with pytest.raises(errors.FaceTooSmallError) as caught:
        list(read_frames(clip))
    assert_one_sentence(caught.value, "160 × 48")


@pytest.mark.parametrize(
    "source", [[], [np.zeros((80, 80), np.uint8)], np.zeros((80, 80, 3), np.float32), 7, [None, None]]
)
def test_wrong_kinds_of_source(source):
    with pytest.raises(errors.InvalidInputError) as caught:
        list(read_frames(source))
    assert_one_sentence(caught.value)


def test_clip_in_a_list_of_photos(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", quadrants(96, 96), [0, 33, 66])
    with pytest.raises(errors.UnreadableMediaError) as caught:
        list(read_frames([clip, quadrants(96, 96)]))
    assert_one_sentence(caught.value, "a.mp4", "photo")


def test_heic_photo_turns_by_its_own_orientation(tmp_path):
    """Written by the encoder that only tests have; read by the decoder that users get."""
    pillow_heif = pytest.importorskip("pillow_heif", reason="writes the HEIC file")
    path = tmp_path / "a.heic"
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by 90 degrees for display
    pillow_heif.from_pillow(Image.fromarray(quadrants(160, 96))).save(path, quality=95, exif=exif.tobytes())
    (frame,) = read_frames(path)
    assert frame.rgb.shape == (160, 96, 3)
    assert corner_names(frame.rgb) == "brwg"


def test_animated_gif_is_a_clip(tmp_path):
    pictures = [Image.fromarray(np.full((80, 96, 3), 40 * i, np.uint8)) for i in range(5)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=200)
    frames = list(read_frames(tmp_path / "a.gif"))
    assert [round(frame.time, 1) for frame in frames] == [0.0, 0.2, 0.4, 0.6, 0.8]
    assert all(frame.of_clip for frame in frames)


def test_long_clip_decodes_only_key_frames_where_they_suffice(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", quadrants(64, 64), list(range(0, 40_000, 50)), {}, {"g": "10"})
    frames = list(read_frames(clip))
    assert 45 <= len(frames) <= 61
    assert np.allclose(
        np.diff([frame.time for frame in frames]) % 0.5, 0, atol=1e-3
    )  # a key frame each 0.5 s


@pytest.mark.parametrize("full_range", [False, True])
def test_standard_color_matrices(tmp_path, full_range):
    """BT.601 and BT.709, tagged; narrow and full range."""
    for matrix in (1, 6):
        path = tmp_path / f"{matrix}{full_range}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=10, options={"crf": "4"})
            stream.width, stream.height, stream.pix_fmt = 96, 96, "yuv420p"
            context = stream.codec_context
            context.colorspace, context.color_range = matrix, 2 if full_range else 1
            frame = coded(np.full((96, 96, 3), (200, 120, 90)), matrix, full_range)
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
        (read,) = read_frames(path)
        assert np.abs(read.rgb[40, 40].astype(int) - (200, 120, 90)).max() <= 3


def coded(rgb: np.ndarray, matrix: int, full_range: bool):
    """A frame in Y'CbCr, written out from BT.601 (6) or BT.709 (1)."""
    kr, kb = {1: (0.2126, 0.0722), 6: (0.299, 0.114)}[matrix]
    red, green, blue = (rgb[0, 0] / 255).tolist()
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = ((blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr))
    scale, foot, span = (255, 0, 255) if full_range else (219, 16, 224)
    frame = av.VideoFrame(96, 96, "yuv420p")
    for plane, value in zip(frame.planes, (foot + scale * luma, *(128 + span * c for c in chroma))):
        plane.update(bytes([round(value)]) * plane.buffer_size)
    frame.colorspace, frame.color_range = matrix, 2 if full_range else 1
    return frame


def encrypted(path: Path) -> Path:
    key = "00112233445566778899aabbccddeeff"
    options = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": key, "encryption_kid": key}
    return write_clip(path, quadrants(96, 96), [0, 33, 66], options)


def test_encrypted_clip(tmp_path):
    with pytest.raises(errors.UnreadableMediaError) as caught:
        list(read_frames(encrypted(tmp_path / "a.mp4")))
    assert_one_sentence(caught.value, "a.mp4", "encrypted")


def test_unknown_coding_is_named(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", quadrants(96, 96), [0, 33, 66])
    clip.write_bytes(clip.read_bytes().replace(b"avc1", b"xyz1"))
    with pytest.raises(errors.UnsupportedCodecError) as caught:
        list(read_frames(clip))
    assert_one_sentence(caught.value, "a.mp4", "xyz1", "H.264")
