"""Fit the head to the landmarks of all keyframes at once, and to points tracked through them.

One identity and one focal length for all frames; expression, rotation and translation per frame. The head is
linear in its coefficients before projection: a cheap Jacobian, and few steps of damped Gauss-Newton
(Levenberg-Marquardt) over everything. What is known of the detector's errors (`landmark_errors`) is part of the
model: its bias is subtracted, its typical distortions are unknowns with a prior, one set for the person and one for
each frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.capture.detection.landmarks import Face
from studio_avatar.capture.io.lens import Lens

from .fit_problem import FitProblem, FitState
from .shape_prior import ShapePrior

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

MAX_ITERATIONS = 25
# Relative gain of a step that is not worth another one; one picture costs next to nothing.
ENOUGH, ENOUGH_ONE_FRAME = 1e-3, 3e-4
# How the damping changes with the share of its promised gain that a step kept: (at least, factor), the first that fits.
DAMPING, AFTER_A_LOSS = ((0.75, 0.2), (0.25, 1.0), (1e-9, 2.0)), 8.0


@dataclass(frozen=True)
class HeadFit:
    """The head in front of the camera in K keyframes.

    identity: (125,) float32, about N(0, 1).
    expression: (K, 52) float32 in [0, 1], in the order of the head's `expression_names`.
    rotation: (K, 3, 3) and translation: (K, 3) meters, float32: camera point = rotation @ head point +
        translation, in a camera with x right, y down, z forward.
    focal_px: pixels; the principal point is the middle of the picture.
    image_size: (width, height) pixels.
    reprojection_error: mean distance of the inner-face landmarks to the detected ones, freed of the detector's known
        bias, over face height.
    reprojection_error_contour: the same for forehead, temples and jaw.
    timestamps: (K,) float32 seconds since the first frame of the clip; for photos their number in the list.
    """

    identity: np.ndarray
    expression: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    focal_px: float
    image_size: tuple[int, int]
    reprojection_error: float
    reprojection_error_contour: float
    timestamps: np.ndarray


@dataclass(frozen=True)
class Tracks:
    """N points of the head's surface followed by their looks through K frames.

    triangle: (N,) index into the head's faces; barycentric: (N, 3); pixel: (K, N, 2) where each frame shows the point;
    trust: (K, N) in [0, 1], 0 = not seen. tangential_m: (N,) meters, standard deviation of how far the point, the same in
    all frames, may lie beside the place on the head that it is assigned to.
    """

    triangle: np.ndarray
    barycentric: np.ndarray
    pixel: np.ndarray
    trust: np.ndarray
    tangential_m: np.ndarray

    @classmethod
    def joined(cls, one: Tracks, other: Tracks) -> Tracks:
        """The points of both."""
        axes = {"pixel": 1, "trust": 1}
        names = (field.name for field in fields(cls))
        return cls(*(np.concatenate([getattr(one, n), getattr(other, n)], axes.get(n, 0)) for n in names))


def fit_head(
    head: HeadModel,
    faces: Sequence[Face],
    image_size: tuple[int, int],
    timestamps: Sequence[float] | None = None,
    tracks: Tracks | None = None,
    start: HeadFit | None = None,
    tell: Callable[[float], None] = lambda fraction: None,
    prior: ShapePrior | None = None,
    lens: Lens | None = None,
) -> HeadFit:
    """Fit `head` (a `HeadModel`) to the faces of K frames of `image_size` (width, height) pixels.

    timestamps: K, seconds; tracks: points to be explained as well; start: a fit of the same frames to improve;
    tell: called after each step with the share that is done; prior: what is known of heads, None for the package's own;
    lens: what the file tells of it; None: nothing.
    """
    import scipy.linalg  # noqa: F401 (its BLAS must be there to be told)
    from threadpoolctl import threadpool_limits

    # The matrices are so small that BLAS's threads would wait for each other longer than they compute.
    with threadpool_limits(1, "blas"):
        problem = FitProblem(head, faces, image_size, tracks, prior, lens)
        state = _minimize(problem, problem.start() if start is None else problem.resume(start), tell)
    error = problem.pixel_errors(state) / problem.face_height[:, None]  # (K, 468)
    return HeadFit(
        identity=state.identity.astype(np.float32),
        expression=state.expression.astype(np.float32),
        rotation=state.rotation.astype(np.float32),
        translation=state.translation.astype(np.float32),
        focal_px=float(np.exp(state.log_focal)),
        image_size=tuple(int(n) for n in image_size),
        reprojection_error=float(error[:, ~problem.is_contour].mean()),
        reprojection_error_contour=float(error[:, problem.is_contour].mean()),
        timestamps=np.asarray(np.arange(len(faces)) if timestamps is None else timestamps, np.float32),
    )


def _minimize(problem: FitProblem, state: FitState, tell: Callable[[float], None]) -> FitState:
    """Levenberg-Marquardt with the expression held in [0, 1] by an active set; the damping follows how far the quadratic
    model holds (Marquardt 1963; Nocedal and Wright 2006, algorithm 4.1)."""
    damping, enough = 1e-3, ENOUGH_ONE_FRAME if len(state.expression) == 1 else ENOUGH
    for iteration in range(MAX_ITERATIONS):
        tell(iteration / MAX_ITERATIONS)
        weights = problem.weights(state)
        cost = problem.cost(state, weights)
        hessian, gradient = problem.normal_equations(state, weights)
        free = np.flatnonzero(~problem.held_by_bounds(state, gradient))
        gained = 0.0
        while gained <= 0.0 and damping < 1e6:
            damped = hessian[np.ix_(free, free)]
            damped[np.diag_indices_from(damped)] *= 1.0 + damping
            delta = np.zeros_like(gradient)
            delta[free] = -_solve(damped, gradient[free])
            candidate = problem.step(state, delta)
            gained = cost - problem.cost(candidate, weights) if problem.in_front(candidate) else -np.inf
            promised = -(gradient @ delta + 0.5 * delta @ (hessian @ delta))
            damping *= next((factor for least, factor in DAMPING if gained >= least * promised), AFTER_A_LOSS)
        if gained <= 0.0:
            break
        state = candidate
        if gained < enough * cost:
            break
    return state


def _solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    from scipy.linalg import cho_factor, cho_solve

    return cho_solve(cho_factor(matrix, check_finite=False), right, check_finite=False)
