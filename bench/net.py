#!/usr/bin/python3
"""dcos-net: processor time per DNS answer, time from a task's update to the new answer, memory when idle; and where
namespaces can be made, throughput through a virtual address against a direct connection, and the time in which a
backend that died still gets connections."""

import json
import os
import socket
import statistics
import subprocess
import sys
import time

import common

sys.path.insert(0, os.path.join(common.ROOT, "test", "integration", "net"))

from cluster import Cluster, wait_until  # noqa: E402
from netd import A, Answer, Net, exchange, question  # noqa: E402

SECONDS = 5
VIPS = 1000
TASKS = int(os.environ.get("DCOS_BENCH_TASKS", "2000"))
IDLE = float(os.environ.get("DCOS_BENCH_IDLE", "60"))
FAKE = os.path.join(common.ROOT, "test", "integration", "net", "fake_master.py")


class Master:
    def __init__(self, ip="127.0.0.1", agents=({"id": "x-S0", "ip": "127.0.0.1"},), prefix=()):
        self.process = subprocess.Popen([*prefix, sys.executable, FAKE, ip, json.dumps(list(agents))],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def tell(self, **task):
        self.process.stdin.write(json.dumps({"agent": "x-S0", **task}) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "told\n"

    def close(self):
        self.process.kill()
        self.process.wait()


def answers(net):
    names = [f"t{i}.marathon.mesos" for i in range(0, TASKS, TASKS // 16)][:16]
    names += [f"t{i}.marathon.autoip.dcos.thisdcos.directory" for i in range(16)]
    names += [f"_t{i}._tcp.marathon.mesos" for i in range(16)] + ["leader.mesos", "ready.spartan"]
    before = common.cpu_seconds(net.pid)
    out = subprocess.run([os.path.join(os.environ["DCOS_BUILD"], "bench", "load_dns"), "127.0.0.1", str(net.dns_port), str(SECONDS), *names],
                         capture_output=True, text=True, check=True).stdout.split()
    n, wrong, us = map(int, out)
    cpu = common.cpu_seconds(net.pid) - before
    assert wrong == 0, f"{wrong} answers without a record"
    common.report("answers per second", n / us * 1e6, "1/s")
    common.report("processor time per answer", cpu / n * 1e6, "us (must be < 10)")


def follow(master, net, rounds=200):
    """From the moment at which the master writes the event to the first answer that has it."""
    times = []
    to = ("127.0.0.1", net.dns_port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(to)
        s.settimeout(5)
        for i in range(rounds):
            began = time.perf_counter()
            master.tell(id=f"f{i}", state="RUNNING", discovery=f"f{i}", ports=[])
            while True:
                s.send(question(f"f{i}.marathon.mesos", A))
                if Answer(s.recv(4096)).answers:
                    break
            times.append((time.perf_counter() - began) * 1e3)
    common.report("task update to new answer, median", statistics.median(times), "ms (must be < 50)")
    common.report("task update to new answer, worst", max(times), "ms")


SINK = """
import socket, sys
s = socket.create_server((sys.argv[1], 9100))
print("ready", flush=True)
while True:
    c, _ = s.accept()
    while c.recv(1 << 20):
        pass
    c.close()
"""
SOURCE = """
import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
data, n, began = b"x" * (1 << 18), 0, time.perf_counter()
while time.perf_counter() - began < 3:
    n += s.send(data)
print(n / (time.perf_counter() - began) / 1e6)
"""


def throughput():
    import test_vips

    if test_vips.missing() is not None or os.geteuid() != 0:
        return
    cluster = Cluster()
    try:
        with test_vips.Hosts(cluster) as hosts:
            b = hosts.net.ip("b")
            hosts.spawn("b", [sys.executable, "-c", SINK, b])
            hosts.task("sink", "b", 9100)
            ip = hosts.settled(1)

            def measure(where, port):
                return float(subprocess.run([*hosts.net.prefix("a"), sys.executable, "-c", SOURCE, where, str(port)],
                                            capture_output=True, text=True, check=True).stdout)

            pairs = [(measure(b, 9100), measure(ip, 80)) for _ in range(3)]
            common.report("direct", statistics.median(p[0] for p in pairs), "MB/s")
            common.report("by virtual address", statistics.median(p[1] for p in pairs), "MB/s")
            common.report("ratio", statistics.median(p[1] / p[0] for p in pairs), "of direct")
            hosts.tell(id="sink", agent="x-S1", state="FAILED")
            deaths(hosts)
            meddling(hosts)
    finally:
        cluster.close()


def deaths(hosts, rounds=10):
    hosts.server("a", hosts.net.ip("a"), 9101, "stays")
    hosts.server("b", hosts.net.ip("b"), 9102, "goes")
    hosts.task("stays", "a", 9101)
    times = []
    for i in range(rounds):
        hosts.task(f"goes{i}", "b", 9102)
        ip = hosts.settled(2)
        hosts.tell(id=f"goes{i}", agent="x-S1", state="FAILED")
        told = last = time.perf_counter()
        while time.perf_counter() - told < 0.3:
            if hosts.call("m", ip)[0] == "goes":
                last = time.perf_counter()
        times.append((last - told) * 1e3)
    common.report("connections to a dead backend end after, median", statistics.median(times), "ms")
    common.report("connections to a dead backend end after, worst", max(times), "ms (must be < 100)")


def meddling(hosts, rounds=20):
    """Somebody flushes all rules: until the kernel has ours again."""
    for i in range(VIPS):
        hosts.task(f"many{i}", "b", 9200 + i % 100, vip=f"/many{i}:80")
    hosts.settled(1, f"many{VIPS - 1}.marathon.l4lb.thisdcos.directory:80")
    nft = [*hosts.net.prefix("m"), "nft"]
    times, cpu = [], common.cpu_seconds(hosts.nets["m"].pid)
    for _ in range(rounds):
        # Far enough apart that none has to wait for the pause that grows.
        hosts.nets["m"].restart()
        hosts.settled(1, f"many{VIPS - 1}.marathon.l4lb.thisdcos.directory:80")
        subprocess.run([*nft, "flush", "ruleset"], check=True)
        began = time.perf_counter()
        while subprocess.run([*nft, "list", "map", "inet", "dcos_l4lb", "vips"], capture_output=True, check=False).returncode != 0:
            pass
        times.append((time.perf_counter() - began) * 1e3)
    common.report(f"rules flushed by others to {VIPS} virtual addresses back, median", statistics.median(times), "ms")


def main():
    cluster = Cluster()
    master = Master()
    try:
        net = Net.start_in(cluster, "127.0.0.1:5050")
        for i in range(TASKS):
            master.tell(id=f"t{i}", state="RUNNING", discovery=f"t{i}", ports=[{"number": 8000 + i % 1000, "name": "web"}])
        wait_until(lambda: Answer(exchange(("127.0.0.1", net.dns_port), question(f"t{TASKS - 1}.marathon.mesos"))).answers, "the names")
        answers(net)
        follow(master, net)
        common.report(f"memory with {TASKS} tasks", common.pss_kb(net.pid) / 1024, "MiB")
        idle = Net.start_in(cluster, "127.0.0.1:1", name="idle")
        time.sleep(IDLE)
        common.report("idle memory", common.pss_kb(idle.pid) / 1024, "MiB (must be < 8)")
    finally:
        master.close()
        cluster.close()
    throughput()


if __name__ == "__main__":
    main()
