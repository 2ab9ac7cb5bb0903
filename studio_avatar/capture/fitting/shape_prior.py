"""What is known of people's heads before one is seen: a Gaussian over the head model's identity coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class ShapePrior:
    """mean: (I,) identity coefficients; precision: (I, I), inverse of their covariance."""

    mean: np.ndarray
    precision: np.ndarray

    @classmethod
    def of_head(cls, count: int) -> ShapePrior:
        """The prior for a head with `count` identity components.

        `tools.wrap_scans` writes the head's last components and the file together; another head has N(0, 1).
        """
        learned = _learned()
        return learned if len(learned.mean) == count else cls(np.zeros(count), np.eye(count))

    def save(self, path: Path) -> None:
        """Write a .safetensors file in single precision."""
        from safetensors.numpy import save_file

        parts = {"mean": self.mean, "precision": self.precision}
        save_file({name: np.ascontiguousarray(value, np.float32) for name, value in parts.items()}, path)


@lru_cache(maxsize=1)
def _learned() -> ShapePrior:
    """The prior that comes with the package."""
    from safetensors.numpy import load_file

    tensors = load_file(Path(__file__).with_name("shape_prior.safetensors"))
    return ShapePrior(**{name: tensor.astype(np.float64) for name, tensor in tensors.items()})
