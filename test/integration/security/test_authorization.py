"""What callers may do and what they are shown."""

import json

import pytest
import requests

from cluster import wait_until
from principals import SECRETS
from raw import rows
from scheduler import Scheduler, records

CALLS = {
    "GET_STATE": {"get_tasks": {"tasks": [], "unreachable_tasks": [], "completed_tasks": []},
                  "get_executors": {"executors": []},
                  "get_frameworks": {"frameworks": [], "completed_frameworks": []}},
    "GET_TASKS": {"tasks": [], "unreachable_tasks": [], "completed_tasks": []},
    "GET_EXECUTORS": {"executors": []},
    "GET_FRAMEWORKS": {"frameworks": [], "completed_frameworks": []},
    "GET_ROLES": {},
}
FORBIDDEN = {
    "GET_FLAGS": {}, "SET_LOGGING_LEVEL": {"set_logging_level": {"level": 1, "duration": {"nanoseconds": 1}}},
    "UPDATE_WEIGHTS": {"update_weights": {"weight_infos": [{"role": "web", "weight": 2}]}},
    "UPDATE_QUOTA": {"update_quota": {"quota_configs": [{"role": "web"}]}},
    "UPDATE_MAINTENANCE_SCHEDULE": {"update_maintenance_schedule": {"schedule": {"windows": []}}},
    "START_MAINTENANCE": {"start_maintenance": {"machines": [{"hostname": "x"}]}},
    "STOP_MAINTENANCE": {"stop_maintenance": {"machines": [{"hostname": "x"}]}},
}


@pytest.fixture(scope="module")
def master(shared_cluster, files):
    return shared_cluster.master(
        credentials=files.credentials, acls=files.acls, authenticate_http_readonly="true",
        authenticate_http_readwrite="true", authenticate_http_frameworks="true", authenticate_agents="true",
        allocation_interval="50ms", cluster="demo", audit_log=shared_cluster.folder + "/audit.log")


@pytest.fixture(scope="module")
def agent(shared_cluster, master, files):
    return shared_cluster.agent(
        master, credential=files.agent, http_credentials=files.credentials, acls=files.acls,
        authenticate_http_readonly="true", authenticate_http_readwrite="true",
        resources="cpus:4;mem:2048;disk:1024;cpus(secret):1;ports:[31000-31999]",
        audit_log=shared_cluster.folder + "/agent-audit.log")


def url(master, who):
    return master.url.replace("://", f"://{who}:{SECRETS[who]}@")


@pytest.fixture(scope="module")
def framework(master, agent):
    with Scheduler(url(master, "fw"), role="web") as s:
        s.task = s.launch({"command": {"value": "exec sleep 1000"}})
        s.wait_state(s.task, "TASK_RUNNING")
        yield s


def get(daemon, path, who):
    return requests.get(daemon.url + path, auth=(who, SECRETS[who]), timeout=60)


def post(daemon, who, kind, **body):
    return requests.post(daemon.url + "/api/v1", json={"type": kind, **body}, auth=(who, SECRETS[who]), timeout=60)


def hidden(framework):
    """Words that only those may read who see the framework."""
    return (framework.task, framework.framework_id, "secret", "exec sleep")


@rows("2.2", 1)
@rows("5.6", 1)
@pytest.mark.parametrize("path", ["/state", "/state-summary", "/slaves", "/frameworks", "/tasks", "/roles", "/weights",
                                  "/quota", "/maintenance/schedule", "/maintenance/status"])
def test_documents_hide(master, framework, path):
    assert get(master, path, "ops").status_code == 200
    answer = get(master, path, "nobody")
    assert answer.status_code == 200
    for word in hidden(framework):
        # An agent's total, summed up over roles, is no secret.
        assert word not in answer.text, path
    # The two never share a rendering.
    if path in ("/state", "/frameworks", "/tasks"):
        assert framework.task in get(master, path, "ops").text
        assert framework.task not in get(master, path, "nobody").text


def test_state_without_flags(master, framework):
    mine, theirs = get(master, "/state", "ops").json(), get(master, "/state", "nobody").json()
    assert "flags" in mine and mine["cluster"] == "demo"
    assert "flags" not in theirs and "cluster" not in theirs
    assert get(master, "/flags", "nobody").status_code == 403
    assert get(master, "/metrics/snapshot", "nobody").status_code == 403
    assert get(master, "/metrics/snapshot", "ops").status_code == 200


@rows("1.1", 6)
@pytest.mark.parametrize("call", CALLS)
def test_calls_hide(master, framework, call):
    answer = post(master, "nobody", call)
    assert answer.status_code == 200
    body = answer.json()[call.lower()] if call != "GET_ROLES" else answer.json().get("get_roles", {})
    for key, value in CALLS[call].items():
        assert body[key] == value
    for word in hidden(framework):
        assert word not in answer.text
    if call != "GET_EXECUTORS":  # command tasks have none of the framework's
        assert "web" in post(master, "ops", call).text or framework.task in post(master, "ops", call).text


def test_agents_without_roles(master, framework):
    assert "secret" in post(master, "ops", "GET_AGENTS").text
    answer = post(master, "nobody", "GET_AGENTS")
    assert "secret" not in answer.text and len(answer.json()["get_agents"]["agents"]) == 1
    protobuf = requests.post(master.url + "/api/v1", json={"type": "GET_AGENTS"}, timeout=60,
                             auth=("nobody", SECRETS["nobody"]), headers={"Accept": "application/x-protobuf"})
    assert protobuf.status_code == 200 and b"secret" not in protobuf.content


@rows("1.2 operators", 4)
def test_stream_hides(master, framework):
    def subscribe(who):
        return requests.post(master.url + "/api/v1", json={"type": "SUBSCRIBE"}, auth=(who, SECRETS[who]), stream=True,
                             headers={"Accept": "application/json"}, timeout=60)

    with subscribe("ops") as theirs, subscribe("nobody") as ours:
        sees, blind = records(theirs), records(ours)
        assert framework.task in json.dumps(next(sees))
        first = json.dumps(next(blind))
        for word in hidden(framework):
            assert word not in first
        assert next(blind)["type"] == next(sees)["type"] == "HEARTBEAT"
        task = framework.launch({"command": {"value": "exit 0"}})
        kinds = []
        while "TASK_FINISHED" not in str(kinds):
            event = next(sees)
            kinds.append((event["type"], event.get("task_updated", {}).get("state")))
        assert kinds[0][0] == "TASK_ADDED"
        # What nobody may see was made before this; the next event of the blind stream is about an agent.
        requests.post(master.url + "/api/v1", auth=("ops", SECRETS["ops"]), json={"type": "GET_HEALTH"}, timeout=60)
        framework.kill(framework.task)
        framework.wait_state(framework.task, "TASK_KILLED")
        framework.task = framework.launch({"command": {"value": "exec sleep 1000"}})
        framework.wait_state(framework.task, "TASK_RUNNING")
        ours.raw._fp.fp.raw._sock.settimeout(1)
        try:
            event = next(blind)
            assert event["type"] == "HEARTBEAT", event
        except (requests.RequestException, OSError, StopIteration):
            pass  # silence
        assert task


@rows("1.1", 7)
@pytest.mark.parametrize("call", FORBIDDEN)
def test_calls_refused(master, framework, call):
    answer = post(master, "nobody", call, **FORBIDDEN[call])
    assert answer.status_code == 403, answer.text


@rows("1.1", 5)
def test_calls_about_something_refused(master, framework):
    agent_id = post(master, "ops", "GET_AGENTS").json()["get_agents"]["agents"][0]["agent_info"]["id"]
    framework_id = {"value": framework.framework_id}
    for call, body in {"TEARDOWN": {"framework_id": framework_id}, "DRAIN_AGENT": {"agent_id": agent_id},
                       "DEACTIVATE_AGENT": {"agent_id": agent_id}, "REACTIVATE_AGENT": {"agent_id": agent_id},
                       "MARK_AGENT_GONE": {"agent_id": agent_id}}.items():
        assert post(master, "nobody", call, **{call.lower(): body}).status_code == 403, call
    legacy = requests.post(master.url + "/teardown", data={"frameworkId": framework.framework_id}, timeout=60,
                           auth=("nobody", SECRETS["nobody"]))
    assert legacy.status_code == 403
    reserve = {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1},
               "reservations": [{"type": "DYNAMIC", "role": "web", "principal": "nobody"}]}
    answer = post(master, "nobody", "RESERVE_RESOURCES",
                  reserve_resources={"agent_id": agent_id, "resources": [reserve]})
    assert answer.status_code == 403
    assert framework.framework_id in get(master, "/state", "ops").text


@rows("3.2", 1)
def test_roles_of_frameworks(master):
    body = {"type": "SUBSCRIBE", "subscribe": {"framework_info": {
        "user": "root", "name": "n", "roles": ["web", "db"], "capabilities": [{"type": "MULTI_ROLE"}]}}}
    answer = requests.post(master.url + "/api/v1/scheduler", json=body, auth=("fw", SECRETS["fw"]), timeout=60,
                           headers={"Accept": "application/json"})
    event = json.loads(answer.content.split(b"\n", 1)[1])
    assert event == {"type": "ERROR", "error": {"message": "Not authorized to use role 'db'"}}


@rows("4", 1)
def test_roles_of_updated_frameworks(master, framework):
    """What SUBSCRIBE does not permit cannot be had afterwards either; a principal that is left out counts as changed."""
    shown = get(master, f"/frameworks?framework_id={framework.framework_id}", "ops").json()["frameworks"][0]
    info = {"id": {"value": framework.framework_id}, "user": shown["user"], "name": shown["name"], "principal": "fw",
            "checkpoint": shown["checkpoint"], "capabilities": [{"type": c} for c in shown["capabilities"]]}
    for change, code in (({"roles": ["web", "db"]}, 403), ({"principal": None}, 400), ({"principal": "ops"}, 400), ({}, 200)):
        answer = requests.post(
            master.url + "/api/v1/scheduler", auth=("fw", SECRETS["fw"]), timeout=60,
            headers={"Mesos-Stream-Id": framework.stream_id},
            json={"type": "UPDATE_FRAMEWORK", "framework_id": info["id"],
                  "update_framework": {"framework_info": {**info, "roles": ["web"], **change}}})
        assert answer.status_code == code, answer.text
    assert get(master, f"/frameworks?framework_id={framework.framework_id}", "ops").json()["frameworks"][0]["roles"] == ["web"]


@rows("8.2", 2)
def test_users_of_tasks(master, agent, framework):
    task = framework.launch({"command": {"value": "true", "user": "daemon"}})
    status = framework.wait_state(task, "TASK_ERROR")
    assert status["reason"] == "REASON_TASK_UNAUTHORIZED"
    assert status["message"] == "Not authorized to launch as user 'daemon'"
    offer = framework.offer()
    pod = [{"name": n, "task_id": {"value": n}, "agent_id": offer["agent_id"], "command": {"value": "true", "user": u},
            "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1},
                           "allocation_info": {"role": "web"}}]} for n, u in (("p1", "root"), ("p2", "daemon"))]
    executor = {"type": "DEFAULT", "executor_id": {"value": "pod"}, "framework_id": {"value": framework.framework_id},
                "resources": []}
    framework.call("ACCEPT", accept={"offer_ids": [offer["id"]], "operations": [
        {"type": "LAUNCH_GROUP", "launch_group": {"executor": executor, "task_group": {"tasks": pod}}}]})
    for name in ("p1", "p2"):
        assert framework.wait_state(name, "TASK_ERROR")["reason"] == "REASON_TASK_GROUP_UNAUTHORIZED"


@rows("1.3 operators", 5)
@rows("2.8", 1)
def test_agent_hides(agent, framework):
    state = get(agent, "/state", "ops").json()
    directory = state["frameworks"][0]["executors"][0]["directory"]
    for path in ("/state", "/containers", "/monitor/statistics"):
        answer = get(agent, path, "nobody")
        assert answer.status_code == (200 if path == "/state" else 403)
        assert framework.framework_id not in answer.text and "secret" not in answer.text
    for call in ("GET_STATE", "GET_TASKS", "GET_EXECUTORS", "GET_FRAMEWORKS", "GET_CONTAINERS"):
        answer = post(agent, "nobody", call)
        assert answer.status_code == 200 and framework.framework_id not in answer.text
        assert framework.framework_id in post(agent, "ops", call).text
    assert get(agent, "/flags", "nobody").status_code == 403
    for endpoint in ("browse", "read", "download"):
        for path in (directory, directory + "/stdout"):
            assert get(agent, f"/files/{endpoint}?path={path}", "nobody").status_code == 403
    assert get(agent, f"/files/browse?path={directory}", "ops").status_code == 200
    assert post(agent, "nobody", "LIST_FILES", list_files={"path": directory}).status_code == 403
    assert post(agent, "nobody", "READ_FILE", read_file={"path": directory + "/stdout", "offset": 0}).status_code == 403


def test_full_disk_costs_lines(shared_cluster):
    master = shared_cluster.master("full", audit_log="/dev/full")
    for _ in range(3):
        answer = requests.post(master.url + "/teardown", data={"frameworkId": "x"}, timeout=60)
        assert answer.status_code == 400
    with open(master.log_path, encoding="utf-8") as f:
        assert f.read().count("calls are missing in the audit log") == 1


def test_audit(shared_cluster, master, agent, framework):
    import os
    import signal

    path = shared_cluster.folder + "/audit.log"

    def lines(p=path):
        with open(p, encoding="utf-8") as f:
            return [json.loads(line) for line in f]

    assert os.stat(path).st_mode & 0o777 == 0o600
    post(master, "nobody", "TEARDOWN", teardown={"framework_id": {"value": framework.framework_id}})
    last = lines()[-1]
    assert {k: last[k] for k in ("program", "who", "action", "object", "status")} == {
        "program": "dcos-master", "who": "nobody", "action": "POST /api/v1 TEARDOWN",
        "object": framework.framework_id, "status": 403}
    assert last["from"].startswith("127.0.0.1:")
    requests.get(master.url + "/state", timeout=60)
    assert (lines()[-1]["who"], lines()[-1]["status"]) == (None, 401)
    get(master, "/state", "ops")
    assert (lines()[-1]["who"], lines()[-1]["status"]) == (None, 401)  # looking is not written down
    whole = open(path, encoding="utf-8").read()
    assert '"who":"fw"' in whole and '"who":"agent"' in whole and "SUBSCRIBE" in whole
    for secret in SECRETS.values():
        assert secret not in whole
    os.rename(path, path + ".1")
    master.process.send_signal(signal.SIGHUP)
    wait_until(lambda: os.path.exists(path), "the new file")
    post(master, "nobody", "TEARDOWN", teardown={"framework_id": {"value": "x"}})
    assert [e["object"] for e in lines()] == ["x"] and lines()[0]["status"] == 400
    get(master, "/logging/toggle", "ops")
    assert len(lines()) == 1
    assert get(master, "/logging/toggle?level=0&duration=1secs", "ops").status_code == 200
    assert (lines()[-1]["who"], lines()[-1]["action"], lines()[-1]["status"]) == ("ops", "GET /logging/toggle", 200)
    post(agent, "nobody", "SET_LOGGING_LEVEL", set_logging_level={"level": 0, "duration": {"nanoseconds": 1}})
    assert lines(shared_cluster.folder + "/agent-audit.log")[-1]["action"] == "POST /api/v1 SET_LOGGING_LEVEL"
