"""Checks of this node and of the cluster, by program and through the router."""

import json
import subprocess

import pytest

RUNNER = ["/opt/mesosphere/bin/dcos-shell", "dcos-check-runner"]


@pytest.mark.parametrize("kind", ["node-poststart", "cluster"])
def test_runner(kind):
    done = subprocess.run([*RUNNER, "check", kind], capture_output=True, text=True, timeout=120, check=False)
    result = json.loads(done.stdout)
    bad = {name: c for name, c in result.get("checks", {}).items() if c["status"] != 0}
    assert (done.returncode, bad) == (0, {})


def test_lists():
    done = subprocess.run([*RUNNER, "check", "node-poststart", "--list"], capture_output=True, text=True,
                          timeout=30, check=True)
    checks = json.loads(done.stdout)
    assert {"components_master", "ip_detect_script", "xz", "tar", "curl"} <= set(checks)
    assert all({"description", "cmd", "timeout"} <= set(c) for c in checks.values())


@pytest.mark.parametrize("kind", ["node", "cluster"])
def test_by_http(cluster, kind):
    listed = cluster.get(f"/system/checks/v1/{kind}/")
    assert listed.status == 200
    reply = cluster("POST", f"/system/checks/v1/{kind}/", timeout=120)
    assert reply.status == 200 and reply.json["status"] == 0, reply
    assert set(reply.json["checks"]) == set(listed.json)
    assert cluster("POST", f"/system/checks/v1/{kind}/", {"check": ["no-such-check"]}).status == 404
    assert cluster.get("/system/checks/v1/no-such-kind/").status == 404


def test_by_http_on_agents(cluster):
    for slave in cluster.slaves():
        reply = cluster("POST", f"/system/v1/agent/{slave['id']}/checks/v1/node/", timeout=120)
        if reply.status == 404:
            pytest.skip("the router has no way to the checks of agents")
        assert reply.status == 200 and reply.json["status"] == 0, (slave["hostname"], reply)
