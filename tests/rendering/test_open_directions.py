"""Which directions of the sky points on a mesh see."""

import numpy as np

from studio_avatar.rendering import TexturedMesh, open_directions


def test_a_wall_hides_what_is_behind_it_and_the_horizon_what_is_below():
    """A floor at z = 0 facing +z, and a wall at x = 0.1 that stands on it."""
    floor = [[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]
    wall = [[0.1, -1, 0], [0.1, 1, 0], [0.1, 1, 0.5], [0.1, -1, 0.5]]
    vertices = np.array(floor + wall, np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    mesh = TexturedMesh(vertices, faces, np.zeros((8, 2), np.float32), faces)
    slant = np.sqrt(0.5)
    directions = np.array([[0, 0, 1], [slant, 0, slant], [-slant, 0, slant], [0, 0, -1]])
    points = np.array([[0.0, 0, 0], [0.3, 0, 0]])
    seen = open_directions(mesh, points, np.array([[0.0, 0, 1]] * 2), directions)
    assert seen.tolist() == [[True, False, True, False], [True, True, False, False]]
