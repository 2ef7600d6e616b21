"""Clusters on machines, installed by the installer file: the job that users have, and days that go wrong."""

import json
import os
import shutil
import subprocess
import time

import pytest

from dcos_cli import Door
from load import Load
from mini import Mini, PROGRAM, ROOT, wait_until

DIST = os.path.join(ROOT, "build", "dist")
GREEN_S = 180  # from nothing to all checks green, the Debian tree being there


@pytest.fixture(scope="session")
def installer():
    path = os.environ.get("DCOS_INSTALLER")
    if path:
        return os.path.abspath(path)
    path = os.path.join(DIST, "dcos_generate_config.sh")
    if not os.path.exists(path):
        done = subprocess.run([os.path.join(ROOT, "dev"), "release"], capture_output=True, text=True, timeout=3600)
        if not os.path.exists(path):
            pytest.fail(f"./dev release makes no installer: {done.stdout[-1000:]}{done.stderr[-1000:]}")
    return path


@pytest.fixture(scope="session")
def next_installer(installer, tmp_path_factory):
    """The same packages as another version."""
    program = os.path.join(DIST, "installer", "bin", "dcos-installer")
    if not os.path.exists(program):
        pytest.skip("there are no artifacts of a release beside the installer")
    path = tmp_path_factory.mktemp("next") / "dcos_generate_config.next.sh"
    with open(os.path.join(DIST, "bootstrap", "bootstrap.latest"), encoding="utf-8") as f:
        bootstrap = f.read().strip()
    subprocess.run([program, "bundle", f"--artifacts={DIST}", f"--output={path}", "--version=99.1.0",
                    "--commit=" + "9" * 40, f"--bootstrap-id={bootstrap}"], check=True, timeout=300,
                   capture_output=True)
    return str(path)


@pytest.fixture(scope="module")
def single(installer):
    """One master, two agents, a public agent; how long it took is in `seconds`."""
    mini = Mini()
    try:
        start = time.monotonic()
        mini("create", installer, "--agents=2", "--public-agents=1", "--wait-for-dcos", "--timeout=300")
        mini.seconds = time.monotonic() - start
        print(f"from nothing to green: {mini.seconds:.1f} s")
        yield mini
        mini("destroy")
        assert mini.traces() == []
    finally:
        mini.close()


@pytest.fixture(scope="module")
def door(single):
    return Door(single).setup()


def app(name):
    with open(os.path.join(ROOT, "examples", f"{name}.json"), encoding="utf-8") as f:
        return json.load(f)


def deploy(door, definition, timeout=120):
    door("marathon", "app", "add", stdin=json.dumps(definition))
    wanted = definition.get("instances", 1)
    wait_until(lambda: len(door.tasks(definition["id"])) == wanted and
               not json.loads(door.request("GET", "/service/marathon/v2/deployments")[1]),
               f"{definition['id']} to run", timeout)
    return door.tasks(definition["id"])


def test_how_long_it_takes(single):
    assert single.seconds < GREEN_S


def test_nothing_is_failed(single):
    # The checks of every minute may have run, and failed, while the node was still starting.
    for name in single.nodes():
        wait_until(lambda: single.on(name, "systemctl --failed --plain --no-legend").strip() == "",
                   f"no failed unit on {name}", 90, pause=1)
        assert single.on(name, "systemctl is-active dcos.target").strip() == "active"


def test_the_library(single, monkeypatch):
    """minidcos.py with a cluster that is installed."""
    monkeypatch.setenv("MINIDCOS", PROGRAM)
    monkeypatch.syspath_prepend(os.path.join(ROOT, "src", "minidcos", "python"))
    from minidcos import Cluster
    cluster = Cluster.from_id("default", home=single.home)
    cluster.wait_for_dcos_oss(timeout=120)
    assert cluster.masters[0].dcos_build_info()["version"]
    assert "passed" in cluster.run_with_test_environment(["pytest-3", "-q", "test_composition.py"]).stdout


def test_the_integration_tests(single):
    done = single.run("run", "--test-env", "pytest-3", "-q", "-rfE", "--tb=short", timeout=1500)
    print(done.stdout[-6000:])
    assert done.returncode == 0, done.stdout[-6000:]


def test_the_main_job(single, door):
    """The web app and redis by the command line; through the router, by name on every node, by virtual address."""
    assert len(door.json("node", "list")) >= 3
    web = app("web")
    web["labels"] = {"DCOS_SERVICE_NAME": "web", "DCOS_SERVICE_PORT_INDEX": "0", "DCOS_SERVICE_SCHEME": "http"}
    tasks = deploy(door, web)
    redis = app("redis")
    # Nodes have no redis-server: what it is does not matter, who finds it does.
    redis["cmd"] = ("exec python3 -c 'import os, socketserver\n"
                    "class H(socketserver.StreamRequestHandler):\n"
                    "    def handle(self):\n"
                    "        while self.rfile.readline():\n"
                    "            self.wfile.write(b\"+PONG\\r\\n\")\n"
                    "socketserver.ThreadingTCPServer((\"\", int(os.environ[\"PORT0\"])), H).serve_forever()'")
    deploy(door, redis)
    status, page = door.request("GET", "/service/web/")
    assert status == 200 and page.startswith("hello from web."), (status, page)
    assert door.request("GET", "/service/web/", token=None)[0] == 401
    for node in door.nodes:
        found = single.on(node, "getent ahostsv4 web.marathon.mesos | cut -d' ' -f1 | sort -u").split()
        assert sorted(found) == sorted(set(tasks.values())), node
        # Names and virtual addresses serve on every node, whether a task is there or not.
        page = single.on(node, "curl -sS -m 10 http://web.marathon.l4lb.thisdcos.directory/")
        assert page.startswith("hello from web."), node
        pong = single.on(node, "exec 3<>/dev/tcp/redis.marathon.l4lb.thisdcos.directory/6379; echo PING >&3; head -n 1 <&3")
        assert pong.strip() == "+PONG", node
    assert "web" in door("task", "list") and "redis" in door("marathon", "app", "list")


def test_losing_an_agent(single, door):
    """Its tasks are elsewhere in a moment where the app asks for that; it comes back and is an agent again."""
    definition = app("web")
    definition.update({"id": "/lost", "instances": 2, "constraints": [["hostname", "UNIQUE"]],
                       "unreachableStrategy": {"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0}})
    definition["portDefinitions"][0]["labels"] = {"VIP_0": "/lost:80"}
    tasks = deploy(door, definition)
    victim = [n for n, ip in door.nodes.items() if ip == sorted(tasks.values())[0]][0]
    other = [n for n, ip in door.nodes.items() if n.startswith("agent_") and n != victim][0]
    single("kill", "--node", victim)
    # The address serves from the agent that is left.
    wait_until(lambda: single.run("run", "--node", other, "curl -sf -m 2 http://lost.marathon.l4lb.thisdcos.directory/")
               .returncode == 0, "the other instance", 60)
    single("start", "--node", victim)
    wait_until(lambda: len([s for s in json.loads(door.request("GET", "/mesos/slaves")[1])["slaves"] if s["active"]]) == 3,
               "the agent to be back", 120)
    wait_until(lambda: len(set(door.tasks("/lost").values())) == 2, "both instances", 180)
    single.on(victim, "systemctl is-active dcos.target")


def test_upgrade_under_load_and_back(single, door, next_installer, tmp_path):
    """Another version and another configuration, node after node: no task restarts, requests go through."""
    definition = app("web")
    definition.update({"id": "/steady", "instances": 2,
                       "labels": {"DCOS_SERVICE_NAME": "steady", "DCOS_SERVICE_PORT_INDEX": "0",
                                  "DCOS_SERVICE_SCHEME": "http"}})
    definition["portDefinitions"][0]["labels"] = {"VIP_0": "/steady:80"}
    before = deploy(door, definition)
    extra = tmp_path / "extra.yaml"
    extra.write_text("mesos_max_completed_frameworks: '11'\n")
    addresses = [ip for n, ip in door.nodes.items() if not n.startswith("master_")]

    def by_task():
        for task_host in set(before.values()):
            assert task_host in addresses
        code = single.run("run", "--node", "public_agent_0",
                          "curl -sSf -m 5 http://steady.marathon.l4lb.thisdcos.directory/").returncode
        assert code == 0

    def by_router():
        status, _ = door.request("GET", "/service/steady/", timeout=5)
        assert status == 200, status

    for version, more in (("99.1.0", [f"--extra-config={extra}"]), (None, ["--rollback"])):
        with Load(by_router) as router, Load(by_task, pause=0.2) as address:
            single("upgrade", next_installer, *more, "--wait-for-dcos", "--timeout=300", timeout=1500)
        print(f"router: {router.good} requests, {len(router.failures)} failed, "
              f"longest {router.longest_gap():.1f} s; virtual address: {address.good}, {len(address.failures)} failed")
        # The only master is the node being changed for a while; the way between agents is not.
        assert router.longest_gap() < 60, router.failures[:3]
        assert address.longest_gap() < 20, address.failures[:3]
        assert door.tasks("/steady") == before, "tasks of an app that nobody changed go on"
        for node in door.nodes:
            found = json.loads(single.on(node, "cat /opt/mesosphere/etc/dcos-version.json"))["version"]
            assert (found == version) if version else (found != "99.1.0"), node
        settings = single.on("master_0", "cat /opt/mesosphere/etc/mesos-master")
        assert ("MESOS_MAX_COMPLETED_FRAMEWORKS=11" in settings) == bool(version)


def test_uninstall(single):
    """The installer takes away what it brought; runs last."""
    work = os.path.join(single.folder(), "install")
    done = subprocess.run(["bash", os.environ.get("DCOS_INSTALLER") or
                           os.path.join(DIST, "dcos_generate_config.sh"), "--uninstall"], cwd=work,
                          capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    for node in single.nodes():
        left = single.on(node, "ls -d /opt/mesosphere /etc/systemd/system/dcos* 2>/dev/null; "
                               "ss -Hltn | awk '{print $4}' | grep -E ':(53|80|443|5050|5051|8080|61001)$'; true")
        assert left == "", (node, left)
        # Neither tasks nor names nor virtual addresses of what is gone.
        assert single.on(node, "ps -A -o args= | grep http.serve[r]; true") == "", node
        assert "198.51.100." not in single.on(node, "cat /etc/resolv.conf; ip -4 address"), node
        assert "dcos" not in single.on(node, "nft list tables"), node


def test_three_masters(installer):
    """With ZooKeeper; the leader's loss costs no task, and less than ten seconds."""
    mini = Mini()
    try:
        start = time.monotonic()
        mini("create", "-c", "three", installer, "--masters=3", "--agents=1", "--public-agents=0", "--wait-for-dcos",
             "--timeout=300")
        print(f"three masters, from nothing to green: {time.monotonic() - start:.1f} s")
        door = Door(mini, "three").setup()
        definition = app("web")
        definition["instances"] = 1
        before = deploy(door, definition)
        leader_ip = mini.on("master_0", "getent ahostsv4 leader.mesos | cut -d' ' -f1 | head -n 1", "three").strip()
        leader = [n for n, ip in door.nodes.items() if ip == leader_ip][0]
        rest = [ip for ip in door.masters if ip != leader_ip]
        for ip in rest:
            door.ca(ip)
        start = time.monotonic()
        mini("kill", "-c", "three", "--node", leader)

        def serves():
            for ip in rest:
                status, text = door.request("GET", "/mesos/slaves", master=ip, timeout=2)
                if status == 200 and any(s["active"] for s in json.loads(text)["slaves"]):
                    return True
            return False

        def attempt():
            try:
                return serves()
            except OSError:
                return False
        wait_until(attempt, "another leader with the agent", 60)
        took = time.monotonic() - start
        print(f"another leader with the agent after {took:.1f} s")
        assert took < 10
        door.masters = rest

        def marathon():
            try:
                return door.request("GET", "/service/marathon/v2/apps//web/tasks", timeout=2)[0] == 200
            except OSError:
                return False
        wait_until(marathon, "Marathon", 60)
        print(f"Marathon after {time.monotonic() - start:.1f} s")
        wait_until(lambda: door.tasks("/web") == before, "the same tasks", 30)
        mini("start", "-c", "three", "--node", leader)
        mini("wait", "-c", "three", "--timeout=300")
        assert door.tasks("/web") == before
    finally:
        mini.close()
        shutil.rmtree(mini.home, ignore_errors=True)
