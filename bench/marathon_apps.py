#!/usr/bin/python3
"""Apps posted to a real Marathon one by one, as people's tools do it, and running on simulated agents (load_agents) of a
real master. Usage: marathon_apps.py [APPS [AGENTS]]"""

import http.client
import json
import sys
import threading
import time

import common

from cluster import Cluster, wait_until

POSTERS = 4


def post(marathon, numbers, failures):
    connection = http.client.HTTPConnection(marathon.ip, marathon.port, timeout=60)
    for i in numbers:
        app = {"id": f"/bench/app-{i}", "cmd": "sleep 86400", "cpus": 0.1, "mem": 32, "instances": 1}
        connection.request("POST", "/v2/apps", json.dumps(app), {"Content-Type": "application/json"})
        response = connection.getresponse()
        body = response.read()
        if response.status != 201:
            failures.append((response.status, body[:200]))
    connection.close()


def main():
    apps = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
    agents = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    cluster = Cluster()
    load = None
    try:
        master = cluster.master()
        load = common.Load("load_agents", master.ip, str(master.port), str(agents))
        load.wait("registered.time")
        marathon = cluster.marathon(master, max_running_deployments=apps)
        connection = http.client.HTTPConnection(marathon.ip, marathon.port, timeout=60)

        def get(path):
            connection.request("GET", path, headers={"Accept": "application/json"})
            return json.loads(connection.getresponse().read())

        failures = []
        started = time.monotonic()
        threads = [
            threading.Thread(target=post, args=(marathon, range(k, apps, POSTERS), failures)) for k in range(POSTERS)
        ]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        posted = time.monotonic()
        assert not failures, failures[:3]
        # Deployments are few at the end and cheap to ask for; tasks are counted once they are through.
        wait_until(lambda: not get("/v2/deployments"), "the deployments", timeout=600)
        done = time.monotonic()
        cpu_marathon, cpu_master = common.cpu_seconds(marathon.pid), common.cpu_seconds(master.pid)
        tasks = get("/v2/tasks")["tasks"]
        running = sum(1 for t in tasks if t["state"] == "TASK_RUNNING")
        assert running == apps, running
        common.report("apps", apps, "apps")
        common.report("posted", posted - started, "s")
        common.report("running", done - started, "s until all deployments are done" + (" (must be < 30)" if apps == 10000 else ""))
        common.report("cpu.marathon", cpu_marathon, "s")
        common.report("cpu.master", cpu_master, "s")
        common.report("memory.marathon", common.pss_kb(marathon.pid) / 1024, "MiB")
        started = time.monotonic()
        n = len(get("/v2/apps")["apps"])
        assert n == apps
        common.report("list", (time.monotonic() - started) * 1e3, "ms for GET /v2/apps")
        load.finish()
    finally:
        if load:
            load.kill()
        cluster.close()


main()
