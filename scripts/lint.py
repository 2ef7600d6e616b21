"""Rules of the code base that tools do not know: layers, banned calls, file sizes, header guards,
a unit test for each library module. Reads the files named; prints findings; exits 1 when there are any."""

import os
import re
import sys

# A folder of src/ may include itself and the folders listed. Components (last block) never include each other.
LIBRARIES = {
    "base": [],
    "json": ["base"],
    "io": ["base"],
    "http": ["base", "io"],
    "wire": ["base", "json"],
    "zk": ["base", "io", "json"],
    "store": ["base", "io", "zk"],
    "auth": ["base", "io", "http", "json"],
    "process": ["base", "io", "http", "json"],
    "kernel": ["base", "json", "wire"],
    "scheduler": ["base", "io", "http", "json", "wire", "auth", "zk"],
    "containerizer": ["base", "io", "json"],
    "console": ["base", "io", "http", "json"],
    "transfer": ["base", "json"],
    "ssh": ["base", "json"],
    "pkgpanda": ["base", "io", "http", "json", "transfer"],
    "gen": ["base", "json", "transfer", "pkgpanda"],
    "storage": ["base", "json", "transfer", "pkgpanda"],
}
COMPONENTS = ["master", "agent", "executor", "fetcher", "marathon", "cli", "minidcos", "iam", "router", "net", "mkpanda", "checks", "installer", "bootstrap", "release", "cfn", "exhibitor"]
LAYERS = dict(LIBRARIES)
for component in COMPONENTS:
    LAYERS[component] = list(LIBRARIES)

BANNED = {
    name: why
    for why, names in {
        "use struct buf, snprintf or memcpy": "strcpy strcat stpcpy sprintf vsprintf strncpy strncat gets",
        "use base/parse.h": "atoi atol atoll atof strtol strtoul strtoll strtoull sscanf",
        "use str_split": "strtok strtok_r",
        "use base/rng.h": "rand srand random srandom drand48",
        "not thread safe; use the _r form": "gmtime localtime ctime asctime strerror",
        "use io/process.h": "system popen",
        "use mkstemp or mkdtemp": "mktemp tmpnam tempnam",
        "use an arena": "alloca",
        "wait for a condition": "sleep usleep",
    }.items()
    for name in names.split()
}
# Calls of plain malloc and friends stay inside the wrapper.
ALLOCATORS = {"malloc", "calloc", "realloc", "strdup", "strndup", "asprintf", "vasprintf"}

LINES_MAX = 1000
CALL = re.compile(r"(?<![\w.>])([a-z_0-9]+)\s*\(")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def strip(text):
    """Comments and literals out, line structure kept."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def check(path, findings):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    lines = text.count("\n")
    if lines > LINES_MAX:
        findings.append(f"{path}: {lines} lines; split it by subject (limit {LINES_MAX})")
    code = strip(text)
    parts = path.split("/")
    in_src = parts[0] == "src"
    if in_src and path.endswith(".h"):
        guard = "DCOS_" + re.sub(r"[^A-Z0-9]", "_", "_".join(parts[1:]).upper())
        if f"#ifndef {guard}\n#define {guard}\n" not in text:
            findings.append(f"{path}: header guard must be {guard}")
    if in_src:
        own = parts[1]
        allowed = set(LAYERS.get(own, [])) | {own}
        for m in INCLUDE.finditer(text):
            target = m.group(1).split("/")[0]
            if target in LAYERS and target not in allowed:
                findings.append(f"{path}:{line_of(text, m.start())}: {own} must not include {m.group(1)} (layer rule)")
        if own not in LAYERS:
            findings.append(f"{path}: folder src/{own} is not in scripts/lint.py's layer table")
    for m in re.finditer(r"\b__(DATE|TIME|TIMESTAMP)__\b", code):
        findings.append(f"{path}:{line_of(code, m.start())}: {m.group(0)}: builds of the same sources must be the same")
    for m in CALL.finditer(code):
        name = m.group(1)
        if name in BANNED:
            findings.append(f"{path}:{line_of(code, m.start())}: {name}() is banned: {BANNED[name]}")
        if in_src and name in ALLOCATORS and path not in ("src/base/alloc.c",):
            findings.append(f"{path}:{line_of(code, m.start())}: {name}() is banned: use base/alloc.h")
    if in_src:
        for m in re.finditer(r"\b(TODO|FIXME|XXX|HACK)\b", text):
            findings.append(f"{path}:{line_of(text, m.start())}: unfinished work ({m.group(0)})")


def main():
    findings = []
    for path in sys.argv[1:]:
        if os.path.exists(path):
            check(path, findings)
    # Every library module has its test.
    for library in LIBRARIES:
        folder = f"test/unit/{library}"
        if not os.path.isdir(f"src/{library}"):
            continue
        if any(n.endswith(".c") for n in os.listdir(f"src/{library}")):
            if not os.path.isdir(folder) or not any(n.startswith("test_") for n in os.listdir(folder)):
                findings.append(f"{folder}: no unit test for library {library}")
    for finding in findings:
        print(f"lint: {finding}", file=sys.stderr)
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
