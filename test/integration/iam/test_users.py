"""Users and service accounts."""

import json

import pytest
import requests

from api import PASSWORD, Key, password_hash
from keys import openssl
from raw import TIMEOUT, rows

LEGACY = {"is_remote": True, "is_service": False, "provider_type": "oidc", "provider_id": "https://dcos.auth0.com/"}
LOCAL = {"is_remote": False, "is_service": False, "provider_type": "internal", "provider_id": ""}


def uids(iam, query=""):
    return [u["uid"] for u in iam.ok("GET", "/users" + query, 200).json()["array"]]


@rows("2.1", 5)
def test_life_of_a_local_user(iam):
    body = {"description": "Ann", "password": PASSWORD}
    assert iam.ok("PUT", "/users/ann", 201, json=body).text == ""
    assert iam.ok("GET", "/users/ann", 200).json() == {
        "uid": "ann", "url": "/acs/api/v1/users/ann", "description": "Ann", **LOCAL}
    iam.refused("PUT", "/users/ann", 409, "ERR_USER_EXISTS", "ann", json={"password": "another"})
    iam.refused("PUT", "/users/ann", 409, "ERR_USER_EXISTS", json=body)
    assert "ann" in uids(iam) and "ann" in uids(iam, "/") and "ann" not in uids(iam, "?type=service")
    token = iam.login("ann", PASSWORD)
    iam.ok("PATCH", "/users/ann", 204, json={"description": "Anna", "password": "new password"})
    assert iam.get("/users/ann").json()["description"] == "Anna"
    assert iam.post_login(uid="ann", password=PASSWORD).status_code == 401
    iam.login("ann", "new password")
    # What a user may do without being a superuser: see who they are and what they may.
    assert iam.get("/users/ann", token=token).status_code == 200
    assert iam.get("/users/ann/permissions", token=token).json() == {"direct": [], "groups": []}
    iam.refused("GET", "/users", 403, "ERR_FORBIDDEN", token=token)
    iam.refused("GET", "/users/admin", 403, "ERR_FORBIDDEN", token=token)
    iam.refused("PATCH", "/users/ann", 403, "ERR_FORBIDDEN", token=token, json={"description": "x"})
    assert iam.ok("DELETE", "/users/ann", 204).text == ""
    iam.refused("GET", "/users/ann", 400, "ERR_UNKNOWN_USER_ID", "ann")
    iam.refused("DELETE", "/users/ann", 400, "ERR_UNKNOWN_USER_ID")
    iam.refused("PATCH", "/users/ann", 400, "ERR_UNKNOWN_USER_ID", json={"description": "x"})
    iam.refused("GET", "/users/admin", 401, "ERR_UNAUTHENTICATED", token=token)


@rows("2.1 PUT rules", 1)
def test_service_account(iam):
    iam.ok("PUT", "/users/svc", 201, json={"description": "ci robot", "public_key": iam.key.public})
    assert iam.get("/users/svc").json() == {
        "uid": "svc", "url": "/acs/api/v1/users/svc", "description": "ci robot", "is_remote": False, "is_service": True,
        "provider_type": "internal", "provider_id": "", "public_key": iam.key.public}
    assert "svc" in uids(iam, "?type=service") and "svc" not in uids(iam)
    token = iam.login_key("svc", iam.key)
    assert iam.get("/users/svc", token=token).status_code == 200
    iam.refused("PATCH", "/users/svc", 501, "ERR_INVALID_DATA", json={"password": PASSWORD})
    iam.ok("PATCH", "/users/svc", 204, json={"description": "d"})
    assert iam.post_login(uid="svc", password=PASSWORD).status_code == 401
    iam.ok("DELETE", "/users/svc", 204)
    assert iam.post_login(uid="svc", token=iam.key.login_token("svc")).status_code == 401


@rows("2.1 PUT rules", 1)
@pytest.mark.parametrize("body", [{}, {"description": "x"}, {"cluster_url": "u", "creator_uid": "c"}])
def test_legacy_users(iam, body):
    uid = f"mail{len(json.dumps(body))}@example.org"
    path = "/users/" + uid
    iam.ok("PUT", path, 201, json=body)
    assert iam.get(path).json() == {
        "uid": uid, "url": "/acs/api/v1" + path.replace("@", "%40"),
        "description": body.get("description", ""), **LEGACY}
    iam.refused("PUT", path, 409, "ERR_USER_EXISTS", json={})
    iam.refused("PATCH", path, 400, "ERR_INVALID_DATA", json={"password": PASSWORD})


@rows("2.1 PUT rules", 1)
def test_remote_user_of_a_provider(iam):
    iam.ok("PUT", "/users/remote", 201, json={"provider_type": "oidc", "provider_id": "google"})
    user = iam.get("/users/remote").json()
    assert (user["is_remote"], user["provider_type"], user["provider_id"]) == (True, "oidc", "google")
    # With a password an address is a local user.
    iam.ok("PUT", "/users/local@example.org", 201, json={"password": PASSWORD})
    assert iam.get("/users/local@example.org").json()["is_remote"] is False


BAD = [
    ({"json": {}}, "ERR_INVALID_DATA", "One of `password` or `public_key` must be provided"),
    ({"json": {"description": "x"}}, "ERR_INVALID_DATA", "One of `password` or `public_key` must be provided"),
    ({"json": {"provider_type": "oidc"}}, "ERR_INVALID_DATA", "One of `password` or `public_key` must be provided"),
    ({}, "ERR_INVALID_DATA", "Request has bad Content-Type or lacks JSON data"),
    ({"data": "{", "headers": {"Content-Type": "application/json"}}, "ERR_INVALID_DATA",
     "Request has bad Content-Type or lacks JSON data"),
    ({"json": []}, "ERR_INVALID_DATA", "Request has bad Content-Type or lacks JSON data"),
    ({"data": '{"password":"12345"}', "headers": {"Content-Type": "text/plain"}}, "ERR_INVALID_DATA",
     "Request has bad Content-Type or lacks JSON data"),
    ({"json": {"password": "1234"}}, "ERR_INVALID_DATA", "5 to"),
    ({"json": {"password": "x" * 1025}}, "ERR_INVALID_DATA", "longer than"),
    ({"json": {"password": 12345}}, "ERR_INVALID_DATA", "must be a string"),
    ({"json": {"password": None}}, "ERR_INVALID_DATA", ""),
    ({"json": {"password": "12345", "admin": True}}, "ERR_INVALID_DATA", "Unknown property `admin`"),
    ({"json": {"password": "12345", "public_key": "x"}}, "ERR_INVALID_DATA", "not both"),
    ({"json": {"public_key": "x"}}, "ERR_INVALID_PUBLIC_KEY", ""),
    ({"json": {"password_hash": "plain"}}, "ERR_INVALID_DATA", "modular crypt"),
    ({"json": {"password_hash": "$6$rounds=999999999$salt$hash"}}, "ERR_INVALID_DATA", "cost too much"),
    ({"json": {"provider_type": "nis", "provider_id": "x"}}, "ERR_INVALID_DATA", "provider_type"),
    ({"data": b'{"password":"\xff\xfe123"}', "headers": {"Content-Type": "application/json"}}, "ERR_INVALID_DATA", "JSON"),
]


@rows("2.1 PUT rules", 2)
@rows("2.2", 1)
@pytest.mark.parametrize("options,code,text", BAD, ids=range(len(BAD)))
def test_bad_bodies(iam, options, code, text):
    iam.refused("PUT", "/users/bad", 400, code, text, **options)
    iam.refused("GET", "/users/bad", 400, "ERR_UNKNOWN_USER_ID")


def test_bad_keys(iam):
    private = open(iam.key.private, encoding="utf-8").read()
    ec = openssl("ec", "-pubout", data=openssl("ecparam", "-name", "prime256v1", "-genkey")).decode()
    small = Key(iam.folder, "small", 1024).public
    for key in (private, ec, small, iam.key.public.replace("A", "!"), iam.key.public * 300, ""):
        response = iam.call("PUT", "/users/badkey", json={"public_key": key})
        assert response.status_code == 400 and response.json()["code"] in ("ERR_INVALID_PUBLIC_KEY", "ERR_INVALID_DATA")
    iam.refused("GET", "/users/badkey", 400, "ERR_UNKNOWN_USER_ID")


@pytest.mark.parametrize("uid", ["%2e%2e", "a%2fb", "a%252fb", "x" * 97, "a%00b", "a%0ab", "%ff", "a%25252Fb%01"])
def test_bad_ids(iam, uid):
    before = uids(iam)
    response = iam.call("PUT", "/users/" + uid, json={"password": PASSWORD})
    assert response.status_code in (400, 404), response.text
    assert uids(iam) == before


@pytest.mark.parametrize("uid", ["a b", "ünïcode", "a:b", "a+b", "a&b=c", "%25", "UPPER", "-"])
def test_unusual_ids(iam, uid):
    path = "/users/" + requests.utils.quote(uid, safe="")
    iam.ok("PUT", path, 201, json={"password": PASSWORD})
    shown = iam.get(path).json()
    assert requests.get(iam.daemon.url + shown["url"], headers={"Authorization": "token=" + iam.token}, timeout=TIMEOUT).json() == shown
    token = iam.login(shown["uid"], PASSWORD)
    assert iam.get(path, token=token).status_code == 200
    iam.ok("DELETE", path, 204)


@rows("2.4", 1)
def test_imported_hashes(iam):
    for uid, hashed in (("sha512", password_hash("old password")),
                        ("rounds", openssl("passwd", "-6", "-salt", "rounds=1000$abcdefgh", "old password").decode().strip())):
        iam.ok("PUT", "/users/" + uid, 201, json={"password_hash": hashed})
        assert iam.post_login(uid=uid, password="other password").status_code == 401
        iam.login(uid, "old password")
        iam.login(uid, "old password")  # now with the better hash
        iam.daemon.restart()
        iam.login(uid, "old password")


def test_over_the_unix_socket_the_tools_of_the_node_need_no_token(iam):
    assert iam.local("PUT", "/users/tool", {"password": PASSWORD})[0] == 201
    assert iam.local("PUT", "/users/tool", {"password": PASSWORD})[0] == 409
    status, text = iam.local("GET", "/users")
    assert status == 200 and "tool" in [u["uid"] for u in json.loads(text)["array"]]
    assert iam.local("DELETE", "/users/tool")[0] == 204


def test_methods_and_paths(iam):
    assert iam.call("POST", "/users").headers["Allow"] == "GET"
    iam.refused("POST", "/users/x", 405, "ERR_METHOD_NOT_ALLOWED")
    iam.refused("GET", "/users/x/y", 404, "ERR_NOT_FOUND")
    iam.refused("GET", "/nothing", 404, "ERR_NOT_FOUND")
    iam.refused("GET", "/ldap/config", 404, "ERR_NOT_FOUND")
    for path in ("/users", "/groups", "/acls", "/internal/policy"):
        iam.refused("GET", path, 401, "ERR_UNAUTHENTICATED", token="garbage")
        response = iam.call("GET", path, token="")
        assert response.status_code == 401 and response.headers["WWW-Authenticate"] == "acsjwt"
    too_large = iam.call("PUT", "/users/large", data=b"x" * 300000, headers={"Content-Type": "application/json"})
    assert too_large.status_code == 413
