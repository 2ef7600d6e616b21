"""Several identity services on one store in ZooKeeper: every one of them serves, whoever leads."""

import json
import re
import signal
import socket

import pytest
import requests
import zookeeper
from api import PASSWORD, TIMEOUT, Iam
from cluster import wait_until

SESSION = "5secs"


@pytest.fixture
def three(cluster):
    reason = zookeeper.missing()
    if reason:
        pytest.skip(reason)
    ensemble = zookeeper.Ensemble(1).start()
    made = []
    try:
        for i in range(3):
            made.append(Iam(cluster, name=f"iam{i}", store=ensemble.url("/dcos/iam"), peers="127.0.0.1:0", zk_session_timeout=SESSION))
        yield made
    finally:
        for daemon in cluster.daemons:
            daemon.kill()
        ensemble.close()


def leads(iam):
    return iam.daemon.alive() and "leading epoch" in iam.daemon.tail(400)


def split(iams):
    """The leader, and the others."""
    leader = [i for i in iams if leads(i)]
    assert len(leader) == 1
    return leader[0], [i for i in iams if i is not leader[0]]


def peers_address(iam):
    """Where the others reach the leader: as the standby's log has it."""
    return re.search(r"calls go to the leader address=([0-9.]+):(\d+)", iam.daemon.tail(400)).groups()


class Follower:
    """The policy as a daemon of the node follows it: over the unix socket, without a token."""

    def __init__(self, iam):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(TIMEOUT)
        self.socket.connect(iam.socket)
        self.socket.sendall(b"GET /acs/api/v1/internal/policy HTTP/1.1\r\nHost: x\r\n\r\n")
        self.seen = b""

    def until(self, text):
        while text not in self.seen:
            piece = self.socket.recv(65536)
            assert piece, f"the stream ended before {text}: {self.seen[-400:]}"
            self.seen += piece
        return self

    def close(self):
        self.socket.close()


def test_every_one_serves(three):
    leader, others = split(three)
    for n, iam in enumerate(others):
        assert requests.get(iam.daemon.url + "/health", timeout=TIMEOUT).status_code == 200
        follower = Follower(iam).until(b'"synced":true')
        token = iam.user(f"user{n}")  # made and logged in at one that does not lead
        follower.until(f'"users/user{n}"'.encode())
        # What it answers is what the leader answers, statuses and headers of errors included.
        for each in three:
            assert each.get(f"/users/user{n}").json()["uid"] == f"user{n}"
            refused = each.get("/users", token="x")
            assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "acsjwt")
            assert each.get("/users", token=token).status_code == 403
            each.refused("PUT", "/users/admin", 409, "ERR_USER_EXISTS", json={"password": PASSWORD})
        cookies = iam.post_login(uid="admin", password=PASSWORD).headers["Set-Cookie"]
        assert "dcos-acs-auth-cookie=" in cookies and "dcos-acs-info-cookie=" in cookies
        follower.close()
    # A long answer comes through whole.
    for n in range(120):
        leader.ok("PUT", f"/users/many-{n}", 201, json={"public_key": leader.key.public, "description": "d" * 200})
    assert others[0].get("/users").json() == leader.get("/users").json()


def test_nobody_else_gets_in_by_the_door_of_the_peers(three):
    leader, others = split(three)
    host, port = peers_address(others[0])
    for headers in ({}, {"X-Dcos-Iam-Peer": "", "X-Dcos-Iam-From": "unix:0"}, {"X-Dcos-Iam-Peer": "x" * 43, "X-Dcos-Iam-From": "unix:0"}):
        with requests.packages.urllib3.warnings.catch_warnings():
            requests.packages.urllib3.disable_warnings()
            answer = requests.get(f"https://{host}:{port}/acs/api/v1/users", headers=headers, verify=False, timeout=TIMEOUT)
        assert answer.status_code == 403, answer.text
    # Nor by saying so to a service that passes calls on.
    for iam in three:
        answer = requests.get(iam.url + "/users", headers={"X-Dcos-Iam-From": "unix:0"}, timeout=TIMEOUT)
        assert answer.status_code == 401
    # Who calls over the socket of any node is the tools of that node.
    for iam in three:
        status, body = iam.local("GET", "/users")
        assert status == 200 and any(u["uid"] == "admin" for u in (json.loads(body) if isinstance(body, str) else body)["array"])


def test_the_address_that_is_counted_is_the_clients(three):
    """Failed logins at one that passes on are not those of the whole cluster."""
    _, others = split(three)
    for n in range(12):
        others[0].call("POST", "/auth/login", token="", json={"uid": f"nobody{n}", "password": "wrong wrong"},
                       headers={"X-Forwarded-For": "10.1.1.1"})
    answer = others[0].call("POST", "/auth/login", token="", json={"uid": "admin", "password": PASSWORD},
                            headers={"X-Forwarded-For": "10.1.1.1"})
    assert answer.status_code == 429
    answer = others[0].call("POST", "/auth/login", token="", json={"uid": "admin", "password": PASSWORD},
                            headers={"X-Forwarded-For": "10.1.1.2"})
    assert answer.status_code == 200


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_another_leads(three, signum):
    leader, others = split(three)
    old = others[0].token
    others[0].user("kept")
    leader.daemon.kill(signum)
    wait_until(lambda: any(leads(i) for i in others), "a new leader")
    for iam in others:
        wait_until(lambda iam=iam: iam.post_login(uid="admin", password=PASSWORD).status_code == 200, "logins")
        assert iam.get("/users/kept", token=old).status_code == 200
    # The old one comes back and stands by.
    leader.daemon.start()
    assert not [i for i in others if not i.daemon.alive()]
    wait_until(lambda: leader.get("/users/kept", token=old).status_code == 200, "the old one")
    leader.ok("PUT", "/users/later", 201, json={"password": PASSWORD})
    assert others[0].get("/users/later").status_code == 200
