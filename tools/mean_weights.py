"""The mean of the weights of trained networks of one shape: `python -m tools.mean_weights --out OUT A=0.5 B=0.5`.

Where training went on from published weights, their mean is often better than either (model soups: Wortsman et al. 2022).
A and B are folders that a stage wrote; the configuration is that of the first.
"""

import argparse
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save

from studio_avatar.errors import InvalidInputError, StudioAvatarError
from studio_avatar.imaging.files import write_atomically

WEIGHTS, CONFIG = "diffusion_pytorch_model.safetensors", "config.json"


def mean_weights(shares: dict[Path, float]) -> dict[str, torch.Tensor]:
    """Name → mean of the folders' tensors by their shares, which are divided by their sum; float32 where they are real.

    Raises:
        InvalidInputError: a folder has no weights, shares are not positive, or two folders have networks of different shape.
    """
    total = sum(shares.values())
    if not shares or min(shares.values()) < 0 or total <= 0:
        raise InvalidInputError("Shares must be positive, such as A=0.7 B=0.3.")
    mean, first = {}, next(iter(shares))
    for folder, share in shares.items():
        if not (folder / WEIGHTS).is_file():
            raise InvalidInputError(f"There is no {WEIGHTS} in {folder}.")
        tensors = load_file(folder / WEIGHTS)
        if mean and {k: v.shape for k, v in tensors.items()} != {k: v.shape for k, v in mean.items()}:
            raise InvalidInputError(f"The networks in {first} and {folder} are not of one shape.")
        for name, tensor in tensors.items():
            if tensor.is_floating_point():
                mean[name] = mean.get(name, 0) + share / total * tensor.float()
            else:
                mean.setdefault(name, tensor)  # counters
    return mean


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.mean_weights", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the mean")
    parser.add_argument("networks", nargs="+", metavar="FOLDER=SHARE")
    options = parser.parse_args(arguments)
    try:
        shares = dict(_share(text) for text in options.networks)
        mean = mean_weights(shares)
        options.out.mkdir(parents=True, exist_ok=True)
        write_atomically(options.out / WEIGHTS, save(mean, metadata={"format": "pt"}))
        write_atomically(options.out / CONFIG, (next(iter(shares)) / CONFIG).read_bytes())
    except (StudioAvatarError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _share(text: str) -> tuple[Path, float]:
    folder, _, share = text.rpartition("=")
    try:
        return Path(folder), float(share)
    except ValueError:
        raise InvalidInputError(f"{text} is not a folder and its share, such as RUNS/relight=0.7.") from None


if __name__ == "__main__":
    sys.exit(main())
