"""The `dcos` command line and a client of the router, for tests on this host."""

import http.client
import json
import os
import ssl
import subprocess
import tempfile
import urllib.parse

from mini import BUILD, ROOT, wait_until

DCOS = os.path.join(BUILD, "src", "cli", "dcos")
SUPERUSER = "bootstrapuser"


class Door:
    """One cluster, as somebody with its address and its first login sees it."""

    def __init__(self, mini, cluster="default"):
        self.mini, self.cluster = mini, cluster
        self.nodes = mini.nodes(cluster)
        self.dir = tempfile.mkdtemp(prefix="dcos-cli-", dir=mini.home)
        self.env = {**mini.env, "DCOS_DIR": self.dir}
        self.password_file = os.path.join(mini.folder(cluster), "secrets", "superuser.password")
        self.masters = [ip for name, ip in sorted(self.nodes.items()) if name.startswith("master_")]
        self.token = None

    def ca(self, master):
        """The authority of a master's router, fetched over SSH, which is what a careful operator does."""
        path = os.path.join(self.dir, f"{master}.crt")
        if not os.path.exists(path):
            text = self.mini.on(master, "cat /var/lib/dcos/adminrouter/ca/dcos-ca.crt", self.cluster)
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        return path

    def setup(self):
        master = self.masters[0]
        self("cluster", "setup", f"https://{master}", f"--username={SUPERUSER}",
             f"--password-file={self.password_file}", f"--ca-certs={self.ca(master)}")
        return self

    def __call__(self, *args, code=0, stdin="", timeout=120):
        done = subprocess.run([DCOS, *args], env=self.env, input=stdin, capture_output=True, text=True, timeout=timeout,
                              cwd=ROOT)
        assert done.returncode == code, (args, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def json(self, *args):
        return json.loads(self(*args, "--json"))

    def request(self, method, path, body=None, master=None, timeout=10, token="own"):
        """(status, text) through a master's router."""
        where = master or self.masters[0]
        if token == "own":
            token = self.log_in()
        context = ssl.create_default_context(cafile=self.ca(where))
        connection = http.client.HTTPSConnection(where, timeout=timeout, context=context)
        headers = {"Authorization": f"token={token}"} if token else {}
        if body is not None:
            body = json.dumps(body)
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, urllib.parse.quote(path, safe="/?=&:%"), body, headers)
            reply = connection.getresponse()
            return reply.status, reply.read().decode("utf-8", "replace")
        finally:
            connection.close()

    def log_in(self):
        if not self.token:
            with open(self.password_file, encoding="utf-8") as f:
                login = {"uid": SUPERUSER, "password": f.read().strip()}
            status, text = self.request("POST", "/acs/api/v1/auth/login", login, token=None)
            assert status == 200, text
            self.token = json.loads(text)["token"]
        return self.token

    def tasks_or_none(self, app):
        """The same, or None when there is no such app."""
        status, text = self.request("GET", f"/service/marathon/v2/apps{app}/tasks")
        return self.running(text) if status == 200 else None

    def tasks(self, app):
        """{id: host} of the running ones."""
        status, text = self.request("GET", f"/service/marathon/v2/apps{app}/tasks")
        assert status == 200, text
        return self.running(text)

    @staticmethod
    def running(text):
        return {t["id"]: t["host"] for t in json.loads(text)["tasks"] if t["state"] == "TASK_RUNNING"}


def app(name):
    with open(os.path.join(ROOT, "examples", f"{name}.json"), encoding="utf-8") as f:
        return json.load(f)


def deploy(door, definition, timeout=120):
    door("marathon", "app", "add", stdin=json.dumps(definition))
    wanted = definition.get("instances", 1)
    wait_until(lambda: len(door.tasks(definition["id"])) == wanted and
               not json.loads(door.request("GET", "/service/marathon/v2/deployments")[1]),
               f"{definition['id']} to run", timeout)
    return door.tasks(definition["id"])
