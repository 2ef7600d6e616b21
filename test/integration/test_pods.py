"""Task groups (pods) through master, agent and executor, with real containers."""

import os
import signal
import sys
import uuid

import pytest
import requests

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "kernel"))

from cluster import wait_until  # noqa: E402
from fake_agent import running  # noqa: E402
from raw import rows  # noqa: E402
from scheduler import Scheduler, scalar  # noqa: E402

needs_groups = pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.isdir("/sys/fs/cgroup"), reason="needs root and control groups"
)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="switches users")

FOREVER = "sleep 1000"


@pytest.fixture(scope="module")
def world(shared_cluster):
    master = shared_cluster.master()
    agent = shared_cluster.agent(master)
    with Scheduler(master.url) as s:
        yield shared_cluster, master, agent, s


@pytest.fixture
def own_world(cluster):
    master = cluster.master()
    agent = cluster.agent(master, executor_reregistration_timeout="60secs")
    with Scheduler(master.url) as s:
        yield cluster, master, agent, s


def marker():
    return f"{uuid.uuid4().int % 10**8 + 10**6}"


def executor_info(s, name=None, **more):
    resources = [scalar("cpus", 0.1), scalar("mem", 32), scalar("disk", 1)]
    for r in resources:
        r["allocation_info"] = {"role": s.role}
    return {
        "type": "DEFAULT",
        "executor_id": {"value": name or "pod-" + uuid.uuid4().hex[:8]},
        "framework_id": {"value": s.framework_id},
        "resources": resources,
        **more,
    }


def launch(s, *tasks, executor=None, cpus=0.1, mem=32):
    """Launches a group of tasks, each a command or a dictionary; returns their ids and the executor's."""
    offer = s.offer(0.1 + cpus * len(tasks), 32 + mem * len(tasks))
    executor = executor or executor_info(s)
    infos = []
    for task in tasks:
        task = {"command": {"value": task}} if isinstance(task, str) else task
        task_id = "t-" + uuid.uuid4().hex[:8]
        info = {
            "name": task_id,
            "task_id": {"value": task_id},
            "agent_id": offer["agent_id"],
            "resources": [scalar("cpus", cpus), scalar("mem", mem)],
            **task,
        }
        for r in info["resources"]:
            r.setdefault("allocation_info", {"role": s.role})
        infos.append(info)
    group = {"executor": executor, "task_group": {"tasks": infos}}
    s.call(
        "ACCEPT",
        accept={
            "offer_ids": [offer["id"]],
            "operations": [{"type": "LAUNCH_GROUP", "launch_group": group}],
            "filters": {"refuse_seconds": 0},
        },
    )
    return [i["task_id"]["value"] for i in infos] + [executor["executor_id"]["value"]]


def states(s, task):
    """In order, repetitions after a break left out."""
    return list({u["uuid"]: u["state"] for u in s.of(task)}.values())


def state(agent):
    return requests.get(agent.url + "/state", timeout=10).json()


def executor_of(agent, name):
    for f in state(agent)["frameworks"] + state(agent)["completed_frameworks"]:
        for e in f["executors"] + f["completed_executors"]:
            if e["id"] == name:
                return e
    return None


def directory(agent, name):
    return wait_until(lambda: executor_of(agent, name), "executor " + name)["directory"]


def read(agent, path):
    r = requests.get(agent.url + "/files/read", params={"path": path, "offset": 0}, timeout=10)
    assert r.status_code == 200, r.text
    return r.json()["data"]


def output(agent, name, task, stream="stdout"):
    return read(agent, f"{directory(agent, name)}/tasks/{task}/{stream}")


def executor_gone(agent, name):
    wait_until(
        lambda: name in [e["id"] for f in state(agent)["frameworks"] + state(agent)["completed_frameworks"]
                         for e in f["completed_executors"]],
        "the executor's end",
    )


# ---- life ----


@rows("9.7", 4)
@rows("9.1", 1)
def test_runs_a_group(world):
    _, _, agent, s = world
    one, two, pod = launch(s, "echo one; env; pwd", "echo two; echo oops >&2")
    for task in (one, two):
        s.wait_state(task, "TASK_FINISHED")
        assert states(s, task) == ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]
    executor_gone(agent, pod)
    box = directory(agent, pod)
    ids = {}
    for task in (one, two):
        for u in s.of(task):
            assert u["source"] == "SOURCE_EXECUTOR" and u["executor_id"]["value"] == pod
            ids[task] = u["container_status"]["container_id"]
            assert box.endswith("/" + ids[task]["parent"]["value"])
            assert u["container_status"]["network_infos"][0]["ip_addresses"][0]["ip_address"] == "127.0.0.1"
    assert ids[one]["value"] != ids[two]["value"]
    lines = output(agent, pod, one).splitlines()
    env = dict(line.split("=", 1) for line in lines if "=" in line)
    nested = f"{box}/containers/{ids[one]['value']}"
    assert lines[0] == "one" and lines[-1] == nested
    assert env["MESOS_SANDBOX"] == nested
    assert env["MESOS_TASK_ID"] == one
    assert env["MESOS_CONTAINER_ID"] == ids[one]["value"]
    assert env["MESOS_ALLOCATION_ROLE"] == "*"
    assert env["MESOS_CONTAINER_IP"] == "127.0.0.1"
    assert env["MESOS_EXECUTOR_ID"] == pod
    assert output(agent, pod, two) == "two\n"
    assert output(agent, pod, two, "stderr") == "oops\n"
    assert read(agent, f"{box}/containers/{ids[two]['value']}/stdout") == "two\n"
    listing = requests.get(agent.url + "/files/browse", params={"path": f"{box}/tasks/{two}"}, timeout=10).json()
    assert [os.path.basename(f["path"]) for f in listing] == ["stderr", "stdout"]
    with open(os.path.join(box, "stdout"), encoding="utf-8") as f:
        assert f.read() == ""  # tasks write to their own


@rows("9.7", 1)
def test_one_that_fails_takes_its_group_along(world):
    _, _, _, s = world
    bad, good, _ = launch(s, "exit 3", FOREVER)
    assert s.wait_state(bad, "TASK_FAILED")["message"] == "Command exited with status 3"
    s.wait_state(good, "TASK_KILLED")


@rows("9.7", 1)
def test_one_that_cannot_start_takes_its_group_along(world):
    _, _, _, s = world
    bad, good, _ = launch(s, {"command": {"shell": False, "value": "/no/such/program"}}, FOREVER)
    status = s.wait_state(bad, "TASK_FAILED")
    assert status["reason"] == "REASON_CONTAINER_LAUNCH_FAILED" and "/no/such/program" in status["message"]
    s.wait_state(good, "TASK_KILLED")


@rows("9.7", 2)
def test_finishing_leaves_the_rest_and_killing_one_kills_its_group_only(world):
    _, _, agent, s = world
    info = executor_info(s, "pod-two-groups")
    short, long, pod = launch(s, "exit 0", FOREVER, executor=info)
    s.wait_state(short, "TASK_FINISHED")
    s.wait_state(long, "TASK_RUNNING")
    first, second, _ = launch(s, FOREVER, FOREVER, executor=info)
    s.wait_state(first, "TASK_RUNNING")
    s.wait_state(second, "TASK_RUNNING")
    pids = {u["container_status"]["executor_pid"] for t in (long, first, second) for u in s.of(t)}
    assert len(pids) == 1
    s.kill(first)
    s.wait_state(first, "TASK_KILLED")
    s.wait_state(second, "TASK_KILLED")
    assert "TASK_KILLED" not in states(s, long)
    entry = executor_of(agent, pod)
    assert entry["type"] == "DEFAULT" and [t["id"] for t in entry["tasks"]] == [long]
    s.kill(long)
    s.wait_state(long, "TASK_KILLED")
    executor_gone(agent, pod)


def test_kill_escalates_by_the_tasks_policy(world):
    _, _, agent, s = world
    m = marker()
    policy = {"grace_period": {"nanoseconds": 200_000_000}}
    one, two, pod = launch(
        s,
        {"command": {"value": f"trap '' TERM; echo ready; while :; do sleep 0.1; done; sleep {m}"}, "kill_policy": policy},
        FOREVER,
    )
    s.wait_state(one, "TASK_RUNNING")
    wait_until(lambda: output(agent, pod, one) == "ready\n", "the trap")
    s.kill(one)
    assert "Killed" in s.wait_state(one, "TASK_KILLED")["message"]
    s.wait_state(two, "TASK_KILLED")
    wait_until(lambda: not running(m), "its processes to be gone")


def test_everything_of_a_task_ends_with_it(world):
    _, _, agent, s = world
    m = marker()
    one, two, _ = launch(s, f"setsid sleep {m} & sleep {m} & exit 0", FOREVER)
    s.wait_state(one, "TASK_FINISHED")
    wait_until(lambda: not running(f"sleep\0{m}"), "its processes to be gone")
    assert states(s, two)[-1] == "TASK_RUNNING"
    s.kill(two)
    s.wait_state(two, "TASK_KILLED")


@rows("9.5", 1)
def test_shutdown(world):
    _, _, _, s = world
    one, two, pod = launch(s, FOREVER, FOREVER)
    s.wait_state(two, "TASK_RUNNING")
    s.shutdown(s.wait_state(one, "TASK_RUNNING")["agent_id"]["value"], pod)
    s.wait_state(one, "TASK_KILLED")
    s.wait_state(two, "TASK_KILLED")


# ---- what tasks get ----


@needs_root
def test_own_processes_and_users(world):
    _, _, agent, s = world
    one, two, pod = launch(
        s,
        {"command": {"value": "id -un; touch mine; ls -a /proc | grep -c '^[0-9]'; cat ../*/stdout 2>&1; exit 0", "user": "nobody"}},
        {"command": {"value": "id -un; echo secret"}},
    )
    s.wait_state(one, "TASK_FINISHED")
    s.wait_state(two, "TASK_FINISHED")
    lines = output(agent, pod, one).splitlines()
    assert lines[0] == "nobody" and int(lines[1]) <= 6
    assert "secret" not in lines
    assert output(agent, pod, two).splitlines()[0] == "root"
    bad, other, _ = launch(s, {"command": {"value": "true", "user": "no-such-user"}}, FOREVER)
    assert "no-such-user" in s.wait_state(bad, "TASK_FAILED")["message"]
    s.wait_state(other, "TASK_KILLED")


def test_uris(world):
    cluster, _, agent, s = world
    source = os.path.join(cluster.folder, "pod.sh")
    with open(source, "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\necho fetched\n")
    fetch = {"value": "file://" + source, "executable": True}
    one, two, pod = launch(s, {"command": {"value": "./pod.sh", "uris": [fetch]}}, "test ! -e pod.sh")
    s.wait_state(one, "TASK_FINISHED")
    s.wait_state(two, "TASK_FINISHED")
    assert output(agent, pod, one) == "fetched\n"
    bad, other, _ = launch(s, {"command": {"value": "true", "uris": [{"value": "file:///none/such"}]}}, FOREVER)
    status = s.wait_state(bad, "TASK_FAILED")
    assert status["reason"] == "REASON_CONTAINER_LAUNCH_FAILED" and "/none/such" in status["message"]
    s.wait_state(other, "TASK_KILLED")


def sandbox_volume(kind, path, container_path, mode="RW"):
    source = {"type": "SANDBOX_PATH", "sandbox_path": {"type": kind, "path": path}}
    return {"mode": mode, "container_path": container_path, "source": source}


@rows("9.7", 1)
def test_tasks_share_a_folder_of_the_pod(world):
    cluster, _, agent, s = world
    shared = sandbox_volume("PARENT", "shared", "in/here")
    host = {"mode": "RW", "container_path": "host", "source": {"type": "HOST_PATH", "host_path": {"path": cluster.folder}}}
    one, two, pod = launch(
        s,
        {
            "command": {"value": "echo hello > in/here/word; echo mine > own/word; test -d host/agent1"},
            "container": {"type": "MESOS", "volumes": [shared, host, sandbox_volume("SELF", "mine", "own")]},
        },
        {
            "command": {"value": "while ! grep hello there/word; do sleep 0.05; done"},
            "container": {"type": "MESOS", "volumes": [sandbox_volume("PARENT", "shared", "there")]},
        },
    )
    s.wait_state(one, "TASK_FINISHED")
    s.wait_state(two, "TASK_FINISHED")
    box = directory(agent, pod)
    assert read(agent, box + "/shared/word") == "hello\n"
    assert read(agent, f"{box}/tasks/{one}/mine/word") == "mine\n"


def groups_of_process(pid):
    """Hierarchy -> group."""
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as f:
        return {line.split(":")[1]: line.strip().split(":", 2)[2] for line in f}


def memory_file(pid, name):
    for controllers, group in groups_of_process(pid).items():
        if "memory" in controllers.split(","):
            with open("/proc/mounts", encoding="utf-8") as f:
                mount = next(m.split()[1] for m in f if m.split()[2] == "cgroup" and "memory" in m.split()[3].split(","))
            with open("/proc/self/mountinfo", encoding="utf-8") as f:
                root = next(m.split()[3] for m in f if m.split()[4] == mount)
            with open(os.path.join(mount, os.path.relpath(group, root), name), encoding="utf-8") as f:
                return int(f.read())
    return pytest.skip("this host has no v1 memory controller")


@needs_groups
@rows("6.5", 1)
def test_limits_of_single_tasks(world):
    _, _, _, s = world
    own = {"container": {"type": "MESOS", "linux_info": {"share_cgroups": False}}}
    marks = marker(), marker()
    one, two, _ = launch(
        s,
        {"command": {"value": f"sleep {marks[0]}; true"}, "limits": {"mem": {"value": 64}}, **own},
        {"command": {"value": f"sleep {marks[1]}; true"}, **own},
    )
    nested = [s.wait_state(t, "TASK_RUNNING")["container_status"]["container_id"] for t in (one, two)]
    pids = [wait_until(lambda: running(f"sleep\0{m}"), "the task")[0] for m in marks]
    assert [memory_file(pid, "memory.limit_in_bytes") >> 20 for pid in pids] == [64, 32]
    for pid, identity in zip(pids, nested):
        for controllers, group in groups_of_process(pid).items():
            if "memory" in controllers.split(",") or controllers == "":
                assert group.endswith(f"/{identity['parent']['value']}/mesos/{identity['value']}")
    s.kill(one)
    s.wait_state(two, "TASK_KILLED")


@needs_groups
def test_tasks_share_the_pods_groups(world):
    _, _, _, s = world
    m = marker()
    one, two, _ = launch(s, f"sleep {m}; true", FOREVER)
    identity = s.wait_state(one, "TASK_RUNNING")["container_status"]["container_id"]
    pid = wait_until(lambda: running(f"sleep\0{m}"), "the task")[0]
    assert memory_file(pid, "memory.limit_in_bytes") >> 20 == 32 + 2 * 32
    assert any(g.endswith("/" + identity["parent"]["value"]) for g in groups_of_process(pid).values())
    s.kill(one)
    s.wait_state(two, "TASK_KILLED")


@needs_groups
@rows("6.5", 1)
def test_memory_limit_of_a_task(world):
    _, _, _, s = world
    own = {"container": {"type": "MESOS", "linux_info": {"share_cgroups": False}}}
    eats = {"shell": False, "value": "sh", "arguments": ["sh", "-c", "head -c 400000000 /dev/zero | exec tail"]}
    hungry, other, _ = launch(s, {"command": eats, "limits": {"mem": {"value": 48}}, **own}, {"command": {"value": FOREVER}, **own})
    status = s.wait_state(hungry, "TASK_FAILED")
    assert status["reason"] == "REASON_CONTAINER_LIMITATION_MEMORY"
    assert status["limitation"]["resources"][0]["scalar"]["value"] == 48
    s.wait_state(other, "TASK_KILLED")


@needs_groups
def test_memory_limit_of_the_pod(world):
    _, _, _, s = world
    hungry, other, _ = launch(s, "head -c 400000000 /dev/zero | tail | wc -c; sleep 1000", FOREVER)
    assert s.wait_state(hungry, "TASK_FAILED")["reason"] == "REASON_CONTAINER_LIMITATION_MEMORY"
    s.wait(lambda: set(states(s, other)) & {"TASK_FAILED", "TASK_KILLED"}, "the other's end")


@rows("11", 2)
def test_checks(world):
    cluster, _, _, s = world
    box = os.path.join(cluster.folder, "sick-" + marker())
    health = {
        "type": "COMMAND", "command": {"value": f"test ! -e {box}"}, "delay_seconds": 0, "interval_seconds": 0.1,
        "grace_period_seconds": 0, "consecutive_failures": 2,
    }
    check = {"type": "COMMAND", "command": {"command": {"value": "exit 5"}}, "delay_seconds": 0, "interval_seconds": 0.1}
    one, two, _ = launch(s, {"command": {"value": FOREVER}, "health_check": health}, {"command": {"value": FOREVER}, "check": check})
    s.wait(lambda: [u for u in s.of(one) if u.get("healthy")], "a healthy task")
    s.wait(lambda: [u for u in s.of(two) if u.get("check_status", {}).get("command", {}).get("exit_code") == 5], "the check")
    with open(box, "w", encoding="utf-8"):
        pass
    status = s.wait_state(one, "TASK_KILLED")
    assert status["healthy"] is False
    s.wait_state(two, "TASK_KILLED")


# ---- bad days ----


@rows("9.4", 1)
def test_survives_the_agent(own_world):
    cluster, _, agent, s = own_world
    box = os.path.join(cluster.folder, "go")
    one, two, pod = launch(s, f"while [ ! -e {box} ]; do sleep 0.05; done", FOREVER)
    s.wait_state(one, "TASK_RUNNING")
    pid = s.wait_state(two, "TASK_RUNNING")["container_status"]["executor_pid"]
    agent.restart()
    wait_until(lambda: executor_of(agent, pod), "the pod in the agent's state")
    os.kill(pid, 0)
    with open(box, "w", encoding="utf-8"):
        pass
    s.wait_state(one, "TASK_FINISHED", 60)
    assert states(s, one) == ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]
    s.kill(two)
    s.wait_state(two, "TASK_KILLED", 60)
    assert states(s, two) == ["TASK_STARTING", "TASK_RUNNING", "TASK_KILLED"]
    executor_gone(agent, pod)


def test_a_task_fails_while_the_agent_is_away(own_world):
    cluster, _, agent, s = own_world
    box = os.path.join(cluster.folder, "go")
    m = marker()
    one, two, _ = launch(s, f"while [ ! -e {box} ]; do sleep 0.05; done; exit 4", f"sleep {m}")
    s.wait_state(one, "TASK_RUNNING")
    s.wait_state(two, "TASK_RUNNING")
    agent.kill()
    with open(box, "w", encoding="utf-8"):
        pass
    wait_until(lambda: not running(f"sleep\0{m}"), "the end of the group")
    agent.start()
    assert s.wait_state(one, "TASK_FAILED", 60)["message"] == "Command exited with status 4"
    s.wait_state(two, "TASK_KILLED", 60)


def test_executor_killed(world):
    _, _, agent, s = world
    m = marker()
    one, two, pod = launch(s, f"sleep {m}", f"sh -c 'sleep {m}; true'")
    s.wait_state(one, "TASK_RUNNING")
    pid = s.wait_state(two, "TASK_RUNNING")["container_status"]["executor_pid"]
    wait_until(lambda: len(running(f"sleep\0{m}")) == 2, "the tasks")
    os.kill(pid, signal.SIGKILL)
    for task in (one, two):
        assert s.wait_state(task, "TASK_FAILED")["reason"] == "REASON_EXECUTOR_TERMINATED"
    wait_until(lambda: not running(f"sleep\0{m}"), "its processes to be gone")
    s.wait(lambda: [f for f in s.failures if f["executor_id"]["value"] == pod], "FAILURE of the executor")


@needs_root
def test_a_tasks_init_killed(world):
    """One nested container ends from outside: its group ends, another group does not."""
    _, _, _, s = world
    m = marker()
    info = executor_info(s)
    one, two, _ = launch(s, f"sleep {m}; true", FOREVER, executor=info)
    (three, _) = launch(s, FOREVER, executor=info)
    for task in (one, two, three):
        s.wait_state(task, "TASK_RUNNING")
    sleeper = wait_until(lambda: running(f"sleep\0{m}"), "the task")[0]
    chain = [sleeper]
    while True:
        with open(f"/proc/{chain[-1]}/stat", encoding="utf-8") as f:
            text = f.read()
        if "(dcos-init)" in text:
            break
        chain.append(int(text.rsplit(")", 1)[1].split()[1]))
    os.kill(chain[-1], signal.SIGKILL)
    s.wait_state(one, "TASK_FAILED")
    s.wait_state(two, "TASK_KILLED")
    assert states(s, three)[-1] == "TASK_RUNNING"
    wait_until(lambda: not running(f"sleep\0{m}"), "its processes to be gone")
    s.kill(three)
    s.wait_state(three, "TASK_KILLED")


# ---- the agent's API ----


@rows("10", 1)
def test_killed_before_it_is_delivered(own_world):
    cluster, _, agent, s = own_world
    custom = executor_info(s, type="CUSTOM", command={"value": "exec " + FOREVER})
    one, two, _ = launch(s, "true", "true", executor=custom)
    wait_until(lambda: executor_of(agent, custom["executor_id"]["value"]), "the executor")
    s.kill(two)
    for task in (one, two):
        assert s.wait_state(task, "TASK_KILLED")["reason"] == "REASON_TASK_KILLED_DURING_LAUNCH"


@rows("9.1", 1)
def test_custom_executor_gets_groups(own_world):
    _, _, agent, s = own_world
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "custom_executor.py")
    custom = executor_info(s, type="CUSTOM", command={"value": f"exec /usr/bin/python3 {program}"})
    one, two, name = launch(s, {"data": ""}, {"data": ""}, executor=custom)
    s.wait_state(one, "TASK_RUNNING")
    s.wait_state(two, "TASK_RUNNING")
    wait_until(lambda: "group of 2" in read(agent, directory(agent, name) + "/stdout"), "what it printed")
    s.kill(one)
    s.wait_state(one, "TASK_KILLED")
    assert states(s, two) == ["TASK_RUNNING"]  # what becomes of the rest is the executor's business
    s.kill(two)
    s.wait_state(two, "TASK_KILLED")


@rows("1.3", 1)
def test_nested_containers_are_listed(world):
    _, _, agent, s = world
    one, two, pod = launch(s, FOREVER, FOREVER)
    nested = {s.wait_state(t, "TASK_RUNNING")["container_status"]["container_id"]["value"] for t in (one, two)}

    def containers(**flags):
        body = {"type": "GET_CONTAINERS", **({"get_containers": flags} if flags else {})}
        answer = requests.post(agent.url + "/api/v1", json=body, timeout=10).json()
        return answer["get_containers"]["containers"]

    top = [c for c in containers() if c.get("executor_id", {}).get("value") == pod]
    assert len(top) == 1 and not [c for c in containers() if "parent" in c["container_id"]]
    found = [c for c in containers(show_nested=True) if "parent" in c["container_id"]]
    found = [c for c in found if c["container_id"]["parent"] == top[0]["container_id"]]
    assert {c["container_id"]["value"] for c in found} == nested
    assert all("executor_id" not in c and "framework_id" not in c for c in found)
    listed = requests.get(agent.url + "/containers", timeout=10).json()
    assert not nested & {c["container_id"] for c in listed}
    s.kill(one)
    s.wait_state(two, "TASK_KILLED")


@rows("8.2", 1)
def test_draining(own_world):
    _, master, agent, s = own_world
    one, two, _ = launch(s, FOREVER, FOREVER)
    agent_id = s.wait_state(one, "TASK_RUNNING")["agent_id"]
    s.wait_state(two, "TASK_RUNNING")
    r = requests.post(
        master.url + "/api/v1", json={"type": "DRAIN_AGENT", "drain_agent": {"agent_id": agent_id}}, timeout=10
    )
    assert r.status_code == 200, r.text
    for task in (one, two):
        assert s.wait_state(task, "TASK_KILLED")["reason"] == "REASON_AGENT_DRAINING"
