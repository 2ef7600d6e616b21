"""Units, sockets, files and limits of this node, a master."""

import glob
import grp
import os
import pwd
import re
import stat
import subprocess

import pytest

ROOT = "/opt/mesosphere"


def systemctl(*args):
    return subprocess.run(["systemctl", *args], capture_output=True, text=True, check=False).stdout


def units():
    return sorted(os.path.basename(p) for p in glob.glob("/etc/systemd/system/dcos.target.wants/*"))


def show(unit, *properties):
    text = systemctl("show", unit, "--property", ",".join(properties))
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def test_there_are_units():
    assert {"dcos-mesos-master.service", "dcos-marathon.service", "dcos-adminrouter.service", "dcos-bouncer.service",
            "dcos-net.service", "dcos-pkgpanda-api.service"} <= set(units())
    assert not [u for u in units() if "mesos-slave" in u], "a master has no agent's units"


def test_all_are_active():
    for unit in units():
        state = show(unit, "ActiveState", "Type", "Result", "ConditionResult", "LoadState")
        assert state["LoadState"] == "loaded", unit
        if state.get("Type") == "oneshot" and state["ActiveState"] == "inactive":
            assert state["Result"] == "success", unit  # between two runs of its timer
        elif state["ConditionResult"] == "yes" or unit.endswith((".timer", ".socket")):
            assert state["ActiveState"] in ("active", "activating"), (unit, state)


def test_target_and_setup():
    assert systemctl("is-active", "dcos.target").strip() == "active"
    assert systemctl("is-enabled", "dcos.target").strip() == "enabled"
    setup = show("dcos-setup.service", "Result", "LoadState", "ActiveState")
    assert setup["LoadState"] == "loaded" and setup["Result"] == "success", setup
    assert systemctl("is-enabled", "dcos-setup.service").strip() == "enabled"
    assert not os.path.exists(f"{ROOT}/bootstrap"), "setup has done its first start"
    assert not os.path.exists(f"{ROOT}/install_progress"), "no swap is left half done"


@pytest.mark.parametrize("path", sorted(glob.glob("/etc/systemd/system/dcos-*.service") +
                                        glob.glob("/etc/systemd/system/dcos-*.socket") +
                                        glob.glob("/etc/systemd/system/dcos-*.timer")))
def test_verify(path):
    done = subprocess.run(["systemd-analyze", "verify", "--recursive-errors=no", "--man=no", path],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    # Words about other units of the distribution are not ours.
    own = [line for line in done.stderr.splitlines() if "dcos" in line]
    assert own == []


def test_services_do_not_restart_again_and_again():
    for unit in units():
        if unit.endswith(".service"):
            assert int(show(unit, "NRestarts").get("NRestarts") or 0) < 50, unit


def test_users():
    """Each service runs as who it should, and not as root where it need not."""
    wanted = {"dcos-mesos-master.service": "dcos_mesos", "dcos-marathon.service": "dcos_marathon",
              "dcos-bouncer.service": "dcos_bouncer"}
    for unit, user in wanted.items():
        pid = int(show(unit, "MainPID")["MainPID"])
        assert pid > 0, unit
        assert pwd.getpwuid(os.stat(f"/proc/{pid}").st_uid).pw_name == user, unit
    for user in pwd.getpwall():
        if user.pw_name.startswith("dcos_"):
            assert user.pw_shell.endswith("nologin"), user


def test_sockets():
    """Those that the router uses belong to its group, and to nobody else."""
    found = []
    for at, _, files in os.walk("/run/dcos"):
        for name in files:
            path = os.path.join(at, name)
            info = os.stat(path, follow_symlinks=False)
            if not stat.S_ISSOCK(info.st_mode):
                continue
            found.append(path)
            assert stat.S_IMODE(info.st_mode) & 0o007 == 0, f"{path} is open to everybody"
            assert grp.getgrgid(info.st_gid).gr_name.startswith("dcos_") or info.st_gid == 0, path
    assert "/run/dcos/pkgpanda-api.sock" in found
    info = os.stat("/run/dcos/pkgpanda-api.sock")
    assert grp.getgrgid(info.st_gid).gr_name == "dcos_adminrouter" and stat.S_IMODE(info.st_mode) == 0o660


def listening():
    """Ports that somebody listens on, from the kernel: {(address, port)}."""
    found = set()
    for name in ("tcp", "tcp6"):
        with open(f"/proc/net/{name}", encoding="utf-8") as f:
            for line in f.read().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A":
                    address, port = fields[1].rsplit(":", 1)
                    found.add((address, int(port, 16)))
    return found


def test_ports():
    ports = {port for _, port in listening()}
    assert {53, 80, 443, 5050, 8080, 8101, 8123, 62080} <= ports, ports
    local = {"0100007F", "00000000000000000000000001000000"}
    for address, port in listening():
        if port in (8101, 8123, 62080):
            assert address in local, f"port {port} is for this node only, but listens on {address}"


def test_limits():
    """Open files: as many as the unit asks for, or what the machine allows at most."""
    for unit in ("dcos-mesos-master.service", "dcos-marathon.service", "dcos-adminrouter.service"):
        wanted, pid = int(show(unit, "LimitNOFILE")["LimitNOFILE"]), show(unit, "MainPID")["MainPID"]
        with open(f"/proc/{pid}/limits", encoding="utf-8") as f:
            files = re.search(r"Max open files +(\d+) +(\d+)", f.read())
        with open("/proc/1/limits", encoding="utf-8") as f:
            most = re.search(r"Max open files +(\d+) +(\d+)", f.read())
        assert wanted >= 16384
        assert int(files[1]) == min(wanted, int(most[2])), unit


def test_powers():
    """Services have the capabilities that they need and no others, and system calls are filtered."""
    none = {"dcos-mesos-master.service", "dcos-marathon.service", "dcos-bouncer.service"}
    some = {"dcos-adminrouter.service": {10}, "dcos-net.service": {10, 12, 13}}  # bind; and network, raw sockets
    for unit in none | set(some):
        with open(f"/proc/{show(unit, 'MainPID')['MainPID']}/status", encoding="utf-8") as f:
            fields = dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)
        bits = int(fields["CapEff"], 16)
        assert {i for i in range(64) if bits >> i & 1} == some.get(unit, set()), unit
        assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2", unit


def test_profile_link():
    assert os.path.realpath("/etc/profile.d/dcos.sh") == os.path.realpath(f"{ROOT}/bin/add_dcos_path.sh")
    done = subprocess.run(["bash", "-lc", "command -v dcos-shell"], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == f"{ROOT}/bin/dcos-shell"


def test_sysctl_configuration():
    """Settings that packages ask for are known by service."""
    import json
    with open(f"{ROOT}/etc/dcos-service-configuration.json", encoding="utf-8") as f:
        settings = json.load(f)["sysctl"]
    for service, values in settings.items():
        for key, value in values.items():
            path = "/proc/sys/" + key.replace(".", "/")
            assert os.path.exists(path), f"{service} asks for {key}, which the kernel does not have"
            if os.access(path, os.W_OK) and os.statvfs(path).f_flag & os.ST_RDONLY == 0:
                assert open(path, encoding="utf-8").read().strip() == value, (service, key)


def test_cluster_id():
    text = open("/var/lib/dcos/cluster-id", encoding="utf-8").read()
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n", text)
    assert stat.S_IMODE(os.stat("/var/lib/dcos/cluster-id").st_mode) == 0o644
