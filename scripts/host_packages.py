"""Host packages: Debian's parts and the folders that mkpanda builds.

  lock                     writes packages/debian.lock: what the mirror has of packages/debian.packages
  fetch CACHE              downloads what the lock names, each file checked by its SHA-256
  stage CACHE INSTALL OUT  copies packages/ to OUT, with files of INSTALL (our programs, as `meson install` leaves
                           them below /opt/mesosphere) and of Debian's packages in each package's extra/
  installer CACHE INSTALL OUT  what the installer file carries for itself: programs in bin/, what they read in share/,
                           shared libraries in lib/, found relative to the programs

A package's `stage` has lines of three words: where from (`ours`, or the name of a Debian package), a path there (a
trailing slash: the whole folder), the folder or new name below extra/. In paths `@arch@` and `@multiarch@` are Debian's names.
A line `libraries lib/` takes the shared libraries that all packages together need. Lines `without GLOB` leave out.
"""

import fnmatch
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PACKAGES = os.path.join(HERE, "packages")
LOCK = os.path.join(PACKAGES, "debian.lock")
RPATH = "/opt/mesosphere/lib"
INSTALLER_PROGRAMS = ["dcos-installer", "dcos-gen"]
# The C library and what comes with it is the node's; preflight asks for one that is new enough.
OF_THE_NODE = re.compile(
    r"^(ld-linux.*|libc|libm|libpthread|libdl|librt|libresolv|libutil|libnss_\w+|libanl|libmvec|libthread_db)\.so\.\d+$"
)


class Trouble(Exception):
    pass


def run(*argv, **options):
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise Trouble(f"{' '.join(argv[:3])}: {done.stderr.strip()[-500:]}")
    return done.stdout


def system():
    with open("/etc/os-release", encoding="utf-8") as f:
        fields = dict(line.rstrip().split("=", 1) for line in f if "=" in line)
    return fields.get("ID", "?").strip('"') + "-" + fields.get("VERSION_ID", "?").strip('"')


def digest(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


# ---- the lock ----


class Locked:
    def __init__(self, line):
        self.name, self.version, self.architecture, self.sha256, self.file = line.split()


def read_lock():
    """The system it is for, and its lines."""
    lines = []
    wanted = None
    with open(LOCK, encoding="utf-8") as f:
        for line in f:
            if line.startswith("# system "):
                wanted = line.split()[2]
            elif line.strip() and not line.startswith("#"):
                lines.append(Locked(line))
    if wanted != system():
        raise Trouble(f"packages/debian.lock is for {wanted} and this is {system()}: build there, or run ./dev lock")
    return lines


def lock():
    with open(os.path.join(PACKAGES, "debian.packages"), encoding="utf-8") as f:
        names = [line.strip() for line in f if line.strip() and not line.startswith("#")]
    architecture = run("dpkg", "--print-architecture").strip()
    rows = []
    for line in run("apt-get", "download", "--print-uris", *names).splitlines():
        found = re.match(r"'[^']*' (\S+) \d+ SHA256:([0-9a-f]{64})$", line)
        if not found:
            raise Trouble(f"apt tells no SHA-256: {line[:200]}")
        name, version, built_for = urllib.parse.unquote(found[1]).removesuffix(".deb").split("_")
        if built_for not in (architecture, "all"):
            raise Trouble(f"{found[1]} is not for {architecture}")
        rows.append((name, version, built_for, found[2], found[1]))
    missing = set(names) - {row[0] for row in rows}
    if missing:
        raise Trouble(f"the mirror has none of: {' '.join(sorted(missing))}; is the list fresh (apt-get update)?")
    text = "# Written by ./dev lock. Name, version, architecture, SHA-256, file.\n# system " + system() + "\n"
    text += "".join(" ".join(row) + "\n" for row in sorted(rows))
    with open(LOCK + ".new", "w", encoding="utf-8") as f:
        f.write(text)
    os.rename(LOCK + ".new", LOCK)
    print(f"{len(rows)} packages locked")


def fetch(cache):
    os.makedirs(cache, exist_ok=True)
    # As apt's own user may not write here, it says so for each file; its own folder is not asked for.
    missing = [p for p in read_lock() if not os.path.exists(os.path.join(cache, p.file))]
    for p in read_lock():
        path = os.path.join(cache, p.file)
        if os.path.exists(path) and digest(path) != p.sha256:
            os.unlink(path)
            missing.append(p)
    if not missing:
        return
    print(f"fetching {len(missing)} Debian packages")
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        try:
            run("apt-get", "download", "-q", *(f"{p.name}={p.version}" for p in missing), cwd=folder)
        except Trouble as trouble:
            raise Trouble(
                "the mirror does not have what packages/debian.lock names (it may have newer versions: run ./dev lock "
                f"and commit what changes; or there is no list yet: apt-get update): {trouble}"
            ) from trouble
        for p in missing:
            path = os.path.join(folder, p.file)
            if not os.path.exists(path):
                raise Trouble(f"apt did not fetch {p.name} {p.version}")
            if digest(path) != p.sha256:
                raise Trouble(f"{p.file} is not what packages/debian.lock names: its SHA-256 is {digest(path)}")
            os.rename(path, os.path.join(cache, p.file))


# ---- what is in them ----


class Debian:
    """Debian's packages, unpacked when one is asked for. Folders are named after the digests, so they stay true."""

    def __init__(self, cache):
        self.cache = cache
        self.lock = {p.name: p for p in read_lock()}
        self.multiarch = run("gcc", "-print-multiarch").strip()
        self.architecture = run("dpkg", "--print-architecture").strip()
        self.libraries = None

    def folder(self, name):
        if name not in self.lock:
            raise Trouble(f"packages/debian.lock has no {name}: add it to packages/debian.packages, run ./dev lock")
        p = self.lock[name]
        folder = os.path.join(self.cache, "unpacked", f"{name}-{p.sha256[:16]}")
        if not os.path.isdir(folder):
            shutil.rmtree(folder + ".part", ignore_errors=True)
            os.makedirs(folder + ".part")
            run("dpkg-deb", "-x", os.path.join(self.cache, p.file), folder + ".part")
            os.rename(folder + ".part", folder)
        return folder

    def library(self, soname):
        """Path of the file, with links followed, or None."""
        if self.libraries is None:
            self.libraries = {}
            for name in self.lock:
                for place in (f"usr/lib/{self.multiarch}", f"lib/{self.multiarch}"):
                    folder = os.path.join(self.folder(name), place)
                    for entry in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
                        if ".so" in entry and os.path.isfile(os.path.join(folder, entry)):
                            self.libraries.setdefault(entry, os.path.realpath(os.path.join(folder, entry)))
        return self.libraries.get(soname)


def is_elf(path):
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    with open(path, "rb") as f:
        return f.read(4) == b"\x7fELF"


def needed(path):
    """Names of libraries that it links to; none when it is static."""
    text = run("objdump", "-p", path)
    return re.findall(r"^\s+NEEDED\s+(\S+)$", text, re.M)


def collect(debian, files, present=()):
    """soname -> file of all that the files need, directly or not; `present` are known already."""
    wanted = {}
    queue = [(path, os.path.basename(path)) for path in files]
    while queue:
        path, who = queue.pop()
        for soname in needed(path):
            if OF_THE_NODE.match(soname) or soname in wanted or soname in present:
                continue
            found = debian.library(soname)
            if not found:
                raise Trouble(
                    f"{who} needs {soname}, which no locked package has: add it to packages/debian.packages "
                    "and run ./dev lock"
                )
            wanted[soname] = found
            queue.append((found, soname))
    return wanted


def copy_file(source, target, base=None):
    """Links that lead out of their folder become what they lead to, inside `base`."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.lexists(target):
        raise Trouble(f"two sources of {target}")
    if os.path.islink(source) and os.path.isabs(os.readlink(source)):
        inside = os.path.join(base or "/nonexistent", os.readlink(source).lstrip("/"))
        if not os.path.isfile(inside):
            raise Trouble(f"{source} is a link to {os.readlink(source)}, which is not there on a node")
        source = inside
    shutil.copyfile(source, target, follow_symlinks=False)
    if not os.path.islink(target):
        os.chmod(target, 0o755 if os.stat(source).st_mode & 0o111 else 0o644)


def set_path(path, ours=RPATH):
    """Where it looks for libraries: ours, and for what those need too (hence RPATH, not RUNPATH). Places beside the
    program itself, as Java has them, stay."""
    if all(OF_THE_NODE.match(soname) for soname in needed(path)):
        return
    text = run("objdump", "-p", path)
    own = re.findall(r"^\s+(?:RPATH|RUNPATH)\s+(\S+)$", text, re.M)
    places = [place for given in own for place in given.split(":") if place.startswith("$ORIGIN")] + [ours]
    run("patchelf", "--force-rpath", "--set-rpath", ":".join(places), path)


# ---- packages ----


def stage_lines(folder):
    path = os.path.join(folder, "stage")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as f:
        lines = [line.split() for line in f if line.strip() and not line.startswith("#")]
    for words in lines:
        if len(words) != (2 if words[0] in ("without", "libraries") else 3):
            raise Trouble(f"{path}: cannot read: {' '.join(words)}")
    return lines


def stage_package(debian, install, name, folder):
    """Files of one package. Its programs are returned."""
    lines = stage_lines(folder)
    without = [words[1] for words in lines if words[0] == "without"]
    programs = []

    def take(source, target, foreign):
        if any(fnmatch.fnmatch(os.path.relpath(source, base), glob) for glob in without):
            return
        copy_file(source, target, base)
        if is_elf(target):
            if foreign:
                set_path(target)
            programs.append(target)

    for words in lines:
        if words[0] in ("without", "libraries"):
            continue
        origin, path, to = words
        path = path.replace("@multiarch@", debian.multiarch).replace("@arch@", debian.architecture)
        base = install if origin == "ours" else debian.folder(origin)
        source = os.path.join(base, path)
        target = os.path.join(folder, "extra", to)
        if path.endswith("/"):
            if not os.path.isdir(source):
                raise Trouble(f"packages/{name}/stage: {origin} has no folder {path}")
            for above, folders, files in os.walk(source):
                folders.sort()
                for entry in sorted(files):
                    inner = os.path.relpath(os.path.join(above, entry), source)
                    take(os.path.join(above, entry), os.path.join(target, inner), origin != "ours")
            continue
        if not os.path.isfile(source):
            raise Trouble(f"packages/{name}/stage: {origin} has no file {path}")
        if to.endswith("/"):
            target = os.path.join(target, os.path.basename(path))
        take(os.path.realpath(source) if origin != "ours" else source, target, origin != "ours")
    return programs


def put_libraries(wanted, folder, path=RPATH):
    for soname, source in sorted(wanted.items()):
        target = os.path.join(folder, soname)
        copy_file(source, target)
        set_path(target, path)


def stage(cache, install, out):
    debian = Debian(cache)
    os.makedirs(out, exist_ok=True)
    for entry in os.listdir(out):
        path = os.path.join(out, entry)
        if entry != "cache":  # what was built before stays
            (shutil.rmtree if os.path.isdir(path) else os.unlink)(path)
    for entry in sorted(os.listdir(PACKAGES)):
        source = os.path.join(PACKAGES, entry)
        if entry.endswith("treeinfo.json"):
            shutil.copy2(source, os.path.join(out, entry))
        if os.path.exists(os.path.join(source, "buildinfo.json")):
            shutil.copytree(source, os.path.join(out, entry), symlinks=True)
    programs, collectors = [], []
    for name in sorted(os.listdir(out)):
        folder = os.path.join(out, name)
        if not os.path.exists(os.path.join(folder, "buildinfo.json")):
            continue
        programs += stage_package(debian, install, name, folder)
        collectors += [os.path.join(folder, "extra", w[1]) for w in stage_lines(folder) if w[0] == "libraries"]
    own = {os.path.basename(path) for path in programs if ".so" in os.path.basename(path)}
    wanted = collect(debian, programs, own)
    for folder in collectors:
        put_libraries(wanted, folder)


def installer(cache, install, out):
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    programs = []
    for name in INSTALLER_PROGRAMS:
        source, target = os.path.join(install, "bin", name), os.path.join(out, "bin", name)
        if os.path.exists(source):
            copy_file(source, target)
            run("patchelf", "--force-rpath", "--set-rpath", "$ORIGIN/../lib", target)
            programs.append(target)
    if os.path.isdir(os.path.join(install, "share/dcos")):
        shutil.copytree(os.path.join(install, "share/dcos"), os.path.join(out, "share/dcos"))
    put_libraries(collect(Debian(cache), programs), os.path.join(out, "lib"), "$ORIGIN")


def main(argv):
    commands = {"lock": (lock, 0, 0), "fetch": (fetch, 1, 1), "stage": (stage, 3, 3), "installer": (installer, 3, 3)}
    function, least, most = commands.get(argv[1] if len(argv) > 1 else "", (None, 0, 0))
    if not function or not least <= len(argv) - 2 <= most:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        function(*argv[2:])
    except Trouble as trouble:
        print(f"host packages: {trouble}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
