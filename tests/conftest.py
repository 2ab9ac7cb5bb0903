"""Fixtures that several test files share."""

from pathlib import Path

import pytest
from helpers.node_tools import NodeMissing, node_tools
from helpers.skips import pytest_addoption, pytest_sessionfinish, pytest_terminal_summary  # noqa: F401 (hooks)

EXAMPLES = Path(__file__).parents[1] / "examples"
# Folders whose files take longest.
LONGEST = ("ui", "cli", "hub", "results", "training", "data", "capture", "avatar", "evaluation", "weights")


def pytest_collection_modifyitems(items):
    """The longest first: of several processes none should get one when the others are done."""
    order = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.parent.name, len(LONGEST)))


@pytest.fixture(scope="session")
def head():
    """The published head; nothing changes it."""
    from studio_avatar.head.model import HeadModel

    return HeadModel.from_pretrained(Path(__file__).parents[1] / "weights_card", subfolder="head")


@pytest.fixture(scope="module")
def landmarker():
    from studio_avatar.capture.detection.landmarks import FaceLandmarker

    with FaceLandmarker() as landmarker:
        yield landmarker


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory):
    """A whole weights repository of tiny random networks; nothing changes it."""
    from helpers.tiny_weights import save_tiny_weights

    return save_tiny_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def node_folder():
    """A folder whose node_modules has the Khronos validator, three.js and three-vrm."""
    try:
        return node_tools()
    except NodeMissing as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def short_clip(tmp_path_factory):
    """The example in four pictures from all sides: what a real run needs, in a fifth of the example's time."""
    from helpers.clips import SHORT_CLIP, shorten

    return shorten(EXAMPLES / "selfie.mp4", tmp_path_factory.mktemp("short") / "selfie.mp4", SHORT_CLIP)


@pytest.fixture(scope="session")
def short_weak_clip(tmp_path_factory):
    """The weak example in three pictures, so small that it stays weak."""
    from helpers.clips import shorten

    target = tmp_path_factory.mktemp("weak") / "selfie.mp4"
    return shorten(EXAMPLES / "weak_selfie.mp4", target, (0, 20, 40), width=288)
