"""What a capture gives: the face as the phone saw it, in texture space."""

from dataclasses import dataclass

import numpy as np

from studio_avatar.capture.fitting.head_fit import HeadFit
from studio_avatar.capture.hair import HairViews
from studio_avatar.capture.reporting.report import CaptureReport
from studio_avatar.capture.scene import SceneStatistics


@dataclass(frozen=True)
class PhoneTexture:
    """A partial texture in the layout `head-v1`, in the light of the capture.

    rgb: (H, W, 3) float32 sRGB in [0, 1]; smoothly continued, never black, where nothing was seen.
    seen: (H, W) float32 in [0, 1]; 0 = never observed, else how far to trust the texel.
    fit: the head in front of the camera in the keyframes.
    report: how good the capture is and what would make it better.
    scene: what the frames say about the light beside the face, for the skin tone; None where only a texture is known.
    hair: where hair is in a few key frames; None where nobody looked.
    """

    rgb: np.ndarray
    seen: np.ndarray
    fit: HeadFit
    report: CaptureReport
    scene: SceneStatistics | None = None
    hair: HairViews | None = None
