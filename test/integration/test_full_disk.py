"""A store whose disk is full: nothing is acknowledged, the reason is said, and all goes on once there is space."""

import os
import subprocess
import threading

import pytest
import requests

from cluster import wait_until
from scheduler import Scheduler

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")


class Disk:
    def __init__(self, folder):
        self.path = os.path.join(folder, "disk")
        self.ballast = os.path.join(self.path, "ballast")
        os.mkdir(self.path)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=0755", "tmpfs", self.path], check=True)

    def fill(self):
        with open(self.ballast, "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"\0" * 4096)
            except OSError:
                pass

    def free(self):
        os.unlink(self.ballast)


@pytest.fixture
def disk(cluster):
    try:
        d = Disk(cluster.folder)
    except subprocess.CalledProcessError:
        pytest.skip("no right to mount")
    return d  # unmounted with the cluster's folder


def agents(master):
    return requests.get(master.url + "/slaves", timeout=60).json()["slaves"]


def test_master(cluster, disk):
    master = cluster.master(work_dir=os.path.join(disk.path, "master"))
    disk.fill()
    agent = cluster.agent(master)
    wait_until(lambda: master.said("the disk is full"), "the master to complain")
    assert not agent.said("registered with master")
    assert master.alive()
    disk.free()
    wait_until(lambda: agent.said("registered with master"), "the agent to be registered")
    known = agents(master)
    master.restart()
    again = wait_until(lambda: [a for a in agents(master) if a["active"]], "the agent to come back")
    assert [a["id"] for a in again] == [a["id"] for a in known]


def test_start_is_refused_with_the_reason(cluster, disk):
    disk.fill()
    master = cluster.master(start=False, work_dir=disk.path)
    master.start(wait=False)
    assert master.process.wait(timeout=60) != 0
    assert "the disk is full; free some space" in master.tail()
    disk.free()
    master.start()


def test_marathon(cluster, disk):
    marathon = cluster.marathon(cluster.master(), work_dir=os.path.join(disk.path, "marathon"))
    app = {"id": "/app", "cmd": "true", "instances": 0, "cpus": 0.1, "mem": 16, "labels": {"big": "x" * 100000}}
    wait_until(lambda: requests.get(marathon.url + "/v2/leader", timeout=60).status_code == 200, "Marathon to lead")
    disk.fill()
    answers = []
    thread = threading.Thread(
        target=lambda: answers.append(requests.post(marathon.url + "/v2/apps", json=app, timeout=60)), daemon=True)
    thread.start()
    wait_until(lambda: marathon.said("the disk is full"), "Marathon to complain")
    assert answers == []
    disk.free()
    thread.join(60)
    assert [a.status_code for a in answers] == [201]
    marathon.restart()
    wait_until(lambda: requests.get(marathon.url + "/v2/apps//app", timeout=60).status_code == 200,
               "the app to be there again")


def test_agent(cluster, disk):
    """Sandboxes and agent.db share the disk that a task fills."""
    master = cluster.master()
    agent = cluster.agent(master, work_dir=os.path.join(disk.path, "agent"))
    with Scheduler(master.url) as s:
        # A task that meets the full disk itself, and cleans up, is told by its own tools.
        task = s.launch({"command": {"value": "head -c 9000000 /dev/zero >big; status=$?; rm big; exit $status"}})
        assert s.wait_state(task, "TASK_FAILED")["message"] == "Command exited with status 1"

        lives = s.launch({"command": {"value": "sleep 1000"}})
        s.wait_state(lives, "TASK_RUNNING")
        disk.fill()
        late = s.launch({"command": {"value": "exit 0"}})
        wait_until(lambda: agent.said("the disk is full"), "the agent to complain")
        assert agent.alive()
        disk.free()
        # Whether it was still to be started or had failed for want of space: its end is told, once, and the other lives on.
        end = wait_until(
            lambda: [u for u in s.of(late) if u["state"] in ("TASK_FINISHED", "TASK_FAILED", "TASK_DROPPED", "TASK_LOST")],
            "the late task's end",
        )
        assert end[0]["state"] == "TASK_FINISHED" or "space" in end[0]["message"]
        assert s.of(lives)[-1]["state"] == "TASK_RUNNING"
        agent.restart()
        after = s.launch_anew({"command": {"value": "exit 0"}})
        s.wait_state(after, "TASK_FINISHED")
        assert s.of(lives)[-1]["state"] == "TASK_RUNNING"
