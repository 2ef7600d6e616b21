"""`minidcos nspawn` for tests."""

import glob
import json
import os
import shutil
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BUILD = os.environ.get("DCOS_BUILD", os.path.join(ROOT, "build", "debug"))
PROGRAM = os.path.join(BUILD, "src", "minidcos", "minidcos")
CACHE = os.environ.get("MINIDCOS_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "minidcos")
DIST = os.path.join(ROOT, "build", "dist")
NEXT = "99.1.0"  # the version that is upgraded to
FIGURE = "figure: "  # begins lines that are shown when all is done


def measured(text):
    print(FIGURE + text)


def why_not():
    """Why machines cannot be tested here, or None."""
    if os.geteuid() != 0:
        return "machines need root"
    missing = [p for p in ("systemd-nspawn", "debootstrap", "ssh", "ip", "nft") if not shutil.which(p)]
    if missing:
        return f"{', '.join(missing)}: not installed; './dev e2e' does"
    doctor = subprocess.run([PROGRAM, "nspawn", "doctor"], capture_output=True, text=True, timeout=60)
    if doctor.returncode != 0:
        return [line for line in doctor.stdout.splitlines() if line.startswith("ERROR")][0]
    if "the first cluster makes the Debian tree" in doctor.stdout and not os.environ.get("DCOS_E2E"):
        return "the Debian tree of machines is not there yet; './dev e2e' makes it once"
    return None


def wait_until(condition, what, timeout=30, pause=0.05):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(pause)
    raise AssertionError(f"waited {timeout} s for {what}")


class Mini:
    def __init__(self):
        self.home = tempfile.mkdtemp(prefix="dcos-e2e-", dir=os.environ.get("DCOS_E2E_TMP_DIR_PATH"))
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("DCOS_", "MESOS_", "MARATHON_"))}
        self.env["MINIDCOS_HOME"] = self.home
        self.env["MINIDCOS_CACHE"] = CACHE

    def start(self, *args, **options):
        return subprocess.Popen([PROGRAM, "nspawn", *args], env=self.env, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, **options)

    def run(self, *args, timeout=900):
        return subprocess.run([PROGRAM, "nspawn", *args], env=self.env, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=timeout)

    def __call__(self, *args, code=0, timeout=900):
        done = self.run(*args, timeout=timeout)
        assert done.returncode == code, (args, done.returncode, done.stdout[-4000:], done.stderr[-4000:])
        return done.stdout if code == 0 else done.stderr

    def on(self, node, command, cluster="default", code=0, timeout=300):
        return self("run", "-c", cluster, "--node", node, command, code=code, timeout=timeout)

    def inspect(self, cluster="default"):
        return json.loads(self("inspect", "-c", cluster))

    def nodes(self, cluster="default"):
        """{"master_0": "172.30.0.11", ...}"""
        found = self.inspect(cluster)["Nodes"]
        return {n["e2e_reference"]: n["ip_address"] for role in found.values() for n in role}

    def folder(self, cluster="default"):
        return os.path.join(self.home, "nspawn", cluster)

    def traces(self):
        """Everything on this host that belongs to clusters of this folder."""
        found = [f for f in glob.glob(os.path.join(self.home, "nspawn", "*"))]
        for path in glob.glob("/sys/class/net/mdc-*/ifalias"):
            with open(path, encoding="utf-8") as f:
                if f.read().startswith(self.home):
                    found.append(path)
        for path in glob.glob("/sys/block/loop*/loop/backing_file"):
            with open(path, encoding="utf-8") as f:
                if f.read().startswith(self.home):
                    found.append(path)
        for link in glob.glob("/sys/class/net/vb-*"):
            if any(label.endswith(link.split("-")[1]) for label in self.labels()):
                found.append(link)
        tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout
        found += [t for t in tables.splitlines() if any(t.endswith("mdc_" + label[-8:]) for label in self.labels())]
        with open("/proc/self/mounts", encoding="utf-8") as f:
            found += [line for line in f if self.home in line]
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    words = f.read()
                with open(f"/proc/{pid}/mounts", "rb") as f:
                    mounts = f.read()
            except OSError:
                continue
            # The kernel does not tell a layer's folders of a namespace that is gone.
            if self.home.encode() in words or f"upperdir={self.home}".encode() in mounts:
                found.append(f"process {pid}: {words!r}")
        labels = self.labels()
        found += [g for label in labels for g in groups_of(label)]
        return found

    def labels(self):
        """Labels of control groups, which are a name and a hash of the folder (FNV-1a)."""
        ids = {"default", "a", "b", "three"} | set(os.listdir(os.path.join(self.home, "nspawn"))
                                                  if os.path.isdir(os.path.join(self.home, "nspawn")) else [])
        result = []
        for name in ids:
            value = 2166136261
            for byte in self.folder(name).encode():
                value = (value ^ byte) * 16777619 & 0xFFFFFFFF
            result.append(f"{name}-{value:08x}")
        return result

    def keep_logs(self):
        """Of clusters that a test left, which are those that went wrong."""
        folder = os.environ.get("DCOS_E2E_LOG_DIR")
        for logs in glob.glob(os.path.join(self.home, "nspawn", "*", "logs")) if folder else []:
            cluster = os.path.basename(os.path.dirname(logs))
            shutil.copytree(logs, os.path.join(folder, f"{os.path.basename(self.home)}-{cluster}"), dirs_exist_ok=True)

    def close(self):
        self.keep_logs()
        self.run("clean")
        shutil.rmtree(self.home, ignore_errors=True)


def groups_of(label):
    return (glob.glob(f"/sys/fs/cgroup/dcos-nspawn/{label}") +
            glob.glob(f"/sys/fs/cgroup/*/dcos-nspawn/{label}"))
