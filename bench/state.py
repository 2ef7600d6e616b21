#!/usr/bin/python3
"""/state of a real master with 10,000 connected simulated agents (load_agents) and 200,000 running tasks: size, latency, what
20 readers at the same time cost against one, and how long the master's loop lets others wait meanwhile.
Usage: state.py [AGENTS [TASKS_EACH]]"""

import socket
import sys
import threading
import time

import common

from cluster import Cluster


def read_all(address, path):
    """One GET without a client library, so that the reader costs little: (seconds to the first byte, to the last, bytes)."""
    started = time.monotonic()
    with socket.create_connection(address) as s:
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
        buffer = bytearray(4 << 20)
        n = s.recv_into(buffer)
        first = time.monotonic() - started
        head = bytes(buffer[:n])
        assert head.startswith(b"HTTP/1.1 200 "), head[:100]
        total = n
        while n:
            n = s.recv_into(buffer)
            total += n
        return first, time.monotonic() - started, total


def readers(address, path, n):
    results = []
    threads = [threading.Thread(target=lambda: results.append(read_all(address, path))) for _ in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(results) == n
    return results


def main():
    agents = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
    each = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    cluster = Cluster()
    load = None
    try:
        master = cluster.master()
        address = (master.ip, master.port)
        load = common.Load("load_agents", master.ip, str(master.port), str(agents), str(each))
        load.wait("registered.time")
        common.report("agents", agents, "agents")
        common.report("tasks", agents * each, "tasks")
        common.report("memory", common.pss_kb(master.pid) / 1024, "MiB")
        quiet = common.LoopProbe(master.ip, master.port)
        time.sleep(2)
        common.report_latencies("loop.quiet", quiet.finish())
        for path in ("/state", "/state-summary", "/tasks?limit=100"):
            name = path[1:].split("?")[0]
            fresh = []
            probe = common.LoopProbe(master.ip, master.port)
            for i in range(5):
                # A query of its own makes every reading a rendering of its own.
                key = f"{path}{'&' if '?' in path else '?'}fresh={i}"
                cpu = common.cpu_with_children(master.pid)
                fresh.append(readers(address, key, 1)[0] + (common.cpu_with_children(master.pid) - cpu,))
            common.report_latencies(f"{name}.loop", probe.finish(), " (must be < 20)" if name == "state" else "")
            fresh.sort()
            first, whole, size, cpu_of_one = fresh[len(fresh) // 2]
            common.report(f"{name}.size", size / 1e6, "MB")
            common.report(
                f"{name}.first_byte", first * 1e3, "ms, median of 5" + (" (must be < 300)" if name == "state" else "")
            )
            common.report(f"{name}.last_byte", whole * 1e3, "ms")
            common.report(f"{name}.cpu.1_reader", cpu_of_one, "s")
            # Twenty at once, three times; then twenty more of what is rendered already, since nothing changes
            # here: that is the cost of the copies into sockets.
            rounds = []
            probe = common.LoopProbe(master.ip, master.port)
            for i in range(3):
                key = f"{path}{'&' if '?' in path else '?'}twenty={i}"
                cpu = common.cpu_with_children(master.pid)
                last = max(r[1] for r in readers(address, key, 20))
                cost = common.cpu_with_children(master.pid) - cpu
                readers(address, key, 20)
                copies = common.cpu_with_children(master.pid) - cpu - cost
                rounds.append(((cost - copies * 19 / 20) / cpu_of_one, cost, copies, last))
            common.report_latencies(f"{name}.loop.20_readers", probe.finish(), " (must be < 20)" if name == "state" else "")
            rounds.sort()
            ratio, cost, copies, last = rounds[1]
            common.report(f"{name}.cpu.20_readers", cost, "s, copies into sockets included, median of 3")
            common.report(f"{name}.cpu.20_copies", copies, "s, of 20 readers of what was rendered before")
            common.report(f"{name}.20_readers_to_one", ratio, "times, copies apart" + (" (must be < 1.5)" if name == "state" else ""))
            common.report(f"{name}.last_byte.20_readers", last * 1e3, "ms")
        common.report("memory.after", common.pss_kb(master.pid) / 1024, "MiB")
        load.finish()
    finally:
        if load:
            load.kill()
        cluster.close()


main()
