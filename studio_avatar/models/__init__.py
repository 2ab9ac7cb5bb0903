"""The networks, one self-contained file each."""

from .inversion_encoder import InversionEncoder
from .stylegan2 import StyleGAN2Generator
from .tone_estimator import ToneEstimator

__all__ = ["InversionEncoder", "StyleGAN2Generator", "ToneEstimator"]
