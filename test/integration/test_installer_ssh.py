"""The installer's actions on hosts. A host is an sshd in a mount namespace of its own, with an /etc, /opt and /run of its own
and stand-ins for systemd and the programs of DC/OS; what the scripts do is real."""

import functools
import hashlib
import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
import requests

from alone import alone
from sshd import Sshd, free_port, keygen
from test_installer import BOOTSTRAP, Site, bundle, read, wait_for, write

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or os.path.exists("/opt/mesosphere") or not shutil.which("unshare"),
    reason="hosts of the test are mount namespaces, which take root, on a machine without DC/OS",
)

SYSTEMCTL = """#!/bin/sh
echo "$*" >>{node}/systemctl.log
case "$*" in
--version) echo 'systemd 252 (252.30)' ;;
*'start dcos-setup.service' | 'start --no-block dcos-setup.service')
    [ ! -e {node}/fail-setup ] || {{ echo 'Job for dcos-setup.service failed' >&2; exit 1; }}
    mkdir -p /opt/mesosphere/bin /opt/mesosphere/etc /opt/mesosphere/active
    cp {node}/programs/* /opt/mesosphere/bin/
    echo '{{"version":"0.0.9"}}' >/opt/mesosphere/etc/dcos-version.json
    mkdir -p /etc/systemd/system/dcos.target.wants
    ls /opt/dcos_install_tmp/packages >{node}/packages 2>/dev/null
    echo old--1 >{node}/active
    ;;
esac
"""
PKGPANDA = """#!/bin/sh
[ "$1" = active ] || echo "$*" >>{node}/pkgpanda.log
case $1 in
active) cat {node}/active ;;
fetch) [ ! -e {node}/fail-fetch ] || {{ echo 'ERROR: No space left on device' >&2; exit 1; }} ;;
activate)
    shift 2
    mv {node}/active {node}/active.old
    printf '%s\\n' "$@" >{node}/active
    [ ! -e {node}/bad-upgrade ] || touch {node}/unhealthy
    ;;
rollback)
    mv {node}/active.old {node}/active
    rm -f {node}/unhealthy
    ;;
uninstall) rm -rf /opt/mesosphere/* ;;
esac
"""
DCOS_SHELL = """#!/bin/sh
echo "$*" >>{node}/checks.log
if [ -e {node}/unhealthy ]; then
    echo '{{"status":2,"checks":{{"components":{{"status":2}}}}}}'
    exit 2
fi
echo '{{"status":0}}'
"""


class Node:
    def __init__(self, path, key, address, port):
        self.path = os.path.join(path, "node-" + address)
        self.address = address
        os.makedirs(self.path)
        programs = {"pkgpanda": PKGPANDA, "dcos-shell": DCOS_SHELL}
        for name, text in programs.items():
            write(f"{self.path}/programs/{name}", text.format(node=self.path), 0o755)
        write(f"{self.path}/fake/systemctl", SYSTEMCTL.format(node=self.path), 0o755)
        write(f"{self.path}/fake/journalctl", "#!/bin/sh\necho 'from the journal: no such host'\n", 0o755)
        write(f"{self.path}/fake/sync", "#!/bin/sh\n", 0o755)
        self.server = Sshd(
            f"{self.path}/ssh", key, port=port, address=address,
            before=(
                f"mount -t tmpfs none {self.path}/ssh/mnt; mkdir {self.path}/ssh/mnt/up {self.path}/ssh/mnt/work; "
                f"mount -t overlay none -o lowerdir=/etc,upperdir={self.path}/ssh/mnt/up,workdir={self.path}/ssh/mnt/work /etc; "
                "rm -rf /etc/systemd/system/dcos* /etc/mesosphere; mount -t tmpfs none /opt; mount -t tmpfs none /run; mkdir -p /run/sshd /run/systemd/system; "
            ),
            extra=f"SetEnv PATH={self.path}/fake:/usr/sbin:/usr/bin:/sbin:/bin\n",
        )

    def sh(self, command):
        return subprocess.run(
            ["nsenter", f"--mount=/proc/{self.server.process.pid}/ns/mnt", "sh", "-c", command],
            capture_output=True, text=True,
        ).stdout

    def flag(self, name, there=True):
        path = os.path.join(self.path, name)
        if there:
            write(path, "")
        elif os.path.exists(path):
            os.unlink(path)

    def log(self, name):
        path = os.path.join(self.path, name)
        return read(path).decode() if os.path.exists(path) else ""


class World(Site):
    def __init__(self, path):
        super().__init__(path)
        self.key = keygen(self.at("genconf/ssh_key"))
        self.port = free_port(20000, 32000)  # config.yaml takes no larger ones
        self.nodes = {}
        self.root = str(path)

    def node(self, last):
        address = f"127.0.0.{last}"
        self.nodes[last] = Node(self.root, self.key, address, self.port)
        return self.nodes[last]

    def cluster(self, masters=(11,), agents=(), public=(), dead=()):
        for last in (*masters, *agents, *public):
            if last not in dead:
                self.node(last)
        self.config(
            master_list=[f"127.0.0.{n}" for n in masters],
            agent_list=[f"127.0.0.{n}" for n in agents],
            public_agent_list=[f"127.0.0.{n}" for n in public],
            ssh_user="root", ssh_port=self.port, check_time="false", bootstrap_url="file:///opt/dcos_install_tmp",
            process_timeout=60,
        )
        self.run("--genconf")

    def act(self, *args, code=0):
        return self.run(*args, "--accept-host-keys", code=code)

    def state(self, name):
        return json.loads(read(self.at(f"genconf/state/{name}.json")))

    def statuses(self, name):
        return {k.split(":")[0].split(".")[-1]: v["host_status"] for k, v in self.state(name)["hosts"].items()}


@pytest.fixture
def world(tmp_path):
    with alone():
        w = World(tmp_path)
        yield w
        for node in w.nodes.values():
            node.server.stop()


def test_from_nothing_to_nothing(world):
    world.cluster(masters=(11,), agents=(21, 22), public=(31,))
    out = world.act("--preflight")
    assert "preflight: 4 of 4 hosts done" in out
    assert all(node.sh("ls -A /opt") == "" for node in world.nodes.values())  # cleaned up

    out = world.act("--deploy")
    assert "deploy: 4 of 4 hosts done" in out
    roles = {11: "master", 21: "slave", 22: "slave", 31: "slave_public"}
    for last, node in world.nodes.items():
        assert node.sh("ls /etc/mesosphere/roles").split() == [roles[last]]
        assert node.sh("cat /etc/mesosphere/setup-flags/repository-url") == "file:///opt/dcos_install_tmp\n"
        assert node.log("packages").split() == ["bar", "dcos-config", "dcos-metadata", "foo"]
        calls = node.log("systemctl.log").splitlines()
        assert calls[-3:] == ["start dcos-link-env.service", "enable dcos-setup.service", "start dcos-setup.service"]
        assert "$$bin/pkgpanda setup --no-block-systemd" in node.sh("cat /etc/systemd/system/dcos-setup.service")
        assert node.sh("ls /opt").split() == ["mesosphere"]
        # Masters alone know what they sign with; a single one has no ZooKeeper.
        secrets = node.sh("ls /etc/mesosphere/secrets 2>/dev/null; true").split()
        assert secrets == (["dcos-ca.crt", "dcos-ca.key"] if last == 11 else [])
    assert world.nodes[11].sh("stat -c %a /etc/mesosphere /etc/mesosphere/secrets /etc/mesosphere/secrets/*").split() == \
        ["755", "700", "600", "600"]
    assert world.nodes[11].sh("cat /etc/mesosphere/secrets/dcos-ca.key") == read(world.at("genconf/secrets/dcos-ca.key")).decode()
    state = world.state("deploy")
    assert (state["chain_name"], state["total_hosts"], state["total_masters"], state["total_agents"]) == ("deploy", 4, 1, 3)
    entry = state["hosts"][f"127.0.0.31:{world.port}"]
    assert entry["tags"] == {"role": "agent", "dcos_install_param": "slave_public"}
    assert not os.path.exists("/etc/mesosphere/roles")  # of this machine

    world.act("--postflight")
    assert "check node-poststart --role=agent" in world.nodes[21].log("checks.log")
    assert "check cluster" in world.nodes[11].log("checks.log") and "cluster" not in world.nodes[21].log("checks.log")

    # A second deployment finds the first.
    world.act("--deploy", code=1)
    assert world.err.count("Found an existing DC/OS installation") == 4

    world.act("--uninstall")
    for node in world.nodes.values():
        assert node.sh("ls -A /opt; ls /etc/systemd/system /etc/mesosphere | grep -E 'dcos|roles|secrets'") == ""
    world.act("--uninstall")  # nothing left to do is fine
    world.act("--preflight")


def test_trouble_is_named_host_by_host(world):
    world.cluster(masters=(11,), agents=(21, 22), public=(31,), dead=(22,))
    world.nodes[31].flag("fail-setup")
    out = world.act("--deploy", code=1)
    assert "deploy: 2 of 4 hosts done, 2 failed" in out
    lines = dict(line.split(": ", 1) for line in world.err.splitlines() if line.startswith("127."))
    assert sorted(lines) == ["127.0.0.22", "127.0.0.31"]
    assert lines["127.0.0.22"].startswith(f"cannot connect to port {world.port}")
    assert "dcos-setup.service did not start" in lines["127.0.0.31"]
    assert "from the journal" in read(world.at(f"genconf/logs/127.0.0.31_{world.port}.log")).decode()
    assert world.statuses("deploy") == {"11": "success", "21": "success", "22": "failed", "31": "failed"}
    # Again, only those two.
    world.node(22)
    world.nodes[31].flag("fail-setup", False)
    before = world.nodes[21].log("systemctl.log")
    out = world.act("--deploy", "--retry")
    assert "2 of 2 hosts done" in out
    assert world.nodes[21].log("systemctl.log") == before
    assert set(world.statuses("deploy").values()) == {"success"}


def test_host_keys(world):
    world.cluster(masters=(11,), agents=(21,))
    world.run("--preflight", code=1)
    assert world.err.count("unknown hosts are refused") == 2
    world.act("--preflight")
    world.run("--preflight")
    world.nodes[21].server.stop()
    shutil.rmtree(world.nodes[21].path)
    world.node(21)
    world.act("--preflight", code=1)
    assert re.search(r"^127\.0\.0\.21: the host's key is not the one in genconf/state/known_hosts", world.err, re.M)
    assert world.statuses("preflight") == {"11": "success", "21": "failed"}


def test_bad_hosts_have_a_line_each(world):
    """Refuses, says nothing, hangs in a command, changes its key, asks for a password: the good one is done all the same."""
    last = [11, 21, 22, 23, 24, 25]
    world.cluster(masters=(11,), agents=(21, 22, 23, 24, 25), dead=(22, 23))
    world.act("--preflight", code=1)
    with socket.socket() as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        silent.bind(("127.0.0.23", world.port))
        silent.listen(16)
        write(f"{world.nodes[24].path}/fake/uname", "#!/bin/sh\nexec sleep 600\n", 0o755)
        world.nodes[25].server.stop()
        shutil.rmtree(world.nodes[25].path)
        world.node(25)
        world.config(**{**json_config(world), "process_timeout": 8})
        out = world.act("--preflight", code=1)
    assert "preflight: 2 of 6 hosts done, 4 failed" in out
    lines = [line.split(": ", 1) for line in world.err.splitlines() if line.startswith("127.")]
    assert sorted(address for address, _ in lines) == [f"127.0.0.{n}" for n in (22, 23, 24, 25)]
    said = dict(lines)
    assert "Connection refused" in said["127.0.0.22"]
    assert "no answer within the time" in said["127.0.0.23"]
    assert "preflight: still not done after 8 s, ended" in said["127.0.0.24"]
    assert "the host's key is not the one in" in said["127.0.0.25"]
    status = world.statuses("preflight")
    assert [status[str(n)] for n in last] == ["success", "success", "failed", "failed", "terminated", "failed"]


def test_no_key_no_hosts_no_genconf(world):
    world.cluster()
    os.rename(world.at("genconf/ssh_key"), world.at("key"))
    world.act("--preflight", code=1)
    assert "genconf/ssh_key is not there" in world.err
    os.rename(world.at("key"), world.at("genconf/ssh_key"))
    shutil.rmtree(world.at("genconf/serve"))
    world.act("--deploy", code=1)
    assert "run --genconf first" in world.err


def test_preflight_fails(world):
    world.cluster(masters=(11,), agents=(21,))
    world.nodes[21].sh("mkdir -p /opt/mesosphere/something")
    world.act("--preflight", code=1)
    assert "127.0.0.21: preflight: Found an existing DC/OS installation (/opt/mesosphere)" in world.err


def test_upgrade(world):
    world.cluster(masters=(11,), agents=(21, 22), public=(31,))
    world.act("--deploy")
    world.config(**{**json_config(world), "cluster_name": "another"})
    world.run("--genconf")
    wanted = json.loads(
        read(world.at(f"genconf/serve/package_lists/{read(world.at('genconf/serve/cluster-package-list.latest')).decode()}"
                      ".package_list.json"))
    )
    # An agent that does not get well stops everything.
    world.nodes[22].flag("fail-fetch")
    out = world.act("--upgrade", "--chunk-size", "1", code=1)
    assert "upgrade: 2 of 4 hosts done, 1 failed, 1 not touched" in out
    assert "127.0.0.22: upgrade: dcos_node_upgrade.sh: packages cannot be fetched, nothing was changed" in world.err
    order = re.findall(r"upgrade: 127\.0\.0\.(\d+) \(\w+\): upgrade", out)
    assert order == ["11", "21", "22"]
    assert world.nodes[11].log("active").split() == wanted
    assert world.nodes[22].log("active").split() == ["old--1"] == world.nodes[31].log("active").split()
    fetch, activate = world.nodes[11].log("pkgpanda.log").splitlines()
    assert fetch == ("fetch --repository-url=file:///opt/dcos_install_tmp "
                     "--digests=/etc/mesosphere/setup-flags/digests.new " + " ".join(wanted))
    assert activate == "activate --no-block-systemd " + " ".join(wanted)
    # The second run goes on; those that are done stay as they are.
    world.nodes[22].flag("fail-fetch", False)
    world.act("--upgrade")
    for node in world.nodes.values():
        assert node.log("active").split() == wanted
        assert node.log("pkgpanda.log").count("activate") == 1
        assert node.sh("cat /etc/mesosphere/setup-flags/cluster-package-list") == read(
            world.at("genconf/serve/cluster-package-list.latest")).decode() + "\n"
    # And back, the other way round.
    out = world.act("--rollback")
    order = re.findall(r"rollback: 127\.0\.0\.(\d+) \(\w+\): go back", out)
    assert order == ["31", "22", "21", "11"]
    for node in world.nodes.values():
        assert node.log("active").split() == ["old--1"]
        assert node.sh("cat /etc/mesosphere/setup-flags/cluster-package-list").strip() not in wanted
    world.act("--rollback")  # nothing to take back
    assert all(node.log("active").split() == ["old--1"] for node in world.nodes.values())


def test_upgrade_with_the_secrets_of_another_folder(world):
    world.cluster(masters=(11,), agents=(21,))
    world.act("--deploy")
    files = "cat /etc/mesosphere/secrets/* /etc/mesosphere/setup-flags/*"
    before = world.nodes[11].sh(files)
    os.rename(world.at("genconf/secrets"), world.at("secrets.first"))
    world.config(**{**json_config(world), "cluster_name": "another"})
    world.run("--genconf")  # draws others
    world.act("--upgrade", code=1)
    assert "127.0.0.11: compare secrets: this master has other secrets than genconf/secrets" in world.err
    assert world.nodes[11].sh(files) == before
    assert world.nodes[11].log("active").split() == ["old--1"] == world.nodes[21].log("active").split()
    shutil.rmtree(world.at("genconf/secrets"))
    os.rename(world.at("secrets.first"), world.at("genconf/secrets"))
    world.act("--upgrade")
    assert world.nodes[11].log("pkgpanda.log").count("activate") == 1
    # A cluster from before there were secrets gets them.
    world.nodes[11].sh("rm -r /etc/mesosphere/secrets")
    world.act("--upgrade")
    assert world.nodes[11].sh("ls /etc/mesosphere/secrets").split() == ["dcos-ca.crt", "dcos-ca.key"]


def flags_of(node):
    return node.sh("cd /etc/mesosphere/setup-flags && grep -r . . | sort")


def values_of(flags):
    return [line for line in flags.splitlines() if ".before-" not in line]


def run_upgrade_script(world, node, url, *args):
    return subprocess.run(
        ["nsenter", f"--mount=/proc/{node.server.process.pid}/ns/mnt", "env", f"PATH={node.path}/fake:/usr/sbin:/usr/bin:/sbin:/bin",
         "dash", world.at("genconf/serve/upgrade/" + url), *args], capture_output=True, text=True)


def test_upgrade_script_takes_back_one_change(world):
    """Whatever flags were before the last one, also where it left some as they were, and where there were none."""
    world.cluster()
    world.act("--deploy")
    node = world.nodes[11]
    node.sh("rm /etc/mesosphere/setup-flags/digests")  # as an installer of before left it
    scripts, flags = [], [flags_of(node)]
    for change in {"bootstrap_url": "http://192.0.2.1:8080"}, {"cluster_name": "another"}, {"cluster_name": "a third"}:
        world.config(**{**json_config(world), **change})
        scripts.append(world.run("--generate-node-upgrade-script", "0.0.9").splitlines()[-1].rpartition("/upgrade/")[2])
        done = run_upgrade_script(world, node, scripts[-1])
        assert done.returncode == 0, done.stderr
        flags.append(flags_of(node))
        kept = node.sh("cd /etc/mesosphere/setup-flags && ls").split()
        assert len(kept) == 6 and len([name for name in kept if ".before-" in name]) == 3
    assert "./repository-url:http://192.0.2.1:8080" in flags[2]
    done = run_upgrade_script(world, node, scripts[2], "--rollback")
    assert done.returncode == 0 and values_of(flags_of(node)) == values_of(flags[2])
    # The same script once more takes nothing further back, and neither does one of before.
    for script in scripts[2], scripts[0]:
        done = run_upgrade_script(world, node, script, "--rollback")
        assert done.returncode == 0 and values_of(flags_of(node)) == values_of(flags[2])
    # From where there was none to where there is none.
    for script, back in (scripts[0], ()), (scripts[0], ("--rollback",)):
        assert run_upgrade_script(world, node, script, *back).returncode == 0
    assert values_of(flags_of(node)) == values_of(flags[2])
    node.sh("rm /etc/mesosphere/setup-flags/digests")
    for script, back in (scripts[0], ()), (scripts[0], ("--rollback",)):
        assert run_upgrade_script(world, node, script, *back).returncode == 0
    assert node.sh("ls /etc/mesosphere/setup-flags").split() == ["cluster-package-list", "repository-url"]


def test_upgrade_script_killed_at_every_step(world):
    """Whichever step was the last: the same again finishes it, --rollback takes it back."""
    world.cluster()
    world.act("--deploy")
    node = world.nodes[11]
    # Every program that changes something counts, and ends all when its turn has come.
    for name in "mv", "cp", "rm":
        write(f"{node.path}/fake/{name}", f"#!/bin/sh\n/usr/bin/{name} \"$@\"; s=$?; {node.path}/count; exit $s\n", 0o755)
    write(f"{node.path}/count", f"""#!/bin/sh
n=$(($(cat {node.path}/left) - 1))
echo $n >{node.path}/left
[ $n -ne 0 ] || kill -s KILL 0
""", 0o755)
    real = PKGPANDA.format(node=node.path).replace(" mv ", " /usr/bin/mv ").replace(" rm ", " /usr/bin/rm ")
    node.sh(f"cat >/opt/mesosphere/bin/pkgpanda <<'END'\n{real}[ $1 = active ] || {node.path}/count\nEND")
    world.config(**{**json_config(world), "cluster_name": "another"})
    url = world.run("--generate-node-upgrade-script", "0.0.9").splitlines()[-1].rpartition("/upgrade/")[2]

    def script(*args, left=0):
        write(f"{node.path}/left", str(left))
        done = subprocess.run(
            ["nsenter", f"--mount=/proc/{node.server.process.pid}/ns/mnt", "env", f"PATH={node.path}/fake:/usr/sbin:/usr/bin:/sbin:/bin",
             "dash", world.at("genconf/serve/upgrade/" + url), *args], capture_output=True, text=True, start_new_session=True)
        assert done.returncode in (0, -signal.SIGKILL), done.stdout + done.stderr
        return done.returncode == 0

    before = flags_of(node)
    assert script()
    after = flags_of(node)
    new = node.log("active")
    assert new.split() != ["old--1"] and after != before
    assert script("--rollback")
    assert (flags_of(node), node.log("active").split()) == (before, ["old--1"])

    steps = 0
    for first, second in (((), ()), ((), ("--rollback",)), (("--rollback",), ("--rollback",)), (("--rollback",), ())):
        for n in range(1, 100):
            if first:
                assert script()
            done = script(*first, left=n)
            assert script(*second)
            if second:
                assert (flags_of(node), node.log("active").split()) == (before, ["old--1"]), (first, second, n)
            else:
                assert (flags_of(node), node.log("active")) == (after, new), (first, second, n)
                assert script("--rollback")
            if done:
                break
            steps += 1
    assert steps > 30


def test_upgrade_script_has_flags_on_disk(world):
    """What was before is not kept as an empty file after a power cut: that would mean that nothing was."""
    world.cluster()
    world.act("--deploy")
    node = world.nodes[11]
    for name in "mv", "sync":
        write(f"{node.path}/fake/{name}", f"#!/bin/sh\necho {name} \"$@\" >>{node.path}/order\nexec /usr/bin/{name} \"$@\"\n", 0o755)
    world.config(**{**json_config(world), "cluster_name": "another"})
    url = world.run("--generate-node-upgrade-script", "0.0.9").splitlines()[-1].rpartition("/upgrade/")[2]
    subprocess.run(
        ["nsenter", f"--mount=/proc/{node.server.process.pid}/ns/mnt", "env", f"PATH={node.path}/fake:/usr/sbin:/usr/bin:/sbin:/bin",
         "dash", world.at("genconf/serve/upgrade/" + url)], check=True, capture_output=True)
    order = [line.split() for line in node.log("order").splitlines()]
    moves = [i for i, words in enumerate(order) if words[0] == "mv" and words[2].startswith("/etc/mesosphere/setup-flags/")]
    assert len(moves) >= 6
    for i in moves:
        assert order[i - 1] == ["sync", order[i][2]]


def test_upgrade_script_finishes_a_change_that_was_cut_off(world):
    world.cluster()
    world.act("--deploy")
    node = world.nodes[11]
    url = world.run("--generate-node-upgrade-script", "0.0.9").splitlines()[-1].rpartition("/upgrade/")[2]
    wanted = json.loads(read(world.at("genconf/cluster_packages.json")))
    # As a power cut leaves it: the old programs are away, the new ones not in their place.
    recover = f"""#!/bin/sh
case $1 in
setup) mv /opt/mesosphere/bin.new /opt/mesosphere/bin; rm /opt/mesosphere/install_progress; cat {node.path}/new >{node.path}/active ;;
active) [ ! -e /opt/mesosphere/install_progress ] || {{ echo 'a change was cut off' >&2; exit 1; }}; cat {node.path}/active ;;
*) exit 1 ;;
esac
"""
    write(f"{node.path}/recover", recover, 0o755)
    ids = [p["id"] for p in wanted.values()] + ["foo--1", "bar--2"]
    write(f"{node.path}/new", "\n".join(ids) + "\n")
    node.sh(f"cd /opt/mesosphere; cp {node.path}/recover bin/pkgpanda; mv bin bin.new; mkdir bin.old; echo '{{}}' >install_progress")
    done = subprocess.run(
        ["nsenter", f"--mount=/proc/{node.server.process.pid}/ns/mnt", "env", f"PATH={node.path}/fake:/usr/sbin:/usr/bin:/sbin:/bin",
         "sh", world.at("genconf/serve/upgrade/" + url)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Finishing a change that was cut off" in done.stdout and "These packages are active already" in done.stdout


def run_unit(node, name):
    """What systemd would run, in order, until something fails."""
    for line in node.sh(f"cat /etc/systemd/system/{name}").splitlines():
        if not line.startswith(("ExecStartPre=", "ExecStart=")):
            continue
        command = line.partition("=")[2].replace("$$", "$").replace("%%", "%")
        done = subprocess.run(["nsenter", f"--mount=/proc/{node.server.process.pid}/ns/mnt", "sh", "-c", command],
                              capture_output=True, text=True)
        if done.returncode != 0:
            return done.stderr
    return ""


def test_damaged_tarball(world):
    """Nodes fetch over http; dcos_install.sh knows what it has to be."""
    folder = os.path.join(world.root, "tarball")
    write(f"{folder}/active/x", "")
    write(f"{folder}/bootstrap", "")
    write(f"{folder}/bin/pkgpanda", "#!/bin/sh\n", 0o755)
    tarball = f"{world.artifacts}/bootstrap/{BOOTSTRAP}.bootstrap.tar.xz"
    subprocess.run(["tar", "-C", folder, "-cJf", tarball, "."], check=True)
    bundle(world.artifacts, world.file)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=world.at("genconf/serve"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        world.cluster()
        world.config(**{**json_config(world), "bootstrap_url": f"http://127.0.0.1:{server.server_address[1]}"})
        world.run("--genconf")
        world.act("--deploy")
        node = world.nodes[11]
        node.sh("rm -rf /opt/mesosphere")
        served = world.at(f"genconf/serve/bootstrap/{BOOTSTRAP}.bootstrap.tar.xz")
        good = read(served)
        os.unlink(served)
        write(f"{folder}/bin/evil", "")
        subprocess.run(["tar", "-C", folder, "-cJf", served, "."], check=True)
        said = run_unit(node, "dcos-download.service")
        digest = hashlib.sha256(read(served)).hexdigest()
        assert said == f"{BOOTSTRAP}.bootstrap.tar.xz is not what the installer made: its SHA-256 is {digest}\n"
        assert node.sh("ls -A /opt/mesosphere") == ""  # dcos_install.sh can be run again, too
        os.unlink(served)
        write(served, good)
        assert run_unit(node, "dcos-download.service") == ""
        assert node.sh("ls -A /opt/mesosphere").split() == ["active", "bin", "bootstrap"]
        assert node.sh("cat /etc/mesosphere/setup-flags/digests") == read(world.at("genconf/state/digests")).decode()
        # And who fetches packages is told in the same file.
        lines = dict(reversed(line.split("  ")) for line in read(world.at("genconf/state/digests")).decode().splitlines())
        served = {path.rpartition("/")[2]: hashlib.sha256(data).hexdigest() for path, data in world.tree().items()}
        assert lines == {name: served[name] for name in lines}
        assert sorted(name.split("--")[0] for name in lines if "--" in name) == ["bar", "dcos-config", "dcos-metadata", "foo"]
        assert any(name.endswith(".package_list.json") for name in lines)
        server.shutdown()


def json_config(world):
    text = read(world.at("genconf/config.yaml")).decode()
    return {k: json.loads(v) for k, v in (line.split(": ", 1) for line in text.splitlines())}


def test_node_upgrade_script(world):
    """One node, by hand, as the documentation of DC/OS has it."""
    world.cluster()
    world.act("--deploy")
    node = world.nodes[11]

    def upgrade(version, *args):
        url = world.run("--generate-node-upgrade-script", version).splitlines()[-1].rpartition("/upgrade/")[2]
        done = subprocess.run(
            ["nsenter", f"--mount=/proc/{node.server.process.pid}/ns/mnt", "env",
             f"PATH={node.path}/fake:/usr/sbin:/usr/bin:/sbin:/bin", "bash", world.at("genconf/serve/upgrade/" + url), *args],
            capture_output=True, text=True,
        )
        return done.returncode, done.stdout + done.stderr

    code, said = upgrade("1.2.3")
    assert code == 1 and "this script is for nodes of version 1.2.3, and this one has 0.0.9" in said
    node.flag("unhealthy")
    code, said = upgrade("0.0.9")
    assert code == 1 and "the node is not healthy, nothing was changed" in said and '"status":2' in said
    assert node.log("active").split() == ["old--1"]
    node.flag("unhealthy", False)
    node.sh("touch /etc/mesosphere/roles/slave")
    code, said = upgrade("0.0.9")
    assert code == 1 and "found: master slave" in said
    node.sh("rm /etc/mesosphere/roles/slave")
    assert upgrade("0.0.9")[0] == 0
    assert len(node.log("active").split()) == 4
    assert upgrade("0.0.9", "--rollback")[0] == 0
    assert node.log("active").split() == ["old--1"]


def test_interrupted(world):
    world.cluster(masters=(11,), agents=(21,))
    write(f"{world.nodes[21].path}/fake/systemctl", f"#!/bin/sh\necho $$ >{world.root}/pid; exec sleep 600\n", 0o755)
    p = world.start("--deploy", "--accept-host-keys")
    wait_for(lambda: os.path.exists(f"{world.root}/pid"))
    wait_for(lambda: world.statuses("deploy").get("11") == "success")
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=30)
    assert p.returncode == 1
    assert re.search(r"127\.0\.0\.21: .*cancelled", err)
    assert world.statuses("deploy") == {"11": "success", "21": "terminated"}


# ---- the browser ----


class Web:
    def __init__(self, world, *args):
        self.process = world.start("--web", "--port", "0", "--accept-host-keys", *args)
        self.said = [self.process.stdout.readline() for _ in range(3)]
        self.url = "http://127.0.0.1:" + self.said[0].strip().rpartition(":")[2]
        self.token_path = world.at("genconf/state/web.token")
        self.token = read(self.token_path).decode().strip()
        self.session = requests.Session()
        self.session.headers["Authorization"] = "token=" + self.token

    def way_in(self):
        return re.fullmatch(r"Open (http://127\.0\.0\.1:\d+/\?token=\w+) in a browser; this address works once\n", self.said[-1]).group(1)

    def get(self, path, status=200):
        reply = self.session.get(self.url + path, allow_redirects=False)
        assert reply.status_code == status, reply.text
        assert reply.headers["Cache-Control"] == "no-cache, no-store, must-revalidate"
        return reply

    def post(self, path, body=None, status=200):
        reply = self.session.post(self.url + path, json=body)
        assert reply.status_code == status, reply.text
        return reply.json()

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        _, said = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, said
        assert not os.path.exists(self.token_path)


@pytest.fixture
def web(world):
    os.unlink(world.at("genconf/config.yaml"))
    w = Web(world)
    yield w
    w.close()


def test_web_page(world, web):
    page = web.get("/")
    assert page.headers["Content-Type"].startswith("text/html") and "DC/OS installer" in page.text
    assert "refresh" in web.get("/assets/installer.js").text
    assert web.get("/assets/installer.css").headers["Content-Type"].startswith("text/css")
    web.get("/assets/none", 404)
    assert web.get("/api/v1", 302).headers["Location"] == "/"
    assert web.get("/api/v1/version").json() == {"version": "0.1.0"}
    web.get("/api/v1/action/nonsense", 404)
    for path in "/api/v1/version", "/api/v1/configure", "/api/v1/action/deploy", "/":
        reply = web.session.delete(web.url + path)
        assert reply.status_code == 405 and reply.headers["Cache-Control"].startswith("no-cache")


def test_web_refuses_other_pages(world, web):
    """Whoever the operator's browser visits could post to the installer as well."""
    before = web.get("/api/v1/configure").json()
    for origin in ("http://attacker.example", "null", web.url + "1"):
        reply = web.session.post(web.url + "/api/v1/configure", data='{"cluster_name": "theirs"}', headers={"Origin": origin})
        assert reply.status_code == 403
    assert web.get("/api/v1/configure").json() == before
    reply = web.session.post(web.url + "/api/v1/configure", json={"cluster_name": "mine"}, headers={"Origin": web.url})
    assert reply.status_code == 200, reply.text


def test_web_door(world, web):
    """A browser by an address that works once, a program by a header, nobody else; and names that others made lead nowhere."""
    assert os.stat(web.token_path).st_mode & 0o777 == 0o600 and web.token not in "".join(web.said)
    outside = requests.Session()
    for method, path in ("GET", "/"), ("GET", "/api/v1/configure"), ("POST", "/api/v1/action/deploy"), ("GET", "/api/v1/logs"), \
            ("GET", "/download/log/complete.log"), ("GET", "/assets/installer.js"), ("GET", "/none"), ("DELETE", "/"):
        for headers in {}, {"Authorization": "token=" + "0" * len(web.token)}, {"Authorization": "token="}, \
                {"Cookie": f"dcos_installer_{web.url.rpartition(':')[2]}={web.token}"}, {"Authorization": web.token}:
            reply = outside.request(method, web.url + path, headers=headers)
            assert reply.status_code == 401 and "not logged in" in reply.text, (method, path, headers)
    assert outside.get(web.url + "/api/v1/version").json()["error"].startswith("not logged in")
    assert requests.get(web.url + "/api/v1/version", headers={"Authorization": "Bearer " + web.token}).status_code == 200

    way = web.way_in()
    assert requests.post(way).status_code == 401 and requests.get(way + "0").status_code == 403
    browser = requests.Session()
    reply = browser.get(way, allow_redirects=False)
    assert (reply.status_code, reply.headers["Location"]) == (302, "/")
    assert re.fullmatch(r"dcos_installer_\d+=\w{48}; Path=/; HttpOnly; SameSite=Strict", reply.headers["Set-Cookie"])
    assert browser.get(web.url + "/").status_code == browser.get(web.url + "/api/v1/configure").status_code == 200
    assert browser.get(web.url + "/").headers["Referrer-Policy"] == "no-referrer"
    used = requests.get(way)
    assert used.status_code == 403 and "used already" in used.text and "Set-Cookie" not in used.headers
    web.said.append(web.process.stdout.readline())  # the next browser's
    assert web.way_in() != way and requests.get(web.way_in(), allow_redirects=False).status_code == 302

    port = web.url.rpartition(":")[2]
    for host, status in ((f"attacker.example:{port}", 403), ("attacker.example", 403), (f"127.0.0.1.attacker.example:{port}", 403),
                         ("", 400), (f"localhost:{port}", 200), ("LOCALHOST:1", 200), (f"127.0.0.1:{port}", 200), ("[::1]:9", 200),
                         ("[::1", 403), (socket.gethostname(), 200), ("1.2.3", 403)):
        reply = web.session.get(web.url + "/api/v1/version", headers={"Host": host})
        assert reply.status_code == status or (host == "" and reply.status_code == 403), (host, reply.status_code)


def test_web_listens_here_unless_told(world):
    web = Web(world)
    assert web.said[0].startswith("Starting DC/OS installer in web mode on http://127.0.0.1:")
    with pytest.raises(requests.ConnectionError):
        requests.get(web.url.replace("127.0.0.1", "127.0.0.2"))
    web.close()
    world.run("--web", "--address", "nonsense", code=1)
    assert "nonsense" in world.err and len(world.err.strip().splitlines()) == 1
    process = world.start("--web", "--port", "0", "--address", "::1")
    try:
        assert process.stdout.readline().startswith("Starting DC/OS installer in web mode on http://[::1]:")
        assert not process.stdout.readline().startswith("WARNING")
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    process = world.start("--web", "--port", "0", "--address", "0.0.0.0")
    try:
        port = process.stdout.readline().strip().rpartition(":")[2]
        assert process.stdout.readline().startswith("WARNING: the way there is not encrypted")
        assert requests.get(f"http://127.0.0.2:{port}/").status_code == 401
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def test_web_does_not_tell_the_key(world, web):
    key = read(world.at("genconf/ssh_key"))
    reply = web.get("/api/v1/configure")
    assert reply.json()["ssh_key"] is None and b"PRIVATE" not in reply.content
    # What was read can be posted as it is: the key stays.
    assert web.post("/api/v1/configure", {"ssh_key": None, "cluster_name": "mine"}) == {}
    assert read(world.at("genconf/ssh_key")) == key
    assert "ssh_key" not in web.get("/api/v1/configure/status", 400).json()


def test_web_keeps_the_mode_of_config_yaml(world, web):
    path = world.at("genconf/config.yaml")
    os.chmod(path, 0o600)
    web.post("/api/v1/configure", {"cluster_name": "mine"})
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_web_configure(world, web):
    config = web.get("/api/v1/configure").json()
    assert config["cluster_name"] == "DC/OS" and config["process_timeout"] == 10000
    assert config["ssh_key"] is None  # there is one, which is not told
    assert web.get("/api/v1/configure/type").json() == {"message": "", "type": "minimal"}
    assert "master_list" in web.get("/api/v1/configure/status", 400).json()
    assert web.get("/api/v1/success", 400).json() == {"success": "", "master_count": 0, "agent_count": 0}
    before = read(world.at("genconf/config.yaml"))
    # Errors of what was posted only, and then nothing changes.
    errors = web.post("/api/v1/configure", {"master_list": ["127.0.0.11", "127.0.0.12"], "cluster_name": "x"}, 400)
    assert list(errors) == ["master_list"]
    errors = web.post("/api/v1/configure", {"ssh_key": "nonsense", "ssh_port": "a"}, 400)
    assert sorted(errors) == ["ssh_key", "ssh_port"]
    assert "name" in web.post("/api/v1/configure", {"a: b\nc": "x"}, 400)["a: b\nc"]
    assert web.session.post(web.url + "/api/v1/configure", data="[").status_code == 400
    assert read(world.at("genconf/config.yaml")) == before
    key = read(world.at("genconf/ssh_key")).decode()
    assert web.post("/api/v1/configure", {
        "master_list": ["127.0.0.11"], "agent_list": ["127.0.0.21"], "cluster_name": "it: is # mine",
        "ssh_key": key, "ip_detect_script": "#!/bin/sh\necho 127.0.0.1\n"}) == {}
    assert os.stat(world.at("genconf/ssh_key")).st_mode & 0o777 == 0o600
    assert os.stat(world.at("genconf/ip-detect")).st_mode & 0o777 == 0o644
    assert web.get("/api/v1/configure").json()["cluster_name"] == "it: is # mine"
    assert web.get("/api/v1/configure/status").json() == {}
    assert web.get("/api/v1/success").json() == {"success": "http://127.0.0.11", "master_count": 1, "agent_count": 1}
    web.post("/api/v1/configure", {"gc_delay": "1days"})
    assert web.get("/api/v1/configure/type").json()["type"] == "advanced"


def test_web_installs(world, web):
    world.node(11)
    world.node(21)
    assert web.get("/api/v1/action/preflight").json() == {}
    assert "master_list" in web.post("/api/v1/action/preflight", {}, 400)["errors"]
    web.post("/api/v1/configure", {
        "master_list": ["127.0.0.11"], "agent_list": ["127.0.0.21"], "ssh_user": "root", "ssh_port": world.port,
        "check_time": "false", "process_timeout": 60})

    def done(action, want):
        hosts = web.get(f"/api/v1/action/{action}").json().get("hosts", {})
        return len(hosts) == 2 and [h["host_status"] for h in hosts.values()] == want

    assert web.post("/api/v1/action/preflight") == {"status": "preflight started"}
    wait_for(lambda: done("preflight", ["success", "success"]))
    assert web.get("/api/v1/action/current").json() == {"current_action": "preflight"}
    world.nodes[21].flag("fail-setup")

    def deploy(body=None):
        reply = {}

        def accepted():
            nonlocal reply
            got = web.session.post(web.url + "/api/v1/action/deploy", json=body)
            reply = got.json()
            return got.status_code == 200

        wait_for(accepted)
        return reply

    assert deploy() == {"status": "deploy started"}
    wait_for(lambda: done("deploy", ["success", "failed"]))
    wait_for(lambda: "already executed" in deploy()["status"])
    world.nodes[21].flag("fail-setup", False)
    assert deploy({"retry": True}) == {"status": "retried", "details": [f"127.0.0.21:{world.port}"]}
    wait_for(lambda: done("deploy", ["success", "success"]))
    wait_for(lambda: web.session.post(web.url + "/api/v1/action/postflight").status_code == 200)
    wait_for(lambda: done("postflight", ["success", "success"]))
    location = web.get("/api/v1/logs", 302).headers["Location"]
    assert sorted(json.loads(web.get(location).text)) == [
        "deploy", "postflight", "preflight"]
    assert "DC/OS is installed" in web.get(f"/download/log/127.0.0.11_{world.port}.log").text
    for name in "known_hosts", "..%2fconfig.yaml", "%2e%2e", "ssh_key":
        assert web.session.get(f"{web.url}/download/log/{name}").status_code in (400, 404)
