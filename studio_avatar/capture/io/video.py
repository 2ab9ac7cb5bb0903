"""Pictures out of clips and photos, upright and in sRGB, one at a time.

Clips are decoded with PyAV in constant memory: frames that nobody needs are not decoded where the codec allows it, and
only sampled frames are converted, already scaled down.

file ─ packets (tracks, times, key frames) ─► plan ─► decode what it needs ─► upright, sRGB ─► Frame
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from studio_avatar.errors import InvalidInputError, UnreadableMediaError
from studio_avatar.imaging.media import open_media

from .animation import animation_frames, is_animation
from .clip_plan import (
    MAX_SAMPLES,
    MAX_SECONDS,
    WHOLE,
    Clock,
    Plan,
    check_picture_size,
    decode_in_threads,
    make_plan,
    picture_tracks,
)
from .color import HDR_TRANSFERS, is_plain, to_srgb
from .frame import Frame
from .lens import lens_of_clip
from .photos import is_other_picture, is_photo, on_one_canvas, read_photo

__all__ = ["MAX_PHOTOS", "MAX_SAMPLES", "MAX_VIDEO_SIDE_PX", "has_pictures", "read_frames"]

MAX_VIDEO_SIDE_PX = 1280
MAX_PHOTOS = 5  # all are held in memory at once
SMALL = 0.5  # long side over the largest picture's: below, a picture that grew later is not worth scaling
UNTAGGED, HD_HEIGHT_PX = 2, 720


def read_frames(
    source, mirrored: bool = False, face_size: Callable[[np.ndarray], float] | None = None
) -> Iterator[Frame]:
    """Yield the frames of a capture, in order, at most about `MAX_SAMPLES` of a clip's first `MAX_SECONDS`.

    source: path of a clip (animated GIFs too) or photo, a PIL image, a uint8 array (H, W, 3) sRGB, or a list of 1 to
        `MAX_PHOTOS` photos as these; arrays may be more, since they may be the frames of a clip.
    mirrored: the pictures were stored as in a mirror, as some selfie cameras do, and are to be turned back. What a
        file says about itself (display matrix, EXIF) is always obeyed first.
    face_size: pixels of the largest face in a picture (H, W, 3) uint8 sRGB, 0 for none. Asked before the first frame, and
        only of a clip with several tracks that a camera may have filmed: the one with a face is read.
    Raises `MediaNotFoundError`, `UnreadableMediaError`, `UnsupportedCodecError`, `FaceTooSmallError` (a side below
    64 px), `MissingDependencyError` (HEIC without its reader) or `InvalidInputError` (an unsupported
    type, too many photos).
    """
    for frame in _frames_of(source, face_size):
        if mirrored:
            width, (left, top, right, bottom) = frame.rgb.shape[1], frame.picture
            flipped = np.ascontiguousarray(frame.rgb[:, ::-1])
            frame = replace(frame, rgb=flipped, picture=(width - right, top, width - left, bottom))
        yield frame


def has_pictures(path: Path) -> bool:
    """Whether a file is a clip, by its content and header: one with a video track that is no song's cover.

    Raises:
        UnreadableMediaError: it is a playlist.
    """
    import av

    try:
        with open_media(path) as container:
            return bool(picture_tracks(container))
    except av.error.FFmpegError:
        return False


def _frames_of(source, face_size) -> Iterator[Frame]:
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
    if isinstance(source, str | Path) and is_animation(Path(source)):
        yield from animation_frames(Path(source), MAX_VIDEO_SIDE_PX)
    elif isinstance(source, str | Path) and not is_photo(Path(source)):
        yield from _video_frames(Path(source), face_size)
    else:
        yield from on_one_canvas([read_photo(source)])


# ------------------------------------------------------------------------------------------------------------
# Decoding


def _video_frames(path: Path, face_size: Callable[[np.ndarray], float] | None) -> Iterator[Frame]:
    import av

    def face_size_in(stream, picture) -> float:
        return face_size(_Upright(stream).rgb_of(picture))

    try:
        # The file is opened twice: first only to look at the times of its packets.
        with open_media(path) as container:
            plan = make_plan(container, path, face_size and face_size_in)
        with open_media(path) as container:
            stream = container.streams[plan.track]
            check_picture_size(stream, path.name)
            decode_in_threads(stream)
            yield from _sampled(container, stream, plan, path.name)
    except (av.error.FFmpegError, OSError) as error:
        if is_other_picture(path):
            raise UnreadableMediaError(
                f"{path.name} is damaged, or a kind of picture that is not read here: please export a JPEG of it."
            ) from error
        raise UnreadableMediaError(
            f"{path.name} is no video or photo, or it breaks off: please copy or record it again."
        ) from error


def _sampled(container, stream, plan: Plan, name: str) -> Iterator[Frame]:
    stream.codec_context.skip_frame = "NONKEY" if plan.key_frames_only else plan.skip
    upright, clock = _Upright(stream, plan.sizes), Clock()
    canvas = _Canvas({_scaled_size(width * upright.aspect, height) for width, height in plan.sizes})
    lens = lens_of_clip(stream.metadata, container.metadata)
    start, due, last, count = None, 0.0, 0.0, 0
    for picture in _decoded(container, stream, plan.key_frames_only):
        if picture.time is not None:
            start = picture.time if start is None else start
            last = clock.tell(picture.time - start)
        else:
            last += 1.0 / 30.0
        if last > MAX_SECONDS:
            break
        if last + 1e-3 < due or picture.is_corrupt:
            continue
        placed = canvas.place(upright.rgb_of(picture))
        if placed is None:
            continue
        due = max(due + plan.step, last + 0.5 * plan.step)
        count += 1
        yield Frame(placed[0], float(last), placed[1], of_clip=True, lens=lens)
    there, whole = plan.missing or (last, plan.seconds)
    broken = plan.missing is not None or last < WHOLE * plan.seconds - max(0.5, plan.step)
    if count == 0 and plan.missing is None:
        raise UnreadableMediaError(
            f"{name} has no picture that can be decoded: please copy or record it again."
        )
    if broken:
        raise UnreadableMediaError(
            f"{name} breaks off after {there:.1f} of {whole:.1f} seconds: please copy or upload it again."
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


class _Canvas:
    """One size for all pictures of a clip, because one camera is fitted to them; nearly all clips have one anyway.

    Pictures of another size are scaled to the same long side, which keeps the focal length: a browser sends small
    pictures first, and a phone that is turned changes height for width. Those center on a square.
    """

    def __init__(self, sizes: set[tuple[int, int]]):
        """sizes: (width, height) of the pictures to come, as far as they are known to change [pixels]."""
        self._long = max(max(size) for size in sizes) if len(sizes) > 1 else None
        upright = {
            width > height for width, height in sizes if max(width, height) >= SMALL * (self._long or 0)
        }
        self._square = len(upright) > 1
        self._size: tuple[int, int] | None = None  # (height, width) of the first picture that was placed

    def place(self, rgb: np.ndarray) -> tuple[np.ndarray, tuple[int, int, int, int]] | None:
        """A picture on the canvas, and (left, top, right, bottom) of it there; None for one that is too small."""
        import cv2

        self._long = self._long or max(rgb.shape[:2])
        if max(rgb.shape[:2]) < SMALL * self._long:
            return None
        room = self._size or ((self._long, self._long) if self._square else None)
        height, width = rgb.shape[:2]
        scale = self._long / max(height, width)
        if room is not None:
            scale = min(scale, room[0] / height, room[1] / width)
        if scale != 1.0:
            size = (max(round(width * scale), 1), max(round(height * scale), 1))
            rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC if scale > 1.0 else cv2.INTER_AREA)
            height, width = rgb.shape[:2]
        self._size = room or (height, width)
        if (height, width) == self._size:
            return rgb, (0, 0, width, height)
        top, left = (self._size[0] - height) // 2, (self._size[1] - width) // 2
        canvas = np.zeros((*self._size, 3), np.uint8)
        canvas[top : top + height, left : left + width] = rgb
        return canvas, (left, top, left + width, top + height)


def _scaled_size(width: float, height: float) -> tuple[int, int]:
    scale = min(1.0, MAX_VIDEO_SIDE_PX / max(width, height))
    return max(round(width * scale), 1), max(round(height * scale), 1)


# ------------------------------------------------------------------------------------------------------------
# One picture


class _Upright:
    """Pictures of one stream as they are to be shown."""

    def __init__(self, stream, sizes: Iterable[tuple[int, int]] = ()):
        """sizes: (width, height) of the pictures to come, as far as they are known to change [pixels]."""
        self.aspect = float(stream.sample_aspect_ratio or 1)
        largest = max(sizes, key=min, default=(stream.codec_context.width, stream.codec_context.height))
        self._hd = min(largest) >= HD_HEIGHT_PX
        self._turns: dict[float, np.ndarray] = {}  # rotation [degrees] → display matrix

    def rgb_of(self, picture) -> np.ndarray:
        """(H, W, 3) uint8 sRGB, its long side at most `MAX_VIDEO_SIDE_PX`, turned and mirrored as it is to be shown."""
        import cv2
        from av.video.reformatter import Colorspace, Interpolation

        size = _scaled_size(picture.width * self.aspect, picture.height)
        shrinks = max(picture.width * self.aspect, picture.height) > MAX_VIDEO_SIDE_PX
        transfer, primaries = int(picture.color_trc), int(picture.color_primaries)
        plain = is_plain(transfer, primaries)
        colorspace = None
        if transfer in HDR_TRANSFERS:
            colorspace = Colorspace.BT2020
        elif picture.colorspace == UNTAGGED:
            # Streams without a color tag: every player takes HD for BT.709 and SD for BT.601; a stream has one of them.
            colorspace = Colorspace.ITU709 if self._hd else Colorspace.ITU601
        # Of two fields one is taken, at its full size: scaled together they would be combed.
        width, height = (picture.width, picture.height) if picture.interlaced_frame else size
        rgb = picture.reformat(
            width=width,
            height=height,
            format="rgb24" if plain else "rgb48le",
            src_colorspace=colorspace,
            interpolation=Interpolation.AREA if shrinks else Interpolation.BICUBIC,
        ).to_ndarray()
        if not plain:
            rgb = to_srgb(rgb, transfer, primaries)
        if picture.interlaced_frame:
            smaller = size[1] < height // 2
            rgb = cv2.resize(rgb[::2], size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
        return np.ascontiguousarray(_displayed(rgb, self._display_matrix(picture)))

    def _display_matrix(self, picture) -> np.ndarray:
        """(2, 2) with x' = a x + c y, y' = b x + d y for [[a, b], [c, d]], y down; FFmpeg's display matrix.

        Read once for each rotation that the stream has: PyAV's side data and its picture hold each other, and pictures
        would pile up until Python looks for such circles.
        """
        rotation = float(picture.rotation)
        if rotation not in self._turns:
            self._turns[rotation] = _side_data_matrix(picture)
        return self._turns[rotation]


def _side_data_matrix(picture) -> np.ndarray:
    from av.sidedata.sidedata import Type

    try:
        data = picture.side_data.get(Type.DISPLAYMATRIX)
    except ValueError:  # a kind of side data that this PyAV does not know, such as EXIF
        angle = np.radians(picture.rotation)
        return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]).round()
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
