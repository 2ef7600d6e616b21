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


def test_names_over_tcp(nodes):
    """Answers that are too long for UDP are asked for again over TCP."""
    question = b"\x06leader\x05mesos\0"
    packet = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + question + b"\x00\x01\x00\x01"
    with socket.create_connection((SERVERS[0], 53), timeout=5) as s:
        s.sendall(len(packet).to_bytes(2, "big") + packet)
        reply = s.recv(4096)
    assert reply[2:4] == packet[:2] and reply[5] & 15 == 0
    assert socket.inet_aton(resolve("leader.mesos")[0]) in reply


def test_names_of_this_node(nodes):
    own = nodes.own_ip()
    assert resolve("thisnode.thisdcos.directory") == [own]
    assert resolve("localhost") == ["127.0.0.1"]
    for i in range(1, 6):
        assert set(resolve(f"zk-{i}.zk")) <= set(nodes.masters) and resolve(f"zk-{i}.zk")


def test_names_of_agents(cluster, nodes):
    assert set(resolve("slave.mesos")) == set(cluster.agents)
    if len(nodes.masters) > 1:
        for master in nodes.masters:
            # Every node's own server, by its own address where masters are asked from outside.
            assert resolve("leader.mesos", master) == resolve("leader.mesos")


def test_foreign_names_are_the_resolvers_business(nodes):
    """A name outside is never answered from the cluster's own, and does not hang."""
    assert resolve("no-such-name.invalid", timeout=15) == []


def test_names_by_http(cluster, deploy):
    """mesos-dns' API and dcos-net's own tell the same."""
    app = deploy(page_server())
    task = cluster.tasks(app)[0]
    label = "-".join(reversed(app.strip("/").split("/")))
    services = wait_until(lambda: [s for s in cluster.get(f"/mesos_dns/v1/services/_{label}._tcp.marathon.mesos").json
                                   if s.get("ip")], "the service's record")
    assert services[0]["ip"] == task["host"] and int(services[0]["port"]) == task["ports"][0]
    assert cluster.get("/mesos_dns/v1/hosts/no-such-name.mesos").json == [{"host": "", "ip": ""}]
    records = cluster.get("/net/v1/records")
    assert records.status == 200 and "leader.mesos" in records.text


def test_a_virtual_address_is_told(cluster, deploy, app_id):
    """dcos-net's list has the address and who is behind it, and the kernel has its rules."""
    vip = app_id.strip("/").replace("/", "-")
    app = deploy(page_server(vip=f"/{vip}:8000", instances=2))
    wanted = {(t["host"], t["ports"][0]) for t in cluster.tasks(app)}

    def behind():
        for v in cluster.get("/net/v1/vips").json:
            if vip in str(v.get("vip")):
                return {(b["ip"], b["port"]) for b in v["backend"]}
        return None
    wait_until(lambda: behind() == wanted, f"{wanted} behind the virtual address")
    status = cluster.get("/net/v1/vips/status")
    assert status.status == 200 and '"in_force":true' in status.text.replace(" ", ""), status


def test_a_task_that_fails_its_check_gets_nobody(cluster, deploy, app_id):
    """A virtual address leads only to instances that are well."""
    vip = app_id.strip("/").replace("/", "-")
    app = page_server(vip=f"/{vip}:8000", instances=2)
    # The sick one has no page any more, though it still listens.
    app["cmd"] = "echo $MESOS_TASK_ID >index.html; exec python3 -m http.server $PORT0"
    app["healthChecks"][0].update({"path": "/index.html", "maxConsecutiveFailures": 0})
    app["cmd"] = ("echo $MESOS_TASK_ID >index.html; (while [ ! -e /tmp/sick-$MESOS_TASK_ID ]; do sleep 0.2; done; rm index.html "
                  "/tmp/sick-$MESOS_TASK_ID) & exec python3 -m http.server $PORT0")
    deployed = deploy(app)
    tasks = cluster.tasks(deployed)
    name = f"{vip}.marathon.l4lb.thisdcos.directory"

    def pages():
        found = set()
        for _ in range(8):
            with urllib.request.urlopen(f"http://{name}:8000/index.html", timeout=5) as reply:
                found.add(reply.read().decode().strip())
        return found
    wait_until(lambda: pages() == {t["id"] for t in tasks}, "both instances")
    sick = tasks[0]
    deploy({"cmd": f"touch /tmp/sick-{sick['id']}; exec sleep 1000", "cpus": 0.05, "mem": 32, "instances": 1,
            "constraints": [["hostname", "CLUSTER", sick["host"]]]}, "infect")
    wait_until(lambda: pages() == {tasks[1]["id"]}, "only the one that is well")
