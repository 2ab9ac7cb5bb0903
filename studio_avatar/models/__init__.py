"""The networks, one self-contained file each, imported on first use: a capture needs the registrar alone."""

from studio_avatar.lazy import lazy_names

_HOMES = {
    "HairSegmenter": "hair_segmenter",
    "InversionEncoder": "inversion_encoder",
    "Registrar": "registrar",
    "RelightNetwork": "relight_network",
    "StyleGAN2Generator": "stylegan2",
    "ToneEstimator": "tone_estimator",
}
__all__ = [
    "HairSegmenter",
    "InversionEncoder",
    "Registrar",
    "RelightNetwork",
    "StyleGAN2Generator",
    "ToneEstimator",
]
__getattr__ = lazy_names(__name__, _HOMES)
