"""Users, logins, permissions."""

import secrets
from urllib.parse import quote

import pytest

from dcos import request, wait_until


@pytest.fixture
def user(cluster):
    uid, password = f"integration-{secrets.token_hex(4)}", secrets.token_urlsafe(24)
    reply = cluster("PUT", f"/acs/api/v1/users/{uid}", {"description": "of a test", "password": password})
    assert reply.status == 201, reply
    yield uid, password
    assert cluster("DELETE", f"/acs/api/v1/users/{uid}").status == 204


def log_in(cluster, uid, password):
    reply = cluster("POST", "/acs/api/v1/auth/login", {"uid": uid, "password": password}, token=None)
    return reply.json["token"] if reply.status == 200 else None


def test_login(cluster, user):
    assert log_in(cluster, *user)
    assert log_in(cluster, user[0], "wrong") is None
    assert log_in(cluster, "nobody-of-that-name", "wrong") is None


def test_what_a_new_user_may(cluster, user):
    token = log_in(cluster, *user)
    assert cluster.get("/mesos/state-summary", token=token).status == 403
    rid = "dcos:adminrouter:ops:mesos"
    granted = cluster("PUT", f"/acs/api/v1/acls/{rid}/users/{user[0]}/full")
    if granted.status == 400 or granted.status == 404:
        assert cluster("PUT", f"/acs/api/v1/acls/{rid}", {"description": "test"}).status in (201, 409)
        granted = cluster("PUT", f"/acs/api/v1/acls/{rid}/users/{user[0]}/full")
    assert granted.status == 204, granted
    wait_until(lambda: cluster.get("/mesos/state-summary", token=token).status == 200, "the permission to count")
    assert cluster.get("/acs/api/v1/users", token=token).status == 403
    assert cluster("DELETE", f"/acs/api/v1/acls/{rid}/users/{user[0]}/full").status == 204
    wait_until(lambda: cluster.get("/mesos/state-summary", token=token).status == 403, "the permission to end")


def test_users_are_listed(cluster, user):
    uids = [u["uid"] for u in cluster.get("/acs/api/v1/users").json["array"]]
    assert user[0] in uids and cluster.user in uids
    shown = cluster.get(f"/acs/api/v1/users/{user[0]}").json
    assert shown["description"] == "of a test" and "password" not in str(shown)


def test_a_deleted_users_token_is_worth_nothing(cluster):
    uid = f"integration-{secrets.token_hex(4)}"
    assert cluster("PUT", f"/acs/api/v1/users/{uid}", {"description": "x", "password": "a-long-password"}).status == 201
    token = log_in(cluster, uid, "a-long-password")
    assert cluster("DELETE", f"/acs/api/v1/users/{uid}").status == 204
    wait_until(lambda: cluster.get("/mesos/state-summary", token=token).status == 401, "the token to end")


def test_keys_are_published(cluster):
    keys = cluster.get("/acs/api/v1/auth/jwks", token=None).json["keys"]
    assert keys and all(k["kty"] == "RSA" and "d" not in k for k in keys)


def test_groups_give_permissions(cluster, user):
    """Members have them for as long as they are members."""
    group, rid = f"group-{secrets.token_hex(4)}", "dcos:adminrouter:ops:mesos"
    token = log_in(cluster, *user)
    assert cluster("PUT", f"/acs/api/v1/groups/{group}", {"description": "of a test"}).status == 201
    try:
        assert cluster("PUT", f"/acs/api/v1/acls/{rid}", {"description": "test"}).status in (201, 409)
        assert cluster("PUT", f"/acs/api/v1/acls/{rid}/groups/{group}/full").status == 204
        assert cluster.get("/mesos/state-summary", token=token).status == 403
        assert cluster("PUT", f"/acs/api/v1/groups/{group}/users/{user[0]}").status == 204
        wait_until(lambda: cluster.get("/mesos/state-summary", token=token).status == 200, "the membership to count")
        members = cluster.get(f"/acs/api/v1/groups/{group}/users").json["array"]
        assert [m["user"]["uid"] for m in members] == [user[0]]
        assert cluster("DELETE", f"/acs/api/v1/groups/{group}/users/{user[0]}").status == 204
        wait_until(lambda: cluster.get("/mesos/state-summary", token=token).status == 403, "the membership to end")
    finally:
        assert cluster("DELETE", f"/acs/api/v1/groups/{group}").status == 204


def test_a_user_sees_their_own_permissions_only(cluster, user):
    token = log_in(cluster, *user)
    assert cluster.get(f"/acs/api/v1/users/{user[0]}/permissions", token=token).status == 200
    assert cluster.get(f"/acs/api/v1/users/{cluster.user}/permissions", token=token).status == 403
    assert cluster("PUT", f"/acs/api/v1/users/{user[0]}-friend", {"password": "a-long-password"}, token=token).status == 403
    assert cluster.get(f"/acs/api/v1/users/{user[0]}-friend").status in (400, 404)


def test_a_new_password_replaces_the_old_one(cluster, user):
    new = secrets.token_urlsafe(24)
    assert cluster("PATCH", f"/acs/api/v1/users/{user[0]}", {"password": new}).status == 204
    assert log_in(cluster, user[0], new)
    assert log_in(cluster, *user) is None


def test_bad_input_changes_nothing(cluster):
    before = cluster.get("/acs/api/v1/users").json
    for uid, body in (("a/b", {"password": "a-long-password"}), ("x" * 200, {"password": "a-long-password"}),
                      ("short", {"password": "x"}), ("none", {}), ("key", {"public_key": "no key"})):
        reply = cluster("PUT", f"/acs/api/v1/users/{quote(uid, safe='')}", body)
        assert 400 <= reply.status < 500, (uid, reply)
    assert cluster.get("/acs/api/v1/users").json == before


def test_logins_of_users_are_offered(cluster):
    assert cluster.get("/acs/api/v1/auth/providers", token=None).status == 200
    reply = cluster.get("/mesos/version", token=None)
    assert reply.status == 401 and reply.headers["www-authenticate"], reply


def test_every_masters_identity_service_knows_a_new_user(cluster, user):
    for master in cluster.masters:
        def logs_in():
            return request("POST", f"http://{master}/acs/api/v1/auth/login", {"uid": user[0], "password": user[1]}).status == 200
        wait_until(logs_in, f"the login at {master}")
