import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from coverage_table import counts  # noqa: E402
from raw import Scheduler  # noqa: E402

RESOURCES = "cpus:8;mem:4096;disk:2048;ports:[31000-31999];cpus(dev):1;mem(dev):64;zones(*):{a,b}"


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line("API tables: " + counts("kernel"))


@pytest.fixture(scope="module")
def master(shared_cluster):
    return shared_cluster.master(allocation_interval="50ms", cluster="demo")


@pytest.fixture(scope="module")
def agent(shared_cluster, master):
    return shared_cluster.agent(
        master, resources=RESOURCES, attributes="rack:a;n:2.5;r:[1-3]", executor_shutdown_grace_period="1secs",
        executor_registration_timeout="30mins",  # some executors never register, however long a test takes
    )


@pytest.fixture
def framework(master, agent):
    with Scheduler(master) as s:
        yield s
