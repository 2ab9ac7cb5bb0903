"""Pictures of a few simulated captures: `python -m tools.draw_simulated --texture T.png --out DIR`."""

import argparse
from pathlib import Path

import numpy as np

from studio_avatar.data.simulate.simulation import POSES, SimulationOptions, simulate


def main(argv=None) -> None:
    from studio_avatar.data.simulate.environments import read_panoramas
    from studio_avatar.data.studio_set import read_rgb
    from studio_avatar.head.model import HeadModel
    from studio_avatar.imaging.files import write_atomically
    from studio_avatar.imaging.image_io import encode_png

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texture", type=Path, required=True, help="a square head-v1 studio texture")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    parser.add_argument(
        "--count", type=int, default=4, help="captures, each of another person in another place"
    )
    parser.add_argument("--views", type=int, default=3, help=f"pictures a capture, 1 to {len(POSES)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--environments", type=Path, help="folder of .hdr or .exr panoramas")
    parser.add_argument(
        "--head", default="weights_card", help="folder or Hub id whose subfolder `head` has the head"
    )
    options = parser.parse_args(argv)
    head = HeadModel.from_pretrained(options.head, subfolder="head")
    panoramas = list(read_panoramas(options.environments)[0].values()) if options.environments else None
    options.out.mkdir(parents=True, exist_ok=True)
    for number in range(options.count):
        rng = np.random.default_rng((options.seed, number))
        light = SimulationOptions(panoramas=panoramas)
        made = simulate(head, read_rgb(options.texture), rng, options.views, light)
        for view, frame in enumerate(made.frames):
            write_atomically(options.out / f"{number:03d}-{view}.png", encode_png(frame))


if __name__ == "__main__":
    main()
