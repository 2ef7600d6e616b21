#!/usr/bin/python3
"""1,000 command tasks on one agent, launched in one call by a scheduler in C (load_tasks): real executors, and real
containers with namespaces and control groups when run as root. Usage: agent_tasks.py [TASKS [COMMAND]]"""

import os
import subprocess
import sys

import common

from cluster import BUILD, Cluster


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    command = sys.argv[2] if len(sys.argv) > 2 else "sleep 10"
    cluster = Cluster()
    try:
        master = cluster.master()
        agent = cluster.agent(master, resources=f"cpus:{count};mem:{count * 64};disk:1024;ports:[31000-31999]")
        before = common.machine_cpu_seconds()
        done = subprocess.run(
            [os.path.join(BUILD, "bench", "load_tasks"), master.address, str(count), command], check=False
        )
        common.report("cpu.machine", common.machine_cpu_seconds() - before, "s, of the whole run on all processors")
        common.report("cpu.agent", common.cpu_seconds(agent.pid), "s")
        common.report("cpu.master", common.cpu_seconds(master.pid), "s")
        common.report("memory.agent", common.pss_kb(agent.pid) / 1024, "MiB")
        return 1 if done.returncode else 0
    finally:
        cluster.close()


sys.exit(main())
