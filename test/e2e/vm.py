"""A virtual machine for tests that need another kernel setup than the host's: Debian's cloud kernel and an initramfs with
this build, Python and the tests. Nothing of the host is touched; emulated, so no /dev/kvm is needed."""

import glob
import os
import platform
import shutil
import stat
import subprocess

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("DCOS_BUILD", os.path.join(ROOT, "build", "debug"))
# What commands of tasks in the tests use, and pytest.
TOOLS = (
    "bash cat chmod chown cp date dd echo env expr false getent grep gzip head id kill ln ls md5sum mkdir mkfifo mktemp mv nohup "
    "od printf ps python3 readlink rm rmdir sed seq setpriv setsid sh sha256sum sleep sort stat tail tar tee test timeout touch tr "
    "true uname umount mount wc xargs yes"
).split()
MODULES = "_pytest attr certifi chardet charset_normalizer idna iniconfig packaging pluggy py pytest requests six urllib3"
SINGLE_MODULES = "py.py six.py typing_extensions.py"
STDLIB_UNUSED = {"test", "idlelib", "lib2to3", "tkinter", "turtledemo", "ensurepip", "distutils", "pydoc_data", "dist-packages"}


def kernel():
    """Path of a kernel image, or None."""
    chosen = os.environ.get("DCOS_TEST_KERNEL")
    if chosen:
        return chosen
    ours = os.path.join(ROOT, "build", "vm", "vmlinuz")
    found = sorted(glob.glob("/boot/vmlinuz-*-cloud-amd64"))
    return ours if os.path.exists(ours) else found[-1] if found else None


def require():
    if platform.machine() != "x86_64":
        pytest.skip("the machine is an x86_64 and runs this build's programs")
    if not shutil.which("qemu-system-x86_64"):
        pytest.skip("qemu-system-x86 is not installed (scripts/setup long)")
    image = kernel()
    if not image:
        pytest.skip("no kernel to boot (scripts/setup long, or DCOS_TEST_KERNEL=FILE)")
    if not os.access(image, os.R_OK):
        pytest.skip(f"{image} is not readable for this user")
    return image


class Initramfs:
    """An archive in cpio's "newc" format."""

    def __init__(self):
        self.entries = {}

    def folder(self, path, mode=0o755):
        path = path.strip("/")
        if path and path not in self.entries:
            self.folder(os.path.dirname(path))
            self.entries[path] = (stat.S_IFDIR | mode, b"")

    def file(self, path, data, mode=0o644):
        path = path.strip("/")
        self.folder(os.path.dirname(path))
        self.entries[path] = (stat.S_IFREG | mode, data)

    def link(self, path, target):
        path = path.strip("/")
        self.folder(os.path.dirname(path))
        self.entries[path] = (stat.S_IFLNK | 0o777, target.encode())

    def copy(self, source, path=None):
        """A file with the libraries it needs; links are followed."""
        path = path or source
        for alias in ("/bin/", "/sbin/", "/lib/", "/lib64/"):
            if path.startswith(alias):
                path = "/usr" + path
        if path.strip("/") in self.entries:
            return
        with open(source, "rb") as f:
            data = f.read()
        self.file(path, data, 0o755 if os.access(source, os.X_OK) else 0o644)
        if data[:4] == b"\x7fELF":
            for line in subprocess.run(["ldd", source], capture_output=True, text=True, check=False).stdout.splitlines():
                library = next((word for word in line.split() if word.startswith("/")), None)
                if library:
                    self.copy(library)

    def tree(self, source, path, skip=()):
        for top, folders, files in os.walk(source):
            folders[:] = [f for f in folders if f not in skip]
            where = path + top[len(source):]
            self.folder(where)
            for name in files:
                self.copy(os.path.join(top, name), os.path.join(where, name))

    def write(self, path):
        with open(path, "wb") as f:
            entries = [*self.entries.items(), ("TRAILER!!!", (0, b""))]
            for number, (name, (mode, data)) in enumerate(entries, 1):
                encoded = name.encode() + b"\0"
                fields = (number, mode, 0, 0, 2 if stat.S_ISDIR(mode) else 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
                head = b"070701" + b"".join(b"%08X" % v for v in fields) + encoded
                f.write(head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4))


def build_initramfs(path, script):
    """The machine's whole file system; `script` is its first process, in Python."""
    image = Initramfs()
    for folder in ("dev", "proc", "sys", "root", "run", "etc", "var/lib"):
        image.folder(folder)
    image.folder("tmp", 0o1777)
    for alias in ("bin", "sbin", "lib", "lib64"):
        image.folder("usr/" + alias)
        image.link(alias, "usr/" + alias)
    for tool in TOOLS:
        found = shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin")
        if found:
            image.copy(found, "/usr/bin/" + tool)
    stdlib = subprocess.run(
        ["/usr/bin/python3", "-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()
    image.tree(stdlib, stdlib, STDLIB_UNUSED)
    packages = "/usr/lib/python3/dist-packages"
    for module in MODULES.split():
        if os.path.isdir(f"{packages}/{module}"):
            image.tree(f"{packages}/{module}", f"{packages}/{module}")
    for module in SINGLE_MODULES.split():
        if os.path.exists(f"{packages}/{module}"):
            image.copy(f"{packages}/{module}")
    for info in glob.glob(packages + "/*-info"):
        name = os.path.basename(info).split("-")[0].lower()
        if os.path.isdir(info) and name in ("pytest", "pluggy", "attrs", "iniconfig", "packaging", "requests"):
            image.tree(info, info)
    # Opened by name when the first thread ends.
    for library in glob.glob("/lib/x86_64-linux-gnu/libgcc_s.so.1"):
        image.copy(library)
    image.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
               b"daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n")
    image.file("etc/group", b"root:x:0:\ndaemon:x:1:\nnogroup:x:65534:\n")
    image.file("etc/nsswitch.conf", b"passwd: files\ngroup: files\nhosts: files\n")
    image.file("etc/hosts", b"127.0.0.1 localhost\n")
    for component in os.listdir(os.path.join(BUILD, "src")):
        folder = os.path.join(BUILD, "src", component)
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            program = os.path.join(folder, name)
            if os.path.isfile(program) and os.access(program, os.X_OK) and "." not in name:
                image.copy(program, f"/dcos/build/debug/src/{component}/{name}")
    for unit in glob.glob(os.path.join(BUILD, "test/unit/containerizer/test_*")):
        if os.path.isfile(unit) and os.access(unit, os.X_OK):
            image.copy(unit, "/dcos/unit/" + os.path.basename(unit))
    image.tree(os.path.join(ROOT, "test", "integration"), "/dcos/test/integration", {"__pycache__"})
    image.tree(os.path.join(HERE, "guest"), "/dcos/test/guest", {"__pycache__"})
    image.copy(script, "/init")
    image.entries["init"] = (stat.S_IFREG | 0o755, image.entries["init"][1])
    image.write(path)


def boot(folder, script, timeout, kernel_arguments=""):
    """Runs the machine to its end. Returns what it wrote to its console."""
    image = require()
    initramfs = os.path.join(folder, "initramfs.cpio")
    console = os.path.join(folder, "console.log")
    build_initramfs(initramfs, script)
    with open(console, "wb") as out:
        machine = subprocess.Popen(
            ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2048", "-no-reboot",
             "-nodefaults", "-display", "none", "-serial", "stdio", "-kernel", image, "-initrd", initramfs,
             "-append", f"console=ttyS0 quiet panic=-1 rdinit=/init mitigations=off {kernel_arguments}"],
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
        )
        try:
            machine.wait(timeout)
        except subprocess.TimeoutExpired:
            pass
        finally:
            machine.kill()
            machine.wait()
            os.unlink(initramfs)
    with open(console, encoding="utf-8", errors="replace") as f:
        return f.read().replace("\r", "")
