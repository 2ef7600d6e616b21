"""Three masters with ZooKeeper: the superuser's service account, masters that are lost, changed and replaced."""

import base64
import contextlib
import glob
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

from dcos_cli import Door, app, deploy
from inside import Inside, Knocking
from load import Load
from mini import NEXT, Mini, measured, wait_until

NAME = "three"
SERVICE_ACCOUNT = "machine-superuser"


def key_pair(folder, name):
    """Paths of an RSA key and of its public half."""
    key, public = os.path.join(folder, f"{name}.key"), os.path.join(folder, f"{name}.pub")
    subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key],
                   check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True, capture_output=True)
    return key, public


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return key_pair(str(tmp_path_factory.mktemp("keys")), "superuser")


@pytest.fixture(scope="module")
def three(installer, keys, tmp_path_factory):
    mini = Mini()
    try:
        extra = tmp_path_factory.mktemp("config") / "extra.yaml"
        with open(keys[1], encoding="utf-8") as f:
            public = "".join(f"  {line}" for line in f)
        extra.write_text(f"superuser_service_account_uid: {SERVICE_ACCOUNT}\n"
                         f"superuser_service_account_public_key: |\n{public}")
        start = time.monotonic()
        mini("create", "-c", NAME, installer, "--masters=3", "--agents=1", "--public-agents=0", f"--extra-config={extra}",
             "--wait-for-dcos", "--timeout=300")
        measured(f"three masters, from nothing to green: {time.monotonic() - start:.1f} s")
        mini.extra = extra
        yield mini
        mini("destroy", "-c", NAME)
        assert mini.traces() == []
    finally:
        mini.close()
        shutil.rmtree(mini.home, ignore_errors=True)


@pytest.fixture(scope="module")
def door(three):
    door = Door(three, NAME).setup()
    for ip in door.masters:
        door.ca(ip)
    return door


@pytest.fixture(scope="module")
def web(door):
    """An app that runs through all of it: its task, and its processes."""
    definition = app("web")
    definition.update({"instances": 1, "labels": {"DCOS_SERVICE_NAME": "web", "DCOS_SERVICE_PORT_INDEX": "0",
                                                  "DCOS_SERVICE_SCHEME": "http"}})
    tasks = deploy(door, definition)
    inside = Inside(door.mini, NAME)

    class Web:
        def untouched(self):
            assert door.tasks("/web") == tasks
            assert inside.tasks(["agent_0"]) == self.processes
    web = Web()
    web.inside, web.tasks, web.processes = inside, tasks, inside.tasks(["agent_0"])
    assert set(web.processes) == set(tasks)
    return web


def name_of(door, ip):
    return [n for n, address in door.nodes.items() if address == ip][0]


def leader_of(three, door, asked):
    """Address of the leading master, as the DNS of a node has it."""
    found = three.on(name_of(door, asked), "getent ahostsv4 leader.mesos | cut -d' ' -f1 | head -n 1", NAME).strip()
    assert found in door.masters, found
    return found


def answers(door, path, masters, good=lambda text: True):
    """The first of these masters through whose router the path answers well, or None."""
    for ip in masters:
        try:
            status, text = door.request("GET", path, master=ip, timeout=2)
        except OSError:
            continue
        if status == 200 and good(text):
            return ip
    return None


class Only:
    """The first address that is asked is one of these for as long as the block lasts."""

    def __init__(self, door, masters):
        self.door, self.masters, self.all = door, masters, door.masters

    def __enter__(self):
        self.door.masters = self.masters

    def __exit__(self, *unused):
        self.door.masters = self.all


def has_the_agent(text):
    return any(s["active"] for s in json.loads(text)["slaves"])


def wait_for(door, masters, timeout):
    """Until these masters serve: another leader with the agent, then Marathon."""
    wait_until(lambda: answers(door, "/mesos/slaves", masters, has_the_agent), "a leader with the agent", timeout)
    wait_until(lambda: answers(door, "/service/marathon/v2/apps//web/tasks", masters), "Marathon", timeout)


def cut(three, door, node):
    """A node's power: unlike a killed process, a machine that is gone closes no connection."""
    folder = three.folder(NAME)
    for path in glob.glob("/sys/class/net/mdc-*/ifalias"):
        with open(path, encoding="utf-8") as f:
            if f.read().strip() == folder:
                cluster = os.path.basename(os.path.dirname(path)).removeprefix("mdc-")
    index = sorted(door.nodes, key=lambda n: door.nodes[n]).index(node)
    subprocess.run(["ip", "link", "set", f"vb-{cluster}-{index}", "down"], check=True)
    three("kill", "-c", NAME, "--node", node)


# ---- what masters share ----


def test_one_authority(three, door):
    """Who trusts one master trusts all; only they have the key."""
    trusted = door.ca(door.masters[0])
    with open(trusted, encoding="utf-8") as f:
        authority = f.read()
    context = ssl.create_default_context(cafile=trusted)
    for master in door.masters:
        connection = http.client.HTTPSConnection(master, timeout=10, context=context)
        try:
            connection.request("GET", "/ca/dcos-ca.crt")
            assert connection.getresponse().read().decode() == authority, master
        finally:
            connection.close()
        listed = three.on(name_of(door, master), "cd /etc/mesosphere/secrets && stat -c '%n %a %U' . *", NAME).split("\n")
        assert listed[:-1] == [". 700 root", "dcos-ca.crt 600 root", "dcos-ca.key 600 root", "zk_master_credentials 600 root"]
    assert three.on("agent_0", "ls /etc/mesosphere/secrets 2>/dev/null; true", NAME) == ""


def test_only_masters_change_zookeeper(three, door, web):
    """Anybody reads who leads; state, and with it the identity service's keys, is the services' own."""
    kazoo = pytest.importorskip("kazoo.client", reason="python3-kazoo is missing")
    from kazoo.exceptions import NoAuthError

    client = kazoo.KazooClient(hosts=",".join(f"{ip}:2181" for ip in door.masters), timeout=10)
    client.start(timeout=30)
    try:
        leader = min(n for n in client.get_children("/mesos") if n.startswith("json.info_"))
        assert json.loads(client.get(f"/mesos/{leader}")[0])["address"]["ip"] in door.masters
        assert client.get("/cluster-id")[0].decode().strip() == three.on("agent_0", "cat /var/lib/dcos/cluster-id", NAME).strip()
        for node in ("/dcos/iam/dcos-state", "/dcos/iam/dcos-state/state", "/marathon/dcos-state", "/mesos/log_replicas/dcos"):
            with pytest.raises(NoAuthError):
                client.get_children(node)
        for change in (lambda: client.set(f"/mesos/{leader}", b"me"), lambda: client.create("/mesos/json.info_", b"{}", sequence=True),
                       lambda: client.delete("/cluster-id"), lambda: client.delete("/marathon", recursive=False),
                       lambda: client.create("/dcos/iam/x", b""), lambda: client.set("/dcos/iam/dcos-state/state", b"")):
            with pytest.raises(NoAuthError):
                change()
    finally:
        client.stop()
        client.close()
    for ip in door.masters:
        assert b"Mode: " in four_letters(ip, b"srvr")
        for word in (b"dump", b"cons", b"mntr", b"envi", b"stat", b"conf"):
            assert b"not in the whitelist" in four_letters(ip, word), word
        password = three.on(name_of(door, ip), "cut -d: -f3 /run/dcos/env/dcos-bouncer.zk | cut -d@ -f1", NAME).strip()
        assert len(password) == 43
        node = name_of(door, ip)
        assert three.on(node, f"ps -A -o args= | grep -c -- {password[:10]}[{password[10]}]; true", NAME).strip() == "0"
        assert three.on(node, f"journalctl -q --no-pager | grep -c -- {password}; true", NAME).strip() == "0"
        assert three.on(node, "cat /run/dcos/env/dcos-mesos-master", NAME).count("DCOS_ZOOKEEPER_PROTECTED='true'") == 1
    web.untouched()


def four_letters(ip, word):
    with socket.create_connection((ip, 2181), timeout=10) as s:
        s.sendall(word)
        answer = b""
        while more := s.recv(4096):
            answer += more
    return answer


# ---- the superuser's service account ----


def part(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(key, uid, seconds=120):
    text = part(b'{"alg":"RS256","typ":"JWT"}') + "." + part(json.dumps({"uid": uid, "exp": int(time.time()) + seconds}).encode())
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=text.encode(), check=True,
                               capture_output=True).stdout
    return f"{text}.{part(signature)}"


def test_superuser_service_account_login(door, keys, tmp_path):
    """The account whose public key config.yaml has logs in with the key, on every master, and is a superuser."""
    other, _ = key_pair(str(tmp_path), "other")
    for master in door.masters:
        status, text = door.request("POST", "/acs/api/v1/auth/login", {"uid": SERVICE_ACCOUNT, "token": signed(keys[0], SERVICE_ACCOUNT)},
                                    master=master, token=None)
        assert status == 200, (master, text)
        token = json.loads(text)["token"]
        for path in ("/acs/api/v1/users", "/mesos/slaves", "/service/marathon/v2/info"):
            assert door.request("GET", path, master=master, token=token)[0] == 200, (master, path)
        status, _ = door.request("POST", "/acs/api/v1/auth/login", {"uid": SERVICE_ACCOUNT, "token": signed(other, SERVICE_ACCOUNT)},
                                 master=master, token=None)
        assert status == 401, master


# ---- masters that go ----


def until_served(door, masters, start, timeout=60):
    """Seconds from start until every one of these masters has served the agents, Marathon and a login, {what: seconds}."""
    with open(door.password_file, encoding="utf-8") as f:
        login = {"uid": "bootstrapuser", "password": f.read().strip()}
    checks = {"the master": lambda ip: has_the_agent(door.request("GET", "/mesos/slaves", master=ip, timeout=2)[1]),
              "Marathon": lambda ip: door.request("GET", "/service/marathon/v2/apps//web/tasks", master=ip, timeout=2)[0] == 200,
              "a login": lambda ip: door.request("POST", "/acs/api/v1/auth/login", login, master=ip, token=None, timeout=2)[0] == 200}
    took = {}

    def served(what, ip):
        def attempt():
            try:
                return checks[what](ip)
            except (OSError, ValueError, KeyError, http.client.HTTPException):
                return False
        wait_until(attempt, f"{what} through {ip}", timeout)
        took[what] = max(took.get(what, 0), time.monotonic() - start)
    threads = [threading.Thread(target=served, args=(what, ip)) for what in checks for ip in masters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(took) == set(checks), took
    return took


def lose(three, door, web, lost, how):
    """The master goes, the others serve, it comes back; {what: seconds}."""
    rest = [ip for ip in door.masters if ip != lost]
    door.log_in()
    start = time.monotonic()
    how(three, door, name_of(door, lost))
    took = until_served(door, rest, start)
    measured(f"{how.__name__} of a leader: " + ", ".join(f"{what} after {seconds:.1f} s" for what, seconds in sorted(took.items())))
    all_masters, door.masters = door.masters, rest
    try:
        web.untouched()
    finally:
        door.masters = all_masters
    three("start", "-c", NAME, "--node", name_of(door, lost))
    three("wait", "-c", NAME, "--timeout=300")
    wait_for(door, door.masters, 60)
    web.untouched()
    return took


def kill(three, door, node):
    three("kill", "-c", NAME, "--node", node)


def test_the_leaders_loss(three, door, web):
    """It costs no task, and less than ten seconds, through every router that is left."""
    took = lose(three, door, web, leader_of(three, door, door.masters[0]), kill)
    assert max(took.values()) < 10, took


def test_a_power_cut(three, door, web):
    """The worst case: the machine led ZooKeeper, and nobody hears that its connections end. ZooKeeper's servers leave it after
    two seconds, sessions end five seconds after that."""
    lost = [ip for ip in door.masters if b"Mode: leader" in four_letters(ip, b"srvr")]
    took = lose(three, door, web, lost[0], cut)
    # Eight to ten seconds; a service that led on another machine and asked the lost one next for its session starts anew.
    assert max(took.values()) < 30, took


def told_the_id(three, node):
    """The cluster's id as ZooKeeper tells a node that has lost it, or None when nobody tells it."""
    done = three.run("run", "-c", NAME, "--node", node,
                     "rm -f /var/lib/dcos/cluster-id; set -a; . /opt/mesosphere/etc/mesos-master; "
                     "timeout 10 /opt/mesosphere/bin/dcos-shell dcos-bootstrap dcos-cluster-id >&2 && "
                     "cat /var/lib/dcos/cluster-id")
    return done.stdout.strip() if done.returncode == 0 else None


def test_losing_the_quorum(three, door, web):
    """Two of three masters work, one does not and says so, and all is well when the others are back."""
    first = leader_of(three, door, door.masters[0])
    second, own = (ip for ip in door.masters if ip != first)
    two, stays = [second, own], name_of(door, own)
    cluster_id = three.on(stays, "cat /var/lib/dcos/cluster-id", NAME).strip()
    cut(three, door, name_of(door, first))
    wait_for(door, two, 60)
    assert told_the_id(three, stays) == cluster_id

    with Only(door, two):
        web.untouched()
        # It is not only read: an app is started and goes.
        app = {"id": "/with-two", "cmd": "exec sleep 1000", "cpus": 0.05, "mem": 32, "instances": 1}
        assert door.request("POST", "/service/marathon/v2/apps", app)[0] == 201
        wait_until(lambda: len(door.tasks_or_none("/with-two") or []) == 1, "an app with two masters", 60)
        assert door.request("DELETE", "/service/marathon/v2/apps//with-two?force=true")[0] == 200
        wait_until(lambda: door.tasks_or_none("/with-two") is None, "the app to go", 60)

    cut(three, door, name_of(door, second))
    wait_until(lambda: not answers(door, "/mesos/slaves", [own]), "the master not to lead", 60)
    assert told_the_id(three, stays) is None
    assert door.request("GET", "/dcos-metadata/dcos-version.json", master=own, token=None)[0] == 200, "its router is there"
    # Who runs goes on, and is found by name and address.
    page = three.on("agent_0", "getent ahostsv4 web.marathon.mesos >&2 && "
                               "curl -sS -m 10 http://web.marathon.l4lb.thisdcos.directory/", NAME)
    assert page.startswith("hello from web."), page

    start = time.monotonic()
    three("start", "-c", NAME, "--node", name_of(door, second))
    wait_for(door, two, 120)
    measured(f"works again {time.monotonic() - start:.1f} s after the second master was switched on")
    assert told_the_id(three, stays) == cluster_id
    three("start", "-c", NAME, "--node", name_of(door, first))
    three("wait", "-c", NAME, "--timeout=300")
    web.untouched()


def test_upgrade_under_load(three, door, web, next_installer):
    """Every master's router answers for as long as it is not the one that is being changed."""
    inside = web.inside
    since = time.time()

    def through(master):
        def once():
            status, text = door.request("GET", "/service/web/", master=master, timeout=5)
            assert status == 200, (status, text[:100])
        return once
    loads = {ip: Load(through(ip)) for ip in door.masters}
    with contextlib.ExitStack() as stack:
        for load in loads.values():
            stack.enter_context(load)
        address = stack.enter_context(Knocking(inside, ["agent_0"], "web.marathon.l4lb.thisdcos.directory"))
        three("upgrade", "-c", NAME, next_installer, f"--extra-config={three.extra}", "--wait-for-dcos", "--timeout=300", timeout=1500)
    measured(f"upgrade of three masters and an agent: {time.time() - since:.0f} s")
    web.untouched()
    offset = time.time() - time.monotonic()
    for ip, load in loads.items():
        begin, end = inside.changes(name_of(door, ip), since)
        measured(f"router of {name_of(door, ip)}: {load.good} requests, {len(load.failures)} failed, "
                 f"longest {load.longest_gap():.1f} s; changing {end - begin:.1f} s")
        failed = [(at + offset, at + offset + took, why) for at, took, why in load.failures]
        # Its router is there before Marathon, which may have led on this very master, tells it where services are.
        assert [f for f in failed if f[1] < begin - 0.5 or f[0] > end + 15] == [], ip
        assert load.good > 50
    assert address.found["agent_0"]["number"]["failures"] == []
    for node in door.nodes:
        assert inside.version(node) == NEXT
        for program in inside.programs(node):
            assert os.path.basename(program["path"]) == "dcos-executor" or program["version"] in (NEXT, None), (node, program)


def test_replace_all_masters(three, door, web):
    """Each master in turn is replaced by a machine with an empty disk and the same address, and installed anew."""
    genconf = os.path.join(three.folder(NAME), "install", "genconf")
    cluster_id = three.on("master_0", "cat /var/lib/dcos/cluster-id", NAME).strip()
    for node in ("master_0", "master_1", "master_2"):
        start = time.monotonic()
        three("kill", "-c", NAME, "--node", node)
        three("start", "-c", NAME, "--blank", "--node", node)
        assert three.on(node, "ls -d /opt/mesosphere /var/lib/dcos 2>/dev/null; true", NAME) == ""
        # What an operator does who installs by hand: the secrets that masters share, then the script.
        three.on(node, "mkdir -p -m 700 /etc/mesosphere", NAME)
        three("send-file", "-c", NAME, "--node", node, os.path.join(genconf, "secrets"), "/etc/mesosphere/secrets")
        three.on(node, "chmod 755 /etc/mesosphere; chmod 700 /etc/mesosphere/secrets; chmod 600 /etc/mesosphere/secrets/*", NAME)
        three("send-file", "-c", NAME, "--node", node, os.path.join(genconf, "serve"), "/opt/dcos_install_tmp")
        three.on(node, "cd /opt/dcos_install_tmp && bash dcos_install.sh master", NAME, timeout=600)
        three("wait", "-c", NAME, "--timeout=300")
        measured(f"{node} replaced in {time.monotonic() - start:.1f} s")
        assert three.on(node, "cat /var/lib/dcos/cluster-id", NAME).strip() == cluster_id
        wait_for(door, door.masters, 60)
        web.untouched()
        # Who trusted the cluster before still does, and who had logged in still is.
        assert door.request("GET", "/mesos/slaves", master=door.nodes[node])[0] == 200, node
        # All three are in the ensemble again, which the next one's loss asks for.
        for other in ("master_0", "master_1", "master_2"):
            wait_until(lambda: told_the_id(three, other) == cluster_id, f"ZooKeeper on {other}", 60)
