"""Machines without anything installed: they boot apart from each other and from this host, and go without a trace."""

import os
import re
import shutil
import signal
import socket
import urllib.request

import pytest

from mini import Mini, groups_of, wait_until


@pytest.fixture(scope="module")
def pair():
    mini = Mini()
    try:
        yield from provision_pair(mini)
    finally:
        mini.close()


def provision_pair(mini):
    mini("provision", "--agents=1", "--public-agents=0", "--copy-to-master", f"{__file__}:/root/copied",
         "--custom-master-volume", f"{os.path.dirname(__file__)}:/root/volume:ro")
    yield mini
    mini("destroy")
    assert mini.traces() == []


def test_they_run(pair):
    nodes = pair.nodes()
    assert sorted(nodes) == ["agent_0", "master_0"]
    for name in nodes:
        assert pair.on(name, "systemctl is-system-running").strip() == "running"
        assert pair.on(name, "systemctl --failed --plain --no-legend").strip() == ""
        assert pair.on(name, "hostname").strip() == f"default-{name.replace('_', '-')}"
        assert f"inet {nodes[name]}/24" in pair.on(name, "ip -4 address show dev host0")
    ids = {pair.on(name, "cat /etc/machine-id") for name in nodes}
    keys = {pair.on(name, "cat /etc/ssh/ssh_host_ed25519_key.pub") for name in nodes}
    assert len(ids) == len(keys) == 2, "machines have identities of their own"
    assert pair("list").split() == ["default"]
    assert pair("web").strip() == f"http://{nodes['master_0']}"


def test_they_see_only_themselves(pair):
    """Neither the other's processes and groups nor the host's."""
    assert pair.on("master_0", "cat /proc/1/cgroup").count("init.scope") >= 1
    for name in ("master_0", "agent_0"):
        groups = pair.on(name, "find /sys/fs/cgroup -maxdepth 2 -type d")
        assert "dcos-nspawn" not in groups and "payload" not in groups, groups
        processes = pair.on(name, "cat /proc/[0-9]*/comm").split()
        assert "pytest" not in processes and "systemd-nspawn" not in processes
        assert "rw," in pair.on(name, "findmnt -n -o OPTIONS -t cgroup,cgroup2 | head -n 1")
    # What one makes, the other has not.
    pair.on("master_0", "mkdir $(findmnt -n -o TARGET -t cgroup,cgroup2 | head -n 1)/only-here")
    assert pair.on("agent_0", "find /sys/fs/cgroup -name only-here") == ""
    assert any("only-here" in path for path in walk_groups(pair))


def walk_groups(mini):
    return [os.path.join(at, d) for label in mini.labels() for top in groups_of(label)
            for at, folders, _ in os.walk(top) for d in folders]


def test_the_host_is_not_changed_from_inside(pair):
    before = open("/proc/sys/vm/swappiness", encoding="utf-8").read()
    pair.on("master_0", "echo 3 > /proc/sys/vm/swappiness", code=1)
    assert open("/proc/sys/vm/swappiness", encoding="utf-8").read() == before
    # The network is its own.
    pair.on("master_0", "sysctl -q -w net.ipv4.ip_forward=1")
    pair.on("master_0", "ip link add x type veth peer name y && nft add table inet own")


def test_they_reach_each_other_and_nothing_else(pair):
    nodes = pair.nodes()
    pair.on("master_0", f"ping -c 1 -W 5 {nodes['agent_0']}")
    pair.on("agent_0", "ping -c 1 -W 5 default-master-0")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(1)
        pair.on("master_0", f"timeout 2 bash -c '</dev/tcp/127.0.0.1/{s.getsockname()[1]}'", code=1)


def test_layers_and_files(pair, tmp_path):
    """A container's layers can be mounted where the agent keeps them, and files arrive."""
    pair.on("agent_0", "cd /var/lib/mesos && mkdir l u w m && "
                       "mount -t overlay overlay -o lowerdir=l,upperdir=u,workdir=w m && umount m")
    assert "without anything installed" in pair.on("master_0", "head -n 1 /root/copied")
    assert "test_machines.py" in pair.on("master_0", "ls /root/volume")
    pair.on("master_0", "touch /root/volume/x", code=1)
    pair.on("agent_0", "test ! -e /root/volume")
    (tmp_path / "it's here").write_text("text")
    pair("send-file", "--node", "agent_0", str(tmp_path / "it's here"), "/root/sent")
    assert pair.on("agent_0", "cat /root/sent") == "text"


def test_commands_give_their_exit_code_and_take_options(pair):
    done = pair.run("run", "--env", "WORD=it's", "sh", "-c", "'echo $WORD; exit 7'")
    assert (done.returncode, done.stdout) == (7, "it's\n")
    assert "no node 'agent_9'" in pair("run", "--node", "agent_9", "true", code=2)


def test_power(pair):
    """A node whose power is cut is gone at once; started again, it has its files."""
    pair.on("agent_0", "echo kept > /root/kept; sync")
    pair("kill", "--node", "agent_0")
    states = {n["e2e_reference"]: n["running"] for role in pair.inspect()["Nodes"].values() for n in role}
    assert states == {"master_0": True, "agent_0": False}
    assert "does not run" in pair("kill", "--node", "agent_0", code=1)
    pair("start")
    assert pair.on("agent_0", "cat /root/kept") == "kept\n"
    pair.on("agent_0", "systemctl is-system-running")


def test_another_machine_in_its_place(pair):
    """With an empty disk, and the same name, address and host key."""
    pair.on("agent_0", "echo old > /root/old; echo old > /var/lib/mesos/old; sync")
    identity = pair.on("agent_0", "cat /etc/machine-id")
    assert "runs" in pair("start", "--blank", "--node", "agent_0", code=1)
    assert "--node" in pair("start", "--blank", code=2)
    pair("kill", "--node", "agent_0")
    pair("start", "--blank", "--node", "agent_0")
    assert pair.on("agent_0", "ls -A /root/old /var/lib/mesos 2>/dev/null; true") in ("", "/var/lib/mesos:\n")
    assert pair.on("agent_0", "cat /etc/machine-id") != identity
    assert pair.on("agent_0", "systemctl is-system-running").strip() == "running"


def test_refusals(pair):
    assert "already" in pair("provision", code=2)
    assert "there is no cluster 'absent'" in pair("inspect", "-c", "absent", code=2)
    assert "there is no Docker" in pair("provision", "-c", "b", "--docker-version=1.13.1", code=2)
    assert "1, 3, 5, 7 or 9" in pair("provision", "-c", "b", "--masters=2", code=2)
    assert pair("list").split() == ["default"], "a refused command makes nothing"
    done = pair.run("destroy-list", "absent")
    assert done.returncode == 0 and "Warning" in done.stderr


def test_a_killed_command_leaves_nothing_that_destroy_does_not_find(mini):
    """kill -9 at moments of making: whatever is there by then, destroy takes it away."""
    stages = [("folder", lambda: os.path.isdir(mini.folder("a"))),
              ("record", lambda: os.path.exists(os.path.join(mini.folder("a"), "machines.json"))),
              ("groups", lambda: any(groups_of(label) for label in mini.labels())),
              ("console", lambda: os.path.exists(os.path.join(mini.folder("a"), "logs", "agent_0.console")))]
    for name, reached in stages:
        child = mini.start("provision", "-c", "a", "--public-agents=0", start_new_session=True)
        try:
            wait_until(reached, f"the stage '{name}'", pause=0.001)
        finally:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
        mini("destroy", "-c", "a")
        assert mini.traces() == [], name


def test_the_same_again_at_once(mini):
    """The kernel takes its time with network namespaces; a cluster of the same name does not meet them."""
    for _ in range(3):
        mini("provision", "-c", "a", "--agents=0", "--public-agents=0")
        mini("kill", "-c", "a", "--node", "master_0")
        mini("start", "-c", "a")
        mini("destroy", "-c", "a")
        assert mini.traces() == []


def test_a_cluster_without_its_folder_is_cleaned_away(mini):
    mini("provision", "-c", "b", "--agents=0", "--public-agents=0")
    assert mini.traces()
    shutil.rmtree(mini.folder("b"))
    doctor = mini("doctor")
    assert re.search(r"WARNING +1 clusters lost their folders", doctor), doctor
    mini("clean")
    assert mini.traces() == []


def test_a_port_of_the_host_leads_to_the_master(mini):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    mini("provision", "-c", "a", "--agents=0", "--public-agents=0", "--one-master-host-port-map", f"{port}:8000")
    try:
        mini.on("master_0", "systemd-run -q --unit=web -p WorkingDirectory=/etc/ssh "
                            "python3 -m http.server 8000", cluster="a")
        wait_until(lambda: mini.run("run", "-c", "a", "ss -ltn | grep -q :8000").returncode == 0, "the server")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ssh_host_ed25519_key.pub", timeout=5) as answer:
            assert answer.read().startswith(b"ssh-ed25519")
    finally:
        mini("destroy", "-c", "a")
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)
    assert mini.traces() == []
