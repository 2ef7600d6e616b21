"""What stands for clouds in tests: servers of npm, signatures of Amazon, and somebody who checks them in front of a
server."""

import contextlib
import hashlib
import hmac
import http.client
import http.server
import os
import shutil
import socket
import subprocess
import threading
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SERVERS = os.path.join(ROOT, "build", "npm-servers")


def npm(name, version):
    """Folder of an npm package, fetched once."""
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("no npm on this machine")
    place = os.path.join(SERVERS, f"{name.replace('/', '+')}-{version}")
    if not os.path.exists(os.path.join(place, "done")):
        shutil.rmtree(place, ignore_errors=True)
        os.makedirs(place)
        # Where it takes longer the rest of the checks is worth more.
        try:
            done = subprocess.run(
                ["npm", "install", "--prefix", place, "--no-audit", "--no-fund", "--fetch-retries=1",
                 "--fetch-retry-mintimeout=1000", "--ignore-scripts", f"{name}@{version}"],
                capture_output=True, text=True, timeout=200, check=False,
            )
        except subprocess.TimeoutExpired:
            shutil.rmtree(place, ignore_errors=True)
            pytest.skip(f"npm took longer than three minutes to fetch {name}")
        if done.returncode != 0:
            shutil.rmtree(place, ignore_errors=True)
            pytest.skip(f"npm cannot fetch {name}: {done.stderr.strip()[-200:]}")
        open(os.path.join(place, "done"), "w").close()
    return os.path.join(place, "node_modules", name)


@contextlib.contextmanager
def served(argv, port, cwd):
    """A server that listens on the port."""
    with open(cwd / "server.log", "wb") as log, subprocess.Popen(argv, cwd=cwd, stdout=log, stderr=log) as run:
        try:
            end = time.monotonic() + 60
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                assert run.poll() is None and time.monotonic() < end, (cwd / "server.log").read_text()
                time.sleep(0.05)
            yield
        finally:
            run.kill()


def amazon_signature(method, path, query, headers, secret, body=b""):
    """Signature version 4 of a request, given and worked out by Amazon's description."""
    fields = dict(part.strip().split("=", 1) for part in headers["Authorization"].split(" ", 1)[1].split(","))
    date, region, service, last = fields["Credential"].split("/")[1:]
    names = fields["SignedHeaders"].split(";")
    assert names == sorted(names) and "host" in names
    lines = [method, path, "&".join(sorted(query.split("&")) if query else [])]
    lines += [f"{name}:{' '.join(headers[name].split())}" for name in names]
    if service == "s3":
        assert "x-amz-content-sha256" in names
    digest = headers["x-amz-content-sha256"] if service == "s3" else hashlib.sha256(body).hexdigest()
    lines += ["", fields["SignedHeaders"], digest]
    hashed = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", headers["X-Amz-Date"], f"{date}/{region}/{service}/{last}", hashed])
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, last):
        key = hmac.digest(key, part.encode(), "sha256")
    return fields["Signature"], hmac.new(key, text.encode(), "sha256").hexdigest()


@contextlib.contextmanager
def guarded(port, secret):
    """s3rver takes any signature of version 4: this stands in front of it and does not."""

    class Guard(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path, _, query = self.path.partition("?")
            given, wanted = amazon_signature(self.command, path, query, self.headers, secret)
            whole = hashlib.sha256(body).hexdigest() == self.headers["x-amz-content-sha256"]
            if given != wanted or not whole:
                self.reply(403, {}, b"SignatureDoesNotMatch")
                return
            behind = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            behind.request(self.command, self.path, body, dict(self.headers))
            found = behind.getresponse()
            self.reply(found.status, dict(found.getheaders()), found.read())
            behind.close()

        def reply(self, status, headers, body):
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("connection", "transfer-encoding", "content-length", "date"):
                    self.send_header(name, value)
            self.send_header("Content-Length", headers.get("content-length", len(body)) if self.command == "HEAD" else len(body))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_DELETE = answer

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Guard) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
