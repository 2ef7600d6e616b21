"""Clusters of machines for end-to-end tests in Python: a thin layer on the command line `minidcos nspawn`.

    from minidcos import Cluster

    with Cluster(agents=2) as cluster:
        cluster.install_dcos_from_path("dcos_generate_config.sh", dcos_config={"mesos_max_completed_frameworks": "11"})
        cluster.wait_for_dcos_oss()
        cluster.masters[0].run(["systemctl", "is-active", "dcos-mesos-master"])
        cluster.run_with_test_environment(["pytest-3", "-x", "test_units.py"])

Needs Python 3.9, root, and `minidcos` in PATH or named by the variable MINIDCOS. Commands that fail raise
subprocess.CalledProcessError, which has what they said; waiting in vain raises DCOSTimeoutError.
"""

import enum
import json
import logging
import os
import secrets
import shlex
import shutil
import subprocess
import tempfile

log = logging.getLogger("minidcos")


class DCOSTimeoutError(Exception):
    """A cluster was not ready in time; the text names what is missing."""


class Role(enum.Enum):
    MASTER = "masters"
    AGENT = "agents"
    PUBLIC_AGENT = "public_agents"


class Transport(enum.Enum):
    SSH = "ssh"  # the only one: there is no Docker to go through


class Output(enum.Enum):
    CAPTURE = 1          # in stdout and stderr of what is returned
    LOG_AND_CAPTURE = 2  # and each line of stdout and stderr to the logger `minidcos`
    NO_CAPTURE = 3       # to this process's own stdout and stderr


def _program():
    path = os.environ.get("MINIDCOS") or shutil.which("minidcos")
    if not path:
        raise FileNotFoundError("minidcos is not in PATH; the variable MINIDCOS can name it")
    return path


def _run(words, output=Output.CAPTURE, env=None):
    pipe = None if output is Output.NO_CAPTURE else subprocess.PIPE
    done = subprocess.run(words, stdout=pipe, stderr=pipe, stdin=subprocess.DEVNULL, env=env, text=True, check=False)
    if output is Output.LOG_AND_CAPTURE:
        for line in (done.stdout + done.stderr).splitlines():
            log.info(line)
    if done.returncode != 0:
        if pipe and output is Output.CAPTURE:
            log.error("%s", done.stderr.strip())
        raise subprocess.CalledProcessError(done.returncode, words, done.stdout, done.stderr)
    return done


def _line(args, shell, env):
    """One line for the shell of a node. Words are quoted unless `shell`."""
    text = " ".join(args) if shell else " ".join(shlex.quote(a) for a in args)
    return "".join(f"export {k}={shlex.quote(v)}; " for k, v in (env or {}).items()) + text


class Node:
    """A machine. Made by Cluster; equal when it is the same machine."""

    def __init__(self, cluster, role, found):
        self.cluster, self.role = cluster, role
        self.reference = found["e2e_reference"]
        self.ip_address = self.public_ip_address = self.private_ip_address = found["ip_address"]
        self.host_name, self.machine_name = found["host_name"], found["machine_name"]
        self.ssh_user, self.ssh_key = found["ssh_user"], found["ssh_key"]

    def __repr__(self):
        return f"Node({self.cluster.cluster_id}/{self.reference}, {self.ip_address})"

    def __eq__(self, other):
        return isinstance(other, Node) and (self.cluster.home, self.machine_name) == (other.cluster.home, other.machine_name)

    def __hash__(self):
        return hash(self.machine_name)

    def _ssh(self, *words):
        return ["ssh", "-F", self.cluster.path("ssh", "config"), *words, self.ip_address, "--"]

    def run(self, args, output=Output.CAPTURE, env=None, shell=False, tty=False):
        """Runs words, or with `shell` a line of them, as root; returns a subprocess.CompletedProcess."""
        return _run(self._ssh("-t" if tty else "-T") + [_line(args, shell, env)], output)

    def popen(self, args, env=None, shell=False):
        """The same without waiting: a subprocess.Popen with pipes. Killing it ends the connection."""
        return subprocess.Popen(self._ssh("-T") + [_line(args, shell, env)], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)

    def send_file(self, local_path, remote_path):
        """A file or folder; folders above it are made."""
        self.run(["mkdir", "-p", os.path.dirname(str(remote_path)) or "/"])
        self.cluster.call("send-file", "--node", self.reference, "--", os.path.abspath(local_path), str(remote_path))

    def download_file(self, remote_path, local_path):
        """One file. The local one appears whole or not at all."""
        handle, temporary = tempfile.mkstemp(dir=os.path.dirname(os.path.abspath(local_path)))
        try:
            with os.fdopen(handle, "wb") as f:
                words = self._ssh("-T") + [f"cat -- {shlex.quote(str(remote_path))}"]
                subprocess.run(words, stdout=f, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, check=True)
            os.replace(temporary, local_path)
        except BaseException:
            os.unlink(temporary)
            raise

    def kill(self):
        """Cuts the power."""
        self.cluster.call("kill", "--node", self.reference)

    def start(self, blank=False):
        """Boots it again, with `blank` as another machine with an empty disk, and waits until it is up."""
        self.cluster.call("start", "--node", self.reference, *(["--blank"] if blank else []))

    def dcos_build_info(self):
        """{"version": ..., "variant": ..., ...} of what is installed."""
        return json.loads(self.run(["cat", "/opt/mesosphere/etc/dcos-version.json"]).stdout)


class Cluster:
    """Machines that run; ended with the `with` block.

    masters, agents, public_agents: how many. options: more words for `minidcos nspawn provision`, such as
    ["--custom-volume=/on/host:/on/node"]. home: folder of clusters (MINIDCOS_HOME, else ~/.minidcos).
    """

    def __init__(self, masters=1, agents=1, public_agents=1, cluster_id=None, home=None, options=()):
        self._set(cluster_id or f"e2e-{secrets.token_hex(4)}", home)
        self.call("provision", f"--masters={masters}", f"--agents={agents}", f"--public-agents={public_agents}", *options)

    def _set(self, cluster_id, home):
        self.cluster_id = cluster_id
        self.home = os.path.realpath(home or os.environ.get("MINIDCOS_HOME") or os.path.expanduser("~/.minidcos"))

    @classmethod
    def from_id(cls, cluster_id="default", home=None):
        """One that is there already. Whoever made it ends it, unless it is used in a `with` block."""
        self = cls.__new__(cls)
        self._set(cluster_id, home)
        self.inspect()
        return self

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.destroy()

    def call(self, command, *words, output=Output.CAPTURE):
        """minidcos nspawn <command> of this cluster."""
        return _run([_program(), "nspawn", command, f"--dir={self.home}", "-c", self.cluster_id, *words], output)

    def path(self, *names):
        """A file of the cluster's folder: ("logs", "installer.log"), ("secrets", "superuser.password")."""
        return os.path.join(self.home, "nspawn", self.cluster_id, *names)

    def inspect(self):
        return json.loads(self.call("inspect").stdout)

    def nodes(self, *roles):
        found = self.inspect()["Nodes"]
        return [Node(self, role, n) for role in (roles or Role) for n in found[role.value]]

    masters = property(lambda self: self.nodes(Role.MASTER))
    agents = property(lambda self: self.nodes(Role.AGENT))
    public_agents = property(lambda self: self.nodes(Role.PUBLIC_AGENT))

    @property
    def base_config(self):
        """For {**cluster.base_config, ...}: empty, since minidcos itself writes what a cluster needs."""
        return {}

    def _change(self, command, installer, dcos_config, genconf_dir, output):
        words = [f"--genconf-dir={genconf_dir}"] if genconf_dir else []
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as extra:
            json.dump(dcos_config or {}, extra)  # which is YAML
            extra.flush()
            self.call(command, f"--extra-config={extra.name}", *words, "--", str(installer), output=output)

    def install_dcos_from_path(self, dcos_installer, dcos_config=None, genconf_dir=None, output=Output.CAPTURE):
        """dcos_config goes over what minidcos writes; files of genconf_dir (ip-detect, ...) go to genconf/."""
        self._change("install", dcos_installer, dcos_config, genconf_dir, output)

    def upgrade_dcos_from_path(self, dcos_installer, dcos_config=None, genconf_dir=None, output=Output.CAPTURE):
        """Node after node. The cluster stays when that fails: see rollback_dcos."""
        self._change("upgrade", dcos_installer, dcos_config, genconf_dir, output)

    def rollback_dcos(self, dcos_installer, output=Output.CAPTURE):
        """Back to before the last upgrade, which dcos_installer made."""
        self.call("upgrade", "--rollback", "--", str(dcos_installer), output=output)

    def _from_url(self, change, url, **options):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "dcos_generate_config.sh")
            _run([_program(), "nspawn", "download-installer", f"--dcos-version={url}", f"--download-path={path}"])
            change(path, **options)

    def install_dcos_from_url(self, dcos_installer, **options):
        self._from_url(self.install_dcos_from_path, dcos_installer, **options)

    def upgrade_dcos_from_url(self, dcos_installer, **options):
        self._from_url(self.upgrade_dcos_from_path, dcos_installer, **options)

    def wait_for_dcos_oss(self, http_checks=True, timeout=3600):
        """Until the checks of all nodes pass and, with http_checks, every master serves and has all agents."""
        try:
            self.call("wait", f"--timeout={timeout}", *([] if http_checks else ["--skip-http-checks"]))
        except subprocess.CalledProcessError as e:
            raise DCOSTimeoutError(e.stderr.strip()) from e

    def run_with_test_environment(self, args, env=None, node=None, output=Output.CAPTURE):
        """In the folder of the integration tests of a node (the first master), with their variables."""
        words = [word for k, v in (env or {}).items() for word in ("--env", f"{k}={v}")]
        return self.call("run", "--test-env", "--node", node.reference if node else "master_0", *words, "--",
                         *(shlex.quote(a) for a in args), output=output)

    def destroy_node(self, node):
        """Ends it for good, as far as the others can tell. Its files go with the cluster."""
        node.kill()

    def destroy(self):
        self.call("destroy")
