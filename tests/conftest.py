"""Fixtures that several test files share."""

import pytest
from helpers.node_tools import NodeMissing, install_node_tools


@pytest.fixture(scope="session")
def node_folder():
    """A folder whose node_modules has the Khronos validator and three.js."""
    try:
        return install_node_tools()
    except NodeMissing as reason:
        pytest.skip(str(reason))
