"""What can be drawn: a mesh with texture coordinates, and how its surface answers to light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .normals import vertex_normals


@dataclass(frozen=True)
class Skin:
    """How the surface answers to light.

    specular: strength of the gloss (1 = the 2.8 % reflectance of skin at normal incidence); roughness: GGX
    roughness in [0, 1]; subsurface: (3,) how much each of red, green, blue lifts the dim side of a shadow's edge
    (subsurface scattering), 0 = none.
    """

    specular: float = 1.0
    roughness: float = 0.45
    subsurface: tuple[float, float, float] = (0.2, 0.06, 0.03)


SKIN = Skin()


@dataclass(frozen=True)
class TexturedMesh:
    """Triangles with texture coordinates.

    vertices: (V, 3) meters; faces: (F, 3); uv: (T, 2) glTF convention (v down); uv_faces: (F, 3);
    normals: (V, 3) unit, computed if None; occlusion: (V,) share of open sky in [0, 1], 1 everywhere if None;
    gloss: (F,) factor on `Skin.specular` per triangle, 1 everywhere if None; above 1, highlights get sharper.
    """

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    uv_faces: np.ndarray
    normals: np.ndarray | None = None
    occlusion: np.ndarray | None = None
    gloss: np.ndarray | None = None

    @classmethod
    def of_head(cls, head, vertices: np.ndarray, **more) -> TexturedMesh:
        """The mesh of a `HeadModel` in the shape `vertices` (V, 3)."""
        arrays = (t.detach().cpu().numpy() for t in (head.faces, head.uv, head.uv_faces))
        return cls(np.asarray(vertices, np.float32), *arrays, **more)

    def smooth_normals(self) -> np.ndarray:
        """(V, 3) unit: `normals`, or those of the triangles around each vertex."""
        return self.normals if self.normals is not None else vertex_normals(self.vertices, self.faces)
