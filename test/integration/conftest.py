import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cluster import Cluster  # noqa: E402


def pytest_configure(config):
    """Being terminated is like being interrupted: what the tests started is ended first."""

    def interrupt(signum, frame):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """On failure, shows the end of every daemon's log."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        for value in item.funcargs.values():
            if isinstance(value, Cluster):
                for daemon in value.daemons:
                    report.sections.append((f"log of {daemon.name}", daemon.tail()))


@pytest.fixture
def cluster():
    c = Cluster()
    yield c
    c.close()


@pytest.fixture(scope="module")
def shared_cluster():
    c = Cluster()
    yield c
    c.close()
