"""A node whose network is cut, in one direction or in both: what its agent and the master each believe, and that a task
that must never run twice has ended before the master gives it up."""

import os
import sys
import threading
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "kernel"))

import network  # noqa: E402
from cluster import wait_until  # noqa: E402
from raw import Scheduler, get  # noqa: E402

CUTS = {"to the agent": [("m", "a")], "to the master": [("a", "m")], "both ways": [("m", "a"), ("a", "m")]}


@pytest.fixture
def net():
    why = network.missing()
    if why:
        pytest.skip(why)
    with network.Network(["m", "a"]) as n, n.at("m"):
        yield n


def start(cluster, net, **flags):
    master = cluster.master(ip=net.ip("m"), allocation_interval="20ms", **flags)
    agent = cluster.agent(master, start=False, ip=net.ip("a"), hostname=net.ip("a"))
    agent.prefix = net.prefix("a")
    agent.start()
    return master


def cut(net, name):
    for pair in CUTS[name]:
        net.cut(*pair, one_way=True)


def processes_of(task):
    """What runs in its container, but for the executor: that ends when the agent knows of the task's end."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                mine = task.encode() in f.read()
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if mine and f.read().startswith(b"sleep\0"):
                    found.append(int(pid))
        except OSError:
            pass
    return found


def alive(pid):
    """Dead ones that nobody has asked about yet do not run."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read() != b""
    except OSError:
        return False


class Watch(threading.Thread):
    """When the last of the processes ended."""

    def __init__(self, pids):
        super().__init__(daemon=True)
        self.pids, self.ended = pids, None
        self.start()

    def run(self):
        while any(alive(p) for p in self.pids):
            time.sleep(0.005)
        self.ended = time.monotonic()


@pytest.mark.parametrize("where", CUTS)
def test_a_fenced_task_ends_before_it_is_given_up(net, cluster, where):
    master = start(cluster, net, agent_ping_timeout="1secs", max_agent_ping_timeouts=4)
    with Scheduler(master) as s:
        tasks = {}
        for name in ("plain", "fenced"):
            labels = {"labels": [{"key": "DCOS_FENCING", "value": "true"}]} if name == "fenced" else None
            tasks[name], agent_id = s.launch(labels=labels)
            s.state(tasks[name], "TASK_RUNNING")
        pids = {name: wait_until(lambda t=task: processes_of(t), "its process") for name, task in tasks.items()}
        watch = Watch(pids["fenced"])
        begin = time.monotonic()
        cut(net, where)
        while s.update(tasks["plain"], acknowledge=False)["state"] != "TASK_UNREACHABLE":
            pass
        given_up = time.monotonic()
        assert 4 - 1 <= given_up - begin
        watch.join(60)
        assert watch.ended is not None and begin < watch.ended < given_up
        assert all(alive(p) for p in pids["plain"])
        net.heal()
        back = s.state(tasks["plain"], "TASK_RUNNING")
        assert back["reason"] == "REASON_AGENT_REREGISTERED"
        # When the way to the master was open it knew even before, and the agent tells again what nobody acknowledged.
        s.reconcile({"task_id": {"value": tasks["fenced"]}, "agent_id": {"value": agent_id}})
        while s.update(tasks["fenced"])["state"] != "TASK_GONE":
            pass
        wait_until(lambda: get(master, "/state").json()["slaves"][0]["active"], "the agent is active")


@pytest.mark.parametrize("where", CUTS)
def test_a_short_cut_costs_nothing(net, cluster, where):
    master = start(cluster, net)
    with Scheduler(master) as s:
        task, _ = s.launch(labels={"labels": [{"key": "DCOS_FENCING", "value": "true"}]})
        s.state(task, "TASK_RUNNING")
        watch = Watch(wait_until(lambda: processes_of(task), "its process"))
        cut(net, where)
        watch.join(1.5)
        net.heal()
        assert watch.is_alive()
        # There and back: the way is open again.
        s.call("KILL", kill={"task_id": {"value": task}})
        assert "reason" not in s.state(task, "TASK_KILLED")
