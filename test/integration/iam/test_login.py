"""Logins, tokens, cookies, keys."""

import base64
import hashlib
import hmac
import json
import os
import time

import pytest
import requests

from api import PASSWORD, TIMEOUT, Iam, Key
from cluster import wait_until
from keys import openssl, rs256, unsigned, url64
from raw import rows

DAY = 86400


def parts(token):
    return [json.loads(base64.urlsafe_b64decode(p + "=" * (-len(p) % 4))) for p in token.split(".")[:2]]


def public_pem(jwk):
    """The key of a JSON web key as PEM."""
    def integer(text):
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return b"\x02" + length(len(data) + (data[0] > 127)) + (b"\0" if data[0] > 127 else b"") + data

    def length(n):
        if n < 128:
            return bytes([n])
        data = n.to_bytes((n.bit_length() + 7) // 8, "big")
        return bytes([128 + len(data)]) + data

    numbers = integer(jwk["n"]) + integer(jwk["e"])
    der = b"\x30" + length(len(numbers)) + numbers
    return openssl("rsa", "-RSAPublicKey_in", "-inform", "DER", "-pubout", data=der).decode()


@rows("2.1", 2)
@rows("2.3", 2)
def test_login_gives_token_and_cookies(iam):
    response = iam.post_login(uid="admin", password=PASSWORD)
    assert response.status_code == 200 and set(response.json()) == {"token"}
    token = response.json()["token"]
    header, claims = parts(token)
    assert header == {"alg": "RS256", "typ": "JWT"}
    assert set(claims) == {"uid", "exp", "iat"} and claims["uid"] == "admin"
    assert abs(claims["exp"] - time.time() - 5 * DAY) < 60
    assert response.cookies["dcos-acs-auth-cookie"] == token
    info = json.loads(base64.b64decode(response.cookies["dcos-acs-info-cookie"].strip('"')))
    assert info == {"uid": "admin", "description": "Bootstrap superuser", "is_remote": False}
    raw = response.raw.headers.getlist("Set-Cookie")
    assert "HttpOnly" in raw[0] and "HttpOnly" not in raw[1]
    assert all(f"Max-Age={5 * DAY}" in c and "Path=/" in c and "SameSite=Lax" in c and "Secure" not in c for c in raw)
    # The token counts in both headers and in the cookie; a header, even a bad one, comes before the cookie.
    cookies = {"dcos-acs-auth-cookie": token}
    for headers, sent, status in (({"Authorization": "Bearer " + token}, {}, 200), ({"Authorization": "token=" + token}, {}, 200),
                                  ({}, cookies, 200), ({"Authorization": "token=garbage"}, cookies, 401)):
        assert requests.get(iam.url + "/users", headers=headers, cookies=sent, timeout=TIMEOUT).status_code == status
    logout = iam.get("/auth/logout", token="")
    assert logout.status_code == 200
    gone = logout.raw.headers.getlist("Set-Cookie")
    assert [c.split(";")[0] for c in gone] == ["dcos-acs-auth-cookie=", "dcos-acs-info-cookie="]
    assert all("Expires=Thu, 01 Jan 1970" in c for c in gone)
    assert iam.get("/users", token=token).status_code == 200  # the token itself stays valid


@rows("2.1", 4)
def test_what_is_open(iam):
    providers = iam.get("/auth/providers", token="").json()
    assert set(providers) == {"dcos-users", "dcos-services"}
    for provider in providers.values():
        assert set(provider) == {"authentication-type", "client-method", "config", "description"}
        assert set(provider["config"]) == {"start_flow_url"}
    assert providers["dcos-users"]["authentication-type"] == "dcos-uid-password"
    assert providers["dcos-services"]["authentication-type"] == "dcos-uid-servicekey"
    assert iam.get("/auth/oidc/providers", token="").json() == {}
    assert iam.get("/uiconfig/", token="").json()["clusterConfiguration"] == {"firstUser": False}
    keys = iam.get("/auth/jwks", token="").json()["keys"]
    assert all(k["kty"] == "RSA" and k["use"] == "sig" and k["alg"] == "RS256" and len(k["kid"]) == 64 for k in keys)
    iam.refused("GET", "/auth/login", 400, "ERR_UNKNOWN_PROVIDER_ID", token="")
    iam.refused("GET", "/auth/login?oidc-provider=nobody", 400, "ERR_UNKNOWN_PROVIDER_ID", token="")
    iam.refused("GET", "/auth/oidc/callback", 401, "ERR_INVALID_CREDENTIALS", token="")


@pytest.mark.parametrize("body", [
    {"uid": "admin", "password": "wrong password"}, {"uid": "nobody", "password": PASSWORD}, {"uid": "", "password": PASSWORD},
    {"uid": "admin", "token": "x.y.z"}, {"uid": "nobody", "token": "x.y.z"}, {"token": "x.y.z"}, {"token": ""},
])
def test_every_wrong_credential_is_401(iam, body):
    iam.daemon.restart()  # failures are counted in memory
    error = iam.refused("POST", "/auth/login", 401, "ERR_INVALID_CREDENTIALS", token="", json=body)
    if "uid" in body:
        assert error["description"] == "Invalid username or password."


@pytest.mark.parametrize("body", [{}, {"uid": "admin"}, {"password": "x"}, {"uid": 5, "password": "x"}, [], "x",
                                  {"uid": "admin", "password": "x", "token": "y"}, {"uid": "admin", "password": "x" * 1025}])
def test_logins_that_are_none(iam, body):
    iam.refused("POST", "/auth/login", 400, "ERR_INVALID_DATA", token="", json=body)


def forgeries(iam):
    """Name and text of tokens that must not count."""
    now = int(time.time())
    good = {"uid": "admin", "exp": now + 1000, "iat": now}
    header, body, signature = iam.token.split(".")
    yield "none", unsigned({"alg": "none", "typ": "JWT"}, good) + "."
    yield "none with a signature", unsigned({"alg": "none"}, good) + "." + signature
    yield "of another token", unsigned({"alg": "RS256", "typ": "JWT"}, {**good, "exp": now + 10**6}) + "." + signature
    for name, secret in (("public key", public_pem(iam.get("/auth/jwks").json()["keys"][0]).encode()), ("empty", b"")):
        text = unsigned({"alg": "HS256", "typ": "JWT"}, good)
        yield f"HS256 with {name}", text + "." + url64(hmac.new(secret, text.encode(), hashlib.sha256).digest())
    yield "another key", rs256(iam.key.private, good)
    yield "another key that it names", rs256(iam.key.private, good, jwk={"kty": "RSA"}, kid=iam.get("/auth/jwks").json()["keys"][0]["kid"])
    yield "without signature", header + "." + body + "."
    yield "two parts", header + "." + body
    yield "four parts", iam.token + ".x"
    yield "padding", header + "." + body + "." + signature + "=="
    yield "oversize", header + "." + body + "A" * 9000 + "." + signature
    yield "garbage", "\x01garbage"


def test_forged_tokens(iam):
    for name, token in forgeries(iam):
        try:
            status = iam.get("/users", headers={"Authorization": "token=" + token}, token="").status_code
        except requests.exceptions.InvalidHeader:
            continue
        assert status in (400, 401), name
    assert iam.get("/users").status_code == 200


def test_expired_tokens(cluster):
    iam = Iam(cluster, expiration_auth_token_days=1)
    header, claims = parts(iam.token)
    assert abs(claims["exp"] - time.time() - DAY) < 60
    # The same store two days later: the token has expired, and the service says so as for any other.
    iam.daemon.kill()
    iam.daemon.prefix = ["faketime", "-f", "+2d"]
    iam.daemon.start()
    assert iam.get("/users").status_code == 401


@rows("2.3", 1)
def test_service_login_tokens(iam):
    other = Key(iam.folder, "other")
    iam.ok("PUT", "/users/machine", 201, json={"public_key": iam.key.public})
    iam.ok("PUT", "/users/machine2", 201, json={"public_key": other.public})
    now = int(time.time())
    claims = {"uid": "machine", "exp": now + 300}
    text = unsigned({"alg": "HS256", "typ": "JWT"}, claims)
    wrong = {
        "too long a life": rs256(iam.key.private, {**claims, "exp": now + 3600}),
        "no end": rs256(iam.key.private, {"uid": "machine"}),
        "expired": rs256(iam.key.private, {**claims, "exp": now - 15}),
        "not yet": rs256(iam.key.private, {**claims, "nbf": now + 100}),
        "another uid": rs256(iam.key.private, {**claims, "uid": "machine2"}),
        "no uid": rs256(iam.key.private, {"exp": now + 300}),
        "uid null": rs256(iam.key.private, {**claims, "uid": None}),
        "another's key": rs256(other.private, claims),
        "HS256 with the public key": text + "." + url64(hmac.new(iam.key.public.encode(), text.encode(), hashlib.sha256).digest()),
        "none": unsigned({"alg": "none"}, claims) + ".",
        "our own token": iam.token,
        "oversize": rs256(iam.key.private, {**claims, "more": "x" * 9000}),
    }
    for name, token in wrong.items():
        iam.daemon.restart()
        assert iam.post_login(uid="machine", token=token).status_code == 401, name
    iam.login_key("machine", iam.key)
    iam.login_key("machine2", other)


def test_new_signing_keys(iam):
    first = iam.login("admin", PASSWORD)
    for _ in range(2):
        before = [k["kid"] for k in iam.get("/auth/jwks").json()["keys"]]
        iam.ok("POST", "/internal/rotate-key", 202)
        wait_until(lambda: iam.get("/auth/jwks").json()["keys"][0]["kid"] not in before, "another key to sign")
        kids = [k["kid"] for k in iam.get("/auth/jwks").json()["keys"]]
        assert set(before) < set(kids)
        assert iam.get("/users", token=first).status_code == 200
        token = iam.login("admin", PASSWORD)
        assert iam.get("/users", token=token).status_code == 200
        # It is the first one that signed.
        signed, signature = token.rsplit(".", 1)
        path = iam.folder + "/jwks.pem"
        with open(path, "w", encoding="utf-8") as f:
            f.write(public_pem(iam.get("/auth/jwks").json()["keys"][0]))
        with open(path + ".sig", "wb") as f:
            f.write(base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)))
        assert b"Verified OK" in openssl("dgst", "-sha256", "-verify", path, "-signature", path + ".sig", data=signed.encode())
        iam.daemon.restart()
        assert [k["kid"] for k in iam.get("/auth/jwks").json()["keys"]][0] == kids[0]
        assert iam.get("/users", token=first).status_code == 200


def test_revocation(iam):
    token = iam.user("revoked")
    other = iam.login("revoked", PASSWORD)
    iam.ok("DELETE", "/users/revoked/tokens", 204)
    for t in (token, other):
        assert iam.get("/users/revoked", token=t).status_code == 401
    fresh = iam.login("revoked", PASSWORD)
    assert iam.get("/users/revoked", token=fresh).status_code == 200
    iam.daemon.restart()
    assert iam.get("/users/revoked", token=token).status_code == 401
    assert iam.get("/users/revoked", token=fresh).status_code == 200
    iam.ok("DELETE", "/users/revoked", 204)
    iam.user("revoked")
    assert iam.get("/users/revoked", token=fresh).status_code == 401
    iam.refused("DELETE", "/users/nobody/tokens", 400, "ERR_UNKNOWN_USER_ID")


def test_failed_logins_are_limited(iam):
    iam.daemon.restart()
    iam.user("guessed")
    iam.user("someone")
    for _ in range(10):
        assert iam.post_login(uid="guessed", password="wrong").status_code == 401
    limited = iam.post_login(uid="guessed", password=PASSWORD)
    assert limited.status_code == 429 and limited.json()["code"] == "ERR_TOO_MANY_ATTEMPTS"
    assert int(limited.headers["Retry-After"]) > 0
    # Ten failures are also what this address may have; another one, which the proxy names, goes on.
    forwarded = {"X-Forwarded-For": "192.0.2.1, 192.0.2.7"}
    assert iam.call("POST", "/auth/login", token="", json={"uid": "someone", "password": PASSWORD}, headers=forwarded).status_code == 200
    assert iam.call("POST", "/auth/login", token="", json={"uid": "guessed", "password": PASSWORD}, headers=forwarded).status_code == 429
    iam.daemon.restart()


def test_unknown_users_take_as_long(iam):
    """Measured by what the processor did for them: that is the same whatever else the machine does."""

    def spent():
        folder = f"/proc/{iam.daemon.pid}/task"
        total = 0
        for thread in os.listdir(folder):
            with open(f"{folder}/{thread}/schedstat", encoding="utf-8") as f:
                total += int(f.read().split()[0])
        return total

    def cost(uid):
        iam.daemon.restart()
        costs = []
        for _ in range(5):
            before = spent()
            iam.post_login(uid=uid, password="wrong password")
            costs.append(spent() - before)
        return min(costs)

    iam.user("known")
    known, unknown = cost("known"), cost("nobody-at-all")
    assert 0.4 < known / unknown < 2.5, (known, unknown)
