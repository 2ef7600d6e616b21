"""`minidcos nspawn doctor` on hosts where something is missing: it says what, and what to do."""

import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from mini import PROGRAM

PREPARE = {
    "inotify": "echo 100 > $T/n && mount --bind $T/n /proc/sys/fs/inotify/max_user_instances",
    "watches": "echo 100 > $T/n && mount --bind $T/n /proc/sys/fs/inotify/max_user_watches",
    "pids": "echo 1000 > $T/n && mount --bind $T/n /proc/sys/kernel/pid_max",
    "files": "ulimit -n 1024",
    "room": "mkdir $T/home && mount -t tmpfs -o size=10m tmpfs $T/home",
    "layers": "mkdir $T/home $T/u $T/w && mount -t overlay -o lowerdir=$T/c,upperdir=$T/u,workdir=$T/w x $T/home && "
              "mkdir $T/home/u $T/home/w && ! mount -t overlay -o lowerdir=$T/c,upperdir=$T/home/u,workdir=$T/home/w y /mnt",
    "forward": "echo 1 > $T/n && mount --bind $T/n /proc/sys/net/bridge/bridge-nf-call-iptables && nft "
               "'add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'",
    "port": "echo 0 > $T/n && mount --bind $T/n /proc/sys/net/ipv4/ip_forward",
    "groups": "mount -t tmpfs tmpfs /sys/fs/cgroup && umount -l /sys/fs/cgroup && "
              "for i in 1 2 3; do umount -R -l /sys/fs/cgroup 2>/dev/null; done; true",
    "loop": "mount -t tmpfs tmpfs /dev && mknod /dev/null c 1 3",
}

ROWS = [
    ("inotify", 0, "WARNING", "sysctl fs.inotify.max_user_instances="),
    ("watches", 0, "WARNING", "sysctl fs.inotify.max_user_watches="),
    ("pids", 0, "WARNING", "sysctl kernel.pid_max="),
    ("files", 0, "WARNING", "ulimit -Hn"),
    ("room", 0, "WARNING", "0 GB are free"),
    ("layers", 1, "ERROR", "with --dir"),
    ("forward", 0, "WARNING", "let mdc-* through"),
    ("port", 0, "note", "--one-master-host-port-map"),
    ("groups", 1, "ERROR", "no control groups are mounted"),
    ("loop", 0, "note", "modprobe loop"),
]


def doctor(tmp_path, prepare="true", env=(), program=(PROGRAM,)):
    (tmp_path / "c").mkdir(exist_ok=True)
    script = f"{{ {prepare}; }} >&2 || exit 77; exec \"$@\""
    return subprocess.run(["unshare", "-m", "-n", "bash", "-c", script, "sh", *program, "nspawn", "doctor",
                           f"--dir={tmp_path}/home", f"--cache={tmp_path}/c"], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "T": str(tmp_path), **dict(env)})


@pytest.mark.parametrize("what,code,level,text", ROWS, ids=[r[0] for r in ROWS])
def test_what_is_missing(tmp_path, what, code, level, text):
    if what == "forward" and not os.path.exists("/proc/sys/net/bridge/bridge-nf-call-iptables"):
        pytest.skip("the kernel does not show bridged packets to filters")
    done = doctor(tmp_path, PREPARE[what])
    assert done.returncode != 77, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.split()[0] == level and text in line]
    assert (done.returncode, len(lines)) == (code, 1), done.stdout


def test_programs_that_are_missing(tmp_path):
    """One line, with the packages to install."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("unshare", "ip", "ssh", "scp", "ssh-keygen", "systemctl", "debootstrap"):
        (folder / name).symlink_to(shutil.which(name))
    done = doctor(tmp_path, f"PATH={folder}")
    assert done.returncode == 1
    assert "missing: systemd-nspawn, nft; apt-get install systemd-container nftables" in done.stdout, done.stdout


def test_without_root():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        program = os.path.join(folder, "minidcos")
        shutil.copy(PROGRAM, program)
        done = doctor(pathlib.Path(folder),
                      program=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program))
    assert done.returncode == 1 and "sudo" in done.stdout, done
    assert len(done.stdout.splitlines()) == 1
