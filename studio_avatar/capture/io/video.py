"""Pictures out of clips and photos, upright and in sRGB, one at a time.

Clips are decoded with PyAV in constant memory: frames that nobody needs are not decoded where the codec allows it, and
only sampled frames are converted, already scaled down.

file ─ packets (times, key frames) ─► sampling times ─► decode what they need ─► upright, sRGB ─► Frame
"""

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from studio_avatar.errors import InvalidInputError, UnreadableMediaError, UnsupportedCodecError
from studio_avatar.imaging.media import open_media

from .color import HDR_TRANSFERS, is_plain, to_srgb
from .frame import Frame, check_side
from .photos import is_photo, on_one_canvas, read_photo

MAX_VIDEO_SIDE_PX = 1280
MAX_PHOTOS = 5  # all are held in memory at once
MAX_SAMPLES_PER_SECOND = 10.0
MAX_SECONDS = 60.0
MAX_SAMPLES = 60  # one landmark detection each; more would not add poses
MAX_FRAME_PIXELS = 8192 * 4352  # 8K; more is a damaged header, and would be allocated several times
MAX_PACKETS = 60_000  # a minute at 240 frames a second is a quarter of it
ENCRYPTED = {"encv", "drmi"}  # sample entries of protected video (ISO/IEC 23001-7, FairPlay)
UNTAGGED, HD_HEIGHT_PX = 2, 720


def read_frames(source, mirrored: bool = False) -> Iterator[Frame]:
    """Yield the frames of a capture, in order, at most about `MAX_SAMPLES` of a clip's first `MAX_SECONDS`.

    source: path of a clip (animated GIFs too) or photo, a PIL image, a uint8 array (H, W, 3) sRGB, or a list of 1 to
        `MAX_PHOTOS` photos as these; arrays may be more, since they may be the frames of a clip.
    mirrored: the pictures were stored as in a mirror, as some selfie cameras do, and are to be turned back. What a
        file says about itself (display matrix, EXIF) is always obeyed first.
    Raises `MediaNotFoundError`, `UnreadableMediaError`, `UnsupportedCodecError`, `FaceTooSmallError` (a side below
    64 px), `MissingDependencyError` (HEIC without its reader) or `InvalidInputError` (an unsupported
    type, too many photos).
    """
    for frame in _frames_of(source):
        if mirrored:
            width, (left, top, right, bottom) = frame.rgb.shape[1], frame.picture
            flipped = np.ascontiguousarray(frame.rgb[:, ::-1])
            frame = replace(frame, rgb=flipped, picture=(width - right, top, width - left, bottom))
        yield frame


def _frames_of(source) -> Iterator[Frame]:
    if isinstance(source, Sequence) and not isinstance(source, str | bytes):
        if len(source) == 0:
            raise InvalidInputError("The list of photos is empty: give at least one photo or a video.")
        if len(source) > MAX_PHOTOS and not all(isinstance(item, np.ndarray) for item in source):
            raise InvalidInputError(
                f"{len(source)} photos were given and 1 to {MAX_PHOTOS} are used: please choose the sharpest, from "
                "different sides, or give a video."
            )
        if len(source) > 1:
            yield from on_one_canvas([read_photo(item) for item in source])
            return
        source = source[0]
    if isinstance(source, str | Path) and not is_photo(Path(source)):
        yield from _video_frames(Path(source))
    else:
        yield from on_one_canvas([read_photo(source)])


# ------------------------------------------------------------------------------------------------------------
# What to decode


@dataclass(frozen=True)
class _Plan:
    """What of a clip is decoded, from its packets alone.

    step: seconds between samples; seconds: length of what is read; key_frames_only: key frames are close enough
    together to be all that is needed; skip: the codec's own choice of frames to leave out ("NONREF": those that no
    other frame is built on).
    """

    step: float
    seconds: float
    key_frames_only: bool
    skip: str


def _plan(container, stream) -> _Plan:
    """Look through the packets of the first `MAX_SECONDS` and decode none of them."""
    times, keys = [], []
    for packet in container.demux(stream):
        if packet.pts is None:
            continue
        times.append(packet.pts * stream.time_base)
        if packet.is_keyframe:
            keys.append(times[-1])
        if times[-1] - times[0] > MAX_SECONDS or len(times) >= MAX_PACKETS:
            break
    seconds = float(min(max(times) - min(times), MAX_SECONDS)) if times else 0.0
    step = max(1.0 / MAX_SAMPLES_PER_SECOND, seconds / MAX_SAMPLES)
    longest_without_key = max(
        np.diff([*sorted(map(float, keys)), float(max(times, default=0))]), default=np.inf
    )
    frames_per_sample = len(times) * step / max(seconds, step)
    return _Plan(
        step=step,
        seconds=seconds,
        key_frames_only=bool(longest_without_key <= 1.25 * step),
        skip="NONREF" if frames_per_sample >= 4.0 else "DEFAULT",
    )


# ------------------------------------------------------------------------------------------------------------
# Decoding


def _video_frames(path: Path) -> Iterator[Frame]:
    import av

    try:
        # The file is opened twice: first only to look at the times of its packets.
        with open_media(path) as container:
            plan = _plan(container, _picture_stream(container, path))
        with open_media(path) as container:
            yield from _sampled(container, _picture_stream(container, path), plan, path.name)
    except (av.error.FFmpegError, OSError) as error:
        raise UnreadableMediaError(
            f"{path.name} is no video or photo, or it breaks off: please copy or record it again."
        ) from error


def _picture_stream(container, path: Path):
    from av.stream import Disposition

    name = path.name
    # The cover picture of a song is a "video" stream too.
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise UnreadableMediaError(
            f"{name} has no pictures, only sound or text: please give a video of the face."
        )
    stream, entries = streams[0], _sample_entries(path)
    if ENCRYPTED & set(entries):
        raise UnreadableMediaError(
            f"{name} is encrypted: please give the camera's own recording, not a protected copy."
        )
    if stream.codec_context is None:
        codec = next((f"'{entry}'" for entry in entries if entry != "mp4a"), "an unknown codec")
        raise UnsupportedCodecError(
            f"{name} is coded with {codec}, which cannot be read here: please convert it to H.264."
        )
    check_side(stream.codec_context.width, stream.codec_context.height, name)
    if stream.codec_context.width * stream.codec_context.height > MAX_FRAME_PIXELS:
        raise UnreadableMediaError(
            f"{name} claims pictures of {stream.codec_context.width} × {stream.codec_context.height} pixels: "
            "please record in 4K or less."
        )
    stream.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
    stream.thread_type = "AUTO"
    return stream


def _sample_entries(path: Path) -> list[str]:
    """Four-letter names of the codings in an MP4 or QuickTime file (ISO/IEC 14496-12, box `stsd`).

    FFmpeg names neither a coding that it does not know nor one that is encrypted.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[4:8] not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return []
        names, at = [], data.find(b"stsd")
        while at >= 0 and len(names) < 16:
            # After the box's name: version and flags, the number of entries, the size of the first, its name.
            names.append(data[at + 16 : at + 20].decode("ascii", "replace"))
            at = data.find(b"stsd", at + 4)
        return [name for name in names if name.isprintable()]


def _sampled(container, stream, plan: _Plan, name: str) -> Iterator[Frame]:
    stream.codec_context.skip_frame = "NONKEY" if plan.key_frames_only else plan.skip
    start, due, last, size, count = None, 0.0, 0.0, None, 0
    for picture in _decoded(container, stream, plan.key_frames_only):
        if picture.time is not None:
            start = picture.time if start is None else start
            last = picture.time - start
        else:
            last += 1.0 / 30.0
        if last > MAX_SECONDS:
            break
        if last + 1e-3 < due or picture.is_corrupt:
            continue
        due = max(due + plan.step, last + 0.5 * plan.step)
        rgb = _upright_picture(picture, stream)
        size = size or rgb.shape
        if rgb.shape != size:  # only damaged clips change their size: one camera is fitted to all frames
            continue
        count += 1
        yield Frame(rgb, float(last), (0, 0, rgb.shape[1], rgb.shape[0]), of_clip=True)
    declared = min(_declared_duration(container, stream) or plan.seconds, MAX_SECONDS)
    enough = 0.75 * declared - max(0.5, plan.step)
    if count == 0 and plan.seconds >= enough:
        raise UnreadableMediaError(
            f"{name} has no picture that can be decoded: please copy or record it again."
        )
    if last < enough:
        raise UnreadableMediaError(
            f"{name} breaks off after {last:.1f} of {declared:.1f} seconds: please copy or upload it again."
        )


def _decoded(container, stream, key_frames_only: bool) -> Iterator:
    """The pictures of a clip; damaged packets are left out, as players do."""
    import av

    for packet in container.demux(stream):
        if key_frames_only and packet.size and not packet.is_keyframe:
            continue
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue


def _declared_duration(container, stream) -> float:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration else 0.0


# ------------------------------------------------------------------------------------------------------------
# One picture


def _upright_picture(picture, stream) -> np.ndarray:
    """(H, W, 3) uint8 sRGB, its long side at most `MAX_VIDEO_SIDE_PX`, turned as it is to be shown."""
    from av.video.reformatter import Colorspace, Interpolation

    aspect = float(stream.sample_aspect_ratio or 1)
    width, height = picture.width * aspect, picture.height
    scale = min(1.0, MAX_VIDEO_SIDE_PX / max(width, height))
    transfer, primaries = int(picture.color_trc), int(picture.color_primaries)
    plain = is_plain(transfer, primaries)
    colorspace = None
    if transfer in HDR_TRANSFERS:
        colorspace = Colorspace.BT2020
    elif picture.colorspace == UNTAGGED:
        # Streams without a colour tag: every player takes HD for BT.709 and SD for BT.601.
        hd = min(picture.width, picture.height) >= HD_HEIGHT_PX
        colorspace = Colorspace.ITU709 if hd else Colorspace.ITU601
    rgb = picture.reformat(
        width=max(round(width * scale), 1),
        height=max(round(height * scale), 1),
        format="rgb24" if plain else "rgb48le",
        src_colorspace=colorspace,
        interpolation=Interpolation.AREA if scale < 1.0 else Interpolation.BICUBIC,
    ).to_ndarray()
    if not plain:
        rgb = to_srgb(rgb, transfer, primaries)
    return np.ascontiguousarray(_displayed(rgb, _display_matrix(picture)))


def _display_matrix(picture) -> np.ndarray:
    """(2, 2) with x' = a x + c y, y' = b x + d y for [[a, b], [c, d]], y down; FFmpeg's display matrix."""
    from av.sidedata.sidedata import Type

    data = picture.side_data.get(Type.DISPLAYMATRIX)
    if data is None:
        return np.eye(2)
    return np.frombuffer(bytes(data), np.int32)[:9].reshape(3, 3)[:2, :2] / 65536.0


def _displayed(rgb: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Turn and mirror by quarter turns, whatever is nearest to `matrix`."""
    (a, b), (c, d) = matrix
    if abs(b) + abs(c) > abs(a) + abs(d):
        rgb, flip_x, flip_y = rgb.swapaxes(0, 1), c < 0, b < 0
    else:
        flip_x, flip_y = a < 0, d < 0
    return rgb[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
