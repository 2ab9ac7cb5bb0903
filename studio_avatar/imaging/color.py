"""The sRGB transfer curve (IEC 61966-2-1) and luma on arrays; `pipeline/`, remote code, has its own on tensors."""

import numpy as np

LUMA = (0.2126, 0.7152, 0.0722)  # weights of red, green and blue (BT.709)


def srgb_to_linear(rgb) -> np.ndarray:
    """sRGB-encoded values in [0, 1] → linear light in [0, 1]; any shape, float32 stays float32, all else is float64."""
    rgb = _floating(rgb)
    return np.where(rgb <= 0.04045, rgb / 12.92, ((np.maximum(rgb, 0.04045) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(linear) -> np.ndarray:
    """Linear light, clipped to [0, 1] → sRGB-encoded values in [0, 1]; shapes and types as above."""
    linear = np.clip(_floating(linear), 0.0, 1.0)
    return np.where(
        linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    )


def luma(rgb: np.ndarray) -> np.ndarray:
    """(..., 3) → (...): the brightness of a color, in the encoding and type that it is given in."""
    return rgb @ np.array(LUMA, rgb.dtype)


def _floating(values) -> np.ndarray:
    values = np.asarray(values)
    return values if values.dtype == np.float32 else values.astype(np.float64)
