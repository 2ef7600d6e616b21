"""Rows about tasks that no other file of this folder has: descriptions that are refused, groups, what executors say and
are told."""

import os

import pytest

from cluster import wait_until
from raw import Executor, Scheduler, executor_info, get, launch, operator, rows
from scheduler import scalar
from test_agent_api import known, start
from test_rows import updates


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
