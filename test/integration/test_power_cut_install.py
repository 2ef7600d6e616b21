"""Power cuts while dcos_install.sh is at work: the same again, or what it says instead, finishes the installation."""

import os
import shutil
import subprocess

import pytest

from cut import differences, each_cut, often, snapshot
from test_installer import Site, write
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
