"""The agent's HTTP API: files, state, operator and executor calls, right and wrong ones."""

import json
import os

import pytest
import requests

from cluster import wait_until
from scheduler import Scheduler

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def world(shared_cluster):
    master = shared_cluster.master()
    agent = shared_cluster.agent(master, attributes="rack:a;n:2")
    with Scheduler(master.url) as s:
        script = "printf 0123456789; mkdir -p d; echo x > d/f; ln -s /etc/passwd abs; ln -s d/f rel; ln -s ../../.. up"
        task = s.launch({"command": {"value": script + "; mkfifo pipe; exec sleep 1000"}})
        s.wait_state(task, "TASK_RUNNING")
        executor = wait_until(
            lambda: requests.get(agent.url + "/state", timeout=60).json()["frameworks"][0]["executors"][0],
            "the executor in /state",
        )
        path = executor["directory"]
        wait_until(lambda: os.path.exists(path + "/pipe") and os.path.getsize(path + "/stdout") == 10, "the script")
        yield agent, s, task, path


def get(agent, target, **params):
    return requests.get(agent.url + target, params=params, timeout=60)


def test_browse(world):
    agent, s, task, path = world
    entries = {os.path.basename(e["path"]): e for e in get(agent, "/files/browse", path=path).json()}
    assert {"stdout", "stderr", "d", "abs", "rel"} <= set(entries)
    assert entries["stdout"]["path"] == path + "/stdout"
    assert entries["stdout"]["size"] == 10
    assert entries["stdout"]["mode"].startswith("-rw")
    assert entries["d"]["mode"].startswith("d")
    assert entries["stdout"]["uid"] == "root" or os.geteuid() != 0
    assert list(entries) == sorted(entries)
    virtual = f"/frameworks/{s.framework_id}/executors/{task}/runs/latest"
    assert get(agent, "/files/browse.json", path=virtual).json()[0]["path"].startswith(virtual + "/")
    assert get(agent, "/slave(1)/files/browse", path=virtual).status_code == 200
    assert get(agent, "/files/browse", path=path + "/stdout").json() == []
    assert get(agent, "/files/browse").status_code == 400


def test_read(world):
    agent, _, _, path = world
    stdout = path + "/stdout"
    assert get(agent, "/files/read", path=stdout, offset=0).json() == {"data": "0123456789", "offset": 0}
    assert get(agent, "/files/read", path=stdout, offset=4, length=3).json() == {"data": "456", "offset": 4}
    assert get(agent, "/files/read", path=stdout, offset=-1).json() == {"data": "", "offset": 10}
    assert get(agent, "/files/read", path=stdout).json() == {"data": "", "offset": 10}
    assert get(agent, "/files/read", path=stdout, offset=100).json() == {"data": "", "offset": 100}
    assert get(agent, "/files/read", path=stdout, offset=0, length=0).json() == {"data": "", "offset": 0}
    assert get(agent, "/files/read", path=path + "/rel", offset=0).json()["data"] == "x\n"
    assert get(agent, "/files/read", path=stdout, offset=-2).status_code == 400
    assert get(agent, "/files/read", path=stdout, offset="x").status_code == 400
    assert get(agent, "/files/read", path=path + "/d", offset=0).status_code == 400
    assert get(agent, "/files/read", path=path + "/pipe", offset=0).status_code == 400
    assert get(agent, "/files/read", path=path + "/none", offset=0).status_code == 404


def test_download(world):
    agent, _, _, path = world
    r = get(agent, "/files/download", path=path + "/stdout")
    assert r.content == b"0123456789"
    assert r.headers["Content-Disposition"] == 'attachment; filename="stdout"'
    assert r.headers["Content-Type"] == "application/octet-stream"
    assert get(agent, "/files/download", path=path + "/d").status_code == 400
    big = os.path.join(path, "big")
    with open(big, "wb") as f:
        f.write(os.urandom(1 << 20) * 5)
    with open(big, "rb") as f:
        assert get(agent, "/files/download", path=big).content == f.read()


def test_traversal(world):
    agent, s, task, path = world
    work = path[: path.index("/slaves/")]
    for wrong in (
        "/etc/passwd",
        work + "/agent.db",
        work,
        path + "/abs",
        path + "/up/x",
        path + "/../../../../../../../../agent.db",
        path + "/" + "../" * 30 + "etc/passwd",
        work + "/slaves/../agent.db",
        f"/frameworks/{s.framework_id}/executors/../../../agent.db",
        f"/frameworks/{s.framework_id}/executors/{task}/runs/../../..",
        "",
        "/",
        "..",
        "\\",
        "a" * 5000,
    ):
        for endpoint in ("browse", "read", "download"):
            r = get(agent, "/files/" + endpoint, path=wrong, offset=0)
            assert r.status_code in (400, 403, 404), (endpoint, wrong, r.text)
            assert "root:" not in r.text
    raw = requests.get(f"{agent.url}/files/read?path={path}/stdout%00x&offset=0", timeout=60)
    assert raw.status_code in (400, 404)


def test_state(world):
    agent, s, task, path = world
    state = get(agent, "/state").json()
    assert state["attributes"] == {"rack": "a", "n": 2.0}
    assert state["resources"]["cpus"] == 2.0
    assert state["resources"]["ports"] == "[31000-31999]"
    assert state["pid"] == f"slave(1)@{agent.address}"
    framework = state["frameworks"][0]
    assert framework["id"] == s.framework_id
    executor = framework["executors"][0]
    assert executor["id"] == task and executor["directory"] == path
    assert executor["tasks"][0]["state"] == "TASK_RUNNING"
    assert executor["tasks"][0]["executor_id"] == ""
    assert abs(state["unreserved_resources_allocated"]["cpus"] - 0.2) < 1e-9
    assert get(agent, "/state.json").json()["id"] == state["id"]
    assert get(agent, "/state", jsonp="cb").text.startswith("cb({")


def test_small_endpoints(world):
    agent, _, task, _ = world
    assert get(agent, "/health").text == ""
    assert all(part.isdigit() for part in get(agent, "/version").json()["version"].split("."))
    assert get(agent, "/flags").json()["flags"]["work_dir"]
    metrics = get(agent, "/metrics/snapshot").json()
    assert metrics["slave/tasks_running"] == 1.0
    assert metrics["slave/cpus_total"] == 2.0
    containers = get(agent, "/containers").json()
    assert containers[0]["executor_id"] == task
    assert containers[0]["status"]["executor_pid"] > 0
    assert get(agent, "/containers", container_id=containers[0]["container_id"]).json()
    assert get(agent, "/containers", executor_id=task).status_code == 400
    statistics = get(agent, "/monitor/statistics").json()
    assert statistics[0]["executor_id"] == task
    assert statistics[0]["statistics"]["timestamp"] > 0
    assert get(agent, "/nothing").status_code == 404
    assert requests.post(agent.url + "/state", timeout=60).status_code == 405


def operator(agent, body, **headers):
    data = body if isinstance(body, (str, bytes)) else json.dumps(body)
    return requests.post(agent.url + "/api/v1", data=data, headers={**JSON, **headers}, timeout=60)


def test_operator_api(world):
    agent, s, task, path = world
    assert operator(agent, {"type": "GET_HEALTH"}).json() == {"type": "GET_HEALTH", "get_health": {"healthy": True}}
    assert operator(agent, {"type": "GET_VERSION"}).json()["get_version"]["version_info"]["version"]
    state = operator(agent, {"type": "GET_STATE"}).json()["get_state"]
    assert state["get_tasks"]["launched_tasks"][0]["task_id"]["value"] == task
    assert state["get_frameworks"]["frameworks"][0]["framework_info"]["id"]["value"] == s.framework_id
    assert operator(agent, {"type": "GET_EXECUTORS"}).json()["get_executors"]["executors"]
    assert operator(agent, {"type": "GET_CONTAINERS"}).json()["get_containers"]["containers"][0]["container_status"]
    assert operator(agent, {"type": "GET_AGENT"}).json()["get_agent"]["agent_info"]["id"]["value"]
    assert operator(agent, {"type": "GET_FLAGS"}).json()["get_flags"]["flags"]
    assert operator(agent, {"type": "GET_METRICS", "get_metrics": {}}).json()["get_metrics"]["metrics"]
    files = operator(agent, {"type": "LIST_FILES", "list_files": {"path": path}}).json()["list_files"]["file_infos"]
    assert path + "/stdout" in [f["path"] for f in files]
    read = {"type": "READ_FILE", "read_file": {"path": path + "/stdout", "offset": 2, "length": 2}}
    assert operator(agent, read).json()["read_file"] == {"size": 10, "data": "MjM="}
    protobuf = operator(agent, {"type": "GET_HEALTH"}, Accept="application/x-protobuf")
    assert protobuf.headers["Content-Type"] == "application/x-protobuf"


@pytest.mark.parametrize("path", ["/api/v1", "/api/v1/executor", "/slave(1)/api/v1/executor"])
def test_wrong_requests(world, path):
    agent = world[0]
    url = agent.url + path
    r = requests.get(url, timeout=60)
    assert r.status_code == 405 and r.headers["Allow"] == "POST"
    assert requests.post(url, data=b"{}", headers={"Content-Type": None}, timeout=60).status_code == 400
    assert requests.post(url, data="{}", headers={"Content-Type": "text/plain"}, timeout=60).status_code == 415
    assert requests.post(url, data="{", headers=JSON, timeout=60).status_code == 400
    assert requests.post(url, data="[]", headers=JSON, timeout=60).status_code == 400
    assert requests.post(url, data="{}", headers=JSON, timeout=60).status_code == 400
    protobuf = {"Content-Type": "application/x-protobuf"}
    assert requests.post(url, data=b"\xff\xff\xff\xff", headers=protobuf, timeout=60).status_code == 400


def test_wrong_operator_calls(world):
    agent = world[0]
    assert operator(agent, {"type": "NO_SUCH_CALL"}).status_code == 400
    assert operator(agent, {"type": "UNKNOWN"}).status_code == 501
    assert operator(agent, {"type": "GET_METRICS"}).status_code == 400
    assert operator(agent, {"type": "READ_FILE", "read_file": {"path": "/x"}}).status_code == 400
    assert operator(agent, {"type": "LIST_FILES", "list_files": {"path": "/etc"}}).status_code == 404
    assert operator(agent, {"type": "GET_HEALTH"}, Accept="text/plain").status_code == 406
    assert operator(agent, b"x" * (10 << 20)).status_code == 413


def test_wrong_executor_calls(world):
    agent, s, task, _ = world

    def call(body, **headers):
        return requests.post(
            agent.url + "/api/v1/executor", json=body, headers={**JSON, **headers}, timeout=60
        ).status_code

    ids = {"executor_id": {"value": task}, "framework_id": {"value": s.framework_id}}
    uuid = "AAECAwQFBgcICQoLDA0ODw=="
    status = {"task_id": {"value": task}, "state": "TASK_RUNNING", "source": "SOURCE_EXECUTOR", "uuid": uuid}
    assert call({"type": "HEARTBEAT", **ids}) == 202
    assert call({"type": "HEARTBEAT", "executor_id": {"value": "x"}, "framework_id": {"value": "y"}}) == 202
    assert call({"type": "SUBSCRIBE", **ids}) == 400
    assert call({"type": "SUBSCRIBE", "subscribe": {}, **ids}, Accept="text/html") == 406
    assert call({"type": "UPDATE", **ids}) == 400
    for wrong in (
        {"uuid": None},
        {"uuid": "AAEC"},
        {"source": "SOURCE_AGENT"},
        {"source": None},
        {"state": "TASK_STAGING"},
        {"executor_id": {"value": "other"}},
    ):
        assert call({"type": "UPDATE", "update": {"status": {**status, **wrong}}, **ids}) == 400, wrong
    unknown = {**ids, "executor_id": {"value": "nobody"}}
    assert call({"type": "UPDATE", "update": {"status": status}, **unknown}) == 400
    assert call({"type": "MESSAGE", "message": {"data": "eA=="}, **unknown}) == 400
    assert call({"type": "UNKNOWN", **ids}) == 501
