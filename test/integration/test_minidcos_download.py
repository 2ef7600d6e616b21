"""`minidcos nspawn download-installer`, from servers that do well and servers that do not."""

import hashlib
import http.server
import os
import subprocess
import threading
import time

import pytest

from cluster import binary

BODY = bytes(range(256)) * 4096  # 1 MB
NAME = "dcos_generate_config.sh"


class Server(http.server.ThreadingHTTPServer):
    """One installer in channel testing/master; the attributes say how it is served."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.etag = BODY, '"1"'
        self.ranges = True      # known to the server
        self.cut_after = None   # bytes of an answer, then the connection ends
        self.hold_after = None  # bytes of an answer, then nothing until `released`
        self.released = threading.Event()
        self.announced = None   # instead of the length
        self.digest = None      # text of the .sha256
        self.seen = []          # (method, path, Range)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    def handle_error(self, request, client_address):
        """Clients that end are no news."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        pass

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, with_body):
        server = self.server
        server.seen.append((self.command, self.path, self.headers.get("Range")))
        if self.path == f"/dcos/testing/master/{NAME}.sha256" and server.digest is not None:
            return self.whole(server.digest.encode(), with_body)
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", f"/dcos/testing/master/{NAME}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if self.path != f"/dcos/testing/master/{NAME}":
            self.send_response(404)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        start, wanted = 0, self.headers.get("Range")
        if wanted and server.ranges and self.headers.get("If-Range") in (None, server.etag):
            start = int(wanted.split("=")[1].rstrip("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}")
        else:
            self.send_response(200)
        body = server.body[start:]
        length = server.announced if not with_body and server.announced is not None else len(body)
        if length != "none":
            self.send_header("Content-Length", str(length))
        if server.etag:
            self.send_header("ETag", server.etag)
        self.end_headers()
        if with_body and server.hold_after:
            self.wfile.write(body[:server.hold_after])
            server.released.wait(60)
        elif with_body:
            self.wfile.write(body[:server.cut_after])
            self.close_connection = server.cut_after is not None

    def whole(self, body, with_body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)


@pytest.fixture
def server():
    s = Server()
    yield s
    s.shutdown()
    s.server_close()
    s.thread.join()


def download(server, folder, *args, code=0, channel="testing/master", env=()):
    options = [f"--dcos-version={channel}"] if channel is not None else []
    done = subprocess.run([binary("minidcos"), "nspawn", "download-installer",
                           f"--repository={server.url}/dcos", *options, *args], cwd=folder, capture_output=True,
                          text=True, timeout=60, env={**os.environ, **dict(env), "no_proxy": "*"})
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


def read(path):
    with open(path, "rb") as f:
        return f.read()


def test_a_channel_of_a_repository(server, tmp_path):
    """HEAD goes first, nothing else is left beside the file."""
    assert NAME in download(server, tmp_path)
    assert read(tmp_path / NAME) == BODY
    assert os.listdir(tmp_path) == [NAME]
    assert [s[0] for s in server.seen if not s[1].endswith(".sha256")] == ["HEAD", "GET"]


def test_an_address_and_a_path(server, tmp_path):
    download(server, tmp_path, "--download-path=a b/c:d.sh", channel=f"{server.url}/moved")
    assert read(tmp_path / "a b" / "c:d.sh") == BODY
    (tmp_path / "folder").mkdir()
    download(server, tmp_path, "--download-path=folder", channel=f"{server.url}/dcos/testing/master/")
    assert read(tmp_path / "folder" / NAME) == BODY


def test_a_local_repository(server, tmp_path):
    """As `dcos-release` writes them to a folder."""
    channel = tmp_path / "r" / "testing" / "stable"
    channel.mkdir(parents=True)
    (channel / NAME).write_bytes(BODY)
    digest = hashlib.sha256(BODY).hexdigest()
    (channel / f"{NAME}.sha256").write_text(f"{digest}  {NAME}\n")
    (tmp_path / "here").mkdir()
    said = download(server, tmp_path / "here", f"--repository=file://{tmp_path}/r/testing", channel=None)
    assert read(tmp_path / "here" / NAME) == BODY
    assert "no digest" not in said


def test_what_was_cut_off_goes_on(server, tmp_path):
    server.cut_after = 300000
    assert "goes on" in download(server, tmp_path, code=1)
    # Three tries, each of which went on.
    assert os.path.getsize(tmp_path / f"{NAME}.part") == 900000
    assert not (tmp_path / NAME).exists()
    server.cut_after, server.seen = None, []
    download(server, tmp_path)
    assert read(tmp_path / NAME) == BODY
    assert ("GET", f"/dcos/testing/master/{NAME}", "bytes=900000-") in server.seen
    assert os.listdir(tmp_path) == [NAME]


def test_a_download_that_is_killed(server, tmp_path):
    """And one that begins while another runs."""
    server.hold_after = 300000
    child = subprocess.Popen([binary("minidcos"), "nspawn", "download-installer", "--download-path", tmp_path / NAME,
                              "--dcos-version", f"{server.url}/dcos/testing/master/{NAME}"], stderr=subprocess.PIPE)
    part = tmp_path / f"{NAME}.part"
    try:
        end = time.monotonic() + 30
        while not part.exists() or part.stat().st_size < 300000:
            assert time.monotonic() < end and child.poll() is None
            time.sleep(0.01)
        assert "another command" in download(server, tmp_path, channel=f"{server.url}/dcos/testing/master/", code=1)
    finally:
        child.kill()
        child.communicate()
        server.released.set()
    assert part.stat().st_size == 300000
    server.hold_after = None
    assert "going on after 300000" in download(server, tmp_path, channel=f"{server.url}/dcos/testing/master/")
    assert read(tmp_path / NAME) == BODY
    assert os.listdir(tmp_path) == [NAME]


def test_a_part_of_another_version_is_not_used(server, tmp_path):
    server.cut_after = 100000
    download(server, tmp_path, code=1)
    server.cut_after, server.etag, server.body = None, '"2"', BODY[::-1]
    download(server, tmp_path)
    assert read(tmp_path / NAME) == BODY[::-1]


def test_a_server_without_ranges(server, tmp_path):
    server.cut_after = 100000
    download(server, tmp_path, code=1)
    server.cut_after, server.ranges = None, False
    download(server, tmp_path)
    assert read(tmp_path / NAME) == BODY


def test_the_digest(server, tmp_path):
    digest = hashlib.sha256(BODY).hexdigest()
    server.digest = f"{'0' * 64}  {NAME}\n"
    assert "published was 0000" in download(server, tmp_path, code=1)
    assert os.listdir(tmp_path) == [], "what is not what was published does not stay"
    server.digest = f"{digest}  other.sh\n"
    download(server, tmp_path, code=1)
    server.digest = f"{digest}  {NAME}\n"
    download(server, tmp_path)
    assert read(tmp_path / NAME) == BODY
    # The same once more costs no transfer.
    server.seen = []
    assert "there already" in download(server, tmp_path)
    assert ("GET", f"/dcos/testing/master/{NAME}", None) not in server.seen


def test_refusals(server, tmp_path):
    assert "404" in download(server, tmp_path, channel="testing/pull/1", code=1)
    server.announced = "none"
    assert "length" in download(server, tmp_path, code=1)
    server.announced = len(BODY) - 1
    assert "more than" in download(server, tmp_path, code=1)
    assert os.listdir(tmp_path) == []
    server.announced = len(BODY) + 1
    download(server, tmp_path, code=1)
    assert not (tmp_path / NAME).exists()
    done = subprocess.run([binary("minidcos"), "nspawn", "download-installer"], capture_output=True, text=True,
                          timeout=60, cwd=tmp_path)
    assert done.returncode == 2 and "--repository" in done.stderr
    assert "secret" not in download(server, tmp_path, channel=server.url.replace("//", "//me:secret@") + "/x", code=1)
