"""minidcos create --secure: a whole cluster that speaks TLS and asks who calls runs an app."""

import json
import os
import shutil
import stat
import subprocess
import tempfile

import pytest
import requests

from cluster import binary, processes_under, wait_until

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


def test_app(mini):
    mini("minidcos", "create", "s", "--secure", "--ports=auto", "--agents=1", "--public-agents=0", "--wait")
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
    # Nothing that is secret is in a place where others can read it.
    secrets = {}
    for name in os.listdir(folder + "/secrets"):
        with open(f"{folder}/secrets/{name}", encoding="utf-8") as f:
            secrets[name] = f.read()
    words = [secrets[n] for n in ("marathon.secret", "executor.key", "operator.token")]
    words.append(json.loads(secrets["agent.credential"])["secret"])
    for top, _, names in os.walk(mini.home):
        for name in names:
            path = os.path.join(top, name)
            mode = os.lstat(path)
            if not stat.S_ISREG(mode.st_mode):
                continue
            private = mode.st_mode & 0o077 == 0 or top == folder + "/secrets"
            with open(path, "rb") as f:
                text = f.read()
            assert private or not any(w.encode() in text for w in words), path
            assert private or b"PRIVATE KEY" not in text, path
            if "/logs" in top:
                assert not any(w.encode() in text for w in words), path
    with open(folder + "/logs/master.audit", encoding="utf-8") as f:
        who = {json.loads(line)["who"] for line in f}
    assert {"dcos_agent", "dcos_marathon"} <= who
