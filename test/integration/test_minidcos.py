"""`minidcos` with real daemons: clusters come, are hurt, and go without a trace."""

import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest

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
                              timeout=100)
        assert done.returncode == code, (args, done.returncode, done.stdout, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def __call__(self, *args, **options):
        return self.run("minidcos", *args, **options)

    def dcos(self, *args, cluster="default", **options):
        self.env["DCOS_CLUSTER"] = cluster
        return self.run("dcos", *args, **options)

    def status(self, name="default", code=0):
        done = subprocess.run([binary("minidcos"), "status", name, "--json"], env=self.env, capture_output=True,
                              timeout=30)
        assert done.returncode == code
        return json.loads(done.stdout)

    def daemon(self, daemon, name="default"):
        return [d for d in self.status(name)["daemons"] if d["name"] == daemon][0]

    def pids(self, name="default"):
        """Real processes of the running tasks, by the id in their environment."""
        tasks = json.loads(self.dcos("task", "list", "--json", cluster=name))
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
            subprocess.run([binary("minidcos"), "destroy", "--if-exists", name], env=self.env, timeout=60, check=False)
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


def test_life(mini):
    out = mini("create", "--ports=auto", "--wait")
    assert "3 of 3 agents are registered" in out and "Marathon is registered" in out
    assert "running already" in mini("create", "--ports=auto")
    mini.remember("default")
    status = mini.status()
    assert [d["name"] for d in status["daemons"]] == ["master", "marathon", "agent-1", "agent-2", "public-agent-1"]
    agents = [d for d in status["daemons"] if "agent" in d["name"]]
    assert len({d["ip"] for d in agents}) == 3
    assert sum(d["cpus_milli"] for d in agents) <= len(os.sched_getaffinity(0)) * 1000
    ranges = sorted((d["ports_from"], d["ports_to"]) for d in agents)
    assert all(a[1] < b[0] for a, b in zip(ranges, ranges[1:]))
    nodes = mini.dcos("node", "list")
    assert nodes.count("agent (public)") == 1 and nodes.count("ACTIVE") == 3

    mini.deploy(SLEEPER)
    tasks, processes = mini.pids(), sleepers(mini.home)
    assert len(processes) == 2
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
    processes = sleepers(mini.home)
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
    assert "--masters must be 1" in mini("create", "--masters=3", code=1)
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


def test_a_daemon_that_cannot_run_is_told(mini):
    message = mini("create", "--ports=auto", "--agents=0", "--public-agents=0", "--marathon-flag=nonsense=1", "--wait",
                   "--timeout=2", code=1)
    assert "marathon is " in message and "exited with status" in message and "marathon.log" in message


def test_up(mini):
    """scripts/up: the cluster, the examples, and proof that they serve."""
    env = {**mini.env, "DCOS_BUILD": BUILD}
    for _ in range(2):
        done = subprocess.run([os.path.join(ROOT, "scripts", "up"), mini.home, "--ports=auto"], env=env, text=True,
                              capture_output=True, timeout=150, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("hello from web.") == 2 and "PONG" in done.stdout
    assert "running already" in done.stdout
    mini.remember("default")
    mini("destroy")
    assert mini.leftovers() == NOTHING
