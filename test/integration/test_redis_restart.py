"""Restart of every daemon while redis holds data: same process, same data."""

import json
import os
import socket

import requests

from cluster import ROOT, wait_until


def test_restart_of_every_daemon_while_redis_holds_data(cluster):
    master = cluster.master()
    # The example binds to loopback, for its check, and to the address of its agent: they have to differ.
    agent = cluster.agent(master, ip="127.0.0.9", hostname="127.0.0.9", executor_reregistration_timeout="60secs",
                          resources="cpus:2;mem:1024;disk:1024;ports:[31800-31999]")
    marathon = cluster.marathon(master)
    with open(os.path.join(ROOT, "examples", "redis.json"), encoding="utf-8") as f:
        app = json.load(f)
    assert requests.post(marathon.url + "/v2/apps", json=app, timeout=60).status_code == 201

    def healthy():
        a = requests.get(marathon.url + "/v2/apps/redis", timeout=60).json()["app"]
        return a["tasksHealthy"] == 1 and a["tasks"][0]

    def redis(*words):
        with socket.create_connection((task["host"], task["ports"][0]), timeout=60) as s:
            s.sendall((" ".join(words) + "\r\n").encode())
            return s.makefile("rb").readline().strip() if words[0] != "GET" else s.makefile("rb").read(9)

    def process_id():
        with socket.create_connection((task["host"], task["ports"][0]), timeout=60) as s:
            s.sendall(b"INFO server\r\n")
            for line in s.makefile("rb"):
                if line.startswith(b"run_id:"):
                    return line
        raise AssertionError("no run_id")

    task = wait_until(healthy, "redis to be healthy", timeout=60)
    assert redis("SET", "key", "abc") == b"+OK"
    before = process_id()
    for daemon in (master, agent, marathon):
        daemon.restart()
    wait_until(healthy, "Marathon to see redis healthy again", timeout=60)
    assert process_id() == before
    assert redis("GET", "key").startswith(b"$3\r\nabc")
