"""The networks, one self-contained file each."""

from .hair_segmenter import HairSegmenter
from .inversion_encoder import InversionEncoder
from .registrar import Registrar
from .relight_network import RelightNetwork
from .stylegan2 import StyleGAN2Generator
from .tone_estimator import ToneEstimator

__all__ = [
    "HairSegmenter",
    "InversionEncoder",
    "Registrar",
    "RelightNetwork",
    "StyleGAN2Generator",
    "ToneEstimator",
]
