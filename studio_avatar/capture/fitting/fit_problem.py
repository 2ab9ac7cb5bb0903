"""Residuals, priors and derivatives of the joint fit, in units of standard deviations.

Unknowns: [identity, log focal, the detector's errors with this person | per frame: expression, rotation, translation,
the detector's errors in it]. Tracked points may move along the surface; these tangential offsets are eliminated (Schur
complement).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.capture.detection.landmark_errors import landmark_errors, pose_terms, rolled
from studio_avatar.capture.detection.landmarks import Face
from studio_avatar.capture.io.lens import Lens
from studio_avatar.head.geometry import geometry
from studio_avatar.head.landmark_ids import FACE_OVAL, NUM_SURFACE_LANDMARKS

from .shape_prior import ShapePrior

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

LANDMARK_SIGMA = (
    0.010  # over face height, beside the detector's known errors: faces differ from simulated ones
)
ERRORS_OF_PERSON = 0.5  # share of the variance of the detector's errors that is the same in all frames
ROBUST_AT = 2.5  # errors beyond this many sigmas lose influence (Cauchy)
EXPRESSION_SIGMA = 0.25  # trust in the detector's expression scores
# Over the long side of the picture. Phones have 0.7 to 1.1 in films and photos, in front and at the back; other cameras, and
# what was cropped, more.
FOCAL_PRIOR = 1.0
FOCAL_PRIOR_ONE_FRAME = 1.2  # photos are also taken from further away and cropped
FOCAL_SIGMA = 0.3  # log units
CONTOUR_WEIGHT = 0.7  # the detector draws forehead, temples and jaw less surely than eyes, nose and lips
HIDDEN_WEIGHT = 0.05  # on the far side of a turned head landmarks are guesses that move along the silhouette
TRACK_SIGMA = 0.004  # over face height


@dataclass(frozen=True)
class FitState:
    """One guess of all unknowns: I identity, E expression coefficients, C error components, K frames."""

    identity: np.ndarray  # (I,)
    log_focal: float
    person_error: np.ndarray  # (C,)
    expression: np.ndarray  # (K, E)
    rotation: np.ndarray  # (K, 3, 3)
    translation: np.ndarray  # (K, 3)
    frame_error: np.ndarray  # (K, C)


@dataclass(frozen=True)
class Weights:
    """How much each observation counts, in [0, 1]: landmarks (K, 468) and tracked points (K, N)."""

    landmarks: np.ndarray
    tracks: np.ndarray


class FitProblem:
    """The joint fit of one head to K faces, and to tracked points if there are any."""

    def __init__(
        self,
        head: HeadModel,
        faces: Sequence[Face],
        image_size: tuple[int, int],
        tracks=None,
        prior=None,
        lens: Lens | None = None,
    ):
        self.landmarks = SurfacePoints.of_landmarks(head)
        self.prior = prior or ShapePrior.of_head(len(self.landmarks.identity))
        self.tracks = tracks
        self.tracked = None if tracks is None else SurfacePoints.of(head, tracks.triangle, tracks.barycentric)
        names = head.config.expression_names
        self.scores = np.array([[face.scores.get(name, 0.0) for name in names] for face in faces])  # (K, E)
        self.center = 0.5 * np.asarray(image_size, np.float64)
        self.face_height = np.array([face.height_px for face in faces], np.float64)
        usual = FOCAL_PRIOR_ONE_FRAME if len(faces) == 1 else FOCAL_PRIOR
        lens = lens or Lens(usual, FOCAL_SIGMA)
        self.log_focal_prior, self.focal_sigma = float(np.log(lens.focal * max(image_size))), lens.sigma
        self.is_contour = np.zeros(NUM_SURFACE_LANDMARKS, bool)
        self.is_contour[FACE_OVAL] = True
        self._read_landmarks(faces)

    def _read_landmarks(self, faces: Sequence[Face]) -> None:
        """Landmarks freed of their bias, and how they can be off: pixels in each frame's own axes."""
        errors = landmark_errors()
        detected = np.stack([face.points[:NUM_SURFACE_LANDMARKS] for face in faces]).astype(np.float64)
        bias = [rolled(face, np.tensordot(pose_terms(face), errors.bias, 1)) for face in faces]
        self.observed = detected - self.face_height[:, None, None] * np.stack(bias)  # (K, 468, 2)
        self.distortions = self.face_height[:, None, None, None] * np.stack(
            [rolled(face, errors.components) for face in faces]
        )  # (K, C, 468, 2)
        sigma = np.sqrt(errors.sigma**2 + LANDMARK_SIGMA**2)
        self.sigma_px = self.face_height[:, None] * sigma  # (K, 468)

    # --- guesses

    def start(self) -> FitState:
        """Mean identity, the detector's expression, and the pose of a distant camera."""
        focal = np.exp(self.log_focal_prior)
        points = self.landmarks
        person = points.neutral + np.tensordot(self.prior.mean, points.identity, 1)
        poses = [
            _distant_camera_pose(person + np.tensordot(scores, points.expression, 1), pixels, focal)
            for scores, pixels in zip(self.scores, self.observed - self.center, strict=True)
        ]
        rotation, translation = (np.stack(parts) for parts in zip(*poses, strict=True))
        num_frames, num_errors = self.distortions.shape[:2]
        return FitState(
            identity=self.prior.mean.copy(),
            log_focal=self.log_focal_prior,
            person_error=np.zeros(num_errors),
            expression=self.scores.clip(0.0, 1.0),
            rotation=rotation,
            translation=translation,
            frame_error=np.zeros((num_frames, num_errors)),
        )

    def resume(self, fit) -> FitState:
        """The state behind a `HeadFit` of the same frames."""
        num_frames, num_errors = self.distortions.shape[:2]
        return FitState(
            identity=fit.identity.astype(np.float64),
            log_focal=float(np.log(fit.focal_px)),
            person_error=np.zeros(num_errors),
            expression=fit.expression.astype(np.float64),
            rotation=fit.rotation.astype(np.float64),
            translation=fit.translation.astype(np.float64),
            frame_error=np.zeros((num_frames, num_errors)),
        )

    # --- residuals

    def in_front(self, state: FitState) -> bool:
        """Whether the whole face is in front of the camera in every frame."""
        return all(self.landmarks.in_camera(state, k)[1][:, 2].min() > 0.0 for k in self._frames)

    def pixel_errors(self, state: FitState) -> np.ndarray:
        """(K, 468) pixels between the head's landmarks and the observed ones."""
        return np.stack(
            [
                np.linalg.norm(self._project(self.landmarks, state, k) - self.observed[k], axis=1)
                for k in self._frames
            ]
        )

    def weights(self, state: FitState) -> Weights:
        """Less for the contour, little for what faces away; tracks that disagree lose influence."""
        facing = -np.einsum("kj,nj->kn", state.rotation[:, 2], self.landmarks.normals)
        visible = HIDDEN_WEIGHT + (1.0 - HIDDEN_WEIGHT) * np.clip((facing + 0.1) / 0.4, 0.0, 1.0)
        landmarks = visible * np.where(self.is_contour, CONTOUR_WEIGHT, 1.0)
        if self.tracked is None:
            return Weights(landmarks, np.zeros((len(landmarks), 0)))
        trust = self.tracks.trust
        residual = self._tangential_offsets(state, trust)[0]
        robust = 1.0 / (1.0 + np.square(residual).sum(-1) / ROBUST_AT**2)
        return Weights(landmarks, trust * robust)

    def cost(self, state: FitState, weights: Weights) -> float:
        """Half the sum of squares; robust for landmarks, with fixed weights for tracks."""
        scaled = np.stack([self._landmark_residual(state, k) for k in self._frames])
        squares = np.square(scaled).sum(-1)
        total = ROBUST_AT**2 * (weights.landmarks * np.log1p(squares / ROBUST_AT**2)).sum()
        unusual = state.identity - self.prior.mean
        total += unusual @ self.prior.precision @ unusual
        total += np.square(state.person_error).sum() / ERRORS_OF_PERSON
        total += np.square(state.frame_error).sum() / (1.0 - ERRORS_OF_PERSON)
        total += np.square((state.expression - self.scores) / EXPRESSION_SIGMA).sum()
        total += ((state.log_focal - self.log_focal_prior) / self.focal_sigma) ** 2
        if self.tracked is not None:
            residual, tangential = self._tangential_offsets(state, weights.tracks)
            total += (weights.tracks[..., None] * residual**2).sum() + np.square(
                tangential / self.tracks.tangential_m[:, None]
            ).sum()
        return 0.5 * total

    def normal_equations(self, state: FitState, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
        """Gauss-Newton matrix and gradient over all unknowns."""
        with ThreadPoolExecutor(1) as beside:  # the products of matrices leave Python's lock
            tracks = beside.submit(self._track_equations, state, weights.tracks)
            hessian, gradient = self._zeros()
            for k in self._frames:
                residual = self._landmark_residual(state, k)
                robust = 1.0 / (1.0 + np.square(residual).sum(-1) / ROBUST_AT**2)
                scale = np.sqrt(weights.landmarks[k] * robust)[:, None]
                rows = self._landmark_jacobian(state, k) * scale[..., None]
                self._add(hessian, gradient, k, rows, residual * scale)
            self._add_priors(state, hessian, gradient)
            of_tracks = tracks.result()
        return hessian + of_tracks[0], gradient + of_tracks[1]

    def step(self, state: FitState, delta: np.ndarray) -> FitState:
        """The state after a step in all unknowns."""
        i, e, c = self._counts
        local = delta[self._num_shared :].reshape(len(self._frames), -1)
        turn = local[:, e : e + 3]
        return FitState(
            identity=state.identity + delta[:i],
            log_focal=float(state.log_focal + delta[i]),
            person_error=state.person_error + delta[i + 1 : i + 1 + c],
            expression=(state.expression + local[:, :e]).clip(0.0, 1.0),
            rotation=np.stack([_rotation(t) @ r for t, r in zip(turn, state.rotation, strict=True)]),
            translation=state.translation + local[:, e + 3 : e + 6],
            frame_error=state.frame_error + local[:, e + 6 :],
        )

    def held_by_bounds(self, state: FitState, gradient: np.ndarray) -> np.ndarray:
        """Expressions at 0 or 1 that want to leave [0, 1]: (unknowns,) bool."""
        e = self._counts[1]
        held = np.zeros(len(gradient), bool)
        local = held[self._num_shared :].reshape(len(self._frames), -1)
        slope = gradient[self._num_shared :].reshape(len(self._frames), -1)[:, :e]
        at_low, at_high = state.expression <= 0.0, state.expression >= 1.0
        local[:, :e] = (at_low & (slope > 0)) | (at_high & (slope < 0))
        return held

    # --- parts

    @cached_property
    def _counts(self) -> tuple[int, int, int]:
        """How many identity, expression and error coefficients there are."""
        return len(self.landmarks.identity), len(self.landmarks.expression), self.distortions.shape[1]

    @property
    def _frames(self) -> range:
        return range(len(self.face_height))

    @property
    def _num_shared(self) -> int:
        i, _, c = self._counts
        return i + 1 + c

    @property
    def _num_local(self) -> int:
        _, e, c = self._counts
        return e + 6 + c

    @property
    def _size(self) -> int:
        return self._num_shared + self._num_local * len(self._frames)

    def _zeros(self) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((self._size, self._size)), np.zeros(self._size)

    def _project(self, points: SurfacePoints, state: FitState, k: int) -> np.ndarray:
        camera = points.in_camera(state, k)[1]
        return np.exp(state.log_focal) * camera[:, :2] / camera[:, 2:] + self.center

    def _landmark_residual(self, state: FitState, k: int) -> np.ndarray:
        """(468, 2), in sigmas: the head's landmarks, as the detector would draw them, less the observed ones."""
        drawn = self._project(self.landmarks, state, k) + np.tensordot(
            state.person_error + state.frame_error[k], self.distortions[k], 1
        )
        return (drawn - self.observed[k]) / self.sigma_px[k][:, None]

    def _landmark_jacobian(self, state: FitState, k: int) -> np.ndarray:
        """(468, 2, shared + local), in sigmas."""
        i, e, _ = self._counts
        by_head_and_camera = self.landmarks.jacobian(state, k)[0]
        by_error = self.distortions[k].transpose(1, 2, 0)
        jacobian = np.concatenate(
            [by_head_and_camera[..., : i + 1], by_error, by_head_and_camera[..., i + 1 :], by_error], axis=2
        )
        return jacobian / self.sigma_px[k][:, None, None]

    def _add(self, hessian, gradient, k: int, rows: np.ndarray, residual: np.ndarray) -> None:
        rows = rows.reshape(-1, rows.shape[-1])
        where = self._unknowns_of(k)
        hessian[np.ix_(where, where)] += rows.T @ rows
        gradient[where] += rows.T @ residual.reshape(-1)

    def _unknowns_of(self, k: int) -> np.ndarray:
        begin = self._num_shared + k * self._num_local
        return np.r_[0 : self._num_shared, begin : begin + self._num_local]

    def _add_priors(self, state: FitState, hessian, gradient) -> None:
        num_frames, (_, e, c) = len(self._frames), self._counts
        no_prior = np.zeros((num_frames, 6))
        i = len(state.identity)
        by_identity = self.prior.precision @ (state.identity - self.prior.mean)
        hessian[:i, :i] += self.prior.precision
        precision = np.r_[np.zeros(i), self.focal_sigma**-2, np.full(c, 1.0 / ERRORS_OF_PERSON)]
        offset = np.r_[np.zeros(i), state.log_focal - self.log_focal_prior, state.person_error]
        local_precision = np.r_[
            np.full(e, EXPRESSION_SIGMA**-2), np.zeros(6), np.full(c, 1 / (1 - ERRORS_OF_PERSON))
        ]
        local_offset = np.c_[state.expression - self.scores, no_prior, state.frame_error]
        precision = np.r_[precision, np.tile(local_precision, num_frames)]
        hessian[np.diag_indices_from(hessian)] += precision
        gradient += precision * np.r_[offset, local_offset.reshape(-1)]
        gradient[:i] += by_identity

    # --- tracked points

    @cached_property
    def _tangential_prior(self) -> np.ndarray:
        """(N, 2, 2): precision of the tangential offsets, 1 / meters²."""
        return np.eye(2) / np.square(self.tracks.tangential_m)[:, None, None]

    def _track_residual(self, state: FitState, k: int) -> np.ndarray:
        sigma = TRACK_SIGMA * self.face_height[k]
        return (self._project(self.tracked, state, k) - self.tracks.pixel[k]) / sigma

    def _tangential_jacobian(self, by_head: np.ndarray, k: int, which=slice(None)) -> np.ndarray:
        """(N, 2, 2): d residual / d meters along the surface, of those points."""
        return by_head @ self.tracked.tangents[which] / (TRACK_SIGMA * self.face_height[k])

    def _tangential_offsets(self, state: FitState, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Residuals (K, N, 2) in sigmas after the best tangential offset of every point, and those offsets (N, 2) meters."""
        residual = np.stack([self._track_residual(state, k) for k in self._frames])
        by_tangential = np.stack(
            [self._tangential_jacobian(self.tracked.by_head(state, k)[0], k) for k in self._frames]
        )  # (K, N, 2, 2)
        curvature = (
            np.einsum("kn,knia,knib->nab", weights, by_tangential, by_tangential) + self._tangential_prior
        )
        slope = np.einsum("kn,knia,kni->na", weights, by_tangential, residual)
        tangential = -np.linalg.solve(curvature, slope[..., None])[..., 0]
        return residual + np.einsum("knia,na->kni", by_tangential, tangential), tangential

    def _track_equations(self, state: FitState, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What tracked points, with their tangential offsets eliminated, add to the normal equations."""
        hessian, gradient = self._zeros()
        if self.tracked is None:
            return hessian, gradient
        num_points, concerned = len(self.tracked.neutral), self._unknowns_of_tracks
        coupling = np.zeros((num_points, 2, len(concerned)), np.float32)  # half the time of its product
        curvature = self._tangential_prior.copy()
        slope = np.zeros((num_points, 2))
        i, e, _ = self._counts
        for k in self._frames:
            seen = np.flatnonzero(weights[k])  # fewer than half: a frame shows one side
            scale = np.sqrt(weights[k, seen])[:, None]
            jacobian, by_head = self.tracked.jacobian(state, k, seen)
            rows = jacobian / (TRACK_SIGMA * self.face_height[k]) * scale[..., None]
            residual = self._track_residual(state, k)[seen] * scale
            by_tangential = self._tangential_jacobian(by_head, k, seen) * scale[..., None]
            begin = i + 1 + k * (e + 6)
            among = np.r_[0 : i + 1, begin : begin + e + 6]
            where = concerned[among]
            flat = rows.reshape(-1, rows.shape[-1])
            hessian[np.ix_(where, where)] += flat.T @ flat
            gradient[where] += flat.T @ residual.reshape(-1)
            products = by_tangential.swapaxes(1, 2) @ rows
            coupling[seen, :, : i + 1] += products[..., : i + 1]
            coupling[seen, :, begin : begin + e + 6] = products[..., i + 1 :]
            curvature[seen] += by_tangential.swapaxes(1, 2) @ by_tangential
            slope[seen] += np.einsum("nia,ni->na", by_tangential, residual)
        # C⁻¹ = R Rᵀ: the product of a matrix with its own transpose takes BLAS half of the work.
        root = np.linalg.cholesky(np.linalg.inv(curvature)).swapaxes(1, 2)
        eliminated = (root.astype(np.float32) @ coupling).reshape(2 * num_points, -1)
        hessian[np.ix_(concerned, concerned)] -= eliminated.T @ eliminated
        gradient[concerned] -= eliminated.T @ (root @ slope[..., None]).reshape(-1)
        return hessian, gradient

    @cached_property
    def _unknowns_of_tracks(self) -> np.ndarray:
        """All unknowns but the detector's errors, which do not concern tracks: shared ones, then frame by frame."""
        i, e, _ = self._counts
        first = self._num_shared + self._num_local * np.arange(len(self._frames))
        return np.r_[0 : i + 1, (first[:, None] + np.arange(e + 6)).reshape(-1)]


class SurfacePoints:
    """N points of the head's surface as the linear model has them, float64.

    neutral: (N, 3); normals: (N, 3) unit; tangents: (N, 3, 2) orthonormal; identity: (I, N, 3); expression: (E, N, 3).
    """

    def __init__(self, head: HeadModel, corners: np.ndarray, shares: np.ndarray):
        def at_points(values) -> np.ndarray:
            at_corners = values.cpu().numpy()[..., corners, :].astype(np.float64)
            return np.ascontiguousarray(np.einsum("...ncj,nc->...nj", at_corners, shares))

        self.neutral, self.identity, self.expression = map(
            at_points, (head.neutral, head.identity_basis, head.expression_basis)
        )
        normals = at_points(head.normals(head.neutral))
        self.normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
        sideways = np.cross(self.normals, (0.0, 1.0, 0.0))
        sideways /= np.maximum(np.linalg.norm(sideways, axis=1, keepdims=True), 1e-6)
        self.tangents = np.stack([sideways, np.cross(self.normals, sideways)], axis=-1)
        self._looked_at, self._points = None, None

    @classmethod
    def of(cls, head: HeadModel, triangle: np.ndarray, barycentric: np.ndarray) -> SurfacePoints:
        return cls(head, geometry(head).faces[triangle], barycentric.astype(np.float64))

    @classmethod
    def of_landmarks(cls, head: HeadModel) -> SurfacePoints:
        shape = geometry(head)
        return cls.of(head, shape.landmark_faces, shape.landmark_barycentric)

    def in_camera(self, state: FitState, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The points of frame k turned into camera axes, and also shifted into the camera: (N, 3) meters each."""
        turned = self._posed(state)[k] @ state.rotation[k].T
        return turned, turned + state.translation[k]

    def _posed(self, state: FitState) -> np.ndarray:
        """(K, N, 3) the points of all frames in the head's axes; kept, because one state is looked at many times."""
        if self._looked_at is not state:
            person = self.neutral + np.tensordot(state.identity, self.identity, 1)
            self._looked_at, self._points = state, person + np.tensordot(state.expression, self.expression, 1)
        return self._points

    def by_head(self, state: FitState, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """d pixel / d head point and / d camera point (N, 2, 3) each, and the points as `in_camera` has them."""
        focal = np.exp(state.log_focal)
        turned, camera = self.in_camera(state, k)
        x, y, z = camera.T
        by_camera = np.zeros((len(camera), 2, 3))
        by_camera[:, 0, 0] = by_camera[:, 1, 1] = focal / z
        by_camera[:, 0, 2], by_camera[:, 1, 2] = -focal * x / z**2, -focal * y / z**2
        return by_camera @ state.rotation[k], by_camera, turned, camera

    def jacobian(self, state: FitState, k: int, which=slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """(N, 2, I + 1 + E + 6) d pixel / d [identity, log focal, expression, turn, shift], and d pixel / d point.

        which: the points that are asked for, as NumPy takes indices.
        """
        by_head, by_camera, turned, camera = (part[which] for part in self.by_head(state, k))
        by_coefficients = by_head @ self._basis[which]
        by_log_focal = (np.exp(state.log_focal) * camera[:, :2] / camera[:, 2:])[:, :, None]
        by_turn = -by_camera @ _cross_matrix(turned)
        num_identity = len(self.identity)
        by_identity, by_expression = (
            by_coefficients[..., :num_identity],
            by_coefficients[..., num_identity:],
        )
        return np.concatenate([by_identity, by_log_focal, by_expression, by_turn, by_camera], axis=2), by_head

    @cached_property
    def _basis(self) -> np.ndarray:
        """(N, 3, I + E): what identity and expression move each point by."""
        return np.ascontiguousarray(np.concatenate([self.identity, self.expression]).transpose(1, 2, 0))


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
