"""Hosts as network namespaces around a router, whose links can be cut in one direction or both.

    with Network(["m1", "m2", "a"]) as net:
        subprocess.Popen(net.prefix("m1") + command)
        with net.at("a"):
            requests.get(f"http://{net.ip('m1')}:5050/")
        net.cut("m1", "a")              # nothing passes any more
        net.cut("m1", "a", one_way=True)  # nothing from m1 reaches a
        net.heal()

Packets are dropped in the router, without a word to the sender, as a broken network does it.
"""

import contextlib
import ctypes
import itertools
import os
import subprocess

CLONE_NEWNET = 0x40000000
counter = itertools.count()


def ip_command(*args, check=True):
    return subprocess.run(["ip", *args], check=check, capture_output=True, text=True)


def missing():
    """Why no namespaces can be made here, or None."""
    name = f"dcos-ha-probe-{os.getpid()}"
    try:
        made = ip_command("netns", "add", name, check=False)
    except FileNotFoundError:
        return "ip is missing (package iproute2)"
    if made.returncode != 0:
        return "network namespaces cannot be made: " + made.stderr.strip()
    try:
        for args in (
            ("link", "add", "x0", "type", "veth", "peer", "name", "x1"),
            ("rule", "add", "from", "10.231.1.2", "to", "10.231.2.2", "blackhole"),
        ):
            done = ip_command("-n", name, *args, check=False)
            if done.returncode != 0:
                return f"ip {' '.join(args)}: {done.stderr.strip()}"
    finally:
        ip_command("netns", "del", name, check=False)
    return None


class Network:
    def __init__(self, hosts, ipv6=False):
        self.prefix_name = f"dcos-ha-{os.getpid()}-{next(counter)}"
        self.hosts = {name: i + 1 for i, name in enumerate(hosts)}
        self.router = self.prefix_name + "-router"
        self.rules = []
        self.ipv6 = ipv6
        self.libc = ctypes.CDLL(None, use_errno=True)

    def namespace(self, host):
        return f"{self.prefix_name}-{host}"

    def ip(self, host):
        return f"10.231.{self.hosts[host]}.2"

    def ip6(self, host):
        return f"fd00:231:{self.hosts[host]}::2"

    def prefix(self, host):
        # Not "ip netns exec", which hides the control groups behind a new /sys.
        return ["nsenter", f"--net=/run/netns/{self.namespace(host)}"]

    def __enter__(self):
        try:
            self._make()
        except subprocess.CalledProcessError as e:
            self.close()
            raise AssertionError(f"{e.cmd}: {e.stderr}") from e
        return self

    def _make(self):
        ip_command("netns", "add", self.router)
        ip_command("netns", "exec", self.router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        for host, number in self.hosts.items():
            name = self.namespace(host)
            ip_command("netns", "add", name)
            ip_command("-n", self.router, "link", "add", f"h{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip_command("-n", self.router, "addr", "add", f"10.231.{number}.1/24", "dev", f"h{number}")
            ip_command("-n", self.router, "link", "set", f"h{number}", "up")
            ip_command("-n", name, "addr", "add", f"10.231.{number}.2/24", "dev", "eth0")
            ip_command("-n", name, "link", "set", "lo", "up")
            ip_command("-n", name, "link", "set", "eth0", "up")
            ip_command("-n", name, "route", "add", "default", "via", f"10.231.{number}.1")
            if self.ipv6:
                ip_command("-n", self.router, "addr", "add", f"fd00:231:{number}::1/64", "dev", f"h{number}", "nodad")
                ip_command("-n", name, "addr", "add", f"fd00:231:{number}::2/64", "dev", "eth0", "nodad")
                ip_command("-n", name, "route", "add", "default", "via", f"fd00:231:{number}::1")
        if self.ipv6:
            ip_command("netns", "exec", self.router, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")

    def cut(self, a, b, one_way=False):
        pairs = [(a, b)] if one_way else [(a, b), (b, a)]
        for source, target in pairs:
            rule = ["from", self.ip(source), "to", self.ip(target), "blackhole"]
            ip_command("-n", self.router, "rule", "add", *rule)
            self.rules.append(rule)

    def heal(self):
        while self.rules:
            ip_command("-n", self.router, "rule", "del", *self.rules.pop())

    @contextlib.contextmanager
    def at(self, host):
        """This thread, and those that it starts, see the network as the host does."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        inside = os.open(f"/run/netns/{self.namespace(host)}", os.O_RDONLY)
        try:
            self._enter(inside)
            yield self
        finally:
            self._enter(before)
            os.close(before)
            os.close(inside)

    def _enter(self, fd):
        if self.libc.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    def close(self):
        for host in self.hosts:
            ip_command("netns", "del", self.namespace(host), check=False)
        ip_command("netns", "del", self.router, check=False)

    def __exit__(self, *exc):
        self.close()
