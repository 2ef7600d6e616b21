"""What every daemon has: the log's level, files, help, what the machine is like."""

import base64
import os

import pytest
import requests

from cluster import wait_until
from raw import JSON, TIMEOUT, get, operator, post, rows

BOTH = pytest.mark.parametrize("which", ["master", "agent"])


@pytest.fixture
def daemon(request, master, agent, which):
    return request.getfixturevalue(which)


# ---- the log ----


@rows("2.9")
@BOTH
def test_toggle(daemon):
    def level():
        response = get(daemon, "/logging/toggle")
        assert response.status_code == 200
        return response.text

    assert level() == "0\n"
    assert get(daemon, "/logging/toggle", level=2, duration="1hrs").status_code == 200
    assert level() == "2\n"
    assert operator(daemon, "GET_LOGGING_LEVEL") == {"level": 2}
    # The original level ends it at once.
    assert get(daemon, "/logging/toggle", level=0, duration="1hrs").status_code == 200
    assert level() == "0\n"
    # Otherwise it ends with its time.
    assert get(daemon, "/logging/toggle", level=1, duration="100ms").status_code == 200
    wait_until(lambda: level() == "0\n", "the old level")


@rows("2.9")
@BOTH
@pytest.mark.parametrize(
    "params,text",
    [
        ({"level": 1}, "Expecting 'duration=value' in query.\n"),
        ({"duration": "1secs"}, "Expecting 'level=value' in query.\n"),
        ({"level": "x", "duration": "1secs"}, "Invalid level 'x'.\n"),
        ({"level": "-1", "duration": "1secs"}, "Invalid level '-1'.\n"),
        ({"level": 1, "duration": "long"}, "Invalid duration 'long'.\n"),
    ],
)
def test_toggle_refused(daemon, params, text):
    response = get(daemon, "/logging/toggle", **params)
    assert (response.status_code, response.text) == (400, text)
    assert get(daemon, "/logging/toggle").text == "0\n"


def test_not_below_the_original(cluster):
    master = cluster.master(logging_level="debug")
    assert get(master, "/logging/toggle").text == "1\n"
    response = get(master, "/logging/toggle", level=0, duration="1secs")
    assert (response.status_code, response.text) == (400, "'0' < original level.\n")


@rows("1.1", 2)
@BOTH
def test_level_by_call(daemon):
    def set_level(level, nanoseconds):
        duration = {"nanoseconds": nanoseconds}
        return post(daemon, {"type": "SET_LOGGING_LEVEL", "set_logging_level": {"level": level, "duration": duration}})

    response = set_level(3, 2 * 10**9)
    assert (response.status_code, response.content) == (200, b"")
    assert operator(daemon, "GET_LOGGING_LEVEL") == {"level": 3}
    wait_until(lambda: operator(daemon, "GET_LOGGING_LEVEL") == {"level": 0}, "the old level")
    assert set_level(1, -5).status_code == 400
    for body in ({}, {"set_logging_level": {}}, {"set_logging_level": {"level": 1}}):
        assert post(daemon, {"type": "SET_LOGGING_LEVEL", **body}).status_code == 400


# ---- the machine ----


@rows("2.9")
@BOTH
def test_system(daemon):
    stats = get(daemon, "/system/stats.json").json()
    assert list(stats) == ["avg_load_1min", "avg_load_5min", "avg_load_15min", "cpus_total", "mem_total_bytes", "mem_free_bytes"]
    assert stats["cpus_total"] == os.cpu_count() and stats["mem_total_bytes"] > stats["mem_free_bytes"] > 0


@rows("2.9")
@BOTH
def test_processes(daemon):
    assert all(p.keys() == {"id", "events"} and p["events"] == [] for p in get(daemon, "/__processes__").json())


@rows("2.9")
@BOTH
def test_help(daemon, which):
    listing = get(daemon, "/help", format="json").json()
    names = {(p["id"], e["name"]) for p in listing["processes"] for e in p["endpoints"]}
    assert {(which, "/state"), ("metrics", "/snapshot"), ("logging", "/toggle"), ("files", "/read"), ("system", "/stats.json")} <= names
    assert len(listing["processes"]) == len({p["id"] for p in listing["processes"]})
    assert all(e["text"].startswith("### TL;DR; ###\n") for p in listing["processes"] for e in p["endpoints"])
    page = requests.get(daemon.url + "/help", headers={"Accept": "text/html"}, timeout=TIMEOUT)
    assert page.headers["Content-Type"].startswith("text/html") and f"/{which}/state" in page.text
    text = requests.get(daemon.url + "/help", headers={"Accept": "text/markdown"}, timeout=TIMEOUT)
    assert text.headers["Content-Type"].startswith("text/markdown") and "### TL;DR; ###" in text.text
    one = requests.get(daemon.url + "/help/metrics/snapshot", headers={"Accept": "text/markdown"}, timeout=TIMEOUT)
    assert "/metrics/snapshot" in one.text and "/logging" not in one.text
    assert get(daemon, "/help/nothing").status_code == 404


def test_help_is_true(master, agent):
    """Whatever help names is there."""
    for daemon in (master, agent):
        for process in get(daemon, "/help", format="json").json()["processes"]:
            for endpoint in process["endpoints"]:
                prefix = "" if process["id"] in ("master", "agent") else "/" + process["id"]
                response = get(daemon, prefix + endpoint["name"])
                assert response.status_code != 404, (process["id"], endpoint["name"], response.text)


@BOTH
def test_landing(daemon, which):
    response = get(daemon, "/")
    assert response.status_code == 200 and response.headers["Content-Type"].startswith("text/html")
    assert f"<h1>dcos-{which}</h1>" in response.text
    for path in ("/state", "/metrics", "/help"):
        assert f'href="{path}"' in response.text and get(daemon, path).status_code == 200


@rows("2.1", 2)
@BOTH
def test_flags_and_version(daemon):
    flags = get(daemon, "/flags").json()["flags"]
    assert all(isinstance(v, str) for v in flags.values())
    assert flags["work_dir"] == daemon.flags["work_dir"] and flags["ip"] == "127.0.0.1"
    assert {f["name"]: f["value"] for f in operator(daemon, "GET_FLAGS")["flags"]} == flags
    version = get(daemon, "/version").json()
    assert list(version) == ["build_date", "build_time", "build_user", "version"]
    assert isinstance(version["build_time"], float) and version["version"].count(".") == 2
    assert operator(daemon, "GET_VERSION")["version_info"]["version"] == version["version"]


# ---- files ----


@pytest.fixture(scope="module")
def logging(shared_cluster):
    """A master and an agent that keep their logs in a folder."""
    folder = os.path.join(shared_cluster.folder, "logs")
    master = shared_cluster.master(name="logging-master", log_dir=folder)
    agent = shared_cluster.agent(master, name="logging-agent", log_dir=folder)
    return {"master": (master, "/master/log"), "agent": (agent, "/slave/log")}


@rows("2.8", 4)
@BOTH
def test_log_file(logging, which):
    daemon, path = logging[which]
    real = os.path.join(daemon.flags["log_dir"], f"dcos-{which}.log")
    assert get(daemon, "/files/debug").json()[path] == real
    size = get(daemon, "/files/read", path=path).json()
    assert size["data"] == "" and size["offset"] > 0
    part = get(daemon, "/files/read", path=path, offset=0, length=10).json()
    with open(real, encoding="utf-8") as f:
        text = f.read()
    assert part == {"data": text[:10], "offset": 0}
    assert f"dcos-{which}: " in text
    download = get(daemon, "/files/download", path=path)
    assert download.text.startswith(text[:100])
    assert download.headers["Content-Disposition"] == 'attachment; filename="log"'
    assert get(daemon, "/files/browse", path=path).json() == []
    assert get(daemon, "/state").json()["log_dir"] == daemon.flags["log_dir"]
    assert get(daemon, "/files/read.json", path=path).status_code == 200


@rows("1.1", 2)
@BOTH
def test_log_file_by_call(logging, which):
    daemon, path = logging[which]
    answer = operator(daemon, "READ_FILE", read_file={"path": path, "offset": 0, "length": 20})
    assert len(base64.b64decode(answer["data"])) == 20 and answer["size"] > 20
    assert operator(daemon, "LIST_FILES", list_files={"path": path}) == {}
    for kind in ("READ_FILE", "LIST_FILES"):
        body = {"path": "/nothing/here", "offset": 0}
        assert post(daemon, {"type": kind, kind.lower(): body}, JSON).status_code in (400, 404)


@rows("2.8")
def test_external_log_file(cluster):
    path = os.path.join(cluster.folder, "elsewhere.log")
    with open(path, "w", encoding="utf-8") as f:
        f.write("written by another program\n")
    master = cluster.master(external_log_file=path)
    assert get(master, "/files/read", path="/master/log", offset=11, length=2).json() == {"data": "an", "offset": 11}
    assert get(master, "/state").json()["external_log_file"] == path
    with open(path, encoding="utf-8") as f:
        assert f.read() == "written by another program\n"


@rows("2.8", 2)
def test_files_of_the_master_refused(master):
    for params, code in (({}, 400), ({"path": "/etc/passwd"}, 404), ({"path": "/master/log"}, 404), ({"path": "/master/log/.."}, 404)):
        for endpoint in ("browse", "read", "download"):
            assert get(master, "/files/" + endpoint, **params).status_code == code, (endpoint, params)
    assert get(master, "/files/debug").json() == {}
    assert get(master, "/files/nothing").status_code == 404
    for path in ("/system/stats.json", "/help", "/files/read", "/metrics"):
        assert post(master, {}, path=path).status_code == 405
