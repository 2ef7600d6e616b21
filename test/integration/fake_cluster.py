"""A Marathon, a Mesos master and one agent in a few lines of Python, for tests of the command line: they answer with
what a test put there and remember what was asked."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit


class FakeCluster:
    def __init__(self):
        self.answers = {}  # "METHOD /path" -> (status, body, headers) or a function of the request
        self.requests = []  # {"method", "path", "query", "body", "headers"}
        self.files = {}  # sandbox path -> bytes
        self.lock = threading.Lock()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def handle_any(self):
                url = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = {
                    "method": self.command,
                    "path": unquote(url.path),
                    "query": parse_qs(url.query),
                    "body": json.loads(body) if body else None,
                    "headers": dict(self.headers),
                }
                with fake.lock:
                    fake.requests.append(request)
                    status, answer, headers = fake.answer(request)
                if not isinstance(answer, (bytes, str)):
                    answer = json.dumps(answer)
                    headers = {"Content-Type": "application/json", **headers}
                data = answer.encode() if isinstance(answer, str) else answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_any

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def put(self, what, body, status=200, headers=None):
        self.answers[what] = (status, body, headers or {})

    def asked(self, method, path):
        with self.lock:
            return [r for r in self.requests if r["method"] == method and r["path"] == path]

    def answer(self, request):
        path = request["path"]
        known = self.answers.get(f"{request['method']} {path}")
        if callable(known):
            return known(request)
        if known is not None:
            return known
        if path.startswith("/files/"):
            return self.answer_files(path, request["query"])
        return 404, {"message": f"nothing at {path}"}, {}

    def answer_files(self, path, query):
        name = query["path"][0]
        if path == "/files/browse":
            inside = [p for p in self.files if p.startswith(name + "/")]
            if not inside and name not in self.files:
                return 404, "", {}
            return 200, [
                {"path": p, "nlink": 1, "size": len(self.files[p]), "mtime": 1700000000, "mode": "-rw-r--r--",
                 "uid": "root", "gid": "root"}
                for p in sorted(inside)
            ], {}
        if name not in self.files:
            return 404, "", {}
        data = self.files[name]
        offset = int(query.get("offset", ["-1"])[0])
        if offset < 0:
            return 200, {"data": "", "offset": len(data)}, {}
        length = min(int(query.get("length", ["65536"])[0]), 65536)
        return 200, {"data": data[offset : offset + length].decode(errors="replace"), "offset": offset}, {}
