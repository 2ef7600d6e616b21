#!/usr/bin/python3
"""How soon the router follows Marathon: from the event that says that a task of a new service is healthy to the first
answer of that service, and from the event that its task was killed to the first request that does not reach it. A
stand-in plays Marathon with 1,000 other services; a process of its own asks every third of a millisecond over one connection.
DCOS_BENCH_FOLLOW is how many services come and go (200)."""

import os
import subprocess
import sys
import time

import common

sys.path.insert(0, os.path.join(common.ROOT, "test", "integration", "router"))

from backends import Marathon, Master, app  # noqa: E402
from cluster import Cluster, wait_until  # noqa: E402
from frontdoor import Iam, Router, free_port  # noqa: E402

SAMPLES = int(os.environ.get("DCOS_BENCH_FOLLOW", "200"))
OTHERS = 1000

# For each line "<path> <0 or 1>" the moment from which the path answers 200, or does not any more.
PROBE = """
import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
s.settimeout(30)
def ok(path):
    s.sendall(b"GET %s HTTP/1.1\\r\\nHost: bench\\r\\nAuthorization: token=%s\\r\\n\\r\\n" % (path, sys.argv[3].encode()))
    data = b""
    while b"\\r\\n\\r\\n" not in data:
        data += s.recv(65536)
    head, _, body = data.partition(b"\\r\\n\\r\\n")
    length = [int(l.split(b":")[1]) for l in head.split(b"\\r\\n") if l.lower().startswith(b"content-length:")]
    while len(body) < length[0]:
        body += s.recv(65536)
    return head.split(b" ")[1] == b"200"
for line in sys.stdin:
    path, wanted = line.split()
    assert ok(path.encode()) != (wanted == "1")
    print("asking", flush=True)
    while ok(path.encode()) != (wanted == "1"):
        time.sleep(0.0003)
    print(repr(time.monotonic()), flush=True)
"""


class Probe:
    def __init__(self, router, token):
        host, port = router.address
        self.process = subprocess.Popen([sys.executable, "-c", PROBE, host, str(port), token], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def line(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the probe ended early")
        return line.strip()

    def milliseconds(self, path, wanted, event):
        self.process.stdin.write(f"{path} {int(wanted)}\n")
        self.process.stdin.flush()
        assert self.line() == "asking"
        began = time.monotonic()
        event()
        return (float(self.line()) - began) * 1e3

    def close(self):
        self.process.kill()
        self.process.wait()


def main():
    cluster = Cluster()
    closing = []
    try:
        port = free_port()
        back = os.path.join(cluster.folder, "back.conf")
        with open(back, "w", encoding="utf-8") as f:
            f.write(f"daemon off; worker_processes 1; pid {cluster.folder}/back.pid; error_log stderr warn; events {{}} http {{ access_log off; "
                    f"server {{ listen 127.0.0.1:{port}; location / {{ return 200 hello; }} }} }}\n")
        nginx = subprocess.Popen(["nginx", "-p", cluster.folder, "-c", back])
        others = [app(f"/others/s{i}", port) for i in range(OTHERS)]
        marathon = Marathon(others)
        master = Master()
        closing += [master, marathon]
        iam = Iam(cluster)
        router = Router(cluster, iam=iam.daemon.address, iam_socket=iam.socket, master=master.address, marathon=marathon.address,
                        workers=1, nginx_log_level="warn")
        router.token = iam.token
        wait_until(lambda: router.ask(f"/service/others/s{OTHERS - 1}/").status_code == 200, "the services")
        probe = Probe(router, iam.token)
        closing.append(probe)
        came, went = [], []
        for n in range(SAMPLES):
            name = f"new{n}"
            new = app(f"/{name}", port)
            task = new["tasks"][0]["id"]
            path = f"/service/{name}/"

            def healthy(new=new, task=task):
                marathon.apps = others + [new]
                marathon.event("health_status_changed_event", appId=new["id"], taskId=task, alive=True)

            def killed(new=new, task=task):
                marathon.apps = others
                marathon.event("status_update_event", appId=new["id"], taskId=task, taskStatus="TASK_KILLED")

            came.append(probe.milliseconds(path, True, healthy))
            went.append(probe.milliseconds(path, False, killed))
        common.report_latencies("healthy_to_answer", sorted(came), ", target < 200")
        common.report_latencies("killed_to_no_more", sorted(went))
        nginx.terminate()
        nginx.wait(timeout=10)
    finally:
        for each in closing:
            each.close()
        cluster.close()


if __name__ == "__main__":
    main()
