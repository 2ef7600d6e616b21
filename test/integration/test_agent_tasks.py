"""Command tasks through master, agent and executor."""

import os

import pytest
import requests

from cluster import wait_until
from scheduler import Scheduler


@pytest.fixture(scope="module")
def world(shared_cluster):
    master = shared_cluster.master()
    agent = shared_cluster.agent(master)
    with Scheduler(master.url) as s:
        yield shared_cluster, master, agent, s


def state(agent):
    return requests.get(agent.url + "/state", timeout=10).json()


def sandbox_of(agent, task):
    """Folder of the newest run of a command task."""

    def find():
        for f in state(agent)["frameworks"] + state(agent)["completed_frameworks"]:
            for e in f["executors"] + f["completed_executors"]:
                if e["id"] == task:
                    return e["directory"]
        return None

    return wait_until(find, "the sandbox of " + task)


def read(agent, task, name="stdout"):
    path = os.path.join(sandbox_of(agent, task), name)
    r = requests.get(agent.url + "/files/read", params={"path": path, "offset": 0}, timeout=10)
    return r.json()["data"]


def test_finishes(world):
    _, _, agent, s = world
    task = s.launch({"command": {"value": "echo hello; echo oops >&2"}})
    s.wait_state(task, "TASK_FINISHED")
    states = [u["state"] for u in s.of(task)]
    assert states == ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]
    for u in s.of(task):
        assert u["source"] == "SOURCE_EXECUTOR"
        assert u["executor_id"]["value"] == task
        assert u["container_status"]["network_infos"][0]["ip_addresses"][0]["ip_address"] == "127.0.0.1"
    assert read(agent, task) == "hello\n"
    assert "oops\n" in read(agent, task, "stderr")


@pytest.mark.parametrize("code", [1, 3, 127])
def test_exit_status(world, code):
    _, _, _, s = world
    task = s.launch({"command": {"value": f"exit {code}"}})
    status = s.wait_state(task, "TASK_FAILED")
    assert status["message"] == f"Command exited with status {code}"


def test_kill(world):
    _, _, _, s = world
    task = s.launch({"command": {"value": "sleep 1000"}})
    s.wait_state(task, "TASK_RUNNING")
    s.kill(task)
    s.wait_state(task, "TASK_KILLED")
