"""What may be opened at all: films and photos of cameras; never a list of other files, and never a helper program."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio_avatar.capture.io.video import read_frames
from studio_avatar.errors import UnreadableMediaError
from studio_avatar.imaging.media import DEMUXERS, demuxer_options
from studio_avatar.imaging.video_io import decode, encode_h264

av = pytest.importorskip("av")
PACKAGE = Path(__file__).parents[2] / "studio_avatar"


@pytest.fixture(scope="module")
def secret(tmp_path_factory) -> Path:
    """A film of somebody else on the same server."""
    path = tmp_path_factory.mktemp("other") / "secret.mp4"
    pictures = [np.full((96, 96, 3), 200, np.uint8)] * 10
    path.write_bytes(encode_h264(pictures, (96, 96), 10))
    return path


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.0,\n{path}\n#EXT-X-ENDLIST\n",
    "hls with a mark": "\ufeff#EXTM3U\n#EXTINF:1.0,\nfile://{path}\n",
    "concat": "ffconcat version 1.0\nfile '{path}'\n",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet>'
    "<Representation><BaseURL>{path}</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "pls": "[playlist]\nFile1={path}\n",
    "smil": '<smil><body><video src="{path}"/></body></smil>',
    "redirector": "[Reference]\nRef1=http://127.0.0.1/{path}\n",
    "address": "file://{path}\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("name", ["selfie.m3u8", "selfie.mp4", "selfie.txt", "selfie"])
def test_a_playlist_is_refused_whatever_its_name(tmp_path, secret, kind, name):
    (tmp_path / name).write_text(PLAYLISTS[kind].format(path=secret))
    with pytest.raises(UnreadableMediaError, match=f"^{name} is a playlist, not a video: please"):
        list(read_frames(tmp_path / name))


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_no_demuxer_of_lists_opens_either(tmp_path, secret, kind):
    """The second lock: FFmpeg itself refuses, should a list ever begin in a way that is not known here."""
    (tmp_path / "a.m3u8").write_text(PLAYLISTS[kind].format(path=secret))
    with (tmp_path / "a.m3u8").open("rb") as file, pytest.raises(av.error.FFmpegError):
        av.open(file, options=demuxer_options())
    with pytest.raises(av.error.FFmpegError):
        av.open(str(secret), options=demuxer_options())  # nor does FFmpeg open any file by itself


def test_a_film_is_a_film_whatever_its_name(tmp_path, secret):
    for name in ("selfie.m3u8", "selfie:1.mp4", "-selfie.mp4", "%03d.png", "50%.mp4", "concat:a|b.mp4"):
        (tmp_path / name).write_bytes(secret.read_bytes())
        assert len(list(read_frames(tmp_path / name))) == 10
    assert len(decode(secret.read_bytes())) == 10


def test_no_list_of_files_is_among_the_formats():
    lists = {
        "hls",
        "dash",
        "concat",
        "sdp",
        "rtsp",
        "rtp",
        "image2",
        "imf",
        "lavfi",
        "webm_dash_manifest",
        "data",
    }
    assert not lists & set(DEMUXERS)


def test_every_reading_of_films_is_limited():
    """A new `av.open` in the package either writes or says what may be opened."""
    for path in PACKAGE.rglob("*.py"):
        for call in re.findall(r"av\.open\(.{0,120}", path.read_text(), re.DOTALL):
            assert '"w"' in call or "demuxer_options()" in call, f"{path}: {call}"


def test_postscript_is_no_photo(tmp_path):
    """Pillow would start Ghostscript for it."""
    Image.fromarray(np.full((96, 96, 3), 90, np.uint8)).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.jpg")
    with pytest.raises(UnreadableMediaError, match=r"a\.jpg"):
        list(read_frames(tmp_path / "a.jpg"))
