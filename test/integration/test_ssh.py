"""The SSH runner against real servers, and against sockets that are none."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from cluster import processes_under
from sshd import Sshd, free_port, keygen

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("DCOS_BUILD", os.path.join(ROOT, "build", "debug"))
DRIVE = os.path.join(BUILD, "test", "unit", "ssh", "ssh_drive")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="sshd logs root in, which takes root")


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = what()
        if got:
            return got
        time.sleep(0.02)
    raise AssertionError("timed out")


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class World:
    def __init__(self, path):
        self.path = str(path)
        self.key = keygen(path / "ssh_key")
        self.servers = []
        self.sockets = []

    def file(self, *names):
        return os.path.join(self.path, *names)

    def sshd(self, name="host", **options):
        server = Sshd(self.file(name), self.key, **options)
        self.servers.append(server)
        return server

    def silent(self):
        """Accepts connections (the kernel does) and never says a word."""
        s = socket.socket()
        s.bind(("127.0.0.1", 0))
        s.listen(16)
        self.sockets.append(s)
        return s.getsockname()[1]

    def spec(self, hosts, steps, **more):
        return {
            "name": "test",
            "key": self.key,
            "known_hosts": self.file("known_hosts"),
            "record": True,
            "state": self.file("state.json"),
            "logs": self.file("logs"),
            "hosts": [{"port": h if isinstance(h, int) else h.port} for h in hosts],
            "steps": steps,
            **more,
        }

    def start(self, hosts, steps, **more):
        p = subprocess.Popen(
            [DRIVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        p.stdin.write(json.dumps(self.spec(hosts, steps, **more)))
        p.stdin.close()
        p.stdin = None
        return p

    def finish(self, p):
        out, self.events = p.communicate(timeout=60)
        return p.returncode, json.loads(out) if out else self.events

    def run(self, hosts, steps, **more):
        return self.finish(self.start(hosts, steps, **more))

    def state(self):
        with open(self.file("state.json")) as f:
            return json.load(f)

    def log(self, host):
        port = host if isinstance(host, int) else host.port
        with open(self.file("logs", f"127.0.0.1_{port}.log")) as f:
            return f.read()


@pytest.fixture
def world(tmp_path):
    w = World(tmp_path)
    yield w
    for server in w.servers:
        server.stop()
    # What a failed test left running there names the test's folder.
    for pid in processes_under(w.path):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for s in w.sockets:
        s.close()


def run(text, **more):
    return {"stage": "step", "run": text, **more}


def test_commands(world):
    host = world.sshd()
    code, results = world.run(
        [host], [run("echo out; echo err >&2"), run("id -u; cat"), run("seq 200000 | tail -c 1000000")]
    )
    assert (code, results) == (0, [{"status": "success", "code": 0, "reason": ""}])
    entry = world.state()["hosts"][f"127.0.0.1:{host.port}"]
    assert entry["host_status"] == "success"
    first, second, third = entry["commands"]
    assert (first["stdout"], first["stderr"], first["returncode"]) == (["out"], ["err"], 0)
    assert second["stdout"] == ["0"]  # nothing comes on stdin
    assert third["stdout"][-1] == "200000" and 9000 < len(third["stdout"]) < 30000
    log = world.log(host)
    assert "\nout\n" in log and "\nerr\n" in log and "\n150000\n" in log
    assert re.search(r"^--- \S+ test step: exit status 0$", log, re.M)


def test_failing_command(world):
    host, other = world.sshd("a"), world.sshd("b")
    steps = [run("echo one; echo 'no room on this disk' >&2; exit 3"), run("echo never"), run("echo tidy", always=True)]
    code, results = world.run([host], steps)
    assert code == 1
    assert results == [{"status": "failed", "code": 3, "reason": "step: no room on this disk (exit status 3)"}]
    commands = world.state()["hosts"][f"127.0.0.1:{host.port}"]["commands"]
    assert [c["stdout"] for c in commands] == [["one"], ["tidy"]]
    # A step that cleans up does not decide.
    code, results = world.run([other], [run("true"), run("exit 9", always=True)])
    assert (code, results[0]["status"]) == (0, "success")
    # Killed by a signal.
    code, results = world.run([other], [run("kill -9 $$")])
    assert (code, results[0]["code"]) == (1, 137)
    # The state file keeps hosts of other runs.
    assert len(world.state()["hosts"]) == 2 and world.state()["total_agents"] == 2


def test_what_a_host_prints_gives_terminals_no_orders(world):
    host = world.sshd()
    code, results = world.run([host], [run(r"printf 'caf\303\251 \033[2J \233A \302\233B \342\200\256C\n' >&2; exit 1")])
    assert (code, results[0]["reason"]) == (1, "step: café  [2J  A   B    C (exit status 1)")
    assert not re.search("[\x7f-\x9f\u202e]", json.dumps(world.state(), ensure_ascii=False))


SUDO = """#!/bin/sh
# As sudo speaks; root stays who it was.
{say}
[ "$1" = -n ] && shift
exec "$@"
"""
NO_TERMINAL = """[ "$(cut -d' ' -f7 /proc/$$/stat)" != 0 ] || { echo 'sudo: sorry, you must have a tty to run sudo' >&2; exit 1; }"""


def plain_user(world, say):
    """A server with a user 'plain', whose sudo first does `say`."""
    folder = world.file("user")
    os.makedirs(folder)
    with open(os.path.join(folder, "sudo"), "w") as f:
        f.write(SUDO.replace("{say}", say))
    os.chmod(os.path.join(folder, "sudo"), 0o755)
    passwd = os.path.join(folder, "passwd")
    return world.sshd(
        before=f"{{ cat /etc/passwd; echo plain:x:0:0::/root:/bin/sh; }} >{passwd}; mount --bind {passwd} /etc/passwd; ",
        extra=f"SetEnv PATH={folder}:/usr/sbin:/usr/bin:/sbin:/bin\n")


@pytest.mark.parametrize("say", ["echo 'sudo: unable to resolve host x: Name or service not known' >&2", NO_TERMINAL])
def test_user_with_sudo(world, say):
    """Also where sudo wants a terminal: what passes is the same to the byte."""
    host = plain_user(world, say)
    source, target = world.file("source"), world.file("target")
    with open(source, "wb") as f:
        f.write(bytes(range(256)) * 4000 + b"\x04\x03\r\n")
    steps = [run("printf 'a\\tb\\n'; echo \"it's $((6 * 7))\"; echo err >&2"),
             {"stage": "copy", "copy": source, "remote": target, "mode": 0o640}, run("echo why >&2; exit 7")]
    code, results = world.run([host], steps, user="plain")
    assert (code, results[0]["reason"]) == (1, "step: why (exit status 7)")
    first = world.state()["hosts"][f"127.0.0.1:{host.port}"]["commands"][0]
    assert first["stdout"] == ["a\tb", "it's 42"] and first["stderr"][-1] == "err"
    with open(source, "rb") as a, open(target, "rb") as b:
        assert a.read() == b.read()
    assert os.stat(target).st_mode & 0o7777 == 0o640
    # What takes too long is ended, with all that it began.
    pid = world.file("pid")
    code, results = world.run([host], [run(f"echo $$ >{pid}; sleep 600", timeout_ms=3000)], user="plain")
    assert results[0]["status"] == "terminated"
    with open(pid) as f:
        wait_for(lambda p=int(f.read()): not alive(p))


@pytest.mark.parametrize("say, reason", [
    ("echo 'sudo: a password is required' >&2; exit 1",
     "sudo asks for the password of user plain, which must be let do without (NOPASSWD)"),
    ("echo 'plain is not in the sudoers file.' >&2; exit 1", "user plain does not become root by sudo: plain is not in the sudoers file."),
    ("exit 1", "user plain does not become root by sudo: no word of why"),
    ("rm -f $0; exec sudo", "user plain needs sudo, and the host does not have it"),
])
def test_user_without_sudo(world, say, reason):
    host = plain_user(world, say)
    code, results = world.run([host], [run("touch " + world.file("done"))], user="plain", attempts=3)
    assert (code, results[0]["status"], results[0]["reason"]) == (1, "failed", reason)
    assert not os.path.exists(world.file("done")) and "trying again" not in world.log(host)


def test_one_bad_host_does_not_stop_others(world):
    good, refusing, silent = world.sshd(), free_port(), world.silent()
    began = time.monotonic()
    code, results = world.run([refusing, silent, good], [run("echo fine")], connect_timeout_ms=5000)
    assert code == 1
    assert [r["status"] for r in results] == ["failed", "terminated", "success"] or [
        r["status"] for r in results
    ] == ["failed", "failed", "success"]
    assert results[0]["reason"] == f"cannot connect to port {refusing}: Connection refused"
    assert "no answer within the time" in results[1]["reason"]
    assert 4.9 < time.monotonic() - began < 60
    # They are named in their logs too.
    assert "Connection refused" in world.log(refusing)


def test_peer_that_is_no_ssh_server(world):
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen(4)

    def serve():
        while True:
            try:
                c, _ = s.accept()
            except OSError:
                return
            c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 500)
            c.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    code, results = world.run([s.getsockname()[1]], [run("true")])
    s.shutdown(socket.SHUT_RDWR)
    s.close()
    thread.join()
    assert (code, results[0]["status"]) == (1, "failed")
    assert "SSH" in results[0]["reason"] or "connection" in results[0]["reason"]


def test_wrong_key(world):
    host = world.sshd()
    other = keygen(world.file("other_key"), "rsa")
    code, results = world.run([host], [run("true")], key=other)
    assert (code, results[0]["status"]) == (1, "failed")
    assert results[0]["reason"] == f"the host does not take the key {other} for user root"
    with open(world.file("none"), "w") as f:
        f.write("not a key\n")
    code, results = world.run([host], [run("true")], key=world.file("none"))
    assert "is no private key that can be read without a passphrase" in results[0]["reason"]
    code, results = world.run([host], [run("true")], key=world.file("absent"))
    assert "is no private key" in results[0]["reason"]


def test_host_keys(world):
    host = world.sshd()
    # Unknown hosts are refused, unless they are to be recorded.
    code, results = world.run([host], [run("true")], record=False)
    assert code == 1 and "unknown hosts are refused" in results[0]["reason"]
    assert not os.path.exists(world.file("known_hosts"))
    assert world.run([host], [run("true")])[0] == 0
    with open(world.file("known_hosts")) as f:
        recorded = f.read()
    assert recorded.startswith(f"[127.0.0.1]:{host.port} ssh-ed25519 ")
    assert world.run([host], [run("true")], record=False)[0] == 0
    # OpenSSH reads the same file.
    subprocess.run(["ssh-keygen", "-F", f"[127.0.0.1]:{host.port}", "-f", world.file("known_hosts")], check=True)
    # A changed key is an error, of the same kind or of another, also when unknown ones are recorded.
    host.stop()
    for kind in "ed25519", "rsa":
        changed = world.sshd("changed-" + kind, port=host.port, host_key=keygen(world.file("new-" + kind), kind))
        code, results = world.run([changed], [run(f"touch {world.file('came-in')}")])
        assert code == 1 and "the host's key is not the one in" in results[0]["reason"]
        changed.stop()
    assert not os.path.exists(world.file("came-in"))
    with open(world.file("known_hosts")) as f:
        assert f.read() == recorded


def test_many_hosts_are_recorded_at_once(world):
    hosts = [world.sshd(f"h{i}") for i in range(8)]
    code, results = world.run(hosts, [run("echo $SSH_CONNECTION")])
    assert code == 0, results
    with open(world.file("known_hosts")) as f:
        assert len(f.read().splitlines()) == 8


def test_timeout_ends_the_command(world):
    host = world.sshd()
    code, results = world.run([host], [run(f"echo $$ >{world.file('pid')}; exec sleep 600", timeout_ms=3000), run("true")])
    assert (code, results[0]["status"]) == (1, "terminated")
    assert "still not done after" in results[0]["reason"]
    command = world.state()["hosts"][f"127.0.0.1:{host.port}"]["commands"][0]
    assert command["returncode"] is None
    with open(world.file("pid")) as f:
        pid = int(f.read())
    wait_for(lambda: not alive(pid))


def test_background_process_does_not_hold_a_step(world):
    host = world.sshd()
    began = time.monotonic()
    code, results = world.run([host], [run(f"sleep 300 & echo $! >{world.file('pid')}")])
    assert (code, results[0]["status"]) == (0, "success")
    assert time.monotonic() - began < 120
    with open(world.file("pid")) as f:
        os.kill(int(f.read()), signal.SIGKILL)


def test_connection_lost_in_a_command(world):
    host = world.sshd()
    for more in {}, {"repeatable": True}:
        flag = world.file("flag")
        step = run(f"[ -e {flag} ] || {{ touch {flag}; exec sleep 600; }}", **more)
        p = world.start([host], [step], attempts=3)
        wait_for(lambda: os.path.exists(flag))
        for pid in host.sessions():
            os.kill(pid, signal.SIGKILL)
        code, results = world.finish(p)
        if more:  # it is made again, and the step repeated
            assert (code, results[0]["status"]) == (0, "success")
            assert "trying again" in world.log(host)
        else:
            assert code == 1
            assert results[0]["reason"] == "step: the connection was lost while a command ran"
        os.unlink(flag)


def test_host_that_comes_up_late(world):
    port = free_port()
    p = world.start([port], [run("echo here")], attempts=12, retry_pause_ms=100)
    wait_for(lambda: os.path.exists(world.file("logs", f"127.0.0.1_{port}.log")))
    wait_for(lambda: "trying again" in world.log(port))
    world.sshd(port=port)
    code, results = world.finish(p)
    assert (code, results[0]["status"]) == (0, "success")


def test_parallelism(world):
    host = world.sshd()
    spec = [host] * 1
    hosts = [world.sshd(f"h{i}") for i in range(5)]
    flag = world.file("running")
    step = run(f"mkdir {flag} && ls {flag} && rmdir {flag}")  # mkdir fails when two run at once
    code, results = world.run(spec + hosts, [step], parallelism=1)
    assert code == 0, results
    order = [line.split()[:2] for line in world.events.splitlines() if line.startswith("host-")]
    assert order == [[what, str(i)] for i in range(6) for what in ("host-started", "host-done")]


def test_cancel(world):
    hosts = [world.sshd("a"), world.sshd("b"), world.silent(), world.sshd("c")]
    pids = world.file("pids")
    p = world.start(hosts, [run(f"echo $$ >>{pids}; exec sleep 600")], parallelism=3, connect_timeout_ms=300000)
    wait_for(lambda: os.path.exists(pids) and len(open(pids).read().split()) == 2)
    began = time.monotonic()
    p.send_signal(signal.SIGINT)
    code, results = world.finish(p)
    assert time.monotonic() - began < 60
    assert code == 1
    assert [r["status"] for r in results] == ["terminated", "terminated", "terminated", "unstarted"]
    assert "cancelled" in results[0]["reason"]
    for pid in map(int, open(pids).read().split()):
        wait_for(lambda: not alive(pid))
    assert world.state()["hosts"][f"127.0.0.1:{hosts[3].port}"]["host_status"] == "unstarted"


def test_killed_runner_leaves_a_whole_state_file(world):
    host = world.sshd()
    p = world.start([host], [run("echo one"), run(f"echo $$ >{world.file('there')}; sleep 600")])
    pid = int(wait_for(lambda: os.path.exists(world.file("there")) and open(world.file("there")).read()))
    wait_for(lambda: world.state()["hosts"][f"127.0.0.1:{host.port}"]["commands"])
    p.kill()
    p.communicate()
    entry = world.state()["hosts"][f"127.0.0.1:{host.port}"]
    assert entry["host_status"] == "running" and len(entry["commands"]) == 1
    wait_for(lambda: not alive(pid))  # the host is told by the connection's end


def test_copy(world):
    host = world.sshd()
    source, target = world.file("source"), world.file("to", "the folder", "it's")
    with open(source, "wb") as f:
        f.write(os.urandom(3_000_000))
    step = {"stage": "copy", "copy": source, "remote": target, "mode": 0o755}
    code, results = world.run([host], [step])
    assert code == 0, results
    with open(source, "rb") as a, open(target, "rb") as b:
        assert a.read() == b.read()
    assert os.stat(target).st_mode & 0o7777 == 0o755
    assert os.listdir(os.path.dirname(target)) == ["it's"]
    # What is there already is not sent again; the mode is set all the same.
    before = os.stat(target).st_ino
    step["mode"] = 0o600
    assert world.run([host], [step])[0] == 0
    assert os.stat(target).st_ino == before and os.stat(target).st_mode & 0o7777 == 0o600
    # Damaged: it is.
    with open(target, "r+b") as f:
        f.write(b"x")
    assert world.run([host], [step])[0] == 0
    with open(source, "rb") as a, open(target, "rb") as b:
        assert a.read() == b.read()


def test_copy_of_an_empty_file(world):
    host = world.sshd()
    open(world.file("empty"), "w").close()
    step = {"stage": "copy", "copy": world.file("empty"), "remote": world.file("target")}
    assert world.run([host], [step])[0] == 0
    assert os.stat(world.file("target")).st_size == 0


def test_copy_that_changes_on_the_way(world):
    """The file is another one by the time it is sent: it never gets the name."""
    host = world.sshd()
    source = world.file("source")
    with open(source, "w") as f:
        f.write("one")
    code, results = world.run(
        [host],
        [run(f"printf two >{source}"), {"stage": "copy", "copy": source, "remote": world.file("target")}],
    )
    assert code == 1
    assert "what arrived is not what was sent" in results[0]["reason"]
    assert not os.path.exists(world.file("target")) and not os.path.exists(world.file("target.part"))


def test_copy_to_a_full_disk(world):
    host = world.sshd()
    small = world.file("small")
    os.mkdir(small)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", small], check=True)
    try:
        with open(world.file("source"), "wb") as f:
            f.write(b"x" * 500_000)
        step = {"stage": "copy", "copy": world.file("source"), "remote": os.path.join(small, "f")}
        code, results = world.run([host], [step])
        assert code == 1
        assert "No space left on device" in results[0]["reason"]
        assert os.listdir(small) == []
    finally:
        subprocess.run(["umount", small], check=True)


def test_log_that_cannot_be_written(world):
    host = world.sshd()
    os.makedirs(world.file("logs", f"127.0.0.1_{host.port}.log"))
    code, results = world.run([host], [run("true")])
    assert code == 1 and "Is a directory" in results[0]["reason"]
