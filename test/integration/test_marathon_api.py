"""The REST API of Marathon, with a master and no agent: bodies, codes, errors, restarts."""

import json

import pytest
import requests

from cluster import Cluster, wait_until

LOCKED = (
    "App is locked by one or more deployments. Override with the option '?force=true'. "
    "View details at '/v2/deployments/<DEPLOYMENT_ID>'."
)


class Api:
    def __init__(self, daemon):
        self.daemon = daemon

    def __call__(self, method, path, body=None, **more):
        if isinstance(body, (str, bytes)):
            more["data"] = body
        elif body is not None:
            more["json"] = body
        return requests.request(method, self.daemon.url + path, timeout=60, allow_redirects=False, **more)

    def ok(self, method, path, body=None):
        r = self(method, path, body)
        assert r.status_code // 100 == 2, r.text
        return r.json() if r.content else None


@pytest.fixture(scope="module")
def running():
    c = Cluster()
    master = c.master()
    api = Api(c.marathon(master))
    yield api
    c.close()


@pytest.fixture
def api(running):
    yield running
    running.ok("DELETE", "/v2/groups?force=true")
    wait_until(lambda: running.ok("GET", "/v2/deployments") == [], "the clean-up")


def app(app_id="/a", **more):
    return {"id": app_id, "cmd": "sleep 100", **more}


def test_small_endpoints(api):
    r = api("GET", "/ping")
    assert (r.status_code, r.text, r.headers["Content-Type"]) == (200, "pong", "text/plain")
    assert api("GET", "/ping", headers={"Accept": "application/json"}).text == '"pong"'
    info = api.ok("GET", "/v2/info")
    assert info["name"] == "marathon" and info["elected"] and info["marathon_config"]["local_port_min"] == 10000
    assert api.ok("GET", "/v2/leader") == {"leader": info["leader"]}
    assert api.ok("GET", "/v2/plugins") == {"plugins": []}
    assert api.ok("GET", "/metrics")["version"] == "4.0.0"
    assert "# TYPE marathon_apps_active_gauge gauge" in api("GET", "/metrics/prometheus").text
    assert api("GET", "/").headers["Location"].endswith("/ui/")
    r = api("GET", "/nothing")
    assert (r.status_code, r.json()) == (404, {"message": "URI not found"})
    assert api.ok("GET", "/v2/apps") == {"apps": []} and api.ok("GET", "/v2/apps/") == {"apps": []}
    assert r.headers["Cache-Control"] == "no-cache, no-store, must-revalidate"
    assert "X-Marathon-Leader" in r.headers


def test_create_and_show(api):
    body = app("/shop/web", cpus=0.5, mem=64, instances=2, labels={"tier": "front"},
               portDefinitions=[{"port": 0, "name": "http"}], healthChecks=[{"path": "/hc", "portIndex": 0}])
    r = api("POST", "/v2/apps", body)
    assert r.status_code == 201
    assert r.headers["Location"] == api.daemon.url + "/shop/web"
    made = r.json()
    assert made["deployments"] == [{"id": r.headers["Marathon-Deployment-Id"]}]
    assert made["portDefinitions"][0]["port"] == 0 and "versionInfo" not in made and made["tasksRunning"] == 0
    shown = api.ok("GET", "/v2/apps//shop/web")["app"]
    port = shown["portDefinitions"][0]["port"]
    assert 10000 <= port < 20000
    assert {k: v for k, v in shown.items() if k not in ("version", "versionInfo", "deployments")} == {
        "id": "/shop/web", "cmd": "sleep 100", "instances": 2, "cpus": 0.5, "mem": 64.0, "disk": 0.0, "gpus": 0,
        "executor": "", "backoffSeconds": 1, "backoffFactor": 1.15, "maxLaunchDelaySeconds": 300,
        "labels": {"tier": "front"}, "networks": [{"mode": "host"}],
        "portDefinitions": [{"port": port, "protocol": "tcp", "name": "http"}], "requirePorts": False,
        "healthChecks": [{"protocol": "HTTP", "path": "/hc", "portIndex": 0, "ipProtocol": "IPv4",
                          "ignoreHttp1xx": False, "gracePeriodSeconds": 300, "intervalSeconds": 60,
                          "timeoutSeconds": 20, "maxConsecutiveFailures": 3, "delaySeconds": 15}],
        "upgradeStrategy": {"minimumHealthCapacity": 1.0, "maximumOverCapacity": 1.0},
        "unreachableStrategy": {"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0},
        "killSelection": "YOUNGEST_FIRST", "role": "*",
        "tasksStaged": 0, "tasksRunning": 0, "tasksHealthy": 0, "tasksUnhealthy": 0, "tasks": []}
    assert shown["version"] == made["version"] == shown["versionInfo"]["lastScalingAt"]
    bare = api.ok("GET", f"/v2/apps//shop/web/versions/{made['version']}")
    assert bare["id"] == "/shop/web" and "tasksRunning" not in bare
    assert api.ok("GET", "/v2/apps/shop/web/versions") == {"versions": [made["version"]]}
    assert [a["id"] for a in api.ok("GET", "/v2/apps/shop/*")["*"]] == ["/shop/web"]


def test_filters(api):
    api.ok("POST", "/v2/apps", app("/one", labels={"a": "1"}))
    api.ok("POST", "/v2/apps", app("/two", cmd="Run This", labels={"a": "2", "b": ""}))

    def ids(query):
        return [a["id"] for a in api.ok("GET", "/v2/apps?" + query)["apps"]]

    assert ids("") == ["/one", "/two"]
    assert ids("cmd=run") == ["/two"] and ids("id=ON") == ["/one"]
    assert ids("label=a==1") == ["/one"] and ids("label=a!=1") == ["/two"] and ids("label=b") == ["/two"]
    assert ids("label=a%20in%20(1,2)") == ["/one", "/two"] and ids("label=a%20notin%20(1),b") == ["/two"]
    r = api("GET", "/v2/apps?label=a=1")
    assert r.status_code == 422 and r.json()["message"].startswith("Can not parse label selector a=1. Reason: ")
    assert "tasks" in api.ok("GET", "/v2/apps?embed=apps.tasks")["apps"][0]


def test_malformed_bodies(api):
    r = api("POST", "/v2/apps", "{", headers={"Content-Type": "application/json"})
    assert r.status_code == 400 and r.json()["message"] == "Invalid JSON" and isinstance(r.json()["details"], str)
    r = api("POST", "/v2/apps", "")
    assert r.status_code == 400 and r.json()["message"] == "Please specify data in JSON format"
    r = api("POST", "/v2/apps", "{}", headers={"Content-Type": "text/plain"})
    assert (r.status_code, r.json()) == (415, {"message": "Unsupported Media Type"})
    assert api("POST", "/v2/apps//a").status_code in (400, 405)
    for body in ("[]", "3", "null", '"x"', '{"id":3}', '{"id":"/a","cpus":"x"}', "[" * 200, '{"id":"\\u0000"}'):
        assert api("POST", "/v2/apps", body).status_code in (400, 422), body


@pytest.mark.parametrize("change,path,error", [
    ({"id": "/A"}, "/id", "error.pattern"),
    ({"id": ""}, "/id", "error.minLength"),
    ({"id": 1}, "/id", "error.expected.jsstring"),
    ({"instances": -1}, "/instances", "error.min"),
    ({"cpus": "1"}, "/cpus", "error.expected.jsnumber"),
    ({"cpus": 0}, "/cpus", "error.min"),
    ({"labels": []}, "/labels", "error.expected.jsobject"),
    ({"labels": {"a": 1}}, "/labels/a", "error.expected.jsstring"),
    ({"args": "x"}, "/args", "error.expected.jsarray"),
    ({"requirePorts": 1}, "/requirePorts", "error.expected.jsboolean"),
    ({"backoffFactor": 0.5}, "/backoffFactor", "error.min"),
    ({"upgradeStrategy": {"minimumHealthCapacity": 1.2, "maximumOverCapacity": 0}},
     "/upgradeStrategy/minimumHealthCapacity", "error.max"),
    ({"killSelection": "X"}, "/killSelection", "error.unknown.enum.literal"),
    ({"portDefinitions": [{"port": 70000}]}, "/portDefinitions(0)/port", "error.max"),
    ({"portDefinitions": [{"name": "A_"}]}, "/portDefinitions(0)/name", "error.pattern"),
    ({"healthChecks": [{"protocol": "X"}]}, "/healthChecks(0)/protocol", "error.unknown.enum.literal"),
])
def test_json_level(api, change, path, error):
    r = api("POST", "/v2/apps", app(**change) if "id" not in change else {**app(), **change})
    assert r.status_code == 422
    assert r.json() == {"message": "Invalid JSON", "details": [{"path": path, "errors": [error]}]}


@pytest.mark.parametrize("change,path,error", [
    ({"cmd": None}, "/", "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'."),
    ({"args": ["x"]}, "/", "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'."),
    ({"portDefinitions": [{"name": "a"}, {"name": "a"}]}, "/portDefinitions", "Port names must be unique."),
    ({"portDefinitions": [{"port": 9}, {"port": 9}]}, "/portDefinitions", "Ports must be unique."),
    ({"constraints": [["hostname", "UNIQUE", "x"]]}, "/constraints(0)", "UNIQUE does not accept a value"),
    ({"constraints": [["hostname"]]}, "/constraints(0)", "Each constraint must have either 2 or 3 fields"),
    ({"constraints": [["hostname", "LIKE", "["]]}, "/constraints(0)", "is not a valid regular expression"),
    ({"constraints": [["rack", "MAX_PER", "x"]]}, "/constraints(0)", "MAX_PER requires an integer value"),
    ({"role": "other"}, "/role", "got other, expected one of: [*]"),
    ({"acceptedResourceRoles": ["x"]}, "/acceptedResourceRoles", "acceptedResourceRoles can only contain * and *"),
    ({"gpus": 1}, "/gpus", "Feature gpu_resources is not enabled. Enable with --enable_features gpu_resources)"),
    ({"unreachableStrategy": {"inactiveAfterSeconds": 2, "expungeAfterSeconds": 1}},
     "/unreachableStrategy/inactiveAfterSeconds",
     "inactiveAfterSeconds (2) must be less or equal to expungeAfterSeconds, which is 1"),
    ({"healthChecks": [{"portIndex": 3}]}, "/healthChecks(0)",
     "Health check port indices must address an element of the ports array or container port mappings."),
    ({"id": "/a/restart"}, "/id",
     "must not end with any of the following reserved keywords: restart, tasks, versions, ., .."),
    ({"networks": [{"mode": "host", "name": "x"}]}, "/networks(0)", "Host networks may not have names or labels"),
    ({"networks": [{"mode": "container"}]}, "/networks(0)",
     "Network name must be specified when container network is selected."),
    ({"fetch": [{"uri": "a b"}]}, "/fetch(0)/uri", "URI has invalid syntax."),
    ({"uris": ["http://a"], "fetch": [{"uri": "http://b"}]}, "/uris", "may not be set in conjunction with fetch"),
    ({"env": {"A": {"secret": "s"}}}, "/env/A/secret", "references an undefined secret"),
    ({"readinessChecks": [{"portName": "x"}]}, "/readinessChecks(0)/portName",
     "No port definition reference for portName x"),
])
def test_rules(api, change, path, error):
    r = api("POST", "/v2/apps", {k: v for k, v in {**app(), **change}.items() if v is not None})
    assert r.status_code == 422, r.text
    body = r.json()
    assert body["message"] == "Object is not valid"
    assert {"path": path, "error": error} in [
        {"path": d["path"], "error": e} for d in body["details"] for e in d["errors"]], body


def test_conflicts_and_missing(api):
    api.ok("POST", "/v2/apps", app())
    r = api("POST", "/v2/apps", app())
    assert (r.status_code, r.json()) == (409, {"message": "An app with id [/a] already exists."})
    deployment = api.ok("GET", "/v2/deployments")[0]
    r = api("PUT", "/v2/apps//a", {"instances": 3})
    assert (r.status_code, r.json()) == (409, {"message": LOCKED, "deployments": [{"id": deployment["id"]}]})
    r = api("PUT", "/v2/apps//a?force=true", {"instances": 3})
    assert r.status_code == 200 and set(r.json()) == {"version", "deploymentId"}
    assert api.ok("GET", "/v2/deployments")[0]["id"] == r.json()["deploymentId"]
    for method, path, message in [
        ("GET", "/v2/apps//x", "App '/x' does not exist"), ("DELETE", "/v2/apps//x", "App '/x' does not exist"),
        ("POST", "/v2/apps//x/restart", "App '/x' does not exist"),
        ("GET", "/v2/apps//x/versions", "App '/x' does not exist"),
        ("GET", "/v2/apps//a/versions/2020-01-01T00:00:00.000Z",
         "App '/a' does not exist in version 2020-01-01T00:00:00.000Z"),
        ("GET", "/v2/apps//x/tasks", "App '/x' does not exist"), ("GET", "/v2/groups/x", "Group '/x' does not exist"),
        ("DELETE", "/v2/apps//x/tasks?scale=true", "Path '/x' does not exist"),
        ("DELETE", "/v2/deployments/x", "DeploymentPlan x does not exist"),
        ("DELETE", "/v2/queue//x/delay", "Application /x not found in tasks queue."),
    ]:
        r = api(method, path)
        assert (r.status_code, r.json()) == (404, {"message": message}), path
    r = api("GET", "/v2/apps//a/versions/yesterday")
    assert r.status_code == 422 and r.json()["message"].startswith("Invalid timestamp provided 'yesterday'.")
    assert api("DELETE", "/v2/apps//a/tasks?scale=true&wipe=true").status_code == 400
    assert api("POST", "/v2/tasks/delete", {"ids": ["nonsense"]}).status_code in (400, 422)
    assert api("POST", "/v2/tasks/delete", {}).status_code == 422
    assert api("GET", "/v2/tasks", headers={"Accept": "text/plain"}).status_code == 406


def test_updates_and_versions(api):
    first = api.ok("POST", "/v2/apps", app(env={"A": "1"}, labels={"x": "y"}, mem=32))["version"]
    second = api.ok("PUT", "/v2/apps//a?force=true", {"env": {"B": "2"}})["version"]
    shown = api.ok("GET", "/v2/apps//a")["app"]
    assert shown["env"] == {"B": "2"} and shown["labels"] == {"x": "y"} and shown["mem"] == 32
    third = api.ok("PUT", "/v2/apps//a?force=true", {"instances": 2})["version"]
    info = api.ok("GET", "/v2/apps//a")["app"]["versionInfo"]
    assert info == {"lastScalingAt": third, "lastConfigChangeAt": second}
    assert sorted(api.ok("GET", "/v2/apps//a/versions")["versions"]) == [first, second, third]
    api.ok("PUT", "/v2/apps//a?force=true", {"id": "/a", "version": first})
    assert api.ok("GET", "/v2/apps//a")["app"]["env"] == {"A": "1"}
    r = api("PUT", "/v2/apps//a?force=true", {"version": first, "cmd": "x"})
    assert r.status_code == 422
    # The same again changes nothing and succeeds at once.
    now = api.ok("GET", "/v2/apps//a")["app"]["version"]
    api.ok("PUT", "/v2/apps//a?force=true", {"env": {"A": "1"}})
    assert api.ok("GET", "/v2/apps//a")["app"]["version"] == now
    api.ok("PUT", "/v2/apps//a?force=true&partialUpdate=false", {"cmd": "sleep 5"})
    shown = api.ok("GET", "/v2/apps//a")["app"]
    assert shown["labels"] == {} and "env" not in shown and shown["mem"] == 128
    r = api("PUT", "/v2/apps//b", {"cmd": "sleep 1"})
    assert r.status_code == 201 and r.headers["Location"].endswith("/b")
    assert api("PATCH", "/v2/apps//c", {"id": "/c", "cmd": "sleep 1"}).status_code == 404
    api.ok("PUT", "/v2/apps?force=true", [{"id": "/b", "instances": 4}, app("/d")])
    assert api.ok("GET", "/v2/apps//b")["app"]["instances"] == 4 and api.ok("GET", "/v2/apps//d")
    assert api("PATCH", "/v2/apps?force=true", [{"id": "/b", "instances": 1}, {"id": "/no"}]).status_code == 404
    assert api.ok("GET", "/v2/apps//b")["app"]["instances"] == 4


def test_legacy_and_container(api):
    made = api.ok("POST", "/v2/apps", app("/l", ports=[0, 7000], uris=["http://h/x.tgz", "http://h/y"]))
    assert [p["port"] for p in made["portDefinitions"]] == [0, 7000]
    assert [f["extract"] for f in made["fetch"]] == [True, False] and "ports" not in made and "uris" not in made
    made = api.ok("POST", "/v2/apps", {"id": "/d", "container": {"type": "DOCKER", "docker": {
        "image": "i", "network": "BRIDGE", "portMappings": [{"containerPort": 80}]}}})
    assert made["networks"] == [{"mode": "container/bridge"}] and "portDefinitions" not in made
    shown = api.ok("GET", "/v2/apps//d")["app"]["container"]
    assert shown["docker"] == {"image": "i", "forcePullImage": False, "privileged": False, "parameters": []}
    mapping = shown["portMappings"][0]
    assert mapping["hostPort"] == 0 and mapping["servicePort"] >= 10000 and mapping["containerPort"] == 80
    r = api("POST", "/v2/apps", app("/v", container={"type": "MESOS", "volumes": [
        {"containerPath": "d", "mode": "RW", "persistent": {"size": 1}}]}))
    assert r.status_code == 422
    assert api("POST", "/v2/pods", {"id": "/p"}).status_code == 422


def test_groups(api):
    r = api("POST", "/v2/groups", {"id": "/g", "apps": [app("x", instances=0)], "groups": [{"id": "h"}]})
    assert r.status_code == 201 and r.headers["Location"].endswith("/g")
    group = api.ok("GET", "/v2/groups/g")
    assert group["apps"][0]["id"] == "/g/x" and group["groups"][0]["id"] == "/g/h"
    assert group["enforceRole"] is False and group["pods"] == [] and "enforceRole" not in group["groups"][0]
    assert api("POST", "/v2/groups", {"id": "/g"}).json() == {
        "message": "Group /g is already created. Use PUT to change this group."}
    api.ok("POST", "/v2/apps", app("/z", instances=0))
    assert api("POST", "/v2/groups", {"id": "/z"}).status_code == 409
    assert api("POST", "/v2/apps", app("/g")).status_code == 422
    cyclic = {"id": "/c", "apps": [app("a", dependencies=["b"]), app("b", dependencies=["a"])]}
    r = api("POST", "/v2/groups", cyclic)
    assert r.status_code == 422 and "cyclic" in r.text and api("GET", "/v2/groups/c").status_code == 404
    before = group["version"]
    plan = api.ok("PUT", "/v2/groups/g?dryRun=true", {"apps": []})
    assert plan["steps"] == [{"actions": [{"action": "StopApplication", "app": "/g/x"}]}]
    api.ok("PUT", "/v2/groups/g", {"apps": [app("y", instances=0)]})
    assert [a["id"] for a in api.ok("GET", "/v2/groups/g")["apps"]] == ["/g/y"]
    assert before in api.ok("GET", "/v2/groups/g/versions")
    assert [a["id"] for a in api.ok("GET", f"/v2/groups/g/versions/{before}")["apps"]] == ["/g/x"]
    api.ok("PUT", "/v2/groups/g", {"version": before})
    assert [a["id"] for a in api.ok("GET", "/v2/groups/g")["apps"]] == ["/g/x"]
    assert api("PUT", "/v2/groups/g", {"version": before, "scaleBy": 2}).status_code == 422
    assert api("PATCH", "/v2/groups/g", {"enforceRole": True}).status_code == 200
    assert api.ok("GET", "/v2/groups/g")["enforceRole"] is True
    assert api("PATCH", "/v2/groups/g/h", {"enforceRole": True}).status_code == 422
    assert api("POST", "/v2/apps", app("/g/r", role="*")).status_code == 422
    assert api.ok("POST", "/v2/apps", app("/g/r", instances=0))["role"] == "g"
    assert api("DELETE", "/v2/groups/nope").status_code == 404
    api.ok("DELETE", "/v2/groups/g")
    assert api("GET", "/v2/groups/g").status_code == 404
    assert [a["id"] for a in api.ok("GET", "/v2/groups/apps")] == ["/z"]


def test_events(api):
    stream = requests.get(api.daemon.url + "/v2/events", stream=True, timeout=60,
                          headers={"Accept": "text/event-stream"})
    assert stream.headers["Content-Type"] == "text/event-stream;charset=utf-8"
    assert api("GET", "/v2/events", headers={"Accept": "application/json"}).status_code == 405
    lines = (line for line in stream.iter_lines(chunk_size=1) if line)
    api.ok("POST", "/v2/apps", app(instances=0))
    seen = []
    while "deployment_success" not in [t for t, _ in seen]:
        line = next(lines)
        if line.startswith(b"event: "):
            kind = line[7:].decode()
            data = json.loads(next(lines)[6:])
            assert data["eventType"] == kind and data["timestamp"]
            seen.append((kind, data))
    stream.close()
    kinds = [t for t, _ in seen]
    assert kinds[0] == "event_stream_attached"
    assert kinds.index("group_change_success") < kinds.index("deployment_info") < kinds.index("deployment_success")
    plan = dict(seen)["deployment_success"]["plan"]
    assert [s["actions"] for s in plan["steps"]] == [[{"action": "StartApplication", "app": "/a"}],
                                                     [{"action": "ScaleApplication", "app": "/a"}]]
    assert "original" not in plan


def test_restart_keeps_everything(api):
    api.ok("POST", "/v2/groups", {"id": "/g", "dependencies": ["/other"], "apps": [app("x"), app("y")]})
    api.ok("PUT", "/v2/apps//g/x?force=true", {"instances": 3})
    def state():
        strip = lambda d: {k: v for k, v in d.items() if k != "currentActions"}
        return (api.ok("GET", "/v2/groups"), api.ok("GET", "/v2/apps//g/x/versions"),
                sorted((strip(d) for d in api.ok("GET", "/v2/deployments")), key=lambda d: d["id"]),
                api.ok("GET", "/v2/queue")["queue"][0]["count"])
    before = state()
    api.daemon.restart()
    assert state() == before


def test_two_thousand_apps_in_one_request(api):
    apps = [app(f"/bulk/n{i}/app", instances=0) for i in range(2000)]
    api.ok("PUT", "/v2/apps", apps)
    assert len(api.ok("GET", "/v2/apps")["apps"]) == 2000
    api.daemon.restart()
    assert len(api.ok("GET", "/v2/apps?embed=apps.tasks")["apps"]) == 2000
