"""What the Python benchmarks share. A benchmark prints `name value unit` lines."""

import os
import subprocess
import sys

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
