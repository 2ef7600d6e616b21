import itertools
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from dcos import Cluster, wait_until  # noqa: E402

COUNTER = itertools.count()


@pytest.fixture(scope="session")
def cluster():
    """The cluster, logged in; agents that nobody named are those that the master knows."""
    c = Cluster()
    if not c.user or not c.password:
        pytest.skip("DCOS_LOGIN_UNAME and DCOS_LOGIN_PW are not set")
    wait_until(lambda: c.get("/acs/api/v1/auth/providers", token=None).status < 500, "the router")
    c.log_in()
    if not c.agents:
        for slave in c.slaves():
            (c.public if "public_ip" in slave["attributes"] else c.private).append(slave["hostname"])
    return c


@pytest.fixture(scope="session")
def nodes():
    """Addresses only: for what needs no login."""
    return Cluster()


@pytest.fixture
def app_id():
    return f"/integration-test/{os.getpid()}-{next(COUNTER)}"


@pytest.fixture
def deploy(cluster, app_id):
    """Deploys apps and pods; they are removed in the end."""
    made = []

    def run(app, name="app", **options):
        app = {**app, "id": f"{app_id}/{name}"}
        made.append((app["id"], "containers" in app))
        cluster.deploy(app, **options)
        return app["id"]

    yield run
    for made_id, pod in reversed(made):
        cluster.remove(made_id, pod)
    cluster("DELETE", f"/service/marathon/v2/groups{app_id}?force=true")
