"""Power cuts: programs that change a disk are killed at every step, one after the other; what is left can be used, and
a second run finishes or undoes."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from cut import differences, each_cut, often, snapshot
from test_mkpanda import MKPANDA, Tree, members
from test_pkgpanda import PKGPANDA, Host, tarball

# Two sets that differ in everything that a package can bring.
PACKAGES = {
    "a--1": tarball(
        {"bin/a": "1", "etc/a/one": "1", "dcos.target.wants/a.service": "[Service]\n#1\n",
         "dcos.target.wants/gone.service": "[Service]\n"},
        {"environment": {"A": "1"}, "sysctl": {"a": {"net.x": "1"}}},
    ),
    "a--2": tarball(
        {"bin/a": "2", "lib/b/two": "2", "dcos.target.wants/a.service": "[Service]\n#2\n",
         "dcos.target.wants/new.service": "[Service]\n"},
        {"environment": {"A": "2"}, "state_directory": True},
    ),
    "b--1": tarball({"etc/b/b": "b", "include/b.h": "b"}),
}
PARTS = ["active", "active.buildinfo.full.json", "bin", "environment", "environment.export", "etc", "include", "lib",
         "dcos.target.wants"]
LEFT = [part + ".old" for part in PARTS]


class Node(Host):
    """A host that can be looked at as a whole."""

    def __init__(self, path):
        os.makedirs(path)
        super().__init__(path)
        for one, data in PACKAGES.items():
            with open(os.path.join(self.path, one + ".tar.xz"), "wb") as f:
                f.write(data)

    def command(self, *args):
        return [PKGPANDA, *self.options, *args]

    def add(self, *ids):
        for one in ids:
            self.run("add", os.path.join(self.path, one + ".tar.xz"))

    def whole(self):
        """The root, but for what is of the set before."""
        return snapshot(self.root, LEFT)

    def active(self):
        """Ids; or None, when pkgpanda says what is to be done."""
        done = subprocess.run(self.command("active", "--json"), env=self.env, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return json.loads(done.stdout)
        assert done.returncode == 1 and "pkgpanda setup" in done.stderr, done.stderr
        return None


@pytest.fixture
def tmp_path():
    """In memory: a disk that is synced some ten thousand times takes minutes."""
    with tempfile.TemporaryDirectory(prefix="power-cut-", dir="/dev/shm") as path:
        yield pathlib.Path(path)


@pytest.fixture
def node(tmp_path):
    n = Node(str(tmp_path / "node"))
    n.add(*PACKAGES)
    n.run("activate", "a--1", "b--1")
    return n


def cuts(node, *args, **options):
    """Each run of pkgpanda that is cut off; the first is whole."""
    for run in each_cut(node.path, node.command(*args), env=node.env, **options):
        assert run.cut or run.code == 0, run.err
        yield run


CHANGES = {
    "activate": (["activate", "a--2"], ["a--2"]),
    "swap": (["swap", "a--2"], ["a--2", "b--1"]),
    "rollback": (["rollback"], ["a--2"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_change(node, change):
    """Activate, swap and rollback: what boots is the old set or the new one, whole."""
    args, new = CHANGES[change]
    if change == "rollback":
        node.run("activate", "a--2")
        node.run("activate", "a--1", "b--1")
    old, before, after, seen = ["a--1", "b--1"], node.whole(), None, set()
    for i, run in enumerate(cuts(node, *args, every=often(3))):
        if not run.cut:
            after = node.whole()
            assert node.active() == new
            continue
        active = node.active()
        assert active in (old, new, None), run.where
        # What units do before there is a whole set: nothing is downloaded then, and `setup` finds its program.
        progress = os.path.exists(os.path.join(node.root, "install_progress"))
        assert progress or os.path.exists(os.path.join(node.root, "active")), run.where
        for part, name in (("bin", "a"), ("lib", "")):
            at = os.path.join(node.root, part)
            assert os.path.exists(os.path.join(at if os.path.exists(at) else at + ".new", name)), run.where
        done = active == new and not progress
        if i % 2:  # as the boot after the cut does; else nothing is between the cut and the second run
            node.run("setup")
            active = node.active()
            assert active in (old, new), run.where
            got = node.whole()
            staged = [k for k in got if k.split("/")[0].endswith(".new") or ".tmp." in k]
            got = {k: v for k, v in got.items() if k not in staged}
            assert not differences(got, before if active == old else after), run.where
            assert active == old or not staged, run.where
            done = active == new
        seen.add(str(active))
        if change != "rollback" or not done:  # another rollback takes one back that was whole
            node.run(*args)
            assert not differences(node.whole(), after), run.where
    assert len(seen) == 3


def test_cut_again(node):
    """A boot that finishes a change is cut off as well: the one after it does it."""
    recovered = 0
    for first in cuts(node, "swap", "a--2", every=9):
        if not first.cut:
            after = node.whole()
        if not os.path.exists(os.path.join(node.root, "install_progress")):
            continue
        for again in cuts(node, "setup", keep=".second", every=5):
            node.run("setup")
            assert node.active() == ["a--2", "b--1"], (first.where, again.where)
            got = {k: v for k, v in node.whole().items() if ".tmp." not in k}
            assert not differences(got, after), (first.where, again.where)
            recovered += again.cut
    assert recovered > 20


def test_add(node):
    """A package is in the repository whole, or not at all."""
    package = os.path.join(node.root, "packages", "c--1")
    with open(os.path.join(node.path, "c--1.tar.xz"), "wb") as f:
        f.write(tarball({f"lib/{i}": "x" * 5000 for i in range(20)}))
    for run in cuts(node, "add", os.path.join(node.path, "c--1.tar.xz"), every=often(3)):
        if not run.cut:
            after = snapshot(os.path.join(node.root, "packages"))
            continue
        if os.path.exists(package):
            assert not differences(snapshot(os.path.join(node.root, "packages")), after), run.where
        else:
            assert "c--1" not in json.loads(node.run("list", "--json")[0]), run.where
        node.add("c--1")
        assert not differences(snapshot(os.path.join(node.root, "packages")), after), run.where


def test_remove(node):
    for run in cuts(node, "remove", "a--2"):
        if not run.cut:
            after = snapshot(node.root)
        ids = json.loads(node.run("list", "--json")[0])
        if "a--2" in ids:  # as good as ever
            node.run("activate", "a--2", "--no-systemd")
            node.run("activate", "a--1", "b--1", "--no-systemd")
        node.run("remove", "a--2")
        node.run("add", os.path.join(node.path, "b--1.tar.xz"))
        assert sorted(os.listdir(os.path.join(node.root, "packages"))) == ["a--1", "b--1"], run.where
        assert node.active() == ["a--1", "b--1"] and after


def test_fetch(node, tmp_path):
    """Packages of a repository that a package list names."""
    served = tmp_path / "served" / "packages" / "a"
    served.mkdir(parents=True)
    shutil.copy(os.path.join(node.path, "a--2.tar.xz"), served)
    node.run("sign", str(served / "a--2.tar.xz"))
    node.run("remove", "a--2")
    for run in cuts(node, "fetch", f"--repository-url={tmp_path}/served", "a--2"):
        node.run("fetch", f"--repository-url={tmp_path}/served", "a--2")
        assert sorted(os.listdir(os.path.join(node.root, "packages"))) == ["a--1", "a--2", "b--1"], run.where
        node.run("activate", "a--2")


@pytest.fixture
def fresh(tmp_path):
    """A host as dcos-download leaves it: one package of the tarball, the rest in a repository."""
    n = Node(str(tmp_path / "node"))
    n.add("b--1")
    n.run("activate", "b--1", "--no-systemd")
    with open(os.path.join(n.root, "bootstrap"), "w"):
        pass
    served = tmp_path / "served"
    os.makedirs(served / "packages" / "a")
    os.makedirs(served / "packages" / "late")
    os.makedirs(served / "package_lists")
    shutil.copy(os.path.join(n.path, "a--1.tar.xz"), served / "packages" / "a")
    (served / "package_lists" / "abc.package_list.json").write_text('["a--1"]')
    flags = os.path.join(n.path, "etc", "setup-flags")
    os.makedirs(flags)
    for name, text in (("repository-url", str(served) + "\n"), ("cluster-package-list", "abc\n")):
        with open(os.path.join(flags, name), "w") as f:
            f.write(text)
    return n


def test_setup(fresh):
    """The first boot."""
    node = fresh
    for run in cuts(node, "setup", every=often(3)):
        if not run.cut:
            after = node.whole()
            assert node.active() == ["a--1", "b--1"]
        node.run("setup")
        assert node.active() == ["a--1", "b--1"], run.where
        got = {k: v for k, v in node.whole().items() if ".tmp." not in k}
        assert not differences(got, after), run.where
        assert node.systemctl()[-1].startswith("start dcos.target"), run.where


def test_uninstall(node):
    for run in cuts(node, "uninstall", every=often(5)):
        node.run("uninstall")
        assert not os.path.exists(node.root), run.where


# ---- mkpanda ----


@pytest.fixture
def tree(tmp_path):
    t = Tree(tmp_path / "packages")
    t.write("one/data/file", "source")
    t.package("one", {"single_source": {"kind": "local", "rel_path": "data"}},
              "mkdir $PKG_PATH/bin; cp -r $PKG_SRC/one $PKG_PATH/bin/one\n")
    t.package("two", {"requires": ["one"]}, "mkdir $PKG_PATH/lib; cp -rL $PKG_ROOT/bin/one $PKG_PATH/lib/two\n")
    t.write("treeinfo.json", json.dumps({"bootstrap_package_list": ["one", "two"]}))
    return t


@pytest.mark.parametrize(("how", "every"), [("--no-isolation", 13), ("", 41)])
def test_build(tree, how, every):
    """A tree with its bootstrap tarball: what is in the cache under its name is whole, and nothing else stays."""
    command = [MKPANDA, "tree", "--mkbootstrap", *how.split()]
    cache = os.path.join(tree.path, "cache")
    for run in each_cut(tree.path, command, every=often(every), cwd=tree.path):
        assert run.cut or run.code == 0, run.err
        if not run.cut:
            after = snapshot(cache)
            assert len([k for k in after if k.endswith(".tar.xz")]) == 3
        for name, value in snapshot(cache).items():
            if name.endswith((".tar.xz", "latest", ".json")) and "/.work/" not in name and "/.make" not in name:
                assert value == after.get(name), (run.where, name)
        tree.run("tree", "--mkbootstrap", *how.split())
        assert not differences(snapshot(cache), after), run.where


def test_git_source(tree, tmp_path):
    """Git itself is cut off while it fetches into the cache: its locks do not stop the next build."""
    repository = str(tmp_path / "origin")
    git = ["git", "-C", repository, "-c", "user.name=a", "-c", "user.email=a@b"]

    def commit(text):
        tree.write(os.path.join(repository, "file"), text)
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-q", "-m", text], check=True)
        return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()

    def build(ref):
        source = {"kind": "git", "git": repository, "ref": ref, "ref_origin": "HEAD"}
        tree.package("three", {"single_source": source}, "cp $PKG_SRC/three/file $PKG_PATH/\n")

    subprocess.run(["git", "init", "-q", repository], check=True)
    build(commit("1"))
    tree.build("three", "--no-isolation")
    ref = commit("2")
    build(ref)
    command = [MKPANDA, "--no-isolation", "--variant=default"]
    for run in each_cut(tree.path, command, every=often(29), cwd=os.path.join(tree.path, "three")):
        assert run.cut or run.code == 0, run.err
        _, path = tree.build("three", "--no-isolation")
        assert members(path)["./file"] == b"2", run.where
