"""dcos-executor against an agent made of Python: the life of task groups."""

import os
import signal
import socket
import uuid

import pytest

from cluster import binary, wait_until
from fake_agent import ExecutorUnderTest, running
from test_executor import NO_NAMESPACES, run  # noqa: F401: a fixture

FOREVER = "sleep 1000"


@pytest.fixture
def pod(run):  # noqa: F811
    return lambda *flags, **options: run("--pod", *flags, **options)


def marker():
    return f"{uuid.uuid4().int % 10**8 + 10**6}"


def test_ends_when_all_groups_have(pod):
    e = pod()
    e.agent.launch_group(a="echo a; exit 0", b=FOREVER)
    e.agent.launch_group(c="exit 0")
    e.agent.wait_state("TASK_FINISHED", "a")
    e.agent.wait_state("TASK_FINISHED", "c")
    e.agent.wait_state("TASK_RUNNING", "b")
    assert e.process.poll() is None
    e.agent.kill(task="b")
    e.agent.wait_state("TASK_KILLED", "b")
    assert e.exit_code() == 0
    assert e.read("tasks/a/stdout") == "a\n"


def test_one_task_more_than_once(pod):
    """Its id may come again when its end was acknowledged; its name leads to the newest run."""
    e = pod()
    e.agent.launch_group(keep=FOREVER)
    for text in ("one", "two"):
        e.agent.launch_group(a=f"echo {text}")
        wait_until(lambda t=text: e.read("tasks/a/stdout") == t + "\n", "its output")
        wait_until(lambda t=text: e.agent.states("a").count("TASK_FINISHED") == ["one", "two"].index(t) + 1, "its end")
    assert len(os.listdir(os.path.join(e.sandbox, "containers"))) == 3
    e.agent.event("SHUTDOWN")
    e.agent.wait_state("TASK_KILLED", "keep")
    assert e.exit_code() == 0


def test_single_tasks_are_not_for_pods(pod):
    e = pod()
    e.agent.launch_group(a=FOREVER)
    e.agent.wait_state("TASK_RUNNING", "a")
    e.agent.launch("true")
    e.agent.wait_state("TASK_KILLED", "a")
    assert e.exit_code() == 0
    assert e.agent.states("task-1") == []


def test_a_group_that_comes_twice_runs_once(pod):
    e = pod()
    for _ in range(2):
        e.agent.launch_group(a=FOREVER, b=FOREVER)
    e.agent.wait_state("TASK_RUNNING", "a")
    e.agent.wait_state("TASK_RUNNING", "b")
    e.agent.kill(task="a")
    e.agent.wait_state("TASK_KILLED", "b")
    assert e.exit_code() == 0
    assert e.agent.states("a") == ["TASK_STARTING", "TASK_RUNNING", "TASK_KILLED"]


def test_a_second_kill_is_ignored(pod):
    e = pod(agent_options={"capabilities": ["TASK_KILLING_STATE"]})
    box = os.path.join(e.folder, "let go")
    e.agent.launch_group(a=f"trap '' TERM; echo up; while [ ! -e '{box}' ]; do sleep 0.05; done; exit 5")
    wait_until(lambda: e.read("tasks/a/stdout") == "up\n", "the trap")
    e.agent.kill(task="a", grace=60)
    e.agent.wait_state("TASK_KILLING", "a")
    e.agent.kill(task="a", grace=0)
    e.agent.kill(task="nobody", grace=0)
    with open(box, "w", encoding="utf-8"):
        pass
    assert e.agent.wait_state("TASK_KILLED", "a")["message"] == "Command exited with status 5"
    assert e.agent.states("a").count("TASK_KILLING") == 1


def test_everything_is_said_again_to_an_agent_that_comes_back(pod):
    e = pod(agent_options={"acknowledge": False})
    e.agent.launch_group(a="exit 3", b=FOREVER)
    e.agent.launch_group(c=FOREVER)
    e.agent.wait_state("TASK_KILLED", "b")
    e.agent.wait_state("TASK_RUNNING", "c")
    e.agent.stop()
    e.agent.start()
    e.agent.wait_subscribed(2)
    again = e.agent.subscriptions[1]
    assert [t["task_id"]["value"] for t in again["unacknowledged_tasks"]] == ["a", "b", "c"]
    assert len(again["unacknowledged_updates"]) == len(e.agent.updates)
    e.agent.acknowledge_now()
    e.agent.kill(task="c")
    e.agent.wait_state("TASK_KILLED", "c")
    assert e.exit_code() == 0


def test_killed_while_it_is_fetched(pod, tmp_path):
    """A download that never ends is given up with its task."""
    os.chmod(tmp_path, 0o755)
    os.symlink(binary("dcos-fetcher"), tmp_path / "dcos-fetcher")
    e = pod(f"--fetcher_cache_dir={tmp_path}/cache", f"--launcher_dir={tmp_path}")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/file"
        e.agent.launch_group(a={"command": {"value": "true", "uris": [{"value": url}]}}, b=FOREVER)
        peer, _ = silent.accept()
        peer.settimeout(60)
        e.agent.kill(task="a")
        assert "before it was started" in e.agent.wait_state("TASK_KILLED", "a")["message"]
        e.agent.wait_state("TASK_KILLED", "b")
        assert e.exit_code() == 0
        assert e.agent.states("a") == ["TASK_STARTING", "TASK_KILLED"]
        while peer.recv(4096):
            pass  # until the fetcher's end
        peer.close()


def test_without_namespaces(pod):
    """A task whose init is killed takes its own processes along, not those of its siblings."""
    e = pod(wrapper=NO_NAMESPACES)
    marks = marker(), marker()
    e.agent.launch_group(a=f"setsid sleep {marks[0]} & sleep {marks[0]}; true")
    e.agent.launch_group(b=f"setsid sleep {marks[1]} & sleep {marks[1]}; true")
    for m in marks:
        wait_until(lambda m=m: len(running(f"sleep\0{m}")) == 2, "the tasks")
    with open(f"/proc/{e.process.pid}/task/{e.process.pid}/children", encoding="utf-8") as f:
        inits = [int(pid) for pid in f.read().split()]
    sleeper = running(f"sleep\0{marks[0]}")[0]
    while sleeper not in inits:
        with open(f"/proc/{sleeper}/stat", encoding="utf-8") as f:
            sleeper = int(f.read().rsplit(")", 1)[1].split()[1])
    os.kill(sleeper, signal.SIGKILL)
    e.agent.wait_state("TASK_FAILED", "a")
    wait_until(lambda: not running(f"sleep\0{marks[0]}"), "the end of what it ran")
    assert len(running(f"sleep\0{marks[1]}")) == 2
    e.agent.kill(task="b")
    e.agent.wait_state("TASK_KILLED", "b")
    assert e.exit_code() == 0
    wait_until(lambda: not running(f"sleep\0{marks[1]}"), "its processes to be gone")


def test_output_is_rotated_in_the_tasks_own_sandbox(pod):
    e = pod("--max_stdout_size=64KB", "--log_files=2")
    e.agent.launch_group(a="yes | head -c 300000", b="echo small")
    e.agent.wait_state("TASK_FINISHED", "a")
    e.agent.wait_state("TASK_FINISHED", "b")
    assert e.exit_code() == 0
    names = sorted(os.listdir(os.path.join(e.sandbox, "tasks", "a")))
    assert names == ["stderr", "stdout", "stdout.1", "stdout.2"]
    assert sorted(os.listdir(os.path.join(e.sandbox, "tasks", "b"))) == ["stderr", "stdout"]


def test_without_checkpoint_it_ends_with_the_agent(pod):
    m = marker()
    e = pod(checkpoint=False)
    e.agent.launch_group(a=f"sleep {m}", b=f"sleep {m}")
    wait_until(lambda: len(running(f"sleep\0{m}")) == 2, "the tasks")
    e.agent.stop()
    e.exit_code()
    wait_until(lambda: not running(f"sleep\0{m}"), "their processes to be gone")


def test_idle_it_is_small(pod):
    e = pod()
    e.agent.launch_group(**{f"t{i}": FOREVER for i in range(5)})
    for i in range(5):
        e.agent.wait_state("TASK_RUNNING", f"t{i}")
    with open(f"/proc/{e.process.pid}/smaps_rollup", encoding="utf-8") as f:
        pss = next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
    print(f"PSS of a pod's executor with five tasks: {pss} kB")
    # Debug and sanitizer builds are larger than what is installed, which stays below 2 MB.
    if "debug" in e.process.args[0]:
        assert pss < 4096
