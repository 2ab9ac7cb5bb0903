"""The animatable head: one person's shape, studio texture and 52 ARKit expressions."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InvalidInputError
from ..images import unit_to_uint8
from .eyes import paint_eyes_and_mouth
from .glb import head_vertices, write_glb
from .iris import captured_iris


@dataclass(frozen=True)
class Avatar:
    """One person's head, ready to export or to pose.

    Attributes:
        head: `HeadModel` that the coefficients belong to.
        identity: (100,) float identity coefficients, about N(0, 1).
        texture: (H, W, 3) uint8 sRGB in the head's texture layout, row 0 at v = 0.
        expression: expression coefficients seen in the capture, (52,) or one row a keyframe (K, 52), in the
            order of `head.config.expression_names`; None when they are not known. They are information for
            the receiver of the file: the exported mesh itself is neutral.
    """

    head: object
    identity: np.ndarray
    texture: np.ndarray
    expression: np.ndarray | None = None

    def export(self, path: str | os.PathLike) -> Path:
        """Write a binary glTF file (`.glb`); see `write_glb` for what is in it and what it raises."""
        return write_glb(path, self.head, self.identity, self.texture, self.expression)

    def mesh(self, expression: Mapping[str, float] | None = None) -> np.ndarray:
        """Vertices (V, 3) float32 in metres, +Y up, +Z out of the face.

        Args:
            expression: ARKit name -> coefficient, usually in [0, 1]; names left out are 0.
        Raises:
            InvalidInputError: a name is not one of the head's expressions.
        """
        names = list(self.head.config.expression_names)
        coefficients = np.zeros(len(names), dtype=np.float32)
        for name, value in (expression or {}).items():
            if name not in names:
                raise InvalidInputError(
                    f"There is no expression '{name}': use ARKit names such as '{names[0]}'."
                )
            coefficients[names.index(name)] = value
        return head_vertices(self.head, self.identity, coefficients)


def build_avatar(head, capture, texture: np.ndarray) -> Avatar:
    """The captured person's head wearing a studio texture.

    Args:
        head: `HeadModel`. capture: `PhoneTexture` of the person, same size as `texture`.
        texture: (H, W, 3) float32 sRGB in [0, 1] in the head's layout. Its small eye and mouth charts, which a phone
            never sees well, are painted, the irises in the captured colour.
    """
    painted = paint_eyes_and_mouth(texture, head, iris_rgb=captured_iris(head, capture, texture))
    return Avatar(head, np.asarray(capture.fit.identity), unit_to_uint8(painted), np.asarray(capture.fit.expression))


__all__ = ["Avatar", "build_avatar", "write_glb"]
