"""Real daemons for tests: started on free ports in a folder of their own, waited for by condition, and always
ended. Nothing here sleeps for a fixed time: `wait_until` polls a condition up to a deadline."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import requests

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("DCOS_BUILD", os.path.join(ROOT, "build", "debug"))
DEADLINE = float(os.environ.get("DCOS_TEST_DEADLINE", "60"))


def binary(name):
    folders = {
        "dcos-master": "master",
        "dcos-agent": "agent",
        "dcos-marathon": "marathon",
        "dcos-net": "net",
        "dcos-gen-resolvconf": "net",
        "dcos-iam": "iam",
        "dcos-router": "router",
        "dcos-launcher": "containerizer",
        "dcos-executor": "executor",
        "dcos-https-check": "executor",
        "dcos-fetcher": "fetcher",
        "dcos-iam": "iam",
        "dcos": "cli",
        "minidcos": "minidcos",
    }
    return os.path.join(BUILD, "src", folders[name], name)


def _ports():
    """Ports for listeners below those that the system gives to connections: one of those may be taken by whoever connects
    to anything while its daemon is restarted, even by a client of the daemon itself, which then is connected to itself."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="utf-8") as f:
        above = min(int(f.read().split()[0]), 30500)  # tasks have theirs from 31000 on
    # Test processes that run beside one another have parts of their own.
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    part = int(worker[2:]) % 16 if worker[2:].isdigit() else 0
    size = (above - 12000) // 16
    at = random.randrange(size)
    while True:
        at = (at + 1) % size
        yield 12000 + part * size + at


_ports = _ports()


def free_port():
    """A port on which nobody listens."""
    for port in _ports:
        with socket.socket() as s:
            try:
                s.bind(("", port))
                return port
            except OSError:
                continue


def wait_until(condition, what, timeout=None):
    """Returns the first truthy value of condition(); exceptions of requests count as not yet."""
    end = time.monotonic() + (timeout or DEADLINE)
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
        except (requests.RequestException, OSError, ValueError, KeyError, IndexError) as e:
            last = e
        if time.monotonic() > end:
            raise AssertionError(f"timed out waiting for {what}" + (f" (last error: {last})" if last else ""))
        time.sleep(0.02)


class Daemon:
    """One process with its log; restartable on the same port."""

    def __init__(self, name, program, flags, folder, env=None):
        self.name = name
        self.program = binary(program)
        self.flags = dict(flags)
        self.folder = folder
        self.env = env or {}
        self.prefix = []  # in front of the command
        self.log_path = os.path.join(folder, name + ".log")
        self.ready_file = os.path.join(folder, name + ".ready")
        self.process = None
        self.ip = None
        self.port = None

    def start(self, wait=True):
        if os.path.exists(self.ready_file):
            os.unlink(self.ready_file)
        argv = self.prefix + [self.program] + [f"--{k}={v}" for k, v in self.flags.items()] + [f"--ready_file={self.ready_file}"]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={
                    "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
                    # Tests ask for metrics as often as they like.
                    "LIBPROCESS_METRICS_SNAPSHOT_ENDPOINT_RATE_LIMIT": "",
                    **self.env,
                },
            )
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} exited with {self.process.returncode}:\n{self.tail()}")
            if not os.path.exists(self.ready_file):
                return None
            with open(self.ready_file, encoding="utf-8") as f:
                return json.load(f)

        info = wait_until(ready, f"{self.name} to be ready")
        self.ip, self.port = info["ip"], info["port"]
        for flag in ("port", "http_port"):
            if flag in self.flags:
                self.flags[flag] = self.port

    @property
    def pid(self):
        return self.process.pid

    @property
    def url(self):
        scheme = "https" if "ssl_cert_file" in self.flags else "http"
        return f"{scheme}://{self.ip}:{self.port}"

    @property
    def address(self):
        return f"{self.ip}:{self.port}"

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self, signum=signal.SIGKILL):
        if self.alive():
            self.process.send_signal(signum)
        if self.process is not None:
            self.process.wait(timeout=DEADLINE)

    def restart(self, signum=signal.SIGKILL):
        self.kill(signum)
        return self.start()

    def said(self, text):
        """How often the log has the text."""
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read().count(text)

    def tail(self, lines=40):
        if not os.path.exists(self.log_path):
            return ""
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-lines:])


def nginx_has_open(pid, folder):
    """nginx writes titles over its arguments and environment: what tells whose it is are its files."""
    with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
        if f.read() != "nginx\n":
            return False
    return any(os.readlink(f"/proc/{pid}/fd/{fd}").startswith(folder) for fd in os.listdir(f"/proc/{pid}/fd"))


def processes_under(folder):
    """Process ids (not ours) whose environment, arguments or working directory name the folder."""
    found = []
    needle = folder.encode()
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as f:
                hit = needle in f.read()
            if not hit:
                with open(f"/proc/{entry}/cmdline", "rb") as f:
                    hit = needle in f.read()
            if not hit:
                hit = os.readlink(f"/proc/{entry}/cwd").startswith(folder) or nginx_has_open(entry, folder)
        except OSError:
            continue
        if hit:
            found.append(int(entry))
    return found


class Cluster:
    """A master, agents and Marathon, each started when asked for."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="dcos-test-")
        os.chmod(self.folder, 0o755)
        self.name = os.path.basename(self.folder)
        self.daemons = []

    def _add(self, daemon, start):
        self.daemons.append(daemon)
        os.makedirs(daemon.flags["work_dir"], exist_ok=True)
        if start:
            daemon.start()
        return daemon

    def master(self, name="master", start=True, **flags):
        flags = {"ip": "127.0.0.1", "port": free_port(), "work_dir": os.path.join(self.folder, name), **flags}
        return self._add(Daemon(name, "dcos-master", flags, self.folder), start)

    def agent(self, master, name="agent1", start=True, **flags):
        flags = {
            "master": getattr(master, "address", master),
            "ip": "127.0.0.1",
            "port": free_port(),
            "hostname": "127.0.0.1",
            "work_dir": os.path.join(self.folder, name),
            "launcher_dir": self.launcher_dir(),
            "cgroups_root": f"{self.name}/{name}",
            "resources": "cpus:2;mem:1024;disk:1024;ports:[31000-31999]",
            **flags,
        }
        return self._add(Daemon(name, "dcos-agent", flags, self.folder), start)

    def marathon(self, master, name="marathon", start=True, **flags):
        flags = {
            "master": getattr(master, "address", master),
            "http_address": "127.0.0.1",
            "http_port": free_port(),
            "work_dir": os.path.join(self.folder, name),
            **flags,
        }
        return self._add(Daemon(name, "dcos-marathon", flags, self.folder), start)

    def iam(self, name="iam", start=True, superuser="admin", password="secret", **flags):
        """The identity service with a first user."""
        hashed = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=password, text=True, check=True,
                                capture_output=True).stdout.strip()
        path = os.path.join(self.folder, name + ".hash")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as f:
            f.write(hashed)
        flags = {
            "ip": "127.0.0.1",
            "port": free_port(),
            "work_dir": os.path.join(self.folder, name),
            "superuser_username": superuser,
            "superuser_password_hash_file": path,
            **flags,
        }
        return self._add(Daemon(name, "dcos-iam", flags, self.folder), start)

    def launcher_dir(self):
        """One folder with the agent's helper programs, as an installation has it."""
        folder = os.path.join(self.folder, "libexec")
        if not os.path.isdir(folder):
            os.makedirs(folder)
            for name in ("dcos-launcher", "dcos-executor", "dcos-fetcher", "dcos-https-check"):
                if os.path.exists(binary(name)):
                    os.symlink(binary(name), os.path.join(folder, name))
        return folder

    def close(self):
        for daemon in reversed(self.daemons):
            try:
                daemon.kill()
            except subprocess.TimeoutExpired:
                pass  # the rest is to be cleaned up all the same; it is found again below
        # Executors and tasks outlive their agent by design.
        end = time.monotonic() + DEADLINE
        while True:
            # A container that was being started when its agent died names the folder only once it runs its command.
            pids = set(processes_under(self.folder)) | self._cgroup_processes()
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if not pids or time.monotonic() > end:
                break
            time.sleep(0.02)
        self._remove_cgroups()
        self._unmount()
        shutil.rmtree(self.folder, ignore_errors=True)
        assert not processes_under(self.folder), "processes left behind"

    def _cgroups(self):
        """Folders of our control groups, innermost first."""
        with open("/proc/self/mounts", encoding="utf-8") as f:
            mounts = [line.split()[1] for line in f if line.split()[2] in ("cgroup", "cgroup2")]
        for mount in mounts:
            for top, _, _ in os.walk(mount, topdown=False):
                if f"/{self.name}" in top[len(mount):]:
                    yield top

    def _cgroup_processes(self):
        pids = set()
        for group in self._cgroups():
            try:
                with open(os.path.join(group, "cgroup.procs"), encoding="utf-8") as f:
                    pids.update(pid for pid in map(int, f) if pid > 1)
            except OSError:
                pass  # gone meanwhile
        return pids

    def _remove_cgroups(self):
        for top in self._cgroups():
            end = time.monotonic() + 5
            while True:
                try:
                    os.rmdir(top)
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    if time.monotonic() > end:
                        break
                    time.sleep(0.02)

    def _unmount(self):
        with open("/proc/self/mounts", encoding="utf-8") as f:
            mounts = [line.split()[1] for line in f]
        for mount in reversed(mounts):
            if mount.startswith(self.folder):
                subprocess.run(["umount", "-l", mount], check=False)
