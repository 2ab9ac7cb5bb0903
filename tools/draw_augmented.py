"""A sheet of 64 augmented studio textures.

python -m tools.draw_augmented --data DATA --prepared RUNS/data --out docs/augmented.jpg
"""

import argparse
from pathlib import Path

from studio_avatar.data.augment.augmentation import SHEET_SAMPLES, sheet


def main(argv=None) -> None:
    import io

    from PIL import Image

    from studio_avatar.data.prepare.make import augmented_texture
    from studio_avatar.data.prepare.packing import head_mark
    from studio_avatar.data.prepare.sets import studio_jobs
    from studio_avatar.head.model import HeadModel
    from studio_avatar.imaging.files import write_atomically

    parser = argparse.ArgumentParser(description="Draw a sheet of 64 augmented studio textures.")
    parser.add_argument("--data", type=Path, required=True, help="folder with studio/")
    parser.add_argument(
        "--prepared", type=Path, required=True, help="what `prepare --stage studio` has written"
    )
    parser.add_argument("--out", type=Path, required=True, help="JPEG to write")
    parser.add_argument(
        "--head", default="weights_card", help="folder or Hub id whose subfolder `head` has the head"
    )
    options = parser.parse_args(argv)
    head = HeadModel.from_pretrained(options.head, subfolder="head")
    jobs = studio_jobs(options.data, options.prepared, head_mark(head), SHEET_SAMPLES)
    buffer = io.BytesIO()
    picture = Image.fromarray(sheet(augmented_texture(job, head) for job in jobs))
    picture.save(buffer, "JPEG", quality=88, optimize=True)
    write_atomically(options.out, buffer.getvalue())


if __name__ == "__main__":
    main()
