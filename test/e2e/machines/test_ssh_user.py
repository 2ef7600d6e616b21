"""Machines that let only a plain user in, who becomes root by sudo: the runner, and an installation from end to end."""

import functools
import glob
import hashlib
import http.server
import json
import os
import re
import subprocess
import threading

import pytest

from mini import ROOT, BUILD, Mini

# A release build has no test programs.
DRIVE = os.path.join(BUILD if os.path.isdir(os.path.join(BUILD, "test")) else os.path.join(ROOT, "build", "debug"),
                     "test", "unit", "ssh", "ssh_drive")
SUDOERS = "/etc/sudoers.d/plain"


class Operator:
    """A folder with a key, and a machine whose user `plain` has it. Root's door is shut."""

    def __init__(self, mini, folder):
        self.mini, self.folder = mini, str(folder)
        os.makedirs(self.at("genconf"))
        self.key = self.at("genconf/ssh_key")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        self.nodes = mini.nodes()
        with open(self.key + ".pub", encoding="utf-8") as f:
            public = f.read().strip()
        for name in self.nodes:
            mini.on(name, "useradd --create-home --shell /bin/bash plain && install -d -m 0700 -o plain -g plain ~plain/.ssh && "
                          f"echo '{public}' >~plain/.ssh/authorized_keys && chown plain: ~plain/.ssh/authorized_keys")
            assert subprocess.run(["ssh", "-i", self.key, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                                   "-o", "BatchMode=yes", f"root@{self.nodes[name]}", "true"], capture_output=True).returncode != 0

    def at(self, name):
        return os.path.join(self.folder, name)

    def sudoers(self, text):
        for name in self.nodes:
            self.mini.on(name, f"printf '%s\\n' '{text}' >{SUDOERS} && chmod 0440 {SUDOERS} && visudo -cqf {SUDOERS}")

    def drive(self, steps):
        if not os.path.exists(DRIVE):
            pytest.skip("ssh_drive is built with the tests: ./dev build debug")
        spec = {"user": "plain", "key": self.key, "known_hosts": self.at("known_hosts"), "record": True,
                "logs": self.at("logs"), "hosts": [{"address": a} for a in self.nodes.values()], "steps": steps,
                "connect_timeout_ms": 20000}
        done = subprocess.run([DRIVE], input=json.dumps(spec), capture_output=True, text=True, timeout=300)
        return json.loads(done.stdout)

    def genconf(self, installer, url):
        with open(self.at("genconf/ip-detect"), "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\nip -4 -o address show dev host0 | sed -n 's/.* inet \\([0-9.]*\\).*/\\1/p' | head -n 1\n")
        config = {
            "cluster_name": "plain", "bootstrap_url": url, "exhibitor_storage_backend": "static", "master_discovery": "static",
            "master_list": [self.nodes["master_0"]], "agent_list": [self.nodes["agent_0"]], "ssh_user": "plain", "check_time": "false"}
        with open(self.at("genconf/config.yaml"), "w", encoding="utf-8") as f:
            f.writelines(f"{k}: {json.dumps(v)}\n" for k, v in config.items())
        self.run(installer, "--genconf")

    def run(self, file, *args, code=0):
        done = subprocess.run(["sh", file, *args], cwd=self.folder, capture_output=True, text=True, timeout=900)
        assert done.returncode == code, (args, done.stdout[-3000:], done.stderr[-3000:])
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def operator(tmp_path_factory):
    mini = Mini()
    try:
        mini("provision", "--agents=1", "--public-agents=0")
        yield Operator(mini, tmp_path_factory.mktemp("operator"))
        mini("destroy")
        assert mini.traces() == []
    finally:
        mini.close()


STEP = {"stage": "look", "run": "[ $(id -u) = 0 ] && echo $$ >/root/was-here"}


@pytest.mark.parametrize("sudoers", [
    "plain ALL=(ALL) NOPASSWD: ALL",
    "plain ALL=(ALL) NOPASSWD: ALL\nDefaults:plain requiretty",
    "plain ALL=(ALL) NOPASSWD: ALL\nDefaults !use_pty",
    "plain ALL=(ALL) NOPASSWD: ALL\nDefaults:plain requiretty\nDefaults !use_pty",
])
def test_root_by_sudo(operator, tmp_path, sudoers):
    operator.sudoers(sudoers.replace("\n", "' '"))
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3_000_000) + b"\x04\x03\r\n")
    copy = {"stage": "copy", "copy": str(source), "remote": "/opt/a folder/file", "mode": 0o640}
    slow = {"stage": "slow", "run": "echo $$ >/root/slow; sleep 600", "timeout_ms": 5000}
    results = operator.drive([STEP, copy, slow])
    assert [r["status"] for r in results] == ["terminated"] * len(results), results
    assert all(r["reason"].startswith("slow: still not done") for r in results), results
    wanted = subprocess.run(["sha256sum", str(source)], capture_output=True, text=True).stdout.split()[0]
    for name in operator.nodes:
        said = operator.mini.on(name, "sha256sum '/opt/a folder/file'; stat -c '%U %a' '/opt/a folder/file'; rm -rf '/opt/a folder'; "
                                      "for i in $(seq 100); do kill -0 $(cat /root/slow) 2>/dev/null || break; sleep 0.1; done; "
                                      "kill -0 $(cat /root/slow) 2>/dev/null && echo alive; rm /root/was-here /root/slow")
        assert said.split()[0] == wanted and said.splitlines()[1:] == ["root 640"], said


def test_sudo_that_does_not_do(operator):
    for sudoers, reason in (
            ("plain ALL=(ALL) ALL", "sudo asks for the password of user plain, which must be let do without (NOPASSWD)"),
            ("# nothing", "sudo asks for the password of user plain, which must be let do without (NOPASSWD)"),
            ("plain ALL=(ALL) NOPASSWD: /usr/bin/id", "sudo asks for the password of user plain, which must be let do without (NOPASSWD)")):
        operator.sudoers(sudoers)
        for result in operator.drive([STEP]):
            assert (result["status"], result["reason"]) == ("failed", reason)


def test_installation(operator, installer):
    """--preflight, --deploy, --postflight and --uninstall, sudo wanting a terminal."""
    operator.sudoers("plain ALL=(ALL) NOPASSWD: ALL' 'Defaults:plain requiretty")
    operator.genconf(installer, "file:///opt/dcos_install_tmp")
    for action in "--preflight", "--deploy", "--postflight":
        assert "2 of 2 hosts done" in operator.run(installer, action, "--accept-host-keys")
    for name in operator.nodes:
        assert operator.mini.on(name, "ls -A /opt; ls -A ~plain").split() == ["mesosphere", ".bash_logout", ".bashrc", ".profile", ".ssh"]
    assert "2 of 2 hosts done" in operator.run(installer, "--uninstall", "--accept-host-keys")
    for name in operator.nodes:
        assert operator.mini.on(name, "ls -A /opt").strip() == ""


def swap(path):
    """Other bytes, with a digest beside them that fits."""
    with open(path, "rb") as f:
        good = f.read()
    os.unlink(path)  # it may be the installer's own file under another name
    with open(path, "wb") as f:
        f.write(good[:-1] + bytes([good[-1] ^ 1]))
    name = os.path.basename(path)
    with open(path + ".sha256", "w", encoding="utf-8") as f:
        f.write(f"{hashlib.sha256(good[:-1] + bytes([good[-1] ^ 1])).hexdigest()}  {name}\n")
    return good


def put_back(path, good):
    with open(path, "wb") as f:
        f.write(good)


def test_swapped_files_over_http(operator, installer):
    """Who answers at bootstrap_url decides nothing: what the script does not know is not unpacked, and a second try works."""
    operator.sudoers("plain ALL=(ALL) NOPASSWD: ALL")
    gateway = operator.mini.on("master_0", "ip -4 route show default").split()[2]
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=operator.at("genconf/serve"))
    with http.server.ThreadingHTTPServer((gateway, 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        operator.genconf(installer, f"http://{gateway}:{server.server_address[1]}")
        tarball = glob.glob(operator.at("genconf/serve/bootstrap/*.tar.xz"))[0]
        package = glob.glob(operator.at("genconf/serve/packages/mesos/*.tar.xz"))[0]

        good = swap(tarball)
        said = operator.run(installer, "--deploy", "--accept-host-keys", code=1)
        for address in operator.nodes.values():
            assert re.search(rf"^{re.escape(address)}: install DC/OS: dcos_install.sh: dcos-setup.service did not start: "
                             rf"{os.path.basename(tarball)} is not what the installer made: its SHA-256 is \w+ \(exit status 1\)$",
                             said, re.M), said
        for name in operator.nodes:
            assert operator.mini.on(name, "ls -A /opt/mesosphere") == ""
        put_back(tarball, good)

        good = swap(package)
        said = operator.run(installer, "--deploy", "--accept-host-keys", code=1)
        assert len(re.findall(rf"^[0-9.]+: .*{os.path.basename(package)} is not what the installer made", said, re.M)) == 2, said
        for name in operator.nodes:
            active = operator.mini.on(name, "/opt/mesosphere/bin/pkgpanda active")
            assert "dcos-config--" not in active and "mesos--" not in active
            assert operator.mini.on(name, "ls /opt/mesosphere/packages | grep -c ^mesos-- || true").strip() == "0"
        put_back(package, good)
        said = operator.run(installer, "--deploy", "--accept-host-keys", code=1)
        assert said.count("It is not finished: 'systemctl start dcos-setup.service' goes on with it.") >= 2
        for name in operator.nodes:
            operator.mini.on(name, "systemctl start dcos-setup.service")
            assert "mesos--" in operator.mini.on(name, "/opt/mesosphere/bin/pkgpanda active")
        server.shutdown()
    operator.run(installer, "--uninstall", "--accept-host-keys")
