"""What a phone does to the light that reaches it: exposure, color, blur, noise, sharpening, compression."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from studio_avatar.imaging.color import linear_to_srgb
from studio_avatar.imaging.ramps import steeper
from studio_avatar.imaging.video_io import decode, encode_h264

BURST = (
    5  # frames of the little clip that ends in a coded frame: enough for predicted frames to build up errors
)
SHAKE_PX_AT_720 = 5.0  # a hand's shake from frame to frame
MISEXPOSED = 0.1  # share of captures that are clearly too dark or too bright


@dataclass(frozen=True)
class PhoneCamera:
    """What a phone does to the light, in this order.

    exposure: factor on linear light; white_balance: (3,) factors; blur: Gaussian sigma in pixels; motion: length of
    the motion blur in pixels; readout: how far a moving picture is sheared from its first to its last row (rolling
    shutter), as a share of `motion`; noise: read noise as a share of full scale; contrast: strength of the tone curve
    in [0, 1]; sharpening: of the phone's unsharp mask;
    filmic: a tone curve that training never sees, for held-out captures; codec: ("jpeg", quality) or ("h264", crf).
    """

    exposure: float
    white_balance: np.ndarray
    contrast: float
    blur: float
    motion: float
    noise: float
    codec: tuple[str, int]
    readout: float = 0.0
    sharpening: float = 0.0
    filmic: bool = False


def sample_phone(
    rng: np.random.Generator,
    arriving: np.ndarray,
    albedo: float,
    short_side: int,
    behind: float | None = None,
) -> PhoneCamera:
    """A phone that meters the face: exposure and white balance follow the light, but not perfectly.

    Args:
        arriving: (3,) linear light on a surface that faces the camera.
        albedo: linear reflectance of the skin; a phone makes dark skin brighter and light skin darker, by half.
        short_side: of the frames in pixels.
        behind: linear brightness of the background, if it is known: some phones fall for it, and the face in front
            of a window gets too dark.
    """
    gray = float(arriving.mean())
    metered = gray
    if behind is not None:
        share = rng.uniform(0, 0.6) * (rng.random() < 0.5)
        metered = gray ** (1 - share) * max(behind, gray) ** share
    exposure = 0.75 * (0.3 / max(albedo, 0.02)) ** 0.5 / max(metered, 0.05)
    error = np.clip(np.exp(rng.normal(-0.05, 0.3)), 0.45, 1.9)
    if rng.random() < MISEXPOSED:
        error = rng.uniform(0.2, 0.45) if rng.random() < 0.5 else rng.uniform(1.8, 2.4)
    scale = short_side / 720
    codec = ("jpeg", int(rng.integers(55, 96))) if rng.random() < 0.6 else ("h264", int(rng.integers(20, 33)))
    return PhoneCamera(
        exposure=float(error * exposure),
        white_balance=(arriving / gray) ** -rng.uniform(0.45, 1.0) * np.exp(rng.normal(0, 0.02, 3)),
        contrast=float(rng.uniform(0, 0.5)),
        blur=float(rng.uniform(0.4, 1.1) * scale),
        motion=float(rng.exponential(1.0) * scale * (rng.random() < 0.3)),
        noise=float(rng.gamma(2.0, 0.004)),
        codec=codec,
        readout=float(rng.uniform(0, 1.5)),
        sharpening=float(rng.uniform(0, 0.8)),
    )


def shoot(linear: list[np.ndarray], phone: PhoneCamera, rng: np.random.Generator) -> list[np.ndarray]:
    """Single pictures (H, W, 3) of linear light -> the phone's frames, uint8 sRGB.

    JPEG: photos. H.264: each is the last frame of its own `BURST` from a trembling hand, all in one video, so that
    it carries what predicted frames carry.
    """
    if phone.codec[0] == "jpeg":
        return compress([expose(picture, phone, rng) for picture in linear], phone.codec)
    bursts = [[expose(perturbed, phone, rng) for perturbed in _burst(picture, rng)] for picture in linear]
    return compress([frame for burst in bursts for frame in burst], phone.codec)[BURST - 1 :: BURST]


def expose(linear: np.ndarray, phone: PhoneCamera, rng: np.random.Generator) -> np.ndarray:
    """Linear light (H, W, 3) -> the phone's picture before compression, uint8 sRGB."""
    import cv2

    light = linear * (phone.exposure * phone.white_balance).astype(np.float32)
    if phone.motion > 0.5:
        light = _moved(light, phone, rng.uniform(0, 2 * np.pi))
    light = cv2.GaussianBlur(light, (0, 0), phone.blur)
    shot = np.sqrt(np.maximum(light, 0)) * phone.noise * 1.5 + phone.noise * 0.5
    grain = rng.standard_normal(light.shape, np.float32)
    # Phones denoise: what is left of the noise is coarse, and coarser in color than in brightness.
    grain = 0.5 * grain.mean(-1, keepdims=True) * 1.7 + 0.6 * cv2.GaussianBlur(grain, (0, 0), 1.2) * 2.5
    light = light + shot * grain
    # Highlights roll off instead of clipping hard.
    light = np.where(light > 0.8, 0.8 + 0.2 * np.tanh((light - 0.8) / 0.2 * 0.7), light)
    if phone.filmic:  # Narkowicz 2015, "ACES filmic tone mapping curve"
        y = 0.6 * np.maximum(light, 0)
        light = np.clip(y * (2.51 * y + 0.03) / (y * (2.43 * y + 0.59) + 0.14), 0, 1)
    encoded = steeper(linear_to_srgb(light), phone.contrast)
    if phone.sharpening:
        encoded += phone.sharpening * (
            encoded - cv2.GaussianBlur(encoded, (0, 0), 1.6 * max(phone.blur, 0.5))
        )
    return (np.clip(encoded, 0, 1) * 255 + 0.5).astype(np.uint8)


def compress(frames: list[np.ndarray], codec: tuple[str, int]) -> list[np.ndarray]:
    """The frames after JPEG (quality) or as one H.264 video (crf), uint8 (H, W, 3) each."""
    name, strength = codec
    return _jpeg(frames, strength) if name == "jpeg" else _h264(frames, strength)


def for_texels(phone: PhoneCamera, size: int) -> PhoneCamera:
    """The same phone for pictures in texture space, `size` texels wide, that were never frames."""
    # A face is about as many pixels high as its chart has texels at 1024².
    return replace(phone, blur=phone.blur * size / 1024, motion=0.0, noise=phone.noise * 0.5)


def smooth_walk(rng: np.random.Generator, count: int, width: float = 6.0) -> np.ndarray:
    """A hand's tremble: (count, 6), smooth over about `width` steps, each channel about N(0, 1)."""
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(rng.standard_normal((count, 6)), width, axis=0) * 4.5 * np.sqrt(width / 6.0)


def _burst(picture: np.ndarray, rng) -> list[np.ndarray]:
    """`BURST` pictures of a trembling hand; the last one is `picture` itself."""
    import cv2

    height, width = picture.shape[:2]
    walk = smooth_walk(rng, BURST, 1.5)
    walk = (walk - walk[-1])[:, :3] * SHAKE_PX_AT_720 * min(height, width) / 720
    burst = []
    for x, y, turn in walk[:-1]:
        shift = cv2.getRotationMatrix2D((width / 2, height / 2), np.degrees(turn / height), 1.0)
        shift[:, 2] += x, y
        burst.append(cv2.warpAffine(picture, shift, (width, height), borderMode=cv2.BORDER_REPLICATE))
    return [*burst, picture]


def _moved(light: np.ndarray, phone: PhoneCamera, angle: float) -> np.ndarray:
    """Motion blur and the shear of a shutter that reads row after row while the picture moves."""
    import cv2

    light = cv2.filter2D(light, -1, _motion_kernel(phone.motion, angle))
    height, width = light.shape[:2]
    x, y = phone.readout * phone.motion * np.array([np.cos(angle), np.sin(angle)]) / height
    shear = np.array([[1, x, -x * height / 2], [0, 1 + y, -y * height / 2]])
    return cv2.warpAffine(light, shear, (width, height), borderMode=cv2.BORDER_REPLICATE)


def _jpeg(frames, quality: int):
    import cv2

    coded = (cv2.imencode(".jpg", f[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1] for f in frames)
    return [np.ascontiguousarray(cv2.imdecode(c, cv2.IMREAD_COLOR)[..., ::-1]) for c in coded]


def _h264(frames, crf: int):
    height, width = frames[0].shape[:2]
    return decode(encode_h264(frames, (width, height), 30, crf, "veryfast"))


def _motion_kernel(length: float, angle: float) -> np.ndarray:
    import cv2

    n = 2 * int(np.ceil(length)) + 1
    kernel = np.zeros((n, n), np.float32)
    step = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    a, b = (n // 2 - step) * 16, (n // 2 + step) * 16
    cv2.line(kernel, tuple(int(v) for v in a), tuple(int(v) for v in b), 1.0, 1, cv2.LINE_AA, 4)
    return kernel / kernel.sum()
