"""The agent: its executor API played from here, KILL in every phase, what it shows, files."""

import base64
import os

import pytest
import requests

from cluster import wait_until
from raw import (
    JSON, PROTOBUF, TIMEOUT, UUID, Executor, Scheduler, binary_records, executor_call, executor_info, field, fields, get, ids, operator, post, rows,
)
from scheduler import scalar
from test_operator_master import STATUS, check, shape


def start(s, executor_id, **info):
    """A task in a new custom executor; the executor's part is played by the test."""
    return s.launch(command=None, executor=executor_info(executor_id, framework_id={"value": s.framework_id}, **info))


def known(agent, s, name):
    """Waits until the agent knows the executor."""
    return wait_until(
        lambda: [
            e for f in get(agent, "/state").json()["frameworks"] if f["id"] == s.framework_id
            for e in f["executors"] if e["id"] == name
        ],
        "the executor",
    )[0]


# ---- 1.3 ----


@rows("1.3", 7)
def test_order_of_checks(master, agent, framework):
    for path in ("/api/v1/executor", "/slave(1)/api/v1/executor"):
        url = agent.url + path

        def answer(code, body=b"{}", headers=JSON, method="POST"):
            r = requests.request(method, url, data=body, headers=headers, timeout=TIMEOUT)
            assert r.status_code == code, (body, r.status_code, r.text)
            return r

        assert answer(405, method="GET", headers={}).headers["Allow"] == "POST"
        answer(400, headers={})
        answer(415, headers={"Content-Type": "text/plain"})
        answer(400, b"{")
        answer(400, b"[]")
        answer(400, b"\xff\xff", PROTOBUF)
        answer(400, b"{}")
    start(framework, "e")
    known(agent, framework, "e")
    mine = ids(framework_id=framework.framework_id, executor_id="e")
    status = {"task_id": {"value": "t"}, "state": "TASK_RUNNING", "source": "SOURCE_EXECUTOR", "uuid": UUID}

    def call(code, kind, headers=None, **body):
        r = executor_call(agent, {"type": kind, **{**mine, **body}}, headers)
        assert r.status_code == code, (kind, body, r.status_code, r.text)

    html = {"Accept": "text/html"}
    call(400, "NO_SUCH_CALL")
    for missing in ("framework_id", "executor_id"):
        call(400, "HEARTBEAT", **{missing: None})
        call(400, "HEARTBEAT", **{missing: {}})
    for kind in ("SUBSCRIBE", "UPDATE", "MESSAGE"):
        call(400, kind, html)
    call(400, "MESSAGE", message={})
    call(400, "UPDATE", update={})
    call(400, "SUBSCRIBE", subscribe={"unacknowledged_updates": [{}]})
    call(400, "SUBSCRIBE", subscribe={"unacknowledged_tasks": [{}]})
    for wrong in (
        {"uuid": None}, {"uuid": "AAEC"}, {"source": None}, {"source": "SOURCE_AGENT"}, {"source": "SOURCE_MASTER"},
        {"state": "TASK_STAGING"}, {"state": None}, {"task_id": None}, {"executor_id": {"value": "other"}},
        {"check_status": {}}, {"check_status": {"type": "COMMAND"}}, {"check_status": {"type": "HTTP", "tcp": {}}},
    ):
        call(400, "UPDATE", update={"status": {**status, **wrong}})
    call(406, "SUBSCRIBE", html, subscribe={})
    call(406, "SUBSCRIBE", html, subscribe={}, **ids(executor_id="nobody"))
    call(202, "HEARTBEAT", **ids(executor_id="nobody", framework_id="nobody"))
    call(202, "HEARTBEAT", html)
    for unknown in (ids(executor_id="nobody"), ids(framework_id="nobody")):
        call(400, "UPDATE", update={"status": status}, **unknown)
        call(400, "MESSAGE", message={"data": "eA=="}, **unknown)
        call(400, "SUBSCRIBE", subscribe={}, **unknown)
    # Known but not subscribed.
    call(403, "UPDATE", update={"status": status})
    call(403, "MESSAGE", message={"data": "eA=="})
    call(501, "UNKNOWN")


# ---- 9 ----


@rows("9.1", 8)
@rows("9.3", 3)
@rows("8.3", 3)
def test_executor(master, agent, framework):
    task, agent_id = start(framework, "e", shutdown_grace_period={"nanoseconds": 2 * 10**9})
    known(agent, framework, "e")
    executor = Executor(agent, framework.framework_id, "e")
    assert executor.response.headers["Content-Type"] == "application/json"
    assert executor.response.headers["Transfer-Encoding"] == "chunked"
    assert "Mesos-Stream-Id" not in executor.response.headers
    subscribed = executor.next()
    assert list(subscribed) == ["type", "subscribed"] and subscribed["type"] == "SUBSCRIBED"
    body = subscribed["subscribed"]
    assert list(body) == ["executor_info", "framework_info", "agent_info", "container_id"]
    assert body["executor_info"]["executor_id"] == {"value": "e"}
    assert body["executor_info"]["framework_id"] == body["framework_info"]["id"] == {"value": framework.framework_id}
    assert body["framework_info"]["failover_timeout"] == 3600.0 and body["framework_info"]["checkpoint"] is False
    assert body["agent_info"]["id"] == {"value": agent_id} and body["agent_info"]["port"] == agent.port
    event = executor.next()
    assert event["type"] == "LAUNCH" and event["launch"]["task"]["task_id"] == {"value": task}
    assert "executor" in event["launch"]["task"]

    # Acknowledged by the agent at once, whatever the scheduler does.
    first = executor.update(task, "TASK_RUNNING", data="eA==", message="m", labels={"labels": [{"key": "k"}]})
    assert executor.next() == {"type": "ACKNOWLEDGED", "acknowledged": {"task_id": {"value": task}, "uuid": first}}
    status = framework.update(task, acknowledge=False)
    assert (status["state"], status["source"], status["uuid"]) == ("TASK_RUNNING", "SOURCE_EXECUTOR", first)
    assert status["executor_id"] == {"value": "e"} and status["agent_id"] == {"value": agent_id}
    assert (status["data"], status["message"]) == ("eA==", "m") and status["timestamp"] > 0
    # The same again: acknowledged again, sent no second time. Another agent's: dropped.
    executor.update(task, "TASK_RUNNING", uuid=first)
    assert executor.next()["acknowledged"]["uuid"] == first
    executor.update(task, "TASK_FAILED", agent_id={"value": "another"})
    framework.acknowledge(status)
    second = executor.update(task, "TASK_RUNNING")
    assert executor.next()["acknowledged"]["uuid"] == second
    assert framework.update(task)["uuid"] == second

    # Messages both ways.
    framework.call("MESSAGE", message={**ids(agent_id=agent_id, executor_id="e"), "data": "aGVsbG8="})
    assert executor.next() == {"type": "MESSAGE", "message": {"data": "aGVsbG8="}}
    assert executor.call("MESSAGE", message={"data": "eW8="}).status_code == 202
    message = framework.until(lambda e: e["type"] == "MESSAGE")[-1]["message"]
    assert message == {"agent_id": {"value": agent_id}, "executor_id": {"value": "e"}, "data": "eW8="}

    # A second task, KILL once and again.
    other, _ = start(framework, "e", shutdown_grace_period={"nanoseconds": 2 * 10**9})
    assert executor.next()["launch"]["task"]["task_id"] == {"value": other}
    for _ in range(2):
        framework.call("KILL", kill={**ids(task_id=other), "kill_policy": {"grace_period": {"nanoseconds": 5}}})
        event = executor.next()
        assert event["type"] == "KILL" and event["kill"]["task_id"] == {"value": other}
        assert event["kill"]["kill_policy"] == {"grace_period": {"nanoseconds": 5}}

    # A new stream ends the old one without a word; what it knows of is not sent again.
    again = Executor(
        agent, framework.framework_id, "e",
        unacknowledged_tasks=[event_task(other)],
        unacknowledged_updates=[
            {"status": {"task_id": {"value": other}, "state": "TASK_RUNNING", "source": "SOURCE_EXECUTOR", "uuid": UUID}}
        ],
    )
    assert list(executor.events) == []
    assert again.next()["type"] == "SUBSCRIBED"
    assert again.next() == {"type": "ACKNOWLEDGED", "acknowledged": {"task_id": {"value": other}, "uuid": UUID}}
    assert framework.update(other)["uuid"] == UUID

    # SHUTDOWN, the grace period, the end.
    framework.call("SHUTDOWN", shutdown=ids(agent_id=agent_id, executor_id="e"))
    assert again.next() == {"type": "SHUTDOWN"}
    late = Executor(agent, framework.framework_id, "e")
    assert [e["type"] for e in late.events] == ["SHUTDOWN"]
    ended = {}
    failure = None
    while len(ended) < 2 or not failure:
        event = framework.next()
        if event["type"] == "UPDATE":
            status = event["update"]["status"]
            ended[status["task_id"]["value"]] = (status["state"], status["source"], status["reason"])
            framework.acknowledge(status)
        elif event["type"] == "FAILURE":
            failure = event["failure"]
    assert ended == {t: ("TASK_FAILED", "SOURCE_AGENT", "REASON_EXECUTOR_TERMINATED") for t in (task, other)}
    assert failure["agent_id"] == {"value": agent_id} and failure["executor_id"] == {"value": "e"}
    assert isinstance(failure["status"], int)


def event_task(task_id):
    return {"name": "x", **ids(task_id=task_id, agent_id="x")}


@rows("9.1", 1)
def test_executor_in_protobuf(master, agent, framework):
    task, _ = start(framework, "e")
    known(agent, framework, "e")
    mine = field(1, field(1, "e")) + field(2, field(1, framework.framework_id))
    r = requests.post(
        agent.url + "/api/v1/executor", data=mine + field(3, 1) + field(4, b""), stream=True, timeout=TIMEOUT,
        headers={**PROTOBUF, "Accept": "application/x-protobuf"},
    )
    assert r.headers["Content-Type"] == "application/x-protobuf"
    events = binary_records(r)
    assert next(events)[1] == [1]
    launch = next(events)
    assert launch[1] == [2]
    r.close()


@rows("9.3", 1)
@rows("8.2", 1)
def test_launch_lost_on_the_way(master, agent, framework):
    """Sent on a stream that broke, and the executor does not know of it."""
    task, _ = start(framework, "e")
    known(agent, framework, "e")
    executor = Executor(agent, framework.framework_id, "e")
    executor.until(lambda e: e["type"] == "LAUNCH")
    again = Executor(agent, framework.framework_id, "e")
    status = framework.update(task)
    assert (status["state"], status["source"], status["reason"]) == (
        "TASK_DROPPED", "SOURCE_AGENT", "REASON_AGENT_RESTARTED",
    )
    again.cut()


@rows("10", 2)
@rows("9.3", 1)
def test_killed_before_delivery(master, agent, framework):
    task, agent_id = start(framework, "e")
    known(agent, framework, "e")
    framework.call("KILL", kill=ids(task_id=task))
    status = framework.update(task)
    assert (status["state"], status["source"], status["reason"]) == (
        "TASK_KILLED", "SOURCE_AGENT", "REASON_TASK_KILLED_DURING_LAUNCH",
    )
    # Nothing left to do for the executor: gone, or told to go.
    r = executor_call(agent, {"type": "SUBSCRIBE", **ids(framework_id=framework.framework_id, executor_id="e"), "subscribe": {}}, stream=True)
    assert r.status_code in (200, 400)
    if r.status_code == 200:
        assert b"SHUTDOWN" in r.content


@rows("10", 2)
@pytest.mark.parametrize("capabilities, state", [(("PARTITION_AWARE",), "TASK_DROPPED"), ((), "TASK_LOST")])
def test_launch_into_an_ending_executor(master, agent, capabilities, state):
    with Scheduler(master, capabilities=("MULTI_ROLE", "RESERVATION_REFINEMENT", *capabilities)) as s:
        first, agent_id = start(s, "e", shutdown_grace_period={"nanoseconds": 60 * 10**9})
        known(agent, s, "e")
        executor = Executor(agent, s.framework_id, "e")
        executor.until(lambda e: e["type"] == "LAUNCH")
        executor.update(first, "TASK_RUNNING")
        assert s.update(first)["state"] == "TASK_RUNNING"
        s.call("SHUTDOWN", shutdown=ids(agent_id=agent_id, executor_id="e"))
        executor.until(lambda e: e["type"] == "SHUTDOWN")
        second, _ = start(s, "e", shutdown_grace_period={"nanoseconds": 60 * 10**9})
        status = s.update(second)
        assert (status["state"], status["reason"]) == (state, "REASON_EXECUTOR_TERMINATED")
        # A KILL now is for nobody; the end of the executor ends the task.
        s.call("KILL", kill=ids(task_id=first))
        assert not [e for e in s.barrier() if e["type"] == "UPDATE"]
        executor.update(first, "TASK_KILLED")
        assert s.update(first)["state"] == "TASK_KILLED"


@rows("9.2", 9)
def test_environment(master, agent, framework):
    """Of an executor on a framework with checkpoint off, and the file that it leaves in its sandbox."""
    task, agent_id = start(framework, "e", command={"value": "env > environment; exec sleep 1000"})
    directory = known(agent, framework, "e")["directory"]
    path = os.path.join(directory, "environment")
    wait_until(lambda: os.path.exists(path) and "PATH=" in open(path, encoding="utf-8").read(), "the environment")
    with open(path, encoding="utf-8") as f:
        environment = dict(line.rstrip("\n").split("=", 1) for line in f if "=" in line)
    expected = {
        "MESOS_FRAMEWORK_ID": framework.framework_id,
        "MESOS_EXECUTOR_ID": "e",
        "MESOS_DIRECTORY": directory,
        "MESOS_SANDBOX": directory,
        "MESOS_SLAVE_ID": agent_id,
        "MESOS_SLAVE_PID": f"slave(1)@{agent.address}",
        "MESOS_AGENT_ENDPOINT": agent.address,
        "MESOS_CHECKPOINT": "0",
        "MESOS_HTTP_COMMAND_EXECUTOR": "0",
        "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": "1secs",
    }
    assert {k: environment.get(k) for k in expected} == expected
    assert "MESOS_RECOVERY_TIMEOUT" not in environment and "MESOS_SUBSCRIPTION_BACKOFF_MAX" not in environment
    assert environment["PATH"] and "DCOS_BUILD" not in environment


# ---- 2.6 - 2.8 ----

AGENT_STATE = shape(
    "s:version build_date build_user id pid hostname;n:build_time start_time;l:capabilities resource_providers;"
    "o:resources reserved_resources unreserved_resources reserved_resources_full reserved_resources_allocated;"
    "o:unreserved_resources_allocated attributes flags;l:unreserved_resources_full frameworks completed_frameworks"
)
AGENT_FRAMEWORK = shape(
    "s:id name user hostname;n:failover_timeout;b:checkpoint;l:roles executors completed_executors"
)
AGENT_EXECUTOR = shape("s:id name source container directory;o:resources;l:tasks queued_tasks completed_tasks")


@pytest.fixture(scope="module")
def world(master, agent):
    with Scheduler(master) as s:
        done, _ = s.launch(command={"value": "exit 0"})
        s.state(done, "TASK_FINISHED")
        task, agent_id = s.launch(
            command={"value": "printf %0100000d 7; mkdir -p d/e; echo x > d/f; ln -s /etc/passwd abs; exec sleep 1000"}, name="n"
        )
        s.state(task, "TASK_RUNNING")
        queued, _ = start(s, "silent", name="quiet", source="src")
        path = known(agent, s, task)["directory"]
        known(agent, s, "silent")
        wait_until(lambda: os.path.lexists(path + "/abs") and os.path.getsize(path + "/stdout") >= 100000, "the script")
        wait_until(
            lambda: done in [e["executor_info"]["executor_id"]["value"] for e in operator(agent, "GET_EXECUTORS")["completed_executors"]]
            and done not in [c["executor_id"] for c in get(agent, "/containers").json()],
            "the end of the first one's executor",
        )
        yield s, task, queued, done, agent_id, path


@rows("2.6", 6)
def test_state(master, agent, world):
    s, task, queued, done, agent_id, path = world
    state = get(agent, "/state").json()
    check(state, AGENT_STATE, "master_hostname:string")
    assert state["id"] == agent_id and state["pid"] == f"slave(1)@{agent.address}"
    check(state["resources"], shape("n:cpus gpus mem disk;s:ports zones"))
    assert list(state["reserved_resources"]) == ["dev"] == list(state["reserved_resources_full"])
    full = state["reserved_resources_full"]["dev"][0]
    assert full["role"] == "dev" and full["reservations"] == [{"type": "STATIC", "role": "dev"}]
    assert all(r["role"] == "*" for r in state["unreserved_resources_full"])
    framework = next(f for f in state["frameworks"] if f["id"] == s.framework_id)
    check(framework, AGENT_FRAMEWORK, "principal:string")
    executors = {e["id"]: e for e in framework["executors"]}
    check(executors[task], AGENT_EXECUTOR, "role:string type:string")
    check(executors["silent"], AGENT_EXECUTOR, "role:string type:string")
    assert (executors["silent"]["source"], executors["silent"]["type"], executors["silent"]["name"]) == ("src", "CUSTOM", "quiet")
    waiting = executors["silent"]["queued_tasks"][0]
    check(waiting, shape("s:id name slave_id role executor_id;o:resources"), "command:object discovery:object")
    assert waiting["id"] == queued
    running = executors[task]["tasks"][0]
    check(running, shape("s:id name framework_id executor_id slave_id state role user;o:resources;l:statuses"))
    assert running["state"] == "TASK_RUNNING" and running["executor_id"] == ""
    check(running["statuses"][0], STATUS)
    # A framework without executors is completed, and begins anew with the next.
    completed = [
        e
        for f in state["frameworks"] + state["completed_frameworks"] if f["id"] == s.framework_id
        for e in f["completed_executors"]
    ]
    assert completed[0]["id"] == done and completed[0]["completed_tasks"][0]["state"] == "TASK_FINISHED"


@rows("2.7", 6)
def test_containers_and_statistics(agent, world):
    s, task, queued, done, agent_id, path = world
    everything = {c["executor_id"]: c for c in get(agent, "/containers").json()}
    assert {task, "silent"} <= set(everything) and done not in everything
    container = everything[task]
    check(
        container, shape("s:container_id executor_id executor_name framework_id source;o:status statistics")
    )
    assert container["status"]["container_id"] == {"value": container["container_id"]}
    assert container["status"]["executor_pid"] > 0
    numbers = container["statistics"]
    assert numbers["timestamp"] > 0 and all(isinstance(v, (int, float)) for v in numbers.values())
    assert abs(numbers["cpus_soft_limit"] - 0.2) < 1e-9, "the task's and the executor's own"
    assert numbers["mem_soft_limit_bytes"] == numbers["mem_limit_bytes"] == 64 * 1024 * 1024

    def ask(**query):
        r = get(agent, "/containers", **query)
        return sorted(c["executor_id"] for c in r.json()) if r.status_code == 200 else r.status_code

    cid, fid = container["container_id"], s.framework_id
    assert ask(container_id=cid) == [task]
    assert ask(framework_id=fid) == sorted([task, "silent"])
    assert ask(framework_id=fid, executor_id="silent") == ["silent"]
    assert ask(container_id="nobody") == ask(framework_id="nobody") == []
    for wrong in (
        {"executor_id": task}, {"container_id": cid, "framework_id": fid}, {"container_id": cid, "executor_id": task},
        {"container_id": cid, "framework_id": fid, "executor_id": task},
    ):
        assert ask(**wrong) == 400
    for path in ("/monitor/statistics", "/monitor/statistics.json", "/slave(1)/monitor/statistics"):
        known = {c["executor_id"]: c for c in get(agent, path).json()}
        check(known[task], shape("s:executor_id executor_name framework_id source;o:statistics"))
    wait_until(lambda: get(agent, "/containerizer/debug").json() == {"pending": []}, "the launches to be done")


@rows("2.8", 9)
def test_files(agent, world):
    s, task, queued, done, agent_id, path = world
    stdout = path + "/stdout"
    size = os.path.getsize(stdout)
    assert size >= 100000
    virtual = f"/frameworks/{s.framework_id}/executors/{task}/runs/latest"
    latest = os.path.dirname(path) + "/latest"
    for root in (path, latest, virtual):
        entries = get(agent, "/files/browse", path=root).json()
        for e in entries:
            check(e, shape("s:path mode uid gid;n:nlink size mtime"))
            assert e["path"].startswith(root + "/") and len(e["mode"]) == 10
        assert [e["path"] for e in entries] == sorted(e["path"] for e in entries)
        assert root + "/stdout" in [e["path"] for e in entries]
        read = get(agent, "/files/read", path=root + "/stdout", offset=0, length=3).json()
        assert read == {"data": "000", "offset": 0}
    assert get(agent, "/files/browse", path=stdout).json() == []

    def read(code=200, **query):
        r = get(agent, "/files/read", path=stdout, **query)
        assert r.status_code == code, r.text
        return r.json() if code == 200 else None

    cap = 16 * os.sysconf("SC_PAGESIZE")
    for size_only in ({}, {"offset": -1}, {"length": 5}, {"offset": -1, "length": 5}):
        assert read(**size_only) == {"data": "", "offset": size}
    assert len(read(offset=0)["data"]) == cap == len(read(offset=0, length=-1)["data"])
    assert len(read(offset=1, length=10**9)["data"]) == cap
    assert read(offset=99990, length=10) == {"data": "0000000007"[:10], "offset": 99990}
    assert read(offset=size + 5) == {"data": "", "offset": size + 5}
    assert read(offset=0, length=0) == {"data": "", "offset": 0}
    for wrong in ({"offset": -2}, {"offset": "x"}, {"offset": 0, "length": -2}, {"offset": 0, "length": "x"}, {"offset": 2**63}):
        read(400, **wrong)
    r = get(agent, "/files/download", path=virtual + "/stdout")
    assert len(r.content) == size and "attachment; filename=" in r.headers["Content-Disposition"]
    assert "stdout" in r.headers["Content-Disposition"]
    for endpoint in ("browse", "read", "download"):
        assert get(agent, "/files/" + endpoint).status_code == 400
        assert get(agent, "/files/" + endpoint, path=path + "/none", offset=0).status_code == 404
        assert get(agent, "/files/" + endpoint, path="/nothing/here", offset=0).status_code == 404
        if endpoint != "browse":
            assert get(agent, "/files/" + endpoint, path=path + "/d", offset=0).status_code == 400
        for outside in (path + "/abs", path + "/../../../../../../../../etc/passwd", "/etc/passwd", path + "/d/../../../x"):
            r = get(agent, "/files/" + endpoint, path=outside, offset=0)
            assert r.status_code in (400, 403, 404) and "root:" not in r.text
    assert get(agent, "/files/read", path=path + "/d/../stdout", offset=0, length=1).status_code in (200, 400)


@rows("0.1", 2)
@rows("2.1", 3)
def test_small_endpoints(agent, world):
    for path in "/state /containers /monitor/statistics /flags /version /metrics/snapshot /containerizer/debug".split():
        for prefix in ("", "/slave(1)"):
            r = get(agent, prefix + path)
            assert r.status_code == 200 and r.headers["Content-Type"] == "application/json"
        r = get(agent, path, jsonp="cb")
        assert r.headers["Content-Type"] == "text/javascript" and r.text.startswith("cb(") and r.text.endswith(")")
        assert get(agent, path, jsonp="alert(1);x").status_code == 400
    for method in ("GET", "POST"):
        r = requests.request(method, agent.url + "/health", timeout=TIMEOUT)
        assert r.status_code == 200 and r.content == b""
    check(get(agent, "/version").json(), shape("s:version build_date build_user;n:build_time"))
    assert all(isinstance(v, str) for v in get(agent, "/flags").json()["flags"].values())


METRICS = [
    "slave/uptime_secs", "slave/registered", "slave/recovery_errors",
    "slave/executor_directory_max_allowed_age_secs", "slave/frameworks_active",
    *(f"slave/executors_{x}" for x in "registering running terminating terminated preempted".split()),
    "slave/container_launch_errors",
    *(f"slave/tasks_{x}" for x in "staging starting running killing finished failed killed lost gone".split()),
    *(f"slave/{v}_{x}" for v in ("valid", "invalid") for x in ("status_updates", "framework_messages")),
    *(f"slave/{r}{k}_{x}" for r in "cpus gpus mem disk".split() for k in ("", "_revocable") for x in "total used percent".split()),
    "containerizer/fetcher/task_fetches_succeeded", "containerizer/fetcher/task_fetches_failed",
    "gc/path_removals_succeeded", "gc/path_removals_failed", "gc/path_removals_pending",
    "system/cpus_total", "system/load_1min", "system/mem_total_bytes", "system/mem_free_bytes",
]


@rows("3.2", 7)
def test_metrics(agent, world):
    metrics = get(agent, "/metrics/snapshot").json()
    assert not [name for name in METRICS if name not in metrics]
    assert metrics["slave/registered"] == 1.0 and metrics["slave/tasks_running"] >= 1.0
    assert metrics["slave/executors_registering"] >= 1.0 <= metrics["slave/executors_running"]
    assert metrics["slave/cpus_total"] == 9.0


# ---- 1: the v1 API ----


@rows("1", 8)
def test_order_of_checks_of_operators(agent):
    """Accept before the body, unlike the master."""

    def answer(code, body=b"{}", headers=JSON, method="POST"):
        r = requests.request(method, agent.url + "/api/v1", data=body, headers=headers, timeout=TIMEOUT)
        assert r.status_code == code, r.text
        return r

    html = {**JSON, "Accept": "text/html"}
    assert answer(405, method="GET", headers={}).headers["Allow"] == "POST"
    answer(400, headers={})
    answer(415, headers={"Content-Type": "text/plain"})
    answer(406, b"{", html)
    answer(400, b"{")
    answer(400, b"{}")
    answer(400, b'{"type":"NO_SUCH"}')
    answer(501, b'{"type":"UNKNOWN"}')
    for call in "GET_METRICS READ_FILE LIST_FILES SET_LOGGING_LEVEL LAUNCH_CONTAINER WAIT_CONTAINER KILL_CONTAINER REMOVE_CONTAINER".split():
        assert "be present" in answer(400, b'{"type":"%s"}' % call.encode()).text, call
    answer(400, b'{"type":"READ_FILE","read_file":{"path":"/x"}}')
    answer(404, b'{"type":"READ_FILE","read_file":{"path":"/x","offset":0}}')
    answer(404, b'{"type":"LIST_FILES","list_files":{"path":"/x"}}')


@rows("1.3 operators", 12)
def test_calls(agent, world):
    s, task, queued, done, agent_id, path = world
    assert operator(agent, "GET_HEALTH") == {"healthy": True}
    check(operator(agent, "GET_VERSION")["version_info"], shape("s:version build_date build_user;n:build_time"))
    assert "work_dir" in [f["name"] for f in operator(agent, "GET_FLAGS")["flags"]]
    assert {"name": "slave/registered", "value": 1.0} in operator(agent, "GET_METRICS", get_metrics={})["metrics"]
    assert operator(agent, "GET_LOGGING_LEVEL") == {"level": 0}
    state = operator(agent, "GET_STATE")
    assert sorted(state) == ["get_executors", "get_frameworks", "get_tasks"]
    containers = {c["executor_id"]["value"]: c for c in operator(agent, "GET_CONTAINERS")["containers"]}
    check(containers[task], shape("o:framework_id executor_id container_id container_status resource_statistics;s:executor_name"))
    assert operator(agent, "GET_CONTAINERS", get_containers={"show_nested": True})["containers"]
    frameworks = operator(agent, "GET_FRAMEWORKS")["frameworks"]
    assert s.framework_id in [f["framework_info"]["id"]["value"] for f in frameworks]
    executors = operator(agent, "GET_EXECUTORS")
    assert {task, "silent"} <= {e["executor_info"]["executor_id"]["value"] for e in executors["executors"]}
    assert done in [e["executor_info"]["executor_id"]["value"] for e in executors["completed_executors"]]
    tasks = operator(agent, "GET_TASKS")
    assert queued in [t["task_id"]["value"] for t in tasks["queued_tasks"]]
    assert task in [t["task_id"]["value"] for t in tasks["launched_tasks"]]
    assert done in [t["task_id"]["value"] for t in tasks["completed_tasks"]]
    info = operator(agent, "GET_AGENT")["agent_info"]
    assert info["id"]["value"] == agent_id and info["port"] == agent.port and info["hostname"] == "127.0.0.1"
    assert operator(agent, "GET_OPERATIONS") == {} == operator(agent, "GET_RESOURCE_PROVIDERS")
    files = operator(agent, "LIST_FILES", list_files={"path": path})["file_infos"]
    for f in files:
        check(f, shape("s:path uid gid;n:nlink size mode;o:mtime"))
    data = operator(agent, "READ_FILE", read_file={"path": path + "/stdout", "offset": 99995, "length": 5})
    assert base64.b64decode(data["data"]) == b"00007" and data["size"] == os.path.getsize(path + "/stdout")
    r = post(agent, field(1, 1), {**PROTOBUF, "Accept": "application/x-protobuf"})
    assert fields(r.content) == {1: [1], 2: [b"\x08\x01"]}
    r = post(agent, {"type": "GET_HEALTH"}, {"Content-Type": "application/json; charset=utf-8"})
    assert r.status_code == 200
