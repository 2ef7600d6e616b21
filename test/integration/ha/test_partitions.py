"""Partitions: masters, ZooKeeper, an agent and a framework in network namespaces, with links that are cut both ways
or one way. Whoever is cut off, work that was acknowledged goes on, and runs once."""

import json
import os
import time

import pytest
import requests

import network
import zookeeper
from cluster import Cluster, wait_until
from scheduler import Scheduler

SESSION = 2.0
PING = 0.3  # seconds; four missed ones make an agent unreachable
MASTERS = ("m1", "m2", "m3")
SERVERS = ("z1", "z2", "z3")


class World:
    """A cluster whose parts live in namespaces. Each test leaves it whole."""

    def __init__(self):
        self.net = network.Network([*SERVERS, *MASTERS, "agent", "framework"])
        self.cluster = Cluster()
        self.ensemble = None

    def __enter__(self):
        self.net.__enter__()
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def _start(self):
        net = self.net
        self.ensemble = zookeeper.Ensemble(
            3, hosts=[net.ip(z) for z in SERVERS], prefixes=[net.prefix(z) for z in SERVERS]
        ).start(wait=False)
        with net.at("framework"):
            self.ensemble.wait_serving()
            self.kazoo = self.ensemble.kazoo()
        zk = self.ensemble.url("/mesos")
        self.masters = {}
        for name in MASTERS:
            master = self.cluster.master(
                name,
                start=False,
                ip=net.ip(name),
                port=5050,
                zk=zk,
                zk_session_timeout=f"{SESSION}secs",
                agent_ping_timeout=f"{int(PING * 1000)}ms",
                max_agent_ping_timeouts=4,
            )
            master.prefix = net.prefix(name)
            self.masters[name] = master.start()
        self.agent = self.cluster.agent(
            zk, start=False, ip=net.ip("agent"), hostname=net.ip("agent"), port=5051,
            zk_session_timeout=f"{SESSION}secs",
        )
        self.agent.prefix = net.prefix("agent")
        self.agent.start()

    def close(self):
        self.cluster.close()
        if self.ensemble:
            self.ensemble.close()
        self.net.close()

    def __exit__(self, *exc):
        self.close()

    def leader(self):
        """Name of the host whose master leads, as ZooKeeper and the master itself say, or None."""
        from kazoo.exceptions import NoNodeError

        nodes = sorted(n for n in self.kazoo.retry(self.kazoo.get_children, "/mesos") if n != "log_replicas")
        if not nodes:
            return None
        try:
            ip = json.loads(self.kazoo.retry(self.kazoo.get, "/mesos/" + nodes[0])[0])["address"]["ip"]
        except NoNodeError:
            return None  # gone between the two questions
        name = next(n for n in MASTERS if self.net.ip(n) == ip)
        answer = requests.get(self.masters[name].url + "/state", timeout=2, allow_redirects=False)
        return name if answer.status_code == 200 else None

    def wait_leader(self, other_than=None):
        return wait_until(lambda: (n := self.leader()) != other_than and n, "a leading master")

    def agents(self):
        answer = requests.get(self.masters[self.leader()].url + "/slaves", timeout=2).json()
        return {a["id"]: a["active"] for a in answer["slaves"]}

    def wait_agent(self):
        wait_until(lambda: list(self.agents().values()) == [True], "the agent to be registered")
        return next(iter(self.agents()))

    def whole_again(self):
        self.net.heal()
        for master in self.masters.values():
            if not master.alive():
                master.start()
        self.wait_leader()
        return self.wait_agent()


@pytest.fixture(scope="module")
def world():
    reason = network.missing() or zookeeper.missing()
    if reason:
        pytest.skip(reason)
    pytest.importorskip("kazoo", reason="python3-kazoo is missing")
    with World() as w:
        yield w


class Work:
    """A framework with one task that writes a line to a file each time it starts."""

    def __init__(self, world, file):
        self.world = world
        self.file = file
        self.agent_id = world.wait_agent()
        self.scheduler = Scheduler(world.masters[world.wait_leader()].url).subscribe()
        self.framework = self.scheduler.framework_id
        command = f"echo started >> {file}; exec sleep 1000"
        self.task = self.scheduler.launch({"command": {"value": command}})
        self.scheduler.wait_state(self.task, "TASK_RUNNING")

    def subscribe_again(self):
        s = self.scheduler
        s.close()
        s.offers.clear()
        s.updates.clear()
        s.url = self.world.masters[self.world.wait_leader()].url
        s.subscribe()

    def check(self):
        """After all is whole: the same agent, the same framework, the same task, started once."""
        assert self.world.wait_agent() == self.agent_id
        self.subscribe_again()
        s = self.scheduler
        assert s.framework_id == self.framework
        s.reconcile(self.task)
        s.wait_state(self.task, "TASK_RUNNING")
        with open(self.file, encoding="utf-8") as f:
            assert f.read() == "started\n"
        # And the cluster does new work.
        extra = s.launch({"command": {"value": "exit 0"}})
        s.wait_state(extra, "TASK_FINISHED")
        s.kill(self.task)
        s.wait_state(self.task, "TASK_KILLED")
        s.close(teardown=True)


@pytest.fixture
def work(world):
    with world.net.at("framework"):
        w = Work(world, os.path.join(world.cluster.folder, f"starts-{time.monotonic_ns()}"))
        yield w
        world.whole_again()
        w.scheduler.close()


WAYS = ("both ways", "from it", "to it")


def cut(world, a, b, way):
    if way != "to it":
        world.net.cut(a, b, one_way=True)
    if way != "from it":
        world.net.cut(b, a, one_way=True)


@pytest.mark.parametrize("way", WAYS)
def test_leader_cut_from_zookeeper(world, work, way):
    """It ends by its own clock; another one leads, and everybody follows."""
    old = world.wait_leader()
    began = time.monotonic()
    for server in SERVERS:
        cut(world, old, server, way)
    assert world.masters[old].process.wait(60) == 1
    assert time.monotonic() - began < SESSION * 5
    assert "leadership is lost" in world.masters[old].tail()
    world.wait_leader(other_than=old)
    world.wait_agent()
    world.whole_again()
    work.check()


@pytest.mark.parametrize("way", WAYS)
def test_leader_cut_from_the_agent(world, work, way):
    """The agent becomes unreachable, its task goes on, and both come back."""
    leader = world.wait_leader()
    s = work.scheduler
    cut(world, leader, "agent", way)
    s.wait_state(work.task, "TASK_UNREACHABLE")
    world.net.heal()
    world.wait_agent()
    s.wait_state(work.task, "TASK_RUNNING")
    assert world.wait_leader() == leader
    work.check()


@pytest.mark.parametrize("way", WAYS)
def test_leader_cut_from_the_framework(world, work, way):
    """The task does not care, and the framework comes back with its id."""
    leader = world.wait_leader()
    # It wants no more, so that what the agent has is there for others.
    work.scheduler.call("SUPPRESS")

    def nothing_is_offered():
        work.scheduler.decline_all()
        frameworks = requests.get(world.masters[leader].url + "/frameworks", timeout=2).json()["frameworks"]
        return not any(f["offers"] for f in frameworks)

    wait_until(nothing_is_offered, "all offers to be declined")
    cut(world, leader, "framework", way)
    with world.net.at("agent"):
        # Work goes on elsewhere: another framework launches at the same master.
        s = Scheduler(world.masters[leader].url).subscribe()
        extra = s.launch({"command": {"value": "exit 0"}})
        s.wait_state(extra, "TASK_FINISHED")
        s.close(teardown=True)
    world.net.heal()
    assert world.wait_leader() == leader
    work.check()


def test_leader_and_agent_on_the_small_side(world, work):
    """Both are cut from all others: the leader ends, the agent keeps its task until it sees the new leader."""
    old = world.wait_leader()
    for side in (old, "agent"):
        for other in (*SERVERS, *MASTERS, "framework"):
            if other != old:
                world.net.cut(side, other)
    assert world.masters[old].process.wait(60) == 1
    world.wait_leader(other_than=old)
    world.net.heal()
    world.wait_agent()
    work.check()


def test_servers_cut_from_each_other(world, work):
    """The ensemble's own partition: with a majority on the other side its minority must not serve, and a master that
    sees the minority only ends."""
    old = world.wait_leader()
    alone = SERVERS[0]
    for other in SERVERS[1:]:
        world.net.cut(alone, other)
        world.net.cut(old, other)
    assert world.masters[old].process.wait(60) == 1
    world.wait_leader(other_than=old)
    world.whole_again()
    work.check()
