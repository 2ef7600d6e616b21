"""What the Python benchmarks share. A benchmark prints `name value unit` lines."""

import os
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
os.environ.setdefault("DCOS_BUILD", os.path.join(ROOT, "build", "bench"))
sys.path.insert(0, os.path.join(ROOT, "test", "integration"))


def pss_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as f:
        for line in f:
            if line.startswith("Pss:"):
                return int(line.split()[1])
    raise RuntimeError("no Pss")


def process_name(pid):
    with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
        return f.read().strip()


def children(pid):
    found = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/children", encoding="utf-8") as f:
            found += [int(child) for child in f.read().split()]
    return found


def cpu_seconds(pid):
    """Of all its threads, exact where the kernel counts nanoseconds."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="utf-8") as f:
            total += int(f.read().split()[0])
    return total / 1e9


def cpu_with_children(pid):
    """Also of children, once they are gone and it has waited for them; those in clock ticks."""
    end = time.monotonic() + 5
    while children(pid) and time.monotonic() < end:
        time.sleep(0.001)
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return cpu_seconds(pid) + (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


class LoopProbe:
    """Asks /health over one connection once a millisecond, from a process of its own: how long the daemon's loop lets
    others wait. What the probe itself waits for a processor is in it, so it is an upper bound."""

    PROBE = """
import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
s.settimeout(30)
request = b"GET /health HTTP/1.1\\r\\nHost: bench\\r\\n\\r\\n"
print("ready", flush=True)
while True:
    began = time.perf_counter()
    s.sendall(request)
    answer = s.recv(4096)
    if not answer:
        break
    sys.stdout.write(f"{time.perf_counter() - began:.6f}\\n")
    time.sleep(0.001)
"""

    def __init__(self, ip, port):
        self.output = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([sys.executable, "-c", self.PROBE, ip, str(port)], stdout=self.output, text=True)

    def finish(self):
        """Milliseconds, ascending."""
        self.process.terminate()
        self.process.wait()
        self.output.seek(0)
        lines = self.output.read().splitlines()
        self.output.close()
        values = []
        for line in lines[:-1]:
            try:
                values.append(float(line) * 1e3)
            except ValueError:
                pass
        return sorted(values)


def report_latencies(name, values, target=""):
    def at(share):
        return values[min(len(values) - 1, int(len(values) * share))]

    report(f"{name}.p50", at(0.5), f"ms, of {len(values)}")
    report(f"{name}.p99", at(0.99), "ms" + target)
    report(f"{name}.max", values[-1], "ms")


def report(name, value, unit):
    print(f"{name} {value:.3f} {unit}" if isinstance(value, float) else f"{name} {value} {unit}", flush=True)


class Load:
    """A load program of ours that works until its stdin ends."""

    def __init__(self, name, *args):
        self.process = subprocess.Popen(
            [os.path.join(os.environ["DCOS_BUILD"], "bench", name), *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait(self, word):
        """Passes its lines on up to the one that begins with the word."""
        for line in self.process.stdout:
            print(line, end="", flush=True)
            if line.startswith(word):
                return
        raise RuntimeError("the load ended early")

    def finish(self):
        self.process.stdin.close()
        for line in self.process.stdout:
            print(line, end="", flush=True)
        if self.process.wait() != 0:
            raise RuntimeError("the load failed")

    def kill(self):
        self.process.kill()
        self.process.wait()
