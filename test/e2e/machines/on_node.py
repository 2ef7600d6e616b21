"""What tests have to know of a node, told by the node itself: sent there and run with its python3.

  tasks              the processes of tasks: {task id: [[pid, time of start], ...]}
  programs           the processes that run files of host packages: [{pid, path, unit, version, container}, ...]
  knock NAME PORT FILE   requests by name and by number without pause until FILE.stop is there; then the failures are in FILE
"""

import glob
import http.client
import json
import os
import socket
import subprocess
import sys
import time

PACKAGES = "/opt/mesosphere/packages/"


def processes():
    for path in glob.glob("/proc/[0-9]*"):
        try:
            with open(f"{path}/stat", encoding="utf-8", errors="replace") as f:
                started = f.read().rsplit(")", 1)[1].split()[19]
            with open(f"{path}/environ", "rb") as f:
                environment = dict(w.split(b"=", 1) for w in f.read().split(b"\0") if b"=" in w)
            with open(f"{path}/cgroup", encoding="utf-8") as f:
                groups = f.read()
            program = os.readlink(f"{path}/exe")
        except OSError:
            continue
        yield int(os.path.basename(path)), started, environment, groups, program


def tasks():
    found = {}
    for pid, started, environment, _, program in processes():
        task = environment.get(b"MESOS_TASK_ID", b"").decode()
        if task and not program.startswith(PACKAGES):
            found.setdefault(task, []).append([pid, started])
    return {task: sorted(pids) for task, pids in found.items()}


def programs():
    found = []
    for pid, _, _, groups, program in processes():
        if not program.startswith(PACKAGES):
            continue
        line = [g for g in groups.splitlines() if g.startswith(("0::", "1:name=systemd:"))]
        path = line[0].split(":", 2)[2] if line else ""
        units = [p for p in path.split("/") if p.startswith("dcos-") and p.endswith(".service")]
        version = None
        if os.path.basename(program).startswith("dcos-"):
            done = subprocess.run([f"/proc/{pid}/exe", "--version"], capture_output=True, text=True, timeout=10, check=False)
            version = done.stdout.split()[-1] if done.stdout.split() else None
        found.append({"pid": pid, "path": program, "unit": units[0] if units else None, "version": version})
    return found


def once(host, port):
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/")
        reply = connection.getresponse()
        if reply.status != 200:
            raise OSError(f"status {reply.status}")
        reply.read()
    finally:
        connection.close()


def knock(name, port, file):
    number = socket.gethostbyname(name)
    result = {"number": {"good": 0, "failures": []}, "name": {"good": 0, "failures": []}}
    while not os.path.exists(f"{file}.stop"):
        for kind, host in (("number", number), ("name", name)):
            start = time.time()
            try:
                once(host, int(port))
                result[kind]["good"] += 1
            except (OSError, http.client.HTTPException) as e:
                result[kind]["failures"].append([start, time.time(), repr(e)[:200]])
        time.sleep(0.02)
    with open(f"{file}.part", "w", encoding="utf-8") as f:
        json.dump(result, f)
    os.rename(f"{file}.part", file)


if __name__ == "__main__":
    if sys.argv[1] == "knock":
        knock(*sys.argv[2:5])
    else:
        print(json.dumps({"tasks": tasks, "programs": programs}[sys.argv[1]]()))
