"""dcos-exhibitor: masters that find each other through a shared store, with real ZooKeeper servers.

Each master is an address of this machine (127.x.y.z) with a daemon and what stands for the unit dcos-exhibitor: it writes zoo.cfg as dcos-bootstrap does, with this
test's ports, and starts ZooKeeper whenever it is not running.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

import pytest

import zookeeper
from cluster import free_port, wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("DCOS_BUILD", os.path.join(ROOT, "build", "debug"))
PROGRAM = os.path.join(BUILD, "src", "exhibitor", "dcos-exhibitor")

pytestmark = pytest.mark.skipif(zookeeper.missing() is not None, reason=str(zookeeper.missing()))


class Master:
    def __init__(self, world, number):
        self.world, self.number = world, number
        self.address = f"{world.network}.{number}"
        self.folder = os.path.join(world.folder, f"master{number}-{random.randrange(1 << 30)}")
        os.makedirs(os.path.join(self.folder, "data"))
        os.makedirs(os.path.join(self.folder, "run"))
        self.daemon = self.server = None
        self.up = False
        self.thread = None

    # ---- the unit of ZooKeeper ----
    def configure(self, ensemble):
        members = [m.split(":") for m in ensemble.split(",")]
        own = [i for i, address in members if address == self.address]
        assert own, f"{self.address} is not in {ensemble}"
        ports = self.world.ports
        lines = [
            f"tickTime={zookeeper.TICK_MS}", "initLimit=50", "syncLimit=25", f"dataDir={self.folder}/data",
            f"clientPortAddress={self.address}", f"clientPort={ports['client']}", "admin.enableServer=false",
            "4lw.commands.whitelist=srvr", *[f"server.{i}={a}:{ports['peer']}:{ports['vote']}" for i, a in members],
        ]
        with open(f"{self.folder}/data/myid", "w", encoding="utf-8") as f:
            f.write(own[0] + "\n")
        with open(f"{self.folder}/zoo.cfg", "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")

    def unit(self):
        """As systemd with Restart=always."""
        while self.up:
            if self.server is not None and self.server.poll() is None:
                try:
                    self.server.wait(0.1)
                except subprocess.TimeoutExpired:
                    pass
                continue
            try:
                with open(f"{self.folder}/ensemble", encoding="utf-8") as f:
                    self.configure(f.read())
            except FileNotFoundError:
                self.world.stop.wait(0.05)
                continue
            with open(f"{self.folder}/log", "ab") as log:
                self.server = subprocess.Popen(
                    ["/usr/bin/java", "-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
                     "-Dzookeeper.forceSync=no", "-Dzookeeper.jmx.log4j.disable=true",
                     "-Dzookeeper.fastleader.minNotificationInterval=100", "-Dzookeeper.fastleader.maxNotificationInterval=400",
                     "-Dzookeeper.cnxTimeout=500", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                     "-cp", zookeeper.JAR + ":/usr/share/java/slf4j-simple.jar",
                     "org.apache.zookeeper.server.quorum.QuorumPeerMain", f"{self.folder}/zoo.cfg"],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                )

    # ---- the daemon ----
    def start_daemon(self):
        argv = [
            PROGRAM, f"--ip={self.address}", f"--masters={self.world.masters}", f"--folder={self.folder}",
            f"--run_folder={self.folder}/run", f"--client_port={self.world.ports['client']}", f"--listen={self.address}",
            f"--port={self.world.ports['api']}", "--poll=200ms", "--settled_poll=500ms", "--fresh=5secs", "--dead_after=6secs",
            *self.world.backend,
        ]
        with open(f"{self.folder}/daemon.log", "ab") as log:
            self.daemon = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.world.env)
        return self

    def start(self):
        self.up = True
        self.thread = threading.Thread(target=self.unit)
        self.thread.start()
        return self.start_daemon()

    def kill_daemon(self):
        if self.daemon is not None:
            self.daemon.kill()
            self.daemon.wait()

    def kill(self):
        """The machine is gone."""
        self.up = False
        self.kill_daemon()
        if self.thread is not None:
            if self.server is not None:
                self.server.kill()
            self.thread.join()
        if self.server is not None:
            self.server.kill()
            self.server.wait()

    # ---- looking ----
    def get(self, path):
        with urllib.request.urlopen(f"http://{self.address}:{self.world.ports['api']}/exhibitor/v1/{path}", timeout=5) as answer:
            return json.load(answer)

    def status(self):
        try:
            return {s["hostname"]: (s["code"], s["isLeader"]) for s in self.get("cluster/status")}
        except (OSError, urllib.error.URLError):
            return {}

    def config(self):
        try:
            return self.get("config/get-state")["config"]
        except (OSError, urllib.error.URLError):
            return {}

    def ensemble(self):
        return self.config().get("serversSpec", "")

    def log(self):
        with open(f"{self.folder}/daemon.log", encoding="utf-8") as f:
            return f.read()


class World:
    def __init__(self, backend, masters=3, env=None):
        self.folder = tempfile.mkdtemp(prefix="dcos-test-exhibitor-")
        self.network = f"127.{random.randrange(64, 250)}.{random.randrange(1, 250)}"
        self.ports = {name: free_port() for name in ("client", "peer", "vote", "api")}
        self.backend, self.masters = backend, masters
        self.env = {**os.environ, **(env or {})}
        self.stop = threading.Event()
        self.all = []

    def master(self, number):
        m = Master(self, number)
        self.all.append(m)
        return m

    def serving(self, masters):
        """All of them tell that all of them serve, one leads, and nothing is under way."""
        wanted = {m.address for m in masters}
        for m in masters:
            status = m.status()
            if set(status) != wanted or any(code != 3 for code, _ in status.values()):
                return False
            if sum(leads for _, leads in status.values()) != 1 or m.config().get("rollInProgress", True):
                return False
        return True

    def wait_serving(self, masters, timeout=120):
        try:
            wait_until(lambda: self.serving(masters), "the masters to serve", timeout=timeout)
        except BaseException:
            for m in self.all:
                print(m.address, m.config(), m.status(), m.log()[-3000:], sep="\n")
            raise

    def kazoo(self, masters):
        from kazoo.client import KazooClient

        client = KazooClient(hosts=",".join(f"{m.address}:{self.ports['client']}" for m in masters), timeout=10)
        client.start(timeout=60)
        return client

    def close(self):
        self.stop.set()
        for m in self.all:
            m.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def shared_folder():
    folder = tempfile.mkdtemp(prefix="dcos-test-exhibitor-shared-")
    world = World(["--backend=SHARED_FS", f"--fsconfigdir={folder}"])
    world.shared = folder
    yield world
    world.close()
    shutil.rmtree(folder, ignore_errors=True)


def form_and_replace(world):
    """Three form an ensemble, one is lost for good, a fourth takes its place; what was written stays."""
    one, two, three = masters = [world.master(i).start() for i in (1, 2, 3)]
    world.wait_serving(masters)
    assert one.ensemble() == f"1:{one.address},2:{two.address},3:{three.address}"
    assert one.get("cluster/list") == {"servers": [m.address for m in masters], "port": world.ports["client"]}
    with open(f"{two.folder}/run/servers", encoding="utf-8") as f:
        assert f.read() == ",".join(f"{m.address}:{world.ports['client']}" for m in masters)
    client = world.kazoo(masters)
    client.create("/kept", b"of the first three")
    client.stop()
    client.close()
    three.kill()
    four = world.master(4).start()
    world.wait_serving([one, two, four])
    for m in (one, two, four):
        assert m.ensemble() == f"1:{one.address},2:{two.address},4:{four.address}"
    client = world.kazoo([four])
    assert client.get("/kept")[0] == b"of the first three"
    client.stop()
    client.close()
    return one, two, three, four


def test_shared_folder(shared_folder):
    world = shared_folder
    one, two, three, four = form_and_replace(world)
    # The lost one comes back with its old disk: there is no place, its server stays down.
    three.start()
    wait_until(lambda: "waits for a place" in three.log(), "the old one to wait")
    wait_until(lambda: not os.path.exists(f"{three.folder}/ensemble"), "the old one to leave")
    wait_until(lambda: three.server.poll() is not None, "the old one's server to end")
    assert one.get(f"cluster/state/{four.address}")["response"]["state"] == 3
    assert one.get(f"cluster/state/{three.address}")["success"] is False
    # Daemons that die leave ZooKeeper alone.
    servers = [m.server.pid for m in (one, two, four)]
    for m in (one, two, four):
        m.kill_daemon()
    assert world.kazoo([one, two, four]).exists("/kept")
    for m in (one, two, four):
        m.start_daemon()
    world.wait_serving([one, two, four])
    assert [m.server.pid for m in (one, two, four)] == servers
    # A store that lost everything gets it back.
    os.unlink(f"{world.shared}/dcos-exhibitor.json")
    wait_until(lambda: os.path.exists(f"{world.shared}/dcos-exhibitor.json"), "the configuration to come back")
    world.wait_serving([one, two, four])
    assert one.ensemble() == f"1:{one.address},2:{two.address},4:{four.address}"
    assert [m.server.pid for m in (one, two, four)] == servers
