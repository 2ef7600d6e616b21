"""What is acknowledged is kept, whatever happens; secrets stay where they belong."""

import json
import os
import random
import signal
import stat
import threading
import time

import pytest
import requests

from api import PASSWORD, TIMEOUT, Iam, Key, password_hash
from cluster import wait_until
from keys import Authority, bearer, secret_file
from raw import rows

MEMORY_MAX_KB = 8 * 1024


@pytest.mark.parametrize("seed", range(5))
def test_nothing_acknowledged_is_lost(cluster, seed):
    """Killed in the middle of changes, five times in a row."""
    iam = Iam(cluster)
    draw = random.Random(seed)
    iam.ok("PUT", "/groups/g", 201, json={"description": "d"})
    iam.ok("PUT", "/acls/a:b", 201, json={"description": "d"})
    kept, started = set(), 0
    for round_number in range(5):
        stop = threading.Event()

        def work(name, stop=stop):
            n = 0
            while not stop.is_set():
                n += 1
                uid = f"{name}-{n}"
                try:
                    if iam.call("PUT", f"/users/{uid}", json={"public_key": iam.key.public}).status_code != 201:
                        return
                    kept.add(("user", uid))
                    if iam.call("PUT", f"/groups/g/users/{uid}").status_code == 204:
                        kept.add(("member", uid))
                    if iam.call("PUT", f"/acls/a:b/users/{uid}/read").status_code == 204:
                        kept.add(("entry", uid))
                except requests.RequestException:
                    return

        threads = [threading.Thread(target=work, args=(f"r{round_number}t{t}",)) for t in range(3)]
        for t in threads:
            t.start()
        wait_until(lambda: len(kept) > started + 20, "some changes")
        time.sleep(draw.random() * 0.05)  # anywhere in the middle
        iam.daemon.kill(signal.SIGKILL)
        stop.set()
        for t in threads:
            t.join()
        started = len(kept)
        iam.daemon.start()
        users = {u["uid"] for u in iam.get("/users?type=service").json()["array"]}
        members = {m["user"]["uid"] for m in iam.get("/groups/g/users").json()["array"]}
        entries = {e["uid"] for e in iam.get("/acls/a:b/permissions").json()["users"]}
        have = {("user", u) for u in users} | {("member", u) for u in members} | {("entry", u) for u in entries}
        assert kept <= have, kept - have
        assert members <= users and entries <= users
        assert iam.get("/users/admin").status_code == 200


def test_the_second_one_waits(cluster):
    iam = Iam(cluster)
    iam.user("kept")
    second = cluster.iam("second", start=False, store=f"sqlite:{cluster.folder}/iam/iam.db")
    second.start(wait=False)
    wait_until(lambda: "listening" in second.tail(), "the second to listen")
    address = next(w for w in second.tail().split() if w.startswith("address=")).split("=")[1]

    def health():
        return requests.get(f"http://{address}/health", timeout=TIMEOUT).status_code

    assert health() == 503
    response = requests.get(f"http://{address}/acs/api/v1/auth/jwks", timeout=TIMEOUT)
    assert response.status_code == 503 and response.json()["code"] == "ERR_NOT_READY"
    keys = iam.get("/auth/jwks").json()
    iam.daemon.kill()
    second.wait_ready()
    assert health() == 200
    assert requests.get(f"http://{address}/acs/api/v1/auth/jwks", timeout=TIMEOUT).json() == keys
    assert requests.get(f"http://{address}/acs/api/v1/users/kept", headers={"Authorization": "token=" + iam.token},
                        timeout=TIMEOUT).status_code == 200


@rows("2.4", 2)
def test_first_users(cluster):
    iam = Iam(cluster)
    public = os.path.join(iam.folder, "robot.pub")
    with open(public, "w", encoding="utf-8") as f:
        f.write(iam.key.public)
    daemon = cluster.iam("service", superuser_service_account_uid="root-robot",
                         superuser_service_account_public_key_file=public)
    token = requests.post(daemon.url + "/acs/api/v1/auth/login", timeout=TIMEOUT,
                          json={"uid": "root-robot", "token": iam.key.login_token("root-robot")}).json()["token"]
    assert requests.get(daemon.url + "/acs/api/v1/users", headers={"Authorization": "token=" + token}, timeout=TIMEOUT).ok
    for flags, text in (({"superuser_service_account_uid": "x"}, "belong together"),
                        ({"superuser_service_account_uid": "x", "superuser_service_account_public_key_file": iam.key.private}, ""),
                        ({"superuser_password_hash": "plain", "superuser_password_hash_file": ""}, ""),
                        ({"expiration_auth_token_days": 0}, "1 to 3650")):
        wrong = cluster.iam(f"wrong{len(cluster.daemons)}", start=False, **flags)
        wrong.start(wait=False)
        assert wrong.process.wait(timeout=60) != 0
        assert text in wrong.tail()


def test_secrets_stay_secret(cluster):
    iam = Iam(cluster, audit_log=cluster.folder + "/iam-audit.log", logging_level="debug")
    iam.user("someone", "a password to find")
    iam.ok("PUT", "/auth/oidc/providers/p", 201, json={
        "description": "d", "issuer": "http://127.0.0.1:1", "base_url": "http://127.0.0.1", "client_id": "c",
        "client_secret": "a client secret to find"})
    iam.call("POST", "/auth/login", json={"uid": "someone", "password": "a wrong password"})
    shown = [iam.get(p).text for p in ("/users", "/users/someone", "/auth/oidc/providers/p", "/auth/oidc/providers", "/auth/jwks")]
    with iam.get("/internal/policy", stream=True) as stream:
        text = b""
        for chunk in stream.iter_content(chunk_size=None):
            text += chunk
            if b'"synced"' in text:
                break
    shown.append(text.decode())
    with open(iam.daemon.log_path, encoding="utf-8") as f:
        shown.append(f.read())
    with open(cluster.folder + "/iam-audit.log", encoding="utf-8") as f:
        shown.append(f.read())
    for secret in ("password to find", "secret to find", "a wrong password", "$argon2id$", "$6$", "PRIVATE KEY", iam.token):
        assert not [s for s in shown if secret in s], secret
    with open(f"/proc/{iam.daemon.pid}/cmdline", "rb") as f:
        assert b"$6$" not in f.read()
    for folder, _, names in os.walk(cluster.folder + "/iam"):
        for name in names:
            mode = os.stat(os.path.join(folder, name)).st_mode
            assert not mode & 0o077, f"{name} has mode {stat.filemode(mode)}"
    assert not os.stat(cluster.folder + "/iam-audit.log").st_mode & 0o077
    assert stat.S_IMODE(os.stat(iam.socket).st_mode) == 0o660


def test_audit_log(cluster):
    path = cluster.folder + "/iam-audit.log"
    iam = Iam(cluster, audit_log=path)
    token = iam.user("ann")
    iam.get("/users")
    iam.get("/users", token=token)
    iam.get("/users", token="")
    iam.post_login(uid="ann", password="wrong")
    iam.ok("PUT", "/groups/g", 201, json={"description": "d"})
    iam.refused("PUT", "/groups/g", 409, "ERR_GROUP_EXISTS", json={"description": "d"})
    iam.local("DELETE", "/groups/g")

    def lines(name=path):
        with open(name, encoding="utf-8") as f:
            return [json.loads(line) for line in f]

    api = "/acs/api/v1"
    assert [(e["who"], e["action"], e.get("object"), e["status"]) for e in lines()] == [
        (None, f"POST {api}/auth/login", "admin", 200), ("admin", f"PUT {api}/users/ann", None, 201),
        (None, f"POST {api}/auth/login", "ann", 200), ("ann", f"GET {api}/users", None, 403),
        (None, f"GET {api}/users", None, 401), (None, f"POST {api}/auth/login", "ann", 401),
        ("admin", f"PUT {api}/groups/g", None, 201), ("admin", f"PUT {api}/groups/g", None, 409),
        ("local", f"DELETE {api}/groups/g", None, 204)]
    assert all(e["program"] == "dcos-iam" and e["time"].endswith("Z") and e["from"] for e in lines())
    os.rename(path, path + ".1")
    iam.daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: os.path.exists(path), "the new file")
    iam.ok("DELETE", "/users/ann", 204)
    assert [e["action"] for e in lines()] == [f"DELETE {api}/users/ann"]
    assert len(lines(path + ".1")) == 9


def test_changes_that_need_several_batches(cluster):
    """A user with more permissions than one batch of the store takes is deleted whole."""
    iam = Iam(cluster)
    iam.user("everywhere")
    with requests.Session() as session:
        session.headers["Authorization"] = "token=" + iam.token
        for n in range(1100):
            assert session.put(f"{iam.url}/acls/many:{n}", json={"description": "d"}, timeout=TIMEOUT).status_code == 201
            assert session.put(f"{iam.url}/acls/many:{n}/users/everywhere/read", timeout=TIMEOUT).status_code == 204
    assert len(iam.get("/users/everywhere/permissions").json()["direct"]) == 1100
    iam.ok("DELETE", "/users/everywhere", 204)
    iam.daemon.restart()
    for n in (0, 1023, 1024, 1099):
        assert iam.get(f"/acls/many:{n}/permissions").json() == {"users": [], "groups": []}
    iam.refused("GET", "/users/everywhere", 400, "ERR_UNKNOWN_USER_ID")


def pss_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Pss:"))


@pytest.mark.skipif("asan" in os.environ.get("DCOS_BUILD", ""),
                    reason="sanitizers take memory of their own")
def test_memory(cluster):
    iam = Iam(cluster)
    idle = pss_kb(iam.daemon.pid)
    for n in range(20):
        iam.user(f"u{n}")
    used = wait_until(lambda: (lambda kb: kb if kb < MEMORY_MAX_KB else None)(pss_kb(iam.daemon.pid)), "memory to be given back")
    print(f"PSS: {idle} KB idle, {used} KB after 40 hashes")
    assert idle < MEMORY_MAX_KB


def test_many_followers(cluster):
    iam = Iam(cluster)
    followers = [iam.get("/internal/policy", stream=True) for _ in range(50)]
    iam.user("ann")
    for response in followers:
        text = b""
        for chunk in response.iter_content(chunk_size=None):
            text += chunk
            if b"users/ann" in text:
                break
        response.close()
    assert iam.get("/users").status_code == 200


# ---- accounts of a file ----

POLICY = "dcos:iam:policy"


def accounts_file(cluster, *accounts):
    return secret_file(os.path.join(cluster.folder, "accounts.json"), json.dumps({"accounts": accounts}))


def test_initial_accounts(cluster):
    """Made before the service serves; what was taken or removed meanwhile by whoever may does not come back."""
    folder = os.path.join(cluster.folder, "initial")
    key = Key(folder, "initial")
    accounts = accounts_file(
        cluster,
        {"uid": "follower", "description": "F", "public_key": key.public, "permissions": {POLICY: ["read", "update"]}},
        {"uid": "boss", "password_hash": password_hash("the boss's own"), "permissions": {"dcos:superuser": ["full"]}},
        {"uid": "nobody", "public_key": key.public})
    iam = Iam(cluster, initial_accounts=accounts)
    iam.login_key("follower", key)
    entries = iam.get(f"/acls/{iam.rid(POLICY)}/users/follower").json()["array"]
    assert [e["name"] for e in entries] == ["read", "update"]
    iam.ok("GET", "/users", 200, token=iam.login("boss", "the boss's own"))
    iam.ok("DELETE", f"/acls/{iam.rid(POLICY)}/users/follower/update", 204)
    iam.ok("PATCH", "/users/follower", 204, json={"description": "changed"})
    iam.ok("DELETE", "/users/nobody", 204)
    iam.daemon.restart()
    entries = iam.get(f"/acls/{iam.rid(POLICY)}/users/follower").json()["array"]
    assert [e["name"] for e in entries] == ["read"]
    assert iam.get("/users/follower").json()["description"] == "changed"
    iam.refused("GET", "/users/nobody", 400, "ERR_UNKNOWN_USER_ID")


@pytest.mark.parametrize("document,text", [
    ("{", "--initial_accounts"),
    ('{"accounts":{}}', "/accounts: expected an array"),
    ('{"accounts":[{}]}', "/accounts/0/uid: expected a user id"),
    ('{"accounts":[{"uid":"a/b"}]}', "/accounts/0/uid: expected a user id"),
    ('{"accounts":[{"uid":"a","public_key":"x"}]}', "/accounts/0 (a): `public_key`"),
    ('{"accounts":[{"uid":"a","password":"hidden-one"}]}', "give a password_hash"),
    ('{"accounts":[{"uid":"a","other":1}]}', "Unknown property `other`"),
    ('{"accounts":[{"uid":"a@b.c","permissions":{"dcos:x":["write"]}}]}', "some of create, read, update"),
    (json.dumps({"accounts": [{"uid": "a@b.c", "permissions": {"x" * 200: ["read"]}}]}), "/accounts/0 (a@b.c)"),
], ids=range(9))
def test_wrong_accounts_end_the_start(cluster, document, text):
    path = secret_file(os.path.join(cluster.folder, "accounts.json"), document)
    daemon = cluster.iam(start=False, initial_accounts=path)
    daemon.start(wait=False)
    assert daemon.process.wait(timeout=30) != 0
    assert text in daemon.tail() and "hidden-one" not in daemon.tail()
    # Nothing of it was stored.
    del daemon.flags["initial_accounts"]
    daemon.start()
    token = requests.post(daemon.url + "/acs/api/v1/auth/login", json={"uid": "admin", "password": "secret"},
                          timeout=10).json()["token"]
    users = requests.get(daemon.url + "/acs/api/v1/users", headers=bearer(token), timeout=10).json()["array"]
    assert [u["uid"] for u in users] == ["admin"]


def test_tls(cluster):
    authority = Authority(os.path.join(cluster.folder, "ca"))
    daemon = cluster.iam(**authority.flags("iam"))
    body = {"uid": "admin", "password": "secret"}
    answer = requests.post(daemon.url + "/acs/api/v1/auth/login", json=body, verify=authority.certificate, timeout=10)
    assert answer.status_code == 200
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(daemon.url + "/acs/api/v1/users", timeout=10)
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(daemon.url.replace("https", "http") + "/acs/api/v1/users", timeout=10)
