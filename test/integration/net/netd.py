"""A running dcos-net, and DNS written by hand: what goes over the wire is what the test says."""

import random
import socket
import struct

from cluster import Daemon

COVERED = {}
TIMEOUT = 30
A, NS, CNAME, SOA, PTR, AAAA, SRV, ANY, AXFR = 1, 2, 5, 6, 12, 28, 33, 255, 252
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)


def rows(section, n=1):
    """Says how many rows of a section of the API tables the test covers."""
    COVERED[section] = COVERED.get(section, 0) + n
    return lambda test: test


class Net(Daemon):
    @classmethod
    def start_in(cls, cluster, master, name="net", start=True, prefix=(), **flags):
        flags = {
            "master": getattr(master, "address", master),
            "ip": "127.0.0.1",
            "dns_listen": "127.0.0.1:0",
            "port": 0,
            "mesos_dns_port": 0,
            "vips": "false",  # tests of names leave the kernel alone
            **flags,
        }
        daemon = cls(name, "dcos-net", {k: v for k, v in flags.items() if v is not None}, cluster.folder)
        daemon.prefix = list(prefix)
        cluster.daemons.append(daemon)
        if start:
            daemon.start()
        return daemon

    def wait_ready(self):
        super().wait_ready()
        import json

        with open(self.ready_file, encoding="utf-8") as f:
            ready = json.load(f)
        self.dns_port, self.mesos_port = ready["dns_port"], ready["mesos_dns_port"]

    @property
    def mesos_url(self):
        return f"http://127.0.0.1:{self.mesos_port}"

    def ask(self, name, kind=A, tcp=False, **options):
        return Answer(exchange(("127.0.0.1", self.dns_port), question(name, kind, **options), tcp))

    def ips(self, name, kind=A):
        return sorted(r.data for r in self.ask(name, kind, edns=4096).answers)


def encode(name):
    return b"".join(bytes([len(p)]) + p.encode() for p in name.split(".") if p) + b"\0"


def question(name, kind=A, edns=None, ident=None, flags=0x0100, klass=1, count=1, version=0):
    ident = random.randrange(65536) if ident is None else ident
    out = struct.pack(">6H", ident, flags, count, 0, 0, 0 if edns is None else 1)
    out += (encode(name) + struct.pack(">2H", kind, klass)) * count
    if edns is not None:
        out += b"\0" + struct.pack(">HHIH", 41, edns, version << 16, 0)
    return out


def exchange(to, query, tcp=False, timeout=TIMEOUT):
    if not tcp:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(timeout)
            s.connect(to)
            s.send(query)
            return s.recv(65535)
    with socket.create_connection(to, timeout=timeout) as s:
        s.sendall(struct.pack(">H", len(query)) + query)
        return receive(s)


def receive(s):
    def exactly(n):
        data = b""
        while len(data) < n:
            more = s.recv(n - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    return exactly(struct.unpack(">H", exactly(2))[0])


class Record:
    def __init__(self, name, kind, ttl, data):
        self.name, self.kind, self.ttl, self.data = name, kind, ttl, data

    def __repr__(self):
        return f"{self.name} {self.ttl} {self.kind} {self.data}"


class Answer:
    def __init__(self, p):
        self.p, self.pos = p, 12
        self.id, flags, n_q, n_an, n_ns, n_ar = struct.unpack(">6H", p[:12])
        self.rcode, self.tc, self.aa, self.ra = flags & 15, bool(flags & 0x200), bool(flags & 0x400), bool(flags & 0x80)
        for _ in range(n_q):
            self.question = self.name()
            self.pos += 4
        self.answers, self.authority, self.additional = ([self.record() for _ in range(n)] for n in (n_an, n_ns, n_ar))
        assert self.pos == len(p), "bytes after the last record"

    def name(self):
        labels, pos, end = [], self.pos, None
        while True:
            n = self.p[pos]
            if n & 0xC0:
                end = end or pos + 2
                pos = struct.unpack(">H", self.p[pos : pos + 2])[0] & 0x3FFF
                continue
            pos += 1
            if n == 0:
                break
            labels.append(self.p[pos : pos + n].decode("latin-1"))
            pos += n
        self.pos = end or pos
        return ".".join(labels)

    def record(self):
        name = self.name()
        kind, _, ttl, n = struct.unpack(">HHIH", self.p[self.pos : self.pos + 10])
        self.pos += 10
        end = self.pos + n
        raw = self.p[self.pos : end]
        if kind == A:
            data = socket.inet_ntoa(raw)
        elif kind == AAAA:
            data = socket.inet_ntop(socket.AF_INET6, raw)
        elif kind == SRV:
            numbers = struct.unpack(">3H", raw[:6])
            self.pos += 6
            data = (*numbers, self.name())
        elif kind in (NS, CNAME):
            data = self.name()
        elif kind == SOA:
            data = (self.name(), self.name(), *struct.unpack(">5I", self.p[end - 20 : end]))
        else:
            data = raw
        self.pos = end
        return Record(name, kind, ttl, data)
