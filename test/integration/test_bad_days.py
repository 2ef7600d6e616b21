"""Days that go wrong: everything is killed in turn and at once, idle and during a deployment. No task that should live
is lost, none runs twice, deployments finish."""

import os
import signal

import pytest
import requests

from cluster import Cluster, processes_under, wait_until

AGENT_FLAGS = {"executor_reregistration_timeout": "60secs"}


class World:
    """One master, one agent, Marathon; apps whose task is a `sleep` that can be counted."""

    def __init__(self, cluster, agents=1, **master_flags):
        self.cluster = cluster
        self.master = cluster.master(**master_flags)
        self.agents = [
            cluster.agent(
                self.master,
                name=f"agent{i + 1}",
                resources=f"cpus:4;mem:2048;disk:1024;ports:[{31000 + 1000 * i}-{31999 + 1000 * i}]",
                **AGENT_FLAGS,
            )
            for i in range(agents)
        ]
        self.marathon = cluster.marathon(self.master)

    def app(self, **fields):
        return {"id": "/sleeper", "cmd": "exec sleep 86400", "cpus": 0.1, "mem": 32, "instances": 3, **fields}

    def post(self, app):
        r = requests.post(self.marathon.url + "/v2/apps", json=app, timeout=10)
        assert r.status_code == 201, r.text
        return r.json()

    def tasks(self, app="/sleeper"):
        r = requests.get(f"{self.marathon.url}/v2/apps{app}/tasks", timeout=10)
        r.raise_for_status()
        return r.json()["tasks"]

    def running(self, n, app="/sleeper"):
        def condition():
            tasks = self.tasks(app)
            return tasks if len(tasks) == n and all(t["state"] == "TASK_RUNNING" for t in tasks) else None

        return wait_until(condition, f"{n} running tasks of {app}")

    def settled(self, app="/sleeper"):
        def condition():
            r = requests.get(self.marathon.url + "/v2/deployments", timeout=10)
            return r.status_code == 200 and r.json() == []

        wait_until(condition, "deployments to finish", timeout=60)

    def sleepers(self):
        """Process ids of the tasks themselves, found in /proc and not asked of anybody."""
        found = []
        for pid in processes_under(self.cluster.folder):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    if f.read().startswith(b"sleep\x0086400"):
                        found.append(pid)
            except OSError:
                continue
        return sorted(found)

    def daemon_pids(self, program):
        found = []
        for pid in processes_under(self.cluster.folder):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    argv0 = f.read().split(b"\x00")[0]
            except OSError:
                continue
            if argv0.endswith(program.encode()):
                found.append(pid)
        return found

    def agents_active(self, n):
        def condition():
            state = requests.get(self.master.url + "/state", timeout=10).json()
            return sum(1 for s in state["slaves"] if s["active"]) == n

        wait_until(condition, f"{n} active agents", timeout=60)

    def everything_as_before(self, pids, ids):
        self.agents_active(len(self.agents))
        tasks = self.running(len(ids))
        assert sorted(t["id"] for t in tasks) == ids
        assert self.sleepers() == pids

        def master_agrees():
            state = requests.get(self.master.url + "/state", timeout=10).json()
            live = [t["id"] for f in state["frameworks"] for t in f["tasks"] if t["state"] == "TASK_RUNNING"]
            return sorted(live) == ids

        wait_until(master_agrees, "the master to list the same tasks")


@pytest.fixture
def world(cluster):
    w = World(cluster)
    w.post(w.app())
    w.settled()
    w.running(3)
    wait_until(lambda: len(w.sleepers()) == 3, "three task processes")
    return w


@pytest.mark.parametrize("who", ["master", "agent", "marathon", "all"])
def test_killed_daemons_find_everything_as_it_was(world, who):
    pids, ids = world.sleepers(), sorted(t["id"] for t in world.tasks())
    daemons = {
        "master": [world.master],
        "agent": world.agents,
        "marathon": [world.marathon],
        "all": [world.master, *world.agents, world.marathon],
    }[who]
    for daemon in daemons:
        daemon.kill(signal.SIGKILL)
    if who == "all":
        for pid in world.daemon_pids("dcos-launcher"):
            os.kill(pid, signal.SIGKILL)
    assert world.sleepers() == pids
    for daemon in daemons:
        daemon.start()
    world.everything_as_before(pids, ids)


def test_terminated_politely_is_the_same_as_killed(world):
    pids, ids = world.sleepers(), sorted(t["id"] for t in world.tasks())
    for daemon in (world.marathon, *world.agents, world.master):
        daemon.kill(signal.SIGTERM)
        assert daemon.process.returncode == 0
    for daemon in (world.master, *world.agents, world.marathon):
        daemon.start()
    world.everything_as_before(pids, ids)


def test_killed_launcher_is_replaced(world):
    pids, ids = world.sleepers(), sorted(t["id"] for t in world.tasks())
    for pid in world.daemon_pids("dcos-launcher"):
        os.kill(pid, signal.SIGKILL)
    world.everything_as_before(pids, ids)
    r = requests.put(world.marathon.url + "/v2/apps/sleeper", json={"instances": 4}, timeout=10)
    assert r.status_code == 200, r.text
    world.settled()
    world.running(4)
    wait_until(lambda: set(pids) < set(world.sleepers()), "the new one beside those that there were")


def test_killed_task_and_killed_executor_are_replaced(world):
    first = world.sleepers()
    usual = len(world.daemon_pids("dcos-executor"))
    os.kill(first[0], signal.SIGKILL)
    wait_until(lambda: len(world.sleepers()) == 3 and first[0] not in world.sleepers(), "a new task process")
    world.running(3)

    def executors_of_three():
        pids = world.daemon_pids("dcos-executor")  # without that of the task that ended
        return pids if len(pids) == usual else None

    executors = wait_until(executors_of_three, "the executor of the ended task to be gone")
    before = world.sleepers()
    os.kill(executors[0], signal.SIGKILL)
    # The task must not outlive its executor, and only one task is replaced.
    wait_until(lambda: len(set(before) - set(world.sleepers())) == 1 and len(world.sleepers()) == 3, "one replacement")
    world.running(3)
    assert len(set(before) & set(world.sleepers())) == 2


@pytest.mark.parametrize("who", ["master", "agent", "marathon"])
def test_killed_during_a_deployment(cluster, who):
    world = World(cluster)
    world.post(world.app(instances=4))
    world.settled()
    old = {t["id"] for t in world.running(4)}
    r = requests.put(world.marathon.url + "/v2/apps/sleeper", json={"env": {"GENERATION": "2"}}, timeout=10)
    assert r.status_code == 200, r.text
    # In the middle: some of the new ones exist, some of the old ones do.
    wait_until(lambda: {t["id"] for t in world.tasks()} - old, "the upgrade to begin")
    daemon = {"master": world.master, "agent": world.agents[0], "marathon": world.marathon}[who]
    daemon.restart(signal.SIGKILL)
    world.settled()
    tasks = world.running(4)
    assert not {t["id"] for t in tasks} & old
    wait_until(lambda: len(world.sleepers()) == 4, "exactly four task processes")


def test_agent_host_gone_tasks_reappear_elsewhere(cluster):
    world = World(cluster, agents=2, agent_ping_timeout="500ms", max_agent_ping_timeouts=4, agent_reregister_timeout="2secs")
    world.post(
        world.app(
            instances=4,
            constraints=[["hostname", "GROUP_BY"]],
            unreachableStrategy={"inactiveAfterSeconds": 1, "expungeAfterSeconds": 2},
        )
    )
    world.settled()
    world.running(4)
    gone = world.agents[0]
    gone.kill(signal.SIGKILL)
    needle = gone.flags["work_dir"]

    def host_is_dead():
        pids = processes_under(needle)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return not pids

    wait_until(host_is_dead, "the host's processes to end")
    survivor = requests.get(world.agents[1].url + "/state", timeout=10).json()["id"]

    def moved():
        tasks = [t for t in world.tasks() if t["state"] == "TASK_RUNNING"]
        return len(tasks) == 4 and all(t["slaveId"] == survivor for t in tasks)

    wait_until(moved, "four tasks on the other agent", timeout=90)
    wait_until(lambda: len(world.sleepers()) == 4, "exactly four task processes")
