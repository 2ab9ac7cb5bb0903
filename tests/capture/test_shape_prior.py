"""What is known of heads decides what a narrow clip does not show."""

import numpy as np
from helpers.painted_head import FOCAL, IMAGE, facing

from studio_avatar.capture.detection.landmarks import Face
from studio_avatar.capture.fitting.head_fit import fit_head
from studio_avatar.capture.fitting.shape_prior import ShapePrior
from studio_avatar.head.geometry import geometry


def seen(head, identity: np.ndarray, rng: np.random.Generator) -> list[Face]:
    """Three frames that turn by six degrees to both sides, with errors of 1 % of the face's height."""
    import torch

    landmarks = head.landmarks(head.vertices(torch.tensor(identity, dtype=torch.float32))).numpy()
    faces = []
    for yaw in (-6, 0, 6):
        camera = landmarks @ facing(yaw).T + (0.0, 0.02, 0.5)
        pixel = np.zeros((478, 2), np.float32)
        pixel[:468] = (
            FOCAL * camera[:, :2] / camera[:, 2:] + np.array(IMAGE) / 2 + rng.normal(0, 2.5, (468, 2))
        )
        faces.append(Face(pixel, {}, np.diag([1.0, -1.0, -1.0]) @ facing(yaw)))
    return faces


def test_a_narrow_clip_gets_the_depth_that_people_have(head):
    """The learned prior is closer to three of its own people than N(0, 1), and stays within two standard deviations."""
    count, rng = head.config.num_identity, np.random.default_rng(0)
    prior, basis = ShapePrior.of_head(count), geometry(head).identity_basis
    assert len(prior.mean) == count and np.any(prior.mean)
    whiten = np.linalg.cholesky(prior.precision).T
    skin = np.unique(geometry(head).faces[geometry(head).in_regions("face", "lips")])
    errors = []
    for _ in range(3):
        person = prior.mean + np.linalg.solve(whiten, rng.standard_normal(count))
        faces = seen(head, person, rng)
        fits = [
            fit_head(head, faces, IMAGE, prior=p).identity
            for p in (prior, ShapePrior(np.zeros(count), np.eye(count)))
        ]
        wrong = [np.tensordot(fit - person, basis[:, skin], 1) for fit in fits]
        errors.append([np.linalg.norm(w - w.mean(0), axis=1).mean() for w in wrong])
        unusual = np.abs(whiten @ (fits[0] - prior.mean))
        assert np.percentile(unusual, 95) < 2.0 and unusual.max() < 4.0
    learned, standard = np.mean(errors, 0)
    assert learned < 0.85 * standard


def test_another_head_has_the_standard_prior():
    prior = ShapePrior.of_head(100)
    assert not prior.mean.any() and np.array_equal(prior.precision, np.eye(100))


def test_components_are_mirror_images_of_themselves(head):
    basis, mirror = geometry(head).identity_basis, geometry(head).mirror_vertices
    mirrored = basis[:, mirror] * np.float32((-1, 1, 1))
    parity = np.sign((mirrored * basis).sum((1, 2)))
    assert np.abs(mirrored - parity[:, None, None] * basis).max() < 1e-6


def test_eyeballs_keep_their_size_in_what_was_learned_from_scans(head):
    shape = geometry(head)
    prior, size = ShapePrior.of_head(head.config.num_identity), []
    for side in ("eyeball_left", "eyeball_right"):
        ball = np.unique(shape.faces[shape.in_regions(side)])
        for identity in (np.zeros(len(prior.mean)), prior.mean):
            size.append(
                np.ptp((shape.neutral + np.tensordot(identity, shape.identity_basis, 1))[ball], axis=0)
            )
    assert np.abs(np.array(size) - np.mean(size, 0)).max() < 0.002
