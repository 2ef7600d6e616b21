"""pkgpanda: command line and HTTP API on a private root, with a recording systemctl."""

import hashlib
import http.client
import http.server
import io
import json
import os
import signal
import socket
import socketserver
import subprocess
import tarfile
import threading

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("DCOS_BUILD", os.path.join(ROOT, "build", "debug"))
PKGPANDA = os.path.join(BUILD, "src", "pkgpanda", "pkgpanda")

SYSTEMCTL = """#!/bin/sh
echo "$@" >> "$SYSTEMCTL_LOG"
"""


def tarball(files, pkginfo=None):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:xz") as t:
        for name, data in {"pkginfo.json": json.dumps(pkginfo or {}), **files}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data.encode())
            info.mode = 0o644 if name.endswith((".json", ".txt")) else 0o755
            t.addfile(info, io.BytesIO(data.encode()))
    return out.getvalue()


PACKAGES = {
    "mesos--0.22.0": tarball(
        {"bin/mesos": "22", "dcos.target.wants/mesos.service": "[Service]\n", "check/b": "#!/bin/sh\necho b\n",
         "check/a": "#!/bin/sh\necho a\n", "check/no.txt": ""},
        {"environment": {"MESOS": "22"}},
    ),
    "mesos--0.23.0": tarball({"bin/mesos": "23", "check/a": "#!/bin/sh\nexit 3\n"}, {"state_directory": True}),
    "mesos-config--1": tarball({"etc/mesos/config": "x"}),
}


class Host:
    def __init__(self, path):
        self.path = str(path)
        self.root = os.path.join(self.path, "opt")
        self.log = os.path.join(self.path, "systemctl.log")
        os.makedirs(os.path.join(self.path, "bin"))
        os.makedirs(os.path.join(self.path, "etc"))
        systemctl = os.path.join(self.path, "bin", "systemctl")
        with open(systemctl, "w") as f:
            f.write(SYSTEMCTL)
        os.chmod(systemctl, 0o755)
        self.env = dict(os.environ, PATH=os.path.join(self.path, "bin") + ":" + os.environ["PATH"], SYSTEMCTL_LOG=self.log)
        self.options = [
            "--root=" + self.root,
            "--config-dir=" + os.path.join(self.path, "etc"),
            "--state-dir-root=" + os.path.join(self.path, "state"),
            "--rooted-systemd",
        ]

    def run(self, *args, code=0):
        done = subprocess.run([PKGPANDA, *self.options, *args], env=self.env, capture_output=True, timeout=60)
        assert done.returncode == code, (args, done.stdout, done.stderr)
        return done.stdout.decode(), done.stderr.decode()

    def add(self, *ids):
        for one in ids:
            path = os.path.join(self.path, one + ".tar.xz")
            with open(path, "wb") as f:
                f.write(PACKAGES[one])
            self.run("add", path)

    def systemctl(self):
        """What was called since the last look."""
        if not os.path.exists(self.log):
            return []
        with open(self.log) as f:
            lines = f.read().splitlines()
        os.unlink(self.log)
        return lines

    def read(self, path):
        with open(os.path.join(self.root, path)) as f:
            return f.read()


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


class Repository(http.server.BaseHTTPRequestHandler):
    files = {}
    answers = {}
    seen = []

    def do_GET(self):
        self.seen.append(self.path)
        status = self.answers[self.path].pop(0) if self.answers.get(self.path) else 200
        body = self.files.get(self.path)
        if body is None:
            status, body = 404, b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def remote():
    class Handler(Repository):
        files = {f"/r/packages/{n.split('--')[0]}/{n}.tar.xz": b for n, b in PACKAGES.items()}
        answers = {}
        seen = []

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    Handler.url = f"http://127.0.0.1:{server.server_address[1]}/r"
    yield Handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_add_list_active(host):
    out, err = host.run("add", "/nowhere/mesos-0.22.0.tar.xz", code=1)
    assert (out, err) == ("", "Validation Error: Invalid package ID: mesos-0.22.0\n")
    host.add("mesos--0.22.0", "mesos--0.23.0", "mesos-config--1")
    assert host.run("list")[0] == "mesos:\n  0.22.0\n  0.23.0\nmesos-config--1\n"
    assert json.loads(host.run("list", "--json")[0]) == ["mesos--0.22.0", "mesos--0.23.0", "mesos-config--1"]
    out, err = host.run("active", code=1)
    assert out == "" and "Has this host been bootstrapped?" in err
    assert host.run("activate", "mesos-config--1", "mesos--0.22.0") == ("", "")
    assert host.run("active")[0] == "mesos--0.22.0\nmesos-config--1\n"


def test_activate_calls_systemd(host):
    host.add("mesos--0.22.0", "mesos--0.23.0")
    host.run("activate", "mesos--0.22.0")
    assert host.systemctl() == ["daemon-reload", "enable dcos.target --no-reload", "start dcos.target"]
    host.run("activate", "mesos--0.23.0", "--no-block-systemd")
    assert host.systemctl() == [
        "stop --no-block mesos.service",
        "daemon-reload",
        "enable dcos.target --no-reload",
        "start dcos.target --no-block",
    ]
    host.run("activate", "mesos--0.22.0", "--no-systemd")
    assert host.systemctl() == []


def test_swap_remove_rollback(host):
    host.add("mesos--0.22.0", "mesos--0.23.0", "mesos-config--1")
    host.run("activate", "mesos--0.22.0", "mesos-config--1")
    assert "MESOS=22\n" in host.read("environment")
    host.run("swap", "mesos--0.23.0")
    assert host.run("active")[0] == "mesos--0.23.0\nmesos-config--1\n"
    assert host.read("bin/mesos") == "23"
    assert os.path.isdir(os.path.join(host.path, "state", "mesos"))
    out, err = host.run("remove", "absent--1", "mesos-config--1", "mesos--0.22.0", code=1)
    assert out == "\rRemoving: absent--1\rRemoved: absent--1\n"
    assert err == "Validation Error: Package mesos-config--1 is active, so it can't be removed.\n"
    host.run("rollback")
    assert host.run("active")[0] == "mesos--0.22.0\nmesos-config--1\n"
    assert host.read("bin/mesos") == "22"
    assert json.loads(host.run("remove", "mesos--0.23.0", "--json")[0]) == {"removed": ["mesos--0.23.0"]}
    assert host.run("list")[0] == "mesos--0.22.0\nmesos-config--1\n"
    assert json.loads(host.run("rollback", "--json", code=1)[1])["error"]["kind"] == "Package Error"


def test_check(host):
    host.add("mesos--0.22.0", "mesos--0.23.0")
    host.run("activate", "mesos--0.22.0")
    folder = os.path.join(host.root, "packages", "mesos--0.22.0", "check")
    out, err = host.run("check", "--list")
    assert out == f"{folder}/a\n{folder}/b\n"
    assert err == f"WARNING: `{folder}/no.txt` is not executable\n"
    assert host.run("check")[0] == "a\nb\n"
    host.run("activate", "mesos--0.23.0")
    out, err = host.run("check", code=1)
    assert "failed with return code 3" in err
    assert json.loads(host.run("check", "--json", code=1)[0])[0]["status"] == 3


def test_fetch(host, remote):
    out, err = host.run("fetch", "--repository-url=" + remote.url, "mesos--0.22.0")
    assert out == "\rFetching: mesos--0.22.0\rFetched: mesos--0.22.0\n"
    # Already there: nobody is asked.
    remote.seen.clear()
    host.run("fetch", "--repository-url=" + remote.url + "/", "mesos--0.22.0")
    assert remote.seen == []
    out, err = host.run("fetch", "--repository-url=" + remote.url, "absent--1", code=1)
    assert err.startswith("Package Error: ") and "404" in err
    assert host.run("list")[0] == "mesos--0.22.0\n"


def test_fetch_tries_again(host, remote):
    path = "/r/packages/mesos/mesos--0.23.0.tar.xz"
    remote.answers[path] = [500, 502, 503]
    host.run("fetch", "--repository-url=" + remote.url, "mesos--0.23.0")
    assert remote.seen.count(path) == 4
    remote.answers[path.replace("23", "22")] = [403]
    host.run("fetch", "--repository-url=" + remote.url, "mesos--0.22.0", code=1)
    assert remote.seen.count(path.replace("23", "22")) == 1


def test_fetch_checks_digest_and_signature(host, remote):
    path = "/r/packages/mesos/mesos--0.22.0.tar.xz"
    key = os.path.join(host.path, "key.pem")
    keys = os.path.join(host.path, "etc", "trusted-keys")
    os.makedirs(keys)
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, capture_output=True)
    subprocess.run(
        ["openssl", "pkey", "-in", key, "-pubout", "-out", os.path.join(keys, "us.pem")], check=True, capture_output=True
    )
    fetch = ("fetch", "--repository-url=" + remote.url, "mesos--0.22.0")
    host.run(*fetch, code=1)
    local = os.path.join(host.path, "mesos--0.22.0.tar.xz")
    with open(local, "wb") as f:
        f.write(remote.files[path])
    host.run("sign", local, "--key=" + key)
    for suffix in (".sha256", ".sha256.sig"):
        with open(local + suffix, "rb") as f:
            remote.files[path + suffix] = f.read()
    digest = hashlib.sha256(remote.files[path]).hexdigest()
    assert remote.files[path + ".sha256"] == f"{digest}  mesos--0.22.0.tar.xz\n".encode()
    good = remote.files[path]
    remote.files[path] = good[:-1] + bytes([good[-1] ^ 1])
    assert "SHA-256" in host.run(*fetch, code=1)[1]
    remote.files[path] = good
    signature = remote.files[path + ".sha256.sig"]
    remote.files[path + ".sha256.sig"] = bytes(64)
    assert "not by a trusted key" in host.run(*fetch, code=1)[1]
    assert host.run("list")[0] == ""
    remote.files[path + ".sha256.sig"] = signature
    host.run(*fetch)
    assert host.run("list")[0] == "mesos--0.22.0\n"


def test_setup_and_uninstall(host, remote):
    host.add("mesos-config--1")
    host.run("activate", "mesos-config--1", "--no-systemd")
    flags = os.path.join(host.path, "etc", "setup-flags")
    os.makedirs(flags)
    open(os.path.join(host.root, "bootstrap"), "w").close()
    with open(os.path.join(flags, "repository-url"), "w") as f:
        f.write(remote.url + "\n")
    with open(os.path.join(flags, "cluster-package-list"), "w") as f:
        f.write("abc")
    host.run("setup", code=1)  # no list there yet: nothing changes
    assert host.run("active")[0] == "mesos-config--1\n"
    remote.files["/r/package_lists/abc.package_list.json"] = b'["mesos--0.22.0"]'
    host.systemctl()
    host.run("setup", "--no-block-systemd")
    assert host.systemctl() == ["daemon-reload", "enable dcos.target --no-reload", "start dcos.target"]
    assert host.run("active")[0] == "mesos--0.22.0\nmesos-config--1\n"
    assert not os.path.exists(os.path.join(host.root, "bootstrap"))
    host.run("setup")
    assert host.systemctl() == []
    host.run("uninstall")
    assert not os.path.exists(host.root)
    assert host.systemctl() == [
        "stop dcos.target", "disable dcos.target --no-reload", "stop mesos.service", "daemon-reload"
    ]


def test_only_what_the_installer_made(host, remote):
    """A repository that holds other bytes, with digests that fit them: the list that came with the host's own script counts."""
    flags = os.path.join(host.path, "etc", "setup-flags")
    os.makedirs(flags)
    os.makedirs(os.path.join(host.root, "active"))
    open(os.path.join(host.root, "bootstrap"), "w").close()
    package, package_list = "/r/packages/mesos/mesos--0.22.0.tar.xz", "/r/package_lists/abc.package_list.json"
    remote.files[package_list] = b'["mesos--0.22.0"]'
    good = dict(remote.files)
    lines = "".join(f"{hashlib.sha256(good[f]).hexdigest()}  {f.rpartition('/')[2]}\n" for f in (package, package_list))
    for name, text in ("repository-url", remote.url), ("cluster-package-list", "abc"), ("digests", lines):
        with open(os.path.join(flags, name), "w") as f:
            f.write(text + "\n")

    def swap(path, data):
        remote.files[path] = data
        remote.files[path + ".sha256"] = f"{hashlib.sha256(data).hexdigest()}  {path.rpartition('/')[2]}\n".encode()

    def refused(text, *command):
        err = host.run(*command, code=1)[1]
        assert text in err and len(err.strip().splitlines()) == 1, err
        assert host.run("list")[0] == "" and host.systemctl() == []

    swap(package_list, b'["mesos-config--1"]')
    refused("abc.package_list.json is not what the installer made: its SHA-256 is ", "setup")
    remote.files[package_list] = good[package_list]
    swap(package, PACKAGES["mesos-config--1"])
    refused("mesos--0.22.0.tar.xz is not what the installer made", "setup")
    refused("mesos--0.22.0.tar.xz is not what", "fetch", "--repository-url=" + remote.url, "mesos--0.22.0")
    only = os.path.join(host.path, "only")
    with open(only, "w") as f:
        f.write(lines)
    refused("mesos-config--1.tar.xz is not among what the installer made", "fetch", "--digests=" + only,
            "--repository-url=" + remote.url, "mesos-config--1")
    remote.files[package] = good[package]
    host.run("setup")
    assert host.run("active")[0] == "mesos--0.22.0\n"


def test_bad_command_lines(host):
    for args in ((), ("dance",), ("list", "x"), ("swap",), ("list", "--wrong"), ("fetch", "a--1"), ("list", "--root")):
        out, err = host.run(*args, code=1)
        assert err and out == ""


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.unix = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.unix)


@pytest.fixture
def api(host):
    path = os.path.join(host.path, "api.sock")
    process = subprocess.Popen(
        [PKGPANDA, *host.options, "api", "--socket=" + path], env=host.env, stderr=subprocess.PIPE
    )
    line = process.stderr.readline()
    assert b"serving" in line, line

    def call(method, target, body=None):
        c = UnixConnection(path)
        c.request(method, target, json.dumps(body) if body is not None else None)
        answer = c.getresponse()
        data = answer.read()
        c.close()
        return answer.status, json.loads(data) if data else None

    yield call
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    process.stderr.close()


def test_http_api(host, remote, api):
    assert api("GET", "/repository/") == (200, [])
    assert api("GET", "/repository")[0] == 301
    assert api("GET", "/active/")[0] == 500
    assert api("POST", "/repository/mesos--0.22.0", {}) == (
        400, {"error": "No repository_url in the request's JSON body."})
    assert api("POST", "/repository/mesos", {"repository_url": remote.url}) == (
        400, {"error": "Invalid package ID: mesos"})
    status, body = api("POST", "/repository/absent--1", {"repository_url": remote.url})
    assert status == 500 and "404" in body["error"]
    for one in ("mesos--0.22.0", "mesos--0.23.0"):
        assert api("POST", "/repository/" + one, {"repository_url": remote.url}) == (204, None)
    assert api("GET", "/repository/") == (200, ["mesos--0.22.0", "mesos--0.23.0"])
    assert api("GET", "/repository/mesos--0.22.0") == (
        200, {"id": "mesos--0.22.0", "name": "mesos", "version": "0.22.0"})
    assert api("GET", "/repository/foo--1") == (404, {"error": "Package foo--1 not found."})
    assert api("GET", "/repository/foo") == (404, {"error": "Invalid package ID: foo"})
    assert api("PUT", "/active/", {"a": 1})[0] == 400
    assert api("PUT", "/active/", ["mesos--0.22.0", "foo--2"]) == (
        409,
        {"error": "Not all packages in the request are present on this node.", "missing_packages": ["foo--2"]},
    )
    status, body = api("PUT", "/active/", ["mesos--0.22.0", "mesos--0.23.0"])
    assert status == 409 and "Repeated name mesos" in body["error"]
    assert api("PUT", "/active/", ["mesos--0.22.0"]) == (204, None)
    assert api("GET", "/active/") == (200, ["mesos--0.22.0"])
    assert api("GET", "/active/mesos--0.22.0")[1] == {"id": "mesos--0.22.0", "name": "mesos", "version": "0.22.0"}
    assert api("GET", "/active/mesos--0.23.0")[0] == 404
    host.systemctl()
    assert api("PUT", "/active/", ["mesos--0.23.0"]) == (204, None)
    assert host.systemctl()[0] == "stop --no-block mesos.service"
    assert os.path.isdir(os.path.join(host.path, "state", "mesos"))
    assert api("DELETE", "/repository/mesos--0.23.0") == (
        409, {"error": "Package mesos--0.23.0 is active, so it can't be removed."})
    assert api("DELETE", "/repository/mesos--0.22.0") == (204, None)
    assert api("DELETE", "/repository/mesos--0.22.0") == (404, {"error": "Package mesos--0.22.0 not found."})
