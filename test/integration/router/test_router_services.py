"""/service/<name>: who it is, how fast changes count, labels, redirects, websockets. Table 1.5 and checklist 10.1."""


import select
import socket
import ssl
import subprocess
import time

import pytest
import requests

from api_rows import rows
from backends import Backend, Marathon, Master, agent, app, framework
from cluster import wait_until
from frontdoor import AGENT, Router, header


@pytest.fixture(scope="module")
def services(front):
    """The first service with others beside it, and a way to set them."""
    base = list(front.marathon.apps)
    made = []

    def backend(name, **options):
        b = Backend(name, **options)
        made.append(b)
        return b

    def publish(*apps):
        front.marathon.set(*base, *apps)

    front.backend, front.publish = backend, publish
    yield front
    publish()
    for b in made:
        b.close()


def who(front, path, **options):
    answer = front.ask(path, **options)
    return answer.json()["backend"] if answer.status_code == 200 else answer.status_code


@rows("1.5", 3)
@rows("10.1 services", 3)
def test_names_and_priorities(services):
    b = {name: services.backend(name) for name in ("by-marathon", "by-id", "by-name", "by-names", "deep")}
    services.mesos_dns = services.backends["mesos_dns"]
    services.mesos_dns.answers["/v1/services/_dns.group._tcp.marathon.mesos"] = (
        200, [], [{"service": "x", "host": "h", "ip": "127.0.0.1", "port": str(b["by-names"].port)}])
    services.publish(app("/a", b["by-marathon"].port, name="both"), app("/d", b["deep"].port, name="group1/group2/deep"))
    for fw in (
        framework("fw-1", "both", f"http://{b['by-name'].address}"),
        framework("fw-2", "only-name", f"http://{b['by-name'].address}/"),
        framework("fw-3", "other", f"http://{b['by-id'].address}"),
        framework("other", "fw-4-name", f"http://{b['by-id'].address}"),
        framework("fw-5", "group/dns", ""),
        framework("fw-6", "nothing"),
        framework("fw-7", "under", f"http://{b['by-name'].address}/ui/"),
        framework("fw-8", "a/b/c/framework", f"http://{b['by-name'].address}"),
    ):
        services.mesos.event("FRAMEWORK_ADDED", framework=fw)
    wait_until(lambda: who(services, "/service/a/b/c/framework/") == "by-name", "frameworks")
    wait_until(lambda: who(services, "/service/both/") == "by-marathon", "Marathon's service")
    assert who(services, "/service/fw-1/") == "by-name"
    assert who(services, "/service/only-name/x") == "by-name"
    assert services.echo("/service/only-name/x")["path"] == "/x"
    assert who(services, "/service/other/") == "by-id"  # ids come before names
    assert who(services, "/service/group1/group2/deep/x") == "deep"
    assert who(services, "/service/group1/group2/") == 404
    assert services.echo("/service/under/x?y")["path"] == "/ui/x?y"
    seen = services.echo("/service/group/dns/x", headers={"X-Secret": "1"})
    assert (seen["backend"], seen["path"]) == ("by-names", "/x")
    asked = [s for s in services.mesos_dns.seen if s["path"].startswith("/v1/services")][-1]
    assert header(asked, "User-Agent") == "Master Admin Router"
    assert header(asked, "Authorization") is None and header(asked, "Cookie") is None and header(asked, "X-Secret") is None
    for path in ("/service/nothing/", "/service/none/", "/service/none/of/them"):
        answer = services.ask(path)
        assert (answer.status_code, answer.text) == (404, "404 Not Found: service not found.\n")
    # What mesos-dns may do wrong.
    path = "/v1/services/_dns.group._tcp.marathon.mesos"
    for status, body in ((500, b""), (200, b"{broken"), (200, b"{}"), (404, b"[]")):
        services.mesos_dns.answers[path] = (status, [], body)
        answer = services.ask("/service/group/dns/x")
        assert (answer.status_code, answer.text) == (503, "503 Service Unavailable: MesosDNS request has failed\n")
    services.mesos_dns.answers[path] = (200, [], [{"ip": "", "port": ""}])
    assert services.ask("/service/group/dns/x").status_code == 404
    # A body goes to the service and not to mesos-dns.
    services.mesos_dns.answers[path] = (200, [], [{"ip": "127.0.0.1", "port": str(b["by-names"].port)}])
    posted = services.ask("/service/group/dns/x", method="POST", data="body")
    assert posted.json()["body"] == "body" and posted.json()["method"] == "POST"


@rows("10.1 services")
def test_mesos_dns_that_hangs(services):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        router = Router(services.cluster, name="router-hang", workers=1, iam=services.iam.daemon.address,
                        iam_socket=services.iam.socket, master=services.mesos.address,
                        marathon=services.marathon.address, mesos_dns=f"127.0.0.1:{silent.getsockname()[1]}")
        router.token = services.iam.token
        wait_until(lambda: router.ask("/service/web/").status_code == router.ask("/mesos/x").status_code == 200, "services")
        services.mesos.event("FRAMEWORK_ADDED", framework=framework("fw-h", "hangs", ""))

        def told():
            begin = time.monotonic()
            answer = router.ask("/service/hangs/")
            return None if answer.status_code == 404 else (answer.status_code, time.monotonic() - begin)

        status, took = wait_until(told, "the framework")
        assert status == 503 and took < 30
        router.daemon.kill(15)


def early(services, path, there, patience):
    """Whether the service gets a request before its body is whole, within so many seconds."""
    with socket.create_connection(services.router.address, timeout=60) as s:
        s.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: token={services.iam.token}\r\n"
                  "Content-Length: 4\r\n\r\nab".encode())
        try:
            wait_until(lambda: there in services.service.begun, "the head", patience)
            seen = True
        except AssertionError:
            seen = False
        s.sendall(b"cd")
        answer = b""
        while piece := s.recv(65536):
            answer += piece
        assert b'"body": "abcd"' in answer
        return seen


LABELS = [("false", False), (False, False), ("true", True), ("False", True), ("FALSE", True), ("", True), ("0", True),
          ("no", True), (None, True)]


@rows("1.5", 4)
@rows("10.1 services", 2)
def test_label_truth_tables(services):
    port = services.service.port
    apps = []
    for i, (value, _) in enumerate(LABELS):
        apps.append(app(f"/rw{i}", port, labels={"DCOS_SERVICE_REWRITE_REQUEST_URLS": value}))
        apps.append(app(f"/bf{i}", port, labels={"DCOS_SERVICE_REQUEST_BUFFERING": value}))
    services.publish(*apps)
    wait_until(lambda: services.ask(f"/service/bf{len(LABELS) - 1}/").status_code == 200, "the services")
    for i, (value, on) in enumerate(LABELS):
        assert services.echo(f"/service/rw{i}/x?y")["path"] == ("/x?y" if on else f"/service/rw{i}/x?y"), value
        assert early(services, f"/service/bf{i}/b{i}", f"/b{i}", 0.3 if on else 60) == (not on), value


@rows("1.5", 6)
@rows("10.1 services", 8)
def test_ports_networks_and_broken_apps(services):
    port = services.service.port
    container = {"container": {"type": "MESOS", "portMappings": [{"containerPort": port}]}, "networks": [{"mode": "container"}]}
    zero = {"container": {"type": "MESOS", "portMappings": [{"containerPort": 0}]}, "networks": [{"mode": "container"}]}
    bridge = {"container": {"type": "MESOS", "portMappings": [{"containerPort": 1}]}, "networks": [{"mode": "container/bridge"}]}

    def task(**more):
        return {"id": "t", "state": "TASK_RUNNING", "host": "127.0.0.1", "ports": [port], **more}

    inside = {"tasks": [task(host="203.0.113.1", ports=[], ipAddresses=[{"ipAddress": "127.0.0.1", "protocol": "IPv4"}])]}
    good = {
        "g-container": app("/g-container", 1, **container, **inside),
        "g-zero": app("/g-zero", 1, **zero, tasks=[task(host="203.0.113.1", ipAddresses=[{"ipAddress": "127.0.0.1"}])]),
        "g-bridge": app("/g-bridge", port, **bridge),
        "g-second": app("/g-second", 1, index="1", tasks=[task(ports=[1, port])]),
        "g-named": app("/g-named", port, name="/g-named//x/"),
        "g-waits": app("/g-waits", port, tasks=[task(state="TASK_STAGING", ports=[1]), task()]),
        "g-host": app("/g-host", port, host="localhost"),
    }
    bad = {
        "b-scheme": app("/b-scheme", port, scheme=None),
        "b-ftp": app("/b-ftp", port, scheme="ftp"),
        "b-noindex": app("/b-noindex", port, index=None),
        "b-nan": app("/b-nan", port, index="x"),
        "b-out": app("/b-out", port, index="5"),
        "b-out-container": app("/b-out-container", port, index="5", **container),
        "b-out-bridge": app("/b-out-bridge", port, index="5", **bridge),
        "b-empty": app("/b-empty", port, networks=[{"mode": "container"}], container={"portMappings": []}),
        "b-staging": app("/b-staging", port, tasks=[task(state="TASK_STAGING")]),
        "b-notasks": app("/b-notasks", port, tasks=[]),
        "b-nohost": app("/b-nohost", port, tasks=[task(host=None)]),
        "b-noip": app("/b-noip", port, **container, tasks=[task()]),
        "b-negative": app("/b-negative", port, index="-1"),
    }
    services.publish(*bad.values(), {"id": "/b-nolabels"}, {"id": "/b-null", "labels": None}, *good.values())
    for name in good:
        path = "/service/g-named/x/" if name == "g-named" else f"/service/{name}/"
        wait_until(lambda path=path: services.ask(path).status_code == 200, path)
    for name in bad:
        assert services.ask(f"/service/{name}/").status_code == 404, name


@rows("10.1 paths", 2)
def test_paths_reach_the_service(services):
    for path, there in (
        ("/service////web///b", "/b"),
        ("/service/web/a%20b%3Fc%23d", "/a%20b%3Fc%23d"),
        ("/service/web/%E2%82%AC?q=%20%2F&r", "/%E2%82%AC?q=%20%2F&r"),
        ("/service/web", None),
        ("/service/web/", "/"),
        ("/service/web?x=1", None),
    ):
        raw = services.router.raw(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: token={services.iam.token}\r\n\r\n".encode())
        if there is None:
            assert raw.startswith(b"HTTP/1.1 301 "), path
        else:
            assert f'"path": "{there}"'.encode() in raw, (path, raw)


@rows("10.1 services")
def test_https_services(services):
    folder = services.cluster.folder
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=self",
                    "-keyout", f"{folder}/s.key", "-out", f"{folder}/s.crt"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/s.crt", f"{folder}/s.key")
    secure = services.backend("secure", tls=context)
    services.publish(app("/tls", secure.port, scheme="https"),
                     app("/tls-raw", secure.port, scheme="https", labels={"DCOS_SERVICE_REQUEST_BUFFERING": "false"}))
    services.mesos.event("FRAMEWORK_ADDED", framework=framework("fw-s", "secure", f"https://{secure.address}"))
    for path in ("/service/tls/", "/service/tls-raw/", "/service/fw-s/"):
        wait_until(lambda path=path: who(services, path) == "secure", path)
    secure.answers["/go"] = (302, [("Location", f"https://{services.router.url[7:]}/x")], b"")
    assert services.ask("/service/tls/go").headers["Location"] == "/service/tls/x"
    secure.answers["/go"] = (302, [("Location", f"http://{services.router.url[7:]}/x")], b"")
    assert services.ask("/service/tls/go").headers["Location"] == f"http://{services.router.url[7:]}/x"


def test_websocket(services):
    """An upgrade goes through, and bytes both ways after it."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        services.publish(app("/ws", server.getsockname()[1]))

        def routed():
            with socket.create_connection(services.router.address, timeout=60) as probe:
                probe.sendall(b"GET /service/ws/ HTTP/1.1\r\nHost: x\r\nAuthorization: token=%s\r\nConnection: Upgrade\r\n"
                              b"Upgrade: websocket\r\n\r\n" % services.iam.token.encode())
                ready, _, _ = select.select([server, probe], [], [], 60)
                if server not in ready:
                    return False  # the router answered by itself: it does not know the service yet
                inner, _ = server.accept()
                with inner:
                    inner.settimeout(60)
                    head = inner.recv(65536)
                    assert b"Upgrade: websocket" in head and b"Connection: upgrade" in head
                    inner.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
                    answer = b""
                    while b"hello" not in answer:
                        answer += probe.recv(65536)
                    assert answer.startswith(b"HTTP/1.1 101 ")
                    probe.sendall(b"there")
                    assert inner.recv(5) == b"there"
                    return True

        wait_until(routed, "the upgrade")


def test_new_services_and_lost_ones_count_at_once(services):
    fresh = services.backend("fresh")
    services.publish(app("/quick", fresh.port))
    wait_until(lambda: who(services, "/service/quick/") == "fresh", "the new service")
    # The task ends: its address is not used any more, before the app was read again.
    services.marathon.event("status_update_event", appId="/quick", taskId="quick.1", taskStatus="TASK_FAILED")
    services.marathon.apps = [a for a in services.marathon.apps if a["id"] != "/quick"]
    wait_until(lambda: who(services, "/service/quick/") == 404, "the end of the service")


@rows("10.1 services", 3)
@rows("10.1 cache", 3)
def test_marathon_and_mesos_away(services, cluster):
    marathon = Marathon([app("/web", services.service.port)], status=500)
    mesos = Master([agent(AGENT, services.agent.address)], [
        framework("m", "marathon", f"http://{services.marathon.address}"),
        framework("t", "metronome", f"http://{services.service.address}")])
    common = {"iam": services.iam.daemon.address, "iam_socket": services.iam.socket, "workers": 1}
    router = Router(cluster, name="away", master=mesos.address, marathon=marathon.address, **common)
    router.token = services.iam.token
    wait_until(lambda: router.ask("/mesos/x").status_code == 200, "the master")
    answer = router.ask("/service/web/")
    assert (answer.status_code, answer.text) == (503, "503 Service Unavailable: invalid Marathon svcapps cache\n")
    assert who(router, "/service/marathon/x") == "marathon"
    assert who(router, "/service/metronome/x") == "service"
    marathon.status = 200
    wait_until(lambda: router.ask("/service/web/").status_code == 200, "Marathon")
    # What was known stays while it is away; agents and services do not disturb each other.
    marathon.cut()
    marathon.status = 500
    mesos.cut()
    assert router.ask("/service/web/").status_code == 200
    assert router.ask(f"/agent/{AGENT}/x").status_code == 200
    no_mesos = Router(cluster, name="nomesos", master="127.0.0.1:1", marathon=services.marathon.address, **common)
    no_mesos.token = services.iam.token
    wait_until(lambda: no_mesos.ask("/service/web/").status_code == 200, "Marathon alone")
    answer = no_mesos.ask("/service/none/")
    assert (answer.status_code, answer.text) == (503, "503 Service Unavailable: invalid Mesos state cache\n")
    answer = no_mesos.ask(f"/agent/{AGENT}/x")
    assert (answer.status_code, answer.text) == (503, "503 Service Unavailable: cache state is invalid\n")
    assert no_mesos.ask("/mesos/x").status_code == 503
    for backend in (marathon, mesos):
        backend.close()


@rows("10.1 cache", 3)
def test_changes_of_agents_and_leaders(services, cluster):
    other = Backend("other-agent")
    second = Master([agent(AGENT, other.address)])
    second.name = "second-master"
    first = Master([agent(AGENT, services.agent.address)])
    router = Router(cluster, name="failover", master=f"{first.address},{second.address}", workers=1,
                    iam=services.iam.daemon.address, iam_socket=services.iam.socket)
    router.token = services.iam.token
    wait_until(lambda: who(router, "/mesos/x") == "mesos", "the first master")
    assert who(router, f"/agent/{AGENT}/") == "agent"
    first.event("AGENT_ADDED", agent=agent("agent-2", other.address))
    wait_until(lambda: who(router, "/agent/agent-2/") == "other-agent", "the new agent")
    first.event("AGENT_REMOVED", agent_id={"value": "agent-2"})
    wait_until(lambda: who(router, "/agent/agent-2/") == 404, "the end of the agent")
    # The leader goes while a client streams; the next one is followed, by the redirect of the first.
    with router.ask("/mesos/api/v1", method="POST", data='{"type":"SUBSCRIBE"}', stream=True) as stream:
        pieces = stream.iter_content(None)
        assert b"SUBSCRIBED" in next(pieces)
        first.redirect = second.address
        first.cut()
        with pytest.raises(requests.RequestException):
            list(pieces)  # cut, not ended as if it were whole
    wait_until(lambda: who(router, "/mesos/x") == "second-master", "the second master")
    wait_until(lambda: who(router, f"/agent/{AGENT}/") == "other-agent", "its agents")
    for backend in (other, first, second):
        backend.close()


def test_real_daemons(cluster):
    """A real master, agent and Marathon: a task is reachable as soon as it runs and gone when it ends."""
    from frontdoor import Iam

    iam = Iam(cluster)
    master = cluster.master()
    worker = cluster.agent(master, resources="cpus:2;mem:1024;disk:1024;ports:[31500-31799]")
    marathon = cluster.marathon(master)
    router = Router(cluster, iam=iam.daemon.address, iam_socket=iam.socket, master=master.address, marathon=marathon.address)
    router.token = iam.token
    script = ("python3 -c \"import http.server,os;"
              "http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT0'])), http.server.SimpleHTTPRequestHandler).serve_forever()\"")
    labels = {"DCOS_SERVICE_NAME": "files", "DCOS_SERVICE_SCHEME": "http", "DCOS_SERVICE_PORT_INDEX": "0"}
    definition = {"id": "/files", "cmd": script, "cpus": 0.1, "mem": 64, "labels": labels,
                  "portDefinitions": [{"port": 0, "protocol": "tcp"}]}
    posted = router.ask("/service/marathon/v2/apps", method="POST", json=definition)
    assert posted.status_code == 201, posted.text
    wait_until(lambda: router.ask("/service/files/").status_code == 200, "the app behind the router")
    assert "stdout" in router.ask("/service/files/").text
    agents = router.ask("/mesos/slaves").json()["slaves"]
    assert router.ask(f"/agent/{agents[0]['id']}/version").status_code == 200
    assert requests.get(f"{worker.url}/version", timeout=60).json() == router.ask(f"/agent/{agents[0]['id']}/version").json()
    assert router.ask("/service/marathon/v2/apps/files", method="DELETE").status_code == 200
    wait_until(lambda: router.ask("/service/files/").status_code == 404, "the end of the app")


def test_many_services(cluster, front):
    services = [app(f"/many/s{i}", front.service.port) for i in range(2000)]
    marathon = Marathon(services)
    router = Router(cluster, master=front.mesos.address, marathon=marathon.address, iam=front.iam.daemon.address,
                    iam_socket=front.iam.socket)
    router.token = front.iam.token
    for i in (0, 1000, 1999):
        wait_until(lambda i=i: router.ask(f"/service/many/s{i}/").status_code == 200, "the services")
    marathon.close()
