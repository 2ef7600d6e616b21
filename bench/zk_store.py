#!/usr/bin/python3
"""ZooKeeper as the store, an ensemble of three on this machine that syncs to disk: durable commits per second, how
fast a registry is read, and how long after the old leader's node is gone a new master serves.

Prints `name value unit` lines. Usage: zk_store.py [SECONDS]"""

import os
import signal
import statistics
import subprocess
import sys
import threading
import time

import common

sys.path.insert(0, os.path.join(common.ROOT, "test", "integration", "ha"))

import zookeeper  # noqa: E402
from cluster import BUILD, Cluster, wait_until  # noqa: E402
from ha_masters import Masters  # noqa: E402

ROUNDS = 10


def elections(ensemble):
    """The leader ends in good order, so that its session goes at once: what is left is our own work."""
    cluster = Cluster()
    took = []
    try:
        m = Masters(cluster, ensemble)
        for _ in range(ROUNDS):
            gone = threading.Event()
            when = []

            def on_gone(event):
                when.append(time.monotonic())
                gone.set()

            old = m.leader()
            m.kazoo.exists(f"{m.path}/{m.nodes()[0]}", watch=on_gone)
            old.kill(signal.SIGTERM)
            assert gone.wait(30)
            m.wait_leader(other_than=old)
            took.append((time.monotonic() - when[0]) * 1000)
            old.start()
            m.wait_members(3)
        m.close()
    finally:
        cluster.close()
    return took


def main():
    reason = zookeeper.missing()
    if reason:
        print(f"zk_store is left out: {reason}", file=sys.stderr)
        return
    seconds = sys.argv[1] if len(sys.argv) > 1 else "3"
    ensemble = zookeeper.Ensemble(3, sync=True).start()
    try:
        store = [os.path.join(BUILD, "bench", "bench_store"), ensemble.url("/bench"), seconds]
        out = subprocess.run(store, check=True, capture_output=True, text=True).stdout
        for line in out.splitlines():
            print("zk_" + line)
        wait_until(lambda: all(s.mode() for s in ensemble.servers), "the ensemble")
        took = elections(ensemble)
        print(f"zk_election_to_serving_median {statistics.median(took):.0f} ms")
        print(f"zk_election_to_serving_max {max(took):.0f} ms")
    finally:
        ensemble.close()


main()
