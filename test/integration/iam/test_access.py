"""Groups and permissions."""

import pytest

from api import PASSWORD
from raw import rows

ACTIONS = ("create", "read", "update", "delete", "full")


@pytest.fixture(scope="module", autouse=True)
def people(iam):
    for uid in ("ann", "bob"):
        iam.ok("PUT", f"/users/{uid}", 201, json={"password": PASSWORD})
    iam.ok("PUT", "/users/robot", 201, json={"public_key": iam.key.public})


@rows("2.5", 2)
def test_groups(iam):
    for wrong in ({}, {"description": 5}, {"description": "x" * 3000}):
        iam.refused("PUT", "/groups/ops", 400, "ERR_INVALID_DATA", "`description`", json=wrong)
    iam.ok("PUT", "/groups/ops", 201, json={"description": "Operators"})
    iam.refused("PUT", "/groups/ops", 409, "ERR_GROUP_EXISTS", json={"description": "x"})
    group = {"gid": "ops", "url": "/acs/api/v1/groups/ops", "description": "Operators"}
    assert iam.get("/groups/ops").json() == group
    assert iam.get("/groups").json() == {"array": [group]}
    iam.ok("PATCH", "/groups/ops", 204, json={"description": "Ops"})
    assert iam.get("/groups/ops").json()["description"] == "Ops"
    iam.ok("PUT", "/groups/ops/users/ann", 204)
    iam.ok("PUT", "/groups/ops/users/robot", 204)
    iam.refused("PUT", "/groups/ops/users/ann", 409, "ERR_USER_ALREADY_IN_GROUP")
    iam.refused("PUT", "/groups/ops/users/gone", 400, "ERR_UNKNOWN_USER_ID")
    iam.refused("PUT", "/groups/gone/users/ann", 400, "ERR_UNKNOWN_GROUP_ID")
    members = iam.get("/groups/ops/users").json()["array"]
    assert [m["user"] for m in members] == [iam.get("/users/ann").json(), iam.get("/users/robot").json()]
    assert members[0]["membershipurl"] == "/acs/api/v1/groups/ops/users/ann"
    assert [m["user"]["uid"] for m in iam.get("/groups/ops/users?type=service").json()["array"]] == ["robot"]
    assert iam.get("/users/ann/groups").json() == {"array": [
        {"membershipurl": "/acs/api/v1/groups/ops/users/ann", "group": iam.get("/groups/ops").json()}]}
    iam.ok("DELETE", "/groups/ops/users/robot", 204)
    iam.refused("DELETE", "/groups/ops/users/robot", 400, "ERR_USER_NOT_IN_GROUP")
    assert len(iam.get("/groups/ops/users").json()["array"]) == 1
    iam.grant("dcos:service:marathon:marathon:services:/dev", "ops", "read", "full", kind="groups")
    url = "/acs/api/v1/acls/dcos:service:marathon:marathon:services:%252Fdev"
    actions = [{"name": a, "url": f"{url}/groups/ops/{a}"} for a in ("read", "full")]
    entry = {"rid": "dcos:service:marathon:marathon:services:/dev",
             "description": "dcos:service:marathon:marathon:services:/dev", "aclurl": url, "actions": actions}
    assert iam.get("/groups/ops/permissions").json() == {"array": [entry]}
    assert iam.get("/users/ann/permissions").json() == {"direct": [], "groups": [
        {**entry, "gid": "ops", "membershipurl": "/acs/api/v1/groups/ops/users/ann"}]}
    # The address that is shown leads there through a proxy that decodes once, and without.
    path = url.replace("/acs/api/v1", "")
    assert iam.get(path).json() == iam.get(path.replace("%252F", "%2F")).json()
    iam.ok("DELETE", "/groups/ops", 204)
    iam.refused("GET", "/groups/ops", 400, "ERR_UNKNOWN_GROUP_ID")
    assert iam.get("/users/ann/groups").json() == {"array": []}
    assert iam.get(path + "/permissions").json() == {"users": [], "groups": []}


@rows("2.5", 1)
def test_acls(iam):
    rid = "dcos:adminrouter:package"
    iam.refused("PUT", f"/acls/{rid}", 400, "ERR_INVALID_DATA", json={})
    iam.refused("PUT", f"/acls/{rid}", 400, "ERR_INVALID_DATA")
    iam.refused("PUT", f"/acls/{rid}/users/ann/full", 400, "ERR_UNKNOWN_RESOURCE_ID")
    iam.ok("PUT", f"/acls/{rid}", 201, json={"description": "Packages"})
    iam.refused("PUT", f"/acls/{rid}", 409, "ERR_RESOURCE_EXISTS", json={"description": "x"})
    acl = {"rid": rid, "url": f"/acs/api/v1/acls/{rid}", "description": "Packages"}
    assert iam.get(f"/acls/{rid}").json() == acl
    assert acl in iam.get("/acls").json()["array"]
    iam.refused("PATCH", f"/acls/{rid}", 400, "ERR_INVALID_DATA", json={})
    iam.ok("PATCH", f"/acls/{rid}", 204, json={"description": "P"})
    assert iam.get(f"/acls/{rid}").json()["description"] == "P"
    iam.ok("DELETE", f"/acls/{rid}", 204)
    iam.refused("GET", f"/acls/{rid}", 400, "ERR_UNKNOWN_RESOURCE_ID")
    iam.refused("PUT", "/acls/" + "x" * 161, 400, "ERR_INVALID_RESOURCE_ID", json={"description": "d"})


@rows("2.5", 2)
@pytest.mark.parametrize("kind,name", [("users", "ann"), ("groups", "team")])
def test_entries(iam, kind, name):
    rid = f"dcos:mesos:master:task:user:{kind}"
    if kind == "groups":
        iam.ok("PUT", "/groups/team", 201, json={"description": "d"})
    iam.ok("PUT", f"/acls/{rid}", 201, json={"description": "d"})
    base = f"/acls/{rid}/{kind}/{name}"
    for action in ACTIONS:
        assert iam.get(f"{base}/{action}").json() == {"allowed": False}
        iam.ok("PUT", f"{base}/{action}", 204)
        iam.refused("PUT", f"{base}/{action}", 409, "ERR_FORBIDDEN_ACTION")
        assert iam.get(f"{base}/{action}").json() == {"allowed": True}
    assert iam.get(base).json() == {"array": [{"name": a, "url": f"/acs/api/v1{base}/{a}"} for a in ACTIONS]}
    key = kind[:-1]
    assert iam.get(f"/acls/{rid}/permissions").json()[kind] == [
        {("uid" if key == "user" else "gid"): name, f"{key}url": f"/acs/api/v1/{kind}/{name}", "actions": iam.get(base).json()["array"]}]
    iam.ok("DELETE", f"{base}/read", 204)
    iam.refused("DELETE", f"{base}/read", 400, "ERR_UNKNOWN_PERMISSION")
    assert iam.get(f"{base}/read").json() == {"allowed": False}
    iam.ok("DELETE", base, 204)
    assert iam.get(base).json() == {"array": []}
    iam.refused("PUT", f"{base}/execute", 400, "ERR_UNKNOWN_ACTION")
    iam.refused("PUT", f"/acls/{rid}/{kind}/nobody/read", 400, "ERR_UNKNOWN_USER_ID" if key == "user" else "ERR_UNKNOWN_GROUP_ID")


def allowed(iam, uid, rid, action):
    return iam.get("/internal/policyquery", params={"uid": uid, "rid": rid, "action": action}).json()["allowed"]


@rows("2.5 resources", 1)
def test_decisions(iam):
    iam.grant("dcos:service:marathon:marathon:services:/web", "bob", "read")
    iam.grant("dcos:adminrouter:service:one", "bob", "full")
    assert allowed(iam, "bob", "dcos:service:marathon:marathon:services:/web/a/b", "read")
    assert not allowed(iam, "bob", "dcos:service:marathon:marathon:services:/web/a", "update")
    assert not allowed(iam, "bob", "dcos:service:marathon:marathon:services:/webber", "read")
    assert not allowed(iam, "bob", "dcos:service:marathon:marathon:services:/", "read")
    assert allowed(iam, "bob", "dcos:adminrouter:service:one", "delete")
    assert not allowed(iam, "bob", "dcos:adminrouter:service:one/two", "full")
    assert not allowed(iam, "nobody", "dcos:adminrouter:service:one", "full")
    assert allowed(iam, "admin", "whatever", "full")
    iam.refused("GET", "/internal/policyquery?uid=bob", 400, "ERR_INVALID_DATA")
    # Through a group, any action on dcos:superuser is everything.
    iam.ok("PUT", "/groups/root", 201, json={"description": "d"})
    iam.ok("PUT", "/groups/root/users/bob", 204)
    assert not allowed(iam, "bob", "x:y", "read")
    iam.grant("dcos:superuser", "root", "read", kind="groups")
    assert allowed(iam, "bob", "x:y", "full")
    iam.ok("DELETE", "/groups/root/users/bob", 204)
    assert not allowed(iam, "bob", "x:y", "read")


def test_who_is_deleted_leaves_nothing_behind(iam):
    """Also when more documents change than fit into one batch of the store."""
    iam.user("everywhere")
    status = [iam.local("PUT", f"/acls/many:{n}", {"description": "d"})[0] for n in range(3)]
    assert status == [201] * 3
    for n in range(3):
        iam.ok("PUT", f"/acls/many:{n}/users/everywhere/read", 204)
    iam.ok("DELETE", "/users/everywhere", 204)
    for n in range(3):
        assert iam.get(f"/acls/many:{n}/permissions").json() == {"users": [], "groups": []}
    iam.user("everywhere")
    assert iam.get("/users/everywhere/permissions").json() == {"direct": [], "groups": []}
