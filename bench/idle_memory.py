#!/usr/bin/python3
"""Memory (PSS) of each daemon of a small cluster that has been idle for a minute with two tasks running.
DCOS_BENCH_IDLE=SECONDS shortens the wait."""

import os
import time

import common
import requests

from cluster import Cluster, processes_under, wait_until

IDLE = float(os.environ.get("DCOS_BENCH_IDLE", "60"))


def main():
    cluster = Cluster()
    try:
        master = cluster.master()
        agent = cluster.agent(master)
        marathon = cluster.marathon(master)
        app = {"id": "/sleeper", "cmd": "exec sleep 86400", "cpus": 0.1, "mem": 32, "instances": 2}
        assert requests.post(marathon.url + "/v2/apps", json=app, timeout=10).status_code == 201

        def running():
            tasks = requests.get(marathon.url + "/v2/tasks", timeout=10).json()["tasks"]
            return len(tasks) == 2 and all(t["state"] == "TASK_RUNNING" for t in tasks)

        wait_until(running, "two running tasks")
        time.sleep(IDLE)  # the figure is defined as idle for a minute
        # The launcher names nothing of the cluster in its arguments or environment: it is the agent's child.
        # Processes of a task: its executor, and dcos-init, a fork of the executor in the task's namespaces.
        helpers = {"dcos-launcher": [], "dcos-executor": [], "dcos-init": []}
        for pid in set(processes_under(cluster.folder)) | set(common.children(agent.pid)):
            name = common.process_name(pid)
            if name in helpers:
                helpers[name].append(common.pss_kb(pid))
        assert len(helpers["dcos-launcher"]) == 1 and len(helpers["dcos-executor"]) == 2, helpers
        kb = {d.name: common.pss_kb(d.pid) for d in (master, marathon, agent)}
        common.report("master", kb["master"] / 1024, "MiB")
        common.report("marathon", kb["marathon"] / 1024, "MiB")
        common.report("master+marathon", (kb["master"] + kb["marathon"]) / 1024, "MiB (must be < 20)")
        common.report("agent", kb["agent1"] / 1024, "MiB (must be < 10)")
        common.report("launcher", max(helpers["dcos-launcher"]) / 1024, "MiB")
        common.report("executor", max(helpers["dcos-executor"]) / 1024, "MiB (must be < 2)")
        if helpers["dcos-init"]:
            common.report("task init", max(helpers["dcos-init"]) / 1024, "MiB")
        for d in (master, marathon, agent):
            common.report(f"{d.name} cpu", common.cpu_seconds(d.pid), "s since start")
    finally:
        cluster.close()


main()
