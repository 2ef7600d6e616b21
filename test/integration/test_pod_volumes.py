"""Persistent volumes of pods: of their tasks, and of the executor for several of them."""

import os
import uuid

import pytest

from cluster import wait_until
from scheduler import holds, scalar
from test_agent_volumes import (  # noqa: F401: world is a fixture
    ROLE,
    create,
    disk,
    folder,
    persistence,
    reserve,
    settled,
    volume,
    volumes_in,
    world,
)
from test_pods import executor_of, sandbox_volume


def launch(s, tasks, executor_volumes=()):
    """Each task is its command, its container volumes and the persistent volumes that it uses."""
    wanted = {v for _, _, volumes in tasks for v in volumes} | {persistence(v) for v in executor_volumes}

    cpus, mem = 0.1 * (len(tasks) + 1), 32 * (len(tasks) + 1)
    offer = s.take_offer(lambda o: wanted <= set(volumes_in(o)) and holds(o, cpus, mem), f"an offer with {wanted}")
    have = volumes_in(offer)
    infos = []
    for command, volumes, persistent in tasks:
        task_id = "t-" + uuid.uuid4().hex[:8]
        infos.append(
            {
                "name": task_id,
                "task_id": {"value": task_id},
                "agent_id": offer["agent_id"],
                "resources": [scalar("cpus", 0.1), scalar("mem", 32), *(have[p] for p in persistent)],
                "command": command,
                "container": {"type": "MESOS", "volumes": volumes},
            }
        )
    executor = {
        "type": "DEFAULT",
        "executor_id": {"value": "pod-" + uuid.uuid4().hex[:8]},
        "framework_id": {"value": s.framework_id},
        "resources": [scalar("cpus", 0.1), scalar("mem", 32), scalar("disk", 1), *executor_volumes],
    }
    for r in [r for i in infos for r in i["resources"]] + executor["resources"]:
        r.setdefault("allocation_info", {"role": ROLE})
    s.call(
        "ACCEPT",
        accept={
            "offer_ids": [offer["id"]],
            "operations": [
                {"type": "LAUNCH_GROUP", "launch_group": {"executor": executor, "task_group": {"tasks": infos}}}
            ],
            "filters": {"refuse_seconds": 0},
        },
    )
    return [i["task_id"]["value"] for i in infos] + [executor["executor_id"]["value"]]


def finished(s, *tasks):
    for task in tasks:
        end = s.wait(
            lambda t=task: [u for u in s.of(t) if u["state"] not in ("TASK_STARTING", "TASK_RUNNING")], f"the end of {task}"
        )[0]
        assert end["state"] == "TASK_FINISHED", end


def test_a_task_keeps_its_data(world):  # noqa: F811
    _, master, agent, s = world
    reserve(master, agent, disk(300))
    create(master, agent, volume(100, "v1"), volume(100, "v2"))
    wait_until(lambda: settled(agent), "the operations to be acknowledged")
    one, two, pod = launch(
        s,
        [
            ({"value": "echo one > data/file"}, [], ["v1"]),
            ({"value": "echo two > data/file; test -w data"}, [], ["v2"]),
        ],
    )
    finished(s, one, two)
    assert [open(os.path.join(folder(agent, v), "file")).read() for v in ("v1", "v2")] == ["one\n", "two\n"]
    wait_until(lambda: executor_of(agent, pod), "the pod")
    three, _ = launch(s, [({"value": "test $(cat data/file) = one"}, [], ["v1"])])
    finished(s, three)


@pytest.mark.skipif(os.geteuid() != 0, reason="switches users")
def test_a_volume_is_given_to_the_tasks_user(world):  # noqa: F811
    _, master, agent, s = world
    reserve(master, agent, disk(100))
    create(master, agent, volume(100, "v1"))
    one, _ = launch(s, [({"value": "echo mine > data/file", "user": "nobody"}, [], ["v1"])])
    finished(s, one)
    assert os.stat(folder(agent, "v1")).st_uid != 0


def test_tasks_share_a_volume_of_the_executor(world):  # noqa: F811
    _, master, agent, s = world
    reserve(master, agent, disk(100))
    create(master, agent, volume(100, "v1", target="pool"))
    wait_until(lambda: settled(agent), "the operations to be acknowledged")
    offered = s.wait(
        lambda: [r for o in s.offers.values() for r in o["resources"] if persistence(r) == "v1"], "the volume in an offer"
    )[0]
    one, two, _ = launch(
        s,
        [
            ({"value": "echo hello > all/word; echo inner > sub/word"}, [sandbox_volume("PARENT", "pool", "all"), sandbox_volume("PARENT", "pool/in/it", "sub")], []),
            ({"value": "until grep hello here/word; do sleep 0.05; done"}, [sandbox_volume("PARENT", "pool", "here")], []),
        ],
        executor_volumes=[offered],
    )
    finished(s, one, two)
    assert open(os.path.join(folder(agent, "v1"), "word")).read() == "hello\n"
    assert open(os.path.join(folder(agent, "v1"), "in/it/word")).read() == "inner\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="without root volumes are links")
def test_read_only(world):  # noqa: F811
    _, _, agent, s = world
    one, _ = launch(
        s, [({"value": "! touch look/x && touch write/y"}, [sandbox_volume("PARENT", "f", "look", "RO"), sandbox_volume("PARENT", "f", "write")], [])]
    )
    finished(s, one)
