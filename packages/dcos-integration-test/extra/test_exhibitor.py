"""The masters' ZooKeeper servers, where there are several masters."""

import os
import stat

import pytest

from dcos import ROOT, request, wait_until


@pytest.fixture(scope="module", autouse=True)
def several(cluster):
    if not os.path.exists(f"{ROOT}/etc/exhibitor"):
        pytest.skip("one master needs no ZooKeeper")


def test_list(cluster):
    reply = cluster.get("/exhibitor/exhibitor/v1/cluster/list")
    assert reply.status == 200, reply
    assert reply.json["port"] > 0
    assert sorted(reply.json["servers"]) == sorted(cluster.masters)


def test_status(cluster):
    """All serve, one leads, every master says the same; nobody has to log in for it."""

    def told():
        answers = [request("GET", f"http://{m}:8181/exhibitor/v1/cluster/status").json for m in cluster.masters]
        answers.append(cluster.get("/exhibitor/exhibitor/v1/cluster/status", token=None).json)
        if any(s["code"] != 3 or s["description"] != "serving" for a in answers for s in a):
            return None
        return answers if all(a == answers[0] for a in answers) else None

    servers = wait_until(told, "all servers to serve")[0]
    assert sorted(s["hostname"] for s in servers) == sorted(cluster.masters)
    assert sum(s["isLeader"] for s in servers) == 1


def test_page(cluster):
    assert cluster.get("/exhibitor/").status == 302
    assert cluster.get("/exhibitor/exhibitor/v1/ui/index.html").status == 200
    assert cluster.get("/exhibitor/exhibitor/v1/ui/index.html", token=None).status == 401


def test_others_cannot_read_data():
    for folder in ("/var/lib/dcos/zookeeper", "/var/lib/dcos/zookeeper/data"):
        assert not stat.S_IMODE(os.stat(folder).st_mode) & 0o007, folder
