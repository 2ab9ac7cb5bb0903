"""Questions to a mesh that rays or distances answer: open sky, and the nearest point of the surface."""

from __future__ import annotations

import numpy as np

from .mesh import TexturedMesh
from .runtime import start_warp


def ambient_occlusion(
    mesh: TexturedMesh, rays: int = 64, reach: float = 0.12, device: str = "cpu"
) -> np.ndarray:
    """Share of each vertex' hemisphere that is open up to `reach` meters, cosine-weighted, (V,) in [0, 1]."""
    start_warp()
    import warp as wp

    from . import kernels
    from .upload import new_shape, vectors

    shape = new_shape(mesh.vertices, mesh.faces, device)
    open_sky = wp.zeros(len(mesh.vertices), dtype=wp.float32, device=device)
    points, normals = vectors(mesh.vertices, device), vectors(mesh.smooth_normals(), device)
    wp.launch(
        kernels.occlude,
        dim=len(mesh.vertices),
        inputs=[shape.id, points, normals, rays, float(reach)],
        outputs=[open_sky],
        device=device,
    )
    return open_sky.numpy()


def open_directions(
    mesh: TexturedMesh, points: np.ndarray, normals: np.ndarray, directions: np.ndarray, device: str = "cpu"
) -> np.ndarray:
    """Which directions of the sky each of the points on a mesh sees, up to a meter away: what light needs of its geometry.

    Args:
        points: (N, 3) meters. normals: (N, 3) unit, outward. directions: (D, 3) unit.

    Returns:
        (N, D) bool.
    """
    start_warp()
    import warp as wp

    from . import kernels
    from .upload import new_shape, vectors

    shape = new_shape(mesh.vertices, mesh.faces, device)
    is_open = wp.empty((len(points), len(directions)), dtype=wp.uint8, device=device)
    inputs = [vectors(array, device) for array in (points, normals, directions)]
    wp.launch(
        kernels.open_directions,
        dim=is_open.shape,
        inputs=[shape.id, *inputs, 1.0],
        outputs=[is_open],
        device=device,
    )
    return is_open.numpy().astype(bool)


def nearest_on_surface(
    vertices: np.ndarray, faces: np.ndarray, points: np.ndarray, reach: float = np.inf, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """Where the surface of a mesh is nearest to each of the points.

    Args:
        vertices: (V, 3) meters. faces: (F, 3). points: (N, 3). reach: meters beyond which there is no answer.

    Returns:
        triangle (N,) int32, -1 where there is none, and barycentric (N, 3) float32.
    """
    start_warp()
    import warp as wp

    from . import kernels
    from .upload import new_shape, vectors

    shape = new_shape(vertices, faces, device)
    triangle = wp.empty(len(points), dtype=wp.int32, device=device)
    barycentric = wp.empty(len(points), dtype=wp.vec3, device=device)
    wp.launch(
        kernels.nearest,
        dim=len(points),
        inputs=[shape.id, vectors(points, device), float(min(reach, 1e6))],
        outputs=[triangle, barycentric],
        device=device,
    )
    return triangle.numpy(), barycentric.numpy()
