"""Checks of this node and of the cluster, by program and through the router."""

import json
import subprocess

import pytest

from dcos import request, wait_until

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
    """Agents' checks are served by their own routers, and all pass."""
    assert cluster.agents
    for agent in cluster.agents:
        url = f"http://{agent}:61001/system/checks/v1/node/"
        listed = request("GET", url)
        assert listed.status == 200 and "components_agent" in listed.json, (agent, listed)
        assert "components_master" not in listed.json, "a check of masters only"
        reply = request("POST", url, timeout=120)
        assert reply.status == 200 and reply.json["status"] == 0, (agent, reply)
        assert set(reply.json["checks"]) == set(listed.json)


def test_a_check_by_name(cluster):
    """Those that are named are listed and run, others are not."""
    listed = cluster.get("/system/checks/v1/node/?check=xz&check=tar")
    assert listed.status == 200 and set(listed.json) == {"xz", "tar"}, listed
    reply = cluster("POST", "/system/checks/v1/node/", {"check": ["xz", "tar"]}, timeout=60)
    assert reply.status == 200 and set(reply.json["checks"]) == {"xz", "tar"}, reply
    assert cluster.get("/system/checks/v1/node/?check=no-such-check").status == 404


def test_they_run_by_themselves():
    """Every minute, by the timer; what they found is in the journal."""
    shown = subprocess.run(["systemctl", "show", "dcos-checks-poststart.timer", "--property=ActiveState"],
                           capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "ActiveState=active"

    def ran():
        done = subprocess.run(["journalctl", "-q", "-u", "dcos-checks-poststart.service", "-n", "50", "-o", "cat"],
                              capture_output=True, text=True, check=True)
        return '"components_master"' in done.stdout and '"status": 0' in done.stdout
    wait_until(ran, "a run of the checks", 90, pause=1)


def test_their_environment_is_their_own():
    """What the caller has in its environment does not reach them."""
    done = subprocess.run([*RUNNER, "check", "node-poststart", "tar"], capture_output=True, text=True, timeout=60,
                          check=False, env={"PATH": "/nonexistent:/usr/bin:/bin", "TAR_OPTIONS": "--no-such-option"})
    assert done.returncode == 0, done.stdout
