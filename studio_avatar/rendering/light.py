"""What shines on a mesh: an environment and lamps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

_SH_CONSTANT = 0.28209479177387814  # the first real spherical harmonic, 1 / (2 √π)


@dataclass(frozen=True)
class Lamp:
    """One light source.

    direction: (3,) unit vector in head space, from the head towards the lamp; color: (3,) linear irradiance
    on a facing surface at the head's origin; spread: angular radius in radians, 0 = hard shadow; distance:
    meters from the head's origin, infinite = parallel rays; shadow: whether the head shadows itself.
    """

    direction: tuple[float, float, float]
    color: tuple[float, float, float] = (1.0, 1.0, 1.0)
    spread: float = 0.05
    distance: float = np.inf
    shadow: bool = True


@dataclass(frozen=True)
class Light:
    """What shines on the head.

    environment: (9, 3) real spherical-harmonic coefficients of the surrounding linear radiance, or None for
    darkness; lamps: any number of `Lamp`s; flat: ignore both and show the texture as it is.
    """

    environment: np.ndarray | None = None
    lamps: tuple[Lamp, ...] = ()
    flat: bool = False

    @classmethod
    def even(cls, radiance: float = 1.0) -> Light:
        """White light from everywhere: with no occlusion, a texture is shown at `radiance` times its own
        value.
        """
        environment = np.zeros((9, 3), np.float32)
        environment[0] = radiance / _SH_CONSTANT
        return cls(environment)

    def without_shadows(self) -> Light:
        """The same light from lamps that nothing hides."""
        return replace(self, lamps=tuple(replace(lamp, shadow=False) for lamp in self.lamps))


FLAT = Light(flat=True)
