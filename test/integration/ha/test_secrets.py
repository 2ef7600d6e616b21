"""Secrets of several masters: what ZooKeeper keeps for them, and who may read and change it.

dcos-bootstrap prepares nodes in folders of this test (--prefix), as a user who may not give files away, which only root can."""

import os
import shutil
import subprocess

import pytest
import requests

import zookeeper
from cluster import BUILD, wait_until

BOOTSTRAP = os.path.join(BUILD, "src", "bootstrap", "dcos-bootstrap")
NOBODY = 65534
CREDENTIALS = "dcos-master:n0t-a-secret-in-a-test"
# setting, service, gen's file, path
KEPT = [("MESOS_ZK", "dcos-mesos-master", "mesos-master", "/mesos"),
        ("MARATHON_ZK", "dcos-marathon", "marathon", "/marathon"),
        ("DCOS_IAM_STORE", "dcos-bouncer", "bouncer.env", "/dcos/iam")]


@pytest.fixture
def server():
    reason = zookeeper.missing()
    if reason:
        pytest.skip(reason)
    pytest.importorskip("kazoo", reason="python3-kazoo is missing")
    e = zookeeper.Ensemble(1).start()
    yield e
    e.close()


class Node:
    """A master's files."""

    def __init__(self, folder, server, credentials=CREDENTIALS):
        self.folder = str(folder)
        self.write("etc/mesosphere/roles/master", "")
        self.write("opt/mesosphere/bin/detect_ip", "#!/bin/sh\necho 127.0.0.1\n", 0o755)
        self.write("opt/mesosphere/etc/master_count", "3\n")
        self.write("opt/mesosphere/etc/superuser_password_hash", "$6$x$y")
        self.urls = {}
        for key, _, file, path in KEPT:
            self.urls[key] = server.url(path)
            self.write(f"opt/mesosphere/etc/{file}", f"{key}={server.url(path)}\nOTHER='a b'\n")
        if credentials:
            self.give_secrets(credentials)
        self.own()

    def own(self):
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", self.folder], check=True)

    def write(self, path, text, mode=0o644):
        path = os.path.join(self.folder, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)

    def give_secrets(self, credentials=CREDENTIALS):
        self.write("etc/mesosphere/secrets/zk_master_credentials", credentials + "\n", 0o600)
        self.own()

    def give_authority(self, text):
        for name, content in text.items():
            self.write(f"etc/mesosphere/secrets/{name}", content, 0o600)
        self.own()

    def read(self, path):
        with open(os.path.join(self.folder, path), encoding="utf-8") as f:
            return f.read()

    def run(self, service, code=0, env=None):
        as_nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        done = subprocess.run([BOOTSTRAP, f"--prefix={self.folder}", service], env={**os.environ, **(env or {})},
                              capture_output=True, text=True, timeout=60, check=False, **as_nobody)
        assert done.returncode == code, done.stderr
        assert "n0t-a-secret" not in done.stdout + done.stderr
        return done.stderr

    def handed_over(self, service):
        try:
            lines = self.read(f"run/dcos/env/{service}").splitlines()
        except FileNotFoundError:
            return {}
        return {key: value.strip("'") for key, value in (line.split("=", 1) for line in lines)}

    def prepare(self):
        """The three services; {setting: the file with the URL, or the URL}, and what was said."""
        told, said = {}, ""
        for key, service, _, _ in KEPT:
            # systemd reads gen's files first, and then what the last start handed over.
            said += self.run(service, env={key: self.urls[key], **self.handed_over(service)})
            env = self.handed_over(service)
            told[key] = env.get(key, self.urls[key])
            told[key + " protected"] = env["DCOS_ZOOKEEPER_PROTECTED"]
        return told, said

    def passwords(self):
        """What services log in with; files that nobody else reads."""
        result = []
        for _, service, _, path in KEPT:
            file = f"run/dcos/env/{service}.zk"
            assert os.stat(os.path.join(self.folder, file)).st_mode & 0o777 == 0o600
            text = self.read(file).strip()
            assert text.endswith(path)
            result.append(text[len("zk://"):text.rindex("@")])
        return result


@pytest.fixture
def folder(cluster):
    """Open to the user that dcos-bootstrap runs as."""
    os.chmod(cluster.folder, 0o755)
    yield cluster.folder


def tree(client, path="/"):
    """All nodes that the client may list, but ZooKeeper's own."""
    yield path
    for name in client.get_children(path):
        child = path.rstrip("/") + "/" + name
        if child != "/zookeeper":
            yield from tree(client, child)


def everything(server, passwords):
    client = server.kazoo(auth_data=[("digest", p) for p in passwords])
    try:
        return sorted(tree(client))
    finally:
        client.stop()
        client.close()


def readable_by(client, nodes):
    from kazoo.exceptions import NoAuthError, NoNodeError

    found = set()
    for node in nodes:
        try:
            client.get(node)
            found.add(node)
        except (NoAuthError, NoNodeError):
            pass
    return found


def changeable_by(client, nodes):
    """Tries, so only for who must not."""
    from kazoo.exceptions import BadArgumentsError, NoAuthError, NoNodeError

    found = set()
    for node in nodes:
        for attempt in (lambda: client.set(node, b"mine"), lambda: client.create(node.rstrip("/") + "/mine", b""),
                        lambda: client.delete(node)):
            try:
                attempt()
                found.add(node)
            except (BadArgumentsError, NoAuthError, NoNodeError):  # ZooKeeper's own are never removed
                pass
    return found


def start(cluster, told, suffix="", wait=True):
    """Services of one master."""
    daemons = [cluster.master("master" + suffix, start=False, zk=told["MESOS_ZK"], zk_session_timeout="2secs")]
    daemons.append(cluster.marathon(f"127.0.0.1:{daemons[0].flags['port']}", "marathon" + suffix, start=False,
                                    zk=told["MARATHON_ZK"], zk_session_timeout=2000))
    daemons.append(cluster.iam("iam" + suffix, start=False, store=told["DCOS_IAM_STORE"], zk_session_timeout="2secs"))
    for daemon in daemons:
        daemon.start(wait=wait)
    return daemons


def take_over(old, new):
    """The old ones' machine is gone; the new ones lead."""
    for daemon in old:
        daemon.kill()
    for daemon in new:
        daemon.wait_ready()


def wait_group(marathon, name):
    wait_until(lambda: requests.put(f"{marathon.url}/v2/groups//{name}", json={"id": f"/{name}"}, timeout=5)
               .status_code in (200, 201), "Marathon to write")


def test_only_masters_read_and_write(cluster, folder, server):
    node = Node(os.path.join(folder, "node"), server)
    told, said = node.prepare()
    assert "WARN" not in said.upper(), said
    assert {told[key + " protected"] for key, *_ in KEPT} == {"true"}
    passwords = node.passwords()
    # Started again and again.
    for _ in range(2):
        assert node.prepare() == (told, said) and node.passwords() == passwords
        assert all(url.startswith("file://") for url in (told[key] for key, *_ in KEPT))
    assert len(set(passwords)) == 3
    cluster_id = node.read("var/lib/dcos/cluster-id").strip()
    _, marathon, _ = daemons = start(cluster, told)
    wait_group(marathon, "kept")
    anybody = server.kazoo()
    try:
        nodes = everything(server, [*passwords, CREDENTIALS])
        assert any("/log_replicas/" in n for n in nodes) and any(n.startswith("/dcos/iam/dcos-state/b/") for n in nodes)
        assert not changeable_by(anybody, [n for n in nodes if n != "/"])
        # Who leads, and the cluster's id; neither the state of a service nor its secrets.
        members = {n for n in nodes if "/json.info_" in n or "/dcos-leader" in n}
        assert readable_by(anybody, nodes) == members | {"/", "/cluster-id", "/dcos", "/dcos/iam", "/marathon", "/mesos",
                                                           "/mesos/log_replicas"}
        assert anybody.get("/cluster-id")[0].decode() == cluster_id
        # Frameworks have folders of their own beside; ours and ZooKeeper's stay.
        anybody.create("/dcos-service-kafka", b"theirs")
        anybody.create("/dcos-service-kafka/state", b"theirs")
        anybody.delete("/dcos-service-kafka/state")
        assert not changeable_by(anybody, ["/zookeeper", "/zookeeper/quota", "/zookeeper/config"])
    finally:
        anybody.stop()
        anybody.close()
    # A service's password opens its own state only.
    for password in passwords:
        client = server.kazoo(auth_data=[("digest", password)])
        try:
            readable = readable_by(client, [n for n in nodes if "/dcos-state" in n or "/log_replicas/" in n])
            assert len({path for *_, path in KEPT if any(n.startswith(path + "/") for n in readable)}) == 1
        finally:
            client.stop()
            client.close()
    for daemon in daemons:
        assert not any(p.split(":")[1] in daemon.tail(10000) for p in passwords)
    # Another master has the same id and passwords; a third one, that was forgotten, cannot get in.
    other = Node(os.path.join(folder, "other"), server)
    other.prepare()
    assert other.passwords() == passwords
    assert other.read("var/lib/dcos/cluster-id").strip() == cluster_id
    forgotten = Node(os.path.join(folder, "forgotten"), server, credentials=None)
    told, said = forgotten.prepare()
    assert told["MESOS_ZK"] == server.url("/mesos") and "docs/security.md" in said
    assert {told[key + " protected"] for key, *_ in KEPT} == {"false"}


def test_wrong_secrets(folder, server):
    for i, text in enumerate(["", "nobody", ":x", "user:", "a:b c"]):
        node = Node(os.path.join(folder, f"node{i}"), server, credentials=text or " ")
        said = node.run("dcos-mesos-master", code=1, env={"MESOS_ZK": server.url("/mesos")})
        assert "expected user:password in one line" in said
        assert text == "" or text not in said.replace("user:password", "")


def test_an_open_cluster_goes_on_and_is_closed(cluster, folder, server):
    node = Node(os.path.join(folder, "node"), server, credentials=None)
    told, _ = node.prepare()
    first = start(cluster, told)
    wait_group(first[1], "before")
    # An upgrade brings secrets. One master has its services started again with them, another not yet.
    node.give_secrets()
    told, said = node.prepare()
    assert {told[key + " protected"] for key, *_ in KEPT} == {"false"} and "dcos-bootstrap dcos-secrets" in said
    second = start(cluster, told, "2", wait=False)
    take_over(first, second)
    wait_group(second[1], "meanwhile")
    anybody = server.kazoo()
    try:
        nodes = set(tree(anybody)) - {"/"}
        assert all(anybody.get_acls(n)[0][0].id.scheme == "world" for n in nodes), "a master without them leads again"
        # The way back.
        third = start(cluster, {key: node.urls[key] for key, *_ in KEPT}, "3", wait=False)
        take_over(second, third)
        wait_group(third[1], "back")
        for daemon in second:
            daemon.start(wait=False)
        take_over(third, second)
        wait_group(second[1], "again")
        node.run("dcos-secrets", code=1)  # there is no authority yet
        node.give_authority(authority(os.path.join(folder, "ca")))
        node.run("dcos-adminrouter")
        node.run("dcos-secrets")
        nodes = everything(server, [*node.passwords(), CREDENTIALS])
        assert not changeable_by(anybody, [n for n in nodes if n != "/"])
        assert not any("/dcos-state/" in n or "/log_replicas/" in n for n in readable_by(anybody, nodes))
        # Services that run write closed nodes from now on.
        wait_group(second[1], "after")
        assert not changeable_by(anybody, [n for n in everything(server, [*node.passwords(), CREDENTIALS]) if n != "/"])
        node.run("dcos-secrets")
        told, said = node.prepare()
        assert {told[key + " protected"] for key, *_ in KEPT} == {"true"}
        got = requests.get(f"{second[1].url}/v2/groups", timeout=10).json()["groups"]
        assert {g["id"] for g in got} == {"/before", "/meanwhile", "/back", "/again", "/after"}
    finally:
        anybody.stop()
        anybody.close()


def authority(folder):
    """An authority by openssl."""
    os.makedirs(folder)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9",
                    "-subj", "/CN=" + os.path.basename(folder), "-keyout", f"{folder}/dcos-ca.key", "-out",
                    f"{folder}/dcos-ca.crt"], check=True, capture_output=True)
    result = {}
    for name in ("dcos-ca.key", "dcos-ca.crt"):
        with open(os.path.join(folder, name), encoding="utf-8") as f:
            result[name] = f.read()
    return result


def test_one_authority(folder, server):
    ours, theirs = authority(os.path.join(folder, "ours")), authority(os.path.join(folder, "theirs"))
    where = "var/lib/dcos/adminrouter/ca/"
    env = {"ADMINROUTER_MASTER": server.url("/mesos")}
    nodes = [Node(os.path.join(folder, f"node{i}"), server) for i in range(2)]
    for node in nodes:
        node.give_authority(ours)
        node.run("dcos-adminrouter", env=env)
        assert node.read(where + "dcos-ca.crt") == ours["dcos-ca.crt"]
        assert os.stat(os.path.join(node.folder, where + "dcos-ca.key")).st_mode & 0o777 == 0o600
    # Cut off before the certificate was there: done again.
    node = nodes[0]
    os.unlink(os.path.join(node.folder, where, "dcos-ca.crt"))
    node.write(where + "dcos-ca.key", "torn")
    node.own()
    node.run("dcos-adminrouter", env=env)
    assert node.read(where + "dcos-ca.key") == ours["dcos-ca.key"]
    # A certificate without its key: nothing starts with it.
    node.give_authority({"dcos-ca.key": theirs["dcos-ca.key"]})
    assert "etc/mesosphere/secrets" in node.run("dcos-adminrouter", code=1, env=env)
    # A master that had an authority keeps it until it is told otherwise.
    before = Node(os.path.join(folder, "before"), server)
    assert "an authority of its own" in before.run("dcos-adminrouter", env=env)
    own = before.read(where + "dcos-ca.crt")
    before.give_authority(ours)
    assert "dcos-bootstrap dcos-secrets" in before.run("dcos-adminrouter", env=env)
    assert before.read(where + "dcos-ca.crt") == own
    for _ in range(2):
        before.run("dcos-secrets")
        assert before.read(where + "dcos-ca.crt") == ours["dcos-ca.crt"]
        assert before.read(where + "dcos-ca.key") == ours["dcos-ca.key"]
        assert before.read("var/lib/dcos/adminrouter/ca.before/dcos-ca.crt") == own
    shutil.rmtree(before.folder)
