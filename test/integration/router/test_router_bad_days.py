"""What attackers send, and what happens when a part of the router or something behind it dies."""

import os
import pwd
import signal
import socket
import time

import pytest

from backends import Backend, Marathon, app
from cluster import wait_until
from frontdoor import AGENT, Iam, Router


def status(raw):
    return int(raw.split(b" ", 2)[1]) if raw.startswith(b"HTTP/") else None


def request(front, head, body=b"", path="/service/web/", method="GET", token=True, host="Host: x\r\n"):
    shown = f"Authorization: token={front.iam.token}\r\n" if token else ""
    return f"{method} {path} HTTP/1.1\r\n{host}{shown}{head}\r\n".encode() + body


# ---- requests that two readers could take differently ----

SMUGGLING = {
    "both lengths": "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "two lengths": "Content-Length: 5\r\nContent-Length: 6\r\n",
    "list of lengths": "Content-Length: 5, 5\r\n",
    "signed length": "Content-Length: +5\r\n",
    "negative length": "Content-Length: -5\r\n",
    "hex length": "Content-Length: 0x5\r\n",
    "unknown coding": "Transfer-Encoding: xchunked\r\n",
    "coding list": "Transfer-Encoding: gzip, chunked\r\n",
    "two codings": "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "blank before colon": "Transfer-Encoding : chunked\r\n",
    "NUL in a header": "X-A: a\0b\r\n",
}


@pytest.mark.parametrize("head", SMUGGLING.values(), ids=SMUGGLING.keys())
def test_smuggling_is_refused(front, head):
    inner = b"GET /service/web/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    before = len(front.service.seen)
    raw = front.router.raw(request(front, head + "Connection: close\r\n", b"0\r\n\r\n" + inner, method="POST"))
    assert status(raw) in (400, 411, 413, 501), raw[:200]
    assert not any("smuggled" in s["path"] for s in front.service.seen[before:])


def test_a_chunked_body_is_one_request(front):
    body = b"5\r\nhello\r\n0\r\n\r\n"
    raw = front.router.raw(request(front, "Transfer-Encoding: chunked\r\nConnection: close\r\n", body, method="POST"))
    assert status(raw) == 200 and b'"body": "hello"' in raw
    for broken in (b"zz\r\nhello\r\n0\r\n\r\n", b"5\r\nhelloXX0\r\n\r\n", b"fffffffffffffffffff\r\n"):
        raw = front.router.raw(request(front, "Transfer-Encoding: chunked\r\nConnection: close\r\n", broken, method="POST"))
        assert status(raw) == 400


def test_folded_and_underscored_headers_do_not_pass(front):
    raw = front.router.raw(request(front, "X-Real_IP: 1.2.3.4\r\nX_Forwarded_For: 6.6.6.6\r\nConnection: close\r\n"))
    assert status(raw) == 200 and b"6.6.6.6" not in raw and b"1.2.3.4" not in raw
    assert status(front.router.raw(request(front, "X-A: a\r\n b\r\nConnection: close\r\n"))) in (200, 400)


# ---- paths ----

# What is asked for: what the service gets, or the status.
TRICKS = {
    "/service/web/../../mesos/reflect": ("mesos", "/reflect"),
    "/service/web/%2e%2e/%2e%2e/mesos/reflect": ("mesos", "/reflect"),
    "/service/web/..%2f..%2fmesos/reflect": ("mesos", "/reflect"),
    "/service/web/%2E%2E%2F%2E%2E%2Fmesos/reflect": ("mesos", "/reflect"),
    "//service//web//x": ("service", "/x"),
    "/./service/./web/x": ("service", "/x"),
    "/%73ervice/web/x": ("service", "/x"),
    "/service/%77eb/x%20y": ("service", "/x%20y"),
    "/service/web/a%2Fb": ("service", "/a/b"),
    "/service/web/a%252Fb": ("service", "/a%252Fb"),
    "/service/web/a//b": ("service", "/a/b"),
    "/service/web/a%5c..%5cb": ("service", "/a%5C..%5Cb"),
    "http://evil.example/service/web/x": ("service", "/x"),
    "/service/web/%00": 400,
    "/../../etc/passwd": 400,
    "/%2e%2e/etc/passwd": 400,
    "/service/web/%zz": 400,
    "/assets/..%2f..%2f..%2fetc/passwd": 400,
    "/assets/../nginx.conf": 404,
    "/_dcos_names/v1/services/x": 404,
    "service/web": 400,
}


@pytest.mark.parametrize("path", TRICKS)
def test_paths(front, path):
    raw = front.router.raw(request(front, "Connection: close\r\n", path=path))
    expected = TRICKS[path]
    if isinstance(expected, int):
        assert status(raw) == expected, raw[:300]
    else:
        backend, there = expected
        assert f'"backend": "{backend}"'.encode() in raw, raw[:500]
        assert f'"path": "{there}"'.encode() in raw, raw


@pytest.mark.parametrize("path", [p for p, e in TRICKS.items() if not isinstance(e, int)])
def test_tricks_need_the_permission_of_what_is_reached(front, path):
    """A user who may use one service does not get at masters by another spelling."""
    token = getattr(front, "only_web", None)
    if token is None:
        token = front.only_web = front.iam.user("only-web", "dcos:adminrouter:service:web")
        wait_until(lambda: front.ask("/service/web/", token=token).status_code == 200, "the permission")
    raw = front.router.raw(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: token={token}\r\n\r\n".encode())
    assert status(raw) == (200 if TRICKS[path][0] == "service" else 403), raw[:200]
    assert status(front.router.raw(request(front, "Connection: close\r\n", path=path, token=False))) == 401


def test_agent_ids_are_one_segment(front):
    for path in (f"/agent/{AGENT}/%2e%2e/%2e%2e/net/x", f"/agent/{AGENT}/../../net/x"):
        assert b'"backend": "net"' in front.router.raw(request(front, "Connection: close\r\n", path=path))
    assert status(front.router.raw(request(front, "Connection: close\r\n", path="/agent/a.b@127.0.0.1:1/x"))) == 404


# ---- sizes ----


def test_oversized_heads(front):
    for head in ("X-A: " + "a" * 20000 + "\r\n", "".join(f"X-{i}: {'b' * 4000}\r\n" for i in range(40)),
                 "Cookie: " + "; ".join(f"c{i}={'x' * 100}" for i in range(1000)) + "\r\n"):
        assert status(front.router.raw(request(front, head + "Connection: close\r\n"))) == 400
    assert status(front.router.raw(request(front, "Connection: close\r\n", path="/" + "a" * 40000))) == 414
    # A bomb of many small ones within the limits is scrubbed and passes.
    many = "Cookie: " + ";".join(f"c{i}=1" for i in range(1000)) + "; dcos-acs-auth-cookie=x;;; ;=;dcos-acs-info-cookie\r\n"
    raw = front.router.raw(request(front, many + "Connection: close\r\n"))
    assert status(raw) == 200 and b"dcos-acs" not in raw and b"c999=1" in raw


def test_bodies_over_the_limit(front):
    for path, limit in (("/net/x", 1 << 30), ("/service/web/x", 32 << 30)):
        raw = front.router.raw(request(front, f"Content-Length: {limit + 1}\r\nConnection: close\r\n", path=path, method="POST"),
                               whole=False)  # nginx waits for the rest of the body
        assert status(raw) == 413, path
    with socket.create_connection(front.router.address, timeout=60) as s:
        s.sendall(request(front, f"Content-Length: {(1 << 30) + 1}\r\nExpect: 100-continue\r\n", path="/service/web/x", method="POST"))
        assert s.recv(100).startswith(b"HTTP/1.1 100 ")


def test_slow_loris(front):
    """A head that does not come is not waited for; others are served meanwhile."""
    slow = [socket.create_connection(front.router.address, timeout=60) for _ in range(200)]
    try:
        for s in slow:
            s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ")
        assert front.ask("/service/web/").status_code == 200
        begin = time.monotonic()
        for s in slow:
            try:
                assert s.recv(1000) == b"" or True  # closed, with or without 408
            except ConnectionResetError:
                pass
        assert time.monotonic() - begin < 40  # nginx's own limit is a minute
    finally:
        for s in slow:
            s.close()


# ---- who one says to be ----


def test_spoofed_headers(front):
    spoofed = ("X-Forwarded-For: 1.1.1.1\r\nX-Real-IP: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n"
               "Connection: close\r\n")
    raw = front.router.raw(request(front, spoofed))
    assert b'["x-real-ip", "127.0.0.1"]' in raw and b'["x-forwarded-proto", "http"]' in raw
    assert b'["x-forwarded-for", "1.1.1.1, 127.0.0.1"]' in raw
    # Nobody gets in by claiming to be the router, or somebody.
    for head in ("X-Forwarded-User: admin\r\n", "Remote-User: admin\r\n", "DCOS-Forwarded: true\r\n", "X-Accel-Redirect: /x\r\n"):
        assert status(front.router.raw(request(front, head + "Connection: close\r\n", token=False))) == 401


def test_backends_cannot_send_clients_inside(front):
    """X-Accel-Redirect of a service is its own header, and does not reach routes that need a permission."""
    front.service.answers["/accel"] = (200, [("X-Accel-Redirect", "/_dcos_names/v1/x")], b"mine")
    try:
        answer = front.ask("/service/web/accel")
        assert answer.status_code == 200 and answer.text == "mine"
    finally:
        del front.service.answers["/accel"]


def test_hosts(front):
    for host, expected in (("", 400), ("Host: a\r\nHost: b\r\n", 400), ("Host: a b\r\n", 400), ("Host: a/b\r\n", 400),
                           ("Host: bad.host:99999\r\n", 200), ("Host: [::1]\r\n", 200)):
        raw = front.router.raw(request(front, "Connection: close\r\n", host=host))
        assert status(raw) == expected, (host, raw[:200])
    raw = front.router.raw(request(front, "Connection: close\r\n", path="/mesos", host="Host: evil.example\r\n"))
    assert b"evil" not in raw and status(raw) == 301


# ---- parts that die ----


@pytest.fixture
def alone(front, cluster):
    service = Backend("service")
    marathon = Marathon([app("/web", service.port)])
    iam = Iam(cluster)
    router = Router(cluster, iam=iam.daemon.address, iam_socket=iam.socket, master=front.mesos.address,
                    marathon=marathon.address, workers=1)
    router.token = iam.token
    router.iam, router.marathon, router.service = iam, marathon, service
    wait_until(lambda: router.ask("/service/web/").status_code == 200, "the service")
    yield router
    # What a killed daemon leaves is named by the folder and ended with it.
    marathon.close()
    service.close()


def test_identity_service_away(alone):
    alone.iam.daemon.kill()
    assert alone.ask("/service/web/").status_code == 200
    login = alone.ask("/acs/api/v1/auth/login", token=False, method="POST", json={"uid": "admin", "password": "x"})
    assert login.status_code == 502
    # A daemon that starts without it knows what the last one knew.
    alone.daemon.restart(signal.SIGTERM)
    assert alone.ask("/service/web/").status_code == 200
    alone.iam.daemon.flags["port"] = alone.iam.daemon.port
    alone.iam.daemon.start()
    wait_until(lambda: alone.ask("/acs/api/v1/users").status_code == 200, "the identity service")


def test_the_daemon_killed(alone):
    nginx = alone.nginx_pid()
    alone.daemon.kill()
    assert alone.ask("/service/web/").status_code == 200
    alone.daemon.start()
    assert alone.nginx_pid() == nginx
    other = Backend("other")
    alone.marathon.set(app("/web", other.port))
    wait_until(lambda: alone.ask("/service/web/").json()["backend"] == "other", "news after the restart")
    # It is ended with the daemon that took it over.
    alone.daemon.kill(signal.SIGTERM)
    wait_until(lambda: not os.path.exists(f"/proc/{nginx}"), "the end of nginx")
    other.close()


def test_nginx_killed(alone):
    before = alone.nginx_pid()
    # Its workers end with it: they would hold the port.
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: alone.nginx_pid() != before and alone.ask("/service/web/").status_code == 200, "nginx again")
    assert "nginx ended, starting it again" in alone.daemon.tail()
    worker = int(open(f"/proc/{alone.nginx_pid()}/task/{alone.nginx_pid()}/children", encoding="utf-8").read().split()[0])
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: alone.ask("/service/web/").status_code == 200, "another worker")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_workers_are_nobody(alone):
    nginx = alone.nginx_pid()
    with open(f"/proc/{nginx}/task/{nginx}/children", encoding="utf-8") as f:
        children = f.read().split()
    nobody = str(pwd.getpwnam("nobody").pw_uid)
    assert children
    for pid in children:
        with open(f"/proc/{pid}/status", encoding="utf-8") as f:
            uids = next(line for line in f if line.startswith("Uid:")).split()[1:]
        assert uids == [nobody] * 4


def test_a_refused_configuration_leaves_the_last_good_one(alone):
    with open(f"{alone.run_dir}/nginx.conf", encoding="utf-8") as f:
        good = f.read()
    # The daemon ends hard, so that nginx goes on; the next one has a configuration that nginx refuses.
    alone.daemon.kill()
    alone.daemon.flags["nginx_log_level"] = "loud"
    alone.daemon.start()
    assert alone.ask("/service/web/").status_code == 200
    log = alone.daemon.tail()
    assert "nginx refuses the configuration, the last good one stays in force" in log and "loud" in log
    with open(f"{alone.run_dir}/nginx.conf", encoding="utf-8") as f:
        assert f.read() == good
    # The same on request.
    alone.daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: alone.daemon.tail().count("nginx refuses the configuration") == 2, "the second refusal")
    assert alone.ask("/service/web/").status_code == 200


def test_reloading_drops_nobody(alone):
    with socket.create_connection(alone.address, timeout=60) as s:
        s.sendall(f"GET /service/web/a HTTP/1.1\r\nHost: x\r\nAuthorization: token={alone.token}\r\n\r\n".encode())
        assert s.recv(65536).startswith(b"HTTP/1.1 200 ")
        alone.daemon.process.send_signal(signal.SIGHUP)
        for i in range(50):
            assert alone.ask(f"/service/web/{i}").status_code == 200


def test_nginx_missing(cluster):
    router = Router(cluster, start=False, iam="127.0.0.1:1", nginx="/nonexistent/nginx")
    router.daemon.start(wait=False)
    assert router.daemon.process.wait(timeout=60) == 1
    assert "is nginx installed" in router.daemon.tail() or "refuses the configuration" in router.daemon.tail()


def test_flags_that_would_change_the_configuration(cluster):
    for name, value in (("ip", "127.0.0.1; user root"), ("frame_options", 'DENY"; return 200 "'), ("iam", "127.0.0.1:1;"),
                        ("www_authenticate", "a\nb"), ("access_log", "/tmp/$host")):
        router = Router(cluster, name=f"router-{name}", start=False, **{"iam": "127.0.0.1:1", name: value})
        router.daemon.start(wait=False)
        assert router.daemon.process.wait(timeout=60) in (1, 2), name
