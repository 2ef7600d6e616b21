"""The front door: routes, redirects, who may."""

import json
import socket
import ssl

import pytest

from dcos import CA, Cluster, request


@pytest.mark.parametrize("path", [
    "/mesos/state-summary", "/mesos/master/health", "/service/marathon/v2/info", "/service/marathon/ping",
    "/mesos_dns/v1/version", "/net/v1/version", "/net/v1/vips", "/acs/api/v1/users", "/pkgpanda/active/",
    "/system/checks/v1/node/", "/system/checks/v1/cluster/", "/pkgpanda/active.buildinfo.full.json"])
def test_routes(cluster, path):
    reply = cluster.get(path)
    assert reply.status == 200, (path, reply)
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
    """Whoever one asks, the answer and the permission are the same."""
    for master in cluster.masters:
        reply = request("GET", f"http://{master}/dcos-metadata/dcos-version.json")
        assert reply.status == 200 and reply.json == cluster.get("/dcos-metadata/dcos-version.json", token=None).json, master
        for path in ("/mesos/state-summary", "/service/marathon/v2/info", "/acs/api/v1/users"):
            assert request("GET", f"http://{master}{path}", token=cluster.token).status == 200, (master, path)
            assert request("GET", f"http://{master}{path}").status == 401, (master, path)


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
    """Every agent has a router of its own, which asks nobody who they are and serves only what may be read."""
    with open("/opt/mesosphere/etc/dcos-version.json", encoding="utf-8") as f:
        version = json.load(f)["version"]
    assert cluster.agents
    for agent in cluster.agents:
        url = f"http://{agent}:61001"
        reply = request("GET", f"{url}/dcos-metadata/dcos-version.json", timeout=10)
        assert reply.status == 200 and reply.json["version"] == version, (agent, reply)
        assert request("GET", f"{url}/nginx/metrics", timeout=10).status == 200, agent
        for path in ("/pkgpanda/active/", "/mesos/state", "/service/marathon/v2/apps", "/acs/api/v1/users", "/ca/dcos-ca.crt"):
            reply = request("GET", url + path, timeout=10)
            assert reply.status == 404, (agent, path, reply)
        assert request("PUT", f"{url}/pkgpanda/active/", [], timeout=10).status == 404, agent


def test_agent_routers_through_the_master(cluster):
    for slave in cluster.slaves():
        path = f"/system/v1/agent/{slave['id']}"
        version = cluster.get(f"{path}/dcos-metadata/dcos-version.json")
        assert version.status == 200 and version.json["version"], (slave["hostname"], version)
        metrics = cluster.get(f"{path}/nginx/metrics")
        assert metrics.status == 200 and "nginx_vts_info" in metrics.text, slave["hostname"]
        assert cluster.get(f"{path}/nginx/metrics", token=None).status == 401


def test_leaders_by_their_route(cluster):
    """What is below /system/v1 at the router of the master that leads, whichever master one asks."""
    slave = cluster.slaves()[0]["id"]
    wanted = cluster.get(f"/system/v1/agent/{slave}/dcos-metadata/dcos-version.json").json
    for master in cluster.masters:
        for leader in ("mesos", "marathon"):
            url = f"http://{master}/system/v1/leader/{leader}/agent/{slave}/dcos-metadata/dcos-version.json"
            reply = request("GET", url, token=cluster.token)
            assert reply.status == 200 and reply.json == wanted, (master, leader, reply)
            assert request("GET", url).status == 401, (master, leader)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_tls():
    """The certificate is for this address and of the cluster's authority; old versions of TLS are not spoken."""
    address = Cluster.own_ip()
    good = ssl.create_default_context(cafile=CA)
    with socket.create_connection((address, 443), timeout=10) as s, good.wrap_socket(s, server_hostname=address) as t:
        assert t.version() in ("TLSv1.2", "TLSv1.3")
    with socket.create_connection((address, 443), timeout=10) as s, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(s, server_hostname=address)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with socket.create_connection((address, 443), timeout=10) as s, pytest.raises((ssl.SSLError, ConnectionError)):
        old.wrap_socket(s, server_hostname=address)


def test_the_authority_is_published(cluster):
    published = cluster.get("/ca/dcos-ca.crt", token=None)
    with open(CA, encoding="utf-8") as f:
        assert published.text == f.read()
    assert "PRIVATE" not in published.text


def test_the_cookie_counts(cluster):
    cookie = {"Cookie": f"dcos-acs-auth-cookie={cluster.token}"}
    assert cluster.get("/mesos/version", token=None, headers=cookie).status == 200
    assert cluster.get("/mesos/version", token=None, headers={"Cookie": "dcos-acs-auth-cookie=x.y.z"}).status == 401


def test_the_clients_identity_is_not_taken_from_headers(cluster):
    """Only tokens say who calls."""
    reply = request("GET", cluster.url + "/mesos/state-summary", headers={"X-Forwarded-User": cluster.user})
    assert reply.status == 401


def test_paths_that_try_to_leave(cluster):
    for path in ("/service/marathon/../../mesos/state", "/dcos-metadata/..%2f..%2fetc/passwd",
                 "/dcos-metadata/../../etc/user.config.full.yaml"):
        reply = cluster.get(path, token=None)
        assert reply.status in (400, 401, 403, 404), (path, reply)
