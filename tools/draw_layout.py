"""The picture of the texture layout: `python -m tools.draw_layout --picture docs/head-v1.png [--regions]`."""

import argparse

from studio_avatar.head.layout import draw_layout, draw_regions


def main():
    from PIL import Image

    from studio_avatar.head.model import HeadModel

    parser = argparse.ArgumentParser(description="Draw the texture layout.")
    parser.add_argument("--head", default="weights_card/head", help="folder of the baked head")
    parser.add_argument("--picture", required=True, help="PNG to write")
    parser.add_argument("--regions", action="store_true", help="draw the region masks instead")
    arguments = parser.parse_args()
    draw = draw_regions if arguments.regions else draw_layout
    picture = draw(HeadModel.from_pretrained(arguments.head))
    Image.fromarray(picture).quantize(48).save(arguments.picture, optimize=True)


if __name__ == "__main__":
    main()
