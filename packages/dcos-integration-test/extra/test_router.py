"""The front door: routes, redirects, who may."""

import json

import pytest

from dcos import request


@pytest.mark.parametrize("path, least", [
    ("/mesos/state-summary", 200), ("/mesos/master/health", 200), ("/service/marathon/v2/info", 200),
    ("/service/marathon/ping", 200), ("/mesos_dns/v1/version", 200), ("/acs/api/v1/users", 200),
    ("/pkgpanda/active/", 200), ("/system/checks/v1/node/", 200), ("/system/checks/v1/cluster/", 200),
    ("/pkgpanda/active.buildinfo.full.json", 200)])
def test_routes(cluster, path, least):
    reply = cluster.get(path)
    assert reply.status == least, (path, reply)
    refused = cluster.get(path, token=None)
    assert refused.status == 401, (path, refused)
    assert cluster.get(path, token="not.a.token").status == 401


@pytest.mark.parametrize("path", ["/dcos-metadata/dcos-version.json", "/ca/dcos-ca.crt", "/acs/api/v1/auth/jwks"])
def test_open_routes(cluster, path):
    assert cluster.get(path, token=None).status == 200


def test_version(cluster):
    version = cluster.get("/dcos-metadata/dcos-version.json", token=None).json
    with open("/opt/mesosphere/etc/dcos-version.json", encoding="utf-8") as f:
        assert version["version"] == json.load(f)["version"]


def test_every_master_serves(cluster):
    for master in cluster.masters:
        reply = request("GET", f"http://{master}/dcos-metadata/dcos-version.json")
        assert reply.status in (200, 301, 302, 307), (master, reply)


def test_redirects(cluster):
    reply = cluster.get("/service/marathon")
    assert reply.status in (301, 302) and reply.headers["location"].endswith("/service/marathon/"), reply


def test_unknown_service(cluster):
    assert cluster.get("/service/no-such-service/").status == 404
    assert cluster.get("/slave/no-such-agent/state").status == 404


def test_agents_by_their_route(cluster):
    slaves = cluster.slaves()
    assert sorted(s["hostname"] for s in slaves) == sorted(cluster.agents)
    for slave in slaves:
        state = cluster.get(f"/slave/{slave['id']}/state")
        assert state.status == 200 and state.json["id"] == slave["id"]


def test_agent_routers(cluster):
    """Every agent has a router of its own on 61001."""
    for agent in cluster.agents:
        for scheme in ("http", "https"):
            try:
                reply = request("GET", f"{scheme}://{agent}:61001/system/checks/v1/node/", timeout=10)
            except OSError:
                continue
            assert reply.status in (401, 200), (agent, reply)
            break
        else:
            pytest.fail(f"nobody answers on {agent}:61001")


def test_the_clients_identity_is_not_taken_from_headers(cluster):
    """Only tokens say who calls."""
    reply = request("GET", cluster.url + "/mesos/state-summary", headers={"X-Forwarded-User": cluster.user})
    assert reply.status == 401


def test_paths_that_try_to_leave(cluster):
    for path in ("/service/marathon/../../mesos/state", "/dcos-metadata/..%2f..%2fetc/passwd",
                 "/dcos-metadata/../../etc/user.config.full.yaml"):
        reply = cluster.get(path, token=None)
        assert reply.status in (400, 401, 403, 404), (path, reply)
