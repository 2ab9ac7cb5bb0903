"""Convert MediaPipe's hair_segmentation.tflite to the weights of `studio_avatar.models.hair_segmenter`.

The file is Google's (Apache-2.0, MediaPipe releases 0.6 to 0.10). Needs the package `tflite` ([train] extra) to read the
flatbuffer. --check runs the file's own graph, operator by operator, in NumPy: TensorFlow Lite lacks three of its operators.

    python -m tools.convert_hair_segmenter --tflite hair_segmentation.tflite --out weights_card/hair_segmenter --check
"""

import argparse
import sys
from pathlib import Path

import torch
from torch import nn

from studio_avatar.errors import InvalidInputError, StudioAvatarError
from studio_avatar.hub.export import halve_parameters
from studio_avatar.models.hair_segmenter import HairSegmenter
from tools.tflite_graph import Operator, read_graph

CHECK_TOLERANCE = 1e-4  # of a probability


def convert(operators: list[Operator]) -> HairSegmenter:
    """The file's operators → the network with its weights, in eval mode.

    Raises:
        InvalidInputError: it is another network.
    """
    model = HairSegmenter().eval()
    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d, nn.PReLU))]
    constants = [operator.constants for operator in operators if operator.constants]
    if [len(values) for values in constants] != [1 if isinstance(m, nn.PReLU) else 2 for m in layers]:
        raise InvalidInputError(
            "The TFLite file is another network; use MediaPipe's hair_segmentation.tflite."
        )
    with torch.no_grad():
        for layer, values in zip(layers, constants, strict=True):
            weight = torch.from_numpy(values[0].copy())
            if isinstance(layer, nn.PReLU):
                layer.weight.copy_(weight.reshape(-1))
                continue
            # stored as (out, h, w, in), depthwise as (1, h, w, out)
            depthwise = isinstance(layer, nn.Conv2d) and layer.groups > 1
            transposed = isinstance(layer, nn.ConvTranspose2d) or depthwise
            layer.weight.copy_(weight.permute(3, 0, 1, 2) if transposed else weight.permute(0, 3, 1, 2))
            layer.bias.copy_(torch.from_numpy(values[1].copy()))
    return model


def check(model: HairSegmenter, operators: list[Operator], seed: int = 0) -> float:
    """Largest difference of the probability of hair to the graph run in NumPy, on a smooth random picture."""
    from tools.tflite_graph import run_graph

    coarse = torch.rand(1, 4, 16, 16, generator=torch.Generator().manual_seed(seed))
    picture = nn.functional.interpolate(coarse, size=(512, 512), mode="bilinear")
    expected = torch.from_numpy(run_graph(operators, picture.permute(0, 2, 3, 1).numpy()))
    with torch.no_grad():
        answer = model(picture[:, :3], picture[:, 3:])
    return (answer.softmax(1) - expected.permute(0, 3, 1, 2).softmax(1)).abs().max().item()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tflite", type=Path, required=True, help="MediaPipe's hair_segmentation.tflite")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder to write, weights_card/hair_segmenter"
    )
    parser.add_argument(
        "--check", action="store_true", help="compare with the file's own graph before writing"
    )
    options = parser.parse_args(arguments)
    try:
        operators = read_graph(options.tflite)
        model = convert(operators)
        if options.check:
            difference = check(model, operators)
            print(f"largest difference to the file's graph: {difference:.1e}")
            if difference > CHECK_TOLERANCE:
                raise InvalidInputError("The conversion differs from the file's graph; nothing was written.")
    except StudioAvatarError as error:
        print(error, file=sys.stderr)
        return 2
    stored = halve_parameters(model)
    stored.register_to_config(_name_or_path=options.out.name)
    stored.save_pretrained(options.out)
    print(f"wrote {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
