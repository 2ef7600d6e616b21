import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from api_rows import COVERED  # noqa: E402
from cluster import Cluster  # noqa: E402
from zookeeper import Ensemble  # noqa: E402


def pytest_configure(config):
    """Being terminated is like being interrupted: what the tests started is ended first."""

    def interrupt(signum, frame):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def pytest_terminal_summary(terminalreporter):
    if COVERED:
        per_section = ", ".join(f"{section}: {n}" for section, n in sorted(COVERED.items()))
        terminalreporter.write_line(f"rows of the API tables covered: {sum(COVERED.values())} ({per_section})")


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
            elif isinstance(value, Ensemble):
                for name, text in value.logs():
                    report.sections.append((f"log of {name}", text))


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
