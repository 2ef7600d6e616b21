"""What tasks print and what services write."""

import json
import os
import secrets
import subprocess
import urllib.parse

from dcos import wait_until


def directory(cluster, task):
    state = cluster.get(f"/slave/{task['slaveId']}/state").json
    for framework in state["frameworks"]:
        for executor in framework["executors"]:
            if executor["id"] == task["id"]:
                return executor["directory"]
    raise AssertionError(f"the agent does not know {task['id']}")


def read(cluster, task, path, **query):
    fields = urllib.parse.urlencode({"path": path, **query})
    return cluster.get(f"/slave/{task['slaveId']}/files/read?{fields}")


def test_output_as_it_grows(cluster, deploy):
    """By offset, the way a follower reads it; errors are apart from output."""
    app = deploy({"cmd": "echo first; echo wrong >&2; while [ ! -e go ]; do sleep 0.1; done; echo second; exec sleep 1000",
                  "cpus": 0.05, "mem": 32, "instances": 1})
    task = cluster.tasks(app)[0]
    at = directory(cluster, task)
    size = read(cluster, task, f"{at}/stdout", offset=-1).json["offset"]
    assert size >= len("first\n")
    whole = read(cluster, task, f"{at}/stdout", offset=0, length=1000).json["data"]
    assert "first\n" in whole and "wrong" not in whole and "second" not in whole
    assert "wrong\n" in read(cluster, task, f"{at}/stderr", offset=0, length=1000).json["data"]
    # Nothing behind the end yet: an empty answer and not an error.
    assert read(cluster, task, f"{at}/stdout", offset=size, length=1000).json["data"] == ""


def test_sandbox(cluster, deploy):
    """Its files are listed and downloaded, also by their virtual path; files outside it are not there."""
    app = deploy({"cmd": "mkdir -p sub; printf 'a\\0b' >sub/bytes; exec sleep 1000", "cpus": 0.05, "mem": 32, "instances": 1})
    task = cluster.tasks(app)[0]
    at = directory(cluster, task)

    def listed(path):
        reply = cluster.get(f"/slave/{task['slaveId']}/files/browse?path={urllib.parse.quote(path)}")
        return {f["path"]: f for f in reply.json} if reply.status == 200 else {}
    wait_until(lambda: f"{at}/sub/bytes" in listed(f"{at}/sub"), "the file")
    assert {f"{at}/stdout", f"{at}/stderr", f"{at}/sub"} <= set(listed(at))
    assert listed(f"{at}/sub")[f"{at}/sub/bytes"]["size"] == 3
    reply = cluster.get(f"/slave/{task['slaveId']}/files/download?path={urllib.parse.quote(at + '/sub/bytes')}")
    assert reply.status == 200 and reply.body == b"a\0b"
    for path in ("/etc/shadow", f"{at}/../../../../../../etc/shadow", f"{at}/sub/../../../../../../../../../../etc/passwd",
                 "/opt/mesosphere/etc/user.config.yaml"):
        reply = read(cluster, task, path, offset=0, length=100)
        assert reply.status in (400, 403, 404) and "root:" not in reply.text, (path, reply)
    assert cluster.get(f"/slave/{task['slaveId']}/files/browse?path={urllib.parse.quote(at)}", token=None).status == 401


def test_output_of_what_has_ended(cluster, deploy, app_id):
    """A task that failed can still be read."""
    app = {"id": f"{app_id}/ends", "cmd": "echo the reason >&2; exit 3", "cpus": 0.05, "mem": 32, "instances": 1,
           "backoffSeconds": 3600, "maxLaunchDelaySeconds": 3600}
    assert cluster("POST", "/service/marathon/v2/apps", app).status == 201
    try:
        failure = wait_until(lambda: cluster.get(f"/service/marathon/v2/apps{app['id']}").json["app"].get("lastTaskFailure"),
                             "the failure to be known")
        assert failure["state"] == "TASK_FAILED"
        task = {"id": failure["taskId"], "slaveId": failure["slaveId"]}
        text = wait_until(lambda: cluster.sandbox_file(task, "stderr"), "what it said")
        assert "the reason" in text
    finally:
        cluster.remove(app["id"])


def test_services_write_to_the_journal():
    for unit in ("dcos-mesos-master", "dcos-marathon", "dcos-bouncer", "dcos-net", "dcos-adminrouter"):
        done = subprocess.run(["journalctl", "-q", "-u", f"{unit}.service", "-o", "cat"], capture_output=True, text=True,
                              check=True)
        assert "address=" in done.stdout or "listening" in done.stdout or "serving" in done.stdout, (unit, done.stdout[-500:])


def test_no_secret_is_in_the_journal(cluster):
    """Neither the token nor the password that the tests used."""
    done = subprocess.run(["journalctl", "-q", "-o", "cat", "-b"], capture_output=True, text=True, check=True, errors="replace")
    assert len(done.stdout) > 1000
    for secret in (cluster.password, cluster.token, "PRIVATE KEY", "$6$"):
        lines = [line for line in done.stdout.splitlines() if secret in line]
        assert not lines, f"{len(lines)} lines of the journal have a secret"


def test_the_audit_log(cluster):
    """A refused login is in it, without what the body had. With several masters it is in the log of the one that leads."""
    uid, password = f"nobody-{secrets.token_hex(4)}", secrets.token_urlsafe(24)
    reply = cluster("POST", "/acs/api/v1/auth/login", {"uid": uid, "password": password}, token=None)
    assert reply.status == 401, reply
    path = "/var/lib/dcos/bouncer/audit.log"
    assert os.stat(path).st_mode & 0o077 == 0
    with open(path, encoding="utf-8") as f:
        text = f.read()
    for secret in (password, cluster.password, cluster.token):
        assert secret not in text
    if len(cluster.masters) == 1:
        lines = [json.loads(line) for line in text.splitlines() if uid in line]
        assert lines and lines[0]["object"] == uid and lines[0]["status"] == 401, lines
