import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "kernel"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from keys import Authority  # noqa: E402
from principals import Files  # noqa: E402


@pytest.fixture(scope="module")
def files(shared_cluster):
    return Files(shared_cluster.folder)


@pytest.fixture(scope="module")
def authority(shared_cluster):
    return Authority(os.path.join(shared_cluster.folder, "ca"))
