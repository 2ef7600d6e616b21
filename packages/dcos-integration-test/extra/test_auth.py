"""Users, logins, permissions."""

import secrets

import pytest


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
    from dcos import wait_until
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
    from dcos import wait_until
    uid = f"integration-{secrets.token_hex(4)}"
    assert cluster("PUT", f"/acs/api/v1/users/{uid}", {"description": "x", "password": "a-long-password"}).status == 201
    token = log_in(cluster, uid, "a-long-password")
    assert cluster("DELETE", f"/acs/api/v1/users/{uid}").status == 204
    wait_until(lambda: cluster.get("/mesos/state-summary", token=token).status == 401, "the token to end")


def test_keys_are_published(cluster):
    keys = cluster.get("/acs/api/v1/auth/jwks", token=None).json["keys"]
    assert keys and all(k["kty"] == "RSA" and "d" not in k for k in keys)
