"""A client of one cluster, with nothing but the standard library."""

import http.client
import json
import os
import socket
import ssl
import time
import urllib.parse

ROOT = "/opt/mesosphere"
CA = "/var/lib/dcos/adminrouter/ca/dcos-ca.crt"


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.text[:500]}>"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def request(method, url, body=None, token=None, headers=None, timeout=30, unix=None):
    """One request, redirects not followed. `body` that is no text is sent as JSON."""
    where = urllib.parse.urlsplit(url)
    fields = dict(headers or {})
    if body is not None and not isinstance(body, (str, bytes)):
        body = json.dumps(body)
        fields.setdefault("Content-Type", "application/json")
    if token:
        fields["Authorization"] = f"token={token}"
    if unix:
        connection = UnixConnection(unix, timeout)
    elif where.scheme == "https":
        context = ssl.create_default_context(cafile=CA if os.path.exists(CA) else None)
        connection = http.client.HTTPSConnection(where.hostname, where.port or 443, timeout=timeout, context=context)
    else:
        connection = http.client.HTTPConnection(where.hostname, where.port or 80, timeout=timeout)
    try:
        target = (where.path or "/") + (f"?{where.query}" if where.query else "")
        connection.request(method, target, body, fields)
        reply = connection.getresponse()
        return Answer(reply.status, dict((k.lower(), v) for k, v in reply.getheaders()), reply.read())
    finally:
        connection.close()


def wait_until(condition, what, timeout=60, pause=0.2):
    end = time.monotonic() + timeout
    last = None
    while time.monotonic() < end:
        try:
            last = condition()
        except (OSError, http.client.HTTPException, ValueError, KeyError) as e:
            last = None
            problem = e
        else:
            problem = None
        if last:
            return last
        time.sleep(pause)
    raise AssertionError(f"waited {timeout} s for {what}; the last answer was {problem or last!r}")


def words(name):
    return [w for w in os.environ.get(name, "").split(",") if w]


class Cluster:
    def __init__(self):
        self.masters = words("MASTER_HOSTS")
        if not self.masters:
            with open(f"{ROOT}/etc/master_list", encoding="utf-8") as f:
                self.masters = json.load(f)
        self.url = os.environ.get("DCOS_DNS_ADDRESS") or f"https://{self.own_ip()}"
        self.private = words("SLAVE_HOSTS")
        self.public = words("PUBLIC_SLAVE_HOSTS")
        self.token = None
        self.user, self.password = os.environ.get("DCOS_LOGIN_UNAME"), os.environ.get("DCOS_LOGIN_PW")

    @staticmethod
    def own_ip():
        import subprocess
        return subprocess.run([f"{ROOT}/bin/detect_ip"], capture_output=True, text=True, check=True).stdout.strip()

    @property
    def agents(self):
        return self.private + self.public

    def log_in(self):
        reply = request("POST", f"{self.url}/acs/api/v1/auth/login", {"uid": self.user, "password": self.password})
        assert reply.status == 200, reply
        self.token = reply.json["token"]

    def __call__(self, method, path, body=None, token="own", **options):
        return request(method, self.url + path, body, self.token if token == "own" else token, **options)

    def get(self, path, **options):
        return self("GET", path, **options)

    def slaves(self):
        reply = self.get("/mesos/slaves")
        assert reply.status == 200, reply
        return reply.json["slaves"]

    # ---- Marathon ----

    def deploy(self, app, timeout=120):
        """Posts an app or a pod and waits until it runs and is healthy."""
        pod = "containers" in app
        reply = self("POST", "/service/marathon/v2/" + ("pods" if pod else "apps"), app)
        assert reply.status == 201, reply
        if pod:
            wait_until(lambda: self.get(f"/service/marathon/v2/pods{app['id']}::status").json["status"] == "STABLE",
                       f"pod {app['id']}", timeout)
        else:
            wanted = app.get("instances", 1)
            wait_until(lambda: self.ready(app["id"], wanted, bool(app.get("healthChecks"))), f"app {app['id']}", timeout)
        return app["id"]

    def ready(self, app_id, wanted, checked):
        app = self.get(f"/service/marathon/v2/apps{app_id}").json["app"]
        return (app["tasksRunning"] == wanted and not app["deployments"] and
                (not checked or app["tasksHealthy"] == wanted))

    def tasks(self, app_id):
        return self.get(f"/service/marathon/v2/apps{app_id}/tasks").json["tasks"]

    def remove(self, app_id, pod=False):
        self("DELETE", f"/service/marathon/v2/{'pods' if pod else 'apps'}{app_id}?force=true")
        wait_until(lambda: self.get(f"/service/marathon/v2/{'pods' if pod else 'apps'}{app_id}").status == 404 and
                   not self.get("/service/marathon/v2/deployments").json, f"{app_id} to go")

    def sandbox_file(self, task, name):
        """Text of a file of a Marathon task, read through the router and the agent."""
        state = self.get(f"/slave/{task['slaveId']}/state").json
        for framework in state["frameworks"] + state["completed_frameworks"]:
            for executor in framework["executors"] + framework["completed_executors"]:
                if executor["id"] == task["id"] or any(t["id"] == task["id"] for t in executor["tasks"] +
                                                       executor["completed_tasks"]):
                    path = urllib.parse.quote(executor["directory"] + "/" + name)
                    reply = self.get(f"/slave/{task['slaveId']}/files/download?path={path}")
                    if reply.status == 200:
                        return reply.text
        return None


def page_server(vip=None, **more):
    """An app that serves one page with its id and address."""
    port = {"port": 0, "name": "http", "protocol": "tcp"}
    if vip:
        port["labels"] = {"VIP_0": vip}
    app = {"cmd": "echo \"$MESOS_TASK_ID on $HOST\" >index.html; exec python3 -m http.server $PORT0",
           "cpus": 0.05, "mem": 48, "instances": 1, "portDefinitions": [port],
           "healthChecks": [{"protocol": "MESOS_HTTP", "path": "/", "portIndex": 0, "intervalSeconds": 1,
                             "gracePeriodSeconds": 30, "timeoutSeconds": 5, "delaySeconds": 0}]}
    app.update(more)
    return app


def output(cluster, deploy, command, name="app", mem=48, **more):
    """What a command prints, as a task that stays afterwards; and the task."""
    app = deploy({"cmd": f"{{ {command}\n}} >printed.part 2>&1; mv printed.part printed; exec sleep 1000", "cpus": 0.1,
                  "mem": mem, "instances": 1, **more}, name)
    task = cluster.tasks(app)[0]
    return wait_until(lambda: cluster.sandbox_file(task, "printed"), "the command to end"), task


def on_each_agent(cluster, deploy, app_id, command):
    """{address: what the command prints there, as root}, private and public ones."""
    found = {}
    for agent in cluster.private:
        found[agent] = output(cluster, deploy, command, f"on-{agent.replace('.', '-')}", user="root",
                              constraints=[["hostname", "CLUSTER", agent]])[0]

    def public(app, name):
        # Not in a group: its apps have the role of the group.
        return cluster.deploy({**app, "id": f"/{app_id.strip('/').replace('/', '-')}-{name}", "acceptedResourceRoles": ["slave_public"]})
    for agent in cluster.public:
        name = agent.replace(".", "-")
        try:
            found[agent] = output(cluster, public, command, name, user="root", constraints=[["hostname", "CLUSTER", agent]])[0]
        finally:
            cluster.remove(f"/{app_id.strip('/').replace('/', '-')}-{name}")
    return found
