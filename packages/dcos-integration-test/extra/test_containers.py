"""What the native containerizer does for tasks: limits, users, artifacts, environment, checks, ends."""

import os

import pytest

from dcos import output, page_server, wait_until

MB = 1 << 20


def test_limits_of_memory_and_processor(cluster, deploy):
    """In the group of the container, whichever version of control groups the node has."""
    text, _ = output(cluster, deploy, """
        own=$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup); at=/sys/fs/cgroup/memory$own
        if [ -n "$own" ] && [ -e $at/memory.limit_in_bytes ]; then cat $at/memory.limit_in_bytes
        else cat /sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/memory.max; fi""", mem=40)
    # The executor has its share beside the task's.
    assert 40 * MB <= int(text.split()[0]) <= 120 * MB, text


def test_too_much_memory_ends_a_task(cluster, deploy, app_id):
    """It alone, and it is told why."""
    app = {"id": f"{app_id}/greedy", "cmd": "exec python3 -c 'x = bytearray(512 << 20); import time; time.sleep(1000)'",
           "cpus": 0.1, "mem": 32, "instances": 1, "backoffSeconds": 3600, "maxLaunchDelaySeconds": 3600}
    assert cluster("POST", "/service/marathon/v2/apps", app).status == 201
    try:
        failure = wait_until(lambda: cluster.get(f"/service/marathon/v2/apps{app['id']}").json["app"].get("lastTaskFailure"),
                             "the task to fail", 90)
        assert failure["state"] == "TASK_FAILED", failure
        assert "memory" in failure["message"].lower() or "kill" in failure["message"].lower(), failure
    finally:
        cluster.remove(app["id"])


def test_resource_limits(cluster, deploy):
    """A task's limits are not those of the daemon, and its own raise them only within what is allowed."""
    text, _ = output(cluster, deploy, "ulimit -n; ulimit -c; ulimit -u")
    files = text.split()[0]
    assert files == "unlimited" or int(files) >= 1024


def test_kernel_settings_are_seen(cluster, deploy):
    """Those that packages ask for, on the node and in tasks alike."""
    text, task = output(cluster, deploy, "cat /proc/sys/vm/swappiness /proc/sys/vm/max_map_count")
    assert len(text.split()) == 2 and all(n.isdigit() for n in text.split()), text


def test_environment(cluster, deploy):
    text, task = output(cluster, deploy, "env", env={"GREETING": "hello 'you' $HOME", "EMPTY": ""}, labels={"team": "tests"})
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    assert found["GREETING"] == "hello 'you' $HOME" and found["EMPTY"] == ""
    assert found["MESOS_TASK_ID"] == task["id"] and found["HOST"] == task["host"]
    assert found["MARATHON_APP_LABEL_TEAM"] == "tests"
    assert found["MESOS_SANDBOX"] and found["LIBPROCESS_IP"] == task["host"]
    assert "LD_LIBRARY_PATH" not in found, "programs of tasks use the node's libraries"
    secret = [k for k in found if "PASSWORD" in k or "TOKEN" in k or "SECRET" in k]
    assert not secret, secret


def test_user(cluster, deploy):
    text, _ = output(cluster, deploy, "id -un; stat -c %U .; cat /etc/shadow 2>&1 | head -n 1", user="nobody")
    lines = text.splitlines()
    assert lines[:2] == ["nobody", "nobody"] and "ermission denied" in lines[2], text


def test_artifacts(cluster, deploy):
    """Fetched before the task starts: a file as it is, an archive unpacked, an executable made one."""
    server = deploy({"cmd": "mkdir d; echo from the archive >d/member; tar -czf a.tgz d; echo plain >f; "
                            "printf '#!/bin/sh\\necho ran\\n' >x; exec python3 -m http.server $PORT0", "cpus": 0.05, "mem": 48,
                     "instances": 1, "portDefinitions": [{"port": 0, "name": "http"}],
                     "healthChecks": [{"protocol": "MESOS_HTTP", "path": "/x", "portIndex": 0, "intervalSeconds": 1,
                                       "gracePeriodSeconds": 30, "delaySeconds": 0}]}, "server")
    at = cluster.tasks(server)[0]
    base = f"http://{at['host']}:{at['ports'][0]}"
    text, _ = output(cluster, deploy, "cat d/member f; ./x; ls a.tgz", "client", fetch=[
        {"uri": f"{base}/a.tgz"}, {"uri": f"{base}/f"}, {"uri": f"{base}/x", "executable": True}])
    assert text.split("\n")[:4] == ["from the archive", "plain", "ran", "a.tgz"], text


def test_an_artifact_that_is_missing_fails_the_task(cluster, deploy, app_id):
    app = {"id": f"{app_id}/missing", "cmd": "sleep 1000", "cpus": 0.05, "mem": 32, "instances": 1,
           "backoffSeconds": 3600, "maxLaunchDelaySeconds": 3600,
           "fetch": [{"uri": f"http://{cluster.masters[0]}:5050/no-such-file"}]}
    assert cluster("POST", "/service/marathon/v2/apps", app).status == 201
    try:
        failure = wait_until(lambda: cluster.get(f"/service/marathon/v2/apps{app['id']}").json["app"].get("lastTaskFailure"),
                             "the task to fail")
        assert failure["state"] == "TASK_FAILED" and "fetch" in failure["message"].lower(), failure
    finally:
        cluster.remove(app["id"])


def test_a_task_is_asked_before_it_is_killed(cluster, deploy):
    """SIGTERM, and time to finish what it is at."""
    witness = page_server()
    witness["cmd"] = ("exec python3 -c 'import http.server, os\nclass H(http.server.BaseHTTPRequestHandler):\n"
                      "    def do_GET(self):\n"
                      "        if self.path != \"/\": open(\"told\", \"w\").write(self.path)\n"
                      "        self.send_response(200); self.end_headers()\n"
                      "http.server.HTTPServer((\"\", int(os.environ[\"PORT0\"])), H).serve_forever()'")
    server = deploy(witness, "witness")
    at = cluster.tasks(server)[0]
    app = deploy({"cmd": f"trap 'curl -sf http://{at['host']}:{at['ports'][0]}/goodbye; exit 0' TERM; "
                         "touch ready; while :; do sleep 0.1; done", "cpus": 0.05, "mem": 32, "instances": 1,
                  "taskKillGracePeriodSeconds": 20}, "polite")
    task = cluster.tasks(app)[0]
    wait_until(lambda: cluster.sandbox_file(task, "ready") == "", "the task to be ready")
    assert cluster("PUT", f"/service/marathon/v2/apps{app}", {"instances": 0}).status == 200
    wait_until(lambda: cluster.sandbox_file(at, "told") == "/goodbye", "its last words")


def test_nothing_is_left_of_a_task(cluster, deploy):
    """Also what it started and forgot."""
    mark = f"integration-{os.getpid()}"
    app = deploy({"cmd": f"setsid bash -c 'exec -a {mark} sleep 4321' & exec sleep 1000", "cpus": 0.05, "mem": 32,
                  "instances": 1})
    host = cluster.tasks(app)[0]["host"]
    assert cluster("PUT", f"/service/marathon/v2/apps{app}", {"instances": 0}).status == 200
    wait_until(lambda: cluster.ready(app, 0, False), "the app to be down")
    text, _ = output(cluster, deploy, f"pgrep -f '[i]ntegration-{os.getpid()}' || echo none", "look",
                     constraints=[["hostname", "CLUSTER", host]])
    assert text.split() == ["none"], text


@pytest.mark.parametrize("kind", ["COMMAND", "MESOS_TCP"])
def test_health_checks(cluster, deploy, kind):
    """A task that is not well is replaced."""
    check = {"protocol": kind, "intervalSeconds": 1, "gracePeriodSeconds": 2, "timeoutSeconds": 5, "delaySeconds": 0,
             "maxConsecutiveFailures": 1}
    if kind == "COMMAND":
        check["command"] = {"value": "test ! -e sick"}
        command = "(sleep 4; touch sick) & exec sleep 1000"
    else:
        check["portIndex"] = 0
        command = "timeout 4 python3 -m http.server $PORT0; exec sleep 1000"
    app = deploy({"cmd": command, "cpus": 0.05, "mem": 48, "instances": 1, "healthChecks": [check],
                  "portDefinitions": [{"port": 0, "name": "p"}]})
    before = cluster.tasks(app)[0]["id"]
    wait_until(lambda: (lambda tasks: tasks and tasks[0]["id"] != before)(cluster.tasks(app)), "another task", 90)
