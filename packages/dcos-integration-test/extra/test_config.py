"""Files of the configuration, on this master and on all agents; secrets are kept, the rest is as it was asked for."""

import glob
import json
import os
import re
import stat
import subprocess

import pytest

from dcos import on_each_agent

ROOT = "/opt/mesosphere"
# What nobody but its owner reads.
SECRETS = [f"{ROOT}/etc/user.config.full.yaml", f"{ROOT}/etc/expanded.config.full.json"]
SECRETS_OF_MASTERS = ["/var/lib/dcos/adminrouter/ca/*.key", "/run/dcos/adminrouter/tls.key", "/var/lib/dcos/bouncer/audit.log"]


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def lines(name):
    """KEY=value of a file of the units' environment."""
    with open(f"{ROOT}/etc/{name}", encoding="utf-8") as f:
        return dict(line.rstrip("\n").split("=", 1) for line in f if "=" in line)


@pytest.mark.parametrize("pattern", SECRETS + SECRETS_OF_MASTERS)
def test_secrets_are_for_their_owner(pattern):
    paths = glob.glob(pattern)
    assert paths, f"there is no {pattern}"
    for path in paths:
        assert mode(path) & 0o077 == 0, f"{path} has mode {mode(path):o}"


def test_state_is_for_its_service():
    """Databases of the identity service, Marathon and the master; where there are several masters it is in ZooKeeper."""
    with open(f"{ROOT}/etc/master_count", encoding="utf-8") as f:
        single = int(f.read()) == 1
    found = glob.glob("/var/lib/dcos/*/*.db*") + glob.glob("/var/lib/dcos/mesos/master/*")
    assert not single or {os.path.basename(p) for p in found} >= {"iam.db", "marathon.db"}, found
    for path in found:
        assert mode(path) & 0o077 == 0 or mode(os.path.dirname(path)) & 0o077 == 0, path
    for path in glob.glob("/var/lib/dcos/exhibitor/zookeeper/*") + glob.glob("/var/lib/dcos/zookeeper/*/version-2"):
        assert mode(path) & 0o007 == 0, f"{path}: what ZooKeeper holds is not for everybody"


def test_secrets_are_masked_in_what_everybody_reads():
    for path in (f"{ROOT}/etc/user.config.yaml", f"{ROOT}/etc/expanded.config.json"):
        with open(path, encoding="utf-8") as f:
            text = f.read()
        assert "cluster_name" in text, path
        assert "$6$" not in text and "$argon2" not in text and "PRIVATE KEY" not in text, f"{path} has a secret"
    with open(f"{ROOT}/etc/expanded.config.full.json", encoding="utf-8") as f:
        whole = json.load(f)
    with open(f"{ROOT}/etc/expanded.config.json", encoding="utf-8") as f:
        shown = json.load(f)
    assert {k: v for k, v in whole.items() if k in shown} == shown, "what is shown is as it is"
    assert set(whole) - set(shown) <= {"superuser_password_hash", "exhibitor_admin_password", "customer_key", "license_key_contents",
                                       "cluster_docker_credentials", "aws_secret_access_key", "exhibitor_azure_account_key"}
    assert whole["superuser_password_hash"].startswith("$")


def test_settings_arrive(cluster):
    """From config.yaml over the file of the unit to the service."""
    with open(f"{ROOT}/etc/expanded.config.json", encoding="utf-8") as f:
        config = json.load(f)
    assert json.loads(config["master_list"]) == cluster.masters or set(json.loads(config["master_list"])) == set(cluster.masters)
    master = lines("mesos-master")
    assert master["MESOS_CLUSTER"].strip("'") == config["cluster_name"] == cluster.get("/mesos/state").json["cluster"]
    flags = cluster.get("/mesos/flags").json["flags"]
    assert flags["max_completed_frameworks"] == config["mesos_max_completed_frameworks"]
    for slave in cluster.slaves():
        flags = cluster.get(f"/slave/{slave['id']}/flags").json["flags"]
        assert flags["gc_delay"] == config["gc_delay"] and flags["work_dir"] == config["mesos_agent_work_dir"]
    with open(f"{ROOT}/etc/master_count", encoding="utf-8") as f:
        assert int(f.read()) == len(cluster.masters)


def test_files_that_units_need():
    """Each file of the environment that a unit cannot start without, and each program that it starts."""
    units = glob.glob("/etc/systemd/system/dcos-*.service")
    assert units
    for unit in units:
        with open(unit, encoding="utf-8") as f:
            text = f.read()
        for path in re.findall(r"^EnvironmentFile=([^-].*)$", text, re.M):
            assert os.path.isfile(path), (unit, path)
        for program in re.findall(r"^Exec\w+=[-+!@:]*(/\S+)", text, re.M):
            assert os.access(program, os.X_OK), (unit, program)


def test_nothing_can_be_written_by_everybody():
    done = subprocess.run(["find", ROOT, "/var/lib/dcos", "/etc/mesosphere", "/run/dcos", "-xdev", "!", "-type", "l", "-perm",
                           "-o+w"], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    done = subprocess.run(["find", ROOT, "-xdev", "-perm", "/6000"], capture_output=True, text=True, check=True)
    assert done.stdout == "", "programs that give rights away"


def test_environment():
    """The same for units, for shells and for what dcos-shell starts."""
    with open(f"{ROOT}/environment", encoding="utf-8") as f:
        units = {line.split("=", 1)[0] for line in f if re.match(r"\w+=", line)}
    with open(f"{ROOT}/environment.export", encoding="utf-8") as f:
        shells = {line.split()[1].split("=", 1)[0] for line in f if line.startswith("export ")}
    assert units == shells and {"PATH", "DCOS_VERSION"} <= units
    done = subprocess.run([f"{ROOT}/bin/dcos-shell", "sh", "-c", "echo $DCOS_VERSION $PATH"], capture_output=True, text=True,
                          env={"PATH": "/usr/bin:/bin"}, check=True)
    with open(f"{ROOT}/etc/dcos-version.json", encoding="utf-8") as f:
        assert done.stdout.split()[0] == json.load(f)["version"]
    assert f"{ROOT}/bin" in done.stdout.split()[1].split(":")


def test_resolv_conf():
    """It is written anew every minute, and by nobody else."""
    with open("/etc/resolv.conf", encoding="utf-8") as f:
        text = f.read()
    assert "dcos-gen-resolvconf" in text.splitlines()[0]
    assert [line for line in text.splitlines() if line.startswith("nameserver 198.51.100.")]
    done = subprocess.run(["systemctl", "is-active", "dcos-gen-resolvconf.timer"], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "active"


def test_addresses(cluster):
    own = subprocess.run([f"{ROOT}/bin/detect_ip"], capture_output=True, text=True, check=True).stdout.strip()
    assert own in cluster.masters


def test_agents(cluster, deploy, app_id):
    """On each agent: no secret open, the same version, names from the cluster. (Their units are seen by their own checks.)"""
    command = f"""
        for f in {' '.join(SECRETS)}; do echo secret $(stat -Lc %a "$f"); done
        echo writable $(find {ROOT} /var/lib/dcos /etc/mesosphere /run/dcos -xdev ! -type l -perm -o+w | wc -l)
        echo masters-only $(ls {ROOT}/etc/superuser_password_hash {ROOT}/etc/bouncer.env {ROOT}/etc/marathon 2>/dev/null | wc -l)
        echo role $(ls /etc/mesosphere/roles)
        echo version $(sed -n 's/^.*"version": *"\\([^"]*\\)".*$/\\1/p' {ROOT}/etc/dcos-version.json)
        echo id $(cat /var/lib/dcos/cluster-id)
        echo resolver $(sed -n 's/^nameserver //p' /etc/resolv.conf | head -n 1)
        echo leader $(getent ahostsv4 leader.mesos | cut -d' ' -f1 | head -n 1)
        echo profile $(bash -lc 'command -v dcos-shell')"""
    with open(f"{ROOT}/etc/dcos-version.json", encoding="utf-8") as f:
        version = json.load(f)["version"]
    with open("/var/lib/dcos/cluster-id", encoding="utf-8") as f:
        cluster_id = f.read().strip()
    for agent, text in on_each_agent(cluster, deploy, app_id, command).items():
        role = "slave_public" if agent in cluster.public else "slave"
        rows = [line.split() for line in text.splitlines()]
        assert rows.count(["secret", "600"]) == len(SECRETS), (agent, text)
        for row in (["writable", "0"], ["masters-only", "0"], ["role", role], ["version", version], ["id", cluster_id],
                    ["resolver", "198.51.100.1"], ["profile", f"{ROOT}/bin/dcos-shell"]):
            assert row in rows, (agent, row, text)
        assert [r[1] for r in rows if r[0] == "leader"][0] in cluster.masters, (agent, text)
