"""The fit's matrix and gradient against differences of its cost: what is eliminated and left out must not show."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.painted_head import FOCAL, IMAGE, facing

from studio_avatar.capture.detection.landmarks import Face
from studio_avatar.capture.fitting.fit_problem import FitProblem
from studio_avatar.capture.fitting.head_fit import Tracks

FRAMES, POINTS = 3, 40


@pytest.fixture(scope="module")
def problem(head) -> FitProblem:
    """Three frames and points that two or three of them show, with and without room to move along the surface."""
    import torch

    rng = np.random.default_rng(0)
    half = dict.fromkeys(head.config.expression_names, 0.5)  # away from the bounds
    landmarks = head.landmarks(head.vertices(torch.zeros(head.config.num_identity), torch.full((52,), 0.5)))
    faces = []
    for yaw in (-20, 0, 20):
        camera = landmarks.numpy() @ facing(yaw, 5).T + (0.01, 0.02, 0.55)
        pixel = np.zeros((478, 2), np.float32)
        pixel[:468] = FOCAL * camera[:, :2] / camera[:, 2:] + np.array(IMAGE) / 2
        faces.append(Face(pixel, half, np.diag([1.0, -1.0, -1.0]) @ facing(yaw, 5)))
    trust = rng.uniform(0.3, 1.0, (FRAMES, POINTS))
    trust[rng.integers(FRAMES, size=POINTS // 2), np.arange(POINTS // 2)] = 0.0
    tracks = Tracks(
        rng.integers(1000, size=POINTS),
        rng.dirichlet(np.ones(3), POINTS),
        np.zeros((FRAMES, POINTS, 2)),
        trust,
        np.where(np.arange(POINTS) % 2, 0.0005, 0.008),
    )
    return FitProblem(head, faces, IMAGE, tracks)


def direction(problem: FitProblem, state) -> np.ndarray:
    """A step in all unknowns that stays within the expressions' bounds."""
    size = len(problem.normal_equations(state, problem.weights(state))[1])
    return np.random.default_rng(1).normal(0, 0.3, size)


def costs(problem: FitProblem, state, weights, along: np.ndarray, width: float) -> np.ndarray:
    return np.array([problem.cost(problem.step(state, s * width * along), weights) for s in (-1, 0, 1)])


def test_the_gradient_is_the_slope_of_the_cost(problem):
    """Of what tracks say, where they miss by little: that tangential offsets depend on the pose is left out."""
    state = problem.start()
    problem.observed = np.stack([problem._project(problem.landmarks, state, k) for k in range(FRAMES)])
    problem.tracks = replace(problem.tracks, pixel=projections(problem, state) + (0.02, -0.01))
    weights, along = problem.weights(state), direction(problem, state)
    below, _, above = costs(problem, state, weights, along, width=1e-5)
    slope = problem.normal_equations(state, weights)[1] @ along
    assert (above - below) / 2e-5 == pytest.approx(slope, rel=0.02)


def test_the_matrix_is_the_curvature_where_nothing_is_left_to_explain(problem):
    """There Gauss-Newton's matrix is the second derivative, tangential offsets at their best included."""
    state = problem.start()
    problem.observed = np.stack([problem._project(problem.landmarks, state, k) for k in range(FRAMES)])
    problem.tracks = replace(problem.tracks, pixel=projections(problem, state))
    weights, along = problem.weights(state), direction(problem, state)
    below, here, above = costs(problem, state, weights, along, width=1e-4)
    matrix = problem.normal_equations(state, weights)[0]
    assert np.array_equal(matrix, matrix.T)
    assert (below + above - 2 * here) / 1e-8 == pytest.approx(along @ matrix @ along, rel=1e-3)


def projections(problem: FitProblem, state) -> np.ndarray:
    """(K, N, 2) where the tracked points are seen."""
    return np.stack([problem._project(problem.tracked, state, k) for k in range(FRAMES)])
