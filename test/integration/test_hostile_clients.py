"""What outsiders may send to any daemon: malformed, oversized, slow, many. Answers are clean, memory stays flat,
and the daemon goes on serving."""

import json
import socket

import pytest
import requests

from cluster import wait_until


@pytest.fixture(scope="module")
def daemons(shared_cluster):
    master = shared_cluster.master()
    agent = shared_cluster.agent(master)
    marathon = shared_cluster.marathon(master)
    return {"master": master, "agent": agent, "marathon": marathon}


NAMES = ["master", "agent", "marathon"]
HEALTH = {"master": "/health", "agent": "/health", "marathon": "/ping"}


def exchange(daemon, data, wait_close=True):
    """Sends raw bytes, returns what comes back until the peer closes (or the first answer)."""
    with socket.create_connection((daemon.ip, daemon.port), timeout=60) as s:
        s.sendall(data)
        out = b""
        while True:
            try:
                chunk = s.recv(65536)
            except ConnectionResetError:
                return out
            if not chunk:
                return out
            out += chunk
            if not wait_close and b"\r\n\r\n" in out:
                return out


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None


def memory_kb(daemon):
    with open(f"/proc/{daemon.pid}/smaps_rollup", encoding="utf-8") as f:
        for line in f:
            # Its own: the share of what is mapped from files grows when others that have it mapped end.
            if line.startswith("Anonymous:"):
                return int(line.split()[1])
    raise AssertionError("no Anonymous")


def still_serves(name, daemon):
    assert daemon.alive(), daemon.tail()
    assert requests.get(daemon.url + HEALTH[name], timeout=60).status_code == 200


MALFORMED = {
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no version": b"GET /health\r\n\r\n",
    "bad version": b"GET /health HTTP/9.9\r\nHost: x\r\n\r\n",
    "length and chunks": b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "negative length": b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    "bad chunk": b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
    "space in header name": b"GET /health HTTP/1.1\r\nHost : x\r\n\r\n",
    "folded header": b"GET /health HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "nul in target": b"GET /he\x00alth HTTP/1.1\r\nHost: x\r\n\r\n",
    "dots": b"GET /a/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    "encoded dots": b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    "encoded nul": b"GET /a%00b HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", list(MALFORMED))
def test_malformed_requests_are_refused(daemons, name, case):
    status = status_of(exchange(daemons[name], MALFORMED[case], wait_close=False))
    # No answer at all is clean too: the connection was closed.
    assert status in (None, 400, 404, 405, 505), status
    still_serves(name, daemons[name])


@pytest.mark.parametrize("name", NAMES)
def test_huge_heads_are_refused(daemons, name):
    d = daemons[name]
    assert status_of(exchange(d, b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")) in (414, 431)
    assert status_of(exchange(d, b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000 + b"\r\n\r\n")) == 431
    many = b"".join(b"X-%d: y\r\n" % i for i in range(5000))
    assert status_of(exchange(d, b"GET /health HTTP/1.1\r\nHost: x\r\n" + many + b"\r\n")) == 431
    still_serves(name, d)


TARGETS = {
    "master": ("/api/v1/scheduler", "application/json"),
    "agent": ("/api/v1/executor", "application/json"),
    "marathon": ("/v2/apps", "application/json"),
}

BODIES = {
    "empty": b"",
    "not json": b"{",
    "array": b"[]",
    "number": b"1",
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deep object": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "wrong types": json.dumps({"type": 5, "id": 7, "subscribe": "x", "framework_id": []}).encode(),
    "invalid utf-8": b'{"id":"\xff\xfe"}',
    "nul": b'{"id":"a\\u0000b"}',
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", list(BODIES))
def test_bad_bodies_get_a_client_error(daemons, name, case):
    path, content_type = TARGETS[name]
    r = requests.post(daemons[name].url + path, data=BODIES[case], headers={"Content-Type": content_type}, timeout=60)
    assert r.status_code in (400, 422), (r.status_code, r.text[:200])
    still_serves(name, daemons[name])


@pytest.mark.parametrize("name", ["master", "agent"])
@pytest.mark.parametrize("body", [b"\xff" * 100, b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x0a\x7f", b"\x12\xff\xff\xff\x7f"])
def test_bad_protobuf_gets_400(daemons, name, body):
    path, _ = TARGETS[name]
    r = requests.post(daemons[name].url + path, data=body, headers={"Content-Type": "application/x-protobuf"}, timeout=60)
    assert r.status_code == 400
    still_serves(name, daemons[name])


@pytest.mark.parametrize("name", NAMES)
def test_ten_megabyte_bodies_are_refused_and_leave_no_memory(daemons, name):
    d = daemons[name]
    path, content_type = TARGETS[name]
    body = b'{"id":"' + b"a" * (10 << 20) + b'"}'

    def send():
        try:
            r = requests.post(d.url + path, data=body, headers={"Content-Type": content_type}, timeout=60)
            assert r.status_code == 413, r.status_code
        except requests.ConnectionError:
            pass  # refused before the body was read whole

    send()
    before = memory_kb(d)
    for _ in range(5):
        send()
    assert memory_kb(d) < before + 4096
    still_serves(name, d)


@pytest.mark.parametrize("name", NAMES)
def test_thousands_of_connections_and_slow_clients(daemons, name):
    d = daemons[name]
    before = memory_kb(d)
    connections = []
    try:
        for i in range(5000 if name != "agent" else 1000):
            s = socket.create_connection((d.ip, d.port), timeout=60)
            # Every other one is a slow client: half a request head.
            if i % 2:
                s.sendall(b"GET /health HTTP/1.1\r\nHo")
            connections.append(s)
        still_serves(name, d)
        held = memory_kb(d)
        assert (held - before) * 1024 / len(connections) < 16384, f"{held - before} KB for {len(connections)}"
    finally:
        for s in connections:
            s.close()
    wait_until(lambda: memory_kb(d) < before + 24 * 1024, "memory to come back")
    still_serves(name, d)
