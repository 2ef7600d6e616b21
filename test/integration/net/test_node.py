"""What a node needs besides answers: its own addresses, who the masters are, and resolv.conf."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading

import pytest

from cluster import DEADLINE, Cluster, binary, wait_until
from netd import A, Answer, Net, exchange, question, rows
from network import Network, ip_command
from network import missing as no_network
from zookeeper import Ensemble
from zookeeper import missing as no_zookeeper

OWN = ["198.51.100.1", "198.51.100.2", "198.51.100.3"]
needs_network = pytest.mark.skipif(os.geteuid() != 0 or no_network() is not None, reason="needs root and network namespaces")


@pytest.fixture
def host():
    with Network(["h", "other"]) as net:
        yield net


@pytest.fixture
def own_cluster():
    c = Cluster()
    yield c
    c.close()


def addresses(host):
    listed = json.loads(ip_command("-j", "-n", host.namespace("h"), "addr").stdout)
    return {(i["ifname"], a["local"]) for i in listed for a in i["addr_info"] if a["local"].startswith(("198.51.100.", "fd01:d:"))}


def node(cluster, host, start=True, **flags):
    # There is no master: what is asked for here is known without one.
    daemon = Net.start_in(cluster, "127.0.0.1:1", prefix=host.prefix("h"), start=False, spartan="true", **flags)
    return daemon.start() if start else daemon


def ask(host, server, name="ready.spartan", at="h", tcp=False):
    with host.at(at):
        return [r.data for r in Answer(exchange((server, 53), question(name, A), tcp)).answers]


@rows("3.1 addresses", 1)
@needs_network
def test_own_addresses(host, own_cluster):
    net = node(own_cluster, host)
    there = addresses(host)
    assert {(name, ip) for name, ip in there if ":" not in ip} == {("spartan", ip) for ip in OWN}
    assert ("spartan", "fd01:d::c633:6401") in there or not os.path.exists("/proc/sys/net/ipv6")
    for ip in OWN:
        assert ask(host, ip) == ask(host, ip, tcp=True) == ["127.0.0.1"]
    # A process that was killed leaves them, and the next one takes them over and removes them at its end.
    net.kill(signal.SIGKILL)
    assert addresses(host) == there
    net.start()
    assert addresses(host) == there and ask(host, OWN[0]) == ["127.0.0.1"]
    net.kill(signal.SIGTERM)
    assert net.process.returncode == 0 and addresses(host) == set()
    assert ip_command("-n", host.namespace("h"), "link", "show", "spartan", check=False).returncode != 0


@needs_network
def test_interface_of_somebody_else(host, own_cluster):
    """It stays, and so does the address that was there."""
    name = host.namespace("h")
    ip_command("-n", name, "link", "add", "spartan", "type", "bridge")
    ip_command("-n", name, "link", "set", "spartan", "up")
    ip_command("-n", name, "addr", "add", "198.51.100.2/32", "dev", "spartan")
    net = node(own_cluster, host)
    assert all(ask(host, ip) == ["127.0.0.1"] for ip in OWN)
    net.kill(signal.SIGTERM)
    assert addresses(host) == {("spartan", "198.51.100.2")}


@needs_network
def test_addresses_without_the_right(own_cluster, tmp_path):
    """Without CAP_NET_ADMIN it says so and does not start; nothing is left behind. As a port that is taken."""
    argv = ["unshare", "--net", "setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", binary("dcos-net"),
            "--master=127.0.0.1:1", "--dns_listen=127.0.0.1:0", "--port=0", "--mesos_dns_port=0", "--no-vips", "--spartan"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 1 and "CAP_NET_ADMIN" in done.stderr, done.stderr


@needs_network
def test_port_taken(host, own_cluster):
    with host.at("h"):
        blocker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        blocker.bind(("0.0.0.0", 53))
    net = node(own_cluster, host, start=False)
    net.start(wait=False)
    assert net.process.wait(DEADLINE) == 1
    assert "198.51.100.1:53" in net.tail() and addresses(host) == set()
    blocker.close()


@rows("3.6 port 61053 on all addresses", 1)
@needs_network
@pytest.mark.parametrize("wildcard", ["0.0.0.0", "[::]"])
def test_wildcard(host, own_cluster, wildcard):
    """Answers leave from the address that was asked, whichever it is, forwarded ones too."""
    name = host.namespace("h")
    ip_command("-n", name, "addr", "add", "10.231.1.77/32", "dev", "lo")
    ip_command("-n", host.router, "route", "add", "10.231.1.77/32", "via", host.ip("h"))
    with host.at("h"):
        upstream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        upstream.bind(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                query, peer = upstream.recvfrom(4096)
            except OSError:
                return
            upstream.sendto(query[:2] + b"\x81\x80" + query[4:6] + b"\0\1\0\0\0\0" + query[12:].split(b"\0\0\x29")[0]
                            + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\7", peer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    net = Net.start_in(own_cluster, "127.0.0.1:1", prefix=host.prefix("h"), dns_listen=wildcard + ":61053",
                       upstream_resolvers=f"127.0.0.1:{upstream.getsockname()[1]}", recursion_networks="10.231.0.0/16,127.0.0.0/8")
    assert net.dns_port == 61053
    try:
        for server in (host.ip("h"), "10.231.1.77"):
            with host.at("other"):  # connected sockets: an answer from elsewhere is not taken
                for asked, ip in (("ready.spartan", "127.0.0.1"), ("somewhere.example", "192.0.2.7")):
                    answer = Answer(exchange((server, 61053), question(asked, A)))
                    assert [r.data for r in answer.answers] == [ip], (server, asked)
                assert Answer(exchange((server, 61053), question("ready.spartan", A), tcp=True)).answers
        if wildcard == "0.0.0.0":
            return
        with host.at("h"), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
            s.settimeout(60)
            s.connect(("::1", 61053))
            s.send(question("ready.spartan", A))
            assert [r.data for r in Answer(s.recv(4096)).answers] == ["127.0.0.1"]
    finally:
        upstream.close()


# ---- who the masters are ----


@pytest.fixture(scope="module")
def ensemble():
    if no_zookeeper():
        pytest.skip(no_zookeeper())
    e = Ensemble(1).start()
    yield e
    e.close()


def candidate(kazoo, path, ip, port=5050):
    info = {"address": {"ip": ip, "port": port, "hostname": ip}, "hostname": ip, "id": ip, "ip": 0, "port": port, "pid": f"master@{ip}:{port}"}
    return kazoo.create(path + "/json.info_", json.dumps(info).encode(), ephemeral=True, sequence=True, makepath=True)


@contextlib.contextmanager
def client(ensemble):
    kazoo = ensemble.kazoo()
    try:
        yield kazoo
    finally:
        kazoo.stop()
        kazoo.close()


@rows("3.1 masters", 1)
@pytest.mark.parametrize("of_its_own", [False, True])
def test_masters_of_zookeeper(ensemble, own_cluster, of_its_own):
    """From the same session as the leader, and from one for itself: whoever comes and goes has a name and loses it."""
    path = f"/m{of_its_own:d}/mesos"
    master = own_cluster.master(zk=ensemble.url(path), quorum=1, zk_session_timeout="2secs")
    flags = {"masters": ensemble.url(path)} if of_its_own else {}
    net = Net.start_in(own_cluster, master.address if of_its_own else ensemble.url(path), **flags)
    wait_until(lambda: net.ips("leader.mesos") == ["127.0.0.1"] and net.ips("master.mesos") == ["127.0.0.1"], "the leader")
    with client(ensemble) as kazoo:
        first = candidate(kazoo, path, "192.0.2.9")
        candidate(kazoo, path, "192.0.2.8")
        # The data of a node that nobody can read is no master, and hides none of the others.
        kazoo.create(path + "/json.info_", b"{", ephemeral=True, sequence=True)
        wait_until(lambda: net.ips("master.mesos") == ["127.0.0.1", "192.0.2.8", "192.0.2.9"], "all masters")
        assert net.ips("master.dcos.thisdcos.directory") == net.ips("master.mesos")
        assert [net.ips(f"master{i}.mesos") for i in range(4)] == [["127.0.0.1"], ["192.0.2.8"], ["192.0.2.9"], []]
        # Those of ZooKeeper are where the URL says they are, whoever of the masters lives.
        assert {tuple(net.ips(f"zk-{i}.zk")) for i in range(1, 6)} == {("127.0.0.1",)}
        kazoo.delete(first)
        wait_until(lambda: net.ips("master.mesos") == ["127.0.0.1", "192.0.2.8"], "one to go")
    wait_until(lambda: net.ips("master.mesos") == ["127.0.0.1"], "the other to go with its session")
    # While ZooKeeper is away the last ones stand.
    ensemble.servers[0].kill()
    assert net.ips("master.mesos") == net.ips("leader.mesos") == ["127.0.0.1"]
    ensemble.servers[0].start()
    ensemble.wait_serving()
    with client(ensemble) as kazoo:
        candidate(kazoo, path, "192.0.2.10")
        wait_until(lambda: "192.0.2.10" in net.ips("master.mesos"), "ZooKeeper to be followed again")


@rows("3.1 zk", 1)
def test_masters_of_a_file(own_cluster, tmp_path):
    path = tmp_path / "master_list"
    path.write_text('["192.0.2.1", "192.0.2.2", "192.0.2.3"]\n')
    net = Net.start_in(own_cluster, "127.0.0.1:1", masters=str(path))
    every = [net.ips(f"zk-{i}.zk") for i in range(1, 6)]
    assert every == [["192.0.2.1"], ["192.0.2.2"], ["192.0.2.3"], ["192.0.2.1"], ["192.0.2.2"]]
    assert net.ips("master.dcos.thisdcos.directory") == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]


def test_zookeeper_servers_of_a_file(own_cluster, tmp_path):
    """Where servers come and go, a file names them, and names follow it."""
    path = tmp_path / "servers"
    net = Net.start_in(own_cluster, "127.0.0.1:1", masters="192.0.2.1", start=False)
    net.env = {"DCOS_ZOOKEEPER_SERVERS": str(path)}
    net.start()
    assert net.ips("zk-1.zk") == ["192.0.2.1"]
    path.write_text("192.0.2.7:2181,192.0.2.8:2181")
    wait_until(lambda: [net.ips(f"zk-{i}.zk") for i in (1, 2, 3)] == [["192.0.2.7"], ["192.0.2.8"], ["192.0.2.7"]], "the file to count")
    path.write_text("192.0.2.9:2181")
    wait_until(lambda: net.ips("zk-2.zk") == ["192.0.2.9"], "the change to count")
    path.unlink()
    assert net.ips("master.dcos.thisdcos.directory") == ["192.0.2.1"]
    assert net.ips("zk-1.zk") == ["192.0.2.9"]


# ---- resolv.conf ----


BEFORE = "# the host's\nnameserver 192.0.2.53\n"


def generate(path, *flags, prefix=(), env=None, wait="1secs"):
    argv = [*prefix, binary("dcos-gen-resolvconf"), f"--file={path}", f"--kept={os.path.dirname(path)}/kept/resolv.conf", f"--wait={wait}", *flags]
    return subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE, check=False, env={"PATH": os.environ["PATH"], **(env or {})})


def lines(path):
    with open(path, encoding="utf-8") as f:
        return f.read().splitlines()[1:]


OPTIONS = ["options timeout:1", "options attempts:3"]


@rows("3.1 resolv.conf", 1)
@needs_network
def test_resolv_conf(host, own_cluster, tmp_path):
    """Its own servers while they answer, in their order; the others only when none does; undone, all is as before."""
    path = str(tmp_path / "resolv.conf")
    prefix = host.prefix("h")
    (tmp_path / "resolv.conf").write_text(BEFORE)
    os.chmod(path, 0o640)
    upstreams = "--upstream_resolvers=192.0.2.1,192.0.2.2:53,192.0.2.3:5353,192.0.2.4,192.0.2.5"
    done = generate(path, upstreams, prefix=prefix)
    assert done.returncode == 0 and "no name server of this node" in done.stderr, done.stderr
    written = lines(path)
    assert written[:2] == OPTIONS and len(written) == 5
    servers = {line.split()[1] for line in written[2:]}
    assert len(servers) == 3 and servers <= {"192.0.2.1", "192.0.2.2", "192.0.2.4", "192.0.2.5"}
    net = node(own_cluster, host)
    patient = {"prefix": prefix, "wait": "3secs"}
    assert generate(path, upstreams, "--search=a.example  b.example", **patient).returncode == 0
    assert lines(path) == [*OPTIONS, "search a.example b.example"] + [f"nameserver {ip}" for ip in OWN]
    assert os.stat(path).st_mode & 0o777 == 0o644
    before = os.stat(path)
    assert generate(path, upstreams, "--search=a.example b.example", **patient).returncode == 0
    assert os.stat(path).st_ino == before.st_ino and os.stat(path).st_mtime_ns == before.st_mtime_ns  # nothing new
    # One that does not answer is left out.
    ip_command("-n", host.namespace("h"), "addr", "del", "198.51.100.2/32", "dev", "spartan")
    assert generate(path, prefix=prefix, env={"SEARCH": "c.example", "RESOLVERS": "192.0.2.1"}).returncode == 0
    assert lines(path) == [*OPTIONS, "search c.example", "nameserver 198.51.100.1", "nameserver 198.51.100.3"]
    net.kill(signal.SIGTERM)
    assert generate(path, prefix=prefix, env={"RESOLVERS": "192.0.2.1"}).returncode == 0
    assert lines(path) == [*OPTIONS, "nameserver 192.0.2.1"]
    # Nobody at all: the file stays.
    done = generate(path, prefix=prefix)
    assert done.returncode == 1 and "stays as it is" in done.stderr and lines(path)[-1] == "nameserver 192.0.2.1"
    assert generate(path, "--undo").returncode == 0
    assert open(path, encoding="utf-8").read() == BEFORE and os.stat(path).st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path / "kept") == []
    assert "not ours" in generate(path, "--undo").stderr and open(path, encoding="utf-8").read() == BEFORE


def test_resolv_conf_that_others_write(tmp_path):
    """A DHCP client writes the file anew: that is what is put back. A link comes back as a link, and where there was
    nothing there is nothing again."""
    path = str(tmp_path / "resolv.conf")
    flags = ("--upstream_resolvers=192.0.2.1", "--addresses=")
    (tmp_path / "resolv.conf").write_text(BEFORE)
    assert generate(path, *flags).returncode == 0
    (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.99\n")
    assert generate(path, *flags).returncode == 0 and lines(path)[-1] == "nameserver 192.0.2.1"
    assert generate(path, "--undo").returncode == 0
    assert open(path, encoding="utf-8").read() == "nameserver 192.0.2.99\n"
    os.unlink(path)
    os.symlink("stub.conf", path)
    (tmp_path / "stub.conf").write_text("nameserver 127.0.0.53\n")
    assert generate(path, *flags).returncode == 0 and not os.path.islink(path)
    assert (tmp_path / "stub.conf").read_text() == "nameserver 127.0.0.53\n"
    assert generate(path, "--undo").returncode == 0
    assert os.readlink(path) == "stub.conf"
    os.unlink(path)
    assert generate(path, *flags).returncode == 0 and lines(path)[-1] == "nameserver 192.0.2.1"
    assert generate(path, "--undo").returncode == 0 and not os.path.lexists(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("read_only", [False, True])
def test_resolv_conf_that_is_mounted(tmp_path, read_only):
    """As in a container: the file is a mount of its own and cannot be replaced. In a mount namespace."""
    (tmp_path / "etc").mkdir()
    path = str(tmp_path / "etc" / "resolv.conf")
    (tmp_path / "etc" / "resolv.conf").write_text("")
    (tmp_path / "outside").write_text(BEFORE)
    tool = binary("dcos-gen-resolvconf")
    args = f"--file={path} --kept={tmp_path}/kept/resolv.conf --addresses= --upstream_resolvers=192.0.2.1"
    script = f"""
        set -e
        {f'mount --bind {tmp_path}/etc {tmp_path}/etc; mount -o remount,bind,ro {tmp_path}/etc' if read_only else ':'}
        mount --bind {tmp_path}/outside {path}
        {tool} {args}
        cat {path}
        {tool} --undo {args}
    """
    inside = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert inside.returncode == 0, inside.stderr
    assert inside.stdout.splitlines()[1:] == [*OPTIONS, "nameserver 192.0.2.1"]
    assert (tmp_path / "outside").read_text() == BEFORE
    assert sorted(os.listdir(tmp_path / "etc")) == ["resolv.conf"] and os.listdir(tmp_path / "kept") == []


@pytest.mark.parametrize("flag, text", [
    ("--search=a,b", "no domain"),
    ("--search=a b c d e f g", "more than 6"),
    ("--search=" + "a" * 60 + "." + "b" * 60 + " " + "c" * 60 + "." + "d" * 60 + " " + "e" * 60, "longer than 255"),
    ("--search=a\nnameserver 192.0.2.66", "no domain"),
    ("--upstream_resolvers=here", "ip[:port]"),
    ("--upstream_resolvers=192.0.2.1:0", "ip[:port]"),
    ("--addresses=" + ",".join(["192.0.2.1"] * 17), "more than 16"),
])
def test_resolv_conf_refused(tmp_path, flag, text):
    path = str(tmp_path / "resolv.conf")
    (tmp_path / "resolv.conf").write_text(BEFORE)
    done = generate(path, flag)
    assert done.returncode == 1 and text in done.stderr, done.stderr
    assert open(path, encoding="utf-8").read() == BEFORE and os.listdir(tmp_path) == ["resolv.conf"]
