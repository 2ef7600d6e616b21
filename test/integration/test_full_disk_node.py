"""Disks that are full, or become so on the way: packages, builds, a served folder, a release. Each says so in a line, what
was in force stays, and all goes on once there is space."""

import json
import os
import shutil
import subprocess

import pytest

from cut import differences, snapshot
from test_full_disk import Disk
from test_installer import BOOTSTRAP, COMMIT, Site
from test_mkpanda import MKPANDA, Tree
from test_power_cut import Node
from test_release import Project

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
PAGE = 4096


@pytest.fixture
def disk(tmp_path):
    try:
        d = Disk(str(tmp_path))
    except subprocess.CalledProcessError:
        pytest.skip("no right to mount")
    yield d
    subprocess.run(["umount", "--lazy", d.path], check=True)


def leave(disk, pages):
    """All but some pages are full."""
    disk.fill()
    os.truncate(disk.ballast, os.path.getsize(disk.ballast) - pages * PAGE)


def until_it_fits(disk, run, step=1, most=400):
    """Gives what was said of each run for which there were too few pages; the last one succeeds."""
    for pages in range(0, most, step):
        leave(disk, pages)
        done = run()
        os.unlink(disk.ballast)
        if done.returncode == 0:
            assert pages > 0
            return
        assert done.returncode == 1, done.stderr
        assert "No space left on device" in done.stderr, done.stderr
        yield pages
    raise AssertionError("there was never enough")


def test_packages(disk):
    node = Node(os.path.join(disk.path, "node"))
    node.add("a--1", "b--1")
    node.run("activate", "a--1", "b--1")

    def run(*args):
        return lambda: subprocess.run(node.command(*args), env=node.env, capture_output=True, text=True, check=False)

    tarball, before = os.path.join(node.path, "a--2.tar.xz"), node.whole()
    for pages in until_it_fits(disk, run("add", tarball)):
        assert not differences(node.whole(), before), pages
    before = node.whole()
    for pages in until_it_fits(disk, run("activate", "a--2", "b--1")):
        node.run("setup")  # a swap that had begun ends
        if node.active() == ["a--2", "b--1"]:
            node.run("activate", "a--1", "b--1")
        assert not differences(node.whole(), before), pages
    assert node.active() == ["a--2", "b--1"]


def test_build(disk):
    tree = Tree(os.path.join(disk.path, "packages"))
    tree.package("one", {}, "mkdir $PKG_PATH/bin; head -c 60000 /dev/urandom > $PKG_PATH/bin/one\n")
    command = [MKPANDA, "--no-isolation", "--variant=default"]
    folder = os.path.join(tree.path, "one")
    cache = os.path.join(tree.path, "cache", "packages", "one")
    for pages in until_it_fits(
        disk, lambda: subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False), step=3
    ):
        if os.path.isdir(cache):
            assert not [n for n in os.listdir(cache) if n.endswith((".tar.xz", ".part"))], pages
    assert sorted(n.split("--")[0] for n in os.listdir(cache)) == ["latest", "one"]


def test_genconf(disk, tmp_path):
    site = Site(tmp_path)
    site.config(superuser_password_hash="$6$rounds=656000$123o/Uz.N.Fx0lXy$WKdSfUjFhhuVYvqcYMPjsvKZOCsRGeZGSz1PbZuWEIZGZwvMDxYCTDGqlN4bhe6xXaGPuZZBTqXlSNCLzFvI81")
    site.run("--version")
    program = site.at(f"{[d for d in os.listdir(site.path) if d.startswith('dcos-genconf.')][0]}/installer/bin/dcos-installer")
    env = dict(os.environ, DCOS_IMAGE_COMMIT=COMMIT, BOOTSTRAP_ID=BOOTSTRAP)
    shutil.copytree(site.at("genconf"), os.path.join(disk.path, "genconf"))
    serve = os.path.join(disk.path, "genconf", "serve")
    for pages in until_it_fits(
        disk, lambda: subprocess.run([program], cwd=disk.path, env=env, capture_output=True, text=True, check=False), step=5
    ):
        assert not os.path.exists(os.path.join(serve, "dcos_install.sh")), pages
    files = snapshot(os.path.join(disk.path, "genconf"))
    assert "serve/dcos_install.sh" in files and not [k for k in files if ".tmp" in k]


def test_release(disk, tmp_path):
    """The storage is full; the channel shows the release before."""
    store = os.path.join(disk.path, "store")
    p = Project(tmp_path / "project", {"here": {"kind": "local_path", "path": store}}, "here")
    p.run("create", "master", "1", "default")
    (p.path / "packages/one/build").write_text("#!/bin/sh\nmkdir $PKG_PATH/etc; echo new > $PKG_PATH/etc/one\n")
    for pages in until_it_fits(
        disk,
        lambda: subprocess.run(p.command("create", "master", "2", "default"), cwd=p.path, capture_output=True, text=True, check=False),
        step=3,
    ):
        with open(f"{store}/testing/master/metadata.json", encoding="utf-8") as f:
            metadata = json.load(f)
        assert metadata["tag"] == "1", pages
        assert not [k for k in snapshot(store) if ".dcos-release-" in k], pages
    with open(f"{store}/testing/master/metadata.json", encoding="utf-8") as f:
        assert json.load(f)["tag"] == "2"
