"""dcos-check-runner and dcos-checks: command lines and HTTP API, with checks of our own and fake daemons."""

import http.client
import http.server
import json
import os
import signal
import socket
import subprocess
import threading

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("DCOS_BUILD", os.path.join(ROOT, "build", "debug"))
RUNNER = os.path.join(BUILD, "src", "checks", "dcos-check-runner")
CHECKS = os.path.join(BUILD, "src", "checks", "dcos-checks")


def check(script, timeout="30s", **more):
    return {"description": "test", "cmd": ["sh", "-c", script], "timeout": timeout, **more}


CONFIG = {
    "cluster_checks": {"c-fine": check("echo cluster"), "c-warn": check("exit 1")},
    "node_checks": {
        "checks": {
            "fine": check("echo out; echo err >&2"),
            "critical": check("echo broken; exit 2"),
            "odd": check("exit 77"),
            "killed": check("kill -9 $$"),
            "slow": check("echo begun; exec sleep 1000", timeout="300ms"),
            "children": check("sleep 1000 & wait", timeout="300ms"),
            "environment": check("env"),
            "only-agent": check("echo agent", roles=["agent"]),
            "only-master": check("echo master", roles=["master"]),
            "absent": {"description": "", "cmd": ["no-such-program"], "timeout": "1s"},
        },
        "prestart": ["fine"],
        "poststart": ["critical", "odd", "killed", "slow", "children", "environment", "only-agent", "only-master",
                      "absent", "fine"],
    },
    "check_env": {"PATH": "/usr/bin:/bin", "COLOUR": "green"},
}


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "checks.json"
    path.write_text(json.dumps(CONFIG))
    return str(path)


def runner(*args, config, check_json=True):
    r = subprocess.run([RUNNER, f"--check-config={config}", "--config=/dev/null", *args], capture_output=True, text=True, timeout=60,
                       env={**os.environ, "CALLER": "secret"})
    return r.returncode, json.loads(r.stdout) if r.stdout and check_json else r.stdout, r.stderr


def test_statuses(config):
    """Each exit code is its status; the whole has the worst; output is stdout, then stderr."""
    names = ["fine", "critical", "odd", "killed"]
    code, result, _ = runner("check", "node-poststart", *names, config=config)
    assert code == result["status"] == 3
    assert {n: c["status"] for n, c in result["checks"].items()} == {"fine": 0, "critical": 2, "odd": 3, "killed": 3}
    assert result["checks"]["fine"]["output"] == "out\nerr\n"
    code, result, _ = runner("check", "node-poststart", "fine", "critical", config=config)
    assert code == result["status"] == 2
    code, result, _ = runner("check", "cluster", config=config)
    assert code == result["status"] == 1
    assert result["checks"]["c-fine"] == {"status": 0, "output": "cluster\n"}
    assert runner("check", "node-prestart", config=config)[0] == 0


def test_timeout(config):
    """A check that takes too long is ended with all it started, and unknown."""
    code, result, _ = runner("check", "node-poststart", "slow", "children", config=config)
    assert code == 3
    for name in ("slow", "children"):
        assert result["checks"][name]["status"] == 3
        assert "longer than 300ms" in result["checks"][name]["output"]
    assert result["checks"]["slow"]["output"].startswith("begun\n")


def test_environment(config):
    """Checks see what check_env says and nothing of the caller's."""
    _, result, _ = runner("check", "node-poststart", "environment", config=config)
    lines = result["checks"]["environment"]["output"].split("\n")
    assert "COLOUR=green" in lines and "PATH=/usr/bin:/bin" in lines
    assert not [line for line in lines if line.startswith("CALLER=")]


@pytest.mark.parametrize("role, seen", (("master", {"only-master"}), ("agent", {"only-agent"})))
def test_roles(config, role, seen):
    code, result, _ = runner(f"--role={role}", "check", "node-poststart", "--list", config=config)
    assert code == 0
    assert {n for n in result if n.startswith("only-")} == seen
    other = ({"only-master", "only-agent"} - seen).pop()
    code, result, _ = runner(f"--role={role}", "check", "node-poststart", other, config=config)
    assert code == 3 and result["checks"] == [f"{other}: check not found"]


def test_list(config):
    code, result, _ = runner("check", "cluster", "--list", config=config)
    assert code == 0
    assert result["c-warn"] == {"description": "test", "cmd": ["sh", "-c", "exit 1"], "timeout": "30s"}


def test_names_and_programs_that_are_not_there(config):
    code, result, _ = runner("check", "node-poststart", "fine", "nonsense", config=config)
    assert code == 3 and result["checks"] == ["nonsense: check not found"]
    code, result, _ = runner("check", "node-poststart", "absent", config=config)
    assert code == 3 and result["checks"][0].startswith("absent: ") and "no-such-program" in result["checks"][0]
    assert "could not be run" in result["error"]


@pytest.mark.parametrize("args, why", (
    (["check", "planet"], "must be one of cluster, node-prestart, node-poststart"),
    (["check"], "must be one of"),
    (["dance"], "unknown command dance"),
    (["--role=king", "check", "cluster"], "must be master or agent"),
    (["--colour", "check", "cluster"], "unknown option --colour"),
    (["http-server", "--port=70000"], "must be 0 to 65535"),
    (["http-server", "--systemd-socket"], "systemd handed no socket over"),
))
def test_wrong_calls(config, args, why):
    code, out, err = runner(*args, config=config)
    assert (code, out) == (1, "") and why in err


def test_settings_file(config, tmp_path):
    settings = tmp_path / "runner.yaml"
    settings.write_text(f"role: agent\ncheck-config: {config}\n")
    r = subprocess.run([RUNNER, f"--config={settings}", "check", "node-poststart", "--list"], capture_output=True, text=True, timeout=60)
    assert r.returncode == 0 and "only-agent" in r.stdout and "only-master" not in r.stdout
    settings.write_text("colour: green\n")
    r = subprocess.run([RUNNER, f"--config={settings}", "check", "cluster"], capture_output=True, text=True, timeout=60)
    assert r.returncode == 1 and 'unknown key "colour"' in r.stderr


def test_no_configuration(tmp_path):
    code, _, err = runner("check", "cluster", config=str(tmp_path / "none"))
    assert code == 1 and "No such file" in err


# ---- HTTP ----


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.path)


class Server:
    def __init__(self, folder, config, systemd=False):
        self.socket = os.path.join(folder, "s")
        command = [RUNNER, f"--check-config={config}", "--config=/dev/null", "--role=master", "http-server"]
        if systemd:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(self.socket)
            listener.listen()

            def hand_over():
                os.dup2(listener.fileno(), 3)
                os.environ["LISTEN_PID"] = str(os.getpid())
                os.environ["LISTEN_FDS"] = "1"
                os.execv(RUNNER, [*command, "--systemd-socket"])

            self.pid = os.fork()
            if self.pid == 0:
                try:
                    hand_over()
                finally:
                    os._exit(1)
            listener.close()
            self.wait = lambda: os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        else:
            child = subprocess.Popen([*command, f"--socket={self.socket}"], stderr=subprocess.PIPE, text=True)
            self.pid, self.wait = child.pid, child.wait
            assert "serving" in child.stderr.readline()

    def call(self, method, path, body=None, content_type=None):
        c = Unix(self.socket)
        c.request(method, "/system/checks/v1" + path, body, {"Content-Type": content_type} if content_type else {})
        r = c.getresponse()
        text = r.read().decode()
        c.close()
        return r.status, json.loads(text) if r.headers.get("Content-Type", "").startswith("application/json") else text

    def close(self):
        os.kill(self.pid, signal.SIGTERM)
        return self.wait()


@pytest.fixture(params=(False, True), ids=("own", "systemd"))
def server(request, config, tmp_path):
    s = Server(str(tmp_path), config, request.param)
    yield s
    assert s.close() == 0


def test_http(server):
    status, body = server.call("GET", "/cluster/")
    assert status == 200 and set(body) == {"c-fine", "c-warn"}
    status, body = server.call("GET", "/node/?check=fine&check=critical")
    assert status == 200 and set(body) == {"fine", "critical"}
    for body, content_type in ((None, None), ("", "application/json"), ("{}", "application/json")):
        status, answer = server.call("POST", "/cluster/", body, content_type)
        assert status == 200 and answer["status"] == 1 and set(answer["checks"]) == {"c-fine", "c-warn"}
    status, body = server.call("POST", "/node/", '{"check": ["fine"]}', "application/json; charset=utf-8")
    assert status == 200 and body == {"status": 0, "checks": {"fine": {"status": 0, "output": "out\nerr\n"}}}
    status, body = server.call("POST", "/node/", "check=fine&check=critical", "application/x-www-form-urlencoded")
    assert status == 200 and set(body["checks"]) == {"fine", "critical"} and body["status"] == 2


def test_http_refusals(server):
    for method in ("GET", "POST"):
        assert server.call(method, "/planet/")[0] == 404
    assert server.call("GET", "/node/?check=a&check=b") == (404, "missing checks: [a b]\n")
    assert server.call("POST", "/node/", '{"check": ["only-agent"]}', "application/json") == (404, "missing checks: [only-agent]\n")
    for body in ("{", "[]", '{"check": "a"}', '{"check": [1]}'):
        assert server.call("POST", "/node/", body, "application/json")[0] == 400, body
    assert server.call("POST", "/node/", "check=%zz", "application/x-www-form-urlencoded")[0] == 400
    assert server.call("POST", "/node/", "x", "text/plain")[0] == 415
    assert server.call("DELETE", "/node/")[0] == 405
    assert server.call("GET", "/node")[0] == 301


def test_client_that_leaves(server, tmp_path):
    """Its checks are ended; the server goes on."""
    c = Unix(server.socket)
    c.request("POST", "/system/checks/v1/node/", '{"check": ["slow"]}', {"Content-Type": "application/json"})
    c.close()
    assert server.call("GET", "/cluster/")[0] == 200


# ---- dcos-checks ----


def checks(*args, **env):
    r = subprocess.run([CHECKS, *args], capture_output=True, text=True, timeout=60, env={**os.environ, **env})
    return r.returncode, r.stdout + r.stderr


def test_executable(tmp_path):
    assert checks("executable", "sh")[0] == 0
    code, text = checks("executable", "no-such-program")
    assert code == 2 and "no-such-program is not installed" in text
    (tmp_path / "plain").write_text("")
    assert checks("executable", "plain", PATH=str(tmp_path))[0] == 2


@pytest.mark.parametrize("script, code, why", (
    ("echo 192.0.2.1", 0, "192.0.2.1"),
    ("echo fd00::1", 0, "fd00::1"),
    ("echo 192.0.2.1; echo careful >&2", 2, "wrote to stderr: careful"),
    ("exit 1", 1, "exit code 1"),
    ("exit 40", 3, "exit code 40"),
    ("echo localhost", 3, "not an address"),
    ("true", 3, "not an address"),
    ("exec sleep 1000", 3, "longer than 1 s"),
))
def test_ip(tmp_path, script, code, why):
    path = tmp_path / "detect"
    path.write_text("#!/bin/sh\n" + script + "\n")
    path.chmod(0o755)
    got, text = checks("ip", f"--script={path}")
    assert got == code and why in text


def test_time():
    """What it says is what the kernel says."""
    code, text = checks("time")
    assert (code, "is synchronised" in text) == (0, True) or (code == 2 and text)


def test_journald(tmp_path):
    import grp

    folder = tmp_path / "journal"
    code, text = checks("journald", f"--path={folder}")
    assert code == 3 and "systemd-tmpfiles" in text
    try:
        gid = grp.getgrnam("systemd-journal").gr_gid
    except KeyError:
        pytest.skip("no group systemd-journal on this machine")
    if os.getuid() != 0:
        pytest.skip("needs root to give the folder to the group")
    folder.mkdir()
    for mode, owner, expected in ((0o750, gid, 0), (0o2755, gid, 0), (0o700, gid, 3), (0o740, gid, 3), (0o750, 0, 3)):
        os.chown(folder, 0, owner)
        folder.chmod(mode)
        assert checks("journald", f"--path={folder}")[0] == expected, (oct(mode), owner)
        assert checks("--iam-config=/none", "journald", "-p", str(folder))[0] == expected


class Daemon:
    """Answers GETs from a table."""

    def __init__(self, documents):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = documents.get(self.path)
                self.send_response(200 if body is not None else 404)
                text = (body if isinstance(body, str) else json.dumps(body)).encode()
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.mark.parametrize("role, document, code", (
    ("master", {"registrar/log/recovered": 1}, 0),
    ("master", {"registrar/log/recovered": 0}, 3),
    ("master", {}, 3),
    ("master", "not json", 3),
    ("agent", {"slave/registered": 1.0}, 0),
    ("agent", {"slave/registered": 0.0}, 2),
    ("king", {"slave/registered": 1}, 2),
))
def test_mesos_metrics(role, document, code):
    with Daemon({"/metrics/snapshot": document}) as d:
        got, text = checks(f"--role={role}", "--node-ip=127.0.0.1", "mesos-metrics", f"--port={d.port}")
        assert got == code, text
    assert checks("--role=agent", "--node-ip=127.0.0.1", "mesos-metrics", f"--port={d.port}")[0] == 3


def test_components_by_diagnostics():
    units = [{"id": "dcos-a.service", "health": 0}, {"id": "dcos-b.service", "health": 1, "output": "it fell"}]
    with Daemon({"/system/health/v1": {"units": units}, "/odd": {}}) as d:
        base = ["--node-ip=127.0.0.1", "components", f"--port={d.port}"]
        code, text = checks(*base)
        assert code == 2 and "dcos-b.service is not well: it fell" in text and "dcos-a" not in text
        assert checks(*base, "--exclude=x,dcos-b.service")[0] == 0
        assert checks(*base, "--url=/odd")[0] == 3
        assert checks(*base, "--url=/none")[0] == 3
    assert checks(*base)[0] == 3  # nobody listens where it was told to ask


SYSTEMCTL = """#!/bin/sh
[ "$1" = show ] || exit 9
shift 3
first=1
for unit; do
    [ -n "$first" ] || echo
    first=
    echo "Id=$unit"
    echo LoadState=loaded
    case $unit in
    dcos-bad.service) echo ActiveState=activating; echo SubState=auto-restart ;;
    *) echo ActiveState=active; echo SubState=running ;;
    esac
done
"""


def test_components_by_systemd(tmp_path):
    wants = tmp_path / "wants"
    wants.mkdir()
    tool = tmp_path / "systemctl"
    tool.write_text(SYSTEMCTL)
    tool.chmod(0o755)
    base = ["--node-ip=127.0.0.1", "components", f"--wants={wants}"]
    path = f"{tmp_path}:{os.environ['PATH']}"
    with socket.socket() as s:
        s.settimeout(5)
        if s.connect_ex(("127.0.0.1", 1050)) == 0:
            pytest.skip("something serves port 1050 of this machine")
    for name in ("dcos-a.service", "dcos-b.timer"):
        (wants / name).write_text("")
    assert checks(*base, PATH=path) == (0, "2 units are well\n")
    with Daemon({}) as d:  # a router that knows of no such part, as on agents
        assert checks(*base, f"--port={d.port}", PATH=path) == (0, "2 units are well\n")
    (wants / "dcos-bad.service").write_text("")
    code, text = checks(*base, PATH=path)
    assert code == 2 and text == "dcos-bad.service is not well: load state loaded, active state activating (auto-restart)\n"
    assert checks(*base, "--exclude=dcos-bad.service", PATH=path)[0] == 0
    code, text = checks("--node-ip=127.0.0.1", "components", f"--wants={tmp_path}/none")
    assert code == 3 and "is DC/OS installed" in text


class ZooKeeper(threading.Thread):
    """Says one thing to everybody, as the four-letter words are answered."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        s, _ = self.listener.accept()
        with s:
            self.asked = s.recv(4)
            s.sendall(self.answer)
        self.listener.close()


@pytest.mark.parametrize("answer, code, why", (
    (b"Zookeeper version: 3.8\nMode: follower\nNode count: 5\n", 0, "ZooKeeper is follower"),
    (b"Zookeeper version: 3.8\nMode: standalone\n", 0, "standalone"),
    (b"This ZooKeeper instance is not currently serving requests\n", 2, "no quorum"),
    (b"", 2, "no quorum"),
))
def test_zookeeper(answer, code, why):
    z = ZooKeeper(answer)
    got, text = checks("zookeeper", f"--port={z.port}")
    z.join()
    assert got == code and why in text and z.asked == b"srvr"


def test_zookeeper_absent():
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    code, text = checks("zookeeper", f"--port={port}")
    assert code == 2 and f"127.0.0.1:{port}" in text


@pytest.mark.parametrize("args, why", (
    (["dance"], "unknown check dance"),
    (["executable"], "takes one argument"),
    (["time", "x"], "takes no argument"),
    (["--colour"], "unknown option --colour"),
    (["--role"], "needs a value"),
))
def test_wrong_use(args, why):
    code, text = checks(*args)
    assert code == 3 and why in text


@pytest.mark.parametrize("program", (RUNNER, CHECKS))
def test_help(program):
    for option in ("--help", "--version"):
        r = subprocess.run([program, option], capture_output=True, text=True, timeout=60)
        assert r.returncode == 0 and os.path.basename(program) in r.stdout and not r.stderr


# Runs in a network namespace of its own: the check asks usual ports.
CLUSTER = """
import http.server, json, subprocess, sys, threading

versions = json.loads(sys.argv[1])
VERSION = "/dcos-metadata/dcos-version.json"
documents = {
    ("127.0.0.1", 8123): {"/v1/hosts/master.mesos": [{"host": "master.mesos.", "ip": ip} for ip in versions["masters"]]},
    ("127.0.0.1", 5050): {"/slaves": {"slaves": [{"hostname": ip, "active": True} for ip in versions["agents"]]}},
}
for kind, port in (("masters", 80), ("agents", 61001)):
    for ip, version in versions[kind].items():
        documents[ip, port] = {VERSION: {"version": version}} if version else {}

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = documents[self.server.server_address].get(self.path)
        text = json.dumps(body).encode()
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass

for address in documents:
    server = http.server.ThreadingHTTPServer(address, Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
r = subprocess.run([sys.argv[2], "--node-ip=127.0.0.1", "version"], capture_output=True, text=True)
print(json.dumps([r.returncode, r.stdout]))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="needs root for a network namespace")
@pytest.mark.parametrize("masters, agents, code, why", (
    (["1", "1"], ["1"], 0, "1 (first seen on 127.0.1.1)\n"),
    (["1", "1"], ["2"], 0, "2 (first seen on 127.0.2.1)\n"),
    (["1", "2"], ["3"], 1, "3 versions in one cluster"),
    (["1"], [""], 3, "answered 404"),
))
def test_version(masters, agents, code, why):
    versions = {kind: {f"127.0.{net}.{i + 1}": v for i, v in enumerate(vs)} for kind, net, vs in (("masters", 1, masters), ("agents", 2, agents))}
    r = subprocess.run(["unshare", "--net", "sh", "-c", 'ip link set lo up && exec /usr/bin/python3 -c "$@"', "sh", CLUSTER, json.dumps(versions), CHECKS],
                       capture_output=True, text=True, timeout=60)
    got, text = json.loads(r.stdout)
    assert got == code and why in text
