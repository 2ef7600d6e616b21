"""The `dcos` program against a cluster that only exists in Python."""

import json
import os
import stat
import subprocess
import threading

import pytest

from cluster import binary
from fake_cluster import FakeCluster


class Cli:
    def __init__(self, folder, fake):
        self.folder = str(folder)
        self.fake = fake
        self.env = {
            "PATH": "/usr/bin:/bin",
            "HOME": self.folder,
            "DCOS_DIR": os.path.join(self.folder, "dcos"),
            "DCOS_MARATHON_URL": fake.url,
            "DCOS_MESOS_MASTER_URL": fake.url,
        }

    def start(self, *args, **options):
        return subprocess.Popen([binary("dcos"), *args], env=self.env, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, **options)

    def __call__(self, *args, stdin=None, code=0):
        done = subprocess.run([binary("dcos"), *args], env=self.env, input=stdin or "", text=True, timeout=60,
                              capture_output=True)
        assert done.returncode == code, (args, done.stdout, done.stderr)
        return done

    def out(self, *args, **options):
        done = self(*args, **options)
        assert done.stderr == "", done.stderr
        return done.stdout

    def error(self, *args, code=1, **options):
        done = self(*args, code=code, **options)
        assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1, done.stderr
        return done.stderr[len("Error: ") : -1]


@pytest.fixture
def fake():
    f = FakeCluster()
    yield f
    f.close()


@pytest.fixture
def cli(tmp_path, fake):
    return Cli(tmp_path, fake)


def rows(text):
    return [line.split() for line in text.splitlines()]


# ---- settings ----


def test_config_round_trip(cli):
    del cli.env["DCOS_MARATHON_URL"], cli.env["DCOS_MESOS_MASTER_URL"]
    assert cli.out("config", "set", "core.dcos_url", "http://10.0.0.1") == ""
    assert cli.out("config", "set", "core.dcos_acs_token", "secret") == ""
    assert cli.out("config", "set", "core.timeout", "20") == ""
    path = os.path.join(cli.env["DCOS_DIR"], "dcos.toml")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with open(path, encoding="utf-8") as f:
        assert f.read() == '\n[core]\n  dcos_acs_token = "secret"\n  dcos_url = "http://10.0.0.1"\n  timeout = 20\n'
    assert cli.out("config", "show") == "core.dcos_acs_token ********\ncore.dcos_url http://10.0.0.1\ncore.timeout 20\n"
    assert cli.out("config", "show", "core.dcos_acs_token") == "secret\n"
    assert "valid" in cli.out("config", "validate")
    cli.env["DCOS_TIMEOUT"] = "soon"
    assert cli.error("config", "validate").startswith("DCOS_TIMEOUT: core.timeout: unable to cast")
    del cli.env["DCOS_TIMEOUT"]
    cli.out("config", "unset", "core.dcos_url")
    assert cli.out("config", "show") == "core.timeout 20\n"
    assert 'unknown key "core.x"' in cli.error("config", "show", "core.x")
    assert "core.dcos_url" in cli.out("config", "keys", "-q").splitlines()


def test_no_cluster_is_told_with_the_next_step(cli):
    del cli.env["DCOS_MARATHON_URL"], cli.env["DCOS_MESOS_MASTER_URL"]
    assert "dcos config set core.dcos_url" in cli.error("marathon", "app", "list")
    assert "dcos config set core.dcos_url" in cli.error("node", "list")


def test_unreachable_cluster_is_told(cli, fake):
    fake.close()
    message = cli.error("marathon", "app", "list")
    assert "cannot reach Marathon" in message and str(fake.port) in message


def test_requests_through_the_front_door_carry_the_token(cli, fake):
    del cli.env["DCOS_MARATHON_URL"], cli.env["DCOS_MESOS_MASTER_URL"]
    cli.env["DCOS_URL"] = fake.url + "/"
    cli.env["DCOS_ACS_TOKEN"] = "T0"
    fake.put("GET /service/marathon/v2/info", {"name": "marathon"})
    assert json.loads(cli.out("marathon", "about")) == {"name": "marathon"}
    headers = fake.requests[-1]["headers"]
    assert headers["Authorization"] == "token=T0"
    assert headers["User-Agent"].startswith("dcos-cli/")
    fake.put("GET /service/marathon/v2/info", "", status=401)
    assert "dcos auth login" in cli.error("marathon", "about")


def test_the_token_stays_with_its_cluster(cli, fake):
    """After a redirect to another host the token is not sent, and not sent again when that one points back."""
    other = FakeCluster()
    try:
        del cli.env["DCOS_MARATHON_URL"], cli.env["DCOS_MESOS_MASTER_URL"]
        cli.env |= {"DCOS_URL": fake.url, "DCOS_ACS_TOKEN": "T0"}
        fake.put("GET /service/marathon/v2/info", "", status=307, headers={"Location": "/moved"})
        fake.put("GET /moved", "", status=302, headers={"Location": other.url + "/there"})
        other.put("GET /there", "", status=302, headers={"Location": fake.url + "/back"})
        fake.put("GET /back", {"name": "marathon"})
        assert json.loads(cli.out("marathon", "about")) == {"name": "marathon"}
        assert [r["headers"].get("Authorization") for r in fake.requests] == ["token=T0", "token=T0", None]
        assert [r["headers"].get("Authorization") for r in other.requests] == [None]
        fake.put("GET /moved", "", status=307, headers={"Location": "/moved"})
        assert "more than 10 redirects" in cli.error("marathon", "about")
    finally:
        other.close()


# ---- command line ----


def test_help_and_unknown_words(cli):
    for words in ([], ["--help"], ["nosuch"]):
        assert "Commands:" in cli.out(*words)
    assert "Usage:\n    dcos marathon app add [<file>] [flags]" in cli.out("marathon", "app", "add", "--help")
    done = cli("config", "nosuch", code=1)
    assert done.stderr.endswith("\nError: unknown command nosuch\n")
    assert "dcos marathon app [command]" in cli.out("marathon", "app", "nosuch")
    assert cli.out("--version").startswith("dcoscli.version=")
    assert "unknown flag: --nope" in cli.error("marathon", "app", "list", "--nope")
    assert "accepts 1 arg(s), received 0" in cli.error("marathon", "app", "show")


# ---- apps ----

WEB = {
    "id": "/web", "mem": 32, "cpus": 0.1, "instances": 2, "tasksRunning": 1, "tasksHealthy": 1, "role": "*",
    "healthChecks": [{}], "deployments": [{"id": "d1"}], "cmd": "exec ./serve --with a long command line",
}


def test_app_list(cli, fake):
    fake.put("GET /v2/apps", {"apps": [WEB, {"id": "/db", "mem": 1.5, "cpus": 1, "instances": 0, "args": ["a", "b"],
                                             "container": {"type": "DOCKER"}, "role": "x"}]})
    fake.put("GET /v2/deployments", [{"id": "d1", "currentActions": [{"action": "ScaleApplication", "app": "/web"}]}])
    fake.put("GET /v2/queue", {"queue": [{"app": {"id": "/web"}, "delay": {"overdue": True}}, {"pod": {}}]})
    table = rows(cli.out("marathon", "app", "list"))
    assert table[0] == "ID MEM CPUS TASKS HEALTH DEPLOYMENT WAITING CONTAINER CMD ROLE".split()
    assert table[1] == "/db 1.5 1 0/0 --- --- false DOCKER [a, b] x".split()
    assert table[2] == "/web 32 0.1 1/2 1/1 scale true MESOS exec ./serve --with a long ... *".split()
    assert cli.out("marathon", "app", "list", "-q") == "/db\n/web\n"
    assert json.loads(cli.out("marathon", "app", "list", "--json"))[0]["id"] == "/web"


def test_app_add(cli, fake, tmp_path):
    app = {"id": "web", "cmd": "sleep 9", "extra": {"x": "<&>"}}
    path = tmp_path / "web.json"
    path.write_text(json.dumps(app))
    fake.put("POST /v2/apps", {"id": "/web", "deployments": [{"id": "d-7"}]}, status=201)
    assert cli.out("marathon", "app", "add", str(path)) == "Created deployment d-7\n"
    assert fake.requests[-1]["body"] == app
    assert cli.out("marathon", "app", "add", stdin=json.dumps(app)) == "Created deployment d-7\n"
    fake.put("GET /v2/apps/web", {"app": WEB})
    assert cli.error("marathon", "app", "add", str(path)).startswith("Application '/web' already exists")


def test_app_add_refusals(cli, fake, tmp_path):
    assert "error loading JSON: stdin: line 2" in cli.error("marathon", "app", "add", stdin='{"id": "x",\n "cmd" 5}')
    assert "can't read from resource: /no/file. Please check that it exists" in cli.error(
        "marathon", "app", "add", "/no/file")
    assert cli.error("marathon", "app", "add", stdin="{}") == "application ID must be set"
    assert "expected an object" in cli.error("marathon", "app", "add", stdin="[]")
    fake.put("POST /v2/apps", {"message": "Object is not valid", "details": [
        {"path": "/cpus", "errors": ["error.min", "b"]}, {"path": "/id", "errors": ["error.pattern"]}]}, status=422)
    assert cli.error("marathon", "app", "add", stdin='{"id":"x"}') == (
        "Marathon API error: Object is not valid (path: '/cpus' errors: error.min, b; path: '/id' errors: error.pattern)")


def test_app_show_and_versions(cli, fake):
    fake.put("GET /v2/apps/web", {"app": WEB})
    assert json.loads(cli.out("marathon", "app", "show", "/web"))["instances"] == 2
    fake.put("GET /v2/apps/web/versions", {"versions": ["2021-01-01T00:00:00.000Z", "2021-01-03T00:00:00.000Z",
                                                       "2021-01-02T00:00:00.000Z"]})
    fake.put("GET /v2/apps/web/versions/2021-01-02T00:00:00.000Z", {"id": "/web", "cmd": "old"})
    assert json.loads(cli.out("marathon", "app", "show", "--app-version=-1", "web"))["cmd"] == "old"
    assert "relative versions must be negative: 2" in cli.error("marathon", "app", "show", "web", "--app-version=2")
    assert "only has 3 version(s)" in cli.error("marathon", "app", "show", "web", "--app-version", "-3")
    assert json.loads(cli.out("marathon", "app", "version", "list", "web", "--max-count=2")) == [
        "2021-01-03T00:00:00.000Z", "2021-01-02T00:00:00.000Z"]
    assert "maximum count must be a positive number" in cli.error(
        "marathon", "app", "version", "list", "web", "--max-count=0")
    assert "app '/no' does not exist" in cli.error("marathon", "app", "show", "no")


def test_app_changes(cli, fake):
    answer = {"version": "v", "deploymentId": "d-1"}
    fake.put("GET /v2/apps/a/b", {"app": {"id": "/a/b", "instances": 0}})
    fake.put("PUT /v2/apps/a/b", answer)
    assert cli.out("marathon", "app", "start", "a/b", "3") == "Created deployment d-1\n"
    assert fake.requests[-1]["body"] == {"instances": 3}
    assert "must be positive: 0" in cli.error("marathon", "app", "start", "a/b", "0")
    assert "app '/a/b' already stopped: 0 instances" in cli.error("marathon", "app", "stop", "a/b")
    assert "because it has no running tasks" in cli.error("marathon", "app", "restart", "a/b")
    fake.put("GET /v2/apps/a/b", {"app": {"id": "/a/b", "instances": 2}})
    assert "already started: 2 instances" in cli.error("marathon", "app", "start", "a/b")
    assert cli.out("marathon", "app", "stop", "a/b", "--force") == "Created deployment d-1\n"
    assert fake.requests[-1]["query"] == {"force": ["true"]} and fake.requests[-1]["body"] == {"instances": 0}
    fake.put("POST /v2/apps/a/b/restart", answer)
    assert cli.out("marathon", "app", "restart", "a/b") == "Created deployment d-1\n"
    assert cli.out("marathon", "app", "update", "a/b", "instances=4", "cmd=5", 'env={"A":"b"}', "user=me") == (
        "Created deployment d-1\n")
    assert fake.requests[-1]["body"] == {"instances": 4, "cmd": "5", "env": {"A": "b"}, "user": "me"}
    assert cli.out("marathon", "app", "update", "a/b", stdin='{"mem": 7}') == "Created deployment d-1\n"
    assert fake.requests[-1]["body"] == {"mem": 7}
    assert "no property" in cli.error("marathon", "app", "update", "a/b", "instances")
    fake.put("DELETE /v2/apps/a/b", answer)
    assert cli.out("marathon", "app", "remove", "a/b") == ""
    fake.put("PUT /v2/apps/a/b", {"message": "App is locked", "deployments": [{"id": "x"}]}, status=409)
    assert cli.error("marathon", "app", "stop", "a/b").startswith(
        "changes blocked: deployment already in progress for app")


def test_app_kill(cli, fake):
    fake.put("DELETE /v2/apps/web/tasks", {"tasks": [{"id": "t"}]})
    assert cli.out("marathon", "app", "kill", "web", "--host=h 1") == 'Killed tasks: [{"id":"t"}]\n'
    assert fake.requests[-1]["query"] == {"host": ["h 1"]}
    fake.put("DELETE /v2/apps/web/tasks", {"version": "v", "deploymentId": "d"})
    assert cli.out("marathon", "app", "kill", "web", "--scale") == (
        'Started deployment: {"version":"v","deploymentId":"d"}\n')
    cli.error("marathon", "app", "kill", "web", "--scale", "--host=x")


# ---- deployments, groups, tasks of Marathon ----


def test_deployments(cli, fake):
    plan = {"id": "d1", "affectedApps": ["/a", "/b"], "affectedPods": [], "currentStep": 2, "totalSteps": 3,
            "currentActions": [{"action": "ScaleApplication", "app": "/a"}, {"action": "StopApplication", "app": "/b"}]}
    fake.put("GET /v2/deployments", [plan])
    lines = cli.out("marathon", "deployment", "list").splitlines()
    assert lines[0].split() == "APP POD ACTION PROGRESS ID".split()
    assert lines[1].split() == "/a - scale /a 1/3 d1".split()
    assert lines[2].split() == "/b stop /b".split()
    assert cli.out("marathon", "deployment", "list", "b", "-q") == "d1\n"
    assert json.loads(cli.out("marathon", "deployment", "list", "--json")) == [plan]
    assert cli.error("marathon", "deployment", "list", "c") == "There are no deployments for '/c'"
    fake.put("DELETE /v2/deployments/d1", {"deploymentId": "d2", "version": "v"})
    assert json.loads(cli.out("marathon", "deployment", "rollback", "d1"))["deploymentId"] == "d2"
    fake.put("DELETE /v2/deployments/d1", "", status=202)
    assert cli.out("marathon", "deployment", "stop", "d1") == ""
    assert fake.requests[-1]["query"] == {"force": ["true"]}
    assert "does not exist" in cli.error("marathon", "deployment", "stop", "dx")
    left = [3]

    def deployments(request):
        left[0] -= 1
        return 200, [plan] if left[0] > 0 else [], {}

    fake.answers["GET /v2/deployments"] = deployments
    shown = cli.out("marathon", "deployment", "watch", "d1", "--interval=0")
    assert shown.count("Deployment update time: ") == 2
    left[0] = 3
    assert cli.out("marathon", "deployment", "watch", "--interval=0").count("Deployment update time: ") == 2
    left[0] = 100
    assert "still runs" in cli.error("marathon", "deployment", "watch", "d1", "--interval=0", "--max-count=2")


def test_groups(cli, fake):
    fake.put("GET /v2/groups", {"id": "/", "apps": [], "groups": [
        {"id": "/g", "apps": [{}], "groups": [{"id": "/g/h", "apps": [{}, {}], "groups": []}], "enforceRole": True}]})
    assert rows(cli.out("marathon", "group", "list")) == [
        ["ID", "APPS", "ENFORCE_ROLE"], ["/g", "3", "True"], ["/g/h", "2"]]
    fake.put("POST /v2/groups", {"deploymentId": "d"}, status=201)
    assert cli.out("marathon", "group", "add", stdin='{"id":"n"}') == "Created deployment d\n"
    fake.put("GET /v2/groups/g", {"id": "/g", "apps": []})
    assert "Group '/g' already exists" in cli.error("marathon", "group", "add", "--id", "g")
    assert json.loads(cli.out("marathon", "group", "show", "g"))["id"] == "/g"
    fake.put("PUT /v2/groups/g", {"deploymentId": "d"})
    assert cli.out("marathon", "group", "scale", "g", "2.5") == "Created deployment d\n"
    assert fake.requests[-1]["body"] == {"scaleBy": 2.5}
    assert "at least 0" in cli.error("marathon", "group", "scale", "g", "--", "-1")
    assert cli.out("marathon", "group", "update", "g", "dependencies=[]") == "Created deployment d\n"
    fake.put("DELETE /v2/groups/g", {"deploymentId": "d"})
    assert cli.out("marathon", "group", "remove", "g", "--force") == ""
    assert "Group '/x' does not exist" in cli.error("marathon", "group", "remove", "x")


def test_marathon_tasks(cli, fake):
    tasks = [{"id": "t2", "appId": "/web", "host": "h", "role": "*", "startedAt": "2021-01-01T00:00:00.000Z",
              "healthCheckResults": [{"alive": True}, {"alive": False}]}, {"id": "t1", "appId": "/db", "host": "h"}]
    fake.put("GET /v2/tasks", {"tasks": tasks})
    assert rows(cli.out("marathon", "task", "list")) == [
        "APP HEALTHY STARTED HOST ID ROLE".split(), "/db True N/A h t1".split(),
        "/web False 2021-01-01T00:00:00.000Z h t2 *".split()]
    assert json.loads(cli.out("marathon", "task", "show", "t1"))["appId"] == "/db"
    assert "Task 'x' does not exist" in cli.error("marathon", "task", "show", "x")
    fake.put("POST /v2/tasks/delete", {"tasks": [tasks[0]]})
    assert json.loads(cli.out("marathon", "task", "stop", "t2", "--wipe"))["id"] == "t2"
    assert fake.requests[-1]["body"] == {"ids": ["t2"]} and fake.requests[-1]["query"] == {"wipe": ["true"]}
    assert json.loads(cli.out("marathon", "task", "kill", "t1", "t2"))[0]["id"] == "t2"
    fake.put("POST /v2/tasks/delete", {"tasks": []})
    assert "Task 'q' does not exist" in cli.error("marathon", "task", "stop", "q")


def test_ping_and_leader(cli, fake):
    fake.put("GET /ping", '"pong"', headers={"Content-Type": "application/json"})
    assert cli.out("marathon", "ping", "--once") == 'Marathon ping response[1x]: "pong"\n'
    fake.put("GET /v2/leader", {"leader": "10.0.0.1:8080"})
    assert rows(cli.out("marathon", "leader", "show"))[1] == ["marathon.mesos.", "10.0.0.1"]
    fake.put("GET /ping", "no", status=503)
    assert "all the Marathon hosts are presently down" in cli.error("marathon", "ping")


# ---- nodes and tasks of Mesos ----


def state(fake):
    slaves = [
        {"id": "S0", "hostname": "10.0.0.5", "pid": f"slave(1)@127.0.0.1:{fake.port}", "active": True,
         "attributes": {"public_ip": "true", "rack": "r1"}, "port": 5051},
        {"id": "S1", "hostname": "10.0.0.6", "pid": "slave(1)@10.0.0.6:5051", "active": False, "deactivated": True,
         "attributes": {}, "domain": {"fault_domain": {"region": {"name": "eu"}, "zone": {"name": "eu-1"}}}},
    ]

    def task(tid, word, slave, container):
        return {"id": tid, "name": "web", "state": word, "slave_id": slave, "framework_id": "F", "executor_id": "",
                "statuses": [{"container_status": {"container_id": {"value": container}}}]}

    return {
        "id": "M1", "hostname": "10.0.0.1", "pid": "master@10.0.0.1:5050", "version": "1.12.0", "slaves": slaves,
        "frameworks": [{"id": "F", "user": "root", "tasks": [task("web.1", "TASK_RUNNING", "S0", "c1")],
                        "completed_tasks": [task("old.1", "TASK_FAILED", "S1", "c0")]}],
    }


AGENT_STATE = {"frameworks": [{"id": "F", "executors": [
    {"id": "web.1", "container": "c1", "directory": "/var/lib/F/web.1/c1"}], "completed_executors": []}]}


@pytest.fixture
def mesos(fake):
    """The fake's /state is the master's for the CLI and the agent's for its sandboxes: told apart by turn."""
    master = state(fake)

    def answer(request):
        merged = dict(master)
        merged["frameworks"] = [dict(master["frameworks"][0], **AGENT_STATE["frameworks"][0])]
        return 200, merged, {}

    fake.answers["GET /state"] = answer
    fake.put("GET /state-summary", {"slaves": [{"id": "S0", "TASK_RUNNING": 1}]})
    return master


def test_node_list(cli, mesos):
    lines = cli.out("node", "list").splitlines()
    assert lines[0].split() == "HOSTNAME IP PUBLIC IP(S) ID TYPE STATUS REGION ZONE".split()
    assert lines[1].split() == "10.0.0.5 127.0.0.1 S0 agent (public) ACTIVE".split()
    assert lines[2].split() == "10.0.0.6 10.0.0.6 S1 agent DEACTIVATED eu eu-1".split()
    assert lines[3].split() == "10.0.0.1 10.0.0.1 M1 master (leader) N/A N/A".split()
    assert all(line.endswith("  ") for line in lines)
    assert "r1" in cli.out("node", "list", "--field", "attributes.rack", "--mesos-id=S0")
    nodes = json.loads(cli.out("node", "ls", "--json"))
    assert nodes[0]["type"] == "agent" and nodes[0]["TASK_RUNNING"] == 1 and nodes[0]["status"] == "ACTIVE"
    assert nodes[2]["type"] == "master (leader)"
    done = cli("node")
    assert "deprecated" in done.stderr and "S1" in done.stdout


def test_task_list(cli, mesos):
    assert rows(cli.out("task", "list")) == [
        "NAME HOST USER STATE ID AGENT ID REGION ZONE".split(), "web 10.0.0.5 root TASK_RUNNING web.1 S0 N/A N/A".split()]
    assert rows(cli.out("task", "list", "--completed"))[1] == "web 10.0.0.6 root TASK_FAILED old.1 S1 eu eu-1".split()
    assert len(rows(cli.out("task", "list", "--all"))) == 3
    assert json.loads(cli.out("task", "list", "--json", "nomatch")) == []
    assert cli.error("task", "list", "nomatch") == "no task ID found containing 'nomatch'"
    assert cli.error("task", "list", "--all", "--completed") == "cannot accept both options --all and --completed"
    assert "web.1" in cli("task").stdout


def test_task_ls_and_log(cli, fake, mesos):
    box = "/var/lib/F/web.1/c1"
    fake.files[f"{box}/stdout"] = b"".join(b"line %d\n" % i for i in range(20000))
    fake.files[f"{box}/stderr"] = b"only\nends without newline"
    assert cli.out("task", "ls", "web") == "stderr  stdout\n"
    assert rows(cli.out("task", "ls", "web", "--long"))[0] == "MODE LINKS UID GID SIZE DATE NAME".split()
    assert "2023-11-14 22:13" in cli.out("task", "ls", "web", "--long")
    assert cli.error("task", "ls", "web", "no") == "cannot access 'no': no such file or directory"
    assert cli.out("task", "log", "web") == "".join(f"line {i}\n" for i in range(19990, 20000))
    assert cli.out("task", "log", "--lines=1", "web.1", "stderr") == "ends without newline"
    assert cli.out("task", "log", "--lines=0", "web") == ""
    assert cli.out("task", "log", "--lines=30000", "web") == fake.files[f"{box}/stdout"].decode()
    assert "is not in the sandbox" in cli("task", "log", "web", "nofile", code=1).stderr
    assert "see its log with --completed" in cli.error("task", "log", "old")
    assert "no task ID found containing 'q'" in cli.error("task", "log", "q")


def test_task_log_follows(cli, fake, mesos):
    path = "/var/lib/F/web.1/c1/stdout"
    fake.files[path] = b"one\n"
    process = cli.start("task", "log", "--follow", "web")
    try:
        assert process.stdout.readline() == "one\n"
        fake.files[path] += b"two\n"
        assert process.stdout.readline() == "two\n"
        fake.files[path] = b"new\n"  # rotated: shorter than what was read
        assert process.stdout.readline() == "new\n"
        del fake.files[path]
        assert process.wait(timeout=60) == 1
        assert "was removed" in process.stderr.read()
    finally:
        process.kill()
        process.wait()


def test_hostile_texts_do_not_reach_the_terminal(cli, fake):
    fake.put("GET /v2/tasks", {"tasks": [{"id": "a\x1b[2Jb", "appId": "/x\r", "host": "\x9b31m"}]})
    out = cli.out("marathon", "task", "list")
    assert "\x1b" not in out and "\r" not in out and "\x9b" not in out


def test_answers_that_are_wrong(cli, fake):
    for body in ("", "not json", "[]", "{}", '{"apps": 5}', '{"apps": [null, 3, {"id": 7}]}'):
        fake.put("GET /v2/apps", body, headers={"Content-Type": "application/json"})
        fake.put("GET /v2/deployments", "[]")
        fake.put("GET /v2/queue", '{"queue": [null]}')
        done = subprocess.run([binary("dcos"), "marathon", "app", "list"], env=cli.env, capture_output=True, timeout=60)
        assert done.returncode in (0, 1), body
    for body in ("[]", "{}", '{"slaves": {}, "frameworks": [5, {"tasks": [null, {}]}]}'):
        fake.put("GET /state", body)
        for words in (["node", "list"], ["node", "list", "--json"], ["task", "list", "--all"], ["task", "log", "x"]):
            done = subprocess.run([binary("dcos"), *words], env=cli.env, capture_output=True, timeout=60)
            assert done.returncode in (0, 1), (body, words, done.stderr)


def test_slow_cluster_ends_in_a_timeout(cli, fake):
    cli.env["DCOS_TIMEOUT"] = "1"

    ended = threading.Event()

    def slow(request):
        ended.wait(60)  # answers once the command has given up
        return 200, {}, {}

    fake.answers["GET /v2/info"] = slow
    try:
        assert "did not answer within 1 seconds" in cli.error("marathon", "about")
    finally:
        ended.set()
