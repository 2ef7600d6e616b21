"""ZooKeeper that fails, loops that stand still, clocks that jump."""

import ctypes
import os
import signal
import threading
import time

import pytest
import requests

from cluster import wait_until
from scheduler import Scheduler
from test_failover import SLEEP, agent_id, follow, tasks_on

FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"


def test_servers_die_in_turn(cluster, masters, ensemble):
    """One of three at a time: the leader leads on, and what it acknowledges is there afterwards."""
    m = masters(2, zk_session_timeout="30secs")
    leader = m.leader()
    known = agent_id(cluster.agent(m.zk))
    frameworks = []
    for server in ensemble.servers:
        server.kill()
        s = Scheduler(leader.url, name=f"without{server.number}").subscribe()
        frameworks.append(s.framework_id)
        s.close()
        server.start()
        ensemble.wait_serving([server])
    assert m.leader() is leader and leader.alive()
    leader.kill(signal.SIGTERM)
    m.wait_leader(other_than=leader)
    m.wait_agents(known)
    for server, framework in zip(ensemble.servers, frameworks):
        s = Scheduler(m.leader().url, framework_id=framework, name=f"without{server.number}").subscribe()
        assert s.framework_id == framework
        s.close(teardown=True)


def test_all_servers_away_for_less_than_the_session(cluster, masters, ensemble):
    m = masters(2, zk_session_timeout="60secs")
    leader = m.leader()
    known = agent_id(cluster.agent(m.zk))
    for server in ensemble.servers:
        server.kill()
    s = Scheduler(leader.url, name="patient")
    subscribing = threading.Thread(target=s.subscribe)
    subscribing.start()
    # Nothing is acknowledged that is not durable, and the wait is reported.
    wait_until(lambda: leader.said("storage is slow"), "the report")
    assert subscribing.is_alive() and s.framework_id is None
    for server in ensemble.servers:
        server.start()
    ensemble.wait_serving()
    subscribing.join(60)
    assert s.framework_id and leader.alive()
    assert m.leader() is leader
    m.wait_agents(known)
    s.close(teardown=True)


def test_all_servers_away_for_longer(cluster, masters, ensemble):
    m = masters()
    agent = cluster.agent(m.zk, zk_session_timeout="2secs")
    known = agent_id(agent)
    s = Scheduler(m.leader().url).subscribe()
    framework = s.framework_id
    task = s.launch(SLEEP)
    s.wait_state(task, "TASK_RUNNING")
    old = m.leader()
    standbys = m.standbys()
    for server in ensemble.servers:
        server.pause()
    assert old.process.wait(60) == 1
    assert "leadership is lost" in old.tail()
    for standby in standbys:
        wait_until(
            lambda d=standby: requests.get(d.url + "/state", timeout=30, allow_redirects=False).status_code == 503,
            "a standby to know of no leader",
        )
    assert all(d.alive() for d in standbys)
    assert tasks_on(agent)[task] == "TASK_RUNNING"
    for server in ensemble.servers:
        server.resume()
    new = m.wait_leader()
    old.start()
    m.wait_agents(known)
    m.wait_members(3)
    follow(s, old if old is not new else standbys[0])
    assert s.framework_id == framework
    s.updates.clear()
    s.reconcile(task)
    s.wait_state(task, "TASK_RUNNING")
    s.close(teardown=True)


PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207


def test_loop_stands_still(masters):
    """Only the thread of the loop is stopped: the client's threads would keep the session for ever."""
    m = masters(zk_session_timeout="12secs")
    old = m.leader()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(PTRACE_SEIZE, old.pid, None, None) != 0:
        pytest.skip(f"ptrace is not permitted: {os.strerror(ctypes.get_errno())}")
    assert libc.ptrace(PTRACE_INTERRUPT, old.pid, None, None) == 0
    _, status = os.waitpid(old.pid, 0x40000000)
    assert os.WIFSTOPPED(status)
    assert old.process.wait(60) == 70
    given_up = time.monotonic()
    assert "the loop stands still" in old.tail()
    m.wait_leader(other_than=old)
    # Its node was removed: nobody waited for the session to run out.
    assert time.monotonic() - given_up < 10


def test_clock_jumps(cluster, masters):
    if not os.path.exists(FAKETIME):
        pytest.skip(f"{FAKETIME} is missing (package faketime)")
    clock = os.path.join(cluster.folder, "clock")

    def set_clock(text):
        with open(clock + ".new", "w", encoding="utf-8") as f:
            f.write(text + "\n")
        os.rename(clock + ".new", clock)

    set_clock("+0")
    env = {
        "LD_PRELOAD": FAKETIME,
        "FAKETIME_TIMESTAMP_FILE": clock,
        "FAKETIME_NO_CACHE": "1",
        # A jump of the wall clock: the kernel's monotonic clocks do not take part.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    m = masters(2, env=env, zk_session_timeout="30secs")
    agent = cluster.agent(m.zk, start=False)
    agent.env = env
    agent.start()
    known = agent_id(agent)
    leader = m.leader()
    s = Scheduler(leader.url).subscribe()
    tasks = [s.launch(SLEEP)]
    s.wait_state(tasks[0], "TASK_RUNNING")
    for jump in ("+30d", "-30d", "+1h"):
        set_clock(jump)
        tasks.append(s.launch(SLEEP))
        s.wait_state(tasks[-1], "TASK_RUNNING")
        assert m.leader() is leader and set(m.agents()) == {known}
    lost = [u for u in s.updates if u["state"] not in ("TASK_STARTING", "TASK_RUNNING")]
    assert not lost
    assert all(tasks_on(agent)[t] == "TASK_RUNNING" for t in tasks)
    s.close(teardown=True)
