"""Documents for operators: shared, conditional, and of large clusters, which a forked copy of the master renders."""

import json
import os
import re
import subprocess
import threading

import pytest
import requests

from cluster import BUILD, wait_until
from raw import JSON, TIMEOUT, Scheduler, Stream, get, operator, post, rows

DOCUMENTS = ("/state", "/state-summary", "/slaves", "/frameworks", "/tasks", "/roles")
AGENTS, TASKS_EACH = 200, 25  # more than what is rendered on the loop


class Load:
    """Simulated agents over real connections, each with running tasks."""

    def __init__(self, master, agents, tasks):
        program = os.path.join(BUILD, "bench", "load_agents")
        self.process = subprocess.Popen(
            [program, master.ip, str(master.port), str(agents), str(tasks)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        line = self.process.stdout.readline()
        if not line.startswith("registered.time"):
            self.close()
            raise AssertionError(f"load_agents said {line!r}")

    def close(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def large(shared_cluster):
    master = shared_cluster.master(name="large", allocation_interval="50ms")
    load = Load(master, AGENTS, TASKS_EACH)
    yield master
    load.close()


def metric(master, name):
    return get(master, "/metrics/snapshot").json()[name]


# ---- conditional requests ----


@pytest.mark.parametrize("path", DOCUMENTS)
def test_conditional(master, agent, path):
    # The agent registers and its offers come: ten answers in a row with one tag are the steady state.
    def steady():
        answers = [get(master, path) for _ in range(10)]
        return answers[0] if len({a.headers["ETag"] for a in answers}) == 1 else None

    first = wait_until(steady, "an unchanged document")
    tag = first.headers["ETag"]
    assert re.fullmatch(r'W/"[0-9a-f-]+"', tag) and first.headers["Cache-Control"] == "no-cache"
    for value in (tag, tag[2:], f'"other", {tag}', "*"):
        response = requests.get(master.url + path, headers={"If-None-Match": value}, timeout=TIMEOUT)
        assert (response.status_code, response.content) == (304, b""), value
        assert response.headers["ETag"] == tag
    for value in ('"other"', "W/", tag[:-2] + '"', ""):
        assert requests.get(master.url + path, headers={"If-None-Match": value}, timeout=TIMEOUT).status_code == 200, value
    # Another document, and the same one with another query, have tags of their own.
    tags = {get(master, p).headers["ETag"] for p in DOCUMENTS} | {get(master, path, slave_id="x").headers["ETag"]}
    assert len(tags) == len(DOCUMENTS) + 1


def test_a_change_ends_it(master, agent):
    old = get(master, "/frameworks").headers["ETag"]
    with Scheduler(master):
        response = requests.get(master.url + "/frameworks", headers={"If-None-Match": old}, timeout=TIMEOUT)
        assert response.status_code == 200 and response.headers["ETag"] != old


def test_no_tag_across_restarts(cluster):
    master = cluster.master()
    old = get(master, "/state").headers["ETag"]
    master.restart()
    response = requests.get(master.url + "/state", headers={"If-None-Match": old}, timeout=TIMEOUT)
    assert response.status_code == 200 and response.headers["ETag"] != old


def test_what_changes_by_itself_has_no_tag(master):
    for path in ("/metrics/snapshot", "/flags", "/version"):
        response = requests.get(master.url + path, headers={"If-None-Match": "*"}, timeout=TIMEOUT)
        assert response.status_code == 200 and "ETag" not in response.headers


@rows("0.1", 2)
@pytest.mark.parametrize("path", DOCUMENTS)
def test_names(master, agent, path):
    for alias in (path, path + ".json", "/master" + path, "/master" + path + ".json"):
        assert get(master, alias).json().keys() == get(master, path).json().keys()
    script = get(master, path, jsonp="a.b")
    assert script.headers["Content-Type"] == "text/javascript"
    assert script.text.startswith("a.b({") and script.text.endswith("})")
    json.loads(script.text[len("a.b(") : -1])
    assert get(master, path, jsonp="alert(1)").status_code == 400


def test_gzip(master, agent):
    plain = requests.get(master.url + "/state", headers={"Accept-Encoding": "identity"}, timeout=TIMEOUT)
    packed = requests.get(master.url + "/state", headers={"Accept-Encoding": "gzip"}, timeout=TIMEOUT)
    assert packed.headers["Content-Encoding"] == "gzip" and "Accept-Encoding" in packed.headers["Vary"]
    assert plain.json().keys() == packed.json().keys()


# ---- large clusters ----


def test_large_state(large):
    state = get(large, "/state").json()
    assert len(state["slaves"]) == AGENTS
    running = [t for f in state["frameworks"] for t in f["tasks"]]
    assert len(running) == len({t["id"] for t in running}) == AGENTS * TASKS_EACH
    summary = get(large, "/state-summary").json()
    assert sum(s["TASK_RUNNING"] for s in summary["slaves"]) == AGENTS * TASKS_EACH
    assert len(get(large, "/slaves").json()["slaves"]) == AGENTS
    assert len(get(large, "/tasks", limit=7, offset=3).json()["tasks"]) == 7
    script = get(large, "/state", jsonp="cb").text
    assert json.loads(script[len("cb(") : -1]) == state


def test_large_v1(large):
    tasks = operator(large, "GET_TASKS")
    assert len(tasks["tasks"]) == AGENTS * TASKS_EACH and tasks["completed_tasks"] == []
    state = operator(large, "GET_STATE")
    assert list(state) == ["get_tasks", "get_executors", "get_frameworks", "get_agents"]
    assert state["get_tasks"] == tasks and len(state["get_agents"]["agents"]) == AGENTS
    assert operator(large, "GET_AGENTS") == state["get_agents"]
    packed = post(large, {"type": "GET_STATE"}, {**JSON, "Accept": "application/x-protobuf"})
    assert packed.headers["Content-Type"] == "application/x-protobuf"
    for task in (tasks["tasks"][0], tasks["tasks"][-1]):
        assert task["task_id"]["value"].encode() in packed.content


def test_large_conditional(large):
    tag = get(large, "/state").headers["ETag"]
    before = metric(large, "master/http_cache_hits")
    assert requests.get(large.url + "/state", headers={"If-None-Match": tag}, timeout=TIMEOUT).status_code == 304
    assert metric(large, "master/http_cache_hits") == before + 1


def test_readers_share(large):
    before = metric(large, "master/http_cache_hits")
    bodies, key = [], "share"
    readers = [threading.Thread(target=lambda: bodies.append(get(large, "/state", only=key).content)) for _ in range(20)]
    for r in readers:
        r.start()
    for r in readers:
        r.join()
    assert len(bodies) == 20 and len(set(bodies)) == 1
    assert metric(large, "master/http_cache_hits") == before + 19


def test_reader_goes_away(large):
    """A reader that does not wait costs nobody else anything."""
    for i in range(5):
        with pytest.raises(requests.RequestException):
            requests.get(large.url + f"/state?gone={i}", timeout=0.001)
    assert len(get(large, "/state", only="after").json()["slaves"]) == AGENTS


def test_own_writes_are_read(large):
    """An answer is never older than the question, however many renderings are under way."""
    for i in range(5):
        with Scheduler(large, name=f"mine-{i}") as s:
            others = [threading.Thread(target=get, args=(large, "/state"), kwargs={"other": i * 10 + n}) for n in range(3)]
            for t in others:
                t.start()
            names = {f["id"] for f in get(large, "/state").json()["frameworks"]}
            assert s.framework_id in names
            for t in others:
                t.join()


@rows("1.2 operators")
def test_snapshot_and_events_fit(large):
    """Tasks launched while a snapshot is made are in it or in an event behind it, never in both or in neither."""
    with Scheduler(large) as s:
        launched = []
        stop = threading.Event()

        def launch():
            while not stop.is_set() and len(launched) < 300:
                offer = s.offer(cpus=1, mem=64)
                tasks = [s.task(offer, cpus=0.1, mem=32) for _ in range(2)]
                s.accept([offer], [{"type": "LAUNCH", "launch": {"task_infos": tasks}}])
                launched.extend(t["task_id"]["value"] for t in tasks)

        worker = threading.Thread(target=launch)
        worker.start()
        streams = []
        try:
            for _ in range(6):
                n = len(launched)
                streams.append(Stream(post(large, {"type": "SUBSCRIBE"}, stream=True)))
                wait_until(lambda: len(launched) > n or not worker.is_alive(), "another launch")
        finally:
            stop.set()
            worker.join()
        offer = s.offer(cpus=1, mem=64)
        last = s.task(offer, task_id="the-last", cpus=0.1, mem=32)
        s.accept([offer], [{"type": "LAUNCH", "launch": {"task_infos": [last]}}])
        for stream in streams:
            first = stream.next()
            assert first["type"] == "SUBSCRIBED"
            assert stream.next() == {"type": "HEARTBEAT"}
            seen = [t["task_id"]["value"] for t in first["subscribed"]["get_state"]["get_tasks"]["tasks"]]
            # A snapshot that had to wait for others may have the last one already.
            events = [] if "the-last" in seen else stream.until(
                lambda e: e["type"] == "TASK_ADDED" and e["task_added"]["task"]["task_id"]["value"] == "the-last"
            )
            seen += [e["task_added"]["task"]["task_id"]["value"] for e in events if e["type"] == "TASK_ADDED"]
            mine = [t for t in seen if not t.startswith("task-")]
            assert sorted(mine) == sorted([*launched, "the-last"])
            stream.cut()


@rows("1.2 operators")
def test_too_many_subscribers(cluster):
    master = cluster.master(max_operator_event_stream_subscribers=2)
    first, second, third = (Stream(post(master, {"type": "SUBSCRIBE"}, stream=True)) for _ in range(3))
    for stream in (second, third):
        assert stream.next()["type"] == "SUBSCRIBED"
    with pytest.raises((StopIteration, requests.RequestException)):
        while True:
            first.next()
    wait_until(lambda: metric(master, "master/operator_event_stream_subscribers") == 2, "two subscribers")
    with Scheduler(master) as s:
        for stream in (second, third):
            events = stream.until(lambda e: e["type"] == "FRAMEWORK_ADDED")
            assert events[-1]["framework_added"]["framework"]["framework_info"]["id"]["value"] == s.framework_id
    for stream in (second, third):
        stream.cut()
    wait_until(lambda: metric(master, "master/operator_event_stream_subscribers") == 0, "the streams' end")
    assert "operator's stream is ended, there are too many" in master.tail()
