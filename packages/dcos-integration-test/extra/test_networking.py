"""Names and virtual addresses."""

import socket
import urllib.request

import pytest

from dcos import page_server, wait_until

SERVERS = ["198.51.100.1", "198.51.100.2", "198.51.100.3"]


def resolve(name, server=None, timeout=2):
    """IPv4 addresses of a name, asked of one server over UDP."""
    question = b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0"
    packet = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + question + b"\x00\x01\x00\x01"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(timeout)
        s.sendto(packet, (server or SERVERS[0], 53))
        reply = s.recv(4096)
    assert reply[:2] == packet[:2]
    if reply[3] & 15:
        return []
    count = int.from_bytes(reply[6:8], "big")
    at, found = len(packet), []
    for _ in range(count):
        at += 2 if reply[at] & 0xC0 == 0xC0 else reply.index(0, at) - at + 1
        kind, size = int.from_bytes(reply[at:at + 2], "big"), int.from_bytes(reply[at + 8:at + 10], "big")
        if kind == 1:
            found.append(".".join(str(b) for b in reply[at + 10:at + 14]))
        at += 10 + size
    return sorted(found)


@pytest.mark.parametrize("server", SERVERS)
def test_names_of_the_cluster(nodes, server):
    assert resolve("ready.spartan", server)
    assert set(resolve("leader.mesos", server)) <= set(nodes.masters)
    assert resolve("leader.mesos", server)
    assert set(resolve("master.mesos", server)) == set(nodes.masters)
    assert set(resolve("marathon.mesos", server)) <= set(nodes.masters)
    assert set(resolve("master.dcos.thisdcos.directory", server)) == set(nodes.masters)
    assert resolve("no-such-name.mesos", server) == []


def test_the_node_uses_them(nodes):
    with open("/etc/resolv.conf", encoding="utf-8") as f:
        servers = [line.split()[1] for line in f if line.startswith("nameserver")]
    assert servers and set(servers) <= set(SERVERS)
    assert socket.gethostbyname("leader.mesos") in nodes.masters


def test_names_of_an_app(cluster, deploy, app_id):
    app = deploy(page_server())
    task = cluster.tasks(app)[0]
    # /a/b/c is c.b.a in names of Marathon's tasks, with dashes in one label.
    label = "-".join(reversed(app.strip("/").split("/")))
    name = f"{label}.marathon.mesos"
    wait_until(lambda: resolve(name) == [task["host"]], f"{name} to be {task['host']}")
    found = cluster.get(f"/mesos_dns/v1/hosts/{name}")
    assert found.status == 200 and found.json[0]["ip"] == task["host"]
    cluster("PUT", f"/service/marathon/v2/apps{app}", {"instances": 0})
    wait_until(lambda: resolve(name) == [], f"{name} to go")


def test_a_name_on_every_agent(cluster, deploy):
    """Tasks of all private agents look up the same names."""
    for agent in cluster.private:
        app = deploy({"cmd": "getent hosts leader.mesos >found || echo none >found; exec sleep 1000", "cpus": 0.05,
                      "mem": 32, "instances": 1, "constraints": [["hostname", "CLUSTER", agent]]},
                     name=f"on-{agent.replace('.', '-')}")
        task = cluster.tasks(app)[0]
        assert task["host"] == agent
        text = wait_until(lambda: cluster.sandbox_file(task, "found"), "the answer")
        assert text.split()[0] in cluster.masters, (agent, text)


def test_a_virtual_address_from_here(cluster, deploy, app_id):
    vip = app_id.strip("/").replace("/", "-")
    app = deploy(page_server(vip=f"/{vip}:8000", instances=2))
    ids = {t["id"] for t in cluster.tasks(app)}
    name = f"{vip}.marathon.l4lb.thisdcos.directory"

    def seen():
        # Connections go to the instances in turn.
        pages = set()
        for _ in range(8):
            with urllib.request.urlopen(f"http://{name}:8000/", timeout=5) as reply:
                pages.add(reply.read().decode().split()[0])
        return pages == ids
    wait_until(seen, "both instances behind the virtual address")


def test_a_virtual_address_from_other_nodes(cluster, deploy, app_id):
    """A server on one agent, clients on every agent, its own too."""
    if not cluster.private:
        pytest.skip("there is no private agent")
    vip = app_id.strip("/").replace("/", "-")
    server = deploy(page_server(vip=f"/{vip}:8000", constraints=[["hostname", "CLUSTER", cluster.private[0]]]), "server")
    wanted = cluster.tasks(server)[0]["id"]
    url = f"http://{vip}.marathon.l4lb.thisdcos.directory:8000/"
    for agent in cluster.private:
        client = deploy({"cmd": f"until curl -sf -m 5 {url} >page.new; do sleep 0.2; done; mv page.new page; "
                                "exec sleep 1000", "cpus": 0.05, "mem": 32, "instances": 1,
                         "constraints": [["hostname", "CLUSTER", agent]]}, f"client-{agent.replace('.', '-')}")
        task = cluster.tasks(client)[0]
        text = wait_until(lambda: cluster.sandbox_file(task, "page"), f"the page on {agent}")
        assert text.split()[0] == wanted


def test_a_virtual_address_without_tasks_refuses(cluster, deploy, app_id):
    vip = app_id.strip("/").replace("/", "-")
    app = deploy(page_server(vip=f"/{vip}:8000"))
    name = f"{vip}.marathon.l4lb.thisdcos.directory"
    wait_until(lambda: resolve(name), "the name")
    address = resolve(name)[0]
    cluster("PUT", f"/service/marathon/v2/apps{app}", {"instances": 0})

    def refused():
        try:
            socket.create_connection((address, 8000), timeout=3).close()
        except OSError:
            return True
        return False
    wait_until(refused, "connections to be refused")
