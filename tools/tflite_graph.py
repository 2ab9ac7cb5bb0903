"""A TensorFlow Lite file as a list of operators, and its graph run in NumPy.

Only the operators of MediaPipe's hair segmentation are known to `run_graph`; three of them are MediaPipe's own:

- MaxPoolingWithArgmax2D: maximum of 2×2 and which of the four it was, the first of equal ones.
- MaxUnpooling2D: the value goes to that one of the four, the others are 0.
- Convolution2DTransposeBias: transposed convolution, "same" padding, cut at the end, plus bias.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from studio_avatar.errors import InvalidInputError, MissingDependencyError


@dataclass(frozen=True)
class Operator:
    """name: as TensorFlow Lite or the file calls it. constants: float32 inputs that are stored in the file.
    inputs, outputs: numbers of the tensors that are computed. stride, dilation: of convolutions."""

    name: str
    constants: list[np.ndarray]
    inputs: list[int]
    outputs: list[int]
    stride: int = 1
    dilation: int = 1


def read_graph(path: Path) -> list[Operator]:
    """Operators in running order.

    Raises:
        InvalidInputError: no such file, or no TensorFlow Lite model. MissingDependencyError: no package `tflite`.
    """
    try:
        import tflite
    except ImportError as error:
        raise MissingDependencyError("Install the package tflite to read TensorFlow Lite files.") from error

    if not path.is_file():
        raise InvalidInputError(f"{path} does not exist; give the path of the TensorFlow Lite file.")
    data = path.read_bytes()
    if data[4:8] != b"TFL3":
        raise InvalidInputError(f"{path} is not a TensorFlow Lite model.")
    names = {value: name for name, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)}
    model = tflite.Model.GetRootAsModel(data, 0)
    graph = model.Subgraphs(0)
    operators = []
    for index in range(graph.OperatorsLength()):
        stored = graph.Operators(index)
        code = model.OperatorCodes(stored.OpcodeIndex())
        name = names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        if name == "CUSTOM":
            name = code.CustomCode().decode()
        values = {int(t): _constant(model, graph.Tensors(t)) for t in stored.InputsAsNumpy()}
        operators.append(
            Operator(
                name,
                [value for value in values.values() if value is not None],
                [tensor for tensor, value in values.items() if value is None],
                [int(tensor) for tensor in stored.OutputsAsNumpy()],
                *_geometry(tflite, name, stored.BuiltinOptions()),
            )
        )
    return operators


def _constant(model, tensor) -> np.ndarray | None:
    """The float32 values stored for a tensor; None when it is computed at run time."""
    raw = model.Buffers(tensor.Buffer()).DataAsNumpy()
    if isinstance(raw, int) or tensor.Type() != 0:  # 0 is TensorType.FLOAT32; no data reads as the number 0
        return None
    return raw.view(np.float32).reshape(tensor.ShapeAsNumpy())


def _geometry(tflite, name, stored) -> tuple[int, int]:
    """Stride and dilation of a convolution."""
    kinds = {"CONV_2D": "Conv2DOptions", "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions"}
    if name not in kinds:
        return 1, 1
    options = getattr(tflite, kinds[name])()
    options.Init(stored.Bytes, stored.Pos)
    return options.StrideH(), options.DilationHFactor()


def run_graph(operators: list[Operator], picture: np.ndarray) -> np.ndarray:
    """The last operator's output for one input (1, H, W, C) float32; arrays are (1, H, W, C)."""
    tensors = {operators[0].inputs[0]: picture}
    for operator in operators:
        inputs = [tensors[number] for number in operator.inputs]
        if operator.name == "MaxPoolingWithArgmax2D":
            results = max_pool(*inputs)
        elif operator.name == "MaxUnpooling2D":
            results = (max_unpool(*inputs),)
        elif operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            depthwise = operator.name == "DEPTHWISE_CONV_2D"
            results = (convolve(*inputs, *operator.constants, operator.stride, operator.dilation, depthwise),)
        elif operator.name == "Convolution2DTransposeBias":
            results = (convolve_transposed(*inputs, *operator.constants),)
        elif operator.name == "PRELU":
            results = (np.where(inputs[0] < 0, inputs[0] * operator.constants[0], inputs[0]),)
        elif operator.name == "ADD":
            results = (inputs[0] + inputs[1],)
        elif operator.name == "CONCATENATION":
            results = (np.concatenate(inputs, -1),)
        else:
            raise InvalidInputError(f"The operator {operator.name} is not known here.")
        tensors.update(zip(operator.outputs, results, strict=True))
    return tensors[operators[-1].outputs[0]]


def convolve(x, weight, bias, stride, dilation, depthwise) -> np.ndarray:
    """ "Same" convolution; weight (out, h, w, in), depthwise (1, h, w, out)."""
    size = weight.shape[1]
    reach = (size - 1) * dilation + 1
    total = max(reach - stride, 0)
    padded = np.pad(x, ((0, 0), *[(total // 2, total - total // 2)] * 2, (0, 0)))
    height, width = x.shape[1] // stride, x.shape[2] // stride
    result = np.zeros((1, height, width, bias.size), np.float64)
    for row in range(size):
        for column in range(size):
            top, left = row * dilation, column * dilation
            part = padded[:, top : top + height * stride : stride, left : left + width * stride : stride]
            result += part * weight[0, row, column] if depthwise else part @ weight[:, row, column].T
    return (result + bias).astype(np.float32)


def convolve_transposed(x, weight, bias) -> np.ndarray:
    """Stride 2; weight (out, h, w, in)."""
    size, (height, width) = weight.shape[1], x.shape[1:3]
    result = np.zeros((1, 2 * height + 1, 2 * width + 1, bias.size), np.float64)
    for row in range(size):
        for column in range(size):
            result[:, row : row + 2 * height : 2, column : column + 2 * width : 2] += (
                x @ weight[:, row, column].T
            )
    return (result[:, : 2 * height, : 2 * width] + bias).astype(np.float32)


def max_pool(x) -> tuple[np.ndarray, np.ndarray]:
    """Maxima (1, H/2, W/2, C) and their numbers 0 to 3 in reading order."""
    four = np.stack([x[:, row::2, column::2] for row in (0, 1) for column in (0, 1)])
    return four.max(0), four.argmax(0)


def max_unpool(x, places) -> np.ndarray:
    """The opposite of `max_pool`."""
    result = np.zeros((1, 2 * x.shape[1], 2 * x.shape[2], x.shape[3]), x.dtype)
    for number in range(4):
        result[:, number // 2 :: 2, number % 2 :: 2] = np.where(places == number, x, 0)
    return result
