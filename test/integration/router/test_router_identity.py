"""Who may: tokens, cookies, refusals, permissions. Checklist 10.1 'Authentication' and table 1.4."""

import json
import subprocess
import time

import pytest

from api_rows import rows
from backends import Backend
from cluster import wait_until
from frontdoor import AGENT, PASSWORD, Router, claims_of

AUTHED = "/mesos/version"


@rows("1.4", 2)
@rows("10.1 authentication")
def test_no_token_is_401_with_the_page(front):
    answer = front.ask(AUTHED, token=False)
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "text/html; charset=UTF-8"
    assert answer.headers["WWW-Authenticate"] == "acsjwt"
    assert "<html>" in answer.text and "window.location" in answer.text and "/#/login" in answer.text
    with open(f"{front.router.run_dir}/pages/401.html", encoding="utf-8") as f:
        assert f.read() == answer.text
    assert "No auth token in request." in front.router.log()


@rows("10.1 authentication")
def test_cookies(front):
    def cookie(value):
        return front.ask(AUTHED, token=False, headers={"Cookie": f"dcos-acs-auth-cookie={value}"})

    assert cookie("garbage").status_code == 401
    assert cookie("").status_code == 401
    assert cookie(front.iam.token).status_code == 200


@rows("10.1 authentication", 2)
@rows("1.4", 3)
def test_the_header_wins_and_bearer_will_do(front):
    cookie = {"Cookie": f"dcos-acs-auth-cookie={front.iam.token}"}
    assert front.ask(AUTHED, token="garbage", headers=cookie).status_code == 401
    assert front.ask(AUTHED, token=False, headers={**cookie, "Authorization": ""}).status_code in (200, 401)
    assert front.ask(AUTHED, token=False, headers={"Authorization": f"Bearer {front.iam.token}"}).status_code == 200
    assert front.ask(AUTHED, token=False, headers={"Authorization": f"JWT token={front.iam.token}"}).status_code == 200
    assert front.ask(AUTHED, token=False, headers={"Authorization": f"Basic {front.iam.token}"}).status_code == 401


@rows("10.1 authentication")
def test_tokens_of_others(front, signer):
    for claims in (
        {"uid": "admin", "exp": time.time() + 60},
        {"uid": None, "exp": time.time() + 60},
        {"exp": time.time() + 60},
        {"uid": "admin", "exp": time.time() - 15},
    ):
        answer = front.ask(AUTHED, token=signer.token(claims))
        assert answer.status_code == 401, claims
    good = front.iam.token
    head, body, signature = good.split(".")
    changed = ("A" if body[10] != "A" else "B").join((body[:10], body[11:]))
    none = "eyJhbGciOiJub25lIn0"
    for token in (f"{head}.{changed}.{signature}", f"{none}.{body}.", f"{head}.{body}.", good + "x" * 9000, good[:-4]):
        assert front.ask(AUTHED, token=token).status_code == 401
    assert "Invalid token. Reason:" in front.router.log()


@pytest.fixture(scope="module")
def trusting(front, shared_cluster, signer):
    """A router that trusts the signer's key, by a fake identity service; its only user is the superuser "ann"."""
    pem = subprocess.run(["openssl", "rsa", "-in", signer.path, "-pubout"], check=True, capture_output=True, text=True).stdout
    fake = Backend("iam")
    records = ({"key": "keys/" + "a" * 64, "value": {"kid": "a" * 64, "public_key": pem}},
               {"key": "users/ann", "value": {}},
               {"key": "acls/dcos:superuser", "value": {"users": {"ann": 16}}},
               {"synced": True})
    texts = [json.dumps(r).encode() for r in records]
    fake.answers["/acs/api/v1/internal/policy"] = (200, [], b"".join(b"%d\n%s" % (len(t), t) for t in texts))
    router = Router(shared_cluster, name="router-trusting", iam=fake.address, master=front.mesos.address, workers=1)
    yield router
    router.daemon.kill(15)
    fake.close()


@pytest.mark.parametrize("claims, status", [
    ({"uid": "ann", "exp": 4102444800}, 200),
    ({"uid": "ann"}, 200),
    ({"uid": "ann", "exp": 1700000000}, 401),
    ({"uid": None, "exp": 4102444800}, 401),
    ({"exp": 4102444800}, 401),
    ({"uid": "", "exp": 4102444800}, 401),
    ({"uid": 7, "exp": 4102444800}, 401),
    ({"uid": "bob", "exp": 4102444800}, 401),
])
def test_claims_of_well_signed_tokens(trusting, signer, claims, status):
    good = signer.token({"uid": "ann"})
    wait_until(lambda: trusting.ask(AUTHED, token=good).status_code == 200, "the policy")
    token = signer.token(claims)
    assert trusting.ask(AUTHED, token=token).status_code == status
    cookie = {"Cookie": f"dcos-acs-auth-cookie={token}"}
    assert trusting.ask(AUTHED, token=False, headers=cookie).status_code == status


@rows("10.1 authentication")
@pytest.mark.parametrize(
    "path",
    [
        "/service/unknown/",
        "/agent/unknown/x",
        "/system/v1/agent/unknown/logs/x",
        "/system/v1/leader/marathon/x",
        "/system/v1/leader/mesos/x",
        "/net/",
        "/nothing-here/../mesos/version",
    ],
)
def test_authentication_comes_first(front, path):
    assert front.router.raw(
        f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    ).startswith(b"HTTP/1.1 401 ")


@rows("10.1 authentication")
def test_login_redirect(front):
    answer = front.ask("/login?a=1&b=2", token=False)
    assert answer.status_code == 302
    assert answer.headers["Location"] == "https://auth.example/login?client=client-1&cluster_id=11-22&a=1&b=2"
    assert front.ask("/login", token=False).headers["Location"].endswith("cluster_id=11-22")


@rows("10.1 authentication")
@rows("1.4", 2)
def test_without_identity_service_every_token_is_refused(cluster):
    router = Router(cluster, iam="127.0.0.1:1")
    router.token = "e30.e30.e30"
    assert router.ask(AUTHED).status_code == 401
    assert router.ask("/", token=False).status_code == 200
    assert "no keys of the identity service are known yet" in router.log()


@rows("10.1 authentication")
@rows("1.4")
def test_only_exactly_false_turns_it_off(front, cluster):
    for word in ("False", "FALSE", "no", "off", "0", "", "true", "yes", "disabled"):
        router = Router(
            cluster, name=f"router-{word or 'empty'}", iam="127.0.0.1:1", master=front.mesos.address,
            activate_auth_module=word, workers=1,
        )
        assert router.ask(AUTHED, token=False).status_code == 401, word
        router.daemon.kill(15)
    router = Router(
        cluster, name="router-off", iam="127.0.0.1:1", master=front.mesos.address, activate_auth_module="false", workers=1
    )
    assert router.ask(AUTHED, token=False).status_code == 200
    assert router.ask("/pkgpanda/active.buildinfo.full.json", token=False, method="HEAD").status_code == 200


def test_permissions(front):
    token = front.iam.user("reader", "dcos:adminrouter:ops:mesos", "dcos:adminrouter:service:web")
    wait_until(lambda: front.ask("/service/web/", token=token).status_code == 200, "the last permission")
    assert front.ask(AUTHED, token=token).status_code == 200
    refused = front.ask("/net/", token=token)
    assert refused.status_code == 403
    assert refused.headers["Content-Type"] == "text/html; charset=UTF-8"
    assert "/#/access-denied" in refused.text
    front.marathon.set(*front.marathon.apps, {**front.marathon.apps[0], "id": "/web/sub", "labels": {
        **front.marathon.apps[0]["labels"], "DCOS_SERVICE_NAME": "other/web"}})
    wait_until(lambda: front.ask("/service/other/web/").status_code == 200, "the nested service")
    # Nested services do not inherit from one another, and one is not the other.
    assert front.ask("/service/other/web/", token=token).status_code == 403
    assert front.ask(f"/agent/{AGENT}/", token=token).status_code == 403
    assert front.ask("/acs/api/v1/users", token=token).status_code == 403
    assert front.ask("/acs/api/v1/users/reader/permissions", token=token).status_code == 200
    # What is taken away counts at once.
    front.iam.call("DELETE", "/acls/dcos:adminrouter:ops:mesos/users/reader/full")
    wait_until(lambda: front.ask(AUTHED, token=token).status_code == 403, "the end of the permission")


def test_revoked_tokens_and_deleted_users(front):
    token = front.iam.user("leaver", "dcos:adminrouter:ops:mesos")
    wait_until(lambda: front.ask(AUTHED, token=token).status_code == 200, "the permission")
    front.iam.call("DELETE", "/users/leaver/tokens")
    wait_until(lambda: front.ask(AUTHED, token=token).status_code == 401, "the end of the token")
    fresh = front.iam.login("leaver", PASSWORD)
    assert front.ask(AUTHED, token=fresh).status_code == 200
    token = fresh
    front.iam.call("DELETE", "/users/leaver")
    wait_until(lambda: front.ask(AUTHED, token=token).status_code == 401, "the end of the user")


def test_new_signing_keys(front):
    def keys():
        return [k["kid"] for k in front.ask("/acs/api/v1/auth/jwks", token=False).json()["keys"]]

    known, before = keys(), front.iam.login("admin", PASSWORD)
    front.iam.call("POST", "/internal/rotate-key")
    wait_until(lambda: keys()[0] not in known, "another key to sign")
    token = front.iam.login("admin", PASSWORD)
    wait_until(lambda: front.ask(AUTHED, token=token).status_code == 200, "the new key to count")
    assert front.ask(AUTHED, token=before).status_code == 200


def test_login_through_the_router(front):
    answer = front.ask("/acs/api/v1/auth/login", token=False, method="POST", json={"uid": "admin", "password": PASSWORD})
    assert answer.status_code == 200 and "dcos-acs-auth-cookie" in answer.headers["Set-Cookie"]
    assert claims_of(answer.json()["token"])["uid"] == "admin"
    assert front.ask("/acs/api/v1/auth/logout", token=False).status_code == 200
    assert front.ask("/acs/api/v1/internal/policy").status_code == 404
