"""ZooKeeper for tests: an ensemble of Debian's servers on free ports in a temporary folder.

    ensemble = Ensemble(3).start()
    master = cluster.master(zk=ensemble.url("/mesos"), zk_session_timeout="2secs")
    ensemble.servers[0].kill()
    ensemble.close()

Unless `sync` is true the servers do not wait for the disk. A client is in kazoo() (Debian's python3-kazoo). Ticks are 200 ms, so that sessions of 400 ms and more are
allowed and a lost leader of the ensemble is replaced in about a second.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile

from cluster import free_port, wait_until

JAR = "/usr/share/java/zookeeper.jar"
TICK_MS = 200


def missing():
    """Why no server can be started here, or None."""
    for path in (JAR, "/usr/bin/java"):
        if not os.path.exists(path):
            return f"{path} is missing (packages zookeeper and default-jre-headless)"
    return None


class Server:
    """One server; `prefix` is put in front of its command (to run it in a namespace, say)."""

    def __init__(self, number, folder, host, ports, prefix=(), sync=False):
        self.number = number
        self.folder = os.path.join(folder, f"zk{number}")
        self.host = host
        self.port, self.peer_port, self.vote_port = ports
        self.prefix = list(prefix)
        self.sync = sync
        self.process = None
        os.makedirs(os.path.join(self.folder, "data"))
        with open(os.path.join(self.folder, "data", "myid"), "w", encoding="utf-8") as f:
            f.write(f"{number}\n")

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def configure(self, servers):
        lines = [
            f"tickTime={TICK_MS}",
            "initLimit=50",
            "syncLimit=25",
            f"dataDir={self.folder}/data",
            f"clientPortAddress={self.host}",
            f"clientPort={self.port}",
            "maxClientCnxns=0",
            "maxSessionTimeout=60000",
            "admin.enableServer=false",
            "standaloneEnabled=true",
            "4lw.commands.whitelist=ruok,srvr",
        ]
        if len(servers) > 1:
            lines += [f"server.{s.number}={s.host}:{s.peer_port}:{s.vote_port}" for s in servers]
        with open(os.path.join(self.folder, "zoo.cfg"), "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")

    def start(self):
        assert self.process is None or self.process.poll() is not None
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen(
                self.prefix
                + [
                    "/usr/bin/java",
                    "-Xmx96m",
                    "-XX:+UseSerialGC",
                    "-XX:TieredStopAtLevel=1",
                    "-XX:-UsePerfData",
                    f"-Dzookeeper.forceSync={'yes' if self.sync else 'no'}",
                    "-Dzookeeper.jmx.log4j.disable=true",
                    # Elections after a partition are tried again at once, not after up to a minute.
                    "-Dzookeeper.fastleader.minNotificationInterval=100",
                    "-Dzookeeper.fastleader.maxNotificationInterval=400",
                    "-Dzookeeper.cnxTimeout=500",
                    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                    "-Dorg.slf4j.simpleLogger.showDateTime=true",
                    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
                    "-cp",
                    JAR + ":/usr/share/java/slf4j-simple.jar",
                    "org.apache.zookeeper.server.quorum.QuorumPeerMain",
                    os.path.join(self.folder, "zoo.cfg"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, signum):
        if self.alive():
            self.process.send_signal(signum)

    def kill(self):
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def pause(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def ask(self, word):
        """Answer to a four-letter word, '' when there is none. Not for servers in other namespaces."""
        try:
            with socket.create_connection((self.host, self.port), timeout=1) as s:
                s.sendall(word.encode())
                answer = b""
                while part := s.recv(4096):
                    answer += part
                return answer.decode()
        except OSError:
            return ""

    def mode(self):
        """'leader', 'follower', 'standalone', or '' when it does not serve."""
        for line in self.ask("srvr").splitlines():
            if line.startswith("Mode: "):
                return line[6:]
        return ""


class Ensemble:
    def __init__(self, n=3, hosts=None, prefixes=None, sync=False):
        self.folder = tempfile.mkdtemp(prefix="dcos-test-zk-")
        self.servers = []
        for i in range(n):
            host = hosts[i] if hosts else "127.0.0.1"
            # In a namespace of its own a server has all ports to itself.
            ports = (2181, 2888, 3888) if hosts else [free_port() for _ in range(3)]
            prefix = prefixes[i] if prefixes else ()
            self.servers.append(Server(i + 1, self.folder, host, ports, prefix, sync))
        for server in self.servers:
            server.configure(self.servers)

    def start(self, wait=True):
        for server in self.servers:
            server.start()
        if wait:
            self.wait_serving()
        return self

    def wait_serving(self, servers=None):
        """Until all that run (or are named) serve, at the same time: one may still lose its leader."""
        servers = servers or [s for s in self.servers if s.alive()]
        wait_until(lambda: all([s.mode() for s in servers]), "ZooKeeper to serve", timeout=120)

    def url(self, path, auth=None):
        servers = ",".join(s.address for s in self.servers)
        return f"zk://{auth + '@' if auth else ''}{servers}{path}"

    def kazoo(self, **options):
        """A connected client of python3-kazoo; stop() and close() it."""
        from kazoo.client import KazooClient

        client = KazooClient(hosts=",".join(s.address for s in self.servers), timeout=10, **options)
        client.start(timeout=30)
        return client

    def logs(self):
        """Names and ends of the servers' logs."""
        for server in self.servers:
            with open(os.path.join(server.folder, "log"), encoding="utf-8", errors="replace") as f:
                yield f"ZooKeeper server {server.number}", "".join(f.readlines()[-40:])

    def close(self):
        for server in self.servers:
            server.resume()
            server.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
