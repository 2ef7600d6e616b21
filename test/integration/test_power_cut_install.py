"""Power cuts while dcos_install.sh is at work: the same again, or what it says instead, finishes the installation."""

import os
import re
import shutil
import socket
import subprocess

import pytest

from alone import alone
from cut import differences, each_cut, often, snapshot
from test_installer import BOOTSTRAP, Site, write
from test_power_cut import tmp_path  # noqa: F401

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or os.path.exists("/opt/mesosphere") or not shutil.which("unshare"),
    reason="the test installs into a mount namespace, which takes root, on a machine without DC/OS",
)

# An /etc and /opt of our own, that stay when the namespace goes.
INSIDE = """set -e
mount -t overlay none -o lowerdir=/etc,upperdir={node}/etc,workdir={node}/work /etc
mount --bind {node}/opt /opt
mkdir -p /run/systemd/system
exec "$@"
"""

# dcos-setup, in steps: the tarball with its marker, the packages, the marker goes.
SYSTEMCTL = """#!/bin/sh
case "$*" in
enable*dcos-setup*) mkdir -p /etc/systemd/system/multi-user.target.wants
    ln -sf ../dcos-setup.service /etc/systemd/system/multi-user.target.wants/ ;;
*start*dcos-setup.service)
    [ -e /etc/systemd/system/dcos-download.service ] || exit 5
    if [ ! -e /opt/mesosphere/active ]; then
        mkdir -p /opt/mesosphere
        : >/opt/mesosphere/bootstrap
        mkdir /opt/mesosphere/active
    fi
    if [ -e /opt/mesosphere/bootstrap ]; then
        cp /etc/mesosphere/setup-flags/* /opt/mesosphere/active/
        : >/etc/systemd/system/dcos.target
        rm /opt/mesosphere/bootstrap
    fi ;;
esac
"""


class Machine:
    def __init__(self, path, site):
        self.path = path
        for name in ("etc", "work", "opt"):
            os.makedirs(f"{path}/{name}")
        write(f"{path}.inside", INSIDE.format(node=path), 0o755)
        write(f"{path}.fake/systemctl", SYSTEMCTL, 0o755)
        self.script = site.at("genconf/serve/dcos_install.sh")
        self.env = dict(os.environ, PATH=f"{path}.fake:/usr/sbin:/usr/bin:/sbin:/bin")

    def inside(self, *command):
        return ["unshare", "--mount", "sh", f"{self.path}.inside", *command]

    def run(self, *command):
        return subprocess.run(self.inside(*command), env=self.env, capture_output=True, text=True, check=False)

    def state(self):
        return {**{"etc/" + k: v for k, v in snapshot(self.path + "/etc").items()},
                **{"opt/" + k: v for k, v in snapshot(self.path + "/opt").items()}}


def test_what_a_host_lacks(tmp_path):  # noqa: F811
    """One line names it all, the exit status counts."""
    site = Site(tmp_path)
    site.config(check_time="true", bootstrap_url="http://no-such-host.invalid")
    site.run()
    machine = Machine(str(tmp_path / "machine"), site)
    write(f"{machine.path}/etc/mesosphere/manual_host_users", "")
    write(f"{machine.path}.fake/df", "#!/bin/sh\necho Filesystem\necho none 100 99 7 99% /\n", 0o755)
    write(f"{machine.path}.fake/timedatectl", "#!/bin/sh\necho no\n", 0o755)
    with open("/etc/passwd", encoding="utf-8") as f:  # the machine of the test may have such users
        write(f"{machine.path}/etc/passwd", "".join(line for line in f if not line.startswith("dcos_")))
    with alone(), socket.socket() as busy:
        busy.bind(("127.0.0.1", 61001))
        busy.listen()
        done = machine.run("dash", machine.script, "-p", "slave")
    (line,) = done.stderr.splitlines()
    failed = [text for text in done.stdout.splitlines() if ": FAIL" in text]
    assert done.returncode == len(failed) and line.startswith(f"not so ({len(failed)}): ")
    for what in ("user dcos_bouncer is there: ", "port 61001/tcp is free: in use", "/opt has room: 7 KiB free",
                 "the clock is kept in time: not synchronised", "no-such-host.invalid can be reached: Could not resolve host"):
        assert what in line, (what, line)


def test_install(tmp_path):  # noqa: F811
    site = Site(tmp_path)
    site.config(check_time="false", bootstrap_url="file:///opt/dcos_install_tmp")
    site.run()
    machine = Machine(str(tmp_path / "machine"), site)
    command = ["dash", machine.script, "-d", "slave"]
    went_on = booted = 0
    for i, run in enumerate(each_cut(machine.path, machine.inside(*command), every=often(3), env=machine.env)):
        assert run.cut or run.code == 0, run.err
        if not run.cut:
            after = machine.state()
            assert "etc/mesosphere/roles/slave" in after and "opt/mesosphere/bootstrap" not in after
            continue
        # Whoever looks first is told what to do. That takes its time: not always.
        looked = machine.run("dash", machine.script, "-p", "slave") if i % 4 == 0 else None
        if looked and "Found an existing" in looked.stderr:
            finished = not differences(machine.state(), after)
            assert finished or "'systemctl start dcos-setup.service' goes on with it" in looked.stderr, (run.where, looked.stderr)
            assert machine.run("systemctl", "start", "dcos-setup.service").returncode == 0
            assert not differences(machine.state(), after), run.where
            went_on += 1
        # Units that are started at boot do their work with all that they read.
        if os.path.lexists(machine.path + "/etc/systemd/system/multi-user.target.wants/dcos-setup.service"):
            assert machine.run("systemctl", "start", "dcos-setup.service").returncode == 0, run.where
            booted += 1
        done = machine.run(*command)
        assert done.returncode == 0, (run.where, done.stderr)
        found = {k: v for k, v in machine.state().items() if not k.endswith(".dcos-tmp")}
        assert not differences(found, after), run.where
    assert went_on > 0 and booted > 0


def download_steps(site, root, tmp):
    """The commands of dcos-download.service, for another root."""
    with open(site.at("genconf/serve/dcos_install.sh"), encoding="utf-8") as f:
        text = f.read()
    text = text.replace("'\\''", "'")  # as it is quoted there
    unit = text[text.index("Description=DC/OS: download"):]
    unit = unit[:unit.index("Description=DC/OS: set up")]
    conditions = re.findall(r"^ConditionPathExists=!(\S+)$", unit, re.M)
    steps = [step.replace("$$", "$").replace("%%", "%") for step in re.findall(r"^ExecStart(?:Pre)?=(.*)$", unit, re.M)]
    move = lambda line: line.replace("/opt/mesosphere", root).replace("/tmp/", tmp + "/")  # noqa: E731
    return [move(c) for c in conditions], [move(step) for step in steps]


def test_download(tmp_path):  # noqa: F811
    """dcos-download, at the first boot: what looks like a whole root is one."""
    site = Site(tmp_path)
    site.config(check_time="false", bootstrap_url=f"file://{tmp_path}/served", bootstrap_tmp_dir="tmp")
    site.run()
    content = tmp_path / "content"
    for name in ("active/one", "bin/pkgpanda", "packages/one--1/pkginfo.json", "bootstrap", "environment"):
        write(str(content / name), name)
    os.makedirs(tmp_path / "served/bootstrap")
    subprocess.run(["tar", "-C", content, "-cJf", tmp_path / f"served/bootstrap/{BOOTSTRAP}.bootstrap.tar.xz", "."], check=True)
    node = tmp_path / "node"
    root, tmp = str(node / "root"), str(node / "tmp")
    os.makedirs(tmp)
    conditions, steps = download_steps(site, root, tmp)
    assert len(conditions) == 2 and len(steps) > 8
    script = str(tmp_path / "download")
    write(script, "set -e\n" + "".join(f"[ ! -e {c} ] || exit 0\n" for c in conditions) + "\n".join(steps) + "\n")
    expected = snapshot(str(content))
    for run in each_cut(str(node), ["sh", script], every=often(3)):
        assert run.cut or run.code == 0, run.err
        if os.path.exists(root + "/active"):
            got = {k: v for k, v in snapshot(root).items() if not k.startswith(".download")}
            assert not differences(got, expected), run.where
        subprocess.run(["sh", script], check=True)
        got = {k: v for k, v in snapshot(root).items() if not k.startswith(".download")}
        assert not differences(got, expected), run.where
