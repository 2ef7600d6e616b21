"""minidcos create --secure: a whole cluster that speaks TLS and asks who calls runs an app, behind its front door or
without one."""

import json
import os
import re
import shutil
import stat
import subprocess
import tempfile

import pytest
import requests

from cluster import binary, processes_under, wait_until
from secure_door import SecureDoor
from test_minidcos import NOTHING

APP = {"id": "/hello", "cmd": "echo hello; exec sleep 1000", "cpus": 0.1, "mem": 32}


@pytest.fixture
def mini():
    home = tempfile.mkdtemp(prefix="dcos-secure-")
    env = {"PATH": os.environ["PATH"], "MINIDCOS_HOME": home, "DCOS_DIR": home + "/cli", "DCOS_CLUSTER": "s"}

    def run(program, *args, data=None):
        done = subprocess.run([binary(program), *args], env=env, input=data, text=True, capture_output=True, timeout=300)
        assert done.returncode == 0, (args, done.stdout, done.stderr)
        return done.stdout

    run.home = home
    yield run
    subprocess.run([binary("minidcos"), "destroy", "s", "--if-exists"], env=env, timeout=300, check=False)
    shutil.rmtree(home, ignore_errors=True)
    assert not processes_under(home)


@pytest.fixture
def door():
    m = SecureDoor()
    yield m
    m.close()


def secret_words(folder):
    """What must not be seen by others, of everything in secrets/."""
    words = []
    for name in os.listdir(folder):
        with open(f"{folder}/{name}", encoding="utf-8") as f:
            text = f.read()
        if name == "accounts.json":
            continue  # public keys
        if name.endswith(".json") and name != "acls.json":
            words.append(json.loads(text)["private_key"].split("\n")[3])
        elif name in ("marathon.secret", "executor.key", "operator.token", "superuser.password"):
            words.append(text.strip())
        elif name == "agent.credential":
            words.append(json.loads(text)["secret"])
    assert len(words) >= 3
    return words


def check_files(home, folder):
    """Nothing that is secret is in a place where others can read it, nor in a log."""
    words = secret_words(folder + "/secrets")
    for top, _, names in os.walk(home):
        for name in names:
            path = os.path.join(top, name)
            try:
                mode = os.lstat(path)
                if not stat.S_ISREG(mode.st_mode):
                    continue
                with open(path, "rb") as f:
                    text = f.read()
            except FileNotFoundError:
                continue  # the cluster lives
            private = mode.st_mode & 0o077 == 0 or top == folder + "/secrets"
            assert private or not any(w.encode() in text for w in words), path
            assert private or b"PRIVATE KEY" not in text, path
            if "/logs" in top or name.endswith(".log"):
                assert not any(w.encode() in text for w in words), path
                assert not re.search(rb"eyJ[\w-]{8,}\.", text), path


def test_front_door(door):
    """One login for everything: through the router, and at each daemon itself."""
    door.create()
    if not door.has_router():
        pytest.skip("this build has no nginx or no module for it")
    # Every port with an API speaks TLS and asks who calls; a token of the login will do for all of them.
    for name in ("master", "agent-1"):
        assert door.get("/state", token=None, url=door.url_of(name)).status_code == 401
        assert door.get("/state", token="garbage", url=door.url_of(name)).status_code == 401
        assert door.get("/state", url=door.url_of(name)).status_code == 200
    assert door.get("/v2/apps", token=None, url=door.url_of("marathon")).status_code == 401
    assert door.get("/v2/apps", url=door.url_of("marathon")).status_code == 200
    assert door.get("/acs/api/v1/users", token=None, url=door.url_of("iam")).status_code == 401
    assert door.get("/acs/api/v1/users", url=door.url_of("iam")).status_code == 200
    for name in ("master", "agent-1", "marathon", "iam"):
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(door.url_of(name) + "/ping", timeout=60)
    # The router: master, agent by its id, Marathon, services.
    state = door.get("/mesos/state").json()
    agent = state["slaves"][0]["id"]
    assert door.get(f"/agent/{agent}/state").json()["id"] == agent
    assert door.get("/mesos/state", token=None).status_code == 401
    door.add_hello()
    assert door.get("/service/hello/", token=None).status_code == 401
    wait_until(lambda: door.ips("hello.marathon.mesos") == [door.daemons["agent-1"]["ip"]], "the name of the app")
    assert door.ips("leader.mesos") == [door.daemons["master"]["ip"]]
    assert door.get("/v1/version", url=f"http://{door.daemons['net']['ip']}:{door.daemons['net']['port']}").status_code
    # The settings that minidcos made show the operator's token.
    assert "hello" in door.dcos("task", "list")
    assert "hello from hello." in "".join(door.dcos("task", "log", "hello", "index.html"))
    # Nobody runs with more than it needs: accounts are those of the daemons, and only one is a superuser.
    users = {u["uid"] for u in door.get("/acs/api/v1/users?type=service", url=door.url_of("iam")).json()["array"]}
    assert users == {"operator", "dcos_master", "dcos_agent", "dcos_marathon", "dcos_router", "dcos_net"}
    supers = door.get("/acs/api/v1/acls/dcos:superuser/permissions", url=door.url_of("iam")).json()["users"]
    assert {u["uid"] for u in supers} == {"operator", "bootstrapuser"}
    with open(door.folder + "/logs/master.audit", encoding="utf-8") as f:
        who = {json.loads(line)["who"] for line in f}
    assert {"dcos_agent", "dcos_marathon"} <= who
    check_files(door.home, door.folder)
    # Every daemon comes back by itself, with the identity service gone for a while.
    for name in ("iam", "master", "marathon", "agent-1", "net", "router"):
        door("kill", name)
    door("wait")
    wait_until(lambda: "hello from hello." in door.get("/service/hello/").text, "the page again", 60)
    wait_until(lambda: door.ips("hello.marathon.mesos") == [door.daemons["agent-1"]["ip"]], "the name again", 60)
    check_files(door.home, door.folder)
    door("destroy")
    assert door.leftovers() == NOTHING


def test_router_verifies_its_backends(door):
    """Somebody else's certificate at a backend's place: nothing is sent there."""
    door.create()
    if not door.has_router():
        pytest.skip("this build has no nginx or no module for it")
    with open(os.path.join(door.daemons["router"]["work_dir"], "nginx.conf"), encoding="utf-8") as f:
        conf = f.read()
    passes = re.findall(r"location [^{]*\{([^{}]*proxy_pass https://(?:dcos_checked|iam)[^{}]*)\}", conf)
    assert len(passes) >= 8
    assert all("proxy_ssl_verify on;" in p for p in passes)
    assert "http://iam" not in conf
    # Marathon's own pages go the verified way, too.
    assert door.get("/service/marathon/v2/info").status_code == 200
    other = door.folder + "/tls/marathon"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                    "2", "-keyout", other + ".key", "-out", other + ".crt", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    subprocess.run([binary("minidcos"), "kill", "marathon"], env=door.env, timeout=300, check=True, capture_output=True)
    wait_until(lambda: door.get("/service/marathon/v2/info").status_code == 502, "the router to refuse it", 60)
    assert "is not followed" in door.log("router")


def test_without_a_front_door(mini):
    mini("minidcos", "create", "s", "--secure", "--no-front-door", "--ports=auto", "--agents=1", "--public-agents=0", "--wait")
    folder = os.path.join(mini.home, "s")
    mini("dcos", "marathon", "app", "add", data=json.dumps(APP))
    wait_until(lambda: [t for t in json.loads(mini("dcos", "task", "list", "--json"))
                        if t["state"] == "TASK_RUNNING"], "the app to run")
    wait_until(lambda: "hello" in mini("dcos", "task", "log", "hello"), "its output")
    authority = folder + "/ca/dcos-ca.crt"
    daemons = json.loads(mini("minidcos", "status", "s", "--json"))["daemons"]
    for daemon in daemons:
        base = f"https://{daemon['ip']}:{daemon['port']}"
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(base + "/ping", timeout=60)
        if daemon["kind"] != "marathon":
            assert requests.get(base + "/state", verify=authority, timeout=60).status_code == 401
            assert requests.post(base + "/api/v1", verify=authority, timeout=60).status_code == 401
    check_files(mini.home, folder)
    with open(folder + "/logs/master.audit", encoding="utf-8") as f:
        who = {json.loads(line)["who"] for line in f}
    assert {"dcos_agent", "dcos_marathon"} <= who
