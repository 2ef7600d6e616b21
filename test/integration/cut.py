"""Cuts the power of a program at every call that changes the disk, one after the other: see cut.c."""

import os
import shutil
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("DCOS_BUILD", os.path.join(ROOT, "build", "debug"))
PROGRAM = os.path.join(BUILD, "test", "integration", "cut")
CUT = 99


def often(every):
    """How many steps are left out where there are many; with DCOS_CUT_ALL (./dev check --long) none."""
    return 1 if os.environ.get("DCOS_CUT_ALL") else every


class Run:
    def __init__(self, done):
        self.cut = done.returncode == CUT
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
        self.where = done.stderr.splitlines()[-1] if self.cut else "not cut"


def run_cut(n, command, **options):
    """The run of a command that is cut at its n-th step."""
    done = subprocess.run(
        [PROGRAM, str(n), *command], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        timeout=120, check=False, **options,
    )
    return Run(done)


def each_cut(folder, command, every=1, keep=".kept", **options):
    """Gives a run for each step that the command has, each beginning with the folder as it was at first. One that is
    not cut comes first: it is what the others are measured by."""
    keep = folder + keep
    shutil.rmtree(keep, ignore_errors=True)
    shutil.copytree(folder, keep, symlinks=True)
    yield run_cut(0, command, **options)
    n = 1
    while True:
        shutil.rmtree(folder)
        shutil.copytree(keep, folder, symlinks=True)
        run = run_cut(n, command, **options)
        if not run.cut:
            assert n > 1, (run.out, run.err)
            return
        yield run
        n += every


def snapshot(folder, leave_out=()):
    """Names, kinds, modes, contents of all that is in a folder."""
    found = {}
    for parent, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.join(parent, name)
            short = os.path.relpath(path, folder)
            if any(short == o or short.startswith(o + "/") for o in leave_out):
                continue
            mode = os.lstat(path).st_mode
            if os.path.islink(path):
                found[short] = os.readlink(path)
            elif os.path.isdir(path):
                found[short] = oct(mode)
            else:
                with open(path, "rb") as f:
                    found[short] = (oct(mode), f.read())
    return found


def differences(a, b):
    return {k: (a.get(k), b.get(k)) for k in sorted(a.keys() | b.keys()) if a.get(k) != b.get(k)}
