"""dcos_generate_config.sh: the file, what it makes for nodes, and what it does on nodes over SSH."""

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tarfile
import time

import pytest

from alone import alone

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("DCOS_BUILD", os.path.join(ROOT, "build", "debug"))
INSTALLER = os.path.join(BUILD, "src", "installer", "dcos-installer")
BOOTSTRAP = "0123456789abcdef0123456789abcdef01234567"
COMMIT = "89abcdef89abcdef89abcdef89abcdef89abcdef"
SHORT = f"{COMMIT[:18]}-{BOOTSTRAP[:18]}"
SHELLS = ["dash", "bash"]


def wait_for(what, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = what()
        if got:
            return got
        time.sleep(0.02)
    raise AssertionError("timed out")


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    os.chmod(path, mode)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def make_artifacts(folder, packages=("foo--1", "bar--2")):
    write(f"{folder}/bootstrap/{BOOTSTRAP}.bootstrap.tar.xz", os.urandom(100_000))
    write(f"{folder}/bootstrap/{BOOTSTRAP}.active.json", "[]")
    write(f"{folder}/bootstrap/bootstrap.latest", BOOTSTRAP)
    for package in packages:
        write(f"{folder}/packages/{package.split('--')[0]}/{package}.tar.xz", package * 100)
    write(f"{folder}/complete/complete.latest.json", json.dumps({"bootstrap": BOOTSTRAP, "packages": list(packages)}))
    os.makedirs(f"{folder}/installer/bin", exist_ok=True)
    shutil.copy2(INSTALLER, f"{folder}/installer/bin/dcos-installer")


def bundle(artifacts, output, *more, code=0):
    done = subprocess.run(
        [INSTALLER, "bundle", f"--artifacts={artifacts}", f"--output={output}", "--version=0.1.0",
         f"--commit={COMMIT}", f"--bootstrap-id={BOOTSTRAP}", *more],
        capture_output=True, text=True, timeout=60,
    )
    assert done.returncode == code, done.stderr
    return done.stderr


class Site:
    """A folder of an operator, with the installer file beside it."""

    def __init__(self, path):
        self.path = str(path / "site")
        os.makedirs(self.path)
        self.artifacts = str(path / "artifacts")
        make_artifacts(self.artifacts)
        self.file = str(path / "dcos_generate_config.sh")
        bundle(self.artifacts, self.file)
        write(self.at("genconf/ip-detect"), "#!/bin/sh\necho 127.0.0.1\n", 0o755)
        self.config()

    def at(self, name):
        return os.path.join(self.path, name)

    def config(self, **more):
        config = {
            "bootstrap_url": "http://192.0.2.1:8080",
            "cluster_name": "demo",
            "exhibitor_storage_backend": "static",
            "master_discovery": "static",
            "master_list": ["192.0.2.11"],
            **more,
        }
        write(self.at("genconf/config.yaml"), "".join(f"{k}: {json.dumps(v)}\n" for k, v in config.items()))

    def start(self, *args, shell="dash", **options):
        return subprocess.Popen(
            [shell, self.file, *args], cwd=self.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL, text=True, **options,
        )

    def run(self, *args, code=0, shell="dash", stdin=None):
        done = subprocess.run(
            [shell, self.file, *args], cwd=self.path, capture_output=True, text=True, timeout=120, input=stdin or ""
        )
        assert done.returncode == code, (done.stdout, done.stderr)
        self.err = done.stderr
        return done.stdout

    def tree(self, under="genconf/serve"):
        found = {}
        for folder, _, names in os.walk(self.at(under)):
            for name in names:
                path = os.path.join(folder, name)
                found[os.path.relpath(path, self.at(under))] = read(path)
        return found


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


# ---- the file ----


def test_file_is_reproducible(tmp_path):
    make_artifacts(f"{tmp_path}/a")
    shutil.copytree(f"{tmp_path}/a", f"{tmp_path}/b")
    for name in os.listdir(f"{tmp_path}/b/packages"):
        os.utime(f"{tmp_path}/b/packages/{name}", (1, 1))
    write(f"{tmp_path}/b/dcos_generate_config.sh", "what was there before does not go along")
    bundle(f"{tmp_path}/a", f"{tmp_path}/one.sh")
    bundle(f"{tmp_path}/b", f"{tmp_path}/b/dcos_generate_config.sh")
    one = read(f"{tmp_path}/one.sh")
    assert one == read(f"{tmp_path}/b/dcos_generate_config.sh")
    head, marker, tar = one.partition(b"\n#EOF#\n")
    assert marker and head.startswith(b"#!/bin/sh\n")
    write(f"{tmp_path}/tar", tar)
    with tarfile.open(f"{tmp_path}/tar", "r:") as t:
        names = [m.name for m in t.getmembers()]
    assert "./installer/bin/dcos-installer" in names and "./packages/foo/foo--1.tar.xz.sha256" in names
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "one.sh", "tar"]


def test_bundle_says_what_it_lacks(tmp_path):
    make_artifacts(f"{tmp_path}/a")
    os.unlink(f"{tmp_path}/a/bootstrap/{BOOTSTRAP}.bootstrap.tar.xz")
    assert ".bootstrap.tar.xz is not there" in bundle(f"{tmp_path}/a", f"{tmp_path}/o", code=1)
    assert "--variant must be" in bundle(f"{tmp_path}/a", f"{tmp_path}/o", "--variant=$(x)", code=1)
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("shell", SHELLS)
def test_first_run_unpacks(site, shell):
    assert json.loads(site.run("--version", shell=shell)) == {"variant": "", "version": "0.1.0"}
    assert site.err == f"Extracting the installer to {site.path}/dcos-genconf.{SHORT}\n"
    assert sorted(os.listdir(site.path)) == [f"dcos-genconf.{SHORT}", "genconf"]
    site.run("--version", shell=shell)
    assert site.err == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="a folder of somebody else takes root")
@pytest.mark.parametrize("shell", SHELLS)
def test_what_others_put_into_tmp_is_not_run(site, shell):
    folder = site.at(f"dcos-genconf.{SHORT}")
    write(f"{folder}/installer/bin/dcos-installer", f"#!/bin/sh\ntouch {site.path}/ran\n", 0o755)
    os.chown(folder, 65534, 65534)
    os.chmod(site.path, 0o1777)
    assert site.run("--version", shell=shell, code=1) == ""
    assert "is another user's, and anybody may write to" in site.err
    assert not os.path.exists(site.at("ran"))
    shutil.rmtree(folder)
    os.chown(site.at("genconf"), 65534, 65534)
    site.run("--version", shell=shell, code=1)
    assert not os.path.exists(site.at("genconf/state")) and not os.path.exists(folder)
    # In a folder that is not everybody's it may be so: unpacked by a user, run with sudo.
    os.chmod(site.path, 0o755)
    assert json.loads(site.run("--version", shell=shell))["version"] == "0.1.0"


def test_damaged_file(site):
    data = bytearray(read(site.file))
    data[-5000] ^= 1
    write(site.file, bytes(data), 0o755)
    assert site.run("--version", code=1) == ""
    assert "this file is damaged" in site.err
    write(site.file, bytes(data[:-20_000]), 0o755)
    site.run("--version", code=1)
    assert "this file is damaged" in site.err
    assert os.listdir(site.path) == ["genconf"]


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system takes root")
def test_full_disk_while_unpacking(site):
    small = site.at("small")
    os.mkdir(small)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "none", small], check=True)
    try:
        done = subprocess.run(["sh", site.file, "--version"], cwd=small, capture_output=True, text=True)
        assert done.returncode == 1 and "is the disk full?" in done.stderr
        assert os.listdir(small) == []
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_unpacking(site, number):
    write(site.at("fake/tar"), f"#!/bin/sh\ntouch {site.at('fake/there')}\nexec sleep 600\n", 0o755)
    environment = dict(os.environ, PATH=site.at("fake") + ":" + os.environ["PATH"])
    # From a shell that is not a terminal's, background jobs ignore SIGINT: ours must not inherit that.
    p = site.start("--version", env=environment, start_new_session=True,
                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    wait_for(lambda: os.path.exists(site.at("fake/there")))
    os.killpg(p.pid, number)
    p.communicate(timeout=30)
    assert p.returncode == 130
    assert sorted(os.listdir(site.path)) == ["fake", "genconf"]
    site.run("--version")


def test_in_the_background(site):
    """What it would have printed is in a file of the operator's own."""
    done = subprocess.run(["sh", site.file, "--genconf"], cwd=site.path, capture_output=True, text=True, timeout=60,
                          env=dict(os.environ, DCOS_INSTALLER_DAEMONIZE="true"))
    assert (done.returncode, done.stdout) == (0, "")
    log = site.at("genconf/state/installer.log")
    wait_for(lambda: "DC/OS 0.1.0 is in genconf/serve" in read(log).decode())
    assert os.stat(log).st_mode & 0o777 == 0o600


# ---- command line ----


def test_usage(site):
    assert "--deploy" in site.run("--help")
    site.run("--deploy", "--genconf", code=2)
    assert "argument --genconf: not allowed with argument --deploy" in site.err
    site.run("--what", code=2)
    assert "unrecognized arguments: --what" in site.err
    site.run("--aws-cloudformation", code=1)


def test_hash_password(site):
    out = site.run("--hash-password", "secret").strip()
    assert out.startswith("$6$rounds=656000$")
    check = subprocess.run(
        ["/usr/bin/python3", "-W", "ignore", "-c", "import crypt, sys; print(crypt.crypt('secret', sys.argv[1]))", out],
        capture_output=True, text=True,
    )
    if check.returncode == 0:  # Python 3.13 has no crypt
        assert check.stdout.strip() == out
    typed = site.run("--hash-password", stdin="\nsecret\n")
    assert "$6$rounds=656000$" in typed


CONFIG = """# ours
cluster_name: demo  # a name
%s
# the rest
master_list:
- 192.0.2.11
bootstrap_url: http://192.0.2.1:8080
exhibitor_storage_backend: static
master_discovery: static
"""
HASH = r'superuser_password_hash: "\$6\$rounds=656000\$[^"]+"'


@pytest.mark.parametrize("old, new", [
    ("superuser_password_hash: $6$x # the old # one", HASH + " # the old # one"),
    ("superuser_password_hash: 'it''s #1'  # c", HASH + "  # c"),
    ('superuser_password_hash: "\\" # no"', HASH),
    ("superuser_password_hash: >-\n  $6$x\n\n  # y\n  z\n\n  # after", HASH + "\n\n  # after"),
    ('"superuser_password_hash": a', HASH),
])
def test_set_superuser_password(site, old, new):
    """The one line changes, all else stays, comments and mode too."""
    path = site.at("genconf/config.yaml")
    write(path, CONFIG % old, 0o640)
    assert "The hash is in genconf/config.yaml" in site.run("--set-superuser-password", "secret")
    before, _, after = CONFIG.partition("%s")
    assert re.fullmatch(re.escape(before) + new + re.escape(after), read(path).decode())
    assert os.stat(path).st_mode & 0o777 == 0o640
    site.run("--genconf")
    assert shadow_of(site) == re.search(r'"(\$6\$.*)"', read(path).decode()).group(1)
    assert "secret" not in read(path).decode()


def test_set_superuser_password_where_there_is_none(site):
    path = site.at("genconf/config.yaml")
    text = CONFIG.replace("%s\n", "")[:-1]  # no newline at the end
    write(path, text, 0o600)
    site.run("--set-superuser-password", stdin="\nsecret\n")
    assert re.fullmatch(re.escape(text) + "\n" + HASH + "\n", read(path).decode())
    # A form that has no lines of its own is left to its author.
    write(path, "{cluster_name: demo,\n superuser_password_hash: x}\n")
    assert site.run("--set-superuser-password=secret", code=1) == ""
    assert "config.yaml: it is written in a way" in site.err and 'superuser_password_hash: "$6$' in site.err
    assert read(path) == b"{cluster_name: demo,\n superuser_password_hash: x}\n"
    write(path, "a: [\n")
    site.run("--set-superuser-password", "x", code=1)
    assert "config.yaml" in site.err and "line" in site.err
    os.unlink(path)
    site.run("--set-superuser-password", "x", code=1)
    assert "config.yaml" in site.err and not os.path.exists(path)


def test_historic_options(site):
    """What they asked for is so."""
    out = site.run("--version", "--offline", "--cli-telemetry-disabled")
    assert json.loads(out)["version"] == "0.1.0"
    lines = site.err.splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["--offline", "--cli-telemetry-disabled"]
    assert all("has no effect" in line for line in lines)


def test_config_errors(site):
    os.unlink(site.at("genconf/config.yaml"))
    site.run(code=1)
    assert "genconf/config.yaml' does not exist" in site.err
    write(site.at("genconf/config.yaml"), "a: [\n")
    site.run(code=1)
    assert "genconf/config.yaml" in site.err and "line" in site.err
    site.config(master_list=["192.0.2.11", "192.0.2.12"], check_time="perhaps", wrong_name=1)
    site.run("--validate-config", code=1)
    lines = site.err.splitlines()
    assert any(line.startswith("check_time: Must be one of 'true', 'false'.") and "(line 6)" in line for line in lines)
    assert any("num_masters" in line for line in lines)
    assert any(line.startswith("WARNING: wrong_name:") for line in lines)
    assert not os.path.exists(site.at("genconf/serve"))
    site.config()
    assert "valid" in site.run("--validate-config")
    assert not os.path.exists(site.at("genconf/serve"))


# ---- what masters alone get ----


def secrets(site):
    folder = site.at("genconf/secrets")
    assert os.stat(folder).st_mode & 0o777 == 0o700
    found = {name: read(os.path.join(folder, name)) for name in sorted(os.listdir(folder))}
    for name in found:
        assert os.stat(os.path.join(folder, name)).st_mode & 0o777 == (0o644 if name == "dcos-ca.crt" else 0o600)
    return found


def test_secrets_are_drawn_once(site):
    site.run("--genconf")
    alone = secrets(site)
    assert list(alone) == ["dcos-ca.crt", "dcos-ca.key"]
    site.config(master_list=["192.0.2.11", "192.0.2.12", "192.0.2.13"])
    site.run("--genconf")
    found = secrets(site)
    assert list(found) == ["dcos-ca.crt", "dcos-ca.key", "zk_master_credentials"]
    assert {name: found[name] for name in alone} == alone
    user, password = found["zk_master_credentials"].decode().strip().split(":")
    assert user == "dcos-master" and len(password) == 43
    site.run("--genconf")
    assert secrets(site) == found
    # Cut off between key and certificate: nobody knows that authority yet, another one is made.
    os.unlink(site.at("genconf/secrets/dcos-ca.crt"))
    site.run("--genconf")
    assert secrets(site)["zk_master_credentials"] == found["zk_master_credentials"]
    assert secrets(site)["dcos-ca.key"] != found["dcos-ca.key"]
    # Whatever is served, packages included, knows nothing of it.
    for name, data in site.tree().items():
        texts = [data]
        if re.match("packages/dcos-(config|metadata)/.*xz$", name):  # the others are none, here
            with tarfile.open(site.at("genconf/serve/" + name)) as tar:
                texts = [tar.extractfile(m).read() for m in tar if m.isfile()]
        for text in texts:
            assert password.encode() not in text and b"PRIVATE KEY" not in text, name
    assert password not in site.err


# ---- what nodes fetch ----


def test_genconf(site):
    site.run("--genconf")
    tree = site.tree()
    packages = json.loads(tree[f"package_lists/{tree['cluster-package-list.latest'].decode()}.package_list.json"])
    assert [p.split("--")[0] for p in packages] == ["bar", "dcos-config", "dcos-metadata", "foo"]
    for package in packages:
        name = f"{package}.tar.xz"
        data = tree[f"packages/{package.split('--')[0]}/{name}"]
        assert tree[f"packages/{package.split('--')[0]}/{name}.sha256"].decode() == (
            f"{hashlib.sha256(data).hexdigest()}  {name}\n"
        )
    assert tree["bootstrap.latest"].decode() == BOOTSTRAP
    assert tree[f"bootstrap/{BOOTSTRAP}.bootstrap.tar.xz"] == read(
        f"{site.artifacts}/bootstrap/{BOOTSTRAP}.bootstrap.tar.xz"
    )
    info = read(site.at("genconf/cluster_packages.json"))
    assert info == tree["cluster-package-info.json"]
    assert json.loads(info)["dcos-config"]["filename"] == f"packages/dcos-config/{packages[1]}.tar.xz"
    for shell in SHELLS:
        subprocess.run([shell, "-n", site.at("genconf/serve/dcos_install.sh")], check=True)
    # Again: the same. Another configuration: other ids.
    site.run()
    assert site.tree() == tree
    site.config(cluster_name="it's $HOME `other`")
    site.run()
    assert site.tree()["cluster-package-list.latest"] != tree["cluster-package-list.latest"]


def shadow_of(site):
    """The hash that nodes get."""
    info = json.loads(read(site.at("genconf/cluster_packages.json")))
    tarball = site.at("genconf/serve/" + info["dcos-config"]["filename"])
    with tarfile.open(tarball) as t:
        for member in t:
            if member.name.endswith("/superuser_password_hash"):
                assert member.mode == 0o600
                return t.extractfile(member).read().decode().strip()
    return None


def test_first_password(site):
    """Without one in config.yaml it is drawn once; all nodes get its hash."""
    out = site.run("--genconf")
    password = read(site.at("genconf/superuser.password")).decode().strip()
    assert len(password) == 24 and "bootstrapuser with the password in genconf/superuser.password" in out
    assert password not in out + site.err
    for name in ("superuser.password", "superuser.hash"):
        assert os.stat(site.at("genconf/" + name)).st_mode & 0o777 == 0o600
    hashed = shadow_of(site)
    salt = hashed.rpartition("$")[0] + "$"
    made = subprocess.run(["perl", "-e", "print crypt($ARGV[0], $ARGV[1])", password, salt], capture_output=True, text=True, check=True)
    assert made.stdout == hashed
    assert not [path for path, data in site.tree().items() if password.encode() in data]

    # The same folder gives the same cluster, also after a run that was cut off in between.
    first = read(site.at("genconf/cluster_packages.json"))
    site.run("--genconf")
    assert read(site.at("genconf/cluster_packages.json")) == first
    os.unlink(site.at("genconf/superuser.hash"))
    site.run("--genconf")
    assert read(site.at("genconf/superuser.password")).decode().strip() == password and shadow_of(site) != hashed

    # Looking draws nothing, and config.yaml has the last word.
    for name in ("superuser.password", "superuser.hash"):
        os.unlink(site.at("genconf/" + name))
    site.run("--validate-config")
    site.config(superuser_password_hash=hashed)
    out = site.run("--genconf")
    assert "superuser.password" not in out and not os.path.exists(site.at("genconf/superuser.password"))
    assert shadow_of(site) == hashed


def test_upgrade_script(site):
    out = site.run("--generate-node-upgrade-script", "0.0.9").splitlines()
    prefix = "Node upgrade script URL: http://192.0.2.1:8080/"
    assert out[-1].startswith(prefix)
    script = site.at("genconf/serve/" + out[-1][len(prefix):])
    text = read(script).decode()
    assert "from_version='0.0.9'" in text and "foo--1" in text and "dcos-config--setup_" in text
    for shell in SHELLS:
        subprocess.run([shell, "-n", script], check=True)
    site.run("--generate-node-upgrade-script", code=1)
    assert "Must provide the version" in site.err


def test_damaged_artifact(site):
    site.run("--version")
    path = site.at(f"dcos-genconf.{SHORT}/packages/foo/foo--1.tar.xz")
    write(path, "damaged")
    site.run(code=1)
    assert "foo--1.tar.xz" in site.err
    assert not os.path.exists(site.at("genconf/serve/dcos_install.sh"))
    # What the failed run brought is gone again.
    assert not os.path.exists(site.at(f"genconf/serve/bootstrap/{BOOTSTRAP}.bootstrap.tar.xz"))


def test_damage_in_the_served_folder_is_repaired(site):
    site.run()
    path = site.at("genconf/serve/packages/foo/foo--1.tar.xz")
    os.unlink(path)
    write(path, "damaged")
    site.run()
    assert read(path) == b"foo--1" * 100


def test_killed_genconf(site):
    """A power cut at any moment: the next run is as if there had been none."""
    site.run("--version")
    program = site.at(f"dcos-genconf.{SHORT}/installer/bin/dcos-installer")
    environment = dict(os.environ, DCOS_IMAGE_COMMIT=COMMIT, BOOTSTRAP_ID=BOOTSTRAP)
    for delay in range(12):
        p = subprocess.Popen(
            [program], cwd=site.path, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
        )
        try:
            p.wait(timeout=delay * 0.01)
        except subprocess.TimeoutExpired:
            os.kill(p.pid, signal.SIGKILL)
            p.wait()
        installed = site.at("genconf/serve/dcos_install.sh")
        if os.path.exists(installed):  # the last thing that is made
            assert f"bootstrap/{BOOTSTRAP}.bootstrap.tar.xz" in site.tree()
    site.run()
    tree = site.tree()
    shutil.rmtree(site.at("genconf/serve"))
    site.run()
    assert {k: v for k, v in tree.items() if not ".tmp" in k and not k.endswith(".part")} == site.tree()


def test_one_run_at_a_time(site):
    site.run("--version")
    import fcntl

    os.makedirs(site.at("genconf/state"), exist_ok=True)
    with open(site.at("genconf/state/lock"), "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        site.run(code=1)
    assert "another installer is at work" in site.err


# ---- dcos_install.sh ----


@pytest.fixture
def network():
    with alone():
        yield


def preflight(site, *args, shell="dash", code=None):
    done = subprocess.run(
        [shell, site.at("genconf/serve/dcos_install.sh"), "--preflight-only", *args], capture_output=True, text=True
    )
    checks = dict(line[len("Checking "):].split(": ", 1) for line in done.stdout.splitlines() if line.startswith("Checking"))
    failed = [name for name, result in checks.items() if result.startswith("FAIL")]
    assert done.returncode == len(failed), (done.stdout, done.stderr)
    return checks


@pytest.mark.skipif(os.geteuid() != 0, reason="dcos_install.sh is for root")
@pytest.mark.parametrize("shell", SHELLS)
def test_preflight(site, shell, network):
    if os.path.exists("/opt/mesosphere") or os.path.exists("/etc/systemd/system/dcos.target"):
        pytest.skip("DC/OS is on this machine")
    site.config(check_time="false", bootstrap_url="file:///opt/dcos_install_tmp")
    site.run()
    checks = preflight(site, "slave", shell=shell)
    assert checks["role slave"] == "PASS"
    assert checks["whether tar is there"] == "PASS"
    assert checks["whether glibc is %s or newer" % os.confstr("CS_GNU_LIBC_VERSION").split()[1]] == "PASS"
    assert checks["whether port 5051/tcp is free"] == "PASS"
    assert "whether the clock is kept in time" not in checks
    assert preflight(site, "nonsense", shell=shell)["role nonsense"].startswith("FAIL")
    assert preflight(site, shell=shell)["the role"].startswith("FAIL")
    with socket.socket(socket.AF_INET6) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("::", 5051))
        s.listen()
        assert preflight(site, "slave", shell=shell)["whether port 5051/tcp is free"].startswith("FAIL (in use")
    # A socket that does not listen is no reason.
    with socket.socket() as s:
        s.bind(("127.0.0.1", 5051))
        assert preflight(site, "slave", shell=shell)["whether port 5051/tcp is free"] == "PASS"
    # Digits that are letters in hexadecimal.
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", 443))
        s.listen()
        assert preflight(site, "master", shell=shell)["whether port 443/tcp is free"].startswith("FAIL")


@pytest.mark.skipif(os.geteuid() != 0, reason="another user takes root")
def test_install_needs_root(site):
    site.run()
    script = read(site.at("genconf/serve/dcos_install.sh"))
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-s", "--", "--help"],
        input=script, capture_output=True, cwd="/",
    )
    assert done.returncode == 1 and b"must be run as root" in done.stderr
