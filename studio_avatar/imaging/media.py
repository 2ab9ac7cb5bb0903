"""Opening films of strangers: by content, with the formats of cameras and players only, and never anything else.

FFmpeg also reads formats that are lists of other files (HLS, DASH, concat, SDP); a visitor who uploads one would be shown
files of the server, or have it ask other machines. They are not among `DEMUXERS`, and FFmpeg may open nothing by itself:
it is handed the open file, and not even its name.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from studio_avatar.errors import UnreadableMediaError

# FFmpeg's names. Sound and bare streams are here because "no pictures, only sound" helps more than "no video".
DEMUXERS = (
    "mov", "matroska", "avi", "mpegts", "mpeg", "flv", "asf", "ogg", "gif", "apng", "dv", "mxf", "rm",
    "mpegvideo", "h264", "hevc", "av1", "obu", "ivf", "m4v", "mjpeg", "wav", "mp3", "aac", "flac", "amr",
)  # fmt: skip
NO_PROTOCOL = "none"
MAX_FRAME_PIXELS = 8192 * 4352  # 8K; more is a damaged header, and would be allocated several times
BUFFER_BYTES = 1 << 18
HEAD_BYTES = 4096
# How files begin that only name other files: m3u8, concat, DASH, SDP, PLS, SMIL, ASX, ASF redirectors, RTSP text.
PLAYLISTS = re.compile(
    rb"#EXTM3U|ffconcat\s+version|v=\d+\r?\n[a-z]=|\[(?:playlist|Reference|InternetShortcut)\]|RTSPtext|rtsp://"
    rb"|<(?:\?xml.*?\?>\s*)?(?:<!--.*?-->\s*)*<?(?:MPD|smil|asx|SmoothStreamingMedia)\b"
    rb"|#?EXTINF|(?:https?|file)://",
    re.IGNORECASE | re.DOTALL,
)


@contextmanager
def open_media(source: str | os.PathLike) -> Iterator:
    """A film as PyAV's container, closed at the end of the block.

    Raises:
        UnreadableMediaError: it is a playlist. FFmpegError (PyAV's), OSError: it is no film that can be read.
    """
    import av

    path = Path(source)
    with path.open("rb") as file:
        if is_playlist(file.read(HEAD_BYTES)):
            raise UnreadableMediaError(
                f"{path.name} is a playlist, not a video: please give the video file that it names."
            )
        file.seek(0)
        with av.open(
            _Nameless(file), options=demuxer_options(), metadata_errors="replace", buffer_size=BUFFER_BYTES
        ) as container:
            yield container


class _Nameless:
    """An open file without its name, from which FFmpeg would guess: "%03d.mp4" asks for a row of pictures."""

    def __init__(self, file):
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


def demuxer_options() -> dict[str, str]:
    """Options of every `av.open` that reads: what may be opened at all, and how large the pictures may be that FFmpeg
    decodes while it opens, to learn what a header does not say."""
    return {
        "format_whitelist": ",".join(DEMUXERS),
        "protocol_whitelist": NO_PROTOCOL,
        "max_pixels": str(MAX_FRAME_PIXELS),
    }


def is_playlist(head: bytes) -> bool:
    """Whether a file that begins with `head` only names other files, whatever its name says."""
    return PLAYLISTS.match(head.removeprefix(b"\xef\xbb\xbf").lstrip()) is not None
