"""`minidcos` with real daemons: clusters come, are hurt, and go without a trace."""

import glob
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile

import pytest
import requests

import zookeeper
from cluster import BUILD, ROOT, binary, processes_under, wait_until

SLEEPER = {"id": "/sleeper", "cmd": "exec sleep 86400", "cpus": 0.05, "mem": 32, "instances": 2}


class Mini:
    def __init__(self):
        self.home = tempfile.mkdtemp(prefix="dcos-mini-")
        os.rmdir(self.home)  # minidcos makes it
        self.env = {**os.environ, "MINIDCOS_HOME": self.home, "DCOS_DIR": os.path.join(self.home, "cli")}
        for name in list(self.env):
            if name.startswith(("DCOS_", "MESOS_", "MARATHON_")) and name not in ("DCOS_DIR", "DCOS_BUILD"):
                del self.env[name]

    def run(self, program, *args, code=0, stdin=""):
        done = subprocess.run([binary(program), *args], env=self.env, input=stdin, text=True, capture_output=True,
                              timeout=300)
        assert done.returncode == code, (args, done.returncode, done.stdout, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def __call__(self, *args, **options):
        return self.run("minidcos", *args, **options)

    def dcos(self, *args, cluster="default", **options):
        self.env["DCOS_CLUSTER"] = cluster
        return self.run("dcos", *args, **options)

    def status(self, name="default", code=0):
        done = subprocess.run([binary("minidcos"), "status", name, "--json"], env=self.env, capture_output=True,
                              timeout=60)
        assert done.returncode == code
        return json.loads(done.stdout)

    def daemon(self, daemon, name="default"):
        return [d for d in self.status(name)["daemons"] if d["name"] == daemon][0]

    def pids(self, name="default"):
        """The running tasks by their ids; raises OSError while no master leads, which wait_until waits out."""
        try:
            tasks = json.loads(self.dcos("task", "list", "--json", cluster=name))
        except AssertionError as e:
            if "it may still be starting, try again" in str(e):
                raise OSError("no master leads") from e
            raise
        return sorted(t["id"] for t in tasks if t["state"] == "TASK_RUNNING")

    def deploy(self, app, name="default"):
        self.dcos("marathon", "app", "add", cluster=name, stdin=json.dumps(app))
        wait_until(lambda: len(self.pids(name)) == app["instances"], "tasks to run", timeout=60)

    def leftovers(self):
        base = os.path.basename(self.home)
        groups = [g for g in glob.glob("/sys/fs/cgroup/**/dcos/*", recursive=True) if os.path.isdir(g)]
        with open("/proc/self/mounts", encoding="utf-8") as f:
            mounts = [line for line in f if base in line]
        return {
            "files": os.path.exists(self.home),
            "processes": processes_under(self.home),
            "groups": [g for g in groups if any(i in g for i in self.ids)],
            "mounts": mounts,
        }

    ids = ()

    def remember(self, *names):
        self.ids = [self.status(n)["id"] for n in names]

    def close(self):
        for name in ("default", "one", "two"):
            try:
                subprocess.run([binary("minidcos"), "destroy", "--if-exists", name], env=self.env, timeout=300, check=False)
            except subprocess.TimeoutExpired:
                pass  # what is left is found by the folder that it names
        for pid in processes_under(self.home):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        shutil.rmtree(self.home, ignore_errors=True)


NOTHING = {"files": False, "processes": [], "groups": [], "mounts": []}


@pytest.fixture
def mini():
    m = Mini()
    yield m
    m.close()


def sleepers(home):
    found = []
    for pid in processes_under(home):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if f.read().startswith(b"sleep\x0086400"):
                    found.append(pid)
        except OSError:
            pass
    return sorted(found)


def two_sleepers(home):
    """A task runs as soon as its shell does; that becomes the sleep a moment later."""
    return wait_until(lambda: (lambda found: found if len(found) == 2 else None)(sleepers(home)), "the tasks' processes")


def test_life(mini):
    out = mini("create", "--ports=auto", "--wait")
    assert "3 of 3 agents are registered" in out and "Marathon is registered" in out
    assert "running already" in mini("create", "--ports=auto")
    mini.remember("default")
    status = mini.status()
    names = [d["name"] for d in status["daemons"]]
    assert names[:6] == ["master", "marathon", "agent-1", "agent-2", "public-agent-1", "iam"]
    assert set(names[6:]) <= {"net", "router"}
    agents = [d for d in status["daemons"] if "agent" in d["name"]]
    assert len({d["ip"] for d in agents}) == 3
    assert sum(d["cpus_milli"] for d in agents) <= len(os.sched_getaffinity(0)) * 1000
    ranges = sorted((d["ports_from"], d["ports_to"]) for d in agents)
    assert all(a[1] < b[0] for a, b in zip(ranges, ranges[1:]))
    nodes = mini.dcos("node", "list")
    assert nodes.count("agent (public)") == 1 and nodes.count("ACTIVE") == 3

    mini.deploy(SLEEPER)
    tasks, processes = mini.pids(), two_sleepers(mini.home)
    # Every daemon dies in turn, then all at once: the tasks are the same processes afterwards.
    for word in ("agent-1", "agent_1", "master", "marathon", "all"):
        assert "it serves again as pid" in mini("kill", word)
    mini("wait")
    assert mini.daemon("agent-1")["restarts"] == 2
    assert "ended master" in mini("restart", "master")
    assert sleepers(mini.home) == processes
    wait_until(lambda: mini.pids() == tasks, "tasks to be known again")
    assert "INFO" in mini("logs", "master", "--lines=3") and mini("logs").count("==>") >= 5
    assert "no daemon or node" in mini("kill", "nobody", code=1)

    assert mini("destroy") == "destroyed cluster 'default'\n"
    assert mini.leftovers() == NOTHING
    assert "there is no cluster" in mini("destroy", code=1)
    assert mini("destroy", "--if-exists") == ""


def test_supervisor_and_daemons_killed(mini):
    """The supervisor is killed: daemons go on, another supervisor takes them over. Then everything but executors
    and tasks is killed: destroy still finds those."""
    mini("create", "--ports=auto", "--agents=1", "--public-agents=0", "--wait")
    mini.remember("default")
    mini.deploy(SLEEPER)
    processes = two_sleepers(mini.home)
    before = mini.status()
    os.kill(before["supervisor"]["pid"], signal.SIGKILL)
    wait_until(lambda: subprocess.run([binary("minidcos"), "status"], env=mini.env, capture_output=True,
                                      check=False).returncode == 3, "the supervisor to be gone")
    assert "is stopped" in mini("kill", "master", code=1)
    assert "started again" in mini("create", "--wait")
    assert [d["pid"] for d in mini.status()["daemons"]] == [d["pid"] for d in before["daemons"]]
    assert "it serves again" in mini("kill", "agent-1")  # it is supervised again
    now = mini.status()
    for pid in [now["supervisor"]["pid"]] + [d["pid"] for d in now["daemons"]]:
        os.kill(pid, signal.SIGKILL)
    assert sleepers(mini.home) == processes
    os.unlink(os.path.join(mini.home, "default", "cluster.json"))
    mini("destroy")
    assert mini.leftovers() == NOTHING


def test_two_clusters(mini):
    for name in ("one", "two"):
        mini("create", name, "--ports=auto", "--agents=1", "--public-agents=0", "--cpus=0.5", "--mem=256", "--wait")
    mini.remember("one", "two")
    assert mini("list") == "one\ntwo\n"
    one, two = mini.daemon("agent-1", "one"), mini.daemon("agent-1", "two")
    assert one["ip"] != two["ip"] and (one["ports_to"] < two["ports_from"] or two["ports_to"] < one["ports_from"])
    assert (one["cpus_milli"], one["mem_mb"]) == (500, 256)
    mini.deploy(SLEEPER, "one")
    two_sleepers(mini.home)
    assert mini.dcos("task", "list", "-q", cluster="two") == ""
    mini("destroy", "two")
    assert len(sleepers(mini.home)) == 2  # the neighbour's end is not felt
    mini("destroy", "one")
    assert mini.leftovers() == NOTHING


def test_a_shell_in_the_folder_is_not_killed(mini):
    mini("create", "--ports=auto", "--agents=0", "--public-agents=0", "--wait")
    mini.remember("default")
    bystander = subprocess.Popen(["sleep", "60"], cwd=os.path.join(mini.home, "default"))
    try:
        mini("destroy")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    assert mini.leftovers() == NOTHING


def test_errors_say_what_to_do(mini, tmp_path):
    assert "minidcos create" in mini("status", code=1)
    assert "cannot name a cluster" in mini("create", "a/b", code=1)
    assert "--masters is 1 to 7" in mini("create", "--masters=8", code=1)
    assert "--ports is 'default' or 'auto'" in mini("create", "--ports=5", code=1)
    assert "is missing beside" in mini("create", "--ports=auto", f"--bin-dir={tmp_path}", code=1)
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", 8080))
            s.listen()
        except OSError:
            pass  # somebody else has it: the message is the same, or the share is taken
        message = mini("create", code=1)
        assert "--ports=auto" in message
        assert f"(pid {os.getpid()})" in message or "taken" in message or "another cluster" in message
    assert not os.path.exists(os.path.join(mini.home, "default"))


def test_the_first_login(mini):
    """The identity service of a cluster: a random password that only its owner can read, everything on loopback."""
    out = mini("create", "--ports=auto", "--agents=0", "--public-agents=0", "--wait")
    mini.remember("default")
    assert "iam" in out
    path = os.path.join(mini.home, "default", "secrets", "superuser.password")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
    assert path in mini("status")
    with open(path, encoding="utf-8") as f:
        password = f.read().strip()
    assert len(password) >= 43
    iam = mini.daemon("iam")
    login = f"http://{iam['ip']}:{iam['port']}/acs/api/v1/auth/login"
    assert iam["ip"] == "127.0.0.1"
    wrong = requests.post(login, json={"uid": "bootstrapuser", "password": password + "x"}, timeout=30)
    assert wrong.status_code == 401
    right = requests.post(login, json={"uid": "bootstrapuser", "password": password}, timeout=30)
    assert right.status_code == 200 and right.json()["token"]
    with open(os.path.join(mini.home, "default", "logs", "iam.audit"), encoding="utf-8") as f:
        lines = [json.loads(line) for line in f]
    # Whoever waited for the cluster logged in too.
    assert [(entry["object"], entry["status"]) for entry in lines][-2:] == [("bootstrapuser", 401), ("bootstrapuser", 200)]
    # A password that was changed is no reason to wait, and nobody is locked out by trying.
    changed = requests.patch(login.replace("auth/login", "users/bootstrapuser"), json={"password": "another one"}, timeout=30,
                             headers={"Authorization": "token=" + right.json()["token"]})
    assert changed.status_code == 204
    mini("wait", "--timeout=10")
    assert requests.post(login, json={"uid": "bootstrapuser", "password": "another one"}, timeout=30).status_code == 200
    for name in os.listdir(os.path.join(mini.home, "default", "logs")):
        with open(os.path.join(mini.home, "default", "logs", name), encoding="utf-8") as f:
            assert password not in f.read()
    assert password not in json.dumps(mini.status())
    mini("destroy")
    assert mini.leftovers() == NOTHING


def test_without_a_front_door(mini):
    mini("create", "--ports=auto", "--agents=0", "--public-agents=0", "--no-front-door", "--wait")
    mini.remember("default")
    assert [d["name"] for d in mini.status()["daemons"]] == ["master", "marathon"]
    assert "login" not in mini("status")
    mini("destroy")


def test_several_masters(mini):
    """Three masters on a ZooKeeper: the leader is killed, another goes on, tasks are not touched."""
    reason = zookeeper.missing()
    if reason:
        pytest.skip(reason)
    mini("create", "--ports=auto", "--masters=3", "--agents=1", "--public-agents=0", "--wait")
    mini.remember("default")
    masters = [d for d in mini.status()["daemons"] if d["kind"] == "master"]
    assert [d["name"] for d in masters] == ["master-1", "master-2", "master-3"]
    assert len({d["ip"] for d in masters}) == 3
    mini.deploy(SLEEPER)
    # On a machine under load a master's session may end at any time, and another one leads.
    tasks = wait_until(mini.pids, "tasks to be listed")

    def leader():
        for d in masters:
            state = requests.get(f"http://{d['ip']}:{d['port']}/state", timeout=10, allow_redirects=False)
            if state.status_code == 200 and state.json()["activated_slaves"] == 1:
                return d
        return None

    first = wait_until(leader, "a leader with its agent")
    mini("kill", first["name"])
    wait_until(leader, "a leader after the death of one")
    mini("wait")

    def known():
        try:
            return mini.pids() == tasks
        except AssertionError:
            return False  # between two leaders nobody answers

    wait_until(known, "tasks to be known to the new leader")
    assert mini.dcos("node", "list").count("ACTIVE") == 1
    mini("destroy")
    assert mini.leftovers() == NOTHING


def test_a_daemon_that_cannot_run_is_told(mini):
    message = mini("create", "--ports=auto", "--agents=0", "--public-agents=0", "--marathon-flag=nonsense=1", "--wait",
                   "--timeout=5", code=1)
    assert "marathon is " in message and "exited with status" in message and "marathon.log" in message


def test_up(mini):
    """scripts/up: the cluster, the examples, and proof that they serve."""
    env = {**mini.env, "DCOS_BUILD": BUILD}
    for _ in range(2):
        done = subprocess.run([os.path.join(ROOT, "scripts", "up"), mini.home, "--ports=auto"], env=env, text=True,
                              capture_output=True, timeout=400, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("hello from web.") == 2 and "PONG" in done.stdout
    assert "running already" in done.stdout
    mini.remember("default")
    mini("destroy")
    assert mini.leftovers() == NOTHING
