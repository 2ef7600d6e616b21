"""An operator event stream that says what the test wants: snapshot first, then events, in protobuf's JSON form turned
into what the master sends. Runs in a namespace of its own as a process, driven over its standard input."""

import json
import queue
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def varint(n):
    out = bytearray()
    while True:
        out.append((n & 0x7F) | (0x80 if n > 0x7F else 0))
        n >>= 7
        if not n:
            return bytes(out)


def field(number, value):
    """One field of a protobuf message; lists repeat it, None leaves it out."""
    if value is None:
        return b""
    if isinstance(value, list):
        return b"".join(field(number, v) for v in value)
    if isinstance(value, bool) or isinstance(value, int):
        return varint(number << 3) + varint(int(value))
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def ident(text):
    return field(1, text)


STATES = {"STAGING": 6, "STARTING": 0, "RUNNING": 1, "KILLING": 8, "FINISHED": 2, "FAILED": 3, "KILLED": 4, "LOST": 5, "UNREACHABLE": 10}


def labels(pairs):
    return b"".join(field(1, field(1, k) + field(2, v)) for k, v in pairs.items())


def port(p):
    return field(1, p["number"]) + field(2, p.get("name")) + field(3, p.get("protocol", "tcp")) + field(5, labels(p.get("labels", {})))


def status(t):
    networks = b"".join(field(5, field(2, ip)) for ip in t.get("ips", []))
    container = field(4, ident("c")) + field(1, networks) if t.get("ips") else None
    return field(1, ident(t["id"])) + field(2, STATES[t["state"]]) + field(8, t.get("healthy")) + field(13, container)


def task(t):
    ports = field(1, [port(p) for p in t.get("ports", [])])
    discovery = field(1, 0) + field(2, t.get("discovery")) + field(6, ports)
    return (
        field(1, t.get("name", t["id"])) + field(2, ident(t["id"])) + field(3, ident("f1")) + field(5, ident(t["agent"]))
        + field(6, STATES[t["state"]]) + field(8, status(t)) + field(12, discovery)
    )


def agent(a):
    info = field(1, a["ip"]) + field(6, ident(a["id"]))
    return field(1, info) + field(2, True) + field(3, "1") + field(4, f"slave(1)@{a['ip']}:5051")


def framework():
    return field(1, field(1, "root") + field(2, "marathon") + field(3, ident("f1")) + field(7, "127.0.0.1"))


class State:
    def __init__(self, agents):
        self.lock = threading.Lock()
        self.agents, self.tasks, self.streams = agents, {}, []

    def snapshot(self):
        tasks = field(2, [task(t) for t in self.tasks.values()])
        state = field(1, tasks) + field(3, field(1, framework())) + field(4, field(1, [agent(a) for a in self.agents]))
        return field(1, 1) + field(2, field(1, state))

    def apply(self, t):
        with self.lock:
            known = t["id"] in self.tasks
            self.tasks[t["id"]] = {**self.tasks.get(t["id"], {}), **t}
            t = self.tasks[t["id"]]
            if known:
                update = field(1, ident("f1")) + field(2, status(t)) + field(3, STATES[t["state"]])
                event = field(1, 3) + field(4, update)
            else:
                event = field(1, 2) + field(3, field(1, task(t)))
            if t["state"] in ("FINISHED", "FAILED", "KILLED", "LOST"):
                del self.tasks[t["id"]]
            for stream in self.streams:
                stream.put(event)


def main():
    state = State(json.loads(sys.argv[2]))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            events = queue.Queue()
            with state.lock:
                events.put(state.snapshot())
                state.streams.append(events)
            while True:
                event = events.get()
                record = str(len(event)).encode() + b"\n" + event
                self.wfile.write(f"{len(record):x}\r\n".encode() + record + b"\r\n")
                self.wfile.flush()

    server = ThreadingHTTPServer((sys.argv[1], 5050), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        state.apply(json.loads(line))
        print("told", flush=True)


if __name__ == "__main__":
    main()
