"""Clusters on machines, installed by the installer file: the job that users have, and days that go wrong."""

import json
import os
import subprocess
import time

import pytest

from dcos_cli import Door, app, deploy
from inside import Inside, Knocking
from load import Load
from mini import Mini, NEXT, PROGRAM, ROOT, measured, wait_until

GREEN_S = 180  # from nothing to all checks green, the Debian tree being there
FOREIGN = {"cni", "dcos-integration-test", "dcos-libs", "nginx", "pkgpanda-role"}  # packages that need no program of ours


@pytest.fixture(scope="module")
def single(installer):
    """One master, two agents, a public agent; how long it took is in `seconds`."""
    mini = Mini()
    try:
        start = time.monotonic()
        mini("create", installer, "--agents=2", "--public-agents=1", "--wait-for-dcos", "--timeout=300")
        mini.seconds = time.monotonic() - start
        measured(f"from nothing to green: {mini.seconds:.1f} s")
        yield mini
        mini("destroy")
        assert mini.traces() == []
    finally:
        mini.close()


@pytest.fixture(scope="module")
def door(single):
    return Door(single).setup()


def test_how_long_it_takes(single):
    assert single.seconds < GREEN_S


def test_nothing_is_failed(single):
    # The checks of every minute may have run, and failed, while the node was still starting.
    for name in single.nodes():
        wait_until(lambda: single.on(name, "systemctl --failed --plain --no-legend").strip() == "",
                   f"no failed unit on {name}", 90, pause=1)
        assert single.on(name, "systemctl is-active dcos.target").strip() == "active"


CLOUD = r"""
import http.server, json
class H(http.server.BaseHTTPRequestHandler):
    def reply(self):
        name = self.path.removeprefix("/latest/meta-data/")
        text = {"/latest/api/token": "token", "instance-id": "i-1", "iam/security-credentials/": "role",
                "iam/security-credentials/role": json.dumps({"AccessKeyId": "k", "SecretAccessKey": "s", "Token": "t"})}.get(name, "")
        if "SignalResource" in self.path:
            with open("/run/cloud.log", "a") as f:
                f.write(self.path + " " + self.headers.get("Authorization", "")[:16] + "\n")
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
    do_GET = do_PUT = reply
http.server.ThreadingHTTPServer(("127.0.0.1", 8999), H).serve_forever()
"""


@pytest.mark.parametrize("node", ["master_0", "agent_1"])
def test_a_machine_tells_cloudformation(single, node):
    """The unit of the templates for AWS on a machine, whose cloud is a small program: it signals when the checks pass."""
    with open(os.path.join(ROOT, "src", "gen", "clouds", "dcos-cfn-signal.service"), encoding="utf-8") as f:
        unit = f.read()
    settings = ("CFN_ENDPOINT=http://127.0.0.1:8999\nAWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:8999\nCFN_REGION=eu-west-1\n"
                "CFN_STACK=stack\nCFN_RESOURCE=Machine\n")
    if node != "master_0":
        settings += f"DCOS_MASTERS={single.nodes()['master_0']}\n"
    for path, text in (("/run/cloud.py", CLOUD), ("/etc/systemd/system/dcos-cfn-signal.service", unit),
                       ("/etc/mesosphere/setup-flags/cfn-signal.env", settings)):
        single.on(node, f"cat > {path} <<'END-OF-FILE'\n{text}END-OF-FILE\n")
    single.on(node, "systemctl daemon-reload; systemd-run --unit=cloud python3 /run/cloud.py; systemctl start --no-block dcos-cfn-signal")
    try:
        wait_until(lambda: single.run("run", "--node", node, "test -e /var/lib/dcos-cfn-signal").returncode == 0, "the signal", 120, pause=1)
        assert single.on(node, "cat /run/cloud.log").split() == [
            "/?Action=SignalResource&LogicalResourceId=Machine&StackName=stack&Status=SUCCESS&UniqueId=i-1&Version=2010-05-15",
            "AWS4-HMAC-SHA256",
        ]
        # Once is enough, also after a reboot.
        single.on(node, "systemctl start dcos-cfn-signal")
        assert single.on(node, "wc -l < /run/cloud.log").strip() == "1"
    finally:
        single.on(node, "systemctl stop cloud dcos-cfn-signal; rm -f /var/lib/dcos-cfn-signal /etc/systemd/system/dcos-cfn-signal.service "
                        "/etc/mesosphere/setup-flags/cfn-signal.env /run/cloud.py /run/cloud.log; systemctl daemon-reload")


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


def programs_of(inside, node):
    """What a node's daemons run, apart from the executors of its tasks and who started those."""
    found = inside.programs(node)
    assert {p["unit"] for p in found} > {"dcos-net.service", "dcos-pkgpanda-api.service"}, found
    return [p for p in found if os.path.basename(p["path"]) not in ("dcos-executor",)]


def all_run(inside, door, version):
    """Every daemon of every node is of the active packages and says that version, by itself and over HTTP."""
    for node in door.nodes:
        assert inside.version(node) == version, node
        active = inside.active(node)
        for program in programs_of(inside, node):
            package = program["path"].split("/")[4]
            assert package in active and not program["path"].endswith("(deleted)"), (node, program)
            assert program["version"] in (version, None), (node, program)
        shown = inside.on(node, "for p in /opt/mesosphere/bin/dcos-*; do case $p in *dcos-shell) ;; *) $p --version;; esac; done")
        assert {line.split()[-1] for line in shown.splitlines()} == {version}, (node, shown)
    # /mesos/version tells which Mesos the API is that of.
    paths = {"/service/marathon/v2/info": ("version", version), "/net/v1/version": ("Version", version),
             "/mesos_dns/v1/version": ("Version", f"v{version}"), "/dcos-metadata/dcos-version.json": ("version", version)}
    for slave in json.loads(door.request("GET", "/mesos/slaves")[1])["slaves"]:
        paths[f"/system/v1/agent/{slave['id']}/dcos-metadata/dcos-version.json"] = ("version", version)
    for path, (key, wanted) in paths.items():
        status, text = door.request("GET", path)
        assert status == 200 and json.loads(text)[key] == wanted, (path, text)
    assert f'version="{version}"' in door.request("GET", "/nginx/metrics", token=None)[1]


def hashes(inside, node):
    """{program: SHA-256} of ours."""
    lines = inside.on(node, "cd /opt/mesosphere/bin && sha256sum dcos-* pkgpanda").splitlines()
    return {line.split()[1]: line.split()[0] for line in lines if not line.endswith(" dcos-shell")}


def only_then(failures, begin, end):
    return [f for f in failures if f[1] < begin or f[0] > end]


def change_under_load(single, door, inside, tasks, *arguments):
    """One rolling change of all nodes. No task is touched, and who is not being changed answers everybody."""
    before = inside.tasks(door.nodes)
    assert set(tasks) <= set(before)
    knockers = [n for n in door.nodes if not n.startswith("master_")]
    since = time.time()

    def by_router():
        status, text = door.request("GET", "/service/steady/", timeout=5)
        assert status == 200, (status, text[:100])

    with Load(by_router) as router, Knocking(inside, knockers, "steady.marathon.l4lb.thisdcos.directory") as address:
        single("upgrade", *arguments, "--wait-for-dcos", "--timeout=300", timeout=1500)
    took = time.time() - since
    # The same processes, which a task that was started again would not have.
    assert door.tasks("/steady") == tasks
    assert inside.tasks(door.nodes) == before
    windows = {node: inside.changes(node, since) for node in door.nodes}
    lengths = ", ".join(f"{node} {end - begin:.1f} s" for node, (begin, end) in sorted(windows.items()))
    measured(f"upgrade {' '.join(os.path.basename(a) for a in arguments)}: {took:.0f} s; changing {lengths}")
    measured(f"router: {router.good} requests, {len(router.failures)} failed, longest {router.longest_gap():.1f} s")
    # The router is the only master's: it is away while that is changed.
    begin, end = windows["master_0"]
    offset = time.time() - time.monotonic()
    failed = [(at + offset, at + offset + took, why) for at, took, why in router.failures]
    assert only_then(failed, begin - 0.5, end + 5) == []
    assert router.longest_gap() < 20
    for node, found in address.found.items():
        measured(f"virtual address on {node}: {found['number']['good']} by number, {found['number']['failures']} failed; "
              f"{found['name']['good']} by name, {len(found['name']['failures'])} failed")
        # The kernel's table stays while the daemon is changed, so what knows the address goes through on every node.
        assert found["number"]["good"] > 50 and found["number"]["failures"] == [], node
        begin, end = windows[node]
        assert only_then(found["name"]["failures"], begin - 0.5, end + 1) == [], (node, begin, end)


def test_upgrade_under_load_and_back(single, door, next_installer, tmp_path):
    """To a build of another version with another configuration, node after node, and back."""
    definition = app("web")
    definition.update({"id": "/steady", "instances": 2, "constraints": [["hostname", "UNIQUE"]],
                       "labels": {"DCOS_SERVICE_NAME": "steady", "DCOS_SERVICE_PORT_INDEX": "0",
                                  "DCOS_SERVICE_SCHEME": "http"}})
    definition["portDefinitions"][0]["labels"] = {"VIP_0": "/steady:80"}
    tasks = deploy(door, definition)
    inside = Inside(single)
    extra = tmp_path / "extra.yaml"
    extra.write_text("mesos_max_completed_frameworks: '11'\n")
    version = inside.version("master_0")
    assert version != NEXT
    all_run(inside, door, version)
    active = {node: set(inside.active(node)) for node in door.nodes}
    bytes_before = {node: hashes(inside, node) for node in door.nodes}

    change_under_load(single, door, inside, tasks, next_installer, f"--extra-config={extra}")
    all_run(inside, door, NEXT)
    for node in door.nodes:
        old = {i.split("--")[0]: i for i in active[node]}
        new = {i.split("--")[0]: i for i in inside.active(node)}
        # What has programs of ours is another package; what Debian made is not.
        assert {n for n in new if old.get(n) == new[n]} == {n for n in new if n in FOREIGN}, node
        now = hashes(inside, node)
        assert [n for n in now if bytes_before[node].get(n) == now[n]] == [], node
    assert "MESOS_MAX_COMPLETED_FRAMEWORKS=11" in single.on("master_0", "cat /opt/mesosphere/etc/mesos-master")
    # A task of the newer version's executor has to get along with the older agent.
    newer = deploy(door, {"id": "/newer", "cmd": "exec sleep 100000", "cpus": 0.05, "mem": 32, "instances": 2,
                          "constraints": [["hostname", "UNIQUE"]]})

    change_under_load(single, door, inside, tasks, next_installer, "--rollback")
    assert door.tasks("/newer") == newer
    all_run(inside, door, version)
    for node in door.nodes:
        assert set(inside.active(node)) == active[node]
        assert hashes(inside, node) == bytes_before[node]
    assert "MESOS_MAX_COMPLETED_FRAMEWORKS=11" not in single.on("master_0", "cat /opt/mesosphere/etc/mesos-master")


def test_uninstall(single, installer):
    """The installer takes away what it brought; runs last."""
    work = os.path.join(single.folder(), "install")
    done = subprocess.run(["bash", installer, "--uninstall"], cwd=work, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    for node in single.nodes():
        left = single.on(node, "ls -d /opt/mesosphere /etc/systemd/system/dcos* 2>/dev/null; "
                               "ss -Hltn | awk '{print $4}' | grep -E ':(53|80|443|5050|5051|8080|61001)$'; true")
        assert left == "", (node, left)
        # Neither tasks nor names nor virtual addresses of what is gone.
        assert single.on(node, "ps -A -o args= | grep http.serve[r]; true") == "", node
        assert "198.51.100." not in single.on(node, "cat /etc/resolv.conf; ip -4 address"), node
        assert "dcos" not in single.on(node, "nft list tables"), node
