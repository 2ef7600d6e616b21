"""Names of a running cluster: master, agent and Marathon, asked over DNS and both HTTP APIs."""

import hashlib
import json
import socket
import struct
import threading
import time

import pytest
import requests

from cluster import wait_until
from netd import (A, AAAA, ANY, AXFR, CNAME, FORMERR, NOERROR, NOTIMP, NS, NXDOMAIN, PTR, REFUSED, SERVFAIL, SOA, SRV,
                  Net, Answer, exchange, question, receive, rows)

APP = {
    "id": "/group/app",
    "cmd": "exec sleep 1000",
    "cpus": 0.1,
    "mem": 32,
    "instances": 1,
    "portDefinitions": [{"port": 0, "protocol": "tcp", "name": "web"}],
    "requirePorts": False,
}


def zbase32(data, n):
    bits = int.from_bytes(hashlib.sha1(data).digest(), "big")
    return "".join("ybndrfg8ejkmcpqxot1uwisza345h769"[bits >> (155 - 5 * i) & 31] for i in range(n))


def get(url, **options):
    return requests.get(url, timeout=60, **options)


@pytest.fixture(scope="module")
def app(marathon, net):
    assert requests.post(marathon.url + "/v2/apps", json=APP, timeout=60).status_code == 201
    task = wait_until(
        lambda: [t for t in get(marathon.url + "/v2/apps//group/app/tasks").json()["tasks"] if t["state"] == "TASK_RUNNING"],
        "the app to run",
    )[0]
    wait_until(lambda: net.ips("app-group.marathon.mesos"), "its name")
    return task


@pytest.fixture(scope="module")
def canonical(app):
    return f"{zbase32(app['id'].encode(), 5)}-{app['slaveId'].rsplit('-', 1)[1].lower()}.marathon"


# ---- 3.6: records of mesos-dns ----


@rows("3.6 records", 11)
def test_mesos_records(net, app, canonical, master, agent):
    port = app["ports"][0]
    ip = ["127.0.0.1"]
    for name in ("leader", "master", "master0", "slave", "marathon", "ns1"):
        assert net.ips(f"{name}.mesos") == ip, name
    assert net.ips("_leader._tcp.mesos", SRV) == [(0, 1, master.port, "leader.mesos")]
    assert net.ips("_leader._udp.mesos", SRV) == [(0, 1, master.port, "leader.mesos")]
    assert net.ips("_slave._tcp.mesos", SRV) == [(0, 1, agent.port, "slave.mesos")]
    for task in ("app-group", "app.group"):
        for name in (f"{task}.marathon", f"{task}-{canonical}", f"{task}.marathon.slave", f"{task}-{canonical}.slave"):
            answer = net.ask(name + ".mesos")
            assert [r.data for r in answer.answers] == ip and answer.answers[0].ttl == 60, name
        for protocol in ("tcp", "udp"):
            assert net.ips(f"_{task}._{protocol}.marathon.slave.mesos", SRV) == [
                (0, 1, port, f"{task}-{canonical}.slave.mesos")
            ]
        target = [(0, 1, port, f"{task}-{canonical}.mesos")]
        assert net.ips(f"_{task}._tcp.marathon.mesos", SRV) == target
        assert net.ips(f"_web._{task}._tcp.marathon.mesos", SRV) == target
        assert net.ips(f"_{task}._udp.marathon.mesos", SRV) == []


@rows("3.6 behaviour", 8)
def test_mesos_behaviour(net, app, canonical):
    answer = net.ask("APP-group.Marathon.MESOS")
    assert answer.aa and answer.ra and answer.question == "APP-group.Marathon.MESOS"
    assert [r.data for r in answer.answers] == ["127.0.0.1"]
    assert net.ips("app-group.*.marathon.mesos") == ["127.0.0.1"]
    srv = net.ask("_app-group._tcp.marathon.mesos", SRV)
    assert [(r.name, r.data) for r in srv.additional] == [(f"app-group-{canonical}.mesos", "127.0.0.1")]
    for kind in (SOA, NS):
        answer = net.ask("mesos", kind)
        assert not answer.answers and [r.kind for r in answer.authority] == [kind]
    unknown = net.ask("nope.marathon.mesos")
    assert unknown.rcode == NXDOMAIN and unknown.authority[0].kind == SOA
    other = net.ask("app-group.marathon.mesos", AAAA)
    assert other.rcode == NOERROR and not other.answers and other.authority[0].kind == SOA
    for kind in (SRV, SOA, NS):
        nothing = net.ask("nope.mesos", kind)
        assert (nothing.rcode, nothing.answers, nothing.authority) == (NOERROR, [], []), kind
    assert net.ask("1.0.0.127.in-addr.arpa", PTR).rcode == REFUSED


# ---- 3.1: zones of the node ----


@rows("3.1 zones", 9)
def test_zones(net, app):
    assert net.ips("ready.spartan") == ["127.0.0.1"] and net.ips("ns.spartan") == ["198.51.100.1"]
    assert net.ips("localhost") == ["127.0.0.1"]
    assert all(net.ips(f"zk-{i}.zk") == ["127.0.0.1"] for i in range(1, 6)) and not net.ips("zk-6.zk")
    for zone in ("spartan", "zk", "localhost", "dcos.thisdcos.directory", "l4lb.thisdcos.directory", "thisnode.thisdcos.directory"):
        soa, ns = net.ask(zone, SOA).answers, net.ask(zone, NS).answers
        assert [r.data for r in soa] == [("ns.spartan", "support.mesosphere.com", 1, 60, 180, 86400, 1)] and soa[0].ttl == 5
        assert [(r.data, r.ttl) for r in ns] == [("ns.spartan", 3600)], zone
    for name in ("leader", "master"):
        assert net.ips(f"{name}.dcos.thisdcos.directory") == ["127.0.0.1"]
    assert net.ips("thisnode.thisdcos.directory") == ["127.0.0.1"]


@rows("3.1 task names", 3)
def test_task_names(net, app):
    for kind in ("agentip", "containerip", "autoip", "slaveip"):
        answer = net.ask(f"app-group.marathon.{kind}.dcos.thisdcos.directory")
        assert [(r.data, r.ttl) for r in answer.answers] == [("127.0.0.1", 5)], kind
    assert net.ask("app.group.marathon.agentip.dcos.thisdcos.directory").rcode == NXDOMAIN


@rows("3.1 routing", 8)
def test_routing(net, app):
    for suffix in ("thisdcos.directory", "thisdcos.global"):
        assert net.ips(f"app-group.marathon.agentip.dcos.{suffix}") == ["127.0.0.1"]
        answer = net.ask(f"_app-group._tcp.marathon.mesos.{suffix}", SRV)
        assert answer.answers[0].ttl == 5 and answer.answers[0].data[:2] == (1, 1)
        assert answer.answers[0].data[3].endswith(f".mesos.{suffix}")
        assert answer.additional[0].name == answer.answers[0].data[3]
        # dclb stands for l4lb, in what is answered too.
        nothing = net.ask(f"x.marathon.dclb.{suffix}")
        assert nothing.rcode == NXDOMAIN and nothing.authority[0].name == f"dclb.{suffix}"
    assert net.ask("a.b.thisdcos.directory").rcode == REFUSED
    assert net.ask("example.com").rcode == REFUSED  # no upstream is configured


def test_aliases_and_identity(cluster):
    master = cluster.master()
    net = Net.start_in(cluster, master, aliases="www.mine.thisdcos.directory=example.com",
                       cluster_crypto_id="abcdef", public_ips="203.0.113.5", masters="192.0.2.1,192.0.2.2,192.0.2.3")
    wait_until(lambda: net.ips("leader.mesos"), "the leader")
    assert [r.data for r in net.ask("www.mine.thisdcos.directory").answers] == ["example.com"]
    assert net.ips("public.thisnode.thisdcos.directory") == ["203.0.113.5"]
    assert net.ips("leader.dcos.abcdef.dcos.directory") == ["127.0.0.1"]
    assert net.ips("master.mesos") == ["127.0.0.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"]
    assert net.ips("zk-5.zk") == ["192.0.2.2"]  # of those given, whoever else leads


# ---- transport ----


def test_transport(net):
    assert net.ask("leader.mesos", tcp=True).answers[0].data == "127.0.0.1"
    assert net.ask("leader.mesos", ANY).rcode == REFUSED
    assert net.ask("mesos", AXFR, tcp=True).rcode == REFUSED
    assert net.ask("leader.mesos", klass=3).rcode == REFUSED
    assert net.ask("leader.mesos", flags=0x2000).rcode == NOTIMP
    assert net.ask("leader.mesos", edns=1232, version=1).rcode == 0  # BADVERS is in the OPT record
    assert net.ask("leader.mesos", edns=1232).additional[-1].kind == 41
    to = ("127.0.0.1", net.dns_port)
    assert Answer(exchange(to, question("leader.mesos", count=2))).rcode == FORMERR
    assert Answer(exchange(to, question("leader.mesos")[:-3])).rcode == FORMERR
    # Answers and what has no head get nothing; the server goes on.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(60)
        s.connect(to)
        for junk in (b"", b"x", question("a", flags=0x8100), question("leader.mesos", ident=77)):
            s.send(junk)
        assert Answer(s.recv(4096)).id == 77


def test_pipelining(net):
    with socket.create_connection(("127.0.0.1", net.dns_port), timeout=60) as s:
        batch = [question("leader.mesos", ident=i) for i in range(50)]
        s.sendall(b"".join(struct.pack(">H", len(q)) + q for q in batch))
        assert sorted(Answer(receive(s)).id for _ in batch) == list(range(50))
        # Byte by byte, too.
        for byte in struct.pack(">H", len(batch[7])) + batch[7]:
            s.sendall(bytes([byte]))
        assert Answer(receive(s)).id == 7
        s.sendall(struct.pack(">H", 60000))  # larger than any question: closed
        assert s.recv(10) == b""


# ---- forwarding ----


class Upstream:
    """Answers A questions with one address, over UDP and TCP; counts, and can be silent."""

    def __init__(self, ip, ttl=60, silent=False, rcode=0):
        self.ip, self.ttl, self.silent, self.rcode, self.asked = ip, ttl, silent, rcode, 0
        while True:  # a port that is free in both
            self.tcp = socket.create_server(("127.0.0.1", 0))
            self.port = self.tcp.getsockname()[1]
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                self.udp.bind(("127.0.0.1", self.port))
                break
            except OSError:
                self.close()
        for target in (self.serve_udp, self.serve_tcp):
            threading.Thread(target=target, daemon=True).start()

    def answer(self, query):
        self.asked += 1
        end = query.index(b"\0", 12) + 5
        head = query[:2] + struct.pack(">5H", 0x8180 | self.rcode, 1, 0 if self.rcode else 1, 0, 0)
        record = b"\xc0\x0c" + struct.pack(">HHIH", A, 1, self.ttl, 4) + socket.inet_aton(self.ip)
        return head + query[12:end] + (b"" if self.rcode else record)

    def serve_udp(self):
        while True:
            try:
                query, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            reply = self.answer(query)
            if not self.silent:
                self.udp.sendto(b"\0\0" + reply[2:], peer)  # a forged one first: another id
                self.udp.sendto(reply, peer)

    def serve_tcp(self):
        while True:
            try:
                s, _ = self.tcp.accept()
            except OSError:
                return
            with s:
                reply = self.answer(receive(s))
                s.sendall(struct.pack(">H", len(reply)) + reply)

    def close(self):
        self.udp.close()
        self.tcp.close()


@pytest.fixture
def upstreams():
    made = []

    def make(*args, **options):
        made.append(Upstream(*args, **options))
        return made[-1]

    yield make
    for u in made:
        u.close()


@rows("3.1 forwarding", 3)
def test_forwarding(cluster, upstreams):
    master = cluster.master()
    slow, fast, zone, zero = (upstreams("192.0.2.1", silent=True), upstreams("192.0.2.2"), upstreams("192.0.2.3"),
                              upstreams("192.0.2.4", ttl=0))
    net = Net.start_in(
        cluster, master, upstream_resolvers=f"127.0.0.1:{slow.port},127.0.0.1:{fast.port}",
        forward_zones=json.dumps({"corp.example": [f"127.0.0.1:{zone.port}"], "zero.example": [f"127.0.0.1:{zero.port}"]}),
    )
    # Both are asked at once: the silent one delays nothing (it is given up after five seconds).
    began = time.monotonic()
    answer = net.ask("www.example.com")
    assert [r.data for r in answer.answers] == ["192.0.2.2"] and not answer.aa
    assert time.monotonic() - began < 4
    wait_until(lambda: slow.asked == 1 and fast.asked == 1, "both to be asked")
    # Kept for as long as the TTL says, in the case of the asker.
    again = net.ask("WWW.example.com")
    assert again.question == "WWW.example.com" and again.answers[0].data == "192.0.2.2" and fast.asked == 1
    assert net.ask("www.example.com", tcp=True).answers[0].data == "192.0.2.2" and fast.asked == 1
    assert net.ips("db.corp.example") == ["192.0.2.3"] and zone.asked == 1
    assert net.ips("corp.example") == ["192.0.2.3"]
    for n in (1, 2):
        assert net.ips("a.zero.example") == ["192.0.2.4"] and zero.asked == n
    assert net.ask("tcp.corp.example", tcp=True).answers[0].data == "192.0.2.3"
    # Without the wish for recursion nobody else is asked.
    assert net.ask("other.corp.example", flags=0).rcode == REFUSED


def test_nobody_answers(cluster, upstreams):
    master = cluster.master()
    bad = upstreams("192.0.2.1", rcode=5)
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]  # nobody listens here from now on
    net = Net.start_in(cluster, master, forward_zones=json.dumps(
        {"gone.example": [f"127.0.0.1:{port}"], "bad.example": [f"127.0.0.1:{bad.port}", f"127.0.0.1:{port}"]}))
    assert net.ask("a.gone.example").rcode == SERVFAIL
    assert net.ask("a.gone.example", tcp=True).rcode == SERVFAIL
    assert net.ask("a.bad.example").rcode in (REFUSED, SERVFAIL)


def test_recursion_only_for_its_own(cluster, upstreams):
    master, up = cluster.master(), upstreams("192.0.2.1")
    net = Net.start_in(cluster, master, recursion_networks="10.0.0.0/8", upstream_resolvers=f"127.0.0.1:{up.port}")
    assert net.ask("www.example.com").rcode == REFUSED and up.asked == 0
    wait_until(lambda: net.ips("leader.mesos"), "the leader")
    # Whoever is not its own gets so many answers a second, then is sent to TCP, or nothing.
    def burst():
        """Answers to as many questions as fit into two seconds of the limit and more, and how long they took."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect(("127.0.0.1", net.dns_port))
            begin = last = time.monotonic()
            for i in range(400):
                s.send(question("leader.mesos", ident=i))
            s.settimeout(1.2)  # and the next second begins
            got = []
            try:
                while True:
                    got.append(Answer(s.recv(4096)))
                    last = time.monotonic()
            except TimeoutError:
                return got, last - begin

    burst()  # what was asked before counts, too: behind its silence nothing does
    got, took = burst()
    while took > 0.9:  # the machine has much else to do: what came in each of several seconds says nothing
        got, took = burst()
    whole = [a for a in got if not a.tc]
    assert 90 <= len(whole) <= 210 and len(got) < 400 and any(a.tc for a in got)
    assert net.ask("leader.mesos", tcp=True).answers


# ---- 3.2: HTTP of the node ----


@rows("3.2 HTTP", 7)
def test_http(net, app, master):
    assert get(net.url + "/v1/version").json()["Service"] == "dcos-dns"
    for path in ("config", "enumerate"):
        assert get(net.url + "/v1/" + path).status_code == 501
    name = "app-group.marathon.agentip.dcos.thisdcos.directory"
    assert get(net.url + f"/v1/hosts/{name}").json() == [{"host": name, "ip": "127.0.0.1"}]
    assert get(net.url + "/v1/hosts/nope.spartan").json() == []
    services = get(net.url + "/v1/services/_leader._tcp.mesos").json()
    assert services == [{"host": "leader.mesos", "port": master.port, "service": "_leader._tcp.mesos", "ip": "127.0.0.1"}]
    assert get(net.url + "/v1/services/_nope._tcp.mesos").json() == []
    records = get(net.url + "/v1/records").json()
    assert {"name": name, "host": "127.0.0.1", "rtype": "A"} in records
    assert {"name": "_leader._tcp.mesos.thisdcos.directory", "host": f"leader.mesos.thisdcos.directory:{master.port}",
            "rtype": "SRV"} in records
    node = get(net.url + "/v1/nodes").json()[0]
    assert set(node) == {"private_ip", "public_ips", "hostname", "updated"} and node["private_ip"] == "127.0.0.1"
    for registry in ("", "/default", "/dns", "/mesos_listener", "/lashup", "/l4lb", "/overlay"):
        assert get(net.url + "/v1/metrics" + registry).status_code == 200
    unknown = get(net.url + "/v1/metrics/nope")
    assert (unknown.status_code, unknown.text) == (404, "Unknown Registry")
    metrics = get(net.url + "/v1/metrics/mesos_listener").text
    assert "\nagents_total 1\n" in metrics and "\ntasks_total 1\n" in metrics
    assert requests.post(net.url + "/v1/version", timeout=60).status_code == 405
    # There is no gossip, and so neither a key that could leak nor a store that evaluates what it is sent.
    for path in ("key", "kv", "kv/navstar/key"):
        assert get(net.url + "/lashup/" + path).status_code == 404
        assert requests.post(net.url + "/lashup/" + path, data="[].", timeout=10).status_code == 404


# ---- 3.6: HTTP of mesos-dns ----


@rows("3.6 HTTP", 7)
def test_mesos_http(net, app, canonical, master):
    url = net.mesos_url + "/v1/"
    assert set(get(url + "version").json()) == {"Service", "Version", "URL"}
    config = get(url + "config").json()
    assert config["Domain"] == "mesos" and config["TTL"] == 60 and config["Port"] == net.dns_port
    assert config["IPSources"] == ["host", "netinfo"] and config["EnumerationOn"] is True
    name = "app.group.marathon.mesos"
    assert get(url + f"hosts/{name}").json() == [{"host": name + ".", "ip": "127.0.0.1"}]
    assert get(url + "hosts/nope.mesos").json() == [{"host": "", "ip": ""}]
    assert get(url + f"hosts/{name}/ports").status_code == 501
    service = "_app.group._tcp.marathon.mesos"
    assert get(url + f"services/{service}").json() == [
        {"service": service, "host": f"app.group-{canonical}.mesos.", "ip": "127.0.0.1", "port": str(app["ports"][0])}
    ]
    assert get(url + "services/_nope._tcp.mesos").json() == [{"service": "", "host": "", "ip": "", "port": ""}]
    frameworks = get(url + "enumerate").json()["frameworks"]
    assert [f["name"] for f in frameworks] == ["marathon"]
    task = frameworks[0]["tasks"][0]
    assert (task["name"], task["id"]) == ("app.group", app["id"])
    assert {"name": name + ".", "host": "127.0.0.1", "rtype": "A"} in task["records"]
    axfr = get(url + "axfr").json()
    assert set(axfr) == {"TTL", "Serial", "RefreshSeconds", "Mname", "Rname", "Domain", "Records"}
    assert axfr["Records"]["As"][name + "."] == ["127.0.0.1"]
    assert axfr["Records"]["SRVs"]["_leader._tcp.mesos."] == [f"leader.mesos.:{master.port}"]


# ---- following ----


def test_follows_at_once(net, marathon, app):
    """A name is there within moments of its task, and goes with it."""
    body = dict(APP, id="/swift")
    assert requests.post(marathon.url + "/v2/apps", json=body, timeout=60).status_code == 201
    wait_until(lambda: net.ips("swift.marathon.mesos"), "the new name")
    assert requests.delete(marathon.url + "/v2/apps/swift", timeout=60).status_code == 200
    wait_until(lambda: net.ask("swift.marathon.mesos").rcode == NXDOMAIN, "the name to go")


def test_vip_of_an_app(net, marathon, app):
    """A label of Marathon's becomes a name, an address and a row of the list."""
    ports = [{"port": 0, "protocol": "tcp", "name": "web", "labels": {"VIP_0": "/mygroup/myapp:80"}}]
    body = dict(APP, id="/mygroup/myapp", portDefinitions=ports)
    assert requests.post(marathon.url + "/v2/apps", json=body, timeout=60).status_code == 201
    name = "mygroupmyapp.marathon.l4lb.thisdcos.directory"
    wait_until(lambda: net.ips(name), "its address")
    assert net.ips(name) == ["11.198.144.68"] and net.ips("mygroupmyapp.marathon.dclb.thisdcos.global") == ["11.198.144.68"]
    task = get(marathon.url + "/v2/apps//mygroup/myapp/tasks").json()["tasks"][0]
    listed = [{"vip": name + ":80", "protocol": "tcp", "backend": [{"ip": "127.0.0.1", "port": task["ports"][0]}]}]
    assert get(net.url + "/v1/vips").json() == listed
    assert requests.delete(marathon.url + "/v2/apps//mygroup/myapp", timeout=60).status_code == 200
    wait_until(lambda: net.ask(name).rcode == NXDOMAIN and not get(net.url + "/v1/vips").json(), "it to go")


def test_before_and_without_a_master(cluster):
    master = cluster.master(start=False)
    net = Net.start_in(cluster, "127.0.0.1:1", name="early")
    assert net.ask("x.mesos").rcode == SERVFAIL  # nobody can say yet
    assert net.ips("ready.spartan") == ["127.0.0.1"]
    master.start()
    net = Net.start_in(cluster, master)
    wait_until(lambda: net.ips("leader.mesos"), "the leader")
    master.kill()
    wait_until(lambda: "no events from the master" in net.tail(), "it to be noticed")
    assert net.ips("leader.mesos") == ["127.0.0.1"]  # what is known stays
    master.start()
    wait_until(lambda: net.tail().count("following") >= 2, "the master to be followed again")


def test_refused_options(cluster):
    for flags, text in (
        ({"dns_listen": "nonsense"}, "is not ip:port"),
        ({"ip": "x"}, "is no address"),
        ({"forward_zones": "[]"}, "JSON object"),
        ({"forward_zones": '{"a": ["b"]}'}, "ip[:port]"),
        ({"upstream_resolvers": "a.b.c"}, "upstream_resolvers"),
        ({"ip_sources": "docker"}, "ip_sources"),
        ({"aliases": "x.l4lb.thisdcos.directory=y"}, "records of its own"),
        ({"recursion_networks": "10.0.0.0/33"}, "recursion_networks"),
        ({}, "is not host:port"),
    ):
        net = Net.start_in(cluster, "127.0.0.1:5050" if flags else "nowhere", start=False, **flags)
        net.start(wait=False)
        assert net.process.wait(timeout=60) == 1, flags
        assert text in net.tail(1), (flags, net.tail(1))
