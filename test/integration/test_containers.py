"""Containers through master and agent: limits, and deaths of everything around a task."""

import os
import signal
import uuid

import pytest
import requests

from cluster import wait_until
from fake_agent import running
from scheduler import Scheduler

needs_groups = pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.isdir("/sys/fs/cgroup"), reason="needs root and control groups"
)


@pytest.fixture
def world(cluster):
    master = cluster.master()
    agent = cluster.agent(master)
    with Scheduler(master.url) as s:
        yield cluster, master, agent, s


def marker():
    return f"{uuid.uuid4().int % 10**8 + 10**6}"


def child_of(agent, name):
    """Pid of the agent's child of that name."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f:
                comm, rest = f.read().rsplit(")", 1)
            if int(rest.split()[1]) == agent.pid and comm.split("(", 1)[1] == name:
                return int(pid)
        except OSError:
            pass
    return None


def executor_pid(s, task):
    return s.of(task)[0]["container_status"]["executor_pid"]


@needs_groups
def test_memory_limit(world):
    _, _, _, s = world
    task = s.launch({"command": {"value": "head -c 400000000 /dev/zero | tail | wc -c; sleep 1000"}}, mem=32)
    status = s.wait_state(task, "TASK_FAILED")
    assert status["reason"] == "REASON_CONTAINER_LIMITATION_MEMORY"
    assert "Memory limit exceeded" in status["message"]
    limit = status["limitation"]["resources"][0]
    assert limit["name"] == "mem" and limit["scalar"]["value"] >= 32


@needs_groups
def test_memory_limit_of_the_task_itself(world):
    _, _, _, s = world
    task = s.launch(
        {"command": {"shell": False, "value": "sh", "arguments": ["sh", "-c", "head -c 400000000 /dev/zero | exec tail"]}},
        mem=32,
    )
    assert s.wait_state(task, "TASK_FAILED")["reason"] == "REASON_CONTAINER_LIMITATION_MEMORY"


@needs_groups
def test_process_limit(cluster):
    master = cluster.master()
    cluster.agent(master, container_pids_max=20)
    # More background processes than the container may have: the shell says so, and the task goes on to its end.
    command = "i=0; while [ $i -lt 40 ]; do (sleep 1000 &) || exit 7; i=$((i + 1)); done; exit 0"
    with Scheduler(master.url) as s:
        task = s.launch({"command": {"value": command}})
        assert s.wait_state(task, "TASK_FAILED")["message"].startswith("Command exited with status")
    cluster.agent(master, name="agent2", container_pids_max=200, resources="cpus:3;mem:2048;disk:10;ports:[1-2]")
    with Scheduler(master.url) as s:
        task = s.launch({"command": {"value": command}}, cpus=2.5)
        s.wait_state(task, "TASK_FINISHED")


def test_agent_killed_and_back(world):
    _, _, agent, s = world
    m = marker()
    box = f"/tmp/dcos-test-{m}"
    task = s.launch({"command": {"value": f"while [ ! -e {box} ]; do sleep 0.05; done; exit 0; sleep {m}"}})
    s.wait_state(task, "TASK_RUNNING")
    pid = executor_pid(s, task)
    agent.restart()
    try:
        wait_until(
            lambda: any(
                e["id"] == task
                for f in requests.get(agent.url + "/state", timeout=10).json()["frameworks"]
                for e in f["executors"]
            ),
            "the executor in the agent's state",
        )
        os.kill(pid, 0)
        open(box, "w").close()
        s.wait_state(task, "TASK_FINISHED", 60)
    finally:
        if os.path.exists(box):
            os.unlink(box)
    # An update whose acknowledgement died with the agent comes again under its uuid: no others do.
    states = list({u["uuid"]: u["state"] for u in s.of(task)}.values())
    assert states == ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the executor's end")


def test_task_ends_while_the_agent_is_away(world):
    _, _, agent, s = world
    box = f"/tmp/dcos-test-{marker()}"
    task = s.launch({"command": {"value": f"while [ ! -e {box} ]; do sleep 0.05; done; rm {box}; exit 3"}})
    s.wait_state(task, "TASK_RUNNING")
    agent.kill()
    open(box, "w").close()
    wait_until(lambda: not os.path.exists(box), "the task's end")
    agent.start()
    status = s.wait_state(task, "TASK_FAILED", 60)
    assert status["message"] == "Command exited with status 3"
    assert len({u["uuid"] for u in s.of(task) if u["state"] == "TASK_FAILED"}) == 1


def test_launcher_killed(world):
    _, _, agent, s = world
    first = s.launch({"command": {"value": f"sleep {marker()}"}})
    s.wait_state(first, "TASK_RUNNING")
    launcher = child_of(agent, "dcos-launcher")
    os.kill(launcher, signal.SIGKILL)
    second = s.launch({"command": {"value": "exit 0"}})
    s.wait_state(second, "TASK_FINISHED")
    assert child_of(agent, "dcos-launcher") not in (None, launcher)
    assert not [u for u in s.of(first) if u["state"] != "TASK_STARTING" and u["state"] != "TASK_RUNNING"]
    s.kill(first)
    s.wait_state(first, "TASK_KILLED")


def test_executor_killed(world):
    _, _, _, s = world
    m = marker()
    task = s.launch({"command": {"value": f"setsid sleep {m} & sleep {m}"}})
    s.wait_state(task, "TASK_RUNNING")
    wait_until(lambda: len(running(f"sleep\0{m}")) == 2, "the task's processes")
    os.kill(executor_pid(s, task), signal.SIGKILL)
    status = s.wait_state(task, "TASK_FAILED")
    assert status["reason"] == "REASON_EXECUTOR_TERMINATED"
    wait_until(lambda: not running(f"sleep\0{m}"), "the end of its processes")


def test_statistics(world):
    _, _, agent, s = world
    task = s.launch({"command": {"value": f"sleep {marker()}"}}, mem=64)
    s.wait_state(task, "TASK_RUNNING")
    entry = next(
        e for e in requests.get(agent.url + "/monitor/statistics", timeout=10).json() if e["executor_id"] == task
    )
    statistics = entry["statistics"]
    assert statistics["timestamp"] > 0
    assert statistics["mem_rss_bytes"] > 0
    assert statistics["mem_limit_bytes"] >= 64 << 20
    assert statistics["cpus_limit"] > 0
    s.kill(task)
    s.wait_state(task, "TASK_KILLED")


def test_custom_executor_that_ends_takes_its_processes_along(world):
    """It never subscribes; what it left running in another session ends with it."""
    _, _, _, s = world
    m = marker()
    task = s.launch(
        {
            "executor": {
                "type": "CUSTOM",
                "executor_id": {"value": "custom-" + m},
                "command": {"value": f"setsid sh -c 'trap \"\" TERM HUP; sleep {m}; :' & sleep 0.2; exit 3"},
            }
        }
    )
    status = s.wait_state(task, "TASK_FAILED")
    assert status["reason"] == "REASON_EXECUTOR_TERMINATED"
    wait_until(lambda: not running(m + "\0") and not running(f"sleep {m}"), "the end of what it left running")
