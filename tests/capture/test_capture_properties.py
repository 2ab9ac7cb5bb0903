"""What must hold for any capture: camera motion does not matter, and a captured head captures as itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.painted_head import IMAGE, SIZE, facing, paint, render
from skimage.color import deltaE_ciede2000, rgb2lab

from studio_avatar.capture import capture


@pytest.fixture(scope="module")
def painting(head):
    return paint(head)


@pytest.fixture(scope="module")
def still(head, painting):
    return capture(render(head, painting, head.neutral.numpy(), facing(), lit=False), head, size=SIZE)


def difference(one, other) -> float:
    """Mean ΔE2000 of what both textures saw."""
    both = (one.seen > 0.5) & (other.seen > 0.5)
    assert both.sum() > 0.85 * max((one.seen > 0.5).sum(), (other.seen > 0.5).sum())
    return float(deltaE_ciede2000(rgb2lab(one.rgb[both]), rgb2lab(other.rgb[both])).mean())


@pytest.fixture(scope="module")
def two_texels(still) -> float:
    """The difference that a shift by two texels, 0.8 % of the texture's side, makes to this spotted skin."""
    return difference(replace(still, rgb=np.roll(still.rgb, 2, axis=1)), still)


def rolled(degrees: float) -> np.ndarray:
    """Rotation of the camera about its axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def panned(degrees: float) -> np.ndarray:
    """Rotation of the camera about its upright axis: the head moves sideways in the picture."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


@pytest.mark.parametrize(
    "motion, moved",
    [
        (rolled(18.0), (0.0, 0.0, 0.0)),
        (rolled(-11.0), (0.02, -0.02, 0.0)),
        (panned(5.0), (0.0, 0.0, 0.0)),
        (np.eye(3), (0.0, 0.0, 0.1)),
        (rolled(7.0) @ panned(-4.0), (0.01, 0.02, -0.03)),
    ],
    ids=["roll", "roll and shift", "pan", "back", "everything"],
)
def test_a_rigid_motion_of_the_camera_gives_the_same_texture(
    head, painting, still, two_texels, motion, moved
):
    shift = motion @ (np.array([0.0, 0.03, 0.5]) + moved)
    picture = render(head, painting, head.neutral.numpy(), motion @ facing(), shift, lit=False)
    assert difference(capture(picture, head, size=SIZE), still) < 0.8 * two_texels


def test_a_captured_head_is_a_fixed_point(head, still, two_texels):
    """Rendered as it was fitted, with the texture that was captured, it is captured as the same again."""
    fit = still.fit
    vertices = head.vertices(torch.from_numpy(fit.identity), torch.from_numpy(fit.expression[0]))
    picture = render(
        head, still.rgb, vertices.numpy(), fit.rotation[0], fit.translation[0], lit=False, focal=fit.focal_px
    )
    again = capture(picture, head, size=SIZE)
    assert difference(again, still) < 0.6 * two_texels
    landmarks = [
        head.landmarks(head.vertices(torch.from_numpy(f.identity), torch.from_numpy(f.expression[0]))).numpy()
        @ f.rotation[0].T + f.translation[0]
        for f in (fit, again.fit)
    ]  # fmt: skip
    pixels = [f.focal_px * p[:, :2] / p[:, 2:] for f, p in zip((fit, again.fit), landmarks)]
    height = np.linalg.norm(pixels[0][10] - pixels[0][152])
    assert np.linalg.norm(pixels[0] - pixels[1], axis=1).mean() < 0.01 * height
    assert still.rgb.shape[:2] == (SIZE, SIZE) and fit.image_size == IMAGE
