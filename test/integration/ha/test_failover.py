"""Leaders that go, one way or another, and what must survive it."""

import json
import os
import signal
import socket
import threading
import time

import pytest
import requests

import zookeeper
from cluster import wait_until
from scheduler import Scheduler, scalar
from secure_door import SecureDoor
from test_minidcos import NOTHING

SLEEP = {"command": {"value": "sleep 1000"}}


def agent_id(agent):
    return wait_until(lambda: requests.get(agent.url + "/state", timeout=30).json()["id"], "the agent's id")


def tasks_on(agent):
    state = requests.get(agent.url + "/state", timeout=30).json()
    return {
        t["id"]: t["state"]
        for f in state["frameworks"] + state["completed_frameworks"]
        for e in f["executors"] + f["completed_executors"]
        for t in e["tasks"] + e.get("queued_tasks", []) + e["completed_tasks"]
    }


def follow(scheduler, master):
    """The scheduler subscribes again, with its id, wherever the redirects of `master` lead."""
    scheduler.close()
    scheduler.url = master.url
    scheduler.offers.clear()
    return scheduler.subscribe()


def test_what_clients_see(masters):
    m = masters()
    leader = m.leader()
    nodes = m.nodes()
    assert len(nodes) == 3 and all(n.startswith("json.info_") and len(n) == 20 for n in nodes)
    info = m.info()
    assert info == {
        "address": {"hostname": "127.0.0.1", "ip": "127.0.0.1", "port": leader.port},
        "capabilities": [{"type": "AGENT_UPDATE"}, {"type": "AGENT_DRAINING"}, {"type": "QUOTA_V2"}],
        "hostname": "127.0.0.1",
        "id": info["id"],
        "ip": 16777343,
        "pid": f"master@127.0.0.1:{leader.port}",
        "port": leader.port,
        "version": "1.11.0",
    }
    assert requests.get(leader.url + "/state", timeout=30).json()["id"] == info["id"]
    for standby in m.standbys():
        for method, path in (
            ("GET", "/state?x=1"),
            ("GET", "/master/slaves"),
            ("POST", "/api/v1/scheduler"),
            ("POST", "/api/v1"),
            ("POST", "/api/internal/agent"),
        ):
            answer = requests.request(method, standby.url + path, timeout=30, allow_redirects=False)
            assert answer.status_code == 307, path
            assert answer.headers["Location"] == f"//127.0.0.1:{leader.port}{path}"
        for path in ("/redirect", "/master/redirect"):
            answer = requests.get(standby.url + path, timeout=30, allow_redirects=False)
            assert (answer.status_code, answer.headers["Location"]) == (307, f"//127.0.0.1:{leader.port}")
        for path in ("/health", "/flags", "/version", "/metrics/snapshot"):
            assert requests.get(standby.url + path, timeout=30, allow_redirects=False).status_code == 200, path
        metrics = requests.get(standby.url + "/metrics/snapshot", timeout=30).json()
        # Checks of the node ask the second one on every master.
        assert (metrics["master/elected"], metrics["registrar/log/recovered"]) == (0, 1)
    assert requests.get(leader.url + "/metrics/snapshot", timeout=30).json()["master/elected"] == 1


def test_no_leader(masters):
    """A standby whose own place in the queue is all there is, while whoever is first does not speak our language."""
    m = masters(1)
    only = m.leader()
    only.kill()
    m.wait_members(0)
    m.kazoo.create(m.path + "/json.info_", b"no master", ephemeral=True, sequence=True)
    only.start()
    answer = requests.get(only.url + "/state", timeout=30, allow_redirects=False)
    assert (answer.status_code, answer.text) == (503, "No leader elected")
    assert requests.get(only.url + "/redirect", timeout=30, allow_redirects=False).status_code == 503
    m.kazoo.delete(m.path + "/" + m.nodes()[0])
    m.wait_leader()


def test_passwords(cluster, masters, ensemble):
    from kazoo.exceptions import NoAuthError

    m = masters(1)
    file = os.path.join(cluster.folder, "zk")
    with open(file, "w", encoding="utf-8") as f:
        f.write(ensemble.url("/guarded/mesos", auth="joe:s3cret") + "\n")
    master = cluster.master("guarded", zk=f"file://{file}")
    flags = wait_until(lambda: requests.get(master.url + "/flags", timeout=30).json()["flags"], "flags")
    assert flags["zk"] == f"file://{file}"
    shown = cluster.master("shown", zk=ensemble.url("/guarded/mesos", auth="joe:s3cret"))
    text = requests.get(shown.url + "/flags", timeout=30).text
    assert "s3cret" not in text and "xxxxxxxx:xxxxxxxx@" in text
    acls = {(a.id.scheme, a.perms) for a in m.kazoo.get_acls("/guarded/mesos")[0]}
    assert acls == {("digest", 31), ("world", 1)}
    for node in ("dcos", "dcos/state"):
        with pytest.raises(NoAuthError):
            m.kazoo.get("/guarded/mesos/log_replicas/" + node)
    m.kazoo.add_auth("digest", "joe:s3cret")
    acls = {(a.id.scheme, a.perms) for a in m.kazoo.get_acls("/guarded/mesos/log_replicas/dcos")[0]}
    assert acls == {("digest", 31)}
    for name in ("guarded", "shown"):
        log = next(d for d in cluster.daemons if d.name == name).tail(1000)
        assert "s3cret" not in log
    agent = cluster.agent(file)
    agent_id(agent)


def test_leader_is_killed(cluster, masters):
    m = masters()
    agents = [cluster.agent(m.zk, f"agent{i}", zk_session_timeout="2secs") for i in range(2)]
    ids = [agent_id(a) for a in agents]
    s = Scheduler(m.standbys()[0].url).subscribe()
    framework = s.framework_id
    tasks = [s.launch(SLEEP) for _ in range(3)]
    for task in tasks:
        s.wait_state(task, "TASK_RUNNING")
    old = m.leader()
    old.kill()
    wait_until(lambda: (l := m.leader()) is not None and l is not old, "an election")
    m.wait_leader(other_than=old)
    m.wait_agents(*ids)
    assert {a["hostname"] for a in m.agents().values()} == {"127.0.0.1"} and set(m.agents()) == set(ids)
    follow(s, m.standbys()[0])
    assert s.framework_id == framework
    s.updates.clear()
    s.reconcile(*tasks)
    for task in tasks:
        s.wait_state(task, "TASK_RUNNING")
    # The one that was killed comes back as a standby, and everything goes on.
    old.start()
    m.wait_members(3)
    assert m.leader() is not old
    extra = s.launch(SLEEP)
    s.wait_state(extra, "TASK_RUNNING")
    s.close(teardown=True)


def test_every_leader_in_turn(cluster, masters):
    """Six elections: what was acknowledged before each is there after it."""
    m = masters()
    agent = cluster.agent(m.zk, zk_session_timeout="2secs")
    known = agent_id(agent)
    frameworks = []
    for turn in range(6):
        s = Scheduler(m.leader().url, name=f"turn{turn}").subscribe()
        frameworks.append(s.framework_id)
        s.close()
        old = m.leader()
        # Ending in good order leaves the session at once; being killed leaves it to run out.
        old.kill(signal.SIGTERM if turn % 3 else signal.SIGKILL)
        m.wait_leader(other_than=old)
        m.wait_agents(known)
        old.start()
        m.wait_members(3)
    assert len(set(frameworks)) == 6
    for turn, framework in enumerate(frameworks):
        s = Scheduler(m.leader().url, framework_id=framework, name=f"turn{turn}").subscribe()
        assert s.framework_id == framework
        s.close(teardown=True)


def accept_body(scheduler, offer, task):
    resources = [scalar("cpus", 0.1), scalar("mem", 32)]
    for r in resources:
        r["allocation_info"] = {"role": "*"}
    info = {
        "name": task,
        "task_id": {"value": task},
        "agent_id": offer["agent_id"],
        "resources": resources,
        "command": {"value": "sleep 1000"},
    }
    return json.dumps(
        {
            "framework_id": {"value": scheduler.framework_id},
            "type": "ACCEPT",
            "accept": {
                "offer_ids": [offer["id"]],
                "operations": [{"type": "LAUNCH", "launch": {"task_infos": [info]}}],
            },
        }
    ).encode()


def test_leader_is_stopped_and_wakes_up(cluster, masters):
    """Work lies in the stopped leader's sockets, from a framework and for an agent that both know no other master.
    When it wakes up, its time is over: nothing of that may take effect."""
    # Without pings in the test's time the agent has no reason to look for another master.
    m = masters(agent_ping_timeout="1mins")
    old = m.leader()
    agent = cluster.agent(old)
    agent_id(agent)
    s = Scheduler(old.url).subscribe()
    first = s.launch(SLEEP)
    s.wait_state(first, "TASK_RUNNING")
    offer = s.offer()
    body = accept_body(s, offer, "too-late")
    old.process.send_signal(signal.SIGSTOP)
    with socket.create_connection((old.ip, old.port)) as connection:
        connection.sendall(
            b"POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            + f"Mesos-Stream-Id: {s.stream_id}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        new = m.wait_leader(other_than=old)
        ledger = m.path + "/log_replicas/dcos/state"
        # The new leader's word: epoch, versions and writer of the registry.
        before = wait_until(lambda: m.kazoo.get(ledger), "the registry")
        old.process.send_signal(signal.SIGCONT)
        assert old.process.wait(60) == 1
        connection.settimeout(60)
        try:
            answer = connection.recv(4096)
        except OSError:
            answer = b""
        assert b" 202 " not in answer, answer
    assert m.leader() is new
    after = m.kazoo.get(ledger)
    assert after[0].split()[4] == before[0].split()[4], "the old leader wrote to the registry"
    assert "too-late" not in tasks_on(agent)
    assert tasks_on(agent)[first] == "TASK_RUNNING"
    assert "leadership is lost" in old.tail() or "cannot store state" in old.tail()
    s.close()


def test_leader_is_stopped_for_less(masters):
    """Shorter than the session: it goes on leading, and says nothing before it knows that."""
    session = 12
    m = masters(zk_session_timeout=f"{session}secs")
    old = m.leader()
    started = time.monotonic()
    old.process.send_signal(signal.SIGSTOP)
    answers = []

    def ask():
        answers.append(requests.get(old.url + "/state", timeout=60).status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    wait_until(lambda: time.monotonic() - started > session * 0.2, "a part of the session")
    old.process.send_signal(signal.SIGCONT)
    asking.join(60)
    assert answers == [200]
    assert m.leader() is old and old.alive()


def test_node_is_taken_away(masters):
    """An operator deletes the leader's node: it must not lead on."""
    m = masters()
    old = m.leader()
    m.kazoo.delete(f"{m.path}/{m.nodes()[0]}")
    assert old.process.wait(60) == 1
    m.wait_leader(other_than=old)


def test_marathon_on_zookeeper(cluster, masters):
    m = masters(2)
    agent = cluster.agent(m.zk, zk_session_timeout="2secs")
    agent_id(agent)
    zk = m.ensemble.url(os.path.dirname(m.path) + "/marathon")
    flags = {"zk": zk, "zk_session_timeout": 5000}
    first = cluster.marathon(m.zk, "marathon1", **flags)
    second = cluster.marathon(m.zk, "marathon2", start=False, **flags)
    second.start(wait=False)
    app = {"id": "/sleeper", "cmd": "sleep 1000", "cpus": 0.1, "mem": 32}
    requests.post(first.url + "/v2/apps", json=app, timeout=60).raise_for_status()

    def running(marathon):
        tasks = requests.get(marathon.url + "/v2/apps/sleeper/tasks", timeout=30).json()["tasks"]
        return [t["id"] for t in tasks if t["state"] == "TASK_RUNNING"]

    before = wait_until(lambda: running(first), "the app to run")
    info = requests.get(first.url + "/v2/info", timeout=30).json()
    assert info["zookeeper_config"]["zk"] == zk and info["marathon_config"]["master"] == m.zk
    # The master fails over, then Marathon: the same task all along.
    old = m.leader()
    old.kill()
    new = m.wait_leader(other_than=old)
    wait_until(
        lambda: [f for f in requests.get(new.url + "/frameworks", timeout=30).json()["frameworks"] if f["connected"]],
        "Marathon to follow the leader",
    )
    assert running(first) == before
    first.kill()
    second.wait_ready()
    assert wait_until(lambda: running(second), "the app at the new Marathon") == before
    requests.delete(second.url + "/v2/apps/sleeper?force=true", timeout=60).raise_for_status()
    wait_until(lambda: "TASK_KILLED" in tasks_on(agent).values(), "the task to be killed")


def test_a_marathon_that_stands_by(cluster, masters):
    """Whoever talks to one that does not lead talks to the one that does, or is sent there for events."""
    m = masters(1)
    zk = m.ensemble.url(os.path.dirname(m.path) + "/standby")
    flags = {"zk": zk, "zk_session_timeout": 5000}
    first = cluster.marathon(m.zk, "marathon1", **flags)
    second = cluster.marathon(m.zk, "marathon2", start=False, **flags)
    second.start(wait=False)
    url = f"http://127.0.0.1:{second.flags['http_port']}"
    wait_until(lambda: requests.get(url + "/v2/apps", timeout=30).status_code == 200, "the one that stands by")
    assert "calls go to the leader" in second.tail()
    sent = requests.get(url + "/v2/events?event_type=x", allow_redirects=False, timeout=30)
    assert (sent.status_code, sent.headers["Location"]) == (302, f"http://{first.address}/v2/events?event_type=x")
    stream = requests.get(url + "/v2/events", headers={"Accept": "text/event-stream"}, stream=True, timeout=30)
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    app = {"id": "/there", "cmd": "sleep 1000", "instances": 0, "labels": {"long": "x" * 100000}}
    made = requests.post(url + "/v2/apps", json=app, timeout=60)
    assert made.status_code == 201 and made.json()["id"] == "/there"
    assert made.headers["X-Marathon-Via"] == f"1.1 {url[7:]}"
    leader = f"http://{first.address}"
    for where in (leader, url):
        answer = requests.get(where + "/v2/apps//there", timeout=30)
        assert answer.json()["app"]["labels"] == app["labels"]
        assert answer.headers["X-Marathon-Leader"] == leader and answer.headers["Content-Type"] == "application/json"
        assert requests.get(where + "/v2/leader", timeout=30).json() == {"leader": first.address}
        assert requests.get(where + "/v2/apps//nowhere", timeout=30).status_code == 404
        assert requests.post(where + "/v2/apps", data="{}", headers={"Content-Type": "text/x"}, timeout=30).status_code == 415
    for line in stream.iter_lines():
        if line.startswith(b"data:") and b"api_post_event" in line:
            break
    stream.close()
    # A call goes on once: two that take each other for the leader would play with it for ever.
    loop = requests.get(url + "/v2/apps", headers={"X-Marathon-Via": "1.1 x"}, timeout=30)
    assert (loop.status_code, loop.text) == (502, "Detected proxying loop.")
    first.kill()
    second.wait_ready()
    assert requests.get(url + "/v2/leader", timeout=30).json() == {"leader": second.address}
    assert requests.get(url + "/v2/apps//there", timeout=30).status_code == 200


def test_secure_cluster_behind_its_door():
    """minidcos create --secure --masters=3: login, a service and names go on when the leader is killed."""
    if zookeeper.missing():
        pytest.skip(zookeeper.missing())
    door = SecureDoor()
    try:
        door.create("--masters=3")
        if not door.has_router():
            pytest.skip("this build has no nginx or no module for it")
        door.add_hello()
        first = door.ips("leader.mesos")
        masters = {d["ip"]: name for name, d in door.daemons.items() if d["kind"] == "master"}
        assert len(masters) == 3 and first[0] in masters
        door("kill", masters[first[0]])
        wait_until(lambda: door.ips("leader.mesos") not in ([], first), "another leader's address", 60)
        wait_until(lambda: door.get("/mesos/state").json()["activated_slaves"] == 1, "the agent at the new leader", 60)
        assert "hello from hello." in door.get("/service/hello/").text
        wait_until(lambda: door.ips("hello.marathon.mesos") == [door.daemons["agent-1"]["ip"]], "the name of the app", 60)
        # A fresh login works, and so does a change.
        door.token = door.login()
        wait_until(lambda: any(f["active"] for f in door.get("/mesos/frameworks").json()["frameworks"]), "Marathon", 60)
        door.add_hello("again")
        wait_until(lambda: door.ips("again.marathon.mesos"), "the name of the other app", 60)
        door("destroy")
        assert door.leftovers() == NOTHING
    finally:
        door.close()
