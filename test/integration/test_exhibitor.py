"""dcos-exhibitor: masters that find each other through a shared store, with real ZooKeeper servers.

Each master is an address of this machine (127.x.y.z) with a daemon and what stands for the unit dcos-exhibitor: it writes zoo.cfg as dcos-bootstrap does, with this
test's ports, and starts ZooKeeper whenever it is not running.
"""

import contextlib
import http.client
import http.server
import json
import os
import random
import shutil
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request

import pytest

import zookeeper
from cluster import free_port, wait_until
from test_release import guarded, npm, served

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

# ---- objects ----


@contextlib.contextmanager
def conditional(port):
    """s3rver knows no conditions on writes: this stands in front of it and does."""
    lock = threading.Lock()

    class Front(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def ask(self, method, body=None, headers=None):
            behind = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            behind.request(method, self.path, body, headers or {})
            found = behind.getresponse()
            answer = found.status, dict(found.getheaders()), found.read()
            behind.close()
            return answer

        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with lock:
                status, headers, said = self.decide(body)
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("connection", "transfer-encoding", "content-length", "date"):
                    self.send_header(name, value)
            self.send_header("Content-Length", headers.get("content-length", len(said)) if self.command == "HEAD" else len(said))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(said)

        def decide(self, body):
            if self.command == "PUT" and ("If-Match" in self.headers or "If-None-Match" in self.headers):
                status, there, _ = self.ask("HEAD", headers={k: v for k, v in self.headers.items() if k == "Host"})
                tag = {k.lower(): v for k, v in there.items()}.get("etag") if status == 200 else None
                if tag is None and "If-Match" in self.headers:
                    return 404, {}, b"<Error><Code>NoSuchKey</Code></Error>"
                if self.headers.get("If-Match", tag) != tag or ("If-None-Match" in self.headers and tag):
                    return 412, {}, b"<Error><Code>PreconditionFailed</Code></Error>"
            return self.ask(self.command, body, dict(self.headers))

        do_GET = do_HEAD = do_PUT = do_DELETE = answer

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Front)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def metadata_service():
    """Of a machine with a role; version 2 wants a token."""

    class Service(http.server.BaseHTTPRequestHandler):
        def reply(self, status, text=""):
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def do_PUT(self):
            fine = self.path == "/latest/api/token" and "X-aws-ec2-metadata-token-ttl-seconds" in self.headers
            self.reply(200 if fine else 404, "the-token")

        def do_GET(self):
            folder = "/latest/meta-data/iam/security-credentials/"
            keys = {"AccessKeyId": "S3RVER", "SecretAccessKey": "S3RVER", "Token": "of-the-role"}
            if self.headers.get("X-aws-ec2-metadata-token") != "the-token":
                self.reply(401)
            elif self.path == folder:
                self.reply(200, "masters")
            else:
                self.reply(200, json.dumps(keys)) if self.path == folder + "masters" else self.reply(404)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def bucket(tmp_path, conditions):
    """s3rver behind somebody who checks signatures, and maybe one who knows conditions."""
    folder = npm("s3rver", "3.7.1")
    port = free_port()
    (tmp_path / "s3").mkdir()
    argv = ["node", f"{folder}/bin/s3rver.js", "-d", str(tmp_path / "s3"), "-a", "127.0.0.1", "-p", str(port), "--configure-bucket", "masters"]
    with contextlib.ExitStack() as stack:
        stack.enter_context(served(argv, port, tmp_path))
        if conditions:
            port = stack.enter_context(conditional(port))
        yield f"http://127.0.0.1:{stack.enter_context(guarded(port, 'S3RVER'))}"


S3 = ["--backend=AWS_S3", "--s3_bucket=masters", "--s3_prefix=a/b", "--aws_region=eu-west-1"]
KEYS = {"AWS_ACCESS_KEY_ID": "S3RVER", "AWS_SECRET_ACCESS_KEY": "S3RVER"}


def run_world(world):
    try:
        form_and_replace(world)
        return [m.log() for m in world.all]
    finally:
        world.close()


def test_s3_with_conditions(tmp_path):
    """Keys come from the machine's role; writes are conditional, no lock is made."""
    with bucket(tmp_path, True) as url, metadata_service() as metadata:
        env = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
        run_world(World([*S3, f"--s3_endpoint={url}"], env=env))
        names = {str(p.relative_to(tmp_path / "s3/masters")) for p in (tmp_path / "s3/masters").rglob("*object")}
        assert any(n.startswith("a/b/dcos-exhibitor.json") for n in names)
        assert not [n for n in names if ".lock" in n or ".probe" in n]


def test_s3_without_conditions(tmp_path):
    """Those who speak like S3 and take no notice of conditions: locks are objects, and none stays."""
    objects = tmp_path / "s3/masters"
    with bucket(tmp_path, False) as url:
        world = World([*S3, f"--s3_endpoint={url}"], env=KEYS)
        try:
            masters = [world.master(i).start() for i in (1, 2, 3)]
            world.wait_serving(masters)
            assert masters[0].ensemble() == ",".join(f"{i}:{m.address}" for i, m in enumerate(masters, 1))
            for m in masters:
                m.daemon.terminate()
                m.daemon.wait()
        finally:
            world.close()
        names = {str(p.relative_to(objects)) for p in objects.rglob("*object")}
        assert any(n.startswith("a/b/dcos-exhibitor.json") for n in names)
        assert not [n for n in names if ".probe" in n or ".lock" in n]


def test_azure(tmp_path):
    """azurite checks signatures; the container is made."""
    folder = npm("azurite", "3.37.0")
    port = free_port()
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    argv = [
        "node", f"{folder}/dist/src/blob/main.js", "--blobHost", "127.0.0.1", "--blobPort", str(port),
        "--location", str(tmp_path), "--silent", "--skipApiVersionCheck", "--disableTelemetry",
    ]
    with served(argv, port, tmp_path):
        backend = ["--backend=AZURE", "--azure_account_name=devstoreaccount1", "--azure_prefix=a/b",
                   f"--azure_endpoint=http://127.0.0.1:{port}/devstoreaccount1"]
        for log in run_world(World(backend, env={"EXHIBITOR_AZURE_ACCOUNT_KEY": key})):
            assert key not in log


def test_other_zookeeper():
    ensemble = zookeeper.Ensemble(1).start()
    try:
        run_world(World(["--backend=ZK", f"--zk_connect={ensemble.servers[0].address}", "--zk_path=/clusters/one"]))
        client = ensemble.kazoo()
        assert json.loads(client.get("/clusters/one/dcos-exhibitor")[0])["generation"] == 2
        client.stop()
        client.close()
    finally:
        ensemble.close()


def test_killed_at_any_time(shared_folder):
    """Daemons that are killed again and again while the ensemble is made and changed."""
    world = shared_folder
    masters = [world.master(i) for i in (1, 2, 3, 4)]
    stop = threading.Event()

    def kill(master):
        while not stop.wait(random.uniform(0.1, 1.5)):
            master.kill_daemon()
            master.start_daemon()

    def torture(these, what):
        threads = [threading.Thread(target=kill, args=(m,)) for m in these]
        for t in threads:
            t.start()
        try:
            stop.wait(what)
        finally:
            stop.set()
            for t in threads:
                t.join()
            stop.clear()

    for m in masters[:3]:
        m.start()
    torture(masters[:3], 8)
    world.wait_serving(masters[:3])
    client = world.kazoo(masters[:3])
    client.create("/kept", b"1")
    client.stop()
    client.close()
    masters[0].kill()
    masters[3].start()
    torture(masters[1:], 15)
    world.wait_serving(masters[1:])
    client = world.kazoo(masters[1:])
    assert client.exists("/kept")
    client.stop()
    client.close()


def test_same_address_other_disk(shared_folder):
    """A machine that was made anew under its address is a new member."""
    world = shared_folder
    masters = [world.master(i).start() for i in (1, 2, 3)]
    world.wait_serving(masters)
    masters[1].kill()
    again = world.master(2).start()
    world.wait_serving([masters[0], again, masters[2]])
    assert again.ensemble() == f"1:{masters[0].address},3:{masters[2].address},4:{again.address}"


def test_follow(shared_folder):
    """Nodes without a server ask one address, and those that they know when nobody answers there."""
    world = shared_folder
    masters = [world.master(i).start() for i in (1, 2, 3)]
    world.wait_serving(masters)
    run = os.path.join(world.folder, "node")
    os.mkdir(run)
    api = world.ports["api"]
    argv = [PROGRAM, f"--follow=http://{masters[0].address}:{api}", f"--port={api}", f"--run_folder={run}", "--settled_poll=200ms"]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as node:
        try:
            file = os.path.join(run, "servers")
            wait_until(lambda: os.path.exists(file), "the servers to be known")

            def servers():
                with open(file, encoding="utf-8") as f:
                    return [s.split(":")[0] for s in f.read().split(",")]

            assert servers() == [m.address for m in masters]
            masters[0].kill()
            four = world.master(4).start()
            wait_until(lambda: servers() == [masters[1].address, masters[2].address, four.address], "the change to be followed", timeout=120)
        finally:
            node.kill()


@pytest.mark.parametrize(("args", "message"), [
    (["--ip=host"], "--ip must be"), ([], "--ip must be"), (["--ip=127.0.0.1"], "--staticensemble"),
    (["--ip=127.0.0.1", "--backend=NONE", "--masters=3"], "there is no kind NONE"),
    (["--ip=127.0.0.1", "--backend=SHARED_FS"], "--masters must be"),
    (["--ip=127.0.0.1", "--backend=SHARED_FS", "--masters=3"], "--fsconfigdir is needed"),
    (["--ip=127.0.0.1", "--backend=AWS_S3", "--masters=3"], "--s3_bucket is needed"),
    (["--ip=127.0.0.1", "--backend=AZURE", "--masters=3"], "--azure_account_name is needed"),
    (["--follow=http://x"], "--follow needs --run_folder"), (["--ip=127.0.0.1", "--poll=1ms"], "--poll is at least"),
])
def test_refusals(tmp_path, args, message):
    done = subprocess.run([PROGRAM, f"--folder={tmp_path}", "--port=0", *args], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (1, 2)
    assert message in done.stderr


def test_static():
    """Fixed servers: it only tells."""
    world = World(["--backend=STATIC"])
    ensemble = f"1:{world.network}.1,2:{world.network}.2,3:{world.network}.3"
    world.backend.append(f"--staticensemble={ensemble}")
    try:
        one = world.master(1).start()
        wait_until(lambda: one.ensemble() == ensemble, "the daemon to answer")
        assert one.status() == {f"{world.network}.{i}": (1, False) for i in (1, 2, 3)}
        assert not os.path.exists(f"{one.folder}/ensemble")
        with urllib.request.urlopen(f"http://{one.address}:{world.ports['api']}/", timeout=10) as page:
            assert page.url.endswith("/exhibitor/v1/ui/index.html")
            assert "ZooKeeper" in page.read().decode()
        form = urllib.request.Request(f"http://{one.address}:{world.ports['api']}/exhibitor/v1/cluster/list", headers={"Accept": "application/x-www-form-urlencoded"})
        with urllib.request.urlopen(form, timeout=10) as answer:
            assert answer.read().decode().startswith(f"count=3&server0={world.network}.1&")
        for method, path, status in (("POST", "/exhibitor/v1/cluster/status", 405), ("GET", "/exhibitor/v1/config/set", 404)):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(urllib.request.Request(f"http://{one.address}:{world.ports['api']}{path}", method=method), timeout=10)
            assert refused.value.code == status
    finally:
        world.close()
