"""PNG bytes that say which color space they are in."""

import io
from collections.abc import Sequence

import numpy as np

SRGB_PERCEPTUAL_INTENT = b"\x00"
COMPRESSION = 4  # of zlib: 0.06 s for a texture of 1024² that takes 0.16 at the usual 6, and 8 % more bytes


def encode_png(image) -> bytes:
    """PNG of a picture, tagged sRGB so that every viewer shows the same colors.

    Args:
        image: PIL image, or uint8 array (H, W, 3) RGB, (H, W, 4) with alpha or (H, W) gray, sRGB-encoded.
    Returns:
        The file's bytes; the same picture always gives the same bytes.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    if isinstance(image, np.ndarray):
        image = Image.fromarray(np.ascontiguousarray(image))
    info = PngInfo()
    info.add(b"sRGB", SRGB_PERCEPTUAL_INTENT)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", pnginfo=info, compress_level=COMPRESSION)
    return buffer.getvalue()


def unit_to_uint8(values: np.ndarray | Sequence[float]) -> np.ndarray:
    """Round values in [0, 1] to uint8 [0, 255]; values outside are clipped."""
    return np.rint(np.clip(values, 0.0, 1.0) * 255.0).astype(np.uint8)
