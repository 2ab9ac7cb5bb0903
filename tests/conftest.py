"""Fixtures that several test files share."""

from pathlib import Path

import pytest
from helpers.node_tools import NodeMissing, install_node_tools

LONGEST = ("ui", "avatar", "results", "hub", "cli", "capture")  # folders whose files take longest


def pytest_collection_modifyitems(items):
    """The longest first: of several processes none should get one when the others are done."""
    order = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.parent.name, len(LONGEST)))


@pytest.fixture(scope="session")
def head():
    """The published head; nothing changes it."""
    from studio_avatar.head.model import HeadModel

    return HeadModel.from_pretrained(Path(__file__).parents[1] / "weights_card", subfolder="head")


@pytest.fixture(scope="session")
def node_folder():
    """A folder whose node_modules has the Khronos validator, three.js and three-vrm."""
    try:
        return install_node_tools()
    except NodeMissing as reason:
        pytest.skip(str(reason))
