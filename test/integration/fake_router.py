"""A front door in a few lines of Python, for tests of the command line: it checks tokens with a real dcos-iam, passes
calls on to real daemons, and speaks TLS when it gets a certificate. It has none of the real router's rules."""

import base64
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

OPEN = ("/acs/api/v1/auth/", "/ca/")


class FakeRouter:
    def __init__(self, iam, cluster_id="c-1", name="mycl", certificate=None, authority=None, routes=None, challenge="oauthjwt"):
        self.iam = iam
        self.cluster_id = cluster_id
        self.name = name
        self.authority = authority  # file that /ca/dcos-ca.crt gives
        self.routes = {"/acs/api/v1": iam.url + "/acs/api/v1", **(routes or {})}  # prefix -> base URL of a daemon
        self.challenge = challenge
        self.requires_login = True
        self.documents = {}  # path -> object
        self.requests = []  # (method, path, Authorization or None)
        self.links = []
        router = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def answer(self, status, data=b"", **headers):
                if not isinstance(data, bytes):
                    data = json.dumps(data).encode()
                    headers.setdefault("Content_Type", "application/json")
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path.split("?")[0]
                authorization = self.headers.get("Authorization")
                router.requests.append((self.command, self.path, authorization))
                if path == "/":
                    return self.answer(200, b"<html></html>")
                if path == "/ca/dcos-ca.crt" and router.authority:
                    with open(router.authority, "rb") as f:
                        return self.answer(200, f.read())
                if router.requires_login and not path.startswith(OPEN) and not router.knows(authorization):
                    return self.answer(401, b"<html>window.location</html>", Content_Type="text/html; charset=UTF-8",
                                       WWW_Authenticate=router.challenge)
                if path.startswith("/cluster/v1/links"):
                    return self.handle_links(path, body)
                document = router.document(path)
                if document is not None:
                    return self.answer(200, document)
                for prefix, base in router.routes.items():
                    if path.startswith(prefix):
                        return self.forward(base + self.path[len(prefix):], body)
                return self.answer(404, b"")

            def handle_links(self, path, body):
                if router.links is None:
                    return self.answer(404, b"")
                if self.command == "POST":
                    router.links.append(json.loads(body))
                    return self.answer(200, {})
                if self.command == "DELETE":
                    router.links[:] = [link for link in router.links if link["id"] != path.split("/")[-1]]
                    return self.answer(204)
                return self.answer(200, {"links": router.links})

            def forward(self, url, body):
                keep = ("Authorization", "Content-Type", "Accept")
                headers = {k: v for k, v in self.headers.items() if k in keep}
                reply = requests.request(self.command, url, data=body, headers=headers, timeout=30, allow_redirects=False)
                extra = {k.replace("-", "_"): v for k, v in reply.headers.items()
                         if k in ("Content-Type", "WWW-Authenticate", "Set-Cookie", "Location")}
                return self.answer(reply.status_code, reply.content, **extra)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # clients that refuse the certificate

            def finish_request(self, request, client_address):
                if certificate:
                    request = context.wrap_socket(request, server_side=True)
                super().finish_request(request, client_address)

        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def knows(self, authorization):
        """Whether the identity service takes the token (it answers 401 for one that it does not)."""
        token = (authorization or "").removeprefix("token=")
        try:
            claims = token.split(".")[1]
            uid = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["uid"]
        except (IndexError, ValueError, KeyError):
            return False
        reply = requests.get(f"{self.iam.url}/acs/api/v1/users/{uid}", headers={"Authorization": authorization}, timeout=10)
        return reply.status_code != 401

    def document(self, path):
        return {
            "/pkgpanda/active.buildinfo.full.json": {},
            "/metadata": {"PUBLIC_IPV4": "127.0.0.1", "CLUSTER_ID": self.cluster_id},
            "/dcos-metadata/dcos-version.json": {"version": "2.2.0", "dcos-variant": "open", "bootstrap-id": "b1"},
            **({} if "/mesos" in self.routes else {"/mesos/state-summary": {"cluster": self.name}}),
            **self.documents,
        }.get(path)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
