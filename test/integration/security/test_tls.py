"""TLS on listeners and between the daemons."""

import socket
import ssl

import pytest
import requests

from cluster import wait_until
from keys import Authority


@pytest.fixture(scope="module")
def master(shared_cluster, authority):
    return shared_cluster.master(**authority.flags("master"))


def agents(master, authority):
    state = requests.get(master.url + "/slaves", verify=authority.certificate, timeout=60).json()
    return [a["hostname"] for a in state["slaves"]]


def test_served_and_verified(master, authority):
    assert requests.get(master.url + "/health", verify=authority.certificate, timeout=60).status_code == 200
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(master.url + "/health", timeout=60)  # not an authority of the system


def test_plain_http_is_cut_off(master, authority):
    with socket.create_connection((master.ip, master.port), timeout=60) as s:
        s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b""
        while chunk := s.recv(4096):
            received += chunk
    assert b"HTTP/1.1" not in received
    assert requests.get(master.url + "/health", verify=authority.certificate, timeout=60).status_code == 200


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_are_refused(master, authority):
    context = ssl.create_default_context(cafile=authority.certificate)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection((master.ip, master.port), timeout=60) as s, pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(s, server_hostname="localhost")


def test_agents_verify(shared_cluster, master, authority):
    other = Authority(shared_cluster.folder + "/other-ca")
    blind = shared_cluster.agent(master, "blind", hostname="blind", ssl_ca_file=other.certificate)
    plain = shared_cluster.agent(master, "plain", hostname="plain")
    shared_cluster.agent(master, "good", hostname="good", **authority.flags("agent"))
    wait_until(lambda: "good" in agents(master, authority), "the agent that knows the authority")
    wait_until(lambda: "certificate" in blind.tail(), "the other one's complaint")
    wait_until(lambda: "cannot reach the master" in plain.tail(), "the plain one's complaint")
    assert agents(master, authority) == ["good"]


def test_expired_certificate(shared_cluster, authority):
    stale = shared_cluster.master("stale", **authority.flags("stale", days=-1))
    with pytest.raises(requests.exceptions.SSLError, match="expired"):
        requests.get(stale.url + "/health", verify=authority.certificate, timeout=60)
    agent = shared_cluster.agent(stale, "waits", ssl_ca_file=authority.certificate)
    wait_until(lambda: "certificate has expired" in agent.tail(), "the agent's complaint")


def test_certificate_of_another_host(shared_cluster, authority):
    elsewhere = shared_cluster.master("elsewhere", **authority.flags("elsewhere", names="DNS:elsewhere,IP:10.1.2.3"))
    agent = shared_cluster.agent(elsewhere, "misled", ssl_ca_file=authority.certificate)
    wait_until(lambda: "mismatch" in agent.tail(), "the agent's complaint")


def test_client_certificates(shared_cluster, authority):
    strict = shared_cluster.master("strict", ssl_require_client_cert="true", **authority.flags("strict"))
    with pytest.raises((requests.exceptions.SSLError, requests.exceptions.ConnectionError)):
        requests.get(strict.url + "/health", verify=authority.certificate, timeout=60)
    other = Authority(shared_cluster.folder + "/client-ca")
    with pytest.raises((requests.exceptions.SSLError, requests.exceptions.ConnectionError)):
        requests.get(strict.url + "/health", verify=authority.certificate, cert=other.issue("me"), timeout=60)
    mine = authority.issue("me")
    assert requests.get(strict.url + "/health", verify=authority.certificate, cert=mine, timeout=60).status_code == 200
    shared_cluster.agent(strict, "certified", hostname="certified", **authority.flags("certified"))
    wait_until(lambda: "certified" in requests.get(strict.url + "/slaves", verify=authority.certificate, cert=mine,
                                                   timeout=60).text, "the agent with a certificate")


def test_settings_of_libprocess(shared_cluster, authority):
    certificate, key = authority.issue("legacy")
    master = shared_cluster.master("legacy", start=False)
    master.env = {"LIBPROCESS_SSL_ENABLED": "1", "LIBPROCESS_SSL_CERT_FILE": certificate,
                  "LIBPROCESS_SSL_KEY_FILE": key, "LIBPROCESS_SSL_CA_FILE": authority.certificate}
    master.start()
    answer = requests.get(f"https://{master.address}/health", verify=authority.certificate, timeout=60)
    assert answer.status_code == 200
    both = shared_cluster.master("both", start=False)
    both.env = {**master.env, "LIBPROCESS_SSL_SUPPORT_DOWNGRADE": "1"}
    both.start(wait=False)
    assert both.process.wait(60) != 0 and "SUPPORT_DOWNGRADE" in both.tail()
