"""The agent is killed and comes back; tasks go on and nothing is lost."""

import os
import signal

import pytest
import requests

from cluster import wait_until
from scheduler import Scheduler


def state(agent):
    return requests.get(agent.url + "/state", timeout=10).json()


def executor_pid(agent, task):
    for c in requests.get(agent.url + "/containers", timeout=10).json():
        if c["executor_id"] == task:
            return c["status"]["executor_pid"]
    return None


def registered(agent):
    return requests.get(agent.url + "/metrics/snapshot", timeout=10).json()["slave/registered"] == 1.0


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_task_goes_on(cluster, how):
    master = cluster.master()
    agent = cluster.agent(master, executor_reregistration_timeout="60secs")
    with Scheduler(master.url) as s:
        go = os.path.join(cluster.folder, "go")
        task = s.launch({"command": {"value": f"until test -e {go}; do sleep 0.05; done; exit 3"}})
        s.wait_state(task, "TASK_RUNNING")
        pid = executor_pid(agent, task)
        identity = state(agent)["id"]
        agent.restart(how)
        wait_until(lambda: registered(agent), "the agent to register again")
        assert state(agent)["id"] == identity
        assert executor_pid(agent, task) == pid
        s.reconcile(task)
        s.wait(lambda: [u for u in s.of(task) if u.get("reason") == "REASON_RECONCILIATION"], "the answer")
        assert s.of(task)[-1]["state"] == "TASK_RUNNING"
        open(go, "w", encoding="utf-8").close()
        status = s.wait_state(task, "TASK_FAILED")
        assert status["message"] == "Command exited with status 3"
        # The old agent id was kept, so the master never saw another.
        slaves = requests.get(master.url + "/slaves", timeout=10).json()["slaves"]
        assert [x["id"] for x in slaves] == [identity]


def test_ends_while_the_agent_is_away(cluster):
    master = cluster.master()
    agent = cluster.agent(master, executor_reregistration_timeout="60secs")
    with Scheduler(master.url) as s:
        go = os.path.join(cluster.folder, "go")
        task = s.launch({"command": {"value": f"until test -e {go}; do sleep 0.05; done; exit 0"}})
        s.wait_state(task, "TASK_RUNNING")
        pid = executor_pid(agent, task)
        agent.kill()
        open(go, "w", encoding="utf-8").close()
        # The task is gone, its executor waits with the news.
        wait_until(lambda: not children(pid), "the task to end")
        agent.start()
        s.wait_state(task, "TASK_FINISHED")


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as f:
        return f.read().split()


def test_executor_dies_while_the_agent_is_away(cluster):
    master = cluster.master()
    agent = cluster.agent(master)
    with Scheduler(master.url) as s:
        task = s.launch({"command": {"value": "sleep 1000"}})
        s.wait_state(task, "TASK_RUNNING")
        pid = executor_pid(agent, task)
        agent.kill()
        os.kill(pid, signal.SIGKILL)
        agent.start()
        status = s.wait_state(task, "TASK_FAILED")
        assert status["reason"] == "REASON_EXECUTOR_TERMINATED"


def test_updates_wait_for_acknowledgement(cluster):
    """Unacknowledged updates survive the agent and come again, in order."""
    master = cluster.master()
    agent = cluster.agent(master, executor_reregistration_timeout="60secs")
    s = Scheduler(master.url, acknowledge=False).subscribe()
    try:
        task = s.launch({"command": {"value": "exit 0"}})
        s.wait_state(task, "TASK_STARTING")
        wait_until(
            lambda: requests.get(agent.url + "/metrics/snapshot", timeout=10).json()["slave/tasks_finished"] == 1.0,
            "the agent to hear of the end",
        )
        assert {u["state"] for u in s.of(task)} == {"TASK_STARTING"}
        agent.restart()
        s.wait(lambda: len(s.of(task)) >= 2, "the update to come again")
        assert s.of(task)[0]["uuid"] == s.of(task)[1]["uuid"]
        s.acknowledge_update(s.of(task)[0])
        s.acknowledge_update(s.wait_state(task, "TASK_RUNNING"))
        s.acknowledge_update(s.wait_state(task, "TASK_FINISHED"))
        wait_until(lambda: not state(agent)["frameworks"], "the agent to forget the framework")
    finally:
        s.close(teardown=True)


def test_master_restart(cluster):
    master = cluster.master()
    agent = cluster.agent(master)
    s = Scheduler(master.url).subscribe()
    task = s.launch({"command": {"value": "sleep 1000"}})
    s.wait_state(task, "TASK_RUNNING")
    pid = executor_pid(agent, task)
    master.restart()
    s.close()
    s.subscribe()
    wait_until(lambda: registered(agent), "the agent to register again")
    assert executor_pid(agent, task) == pid
    s.kill(task)
    s.wait_state(task, "TASK_KILLED")
    s.close(teardown=True)


def test_other_resources_are_refused(cluster):
    master = cluster.master()
    agent = cluster.agent(master)
    wait_until(lambda: registered(agent), "the agent to register")
    agent.kill()
    agent.flags["resources"] = "cpus:7;mem:1024;disk:1024;ports:[31000-31999]"
    agent.start(wait=False)
    assert agent.process.wait(timeout=30) == 1
    assert "resources changed" in agent.tail()


def test_unregisters_when_told(cluster):
    master = cluster.master()
    agent = cluster.agent(master)
    with Scheduler(master.url) as s:
        task = s.launch({"command": {"value": "sleep 1000"}})
        s.wait_state(task, "TASK_RUNNING")
        agent.process.send_signal(signal.SIGUSR1)
        assert agent.process.wait(timeout=30) == 0
        wait_until(
            lambda: requests.get(master.url + "/slaves", timeout=10).json()["slaves"] == [], "the master to drop it"
        )
