"""Persistent volumes on a real agent: their data outlives tasks and agents, and goes when they are destroyed."""

import json
import os
import signal
import time

import pytest
import requests

from cluster import wait_until
from scheduler import Scheduler, holds, scalar

ROLE = "db"
RESERVATION = [{"type": "DYNAMIC", "role": ROLE}]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def operator(master, kind, **body):
    field = kind.lower()
    response = requests.post(master.url + "/api/v1", json={"type": kind, field: body}, timeout=30)
    assert response.status_code in (200, 202), (response.status_code, response.text)
    return response


def agent_state(agent):
    return requests.get(agent.url + "/state", timeout=10).json()


def agent_id(agent):
    return {"value": wait_until(lambda: agent_state(agent)["id"], "the agent to have an id")}


def registered(agent):
    return requests.get(agent.url + "/metrics/snapshot", timeout=10).json()["slave/registered"] == 1.0


def disk(mb, **more):
    return {**scalar("disk", mb), "reservations": RESERVATION, **more}


def volume(mb, identity, target="data", mode="RW", source=None, shared=False):
    info = {"persistence": {"id": identity}, "volume": {"container_path": target, "mode": mode}}
    if source:
        info["source"] = source
    return disk(mb, disk=info, **({"shared": {}} if shared else {}))


def reserve(master, agent, *resources):
    operator(master, "RESERVE_RESOURCES", agent_id=agent_id(agent), resources=list(resources))


def create(master, agent, *volumes):
    operator(master, "CREATE_VOLUMES", agent_id=agent_id(agent), volumes=list(volumes))


def destroy(master, agent, *volumes):
    operator(master, "DESTROY_VOLUMES", agent_id=agent_id(agent), volumes=list(volumes))


def persistence(resource):
    return resource.get("disk", {}).get("persistence", {}).get("id")


def volumes_in(offer):
    return {persistence(r): r for r in offer["resources"] if persistence(r)}


def volumes_of(agent):
    full = agent_state(agent)["reserved_resources_full"]
    return sorted(persistence(r) for r in full.get(ROLE, []) if persistence(r))


def settled(agent):
    """Neither the master nor then the agent waits for anything: what was asked for has arrived, too."""
    for url in ("http://" + agent.flags["master"], agent.url):
        answer = requests.post(url + "/api/v1", json={"type": "GET_OPERATIONS"}, timeout=10).json()
        if answer["get_operations"].get("operations"):
            return False
    return True


def run(s, command, *wanted, user="root", **task):
    """Launches on an offer that has the volumes; each is asked for as given, if not merely named. An offer may be
    from before a restart without the word of that being here yet."""
    while True:
        task_id = launch(s, command, *wanted, user=user, **task)
        s.wait(lambda: s.of(task_id), f"news of {task_id}")
        if s.of(task_id)[0].get("reason") not in ("REASON_INVALID_OFFERS", "REASON_AGENT_DISCONNECTED"):
            return task_id


def launch(s, command, *wanted, user, **task):
    names = {w if isinstance(w, str) else persistence(w) for w in wanted}

    offer = s.take_offer(lambda o: names <= set(volumes_in(o)) and holds(o), f"an offer with {names}")
    have = volumes_in(offer)
    resources = [scalar("cpus", 0.1), scalar("mem", 32)]
    for w in wanted:
        resource = dict(have[w if isinstance(w, str) else persistence(w)])
        if not isinstance(w, str):
            resource["disk"] = {**resource["disk"], "volume": w["disk"]["volume"]}
        resources.append(resource)
    for r in resources:
        r.setdefault("allocation_info", {"role": ROLE})
    task_id = f"t-{time.monotonic_ns()}"
    info = {
        "name": task_id,
        "task_id": {"value": task_id},
        "agent_id": offer["agent_id"],
        "resources": resources,
        "command": {"value": command, "user": user},
        **task,
    }
    s.call(
        "ACCEPT",
        accept={
            "offer_ids": [offer["id"]],
            "operations": [{"type": "LAUNCH", "launch": {"task_infos": [info]}}],
            "filters": {"refuse_seconds": 0},
        },
    )
    return task_id


def outcome(s, task):
    ends = ("TASK_FINISHED", "TASK_FAILED", "TASK_ERROR", "TASK_DROPPED")
    s.wait(lambda: any(u["state"] in ends for u in s.of(task)), f"the end of {task}")
    return s.of(task)[-1]


@pytest.fixture
def world(cluster):
    master = cluster.master()
    agent = cluster.agent(master, executor_reregistration_timeout="60secs")
    with Scheduler(master.url, role=ROLE, capabilities=("PARTITION_AWARE", "SHARED_RESOURCES")) as s:
        yield cluster, master, agent, s


def folder(agent, identity):
    return os.path.join(agent.flags["work_dir"], "volumes", "roles", ROLE, identity)


def test_data_outlives_tasks_and_agents(world):
    _, master, agent, s = world
    reserve(master, agent, disk(200))
    create(master, agent, volume(100, "v1"))
    wait_until(lambda: settled(agent), "the operations to be acknowledged")
    assert volumes_of(agent) == ["v1"]
    assert os.path.isdir(folder(agent, "v1"))
    first = run(s, "echo one > data/file", "v1")
    assert outcome(s, first)["state"] == "TASK_FINISHED"
    agent.restart(signal.SIGKILL)
    wait_until(lambda: registered(agent), "the agent to register again")
    assert volumes_of(agent) == ["v1"]
    second = run(s, "test $(cat data/file) = one && echo two > data/file", "v1")
    assert outcome(s, second)["state"] == "TASK_FINISHED"
    master.restart(signal.SIGKILL)
    wait_until(lambda: registered(agent), "the agent to find the master")
    s.close()
    s.offers.clear()
    s.subscribe()
    third = run(s, "test $(cat data/file) = two", "v1")
    assert outcome(s, third)["state"] == "TASK_FINISHED"


def test_volume_of_a_running_task_survives_the_agent(world):
    cluster, master, agent, s = world
    reserve(master, agent, disk(100))
    create(master, agent, volume(100, "v1"))
    go = os.path.join(cluster.folder, "go")
    task = run(s, f"until test -e {go}; do sleep 0.05; done; echo late > data/file", "v1")
    s.wait_state(task, "TASK_RUNNING")
    agent.restart(signal.SIGKILL)
    wait_until(lambda: registered(agent), "the agent to register again")
    # In use: it must stay.
    response = requests.post(
        master.url + "/api/v1",
        json={"type": "DESTROY_VOLUMES", "destroy_volumes": {"agent_id": agent_id(agent), "volumes": [volume(100, "v1")]}},
        timeout=30,
    )
    assert response.status_code in (400, 409)
    open(go, "w", encoding="utf-8").close()
    assert outcome(s, task)["state"] == "TASK_FINISHED"
    with open(os.path.join(folder(agent, "v1"), "file"), encoding="utf-8") as f:
        assert f.read() == "late\n"


@as_root
def test_users_modes_and_paths(world):
    _, master, agent, s = world
    reserve(master, agent, disk(100))
    create(master, agent, volume(50, "v1"))
    writes = run(s, "touch deep/er/data/mine", volume(50, "v1", target="deep/er/data"), user="nobody")
    assert outcome(s, writes)["state"] == "TASK_FINISHED"
    reads = run(s, "test -e ro/mine && ! touch ro/x", volume(50, "v1", target="ro", mode="RO"))
    assert outcome(s, reads)["state"] == "TASK_FINISHED"


def test_shared_by_several_tasks(world):
    cluster, master, agent, s = world
    reserve(master, agent, disk(100))
    create(master, agent, volume(50, "v1", shared=True))
    go = os.path.join(cluster.folder, "go")
    tasks = [run(s, f"touch data/{i}; until test -e {go}; do sleep 0.05; done", "v1") for i in range(2)]
    for task in tasks:
        s.wait_state(task, "TASK_RUNNING")
    wait_until(lambda: sorted(os.listdir(folder(agent, "v1"))) == ["0", "1"], "both to write")
    open(go, "w", encoding="utf-8").close()
    for task in tasks:
        assert outcome(s, task)["state"] == "TASK_FINISHED"


def test_destroyed_while_the_agent_restarts(world):
    _, master, agent, s = world
    reserve(master, agent, disk(100))
    create(master, agent, volume(50, "v1"))
    wait_until(lambda: settled(agent), "the operations to be acknowledged")

    def left():
        try:
            return len(os.listdir(folder(agent, "v1")))
        except FileNotFoundError:
            return 0

    # How many files it takes to meet the agent in the middle depends on what else the machine does.
    for n in (20000, 50000, 100000, 200000):
        for i in range(n):
            open(os.path.join(folder(agent, "v1"), f"file-{i}"), "w", encoding="utf-8").close()
        destroy(master, agent, volume(50, "v1"))
        wait_until(lambda: left() < n, "the removal to begin")
        agent.kill()
        if os.path.exists(folder(agent, "v1")):
            break
        agent.start()
        wait_until(lambda: registered(agent) and settled(agent) and volumes_of(agent) == [], "the first one to be gone")
        create(master, agent, volume(50, "v1"))
        wait_until(lambda: settled(agent), "the operations to be acknowledged")
    else:
        raise AssertionError("the agent was too fast to be killed in between")
    agent.start()
    wait_until(lambda: registered(agent), "the agent to register again")
    wait_until(lambda: not os.path.exists(folder(agent, "v1")), "the data to be gone")
    wait_until(lambda: settled(agent), "the operation to be acknowledged")
    assert volumes_of(agent) == []
    create(master, agent, volume(50, "v1"))
    task = run(s, "test -z \"$(ls data)\"", "v1")
    assert outcome(s, task)["state"] == "TASK_FINISHED"


def test_a_folder_lost_between_is_made_again(world):
    _, master, agent, s = world
    reserve(master, agent, disk(100))
    create(master, agent, volume(50, "v1"))
    wait_until(lambda: settled(agent), "the operations to be acknowledged")
    agent.kill()
    os.rmdir(folder(agent, "v1"))
    agent.start()
    task = run(s, "touch data/file", "v1")
    assert outcome(s, task)["state"] == "TASK_FINISHED"


def test_a_folder_that_cannot_be_made(world):
    _, master, agent, _ = world
    reserve(master, agent, disk(100))
    wait_until(lambda: settled(agent), "the reservation")
    with open(os.path.join(agent.flags["work_dir"], "volumes"), "w", encoding="utf-8"):
        pass
    create(master, agent, volume(50, "v1"))
    wait_until(lambda: settled(agent), "the operation to be acknowledged")
    assert volumes_of(agent) == []

    def told():
        slaves = requests.get(master.url + "/slaves", timeout=10).json()["slaves"]
        return [r for r in slaves[0]["reserved_resources_full"][ROLE] if persistence(r)] == []

    wait_until(told, "the master to know")


def test_disks_of_their_own(cluster):
    mount, path = os.path.join(cluster.folder, "mount"), os.path.join(cluster.folder, "path")
    os.makedirs(mount)
    master = cluster.master()
    sources = {
        "m1": {"type": "MOUNT", "mount": {"root": mount}},
        "p1": {"type": "PATH", "path": {"root": path}},
    }
    resources = [scalar("cpus", 2), scalar("mem", 512), scalar("disk", 100)] + [
        {**scalar("disk", 300), "disk": {"source": source}} for source in sources.values()
    ]
    agent = cluster.agent(master, resources=json.dumps(resources))
    wait_until(lambda: registered(agent), "the agent to register")
    with Scheduler(master.url, role=ROLE) as s:
        reserve(master, agent, *[disk(300, disk={"source": source}) for source in sources.values()])
        volumes = [volume(300, "m1", source=sources["m1"]), volume(200, "p1", target="other", source=sources["p1"])]
        create(master, agent, *volumes)
        task = run(s, "echo m > data/file; echo p > other/file", "m1", "p1")
        assert outcome(s, task)["state"] == "TASK_FINISHED"
        assert os.listdir(mount) == ["file"]
        assert os.listdir(os.path.join(path, "volumes", "roles", ROLE, "p1")) == ["file"]
        wait_until(lambda: "m1" in str([o["resources"] for o in s.offers.values()]), "the volumes to be offered again")
        destroy(master, agent, *volumes)
        wait_until(lambda: settled(agent), "the operation to be acknowledged")
        assert os.listdir(mount) == []
        assert not os.path.exists(os.path.join(path, "volumes", "roles", ROLE, "p1"))
