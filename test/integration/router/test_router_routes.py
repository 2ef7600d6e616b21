"""Every route of the API tables 1.2, 1.3 and 1.7: where it goes, with which headers, and what comes back."""

import gzip
import os
import subprocess

import pytest
import requests

from api_rows import rows
from backends import Backend
from cluster import wait_until
from frontdoor import AGENT, Router, header

# path, backend, path there, whether the token goes on
PROXIED = [
    ("/exhibitor/exhibitor/v1/cluster/list?a=1", "exhibitor", "/exhibitor/v1/cluster/list?a=1", True),
    ("/pkgpanda/active/", "pkgpanda", "/active/", True),
    ("/mesos/reflect/me?a=1&b=2", "mesos", "/reflect/me?a=1&b=2", True),
    ("/cache/master/state?x", "mesos", "/master/state?x", True),
    (f"/agent/{AGENT}/files/read?path=%2Fa%20b", "agent", "/files/read?path=%2Fa%20b", True),
    (f"/slave/{AGENT}/state", "agent", "/state", True),
    (f"/system/v1/agent/{AGENT}/logs/v1/range/?x=1", "agent_router", "/system/v1/logs/v1/range/?x=1", True),
    (f"/system/v1/agent/{AGENT}/metrics/v0/node", "agent_router", "/system/v1/metrics/v0/node", True),
    (f"/system/v1/agent/{AGENT}/dcos-metadata/dcos-version.json", "agent_router", "/dcos-metadata/dcos-version.json", True),
    (f"/system/v1/agent/{AGENT}/nginx/metrics", "agent_router", "/nginx/metrics", True),
    ("/system/v1/leader/mesos/foo?a=1", "leader", "/system/v1/foo?a=1", True),
    ("/system/v1/leader/mesos", "leader", "/system/v1", True),
    ("/system/v1/leader/marathon/foo", "leader", "/system/v1/foo", True),
    ("/system/checks/v1/node", "checks", "/system/checks/v1/node", False),
    ("/system/health/v1/units?x", "diagnostics", "/system/health/v1/units?x", True),
    ("/system/v1/logs/v1/stream/?skip=1", "log", "/v1/stream/?skip=1", True),
    ("/system/v1/metrics/v0/node", "metrics", "/v0/node", True),
    ("/mesos_dns/v1/config", "mesos_dns", "/v1/config", False),
    ("/net/v1/nodes", "net", "/v1/nodes", False),
    ("/navstar/lashup/key", "net", "/lashup/key", True),
    ("/package/search", "cosmos", "/package/search", True),
    ("/cosmos/service/update", "cosmos", "/service/update", True),
    ("/capabilities", "cosmos", "/capabilities", True),
    ("/marathon/v2/reflect", "marathon", "/v2/reflect", True),
    ("/service/marathon/v2/reflect", "marathon", "/v2/reflect", True),
    ("/service/web/a/b?c=d", "service", "/a/b?c=d", True),
    ("/dcos-ui-update-service/api/v1/version/", "ui_update", "/api/v1/version/", True),
]
COOKIES = "dcos-acs-auth-cookie={}; theme=dark; dcos-acs-info-cookie=e30; last=1"


@pytest.fixture(scope="module")
def routed(front):
    front.mesos.frameworks[:] = []
    # Marathon itself is a framework: names lead to it when there is no app of that name.
    from backends import framework

    front.mesos.event("FRAMEWORK_ADDED", framework=framework("fw-m", "marathon", f"http://{front.marathon.address}"))
    wait_until(lambda: front.ask("/service/marathon/v2/reflect").status_code == 200, "Marathon as a framework")
    return front


@rows("1.2", len(PROXIED))
@rows("10.1 headers", 4)
@pytest.mark.parametrize("path, backend, there, token", PROXIED, ids=[p[0].split("?")[0] for p in PROXIED])
def test_proxied(routed, path, backend, there, token):
    seen = routed.echo(path, headers={"Cookie": COOKIES.format("x"), "Accept-Encoding": "gzip", "X-Forwarded-For": "10.9.8.7"})
    assert (seen["backend"], seen["path"]) == (backend, there)
    assert header(seen, "Authorization") == (f"token={routed.iam.token}" if token else None)
    assert header(seen, "Cookie") == "theme=dark; last=1"
    if not path.startswith("/cache/"):
        assert header(seen, "Host") == routed.router.url[7:]
        assert header(seen, "X-Real-IP") == "127.0.0.1"
        assert header(seen, "X-Forwarded-For") == "10.9.8.7, 127.0.0.1"
        assert header(seen, "X-Forwarded-Proto") == "http"
    keeps_encoding = not path.startswith(("/agent/", "/slave/", "/system/v1/agent/"))
    assert header(seen, "Accept-Encoding") == ("gzip" if keeps_encoding else None)
    assert seen["version"] == "HTTP/1.1"
    if "/service/" in path[:10] or path.startswith("/marathon"):
        assert header(seen, "Connection") == "upgrade"
    # Only our cookies: no header at all.
    seen = routed.echo(path.replace("/cache/master/state", "/cache/master/other"), token=False,
                       headers={"Cookie": f"dcos-acs-auth-cookie={routed.iam.token}"})
    assert header(seen, "Cookie") is None
    assert header(seen, "Authorization") == (f"token={routed.iam.token}" if token else None)


@rows("10.1 authentication")
@pytest.mark.parametrize("path", [p[0] for p in PROXIED])
def test_proxied_only_with_a_token(routed, path):
    answer = routed.ask(path, token=False)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "acsjwt"


@rows("1.2", 9)
@rows("10.1 open")
def test_open_routes(routed):
    for path in ("/nginx/metrics", "/nginx/status", "/dcos-metadata/dcos-version.json", "/acs/api/v1/auth/jwks",
                 "/dcos-metadata/ui-config.json", "/"):
        assert routed.ask(path, token=False).status_code == 200, path
    seen = routed.echo("/exhibitor/exhibitor/v1/cluster/status", token=False)
    assert (seen["backend"], seen["path"]) == ("exhibitor", "/exhibitor/v1/cluster/status")
    assert routed.ask("/ca/dcos-ca.crt", token=False).status_code == 404


@rows("10.1 headers", 3)
def test_headers_of_answers(routed):
    triple = {"Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache", "Expires": "0"}
    for path in ("/acs/api/v1/users", "/pkgpanda/active.buildinfo.full.json"):
        answer = routed.ask(path)
        assert answer.status_code == 200
        assert {k: answer.headers[k] for k in triple} == triple, path
    for path in ("/system/checks/v1/node", "/acs/api/v1/auth/jwks"):
        assert not set(triple) - {"Expires"} & set(routed.ask(path).headers) or path.startswith("/acs")
    assert "Pragma" not in routed.ask("/system/checks/v1/node").headers
    for path in ("/", "/mesos/version", "/service/web/", "/service/none/", "/net/v1"):
        assert routed.ask(path).headers["Server"] == "dcos", path
        # No page of another origin may read an answer.
        answer = routed.ask(path, headers={"Origin": "https://other.example"})
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")], path
    assert routed.ask("/").headers["X-Frame-Options"] == "DENY"
    assert routed.ask("/dcos-metadata/dcos-version.json").headers["Cache-Control"] == "no-cache"


@rows("1.2", 2)
def test_static_files(cluster):
    ui = os.path.join(cluster.folder, "ui")
    os.makedirs(os.path.join(ui, "assets"))
    with open(os.path.join(ui, "index.html"), "w", encoding="utf-8") as f:
        f.write("<title>DC/OS</title>")
    with open(os.path.join(ui, "assets", "app.js"), "w", encoding="utf-8") as f:
        f.write("1;" * 1000)
    with gzip.open(os.path.join(ui, "assets", "app.js.gz"), "wt") as f:
        f.write("1;" * 1000)
    router = Router(cluster, ui_dir=ui, iam="127.0.0.1:1", frame_options="SAMEORIGIN", user="root")
    page = router.ask("/", token=False)
    assert page.text == "<title>DC/OS</title>" and page.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert page.headers["Cache-Control"] == "max-age=30"
    packed = router.ask("/assets/app.js", token=False, headers={"Accept-Encoding": "gzip", "Via": "1.1 proxy"})
    assert packed.headers["Content-Encoding"] == "gzip" and packed.headers["Vary"] == "Accept-Encoding"
    assert packed.headers["Cache-Control"] == "max-age=172800"
    plain = router.ask("/assets/app.js", token=False, headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers and plain.text == packed.text
    assert router.ask("/nothing", token=False).status_code == 404


@rows("1.7", 2)
@rows("10.1 metadata")
def test_documents(routed):
    assert routed.ask("/metadata").json() == {"PUBLIC_IPV4": "127.0.0.1", "CLUSTER_ID": "11-22"}
    assert routed.ask("/metadata").headers["Content-Type"] == "application/json"
    assert routed.ask("/dcos-metadata/dcos-version.json").json()["version"] == "2.2.0"
    assert isinstance(routed.ask("/pkgpanda/active.buildinfo.full.json").json(), dict)
    assert routed.ask("/pkgpanda/active.buildinfo.full.json", token=False, method="HEAD").status_code == 401
    assert routed.ask("/dcos-metadata/nothing.json").status_code == 404
    config = routed.ask("/dcos-metadata/ui-config.json", token=False).json()
    assert config["clusterConfiguration"]["firstUser"] is False


SLASHES = {
    "/exhibitor": 301, "/mesos": 301, "/mesos_dns": 301, "/net": 301, "/pkgpanda": 301, "/system/v1/logs": 301,
    "/system/v1/metrics": 301, "/cache/master": 301, "/cosmos/service": 301, "/acs/api/v1/auth": 301,
    "/service/web": 301, "/service/unknown": 301, "/marathon": 307,
}


@rows("1.2", 3)
@rows("10.1 paths", 2)
@pytest.mark.parametrize("path", SLASHES)
def test_missing_slashes_and_spoofed_hosts(routed, path):
    for host in ({}, {"Host": "bad.host"}, {"Host": "bad.host", "X-Forwarded-Host": "bad.host"}):
        answer = routed.ask(path + "?a=1&b=%20", token=False, headers=host)
        assert answer.status_code == SLASHES[path]
        assert answer.headers["Location"] == f"{path}/?a=1&b=%20"


@rows("10.1 paths", 3)
def test_locations_of_backends(routed):
    host = routed.router.url[7:]
    for prefix, backend in (("/exhibitor", "exhibitor"), ("/pkgpanda", "pkgpanda"), ("/service/web", "service")):
        answers = routed.backends[backend].answers
        for location, expected in (
            (f"http://{host}/x?y=1", f"{prefix}/x?y=1"),
            (f"http://{host}{prefix}/x", f"{prefix}/x"),
            ("/x", f"{prefix}/x"),
            (f"http://{host}", f"{prefix}/"),
            (f"https://{host}/x", f"https://{host}/x"),
            ("http://elsewhere.example/x", "http://elsewhere.example/x"),
            ("//elsewhere.example/x", "//elsewhere.example/x"),
            (f"{prefix}/x", f"{prefix}/x"),
        ):
            answers["/go"] = (302, [("Location", location)], b"")
            assert routed.ask(f"{prefix}/go").headers["Location"] == expected, (prefix, location)
        del answers["/go"]


@rows("10.1 paths")
@rows("1.2", 1)
def test_agents(routed):
    for path in (f"/agent/{AGENT}", f"/agent/{AGENT}/", f"/slave/{AGENT}", f"/slave/{AGENT}/"):
        assert routed.echo(path)["path"] == "/"
    assert routed.echo(f"/agent/{AGENT}?a=1")["path"] == "/?a=1"
    answer = routed.ask("/agent/no-such/x")
    assert (answer.status_code, answer.text) == (404, "404 Not Found: agent `no-such` unknown.\n")
    assert routed.ask(f"/system/v1/agent/{AGENT}/secrets").status_code == 404
    answer = routed.ask("/system/v1/agent/no-such/logs/")
    assert (answer.status_code, answer.text) == (404, "404 Not Found: agent `no-such` unknown.\n")


@rows("1.6", 3)
def test_leaders(routed):
    assert header(routed.echo("/system/v1/leader/marathon/x"), "DCOS-Forwarded") == "true"
    answer = routed.ask("/system/v1/leader/marathon/x", headers={"DCOS-Forwarded": "true"})
    assert (answer.status_code, answer.text) == (503, "503 Service Unavailable: marathon leader is unknown\n")
    assert routed.ask("/system/v1/leader/marathon/x", headers={"DCOS-Forwarded": "no"}).status_code == 200


@rows("1.2")
def test_cache_of_the_master(routed):
    first = routed.ask("/cache/master/slaves?once")
    second = routed.ask("/cache/master/slaves?once")
    assert first.headers["X-Cache-Status"] == "MISS" and second.headers["X-Cache-Status"] == "HIT"
    assert first.text == second.text
    assert routed.ask("/cache/master/slaves?once", headers={"Cache-Control": "no-cache"}).headers["X-Cache-Status"] == "BYPASS"
    # What one may see, another may not.
    other = routed.iam.user("cached", "dcos:adminrouter:ops:mesos")
    wait_until(lambda: routed.ask("/mesos/version", token=other).status_code == 200, "the permission")
    assert routed.ask("/cache/master/slaves?once", token=other).headers["X-Cache-Status"] == "MISS"


@rows("10.1 headers")
@rows("1.2")
def test_streams_are_not_buffered(routed):
    """The first event arrives while the answer is still open, through /mesos and where the backend says so."""
    with routed.ask("/mesos/api/v1", method="POST", data='{"type":"SUBSCRIBE"}', stream=True,
                    headers={"Content-Type": "application/json"}) as answer:
        pieces = answer.iter_content(None)
        assert b"SUBSCRIBED" in next(pieces)
        routed.mesos.event("TASK_ADDED", task={})
        assert b"TASK_ADDED" in next(pieces)
    with routed.ask("/service/marathon/v2/events", stream=True, headers={"Accept": "text/event-stream"}) as answer:
        assert b"event_stream_attached" in next(answer.iter_content(None))
    routed.backends["log"].answers["/v1/stream"] = (200, [("X-Accel-Buffering", "no")], b"x")
    assert routed.ask("/system/v1/logs/v1/stream").headers["X-Accel-Buffering"] == "no"


@rows("10.1 metrics", 3)
@rows("1.9", 3)
def test_metrics(routed):
    routed.ask("/service/web/")
    long_path = "/service/web/" + "a" * 600
    assert routed.echo(long_path)["path"] == long_path[len("/service/web"):]
    answer = routed.ask("/nginx/metrics", token=False)
    assert answer.headers["Content-Type"] == "text/plain"
    assert answer.text.startswith("# HELP nginx_vts_info")
    for tag in ("Mesos", "Cosmos", "IAM", "DCOSNet", "MesosDNS", "DCOSDiagnostics", "DCOSChecks", "DCOSLog",
                "DCOSMetrics", "DCOSUIUpdateService", "Exhibitor", "Pkgpanda", "service:=web"):
        assert f'filter_name="{tag}",code="2xx"' in answer.text, tag
    for bucket in ("0.008", "0.040", "0.200", "1.000", "5.000", "25.000", "+Inf"):
        assert f'le="{bucket}"' in answer.text
    status = routed.ask("/nginx/status", token=False)
    assert status.headers["Content-Type"] == "text/html" and "service:=web" in status.text


@rows("1.3", 9)
@rows("10.1 open")
def test_agents_router(front, cluster):
    sockets = {}
    for name in ("checks", "log", "metrics", "pkgpanda", "diagnostics"):
        path = os.path.join(cluster.folder, f"{name}.sock")
        sockets[name] = Backend(name, path=path)
        os.chmod(path, 0o666)
    common = {"role": "agent", "iam": front.iam.daemon.address, "iam_socket": front.iam.socket, "workers": 1,
              **{name: backend.address for name, backend in sockets.items()}}
    router = Router(cluster, **common)
    router.token = front.iam.token
    paths = {
        "/pkgpanda/active/": ("pkgpanda", "/active/"),
        "/system/checks/v1/node": ("checks", "/system/checks/v1/node"),
        "/system/health/v1/units": ("diagnostics", "/system/health/v1/units"),
        "/system/v1/logs/v1/range": ("log", "/v1/range"),
        "/system/v1/metrics/v0/node": ("metrics", "/v0/node"),
    }
    wait_until(lambda: router.ask("/pkgpanda/active/").status_code == 200, "the policy")
    for path, where in paths.items():
        seen = router.ask(path).json()
        assert (seen["backend"], seen["path"]) == where
        assert router.ask(path, token=False).status_code == 401
    assert header(router.ask("/system/checks/v1/node").json(), "Authorization") is None
    for path in ("/", "/foo", "/foo/bar", "/mesos/", "/service/x/"):
        assert router.ask(path, token=False).status_code == 404, path
    for path in ("/nginx/metrics", "/dcos-metadata/dcos-version.json"):
        assert router.ask(path, token=False).status_code == 200
    for path in ("/pkgpanda", "/system/v1/logs", "/system/v1/metrics"):
        assert router.ask(path, token=False).headers["Location"] == path + "/"
    sockets["pkgpanda"].answers["/go"] = (302, [("Location", router.url + "/x")], b"")
    assert router.ask("/pkgpanda/go").headers["Location"] == "/pkgpanda/x"
    # As in DC/OS, by a switch.
    open_router = Router(cluster, name="open", open_cache="true", **common)
    assert open_router.ask("/system/v1/logs/v1/range", token=False).status_code == 200
    for backend in sockets.values():
        backend.close()


@rows("1.8", 4)
def test_tls_and_http2(front, cluster):
    from frontdoor import free_port

    ca = os.path.join(cluster.folder, "ca")
    os.makedirs(ca)
    # The authority of the tests: what dcos-router issues from is a folder with these two files.
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=Test CA", "-keyout", f"{ca}/dcos-ca.key", "-out", f"{ca}/dcos-ca.crt"], check=True, capture_output=True)
    port = free_port()
    router = Router(cluster, tls_port=port, ca_dir=ca, iam=front.iam.daemon.address, iam_socket=front.iam.socket,
                    master=front.mesos.address)
    shown = router.ask("/ca/dcos-ca.crt", token=False)
    assert shown.status_code == 200 and "BEGIN CERTIFICATE" in shown.text
    bundle = os.path.join(cluster.folder, "fetched.crt")
    with open(bundle, "w", encoding="utf-8") as f:
        f.write(shown.text)
    url = f"https://localhost:{port}"
    token = {"Authorization": f"token={front.iam.token}"}
    wait_until(lambda: requests.get(f"{url}/mesos/x", headers=token, verify=bundle, timeout=60).status_code == 200, "TLS")
    answer = requests.get(f"{url}/mesos/x", headers=token, verify=bundle, timeout=60)
    assert header(answer.json(), "X-Forwarded-Proto") == "https"
    curl = subprocess.run(["curl", "-s", "--http2", "--cacert", bundle, "-o", "/dev/null", "-w", "%{http_version} %{http_code}",
                           f"{url}/"], capture_output=True, text=True, check=True)
    assert curl.stdout == "2 200"
    for version, ok in (("-tls1_2", True), ("-tls1_1", False)):
        done = subprocess.run(["openssl", "s_client", version, "-cipher", "ALL:@SECLEVEL=0", "-connect", f"localhost:{port}"],
                              input="", capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == ok, version
    for ciphers, ok in (("ECDHE+AESGCM", True), ("ECDHE+SHA1:kRSA:3DES@SECLEVEL=0", False)):
        done = subprocess.run(["openssl", "s_client", "-tls1_2", "-cipher", ciphers, "-connect", f"localhost:{port}"],
                              input="", capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == ok, done.stderr
    assert os.stat(f"{router.run_dir}/tls.key").st_mode & 0o777 == 0o600


def test_absent_backends(cluster, front):
    router = Router(cluster, iam=front.iam.daemon.address, iam_socket=front.iam.socket, master=front.mesos.address, workers=1)
    router.token = front.iam.token
    wait_until(lambda: router.ask("/mesos/x").status_code == 200, "the policy")
    for path in ("/net/v1", "/package/search", "/capabilities", "/pkgpanda/x", "/system/health/v1/x", "/mesos_dns/v1"):
        answer = router.ask(path)
        assert answer.status_code == 404 and answer.text.endswith(" is not part of this cluster.\n"), path
        assert router.ask(path, token=False).status_code == 401
