"""Rows of miniDC/OS's command line that need no installer: good and bad input, odd folders, block devices."""

import os
import re
import shutil

import pytest

from mini import Mini, wait_until

ODD = 'a b:c,d\\e"f%h'


@pytest.fixture(scope="module")
def odd():
    """A cluster in a folder whose name has what other programs' lists and options are made of."""
    mini = Mini()
    mini.top, mini.home = mini.home, os.path.join(mini.home, ODD)
    mini.env["MINIDCOS_HOME"] = mini.home
    volume = os.path.join(mini.top, "v x:y")
    os.mkdir(volume)
    with open(os.path.join(volume, "f"), "w", encoding="utf-8") as f:
        f.write("volume")
    spec = volume.replace(":", "\\:")
    try:
        mini("provision", "--agents=1", "--public-agents=0", f"--custom-agent-volume={spec}:/mnt/v w:ro", "-vv",
             "--no-enable-spinner", "--transport=ssh", "--mount-sys-fs-cgroup", "--variant=oss")
        yield mini
        mini("destroy")
        assert mini.traces() == []
    finally:
        mini.run("clean")
        shutil.rmtree(mini.top, ignore_errors=True)


def test_odd_folders(odd):
    assert odd.on("agent_0", "cat '/mnt/v w/f'") == "volume"
    odd.on("agent_0", "touch '/mnt/v w/g'", code=1)
    odd.on("agent_0", "touch /var/lib/mesos/on-the-host")
    assert os.path.exists(os.path.join(odd.folder(), "nodes", "agent_0", "disk", "on-the-host"))
    odd("kill", "--node", "agent_0")
    odd("start", "--node", "agent_0")
    odd.on("agent_0", "true")


def test_a_file_whose_name_has_a_colon(odd, tmp_path, monkeypatch):
    (tmp_path / "it:is").write_text("text")
    monkeypatch.chdir(tmp_path)
    odd("send-file", "it:is", "/root/sent")
    assert odd.on("master_0", "cat /root/sent") == "text"


def test_inspect_and_references(odd):
    found = odd.inspect()
    assert list(found) == ["Cluster ID", "DC/OS Variant", "Nodes", "Web UI"]
    assert list(found["Nodes"]) == ["agents", "masters", "public_agents"]
    node = found["Nodes"]["agents"][0]
    assert list(node) == ["e2e_reference", "host_name", "ip_address", "machine_name", "running", "ssh_key", "ssh_user"]
    assert os.path.exists(node["ssh_key"])
    for word in ("e2e_reference", "host_name", "ip_address", "machine_name"):
        assert odd.on(node[word], "hostname").strip() == "default-agent-0"


def test_the_environment_of_tests(odd):
    """Variables of the integration tests; the login is not on a command line."""
    odd.on("master_0", "mkdir -p /opt/mesosphere/active/dcos-integration-test; touch /opt/mesosphere/environment.export")
    said = odd("run", "-te", "--env", "OWN=it's", "--dcos-login-uname=me", "--dcos-login-pw=p'w", "env; pwd")
    values = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    nodes = odd.nodes()
    expected = {"MASTER_HOSTS": nodes["master_0"], "PUBLIC_MASTER_HOSTS": nodes["master_0"],
                "SLAVE_HOSTS": nodes["agent_0"], "PUBLIC_SLAVE_HOSTS": "", "DCOS_NUM_MASTERS": "1",
                "DCOS_NUM_AGENTS": "1", "DCOS_DNS_ADDRESS": f"https://{nodes['master_0']}",
                "DCOS_LOGIN_UNAME": "me", "DCOS_LOGIN_PW": "p'w", "OWN": "it's"}
    assert {k: values.get(k) for k in expected} == expected
    assert values["COLUMNS"].isdigit() and values["LINES"].isdigit()
    assert said.splitlines()[-1] == "/opt/mesosphere/active/dcos-integration-test"


def test_command_lines_that_are_wrong(odd, tmp_path):
    """Exit code 2, and nothing is made."""
    empty, a_list = tmp_path / "installer", tmp_path / "list.yaml"
    empty.write_text("")
    a_list.write_text("- a\n")
    for words, said in (
            (["create"], "accepts 1 arg"), (["create", "/absent"], "cannot read /absent"),
            (["create", str(tmp_path)], "is not a file"), (["create", str(empty), "--bogus"], "unknown flag"),
            (["create", str(empty), f"--extra-config={a_list}"], "not a map"),
            (["create", str(empty), f"--extra-config={tmp_path}/absent"], "No such file"),
            (["create", str(empty), f"--genconf-dir={empty}"], "is not a folder"),
            (["create", str(empty), "--license-key=/absent"], "cannot read"),
            (["create", str(empty), "--security-mode=strict"], "enterprise"),
            (["create", str(empty), "--variant=enterprise"], "one variant"),
            (["provision", "--masters=x"], "whole number"), (["provision", "--masters=0"], "out of range"),
            (["provision", "--agents=-1"], "out of range"), (["provision", "--agents=100"], "at most"),
            (["provision", "-c", "a b"], "cannot be a cluster's id"),
            (["provision", "--custom-volume=/a"], "write it as"),
            (["provision", "--custom-volume=/absent:/b"], "there is no /absent"),
            (["provision", "--copy-to-master=/absent:/b"], "/absent"),
            (["provision", "--copy-to-master=/etc/hosts"], "write it as"),
            (["provision", "--one-master-host-port-map=1"], "write it as"),
            (["provision", "--network=10.1.2.3"], "not a network"),
            (["provision", "--docker-storage-driver=auto"], "no meaning"),
            (["provision", "--linux-distribution=centos-7"], "no meaning"),
            (["provision", "--workspace-dir=/tmp"], "no meaning"),
            (["provision", "--no-mount-sys-fs-cgroup"], "no meaning"),
            (["provision", "--transport=docker-exec"], "ssh"),
            (["bogus"], "unknown command"), (["run"], "at least 1"), (["destroy-list"], "at least 1"),
            (["send-file", "a"], "accepts 2"),
            (["send-file", "/absent", "/x"], "cannot read /absent"), (["sync", "/etc"], "is not a checkout")):
        cluster = [] if "-c" in words or words[0] in ("bogus", "destroy-list", "sync") else ["-c", "new"]
        done = odd.run(words[0], *cluster, *words[1:])
        if words[0] in ("run", "send-file"):
            done = odd.run(*words)
        assert done.returncode == 2 and said in done.stderr, (words, done.returncode, done.stderr)
    for command in ("inspect", "wait", "web", "start", "kill", "destroy", "sync", "upgrade", "install"):
        words = [command, "-c", "absent"] + ([str(empty)] if command in ("upgrade", "install") else [])
        done = odd.run(*words)
        assert done.returncode == 2 and "absent" in done.stderr, (words, done.returncode, done.stderr)
    assert odd.on("master_0", "true", code=0) == ""
    assert "NAME=VALUE" in odd("run", "--env", "=x", "true", code=2)
    assert "nothing to set up" in odd("setup-mac-network", "--force", code=1)
    assert odd("list").split() == ["default"]
    assert os.listdir(os.path.join(odd.home, "nspawn")) == ["default"]


def test_an_installer_that_fails(mini, tmp_path):
    """Its exit code is ours, and the cluster is gone."""
    bad = tmp_path / "installer"
    bad.write_text("echo out of luck >&2; exit 7\n")
    done = mini.run("create", "-c", "a", str(bad), "--agents=0", "--public-agents=0")
    assert done.returncode == 7 and "out of luck" in done.stderr, done
    # What the installer says never mixes with the answer.
    bad.write_text("echo out of luck; exit 7\n")
    done = mini.run("create", "-v", "-c", "a", str(bad), "--agents=0", "--public-agents=0")
    assert (done.returncode, done.stdout) == (7, "") and "out of luck" in done.stderr, done
    assert mini.traces() == []


def test_block_devices(odd):
    """Made while a node runs, there after it booted again, in use as long as it is mounted, gone without a trace."""
    device = odd("create-loopback-sidecar", "disk.1", "--size=16").strip()
    assert re.fullmatch(r"/dev/loop\d+", device)
    assert "already" in odd("create-loopback-sidecar", "disk.1", code=2)
    assert odd("list-loopback-sidecars").split() == ["disk.1"]
    odd.on("agent_0", f"mkfs.ext4 -q {device} && mount {device} /mnt && echo kept > /mnt/file && sync")
    assert "in use" in odd("destroy-loopback-sidecar", "disk.1", code=1)
    odd("kill", "--node", "agent_0")
    odd("start", "--node", "agent_0")
    assert odd.on("agent_0", f"mount {device} /mnt && cat /mnt/file && umount /mnt") == "kept\n"
    assert odd.on("master_0", f"blockdev --getsize64 {device}").strip() == str(16 << 20)
    odd("destroy-loopback-sidecar", "disk.1")
    for node in odd.nodes():
        odd.on(node, f"test -e {device}", code=1)
    assert odd("list-loopback-sidecars") == ""
    assert "no loopback sidecar" in odd("destroy-loopback-sidecar", "disk.1", code=2)
    assert "megabytes" in odd("create-loopback-sidecar", "x", "--size=0", code=2)


def test_waiting_tells_for_what(odd):
    """Nothing is installed: that is said while it is waited, and at the end."""
    done = odd.run("wait", "--timeout=8")
    assert done.returncode == 1 and "waiting for" in done.stderr, done.stderr
    assert re.search(r"Error: checks of \w+ do not pass after 8 s", done.stderr), done.stderr


def test_clean_takes_block_devices_too(mini):
    """Also with a file system of a node on them, and when their folder is gone."""
    mini("provision", "-c", "a", "--agents=0", "--public-agents=0")
    device = mini("create-loopback-sidecar", "one", "--size=16").strip()
    mini.on("master_0", f"mkfs.ext4 -q {device} && mount {device} /mnt", cluster="a")
    mini("clean")
    assert mini.traces() == []
    device = mini("create-loopback-sidecar", "two", "--size=1").strip()
    shutil.rmtree(os.path.join(mini.home, "nspawn-loopback"))
    assert mini.traces()
    assert device in mini("clean")
    wait_until(lambda: mini.traces() == [], "the device to go")
