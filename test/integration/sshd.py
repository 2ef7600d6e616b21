"""An OpenSSH server of a test's own: free port, own host key, one user key."""

import os
import random
import signal
import socket
import subprocess
import time

import cluster

SSHD = "/usr/sbin/sshd"


def keygen(path, kind="ed25519"):
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "test", "-f", str(path)], check=True)
    return str(path)


def free_port(low=0, high=0):
    """Any, or one of a range that nobody uses on any address."""
    if not low:
        return cluster.free_port()
    for _ in range(100):
        with socket.socket() as s:
            try:
                s.bind(("", random.randint(low, high)))
                return s.getsockname()[1]
            except OSError:
                pass
    raise RuntimeError("no free port")


class Sshd:
    """`key` is a private key whose public half may log in as root. With `before`, a shell command, the server and all that
    it starts are in a mount namespace of their own, in which that command ran; <folder>/mnt is there to mount on."""

    def __init__(self, folder, key, port=None, host_key=None, address="127.0.0.1", before=None, extra=""):
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        os.makedirs("/run/sshd", exist_ok=True)
        os.makedirs(os.path.join(self.folder, "mnt"), exist_ok=True)
        self.key, self.address, self.before, self.extra = key, address, before, extra
        self.host_key = host_key or keygen(os.path.join(self.folder, "host_key"))
        with open(key + ".pub") as f, open(os.path.join(self.folder, "authorized_keys"), "w") as out:
            out.write(f.read())
        self.process = None
        for _ in range(20):
            self.port = port or free_port()
            if self.start():
                return
        raise RuntimeError(open(self.log).read())

    def start(self):
        self.log = os.path.join(self.folder, "sshd.log")
        config = os.path.join(self.folder, "sshd_config")
        with open(config, "w") as f:
            f.write(
                f"ListenAddress {self.address}\nPort {self.port}\nHostKey {self.host_key}\n"
                f"AuthorizedKeysFile {self.folder}/authorized_keys\nPidFile none\nUsePAM no\n"
                "StrictModes no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n"
                f"KbdInteractiveAuthentication no\nMaxStartups 200\n{self.extra}"
            )
        command = [SSHD, "-D", "-e", "-f", config]
        if self.before:
            script = f'set -e; {self.before} exec "$@"'
            command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *command]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, stderr=log, start_new_session=True)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if self.process.poll() is not None:
                return False
            try:
                with socket.create_connection((self.address, self.port), timeout=1):
                    return True
            except OSError:
                time.sleep(0.02)
        raise RuntimeError("sshd does not listen")

    def sessions(self):
        """Processes that serve connections: children of the listener."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as f:
                    if int(f.read().rpartition(")")[2].split()[1]) == self.process.pid:
                        found.append(int(pid))
            except (OSError, IndexError):
                pass
        return found

    def stop(self):
        for pid in self.sessions():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.kill()
        self.process.wait()
