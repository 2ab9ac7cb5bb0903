"""What of a clip is decoded: its main video track, and the times of its packets. Nothing but key frames is decoded here.

packets of all tracks ─► the main video track ─► does it break off? ─► sampling step, length, sizes of its pictures
                        (with the largest face, if several could be it)
"""

import mmap
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from studio_avatar.errors import UnreadableMediaError, UnsupportedCodecError
from studio_avatar.imaging.media import MAX_FRAME_PIXELS

from .frame import MIN_SIDE_PX, check_side

MAX_SAMPLES_PER_SECOND = 10.0
MAX_SECONDS = 60.0
MAX_SAMPLES = 60  # one landmark detection each; more would not add poses
MAX_PACKETS = 60_000  # a minute at 240 frames a second is a quarter of it
ENCRYPTED = {"encv", "drmi"}  # sample entries of protected video (ISO/IEC 23001-7, FairPlay)
LONGEST_GAP, SHORT_GAP = 5.0, 0.5  # seconds without a picture; longer ones are taken for the shorter
WHOLE = 0.75  # of a file's length: less has broken off, the rest is what recorders get wrong
MAIN_LENGTH = 0.5  # of the longest track's: shorter ones are stills and previews
SIMILAR_AREA = 2.5  # tracks whose pictures differ less in size are told apart by their bytes
MAX_TRACKS = 4  # that are looked at for a face
LOOKS = (0.25, 0.75)  # of a track's length, where it is looked at
MAX_LOOK_PACKETS = 60  # in which the picture of one look must come
CLEARLY_LARGER = 1.5  # a face in another track, over that in the likeliest; twins show one face
# In work at a time: FFmpeg's decoders hold a picture or two for each thread.
MAX_THREAD_PIXELS = 4 * MAX_FRAME_PIXELS
SIZES_FIXED = {"mov", "gif", "apng", "avi"}  # formats that say once how large their pictures are
MAX_SIZE_LOOKS = 60  # key frames that are decoded to see how large pictures are


@dataclass
class Clock:
    """Times of pictures in the order in which they come, with long gaps made short."""

    newest: float | None = None
    skipped: float = 0.0  # seconds of gaps that were left out so far

    def tell(self, time: float) -> float:
        """`time` [s], less what was skipped before it."""
        if self.newest is not None and time - self.newest > LONGEST_GAP:
            self.skipped += time - self.newest - SHORT_GAP
        self.newest = time if self.newest is None else max(self.newest, time)
        return time - self.skipped


@dataclass
class _Track:
    """What the packets of one video track say. times, keys: seconds of all pictures and of key frames, gaps made short."""

    clock: Clock = field(default_factory=Clock)
    times: list[float] = field(default_factory=list)
    keys: list[float] = field(default_factory=list)
    packets: int = 0  # those, too, that an edit list leaves out
    bytes: int = 0
    sizes: set[tuple[int, int]] = field(default_factory=set)
    looks: int = 0

    @property
    def seconds(self) -> float:
        return max(self.times) - min(self.times) if self.times else 0.0

    def at(self, share: float) -> float:
        """Seconds in the file after a share of the track, gaps as long as they are."""
        return self.times[0] + share * (self.clock.newest - self.times[0])


FaceSize = Callable[[object, object], float]  # (stream, its picture) → size of the largest face, 0 for none


@dataclass(frozen=True)
class Plan:
    """What of a clip is decoded.

    track: index of its stream. step: seconds between samples; seconds: length of what is read. key_frames_only: key
    frames are close enough together to be all that is needed; skip: the codec's own choice of frames to leave out
    ("NONREF": those that no other frame is built on). sizes: (width, height) of pictures that were seen [pixels];
    empty where they cannot change. missing: (seconds there are, seconds there should be) of a file that breaks off.
    """

    track: int
    step: float
    seconds: float
    key_frames_only: bool
    skip: str
    sizes: frozenset[tuple[int, int]]
    missing: tuple[float, float] | None


def make_plan(container, path: Path, face_size: FaceSize | None = None) -> Plan:
    """Look through the packets of a clip's first `MAX_SECONDS`.

    face_size: how large a face a track's picture shows, asked only where several tracks could be the main one.
    Raises `UnreadableMediaError` (no pictures, encrypted, too large), `UnsupportedCodecError` or `FaceTooSmallError`.
    """
    streams = _picture_streams(container, path)
    tracks, last, to_the_end = _look_through(container, streams)
    likely = _likely_streams(streams, tracks)
    stream = likely[0]
    if face_size is not None and len(likely) > 1:
        stream = _with_largest_face(container, likely, tracks, face_size)
    check_picture_size(stream, path.name)
    track = tracks[stream.index]
    seconds = min(track.seconds, MAX_SECONDS)
    step = max(1.0 / MAX_SAMPLES_PER_SECOND, seconds / MAX_SAMPLES)
    longest_without_key = max(np.diff([*sorted(track.keys), max(track.times, default=0.0)]), default=np.inf)
    frames_per_sample = len(track.times) * step / max(seconds, step)
    return Plan(
        track=stream.index,
        step=step,
        seconds=seconds,
        key_frames_only=bool(longest_without_key <= 1.25 * step),
        skip="NONREF" if frames_per_sample >= 4.0 else "DEFAULT",
        sizes=frozenset(track.sizes),
        missing=_missing(container, stream, track, last) if to_the_end else None,
    )


# ------------------------------------------------------------------------------------------------------------
# Which track


def picture_tracks(container) -> list:
    """Streams of moving pictures; the cover picture of a song is a "video" stream, too, and none of them."""
    from av.stream import Disposition

    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


def _picture_streams(container, path: Path) -> list:
    """Tracks that can be decoded."""
    name, entries = path.name, _sample_entries(path)
    streams = picture_tracks(container)
    if not streams:
        raise UnreadableMediaError(
            f"{name} has no pictures, only sound or text: please give a video of the face."
        )
    if ENCRYPTED & set(entries):
        raise UnreadableMediaError(
            f"{name} is encrypted: please give the camera's own recording, not a protected copy."
        )
    known = [stream for stream in streams if stream.codec_context is not None]
    if not known:
        codec = next((f"'{entry}'" for entry in entries if entry != "mp4a"), "an unknown codec")
        raise UnsupportedCodecError(
            f"{name} is coded with {codec}, which cannot be read here: please convert it to H.264."
        )
    return known


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


def _likely_streams(streams: list, tracks: dict[int, _Track]) -> list:
    """The tracks that a camera may have filmed, not stills and previews, the likeliest first.

    Of those about as long as the longest the one with the largest pictures; of those of about one size the one with
    most data, because a camera's noise and movement take more than a screen does. The flag "default" decides last:
    writers give it to the first track, whatever that is.
    """
    from av.stream import Disposition

    large = [s for s in streams if _area(s) >= MIN_SIDE_PX**2] or streams
    longest = max(tracks[s.index].seconds for s in large)
    long = [s for s in large if tracks[s.index].seconds >= MAIN_LENGTH * longest]
    largest = max(_area(s) for s in long)

    def likeliness(s) -> tuple:
        similar, is_default = _area(s) * SIMILAR_AREA >= largest, bool(s.disposition & Disposition.default)
        return similar, tracks[s.index].bytes, is_default, -s.index

    return sorted(long, key=likeliness, reverse=True)


def _with_largest_face(container, likely: list, tracks: dict[int, _Track], face_size: FaceSize):
    """The first of `likely` unless another shows a clearly larger face: a shared screen, slides or the road in front of a
    car may have larger pictures than the camera, and more data."""
    sizes = {}
    for stream in likely[:MAX_TRACKS]:
        pictures = _few_pictures(container, stream, tracks[stream.index])
        sizes[stream.index] = max((face_size(stream, picture) for picture in pictures), default=0.0)
    first = likely[0]
    other = max(likely[:MAX_TRACKS], key=lambda s: sizes[s.index])
    return other if sizes[other.index] > CLEARLY_LARGER * sizes[first.index] else first


def _few_pictures(container, stream, track: _Track) -> Iterator:
    """A picture or two of a track: the key frames before the places of `LOOKS`."""
    import av

    if not track.times or not 0 < _area(stream) <= MAX_FRAME_PIXELS:
        return
    stream.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
    seen = set()
    for share in LOOKS:
        try:
            container.seek(int(track.at(share) / stream.time_base), stream=stream)
            picture = _next_picture(container, stream)
        except av.error.FFmpegError:
            continue
        if picture is not None and picture.pts not in seen:
            seen.add(picture.pts)
            yield picture


def _next_picture(container, stream):
    for _, packet in zip(range(MAX_LOOK_PACKETS), container.demux(stream), strict=False):
        for picture in packet.decode():
            return picture
    return None


def _area(stream) -> int:
    return stream.codec_context.width * stream.codec_context.height


def check_picture_size(stream, name: str) -> None:
    """Refuse pictures too small for a face, or too large to be true, by the header; and keep the decoder to that."""
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height == 0:  # FFmpeg has looked at a picture, and refused it
        raise UnreadableMediaError(
            f"{name} does not say how large its pictures are, or they are larger than 8K: please record in 4K or less."
        )
    check_side(width, height, name)
    if width * height > MAX_FRAME_PIXELS:
        raise UnreadableMediaError(
            f"{name} claims pictures of {width} × {height} pixels: please record in 4K or less."
        )
    stream.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}


def decode_in_threads(stream) -> None:
    """Let FFmpeg decode in a thread a core, sixteen at most, and fewer where pictures would fill the memory."""
    stream.thread_type = "AUTO"
    most = max(MAX_THREAD_PIXELS // max(_area(stream), 1), 1)
    if most < min(os.cpu_count() or 1, 16):
        stream.codec_context.thread_count = most


# ------------------------------------------------------------------------------------------------------------
# Packets


def _look_through(container, streams: list) -> tuple[dict[int, _Track], float, bool]:
    """Every track's packets up to `MAX_SECONDS`; the end of the last packet of any track, sound too [s]; whether the
    file was read to its end."""
    tracks = {stream.index: _Track() for stream in streams}
    may_change = not SIZES_FIXED & set(container.format.name.split(","))
    last = 0.0
    for packet in container.demux(*streams, *container.streams.audio):
        if packet.pts is None or packet.time_base is None:
            continue
        time = float(packet.pts * packet.time_base)
        last = max(last, time + float((packet.duration or 0) * packet.time_base))
        track = tracks.get(packet.stream.index)
        if track is None:
            continue
        track.packets += 1
        track.bytes += packet.size
        if packet.is_discard:
            continue
        track.times.append(track.clock.tell(time))
        if packet.is_keyframe:
            track.keys.append(track.times[-1])
            if may_change and track.looks < MAX_SIZE_LOOKS:
                track.looks += 1
                track.sizes |= _sizes(packet)
        if track.times[-1] - track.times[0] > MAX_SECONDS or track.packets >= MAX_PACKETS:
            return tracks, last, False
    return tracks, last, True


def _sizes(packet) -> set[tuple[int, int]]:
    """(width, height) of what a key frame gives, by itself; recorders of the browser change it as the line gets better."""
    import av

    stream = packet.stream
    if _area(stream) > MAX_FRAME_PIXELS:
        return set()
    stream.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
    try:
        return {(picture.width, picture.height) for picture in packet.decode()}
    except av.error.FFmpegError:
        return set()


def _missing(container, stream, track: _Track, last: float) -> tuple[float, float] | None:
    """(seconds there are, seconds there should be) if the file breaks off, else None.

    Where the track has an index, it knows its pictures; otherwise some track must come near the length that the file
    claims. A picture that is held to the end, and sound that is longer than the film, are no damage.
    """
    if stream.frames and track.packets >= WHOLE * stream.frames:
        return None
    ends = []
    if stream.duration:  # less than the file's where its beginning was cut away, which an edit list says
        ends.append((track.seconds, float(stream.duration * stream.time_base)))
    if container.duration:
        # Matroska's length counts from zero, wherever a recorder begins to count.
        begins = 0.0 if "matroska" in container.format.name else float(container.start_time or 0) / 1e6
        ends.append((last - begins, float(container.duration / 1e6)))
    short = [(there, claimed) for there, claimed in ends if there < WHOLE * claimed - 0.5]
    return short[-1] if short and len(short) == len(ends) else None
