"""Marathon with the permissions of a real identity service, as a framework of a master that asks for them too."""


import pytest
import requests

from cluster import wait_until
from keys import bearer
from raw import TIMEOUT, rows

SERVICES = "dcos:service:marathon:marathon:services:"
ADMIN = "dcos:service:marathon:marathon:admin:"


@pytest.fixture(scope="module")
def marathon(shared_cluster, iam):
    """Its account may be a framework in role "*" and run tasks as root."""
    tokens = {}
    for uid, grants in (("dcos_marathon", (("framework:role", "create"), ("task:user:root", "create"))),
                        ("dcos_agent", (("agent", "create"),))):
        tokens[uid] = iam.token_file(uid, iam.service(uid))
        for rid, action in grants:
            iam.grant("dcos:mesos:master:" + rid, uid, action)
    master = shared_cluster.master(iam_url="unix:" + iam.socket, security_mode="strict", allocation_interval="50ms")
    shared_cluster.agent(master, credential_token=tokens["dcos_agent"], iam_url="unix:" + iam.socket, security_mode="strict")
    daemon = shared_cluster.marathon(master, mesos_authentication_token_file=tokens["dcos_marathon"],
                                     mesos_authentication_principal="dcos_marathon", iam_url="unix:" + iam.socket)
    wait_until(lambda: call(daemon, "GET", "/v2/info", iam.token).json()["frameworkId"], "Marathon to be a framework")
    return daemon


def call(marathon, method, path, token, **options):
    headers = {**(bearer(token) if token else {}), **options.pop("headers", {})}
    return requests.request(method, marathon.url + path, headers=headers, timeout=TIMEOUT, **options)


def status(marathon, method, path, token, **options):
    response = call(marathon, method, path, token, **options)
    if response.status_code == 403:
        assert response.json() == {"message": "Not Authorized to perform this action!"}
    if response.status_code == 401:
        assert response.json() == {"message": "Invalid username or password."}
        assert "Bearer" in response.headers["WWW-Authenticate"]
    return response.status_code


def soon(condition, what):
    """A change at the identity service counts, after a second where the machine has nothing else to do."""
    wait_until(condition, what)


def app(id, instances=1):
    return {"id": id, "cmd": "exec sleep 1000", "cpus": 0.1, "mem": 16, "instances": instances}


@pytest.fixture(scope="module")
def apps(iam, marathon):
    """/dev/one, /dev/sub/two and /ops/three, made by a superuser."""
    for id in ("/dev/one", "/dev/sub/two", "/ops/three"):
        assert status(marathon, "POST", "/v2/apps", iam.token, json=app(id)) == 201
    wait_until(lambda: all(a["tasksRunning"] == 1 for a in call(marathon, "GET", "/v2/apps", iam.token).json()["apps"]),
               "everything to run", 60)
    wait_until(lambda: call(marathon, "GET", "/v2/deployments", iam.token).json() == [], "no deployment")


@pytest.fixture(scope="module")
def dev(iam, marathon):
    token = iam.user("dev")
    soon(lambda: status(marathon, "GET", "/v2/apps", token) == 200, "the user to be known")
    iam.grant(SERVICES + "/dev", "dev", "read")
    return token


def test_nobody(marathon):
    assert status(marathon, "GET", "/ping", None) == 200
    for path in ("/v2/apps", "/v2/groups", "/v2/info", "/v2/events", "/metrics", "/nothing"):
        assert status(marathon, "GET", path, None) == 401
        assert status(marathon, "GET", path, "garbage") == 401


@rows("2.5 resources", 1)
def test_lists_show_what_may_be_read(iam, marathon, apps, dev):
    soon(lambda: [a["id"] for a in call(marathon, "GET", "/v2/apps", dev).json()["apps"]] == ["/dev/one", "/dev/sub/two"],
         "the permission to count")
    root = call(marathon, "GET", "/v2/groups?embed=group.groups&embed=group.apps", dev).json()
    assert [g["id"] for g in root["groups"]] == ["/dev"]
    assert [a["id"] for a in root["groups"][0]["apps"]] == ["/dev/one"]
    assert {t["appId"] for t in call(marathon, "GET", "/v2/tasks", dev).json()["tasks"]} == {"/dev/one", "/dev/sub/two"}
    assert status(marathon, "GET", "/v2/apps//dev/one", dev) == 200
    for path in ("/v2/apps//ops/three", "/v2/apps//ops/three/tasks", "/v2/apps//ops/three/versions", "/v2/groups//ops",
                 "/v2/groups//ops/versions"):
        assert status(marathon, "GET", path, dev) == 403
        assert status(marathon, "GET", path, iam.token) == 200
    assert call(marathon, "GET", "/v2/groups//ops/apps", dev).json() == []
    assert call(marathon, "GET", "/v2/apps//ops/*", dev).json() == {"*": []}
    # A group that may not be read is shown as far as something in it may.
    narrow = iam.user("narrow")
    iam.grant(SERVICES + "/dev/sub/two", "narrow", "read")
    soon(lambda: status(marathon, "GET", "/v2/apps//dev/sub/two", narrow) == 200, "the narrow permission to count")
    shown = call(marathon, "GET", "/v2/groups//dev?embed=group.groups&embed=group.apps", narrow).json()
    assert shown["apps"] == [] and [a["id"] for a in shown["groups"][0]["apps"]] == ["/dev/sub/two"]


CHANGES = [
    ("POST", "/v2/apps", {"json": app("/dev/new")}),
    ("PUT", "/v2/apps//dev/one", {"json": {"instances": 2}}),
    ("PATCH", "/v2/apps//dev/one", {"json": {"instances": 2}}),
    ("PUT", "/v2/apps", {"json": [{"id": "/dev/one", "instances": 2}]}),
    ("POST", "/v2/apps//dev/one/restart", {}),
    ("DELETE", "/v2/apps//dev/one", {}),
    ("DELETE", "/v2/apps//dev/one/tasks", {}),
    ("DELETE", "/v2/apps//dev/one/tasks?scale=true", {}),
    ("PUT", "/v2/groups//dev", {"json": {"apps": [app("one", 3)]}}),
    ("PUT", "/v2/groups//dev?dryRun=true", {"json": {"apps": [app("one", 3)]}}),
    ("PATCH", "/v2/groups//dev", {"json": {"enforceRole": True}}),
    ("PUT", "/v2/groups//dev", {"json": {"scaleBy": 2}}),
    ("POST", "/v2/groups", {"json": {"id": "/dev/more", "apps": [app("x")]}}),
    ("DELETE", "/v2/groups//dev", {}),
]


@pytest.mark.parametrize("method,path,options", CHANGES, ids=[f"{m} {p}" for m, p, _ in CHANGES])
def test_who_reads_changes_nothing(iam, marathon, apps, dev, method, path, options):
    soon(lambda: status(marathon, "GET", "/v2/apps//dev/one", dev) == 200, "dev to read")
    before = call(marathon, "GET", "/v2/groups?embed=group.groups&embed=group.apps", iam.token).json()
    assert status(marathon, method, path, dev, **options) == 403
    after = call(marathon, "GET", "/v2/groups?embed=group.groups&embed=group.apps", iam.token).json()
    assert before == after
    assert call(marathon, "GET", "/v2/deployments", iam.token).json() == []


def test_killing_a_task_by_id(iam, marathon, apps, dev):
    tasks = [t["id"] for t in call(marathon, "GET", "/v2/tasks", iam.token).json()["tasks"]]
    assert len(tasks) == 3
    assert status(marathon, "POST", "/v2/tasks/delete", dev, json={"ids": tasks}) == 403
    assert sorted(t["id"] for t in call(marathon, "GET", "/v2/tasks", iam.token).json()["tasks"]) == sorted(tasks)


def test_each_action_is_a_permission(iam, marathon, apps):
    token = iam.user("maker")
    rid = SERVICES + "/team"
    iam.grant(rid, "maker", "create")
    soon(lambda: status(marathon, "POST", "/v2/apps", token, json=app("/team/a", 0)) == 201, "create to count")
    assert status(marathon, "GET", "/v2/apps//team/a", token) == 403
    assert status(marathon, "POST", "/v2/apps", token, json=app("/teamx/a", 0)) == 403
    assert status(marathon, "PUT", "/v2/apps//team/a", token, json={"mem": 17}) == 403
    iam.grant(rid, "maker", "update")
    soon(lambda: status(marathon, "PUT", "/v2/apps//team/a?force=true", token, json={"mem": 17}) == 200, "update to count")
    assert status(marathon, "DELETE", "/v2/apps//team/a?force=true", token) == 403
    iam.grant(rid, "maker", "delete")
    soon(lambda: status(marathon, "DELETE", "/v2/apps//team/a?force=true", token) == 200, "delete to count")
    iam.take(rid, "maker")
    iam.grant(rid, "maker", "full")
    soon(lambda: status(marathon, "PUT", "/v2/apps//team/b", token, json=app("/team/b", 0)) == 201, "full to count")
    assert status(marathon, "GET", "/v2/apps//team/b", token) == 200
    # A group's definition is as much as what it changes: one service that may not be touched refuses all of it.
    body = {"id": "/", "groups": [{"id": "/team", "apps": [app("/team/b", 0), app("/team/c", 0)]},
                                  {"id": "/elsewhere", "apps": [app("/elsewhere/d", 0)]}]}
    assert status(marathon, "PUT", "/v2/groups", token, json=body) == 403
    assert status(marathon, "GET", "/v2/apps//team/c", iam.token) == 404
    wait_until(lambda: status(marathon, "DELETE", "/v2/groups//team?force=true", iam.token) == 200, "the group to go")


@pytest.mark.parametrize("what,path,headers", [
    ("config", "/v2/info", {}), ("config", "/metrics", {}), ("leader", "/v2/leader", {}),
    ("events", "/v2/events", {"Accept": "text/event-stream"})])
def test_administration(iam, marathon, what, path, headers):
    uid = "admin-" + path.split("/")[-1]
    token = iam.user(uid)

    def code():
        response = call(marathon, "GET", path, token, headers=headers, stream=True)
        response.close()
        return response.status_code

    soon(lambda: code() == 403, "the user to be known, and refused")
    iam.grant(ADMIN + what, uid, "read")
    soon(lambda: code() == 200, "the permission to count")


def test_decisions_go_on_without_the_service(iam, marathon, apps, dev):
    iam.daemon.kill()
    assert status(marathon, "GET", "/v2/apps//dev/one", dev) == 200
    assert status(marathon, "GET", "/v2/apps//ops/three", dev) == 403
    assert status(marathon, "PUT", "/v2/apps//ops/three", iam.token, json={"labels": {"a": "b"}}) == 200
    iam.daemon.start()
    iam.take(SERVICES + "/dev", "dev")
    wait_until(lambda: status(marathon, "GET", "/v2/apps//dev/one", dev) == 403, "Marathon to follow again")
