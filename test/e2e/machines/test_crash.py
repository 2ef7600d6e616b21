"""Commands that are killed, machines whose supervisor is killed, trees that are half there: nothing stays behind."""

import glob
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

from mini import CACHE, PROGRAM, wait_until

# Stands in for debootstrap, as the first of PATH. $5 and $6 are suite and folder.
FAKE = """#!/bin/bash
echo run >> {folder}/runs
for last; do tree=$previous; previous=$last; done
mkdir -p "$tree"
{body}
"""


class Fake:
    """A cache of its own, beside the real one, whose tree a program of ours makes."""

    def __init__(self, mini):
        os.makedirs(CACHE, exist_ok=True)
        self.folder = tempfile.mkdtemp(prefix="test-", dir=CACHE)
        self.cache = os.path.join(self.folder, "c a")
        mini.env["MINIDCOS_CACHE"] = self.cache
        mini.env["PATH"] = f"{self.folder}:{os.environ['PATH']}"

    def does(self, body):
        path = os.path.join(self.folder, "debootstrap")
        with open(path, "w", encoding="utf-8") as f:
            f.write(FAKE.format(folder=self.folder, body=body))
        os.chmod(path, 0o755)

    def tree_again(self):
        """Shell commands for a whole tree. Links go within one mount only."""
        copy = os.path.join(self.cache, "real")
        if not os.path.exists(copy):
            os.makedirs(self.cache, exist_ok=True)
            subprocess.run(["cp", "-al", real_tree(), copy], check=True)
        return 'cp -al /mnt/cache/real/. "$tree"'

    def runs(self):
        with open(os.path.join(self.folder, "runs"), encoding="utf-8") as f:
            return f.read().count("run")

    def trees(self):
        return os.listdir(os.path.join(self.cache, "trees"))

    def processes(self):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    if self.folder.encode() in f.read():
                        found.append(pid)
            except OSError:
                continue
        return found


@pytest.fixture
def fake(mini):
    f = Fake(mini)
    yield f
    shutil.rmtree(f.folder)


def real_tree():
    trees = [t for t in glob.glob(os.path.join(CACHE, "trees", "*")) if os.path.isdir(t) and not t.endswith(".new")]
    if not trees:
        pytest.skip("no cluster has made the Debian tree yet")
    return max(trees, key=os.path.getmtime)


SMALL = ("provision", "--agents=0", "--public-agents=0")


def test_a_tree_that_was_interrupted(mini, fake):
    """What made it ends with the command; what is there is no tree, and goes."""
    fake.does(f'touch "$tree/half" {fake.folder}/reached; sleep 300')
    child = mini.start(*SMALL)
    wait_until(lambda: os.path.exists(os.path.join(fake.folder, "reached")), "debootstrap")
    child.kill()
    child.communicate()
    wait_until(lambda: not fake.processes(), "debootstrap to end")
    assert any(t.endswith(".new") for t in fake.trees())
    assert mini("clean").strip() != ""
    assert fake.trees() == [] and mini.traces() == []
    # The next one does not take half a tree for one.
    os.remove(os.path.join(fake.folder, "reached"))
    child = mini.start(*SMALL)
    wait_until(lambda: os.path.exists(os.path.join(fake.folder, "reached")), "debootstrap")
    child.kill()
    child.communicate()
    fake.does(fake.tree_again())
    mini(*SMALL)
    assert mini.on("master_0", "ls /half 2>/dev/null; true") == ""
    assert [t for t in fake.trees() if t.endswith((".new", ".log"))] == []
    mini("destroy")
    assert mini.traces() == []


def test_two_at_once_make_one_tree(mini, fake):
    fake.does(f"{fake.tree_again()}; sleep 1")
    children = {name: mini.start(*SMALL, "-c", name) for name in ("a", "b")}
    for name, child in children.items():
        out, err = child.communicate(timeout=200)
        assert (child.returncode, out.strip()) == (0, name), err
    assert fake.runs() == 1
    assert len(set(mini.nodes("a").values()) | set(mini.nodes("b").values())) == 2
    mini("destroy-list", "a", "b")
    assert mini.traces() == []


def test_a_full_disk_at_the_tree(mini, fake):
    """The reason is told, and the room is given back."""
    fake.does('dd if=/dev/zero of="$tree/big" bs=64k || exit 1')
    os.makedirs(fake.cache)
    script = 'mount -t tmpfs -o size=1m tmpfs "$0" && "$@"; r=$?; ls "$0/trees"; exit $r'
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, fake.cache, PROGRAM, "nspawn", *SMALL], env=mini.env,
                          capture_output=True, text=True, timeout=100)
    assert done.returncode == 1 and "0 MB are free" in done.stderr, done
    assert ".new" not in done.stdout
    assert mini.traces() == [] and mini("list") == ""


def test_two_creates_of_the_same_id(mini):
    children = [mini.start(*SMALL, "-c", "a") for _ in range(3)]
    codes = []
    for child in children:
        _, err = child.communicate(timeout=200)
        codes.append(child.returncode)
        assert child.returncode == 0 or "already" in err or "another command" in err, err
    assert sorted(codes) == [0, 2, 2], codes
    assert mini.on("master_0", "true", cluster="a") == ""
    mini("destroy", "-c", "a")
    assert mini.traces() == []


def supervisors(mini):
    """systemd-nspawn of each machine, by its place in the cluster."""
    label, = [x for x in mini.labels() if x.startswith("a-")]
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            continue
        for word in words:
            if words[0].endswith(b"systemd-nspawn") and word.startswith(f"--machine={label[-8:]}-".encode()):
                found[int(word.rsplit(b"-", 1)[1])] = int(pid)
    return found


def test_a_supervisor_that_is_killed(mini):
    """Its machine can be started again, and a cluster without supervisors can be destroyed."""
    mini("provision", "-c", "a", "--public-agents=0")
    mini.on("agent_0", "setsid sleep 1000 >/dev/null 2>&1 </dev/null & touch /root/kept", cluster="a")
    os.kill(supervisors(mini)[1], signal.SIGKILL)
    wait_until(lambda: 1 not in supervisors(mini), "the supervisor to end")
    mini.run("kill", "-c", "a", "--node", "agent_0")
    mini("start", "-c", "a", "--node", "agent_0")
    assert mini.on("agent_0", "ls /root/kept", cluster="a").strip() == "/root/kept"
    for pid in supervisors(mini).values():
        os.kill(pid, signal.SIGKILL)
    mini("destroy", "-c", "a")
    assert mini.traces() == []


def test_after_the_host_was_started_again(mini):
    """Bridge, packet filter, groups and loop devices are gone, files are there: all come back."""
    device = mini("create-loopback-sidecar", "disk", "--size=1").strip()
    mini("provision", "-c", "a", "--public-agents=0", "--one-master-host-port-map=18081:22")
    before = mini.nodes("a")
    mini.on("agent_0", "echo kept > /root/kept; sync", cluster="a")
    for node in before:
        mini("kill", "-c", "a", "--node", node)
    name, = [x[-8:] for x in mini.labels() if x.startswith("a-")]
    for words in (["ip", "link", "delete", f"mdc-{name}"], ["nft", "delete", "table", "inet", f"mdc_{name}"],
                  ["losetup", "-d", device]):
        subprocess.run(words, check=True)
    mini("start", "-c", "a")
    assert mini.nodes("a") == before
    assert mini.on("agent_0", "cat /root/kept", cluster="a") == "kept\n"
    again = mini.on("master_0", "ls /dev/loop[0-9]*", cluster="a").strip()
    assert mini.on("agent_0", f"blockdev --getsize64 {again}", cluster="a").strip() == str(1 << 20)
    with socket.create_connection(("127.0.0.1", 18081), timeout=10) as s:
        assert s.recv(4) == b"SSH-"
    mini("clean")
    assert mini.traces() == []


def test_machines_hold_nothing_of_who_made_them(mini):
    """Neither pipes nor locks."""
    ours, theirs = os.pipe()
    child = mini.start(*SMALL, pass_fds=[theirs])
    os.close(theirs)
    assert child.wait(timeout=100) == 0
    child.communicate()
    with os.fdopen(ours) as f:
        assert select.select([f], [], [], 30)[0] and f.read() == ""
    mini("destroy")


def test_killed_at_any_moment(mini):
    """Making and destroying, with kill -9 now and then: the destroy that comes after finds everything."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(10):
        child = mini.start("provision", "-c", "a", "--public-agents=0", "--one-master-host-port-map=18080:80",
                           start_new_session=True)
        time.sleep(rng.uniform(0, 2.5))
        # The command alone, or with what it called.
        if rng.random() < 0.5:
            child.kill()
        else:
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        if rng.random() < 0.6:
            child = mini.start("destroy", "-c", "a", start_new_session=True)
            time.sleep(rng.uniform(0, 0.3))
            child.kill()
            child.communicate()
        # 2: there was nothing left, or nothing yet.
        assert mini.run("destroy", "-c", "a").returncode in (0, 2)
        assert mini.traces() == [], f"seed {seed}"
