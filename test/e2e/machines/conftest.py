"""Clusters of machines: what all tests here share."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from mini import Mini, why_not  # noqa: E402


def pytest_collection_modifyitems(items):
    reason = why_not()
    if reason:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def mini():
    """minidcos with a folder of its own; whatever a test left is cleared away."""
    m = Mini()
    yield m
    m.close()
