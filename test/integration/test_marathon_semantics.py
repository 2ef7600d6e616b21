"""Marathon with a real task: the environment row by row, keys of every document, payloads of every event, kill parameters."""

import json
import os
import re

import pytest
import requests

from cluster import Cluster, wait_until
from test_marathon_deploy import Marathon

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


class Events:
    """Collects what /v2/events tells."""

    def __init__(self, marathon, types=()):
        query = "&".join(f"event_type={t}" for t in types)
        self.stream = requests.get(f"{marathon.daemon.url}/v2/events?{query}", stream=True, timeout=120,
                                   headers={"Accept": "text/event-stream"})
        self.lines = (line for line in self.stream.iter_lines(chunk_size=1) if line.startswith(b"data: "))
        self.seen = []

    def until(self, done):
        while not any(done(e) for e in self.seen):
            self.seen.append(json.loads(next(self.lines)[6:]))
        return self.seen

    def of(self, kind):
        return [e for e in self.seen if e["eventType"] == kind]

    def close(self):
        self.stream.close()


@pytest.fixture(scope="module")
def world():
    c = Cluster()
    master = c.master()
    agent = c.agent(master, attributes="rack:r1")
    marathon = Marathon(c.marathon(master))
    marathon.cluster, marathon.agent, marathon.master = c, agent, master
    yield marathon
    c.close()


@pytest.fixture
def marathon(world):
    yield world
    world.send("DELETE", "/v2/groups?force=true")
    wait_until(lambda: world.idle() and not world.get("/v2/tasks")["tasks"], "the clean-up")


def environment(marathon, app):
    """The environment that a task of the app has."""
    marathon.deploy({"cmd": "env -0 > env.tmp && mv env.tmp env.txt && sleep 1000", "cpus": 0.1, "mem": 32, **app})
    task = marathon.tasks(app["id"])[0]
    agent = f"http://{marathon.agent.address}"
    folder = sandbox(marathon, task["id"])

    def read():
        r = requests.get(agent + "/files/download", params={"path": folder + "/env.txt"}, timeout=60)
        return r.content if r.status_code == 200 and r.content else None

    text = wait_until(read, "the task to write its environment").decode()
    return task, dict(line.split("=", 1) for line in text.split("\0") if line)


def test_environment_in_host_mode(marathon):
    task, env = environment(marathon, {
        "id": "/shop/web", "cpus": 0.5, "mem": 33, "disk": 2, "env": {"PORT1": "mine", "A": "b", "EMPTY": ""},
        "labels": {"a.b--c": "one", "Tier_1": "two words", "long": "x" * 512, "k" * 493: "y", "k" * 492: "z"},
        "portDefinitions": [{"port": 0, "name": "http-api"}, {"port": 12345}, {"port": 0, "protocol": "udp"}]})
    ports = [str(p) for p in task["ports"]]
    app = marathon.app("/shop/web")
    service = [str(p["port"]) for p in app["portDefinitions"]]
    want = {
        "MESOS_TASK_ID": task["id"], "MARATHON_APP_ID": "/shop/web", "MARATHON_APP_VERSION": app["version"],
        "MARATHON_APP_RESOURCE_CPUS": "0.5", "MARATHON_APP_RESOURCE_MEM": "33.0", "MARATHON_APP_RESOURCE_DISK": "2.0",
        "MARATHON_APP_RESOURCE_GPUS": "0", "MARATHON_APP_ENFORCE_GROUP_ROLE": "FALSE",
        "MARATHON_APP_LABEL_A_B_C": "one", "MARATHON_APP_LABEL_TIER_1": "two words", "HOST": "127.0.0.1",
        "PORT": ports[0], "PORT0": ports[0], "PORT1": "mine", "PORT2": ports[2], "PORTS": ",".join(ports),
        f"PORT_{service[0]}": ports[0], "PORT_12345": ports[1], f"PORT_{service[2]}": ports[2], "A": "b", "EMPTY": "",
        "PORT_HTTP-API": ports[0]}
    # The shell that runs cmd drops names that are no identifiers.
    got = {k: env.get(k) for k in want}
    if got["PORT_HTTP-API"] is None:
        want.pop("PORT_HTTP-API"), got.pop("PORT_HTTP-API")
    assert got == want
    assert sorted(env["MARATHON_APP_LABELS"].split()) == sorted(["A_B_C", "TIER_1", "K" * 492])
    assert "MARATHON_APP_DOCKER_IMAGE" not in env and "MARATHON_APP_LABEL_LONG" not in env
    assert "MARATHON_APP_LABEL_" + "K" * 493 not in env and "MARATHON_APP_LABEL_" + "K" * 492 in env


def test_environment_without_ports_and_labels(marathon):
    _, env = environment(marathon, {"id": "/bare", "portDefinitions": []})
    assert env["MARATHON_APP_LABELS"] == "" and env["MARATHON_APP_RESOURCE_CPUS"] == "0.1"
    assert not [k for k in env if k.startswith("PORT")]


def test_enforced_role_and_required_ports(marathon):
    marathon.send("POST", "/v2/groups", {"id": "/team", "enforceRole": True}, 201)
    task, env = environment(marathon, {"id": "/team/a", "requirePorts": True, "portDefinitions": [{"port": 31777}]})
    assert env["MARATHON_APP_ENFORCE_GROUP_ROLE"] == "TRUE" and task["role"] == "team"
    assert task["ports"] == [31777] and env["PORT0"] == env["PORT_31777"] == "31777"


def kinds(value):
    """Shape of a document: names and types."""
    if isinstance(value, dict):
        return {k: kinds(v) for k, v in value.items()}
    if isinstance(value, list):
        return [kinds(value[0])] if value else []
    if isinstance(value, str) and TIME.match(value):
        return "time"
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


REASONS = ["UnfulfilledRole", "UnfulfilledConstraint", "NoCorrespondingReservationFound", "AgentMaintenance",
           "InsufficientCpus", "InsufficientMemory", "InsufficientDisk", "InsufficientGpus", "InsufficientPorts",
           "DeclinedScarceResources"]


def test_documents(marathon):
    marathon.deploy({"id": "/doc", "cmd": "sleep 1000", "cpus": 0.1, "mem": 32, "healthChecks": [
        {"protocol": "COMMAND", "command": {"value": "true"}, "gracePeriodSeconds": 1, "delaySeconds": 0}]})
    task = marathon.get("/v2/tasks")["tasks"][0]
    assert kinds(task) == {
        "id": "str", "appId": "str", "host": "str", "slaveId": "str", "state": "str", "stagedAt": "time",
        "startedAt": "time", "version": "time", "ports": ["number"], "servicePorts": ["number"],
        "ipAddresses": [{"ipAddress": "str", "protocol": "str"}], "localVolumes": [], "role": "str",
        "healthCheckResults": [{"alive": "bool", "consecutiveFailures": "number", "firstSuccess": "time",
                                "lastSuccess": "time", "instanceId": "str"}]}
    assert re.match(rf"^doc\.instance-{UUID}\._app\.1$", task["id"])
    assert task["healthCheckResults"][0]["instanceId"] == task["id"].rsplit("._app", 1)[0]
    app = marathon.get("/v2/apps?embed=apps.taskStats&embed=apps.readiness")["apps"][0]
    counts = {"staged": "number", "running": "number", "healthy": "number", "unhealthy": "number"}
    stats = {"stats": {"counts": counts, "lifeTime": {"averageSeconds": "number", "medianSeconds": "number"}}}
    assert kinds(app["tasksStats"]) == {
        "startedAfterLastScaling": stats, "withLatestConfig": stats, "totalSummary": stats}
    assert app["tasksStats"]["totalSummary"]["stats"]["counts"] == {
        "staged": 0, "running": 1, "healthy": 1, "unhealthy": 0}
    assert app["readinessCheckResults"] == [] and app["tasksHealthy"] == 1
    marathon.send("POST", "/v2/apps", {"id": "/stuck", "cmd": "sleep 1", "constraints": [["rack", "IS", "none"]]}, 201)
    deployment = marathon.get("/v2/deployments")[0]
    assert kinds(deployment) == {
        "id": "str", "version": "time", "affectedApps": ["str"], "affectedPods": [],
        "steps": [{"actions": [{"action": "str", "app": "str"}]}],
        "currentActions": [{"action": "str", "app": "str", "readinessCheckResults": []}],
        "currentStep": "number", "totalSteps": "number"}

    def refused():
        item = marathon.get("/v2/queue?embed=lastUnusedOffers")["queue"][0]
        attempts = item["processedOffersSummary"]["rejectSummaryLaunchAttempt"]
        return item if attempts[1]["declined"] else None

    item = wait_until(refused, "an offer to be refused")
    funnel = [{"reason": "str", "declined": "number", "processed": "number"}]
    assert kinds({k: v for k, v in item.items() if k not in ("app", "lastUnusedOffers")}) == {
        "count": "number", "role": "str", "since": "time", "delay": {"timeLeftSeconds": "number", "overdue": "bool"},
        "processedOffersSummary": {"processedOffersCount": "number", "unusedOffersCount": "number",
                                   "lastUnusedOfferAt": "time", "rejectSummaryLastOffers": funnel,
                                   "rejectSummaryLaunchAttempt": funnel}}
    for name in ("rejectSummaryLastOffers", "rejectSummaryLaunchAttempt"):
        funnel = item["processedOffersSummary"][name]
        assert [r["reason"] for r in funnel] == REASONS
        for before, after in zip(funnel, funnel[1:]):
            assert after["processed"] == before["processed"] - before["declined"]
    assert item["app"]["id"] == "/stuck" and item["delay"] == {"timeLeftSeconds": 0, "overdue": True}
    r = marathon.send("DELETE", f"/v2/deployments/{deployment['id']}?force=true", status=202)
    assert r.content == b""


def test_info(marathon):
    info = marathon.get("/v2/info")
    assert set(info) == {"name", "version", "buildref", "elected", "leader", "frameworkId", "marathon_config",
                         "zookeeper_config", "http_config"}
    assert set(info["marathon_config"]) == set(
        "access_control_allow_origin checkpoint decline_offer_duration default_network_name env_vars_prefix executor "
        "failover_timeout features framework_name ha hostname launch_token launch_token_refresh_interval "
        "leader_proxy_connection_timeout_ms leader_proxy_read_timeout_ms local_port_max local_port_min master "
        "max_instances_per_offer mesos_bridge_name mesos_heartbeat_failure_threshold mesos_heartbeat_interval "
        "mesos_leader_ui_url mesos_role mesos_user new_group_enforce_role min_revive_offers_interval "
        "offer_matching_timeout on_elected_prepare_timeout reconciliation_initial_delay reconciliation_interval "
        "scale_apps_initial_delay scale_apps_interval store_cache task_launch_confirm_timeout task_launch_timeout "
        "task_lost_expunge_initial_delay task_lost_expunge_interval task_reservation_timeout webui_url "
        "maintenance_mode".split())
    assert set(info["zookeeper_config"]) == set(
        "zk zk_compression zk_compression_threshold zk_connection_timeout zk_max_node_size zk_max_versions "
        "zk_session_timeout zk_timeout".split())
    assert set(info["http_config"]) == {"http_port", "https_port"}
    assert info["marathon_config"]["features"] == ["vips", "task_killing"]


def capabilities(marathon):
    state = requests.get(f"http://{marathon.master.address}/state", timeout=60).json()
    return next(f["capabilities"] for f in state["frameworks"] if f["name"] == "marathon")


def sandbox(marathon, task_id):
    frameworks = requests.get(f"http://{marathon.agent.address}/state", timeout=60).json()["frameworks"]
    return next(e["directory"] for f in frameworks for e in f["executors"] if e["id"] == task_id)


def end(marathon, task_id):
    with open(sandbox(marathon, task_id) + "/ended", "w", encoding="utf-8"):
        pass


def test_a_task_being_killed_says_so(marathon):
    assert "TASK_KILLING_STATE" in capabilities(marathon)
    # It ends only when a file appears: until then it is being killed.
    old = marathon.deploy({"id": "/slow", "cpus": 0.1, "mem": 32, "taskKillGracePeriodSeconds": 60,
                           "cmd": "trap : TERM; echo $$ > up; while [ ! -e ended ]; do sleep 0.1; done"})[0]
    events = Events(marathon)
    wait_until(lambda: os.path.exists(sandbox(marathon, old) + "/up"), "the trap")
    r = marathon.send("DELETE", f"/v2/apps//slow/tasks/{old}", status=200)
    assert set(r.json()) == {"task"} and r.json()["task"]["id"] == old
    events.until(lambda e: e.get("taskStatus") == "TASK_KILLING")
    task = marathon.tasks("/slow")[0]
    assert (task["id"], task["state"]) == (old, "TASK_KILLING")
    assert marathon.app("/slow")["tasksRunning"] == 0
    end(marathon, old)
    wait_until(lambda: marathon.running("/slow") not in ([], [old]), "the next incarnation")
    again = re.sub(r"\.1$", ".2", old)
    assert marathon.running("/slow") == [again]
    events.close()
    # Nothing is to come after it that would take its minute to end.
    marathon.send("DELETE", "/v2/apps//slow", status=200)
    end(marathon, again)


INSTANCE = {"eventType", "timestamp", "instanceId", "condition", "runSpecId", "agentId", "host", "runSpecVersion"}
STATUS = {"eventType", "timestamp", "slaveId", "taskId", "taskStatus", "message", "appId", "host", "ipAddresses", "ports",
          "version"}
KEYS = {
    "event_stream_attached": {"eventType", "timestamp", "remoteAddress"},
    "api_post_event": {"eventType", "timestamp", "clientIp", "uri", "appDefinition"},
    "group_change_success": {"eventType", "timestamp", "groupId", "version"},
    "deployment_info": {"eventType", "timestamp", "plan", "currentStep"},
    "deployment_step_success": {"eventType", "timestamp", "plan", "currentStep"},
    "deployment_success": {"eventType", "timestamp", "id", "plan"},
    "deployment_failed": {"eventType", "timestamp", "id", "plan", "reason"},
    "status_update_event": STATUS,
    "instance_changed_event": INSTANCE,
    "instance_health_changed_event": {"eventType", "timestamp", "instanceId", "runSpecId", "runSpecVersion", "healthy"},
    "health_status_changed_event": {"eventType", "timestamp", "appId", "instanceId", "version", "alive"},
    "add_health_check_event": {"eventType", "timestamp", "appId", "version", "healthCheck"},
    "remove_health_check_event": {"eventType", "timestamp", "appId"},
    "app_terminated_event": {"eventType", "timestamp", "appId"},
}


def test_event_payloads(marathon):
    events = Events(marathon)
    app = {"id": "/ev", "cmd": "sleep 1000", "cpus": 0.1, "mem": 32, "healthChecks": [
        {"protocol": "COMMAND", "command": {"value": "true"}, "gracePeriodSeconds": 1, "delaySeconds": 0}]}
    marathon.deploy(app)
    marathon.send("PUT", "/v2/apps//ev", {"cpus": 1000}, 200)
    marathon.send("PUT", "/v2/apps//ev?force=true", {"cpus": 0.1}, 200)
    marathon.settled("/ev", 1)
    marathon.send("DELETE", "/v2/apps//ev", status=200)
    events.until(lambda e: e["eventType"] == "app_terminated_event")
    events.until(lambda e: e["eventType"] == "deployment_success" and e["plan"]["steps"][0]["actions"] == [
        {"action": "StopApplication", "app": "/ev"}])
    events.close()
    missing = set(KEYS) - {e["eventType"] for e in events.seen}
    assert not missing
    for e in events.seen:
        if e["eventType"] in KEYS:
            assert set(e) == KEYS[e["eventType"]], e
            assert TIME.match(e["timestamp"])
    assert [e["condition"] for e in events.of("instance_changed_event")][:2] == ["Scheduled", "Provisioned"]
    first = events.of("instance_changed_event")[0]
    assert first["agentId"] is None and first["host"] is None
    assert events.of("deployment_failed")[0]["reason"] == "The upgrade has been cancelled"
    states = {e["taskStatus"] for e in events.of("status_update_event")}
    assert states >= {"TASK_RUNNING", "TASK_KILLING", "TASK_KILLED"}
    for e in events.of("deployment_info") + events.of("deployment_success"):
        assert set(e["plan"]) == {"id", "steps", "version"}
    assert set(events.of("deployment_info")[0]["currentStep"]) == {"actions"}
    assert events.of("group_change_success")[0]["groupId"] == "/"
    posted = events.of("api_post_event")[0]
    assert (posted["uri"], posted["clientIp"], posted["appDefinition"]["id"]) == ("/v2/apps", "127.0.0.1", "/ev")


def test_event_filter(marathon):
    events = Events(marathon, ["deployment_success", "app_terminated_event"])
    marathon.deploy({"id": "/f", "cmd": "sleep 1000", "instances": 0})
    marathon.send("DELETE", "/v2/apps//f", status=200)
    events.until(lambda e: e["eventType"] == "app_terminated_event")
    assert {e["eventType"] for e in events.seen} <= {"deployment_success", "app_terminated_event"}
    events.close()


def test_kill_parameters(marathon):
    ids = marathon.deploy({"id": "/k", "cmd": "sleep 1000", "cpus": 0.1, "mem": 32, "instances": 3})
    version = marathon.app("/k")["version"]
    # Plain: the same instances, next incarnation. Another host: nothing.
    assert marathon.send("DELETE", "/v2/apps//k/tasks?host=elsewhere", status=200).json() == {"tasks": []}
    r = marathon.send("DELETE", "/v2/apps//k/tasks?host=127.0.0.1", status=200)
    assert sorted(t["id"] for t in r.json()["tasks"]) == ids
    again = sorted(re.sub(r"\.1$", ".2", i) for i in ids)
    wait_until(lambda: marathon.running("/k") == again, "the next incarnations")
    assert marathon.app("/k")["version"] == version
    # Wipe: another instance.
    marathon.send("DELETE", f"/v2/apps//k/tasks/{again[0]}?wipe=true", status=200)
    wait_until(lambda: len(marathon.running("/k")) == 3 and again[0] not in marathon.running("/k"), "a new instance")
    left = marathon.running("/k")
    assert set(again[1:]) < set(left)
    # Scale: fewer instances, the named ones go.
    r = marathon.send("POST", "/v2/tasks/delete?scale=true", {"ids": [again[1]]}, 200)
    assert set(r.json()) == {"version", "deploymentId"}
    assert r.headers["Marathon-Deployment-Id"] == r.json()["deploymentId"]
    wait_until(lambda: marathon.idle() and again[1] not in marathon.running("/k"), "the named one to go")
    assert marathon.app("/k")["instances"] == 2
    unknown = re.sub("instance-[0-9a-f]{8}", "instance-00000000", left[0])
    assert marathon.send("POST", "/v2/tasks/delete", {"ids": [unknown]}, 200).json() == {"tasks": []}
    r = marathon.send("DELETE", "/v2/apps//k/tasks?scale=true", status=200)
    wait_until(lambda: marathon.idle() and not marathon.tasks("/k"), "all to go")
    assert marathon.app("/k")["instances"] == 0
    r = marathon.send("DELETE", "/v2/apps//k/tasks?scale=true")
    assert (r.status_code, r.json()) == (404, {"message": "Path '/k' does not exist"})


def test_last_failure(marathon):
    marathon.send("POST", "/v2/apps", {"id": "/bad", "cmd": "exit 3", "cpus": 0.1, "mem": 32, "backoffSeconds": 60}, 201)
    failure = wait_until(lambda: marathon.app("/bad").get("lastTaskFailure"), "the failure")
    assert kinds(failure) == {"appId": "str", "host": "str", "message": "str", "state": "str", "taskId": "str",
                              "timestamp": "time", "version": "time", "slaveId": "str"}
    assert failure["state"] == "TASK_FAILED" and "status 3" in failure["message"]
    delay = marathon.get("/v2/queue")["queue"][0]["delay"]
    assert delay["overdue"] is False and 0 < delay["timeLeftSeconds"] <= 60
    assert marathon.send("DELETE", "/v2/queue//bad/delay").status_code == 204
    assert "lastTaskFailure" in marathon.get("/v2/apps?embed=apps.lastTaskFailure")["apps"][0]
    assert "lastTaskFailure" not in marathon.get("/v2/apps")["apps"][0]
