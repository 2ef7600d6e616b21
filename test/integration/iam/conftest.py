import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in (HERE, os.path.join(os.path.dirname(HERE), "kernel"), os.path.join(os.path.dirname(HERE), "security")):
    sys.path.insert(0, folder)

from api import Iam  # noqa: E402


@pytest.fixture(scope="module")
def iam(shared_cluster):
    """A service with the superuser "admin" and the service account "robot", who may do nothing."""
    return Iam(shared_cluster)


@pytest.fixture
def fresh_iam(cluster):
    return Iam(cluster)
