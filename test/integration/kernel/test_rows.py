"""Rows of the scheduler's and the executor's tables that no other file of this folder has: order of refusals, settings
that refuse, offers that do not go together, descriptions of tasks, groups, and what executors are told."""

import http.client
import json

import pytest

from cluster import wait_until
from raw import (
    JSON, TIMEOUT, Executor, Scheduler, executor_info, get, ids, launch, post, rows,
)
from scheduler import scalar
from test_agent_api import event_task, known, start
from test_scheduler_http import INFO, MULTI, ROLES, constraint, refusal


def updates(events):
    """State and reason by task, of the updates that the master made."""
    found = [e["update"]["status"] for e in events if e["type"] == "UPDATE"]
    return {s["task_id"]["value"]: (s["state"], s["reason"]) for s in found if s["source"] == "SOURCE_MASTER"}


def answers(events):
    """State by operation."""
    found = [e["update_operation_status"]["status"] for e in events if e["type"] == "UPDATE_OPERATION_STATUS"]
    return {o["operation_id"]["value"]: o["state"] for o in found}


# ---- 3: subscriptions ----

# Each fault alone, in the order in which they are looked for.
FAULTS = [
    ({"role": "a"}, {}),
    ({"roles": ["a", "a"]}, {}),
    ({"roles": ["-a"]}, {}),
    ({"_id": "a/b"}, {}),
    ({"offer_filters": {"a": {"min_allocatable_resources": {"quantities": [{}]}}}}, {}),
    ({"failover_timeout": 1e12}, {}),
    ({}, {"suppressed_roles": ["b"]}),
    ({}, {"offer_constraints": {"role_constraints": {"a": {"groups": []}}}}),
]


@rows("3.2", 8)
def test_first_fault_decides(master):
    """Of two faults the one that is looked for first is told, with the words that it has alone."""

    def told(*faults):
        info, subscribe = {**ROLES, "roles": ["a"]}, {}
        for more, also in faults:
            info.update(more)
            subscribe.update(also)
        return refusal(master, info, info.pop("_id", None), **subscribe)

    alone = [told(f) for f in FAULTS]
    assert all(alone) and len(set(alone)) == len(alone), alone
    for i, first in enumerate(FAULTS):
        for second in FAULTS[i + 1 :]:
            if set(first[0]) & set(second[0]) or set(first[1]) & set(second[1]):
                continue
            assert told(first, second) == alone[i], (first, second)


@rows("3.2", 3)
@rows("7.2", 3)
def test_settings_of_the_master_refuse(cluster):
    master = cluster.master(
        roles="a,b", root_submissions="false", max_completed_frameworks=1, max_completed_tasks_per_framework=1,
        allocation_interval="20ms",
    )
    agent = cluster.agent(master)
    assert refusal(master, {**INFO, **MULTI, "roles": ["a", "c"]})
    assert refusal(master, {**INFO, **MULTI, "roles": ["a"], "user": "root"})
    gone = []
    wait_until(lambda: get(master, "/slaves").json()["slaves"], "the agent")
    for _ in range(2):
        with Scheduler(master, role="b", user="nobody") as s:
            gone.append(s.framework_id)
            for _ in range(2):
                offer = s.offer(cpus=0.5)
                task = s.task(offer, command={"value": "true", "user": "root"})
                s.accept([offer], [launch(task)])
                assert updates(s.barrier()) == {task["task_id"]["value"]: ("TASK_ERROR", "REASON_TASK_INVALID")}
                offer = s.offer(cpus=0.5)
                bad = s.task(offer, command=None, executor=executor_info(command={"value": "x", "user": "root"}))
                s.accept([offer], [launch(bad)])
                assert updates(s.barrier()) == {bad["task_id"]["value"]: ("TASK_ERROR", "REASON_TASK_INVALID")}
    completed = get(master, "/frameworks").json()["completed_frameworks"]
    assert [f["id"] for f in completed] == gone[1:], "one is remembered"
    assert refusal(master, {**ROLES, "failover_timeout": 0}, gone[1]) == "Framework has been removed"
    assert refusal(master, {**ROLES, "failover_timeout": 0}, gone[0]) == "Framework has been removed", "ids are kept longer"
    agent.kill()


@rows("3.2", 1)
def test_regular_expressions_are_bounded(master):
    def told(regex):
        return refusal(master, ROLES, offer_constraints=constraint(predicate={"text_matches": {"regex": regex}}))

    assert told("a{1,3}b*") is None
    assert told("(((((a{1,100}){1,100}){1,100}){1,100}){1,100})")
    assert told("x" * 100000)


@rows("3.3", 1)
@rows("5.5", 1)
def test_known_from_agents_only(cluster):
    """After a restart of the master: shown as recovered, without a timeout, until it subscribes."""
    master = cluster.master(allocation_interval="20ms")
    cluster.agent(master)
    s = Scheduler(master, failover_timeout=0.001, checkpoint=True)
    s.subscribed()
    task, _ = s.launch()
    s.state(task, "TASK_RUNNING")
    master.restart()
    shown = wait_until(
        lambda: [
            f for f in get(master, "/frameworks", framework_id=s.framework_id).json()["frameworks"]
            if [t["id"] for t in f["tasks"]] == [task]
        ],
        "the agent",
    )[0]
    assert (shown["recovered"], shown["active"], shown["connected"], shown["name"]) == (True, False, False, "raw")
    with Scheduler(master, framework_id=s.framework_id, failover_timeout=100.0) as again:
        again.reconcile(ids(task_id=task))
        assert again.update(task)["state"] == "TASK_RUNNING"
        shown = get(master, "/frameworks", framework_id=s.framework_id).json()["frameworks"][0]
        assert (shown["recovered"], shown["active"], shown["failover_timeout"]) == (False, True, 100.0)


@rows("3.4", 1)
def test_updates_wait_for_the_framework(master, agent):
    """Updates come again when the framework is back; messages were lost."""
    s = Scheduler(master, checkpoint=True)
    s.subscribed()
    task, _ = start(s, "e")
    known(agent, s, "e")
    executor = Executor(agent, s.framework_id, "e")
    executor.until(lambda e: e["type"] == "LAUNCH")
    s.cut()
    wait_until(lambda: s.raw_call("REVIVE").status_code == 403, "the end of the stream to be seen")
    assert executor.call("MESSAGE", message={"data": "eA=="}).status_code == 202
    uuid = executor.update(task, "TASK_RUNNING")
    executor.until(lambda e: e["type"] == "ACKNOWLEDGED")
    # The agent's link keeps the order: with the update the message has reached the master, too.
    wait_until(
        lambda: [t for t in get(master, "/tasks", task_id=task).json()["tasks"] if t["state"] == "TASK_RUNNING"],
        "the update to reach the master",
    )
    with Scheduler(master, framework_id=s.framework_id) as again:
        agent.restart()  # it repeats at once when it has registered
        executor = Executor(agent, s.framework_id, "e", unacknowledged_tasks=[event_task(task)])
        events = again.until(lambda e: e["type"] == "UPDATE")
        assert events[-1]["update"]["status"]["uuid"] == uuid
        assert not [e for e in events if e["type"] == "MESSAGE"]


# ---- 4: calls ----


@rows("1.2", 1)
def test_accept_of_operations_to_reconcile(master, framework):
    """Its Accept is looked at though its answer is empty; that of UPDATE_FRAMEWORK is not."""
    info = {**framework.info, **ids(id=framework.framework_id)}
    for code, kind, body in (
        (406, "RECONCILE_OPERATIONS", {}), (200, "UPDATE_FRAMEWORK", {"framework_info": info}),
    ):
        call = {"type": kind, **ids(framework_id=framework.framework_id), kind.lower(): body}
        headers = {**JSON, "Accept": "text/html", "Mesos-Stream-Id": framework.stream_id}
        r = post(master, call, headers, "/api/v1/scheduler")
        assert r.status_code == code
        assert r.headers["Content-Type"] == "application/json" if code == 200 else "text/plain"


@rows("13", 1)
def test_accept_in_two_lines(master):
    """The lines are one list."""
    body = json.dumps({"type": "SUBSCRIBE", "subscribe": {"framework_info": INFO}}).encode()
    client = http.client.HTTPConnection(master.ip, master.port, timeout=TIMEOUT)
    client.putrequest("POST", "/api/v1/scheduler")
    for name, value in (
        ("Content-Type", "application/json"), ("Accept", "text/html"), ("Accept", "application/x-protobuf"),
        ("Content-Length", str(len(body))),
    ):
        client.putheader(name, value)
    client.endheaders(body)
    r = client.getresponse()
    assert (r.status, r.getheader("Content-Type")) == (200, "application/x-protobuf")
    client.close()


@rows("4", 1)
def test_offers_of_others_stay(master, agent, framework):
    """They cannot be declined by somebody else."""
    offer = framework.offer(cpus=7)
    with Scheduler(master, role="other") as stranger:
        stranger.call("DECLINE", decline={"offer_ids": [offer["id"]], "filters": {"refuse_seconds": 600}})
        stranger.barrier()
        shown = get(master, "/frameworks", framework_id=framework.framework_id).json()["frameworks"][0]
        assert [o["id"] for o in shown["offers"]] == [offer["id"]["value"]]


@rows("4", 1)
@rows("4.6", 1)
def test_update_framework_replaces(master, agent):
    """Suppressed roles and constraints are those of the last call; a refused call changes nothing."""
    with Scheduler(master, roles=["a", "b"], principal="p", subscribe={"suppressed_roles": ["a"]}) as s:
        offer = s.offer(cpus=7)
        assert offer["allocation_info"] == {"role": "b"}

        def update(code, change=None, **more):
            info = {**s.info, **ids(id=s.framework_id), **(change or {})}
            info = {k: v for k, v in info.items() if v is not None}
            r = s.raw_call("UPDATE_FRAMEWORK", update_framework={"framework_info": info, **more})
            assert r.status_code == code, r.text

        before = get(master, "/frameworks", framework_id=s.framework_id).json()["frameworks"][0]
        update(400, {"principal": None})
        update(400, suppressed_roles=["c"])
        update(400, offer_constraints=constraint(selector={}))
        update(400, {"failover_timeout": 1e12})
        update(400, {"id": None})
        after = get(master, "/frameworks", framework_id=s.framework_id).json()["frameworks"][0]
        assert {k: v for k, v in after.items() if k != "offers"} == {k: v for k, v in before.items() if k != "offers"}
        update(200, suppressed_roles=["b"], offer_constraints=constraint(predicate={"text_equals": {"value": "a"}}))
        s.accept([offer], [], 600)
        shown = get(master, "/frameworks", framework_id=s.framework_id).json()["frameworks"][0]
        assert list(shown["offer_constraints"]["role_constraints"]) == ["a"]
        while s.offer(cpus=0.1)["allocation_info"]["role"] != "a":
            pass
        update(200)
        shown = get(master, "/frameworks", framework_id=s.framework_id).json()["frameworks"][0]
        assert shown["offer_constraints"] == {}


# ---- 6: ACCEPT ----


@rows("6.1", 2)
@rows("6.3", 1)
def test_offers_that_do_not_go_together(cluster):
    """Of two roles and of two agents: all are void. Of one role and one agent they are one pool."""
    master = cluster.master(allocation_interval="20ms")
    first = cluster.agent(master, resources="cpus:4;mem:512;disk:0;ports:[];cpus(dev):2;mem(dev):256")
    with Scheduler(master, roles=["dev", "other"], subscribe={"suppressed_roles": ["other"]}) as s:
        mine = s.offer(cpus=6)
        # A part is used, the rest comes to the other role.
        task = s.task(mine, cpus=3, mem=256)
        s.accept([mine], [launch(task)], 600)
        s.state(task["task_id"]["value"], "TASK_RUNNING")
        s.call("SUPPRESS", suppress={"roles": ["dev"]})
        s.call("REVIVE", revive={"roles": ["other"]})
        other = s.offer(cpus=0.5)
        assert other["allocation_info"] == {"role": "other"}
        s.call("KILL", kill=ids(task_id=task["task_id"]["value"]))
        s.state(task["task_id"]["value"], "TASK_KILLED")
        s.call("SUPPRESS", suppress={"roles": ["other"]})
        s.call("REVIVE", revive={"roles": ["dev"]})
        again = s.offer(cpus=0.5)
        while again["allocation_info"] != {"role": "dev"}:
            again = s.offer(cpus=0.5)
        assert again["agent_id"] == other["agent_id"]
        bad = s.task(again)
        s.accept([again, other], [launch(bad)])
        assert updates(s.barrier()) == {bad["task_id"]["value"]: ("TASK_DROPPED", "REASON_INVALID_OFFERS")}
        second = cluster.agent(master, "agent2")
        s.call("REVIVE", revive={"roles": ["dev"]})
        offers = {}
        while len(offers) < 2:
            offer = s.offer(cpus=0.5)
            offers[offer["agent_id"]["value"]] = offer
        bad = s.task(offer)
        s.accept(list(offers.values()), [launch(bad)])
        assert updates(s.barrier()) == {bad["task_id"]["value"]: ("TASK_DROPPED", "REASON_INVALID_OFFERS")}
        second.kill()
        first.kill()


@rows("6.3", 1)
def test_two_offers_are_one_pool(cluster):
    """A task of what two offers hold together."""
    master = cluster.master(allocation_interval="20ms")
    cluster.agent(master, resources="cpus:4;mem:512;disk:0;ports:[]")
    with Scheduler(master) as s:
        offer = s.offer(cpus=4)
        half = s.task(offer, cpus=2, mem=256)
        s.accept([offer], [launch(half)])
        s.state(half["task_id"]["value"], "TASK_RUNNING")
        one = s.offer(cpus=1)
        s.call("KILL", kill=ids(task_id=half["task_id"]["value"]))
        s.state(half["task_id"]["value"], "TASK_KILLED")
        two = s.offer(cpus=1)
        assert one["id"] != two["id"] and one["agent_id"] == two["agent_id"]
        whole = s.task(one, cpus=3.5, mem=400)
        s.accept([one, two], [launch(whole)])
        s.state(whole["task_id"]["value"], "TASK_RUNNING")


@rows("6.2", 2)
def test_operations_without_their_body(master, agent, framework):
    """Tasks get an answer, operations with an id too; RESERVE of what is reserved elsewhere is for operators."""
    offer = framework.offer(cpus=7)
    framework.accept(
        [offer],
        [
            {"type": "LAUNCH"},
            {"type": "LAUNCH_GROUP"},
            {"type": "RESERVE", "id": {"value": "without"}},
            {"type": "CREATE", "id": {"value": "create"}},
            {"type": "CREATE_DISK", "id": {"value": "disk"}},
            {"type": "RESERVE"},
            {
                "type": "RESERVE", "id": {"value": "source"},
                "reserve": {
                    "source": [scalar("cpus", 1)],
                    "resources": [{**scalar("cpus", 1), "reservations": [{"type": "DYNAMIC", "role": "*"}]}],
                },
            },
        ],
    )
    events = framework.barrier()
    assert updates(events) == {}
    assert answers(events) == {k: "OPERATION_ERROR" for k in ("without", "create", "disk", "source")}
    for e in events:
        if e["type"] == "UPDATE_OPERATION_STATUS":
            assert "uuid" not in e["update_operation_status"]["status"]


# ---- 6.7, 4.6, 4.7: filters and constraints ----


@rows("6.7", 1)
def test_more_than_was_declined_is_offered(cluster):
    """A filter holds back what is within what was declined. When the agent has more, that breaks through."""
    master = cluster.master(allocation_interval="20ms")
    cluster.agent(master, resources="cpus:2;mem:256;disk:0;ports:[]")
    with Scheduler(master) as s:
        task, _ = s.launch()
        s.state(task, "TASK_RUNNING")
        offer = s.offer(cpus=1)
        s.call("DECLINE", decline={"offer_ids": [offer["id"]], "filters": {"refuse_seconds": 600}})
        assert not [e for e in s.barrier() if e["type"] == "OFFERS"]
        s.call("KILL", kill=ids(task_id=task))
        s.state(task, "TASK_KILLED")
        again = s.offer(cpus=2)
        s.call("DECLINE", decline={"offer_ids": [again["id"]], "filters": {"refuse_seconds": 600}})
        assert not [e for e in s.barrier() if e["type"] == "OFFERS"]


@rows("4.6", 1)
def test_other_attributes_end_filters(cluster):
    master = cluster.master(allocation_interval="20ms")
    agent = cluster.agent(master, attributes="rack:a", reconfiguration_policy="additive")
    wait_until(lambda: get(agent, "/state").json()["id"], "the agent to know its id")
    with Scheduler(master) as s:
        offer = s.offer()
        s.call("DECLINE", decline={"offer_ids": [offer["id"]], "filters": {"refuse_seconds": 600}})
        agent.restart()
        wait_until(lambda: get(master, "/state").json()["slaves"][0].get("reregistered_time"), "the agent")
        assert not [e for e in s.barrier() if e["type"] == "OFFERS"]
        agent.kill()
        agent.flags["attributes"] = "rack:a;zone:z"
        agent.start()
        assert {a["name"] for a in s.offer()["attributes"]} == {"rack", "zone"}


@rows("4.7", 1)
@pytest.mark.parametrize(
    "predicate, selector, offered",
    [
        ({"text_equals": {"value": "a"}}, "rack", True),
        ({"text_equals": {"value": "b"}}, "rack", False),
        ({"text_not_equals": {"value": "b"}}, "rack", True),
        ({"text_matches": {"regex": "[ab]"}}, "rack", True),
        ({"text_matches": {"regex": "[ab]"}}, "none", False),
        ({"text_not_matches": {"regex": "a"}}, "none", True),
        ({"exists": {}}, "none", False),
        ({"not_exists": {}}, "none", True),
        ({"text_equals": {"value": "other"}}, "n", True),
        ({"text_not_equals": {"value": "2.5"}}, "n", True),
    ],
    ids=str,
)
def test_constraints_choose_agents(master, agent, predicate, selector, offered):
    """The agent has rack:a, a text, and n:2.5, which is none: whatever is asked of its text is true."""
    constraints = constraint(selector={"attribute_name": selector}, predicate=predicate)
    with Scheduler(master, role="a", subscribe={"offer_constraints": constraints}) as s:
        if offered:
            assert s.offer(cpus=7)
        else:
            s.call("REVIVE")
            assert not [e for e in s.barrier() if e["type"] == "OFFERS"]
