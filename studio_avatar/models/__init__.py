"""The networks, one self-contained file each."""

from .inversion_encoder import InversionEncoder
from .stylegan2 import StyleGAN2Generator

__all__ = ["InversionEncoder", "StyleGAN2Generator"]
