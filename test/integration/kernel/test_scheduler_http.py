"""The scheduler endpoint: negotiation, the order of its checks, framing, JSON, subscriptions and their end."""

import gzip
import json
import re
import socket

import pytest
import requests

from cluster import wait_until
from raw import JSON, PROTOBUF, TIMEOUT, UUID, Scheduler, binary_records, field, fields, get, ids, post, rows
from scheduler import records

PATH = "/api/v1/scheduler"
MULTI = {"capabilities": [{"type": "MULTI_ROLE"}]}
INFO = {"user": "nobody", "name": "demo", "failover_timeout": 60}
SUBSCRIBE = {"type": "SUBSCRIBE", "subscribe": {"framework_info": INFO}}


def send(master, body, headers=None, **options):
    return post(master, body, headers, PATH, **options)


# ---- 1.1 ----


@rows("1.1", 9)
@pytest.mark.parametrize(
    "accept, chosen",
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("APPLICATION/JSON", "application/json"),
        ("application/x-protobuf, application/json", "application/json"),
        ("application/x-protobuf;q=1.0, application/json;q=0.1", "application/json"),
        ("application/json;q=0, application/x-protobuf", "application/x-protobuf"),
        ("application/json;q=x, application/x-protobuf", "application/x-protobuf"),
        ("text/html, application/x-protobuf", "application/x-protobuf"),
        ("text/html", None),
        ("application/json;q=0", None),
        ("application/recordio", None),
    ],
)
def test_accept(master, accept, chosen):
    headers = {**JSON, "Accept": accept}
    response = send(master, SUBSCRIBE, headers, stream=True)
    if chosen:
        assert response.status_code == 200
        assert response.headers["Content-Type"] == chosen
        assert response.headers["Transfer-Encoding"] == "chunked"
        assert "Content-Length" not in response.headers
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", response.headers["Mesos-Stream-Id"])
    else:
        assert response.status_code == 406
        assert "Mesos-Stream-Id" not in response.headers
    response.close()


@rows("1.1")
def test_accept_is_examined_only_for_streams(master, framework):
    r = send(
        master,
        {"type": "REVIVE", **ids(framework_id=framework.framework_id)},
        {**JSON, "Mesos-Stream-Id": framework.stream_id, "Accept": "text/html"},
    )
    assert r.status_code == 202


@rows("1.1", 2)
def test_bodies_compressed_and_chunked(master):
    body = gzip.compress(json.dumps(SUBSCRIBE).encode())
    r = send(master, body, {**JSON, "Content-Encoding": "gzip"}, stream=True)
    assert r.status_code == 200 and "Content-Encoding" not in r.headers
    r.close()
    r = requests.post(
        master.url + PATH, data=iter([b'{"type":"SUB', b'SCRIBE"}']), headers=JSON, timeout=TIMEOUT
    )
    assert r.status_code == 400 and "subscribe" in r.text
    r = requests.get(master.url + "/state", headers={"Accept-Encoding": "gzip"}, timeout=TIMEOUT)
    assert r.headers["Content-Encoding"] == "gzip" and r.json()["id"]


# ---- 1.2 ----


@rows("1.2", 11)
@pytest.mark.parametrize("prefix", ["", "/master"])
def test_order_of_checks(master, framework, prefix):
    url = master.url + prefix + PATH

    def check(code, body=b"{}", headers=JSON, method="POST"):
        r = requests.request(method, url, data=body, headers=headers, timeout=TIMEOUT)
        assert r.status_code == code, (body, headers, r.status_code, r.text)
        if code != 202:
            assert r.headers["Content-Length"] == str(len(r.content)) and r.content
            assert r.headers["Content-Type"].startswith("text/plain")
        return r

    for method in ("GET", "PUT", "DELETE"):
        assert check(405, method=method, headers={}).headers["Allow"] == "POST"
    check(400, headers={})
    check(400, b"{")
    check(400, b"[]")
    check(400, b'"x"')
    check(400, b"")
    check(400, b"\xff\xff", PROTOBUF)
    check(415, b"{", {"Content-Type": "text/plain"})
    check(415, b"{}", {"Content-Type": "application/JSON"})
    # The call's form before Accept, Accept before the stream's id.
    html = {**JSON, "Accept": "text/html"}
    check(400, b'{"type":"SUBSCRIBE"}', html)
    check(406, json.dumps(SUBSCRIBE), {**html, "Mesos-Stream-Id": "x"})
    check(400, json.dumps(SUBSCRIBE), {**JSON, "Mesos-Stream-Id": "x"})

    def call(code, framework_id, stream_id=None, kind="REVIVE", **body):
        headers = {**JSON, **({"Mesos-Stream-Id": stream_id} if stream_id else {})}
        body = {"type": kind, **ids(framework_id=framework_id), **body}
        return check(code, json.dumps(body), headers)

    known, stream = framework.framework_id, framework.stream_id
    assert "cannot be found" in call(400, "nobody").text
    call(400, known)
    call(400, known, "x" * 36)
    call(400, known, stream, "NO_SUCH_CALL")
    call(400, known, None, "UNKNOWN")
    call(501, known, stream, "UNKNOWN")
    assert call(202, known, stream).headers["Content-Length"] == "0"
    assert call(202, known, stream).content == b""


@rows("1.2")
def test_disconnected_framework_is_told_before_its_stream(master, agent):
    s = Scheduler(master)
    s.subscribed()
    s.cut()
    revive = {"type": "REVIVE", **ids(framework_id=s.framework_id)}
    wait_until(lambda: send(master, revive).status_code == 403, "the end of the stream to be seen")
    assert send(master, revive, {**JSON, "Mesos-Stream-Id": s.stream_id}).status_code == 403
    post(master, {"type": "TEARDOWN", "teardown": ids(framework_id=s.framework_id)})


FORMS = [
    {},
    {"type": "NO_SUCH_CALL", **ids(framework_id="x")},
    {"type": None, **ids(framework_id="x")},
    {"type": 3, **ids(framework_id="x")},
    {"type": "subscribe"},
    {"type": "SUBSCRIBE"},
    {"type": "SUBSCRIBE", "subscribe": {}},
    {"type": "SUBSCRIBE", "subscribe": {"framework_info": {"name": "no user"}}},
    {"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "no name"}}},
    {"type": "SUBSCRIBE", **ids(framework_id="x"), "subscribe": {"framework_info": INFO}},
    {"type": "SUBSCRIBE", "subscribe": {"framework_info": {**INFO, **ids(id="x")}}},
    {"type": "SUBSCRIBE", **ids(framework_id="y"), "subscribe": {"framework_info": {**INFO, **ids(id="x")}}},
    {"type": "TEARDOWN"},
    {"type": "REVIVE", "framework_id": {}},
    {"type": "REVIVE", "framework_id": {"value": ""}},
    *(
        {"type": kind, **ids(framework_id="x")}
        for kind in (
            "ACCEPT DECLINE ACCEPT_INVERSE_OFFERS DECLINE_INVERSE_OFFERS KILL SHUTDOWN ACKNOWLEDGE RECONCILE MESSAGE"
            " ACKNOWLEDGE_OPERATION_STATUS RECONCILE_OPERATIONS REQUEST UPDATE_FRAMEWORK"
        ).split()
    ),
    *(
        {"type": kind, **ids(framework_id="x"), kind.lower(): {}}
        for kind in "KILL SHUTDOWN ACKNOWLEDGE MESSAGE ACKNOWLEDGE_OPERATION_STATUS UPDATE_FRAMEWORK".split()
    ),
    {"type": "KILL", **ids(framework_id="x"), "kill": {"task_id": {}}},
    {"type": "RECONCILE", **ids(framework_id="x"), "reconcile": {"tasks": [{}]}},
    {"type": "RECONCILE_OPERATIONS", **ids(framework_id="x"), "reconcile_operations": {"operations": [{}]}},
    {"type": "SHUTDOWN", **ids(framework_id="x"), "shutdown": ids(executor_id="e")},
    {"type": "MESSAGE", **ids(framework_id="x"), "message": ids(executor_id="e", agent_id="a")},
    {"type": "ACCEPT", **ids(framework_id="x"), "accept": {"offer_ids": [{}]}},
    {"type": "ACKNOWLEDGE", **ids(framework_id="x"), "acknowledge": {**ids(agent_id="a", task_id="t"), "uuid": "AAA="}},
    {"type": "ACKNOWLEDGE", **ids(framework_id="x"), "acknowledge": {**ids(agent_id="a", task_id="t"), "uuid": "?"}},
    {
        "type": "ACKNOWLEDGE_OPERATION_STATUS",
        **ids(framework_id="x"),
        "acknowledge_operation_status": {**ids(operation_id="o"), "uuid": UUID},
    },
    {
        "type": "ACKNOWLEDGE_OPERATION_STATUS",
        **ids(framework_id="x"),
        "acknowledge_operation_status": {**ids(operation_id="o", agent_id="a"), "uuid": "AAA="},
    },
    {"type": "UPDATE_FRAMEWORK", **ids(framework_id="x"), "update_framework": {"framework_info": INFO}},
]


@rows("4", 14)
@pytest.mark.parametrize("call", FORMS, ids=lambda c: json.dumps(c)[:60])
def test_form_of_calls(master, call):
    """All of it before anybody asks whether the framework is known: its text would be another."""
    r = send(master, call)
    assert r.status_code == 400 and "cannot be found" not in r.text, r.text


# ---- 1.4, 1.5, 2 ----


@rows("1.4")
@rows("1.5")
@rows("2", 6)
def test_stream_byte_by_byte(master):
    """Records, the heartbeat right behind SUBSCRIBED, numbers and defaults; also for a client that wants to close."""
    body = json.dumps({"type": "SUBSCRIBE", "subscribe": {"framework_info": {**INFO, **MULTI}}}).encode()
    with socket.create_connection((master.ip, master.port), timeout=TIMEOUT) as sock:
        sock.sendall(
            b"POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
            b"Accept: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        data = b""
        while not data.endswith(b'{"type":"HEARTBEAT"}\r\n'):
            part = sock.recv(65536)
            assert part, data
            data += part
        head, _, rest = data.partition(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        assert lines[0] == "http/1.1 200 ok"
        assert "transfer-encoding: chunked" in lines and "content-type: application/json" in lines
        text = b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            text, rest = text + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        size, _, text = text.partition(b"\n")
        event, rest = text[: int(size)], text[int(size) :]
        assert rest == b'20\n{"type":"HEARTBEAT"}'
        assert b'"heartbeat_interval_seconds":15.0' in event
        event = json.loads(event)
        assert list(event) == ["type", "subscribed"]
        assert list(event["subscribed"]) == ["framework_id", "heartbeat_interval_seconds", "master_info"]
        info = event["subscribed"]["master_info"]
        # Clients in use refuse names that they do not know; operators are told of QUOTA_V2 as well.
        assert info["capabilities"] == [{"type": "AGENT_UPDATE"}, {"type": "AGENT_DRAINING"}]
        assert list(info)[:6] == ["id", "ip", "port", "pid", "hostname", "version"]
        assert info["ip"] == 16777343 and info["port"] == master.port
        assert info["pid"] == f"master@127.0.0.1:{master.port}"
        assert info["address"] == {"hostname": "127.0.0.1", "ip": "127.0.0.1", "port": master.port}
        assert event["subscribed"]["framework_id"]["value"].startswith(info["id"] + "-")
        assert re.fullmatch(r"\d{4}", event["subscribed"]["framework_id"]["value"][len(info["id"]) + 1 :])


@rows("1.1")
@rows("1.4")
def test_protobuf_by_hand(master, agent):
    """SUBSCRIBE, an offer, DECLINE and TEARDOWN in bytes made here."""
    info = field(1, "root") + field(2, "bytes")
    r = send(master, field(2, 1) + field(3, field(1, info)), {**PROTOBUF, "Accept": "application/x-protobuf"}, stream=True)
    assert r.status_code == 200 and r.headers["Content-Type"] == "application/x-protobuf"
    stream = binary_records(r)
    subscribed = next(stream)
    assert subscribed[1] == [1]
    body = fields(subscribed[2][0])
    framework_id = fields(body[1][0])[1][0].decode()
    assert body[2] == [15.0]
    master_info = fields(body[3][0])
    assert master_info[1][0].decode() in framework_id and master_info[2] == [16777343] and master_info[3] == [master.port]
    assert next(stream) == {1: [8]}
    offers = next(e for e in stream if e[1] == [2])
    offer = fields(fields(offers[3][0])[1][0])
    assert fields(offer[2][0])[1][0].decode() == framework_id
    headers = {**PROTOBUF, "Mesos-Stream-Id": r.headers["Mesos-Stream-Id"]}
    caller = field(1, field(1, framework_id))
    assert send(master, caller + field(2, 4) + field(5, field(1, offer[1][0])), headers).status_code == 202
    assert send(master, caller + field(2, 2), headers).status_code == 202
    assert not [e for e in stream if e[1] != [8]]
    r.close()


@rows("2", 8)
@pytest.mark.parametrize(
    "change, accepted",
    [
        ({"failover_timeout": "60"}, True),
        ({"failover_timeout": "x"}, False),
        ({"failover_timeout": None}, True),
        ({"checkpoint": "true"}, True),
        ({"checkpoint": 1}, False),
        ({"no_such_field": {"a": [1]}}, True),
        ({"capabilities": {"type": "PARTITION_AWARE"}}, True),
        ({"capabilities": [{"type": "NO_SUCH_THING"}]}, True),
        ({"capabilities": [{"type": 3}]}, False),
        ({"hostname": ["h"]}, False),
        ({"name": 5}, False),
        ({"name": None}, False),
        ({"labels": {"labels": [{"value": "v"}]}}, False),
        ({"offer_filters": {"*": {}}}, True),
        ({"offer_filters": [{"key": "*"}]}, False),
    ],
    ids=str,
)
def test_json_in(master, change, accepted):
    r = send(master, {"type": "SUBSCRIBE", "subscribe": {"framework_info": {**INFO, **change}}}, stream=True)
    assert r.status_code == (200 if accepted else 400)
    r.close()


# ---- 3 ----

def refusal(master, framework_info, framework_id=None, **subscribe):
    """The one event of a subscription that is turned down, or None."""
    body = {"type": "SUBSCRIBE", "subscribe": {"framework_info": dict(framework_info), **subscribe}}
    if framework_id:
        body["framework_id"] = body["subscribe"]["framework_info"]["id"] = {"value": framework_id}
    r = send(master, body, stream=True)
    assert r.status_code == 200 and len(r.headers["Mesos-Stream-Id"]) == 36, r.text
    stream = records(r)
    event = next(stream)
    if event["type"] == "ERROR":
        assert list(stream) == [], "the stream ends behind ERROR"
        return event["error"]["message"]
    r.close()
    return None


def constraint(selector=None, predicate=None):
    c = {"selector": {"attribute_name": "rack"} if selector is None else selector}
    c["predicate"] = {"exists": {}} if predicate is None else predicate
    return {"role_constraints": {"a": {"groups": [{"attribute_constraints": [c]}]}}}


ROLES = {**INFO, **MULTI, "roles": ["a"]}
REFUSED = {
    "role with MULTI_ROLE": ({**INFO, **MULTI, "role": "a"}, {}),
    "roles without MULTI_ROLE": ({**INFO, "roles": ["a"]}, {}),
    "roles twice": ({**ROLES, "roles": ["a", "b", "a"]}, {}),
    **{f"role {r!r}": ({**ROLES, "roles": [r]}, {}) for r in ("", "/a", "a/", "a//b", ".", "..", "a/..", "a/*", "-a", "a/-b", "a b", "a\tb", "a\x7f")},
    **{f"id {i!r}": ({**INFO, "_id": i}, {}) for i in (".", "..", "a/b", "a\\b", "a\nb", "x" * 256)},
    "empty offer filter": (
        {**ROLES, "offer_filters": {"a": {"min_allocatable_resources": {"quantities": [{}]}}}}, {},
    ),
    "negative offer filter": (
        {**ROLES, "offer_filters": {"a": {"min_allocatable_resources": {"quantities": [{"quantities": {"cpus": {"value": -1}}}]}}}}, {},
    ),
    "infinite offer filter": (
        {**ROLES, "offer_filters": {"a": {"min_allocatable_resources": {"quantities": [{"quantities": {"cpus": {"value": "Infinity"}}}]}}}}, {},
    ),
    "failover timeout": ({**INFO, "failover_timeout": 1e12}, {}),
    "negative failover timeout": ({**INFO, "failover_timeout": -1e12}, {}),
    "suppressed role": (ROLES, {"suppressed_roles": ["b"]}),
    "constraints of another role": ({**ROLES, "roles": ["b"]}, {"offer_constraints": constraint()}),
    "no groups": (ROLES, {"offer_constraints": {"role_constraints": {"a": {"groups": []}}}}),
    "empty group": (ROLES, {"offer_constraints": {"role_constraints": {"a": {"groups": [{}]}}}}),
    "no selector": (ROLES, {"offer_constraints": constraint(selector={})}),
    "no predicate": (ROLES, {"offer_constraints": constraint(predicate={})}),
    "no regular expression": (ROLES, {"offer_constraints": constraint(predicate={"text_matches": {"regex": "("}})}),
}


@rows("3.2", 9)
@pytest.mark.parametrize("case", REFUSED)
def test_refused(master, case):
    info, subscribe = REFUSED[case]
    info = dict(info)
    message = refusal(master, info, info.pop("_id", None), **subscribe)
    assert message, "was taken"


@rows("3.2", 3)
@pytest.mark.parametrize(
    "info, subscribe",
    [
        ({**INFO, **MULTI}, {}),
        ({**INFO, **MULTI, "roles": ["*", "a/b-c", "a_.x"]}, {}),
        ({**INFO, "role": "*"}, {}),
        ({**INFO, "user": "root"}, {}),
        (ROLES, {"suppressed_roles": ["a"]}),
        (ROLES, {"offer_constraints": constraint()}),
        (ROLES, {"offer_constraints": constraint(predicate={"text_matches": {"regex": "^a+$"}})}),
        ({**INFO, **ids(id="")}, {}),
    ],
    ids=str,
)
def test_not_refused(master, info, subscribe):
    assert refusal(master, info, **subscribe) is None


@rows("3.1", 2)
def test_a_retry_without_id_is_another_framework(master):
    first, second = Scheduler(master), Scheduler(master)
    a, b = first.subscribed()["framework_id"]["value"], second.subscribed()["framework_id"]["value"]
    assert int(b[-4:]) == int(a[-4:]) + 1
    assert first.stream_id != second.stream_id
    for s in (first, second):
        s.raw_call("TEARDOWN")


@rows("3.2", 2)
def test_changes_at_resubscription(master):
    """The principal may not change; user and checkpoint keep their old values; the rest is taken."""
    s = Scheduler(master, principal="p", checkpoint=True)
    s.subscribed()
    assert refusal(master, {**s.info, "principal": "q"}, s.framework_id)
    again = Scheduler(
        master, framework_id=s.framework_id, principal="p", checkpoint=False, user="nobody", name="new",
        hostname="h", webui_url="http://h", failover_timeout=7, roles=["x"], labels={"labels": [{"key": "k"}]},
    )
    assert again.subscribed()["framework_id"]["value"] == s.framework_id
    known = get(master, "/frameworks", framework_id=s.framework_id).json()["frameworks"][0]
    assert (known["user"], known["checkpoint"]) == ("root", True)
    assert (known["name"], known["hostname"], known["webui_url"]) == ("new", "h", "http://h")
    assert known["failover_timeout"] == 7.0 and known["roles"] == ["x"] and known["labels"] == [{"key": "k"}]
    again.raw_call("TEARDOWN")


@rows("3.3", 3)
def test_failover(master, agent):
    """The second stream wins: ERROR and the end for the first, whose offers go without a word."""
    first = Scheduler(master)
    first.subscribed()
    offer = first.offer()
    second = Scheduler(master, framework_id=first.framework_id)
    second.subscribed()
    left = list(first.events)
    assert left[-1] == {"type": "ERROR", "error": {"message": "Framework failed over"}}
    assert not [e for e in left if e["type"] == "RESCIND"]
    assert first.raw_call("REVIVE").status_code == 400
    assert second.offer()["id"] != offer["id"]
    second.accept([offer], [])
    # Disconnected, then back.
    second.cut()
    wait_until(lambda: second.raw_call("REVIVE").status_code == 403, "the disconnection")
    known = get(master, "/frameworks", framework_id=first.framework_id).json()["frameworks"][0]
    assert (known["active"], known["connected"], known["offers"]) == (False, False, [])
    third = Scheduler(master, framework_id=first.framework_id)
    third.subscribed()
    third.offer()
    known = get(master, "/frameworks", framework_id=first.framework_id).json()["frameworks"][0]
    assert (known["active"], known["connected"]) == (True, True)
    assert known["reregistered_time"] > known["registered_time"]
    third.raw_call("TEARDOWN")


@rows("3.3")
def test_unknown_id_is_taken(master):
    s = Scheduler(master, framework_id="from-another-master")
    assert s.subscribed()["framework_id"]["value"] == "from-another-master"
    s.raw_call("TEARDOWN")


@rows("3.4", 3)
def test_failover_timeout(master):
    """Zero is the default: removed at once, and for good."""
    s = Scheduler(master, failover_timeout=None)
    s.subscribed()
    s.cut()
    wait_until(
        lambda: [f["id"] for f in get(master, "/frameworks", framework_id=s.framework_id).json()["completed_frameworks"]],
        "the removal",
    )
    assert s.raw_call("REVIVE").status_code == 400
    assert refusal(master, INFO, s.framework_id) == "Framework has been removed"


@rows("3.4", 2)
def test_teardown(master, agent):
    s = Scheduler(master)
    s.subscribed()
    task, _ = s.launch()
    s.state(task, "TASK_RUNNING")
    s.call("TEARDOWN")
    assert not [e for e in s.events if e["type"] in ("UPDATE", "ERROR")]
    assert s.raw_call("REVIVE").status_code == 400
    gone = get(master, "/frameworks", framework_id=s.framework_id).json()["completed_frameworks"][0]
    assert gone["unregistered_time"] > 0 and not gone["active"]
    assert [(t["id"], t["state"]) for t in gone["completed_tasks"]] == [(task, "TASK_KILLED")]
    wait_until(
        lambda: s.framework_id not in [f["id"] for f in get(agent, "/state").json()["frameworks"]], "the agent to stop it"
    )
