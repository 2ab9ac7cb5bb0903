"""The networks, one self-contained file each."""

from .inversion_encoder import InversionEncoder
from .registrar import Registrar
from .stylegan2 import StyleGAN2Generator
from .tone_estimator import ToneEstimator

__all__ = ["InversionEncoder", "Registrar", "StyleGAN2Generator", "ToneEstimator"]
