"""A router in front of fake backends and a real identity service."""

import base64
import json
import os
import socket
import subprocess

import requests

from cluster import Daemon, free_port, wait_until
from backends import Backend, Marathon, Master, agent, app

PASSWORD = "correct horse"
AGENT = "agent-1"


def password_hash(password):
    """argon2 is the daemon's; SHA-512 of crypt is what installers bring."""
    return subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"], input=password, capture_output=True, text=True, check=True
    ).stdout.strip()


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def claims_of(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


class Signer:
    """A key pair that signs tokens as anybody could."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "signer.pem")
        subprocess.run(["openssl", "genrsa", "-out", self.path, "2048"], check=True, capture_output=True)

    def token(self, claims, header=None):
        text = b64(json.dumps(header or {"alg": "RS256", "typ": "JWT"}).encode()) + b"." + b64(json.dumps(claims).encode())
        signature = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", self.path], input=text, capture_output=True, check=True
        ).stdout
        return (text + b"." + b64(signature)).decode()


class Router:
    """dcos-router with its nginx, and a way to ask it."""

    def __init__(self, cluster, name="router", start=True, **flags):
        port = free_port()
        self.run_dir = os.path.join(cluster.folder, name)
        flags = {"ip": "127.0.0.1", "port": port, "run_dir": self.run_dir, "nginx_log_level": "info", **flags}
        # DCOS_TEST_PRELOAD=libasan.so finds what nginx's workers write out of bounds.
        preload = os.environ.get("DCOS_TEST_PRELOAD")
        env = {"LD_PRELOAD": preload, "ASAN_OPTIONS": "detect_leaks=0"} if preload else {}
        self.daemon = Daemon(name, "dcos-router", flags, cluster.folder, env)
        cluster.daemons.append(self.daemon)
        self.address = ("127.0.0.1", int(flags["port"]))
        self.url = f"http://127.0.0.1:{flags['port']}"
        self.token = None
        if start:
            self.daemon.start()

    def ask(self, path, token=True, method="GET", headers=None, **options):
        shown = dict(headers or {})
        if token:
            shown.setdefault("Authorization", f"token={self.token if token is True else token}")
        options.setdefault("timeout", 60)
        return requests.request(
            method, self.url + path, headers=shown, allow_redirects=False, **options
        )

    def raw(self, data, timeout=60, whole=True):
        """Bytes as they are; everything that comes until the end of the connection, or the head of the answer only."""
        with socket.create_connection(self.address, timeout=timeout) as s:
            s.sendall(data)
            out = b""
            while True:
                try:
                    piece = s.recv(65536)
                except ConnectionResetError:
                    return out
                if not piece:
                    return out
                out += piece
                if not whole and b"\r\n\r\n" in out:
                    return out

    def log(self):
        with open(os.path.join(self.run_dir, "error.log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def nginx_pid(self):
        with open(os.path.join(self.run_dir, "nginx.pid"), encoding="utf-8") as f:
            return int(f.read())


class Iam:
    def __init__(self, cluster, name="iam", **flags):
        self.socket = os.path.join(cluster.folder, f"{name}.sock")
        self.daemon = Daemon(
            name,
            "dcos-iam",
            {
                "port": free_port(),
                "work_dir": os.path.join(cluster.folder, name),
                "socket": self.socket,
                "superuser_username": "admin",
                "superuser_password_hash": password_hash(PASSWORD),
                **flags,
            },
            cluster.folder,
        )
        cluster.daemons.append(self.daemon)
        self.daemon.start()
        self.token = self.login("admin", PASSWORD)

    def login(self, uid, password):
        answer = requests.post(
            self.daemon.url + "/acs/api/v1/auth/login", json={"uid": uid, "password": password}, timeout=60
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["token"]

    def call(self, method, path, **options):
        answer = requests.request(
            method,
            self.daemon.url + "/acs/api/v1" + path,
            headers={"Authorization": f"token={self.token}"},
            timeout=60,
            **options,
        )
        assert answer.status_code < 300, answer.text
        return answer

    def user(self, uid, *rids):
        """A user who may use these parts of the router; returns the token."""
        self.call("PUT", f"/users/{uid}", json={"password": PASSWORD})
        for rid in rids:
            quoted = requests.utils.quote(requests.utils.quote(rid, safe=":"), safe=":")
            requests.put(
                self.daemon.url + f"/acs/api/v1/acls/{quoted}",
                json={"description": rid},
                headers={"Authorization": f"token={self.token}"},
                timeout=60,
            )
            self.call("PUT", f"/acls/{quoted}/users/{uid}/full")
        return self.login(uid, PASSWORD)


class Front:
    """A master's router with fake backends and a real identity service."""

    BACKENDS = ("cosmos", "mesos_dns", "net", "diagnostics", "exhibitor")
    SOCKETS = ("checks", "log", "metrics", "pkgpanda", "ui_update")

    def __init__(self, cluster, **flags):
        self.cluster = cluster
        self.iam = Iam(cluster)
        self.backends = {name: Backend(name) for name in self.BACKENDS}
        for name in self.SOCKETS:
            path = os.path.join(cluster.folder, f"{name}.sock")
            self.backends[name] = Backend(name, path=path)
            os.chmod(path, 0o666)
        self.agent = self.backends["agent"] = Backend("agent")
        self.agent_router = self.backends["agent_router"] = Backend("agent_router")
        self.leader = self.backends["leader"] = Backend("leader")
        self.service = self.backends["service"] = Backend("service")
        self.mesos = self.backends["mesos"] = Master([agent(AGENT, self.agent.address)])
        self.marathon = self.backends["marathon"] = Marathon([app("/web", self.service.port)], leader="127.0.0.1:8080")
        self.cluster_id = os.path.join(cluster.folder, "cluster-id")
        with open(self.cluster_id, "w", encoding="utf-8") as f:
            f.write("11-22\n")
        addresses = {n: self.backends[n].address for n in self.BACKENDS + self.SOCKETS}
        self.router = Router(
            cluster,
            iam=self.iam.daemon.address,
            iam_socket=self.iam.socket,
            master=self.mesos.address,
            marathon=self.marathon.address,
            agent_router_port=self.agent_router.port,
            leader_router_port=self.leader.port,
            cluster_id_file=self.cluster_id,
            oauth_auth_redirector="https://auth.example",
            oauth_client_id="client-1",
            header_timeout="2secs",
            **addresses,
            **flags,
        )
        self.router.token = self.iam.token
        self.ask = self.router.ask
        wait_until(lambda: self.ask("/service/web/").status_code == 200, "the first service")

    def echo(self, path, **options):
        answer = self.ask(path, **options)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def close(self):
        for backend in self.backends.values():
            backend.close()


def header(seen, name):
    values = [v for k, v in seen["headers"] if k == name.lower()]
    return values[0] if values else None
