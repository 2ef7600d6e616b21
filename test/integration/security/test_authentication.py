"""Who calls: every realm, its challenges, and what becomes of principals."""

import os
import re
import time

import pytest
import requests

from cluster import wait_until
from keys import bearer, hs256, rs256, unsigned
from principals import SECRETS, Files
from raw import rows

READ = ("/state", "/state-summary", "/slaves", "/frameworks", "/tasks", "/roles", "/flags", "/maintenance/status",
        "/metrics/snapshot", "/files/browse?path=/x", "/state.json", "/master/state")
WRITE = ("/api/v1", "/reserve", "/unreserve", "/create-volumes", "/destroy-volumes", "/teardown", "/quota", "/weights",
         "/maintenance/schedule", "/machine/up", "/machine/down", "/logging/toggle", "/master/api/v1")
OPEN = ("/health", "/version", "/redirect", "/system/stats.json", "/help", "/__processes__")
SUBSCRIBE = {"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "root", "name": "n"}}}


@pytest.fixture(scope="module")
def master(shared_cluster, files):
    return shared_cluster.master(
        credentials=files.credentials, jwt_secret_key=files.shared, jwt_public_keys=files.public,
        authenticate_http_readonly="true", authenticate_http_readwrite="true", authenticate_http_frameworks="true",
        authenticate_agents="true", http_authenticators="basic,jwt", http_framework_authenticators="basic,jwt",
        firewall_rules='{"disabled_endpoints":{"paths":["/master/redirect"]}}',
    )


def ask(daemon, path, method="GET", **options):
    return requests.request(method, daemon.url + path, timeout=60, allow_redirects=False, **options)


def challenge(realm):
    return f'Basic realm="{realm}",Bearer realm="{realm}"'


@rows("0.4", 3)
@pytest.mark.parametrize("path", READ + WRITE + ("/api/v1/scheduler",))
def test_strangers_are_challenged(master, path):
    method = "GET" if path in READ else "POST"
    realm = "readonly" if path in READ else "scheduler" if path.endswith("scheduler") else "readwrite"
    answer = ask(master, path, method)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == challenge("mesos-master-" + realm)


@rows("0.4", 1)
@pytest.mark.parametrize("path", OPEN[:2] + OPEN[3:])
def test_open_endpoints(master, path):
    assert ask(master, path).status_code == 200


@rows("5.5", 1)
def test_firewall(master):
    for path in ("/redirect", "/master/redirect"):
        answer = ask(master, path)
        assert answer.status_code == 403
        assert answer.text == f"Endpoint '{path}' is disabled"


@rows("0.4", 1)
def test_basic(master):
    assert ask(master, "/state", auth=("ops", SECRETS["ops"])).status_code == 200
    for auth in (("ops", "x"), ("ops", ""), ("who", SECRETS["ops"]), ("", "")):
        assert ask(master, "/state", auth=auth).status_code == 401


@rows("0.4", 1)
@pytest.mark.parametrize("make,why", [
    (lambda f: rs256(f.private, {"uid": "ops", "exp": 1}), "Token has expired"),
    (lambda f: rs256(f.private, {"uid": "ops", "nbf": 10**10}), "Token is not valid yet"),
    (lambda f: hs256("guess", {"uid": "ops"}), "Token signature does not match"),
    (lambda f: unsigned({"alg": "none"}, {"uid": "ops"}) + ".", "Unsupported token algorithm"),
    (lambda f: hs256(open(f.public, encoding="utf-8").read(), {"uid": "ops"}), "Token signature does not match"),
    (lambda f: rs256(f.private, {"uid": "ops"}, crit=["exp"]), "Token 'crit' is not supported"),
    (lambda f: "abc", "Expected 3 components in token, got 1"),
])
def test_bad_tokens(master, files, make, why):
    answer = ask(master, "/state", headers=bearer(make(files)))
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == (
        'Basic realm="mesos-master-readonly",Bearer realm="mesos-master-readonly", error="invalid_token", '
        f'error_description="Invalid JWT: {why}"')


def test_good_token(master, files):
    token = rs256(files.private, {"uid": "ops", "exp": int(time.time()) + 60})
    for header in (f"Bearer {token}", f"token={token}"):
        assert ask(master, "/state", headers={"Authorization": header}).status_code == 200


@rows("0.1", 1)
def test_claims_without_a_name(master, files):
    token = bearer(hs256("a shared secret", {"uid": "ops"}))
    assert ask(master, "/state", headers=token).status_code == 403
    assert ask(master, "/api/v1/scheduler", "POST", headers=token).status_code == 403
    assert ask(master, "/slaves", headers=token).status_code == 200
    assert ask(master, "/maintenance/status", headers=token).status_code == 200


@rows("1.2", 3)
def test_frameworks(master):
    def subscribe(principal, auth="fw"):
        info = {**SUBSCRIBE["subscribe"]["framework_info"], **({"principal": principal} if principal else {})}
        return ask(master, "/api/v1/scheduler", "POST", auth=(auth, SECRETS[auth]), stream=True,
                   headers={"Accept": "application/json"}, json={"type": "SUBSCRIBE", "subscribe": {"framework_info": info}})

    wrong = subscribe("other")
    assert wrong.status_code == 400
    assert wrong.text == ("Authenticated principal 'fw' does not match principal 'other' set in `FrameworkInfo`")
    with subscribe(None) as mine:
        assert mine.status_code == 200
        framework = wait_until(lambda: ask(master, "/state", auth=("ops", SECRETS["ops"])).json()["frameworks"], "it")[0]
        assert framework["principal"] == "fw"  # filled in
        call = {"type": "REVIVE", "framework_id": {"value": framework["id"]}}
        headers = {"Mesos-Stream-Id": mine.headers["Mesos-Stream-Id"]}
        other = ask(master, "/api/v1/scheduler", "POST", json=call, headers=headers, auth=("other", SECRETS["other"]))
        assert other.status_code == 400
        assert "does not match principal 'fw'" in other.text
        call["framework_id"]["value"] = "unknown"
        unknown = ask(master, "/api/v1/scheduler", "POST", json=call, headers=headers, auth=("other", SECRETS["other"]))
        assert unknown.status_code == 400 and "principal" not in unknown.text


@rows("5.4", 1)
def test_agents(master, shared_cluster, files):
    def agents():
        return [a["hostname"] for a in ask(master, "/slaves", auth=("ops", SECRETS["ops"])).json()["slaves"]]

    shared_cluster.agent(master, "stranger", hostname="stranger")
    shared_cluster.agent(master, "liar", hostname="liar", credential=files.wrong)
    shared_cluster.agent(master, "known", hostname="known", credential=files.agent)
    wait_until(lambda: "known" in agents(), "the agent with a credential")
    for name in ("stranger", "liar"):
        daemon = next(d for d in shared_cluster.daemons if d.name == name)
        wait_until(lambda: "status=401" in daemon.tail(), "its refusal")
    assert agents() == ["known"]


@rows("0.4", 2)
def test_realms_of_the_agent(shared_cluster, files, master):
    agent = shared_cluster.agent(
        master, "guarded", credential=files.agent, http_credentials=files.credentials, jwt_secret_key=files.shared,
        http_authenticators="basic", authenticate_http_readonly="true", authenticate_http_readwrite="true",
        authenticate_http_executors="true")
    for path in ("/state", "/flags", "/monitor/statistics", "/containers", "/containerizer/debug",
                 "/metrics/snapshot", "/files/browse?path=/x", "/slave(1)/state"):
        answer = ask(agent, path)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Basic realm="mesos-agent-readonly"')
        assert ask(agent, path, auth=("ops", SECRETS["ops"])).status_code != 401
    for path in ("/api/v1", "/logging/toggle"):
        answer = ask(agent, path, "POST")
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Basic realm="mesos-agent-readwrite"')
    answer = ask(agent, "/api/v1/executor", "POST")
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="mesos-agent-executor"')
    for path in ("/health", "/version"):
        assert ask(agent, path).status_code == 200


@pytest.mark.parametrize("flags,why", [
    ({"authenticate_http_readonly": "true"}, "authentication needs credentials or keys"),
    ({"http_authenticators": "digest", "credentials": "CREDENTIALS"}, "there is no authenticator 'digest'"),
    ({"credentials": "/nonexistent/x"}, "/nonexistent/x"),
    ({"acls": '{"view_tusks":[]}'}, "/view_tusks: there is no such ACL"),
    ({"acls": '{"permissive":7}'}, "/permissive"),
    ({"firewall_rules": "[]"}, "/disabled_endpoints/paths"),
    ({"ssl_key_file": "CREDENTIALS"}, "--ssl_cert_file and --ssl_key_file belong together"),
    ({"jwt_public_keys": "PRIVATE"}, "expected PUBLIC KEY or CERTIFICATE blocks only"),
])
def test_wrong_settings_end_the_start(shared_cluster, files, flags, why):
    names = {"CREDENTIALS": files.credentials, "PRIVATE": files.private}
    name = "refused-" + re.sub(r"\W", "", why)[:20]
    daemon = shared_cluster.master(name, start=False, **{k: names.get(v, v) for k, v in flags.items()})
    daemon.start(wait=False)
    assert daemon.process.wait(60) != 0
    assert why in daemon.tail()


def test_secrets_stay_secret(shared_cluster, master, files):
    flags = ask(master, "/flags", auth=("ops", SECRETS["ops"])).text
    logs = "".join(open(d.log_path, encoding="utf-8").read() for d in shared_cluster.daemons)
    for secret in (*SECRETS.values(), "a shared secret", "BEGIN"):
        assert secret not in flags and secret not in logs
    exposed = Files(os.path.join(shared_cluster.folder, "exposed"))
    os.chmod(exposed.credentials, 0o644)
    daemon = shared_cluster.master("exposed-master", credentials=exposed.credentials)
    assert "can be read by everybody" in daemon.tail()
