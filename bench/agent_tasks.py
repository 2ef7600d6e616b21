#!/usr/bin/python3
"""1,000 command tasks on one agent, launched in one call by a scheduler in C (load_tasks): real executors, and real
containers with namespaces and control groups when run as root. Usage: agent_tasks.py [TASKS [COMMAND]]"""

import glob
import os
import subprocess
import sys

import common

from cluster import BUILD, Cluster


def containers_cpu(group):
    """Of everything that ran below the agent's group, where the kernel counts that."""
    for pattern, read in (
        (f"/sys/fs/cgroup/cpuacct/**/{group}/cpuacct.usage", lambda text: int(text) / 1e9),
        (f"/sys/fs/cgroup/**/{group}/cpu.stat", lambda text: int(text.split()[1]) / 1e6),
    ):
        for path in glob.glob(pattern, recursive=True):
            with open(path, encoding="utf-8") as f:
                return read(f.read())
    return None


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    command = sys.argv[2] if len(sys.argv) > 2 else "sleep 10"
    cluster = Cluster()
    try:
        master = cluster.master()
        agent = cluster.agent(master, resources=f"cpus:{count};mem:{count * 64};disk:1024;ports:[31000-31999]")
        done = subprocess.run(
            [os.path.join(BUILD, "bench", "load_tasks"), master.address, str(count), command], check=False
        )
        containers = containers_cpu(f"{cluster.name}/agent1")
        if containers is not None:
            common.report("cpu.containers", containers, "s, executors and tasks from start to end")
        common.report("cpu.launcher", sum(common.cpu_seconds(p) for p in common.children(agent.pid)), "s")
        common.report("cpu.agent", common.cpu_seconds(agent.pid), "s")
        common.report("cpu.master", common.cpu_seconds(master.pid), "s")
        common.report("memory.agent", common.pss_kb(agent.pid) / 1024, "MiB")
        return 1 if done.returncode else 0
    finally:
        cluster.close()


sys.exit(main())
