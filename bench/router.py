#!/usr/bin/python3
"""Requests per second and latency through the router with a token, against nginx alone proxying to the same backend in the
same run, with wrk; memory of daemon and workers. Everything has one nginx worker, also the backend.
DCOS_BENCH_ROUTER_SECONDS is the length of each run of wrk (5)."""

import os
import re
import statistics
import subprocess
import sys
import time

import common

sys.path.insert(0, os.path.join(common.ROOT, "test", "integration", "router"))

from backends import Marathon, Master, app  # noqa: E402
from cluster import Cluster, wait_until  # noqa: E402
from frontdoor import Iam, Router, free_port  # noqa: E402

SECONDS = int(os.environ.get("DCOS_BENCH_ROUTER_SECONDS", "5"))
IDLE = float(os.environ.get("DCOS_BENCH_IDLE", "60"))
ROUNDS = 3
SERVICES = 5000

NGINX = """daemon off; worker_processes 1; error_log stderr warn; pid {folder}/{name}.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 100000000; proxy_http_version 1.1;
    client_body_temp_path {folder}/{name}1; proxy_temp_path {folder}/{name}2; fastcgi_temp_path {folder}/{name}3;
    uwsgi_temp_path {folder}/{name}4; scgi_temp_path {folder}/{name}5;
    {body}
}}
"""


class Plain:
    """An nginx with one worker that the router knows nothing of."""

    def __init__(self, cluster, name, body):
        path = os.path.join(cluster.folder, name + ".conf")
        with open(path, "w", encoding="utf-8") as f:
            f.write(NGINX.format(folder=cluster.folder, name=name, body=body))
        self.pid_file = os.path.join(cluster.folder, name + ".pid")
        # A session of its own, as the router's nginx has: the kernel shares processors out by session.
        self.process = subprocess.Popen(["nginx", "-p", cluster.folder, "-c", path], start_new_session=True)

    def worker(self):
        with open(self.pid_file, encoding="utf-8") as f:
            return worker_of(int(f.read()))

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=10)


def worker_of(pid):
    for child in common.children(pid):
        with open(f"/proc/{child}/cmdline", encoding="utf-8") as f:
            if "worker" in f.read():
                return child
    raise RuntimeError("no worker")


def wrk(url, token, worker, connections):
    before = common.cpu_seconds(worker)
    text = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", "-H", f"Authorization: token={token}", url],
        capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in text, text
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))
    count = int(re.search(r"(\d+) requests in", text).group(1))
    value, unit = re.search(r"50%\s+([\d.]+)(us|ms|s)", text).groups()
    median_ms = float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]
    return rate, median_ms, (common.cpu_seconds(worker) - before) / count * 1e6


def main():
    cluster = Cluster()
    closing = []
    try:
        back, direct = free_port(), free_port()
        closing.append(Plain(cluster, "back", f"server {{ listen 127.0.0.1:{back} backlog=1024; "
                             "location / { return 200 \"forty-two bytes of an answer, as it were...\\n\"; } }"))
        alone = Plain(cluster, "alone", f"upstream b {{ server 127.0.0.1:{back}; keepalive 64; keepalive_requests 100000000; }} "
                      f"server {{ listen 127.0.0.1:{direct} backlog=1024; location / {{ proxy_pass http://b; "
                      "proxy_set_header Host $http_host; proxy_set_header Connection \"\"; "
                      "proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; "
                      "proxy_set_header X-Forwarded-Proto $scheme; } }")
        closing.append(alone)
        master = Master()
        marathon = Marathon([app(f"/group/s{i}", back) for i in range(SERVICES)])
        closing += [master, marathon]
        iam = Iam(cluster)
        router = Router(cluster, iam=iam.daemon.address, iam_socket=iam.socket, master=master.address, nginx_log_level="warn",
                        marathon=marathon.address, net=f"127.0.0.1:{back}", workers=1)
        router.token = iam.token
        last = f"/service/group/s{SERVICES - 1}/x"
        wait_until(lambda: router.ask(last).status_code == 200, "the services")
        wait_until(lambda: router.ask("/net/x", token=iam.token).status_code == 200, "the backend")
        worker = worker_of(router.nginx_pid())
        places = {
            "nginx_alone": (f"http://127.0.0.1:{direct}/x", alone.worker()),
            "fixed": (f"{router.url}/net/x", worker),
            "service": (router.url + last, worker),
        }
        for connections in (32, 1):
            runs = {name: [] for name in places}
            for _ in range(ROUNDS):
                for name, (url, pid) in places.items():
                    runs[name].append(wrk(url, iam.token, pid, connections))
            middle = {n: tuple(statistics.median(run[i] for run in r) for i in range(3)) for n, r in runs.items()}
            for name, (rate, median, cpu) in middle.items():
                common.report(f"{name}_c{connections}_rate", rate, "requests/s")
                common.report(f"{name}_c{connections}_median", median, "ms")
                common.report(f"{name}_c{connections}_cpu", cpu, "us/request")
            for name in ("fixed", "service"):
                # Neighbours in time are compared: the machine is not the same from minute to minute.
                ratios = [r[0] / a[0] for r, a in zip(runs[name], runs["nginx_alone"])]
                added = [r[1] - a[1] for r, a in zip(runs[name], runs["nginx_alone"])]
                common.report(f"{name}_c{connections}_of_nginx_alone", statistics.median(ratios), "of 1")
                common.report(f"{name}_c{connections}_added_latency", statistics.median(added), "ms")
        time.sleep(IDLE)  # the figure is defined as idle for a minute
        common.report("router", common.pss_kb(router.daemon.pid) / 1024, "MiB")
        common.report("iam", common.pss_kb(iam.daemon.pid) / 1024, "MiB")
        common.report("nginx_worker", common.pss_kb(worker) / 1024, "MiB")
        common.report("nginx_master", common.pss_kb(router.nginx_pid()) / 1024, "MiB")
    finally:
        for each in closing:
            each.close()
        cluster.close()


if __name__ == "__main__":
    main()
