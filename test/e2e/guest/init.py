#!/usr/bin/python3
"""First process of the test machine: mounts, runs what the kernel's command line names, says how it went, switches off.

dcos.run=SUITE[,SUITE...] from SUITES below."""

import ctypes
import fcntl
import os
import signal
import socket
import struct
import subprocess

libc = ctypes.CDLL(None, use_errno=True)
PYTEST = ["/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", "-v", "--tb=short", "--color=no"]
SUITES = {
    "unit-cgroup": ["/dcos/unit/test_containerizer_cgroup"],
    "unit-containerizer": ["/dcos/unit/test_containerizer_containerizer"],
    "groups": [*PYTEST, "/dcos/test/guest/groups.py"],
    "containers": [*PYTEST, "/dcos/test/integration/test_containers.py"],
    "custom": [*PYTEST, "/dcos/test/integration/test_agent_custom.py"],
    "executor": [*PYTEST, "/dcos/test/integration/test_executor.py"],
    "restart": [*PYTEST, "/dcos/test/integration/test_agent_restart.py"],
}
TIMEOUT = 900


def mount(source, target, kind, options=""):
    os.makedirs(target, exist_ok=True)
    if libc.mount(source.encode(), target.encode(), kind.encode(), 0, options.encode()) < 0:
        print(f"cannot mount {target}: {os.strerror(ctypes.get_errno())}", flush=True)


def loopback():
    """Switches the interface on, as `ip link set lo up` does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sh22x", b"lo", 0x1 | 0x40))


def reap_until(process):
    """Waits for it, and reaps what is orphaned meanwhile: that is the first process's duty."""
    while True:
        pid, status = os.wait()
        if pid == process.pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode


def run(name):
    print(f"== {name}", flush=True)
    environment = {
        "PATH": "/usr/bin:/usr/sbin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "DCOS_BUILD": "/dcos/build/debug",
        "DCOS_TEST_DEADLINE": "120",
        "DCOS_LAUNCHER": "/dcos/build/debug/src/containerizer/dcos-launcher",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": "/dcos/test/integration",
    }
    process = subprocess.Popen(SUITES[name], env=environment, cwd="/dcos", stderr=subprocess.STDOUT, start_new_session=True)
    signal.signal(signal.SIGALRM, lambda *_: process.kill())
    signal.alarm(TIMEOUT)
    code = reap_until(process)
    signal.alarm(0)
    print(f"== {name} ended with {code}", flush=True)


def groups_left():
    """Folders in the tree of control groups: there was none when the machine started."""
    return [top for top, _, _ in os.walk("/sys/fs/cgroup") if top != "/sys/fs/cgroup"]


def main():
    mount("proc", "/proc", "proc")
    mount("sysfs", "/sys", "sysfs")
    mount("devtmpfs", "/dev", "devtmpfs")
    mount("devpts", "/dev/pts", "devpts")
    mount("tmpfs", "/dev/shm", "tmpfs")
    mount("tmpfs", "/tmp", "tmpfs", "mode=1777")
    mount("tmpfs", "/run", "tmpfs", "mode=755")
    mount("cgroup2", "/sys/fs/cgroup", "cgroup2")
    for name, target in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        if not os.path.exists("/dev/" + name):
            os.symlink(f"/proc/self/fd/{target}", "/dev/" + name)
    if not os.path.exists("/dev/fd"):
        os.symlink("/proc/self/fd", "/dev/fd")
    loopback()
    socket.sethostname("guest")
    with open("/proc/cmdline", encoding="utf-8") as f:
        words = dict(word.split("=", 1) for word in f.read().split() if "=" in word)
    for name in words.get("dcos.run", "").split(","):
        if name in SUITES:
            run(name)
    print(f"== groups left: {groups_left()}", flush=True)


try:
    main()
finally:
    libc.sync()
    libc.reboot(0x4321FEDC)
