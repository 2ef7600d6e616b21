"""Rows of the scheduler's and the executor's tables that no other file of this folder has: order of refusals, settings
that refuse, offers that do not go together, descriptions of tasks, groups, and what executors are told."""

import os

import pytest

from cluster import wait_until
from raw import (
    JSON, Executor, Scheduler, executor_info, get, ids, launch, operator, post, rows,
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
    uuid = executor.update(task, "TASK_RUNNING")
    assert executor.call("MESSAGE", message={"data": "eA=="}).status_code == 202
    executor.until(lambda e: e["type"] == "ACKNOWLEDGED")
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
        assert post(master, call, headers, "/api/v1/scheduler").status_code == code


@rows("4", 1)
def test_offers_of_others_can_be_declined(master, agent, framework):
    """Nobody asks whose offer it is that is declined."""
    offer = framework.offer(cpus=7)
    with Scheduler(master, role="other") as stranger:
        stranger.call("DECLINE", decline={"offer_ids": [offer["id"]], "filters": {"refuse_seconds": 600}})
        stranger.barrier()
        shown = get(master, "/frameworks", framework_id=framework.framework_id).json()["frameworks"][0]
        assert offer["id"]["value"] not in [o["id"] for o in shown["offers"]]


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
        s.call("REVIVE")
        offers = {}
        while len(offers) < 2:
            offer = s.offer(cpus=0.5)
            if offer["allocation_info"] == {"role": "dev"}:
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


def volume(**fields):
    return {**scalar("disk", 64), "disk": {"persistence": {"id": "v", "principal": "p"}, **fields}}


BAD_RESOURCES = {
    "volume without path": volume(),
    "volume on its own": {**scalar("disk", 1), "disk": {"volume": {"container_path": "x", "mode": "RW"}}},
    "disk of another name": {**scalar("mem", 32), "disk": {"source": {"type": "PATH", "path": {"root": "/x"}}}},
    "path of a block disk": {
        **scalar("disk", 1), "disk": {"source": {"type": "BLOCK", "path": {"root": "/x"}}},
    },
    "static above static": {
        **scalar("cpus", 0.1),
        "reservations": [{"type": "STATIC", "role": "a"}, {"type": "STATIC", "role": "a/b"}],
    },
    "not below the one before": {
        **scalar("cpus", 0.1),
        "reservations": [{"type": "STATIC", "role": "a"}, {"type": "DYNAMIC", "role": "b"}],
    },
    "reserved for all": {**scalar("cpus", 0.1), "reservations": [{"type": "DYNAMIC", "role": "*"}]},
    "both values": {**scalar("cpus", 0.1), "ranges": {"range": [{"begin": 1, "end": 2}]}},
    "text": {"name": "x", "type": "TEXT"},
    "no name": {**scalar("", 1)},
}


@rows("7", 3)
@rows("6.4", 1)
@pytest.mark.parametrize("name", BAD_RESOURCES)
def test_resources_of_tasks(master, agent, framework, name):
    offer = framework.offer(cpus=7)
    bad = framework.task(offer, resources=[scalar("cpus", 0.1), scalar("mem", 32), BAD_RESOURCES[name]])
    framework.accept([offer], [launch(bad)])
    assert updates(framework.barrier()) == {bad["task_id"]["value"]: ("TASK_ERROR", "REASON_TASK_INVALID")}


BAD_PARTS = {
    "secret with value": {
        "command": {"value": "x", "environment": {"variables": [
            {"name": "A", "type": "SECRET", "value": "v", "secret": {"type": "VALUE", "value": {"data": "eA=="}}}]}},
    },
    "value with secret": {
        "command": {"value": "x", "environment": {"variables": [
            {"name": "A", "value": "v", "secret": {"type": "VALUE", "value": {"data": "eA=="}}}]}},
    },
    "secret of two kinds": {
        "command": {"value": "x", "environment": {"variables": [
            {"name": "A", "type": "SECRET", "secret": {"type": "VALUE", "reference": {"name": "n"}}}]}},
    },
    "secret with a zero byte": {
        "command": {"value": "x", "environment": {"variables": [
            {"name": "A", "type": "SECRET", "secret": {"type": "VALUE", "value": {"data": "AA=="}}}]}},
    },
    "unknown variable": {
        "command": {"value": "x", "environment": {"variables": [{"name": "A", "type": "UNKNOWN", "value": "v"}]}},
    },
    "address with a quote": {"command": {"value": "x", "uris": [{"value": "http://h/a'b"}]}},
    "address with a backslash": {"command": {"value": "x", "uris": [{"value": "http://h/a\\b"}]}},
    "address without path": {"command": {"value": "x", "uris": [{"value": "http://host/"}]}},
    "absolute output": {"command": {"value": "x", "uris": [{"value": "http://h/a", "output_file": "/a"}]}},
    "two sources of a volume": {
        "container": {"type": "MESOS", "volumes": [
            {"container_path": "x", "mode": "RW", "host_path": "/a", "source": {"type": "SANDBOX_PATH", "sandbox_path": {"type": "SELF", "path": "p"}}}]},
    },
    "source of another kind": {
        "container": {"type": "MESOS", "volumes": [
            {"container_path": "x", "mode": "RW", "source": {"type": "SECRET", "sandbox_path": {"type": "SELF", "path": "p"}}}]},
    },
    "csi without provisioning": {
        "container": {"type": "MESOS", "volumes": [
            {"container_path": "x", "mode": "RW", "source": {"type": "CSI_VOLUME", "csi_volume": {"plugin_name": "p"}}}]},
    },
    "docker's name": {
        "container": {"type": "DOCKER", "docker": {"image": "i", "parameters": [{"key": "name", "value": "n"}]}},
    },
    "probe of no type": {"check": {}},
}


@rows("12", 5)
@rows("6.4", 1)
def test_commands_and_containers(master, agent, framework):
    offer = framework.offer(cpus=7)
    tasks = [framework.task(offer, **fields) for fields in BAD_PARTS.values()]
    # A body that does not fit the container's type is no fault.
    odd = framework.task(offer, container={"type": "MESOS", "docker": {"image": "i"}})
    framework.accept([offer], [launch(*tasks, odd)])
    seen = updates(framework.barrier())
    missing = [n for n, t in zip(BAD_PARTS, tasks) if t["task_id"]["value"] not in seen]
    assert not missing and odd["task_id"]["value"] not in seen
    assert set(seen.values()) == {("TASK_ERROR", "REASON_TASK_INVALID")}
    # A command without anything to run is found out by the executor.
    for command in ({}, {"shell": True}, {"shell": False, "arguments": ["x"]}):
        task, _ = framework.launch(command=command)
        assert framework.state(task, "TASK_FAILED")["message"] == "The command has no value"


@rows("11", 1)
@rows("6.2", 1)
def test_untyped_health_checks(master, agent, framework):
    """Of a command or of HTTP: the type follows from what is there. The agent is told the filled-in form."""
    offer = framework.offer(cpus=7)
    command = framework.task(offer, health_check={"command": {"value": "true"}, "interval_seconds": 100})
    http = framework.task(offer, health_check={"http": {"port": 1}, "interval_seconds": 100, "grace_period_seconds": 100})
    tcp = framework.task(offer, health_check={"tcp": {"port": 1}})
    framework.accept([offer], [launch(command, http, tcp)])
    assert updates(framework.barrier()) == {tcp["task_id"]["value"]: ("TASK_ERROR", "REASON_TASK_INVALID")}
    shown = {t["task_id"]["value"]: t for t in operator(master, "GET_TASKS")["tasks"]}
    assert shown[command["task_id"]["value"]]["health_check"]["type"] == "COMMAND"
    assert shown[http["task_id"]["value"]]["health_check"]["type"] == "HTTP"


@rows("6.4", 1)
def test_executors_stay_the_same(master, agent, framework):
    """A second task of an executor brings the same description, or none of it runs."""
    start(framework, "e")
    known(agent, framework, "e")
    task, _ = start(framework, "e", name="another")
    assert updates(framework.barrier())[task] == ("TASK_ERROR", "REASON_TASK_INVALID")
    # Neither with its framework's id nor without it is there a difference.
    task, _ = framework.launch(command=None, executor=executor_info("e"))
    assert updates(framework.barrier()) == {}


# ---- 6.5: groups ----


def group(tasks, **executor):
    info = {"executor_id": {"value": "g"}, "type": "DEFAULT", "resources": [scalar("cpus", 0.1), scalar("mem", 32), scalar("disk", 10)], **executor}
    return {"type": "LAUNCH_GROUP", "launch_group": {
        "executor": {k: v for k, v in info.items() if v is not None}, "task_group": {"tasks": tasks},
    }}


BAD_GROUPS = {
    "no type": ({"type": None}, {}),
    "unknown type": ({"type": "UNKNOWN"}, {}),
    "default with a command": ({"command": {"value": "x"}}, {}),
    "default in Docker": ({"container": {"type": "DOCKER", "docker": {"image": "i"}}}, {}),
    "default with an image": ({"container": {"type": "MESOS", "mesos": {"image": {"type": "DOCKER", "docker": {"name": "i"}}}}}, {}),
    "custom without command": ({"type": "CUSTOM"}, {}),
    "few cpus": ({"resources": [scalar("cpus", 0.001), scalar("mem", 32), scalar("disk", 10)]}, {}),
    "little memory": ({"resources": [scalar("cpus", 0.1), scalar("mem", 31), scalar("disk", 10)]}, {}),
    "no disk": ({"resources": [scalar("cpus", 0.1), scalar("mem", 32)]}, {}),
    "another framework": ({"framework_id": {"value": "another"}}, {}),
    "no framework": ({"framework_id": None}, {}),
    "task in Docker": ({}, {"container": {"type": "DOCKER", "docker": {"image": "i"}}}),
    "another executor": ({}, {"executor": executor_info("other")}),
    "HTTP check in a network": ({}, {
        "container": {"type": "MESOS", "network_infos": [{"name": "n"}]},
        "health_check": {"type": "HTTP", "http": {"port": 1}},
    }),
    "limits in shared groups": ({}, {"limits": {"mem": {"value": 64}}}),
    "too much": ({}, {"resources": [scalar("cpus", 100), scalar("mem", 32)]}),
    "bad task": ({}, {"kill_policy": {"grace_period": {"nanoseconds": -1}}}),
}


@rows("6.5", 5)
def test_refused_groups(master, agent, framework):
    """One bad task or a bad executor: none of the group runs, and each is told so."""
    offer = framework.offer(cpus=7)
    operations, expected = [], {}
    for name, (executor, task) in BAD_GROUPS.items():
        good, bad = framework.task(offer), framework.task(offer, **task)
        operations.append(group([good, bad], **{"framework_id": {"value": framework.framework_id}, **executor}))
        expected.update({t["task_id"]["value"]: name for t in (good, bad)})
    framework.accept([offer], operations)
    seen = updates(framework.barrier())
    assert not {expected[t] for t in set(expected) - set(seen)}
    assert set(seen.values()) == {("TASK_ERROR", "REASON_TASK_GROUP_INVALID")}


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


# ---- 8, 9: what executors say and are told ----


@rows("8.1", 1)
@pytest.mark.parametrize(
    "state", "TASK_FINISHED TASK_FAILED TASK_KILLED TASK_ERROR TASK_LOST TASK_DROPPED TASK_GONE TASK_GONE_BY_OPERATOR".split()
)
def test_states_of_executors(master, agent, framework, state):
    """A terminal state of an executor goes to the framework as it is; TASK_UNREACHABLE and TASK_UNKNOWN end nothing."""
    task, _ = start(framework, state)
    known(agent, framework, state)
    executor = Executor(agent, framework.framework_id, state)
    executor.until(lambda e: e["type"] == "LAUNCH")
    executor.update(task, "TASK_STARTING")
    executor.update(task, "TASK_RUNNING")
    executor.update(task, state)
    seen = [framework.update(task)["state"] for _ in range(3)]
    assert seen == ["TASK_STARTING", "TASK_RUNNING", state]
    wait_until(
        lambda: task not in [t["id"] for t in get(master, "/frameworks", framework_id=framework.framework_id).json()["frameworks"][0]["tasks"]],
        "the end of the task",
    )


@rows("8.3", 1)
def test_updates_of_a_framework_that_ends(master, agent):
    """The executor is told to end; what it says then reaches nobody and disturbs nothing."""
    s = Scheduler(master)
    s.subscribed()
    task, _ = start(s, "e", shutdown_grace_period={"nanoseconds": 60 * 10**9})
    known(agent, s, "e")
    executor = Executor(agent, s.framework_id, "e")
    executor.until(lambda e: e["type"] == "LAUNCH")
    executor.update(task, "TASK_RUNNING")
    s.state(task, "TASK_RUNNING")
    s.call("TEARDOWN")
    executor.until(lambda e: e["type"] == "SHUTDOWN")
    executor.update(task, "TASK_KILLED")
    completed = get(master, "/frameworks", framework_id=s.framework_id).json()["completed_frameworks"][0]
    assert [(t["id"], t["state"]) for t in completed["completed_tasks"]] == [(task, "TASK_KILLED")]


@rows("9.2", 2)
def test_environment_with_checkpoint(master, agent):
    with Scheduler(master, checkpoint=True) as s:
        start(s, "e", command={"value": "env > partial; mv partial environment; exec sleep 1000"})
        path = os.path.join(known(agent, s, "e")["directory"], "environment")
        wait_until(lambda: os.path.exists(path), "the environment")
        with open(path, encoding="utf-8") as f:
            of_executor = dict(line.rstrip("\n").split("=", 1) for line in f if "=" in line)
        assert of_executor["MESOS_CHECKPOINT"] == "1"
        assert of_executor["MESOS_RECOVERY_TIMEOUT"] == "15mins"
        assert of_executor["MESOS_SUBSCRIPTION_BACKOFF_MAX"] == "2secs"
        task, _ = s.launch(command={"value": "env > partial; mv partial environment; exec sleep 1000"})
        s.state(task, "TASK_RUNNING")
        path = os.path.join(known(agent, s, task)["directory"], "environment")
        wait_until(lambda: os.path.exists(path), "the environment")
        with open(path, encoding="utf-8") as f:
            of_task = dict(line.rstrip("\n").split("=", 1) for line in f if "=" in line)
        assert of_task["MESOS_ALLOCATION_ROLE"] == "*"
