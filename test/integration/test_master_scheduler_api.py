"""The scheduler API of a real master over HTTP: order of checks, status codes, streams; and the operator
endpoints' keys. What needs agents is elsewhere, but for a master that is killed."""

import json
import socket

import pytest
import requests

from cluster import wait_until
from scheduler import Scheduler, records

INFO = {"user": "nobody", "name": "demo", "failover_timeout": 60}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def master(shared_cluster):
    return shared_cluster.master()


def post(master, body, headers=None, path="/api/v1/scheduler", **kw):
    data = body if isinstance(body, (bytes, str)) else json.dumps(body)
    return requests.post(master.url + path, data=data, headers=JSON if headers is None else headers, timeout=60, **kw)


class Stream:
    """A raw subscription, event by event."""

    def __init__(self, master, info=None, framework_id=None, accept="application/json", path="/api/v1/scheduler"):
        body = {"type": "SUBSCRIBE", "subscribe": {"framework_info": dict(info or INFO)}}
        if framework_id:
            body["framework_id"] = {"value": framework_id}
            body["subscribe"]["framework_info"]["id"] = {"value": framework_id}
        headers = {**JSON}
        if accept:
            headers["Accept"] = accept
        self.response = post(master, body, headers, path, stream=True)
        self.events = records(self.response)
        self.id = self.response.headers.get("Mesos-Stream-Id")

    def next(self):
        return next(self.events)

    def subscribed(self):
        event = self.next()
        assert event["type"] == "SUBSCRIBED", event
        return event["subscribed"]["framework_id"]["value"]

    def close(self):
        self.response.close()


def test_subscribe(master):
    s = Stream(master)
    assert s.response.status_code == 200
    assert s.response.headers["Content-Type"] == "application/json"
    assert s.response.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in s.response.headers
    assert len(s.id) == 36
    event = s.next()
    assert event["type"] == "SUBSCRIBED"
    body = event["subscribed"]
    assert body["heartbeat_interval_seconds"] == 15.0
    assert body["framework_id"]["value"] == body["master_info"]["id"] + "-0000"
    assert body["master_info"]["address"] == {"hostname": "127.0.0.1", "ip": "127.0.0.1", "port": master.port}
    assert body["master_info"]["ip"] == 16777343
    assert s.next() == {"type": "HEARTBEAT"}
    s.close()


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "application/x-protobuf, application/json"])
def test_json_is_preferred(master, accept):
    s = Stream(master, accept=accept)
    assert s.response.headers["Content-Type"] == "application/json"
    s.close()


def test_protobuf_stream(master):
    s = Stream(master, accept="application/x-protobuf")
    assert s.response.headers["Content-Type"] == "application/x-protobuf"
    head = b""
    while not head.endswith(b"\n"):
        head += s.response.raw.read(1)
    s.response.raw.read(0)
    assert int(head) > 0
    s.close()


def test_prefixed_path(master):
    s = Stream(master, path="/master/api/v1/scheduler")
    s.subscribed()
    s.close()


def test_order_of_checks(master):
    url = master.url + "/api/v1/scheduler"
    r = requests.get(url, timeout=60)
    assert r.status_code == 405 and r.headers["Allow"] == "POST"
    assert post(master, b"{}", {}).status_code == 400
    assert post(master, b"{", JSON).status_code == 400
    assert post(master, b"[]", JSON).status_code == 400
    assert post(master, b"{}", {"Content-Type": "text/plain"}).status_code == 415
    assert post(master, b"\xff\xff", {"Content-Type": "application/x-protobuf"}).status_code == 400
    # Call-level validation comes before everything that needs state.
    for body in (
        {},
        {"type": "NO_SUCH_CALL"},
        {"type": "SUBSCRIBE"},
        {"type": "SUBSCRIBE", "subscribe": {"framework_info": {"name": "no user"}}},
        {"type": "SUBSCRIBE", "framework_id": {"value": "x"}, "subscribe": {"framework_info": INFO}},
        {"type": "TEARDOWN"},
        {"type": "ACCEPT", "framework_id": {"value": "x"}},
        {"type": "KILL", "framework_id": {"value": "x"}, "kill": {}},
        {
            "type": "ACKNOWLEDGE",
            "framework_id": {"value": "x"},
            "acknowledge": {"agent_id": {"value": "a"}, "task_id": {"value": "t"}, "uuid": "AAA="},
        },
    ):
        assert post(master, body).status_code == 400, body
    # Unacceptable Accept, then a stream id that must not be there.
    body = {"type": "SUBSCRIBE", "subscribe": {"framework_info": INFO}}
    assert post(master, body, {**JSON, "Accept": "text/html"}).status_code == 406
    assert post(master, body, {**JSON, "Accept": "text/html", "Mesos-Stream-Id": "x"}).status_code == 406
    assert post(master, body, {**JSON, "Mesos-Stream-Id": "x"}).status_code == 400


def test_calls_need_the_stream(master):
    s = Stream(master)
    fid = s.subscribed()
    revive = {"type": "REVIVE", "framework_id": {"value": fid}}
    assert post(master, revive).status_code == 400
    assert post(master, revive, {**JSON, "Mesos-Stream-Id": "other"}).status_code == 400
    good = {**JSON, "Mesos-Stream-Id": s.id}
    r = post(master, revive, good)
    assert r.status_code == 202 and r.headers["Content-Length"] == "0"
    assert post(master, {"type": "REVIVE", "framework_id": {"value": "nobody"}}, good).status_code == 400
    assert post(master, {"type": "UNKNOWN", "framework_id": {"value": fid}}, good).status_code == 501
    s.response.raw._fp.fp.raw._sock.shutdown(socket.SHUT_RDWR)
    s.close()
    wait_until(lambda: post(master, revive, good).status_code == 403, "the disconnection to be seen")


def test_failover(master):
    first = Stream(master)
    fid = first.subscribed()
    second = Stream(master, framework_id=fid)
    assert second.subscribed() == fid
    assert second.id != first.id
    kinds = [e for e in first.events]
    assert kinds[-1] == {"type": "ERROR", "error": {"message": "Framework failed over"}}
    r = post(master, {"type": "TEARDOWN", "framework_id": {"value": fid}}, {**JSON, "Mesos-Stream-Id": second.id})
    assert r.status_code == 202
    assert list(second.events)[-1] == {"type": "HEARTBEAT"}  # and the stream ended
    gone = Stream(master, framework_id=fid)
    assert gone.id
    assert [e["type"] for e in gone.events] == ["ERROR"]


@pytest.mark.parametrize(
    "info",
    [
        {**INFO, "roles": ["a"]},
        {**INFO, "role": "a", "capabilities": [{"type": "MULTI_ROLE"}]},
        {**INFO, "roles": ["a", "a"], "capabilities": [{"type": "MULTI_ROLE"}]},
        {**INFO, "role": "a b"},
        {**INFO, "role": "/a"},
        {**INFO, "failover_timeout": 1e300},
    ],
)
def test_refusals_are_events(master, info):
    s = Stream(master, info)
    assert s.response.status_code == 200
    events = list(s.events)
    assert [e["type"] for e in events] == ["ERROR"]
    assert events[0]["error"]["message"]


def test_large_body(master):
    assert post(master, b"{" + b" " * (10 << 20)).status_code == 413


def test_endpoints(master):
    state = requests.get(master.url + "/state", timeout=60).json()
    for key in ("version", "id", "pid", "hostname", "activated_slaves", "leader_info", "flags", "slaves", "frameworks",
                "completed_frameworks", "orphan_tasks", "unregistered_frameworks", "recovered_slaves"):
        assert key in state, key
    assert state["pid"] == f"master@127.0.0.1:{master.port}"
    for path in ("/master/state", "/state.json", "/master/state.json", "/state-summary", "/slaves", "/frameworks", "/tasks",
                 "/roles", "/flags", "/metrics/snapshot", "/version"):
        assert requests.get(master.url + path, timeout=60).status_code == 200, path
    version = requests.get(master.url + "/version", timeout=60).json()["version"]
    assert all(part.isdigit() for part in version.split("."))
    assert requests.get(master.url + "/health", timeout=60).content == b""
    r = requests.get(master.url + "/redirect", timeout=60, allow_redirects=False)
    assert r.status_code == 307 and r.headers["Location"] == f"//127.0.0.1:{master.port}"
    assert requests.get(master.url + "/redirect/x", timeout=60).status_code == 404
    r = requests.get(master.url + "/state?jsonp=cb", timeout=60)
    assert r.headers["Content-Type"] == "text/javascript" and r.text.startswith("cb({") and r.text.endswith("})")
    assert requests.post(master.url + "/state", timeout=60).status_code == 405


@pytest.mark.parametrize(
    "call", ["GET_HEALTH", "GET_FLAGS", "GET_VERSION", "GET_LOGGING_LEVEL", "GET_STATE", "GET_AGENTS", "GET_FRAMEWORKS",
             "GET_EXECUTORS", "GET_TASKS", "GET_ROLES", "GET_MASTER"]
)
def test_operator_calls(master, call):
    answer = post(master, {"type": call}, path="/api/v1").json()
    assert answer["type"] == call
    assert call.lower() in answer
    r = post(master, {"type": call}, {**JSON, "Accept": "application/x-protobuf"}, path="/api/v1")
    assert r.headers["Content-Type"] == "application/x-protobuf" and r.content


def test_operator_api_refuses(master):
    assert post(master, {"type": "GET_METRICS"}, path="/api/v1").status_code == 400
    assert post(master, {"type": "GET_METRICS", "get_metrics": {}}, path="/api/v1").status_code == 200
    assert post(master, {}, path="/api/v1").status_code == 400
    assert post(master, {"type": "GET_STATE"}, {**JSON, "Accept": "text/html"}, path="/api/v1").status_code == 406
    assert requests.get(master.url + "/api/v1", timeout=60).status_code == 405


def test_operator_stream(master):
    r = post(master, {"type": "SUBSCRIBE"}, path="/api/v1", stream=True)
    events = records(r)
    first = next(events)
    assert first["type"] == "SUBSCRIBED" and "get_tasks" in first["subscribed"]["get_state"]
    assert next(events) == {"type": "HEARTBEAT"}
    s = Stream(master)
    fid = s.subscribed()
    added = next(e for e in events if e["type"] == "FRAMEWORK_ADDED")
    assert added["framework_added"]["framework"]["framework_info"]["id"]["value"] == fid
    assert post(master, {"type": "TEARDOWN", "teardown": {"framework_id": {"value": fid}}}, path="/api/v1").status_code == 200
    removed = next(e for e in events if e["type"] == "FRAMEWORK_REMOVED")
    assert removed["framework_removed"]["framework_info"]["id"]["value"] == fid
    r.close()


def test_killed_master_knows_its_frameworks(cluster):
    master = cluster.master()
    first = Stream(master)
    fid = first.subscribed()
    torn = Stream(master)
    torn_id = torn.subscribed()
    assert requests.post(master.url + "/teardown", data={"frameworkId": torn_id}, timeout=60).status_code == 200
    master.restart()
    frameworks = requests.get(master.url + "/frameworks", timeout=60).json()["frameworks"]
    assert [(f["id"], f["recovered"], f["connected"]) for f in frameworks] == [(fid, True, False)]
    again = Stream(master, framework_id=fid)
    assert again.subscribed() == fid
    assert [e["type"] for e in Stream(master, framework_id=torn_id).events] == ["ERROR"]
    again.close()


def test_killed_master_gets_agents_and_tasks_back(cluster):
    master = cluster.master()
    agent = cluster.agent(master)
    with Scheduler(master.url) as s:
        task = s.launch({"command": {"value": "sleep 1000"}})
        s.wait_state(task, "TASK_RUNNING")
        before = {u["uuid"] for u in s.of(task)}
        agent_id = requests.get(master.url + "/slaves", timeout=60).json()["slaves"][0]["id"]
        master.restart()

        def back():
            state = requests.get(master.url + "/state", timeout=60).json()
            slaves = [x["id"] for x in state["slaves"] if x["active"]]
            tasks = [t["id"] for f in state["frameworks"] for t in f["tasks"] if t["state"] == "TASK_RUNNING"]
            return slaves == [agent_id] and tasks == [task]

        wait_until(back, "the agent and its task to be back")
        assert agent.alive()
        s.close()
        s.subscribe()
        s.reconcile(task)
        s.wait(lambda: [u for u in s.of(task) if "uuid" not in u], "the answer")
        # One whose acknowledgement ended with the master comes again under its uuid: no others do.
        assert {u["uuid"] for u in s.of(task) if "uuid" in u} == before


def test_ends_cleanly_with_open_streams(cluster):
    master = cluster.master()
    s = Stream(master)
    s.subscribed()
    operator = post(master, {"type": "SUBSCRIBE"}, path="/api/v1", stream=True)
    next(records(operator))
    master.process.terminate()
    assert master.process.wait(timeout=60) == 0
    s.close()
    operator.close()
