"""dcos-gen: configurations that are wrong in every way, and what is made of those that are not."""

import hashlib
import json
import os
import re
import stat
import subprocess
import tarfile

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("DCOS_BUILD", os.path.join(ROOT, "build", "debug"))
GEN = os.path.join(BUILD, "src", "gen", "dcos-gen")
PKGPANDA = os.path.join(BUILD, "src", "pkgpanda", "pkgpanda")

SMALLEST = """bootstrap_url: http://192.0.2.1:8080
cluster_name: demo
exhibitor_storage_backend: static
master_discovery: static
master_list: [192.0.2.11]
"""


class Folder:
    """A folder with genconf/ in it, in which dcos-gen runs."""

    def __init__(self, path):
        self.path = str(path)
        self.write("genconf/ip-detect", "#!/bin/sh\necho 192.0.2.11\n")
        self.config(SMALLEST)

    def write(self, name, text, mode=0o644):
        full = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(full, mode)

    def config(self, text):
        self.write("genconf/config.yaml", text)

    def run(self, *args, code=0, env=None):
        done = subprocess.run(
            [GEN, *args], cwd=self.path, capture_output=True, text=True, timeout=60, env={"PATH": os.environ["PATH"], **(env or {})}
        )
        assert done.returncode == code, done.stderr
        return done

    def generate(self, *args):
        self.run("generate", *args, env={"BOOTSTRAP_ID": "b00", "DCOS_IMAGE_COMMIT": "c0ffee"})
        with open(self.serve("cluster-package-info.json"), encoding="utf-8") as f:
            return json.load(f)

    def serve(self, name=""):
        return os.path.join(self.path, "genconf", "serve", name)


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def members(path):
    with tarfile.open(path) as tar:
        return {m.name: (stat.S_IMODE(m.mode), tar.extractfile(m).read().decode() if m.isfile() else None) for m in tar}


WRONG = """bootstrap_url: http://192.0.2.1:8080/
cluster_name:
exhibitor_storage_backend: staticc
master_discovery: static
master_list: [192.0.2.11, 192.0.2.11, x]
num_masters: 3

ssh_port: 99999
ssh_prot: 22
check_time: 1.5
resolvers: [198.51.100.1]
enable_ipv6: no
ip_detect_filename: nope
cluster_docker_credentials: "hunter2"
use_proxy: true
adminrouter_tls_1_2_enabled: false
custom_checks: {node_checks: {checks: {xz: {description: a, cmd: [b], timeout: 5s}}, poststart: [xz]}}
calico_network_cidr: 9.1.0.0/16
mesos_recovery_timeout: 1.2.3hrs
agent_list: [10.0.0.1]
public_agent_list: [10.0.0.1]
superuser_service_account_uid: me
dns_search: a,b
log_offers: yes
log_offers: no
"""


@pytest.mark.parametrize("character", ["\\n", "\\t", "\\x7f"])
def test_control_characters_are_told_with_their_line(folder, character):
    """What stands in files of one line a value must be one; the message is not about a template."""
    folder.config(SMALLEST.replace("demo", f'"a{character}b"'))
    done = folder.run("validate", code=1)
    assert done.stderr.splitlines() == [
        "genconf/config.yaml:2: cluster_name: Must be one line of text, without control characters"
    ]


def test_everything_wrong_is_told_at_once_with_lines(folder):
    folder.config(WRONG)
    done = folder.run("validate", code=1)
    assert "hunter2" not in done.stderr + done.stdout
    lines = done.stderr.splitlines()
    said = {}
    for line in lines:
        where, _, rest = line.partition(": ")
        if not rest.startswith("warning: "):
            name, _, message = rest.partition(": ")
            said[name] = (int(where.partition(":")[2] or 0), message)
    expected = {
        "bootstrap_url": (1, "Must not end in a '/'"),
        "cluster_name": (2, "Must be text, an integer, true, false, a list or a mapping, but is empty."),
        "master_list": (5, "List cannot contain duplicates: 192.0.2.11 appears 2 times"),
        "num_masters": (
            6,
            "num_masters must be calculated, but was explicitly set in the configuration. Remove it from the configuration.",
        ),
        "ssh_port": (8, "Must be between 1 and 32000 inclusive"),
        "check_time": (10, "Must be text, an integer, true, false, a list or a mapping, but is a number with a fraction."),
        "resolvers": (11, "Spartan addresses found: 198.51.100.1"),
        "enable_ipv6": (12, "dcos_l4lb_enable_ipv6 must be false when enable_ipv6 is false"),
        "dcos_l4lb_enable_ipv6": (0, "dcos_l4lb_enable_ipv6 must be false when enable_ipv6 is false"),
        "ip_detect_contents": (13, "ip-detect script 'nope' must exist"),
        "cluster_docker_credentials": (14, "Must be a mapping. The value is secret and not shown."),
        "http_proxy": (0, "Must set http_proxy, no way to calculate value."),
        "https_proxy": (0, "Must set https_proxy, no way to calculate value."),
        "mesos_recovery_timeout": (
            19,
            "Error parsing value: '1.2.3hrs'. Must be a number and one of ns, us, ms, secs, mins, hrs, days, weeks",
        ),
        "agent_list": (20, "agent_list and public_agent_list must not both have 10.0.0.1"),
        "public_agent_list": (21, "agent_list and public_agent_list must not both have 10.0.0.1"),
        "dns_search": (23, "Commas are not allowed"),
        "log_offers": (25, "Is set twice; the first time on line 24."),
    }
    for name, what in expected.items():
        assert said.get(name) == what, name
    for name, line in {
        "exhibitor_storage_backend": 3,
        "adminrouter_tls_1_2_enabled": 16,
        "custom_checks": 17,
        "calico_network_cidr": 18,
        "superuser_service_account_uid": 22,
    }.items():
        assert said[name][0] == line, name
    assert "genconf/config.yaml:9: warning: ssh_prot: Is not a parameter and has no effect. Did you mean ssh_port?" in lines

    answer = json.loads(folder.run("validate", "--json", code=1).stdout)
    assert answer["status"] == "errors"
    assert answer["errors"]["ssh_port"] == {"message": "Must be between 1 and 32000 inclusive", "line": 8}
    assert answer["errors"]["http_proxy"] == {"message": "Must set http_proxy, no way to calculate value."}
    assert set(expected) <= set(answer["errors"])
    assert answer["warnings"]["ssh_prot"]["line"] == 9
    # Nothing is made of it.
    folder.run("generate", code=1, env={"BOOTSTRAP_ID": "b00"})
    assert not os.path.exists(folder.serve())


BAD = "%% bad ü, [x"


def test_every_parameter_that_is_wrong_is_told_at_once(folder):
    """What is wrong alone is wrong among all the others too, on its line."""
    names = [p["name"] for p in json.loads(folder.run("params", "--json").stdout)]
    assert len(names) > 200

    def errors(wrong):
        lines = [line for line in SMALLEST.splitlines() if line.split(":")[0] not in wrong]
        lines += [f"{name}: '{BAD}'" for name in wrong]
        folder.config("\n".join(lines) + "\n")
        done = subprocess.run(
            [GEN, "validate", "--json"], cwd=folder.path, capture_output=True, text=True, timeout=60, check=False,
            env={"PATH": os.environ["PATH"], "BOOTSTRAP_ID": "b00", "DCOS_IMAGE_COMMIT": "c0ffee"},
        )
        assert done.returncode in (0, 1), done.stderr
        at = {line.split(":")[0]: i for i, line in enumerate(lines, 1)}
        found = json.loads(done.stdout)["errors"]
        for name in found.keys() & set(wrong):
            assert found[name]["line"] == at[name], name
        return found

    alone = {name for name in names if name in errors([name])}
    assert len(alone) > 120, len(alone)
    together = errors(sorted(alone))
    # These two are wrong by what another says, which is wrong itself then.
    assert alone - set(together) == {"dcos_overlay_network_default_name", "superuser_service_account_uid"}


def test_an_empty_configuration_names_what_is_demanded(folder):
    folder.config("")
    done = folder.run("validate", code=1)
    assert sorted(done.stderr.splitlines()) == [
        f"genconf/config.yaml: {name}: Must set {name}, no way to calculate value."
        for name in ("bootstrap_url", "cluster_name", "exhibitor_storage_backend", "master_discovery")
    ]


@pytest.mark.parametrize(
    "text, message",
    [
        ("a: b: c\n", "line 1: mapping values are not allowed in this context"),
        ("- a\n", "line 1: must be a mapping of names to values"),
        ("a: 1\n---\nb: 1\n", "line 3: more than one document"),
        ("a: &x 1\n", "line 1: anchors are not supported"),
    ],
)
def test_what_is_no_yaml_is_refused(folder, text, message):
    folder.config(text)
    assert folder.run("validate", code=2).stderr == f"dcos-gen: genconf/config.yaml: {message}\n"


def test_a_proxys_password_is_for_root(folder):
    folder.write("release/complete/complete.latest.json", json.dumps({"bootstrap": "b00", "packages": ["mesos--1"]}))
    with open(os.path.join(folder.path, "genconf/config.yaml"), encoding="utf-8") as f:
        text = f.read()
    folder.config(text + "\nuse_proxy: true\nhttp_proxy: http://me:hun:ter2@192.0.2.9:3128/a@b\nhttps_proxy: http://192.0.2.9:3128\n")
    config = members(folder.serve(folder.generate("--artifacts=release")["dcos-config"]["filename"]))
    mode, content = config["./etc/proxy.env"]
    assert mode == 0o600 and "hun:ter2@192.0.2.9" in content
    for path, (mode, content) in config.items():
        assert mode & 0o077 == 0 or "ter2" not in (content or ""), path
    expanded = json.loads(config["./etc/expanded.config.json"][1])
    assert expanded["http_proxy"] == "http://me:**HIDDEN**@192.0.2.9:3128/a@b"
    assert expanded["https_proxy"] == "http://192.0.2.9:3128"
    assert "http://me:**HIDDEN**@192.0.2.9" in config["./etc/user.config.yaml"][1]
    explained = folder.run("--explain", "http_proxy").stdout
    assert "**HIDDEN**" in explained and "ter2" not in explained


def test_a_missing_file_and_a_release_are_demanded(folder):
    done = folder.run("generate", code=1)
    assert done.stderr == "genconf/config.yaml: bootstrap_id: Must set bootstrap_id, no way to calculate value.\n"
    os.unlink(os.path.join(folder.path, "genconf/config.yaml"))
    assert "genconf/config.yaml" in folder.run("validate", code=2).stderr


def test_what_is_made(folder):
    folder.write("release/complete/complete.latest.json", json.dumps({"bootstrap": "b00", "packages": ["mesos--1", "java--2", "zookeeper--3"]}))
    info = folder.generate("--artifacts=release")
    assert set(info) == {"dcos-config", "dcos-metadata"}
    config = members(folder.serve(info["dcos-config"]["filename"]))
    assert config["./bin/detect_ip"] == (0o755, "#!/bin/sh\necho 192.0.2.11\n")
    assert config["./etc/master_list"][1] == '["192.0.2.11"]'
    assert config["./etc/user.config.full.yaml"][0] == 0o600
    assert config["./etc/expanded.config.full.json"][0] == 0o600
    assert json.loads(config["./etc/expanded.config.json"][1])["num_masters"] == "1"
    assert json.loads(config["./pkginfo.json"][1]) == {
        "environment": {"MESOS_IP_DISCOVERY_COMMAND": "/opt/mesosphere/bin/detect_ip", "PROVIDER": "onprem"}
    }
    metadata = members(folder.serve(info["dcos-metadata"]["filename"]))
    version = json.loads(metadata["./etc/dcos-version.json"][1])
    assert version["bootstrap-id"] == "b00" and version["dcos-image-commit"] == "c0ffee"
    with open(folder.serve("cluster-package-list.latest"), encoding="utf-8") as f:
        list_id = f.read()
    with open(folder.serve(f"package_lists/{list_id}.package_list.json"), encoding="utf-8") as f:
        ids = json.load(f)
    assert ids == sorted(ids) and "mesos--1" in ids and info["dcos-config"]["id"] in ids
    # Only ZooKeeper wants Java, and one master wants no ZooKeeper.
    assert "java--2" not in ids and "zookeeper--3" not in ids
    joined = ",".join(hashlib.sha1(i.encode()).hexdigest() for i in ids)
    assert list_id == hashlib.sha1(joined.encode()).hexdigest()
    folder.config(SMALLEST.replace("[192.0.2.11]", "[192.0.2.11, 192.0.2.12, 192.0.2.13]"))
    folder.generate("--artifacts=release")
    with open(folder.serve("cluster-package-list.latest"), encoding="utf-8") as f:
        list_id = f.read()
    with open(folder.serve(f"package_lists/{list_id}.package_list.json"), encoding="utf-8") as f:
        assert {"java--2", "zookeeper--3"} <= set(json.load(f))


def digests(path):
    found = {}
    for base, _, names in os.walk(path):
        for name in names:
            full = os.path.join(base, name)
            with open(full, "rb") as f:
                found[os.path.relpath(full, path)] = hashlib.sha256(f.read()).hexdigest()
    return found


def test_the_same_bytes_in_another_place(tmp_path):
    first, second = Folder(tmp_path / "a"), Folder(tmp_path / "b" / "c")
    first.generate()
    second.generate()
    assert digests(first.serve()) == digests(second.serve())
    # Again in the same place, also where a run was cut off.
    before = digests(first.serve())
    os.makedirs(first.serve(".gen.000000/package/etc"))
    os.unlink(first.serve("cluster-package-list.latest"))
    first.generate()
    after = digests(first.serve())
    assert before == after
    assert not os.path.exists(first.serve(".gen.000000"))


def test_ids_follow_the_configuration_and_the_scripts(folder):
    seen = {folder.generate()["dcos-config"]["id"]}
    folder.config(SMALLEST + "gc_delay: 3days\n")
    seen.add(folder.generate()["dcos-config"]["id"])
    folder.write("genconf/ip-detect", "#!/bin/sh\necho 192.0.2.12\n")
    seen.add(folder.generate()["dcos-config"]["id"])
    folder.write("genconf/fault-domain-detect", "#!/bin/sh\necho {}\n")
    seen.add(folder.generate()["dcos-config"]["id"])
    assert len(seen) == 4


def test_programs_for_checks_become_a_package(folder):
    folder.write("genconf/check_bins/one", "#!/bin/sh\n", 0o755)
    folder.write("genconf/check_bins/two", "#!/bin/sh\nexit 1\n")
    info = folder.generate()
    sums = sorted(hashlib.sha1(text).hexdigest() for text in (b"#!/bin/sh\n", b"#!/bin/sh\nexit 1\n"))
    joined = ",".join(hashlib.sha1(s.encode()).hexdigest() for s in sums)
    assert info["custom-check-bins"]["id"] == "custom-check-bins--" + hashlib.sha1(joined.encode()).hexdigest()
    bins = members(folder.serve(info["custom-check-bins"]["filename"]))
    assert {n: m for n, (m, text) in bins.items() if text is not None} == {"./one": 0o755, "./two": 0o755, "./pkginfo.json": 0o644}
    assert ":/opt/mesosphere/active/custom-check-bins" in folder.run("value", "check_search_path").stdout
    folder.write("genconf/check_bins/folder/x", "")
    assert "must not have folders in it" in folder.run("validate", code=1).stderr


def test_the_path_of_checks_may_be_given(folder):
    folder.write("genconf/check_bins/one", "#!/bin/sh\n", 0o755)
    folder.config(SMALLEST + "check_search_path: /bin\n")
    config = json.loads(folder.run("value", "check_config").stdout)
    assert config["check_env"]["PATH"] == "/bin:/opt/mesosphere/active/custom-check-bins"


def test_what_is_not_given_is_told_apart(folder):
    folder.config("cluster_name: x\nuse_proxy: maybe\n")
    answer = json.loads(folder.run("validate", "--json", code=1).stdout)
    assert answer["unset"] == ["bootstrap_url", "exhibitor_storage_backend", "master_discovery"]
    assert "use_proxy" in answer["errors"]


def test_extension(folder):
    folder.config(SMALLEST + "team: red\n")
    assert "team: Is not a parameter" in folder.run("validate").stderr
    folder.write("gen_extra/params.yaml", "parameters:\n  team: {one_of: [red, blue], help: who to call}\n")
    folder.write("gen_extra/dcos-config.yaml", "package:\n- path: /etc/team\n  content: {{ team | json }}\n")
    assert folder.run("validate").stderr == ""
    assert "who to call" in folder.run("--explain", "team").stdout
    config = members(folder.serve(folder.generate()["dcos-config"]["filename"]))
    assert config["./etc/team"] == (0o644, "red")
    folder.config(SMALLEST + "team: green\n")
    assert ": team: Must be one of 'red', 'blue'. Got 'green'." in folder.run("validate", code=1).stderr
    folder.write("gen_extra/calc.py", "entry = {}\n")
    assert "gen_extra/calc.py: extensions are not read as Python" in folder.run("validate", code=2).stderr


def test_pkgpanda_takes_the_packages_and_the_late_one(folder, tmp_path):
    folder.config(SMALLEST.replace("cluster_name: demo\n", ""))
    info = folder.generate("--late", "cluster_name=the name")
    config = members(folder.serve(info["dcos-config"]["filename"]))
    assert "./etc_master/mesos-master" not in config
    root = str(tmp_path / "root")
    etc = str(tmp_path / "etc")
    cloud = folder.run("cloud-config", "--late", "cluster_name=the name", env={"BOOTSTRAP_ID": "b00", "DCOS_IMAGE_COMMIT": "c0ffee"}).stdout
    files = {}
    for line in cloud.splitlines():
        if line.startswith("- {"):
            entry = json.loads(line[2:])
            files[entry["path"]] = entry["content"]
    flags = "/etc/mesosphere/setup-flags/"
    for name in ("cluster-package-list", "late-config.yaml"):
        folder.write(os.path.join(etc, "setup-flags", name), files[flags + name])
    folder.write(os.path.join(etc, "setup-flags", "repository-url"), "file://" + folder.serve())
    folder.write(os.path.join(etc, "roles", "master"), "")
    folder.write(os.path.join(root, "bootstrap"), "")
    os.makedirs(os.path.join(root, "packages"))
    os.makedirs(os.path.join(root, "active"))
    done = subprocess.run(
        [PKGPANDA, f"--root={root}", f"--config-dir={etc}", "--no-systemd", "--rooted-systemd", f"--state-dir-root={tmp_path}/state", "setup"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    with open(os.path.join(root, "etc", "mesos-master"), encoding="utf-8") as f:
        assert f.readline() == "MESOS_CLUSTER='the name'\n"
    with open(os.path.join(root, "environment"), encoding="utf-8") as f:
        assert "MESOS_IP_DISCOVERY_COMMAND=/opt/mesosphere/bin/detect_ip\n" in f.read()
    with open(os.path.join(root, "etc", "expanded.config.json"), encoding="utf-8") as f:
        assert json.load(f)["cluster_name"] == "the name"
    assert os.path.exists(os.path.join(root, "etc", "master_count"))
    assert not os.path.exists(os.path.join(root, "etc", "mesos-slave"))


def test_systemd_takes_the_units(folder, tmp_path):
    cloud = folder.run("cloud-config").stdout
    units = [json.loads(line[2:]) for line in cloud.splitlines() if '"/etc/systemd/system/' in line]
    assert [os.path.basename(u["path"]) for u in units] == ["dcos-link-env.service", "dcos-download.service", "dcos-setup.service"]
    for unit in units:
        folder.write(os.path.join(str(tmp_path), "units", os.path.basename(unit["path"])), unit["content"])
    try:
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", *sorted(str(p) for p in (tmp_path / "units").iterdir())],
            capture_output=True,
            text=True,
            timeout=60,
        )
    except FileNotFoundError:
        pytest.skip("systemd-analyze is not there")
    ours = [
        line
        for line in done.stderr.splitlines()
        if "dcos-" in line and "is not executable" not in line and "/opt/mesosphere" not in line
    ]
    assert not ours, done.stderr


def test_explain(folder):
    folder.config(SMALLEST + "ssh_port: 2222\nexhibitor_admin_password: hunter2\n")
    text = folder.run("--explain", "ssh_port").stdout
    assert "Type: an integer from 1 to 32000\n" in text and "  default '22'\n" in text
    assert "Value: 2222\nFrom: config.yaml, line 6\n" in text
    text = folder.run("--explain=num_masters").stdout
    assert "  calculated, worked out of master_list, when master_discovery=static\n" in text
    assert "What depends on it: master_quorum" in text and "Value: 1\nFrom: calculation\n" in text
    text = folder.run("--explain", "exhibitor_admin_password").stdout
    assert "Value: **HIDDEN**\n" in text and "hunter2" not in text
    assert folder.run("--explain", "ssh_prot", code=2).stderr == "dcos-gen: there is no parameter ssh_prot; did you mean ssh_port\n"
    assert folder.run("value", "exhibitor_admin_password", code=2).stderr == "dcos-gen: exhibitor_admin_password is secret\n"
    # Without a configuration, too.
    os.unlink(os.path.join(folder.path, "genconf/config.yaml"))
    assert "Value" not in folder.run("--explain", "ssh_port").stdout


def test_params(folder):
    table = json.loads(folder.run("params", "--json").stdout)
    names = [p["name"] for p in table]
    assert len(names) == len(set(names)) > 200
    by_name = {p["name"]: p for p in table}
    assert by_name["calico_vxlan_port"]["default"] == "64000" and by_name["calico_vxlan_port"]["effect"] == "none"
    assert by_name["superuser_password_hash"]["secret"] is True
    text = folder.run("params").stdout
    assert all(name in text for name in names)


def test_usage(folder):
    assert "dcos-gen validate" in folder.run("--help").stdout
    assert folder.run("--version").stdout.startswith("dcos-gen ")
    for args in ([], ["nothing"], ["validate", "more"], ["--config"], ["validate", "--set", "x"], ["value"], ["--json=1", "params"]):
        assert folder.run(*args, code=2).stderr.startswith("dcos-gen: ")


DETECT = os.path.join(ROOT, "src", "gen", "detect")


def with_curl(tmp_path, answers):
    """A curl that knows some URLs only."""
    path = tmp_path / "bin"
    path.mkdir()
    cases = "\n".join(f"    *'{url}'*) printf '%s' '{text}'; exit 0 ;;" for url, text in answers.items())
    (path / "curl").write_text(f'#!/bin/sh\nfor arg in "$@"; do\n    case $arg in\n{cases}\n    esac\ndone\nexit 22\n')
    (path / "curl").chmod(0o755)
    return {"PATH": f"{path}:{os.environ['PATH']}"}


ZONE = "/latest/meta-data/placement/availability-zone"
LOCATION, DOMAIN = "compute/location", "compute/platformFaultDomain"


@pytest.mark.parametrize(
    "args, answers, region, zone",
    [
        ([], {ZONE: "us-west-2b"}, "aws/us-west-2", "aws/us-west-2b"),
        (["--aws"], {ZONE: "eu-north-1a"}, "aws/eu-north-1", "aws/eu-north-1a"),
        ([], {LOCATION: "westus", DOMAIN: "0"}, "azure/westus", "azure/0"),
        ([], {"instance/zone": "projects/1/zones/us-east1-b"}, "gcp/us-east1", "gcp/us-east1-b"),
        (["--gcp"], {"instance/zone": "projects/1/zones/us-east1-b", ZONE: "us-west-2b"}, "gcp/us-east1", "gcp/us-east1-b"),
    ],
)
def test_fault_domain_detect(tmp_path, args, answers, region, zone):
    env = with_curl(tmp_path, answers)
    done = subprocess.run([os.path.join(DETECT, "fault-domain-detect"), *args], capture_output=True, text=True, env=env, timeout=30)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"fault_domain": {"region": {"name": region}, "zone": {"name": zone}}}


@pytest.mark.parametrize(
    "args, answers",
    [([], {}), (["--aws"], {}), ([], {ZONE: "a-1b", "instance/zone": "x/a-b"}), ([], {ZONE: 'a"b'}), (["--other"], {ZONE: "a-1b"})],
)
def test_fault_domain_that_is_not_known(tmp_path, args, answers):
    env = with_curl(tmp_path, answers)
    done = subprocess.run([os.path.join(DETECT, "fault-domain-detect"), *args], capture_output=True, text=True, env=env, timeout=30)
    assert done.returncode == 1 and done.stdout == "" and done.stderr


def test_ip_detect(tmp_path):
    env = with_curl(tmp_path, {"meta-data/local-ipv4": "10.0.0.7", "meta-data/public-ipv4": "192.0.2.7", "meta-data/mac": "0a:b",
                               "interfaces/macs/0a:b/ipv6s": "2001:db8::7\n2001:db8::8"})
    for script, address in (("ip-detect.aws", "10.0.0.7"), ("ip-detect-public.aws", "192.0.2.7"), ("ip6-detect.aws", "2001:db8::7")):
        done = subprocess.run([os.path.join(DETECT, script)], capture_output=True, text=True, env=env, timeout=30)
        assert (done.returncode, done.stdout.strip()) == (0, address), done.stderr
    ip = tmp_path / "bin" / "ip"
    ip.write_text("#!/bin/sh\necho '8.8.8.8 via 10.0.0.1 dev eth0 src 10.0.0.9 uid 0'\n")
    ip.chmod(0o755)
    done = subprocess.run([os.path.join(DETECT, "ip-detect.onprem")], capture_output=True, text=True, env=env, timeout=30)
    assert (done.returncode, done.stdout) == (0, "10.0.0.9\n")


ALL_KEYS = (
    SMALLEST.replace("[192.0.2.11]", "[192.0.2.11, 192.0.2.12, 192.0.2.13]")
    + """weights: a=2
dns_forward_zones: {z.example: ["192.0.2.1:53"]}
superuser_username: admin
bouncer_expiration_auth_token_days: 3
adminrouter_tls_cipher_suite: ECDHE-RSA-AES128-GCM-SHA256
"""
)


@pytest.mark.parametrize(
    "name, prefix, program, at_least",
    [
        ("etc_master/mesos-master", "MESOS_", "master/dcos-master", 8),
        ("etc/mesos-slave-common", "MESOS_", "agent/dcos-agent", 7),
        ("etc_slave/mesos-slave", "MESOS_", "agent/dcos-agent", 1),
        ("etc_slave_public/mesos-slave-public", "MESOS_", "agent/dcos-agent", 3),
        ("etc_master/marathon", "MARATHON_", "marathon/dcos-marathon", 3),
        ("etc_master/bouncer.env", "DCOS_IAM_", "iam/dcos-iam", 4),
        ("etc/adminrouter.env", "ADMINROUTER_", "router/dcos-router", 5),
        ("etc/dcos-net.env", "DCOS_NET_", "net/dcos-net", 6),
    ],
)
def test_daemons_know_every_key(folder, name, prefix, program, at_least):
    """A daemon does not look at variables that are no flag of its own: a slip would go unseen."""
    folder.config(ALL_KEYS)
    text = members(folder.serve(folder.generate()["dcos-config"]["filename"]))["./" + name][1]
    keys = [line.partition("=")[0] for line in text.splitlines()]
    assert len(keys) >= at_least
    usage = subprocess.run([os.path.join(BUILD, "src", program), "--help"], capture_output=True, text=True, timeout=60).stdout
    # Flags, and at the end the words that are taken without effect.
    known = set(re.findall(r"[a-z][a-z0-9_]+", usage.replace("-", "_").replace("__[no_]", "__")))
    for key in keys:
        assert key.startswith(prefix)
        assert key[len(prefix) :].lower() in {k.removeprefix("__") for k in known}, key
