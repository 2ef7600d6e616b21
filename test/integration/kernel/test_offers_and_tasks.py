"""Offers, ACCEPT and what it refuses, filters, calls, updates and reconciliation."""

import pytest
import requests

from cluster import wait_until
from raw import (
    CAPABILITIES, JSON, UUID, Executor, Scheduler, executor_info, get, ids, launch, operator, post, rows,
)
from scheduler import scalar

OLD = ()  # no capability at all
PA = ("MULTI_ROLE", "RESERVATION_REFINEMENT", "PARTITION_AWARE")
NOT_PA = ("MULTI_ROLE", "RESERVATION_REFINEMENT")


def with_role(resource, role="*"):
    return {**resource, "allocation_info": {"role": role}}


# ---- 5 ----


@rows("5", 4)
def test_offer(master, agent, framework):
    offer = framework.offer(cpus=8)
    assert list(offer) == [
        "id", "framework_id", "agent_id", "hostname", "url", "resources", "attributes", "allocation_info",
    ]
    master_id = get(master, "/state").json()["id"]
    assert offer["id"]["value"].startswith(master_id + "-O")
    assert int(offer["id"]["value"][len(master_id) + 2 :]) >= 0
    assert offer["agent_id"]["value"].startswith(master_id + "-S")
    assert offer["framework_id"]["value"] == framework.framework_id
    assert offer["url"] == {
        "scheme": "http",
        "address": {"hostname": "127.0.0.1", "ip": "127.0.0.1", "port": agent.port},
        "path": "/slave(1)",
    }
    assert offer["allocation_info"] == {"role": "*"}
    by_name = {r["name"]: r for r in offer["resources"]}
    assert by_name["cpus"] == {
        "name": "cpus", "type": "SCALAR", "scalar": {"value": 8.0}, "allocation_info": {"role": "*"},
    }
    assert by_name["ports"]["ranges"] == {"range": [{"begin": 31000, "end": 31999}]}
    assert by_name["zones"]["type"] == "SET" and sorted(by_name["zones"]["set"]["item"]) == ["a", "b"]
    assert {a["name"]: a["type"] for a in offer["attributes"]} == {"rack": "TEXT", "n": "SCALAR", "r": "RANGES"}


@rows("5", 2)
def test_offer_to_an_old_framework(master, agent):
    """No allocation_info; resources with role."""
    with Scheduler(master, capabilities=OLD, role="dev") as s:
        offer = s.offer(cpus=9)
        assert "allocation_info" not in offer
        assert not [r for r in offer["resources"] if "allocation_info" in r or "reservations" in r]
        roles = {(r["name"], r["role"]) for r in offer["resources"]}
        assert {("cpus", "*"), ("cpus", "dev"), ("mem", "dev"), ("ports", "*")} <= roles
    with Scheduler(master, role="dev") as s:
        offer = s.offer(cpus=9)
        reserved = [r for r in offer["resources"] if r.get("reservations")]
        assert {r["name"] for r in reserved} == {"cpus", "mem"}
        assert all(r["reservations"] == [{"type": "STATIC", "role": "dev"}] and "role" not in r for r in reserved)
        assert all(r["allocation_info"] == {"role": "dev"} for r in offer["resources"])


@rows("5")
def test_executors_in_offers(master, agent, framework):
    task, _ = framework.launch(executor=executor_info("e1", framework_id={"value": framework.framework_id}), command=None)
    offer = framework.offer(cpus=1)
    assert offer["executor_ids"] == [{"value": "e1"}]


# ---- 6.1 ----


@rows("6.1", 6)
@pytest.mark.parametrize("capabilities, state", [(PA, "TASK_DROPPED"), (NOT_PA, "TASK_LOST")])
def test_invalid_offers(master, agent, capabilities, state):
    with Scheduler(master, capabilities=capabilities) as s:
        offer = s.offer(cpus=7)

        def refused(offers):
            task = s.task(offer)
            operation = {"type": "RESERVE", "id": {"value": "op"}, "reserve": {"resources": []}}
            silent = {"type": "RESERVE", "reserve": {"resources": []}}
            s.accept(offers, [launch(task), silent, operation])
            status = s.update(task["task_id"]["value"])
            assert (status["state"], status["reason"], status["source"]) == (
                state, "REASON_INVALID_OFFERS", "SOURCE_MASTER",
            )
            assert "uuid" not in status and status["message"] and status["timestamp"] > 0
            event = s.next()
            while event["type"] != "UPDATE_OPERATION_STATUS":
                assert event["type"] in ("OFFERS", "HEARTBEAT"), event
                event = s.next()
            operation_status = event["update_operation_status"]["status"]
            assert operation_status["operation_id"] == {"value": "op"}
            assert operation_status["state"] == "OPERATION_ERROR"
            assert "uuid" not in operation_status and "agent_id" not in operation_status

        refused([])
        refused(["nothing"])
        refused([offer, offer])
        # It came back without a filter and without RESCIND.
        again = s.offer(cpus=7)
        assert again["id"] != offer["id"]
        refused([offer])
        refused([again, "nothing"])
        mine = s.offer(cpus=7)
        with Scheduler(master, role="other") as stranger:
            s.accept([mine], [], refuse_seconds=600)
            other = stranger.offer(cpus=7)
            refused([other])


@rows("6.1", 1)
def test_offers_of_two_roles(master, agent):
    """Even when both are of one framework."""
    with Scheduler(master, roles=["*", "dev"]) as s:
        first = s.offer(cpus=7)
        s.call("SUPPRESS", suppress={"roles": [first["allocation_info"]["role"]]})
        task = s.task(first, cpus=1)
        s.accept([first], [launch(task)], refuse_seconds=600)
        s.state(task["task_id"]["value"], "TASK_RUNNING")
        s.call("REVIVE", revive={"roles": ["*" if first["allocation_info"]["role"] == "dev" else "dev"]})
        second = s.offer(cpus=1)
        assert second["allocation_info"] != first["allocation_info"]


# ---- 6.2, 6.4 ----

BAD_TASKS = {
    "id empty": {"task_id": {"value": ""}},
    "id dots": {"task_id": {"value": ".."}},
    "id slash": {"task_id": {"value": "a/b"}},
    "id backslash": {"task_id": {"value": "a\\b"}},
    "id control": {"task_id": {"value": "a\x01b"}},
    "id long": {"task_id": {"value": "x" * 256}},
    "agent": {"agent_id": {"value": "another"}},
    "grace": {"kill_policy": {"grace_period": {"nanoseconds": -1}}},
    "completion": {"max_completion_time": {"nanoseconds": -1}},
    "check without type": {"check": {"command": {"command": {"value": "true"}}}},
    "check unknown": {"check": {"type": "COMMAND"}},
    "check delay": {"check": {"type": "TCP", "tcp": {"port": 1}, "delay_seconds": -1}},
    "check path": {"check": {"type": "HTTP", "http": {"port": 1, "path": "x"}}},
    "health check of no kind": {"health_check": {}},
    "health check HTTP": {"health_check": {"type": "HTTP"}},
    "health check scheme": {"health_check": {"type": "HTTP", "http": {"port": 1, "scheme": "ftp"}}},
    "health check path": {"health_check": {"type": "HTTP", "http": {"port": 1, "path": "x"}}},
    "health check interval": {"health_check": {"type": "TCP", "tcp": {"port": 1}, "interval_seconds": -1}},
    "no resources": {"resources": []},
    "negative": {"resources": [scalar("cpus", -1)]},
    "too small": {"resources": [scalar("cpus", 0.0001)]},
    "no value": {"resources": [{"name": "cpus", "type": "SCALAR"}]},
    "wrong type": {"resources": [{"name": "cpus", "type": "RANGES", "ranges": {"range": [{"begin": 1, "end": 2}]}}]},
    "overlap": {
        "resources": [
            scalar("cpus", 0.1),
            {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 31000, "end": 31001}, {"begin": 31001, "end": 31002}]}},
        ]
    },
    "backwards": {"resources": [{"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 31001, "end": 31000}]}}]},
    "set twice": {"resources": [scalar("cpus", 0.1), {"name": "zones", "type": "SET", "set": {"item": ["a", "a"]}}]},
    "gpus": {"resources": [scalar("gpus", 0.5)]},
    "two roles": {"resources": [with_role(scalar("cpus", 0.1)), with_role(scalar("mem", 32), "dev")]},
    "revocable and not": {"resources": [scalar("cpus", 0.1), {**scalar("cpus", 0.1), "revocable": {}}]},
    "empty disk": {"resources": [{**scalar("disk", 1), "disk": {}}]},
    "environment": {"command": {"value": "x", "environment": {"variables": [{"name": "A"}]}}},
    "secret": {"command": {"value": "x", "environment": {"variables": [{"name": "A", "type": "SECRET"}]}}},
    "volume": {"container": {"type": "MESOS", "volumes": [{"container_path": "x", "mode": "RW"}]}},
    "docker": {"container": {"type": "DOCKER"}},
    "no command": {"command": None},
    "limits": {"limits": {"disk": {"value": 5}}},
    "limit below": {"limits": {"cpus": {"value": 0.01}}},
    "limit without request": {"resources": [scalar("cpus", 0.1)], "limits": {"mem": {"value": 64}}},
    "more than there is": {"resources": [scalar("cpus", 1000), scalar("mem", 32)]},
    "share_cgroups": {"container": {"type": "MESOS", "linux_info": {"share_cgroups": False}}},
    "both": {"executor": executor_info()},
    "executor id": {"command": None, "executor": executor_info("a/b")},
    "executor grace": {"command": None, "executor": executor_info(shutdown_grace_period={"nanoseconds": -1})},
    "executor command": {"command": None, "executor": {**executor_info(), "command": None}},
    "executor default": {"command": None, "executor": {**executor_info(type="DEFAULT"), "command": None}},
    "executor framework": {"command": None, "executor": executor_info(framework_id={"value": "another"})},
    "executor resources": {"command": None, "executor": executor_info(resources=[scalar("cpus", -1)])},
    "executor share_cgroups": {
        "command": None,
        "executor": executor_info(container={"type": "MESOS", "linux_info": {"share_cgroups": True}}),
    },
    "same ports": {
        "command": None,
        "resources": [scalar("cpus", 0.1), {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 31000, "end": 31001}]}}],
        "executor": executor_info(
            resources=[scalar("cpus", 0.1), {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 31001, "end": 31002}]}}]
        ),
    },
}


# Resources that are no resources: the whole operation is refused, not the task alone.
SPOILING_TASKS = ["negative", "too small", "no value", "overlap", "backwards", "set twice", "executor resources"]


@rows("6.3", 1)
@rows("6.4", 14)
@rows("11", 4)
@rows("12", 4)
def test_invalid_tasks(master, agent, framework):
    """One call with all of them and a good one in their midst: each gets its answer, the good one runs."""
    offer = framework.offer(cpus=7)
    tasks, expected = [], {}
    for name, fields in BAD_TASKS.items():
        if name in SPOILING_TASKS:
            continue
        task = framework.task(offer, **{"task_id": None, **{k: v for k, v in fields.items() if k != "task_id"}})
        if "task_id" in fields:
            task["task_id"] = fields["task_id"]
        if task.get("executor"):
            task["executor"] = {k: v for k, v in task["executor"].items() if v is not None}
        expected[task["task_id"]["value"]] = name
        tasks.append(task)
    good = framework.task(offer)
    twin = {**good}
    tasks[10:10] = [good, twin]
    framework.accept([offer], [launch(*tasks)])
    seen = {}
    for event in framework.barrier():
        if event["type"] == "UPDATE":
            status = event["update"]["status"]
            if status["source"] == "SOURCE_MASTER":
                seen[status["task_id"]["value"]] = status
    assert not set(expected) - set(seen), [expected[i] for i in set(expected) - set(seen)]
    for status in seen.values():
        assert (status["state"], status["reason"]) == ("TASK_ERROR", "REASON_TASK_INVALID"), status
        assert "uuid" not in status and status["message"] and status["agent_id"] == offer["agent_id"]
    assert "duplicate" in seen[good["task_id"]["value"]]["message"].lower()
    framework.reconcile(ids(task_id=good["task_id"]["value"]))
    assert framework.update(good["task_id"]["value"])["state"] != "TASK_ERROR"


@rows("6.2", 1)
@pytest.mark.parametrize("name", SPOILING_TASKS)
def test_a_malformed_resource_spoils_the_operation(master, agent, framework, name):
    offer = framework.offer(cpus=7)
    bad = framework.task(offer, **BAD_TASKS[name])
    good, other = framework.task(offer), framework.task(offer)
    framework.accept([offer], [launch(good, bad), launch(other)])
    updates = [e["update"]["status"] for e in framework.barrier() if e["type"] == "UPDATE" and "uuid" not in e["update"]["status"]]
    assert [u["task_id"] for u in updates] == [good["task_id"], bad["task_id"]]
    for status in updates:
        assert (status["state"], status["reason"]) == ("TASK_ERROR", "REASON_TASK_INVALID"), status
        assert "Invalid resource" in status["message"]


@rows("6.2", 3)
def test_operations_that_are_no_launch(master, agent, framework):
    offer = framework.offer(cpus=7)
    task = framework.task(offer)
    group = {"type": "LAUNCH_GROUP", "launch_group": {"executor": executor_info(), "task_group": {"tasks": [framework.task(offer, "g1"), framework.task(offer, "g2")]}}}
    framework.accept(
        [offer],
        [
            launch(task, id={"value": "op"}),
            {"type": "UNKNOWN"},
            {**group, "id": {"value": "op"}},
            group,
            {"type": "RESERVE", "id": {"value": "r"}, "reserve": {"resources": [scalar("cpus", 1)]}},
            {"type": "CREATE", "create": {"volumes": []}},
        ],
    )
    events = framework.barrier()
    updates = [e["update"]["status"] for e in events if e["type"] == "UPDATE"]
    assert [(u["task_id"]["value"], u["state"], u["reason"]) for u in updates] == [
        (task["task_id"]["value"], "TASK_ERROR", "REASON_TASK_INVALID"),
        *[(t, "TASK_ERROR", "REASON_TASK_GROUP_INVALID") for t in ("g1", "g2", "g1", "g2")],
    ]
    operations = [e["update_operation_status"]["status"] for e in events if e["type"] == "UPDATE_OPERATION_STATUS"]
    assert [(o["operation_id"]["value"], o["state"]) for o in operations] == [("r", "OPERATION_ERROR")]


# ---- 4, 6.7 ----


@rows("6.7", 3)
@rows("4", 4)
def test_filters_revive_and_suppress(master, agent, framework):
    framework.idle()
    offer = framework.offer(cpus=8)
    framework.call("DECLINE", decline={"offer_ids": [{"value": "nothing"}, offer["id"]], "filters": {"refuse_seconds": 600}})
    assert not [e for e in framework.barrier() if e["type"] == "OFFERS"]
    # A wrong role drops the whole call.
    framework.call("REVIVE", revive={"roles": ["*", "not-subscribed"]})
    framework.call("REVIVE", revive={"roles": ["a b"]})
    assert not [e for e in framework.barrier() if e["type"] == "OFFERS"]
    framework.call("REVIVE")
    offer = framework.offer(cpus=7)
    framework.call("SUPPRESS")
    framework.call("DECLINE", decline={"offer_ids": [offer["id"]], "filters": {"refuse_seconds": 0}})
    assert not [e for e in framework.barrier() if e["type"] in ("OFFERS", "RESCIND")]
    roles = [r for r in operator(master, "GET_ROLES")["roles"] if r["name"] == "*"]
    assert roles
    framework.call("REVIVE", revive={"roles": ["*"]})
    offer = framework.offer(cpus=7)
    # Zero: soon again. Negative: five seconds.
    framework.call("DECLINE", decline={"offer_ids": [offer["id"]], "filters": {"refuse_seconds": 0}})
    offer = framework.offer(cpus=7)
    framework.call("DECLINE", decline={"offer_ids": [offer["id"]], "filters": {"refuse_seconds": -1}})
    assert not [e for e in framework.barrier() if e["type"] == "OFFERS"]
    framework.call("REVIVE", revive={})
    framework.accept([framework.offer(cpus=7)], [], refuse_seconds=1e300)
    assert not [e for e in framework.barrier() if e["type"] == "OFFERS"]


@rows("4", 6)
def test_calls_without_effect(master, agent, framework):
    nothing = {"value": "nothing"}
    for kind, body in {
        "DECLINE": {"decline": {"offer_ids": [nothing]}},
        "ACCEPT_INVERSE_OFFERS": {"accept_inverse_offers": {"inverse_offer_ids": [nothing]}},
        "DECLINE_INVERSE_OFFERS": {"decline_inverse_offers": {"inverse_offer_ids": [nothing]}},
        "SHUTDOWN": {"shutdown": {"executor_id": nothing, "agent_id": nothing}},
        "MESSAGE": {"message": {"executor_id": nothing, "agent_id": nothing, "data": "eA=="}},
        "REQUEST": {"request": {"requests": [{"resources": [scalar("cpus", 1)]}]}},
        "ACKNOWLEDGE": {"acknowledge": {"agent_id": nothing, "task_id": nothing, "uuid": UUID}},
        "ACKNOWLEDGE_OPERATION_STATUS": {
            "acknowledge_operation_status": {"agent_id": nothing, "operation_id": nothing, "uuid": UUID}
        },
    }.items():
        framework.call(kind, **body)
    assert not [e for e in framework.barrier() if e["type"] not in ("OFFERS", "HEARTBEAT")]


@rows("4", 1)
def test_update_framework(master, agent, framework):
    def update(code, **change):
        info = {**framework.info, **ids(id=framework.framework_id), **change}
        r = framework.raw_call("UPDATE_FRAMEWORK", update_framework={"framework_info": info})
        assert r.status_code == code, r.text
        return r

    assert update(200, name="renamed").content == b""
    update(400, user="nobody")
    update(400, checkpoint=True)
    update(400, principal="p")
    update(400, roles=["a b"])
    update(400, **ids(id="another"))
    offer = framework.offer(cpus=1)
    update(200, roles=["dev"])
    framework.until(lambda e: e["type"] == "RESCIND" and e["rescind"]["offer_id"] == offer["id"])
    while framework.offer(cpus=1)["allocation_info"]["role"] != "dev":
        pass


@rows("4", 1)
@rows("8.4", 3)
@pytest.mark.parametrize("capabilities, unknown, gone", [(PA, "TASK_UNKNOWN", "TASK_GONE"), (NOT_PA, "TASK_LOST", "TASK_LOST")])
def test_reconciliation(master, agent, capabilities, unknown, gone):
    with Scheduler(master, capabilities=capabilities) as s:
        task, agent_id = s.launch()
        running = s.state(task, "TASK_RUNNING")

        def ask(task_id, agent=None):
            s.reconcile({**ids(task_id=task_id), **(ids(agent_id=agent) if agent else {})})
            status = s.update(task_id)
            assert status["source"] == "SOURCE_MASTER" and status["reason"] == "REASON_RECONCILIATION"
            assert "uuid" not in status and "data" not in status
            return status

        known = ask(task)
        assert known["state"] == "TASK_RUNNING" and known["agent_id"]["value"] == agent_id
        assert known["container_status"] == running["container_status"]
        assert ask("nothing", agent_id)["state"] == gone
        assert ask("nothing")["state"] == unknown
        assert ask("nothing", "no-such-agent")["state"] == unknown
        s.call("KILL", kill=ids(task_id="unknown-to-all"))
        killed = s.update("unknown-to-all")
        assert (killed["state"], killed["reason"]) == (unknown, "REASON_RECONCILIATION")
        # Implicit: everything there is, and only that.
        s.call("RECONCILE", reconcile={})
        answers = [e["update"]["status"]["task_id"]["value"] for e in s.barrier() if e["type"] == "UPDATE"]
        assert answers == [task]
        # Another agent's id: not for this task.
        s.call("KILL", kill=ids(task_id=task, agent_id="another"))
        assert not [e for e in s.barrier() if e["type"] == "UPDATE"]


@rows("8.4", 2)
@rows("8.1", 2)
@rows("8.2", 2)
@rows("8.5", 2)
@pytest.mark.parametrize("capabilities, state", [(PA, "TASK_UNREACHABLE"), (NOT_PA, "TASK_LOST")])
def test_unreachable_agent(cluster, capabilities, state):
    master = cluster.master(allocation_interval="20ms", agent_ping_timeout="500ms", max_agent_ping_timeouts=3)
    agent = cluster.agent(master)
    with Scheduler(master, capabilities=capabilities) as s:
        task, agent_id = s.launch()
        s.state(task, "TASK_RUNNING")
        offer = s.offer()
        agent.process.send_signal(19)
        events = s.until(lambda e: e["type"] == "FAILURE", "FAILURE")
        events += s.barrier()
        assert [e["failure"] for e in events if e["type"] == "FAILURE"] == [{"agent_id": {"value": agent_id}}]
        assert {"type": "RESCIND", "rescind": {"offer_id": offer["id"]}} in events
        status = next(e["update"]["status"] for e in events if e["type"] == "UPDATE")
        assert (status["state"], status["source"], status["reason"]) == (state, "SOURCE_MASTER", "REASON_AGENT_REMOVED")
        assert "uuid" not in status
        assert status["unreachable_time"]["nanoseconds"] > 0
        assert get(master, "/state").json()["unreachable_slaves"] == 1
        for task_id, where, expected in (
            (task, agent_id, state),
            ("another", agent_id, state),
            ("another", None, "TASK_UNKNOWN" if state == "TASK_UNREACHABLE" else "TASK_LOST"),
        ):
            s.reconcile({**ids(task_id=task_id), **(ids(agent_id=where) if where else {})})
            answer = s.update(task_id)
            assert (answer["state"], answer["reason"]) == (expected, "REASON_RECONCILIATION")
            assert ("unreachable_time" in answer) == bool(where)
        # Implicit: not those out of reach.
        s.call("RECONCILE", reconcile={})
        assert not [e for e in s.barrier() if e["type"] == "UPDATE"]
        agent.process.send_signal(18)
        back = s.update(task)
        assert (back["state"], back["reason"]) == ("TASK_RUNNING", "REASON_AGENT_REREGISTERED")


@rows("6.1", 1)
@rows("8.4", 1)
def test_agent_not_yet_back(cluster):
    """Known from before the restart and not yet back: no answer, with its id or without any."""
    master = cluster.master()
    agent = cluster.agent(master)
    s = Scheduler(master)
    s.subscribed()
    task, agent_id = s.launch()
    s.state(task, "TASK_RUNNING")
    agent.kill()
    master.restart()
    s = Scheduler(master, framework_id=s.framework_id)
    s.subscribed()
    s.reconcile(ids(task_id=task, agent_id=agent_id), ids(task_id=task), ids(task_id="marker", agent_id="another"))
    events = s.until(lambda e: e["type"] == "UPDATE")
    assert events[-1]["update"]["status"]["task_id"]["value"] == "marker"
    state = get(master, "/state").json()
    assert [list(r) for r in state["recovered_slaves"]] == [["id", "hostname", "port", "attributes"]]
    assert get(master, "/slaves").json()["recovered_slaves"] == state["recovered_slaves"]


# ---- 8.3 ----


@rows("8.3", 4)
def test_one_update_at_a_time(master, agent, framework):
    """The next goes out only when the one before is acknowledged; the master counts with the newest all the same."""
    task, agent_id = framework.launch(command={"value": "exit 0"})
    first = framework.update(task, acknowledge=False)
    assert first["state"] == "TASK_STARTING" and len(first["uuid"]) == 24
    assert first["agent_id"]["value"] == agent_id and first["executor_id"]["value"] == task
    wait_until(
        lambda: [
            t
            for f in get(agent, "/state").json()["frameworks"]
            for e in f["executors"] + f["completed_executors"]
            for t in e["completed_tasks"]
            if t["id"] == task
        ],
        "the end of the task",
    )
    framework.acknowledge({**first, "uuid": UUID})  # not this one
    assert not [e for e in framework.barrier() if e["type"] == "UPDATE"]
    framework.acknowledge(first)
    framework.acknowledge(first)  # said twice
    second = framework.update(task, acknowledge=False)
    assert second["state"] == "TASK_RUNNING" and second["uuid"] != first["uuid"]
    known = get(master, "/tasks", task_id=task).json()["tasks"][0]
    assert known["state"] == "TASK_FINISHED"
    framework.acknowledge(second)
    last = framework.update(task, acknowledge=False)
    assert last["state"] == "TASK_FINISHED" and last["message"] == "Command exited with status 0"
    # Terminal but not acknowledged: the id is still taken.
    framework.call("RECONCILE", reconcile={})
    assert framework.update(task)["state"] == "TASK_FINISHED"
    offer = framework.offer(cpus=1)
    framework.accept([offer], [launch(framework.task(offer, task))])
    assert framework.update(task)["state"] == "TASK_ERROR"
    framework.acknowledge(last)
    wait_until(
        lambda: task in [
            t["id"] for t in get(master, "/frameworks", framework_id=framework.framework_id).json()["frameworks"][0]["completed_tasks"]
        ],
        "the master to forget the task",
    )
    framework.reconcile(ids(task_id=task))
    assert framework.update(task)["state"] == "TASK_UNKNOWN"
    offer = framework.offer(cpus=1)
    framework.accept([offer], [launch(framework.task(offer, task, command={"value": "exit 3"}))])
    failed = framework.state(task, "TASK_FAILED")
    assert failed["message"] == "Command exited with status 3"


@rows("9.6", 4)
def test_command_executor(master, agent, framework):
    """Signals, kills, limits of time; FAILURE is not for command executors."""
    task, _ = framework.launch(command={"value": "kill -9 $$"})
    status = framework.state(task, "TASK_FAILED")
    assert status["message"].startswith("Command terminated with signal")
    task, _ = framework.launch(max_completion_time={"nanoseconds": 50000000})
    status = framework.state(task, "TASK_FAILED")
    assert status["reason"] == "REASON_MAX_COMPLETION_TIME_REACHED"
    task, agent_id = framework.launch()
    framework.state(task, "TASK_RUNNING")
    framework.call("KILL", kill=ids(task_id=task, agent_id=agent_id))
    status = framework.update(task)
    assert status["state"] == "TASK_KILLED" and status["source"] == "SOURCE_EXECUTOR"
    with Scheduler(master, capabilities=(*CAPABILITIES, "TASK_KILLING_STATE")) as s:
        framework.call("SUPPRESS")
        framework.accept([o for o in list(framework.offers.values())][:1] or [framework.offer()], [])
        framework.barrier()
        if framework.offers:
            framework.accept(list(framework.offers.values()), [])
        task, _ = s.launch()
        s.state(task, "TASK_RUNNING")
        s.call("KILL", kill=ids(task_id=task))
        assert s.update(task)["state"] == "TASK_KILLING"
        assert s.update(task)["state"] == "TASK_KILLED"
    assert not [e for e in framework.barrier() if e["type"] == "FAILURE"]
