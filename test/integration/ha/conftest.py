"""Several masters on an ensemble of three ZooKeeper servers."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import zookeeper  # noqa: E402
from ha_masters import Masters  # noqa: E402


@pytest.fixture(scope="module")
def ensemble():
    reason = zookeeper.missing()
    if reason:
        pytest.skip(reason)
    pytest.importorskip("kazoo", reason="python3-kazoo is missing")
    e = zookeeper.Ensemble(3).start()
    yield e
    e.close()


@pytest.fixture
def masters(cluster, ensemble):
    made = []
    # A test that failed may have left servers down.
    for server in ensemble.servers:
        server.resume()
        if not server.alive():
            server.start()
    ensemble.wait_serving()

    def make(n=3, **flags):
        made.append(Masters(cluster, ensemble, n, **flags))
        return made[-1]

    yield make
    for m in made:
        m.close()
