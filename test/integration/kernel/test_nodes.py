"""The life of agents as operators decide on it, and as their silence does: deactivated, draining, gone, lost."""

import json
import os
import signal
import subprocess
import time

import pytest

from cluster import binary, wait_until
from raw import CAPABILITIES, Scheduler, get, ids, operator, post, rows

NOT_PA = tuple(c for c in CAPABILITIES if c != "PARTITION_AWARE")


def call(master, kind, code=200, **body):
    response = post(master, {"type": kind, kind.lower(): body})
    assert response.status_code == code, response.text
    if code == 200:
        assert response.content == b""
    return response.text


def agents_of(master):
    """By id, as GET_AGENTS and as /state and /slaves show them."""
    v1 = {a["agent_info"]["id"]["value"]: a for a in operator(master, "GET_AGENTS")["agents"]}
    state = {a["id"]: a for a in get(master, "/state").json()["slaves"]}
    slaves = {a["id"]: a for a in get(master, "/slaves").json()["slaves"]}
    assert set(v1) == set(state) == set(slaves)
    for agent_id, a in state.items():
        for key in ("active", "deactivated"):
            assert a[key] == slaves[agent_id][key] == v1[agent_id][key]
        assert a.get("drain_info") == slaves[agent_id].get("drain_info")
    return {agent_id: (state[agent_id], v1[agent_id]) for agent_id in state}


def wait_agents(master, n=1):
    wait_until(lambda: len(get(master, "/state").json()["slaves"]) == n, f"{n} agents")
    return list(agents_of(master))


def only(master):
    (found,) = agents_of(master).values()
    return found


def metrics(master):
    return get(master, "/metrics/snapshot").json()


@pytest.fixture
def pair(cluster):
    master = cluster.master(allocation_interval="20ms")
    return master, cluster.agent(master, executor_shutdown_grace_period="1secs")


@rows("1.1", 3)
@rows("2.2", 1)
@rows("5", 1)
def test_deactivate(pair):
    master, agent = pair
    with Scheduler(master) as s:
        task, agent_id = s.launch()
        s.state(task, "TASK_RUNNING")
        offer = s.offer()
        call(master, "DEACTIVATE_AGENT", agent_id=ids(x=agent_id)["x"])
        assert {"type": "RESCIND", "rescind": {"offer_id": offer["id"]}} in s.barrier()
        state, v1 = only(master)
        assert (state["active"], state["deactivated"]) == (False, True)
        assert "drain_info" not in state and "drain_info" not in v1
        totals = get(master, "/state").json()
        assert (totals["activated_slaves"], totals["deactivated_slaves"]) == (0, 1)
        assert metrics(master)["master/slaves_active"] == 0
        assert metrics(master)["master/slaves_inactive"] == 1
        assert metrics(master)["master/slaves_connected"] == 1
        # Tasks go on, and a new master knows as well.
        master.restart()
        s2 = Scheduler(master, framework_id=s.framework_id)
        s2.subscribed()
        wait_agents(master)
        assert only(master)[0]["deactivated"] is True
        s2.call("KILL", kill=ids(task_id=task))
        s2.state(task, "TASK_KILLED")
        assert not [e for e in s2.barrier() if e["type"] == "OFFERS"]
        call(master, "REACTIVATE_AGENT", agent_id={"value": agent_id})
        s2.offer()
        assert only(master)[0]["active"] is True
        s2.raw_call("TEARDOWN")
        s2.cut()


@rows("1.1", 4)
def test_refused_calls(pair):
    master, agent = pair
    agents = wait_agents(master)
    agent_id = {"value": agents[0]}
    for kind, code in (("DEACTIVATE_AGENT", 400), ("REACTIVATE_AGENT", 400), ("DRAIN_AGENT", 400), ("MARK_AGENT_GONE", 404)):
        call(master, kind, code, agent_id={"value": "nobody"})
        assert f"{kind.lower()}.agent_id" in call(master, kind, 400)
    call(master, "REACTIVATE_AGENT", 400, agent_id=agent_id)
    for grace in ("600s", {"seconds": -1}, {"seconds": 1 << 62}, {"nanos": -5}):
        call(master, "DRAIN_AGENT", 400, agent_id=agent_id, max_grace_period=grace)
    machine = {"hostname": "127.0.0.1", "ip": "127.0.0.1"}
    window = {"machine_ids": [machine], "unavailability": {"start": {"nanoseconds": 1}}}
    assert post(master, {"windows": [window]}, path="/maintenance/schedule").status_code == 200
    assert "maintenance" in call(master, "DRAIN_AGENT", 400, agent_id=agent_id)
    assert only(master)[0]["active"] is True


@rows("1.1", 1)
@rows("2.2", 2)
@rows("8.2", 1)
@pytest.mark.parametrize("fail_over", [False, True])
def test_drain(pair, fail_over):
    master, agent = pair
    with Scheduler(master) as s:
        task, agent_id = s.launch(command={"value": "trap '' TERM; while :; do sleep 1; done"})
        s.state(task, "TASK_RUNNING")
        call(master, "DRAIN_AGENT", agent_id={"value": agent_id}, max_grace_period={"seconds": 1})
        state, v1 = only(master)
        config = {"max_grace_period": {"nanoseconds": 1_000_000_000}, "mark_gone": False}
        assert state["drain_info"] == v1["drain_info"] == {"state": "DRAINING", "config": config}
        assert abs(state["estimated_drain_start_time_seconds"] - time.time()) < 60
        assert v1["estimated_drain_start_time"]["nanoseconds"] > 0
        assert (state["active"], state["deactivated"]) == (False, True)
        call(master, "REACTIVATE_AGENT", 400, agent_id={"value": agent_id})
        if fail_over:
            master.restart()
            s = Scheduler(master, framework_id=s.framework_id)
            s.subscribed()
        status = s.state(task, "TASK_KILLED")
        assert status["reason"] == "REASON_AGENT_DRAINING"
        wait_until(lambda: only(master)[0]["drain_info"]["state"] == "DRAINED", "drained")
        assert not [e for e in s.barrier() if e["type"] == "OFFERS"]
        # What is drained stays so over the agent's and the master's next life.
        agent.restart()
        master.restart()
        s = Scheduler(master, framework_id=s.framework_id)
        s.subscribed()
        wait_agents(master)
        assert only(master)[0]["drain_info"] == {"state": "DRAINED", "config": config}
        assert only(master)[0]["active"] is False
        call(master, "REACTIVATE_AGENT", agent_id={"value": agent_id})
        assert "drain_info" not in only(master)[0] and only(master)[0]["active"] is True
        task, _ = s.launch()
        s.state(task, "TASK_RUNNING")
        s.raw_call("TEARDOWN")
        s.cut()


def alive(pid):
    """Dead ones that nobody has asked about yet do not run."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read() != b""
    except OSError:
        return False


@rows("1.1", 2)
@rows("8.2", 1)
@rows("8.4", 1)
@pytest.mark.parametrize(
    "capabilities, state, reason",
    [(CAPABILITIES, "TASK_GONE_BY_OPERATOR", "REASON_AGENT_REMOVED_BY_OPERATOR"), (NOT_PA, "TASK_LOST", "REASON_AGENT_REMOVED")],
)
def test_mark_gone(pair, capabilities, state, reason):
    master, agent = pair
    with Scheduler(master, capabilities=capabilities) as s:
        task, agent_id = s.launch()
        s.state(task, "TASK_RUNNING")
        call(master, "MARK_AGENT_GONE", agent_id={"value": agent_id})
        status = s.update(task)
        assert (status["state"], status["reason"], status["source"]) == (state, reason, "SOURCE_MASTER")
        assert "uuid" not in status
        call(master, "MARK_AGENT_GONE", agent_id={"value": agent_id})
        call(master, "DEACTIVATE_AGENT", 400, agent_id={"value": agent_id})
        s.reconcile(ids(task_id=task, agent_id=agent_id))
        assert s.update(task)["state"] == state
        # The id is gone for good; started again, the agent is another.
        wait_agents(master, 0)
        master.restart()
        wait_until(lambda: not agent.alive(), "the agent ends")
        agent.start()
        (fresh,) = wait_agents(master)
        assert fresh != agent_id
        s2 = Scheduler(master, framework_id=s.framework_id, capabilities=capabilities)
        s2.subscribed()
        s2.reconcile(ids(task_id=task, agent_id=agent_id))
        assert s2.update(task)["state"] == state
        s2.raw_call("TEARDOWN")
        s2.cut()


@rows("1.1", 1)
def test_drain_and_mark_gone(pair):
    master, agent = pair
    with Scheduler(master) as s:
        task, agent_id = s.launch()
        s.state(task, "TASK_RUNNING")
        call(master, "DRAIN_AGENT", agent_id={"value": agent_id}, mark_gone=True)
        status = s.state(task, "TASK_GONE_BY_OPERATOR")
        assert status["reason"] == "REASON_AGENT_DRAINING"
        wait_agents(master, 0)
        s.reconcile(ids(task_id="another", agent_id=agent_id))
        assert s.update("another")["state"] == "TASK_GONE_BY_OPERATOR"


@rows("5.4", 2)
def test_loss_of_silent_agents(cluster):
    """With the defaults, however the agent falls silent. How long that takes is in the unit tests of the core."""
    master = cluster.master()
    agents = [cluster.agent(master, name=f"agent{i}") for i in (1, 2)]
    wait_agents(master, 2)
    with Scheduler(master) as s:
        agents[0].process.send_signal(signal.SIGSTOP)
        agents[1].kill()
        try:
            for _ in agents:
                s.until(lambda e: e["type"] == "FAILURE", "FAILURE")
        finally:
            agents[0].process.send_signal(signal.SIGCONT)
    found = metrics(master)
    for key in ("slave_unreachable_scheduled", "slave_unreachable_completed", "slave_removals/reason_unhealthy"):
        assert found["master/" + key] == 2


@rows("3.1", 1)
@rows("5.4", 2)
def test_limited_removal(cluster):
    master = cluster.master(agent_ping_timeout="500ms", max_agent_ping_timeouts=3, agent_removal_rate_limit="1/1hrs")
    agents = [cluster.agent(master, name=f"agent{i}") for i in (1, 2)]
    wait_agents(master, 2)
    for agent in agents:
        agent.process.send_signal(signal.SIGSTOP)
    try:
        wait_until(lambda: metrics(master)["master/slave_unreachable_scheduled"] == 2, "both are due")
        wait_until(lambda: metrics(master)["master/slave_unreachable_completed"] == 1, "one is given up")
        assert get(master, "/state").json()["unreachable_slaves"] == 1
    finally:
        for agent in agents:
            agent.process.send_signal(signal.SIGCONT)
    wait_until(lambda: metrics(master)["master/slave_unreachable_canceled"] == 1, "the other one was saved")
    wait_agents(master, 2)
    assert metrics(master)["master/slave_unreachable_completed"] == 1


@rows("5.4", 1)
def test_too_many_missing_after_a_failover(cluster):
    master = cluster.master(agent_reregister_timeout="500ms", recovery_agent_removal_limit="40%")
    agents = [cluster.agent(master, name=f"agent{i}") for i in (1, 2)]
    wait_agents(master, 2)
    for agent in agents:
        agent.kill()
    master.kill()
    master.start(wait=False)
    wait_until(lambda: not master.alive(), "the master ends")
    assert "recovery_agent_removal_limit" in master.tail()
    # Nothing was given up meanwhile.
    master.flags["agent_reregister_timeout"] = "10mins"
    master.start()
    assert len(get(master, "/state").json()["recovered_slaves"]) == 2


@rows("7.2", 3)
@pytest.mark.parametrize(
    "flag",
    [
        "agent_removal_rate_limit=often", "agent_removal_rate_limit=0/1mins", "agent_removal_rate_limit=1/0secs",
        "recovery_agent_removal_limit=150%", "recovery_agent_removal_limit=half", "recovery_agent_removal_limit=50",
        "registry_gc_interval=0secs", "registry_max_agent_age=-1secs", "registry_max_agent_count=-1",
    ],
)
def test_bad_flags(tmp_path, flag):
    done = subprocess.run(
        [binary("dcos-master"), f"--work_dir={tmp_path}", "--port=0", "--" + flag], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert flag.split("=")[0] in done.stderr or "positive" in done.stderr or "registry" in done.stderr


def test_fenced_tasks_end_with_the_lease(cluster):
    """A master that says nothing: the agent ends the task that asked for it, and no other, before the master would."""
    master = cluster.master(allocation_interval="20ms", agent_ping_timeout="500ms", max_agent_ping_timeouts=6)
    cluster.agent(master)
    with Scheduler(master) as s:
        tasks = {}
        for name, value in (("fenced", "true"), ("plain", "false")):
            tasks[name], _ = s.launch(labels={"labels": [{"key": "DCOS_FENCING", "value": value}]})
            s.state(tasks[name], "TASK_RUNNING")
        marks = {name: processes_of(task) for name, task in tasks.items()}
        assert all(marks.values())
        # It holds while the master lives.
        s.state(s.launch()[0], "TASK_RUNNING")
        master.process.send_signal(signal.SIGSTOP)
        try:
            wait_until(lambda: not any(alive(p) for p in marks["fenced"]), "the fenced task's end")
            assert all(alive(p) for p in marks["plain"])
        finally:
            master.process.send_signal(signal.SIGCONT)
        status = s.until(
            lambda e: e["type"] == "UPDATE" and e["update"]["status"]["task_id"]["value"] == tasks["fenced"]
            and "uuid" in e["update"]["status"]
        )[-1]["update"]["status"]
        assert status["state"] == "TASK_GONE"


def processes_of(task):
    """Pids, as the host sees them, of what runs for the task."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                if task.encode() in f.read():
                    found.append(int(pid))
        except OSError:
            pass
    return found


def domain(region, zone="a"):
    return {"fault_domain": {"region": {"name": region}, "zone": {"name": zone}}}


@rows("5.4", 1)
@rows("4.9", 1)
@rows("2.2", 1)
def test_domains(cluster):
    path = os.path.join(cluster.folder, "domain")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(domain("here"), f)
    master = cluster.master(domain=f"file://{path}", require_agent_domain="true")
    cluster.agent(master, name="agent1", domain=json.dumps(domain("there", "z")))
    cluster.agent(master, name="agent2", start=False).start(wait=False)
    wait_agents(master)
    document = get(master, "/state").json()
    assert document["domain"] == document["leader_info"]["domain"] == domain("here")
    assert operator(master, "GET_MASTER")["master_info"]["domain"] == domain("here")
    (agent,) = document["slaves"]
    assert agent["domain"] == domain("there", "z")
    # One without a domain is refused, and a master without one refuses those with it.
    refused = next(d for d in cluster.daemons if d.name == "agent2")
    wait_until(lambda: "must have a fault domain" in refused.tail(), "the refusal")
    assert len(get(master, "/state").json()["slaves"]) == 1
    master.kill()
    del master.flags["domain"]
    del master.flags["require_agent_domain"]
    master.start()
    first = next(d for d in cluster.daemons if d.name == "agent1")
    wait_until(lambda: "the master has none" in first.tail(), "the refusal")
    assert wait_agents(master) and "domain" not in get(master, "/state").json()


@rows("7.2", 1)
@pytest.mark.parametrize("value", ["{", "{}", '{"fault_domain":{"region":{"name":"r"}}}', "/no/such/file"])
def test_bad_domains(tmp_path, value):
    done = subprocess.run(
        [binary("dcos-master"), f"--work_dir={tmp_path}", "--port=0", "--domain=" + value], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2 and "--domain" in done.stderr
