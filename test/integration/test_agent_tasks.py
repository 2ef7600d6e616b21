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


def test_environment(world):
    _, _, agent, s = world
    task = s.launch(
        {"command": {"value": "env", "environment": {"variables": [{"name": "MINE", "value": "a b"}]}}}
    )
    s.wait_state(task, "TASK_FINISHED")
    env = dict(line.split("=", 1) for line in read(agent, task).splitlines() if "=" in line)
    sandbox = sandbox_of(agent, task)
    assert env["MINE"] == "a b"
    assert env["MESOS_EXECUTOR_ID"] == task
    assert env["MESOS_FRAMEWORK_ID"] == s.framework_id
    assert env["MESOS_SANDBOX"] == sandbox
    assert env["MESOS_DIRECTORY"] == sandbox
    assert env["MESOS_AGENT_ENDPOINT"] == agent.address
    assert env["MESOS_SLAVE_ID"] == state(agent)["id"]
    assert env["MESOS_CHECKPOINT"] == "1"
    assert env["MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD"] == "5secs"
    assert "DCOS_TEST" not in env  # nothing of the agent's own


def test_uris(world):
    cluster, _, agent, s = world
    source = os.path.join(cluster.folder, "hello.sh")
    with open(source, "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\necho fetched\n")
    task = s.launch(
        {"command": {"value": "./hello.sh", "uris": [{"value": "file://" + source, "executable": True}]}}
    )
    s.wait_state(task, "TASK_FINISHED")
    assert read(agent, task) == "fetched\n"
    task = s.launch({"command": {"value": "true", "uris": [{"value": "file:///none/such"}]}})
    status = s.wait_state(task, "TASK_FAILED")
    assert status["reason"] == "REASON_CONTAINER_LAUNCH_FAILED"
    assert status["source"] == "SOURCE_AGENT"
    assert "/none/such" in status["message"]


root = pytest.mark.skipif(os.geteuid() != 0, reason="switches users")


@root
def test_user(world):
    _, _, agent, s = world
    task = s.launch({"command": {"value": "id -un; touch mine", "user": "nobody"}})
    s.wait_state(task, "TASK_FINISHED")
    assert read(agent, task) == "nobody\n"
    task = s.launch({"command": {"value": "true", "user": "no-such-user"}})
    status = s.wait_state(task, "TASK_FAILED")
    assert status["reason"] == "REASON_CONTAINER_LAUNCH_FAILED"
    assert "no-such-user" in status["message"]


@root
def test_fetches_as_the_user(world):
    cluster, _, _, s = world
    secret = os.path.join(cluster.folder, "secret")
    with open(secret, "w", encoding="utf-8") as f:
        f.write("root's")
    os.chmod(secret, 0o600)
    task = s.launch({"command": {"value": "true", "user": "nobody", "uris": [{"value": "file://" + secret}]}})
    assert s.wait_state(task, "TASK_FAILED")["reason"] == "REASON_CONTAINER_LAUNCH_FAILED"


def has_cgroups(agent):
    with open(agent.log_path, encoding="utf-8") as f:
        return "containers get control groups" in f.read()


def test_memory_limit(world):
    _, _, agent, s = world
    if not has_cgroups(agent):
        pytest.skip("no control groups here")
    task = s.launch({"command": {"value": "exec tail /dev/zero"}}, mem=32)
    status = s.wait_state(task, "TASK_FAILED")
    assert status["reason"] == "REASON_CONTAINER_LIMITATION_MEMORY", status
    mem = status["limitation"]["resources"][0]
    assert mem["name"] == "mem" and mem["scalar"]["value"] == 64.0  # its own and the executor's


def test_executor_dies(world):
    """kill -9 of the executor takes its task along and is told."""
    _, _, agent, s = world
    seconds = f"1000.{os.getpid()}"  # names this process among all of the machine
    task = s.launch({"command": {"value": f"sleep {seconds}"}})
    s.wait_state(task, "TASK_RUNNING")
    containers = requests.get(agent.url + "/containers", timeout=10).json()
    container = next(c for c in containers if c["executor_id"] == task)
    os.kill(container["status"]["executor_pid"], 9)
    status = s.wait_state(task, "TASK_FAILED")
    assert status["reason"] == "REASON_EXECUTOR_TERMINATED"
    assert status["source"] == "SOURCE_AGENT"

    def gone():
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    if seconds.encode() in f.read():
                        return False
            except OSError:
                pass
        return True

    wait_until(gone, "the task's processes to be gone")


def test_old_sandboxes_are_collected(cluster):
    master = cluster.master()
    agent = cluster.agent(master, gc_delay="300ms")
    with Scheduler(master.url) as s:
        lives = s.launch({"command": {"value": "sleep 1000"}})
        s.wait_state(lives, "TASK_RUNNING")
        ended = s.launch({"command": {"value": "true"}})
        s.wait_state(ended, "TASK_FINISHED")
        folder = sandbox_of(agent, ended)
        wait_until(lambda: not os.path.exists(os.path.dirname(os.path.dirname(folder))), "the sandbox to be gone")
        assert os.path.exists(sandbox_of(agent, lives) + "/stdout")
        metrics = requests.get(agent.url + "/metrics/snapshot", timeout=10).json()
        assert metrics["gc/path_removals_failed"] == 0.0


def test_sandbox_cannot_be_made(cluster):
    """What is wrong with the disk is what the task says."""
    master = cluster.master()
    agent = cluster.agent(master)
    with Scheduler(master.url) as s:
        with open(os.path.join(agent.flags["work_dir"], "slaves"), "w", encoding="utf-8") as f:
            f.write("in the way")
        status = s.wait_state(s.launch({"command": {"value": "true"}}), "TASK_FAILED")
        assert status["reason"] == "REASON_CONTAINER_LAUNCH_FAILED"
        assert "sandbox" in status["message"]
        assert agent.alive()
