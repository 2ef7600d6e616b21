"""mkpanda: packages, trees and bootstrap tarballs out of small package folders."""

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time
import zipfile

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("DCOS_BUILD", os.path.join(ROOT, "build", "debug"))
MKPANDA = os.path.join(BUILD, "src", "mkpanda", "mkpanda")
PKGPANDA = os.path.join(BUILD, "src", "pkgpanda", "pkgpanda")


class Tree:
    def __init__(self, path):
        self.path = str(path)

    def write(self, path, text, mode=0o644):
        full = os.path.join(self.path, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        os.chmod(full, mode)

    def package(self, name, info=None, build="mkdir -p $PKG_PATH/bin\n", variant=""):
        self.write(f"{name}/{variant}buildinfo.json", json.dumps(info or {}))
        self.write(f"{name}/{variant}build", "#!/bin/sh\nset -e\n" + build, 0o755)

    def run(self, *args, cwd=".", code=0):
        done = subprocess.run(
            [MKPANDA, *args], cwd=os.path.join(self.path, cwd), capture_output=True, timeout=120
        )
        assert done.returncode == code, (done.stdout, done.stderr)
        return done.stdout.decode(), done.stderr.decode()

    def build(self, name, *args):
        """Builds the default variant, gives id and tarball."""
        out, _ = self.run("--variant=default", *args, cwd=name)
        path = out.rstrip("\n").split(":", 1)[1]
        return os.path.basename(path)[: -len(".tar.xz")], path

    def fails(self, name, *args):
        out, err = self.run(*args, cwd=name, code=1)
        assert out == ""
        return err.splitlines()[-1]


def members(path):
    with tarfile.open(path) as t:
        return {m.name: (t.extractfile(m).read() if m.isfile() else m) for m in t.getmembers()}


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path / "packages")


def test_not_a_package(tree):
    tree.write("empty/x", "")
    assert "is not a package's folder" in tree.fails("empty")
    tree.write("odd/.buildinfo.json", "{}")
    assert "a variant's file is called" in tree.run(cwd="odd", code=1)[1]


def test_single_package(tree):
    tree.write("foo/extra/note", "extra")
    tree.package(
        "foo",
        {"environment": {"FOO": "1"}, "username": "dcos_foo", "state_directory": True, "sysctl": {"foo": {"k": "v"}}},
        'mkdir -p $PKG_PATH/bin\ncp $PKG_EXTRA/note $PKG_PATH/bin/note\n'
        'echo "$PKG_NAME $PKG_VERSION $PKG_ID $PKG_VARIANT $(pwd)" > $PKG_PATH/env\n',
    )
    package, path = tree.build("foo")
    files = members(path)
    assert files["./bin/note"] == b"extra"
    name, version, whole, variant, where = files["./env"].decode().split()
    assert (name, whole, variant) == ("foo", package, "<default>") and package == "foo--" + version
    assert json.loads(files["./pkginfo.json"]) == {
        "environment": {"FOO": "1"}, "requires": [], "state_directory": True, "sysctl": {"foo": {"k": "v"}},
        "username": "dcos_foo",
    }
    info = json.loads(files["./buildinfo.full.json"])
    assert info["package_version"] == version and info["name"] == "foo" and info["variant"] == ""
    assert info["build_ids"]["extra_source"] == info["extra_source"]
    with open(os.path.join(tree.path, "cache", "packages", "foo", "latest")) as f:
        assert f.read() == package
    assert not os.path.exists(os.path.join(tree.path, "cache", "packages", "foo", ".work"))
    # Nothing changed: nothing is built.
    assert "building" not in tree.run(cwd="foo")[1]


def test_same_bytes_anywhere(tree, tmp_path):
    tree.package("foo", {}, "mkdir -p $PKG_PATH/lib/z $PKG_PATH/a\ndate > $PKG_PATH/a/x; : > $PKG_PATH/a/x\n"
                            "ln -s x $PKG_PATH/a/l\necho $SOURCE_DATE_EPOCH > $PKG_PATH/lib/z/t\n")
    first, path = tree.build("foo")
    other = Tree(tmp_path / "elsewhere" / "deep")
    shutil.copytree(os.path.join(tree.path, "foo"), os.path.join(other.path, "foo"))
    second, again = other.build("foo")
    assert first == second and digest(path) == digest(again)
    with tarfile.open(path) as t:
        names = [m.name for m in t.getmembers()]
        assert names[0] == "." and all((m.uid, m.gid, m.mtime) == (0, 0, 315532800) for m in t.getmembers())
        assert len({m.mode for m in t.getmembers() if m.isdir()}) == 1
    # The script is part of the id, the folder is not.
    tree.package("foo", {}, "mkdir $PKG_PATH/b\n")
    assert tree.build("foo")[0] != first


def test_isolation(tree, tmp_path):
    tree.package("plain")
    if "no namespaces" in tree.run(cwd="plain")[1]:
        pytest.skip("namespaces cannot be made here")
    secret = tmp_path / "secret"
    secret.write_text("x")
    tree.write("foo/data", "kept")
    tree.package("foo", {"single_source": {"kind": "local", "rel_path": "."}}, f"""
test ! -e {secret}
test ! -e /root; test ! -e /home; test ! -e /etc/shadow; test ! -e /var/lib
test "$(ls /sys 2>/dev/null)" = ""
test "$(wc -l < /proc/net/dev)" = 3
test "$(cat /proc/1/comm)" = build
! touch /usr/x 2>/dev/null
! touch /pkg/build/x 2>/dev/null
! touch /opt/mesosphere/x 2>/dev/null
test "$(pwd)" = /pkg/src; echo changed > foo/data
test "$PKG_PATH" = "/opt/mesosphere/packages/$PKG_ID"
echo fine > $PKG_PATH/ok
""")
    _, path = tree.build("foo")
    assert members(path)["./ok"] == b"fine\n"
    with open(os.path.join(tree.path, "foo", "data")) as f:
        assert f.read() == "kept"


def test_failing_script_and_reserved_unit(tree):
    tree.package("foo", {}, "echo out of luck >&2\nexit 7\n")
    out, err = tree.run(cwd="foo", code=1)
    assert "out of luck\n" in err
    assert err.splitlines()[-1] == "ERROR: package foo variant <default>: the build script of foo ended with 7"
    assert not os.path.exists(os.path.join(tree.path, "cache", "packages", "foo", "latest"))
    tree.package("foo", {}, "mkdir $PKG_PATH/dcos.target.wants_x\n: > $PKG_PATH/dcos.target.wants_x/dcos.target\n")
    assert "reserved unit dcos.target" in tree.fails("foo")
    tree.package("foo", {"nope": 1})
    assert "unknown keys: nope" in tree.fails("foo")


def test_dependencies(tree):
    tree.package("base", {"environment": {"BASE": "x"}},
                 "mkdir -p $PKG_PATH/bin\nprintf '#!/bin/sh\\necho base\\n' > $PKG_PATH/bin/base\n"
                 "chmod +x $PKG_PATH/bin/base\n")
    tree.package("mid", {"requires": ["base"]}, "mkdir $PKG_PATH/etc\n")
    tree.package("top", {"requires": ["mid"]}, "$PKG_ROOT/bin/base > $PKG_PATH/said\nls $PKG_ROOT/active > $PKG_PATH/active\n")
    assert "rebuild the dependency" in tree.fails("top")
    package, path = tree.build("top", "--recursive")
    files = members(path)
    assert files["./said"] == b"base\n" and files["./active"] == b"base\nmid\n"
    requires = json.loads(files["./buildinfo.full.json"])["build_ids"]["requires"]
    assert [r.split("--")[0] for r in requires] == ["base", "mid"]
    # A change below is a change above.
    tree.package("base", {}, "mkdir $PKG_PATH/lib\n")
    tree.build("base")
    assert "rebuild" not in tree.run(cwd="mid")[1]
    tree.package("loop", {"requires": ["pool"]})
    tree.package("pool", {"requires": ["loop"]})
    assert "requires itself" in tree.fails("loop", "--recursive")
    tree.package("lost", {"requires": ["nowhere"]})
    assert "no package here" in tree.fails("lost", "--recursive")


def test_no_isolation(tree):
    tree.package("base", {}, "mkdir $PKG_PATH/bin\nprintf '#!/bin/sh\\necho base\\n' > $PKG_PATH/bin/base\n"
                             "chmod +x $PKG_PATH/bin/base\n")
    tree.package("top", {"requires": ["base"], "single_source": {"kind": "local", "rel_path": "."}},
                 "$PKG_ROOT/bin/base > $PKG_PATH/said\ncmp top/build $PKG_BUILD/build\ntest $(pwd) = $PKG_SRC\n")
    out, err = tree.run("--no-isolation", "--recursive", cwd="top")
    assert "WARNING: no namespaces" in err
    plain = out.strip().split(":", 1)[1]
    assert members(plain)["./said"] == b"base\n"
    before = digest(plain)
    os.unlink(plain)
    assert digest(tree.build("top")[1]) == before


def test_variants(tree):
    tree.package("foo", {}, "echo default > $PKG_PATH/v\n")
    tree.package("foo", {}, "echo small $PKG_VARIANT > $PKG_PATH/v\n", variant="small.")
    out, _ = tree.run(cwd="foo")
    lines = dict(line.split(":", 1) for line in out.splitlines())
    assert members(lines["<default>"])["./v"] == b"default\n"
    assert members(lines["small"])["./v"] == b"small small\n"
    assert os.path.exists(os.path.join(tree.path, "cache", "packages", "foo", "small.latest"))
    assert "no variant large" in tree.fails("foo", "--variant=large")
    tree.package("a", {"requires": [{"name": "foo", "variant": "small"}]})
    tree.package("b", {"requires": ["foo", "a"]})
    tree.build("a")
    assert "as variant <default> and as variant small" in tree.fails("b")


def archive(top="top/"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as t:
        for name in ("a.txt", "d/b.txt"):
            info = tarfile.TarInfo(top + name)
            info.size = 2
            t.addfile(info, io.BytesIO(b"x\n"))
    return out.getvalue()


def test_url_sources(tree, tmp_path):
    tar = archive()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("top/z.txt", "z\n")
    for name, data in (("s.tar.gz", tar), ("s.zip", out.getvalue())):
        (tmp_path / name).write_bytes(data)

    def source(name, kind, sha1=None):
        data = (tmp_path / name).read_bytes()
        return {"kind": kind, "url": f"file://{tmp_path}/{name}", "sha1": sha1 or hashlib.sha1(data).hexdigest()}

    tree.package(
        "foo",
        {"sources": {"tar": source("s.tar.gz", "url_extract"), "zip": source("s.zip", "url_extract"),
                     "raw": source("s.tar.gz", "url")}},
        "find . -type f | sort > $PKG_PATH/files\n",
    )
    _, path = tree.build("foo")
    assert members(path)["./files"].decode().split() == ["./raw/s.tar.gz", "./tar/a.txt", "./tar/d/b.txt", "./zip/z.txt"]
    tree.package("bad", {"single_source": source("s.tar.gz", "url", "0" * 40)})
    assert "has SHA-1" in tree.fails("bad")
    cache = os.path.join(tree.path, "cache", "packages", "bad", "bad")
    assert os.listdir(cache) == ["s.tar.gz.corrupt"]
    (tmp_path / "s.odd").write_bytes(tar)
    tree.package("odd", {"single_source": source("s.odd", "url_extract")})
    assert "no suffix of an archive" in tree.fails("odd")


def git(cwd, *args):
    env = dict(os.environ, GIT_AUTHOR_NAME="t", GIT_AUTHOR_EMAIL="t@t", GIT_COMMITTER_NAME="t", GIT_COMMITTER_EMAIL="t@t")
    return subprocess.run(["git", *args], cwd=cwd, env=env, check=True, capture_output=True).stdout.decode().strip()


def test_git_sources(tree, tmp_path):
    repository = tmp_path / "repository"
    repository.mkdir()
    git(repository, "init", "-q", "-b", "main")
    (repository / "f").write_text("1\n")
    git(repository, "add", "f")
    git(repository, "commit", "-qm", "one")
    first = git(repository, "rev-parse", "HEAD")
    info = {"single_source": {"kind": "git", "git": str(repository), "ref": first, "ref_origin": "main"}}
    tree.package("far", info, "cp far/f $PKG_PATH/f\n")
    package, path = tree.build("far")
    assert members(path)["./f"] == b"1\n"
    tree.package("near", {"single_source": {"kind": "git_local", "rel_path": "../../repository"}}, "cp near/f $PKG_PATH/f\n")
    near, _ = tree.build("near")
    (repository / "f").write_text("2\n")
    assert "changes that are not committed" in tree.fails("near")
    git(repository, "commit", "-qam", "two")
    changed, path = tree.build("near")
    assert changed != near and members(path)["./f"] == b"2\n"
    # The old commit is still what is asked for; that the branch moved on is said.
    os.unlink(os.path.join(tree.path, "cache", "packages", "far", package + ".tar.xz"))
    out, err = tree.run(cwd="far")
    assert "is built" in err and package in out


def test_tree_and_bootstrap(tree, tmp_path):
    tree.package("boot", {"environment": {"B": "1"}},
                 "mkdir -p $PKG_PATH/bin $PKG_PATH/dcos.target.wants\necho boot > $PKG_PATH/bin/boot\n"
                 ": > $PKG_PATH/dcos.target.wants/boot.service\n")
    tree.package("app", {"requires": ["boot"]})
    tree.package("skipped", {}, "exit 1\n")
    tree.package("wide", {}, "echo wide > $PKG_PATH/w\n", variant="v.")
    tree.write("treeinfo.json", json.dumps(
        {"exclude": ["skipped"], "variants": {"wide": "v"}, "bootstrap_package_list": ["boot"]}))
    tree.run("tree", "--mkbootstrap")
    with open(os.path.join(tree.path, "cache", "complete", "complete.latest.json")) as f:
        complete = json.load(f)
    assert [p.split("--")[0] for p in complete["packages"]] == ["app", "boot", "wide"]
    folder = os.path.join(tree.path, "cache", "bootstrap")
    tarball = os.path.join(folder, complete["bootstrap"] + ".bootstrap.tar.xz")
    with open(os.path.join(folder, "bootstrap.latest")) as f:
        assert f.read() == complete["bootstrap"]
    with open(os.path.join(folder, complete["bootstrap"] + ".active.json")) as f:
        active = json.load(f)
    assert [p.split("--")[0] for p in active] == ["boot"]
    files = members(tarball)
    top = sorted({n.split("/")[1] for n in files if n.count("/") >= 1 and n != "."})
    assert top == ["active", "active.buildinfo.full.json", "bin", "bootstrap", "environment", "environment.export",
                   "etc", "include", "lib", "packages"]
    assert files["./bin/boot"].linkname == f"/opt/mesosphere/packages/{active[0]}/bin/boot"
    assert files["./active/boot"].linkname == f"/opt/mesosphere/packages/{active[0]}"
    assert b"LD_LIBRARY_PATH=/opt/mesosphere/lib\n" in files["./environment"]
    before = digest(tarball)
    os.unlink(tarball)
    tree.run("tree", "--mkbootstrap")
    assert digest(tarball) == before
    # And what pkgpanda makes of a package.
    root = str(tmp_path / "host")
    built = os.path.join(tree.path, "cache", "packages", "boot", active[0] + ".tar.xz")
    options = [PKGPANDA, "--root=" + root, "--config-dir=" + str(tmp_path / "etc"), "--rooted-systemd", "--no-systemd"]
    subprocess.run([*options, "add", built], check=True)
    subprocess.run([*options, "activate", active[0]], check=True)
    with open(os.path.join(root, "bin", "boot")) as f:
        assert f.read() == "boot\n"
    with open(os.path.join(root, "active.buildinfo.full.json")) as f:
        assert json.load(f)["boot"]["package_version"] == active[0].split("--")[1]


def test_tree_errors(tree):
    tree.package("a", {"requires": ["b"]})
    tree.package("b")
    for info, says in (({"exclude": ["b"]}, "is excluded from the tree but required"),
                       ({"core_package_list": ["c"]}, "no package here"), ({"more": 1}, "unknown key"),
                       ({"core_package_list": ["b"], "bootstrap_package_list": ["a"]}, "rebuild")):
        tree.write("treeinfo.json", json.dumps(info))
        assert says in tree.run("tree", "--mkbootstrap", code=1)[1]


def test_killed_build(tree):
    tree.package("foo", {}, ": > $PKG_PATH/begun\n[ -e $PKG_BUILD/go ] || exec sleep " + SECONDS + "\necho done > $PKG_PATH/end\n")
    builder = subprocess.Popen([MKPANDA], cwd=os.path.join(tree.path, "foo"), stderr=subprocess.DEVNULL)
    begun = os.path.join(tree.path, "cache", "packages", "foo", ".work", "result", "begun")
    try:
        wait_for(lambda: os.path.exists(begun) and sleepers())
    finally:
        builder.kill()
        builder.wait()
    if os.geteuid() == 0:
        wait_for(lambda: not sleepers())  # nothing of the sandbox is left
    else:
        for pid in sleepers():
            os.kill(pid, signal.SIGKILL)
    tree.write("foo/go", "")
    _, path = tree.build("foo")
    assert members(path)["./end"] == b"done\n"
    assert sorted(os.listdir(os.path.dirname(path))) == sorted([os.path.basename(path), "latest"])


SECONDS = f"987.{os.getpid()}"  # names the process among all of the machine


def sleepers():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if f.read() == f"sleep\0{SECONDS}\0".encode():
                    found.append(int(pid))
        except OSError:
            pass
    return found


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_upstream(tree, tmp_path):
    base = Tree(tmp_path / "base" / "packages")
    base.package("low", {}, "echo theirs > $PKG_PATH/v\n")
    base.package("both", {}, "echo theirs > $PKG_PATH/v\n")
    git(tmp_path / "base", "init", "-q", "-b", "main")
    git(tmp_path / "base", "add", ".")
    git(tmp_path / "base", "commit", "-qm", "one")
    commit = git(tmp_path / "base", "rev-parse", "HEAD")
    tree.package("both", {}, "echo ours > $PKG_PATH/v\n")
    tree.package("top", {"requires": ["low", "both"]})
    tree.write("upstream.json", json.dumps(
        {"kind": "git", "git": str(tmp_path / "base"), "ref": commit, "ref_origin": "main"}))
    tree.run("tree", "--mkbootstrap")
    cache = os.path.join(tree.path, "cache")
    with open(os.path.join(cache, "complete", "complete.latest.json")) as f:
        packages = json.load(f)["packages"]
    assert [p.split("--")[0] for p in packages] == ["both", "low", "top"]

    def built(i):
        return members(os.path.join(cache, "packages", packages[i].split("--")[0], packages[i] + ".tar.xz"))["./v"]

    assert built(0) == b"ours\n" and built(1) == b"theirs\n"
    assert os.path.exists(os.path.join(cache, "upstream", "checkout", "packages", "low", "build"))
    # The same commit is not checked out again; one that was cut off is.
    marker = os.path.join(cache, "upstream", "checkout", "here")
    open(marker, "w").close()
    tree.run(cwd="top")
    assert os.path.exists(marker)
    os.unlink(os.path.join(cache, "upstream", "checkout.json"))
    tree.run(cwd="top")
    assert not os.path.exists(marker)
    # Another commit: another id.
    base.package("low", {}, "echo newer > $PKG_PATH/v\n")
    tree.write("upstream.json", json.dumps({"kind": "local", "rel_path": "../base"}))
    tree.run("tree")
    with open(os.path.join(cache, "packages", "low", "latest")) as f:
        assert f.read() != packages[1]


def test_upstream_errors(tree, tmp_path):
    tree.package("a")
    (tmp_path / "base").mkdir()
    for text, says in (("[]", "must be an object"), ('{"kind": "tape"}', "unknown kind"),
                       ('{"kind": "local", "rel_path": "../nothing"}', "does not exist"),
                       ('{"kind": "local", "rel_path": "../base"}', "no folder packages")):
        tree.write("upstream.json", text)
        assert says in tree.fails("a")
    Tree(tmp_path / "base" / "packages").write("upstream.json", "{}")
    assert "on top of another tree" in tree.fails("a")


def test_one_variant_in_a_tree(tree):
    tree.package("foo")
    tree.package("foo", variant="small.")
    tree.package("app", {"requires": [{"name": "foo", "variant": "small"}]})
    tree.write("treeinfo.json", json.dumps({"core_package_list": ["app"]}))
    assert "requires variant small of foo, the tree has variant <default>" in tree.run("tree", code=1)[1]
    tree.write("treeinfo.json", json.dumps({"core_package_list": ["app"], "variants": {"foo": "small"}}))
    tree.run("tree")


def test_bootstrap_of_a_core_list(tree):
    tree.package("a")
    tree.package("other", {}, "exit 1\n")
    tree.write("treeinfo.json", json.dumps({"core_package_list": ["a"]}))
    tree.run("tree", "--mkbootstrap")
    with open(os.path.join(tree.path, "cache", "complete", "complete.latest.json")) as f:
        complete = json.load(f)
    with open(os.path.join(tree.path, "cache", "bootstrap", complete["bootstrap"] + ".active.json")) as f:
        assert json.load(f) == complete["packages"]
