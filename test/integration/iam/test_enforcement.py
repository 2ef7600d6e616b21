"""Master and agent with the permissions of a real identity service: --security_mode=strict."""

import time

import pytest
import requests

from cluster import wait_until
from keys import bearer
from raw import TIMEOUT, Stream, rows
from scheduler import Scheduler

SUBSCRIBE = {"type": "SUBSCRIBE", "subscribe": {"framework_info": {
    "user": "root", "name": "refused", "roles": ["web"], "capabilities": [{"type": "MULTI_ROLE"}]}}}


@pytest.fixture(scope="module")
def agent_token(iam):
    token = iam.service("dcos_agent")
    iam.grant("dcos:mesos:master:agent", "dcos_agent", "create")
    return iam.token_file("agent", token)


@pytest.fixture(scope="module")
def master(shared_cluster, iam):
    return shared_cluster.master(
        iam_url="unix:" + iam.socket, security_mode="strict", allocation_interval="50ms", cluster="demo",
        audit_log=shared_cluster.folder + "/audit.log")


@pytest.fixture(scope="module")
def agent(shared_cluster, iam, master, agent_token):
    daemon = shared_cluster.agent(
        master, iam_url=iam.daemon.url, iam_token_file=agent_token_for_policy(iam), security_mode="strict",
        credential_token=agent_token, resources="cpus:4;mem:2048;disk:1024;ports:[31000-31999]")
    wait_until(lambda: len(get(master, "/state", iam.token).json()["slaves"]) == 1, "the agent to be registered")
    return daemon


def agent_token_for_policy(iam):
    """Less than a superuser's: it may read the policy."""
    token = iam.service("policy_reader")
    iam.grant("dcos:iam:policy", "policy_reader", "read")
    return iam.token_file("policy", token)


def get(daemon, path, token):
    return requests.get(daemon.url + path, headers=bearer(token) if token else {}, timeout=TIMEOUT)


def post(daemon, token, kind, **body):
    return requests.post(daemon.url + "/api/v1", json={"type": kind, **body}, headers=bearer(token), timeout=TIMEOUT)


def soon(condition, what):
    """A change at the identity service counts everywhere, without a restart: after a second where the machine has
    nothing else to do."""
    wait_until(condition, what)


def settled(iam, *daemons):
    """Until these know all that the identity service has taken: changes come to them in order."""
    uid = f"last-{time.monotonic_ns()}"
    token = iam.user(uid)
    for daemon in daemons:
        wait_until(lambda d=daemon: get(d, "/state", token).status_code == 200, "the last change to be known")
    iam.ok("DELETE", f"/users/{uid}", 204)


def status_of(daemon, token, kind, **body):
    return post(daemon, token, kind, **body).status_code


def test_nobody_is_refused(master, agent):
    for daemon in (master, agent):
        assert get(daemon, "/state", None).status_code == 401
        assert get(daemon, "/state", "garbage").status_code == 401
        assert get(daemon, "/health", None).status_code == 200


def test_superuser_may_do_everything(iam, master, agent):
    for daemon in (master, agent):
        assert get(daemon, "/state", iam.token).status_code == 200
        assert status_of(daemon, iam.token, "GET_FLAGS") == 200
        assert get(daemon, "/metrics/snapshot", iam.token).status_code == 200
    # DC/OS writes it so.
    assert requests.get(master.url + "/state", headers={"Authorization": "token=" + iam.token}, timeout=TIMEOUT).ok


# Resource, action, call of the master that needs them.
MASTER_ROWS = [
    ("dcos:mesos:master:flags", "read", "GET_FLAGS", {}),
    ("dcos:mesos:master:log", "update", "SET_LOGGING_LEVEL",
     {"set_logging_level": {"level": 0, "duration": {"nanoseconds": 1}}}),
    ("dcos:mesos:master:weight:role", "update", "UPDATE_WEIGHTS",
     {"update_weights": {"weight_infos": [{"role": "web", "weight": 2}]}}),
    ("dcos:mesos:master:weight:role:web", "update", "UPDATE_WEIGHTS",
     {"update_weights": {"weight_infos": [{"role": "web", "weight": 3}]}}),
    ("dcos:mesos:master:quota:role:web", "update", "UPDATE_QUOTA", {"update_quota": {"quota_configs": [{"role": "web"}]}}),
    ("dcos:mesos:master:agent", "update", "UPDATE_MAINTENANCE_SCHEDULE",
     {"update_maintenance_schedule": {"schedule": {"windows": []}}}),
    ("dcos:mesos:master:endpoint:path:/metrics/snapshot", "read", "/metrics/snapshot", None),
    ("dcos:mesos:master:endpoint:path", "read", "/metrics/snapshot", None),
]


@pytest.mark.parametrize("rid,action,kind,body", MASTER_ROWS, ids=[f"{r[0]}-{r[1]}" for r in MASTER_ROWS])
@rows("2.5 resources", 1)
def test_permission_of_the_master(iam, master, rid, action, kind, body):
    uid = f"u{MASTER_ROWS.index((rid, action, kind, body))}"
    token = iam.user(uid)

    def status():
        return get(master, kind, token).status_code if body is None else status_of(master, token, kind, **body)

    soon(lambda: status() == 403, "the new user to be known, and refused")
    iam.grant(rid, uid, next(a for a in ("read", "delete") if a != action))
    assert status() == 403
    iam.grant(rid, uid, action)
    soon(lambda: status() == 200, "the permission to count")
    iam.take(rid, uid)
    soon(lambda: status() == 403, "the permission to be gone")


@rows("2.5 resources", 1)
def test_permission_of_the_agent(iam, agent):
    token = iam.user("agent-reader")
    soon(lambda: status_of(agent, token, "GET_FLAGS") == 403, "the new user to be known")
    iam.grant("dcos:mesos:agent:flags", "agent-reader", "read")
    soon(lambda: status_of(agent, token, "GET_FLAGS") == 200, "flags")
    assert get(agent, "/metrics/snapshot", token).status_code == 403
    iam.grant("dcos:mesos:agent:endpoint:path", "agent-reader", "full")
    soon(lambda: get(agent, "/metrics/snapshot", token).status_code == 200, "paths")
    # What the master asks for is another resource.
    iam.grant("dcos:mesos:master:flags", "agent-reader", "read")
    iam.take("dcos:mesos:agent:flags", "agent-reader")
    soon(lambda: status_of(agent, token, "GET_FLAGS") == 403, "flags taken")


def test_framework(iam, master, agent):
    token = iam.service("fw")
    soon(lambda: status_of(master, token, "GET_VERSION") == 200, "the account to be known")
    stream = Stream(requests.post(master.url + "/api/v1/scheduler", json=SUBSCRIBE, stream=True, timeout=TIMEOUT,
                                  headers={"Accept": "application/json", **bearer(token)}))
    refused = stream.until(lambda event: event["type"] == "ERROR")[-1]
    assert "web" in refused["error"]["message"]
    stream.cut()
    iam.grant("dcos:mesos:master:framework:role:web", "fw", "create")
    settled(iam, master)
    with Scheduler(master.url, role="web", token=token) as s:
        task = s.launch({"command": {"value": "exec sleep 1000", "user": "root"}})
        refused = s.wait_state(task, "TASK_ERROR")
        assert refused["reason"] == "REASON_TASK_UNAUTHORIZED"
        iam.grant("dcos:mesos:master:task:user:root", "fw", "create")
        settled(iam, master)
        task = s.launch({"command": {"value": "exec sleep 1000", "user": "root"}})
        s.wait_state(task, "TASK_RUNNING")
        # Who may not see it is not shown it; then the same user is.
        viewer = iam.user("viewer")
        soon(lambda: get(master, "/state", viewer).status_code == 200, "the viewer to be known")
        assert get(master, "/state", viewer).json()["frameworks"] == []
        iam.grant("dcos:mesos:master:framework:role", "viewer", "read")
        soon(lambda: len(get(master, "/state", viewer).json()["frameworks"]) == 1, "the framework to be seen")
        assert get(master, "/state", viewer).json()["frameworks"][0]["tasks"] == []
        iam.grant("dcos:mesos:master:task:app_id", "viewer", "read")
        soon(lambda: len(get(master, "/state", viewer).json()["frameworks"][0]["tasks"]) == 1, "the task to be seen")
        # To end it needs the permission for its principal.
        framework = get(master, "/state", iam.token).json()["frameworks"][0]["id"]
        body = {"teardown": {"framework_id": {"value": framework}}}
        assert status_of(master, viewer, "TEARDOWN", **body) == 403
        iam.grant("dcos:mesos:master:framework:principal:fw", "viewer", "delete")
        soon(lambda: status_of(master, viewer, "TEARDOWN", **body) == 200, "teardown")


def test_revocation_and_deletion_count_at_once(iam, master):
    token = iam.user("leaver")
    soon(lambda: get(master, "/state", token).status_code == 200, "the user to be known")
    iam.ok("DELETE", "/users/leaver/tokens", 204)
    soon(lambda: get(master, "/state", token).status_code == 401, "the token to be revoked")
    again = iam.login("leaver", "correct horse battery")
    soon(lambda: get(master, "/state", again).status_code == 200, "a new token to count")
    iam.ok("DELETE", "/users/leaver", 204)
    soon(lambda: get(master, "/state", again).status_code == 401, "the user to be gone")
    iam.user("leaver")
    assert get(master, "/state", again).status_code == 401


def test_new_signing_key(iam, master):
    before = iam.get("/auth/jwks").json()["keys"][0]["kid"]
    iam.ok("POST", "/internal/rotate-key", 202)
    wait_until(lambda: iam.get("/auth/jwks").json()["keys"][0]["kid"] != before, "another key to sign")
    fresh = iam.login("admin", "correct horse battery")
    soon(lambda: get(master, "/state", fresh).status_code == 200, "tokens of the new key to verify")
    assert get(master, "/state", iam.token).status_code == 200


def test_decisions_go_on_without_the_service(iam, master):
    token = iam.user("stays")
    iam.grant("dcos:mesos:master:flags", "stays", "read")
    soon(lambda: status_of(master, token, "GET_FLAGS") == 200, "the permission to count")
    iam.daemon.kill()
    for _ in range(20):
        assert status_of(master, token, "GET_FLAGS") == 200
        assert status_of(master, token, "UPDATE_WEIGHTS", update_weights={"weight_infos": [{"role": "x", "weight": 2}]}) == 403
        assert get(master, "/state", iam.token).status_code == 200
    iam.daemon.start()
    iam.take("dcos:mesos:master:flags", "stays")
    wait_until(lambda: status_of(master, token, "GET_FLAGS") == 403, "the master to follow again")


@pytest.mark.parametrize("flags,text", [
    ({"security_mode": "strict"}, "needs --iam_url"),
    ({"security_mode": "loose"}, "strict or permissive"),
    ({"iam_url": "ftp://x"}, "is no address"),
    ({"iam_url": "http://127.0.0.1:1/x"}, "is no address"),
    ({"iam_url": "http://127.0.0.1:1", "security_mode": "strict", "acls": "{}"}, "only one of them"),
])
def test_wrong_flags_end_the_start(cluster, flags, text):
    daemon = cluster.master(start=False, **flags)
    daemon.start(wait=False)
    assert daemon.process.wait(timeout=60) != 0
    assert text in daemon.tail()


def test_permissive_asks_nobody(cluster, iam):
    daemon = cluster.master(iam_url="unix:" + iam.socket)
    assert get(daemon, "/state", None).status_code == 200
    asks = cluster.master(name="asks", iam_url="unix:" + iam.socket, authenticate_http_readonly="true")
    assert get(asks, "/state", None).status_code == 401
    soon(lambda: get(asks, "/state", iam.token).status_code == 200, "tokens to be known")
