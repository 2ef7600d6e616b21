"""Marathon with a master and real agents: deploying, scaling, upgrading, health checks, and surviving kill -9."""

import json
import signal
import threading

import pytest
import requests

from cluster import Cluster, wait_until

SERVER = (
    "exec /usr/bin/python3 -c \"import http.server,os\n"
    "class H(http.server.BaseHTTPRequestHandler):\n"
    "  def do_GET(s):\n"
    "    code=503 if os.path.exists('sick') else 200\n"
    "    s.send_response(code); b=(os.environ.get('PAGE','')+os.environ['MESOS_TASK_ID']).encode()\n"
    "    s.send_header('Content-Length',str(len(b))); s.end_headers(); s.wfile.write(b)\n"
    "  def log_message(s,*a): pass\n"
    "http.server.ThreadingHTTPServer(('127.0.0.1',int(os.environ['PORT0'])),H).serve_forever()\""
)


class Marathon:
    def __init__(self, daemon):
        self.daemon = daemon

    def get(self, path):
        r = requests.get(self.daemon.url + path, timeout=60)
        r.raise_for_status()
        return r.json()

    def send(self, method, path, body=None, status=None):
        r = requests.request(method, self.daemon.url + path, json=body, timeout=60)
        if status is not None:
            assert r.status_code == status, r.text
        return r

    def app(self, app_id):
        return self.get(f"/v2/apps/{app_id}")["app"]

    def tasks(self, app_id):
        return self.get(f"/v2/apps/{app_id}/tasks")["tasks"]

    def running(self, app_id):
        return sorted(t["id"] for t in self.tasks(app_id) if t["state"] == "TASK_RUNNING")

    def idle(self):
        return not self.get("/v2/deployments")

    def settled(self, app_id, n):
        def check():
            return self.idle() and len(self.running(app_id)) == n

        wait_until(check, f"{app_id} to have {n} tasks and no deployment")
        return self.running(app_id)

    def deploy(self, app, n=None):
        self.send("POST", "/v2/apps", app, 201)
        return self.settled(app["id"], app.get("instances", 1) if n is None else n)


@pytest.fixture
def setup():
    c = Cluster()
    master = c.master()
    # Its tasks listen on their ports: they are not those of other tests' tasks, which may run at the same time.
    agent = c.agent(master, resources="cpus:2;mem:1024;disk:1024;ports:[31000-31499]")
    c.the_master, c.the_agent = master, agent
    c.m = Marathon(c.marathon(master, kill_retry_timeout=1000, reconciliation_initial_delay=500))
    yield c
    c.close()


def sleeper(app_id, **more):
    return {"id": app_id, "cmd": "sleep 1000", "cpus": 0.05, "mem": 16, **more}


def test_deploys_scales_kills_and_removes(setup):
    m = setup.m
    first = m.deploy(sleeper("/a", instances=2))
    m.send("PUT", "/v2/apps//a", {"instances": 4}, 200)
    assert set(first) < set(m.settled("/a", 4))
    m.send("PUT", "/v2/apps//a", {"instances": 1}, 200)
    one = m.settled("/a", 1)
    # A killed task comes back as the next incarnation of the same instance.
    r = m.send("DELETE", f"/v2/apps//a/tasks/{one[0]}", status=200)
    assert r.json()["task"]["id"] == one[0]
    again = wait_until(lambda: [t for t in m.running("/a") if t != one[0]], "the task to come back")
    assert again[0] == one[0].replace("_app.1", "_app.2")
    m.send("PUT", "/v2/apps//a", {"instances": 2}, 200)
    m.settled("/a", 2)
    r = m.send("DELETE", f"/v2/apps//a/tasks/{again[0]}?scale=true", status=200)
    assert r.headers["Marathon-Deployment-Id"] == r.json()["deploymentId"]
    left = m.settled("/a", 1)
    assert again[0] not in left and m.app("/a")["instances"] == 1
    m.send("DELETE", "/v2/apps//a", status=200)
    wait_until(m.idle, "the app to be gone")
    assert m.send("GET", "/v2/apps//a").status_code == 404
    assert m.get("/v2/tasks")["tasks"] == []


def test_environment_of_a_task(setup):
    m = setup.m
    app = sleeper("/grp/env", labels={"my.label": "x y"}, env={"MINE": "1", "HOST": "overridden"})
    app["cmd"] = "env > vars; sleep 1000"
    app["portDefinitions"] = [{"port": 0, "name": "http"}, {"port": 0}]
    task = m.deploy(app)[0]
    info = m.tasks("/grp/env")[0]

    def environ():
        import glob

        for path in glob.glob(setup.folder + "/agent1/**/vars", recursive=True):
            text = open(path, encoding="utf-8").read()
            if task in text:
                return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        return None

    env = wait_until(environ, "the task's environment")
    ports = [str(p) for p in info["ports"]]
    assert len(set(ports)) == 2
    assert [env["PORT0"], env["PORT1"]] == ports and env["PORT"] == ports[0]
    assert env["PORTS"] == ",".join(ports) and env["PORT_HTTP"] == ports[0]
    assert env["MARATHON_APP_ID"] == "/grp/env" and env["MESOS_TASK_ID"] == task
    assert env["MARATHON_APP_LABELS"] == "MY_LABEL" and env["MARATHON_APP_LABEL_MY_LABEL"] == "x y"
    assert env["MARATHON_APP_RESOURCE_MEM"] == "16.0" and env["MINE"] == "1"
    assert env["HOST"] == "overridden"
    assert env["MARATHON_APP_VERSION"] == m.app("/grp/env")["version"]


def page(t):
    return requests.get(f"http://{t['host']}:{t['ports'][0]}/", timeout=60).text


def web(**more):
    check = {"protocol": "HTTP", "path": "/", "portIndex": 0, "intervalSeconds": 1, "gracePeriodSeconds": 30,
             "timeoutSeconds": 20, "maxConsecutiveFailures": 1}
    return {"id": "/web", "cmd": SERVER, "cpus": 0.05, "mem": 32, "instances": 2, "env": {"PAGE": "one "},
            "healthChecks": [check], **more}


def test_rolling_upgrade_keeps_health_and_rolls_back(setup):
    m = setup.m
    old = m.deploy(web())
    version = m.app("/web")["version"]
    assert m.app("/web")["tasksHealthy"] == 2
    fewest, most, stop = [2], [0], threading.Event()

    def watch():
        while not stop.is_set():
            app = m.app("/web")
            fewest[0] = min(fewest[0], app["tasksHealthy"])
            most[0] = max(most[0], len([t for t in app["tasks"] if t["state"] != "TASK_KILLED"]))

    watcher = threading.Thread(target=watch)
    watcher.start()
    m.send("PUT", "/v2/apps//web", {"env": {"PAGE": "two "}}, 200)
    assert m.send("PUT", "/v2/apps//web", {"env": {"PAGE": "three "}}).status_code == 409
    new = m.settled("/web", 2)
    stop.set()
    watcher.join()
    assert not set(old) & set(new)
    assert fewest[0] >= 2 and most[0] <= 4
    assert all(page(t).startswith("two ") for t in m.tasks("/web"))
    m.send("PUT", "/v2/apps//web", {"version": version}, 200)
    m.settled("/web", 2)
    assert all(page(t).startswith("one ") for t in m.tasks("/web"))
    assert len(m.get("/v2/apps//web/versions")["versions"]) == 3


def test_upgrade_without_room_kills_first(setup):
    m = setup.m
    strategy = {"minimumHealthCapacity": 0, "maximumOverCapacity": 0}
    old = m.deploy(sleeper("/a", instances=2, cpus=1, upgradeStrategy=strategy))
    m.send("PUT", "/v2/apps//a", {"cmd": "sleep 2000"}, 200)
    assert not set(old) & set(m.settled("/a", 2))


def test_unhealthy_task_is_killed_and_replaced(setup):
    m = setup.m
    first = m.deploy(web(instances=1))
    task = m.tasks("/web")[0]
    import glob
    import os

    runs = [p for p in glob.glob(setup.folder + "/agent1/**/stdout", recursive=True)]
    for path in runs:
        open(os.path.join(os.path.dirname(path), "sick"), "w").close()
    new = wait_until(lambda: [t for t in m.running("/web") if t not in first], "a replacement")
    assert new[0] != task["id"]
    failure = m.app("/web")["lastTaskFailure"]
    assert failure["state"] == "TASK_KILLED" and "503 Service Unavailable" in failure["message"]


def test_failing_task_is_backed_off(setup):
    m = setup.m
    m.send("POST", "/v2/apps", sleeper("/bad", cmd="exit 3", backoffSeconds=30), 201)

    def delayed():
        queue = m.get("/v2/queue")["queue"]
        return queue and queue[0]["delay"]["timeLeftSeconds"] > 0 and queue

    item = wait_until(delayed, "a delay")[0]
    assert item["count"] == 1 and not item["delay"]["overdue"] and item["app"]["id"] == "/bad"
    before = m.app("/bad")["lastTaskFailure"]["taskId"]
    assert m.send("DELETE", "/v2/queue//bad/delay").status_code == 204
    wait_until(lambda: m.app("/bad")["lastTaskFailure"]["taskId"] != before, "another try")


def test_impossible_constraint_and_rollback(setup):
    m = setup.m
    m.send("POST", "/v2/apps", sleeper("/x", constraints=[["hostname", "CLUSTER", "nowhere"]]), 201)

    def refused():
        item = m.get("/v2/queue")["queue"][0]
        reasons = {r["reason"]: r["declined"] for r in item["processedOffersSummary"]["rejectSummaryLastOffers"]}
        return item["delay"]["overdue"] and reasons["UnfulfilledConstraint"] == 1

    wait_until(refused, "the offer to be refused")
    deployment = m.get("/v2/deployments")[0]["id"]
    m.send("DELETE", f"/v2/deployments/{deployment}", status=200)
    wait_until(m.idle, "the rollback")
    assert m.send("GET", "/v2/apps//x").status_code == 404


def test_cancelled_deployment_leaves_the_app(setup):
    m = setup.m
    m.send("POST", "/v2/apps", sleeper("/x", constraints=[["hostname", "LIKE", "nowhere.*"]]), 201)
    deployment = m.get("/v2/deployments")[0]["id"]
    r = m.send("DELETE", f"/v2/deployments/{deployment}?force=true", status=202)
    assert r.content == b"" and m.idle() and m.app("/x")["deployments"] == []


def test_unique_hosts(setup):
    m = setup.m
    setup.agent(setup.the_master, name="agent2", hostname="127.0.0.2", ip="127.0.0.2",
                resources="cpus:2;mem:1024;disk:1024;ports:[32000-32999]")
    m.deploy(sleeper("/u", instances=2, constraints=[["hostname", "UNIQUE"]]))
    assert {t["host"] for t in m.tasks("/u")} == {"127.0.0.1", "127.0.0.2"}


def test_public_agent_by_role(setup):
    m = Marathon(setup.marathon(setup.the_master, name="marathon2", framework_name="public", mesos_role="slave_public",
                                accepted_resource_roles_default_behavior="unreserved"))
    setup.agent(setup.the_master, name="agent2", hostname="127.0.0.2", ip="127.0.0.2",
                resources="cpus:2;mem:1024;disk:1024;ports:[32000-32999]", default_role="slave_public")
    m.deploy(sleeper("/private", instances=2))
    assert {t["host"] for t in m.tasks("/private")} == {"127.0.0.1"}
    m.deploy(sleeper("/public", instances=2, acceptedResourceRoles=["slave_public"]))
    assert {t["host"] for t in m.tasks("/public")} == {"127.0.0.2"}


def test_group_starts_in_order_of_dependencies(setup):
    m = setup.m
    events = []
    stream = requests.get(m.daemon.url + "/v2/events?event_type=status_update_event", stream=True, timeout=120,
                          headers={"Accept": "text/event-stream"})

    def read():
        for line in stream.iter_lines(chunk_size=1):
            if line.startswith(b"data: "):
                events.append(json.loads(line[6:]))
            if len(events) >= 6:
                return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    group = {"id": "/shop", "apps": [sleeper("web", dependencies=["db"]), sleeper("db")]}
    m.send("POST", "/v2/groups", group, 201)
    wait_until(lambda: m.idle() and m.running("/shop/web") and m.running("/shop/db"), "the group")
    wait_until(lambda: len([e for e in events if e["taskStatus"] == "TASK_RUNNING"]) >= 2, "two events")
    running = [e["appId"] for e in events if e["taskStatus"] == "TASK_RUNNING"]
    assert running == ["/shop/db", "/shop/web"]
    assert all(e["eventType"] == "status_update_event" for e in events)
    m.send("PUT", "/v2/groups//shop", {"scaleBy": 2}, 200)
    m.settled("/shop/web", 2)
    m.settled("/shop/db", 2)
    m.send("DELETE", "/v2/groups//shop", status=200)
    wait_until(m.idle, "the group to be gone")
    assert m.get("/v2/tasks")["tasks"] == []
    reader.join()
    stream.close()


def test_killed_marathon_keeps_tasks(setup):
    m = setup.m
    before = m.deploy(sleeper("/a", instances=3))
    m.daemon.restart()
    assert m.running("/a") == before
    wait_until(lambda: len(m.running("/a")) == 3, "reconciliation")
    m.send("PUT", "/v2/apps//a", {"instances": 4}, 200)
    assert set(before) < set(m.settled("/a", 4))


@pytest.mark.parametrize("after", (0, 1, 3, 5))
def test_killed_in_the_middle_of_an_upgrade(setup, after):
    m = setup.m
    old = m.deploy(sleeper("/a", instances=4))
    m.send("PUT", "/v2/apps//a", {"cmd": "sleep 3000"}, 200)
    if after:
        wait_until(lambda: len(set(m.running("/a")) - set(old)) >= after - 1 or m.idle(), "progress")
    m.daemon.restart(signal.SIGKILL)
    new = m.settled("/a", 4)
    assert not set(old) & set(new)
    state = requests.get(setup.the_master.url + "/state", timeout=60).json()
    live = [t["id"] for f in state["frameworks"] for t in f["tasks"] if t["state"] == "TASK_RUNNING"]
    assert sorted(live) == new


def test_killed_while_starting_and_removing(setup):
    m = setup.m
    m.send("POST", "/v2/apps", sleeper("/a", instances=5), 201)
    m.daemon.restart(signal.SIGKILL)
    m.settled("/a", 5)
    m.send("DELETE", "/v2/apps//a", status=200)
    m.daemon.restart(signal.SIGKILL)
    wait_until(m.idle, "the removal")

    def gone():
        state = requests.get(setup.the_master.url + "/state", timeout=60).json()
        return not [t for f in state["frameworks"] for t in f["tasks"]]

    wait_until(gone, "all tasks to end")
    assert m.send("GET", "/v2/apps//a").status_code == 404


def test_master_killed(setup):
    m = setup.m
    before = m.deploy(sleeper("/a", instances=2))
    setup.the_master.restart(signal.SIGKILL)
    m.send("PUT", "/v2/apps//a", {"instances": 3}, 200)
    assert set(before) < set(m.settled("/a", 3))
