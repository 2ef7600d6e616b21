"""The agent as a node: it drains, is cut off, gets other flags, lends what it does not have, and is given up."""

import glob
import json
import os
import signal
import time

import pytest
import requests

from cluster import wait_until
from fake_agent import running
from scheduler import Scheduler, scalar

FENCED = {"labels": [{"key": "DCOS_FENCING", "value": "true"}]}


def operator(daemon, kind, **body):
    field = kind.lower()
    response = requests.post(daemon.url + "/api/v1", json={"type": kind, field: body}, timeout=60)
    assert response.status_code in (200, 202), (response.status_code, response.text)
    return response


def state(agent):
    return requests.get(agent.url + "/state", timeout=60).json()


def registered(agent):
    return requests.get(agent.url + "/metrics/snapshot", timeout=60).json()["slave/registered"] == 1.0


def identity(agent):
    return wait_until(lambda: registered(agent) and state(agent)["id"], "the agent to register")


def mark(cluster, name):
    """A file that a task keeps touching while it lives, and whose name is in the command of what runs for it."""
    path = os.path.join(cluster.folder, name)
    return path, f"while true; do date +%s%N > {path}.new && mv {path}.new {path}; sleep 0.02; done"


def beats(path):
    """Whether the task is alive: it writes once more."""
    with open(path, encoding="utf-8") as f:
        before = f.read()

    def again():
        with open(path, encoding="utf-8") as g:
            return g.read() != before

    return wait_until(again, "a sign of life")


def test_drain_takes_the_shorter_grace_and_survives_restarts(cluster):
    master = cluster.master()
    agent = cluster.agent(master, executor_reregistration_timeout="60secs")
    identity(agent)
    with Scheduler(master.url, capabilities=("PARTITION_AWARE", "TASK_KILLING_STATE")) as s:
        path, command = mark(cluster, "stubborn")
        stubborn = s.launch(
            {
                "command": {"value": "trap '' TERM; " + command},
                "kill_policy": {"grace_period": {"nanoseconds": 60 * 10**9}},
            }
        )
        wait_until(lambda: os.path.exists(path), "the task to work")
        begin = time.monotonic()
        operator(
            master,
            "DRAIN_AGENT",
            agent_id={"value": state(agent)["id"]},
            max_grace_period={"seconds": 1},
        )
        config = {"max_grace_period": {"nanoseconds": 10**9}, "mark_gone": False}
        # Said only after it is on disk.
        assert s.wait_state(stubborn, "TASK_KILLING")["reason"] == "REASON_AGENT_DRAINING"
        assert state(agent)["drain_config"] == config
        since = state(agent)["estimated_drain_start_time_seconds"]
        agent.restart(signal.SIGKILL)
        assert state(agent)["drain_config"] == config
        assert state(agent)["estimated_drain_start_time_seconds"] == since
        shown = operator(agent, "GET_AGENT").json()["get_agent"]
        assert shown["drain_config"]["max_grace_period"] == config["max_grace_period"]
        assert shown["estimated_drain_start_time"]["nanoseconds"] // 10**9 == since
        status = s.wait_state(stubborn, "TASK_KILLED")
        assert status["reason"] == "REASON_AGENT_DRAINING"
        assert time.monotonic() - begin < 50  # and not the minute that the task wanted
        # It is drained when the scheduler's acknowledgement is at the agent and the master knows.
        wait_until(
            lambda: requests.get(master.url + "/slaves", timeout=60).json()["slaves"][0]["drain_info"]["state"] == "DRAINED",
            "the agent to be drained",
        )
        operator(master, "REACTIVATE_AGENT", agent_id={"value": state(agent)["id"]})
        wait_until(lambda: "drain_config" not in state(agent), "the end of draining")
        task = s.launch({"command": {"value": "exit 0"}})
        s.wait_state(task, "TASK_FINISHED")


def test_cut_off_and_started_again_it_still_ends_fenced_tasks(cluster):
    master = cluster.master(agent_ping_timeout="500ms", max_agent_ping_timeouts=8)
    agent = cluster.agent(master, executor_reregistration_timeout="60secs")
    with Scheduler(master.url) as s:
        files = {}
        for name, labels in (("fenced", FENCED), ("plain", {})):
            files[name], command = mark(cluster, name)
            task = s.launch({"command": {"value": command}, "labels": labels})
            s.wait_state(task, "TASK_RUNNING")
            files[name, "task"] = task
        wait_until(lambda: os.path.exists(files["fenced"]) and os.path.exists(files["plain"]), "the tasks to work")
        os.kill(master.pid, signal.SIGSTOP)
        try:
            agent.restart(signal.SIGKILL)
            wait_until(lambda: not running(files["fenced"] + ".new"), "the fenced task's end")
            assert beats(files["plain"])
        finally:
            os.kill(master.pid, signal.SIGCONT)
        status = s.wait(
            lambda: next((u for u in s.of(files["fenced", "task"]) if u["state"] == "TASK_GONE"), None), "the news"
        )
        assert status["reason"] == "REASON_AGENT_DISCONNECTED" or "uuid" not in status
        assert beats(files["plain"])


def start_fails(agent, **flags):
    """The last line of the log of an agent that does not start with these flags."""
    agent.flags.update(flags)
    agent.start(wait=False)
    assert agent.process.wait(timeout=60) != 0
    return agent.tail(1)


def test_other_flags_than_before(cluster):
    master = cluster.master()
    agent = cluster.agent(master, attributes="rack:a")
    before = identity(agent)
    agent.kill()
    flags = dict(agent.flags)
    message = start_fails(agent, resources="cpus:3;mem:1024;disk:1024;ports:[31000-31999]")
    assert "the agent's resources changed" in message and "cpus:2" in message and "cpus:3" in message
    assert "--reconfiguration_policy=additive" in message and "remove agent.db" in message
    agent.flags = dict(flags)
    message = start_fails(agent, attributes="rack:b", reconfiguration_policy="additive")
    assert "the agent's attributes changed" in message and "additive" not in message.split("Start it")[1]
    agent.flags = dict(flags)
    assert "the agent's hostname changed" in start_fails(agent, hostname="other", reconfiguration_policy="additive")
    agent.flags = dict(flags)
    domain = {"fault_domain": {"region": {"name": "r"}, "zone": {"name": "z"}}}
    assert "the agent's domain changed" in start_fails(agent, domain=json.dumps(domain))
    assert "--domain" in start_fails(agent, domain="{}")
    agent.flags = {
        **flags,
        "attributes": "rack:a;ssd:true",
        "resources": "cpus:3;mem:2048;disk:1024;ports:[31000-32999]",
        "reconfiguration_policy": "additive",
    }
    agent.start()
    assert identity(agent) == before
    assert state(agent)["resources"]["cpus"] == 3
    assert state(agent)["attributes"]["ssd"] == "true"


@pytest.mark.skipif(os.geteuid() != 0 or not os.path.isdir("/sys/fs/cgroup"), reason="needs root and control groups")
def test_lends_what_others_do_not_use(cluster):
    master = cluster.master()
    agent = cluster.agent(master, oversubscribed_resources="cpus:2")
    with Scheduler(master.url, capabilities=("PARTITION_AWARE", "REVOCABLE_RESOURCES")) as s:
        revocable = {**scalar("cpus", 1), "revocable": {}}
        task = s.launch(
            {"command": {"value": "sleep 1000"}}, cpus=1, resources=[revocable, scalar("mem", 32)]
        )
        s.wait_state(task, "TASK_RUNNING")
        snapshot = requests.get(agent.url + "/metrics/snapshot", timeout=60).json()
        assert snapshot["slave/cpus_revocable_total"] == 2
        assert snapshot["slave/cpus_revocable_used"] == 1
        assert state(agent)["resources"]["cpus"] == 2
        container = state(agent)["frameworks"][0]["executors"][0]["container"]
        shares = [
            (path, int(open(path, encoding="utf-8").read()))
            for name in ("cpu.shares", "cpu.weight")
            for path in glob.glob(f"/sys/fs/cgroup/**/{container}/{name}", recursive=True)
        ]
        if shares:
            assert min(value for _, value in shares) <= 12


def test_given_up_it_starts_anew_and_keeps_its_data(cluster):
    master = cluster.master()
    agent = cluster.agent(master)
    before = identity(agent)
    disk = {**scalar("disk", 100), "reservations": [{"type": "DYNAMIC", "role": "db"}]}
    operator(master, "RESERVE_RESOURCES", agent_id={"value": before}, resources=[disk])
    wait_until(lambda: state(agent)["reserved_resources"].get("db"), "the reservation")
    with Scheduler(master.url) as s:
        path, command = mark(cluster, "alive")
        task = s.launch({"command": {"value": command}})
        s.wait_state(task, "TASK_RUNNING")
        wait_until(lambda: os.path.exists(path), "the task to work")
        agent.kill()
        operator(master, "MARK_AGENT_GONE", agent_id={"value": before})
        s.wait_state(task, "TASK_GONE_BY_OPERATOR")
        agent.start(wait=False)
        # Mesos agents are told to shut down; ours may come back as another.
        after = wait_until(
            lambda: not agent.alive() or (registered(agent) and state(agent)["id"] != before and state(agent)["id"]),
            "the agent to give in",
        )
        wait_until(lambda: not running(path + ".new"), "the task's end")
        if not agent.alive():
            agent.start()
            after = identity(agent)
        assert after != before
        assert state(agent)["reserved_resources"]["db"]["disk"] == 100
