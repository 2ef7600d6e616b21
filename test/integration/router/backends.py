"""Backends behind the router: they tell what reached them, and play Marathon and a master."""

import json
import queue
import socket
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status=200, body=b"", headers=()):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def stream(self, content_type, frames):
        """Frames of a queue, until it gives None or the client goes."""
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        while True:
            frame = frames.get()
            if frame is None:
                return
            self.wfile.write(b"%x\r\n%s\r\n" % (len(frame), frame))
            self.wfile.flush()

    def handle_any(self):
        self.server.backend.begun.append(self.path)
        body = b""
        if "Content-Length" in self.headers:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        elif self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while True:
                n = int(self.rfile.readline(), 16)
                body += self.rfile.read(n)
                self.rfile.readline()
                if n == 0:
                    break
        seen = {
            "backend": self.server.backend.name,
            "method": self.command,
            "path": self.path,
            "version": self.request_version,
            "headers": [[k.lower(), v] for k, v in self.headers.items()],
            "body": body.decode("latin-1"),
        }
        self.server.backend.seen.append(seen)
        try:
            self.server.backend.respond(self, seen)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = handle_any


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def get_request(self):
        request, address = super().get_request()
        # A head and a body are two writes: the second one would wait for the client's delayed acknowledgement.
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return request, address

    def handle_error(self, request, client_address):
        pass  # a client that goes is no error here


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def get_request(self):
        request, _ = super().get_request()
        return request, ("unix", 0)

    def handle_error(self, request, client_address):
        pass


class Backend:
    """Answers with what it got, or with what `answers` says for a path."""

    def __init__(self, name, path=None, tls=None, port=0):
        self.name = name
        self.begun = []  # paths of requests whose head has arrived
        self.seen = []
        self.answers = {}
        if path:
            self.server = UnixServer(path, Handler)
            self.address = f"unix:{path}"
        else:
            self.server = Server(("127.0.0.1", port), Handler)
            self.port = self.server.server_address[1]
            self.address = f"127.0.0.1:{self.port}"
            if tls:
                self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.server.backend = self
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def respond(self, handler, seen):
        if handler.path.split("?")[0] in self.answers:
            status, headers, body = self.answers[handler.path.split("?")[0]]
            handler.answer(status, body, headers)
        else:
            handler.answer(200, seen, [("Content-Type", "application/json"), ("Server", "backend/1.0")])

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Streaming(Backend):
    """One that others follow."""

    def __init__(self, name, **options):
        self.followers = []
        self.lock = threading.Lock()
        super().__init__(name, **options)

    def follow(self, first):
        frames = queue.Queue()
        for frame in first:
            frames.put(frame)
        with self.lock:
            self.followers.append(frames)
        return frames

    def send(self, frame):
        with self.lock:
            for frames in self.followers:
                frames.put(frame)

    def cut(self):
        self.send(None)
        with self.lock:
            self.followers.clear()

    def close(self):
        self.cut()
        super().close()


class Marathon(Streaming):
    def __init__(self, apps=(), leader=None, status=200, **options):
        self.apps = list(apps)
        self.redirect = None  # address of the one that leads, for who wants events
        self.leader = leader
        self.status = status
        super().__init__("marathon", **options)

    def respond(self, handler, seen):
        path = handler.path.split("?")[0]
        if self.status != 200:
            handler.answer(self.status)
        elif path == "/v2/events" and self.redirect:
            handler.answer(302, b"", [("Location", f"http://{self.redirect}{seen['path']}")])
        elif path == "/v2/events":
            handler.stream("text/event-stream", self.follow([b"event: event_stream_attached\ndata: {}\n\n"]))
        elif path == "/v2/leader":
            handler.answer(200 if self.leader else 404, {"leader": self.leader} if self.leader else {"message": ""})
        elif path == "/v2/apps":
            handler.answer(200, {"apps": self.apps})
        elif path.startswith("/v2/apps/"):
            found = [a for a in self.apps if a.get("id") == path[len("/v2/apps"):]]
            handler.answer(200 if found else 404, {"app": found[0]} if found else {"message": "no"})
        else:
            super().respond(handler, seen)

    def event(self, kind, **data):
        self.send(f"event: {kind}\ndata: {json.dumps({'eventType': kind, **data})}\n\n".encode())

    def set(self, *apps):
        """Replaces the apps and says so."""
        self.apps = list(apps)
        self.event("deployment_success", id="x")


def record(event):
    text = json.dumps(event).encode()
    return b"%d\n%s" % (len(text), text)


class Master(Streaming):
    def __init__(self, agents=(), frameworks=(), redirect=None, **options):
        self.agents = list(agents)
        self.frameworks = list(frameworks)
        self.redirect = redirect
        self.not_ready = 0  # subscriptions to answer with 503 first
        super().__init__("mesos", **options)

    def respond(self, handler, seen):
        if seen["path"] == "/api/v1" and "SUBSCRIBE" in seen["body"]:
            if self.not_ready > 0:
                self.not_ready -= 1
                handler.answer(503, b"Master has not finished recovery")
                return
            if self.redirect:
                handler.answer(307, b"", [("Location", f"//{self.redirect}/api/v1")])
                return
            state = {"get_agents": {"agents": self.agents}, "get_frameworks": {"frameworks": self.frameworks}}
            first = {"type": "SUBSCRIBED", "subscribed": {"get_state": state, "heartbeat_interval_seconds": 15.0}}
            handler.stream("application/json", self.follow([record(first)]))
        else:
            super().respond(handler, seen)

    def event(self, kind, **data):
        self.send(record({"type": kind, kind.lower(): data}))


def agent(agent_id, address):
    return {"agent_info": {"id": {"value": agent_id}, "hostname": "h"}, "pid": f"slave(1)@{address}"}


def framework(framework_id, name, webui_url=None):
    info = {"id": {"value": framework_id}, "name": name, "user": "root"}
    if webui_url is not None:
        info["webui_url"] = webui_url
    return {"framework_info": info, "active": True}


def app(app_id, port, name=None, scheme="http", index="0", host="127.0.0.1", labels=None, **more):
    all_labels = {
        "DCOS_SERVICE_NAME": name or app_id.strip("/"),
        "DCOS_SERVICE_SCHEME": scheme,
        "DCOS_SERVICE_PORT_INDEX": index,
        **(labels or {}),
    }
    return {
        "id": app_id,
        "labels": {k: v for k, v in all_labels.items() if v is not None},
        "networks": [{"mode": "host"}],
        "tasks": [{"id": app_id.strip("/") + ".1", "state": "TASK_RUNNING", "host": host, "ports": [port]}],
        **more,
    }
