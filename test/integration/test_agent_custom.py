"""A custom executor over TCP."""

import base64
import os

import requests

from cluster import wait_until
from scheduler import Scheduler, scalar

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "custom_executor.py")


def executor(s, name="custom"):
    return {
        "executor_id": {"value": name},
        "framework_id": {"value": s.framework_id},
        "name": "Python",
        "source": "tests",
        "type": "CUSTOM",
        "command": {"value": f"exec /usr/bin/python3 {PROGRAM}"},
        "resources": [
            {**scalar("cpus", 0.1), "allocation_info": {"role": "*"}},
            {**scalar("mem", 64), "allocation_info": {"role": "*"}},
        ],
    }


def launch(s, name="custom"):
    return s.launch({"executor": executor(s, name)}, cpus=0.2, mem=128, resources=[scalar("cpus", 0.1), scalar("mem", 32)])


def executors(agent):
    state = requests.get(agent.url + "/state", timeout=10).json()
    return [e for f in state["frameworks"] for e in f["executors"]]


def test_two_tasks_in_one_executor(cluster):
    master = cluster.master()
    agent = cluster.agent(master)
    with Scheduler(master.url) as s:
        first, second = launch(s), launch(s)
        running = s.wait_state(first, "TASK_RUNNING")
        s.wait_state(second, "TASK_RUNNING")
        assert running["executor_id"]["value"] == "custom"
        assert len(executors(agent)) == 1
        assert {t["executor_id"] for t in executors(agent)[0]["tasks"]} == {"custom"}
        agent_id = running["agent_id"]["value"]

        s.message(agent_id, "custom", b"hello")
        message = s.wait(lambda: s.messages and s.messages[0], "the answer")
        assert base64.b64decode(message["data"]) == b"got hello"
        s.message(agent_id, "custom", b"finish " + first.encode())
        s.wait_state(first, "TASK_FINISHED")
        s.kill(second)
        s.wait_state(second, "TASK_KILLED")

        third = launch(s)
        s.wait_state(third, "TASK_RUNNING")
        s.shutdown(agent_id, "custom")
        status = s.wait_state(third, "TASK_FAILED")
        assert status["reason"] == "REASON_EXECUTOR_TERMINATED"
        s.wait(lambda: s.failures, "FAILURE of the executor")
        assert s.failures[0]["executor_id"]["value"] == "custom"


def test_survives_the_agent(cluster):
    master = cluster.master()
    agent = cluster.agent(master, executor_reregistration_timeout="60secs")
    with Scheduler(master.url) as s:
        task = launch(s)
        agent_id = s.wait_state(task, "TASK_RUNNING")["agent_id"]["value"]
        pid = requests.get(agent.url + "/containers", timeout=10).json()[0]["status"]["executor_pid"]
        agent.restart()
        wait_until(
            lambda: requests.get(agent.url + "/metrics/snapshot", timeout=10).json()["slave/registered"] == 1.0,
            "the agent to register again",
        )
        assert requests.get(agent.url + "/containers", timeout=10).json()[0]["status"]["executor_pid"] == pid
        s.message(agent_id, "custom", b"finish " + task.encode())
        s.wait_state(task, "TASK_FINISHED")


def test_never_registers(cluster):
    master = cluster.master()
    cluster.agent(master, executor_registration_timeout="300ms")
    with Scheduler(master.url) as s:
        silent = executor(s, "silent")
        silent["command"] = {"value": "exec sleep 1000"}
        task = s.launch({"executor": silent}, cpus=0.2, mem=128, resources=[scalar("cpus", 0.1), scalar("mem", 32)])
        status = s.wait_state(task, "TASK_FAILED")
        assert status["reason"] == "REASON_EXECUTOR_REGISTRATION_TIMEOUT"


def test_killed_before_it_registers(cluster):
    master = cluster.master()
    cluster.agent(master)
    with Scheduler(master.url) as s:
        silent = executor(s, "silent")
        silent["command"] = {"value": "exec sleep 1000"}
        task = s.launch({"executor": silent}, cpus=0.2, mem=128, resources=[scalar("cpus", 0.1), scalar("mem", 32)])
        s.kill(task)
        status = s.wait_state(task, "TASK_KILLED")
        assert status["reason"] == "REASON_TASK_KILLED_DURING_LAUNCH"


def test_children_end_with_it(cluster):
    """What an executor started ends with it."""
    master = cluster.master()
    agent = cluster.agent(master)
    seconds = f"1000.{os.getpid()}"  # names these processes among all of the machine
    with Scheduler(master.url) as s:
        leaky = executor(s, "leaky")
        leaky["command"] = {"value": f"sleep {seconds} & sleep {seconds} & exit 0"}
        task = s.launch({"executor": leaky}, cpus=0.2, mem=128, resources=[scalar("cpus", 0.1), scalar("mem", 32)])
        status = s.wait_state(task, "TASK_FAILED")
        assert status["reason"] == "REASON_EXECUTOR_TERMINATED"
        assert "exited with status 0" in status["message"]

        def gone():
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as f:
                        if seconds.encode() in f.read():
                            return False
                except OSError:
                    pass
            return True

        wait_until(gone, "its children to be gone")
        wait_until(lambda: requests.get(agent.url + "/containers", timeout=10).json() == [], "its container to be gone")
