"""How a picture is computed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RenderOptions:
    """How much is spent on a picture, and where.

    supersample: n x n rays a pixel; shadow_samples: rays to each lamp a primary ray, penumbras are noisy when few;
    seed: of the directions of shadow rays; device: Warp's name of it, as "cuda:0".
    """

    supersample: int = 1
    shadow_samples: int = 4
    seed: int = 0
    device: str = "cpu"


DEFAULTS = RenderOptions()
