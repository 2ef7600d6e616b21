"""Host packages: their folders, units, the lock of Debian's parts, and how parts are put together."""

import glob
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PACKAGES = os.path.join(ROOT, "packages")
SCRIPT = os.path.join(ROOT, "scripts", "host_packages.py")
NAMES = sorted(os.path.basename(os.path.dirname(p)) for p in glob.glob(PACKAGES + "/*/buildinfo.json"))
UNITS = sorted(glob.glob(PACKAGES + "/*/extra/dcos.target.wants*/*"))

sys.path.insert(0, os.path.join(ROOT, "scripts"))
import host_packages  # noqa: E402  (it is a script beside the build)


def info(name):
    with open(os.path.join(PACKAGES, name, "buildinfo.json"), encoding="utf-8") as f:
        return json.load(f)


@pytest.mark.parametrize("name", NAMES)
def test_folder(name):
    """mkpanda reads it; what is required is there; a unit's user is made by its package."""
    known = {"requires", "username", "group", "state_directory", "sysctl", "environment"}
    assert set(info(name)) <= known
    assert set(info(name).get("requires", [])) <= set(NAMES)
    assert os.access(os.path.join(PACKAGES, name, "build"), os.X_OK)
    host_packages.stage_lines(os.path.join(PACKAGES, name))


@pytest.mark.parametrize("unit", UNITS, ids=[os.path.basename(os.path.dirname(u)) + "/" + os.path.basename(u) for u in UNITS])
def test_unit_users(unit):
    name = os.path.relpath(unit, PACKAGES).split(os.sep)[0]
    users = {info(n).get("username") for n in NAMES} - {None}
    with open(unit, encoding="utf-8") as f:
        text = f.read()
    found = re.findall(r"^User=(.*)$", text, re.M)
    assert found in ([], [info(name).get("username")])
    assert set(re.findall(r"^Group=(.*)$", text, re.M)) <= users
    # systemd's own words for what used to be written otherwise.
    assert not re.search(r"^(PermissionsStartOnly|StartLimitInterval|MountFlags)=|/var/run/", text, re.M)


def test_users_are_one_to_one():
    users = [info(n)["username"] for n in NAMES if "username" in info(n)]
    assert len(users) == len(set(users))
    assert all(re.fullmatch(r"dcos_[a-z0-9_]+", u) for u in users)


def test_preflight_asks_for_all_users():
    """Where users are made by hand."""
    with open(os.path.join(ROOT, "src/installer/templates/dcos_install.sh"), encoding="utf-8") as f:
        asked = re.findall(r"check_users \"?([a-z_ ]+)", f.read())
    assert sorted(" ".join(asked).split()) == sorted(info(n)["username"] for n in NAMES if "username" in info(n))


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze on this machine")
def test_units_are_clean(tmp_path):
    """systemd-analyze verify has nothing to say, with the programs where they will be."""
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    (tmp_path / "usr/lib").mkdir(parents=True)
    shutil.copytree("/usr/lib/systemd", tmp_path / "usr/lib/systemd", symlinks=True)
    for unit in UNITS:
        shutil.copy(unit, units)
        with open(unit, encoding="utf-8") as f:
            for program in re.findall(r"^Exec\w+=[+!-]*(/\S+)", f.read(), re.M):
                path = tmp_path / program.lstrip("/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("#!/bin/sh\n")
                path.chmod(0o755)
    names = sorted(str(p) for p in units.iterdir())
    done = subprocess.run(
        ["systemd-analyze", "verify", f"--root={tmp_path}", "--man=no", *names],
        capture_output=True, text=True, timeout=60, check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_units_are_sandboxed():
    """Every service but the agents, which make users' processes, is held by systemd."""
    for unit in UNITS:
        if not unit.endswith(".service") or "dcos-mesos-slave" in unit:
            continue
        with open(unit, encoding="utf-8") as f:
            text = f.read()
        for key in ("NoNewPrivileges=yes", "CapabilityBoundingSet=", "RestrictAddressFamilies=", "SystemCallFilter="):
            assert key in text, f"{unit}: {key}"


def documented_exposures():
    found = {}
    with open(os.path.join(ROOT, "docs", "packages.md"), encoding="utf-8") as f:
        for names, figure in re.findall(r"^\| (dcos-[a-z-]+(?:, dcos-[a-z-]+)*) \| ([0-9.]+) \|", f.read(), re.M):
            found.update(dict.fromkeys(names.split(", "), float(figure)))
    return found


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze on this machine")
def test_exposures_are_as_documented():
    """The figures are of systemd 252; others count other things."""
    version = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    if version != "252":
        pytest.skip(f"systemd {version} counts otherwise")
    documented, measured = documented_exposures(), {}
    for unit in UNITS:
        if unit.endswith(".service"):
            done = subprocess.run(
                ["systemd-analyze", "security", "--offline=yes", "--no-pager", unit],
                capture_output=True, text=True, timeout=60, check=True,
            )
            figure = re.search(r"Overall exposure level for .*: ([0-9.]+)", done.stdout)
            name = os.path.basename(unit).removesuffix(".service")  # some are not the same in all roles
            measured[name] = max(measured.get(name, 0), float(figure.group(1)))
    assert measured == documented


def test_no_user_sets_what_root_runs_with():
    """dcos-bootstrap runs as root with the unit's environment: LD_PRELOAD in it would be root's."""
    folders = [f"/var/lib/dcos/{name}/" for name in NAMES if info(name).get("state_directory")]
    assert "/var/lib/dcos/marathon/" in folders
    for unit in UNITS:
        with open(unit, encoding="utf-8") as f:
            text = f.read()
        for path in re.findall(r"^EnvironmentFile=-?(\S+)$", text, re.M):
            assert not path.startswith(tuple(folders)), unit


def test_services_are_known_to_bootstrap():
    build = os.environ.get("DCOS_BUILD", os.path.join(ROOT, "build", "debug"))
    text = subprocess.run(
        [os.path.join(build, "src/bootstrap/dcos-bootstrap"), "--help"], capture_output=True, text=True, check=True
    ).stdout
    known = set(text.split("Services:\n")[1].split())
    for unit in UNITS:
        with open(unit, encoding="utf-8") as f:
            for service in re.findall(r"dcos-bootstrap (\S+)$", f.read(), re.M):
                assert service in known
                assert os.path.basename(unit) == service + ".service"


@pytest.fixture
def owned():
    """A folder of somebody who is not root, since only root needs the users of a node; and how to run as that one."""
    as_who = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory() as folder:

        def run(*argv, env):
            for path, _, files in os.walk(folder):
                for each in [path] + [os.path.join(path, name) for name in files]:
                    os.chown(each, as_who.get("user", -1), as_who.get("group", -1))
            subprocess.run(argv, env={"PATH": os.environ["PATH"], **env}, check=True, **as_who)

        yield pathlib.Path(folder), run


@pytest.mark.parametrize("store", [None, "memory:"])
def test_identity_services_find_each_other(owned, store):
    """With a store that several masters share, each tells the others where it is."""
    build = os.environ.get("DCOS_BUILD", os.path.join(ROOT, "build", "debug"))
    folder, run = owned
    for path, text in (("opt/mesosphere/bin/detect_ip", "#!/bin/sh\necho 10.1.2.3\n"), ("opt/mesosphere/etc/master_list", '["10.1.2.3"]'),
                       ("opt/mesosphere/etc/superuser_password_hash", "$6$x$y"), ("etc/mesosphere/roles/master", ""),
                       ("var/lib/dcos/cluster-id", "11111111-2222-3333-4444-555555555555")):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "opt/mesosphere/bin/detect_ip").chmod(0o755)
    run(os.path.join(build, "src/bootstrap/dcos-bootstrap"), f"--prefix={folder}", "dcos-bouncer",
        env={"DCOS_IAM_STORE": store} if store else {})
    told = (folder / "run/dcos/env/dcos-bouncer").read_text()
    assert ("DCOS_IAM_PEERS='10.1.2.3:8102'\n" in told) == bool(store)
    assert "DCOS_IAM_SUPERUSER_PASSWORD_HASH_FILE=" in told


def test_lock():
    """Sorted, each once, whole digests, no place where it came from."""
    with open(os.path.join(PACKAGES, "debian.lock"), encoding="utf-8") as f:
        lines = f.read().splitlines()
    with open(os.path.join(PACKAGES, "debian.packages"), encoding="utf-8") as f:
        wanted = {line for line in f.read().splitlines() if line and not line.startswith("#")}
    rows = [line.split() for line in lines if not line.startswith("#")]
    assert [r[0] for r in rows] == sorted(wanted)
    for name, version, architecture, digest, file in rows:
        assert re.fullmatch(r"[0-9a-f]{64}", digest)
        assert file.startswith(f"{name}_") and file.endswith(f"_{architecture}.deb")
        assert "://" not in " ".join((version, file))


def small_tree(tmp_path, lines, monkeypatch):
    """A packages folder with one package, and a lock with none."""
    packages = tmp_path / "packages"
    (packages / "one").mkdir(parents=True)
    (packages / "one/buildinfo.json").write_text("{}")
    (packages / "one/stage").write_text(lines)
    (packages / "debian.lock").write_text(f"# system {host_packages.system()}\n")
    monkeypatch.setattr(host_packages, "PACKAGES", str(packages))
    monkeypatch.setattr(host_packages, "LOCK", str(packages / "debian.lock"))
    return packages


def test_stage(tmp_path, monkeypatch):
    small_tree(tmp_path, "ours bin/a bin/\nours share/ usr\nwithout *.txt\n", monkeypatch)
    (tmp_path / "install/bin").mkdir(parents=True)
    (tmp_path / "install/share/deep").mkdir(parents=True)
    (tmp_path / "install/bin/a").write_text("#!/bin/sh\n")
    (tmp_path / "install/bin/a").chmod(0o750)
    (tmp_path / "install/share/deep/b").write_text("b")
    (tmp_path / "install/share/c.txt").write_text("c")
    for _ in range(2):
        host_packages.stage(str(tmp_path / "cache"), str(tmp_path / "install"), str(tmp_path / "out"))
        extra = tmp_path / "out/one/extra"
        found = {str(p.relative_to(extra)): p.stat().st_mode & 0o777 for p in extra.rglob("*") if p.is_file()}
        assert found == {"bin/a": 0o755, "usr/deep/b": 0o644}
        (tmp_path / "out/cache").mkdir(exist_ok=True)  # what was built stays


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("ours bin/nothing bin/\n", "ours has no file bin/nothing"),
        ("nosuch usr/bin/x bin/\n", "add it to packages/debian.packages"),
        ("ours bin/a\n", "cannot read: ours bin/a"),
    ],
)
def test_stage_refuses(tmp_path, monkeypatch, lines, message):
    small_tree(tmp_path, lines, monkeypatch)
    (tmp_path / "install").mkdir()
    with pytest.raises(host_packages.Trouble, match=message):
        host_packages.stage(str(tmp_path / "cache"), str(tmp_path / "install"), str(tmp_path / "out"))


def fake_apt(tmp_path, monkeypatch, body):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/apt-get").write_text("#!/bin/sh\n" + body)
    (tmp_path / "bin/apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")


def test_fetch(tmp_path, monkeypatch):
    """What the mirror gives counts only with the digest of the lock; a file that went bad is fetched again."""
    packages = small_tree(tmp_path, "", monkeypatch)
    fake_apt(tmp_path, monkeypatch, "printf good > x_1_all.deb\n")
    cache = str(tmp_path / "cache")
    good = "770e607624d689265ca6c44884d0807d9b054d23c473c106c72be9de08b7376c"
    lock = f"# system {host_packages.system()}\nx 1 all {good} x_1_all.deb\n"
    (packages / "debian.lock").write_text(lock)
    host_packages.fetch(cache)
    (tmp_path / "cache/x_1_all.deb").write_text("torn")
    host_packages.fetch(cache)
    assert (tmp_path / "cache/x_1_all.deb").read_text() == "good"
    (packages / "debian.lock").write_text(lock.replace(good, "0" * 64))
    with pytest.raises(host_packages.Trouble, match="is not what packages/debian.lock names"):
        host_packages.fetch(cache)


def test_fetch_of_a_version_that_is_gone(tmp_path, monkeypatch):
    packages = small_tree(tmp_path, "", monkeypatch)
    fake_apt(tmp_path, monkeypatch, "echo \"E: Version '1' for 'x' was not found\" >&2; exit 100\n")
    (packages / "debian.lock").write_text(f"# system {host_packages.system()}\nx 1 all {'0' * 64} x_1_all.deb\n")
    with pytest.raises(host_packages.Trouble, match="run ./dev lock.*Version '1' for 'x'"):
        host_packages.fetch(str(tmp_path / "cache"))


def test_another_system(tmp_path, monkeypatch):
    packages = small_tree(tmp_path, "", monkeypatch)
    (packages / "debian.lock").write_text("# system debian-99\n")
    with pytest.raises(host_packages.Trouble, match="is for debian-99"):
        host_packages.fetch(str(tmp_path / "cache"))


def test_same_bytes(tmp_path, monkeypatch):
    """The same programs, put together and built in two places, one after the other in time, give the same files."""
    build = os.environ.get("DCOS_BUILD", os.path.join(ROOT, "build", "debug"))
    small_tree(tmp_path, "ours bin/ bin/\n", monkeypatch)
    shutil.copy(os.path.join(PACKAGES, "mesos/build"), tmp_path / "packages/one/build")
    (tmp_path / "packages/treeinfo.json").write_text('{"bootstrap_package_list": ["one"]}')
    found = []
    for place in ("a", "b/deeper"):
        top = tmp_path / place
        (top / "install/bin").mkdir(parents=True)
        programs = [("executor", "dcos-executor"), ("containerizer", "dcos-launcher")]
        for folder, name in programs if place == "a" else reversed(programs):
            shutil.copyfile(os.path.join(build, "src", folder, name), top / "install/bin" / name)
            (top / "install/bin" / name).chmod(0o755 if place == "a" else 0o775)
        host_packages.stage(str(top / "cache"), str(top / "install"), str(top / "tree"))
        subprocess.run(
            [os.path.join(build, "src/mkpanda/mkpanda"), "tree", "--mkbootstrap"],
            cwd=top / "tree", check=True, capture_output=True, timeout=300,
        )
        cache = top / "tree/cache"
        found.append({str(p.relative_to(cache)): p.read_bytes() for p in cache.rglob("*") if p.is_file()})
    assert found[0] == found[1]
    assert sum(name.endswith(".tar.xz") for name in found[0]) == 2
