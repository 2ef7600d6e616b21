import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "kernel"))

from netd import COVERED, Net  # noqa: E402


def pytest_terminal_summary(terminalreporter):
    if COVERED:
        per_section = ", ".join(f"{section}: {n}" for section, n in sorted(COVERED.items()))
        terminalreporter.write_line(f"rows of the networking tables covered: {sum(COVERED.values())} ({per_section})")


@pytest.fixture(scope="module")
def master(shared_cluster):
    return shared_cluster.master(allocation_interval="50ms", cluster="demo")


@pytest.fixture(scope="module")
def agent(shared_cluster, master):
    return shared_cluster.agent(master, executor_shutdown_grace_period="1secs")


@pytest.fixture(scope="module")
def marathon(shared_cluster, master, agent):
    return shared_cluster.marathon(master, hostname="127.0.0.1")


@pytest.fixture(scope="module")
def net(shared_cluster, master):
    return Net.start_in(shared_cluster, master)
