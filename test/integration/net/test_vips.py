"""Virtual addresses with real traffic: hosts are network namespaces, backends are servers that say who they are."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time

import pytest
import requests

from cluster import Cluster, wait_until
from netd import AAAA, Net, rows
from network import Network, ip_command, missing

HERE = os.path.dirname(os.path.abspath(__file__))
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("nft") or missing() is not None, reason="needs root, nft and network namespaces"
)

IPV6 = os.path.exists("/proc/sys/net/ipv6")

SERVER = """
import socket, sys, threading
kind, ip, port, name = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4].encode()
s = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((ip, port))
def serve(c):
    try:
        while (data := c.recv(4096)):
            c.sendall(name + b" " + c.getpeername()[0].encode() + b"\\n")
    except OSError:
        pass
    c.close()
if kind == "tcp":
    s.listen(128)
print("ready", flush=True)
while True:
    if kind == "tcp":
        threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
    else:
        data, peer = s.recvfrom(4096)
        s.sendto(name + b" " + peer[0].encode() + b"\\n", peer)
"""


class Hosts:
    """A master, two agents and an outsider, each a namespace; a container in the first agent's."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.stack = contextlib.ExitStack()
        self.processes = {}

    def __enter__(self):
        try:
            self.net = self.stack.enter_context(Network(["m", "a", "b"], ipv6=IPV6))
            self.container()
            agents = [{"id": "x-S0", "ip": self.net.ip("a")}, {"id": "x-S1", "ip": self.net.ip("b")}]
            self.master = self.spawn("m", [sys.executable, os.path.join(HERE, "fake_master.py"), self.net.ip("m"), json.dumps(agents)])
            self.nets = {h: self.daemon(h) for h in ("m", "a", "b")}
        except BaseException:
            self.__exit__()
            raise
        return self

    def container(self):
        """As a bridge network makes them: an address of its own, the way out through the host."""
        name, host = self.net.namespace("c"), self.net.namespace("a")
        ip_command("netns", "add", name)
        self.stack.callback(ip_command, "netns", "del", name, check=False)
        ip_command("-n", host, "link", "add", "br0", "type", "bridge")
        ip_command("-n", host, "addr", "add", "172.31.0.1/24", "dev", "br0")
        ip_command("-n", host, "link", "set", "br0", "up")
        ip_command("-n", host, "link", "add", "c0", "type", "veth", "peer", "name", "eth0", "netns", name)
        ip_command("-n", host, "link", "set", "c0", "master", "br0")
        ip_command("-n", host, "link", "set", "c0", "type", "bridge_slave", "hairpin", "on")  # as ucr-default-bridge has it
        ip_command("-n", host, "link", "set", "c0", "up")
        ip_command("-n", name, "link", "set", "lo", "up")
        ip_command("-n", name, "addr", "add", "172.31.0.2/24", "dev", "eth0")
        ip_command("-n", name, "link", "set", "eth0", "up")
        ip_command("-n", name, "route", "add", "default", "via", "172.31.0.1")
        subprocess.run(["ip", "netns", "exec", host, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"], check=True)
        if IPV6:
            ip_command("-n", host, "addr", "add", "fd00:172:31::1/64", "dev", "br0", "nodad")
            ip_command("-n", name, "addr", "add", "fd00:172:31::2/64", "dev", "eth0", "nodad")
            ip_command("-n", name, "route", "add", "default", "via", "fd00:172:31::1")
            subprocess.run(["ip", "netns", "exec", host, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"], check=True)
        self.net.hosts["c"] = 0

    def spawn(self, host, argv):
        p = subprocess.Popen(self.net.prefix(host) + argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.stack.callback(self.end, p)
        assert p.stdout.readline() == "ready\n"
        return p

    @staticmethod
    def end(p):
        p.kill()
        p.wait()
        p.stdin.close()
        p.stdout.close()

    def daemon(self, host, **flags):
        d = Net.start_in(
            self.cluster, f"{self.net.ip('m')}:5050", name=f"net-{host}", prefix=self.net.prefix(host), start=False,
            ip=self.net.ip(host), vips="true", **flags,
        )
        d.start()
        return d

    def tell(self, **task):
        self.master.stdin.write(json.dumps(task) + "\n")
        self.master.stdin.flush()
        assert self.master.stdout.readline() == "told\n"

    def server(self, host, ip, port, name, kind="tcp"):
        return self.spawn(host, [sys.executable, "-c", SERVER, kind, ip, str(port), name])

    def task(self, name, host, port, vip="/web:80", kind="tcp", state="RUNNING", **more):
        agent = "x-S0" if host in ("a", "c") else "x-S1"
        self.tell(id=name, agent=agent, state=state, ports=[{"number": port, "protocol": kind, "labels": {"VIP_0": vip}}], **more)

    def vips(self, host):
        with self.net.at(host):
            return requests.get(self.nets[host].url + "/v1/vips/status", timeout=60).json()

    def vip(self, host, name="web.marathon.l4lb.thisdcos.directory:80"):
        return next((v for v in self.vips(host)["vips"] if v["vip"] == name), None)

    def settled(self, backends, name="web.marathon.l4lb.thisdcos.directory:80", hosts=("m", "a", "b")):
        """Waits until every host has so many backends that serve in force."""

        def there():
            for h in hosts:
                s = self.vips(h)
                v = next((v for v in s["vips"] if v["vip"] == name), None)
                n = len([b for b in v["backend"] if b["weight"] and b["reachable"]]) if v else 0
                if n != backends or not s["in_force"]:
                    return None
            return True

        wait_until(there, f"{backends} backends")
        return (self.vip(hosts[0], name) or {}).get("ip")

    def call(self, host, ip, port=80, kind="tcp", timeout=30):
        with self.net.at(host):
            family = socket.AF_INET6 if ":" in ip else socket.AF_INET
            with socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as s:
                s.settimeout(timeout)
                s.connect((ip, port))
                s.sendall(b"hello")
                return s.recv(4096).decode().split()

    def names(self, host, ip, port=80, kind="tcp", n=12):
        return {self.call(host, ip, port, kind)[0] for _ in range(n)}

    def __exit__(self, *exc):
        self.stack.close()


@pytest.fixture(scope="module")
def hosts():
    c = Cluster()
    try:
        with Hosts(c) as h:
            yield h
    finally:
        c.close()


@pytest.fixture
def clean(hosts):
    """Tasks that a test tells of, ended after it."""
    told = []

    def task(name, *args, **more):
        told.append(name)
        hosts.task(name, *args, **more)

    yield task
    for name in told:
        hosts.tell(id=name, agent="x-S0", state="FINISHED")
    wait_until(lambda: all(not hosts.vips(h)["vips"] for h in ("m", "a", "b")), "the addresses to go")


@rows("3.3 data plane", 4)
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_everywhere(hosts, clean, kind):
    """Backends on the same host, on another, in a container; asked from hosts and from the container; one address."""
    ip_a, ip_b = hosts.net.ip("a"), hosts.net.ip("b")
    servers = [hosts.server("a", ip_a, 9001, "on-a", kind), hosts.server("b", ip_b, 9002, "on-b", kind),
               hosts.server("c", "172.31.0.2", 9003, "in-c", kind)]
    for name, host, port, more in (("t1", "a", 9001, {}), ("t2", "b", 9002, {}), ("t3", "c", 9003, {"ips": ["172.31.0.2"]})):
        # The container's address is known on its host only.
        clean(name, host, port, vip=f"/{name}:80", kind=kind, **more)
    clean("t4", "a", 9001, kind=kind)
    clean("t5", "b", 9002, kind=kind)
    ip = hosts.settled(2)
    assert ip.startswith("11.") and all(hosts.vip(h)["ip"] == ip for h in "mab")
    for client in ("m", "a", "b"):
        assert hosts.names(client, ip, kind=kind) == {"on-a", "on-b"}, client
    assert hosts.names("c", ip, kind=kind) == {"on-a", "on-b"}
    local = hosts.settled(1, "t3.marathon.l4lb.thisdcos.directory:80", hosts=("a",))
    assert hosts.names("a", local, kind=kind) == {"in-c"}
    assert hosts.call("c", local, kind=kind)[0] == "in-c"  # itself
    assert hosts.nets["a"] and hosts.vip("a")["connections"] > 0
    for s in servers:
        hosts.end(s)


@rows("3.3 IPv6", 1)
@pytest.mark.skipif(not IPV6, reason="the kernel has no IPv6")
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_ipv6(hosts, clean, kind):
    """Tasks with addresses of both families: the name leads to either, each with its own backends; and by address."""
    both = {h: [hosts.net.ip(h), hosts.net.ip6(h)] for h in ("a", "b")}
    both["c"] = ["172.31.0.2", "fd00:172:31::2"]
    servers = [hosts.server(h, ip, port, name, kind)
               for h, port, name in (("a", 9081, "on-a"), ("b", 9082, "on-b"), ("c", 9083, "in-c")) for ip in both[h]]
    clean("v1", "a", 9081, vip="/six:80", kind=kind, ips=both["a"])
    clean("v2", "b", 9082, vip="/six:80", kind=kind, ips=both["b"])
    clean("v3", "c", 9083, vip="/local:80", kind=kind, ips=both["c"])
    clean("v4", "b", 9082, vip="[fd01:c::1]:81", kind=kind, ips=both["b"])
    name = "six.marathon.l4lb.thisdcos.directory"

    def places(host, name):
        """IPv4 and IPv6 address, once both have two backends that serve and all is in force."""
        s = hosts.vips(host)
        found = {":" in v["ip"]: v for v in s["vips"] if v["vip"] == name}
        return s["in_force"] and len(found) == 2 and [found[six]["ip"] for six in (False, True)]

    four, six = wait_until(lambda: places("m", name + ":80"), "both addresses")
    assert four.startswith("11.") and six.startswith("fd01:c::")
    with hosts.net.at("m"):
        assert hosts.nets["m"].ips(name) == [four]
        assert hosts.nets["m"].ips(name, AAAA) == [six]
        listed = [v for v in requests.get(hosts.nets["m"].url + "/v1/vips", timeout=60).json() if v["vip"] == name + ":80"]
    assert [sorted(b["ip"] for b in v["backend"]) for v in listed] == [sorted(both["a"] + both["b"])]  # one, with all of them
    for client in ("m", "a", "b", "c"):
        wait_until(lambda c=client: c == "c" or places(c, name + ":80") == [four, six], "the same on every host")
        assert hosts.names(client, six, kind=kind) == {"on-a", "on-b"}, client
        assert hosts.names(client, four, kind=kind) == {"on-a", "on-b"}, client
        assert hosts.names(client, "fd01:c::1", 81, kind, n=2) == {"on-b"}, client
    local = places("a", "local.marathon.l4lb.thisdcos.directory:80")[1]
    assert hosts.names("a", local, kind=kind, n=2) == hosts.names("c", local, kind=kind, n=2) == {"in-c"}
    # One dies: its flows end, the other has all; when both are gone it refuses.
    with hosts.net.at("m"), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
        s.settimeout(60)
        s.connect((six, 80))
        while kind == "udp":
            s.send(b"x")
            if s.recv(100).startswith(b"on-b"):
                break
            s.close()
            s.__init__(socket.AF_INET6, socket.SOCK_DGRAM)
            s.settimeout(60)
            s.connect((six, 80))
        ended = hosts.vips("m")["flows_ended"]
        hosts.tell(id="v2", agent="x-S1", state="FAILED")
        wait_until(lambda: hosts.names("m", six, kind=kind, n=4) == {"on-a"}, "the other one to have all")
        if kind == "udp":
            wait_until(lambda: hosts.vips("m")["flows_ended"] > ended, "flows to be ended")
            s.send(b"x")
            assert s.recv(100).startswith(b"on-a")
    hosts.tell(id="v1", agent="x-S0", state="KILLING", ips=both["a"])

    def refused():
        try:
            hosts.call("m", six, kind=kind)
        except (ConnectionRefusedError, PermissionError):  # what a sender of UDP on the host itself gets
            return True
        return False

    wait_until(refused, "it to refuse")
    for server in servers:
        hosts.end(server)


@rows("3.3 weights", 4)
def test_weights(hosts, clean):
    hosts.server("a", hosts.net.ip("a"), 9011, "one")
    hosts.server("b", hosts.net.ip("b"), 9012, "two")
    clean("w1", "a", 9011)
    clean("w2", "b", 9012, healthy=True)
    ip = hosts.settled(2)
    with hosts.net.at("m"):
        open_one = socket.create_connection((ip, 80), timeout=60)
        open_one.sendall(b"x")
        first = open_one.recv(100).decode().split()[0]
    # Unhealthy: no new connections, the old ones live on.
    hosts.tell(id="w2", agent="x-S1", state="RUNNING", healthy=False)
    hosts.settled(1)
    assert hosts.names("m", ip) == {"one"}
    hosts.tell(id="w1", agent="x-S0", state="KILLING")
    hosts.settled(0)
    for client in ("m", "a", "c"):
        with pytest.raises(ConnectionRefusedError):
            hosts.call(client, ip)
    open_one.sendall(b"x")
    assert open_one.recv(100).decode().split()[0] == first
    open_one.close()
    hosts.tell(id="w2", agent="x-S1", state="RUNNING", healthy=True)
    hosts.settled(1)
    assert hosts.names("a", ip) == {"two"}
    # Away: others serve; alone it is kept.
    hosts.tell(id="w1", agent="x-S0", state="RUNNING")
    hosts.settled(2)
    hosts.tell(id="w2", agent="x-S1", state="UNREACHABLE")
    hosts.settled(1)
    assert hosts.names("m", ip) == {"one"}
    hosts.tell(id="w1", agent="x-S0", state="FAILED")
    wait_until(lambda: hosts.call("m", ip)[0] == "two", "the one that is left")


def test_addressed_and_hijack(hosts, clean):
    """By address; and a host's port of the same number does not catch it."""
    hosts.server("b", hosts.net.ip("b"), 9021, "real")
    clean("x1", "b", 9021, vip="1.2.3.4:5000")
    hosts.settled(1, "1.2.3.4:5000")
    assert hosts.names("a", "1.2.3.4", 5000, n=3) == {"real"}
    hosts.server("a", "0.0.0.0", 5000, "thief")
    nft = hosts.net.prefix("a") + ["nft"]
    subprocess.run(nft + ["add table ip thief; add chain ip thief pre { type nat hook prerouting priority -100; }; "
                          f"add rule ip thief pre tcp dport 5000 dnat to {hosts.net.ip('a')}:5000"], check=True)
    try:
        assert hosts.names("c", "1.2.3.4", 5000, n=3) == {"real"}
    finally:
        subprocess.run(nft + ["delete table ip thief"], check=True)


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_dead_backend(hosts, clean, kind):
    """No new connection reaches it once its end was told; flows that there were are ended."""
    ip_a, ip_b = hosts.net.ip("a"), hosts.net.ip("b")
    hosts.server("a", ip_a, 9031, "stays", kind)
    hosts.server("b", ip_b, 9032, "goes", kind)
    clean("d1", "a", 9031, kind=kind)
    clean("d2", "b", 9032, kind=kind)
    ip = hosts.settled(2)
    flows = []
    with hosts.net.at("m"):
        while len(flows) < 2 and kind == "udp":
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.settimeout(60)
            s.connect((ip, 80))
            s.send(b"x")
            name = s.recv(100).decode().split()[0]
            if name == "goes":
                flows.append(s)
            else:
                s.close()
    ended = hosts.vips("m")["flows_ended"]
    hosts.tell(id="d2", agent="x-S1", state="FAILED")
    told = last = time.monotonic()
    hits = 0
    while hits < 50:  # in a row: each other one went there before
        if hosts.call("m", ip, kind=kind)[0] == "goes":
            last, hits = time.monotonic(), 0
            assert last - told < 60
        hits += 1
    print(f"the last connection {(last - told) * 1000:.0f} ms after the news")
    wait_until(lambda: hosts.vips("m")["flows_ended"] >= ended + len(flows), "flows to be ended")
    for s in flows:
        s.send(b"x")
        assert s.recv(100).decode().split()[0] == "stays"
        s.close()


def test_restart_keeps_connections(hosts, clean):
    hosts.server("b", hosts.net.ip("b"), 9041, "kept")
    clean("r1", "b", 9041)
    ip = hosts.settled(1)
    with hosts.net.at("m"):
        s = socket.create_connection((ip, 80), timeout=60)
    stop, failures = threading.Event(), []

    def load():
        while not stop.is_set():
            try:
                hosts.call("m", ip)
            except OSError as e:
                failures.append(e)

    t = threading.Thread(target=load)
    t.start()
    try:
        hosts.nets["m"].restart()
        hosts.settled(1)
    finally:
        stop.set()
        t.join()
    assert not failures
    s.sendall(b"x")
    assert s.recv(100).startswith(b"kept")
    s.close()


def test_nft_killed_and_changes(hosts, clean):
    hosts.server("b", hosts.net.ip("b"), 9051, "still")
    clean("k1", "b", 9051)
    ip = hosts.settled(1)
    net = hosts.nets["m"]

    def child():
        with open(f"/proc/{net.pid}/task/{net.pid}/children", encoding="utf-8") as f:
            return [int(p) for p in f.read().split()]

    old = child()
    for pid in old:
        os.kill(pid, 9)
    wait_until(lambda: "virtual addresses are not up to date" in net.tail(), "it to be told")
    assert hosts.names("m", ip, n=2) == {"still"}  # the last rules stay
    wait_until(lambda: child() and child() != old and hosts.vips("m")["in_force"], "another child")
    hosts.server("a", hosts.net.ip("a"), 9052, "more")
    clean("k2", "a", 9052)
    hosts.settled(2)
    assert hosts.names("m", ip) == {"still", "more"}
    listed = subprocess.run(hosts.net.prefix("m") + ["nft", "list", "tables"], capture_output=True, text=True, check=True)
    assert listed.stdout.split("\n")[:-1] == ["table inet dcos_l4lb"]


@pytest.mark.parametrize("change", [
    "flush ruleset",
    "delete table inet dcos_l4lb",
    "flush chain inet dcos_l4lb output",
    "flush map inet dcos_l4lb vips",
    "add element inet dcos_l4lb down {{ tcp . {ip} . 80 }}",
    "add rule inet dcos_l4lb output drop",
    "add table inet dcos_l4lb {{ flags dormant; }}",
])
def test_rules_that_others_change(hosts, clean, change):
    """Noticed without anything else to do, put back whole, and told once however often it happens."""
    server = hosts.server("b", hosts.net.ip("b"), 9071, "back")
    clean("m1", "b", 9071)
    ip = hosts.settled(1)
    net = hosts.nets["m"]
    net.restart()  # so that what was told before does not count
    hosts.settled(1)
    nft = hosts.net.prefix("m") + ["nft"]
    told = net.tail(1000).count("somebody changed or removed")

    def rules():
        return subprocess.run(nft + ["-s", "list", "table", "inet", "dcos_l4lb"], capture_output=True, text=True, check=False).stdout

    def connects():
        try:
            return hosts.names("m", ip, n=1) == {"back"}
        except OSError:
            return False

    before = rules()
    for n in range(1, 4):
        subprocess.run(nft + [change.format(ip=ip)], check=True)
        wait_until(lambda n=n: hosts.vips("m")["restored"] >= n and hosts.vips("m")["in_force"], "it to be noticed")
        wait_until(lambda: rules() == before and connects(), "all of it to be back")
    assert net.tail(1000).count("somebody changed or removed") == told + 1
    # What is not ours is nobody's business.
    subprocess.run(nft + ["add table inet other; add chain inet other c; delete table inet other"], check=True)
    restored = hosts.vips("m")["restored"]
    clean("m2", "b", 9071, vip="/other:80")  # a change of our own after it
    hosts.settled(1, "other.marathon.l4lb.thisdcos.directory:80")
    assert hosts.vips("m")["restored"] == restored
    hosts.end(server)


def test_without_nft(cluster, tmp_path):
    master = cluster.master()
    net = Net.start_in(cluster, master, start=False, vips="true")
    net.env = {"PATH": str(tmp_path)}
    net.start()
    wait_until(lambda: "the package nftables" in net.tail() or None, "what to do")
    status = requests.get(net.url + "/v1/vips/status", timeout=60).json()
    assert not status["in_force"] and "nft" in status["error"]
    wait_until(lambda: net.ips("leader.mesos"), "names to be served all the same")


@rows("3.3 grammar", 5)
def test_list(hosts, clean):
    clean("l1", "b", 9061, vip="/mygroup/myapp:80")
    clean("l2", "b", 9061, vip="no port")
    clean("l3", "b", 9062, vip="1.2.3.4:53", kind="udp")
    name = "mygroupmyapp.marathon.l4lb.thisdcos.directory:80"
    hosts.settled(1, name)
    with hosts.net.at("a"):
        url = hosts.nets["a"].url
        answer = requests.get(url + "/v1/vips", timeout=60)
        metrics = requests.get(url + "/v1/metrics/l4lb", timeout=60).text
        ips = hosts.nets["a"].ips("mygroupmyapp.marathon.l4lb.thisdcos.directory")
        assert hosts.nets["a"].ips("mygroupmyapp.marathon.dclb.thisdcos.global") == ips
    assert ips == ["11.198.144.68"]
    assert answer.json() == [
        {"vip": name, "protocol": "tcp", "backend": [{"ip": hosts.net.ip("b"), "port": 9061}]},
        {"vip": "1.2.3.4:53", "protocol": "udp", "backend": [{"ip": hosts.net.ip("b"), "port": 9062}]},
    ]
    assert len(answer.headers["ETag"]) == 28
    assert "\nvips 2\n" in metrics and "\nbackends 2\n" in metrics
    assert int(metrics.split("\nignored_labels_total ")[1].split()[0]) >= 1
