"""Rows of the operators' tables that no other file of this folder has: headers, methods, events, calls of the agent,
endpoints that the rules name by their path."""

import json

import pytest
import requests

from cluster import wait_until
from raw import (
    JSON, PROTOBUF, TIMEOUT, Executor, Scheduler, Stream, binary_records, field, get, ids, operator,
    post, rows,
)
from scheduler import scalar
from test_agent_api import known, start

RECORDIO = "application/recordio"


@rows("0.1", 1)
@pytest.mark.parametrize(
    "accept, chosen",
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/x-protobuf, application/json", "application/json"),
        ("application/x-protobuf", "application/x-protobuf"),
        ("application/json;q=0, application/*", "application/x-protobuf"),
    ],
)
def test_accept_of_operators(master, agent, accept, chosen):
    for daemon in (master, agent):
        r = post(daemon, {"type": "GET_HEALTH"}, {**JSON, "Accept": accept})
        assert (r.status_code, r.headers["Content-Type"]) == (200, chosen)


@rows("0.1", 1)
def test_no_jsonp(master, agent):
    """Neither for the v1 API nor for what is no JSON."""
    r = post(master, {"type": "GET_HEALTH"}, path="/api/v1?jsonp=cb")
    assert r.headers["Content-Type"] == "application/json" and r.text.startswith("{")
    for daemon in (master, agent):
        assert get(daemon, "/logging/toggle", jsonp="cb").text == "0\n"


@rows("1", 2)
@pytest.mark.parametrize(
    "code, kind, headers",
    [
        (400, "GET_HEALTH", {"Content-Type": RECORDIO}),
        (415, "GET_HEALTH", {"Content-Type": RECORDIO, "Message-Content-Type": "application/json"}),
        (415, "GET_HEALTH", {**JSON, "Message-Content-Type": "application/json"}),
        (415, "ATTACH_CONTAINER_INPUT", JSON),
        (406, "GET_HEALTH", {**JSON, "Accept": RECORDIO}),
        (406, "GET_HEALTH", {**JSON, "Accept": RECORDIO, "Message-Accept": "application/json"}),
        (406, "GET_HEALTH", {**JSON, "Accept": "application/json", "Message-Accept": "application/json"}),
        (406, "ATTACH_CONTAINER_OUTPUT", {**JSON, "Accept": "text/html"}),
    ],
    ids=str,
)
def test_agents_headers(agent, code, kind, headers):
    """Headers about records go with RecordIO, and RecordIO with calls that stream."""
    nested = {"container_id": {"value": "x", "parent": {"value": "y"}}}
    body = {"type": kind, **({kind.lower(): nested} if "ATTACH" in kind else {})}
    assert post(agent, body, headers).status_code == code


NOT_SERVED = {
    **{
        f"{verb}_{noun}": {"container_id": {"value": "x", "parent": {"value": "y"}}}
        for verb, noun in (
            ("LAUNCH", "CONTAINER"), ("LAUNCH", "NESTED_CONTAINER"), ("LAUNCH", "NESTED_CONTAINER_SESSION"),
            ("WAIT", "CONTAINER"), ("WAIT", "NESTED_CONTAINER"), ("KILL", "CONTAINER"), ("KILL", "NESTED_CONTAINER"),
            ("REMOVE", "CONTAINER"), ("REMOVE", "NESTED_CONTAINER"), ("ATTACH", "CONTAINER_OUTPUT"),
        )
    },
    "ADD_RESOURCE_PROVIDER_CONFIG": {"info": {"type": "t", "name": "n"}},
    "UPDATE_RESOURCE_PROVIDER_CONFIG": {"info": {"type": "t", "name": "n"}},
    "REMOVE_RESOURCE_PROVIDER_CONFIG": {"type": "t", "name": "n"},
    "MARK_RESOURCE_PROVIDER_GONE": {"resource_provider_id": {"value": "x"}},
    "PRUNE_IMAGES": {},
}


@rows("1.3 operators", 13)
@pytest.mark.parametrize("call", NOT_SERVED)
def test_agent_calls_that_are_not_served(agent, call):
    """The form of the call is checked; then it is said that there is no such part."""
    r = post(agent, {"type": call})
    assert r.status_code == 400 and call.lower() in r.text
    if NOT_SERVED[call]:
        r = post(agent, {"type": call, call.lower(): {}})
        assert r.status_code == 400 and call.lower() in r.text
    r = post(agent, {"type": call, call.lower(): NOT_SERVED[call]})
    assert r.status_code == 501 and call in r.text


@rows("1.1", 2)
def test_files_by_call_refused(master, agent):
    for daemon in (master, agent):
        for kind, body, code in (
            ("LIST_FILES", {}, 400), ("LIST_FILES", {"path": "/nothing"}, 404),
            ("READ_FILE", {"path": "/nothing"}, 400), ("READ_FILE", {"path": "/nothing", "offset": 0}, 404),
            ("READ_FILE", {"path": "/nothing", "offset": -1}, 400),
        ):
            assert post(daemon, {"type": kind, kind.lower(): body}).status_code == code, (kind, body)


@rows("1.1", 1)
def test_teardown_by_call(master, agent):
    s = Scheduler(master)
    s.subscribed()
    r = post(master, {"type": "TEARDOWN", "teardown": ids(framework_id=s.framework_id)})
    assert (r.status_code, r.content) == (200, b"")
    assert not [e for e in s.events if e["type"] == "ERROR"]
    assert post(master, {"type": "TEARDOWN", "teardown": ids(framework_id=s.framework_id)}).status_code == 400


@rows("1.3 operators", 1)
def test_operations_of_the_agent(master, agent, framework):
    offer = framework.offer(cpus=7)
    unreserved = {**scalar("cpus", 1), "reservations": [{"type": "DYNAMIC", "role": "dev"}]}
    with Scheduler(master, role="dev") as dev:
        framework.call("DECLINE", decline={"offer_ids": [offer["id"]], "filters": {"refuse_seconds": 600}})
        mine = dev.offer(cpus=7)
        dev.accept([mine], [{"type": "RESERVE", "id": {"value": "r"}, "reserve": {"resources": [unreserved]}}])
        status = dev.until(lambda e: e["type"] == "UPDATE_OPERATION_STATUS")[-1]["update_operation_status"]["status"]
        assert status["state"] == "OPERATION_FINISHED"
        found = operator(agent, "GET_OPERATIONS")["operations"]
        assert [(o["info"]["type"], o["info"]["id"]) for o in found] == [("RESERVE", {"value": "r"})]
        assert found[0]["latest_status"]["state"] == "OPERATION_FINISHED"
        dev.call(
            "ACKNOWLEDGE_OPERATION_STATUS",
            acknowledge_operation_status={
                **{k: status[k] for k in ("agent_id", "operation_id")}, "uuid": status["uuid"]["value"],
            },
        )
        wait_until(lambda: operator(agent, "GET_OPERATIONS") == {}, "the operation to be forgotten")
        again = dev.offer(cpus=1)
        reserved = [r for r in again["resources"] if r["name"] == "cpus" and r.get("reservations", [{}])[0].get("type") == "DYNAMIC"]
        dev.accept([again], [{"type": "UNRESERVE", "unreserve": {"resources": reserved}}])
        dev.barrier()


# ---- 1.2: events ----


@rows("0.3", 1)
def test_stream_in_protobuf(master, agent):
    r = post(master, field(1, 18), {**PROTOBUF, "Accept": "application/x-protobuf"}, stream=True)
    assert r.headers["Content-Type"] == "application/x-protobuf"
    events = binary_records(r)
    assert next(events)[1] == [1] and next(events) == {1: [9]}
    r.close()


@rows("1.2 operators", 1)
def test_repeats_of_a_state_are_silent(master, agent, framework):
    stream = Stream(post(master, {"type": "SUBSCRIBE"}, stream=True))
    task, _ = start(framework, "e")
    known(agent, framework, "e")
    executor = Executor(agent, framework.framework_id, "e")
    executor.until(lambda e: e["type"] == "LAUNCH")
    for fields in (
        {}, {}, {"reason": "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED", "healthy": True, "data": "eA=="},
    ):
        executor.update(task, "TASK_RUNNING", **fields)
        framework.update(task)
    executor.update(task, "TASK_FINISHED")
    events = stream.until(lambda e: e["type"] == "TASK_UPDATED" and e["task_updated"]["state"] == "TASK_FINISHED")
    told = [e["task_updated"] for e in events if e["type"] == "TASK_UPDATED"]
    assert [(t["status"]["state"], t["status"].get("reason")) for t in told if t["status"]["task_id"] == {"value": task}] == [
        ("TASK_RUNNING", None), ("TASK_RUNNING", "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED"), ("TASK_FINISHED", None),
    ]
    assert not [t for t in told if "data" in t["status"]]
    stream.cut()


@rows("1.2 operators", 2)
def test_agents_come_and_go(cluster):
    master = cluster.master(agent_ping_timeout="500ms", max_agent_ping_timeouts=2)
    stream = Stream(post(master, {"type": "SUBSCRIBE"}, stream=True))
    agent = cluster.agent(master)
    added = stream.until(lambda e: e["type"] == "AGENT_ADDED")[-1]["agent_added"]["agent"]
    assert added["active"] is True and {r["name"] for r in added["total_resources"]} >= {"cpus", "mem"}
    wait_until(lambda: get(agent, "/state").json()["id"], "the agent to know its id")
    agent.kill()
    removed = stream.until(lambda e: e["type"] == "AGENT_REMOVED")[-1]["agent_removed"]
    assert removed == {"agent_id": added["agent_info"]["id"]}
    agent.start()
    again = stream.until(lambda e: e["type"] == "AGENT_ADDED")[-1]["agent_added"]["agent"]
    assert again["agent_info"]["id"] == added["agent_info"]["id"]
    stream.cut()


@rows("1.2 operators", 1)
def test_frameworks_that_change(master, agent):
    """Each subscription is told, a call only when the description changed."""
    stream = Stream(post(master, {"type": "SUBSCRIBE"}, stream=True))
    with Scheduler(master) as first:
        info = {**first.info, **ids(id=first.framework_id)}
        for name in ("raw", "raw", "other"):
            r = first.raw_call("UPDATE_FRAMEWORK", update_framework={"framework_info": {**info, "name": name}})
            assert r.status_code == 200
        with Scheduler(master, framework_id=first.framework_id, name="other"):
            pass
    events = stream.until(lambda e: e["type"] == "FRAMEWORK_REMOVED")
    names = [
        (e["type"], e[e["type"].lower()]["framework"]["framework_info"]["name"])
        for e in events if e["type"] in ("FRAMEWORK_ADDED", "FRAMEWORK_UPDATED")
        and e[e["type"].lower()]["framework"]["framework_info"]["id"]["value"] == first.framework_id
    ]
    assert names == [("FRAMEWORK_ADDED", "raw"), ("FRAMEWORK_UPDATED", "other"), ("FRAMEWORK_UPDATED", "other")]
    stream.cut()


# ---- 2: endpoints ----

READ = "state state-summary slaves frameworks tasks roles flags version maintenance/status".split()
METHODS = {
    **{path: {"GET"} for path in READ},
    "weights": {"GET", "PUT"}, "quota": {"GET", "POST", "DELETE"}, "maintenance/schedule": {"GET", "POST"},
    **{p: {"POST"} for p in "reserve unreserve create-volumes destroy-volumes teardown machine/up machine/down".split()},
}


@rows("2.1", 1)
@pytest.mark.parametrize("path", METHODS)
def test_methods(master, path):
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
        r = requests.request(method, f"{master.url}/master/{path}", timeout=TIMEOUT)
        if method in METHODS[path]:
            assert r.status_code in (200, 400)
        else:
            assert r.status_code == 405 and METHODS[path] <= set(r.headers["Allow"].split(", ")) <= METHODS[path] | {"HEAD"}


@rows("13", 1)
def test_version_is_numbers(master, agent):
    """Clients take it apart at the dots and count on 1.0.0 or more."""
    for daemon in (master, agent):
        parts = get(daemon, "/version").json()["version"].split(".")
        assert len(parts) == 3 and all(p.isdigit() for p in parts) and int(parts[0]) >= 1


@rows("2.8", 1)
def test_files_debug(agent, framework):
    task, _ = framework.launch()
    framework.state(task, "TASK_RUNNING")
    directory = known(agent, framework, task)["directory"]
    shown = get(agent, "/files/debug").json()
    assert shown[directory] == directory
    assert shown[f"/frameworks/{framework.framework_id}/executors/{task}/runs/latest"] == directory


@rows("2.9", 1)
@rows("5.6", 1)
def test_endpoints_by_path(cluster):
    """Rules about endpoints name these paths and no other."""
    acls = {"permissive": True, "get_endpoints": [{"principals": {"type": "ANY"}, "paths": {"type": "NONE"}}]}
    master = cluster.master(acls=json.dumps(acls))
    agent = cluster.agent(master, acls=json.dumps(acls))
    closed = {"/files/debug", "/logging/toggle", "/metrics/snapshot"}
    for path in closed | {"/state", "/flags", "/version", "/health", "/slaves"}:
        assert get(master, path).status_code == (403 if path in closed else 200), path
    closed |= {"/containers", "/containerizer/debug", "/monitor/statistics"}
    for path in closed | {"/state", "/flags", "/version", "/health"}:
        assert get(agent, path).status_code == (403 if path in closed else 200), path
