"""What the master tells operators: keys, their order where it is known, and types, each key of each document."""

import json

import pytest
import requests

from cluster import wait_until
from raw import (
    JSON, PROTOBUF, TIMEOUT, Executor, Scheduler, Stream, executor_info, field, fields, get, ids, operator, post, rows,
)
from scheduler import scalar

S, B, N, L, O = "string", "bool", "number", "list", "object"


def kind(value):
    return {str: S, bool: B, int: N, float: N, list: L, dict: O}[type(value)]


def check(what, shape, optional=""):
    """All keys and no other, each of its type."""
    found = {k: kind(v) for k, v in what.items()}
    allowed = dict(shape)
    for key in optional.split():
        name, _, type_name = key.partition(":")
        if name in found:
            allowed[name] = type_name
    assert found == allowed


def shape(text):
    types = {"s": S, "b": B, "n": N, "l": L, "o": O}
    return {key: types[t] for t, _, keys in (part.partition(":") for part in text.split(";")) for key in keys.split()}


STATE = shape(
    "s:version build_date build_user id pid hostname leader cluster;n:build_time start_time elected_time;"
    "n:activated_slaves deactivated_slaves unreachable_slaves;l:capabilities slaves recovered_slaves frameworks;"
    "l:completed_frameworks orphan_tasks unregistered_frameworks;o:leader_info flags"
)
SLAVE = shape(
    "s:id hostname pid version;n:port registered_time;o:attributes resources used_resources offered_resources;"
    "o:reserved_resources unreserved_resources;b:active deactivated;l:capabilities"
)
SLAVE_FULL = {**SLAVE, **shape("o:reserved_resources_full;l:unreserved_resources_full used_resources_full offered_resources_full")}
SUMMARY = shape("s:id name hostname webui_url;o:used_resources offered_resources;l:capabilities;b:active connected recovered")
FRAMEWORK = {
    **SUMMARY,
    **shape(
        "s:user principal;n:failover_timeout registered_time unregistered_time;b:checkpoint;o:resources offer_constraints;"
        "l:roles tasks unreachable_tasks completed_tasks offers executors labels"
    ),
}
TASK = shape("s:id name framework_id executor_id slave_id state role user;o:resources;l:statuses labels;o:discovery container health_check limits")
STATUS = shape("s:state;n:timestamp;o:container_status")
OFFER = shape("s:id framework_id slave_id;o:allocation_info resources")
EXECUTOR = shape("s:executor_id name framework_id slave_id role type;o:command resources;l:labels")
COUNTERS = (
    "TASK_STAGING TASK_STARTING TASK_RUNNING TASK_KILLING TASK_FINISHED TASK_KILLED TASK_FAILED TASK_LOST TASK_ERROR"
    " TASK_UNREACHABLE"
).split()
COUNTED = {name: N for name in COUNTERS}


@pytest.fixture(scope="module")
def world(master, agent):
    """One framework with a task of everything, a custom executor, an offer and a task that ended."""
    with Scheduler(master, principal="p", labels={"labels": [{"key": "k", "value": "v"}]}, checkpoint=True) as s:
        rich, agent_id = s.launch(
            labels={"labels": [{"key": "a", "value": "b"}]},
            discovery={"visibility": "CLUSTER", "name": "d"},
            container={"type": "MESOS"},
            health_check={"type": "COMMAND", "command": {"value": "true"}, "interval_seconds": 100},
            limits={"mem": {"value": 64}},
        )
        s.state(rich, "TASK_RUNNING")
        custom, _ = s.launch(
            command=None,
            executor=executor_info(
                "e", name="executor", labels={"labels": [{"key": "x"}]},
                command={"value": "exec sleep 1000", "uris": [{"value": "/etc/hostname", "extract": False}],
                         "environment": {"variables": [{"name": "A", "value": "B"}]}},
            ),
        )
        done, _ = s.launch(command={"value": "exit 0"})
        s.state(done, "TASK_FINISHED")
        wait_until(lambda: framework(master, s)["completed_tasks"], "the completed task")
        s.offer(cpus=1)
        yield s, rich, custom, done, agent_id


def framework(master, s):
    return get(master, "/frameworks", framework_id=s.framework_id).json()["frameworks"][0]


@rows("1.2 operators", 8)
def test_stream(master, agent):
    stream = Stream(post(master, {"type": "SUBSCRIBE"}, stream=True))
    assert stream.response.headers["Content-Type"] == "application/json"
    assert "Mesos-Stream-Id" not in stream.response.headers
    first = stream.next()
    assert list(first["subscribed"]) == ["get_state", "heartbeat_interval_seconds"]
    assert first["subscribed"]["heartbeat_interval_seconds"] == 15.0
    assert stream.next() == {"type": "HEARTBEAT"}
    s = Scheduler(master)
    s.subscribed()
    task, _ = s.launch()
    s.state(task, "TASK_RUNNING")
    with Scheduler(master, framework_id=s.framework_id, name="renamed"):
        pass
    events = stream.until(lambda e: e["type"] == "FRAMEWORK_REMOVED")
    kinds = [e["type"] for e in events if e["type"] not in ("HEARTBEAT", "AGENT_ADDED")]
    assert kinds[:2] == ["FRAMEWORK_ADDED", "TASK_ADDED"] and "FRAMEWORK_UPDATED" in kinds
    updates = [e["task_updated"] for e in events if e["type"] == "TASK_UPDATED" and e["task_updated"]["status"]["task_id"]["value"] == task]
    assert [u["status"]["state"] for u in updates][:2] == ["TASK_STARTING", "TASK_RUNNING"]
    assert all(list(u) == ["framework_id", "status", "state"] and "data" not in u["status"] for u in updates)
    stream.cut()


@rows("2.2", 3)
def test_state(master, agent, world):
    s, rich, custom, done, agent_id = world
    state = get(master, "/state").json()
    check(state, STATE)
    assert list(state)[:3] == ["version", "build_date", "build_time"]
    assert state["pid"] == state["leader"] == f"master@127.0.0.1:{master.port}"
    assert (state["cluster"], state["orphan_tasks"], state["unregistered_frameworks"]) == ("demo", [], [])
    assert (state["activated_slaves"], state["deactivated_slaves"], state["unreachable_slaves"]) == (1, 0, 0)
    check(state["leader_info"], shape("s:id pid hostname;n:port"))
    assert all(isinstance(v, str) for v in state["flags"].values())
    slave = state["slaves"][0]
    check(slave, SLAVE, "reregistered_time:number")
    assert slave["id"] == agent_id and slave["port"] == agent.port
    assert slave["pid"] == f"slave(1)@{agent.address}"
    assert slave["attributes"] == {"rack": "a", "n": 2.5, "r": "[1-3]"}
    check(slave["resources"], shape("n:cpus gpus mem disk;s:ports zones"))
    assert (slave["resources"]["cpus"], slave["resources"]["gpus"]) == (9.0, 0.0)
    assert slave["resources"]["ports"] == "[31000-31999]" and slave["resources"]["zones"] == "{a, b}"
    check(slave["used_resources"], shape("n:cpus gpus mem disk"))
    assert list(slave["reserved_resources"]) == ["dev"]
    assert slave["reserved_resources"]["dev"] == {"cpus": 1.0, "gpus": 0.0, "mem": 64.0, "disk": 0.0}
    assert slave["unreserved_resources"]["cpus"] == 8.0
    assert "active" in slave and slave["active"] is True and slave["deactivated"] is False


@rows("2.2", 5)
def test_frameworks(master, world):
    s, rich, custom, done, agent_id = world
    body = get(master, "/frameworks").json()
    assert sorted(body) == ["completed_frameworks", "frameworks", "unregistered_frameworks"]
    f = framework(master, s)
    check(f, FRAMEWORK, "reregistered_time:number")
    assert f["unregistered_time"] == 0.0 and f["checkpoint"] is True and f["offer_constraints"] == {}
    assert f["capabilities"] == ["MULTI_ROLE", "RESERVATION_REFINEMENT", "PARTITION_AWARE"] and f["roles"] == ["*"]
    assert abs(f["resources"]["cpus"] - f["used_resources"]["cpus"] - f["offered_resources"]["cpus"]) < 1e-9
    tasks = {t["id"]: t for t in f["tasks"]}
    check(tasks[rich], TASK)
    assert tasks[rich]["executor_id"] == "" and tasks[rich]["role"] == "*" and tasks[rich]["limits"] == {"mem": 64.0}
    assert tasks[rich]["labels"] == [{"key": "a", "value": "b"}]
    assert tasks[custom]["executor_id"] == "e" and tasks[custom]["statuses"] == [] and tasks[custom]["state"] == "TASK_STAGING"
    for status in tasks[rich]["statuses"]:
        check(status, STATUS, "healthy:bool")
        check(status["container_status"], shape("o:container_id;l:network_infos"), "cgroup_info:object executor_pid:number")
        assert status["container_status"]["network_infos"][0]["ip_addresses"] == [
            {"protocol": "IPv4", "ip_address": "127.0.0.1"}
        ]
    states = [x["state"] for x in tasks[rich]["statuses"]]
    assert len(states) == len(set(states)), "one of each state"
    assert [t["id"] for t in f["completed_tasks"]] == [done]
    check(f["offers"][0], OFFER)
    assert f["offers"][0]["allocation_info"] == {"role": "*"}
    executor = f["executors"][0]
    check(executor, EXECUTOR)
    assert executor["type"] == "CUSTOM"
    assert executor["command"] == {
        "shell": True, "value": "exec sleep 1000", "argv": [],
        "environment": {"variables": [{"name": "A", "type": "VALUE", "value": "B"}]},
        "uris": [{"value": "/etc/hostname", "executable": False}],
    }
    assert get(master, "/frameworks", framework_id="nobody").json()["frameworks"] == []


@rows("2.3", 2)
def test_state_summary(master, world):
    s, _, _, _, agent_id = world
    summary = get(master, "/state-summary").json()
    assert sorted(summary) == ["cluster", "frameworks", "hostname", "slaves"]
    slave = summary["slaves"][0]
    check(slave, {**SLAVE, **COUNTED, "framework_ids": L}, "reregistered_time:number")
    f = next(f for f in summary["frameworks"] if f["id"] == s.framework_id)
    check(f, {**SUMMARY, **COUNTED, "slave_ids": L})
    assert f["slave_ids"] == [agent_id] and s.framework_id in slave["framework_ids"]
    assert (f["TASK_RUNNING"], f["TASK_STAGING"], f["TASK_FINISHED"], f["TASK_LOST"]) == (1, 1, 1, 0)
    assert all(isinstance(f[name], int) for name in COUNTERS)


@rows("2.4", 1)
def test_slaves(master, world):
    agent_id = world[4]
    body = get(master, "/slaves").json()
    assert sorted(body) == ["recovered_slaves", "slaves"]
    slave = body["slaves"][0]
    check(slave, SLAVE_FULL, "reregistered_time:number")
    dev = slave["reserved_resources_full"]["dev"]
    assert {r["name"] for r in dev} == {"cpus", "mem"}
    assert all(r["role"] == "dev" and r["reservations"] == [{"type": "STATIC", "role": "dev"}] for r in dev)
    assert all(r["role"] == "*" and "reservations" not in r for r in slave["unreserved_resources_full"])
    assert {r["name"] for r in slave["used_resources_full"]} == {"cpus", "mem"}
    assert slave["offered_resources_full"]
    assert len(get(master, "/slaves", slave_id=agent_id).json()["slaves"]) == 1
    assert get(master, "/slaves", slave_id="nobody").json()["slaves"] == []


@rows("2.5", 1)
def test_roles(master, world):
    s = world[0]
    roles = {r["name"]: r for r in get(master, "/roles").json()["roles"]}
    assert {"*", "dev"} <= set(roles)
    for role in roles.values():
        check(role, shape("s:name;n:weight;o:quota resources allocated offered reserved;l:frameworks"))
        check(role["quota"], shape("s:role;o:guarantee limit consumed"))
    assert roles["dev"]["reserved"] == {"cpus": 1.0, "mem": 64.0}
    assert roles["*"]["frameworks"] == [s.framework_id] and roles["*"]["weight"] == 1.0
    assert roles["*"]["allocated"]["cpus"] > 0 and "gpus" not in roles["*"]["allocated"]
    assert not [k for k in roles["*"]["offered"] if k in ("ports", "zones")]
    assert abs(roles["*"]["resources"]["cpus"] - roles["*"]["allocated"]["cpus"] - roles["*"]["offered"]["cpus"]) < 1e-9


@rows("2.1", 1)
def test_tasks(master, world):
    s, rich, custom, done, _ = world
    def listed(**params):
        return [t["id"] for t in get(master, "/tasks", **params).json()["tasks"]]

    mine = {"framework_id": s.framework_id}
    assert listed(**mine) == [done, rich, custom], "by the time of the first status, newest first; none is smallest"
    assert listed(order="asc", **mine) == [custom, rich, done]
    assert listed(order="desc", **mine) == listed(order="anything", **mine) == [done, rich, custom]
    assert listed(limit=1, **mine) == [done] and listed(limit=1, order="asc", **mine) == [custom]
    assert listed(limit=1, offset=1, **mine) == [rich]
    assert listed(offset=3, **mine) == [] == listed(limit=0, **mine)
    assert listed(limit="x", **mine) == [done, rich, custom]
    assert listed(task_id=rich) == [rich]
    assert listed(task_id="nobody") == [] == listed(framework_id="nobody")
    check(get(master, "/tasks", task_id=rich).json()["tasks"][0], TASK)


@rows("2.1", 6)
@rows("0.1", 4)
def test_small_endpoints(master, world):
    for path in "state state-summary slaves frameworks tasks roles flags version metrics/snapshot".split():
        for form in (f"/{path}", f"/master/{path}", f"/{path}.json"):
            r = get(master, form)
            assert r.status_code == 200 and r.headers["Content-Type"] == "application/json", form
        assert requests.post(master.url + "/" + path, timeout=TIMEOUT).status_code == 405
        r = get(master, "/" + path, jsonp="cb")
        assert r.headers["Content-Type"] == "text/javascript"
        assert r.text.startswith("cb({") and r.text.endswith("})")
        json.loads(r.text[3:-1])
    flags = get(master, "/flags").json()
    assert list(flags) == ["flags"] and all(isinstance(v, str) for v in flags["flags"].values())
    assert flags["flags"]["cluster"] == "demo"
    check(get(master, "/version").json(), shape("s:version build_date build_user;n:build_time"))
    for method in ("GET", "POST", "PUT"):
        r = requests.request(method, master.url + "/health", timeout=TIMEOUT)
        assert r.status_code == 200 and r.content == b""
        r = requests.request(method, master.url + "/master/redirect", timeout=TIMEOUT, allow_redirects=False)
        assert r.status_code == 307 and r.headers["Location"] == f"//127.0.0.1:{master.port}"
    assert get(master, "/redirect/x").status_code == 404 == get(master, "/no/such/path").status_code


METRICS = [
    "master/uptime_secs", "master/elected",
    *(f"master/slaves_{x}" for x in "connected disconnected active inactive unreachable".split()),
    *(f"master/slave_{x}" for x in "registrations reregistrations removals".split()),
    *(f"master/slave_removals/reason_{x}" for x in "unhealthy unregistered registered".split()),
    *(f"master/slave_{k}_{x}" for k in ("shutdowns", "unreachable") for x in "scheduled completed canceled".split()),
    "master/recovery_slave_removals",
    *(f"master/frameworks_{x}" for x in "connected disconnected active inactive".split()),
    "master/outstanding_offers",
    *(
        f"master/tasks_{x}"
        for x in "staging starting running killing unreachable finished failed killed lost error dropped gone gone_by_operator".split()
    ),
    *(f"master/{r}{k}_{x}" for r in "cpus gpus mem disk".split() for k in ("", "_revocable") for x in "total used percent".split()),
    "master/dropped_messages",
    *(
        f"master/messages_{x}"
        for x in (
            "register_framework reregister_framework unregister_framework deactivate_framework kill_task"
            " status_update_acknowledgement resource_request launch_tasks decline_offers revive_offers suppress_offers"
            " reconcile_operations reconcile_tasks framework_to_executor operation_status_update_acknowledgement"
            " executor_to_framework register_slave reregister_slave unregister_slave status_update exited_executor"
            " update_slave operation_status_update authenticate"
        ).split()
    ),
    *(
        f"master/{v}_{x}"
        for v in ("valid", "invalid")
        for x in (
            "framework_to_executor_messages executor_to_framework_messages status_updates status_update_acknowledgements"
            " operation_status_updates operation_status_update_acknowledgements"
        ).split()
    ),
    *(f"master/event_queue_{x}" for x in "messages dispatches http_requests".split()),
    "master/operator_event_stream_subscribers", "master/http_cache_hits",
    "registrar/queued_operations", "registrar/state_store_ms",
    "allocator/event_queue_dispatches", "allocator/mesos/event_queue_dispatches", "allocator/mesos/allocation_runs",
    *(f"allocator/mesos/resources/{r}/{x}" for r in "cpus gpus mem disk".split() for x in ("total", "offered_or_allocated")),
    "system/cpus_total", "system/load_1min", "system/load_5min", "system/load_15min", "system/mem_total_bytes",
    "system/mem_free_bytes",
]


@rows("3.1", 10)
def test_metrics(master, world):
    metrics = get(master, "/metrics/snapshot").json()
    assert not [name for name in METRICS if name not in metrics]
    assert all(isinstance(v, (int, float)) for v in metrics.values())
    assert metrics["master/elected"] == 1.0 and metrics["master/slaves_active"] == 1.0
    assert metrics["master/cpus_total"] == 9.0 and metrics["master/tasks_running"] == 1.0
    assert metrics[f"master/frameworks/raw/{world[0].framework_id}/subscribed"] == 1.0
    text = get(master, "/metrics/snapshot").text
    assert '"master/elected":1.0' in text
    assert get(master, "/metrics/snapshot", timeout="2secs").status_code == 200


# ---- 1: the v1 API ----


@rows("1", 6)
def test_order_of_checks(master):
    url = master.url + "/api/v1"

    def answer(code, body=b"{}", headers=JSON, method="POST"):
        r = requests.request(method, url, data=body, headers=headers, timeout=TIMEOUT)
        assert r.status_code == code, r.text
        return r

    html = {**JSON, "Accept": "text/html"}
    assert answer(405, method="GET", headers={}).headers["Allow"] == "POST"
    answer(400, headers={})
    answer(415, headers={"Content-Type": "text/plain"})
    answer(400, b"{", html)
    answer(400, b"{}", html)
    answer(400, b'{"type":"NO_SUCH"}', html)
    answer(400, b'{"type":"GET_METRICS"}', html)
    answer(400, b'{"type":"TEARDOWN"}', html)
    answer(400, b'{"type":"TEARDOWN","teardown":{}}', html)
    answer(400, b'{"type":"TEARDOWN","teardown":{"framework_id":{"value":"nobody"}}}')
    answer(406, b'{"type":"GET_HEALTH"}', html)
    answer(406, b'{"type":"TEARDOWN","teardown":{"framework_id":{"value":"nobody"}}}', html)
    answer(501, b'{"type":"UNKNOWN"}')
    for call in (
        "SET_LOGGING_LEVEL READ_FILE LIST_FILES UPDATE_WEIGHTS RESERVE_RESOURCES UNRESERVE_RESOURCES CREATE_VOLUMES"
        " DESTROY_VOLUMES UPDATE_QUOTA MARK_AGENT_GONE DRAIN_AGENT DEACTIVATE_AGENT REACTIVATE_AGENT"
    ).split():
        assert answer(400, json.dumps({"type": call})).text.startswith("Failed to validate master::Call"), call


@rows("1.1", 12)
def test_calls(master, agent, world):
    s, rich, custom, done, agent_id = world
    assert operator(master, "GET_HEALTH") == {"healthy": True}
    check(operator(master, "GET_VERSION")["version_info"], shape("s:version build_date build_user;n:build_time"))
    assert {"name": "cluster", "value": "demo"} in operator(master, "GET_FLAGS")["flags"]
    assert operator(master, "GET_LOGGING_LEVEL") == {"level": 0}
    metrics = operator(master, "GET_METRICS", get_metrics={"timeout": {"nanoseconds": 10**9}})["metrics"]
    assert {"name": "master/elected", "value": 1.0} in metrics
    body = operator(master, "GET_MASTER")
    check(body, shape("o:master_info;n:start_time elected_time"))
    agents = operator(master, "GET_AGENTS")
    assert sorted(agents) == ["agents", "recovered_agents"]
    known = agents["agents"][0]
    check(
        known,
        shape(
            "o:agent_info registered_time;b:active deactivated;s:version pid;"
            "l:total_resources allocated_resources offered_resources capabilities"
        ),
        "reregistered_time:object resource_providers:list",
    )
    assert known["agent_info"]["id"]["value"] == agent_id and known["agent_info"]["port"] == agent.port
    frameworks = operator(master, "GET_FRAMEWORKS")
    assert {"frameworks", "completed_frameworks"} <= set(frameworks)
    f = next(f for f in frameworks["frameworks"] if f["framework_info"]["id"]["value"] == s.framework_id)
    check(
        f,
        shape("o:framework_info registered_time;b:active connected recovered;l:offers allocated_resources offered_resources"),
        "reregistered_time:object unregistered_time:object inverse_offers:list offer_constraints:object",
    )
    executors = operator(master, "GET_EXECUTORS")["executors"]
    assert [e["executor_info"]["executor_id"]["value"] for e in executors] == ["e"]
    assert executors[0]["agent_id"]["value"] == agent_id
    tasks = operator(master, "GET_TASKS")
    assert {"tasks", "unreachable_tasks", "completed_tasks"} <= set(tasks)
    task = next(t for t in tasks["tasks"] if t["task_id"]["value"] == rich)
    check(
        task,
        shape(
            "s:name state status_update_state status_update_uuid user;o:task_id framework_id agent_id labels discovery"
            " container health_check limits;l:resources statuses"
        ),
    )
    assert task["state"] == task["status_update_state"] == "TASK_RUNNING"
    assert "executor_id" not in task
    assert task["limits"] == {"mem": {"value": 64.0}}
    roles = {r["name"]: r for r in operator(master, "GET_ROLES")["roles"]}
    assert roles["*"]["weight"] == 1.0 and roles["*"]["frameworks"] == [{"value": s.framework_id}]
    assert {r["name"] for r in roles["*"]["resources"]} <= {"cpus", "mem", "disk", "gpus"}
    state = operator(master, "GET_STATE")
    assert sorted(state) == ["get_agents", "get_executors", "get_frameworks", "get_tasks"]
    assert operator(master, "GET_OPERATIONS") == {}


@rows("0.2", 1)
@rows("1.1", 1)
def test_protobuf_by_hand(master, world):
    r = post(master, field(1, 9), {**PROTOBUF, "Accept": "application/x-protobuf"})
    assert r.status_code == 200 and r.headers["Content-Type"] == "application/x-protobuf"
    state = fields(r.content)
    assert state[1] == [8], "GET_STATE has another number in the answers"
    parts = [fields(v[0]) for k, v in state.items() if k != 1]
    assert len(parts) == 1
    tasks = fields(parts[0][1][0])
    assert tasks and len(parts[0]) == 4
    # JSON in, protobuf out, and the other way round.
    r = post(master, {"type": "GET_HEALTH"}, {**JSON, "Accept": "application/x-protobuf"})
    assert fields(r.content) == {1: [1], 2: [b"\x08\x01"]}
    assert post(master, field(1, 1), {**PROTOBUF}).json() == {"type": "GET_HEALTH", "get_health": {"healthy": True}}


@rows("2.1", 1)
def test_teardown(master, agent):
    s = Scheduler(master)
    s.subscribed()
    url = master.url + "/master/teardown"
    assert requests.get(url, timeout=TIMEOUT).status_code == 405
    assert requests.post(url, data={"x": "y"}, timeout=TIMEOUT).status_code == 400
    assert requests.post(url, data={"frameworkId": "nobody"}, timeout=TIMEOUT).status_code == 400
    r = requests.post(url, data={"frameworkId": s.framework_id}, timeout=TIMEOUT)
    assert r.status_code == 200 and r.content == b""
    assert not [e for e in s.events if e["type"] == "ERROR"]
