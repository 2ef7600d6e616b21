"""Volumes of containers: host paths and paths of the sandbox."""

import os

import pytest

from scheduler import Scheduler

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def world(cluster):
    master = cluster.master()
    agent = cluster.agent(master)
    with Scheduler(master.url) as s:
        yield cluster, agent, s


def container(*volumes):
    return {"type": "MESOS", "volumes": list(volumes)}


def host(path, target, mode="RW"):
    return {"container_path": target, "host_path": path, "mode": mode}


def folder(cluster, name="host"):
    path = os.path.join(cluster.folder, name)
    os.makedirs(path)
    with open(os.path.join(path, "there"), "w", encoding="utf-8") as f:
        f.write("data")
    return path


def finished(s, command, *volumes, **task):
    t = s.launch({"command": {"value": command}, "container": container(*volumes), **task})
    s.wait(lambda: any(u["state"] in ("TASK_FINISHED", "TASK_FAILED", "TASK_ERROR") for u in s.of(t)), "the end")
    return s.of(t)[-1]


def test_host_path(world):
    cluster, _, s = world
    path = folder(cluster)
    status = finished(s, "test $(cat data/deep/there) = data && echo new > data/deep/new", host(path, "data/deep"))
    assert status["state"] == "TASK_FINISHED", status
    with open(os.path.join(path, "new"), encoding="utf-8") as f:
        assert f.read() == "new\n"


@as_root
def test_read_only_and_absolute(world):
    cluster, _, s = world
    path = folder(cluster)
    source = {"container_path": "ro", "mode": "RO", "source": {"type": "HOST_PATH", "host_path": {"path": path}}}
    command = "test -e ro/there && ! touch ro/x && touch /mnt/y && test -e /mnt/y && grep NoNewPrivs:.0 /proc/self/status"
    status = finished(s, command, source, host(path, "/mnt"))
    assert status["state"] == "TASK_FINISHED", status
    assert sorted(os.listdir(path)) == ["there", "y"]
    assert not os.path.exists("/mnt/there")


@as_root
def test_no_new_privileges_for_users(world):
    """What is mounted over the host's files may hold passwords of the task's own."""
    cluster, _, s = world
    path = folder(cluster)
    t = s.launch(
        {
            "command": {"value": "grep 'NoNewPrivs:.1' /proc/self/status && test $(id -u) != 0", "user": "nobody"},
            "container": container(host(path, "/mnt")),
        }
    )
    assert s.wait_state(t, "TASK_FINISHED")


@as_root
def test_users_are_those_of_the_host(world):
    """A volume over /etc does not change who the task runs as."""
    cluster, _, s = world
    path = folder(cluster)
    with open(os.path.join(path, "passwd"), "w", encoding="utf-8") as f:
        f.write("nobody:x:0:0::/:/bin/sh\n")
    t = s.launch(
        {"command": {"value": "test $(id -u) != 0", "user": "nobody"}, "container": container(host(path, "/etc"))}
    )
    s.wait(lambda: any(u["state"] in ("TASK_FINISHED", "TASK_FAILED") for u in s.of(t)), "the end")
    assert s.of(t)[-1]["state"] == "TASK_FINISHED"


def test_sandbox_path(world):
    _, _, s = world
    volume = {
        "container_path": "shown",
        "mode": "RW",
        "source": {"type": "SANDBOX_PATH", "sandbox_path": {"type": "SELF", "path": "real/place"}},
    }
    status = finished(s, "echo x > shown/file && test -s real/place/file", volume)
    assert status["state"] == "TASK_FINISHED", status


def test_what_cannot_be_shown(world):
    cluster, _, s = world
    status = finished(s, "true", host("/no/such/place", "data"))
    assert status["reason"] == "REASON_CONTAINER_LAUNCH_FAILED"
    assert "cannot show '/no/such/place' at 'data': No such file or directory" in status["message"]
    status = finished(s, "true", host(folder(cluster), "../data"))
    assert status["reason"] == "REASON_CONTAINER_LAUNCH_FAILED"


@pytest.mark.parametrize(
    "source, message",
    [
        ({"type": "SANDBOX_PATH", "sandbox_path": {"type": "PARENT", "path": "x"}}, "needs a parent container"),
        ({"type": "DOCKER_VOLUME", "docker_volume": {"name": "x"}}, "HOST_PATH and SANDBOX_PATH only"),
        ({"type": "HOST_PATH", "host_path": {"path": "relative"}}, "must be absolute"),
    ],
)
def test_refused(world, source, message):
    _, _, s = world
    status = finished(s, "true", {"container_path": "data", "mode": "RW", "source": source})
    assert status["state"] == "TASK_ERROR"
    assert message in status["message"]


@as_root
def test_health_checks_see_volumes(world):
    cluster, _, s = world
    path = folder(cluster)
    t = s.launch(
        {
            "command": {"value": "sleep 1000"},
            "container": container(host(path, "data")),
            "health_check": {
                "type": "COMMAND",
                "command": {"value": "test -e data/there"},
                "delay_seconds": 0,
                "interval_seconds": 0.1,
            },
        }
    )
    s.wait(lambda: any(u.get("healthy") for u in s.of(t)), "a good check")
