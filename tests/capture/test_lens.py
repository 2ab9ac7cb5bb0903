"""The focal length that files tell."""

import av
import numpy as np
import pytest
from PIL import Image

from studio_avatar.capture.io.lens import QUICKTIME_KEY, Lens, common_lens
from studio_avatar.capture.io.video import read_frames

SELFIE_MM, SELFIE_FOCAL = 26, 26 / 43.27 * 1.25  # of a 4:3 picture


def photo(path, size, focal_mm, written=None):
    """A JPEG whose EXIF tells a focal length and, if given, the size as it was taken."""
    exif = Image.Exif()
    exif[0x0112] = 6  # a phone held upright
    tags = exif.get_ifd(0x8769)
    tags[0xA405] = focal_mm
    if written:
        tags[0xA002], tags[0xA003] = written
    Image.new("RGB", size).save(path, exif=exif)
    return path


def lens_in(path) -> Lens | None:
    return next(iter(read_frames(path))).lens


def test_photo_tells_its_lens(tmp_path):
    lens = lens_in(photo(tmp_path / "selfie.jpg", (400, 300), SELFIE_MM, (4000, 3000)))
    assert lens.focal == pytest.approx(SELFIE_FOCAL, rel=1e-3)
    film = lens_in(photo(tmp_path / "camera.jpg", (300, 200), 36))
    assert film.focal == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize(
    ("size", "focal_mm", "written"),
    [((300, 300), SELFIE_MM, (4000, 3000)), ((300, 270), SELFIE_MM, None), ((400, 300), 0, None), ((400, 300), 4000, None)],
    ids=["cut out", "of no camera's shape", "unknown", "impossible"],
)  # fmt: skip
def test_photo_that_tells_nothing_useful(tmp_path, size, focal_mm, written):
    assert lens_in(photo(tmp_path / "photo.jpg", size, focal_mm, written)) is None


@pytest.mark.parametrize(("said", "focal"), [("27", 27 / 43.27 * 1.25), ("-13", None), ("wide", None)])
def test_clip_tells_its_lens(tmp_path, said, focal):
    path = tmp_path / "clip.mov"
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata[QUICKTIME_KEY] = said
        stream = container.add_stream("h264", 30)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for _ in range(10):
            picture = av.VideoFrame.from_ndarray(np.full((96, 160, 3), 128, np.uint8))
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    lens = lens_in(path)
    assert lens is None if focal is None else lens.focal == pytest.approx(focal, rel=1e-3)


def test_photos_of_two_cameras_have_no_common_lens():
    front, back = Lens(0.75, 0.08), Lens(1.9, 0.08)
    assert common_lens([front, None, front]) == front
    assert common_lens([front, back]) is None and common_lens([None]) is None
