"""Maintenance of machines: the schedule, machines that go down and come up, inverse offers; both kinds of endpoints."""

import time

import pytest

from cluster import wait_until
from raw import JSON, Scheduler, get, ids, operator, post, rows

HERE = {"hostname": "127.0.0.1", "ip": "127.0.0.1"}  # where test agents are
OTHER = {"hostname": "other", "ip": "10.0.0.9"}
HOUR = 3600 * 10**9


def window(*machines, start=10**18, duration=HOUR):
    unavailability = {"start": {"nanoseconds": start}}
    if duration is not None:
        unavailability["duration"] = {"nanoseconds": duration}
    return {"machine_ids": list(machines), "unavailability": unavailability}


class V1:
    def __init__(self, master):
        self.master = master

    def call(self, kind, **body):
        return post(self.master, {"type": kind, kind.lower(): body})

    def set(self, *windows):
        return self.call("UPDATE_MAINTENANCE_SCHEDULE", schedule={"windows": list(windows)})

    def down(self, *machines):
        return self.call("START_MAINTENANCE", machines=list(machines))

    def up(self, *machines):
        return self.call("STOP_MAINTENANCE", machines=list(machines))

    def schedule(self):
        return operator(self.master, "GET_MAINTENANCE_SCHEDULE")["schedule"]

    def status(self):
        return operator(self.master, "GET_MAINTENANCE_STATUS")["status"]


class Legacy:
    def __init__(self, master):
        self.master = master

    def set(self, *windows):
        return post(self.master, {"windows": list(windows)}, path="/maintenance/schedule")

    def down(self, *machines):
        return post(self.master, list(machines), path="/machine/down")

    def up(self, *machines):
        return post(self.master, list(machines), path="/master/machine/up")

    def schedule(self):
        return get(self.master, "/maintenance/schedule").json()

    def status(self):
        return get(self.master, "/master/maintenance/status").json()


@pytest.fixture(params=[V1, Legacy])
def api(request):
    return request.param


def ok(response):
    assert (response.status_code, response.content) == (200, b""), response.text


def bad(response):
    assert response.status_code == 400 and response.text, response.text


@rows("1.1", 5)
@rows("2.1", 4)
def test_rules(cluster, api):
    master = cluster.master()
    m = api(master)
    assert m.schedule() == {} and m.status() == {}
    ok(m.set(window(OTHER, {"hostname": "name-only"}), window({"ip": "10.0.0.3"}, start=5, duration=None)))
    kept = {"windows": [window(OTHER, {"hostname": "name-only"}), window({"ip": "10.0.0.3"}, start=5, duration=None)]}
    assert m.schedule() == kept
    for windows in (
        [window()],
        [window({})],
        [window({"ip": "10.0.0"})],
        [window(OTHER, OTHER)],
        [window(OTHER), window({"hostname": "OTHER", "ip": "10.0.0.9"})],
        [window(OTHER, duration=-1)],
        [{"machine_ids": [OTHER]}],
        [{"machine_ids": [OTHER], "unavailability": {}}],
    ):
        bad(m.set(*windows))
        assert m.schedule() == kept
    for change in (m.down, m.up):
        bad(change())
        bad(change({}))
        bad(change(HERE))
        bad(change(OTHER, HERE))
        bad(change(OTHER, OTHER))
    bad(m.up(OTHER))
    draining = [{"id": OTHER}, {"id": {"hostname": "name-only"}}, {"id": {"ip": "10.0.0.3"}}]
    assert m.status() == {"draining_machines": draining}
    ok(m.down(OTHER))
    assert m.status() == {"draining_machines": draining[1:], "down_machines": [OTHER]}
    bad(m.down(OTHER))
    bad(m.set())
    ok(m.set(window(OTHER)))
    master.restart()
    assert m.schedule() == {"windows": [window(OTHER)]}
    assert m.status() == {"down_machines": [OTHER]}
    ok(m.up(OTHER))
    assert m.schedule() == {} and m.status() == {}
    master.restart()
    assert m.schedule() == {} and m.status() == {}


@rows("2.1", 2)
def test_bodies(cluster):
    master = cluster.master()
    for path, bodies in (
        ("/maintenance/schedule", (b"", b"{", b"[]", b"7", b'{"windows":7}', b'{"windows":[7]}')),
        ("/machine/down", (b"", b"{}", b"[7]", b'["a"]', b'[{"hostname":7}]', b"[")),
        ("/machine/up", (b"", b"{}", b"[7]")),
    ):
        for body in bodies:
            bad(post(master, body, JSON, path))
    for path, allow in (("/machine/down", "POST"), ("/machine/up", "POST")):
        response = get(master, path)
        assert (response.status_code, response.headers["Allow"]) == (405, allow)
    assert post(master, b"", path="/maintenance/status").status_code == 405
    for kind in ("UPDATE_MAINTENANCE_SCHEDULE", "START_MAINTENANCE", "STOP_MAINTENANCE"):
        assert "Failed to validate master::Call" in post(master, {"type": kind}).text
    assert post(master, {"type": "UPDATE_MAINTENANCE_SCHEDULE", "update_maintenance_schedule": {}}).status_code == 400


@rows("4", 1)
@rows("5", 2)
def test_offers_and_inverse_offers(cluster, api):
    master = cluster.master(allocation_interval="20ms")
    cluster.agent(master)
    m = api(master)
    with Scheduler(master) as s:
        task, agent_id = s.launch()
        s.state(task, "TASK_RUNNING")
        offer = s.offer()
        assert "unavailability" not in offer
        ok(m.set(window(HERE)))
        events = s.until(lambda e: e["type"] == "INVERSE_OFFERS", "INVERSE_OFFERS")
        assert {"type": "RESCIND", "rescind": {"offer_id": offer["id"]}} in events
        (question,) = events[-1]["inverse_offers"]["inverse_offers"]
        assert sorted(question) == ["agent_id", "framework_id", "id", "unavailability", "url"]
        assert question["agent_id"] == {"value": agent_id}
        assert question["unavailability"] == window(HERE)["unavailability"]
        offer = s.offer()
        assert offer["unavailability"] == window(HERE)["unavailability"]
        assert offer["url"] == question["url"]
        (shown,) = operator(master, "GET_FRAMEWORKS")["frameworks"]
        assert shown["inverse_offers"] == [question]

        def answer(kind, question, **filters):
            s.call(kind, **{kind.lower(): {"inverse_offer_ids": [question["id"], {"value": "none"}], "filters": filters}})

        for kind, shown in (("DECLINE_INVERSE_OFFERS", "DECLINE"), ("ACCEPT_INVERSE_OFFERS", "ACCEPT")):
            answer(kind, question, refuse_seconds=0)
            (machine,) = m.status()["draining_machines"]
            (status,) = machine["statuses"]
            assert machine["id"] == HERE
            assert (status["status"], status["framework_id"]) == (shown, {"value": s.framework_id})
            assert abs(status["timestamp"]["nanoseconds"] / 1e9 - time.time()) < 60
            events = s.until(lambda e: e["type"] == "INVERSE_OFFERS", "INVERSE_OFFERS")
            (question,) = events[-1]["inverse_offers"]["inverse_offers"]
        ok(m.set())
        s.until(lambda e: e == {"type": "RESCIND_INVERSE_OFFER", "rescind_inverse_offer": {"inverse_offer_id": question["id"]}})
        assert "unavailability" not in s.offer()


@rows("1.1", 2)
@rows("5.4", 2)
@rows("8.5", 1)
def test_down_and_up(cluster, api):
    master = cluster.master(allocation_interval="20ms")
    agent = cluster.agent(master)
    m = api(master)
    with Scheduler(master) as s:
        task, agent_id = s.launch()
        s.state(task, "TASK_RUNNING")
        bad(m.down(HERE))
        ok(m.set(window(HERE)))
        ok(m.down(HERE))
        status = s.update(task)
        assert (status["state"], status["reason"]) == ("TASK_LOST", "REASON_AGENT_REMOVED")
        assert m.status() == {"down_machines": [HERE]}
        assert get(master, "/state").json()["slaves"] == []
        wait_until(lambda: not agent.alive(), "the agent ends")
        # It may not come back, not even after the master did.
        agent.start(wait=False)
        wait_until(lambda: not agent.alive(), "the agent ends again")
        master.restart()
        agent.start(wait=False)
        wait_until(lambda: not agent.alive(), "the agent ends again")
        assert get(master, "/state").json()["slaves"] == []
        ok(m.up(HERE))
        agent.start()
        wait_until(lambda: get(master, "/state").json()["slaves"], "the agent is back")
        s2 = Scheduler(master, framework_id=s.framework_id)
        s2.subscribed()
        s2.state(s2.launch()[0], "TASK_RUNNING")
        s2.raw_call("TEARDOWN")
        s2.cut()
