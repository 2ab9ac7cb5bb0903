"""One run in one picture: `python -m tools.draw_overview examples/selfie.mp4 --out overview.png`."""

import argparse
from pathlib import Path

from studio_avatar.avatar.preview import overview
from studio_avatar.imaging.files import write_atomically
from studio_avatar.imaging.image_io import encode_png


def main(arguments=None):
    from studio_avatar.capture.io.video import read_frames
    from studio_avatar.results.settings import CreationSettings, create_avatar, load_pipeline
    from studio_avatar.weights.locate import find_weights

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("capture", type=Path, help="a selfie video")
    parser.add_argument("--out", type=Path, required=True, help="PNG to write")
    parser.add_argument("--weights", help="weights folder or repository id")
    options = parser.parse_args(arguments)
    output = create_avatar(
        load_pipeline(find_weights(options.weights)), [options.capture], CreationSettings()
    )
    first = next(iter(read_frames(options.capture)))
    write_atomically(options.out, encode_png(overview(first.rgb, output)))


if __name__ == "__main__":
    main()
