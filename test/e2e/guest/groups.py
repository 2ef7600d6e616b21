"""Run inside the test machine: what containers get on a host that has nothing but cgroup v2."""

import os
import re

import pytest
import requests

from cluster import wait_until
from scheduler import Scheduler

TREE = "/sys/fs/cgroup"


@pytest.fixture
def world(cluster):
    master = cluster.master()
    agent = cluster.agent(master)
    with Scheduler(master.url) as s:
        yield cluster, master, agent, s


def read(group, name):
    with open(os.path.join(group, name), encoding="utf-8") as f:
        return f.read().strip()


def group_of(s, task):
    """The folder of the task's container, from the kernel's word about its executor."""
    pid = s.of(task)[0]["container_status"]["executor_pid"]
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as f:
        (line,) = f.read().splitlines()
    hierarchy, controllers, path = line.split(":", 2)
    assert (hierarchy, controllers) == ("0", "")
    return TREE + path


def log_of(daemon):
    with open(daemon.log_path, encoding="utf-8") as f:
        return f.read()


def test_agent_says_which_groups(world):
    _, _, agent, _ = world
    assert re.search(r"containers get control groups mode=v2", log_of(agent))


def test_limits_are_in_the_group(world):
    cluster, _, _, s = world
    task = s.launch({"command": {"value": "sleep 1000"}}, cpus=0.5, mem=64)
    s.wait_state(task, "TASK_RUNNING")
    group = group_of(s, task)
    assert f"/{cluster.name}/agent1/" in group
    # The command's share and the executor's.
    weight = int(read(group, "cpu.weight"))
    assert 50 <= weight <= 70
    limit = int(read(group, "memory.max"))
    assert 64 << 20 <= limit <= 128 << 20
    assert int(read(group, "memory.low")) == limit
    assert int(read(group, "pids.current")) >= 3
    assert set(read(group, "cgroup.controllers").split()) >= {"cpu", "memory", "pids"}
    s.kill(task)
    s.wait_state(task, "TASK_KILLED")
    wait_until(lambda: not os.path.exists(group), "the group's end")


def test_statistics_come_from_the_group(world):
    _, _, agent, s = world
    task = s.launch({"command": {"value": "i=0; while :; do i=$((i+1)); done"}}, cpus=0.1, mem=64)
    s.wait_state(task, "TASK_RUNNING")

    def statistics():
        for e in requests.get(agent.url + "/monitor/statistics", timeout=20).json():
            if e["executor_id"] == task and e["statistics"]["cpus_user_time_secs"] > 0.2:
                return e["statistics"]
        return None

    found = wait_until(statistics, "processor time in the statistics")
    group = group_of(s, task)
    assert found["mem_limit_bytes"] == int(read(group, "memory.max"))
    assert 0 < found["mem_rss_bytes"] < found["mem_limit_bytes"]
    s.kill(task)
    s.wait_state(task, "TASK_KILLED")


def test_memory_limit(world):
    _, _, _, s = world
    task = s.launch({"command": {"value": "head -c 400000000 /dev/zero | tail | wc -c; sleep 1000"}}, mem=32)
    s.wait_state(task, "TASK_RUNNING")
    group = group_of(s, task)
    status = s.wait_state(task, "TASK_FAILED")
    assert status["reason"] == "REASON_CONTAINER_LIMITATION_MEMORY"
    assert "Memory limit exceeded" in status["message"]
    assert status["limitation"]["resources"][0]["name"] == "mem"
    wait_until(lambda: not os.path.exists(group), "the group's end")


def test_nothing_gets_out_of_a_kill(world):
    """Processes in sessions of their own, and a group made inside the container's, end with it."""
    _, _, _, s = world
    task = s.launch(
        {
            "command": {
                "value": "g=/sys/fs/cgroup$(sed s/0:://p -n /proc/self/cgroup); mkdir $g/inner; "
                "trap '' TERM; for i in 1 2 3; do setsid sh -c 'trap \"\" TERM; sleep 4711 & wait; sleep 4711' & done; "
                "setsid sh -c 'echo $$ > '$g'/inner/cgroup.procs; trap \"\" TERM; sleep 4711' & "
                "while :; do sleep 1; done"
            },
            "kill_policy": {"grace_period": {"nanoseconds": 100000000}},
        },
        mem=64,
    )
    s.wait_state(task, "TASK_RUNNING")
    group = group_of(s, task)
    wait_until(lambda: read(group + "/inner", "cgroup.procs"), "a process in the inner group")
    s.kill(task)
    s.wait_state(task, "TASK_KILLED")
    wait_until(lambda: not os.path.exists(group), "the group's end")
    commands = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                commands.append(f.read())
        except OSError:
            pass
    assert b"sleep\x004711\x00" not in commands


def test_agent_restart_keeps_groups(world):
    """The new agent finds the groups again: usage, a memory limit that still bites, a kill that leaves nothing."""
    _, _, agent, s = world
    trigger = f"/tmp/{os.path.basename(agent.folder)}-go"
    eats = s.launch(
        {"command": {"value": f"while [ ! -e {trigger} ]; do sleep 0.1; done; head -c 400000000 /dev/zero | tail"}}, mem=32
    )
    sleeps = s.launch({"command": {"value": "sleep 1000"}}, mem=32)
    for task in (eats, sleeps):
        s.wait_state(task, "TASK_RUNNING")
    groups = [group_of(s, task) for task in (eats, sleeps)]
    agent.restart()
    try:
        wait_until(
            lambda: len(requests.get(agent.url + "/monitor/statistics", timeout=20).json()) == 2, "both in the statistics"
        )
        with open(trigger, "w", encoding="utf-8"):
            pass
        assert s.wait_state(eats, "TASK_FAILED", 120)["reason"] == "REASON_CONTAINER_LIMITATION_MEMORY"
        s.kill(sleeps)
        s.wait_state(sleeps, "TASK_KILLED", 120)
        wait_until(lambda: not any(map(os.path.exists, groups)), "the groups' end")
    finally:
        os.unlink(trigger)


def test_agents_share_a_root_that_goes_and_comes(cluster):
    """One agent's end may take the common root along; the other's next container still has its limits."""
    master = cluster.master()
    root = f"{cluster.name}/shared"
    first = cluster.agent(master, "agent1", cgroups_root=root)
    second = cluster.agent(master, "agent2", cgroups_root=root)
    first.kill(15)
    assert not os.path.exists(f"{TREE}/{root}")
    with Scheduler(master.url) as s:
        task = s.launch({"command": {"value": "sleep 1000"}}, mem=64)
        assert second.alive()
        s.wait_state(task, "TASK_RUNNING")
        assert int(read(group_of(s, task), "memory.max")) >= 64 << 20
        s.kill(task)
        s.wait_state(task, "TASK_KILLED")
