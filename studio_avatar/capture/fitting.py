"""Fit the head to the landmarks of all keyframes at once.

One identity and one focal length for all frames; expression, rotation and translation per frame. The head is
linear in its coefficients before projection: a cheap Jacobian, and few steps of damped Gauss-Newton.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from studio_avatar.capture.landmarks import FACE_OVAL, NUM_SURFACE_LANDMARKS, Face

LANDMARK_SIGMA = 0.02  # expected landmark error over face height; large, because neighbours err together
TURNED_DEG = 25.0  # the detector errs twice as much when the head turns this far
CONTOUR_SLIDES_DEG = 15.0  # the contour slides over a turned head, on its near side as well
ROBUST_AT = 2.5  # errors beyond this many sigmas lose influence (Cauchy)
EXPRESSION_SIGMA = 0.25  # trust in the detector's expression scores
FOCAL_PRIOR = 1.2  # over the long side of the picture: phone cameras
FOCAL_PRIOR_ONE_FRAME = 1.5  # photos are also taken from further away and cropped
FOCAL_SIGMA = 0.3  # log units
CONTOUR_WEIGHT = 0.7  # the detector draws forehead, temples and jaw less surely than eyes, nose and lips
HIDDEN_WEIGHT = 0.05  # on the far side of a turned head landmarks are guesses that slide along the silhouette
MAX_ITERATIONS = 25


@dataclass(frozen=True)
class HeadFit:
    """The head in front of the camera in K keyframes.

    identity: (100,) float32, about N(0, 1).
    expression: (K, 52) float32 in [0, 1], in the order of the head's `expression_names`.
    rotation: (K, 3, 3) and translation: (K, 3) metres, float32: camera point = rotation @ head point +
        translation, in a camera with x right, y down, z forward.
    focal_px: pixels; the principal point is the middle of the picture.
    image_size: (width, height) pixels.
    reprojection_error: mean distance of the inner-face landmarks to the detected ones, over face height.
    reprojection_error_contour: the same for forehead, temples and jaw.
    """

    identity: np.ndarray
    expression: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    focal_px: float
    image_size: tuple[int, int]
    reprojection_error: float
    reprojection_error_contour: float


def fit_head(head, faces: Sequence[Face], image_size: tuple[int, int]) -> HeadFit:
    """Fit `head` (a `HeadModel`) to the faces of K frames of `image_size` (width, height) pixels."""
    problem = _Problem(head, faces, image_size)
    state = _minimise(problem, problem.start())
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
    )


@dataclass(frozen=True)
class _State:
    identity: np.ndarray  # (I,)
    log_focal: float
    expression: np.ndarray  # (K, E)
    rotation: np.ndarray  # (K, 3, 3)
    translation: np.ndarray  # (K, 3)


class _Problem:
    """Residuals, priors and derivatives of the joint fit, in units of standard deviations."""

    def __init__(self, head, faces: Sequence[Face], image_size: tuple[int, int]):
        self.neutral, self.normals, self.identity_basis, self.expression_basis = _landmark_model(head)
        self.observed = np.stack([face.points[:NUM_SURFACE_LANDMARKS] for face in faces]).astype(np.float64)
        names = head.config.expression_names
        self.scores = np.array([[face.scores.get(name, 0.0) for name in names] for face in faces])  # (K, E)
        self.centre = 0.5 * np.asarray(image_size, np.float64)
        self.face_height = np.array([face.height_px for face in faces])
        turned = np.array([np.hypot(face.yaw_deg, face.pitch_deg) for face in faces])
        self.sigma_px = LANDMARK_SIGMA * (1.0 + (turned / TURNED_DEG) ** 2) * self.face_height  # (K,)
        self.contour_weight = CONTOUR_WEIGHT * np.exp(-((turned / CONTOUR_SLIDES_DEG) ** 2))  # (K,)
        relative_focal = FOCAL_PRIOR_ONE_FRAME if len(faces) == 1 else FOCAL_PRIOR
        self.log_focal_prior = float(np.log(relative_focal * max(image_size)))
        self.is_contour = np.zeros(NUM_SURFACE_LANDMARKS, bool)
        self.is_contour[list(FACE_OVAL)] = True

    def start(self) -> _State:
        """Mean identity, the detector's expression, and the pose of a distant camera."""
        focal = np.exp(self.log_focal_prior)
        poses = [
            _distant_camera_pose(self.neutral + np.tensordot(scores, self.expression_basis, 1), points, focal)
            for scores, points in zip(self.scores, self.observed - self.centre, strict=True)
        ]
        rotation, translation = (np.stack(parts) for parts in zip(*poses, strict=True))
        identity = np.zeros(len(self.identity_basis))
        return _State(identity, self.log_focal_prior, self.scores.clip(0.0, 1.0), rotation, translation)

    def camera_points(self, state: _State) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks turned into camera axes, and also shifted into the camera: (K, 468, 3) each, metres."""
        shape = self.neutral + np.tensordot(state.identity, self.identity_basis, 1)
        posed = shape + np.tensordot(state.expression, self.expression_basis, 1)  # (K, 468, 3)
        turned = posed @ state.rotation.transpose(0, 2, 1)
        return turned, turned + state.translation[:, None]

    def project(self, camera: np.ndarray, state: _State) -> np.ndarray:
        return np.exp(state.log_focal) * camera[..., :2] / camera[..., 2:] + self.centre

    def pixel_errors(self, state: _State) -> np.ndarray:
        """(K, 468) pixels."""
        return np.linalg.norm(self.project(self.camera_points(state)[1], state) - self.observed, axis=-1)

    def landmark_weights(self, state: _State) -> np.ndarray:
        """(K, 468) in [0, 1]: less for the contour, little for what faces away from the camera."""
        facing = -np.einsum("kj,nj->kn", state.rotation[:, 2], self.normals)
        visible = HIDDEN_WEIGHT + (1.0 - HIDDEN_WEIGHT) * np.clip((facing + 0.1) / 0.4, 0.0, 1.0)
        return visible * np.where(self.is_contour, self.contour_weight[:, None], 1.0)

    def cost(self, state: _State, weights: np.ndarray) -> float:
        scaled = self.pixel_errors(state) / self.sigma_px[:, None]
        data = 0.5 * ROBUST_AT**2 * (weights * np.log1p((scaled / ROBUST_AT) ** 2)).sum()
        prior = np.square(state.identity).sum()
        prior += np.square((state.expression - self.scores) / EXPRESSION_SIGMA).sum()
        prior += ((state.log_focal - self.log_focal_prior) / FOCAL_SIGMA) ** 2
        return data + 0.5 * prior

    def normal_equations(self, state: _State, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gauss-Newton matrix and gradient over [identity, log focal, per frame: expression, turn, shift]."""
        num_shared, num_local = len(state.identity) + 1, state.expression.shape[1] + 6
        size = num_shared + num_local * len(state.expression)
        hessian, gradient = np.zeros((size, size)), np.zeros(size)
        turned, camera = self.camera_points(state)
        residual = self.project(camera, state) - self.observed  # (K, 468, 2) pixels
        for k in range(len(camera)):
            jacobian = self._jacobian(state, k, turned[k], camera[k])  # (468, 2, shared + local)
            robust = 1.0 / (1.0 + np.square(residual[k]).sum(-1) / (ROBUST_AT * self.sigma_px[k]) ** 2)
            scale = np.sqrt(weights[k] * robust) / self.sigma_px[k]
            rows = (jacobian * scale[:, None, None]).reshape(-1, jacobian.shape[-1])
            errors = (residual[k] * scale[:, None]).reshape(-1)
            begin = num_shared + k * num_local
            where = np.r_[0:num_shared, begin : begin + num_local]
            hessian[np.ix_(where, where)] += rows.T @ rows
            gradient[where] += rows.T @ errors
            # The prior of the expression: the detector's scores.
            expressed = np.arange(begin, begin + num_local - 6)
            hessian[expressed, expressed] += EXPRESSION_SIGMA**-2
            gradient[expressed] += (state.expression[k] - self.scores[k]) / EXPRESSION_SIGMA**2
        shared = np.arange(num_shared)
        hessian[shared, shared] += np.r_[np.ones(num_shared - 1), FOCAL_SIGMA**-2]
        gradient[:num_shared] += np.r_[
            state.identity, (state.log_focal - self.log_focal_prior) / FOCAL_SIGMA**2
        ]
        return hessian, gradient

    def _jacobian(self, state: _State, k: int, turned: np.ndarray, camera: np.ndarray) -> np.ndarray:
        focal = np.exp(state.log_focal)
        x, y, z = camera.T
        by_camera = np.zeros((len(camera), 2, 3))  # d pixel / d camera point
        by_camera[:, 0, 0] = by_camera[:, 1, 1] = focal / z
        by_camera[:, 0, 2], by_camera[:, 1, 2] = -focal * x / z**2, -focal * y / z**2
        by_head = by_camera @ state.rotation[k]
        by_identity = np.einsum("nij,mnj->nim", by_head, self.identity_basis, optimize=True)
        by_expression = np.einsum("nij,mnj->nim", by_head, self.expression_basis, optimize=True)
        by_log_focal = (focal * camera[:, :2] / camera[:, 2:])[:, :, None]
        by_turn = -by_camera @ _cross_matrix(turned)
        return np.concatenate([by_identity, by_log_focal, by_expression, by_turn, by_camera], axis=2)

    def step(self, state: _State, delta: np.ndarray) -> _State:
        num_shared, num_expressions = len(state.identity) + 1, state.expression.shape[1]
        local = delta[num_shared:].reshape(len(state.expression), -1)
        turn = local[:, num_expressions : num_expressions + 3]
        return _State(
            identity=state.identity + delta[: num_shared - 1],
            log_focal=float(state.log_focal + delta[num_shared - 1]),
            expression=(state.expression + local[:, :num_expressions]).clip(0.0, 1.0),
            rotation=np.stack([_rotation(t) @ r for t, r in zip(turn, state.rotation, strict=True)]),
            translation=state.translation + local[:, num_expressions + 3 :],
        )

    def held_by_bounds(self, state: _State, gradient: np.ndarray) -> np.ndarray:
        """Expressions at 0 or 1 that want to leave [0, 1]: (parameters,) bool."""
        num_shared, num_expressions = len(state.identity) + 1, state.expression.shape[1]
        held = np.zeros(len(gradient), bool)
        local = held[num_shared:].reshape(len(state.expression), -1)
        slope = gradient[num_shared:].reshape(len(state.expression), -1)[:, :num_expressions]
        at_low, at_high = state.expression <= 0.0, state.expression >= 1.0
        local[:, :num_expressions] = (at_low & (slope > 0)) | (at_high & (slope < 0))
        return held


def _minimise(problem: _Problem, state: _State) -> _State:
    """Levenberg-Marquardt with the bounds of the expression kept by an active set."""
    damping = 1e-3
    for _ in range(MAX_ITERATIONS):
        weights = problem.landmark_weights(state)
        cost = problem.cost(state, weights)
        hessian, gradient = problem.normal_equations(state, weights)
        free = np.flatnonzero(~problem.held_by_bounds(state, gradient))
        gained = 0.0
        while gained <= 0.0 and damping < 1e6:
            damped = hessian[np.ix_(free, free)]
            damped[np.diag_indices_from(damped)] *= 1.0 + damping
            delta = np.zeros_like(gradient)
            delta[free] = -np.linalg.solve(damped, gradient[free])
            candidate = problem.step(state, delta)
            in_front = problem.camera_points(candidate)[1][..., 2].min() > 0.0
            gained = cost - problem.cost(candidate, weights) if in_front else -1.0
            damping = damping * 0.2 if gained > 0.0 else damping * 8.0
        if gained <= 0.0:
            break
        state = candidate
        if gained < 1e-4 * cost:
            break
    return state


def _landmark_model(head):
    """The head's linear model on its 468 landmarks only, float64.

    Returns neutral (468, 3), unit normals (468, 3), identity basis (I, 468, 3), expression basis (E, 468, 3).
    """
    corners = head.faces[head.landmark_faces].cpu().numpy()  # (468, 3)
    shares = head.landmark_barycentric.double().cpu().numpy()  # (468, 3)

    def at_landmarks(values) -> np.ndarray:
        at_corners = values.cpu().numpy()[..., corners, :].astype(np.float64)
        return np.ascontiguousarray(np.einsum("...ncj,nc->...nj", at_corners, shares))

    normals = at_landmarks(head.normals(head.neutral))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    neutral, identity, expression = map(
        at_landmarks, (head.neutral, head.identity_basis, head.expression_basis)
    )
    return neutral, normals, identity, expression


def _distant_camera_pose(
    points: np.ndarray, pixels: np.ndarray, focal: float
) -> tuple[np.ndarray, np.ndarray]:
    """Pose from an orthographic fit of head points (N, 3) to `pixels` (N, 2) from the picture's middle."""
    mean = points.mean(0)
    affine = np.linalg.lstsq(np.c_[points - mean, np.ones(len(points))], pixels, rcond=None)[0]  # (4, 2)
    rows = affine[:3].T  # (2, 3): scale * the first two rows of the rotation
    scale = np.linalg.norm(rows, axis=1).mean()
    u, _, vt = np.linalg.svd(np.stack([*rows, np.cross(rows[0], rows[1]) / scale]))
    rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    depth = focal / scale
    in_camera = np.append(affine[3] * depth / focal, depth)
    return rotation, in_camera - rotation @ mean


def _cross_matrix(vectors: np.ndarray) -> np.ndarray:
    """(N, 3) -> (N, 3, 3) with `_cross_matrix(v) @ w == cross(v, w)`."""
    x, y, z = vectors.T
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)


def _rotation(turn: np.ndarray) -> np.ndarray:
    """Rotation matrix of an axis-angle vector (3,) (Rodrigues)."""
    angle = np.linalg.norm(turn)
    if angle < 1e-12:
        return np.eye(3)
    cross = _cross_matrix((turn / angle)[None])[0]
    return np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross
