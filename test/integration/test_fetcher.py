"""dcos-fetcher against a real HTTP server."""

import gzip
import http.server
import io
import json
import os
import socket
import socketserver
import stat
import subprocess
import tarfile
import threading
import zipfile

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("DCOS_BUILD", os.path.join(ROOT, "build", "debug"))
FETCHER = os.path.join(BUILD, "src", "fetcher", "dcos-fetcher")


def tar_bytes(members, mode="w"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as t:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = 0o755 if name.endswith(".sh") else 0o644
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zip_bytes(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in members.items():
            z.writestr(name, data)
    return out.getvalue()


MEMBERS = {"app/run.sh": b"#!/bin/sh\necho hi\n", "app/data.txt": b"data" * 1000}

FILES = {
    "/plain.txt": b"plain\n",
    "/big.bin": os.urandom(3 * 1024 * 1024),
    "/a.tar": tar_bytes(MEMBERS),
    "/a.tgz": tar_bytes(MEMBERS, "w:gz"),
    "/a.tar.gz": tar_bytes(MEMBERS, "w:gz"),
    "/a.tar.bz2": tar_bytes(MEMBERS, "w:bz2"),
    "/a.tbz2": tar_bytes(MEMBERS, "w:bz2"),
    "/a.tar.xz": tar_bytes(MEMBERS, "w:xz"),
    "/a.txz": tar_bytes(MEMBERS, "w:xz"),
    "/a.zip": zip_bytes(MEMBERS),
    "/one.txt.gz": gzip.compress(b"unpacked\n"),
    "/evil.tar": tar_bytes({"../evil": b"evil"}),
    "/broken.tar.gz": tar_bytes(MEMBERS, "w:gz")[:100],
    "/plain.txt?token=1": b"query\n",
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        with server.lock:
            server.requests.append(self.path)
        if self.path.startswith("/redirect/"):
            self.send_response(302)
            self.send_header("Location", self.path[len("/redirect"):])
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"moved")
        elif self.path == "/redirect-to-file":
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path == "/loop":
            self.send_response(302)
            self.send_header("Location", "/loop")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path.startswith("/status/"):
            self.send_response(int(self.path.split("/")[2]))
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"page")
        elif self.path == "/stall":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"some")
            self.wfile.flush()
            server.stalled.set()
            server.done.wait(60)
        elif self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"some")
            self.close_connection = True
        elif self.path == "/endless":
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            try:
                while not server.done.is_set():
                    self.wfile.write(b"x" * 65536)
            except OSError:
                pass
            self.close_connection = True
        elif self.path in FILES:
            body = FILES[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            self.send_response(404)
            self.send_header("Content-Length", "9")
            self.end_headers()
            self.wfile.write(b"not found")


@pytest.fixture
def server():
    s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    s.daemon_threads = True
    s.requests, s.lock, s.done = [], threading.Lock(), threading.Event()
    s.stalled = threading.Event()
    s.url = f"http://127.0.0.1:{s.server_address[1]}"
    thread = threading.Thread(target=s.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield s
    s.done.set()
    s.shutdown()
    s.server_close()
    thread.join()


@pytest.fixture
def sandbox(tmp_path):
    path = tmp_path / "sandbox"
    path.mkdir()
    return path


def document(sandbox, *uris, **more):
    uris = [{"value": u} if isinstance(u, str) else u for u in uris]
    return json.dumps({"sandbox": str(sandbox), "cache_dir": None, "stall_timeout_us": 60_000_000,
                       "max_bytes": 1 << 30, "uris": uris, **more})


def start():
    env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin")}
    return subprocess.Popen([FETCHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, env=env)


def fetch(sandbox, *uris, ok=True, **more):
    p = start()
    out, err = p.communicate(document(sandbox, *uris, **more), timeout=60)
    assert out == ""
    assert (p.returncode == 0) == ok, (p.returncode, err)
    assert all(line.startswith("dcos-fetcher: ") for line in err.splitlines()), err
    left = [n for _, _, names in os.walk(sandbox) for n in names if n.startswith(".fetch-")]
    assert left == []
    return err


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_plain_and_executable(server, sandbox):
    err = fetch(sandbox, f"{server.url}/plain.txt",
                {"value": f"{server.url}/big.bin", "executable": True},
                {"value": f"{server.url}/plain.txt?token=1"},
                {"value": f"{server.url}/plain.txt", "output_file": "sub/dir/renamed"})
    assert (sandbox / "plain.txt").read_bytes() == b"plain\n"
    assert mode(sandbox / "plain.txt") == 0o644
    assert (sandbox / "big.bin").read_bytes() == FILES["/big.bin"]
    assert mode(sandbox / "big.bin") == 0o755
    assert (sandbox / "plain.txt?token=1").read_bytes() == b"query\n"
    assert (sandbox / "sub/dir/renamed").read_bytes() == b"plain\n"
    assert "fetched 'big.bin' (3145728 bytes" in err


@pytest.mark.parametrize("name", ["a.tar", "a.tgz", "a.tar.gz", "a.tar.bz2", "a.tbz2", "a.tar.xz",
                                  "a.txz", "a.zip"])
def test_archives(server, sandbox, name):
    fetch(sandbox, f"{server.url}/{name}")
    assert (sandbox / "app/data.txt").read_bytes() == MEMBERS["app/data.txt"]
    assert (sandbox / name).exists()
    if not name.endswith(".zip"):
        assert mode(sandbox / "app/run.sh") == 0o755


def test_archive_options(server, sandbox):
    url = f"{server.url}/a.tgz"
    fetch(sandbox, {"value": url, "extract": False})
    assert not (sandbox / "app").exists()
    fetch(sandbox, {"value": url, "executable": True})
    assert not (sandbox / "app").exists()
    assert mode(sandbox / "a.tgz") == 0o755
    fetch(sandbox, {"value": url, "output_file": "no-suffix"})
    assert not (sandbox / "app").exists()
    fetch(sandbox, {"value": f"{server.url}/one.txt.gz", "output_file": "sub/x.gz"})
    assert (sandbox / "sub/x").read_bytes() == b"unpacked\n"
    assert (sandbox / "sub/x.gz").exists()
    fetch(sandbox, {"value": url, "output_file": "sub/y.tgz"})
    assert (sandbox / "app/data.txt").exists() and (sandbox / "sub/y.tgz").exists()


def test_local_files(sandbox, tmp_path):
    source = tmp_path / "source.txt"
    source.write_text("local")
    fetch(sandbox, str(source), {"value": f"file://{source}", "output_file": "second"})
    assert (sandbox / "source.txt").read_text() == "local"
    assert (sandbox / "second").read_text() == "local"
    assert "No such file" in fetch(sandbox, str(tmp_path / "absent"), ok=False)
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in fetch(sandbox, str(tmp_path / "pipe"), ok=False)
    assert "not a regular file" in fetch(sandbox, str(tmp_path), ok=False)


def test_redirects(server, sandbox):
    fetch(sandbox, {"value": f"{server.url}/redirect/redirect/plain.txt"})
    assert (sandbox / "plain.txt").read_bytes() == b"plain\n"
    fetch(sandbox, f"{server.url}/loop", ok=False)
    fetch(sandbox, f"{server.url}/redirect-to-file", ok=False)
    assert sorted(os.listdir(sandbox)) == ["plain.txt"]


@pytest.mark.parametrize("code", [204, 206, 304, 401, 404, 500])
def test_only_200_counts(server, sandbox, code):
    err = fetch(sandbox, f"{server.url}/status/{code}", ok=False)
    assert f"the server answered {code} instead of 200" in err
    assert f"cannot fetch '{server.url}/status/{code}'" in err
    assert os.listdir(sandbox) == []


def test_network_failures(server, sandbox):
    fetch(sandbox, f"{server.url}/short", ok=False)
    err = fetch(sandbox, f"{server.url}/stall", ok=False, stall_timeout_us=1_000_000)
    assert "too slow" in err
    err = fetch(sandbox, "http://127.0.0.1:1/x", ok=False)
    assert "connect" in err
    err = fetch(sandbox, "http://user:secret@127.0.0.1:1/x", ok=False)
    assert "secret" not in err
    assert os.listdir(sandbox) == []


class FtpHandler(socketserver.StreamRequestHandler):
    """As much of an FTP server as one download needs."""

    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        data = None
        self.say("220 ready")
        for line in self.rfile:
            verb, _, argument = line.decode().strip().partition(" ")
            if verb == "USER":
                self.say("331 password?")
            elif verb == "PASS":
                self.say("230 in")
            elif verb in ("CWD", "TYPE"):
                self.say("200 ok")
            elif verb == "PWD":
                self.say('257 "/"')
            elif verb == "SIZE":
                self.say("213 5")
            elif verb == "EPSV":
                data = socket.create_server(("127.0.0.1", 0))
                self.say(f"229 (|||{data.getsockname()[1]}|)")
            elif verb == "RETR" and argument == "absent":
                self.say("550 no such file")
            elif verb == "RETR":
                self.say("150 here it comes")
                connection, _ = data.accept()
                connection.sendall(b"hello")
                connection.close()
                self.say("226 done" if argument == "file" else "250 done")
            elif verb == "QUIT":
                self.say("221 bye")
                break
            else:
                self.say("502 what?")
        if data:
            data.close()


def test_ftp(sandbox):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), FtpHandler) as ftp:
        ftp.daemon_threads = True
        threading.Thread(target=ftp.serve_forever, args=(0.02,), daemon=True).start()
        url = f"ftp://127.0.0.1:{ftp.server_address[1]}"
        fetch(sandbox, f"{url}/file")
        assert (sandbox / "file").read_bytes() == b"hello"
        err = fetch(sandbox, f"{url}/odd", ok=False)
        assert "the server answered 250 instead of 226" in err
        fetch(sandbox, f"{url}/absent", ok=False)
        assert os.listdir(sandbox) == ["file"]
        ftp.shutdown()


def test_limits(server, sandbox):
    assert "limit" in fetch(sandbox, f"{server.url}/endless", ok=False, total_max_bytes=1_000_000)
    assert "limit" in fetch(sandbox, f"{server.url}/big.bin", ok=False, total_max_bytes=1_000_000)
    fetch(sandbox, f"{server.url}/plain.txt", total_max_bytes=6)
    assert "limit" in fetch(sandbox, f"{server.url}/plain.txt", f"{server.url}/plain.txt",
                            ok=False, total_max_bytes=11)
    size = len(FILES["/a.tgz"])
    assert "limit" in fetch(sandbox, f"{server.url}/a.tgz", ok=False, total_max_bytes=size + 100)


@pytest.mark.parametrize("output", ["/etc/x", "../x", "a/../../x", "", "a/", "."])
def test_output_file_stays_inside(server, sandbox, output):
    fetch(sandbox, {"value": f"{server.url}/plain.txt", "output_file": output}, ok=False)
    assert os.listdir(sandbox) == []
    assert os.listdir(sandbox.parent) == ["sandbox"]


def test_bad_archives(server, sandbox):
    err = fetch(sandbox, f"{server.url}/evil.tar", ok=False)
    assert "climbs out" in err
    assert os.listdir(sandbox.parent) == ["sandbox"]
    err = fetch(sandbox, f"{server.url}/broken.tar.gz", ok=False)
    assert "the archive is broken" in err


@pytest.mark.parametrize("text, says", [
    ("", "line 1"), ("[]", "expected an object"), ("{}", "/sandbox: required"),
    ('{"sandbox":"/","uris":[{"value":1}]}', "/uris/0/value: expected a string"),
    ('{"sandbox":"/","uris":[],"max_bytes":-1}', "/max_bytes"),
])
def test_bad_requests(text, says):
    p = start()
    _, err = p.communicate(text, timeout=60)
    assert p.returncode == 2
    assert says in err


def test_cache(server, sandbox, tmp_path):
    cache = tmp_path / "cache"
    uris = [{"value": f"{server.url}{path}", "cache": True}
            for path in ("/plain.txt", "/a.tgz", "/one.txt.gz")]
    for run in range(2):
        box = tmp_path / f"box{run}"
        box.mkdir()
        err = fetch(box, *uris, cache_dir=str(cache))
        assert ("in the cache" in err) == (run == 1)
        assert (box / "plain.txt").read_bytes() == b"plain\n"
        assert (box / "app/data.txt").exists()
        assert (box / "one.txt").read_bytes() == b"unpacked\n"
        # Archives are unpacked straight from the cache.
        assert not (box / "a.tgz").exists() and not (box / "one.txt.gz").exists()
    assert sorted(server.requests) == ["/a.tgz", "/one.txt.gz", "/plain.txt"]
    assert mode(cache) == 0o700
    # Not asked to use the cache: not used.
    fetch(sandbox, f"{server.url}/plain.txt", cache_dir=str(cache))
    assert server.requests.count("/plain.txt") == 2


def test_cache_downloads_once(server, tmp_path):
    cache = tmp_path / "cache"
    running = []
    for i in range(8):
        box = tmp_path / f"box{i}"
        box.mkdir()
        p = start()
        p.stdin.write(document(box, {"value": f"{server.url}/big.bin", "cache": True},
                               cache_dir=str(cache)))
        p.stdin.close()
        running.append((p, box))
    for p, box in running:
        assert p.wait(60) == 0, p.stderr.read()
        p.stdout.close()
        p.stderr.close()
        assert (box / "big.bin").read_bytes() == FILES["/big.bin"]
    assert server.requests == ["/big.bin"]


def test_cache_that_cannot_hold_it(server, sandbox, tmp_path):
    uri = {"value": f"{server.url}/big.bin", "cache": True}
    err = fetch(sandbox, uri, cache_dir=str(tmp_path / "cache"), max_bytes=1_000_000)
    assert "not using the cache" in err
    assert (sandbox / "big.bin").read_bytes() == FILES["/big.bin"]
    (sandbox / "big.bin").unlink()
    err = fetch(sandbox, uri, cache_dir="/proc/none")
    assert "not using the cache" in err
    assert (sandbox / "big.bin").read_bytes() == FILES["/big.bin"]


def test_killed_download_is_never_used(server, tmp_path):
    cache = tmp_path / "cache"
    box = tmp_path / "box"
    box.mkdir()
    p = start()
    p.stdin.write(document(box, {"value": f"{server.url}/stall", "cache": True},
                           cache_dir=str(cache), stall_timeout_us=60_000_000))
    p.stdin.close()
    assert server.stalled.wait(60)
    p.kill()
    p.wait()
    p.stdout.close()
    p.stderr.close()
    assert list(cache.glob("*.data")) == []
    assert len(list(cache.glob("*.part"))) == 1
    fetch(box, {"value": f"{server.url}/plain.txt", "cache": True}, cache_dir=str(cache))
    assert list(cache.glob("*.part")) == []
