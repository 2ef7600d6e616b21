"""dcos-executor against an agent made of Python: the life of a command task."""

import contextlib
import http.server
import os
import signal
import socket
import ssl
import subprocess
import threading
import uuid

import pytest

from cluster import binary, wait_until
from fake_agent import ExecutorUnderTest, running

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: switches users or makes namespaces")


@pytest.fixture
def run():
    made = []

    def make(*flags, **options):
        executor = ExecutorUnderTest(*flags, **options)
        made.append(executor)
        return executor

    with contextlib.ExitStack() as stack:  # each is closed, whatever becomes of the others
        yield make
        for executor in made:
            stack.callback(executor.close)


def marker():
    """A sleep that nobody else sleeps."""
    return f"{uuid.uuid4().int % 10**8 + 10**6}"


def test_finished(run):
    e = run()
    e.agent.launch("echo out; echo err >&2; echo $MESOS_TASK_ID $MESOS_SANDBOX $EXTRA; pwd")
    status = e.agent.wait_state("TASK_FINISHED")
    assert e.agent.states() == ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]
    assert status["message"] == "Command exited with status 0"
    network = e.agent.updates[1]["container_status"]["network_infos"][0]
    assert network["ip_addresses"][0]["ip_address"] == "127.0.0.1"
    assert e.agent.updates[1]["container_status"]["container_id"]["value"] == "container-1"
    assert e.exit_code() == 0
    assert e.read("stdout").startswith(f"out\ntask-1 {e.sandbox}")
    assert e.sandbox in e.read("stdout").splitlines()[-1]
    assert "err\n" in e.read("stderr")
    assert open(e.env["DCOS_STATUS_FILE"]).read() == "0\n"


@pytest.mark.parametrize(
    "command, message",
    [
        ("exit 7", "Command exited with status 7"),
        ("kill -9 $$", "Command terminated with signal Killed"),
        ("kill -SEGV $$", "Command terminated with signal Segmentation fault"),
    ],
)
def test_failed(run, command, message):
    e = run()
    e.agent.launch(command)
    assert e.agent.wait_state("TASK_FAILED")["message"] == message
    assert e.exit_code() == 0


def test_arguments_and_environment(run):
    e = run()
    e.agent.launch(
        {
            "shell": False,
            "value": "printf",
            "arguments": ["printf", "%s|", "a b", "$HOME", ""],
            "environment": {"variables": [{"name": "MESOS_TASK_ID", "value": "mine"}]},
        }
    )
    e.agent.wait_state("TASK_FINISHED")
    e.exit_code()
    assert e.read("stdout") == "a b|$HOME||"


def test_cannot_run(run):
    e = run()
    e.agent.launch({"shell": False, "value": "/no/such/program"})
    status = e.agent.wait_state("TASK_FAILED")
    assert "/no/such/program" in status["message"]
    assert status["reason"] == "REASON_CONTAINER_LAUNCH_FAILED"
    assert e.agent.states() == ["TASK_STARTING", "TASK_FAILED"]
    assert e.exit_code() == 0


def test_token_is_sent_and_kept_from_the_task(run):
    e = run(env={"MESOS_EXECUTOR_AUTHENTICATION_TOKEN": "secret"})
    e.agent.launch("env")
    e.agent.wait_state("TASK_FINISHED")
    e.exit_code()
    assert all(h["authorization"] == "Bearer secret" for h in e.agent.headers)
    assert "secret" not in e.read("stdout")


def test_kill_tree(run):
    e = run(agent_options={"capabilities": ["TASK_KILLING_STATE"]})
    m = marker()
    e.agent.launch(f"sh -c 'sleep {m}' & setsid sleep {m} & sleep {m}")
    e.agent.wait_state("TASK_RUNNING")
    wait_until(lambda: len(running(f"sleep\0{m}")) == 3, "the task's processes")
    e.agent.kill()
    status = e.agent.wait_state("TASK_KILLED")
    assert "TASK_KILLING" in e.agent.states()
    assert status["message"] == "Command terminated with signal Terminated"
    assert e.exit_code() == 0
    wait_until(lambda: not running(f"sleep\0{m}"), "its processes to be gone")


def test_kill_escalates_after_the_grace_period(run):
    e = run()
    m = marker()
    e.agent.launch(f"trap 'echo asked' TERM; echo up; while :; do sleep 0.05; done; sleep {m}")
    wait_until(lambda: "up" in e.read("stdout"), "the trap")
    e.agent.kill(grace=30)
    wait_until(lambda: "asked" in e.read("stdout"), "SIGTERM")
    assert "TASK_KILLED" not in e.agent.states()
    e.agent.kill(grace=0.1)  # a later request may shorten it
    status = e.agent.wait_state("TASK_KILLED")
    assert status["message"] == "Command terminated with signal Killed"
    assert "TASK_KILLING" not in e.agent.states()


def test_kill_while_it_starts(run):
    e = run()
    m = marker()
    e.agent.launch(f"sleep {m}")
    e.agent.kill()
    e.agent.wait_state("TASK_KILLED")
    assert e.agent.states()[0] == "TASK_STARTING"
    assert e.exit_code() == 0
    wait_until(lambda: not running(f"sleep\0{m}"), "its processes to be gone")


def test_shutdown_kills_and_reports(run):
    e = run()
    e.agent.launch(f"sleep {marker()}")
    e.agent.wait_state("TASK_RUNNING")
    e.agent.event("SHUTDOWN")
    e.agent.wait_state("TASK_KILLED")
    assert e.exit_code() == 0


def test_shutdown_without_task(run):
    e = run()
    e.agent.event("SHUTDOWN")
    assert e.exit_code() == 0


def test_max_completion_time(run):
    e = run()
    e.agent.launch(f"sleep {marker()}", max_completion_time={"nanoseconds": 200_000_000})
    status = e.agent.wait_state("TASK_FAILED")
    assert status["reason"] == "REASON_MAX_COMPLETION_TIME_REACHED"
    assert e.agent.states() == ["TASK_STARTING", "TASK_RUNNING", "TASK_FAILED"]


def test_second_task_is_refused(run):
    e = run()
    e.agent.launch(f"sleep {marker()}")
    e.agent.wait_state("TASK_RUNNING")
    e.agent.launch("true", task_id={"value": "task-2"})
    assert e.agent.wait_state("TASK_FAILED")["task_id"]["value"] == "task-2"
    e.agent.kill()
    e.agent.wait_state("TASK_KILLED")
    assert e.exit_code() == 0


def test_agent_restart(run):
    """The task runs on while the agent is away; what it had not acknowledged comes again, once."""
    e = run(agent_options={"acknowledge": False})
    e.agent.launch("while [ ! -e stop ]; do sleep 0.02; done; exit 4")
    e.agent.wait_state("TASK_RUNNING")
    before = [u["uuid"] for u in e.agent.updates]
    e.agent.stop()
    open(os.path.join(e.sandbox, "stop"), "w").close()
    e.agent.start()
    e.agent.wait_subscribed(2)
    again = e.agent.subscriptions[1]
    assert again["unacknowledged_tasks"][0]["task_id"]["value"] == "task-1"
    assert [u["status"]["uuid"] for u in again["unacknowledged_updates"]][:2] == before
    e.agent.wait_state("TASK_FAILED")
    assert e.process.poll() is None  # nothing is acknowledged yet
    e.agent.acknowledge_now()
    assert e.exit_code() == 0
    assert e.agent.states() == ["TASK_STARTING", "TASK_RUNNING", "TASK_FAILED"]


def test_agent_that_recovers_says_so(run):
    e = run()
    e.agent.update_status = 503
    e.agent.acknowledge = False
    e.agent.launch("true")
    e.agent.wait_subscribed(2)
    e.agent.update_status = 202
    e.agent.acknowledge_now()
    e.agent.wait_state("TASK_FINISHED")
    assert e.exit_code() == 0


def test_without_checkpoint_it_ends_with_the_agent(run):
    e = run(checkpoint=False)
    m = marker()
    e.agent.launch(f"sleep {m}")
    e.agent.wait_state("TASK_RUNNING")
    e.agent.stop()
    assert e.exit_code() == 0
    wait_until(lambda: not running(f"sleep\0{m}"), "its processes to be gone")


def test_recovery_timeout(run):
    e = run(env={"MESOS_RECOVERY_TIMEOUT": "200ms"})
    m = marker()
    e.agent.launch(f"sleep {m}")
    e.agent.wait_state("TASK_RUNNING")
    e.agent.stop()
    e.exit_code()
    wait_until(lambda: not running(f"sleep\0{m}"), "its processes to be gone")


def test_killed_executor_takes_the_task_along(run):
    e = run()
    m = marker()
    e.agent.launch(f"setsid sleep {m} & sh -c 'trap \"\" TERM HUP; sleep {m}; :'")
    e.agent.wait_state("TASK_RUNNING")
    wait_until(lambda: len(running(m)) >= 3, "the task's processes")
    os.kill(e.process.pid, signal.SIGKILL)
    wait_until(lambda: not running(m), "the end of all of them")


# Root without the right to make namespaces is as good as no root.
NO_NAMESPACES = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"] if os.geteuid() == 0 else []


def children(pid, name):
    found = []
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        for child in f.read().split():
            with open(f"/proc/{child}/comm") as c:
                if c.read().strip() == name:
                    found.append(int(child))
    return found


@pytest.mark.parametrize("victim", ["executor", "init"])
def test_deaths_without_namespaces_leave_nothing(run, victim):
    e = run(wrapper=NO_NAMESPACES)
    m = marker()
    e.agent.launch(f"setsid sh -c 'trap \"\" TERM HUP; (setsid sleep {m} &); sleep {m}; :' & sleep {m}; :")
    e.agent.wait_state("TASK_RUNNING")
    wait_until(lambda: len(running(f"sleep\0{m}")) == 3, "the task's processes")
    (init,) = children(e.process.pid, "dcos-init")
    assert os.readlink(f"/proc/{init}/ns/pid") == os.readlink("/proc/self/ns/pid")
    os.kill(init if victim == "init" else e.process.pid, signal.SIGKILL)
    wait_until(lambda: not running(m), "the end of all of them")
    if victim == "init":
        assert e.agent.wait_state("TASK_FAILED")["message"] == "Command terminated with signal Killed"
        assert e.exit_code() == 0


def test_nothing_leaks_into_the_task(run):
    """Not our descriptors, nor signals that somebody above ignored or blocked, nor what is the executor's alone."""
    read, write = os.pipe()

    def above():
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGTERM])

    e = run(
        env={"MESOS_EXECUTOR_AUTHENTICATION_TOKEN": "secret", "DCOS_OOM_FILE": "/nowhere"},
        pass_fds=(read, write),
        preexec_fn=above,
    )
    os.close(read)
    os.close(write)
    e.agent.launch("ls -1 /proc/$$/fd; grep -E 'Sig(Blk|Ign)' /proc/self/status; env | grep -E 'SECRET|TOKEN|DCOS_'; exit 0")
    e.agent.wait_state("TASK_FINISHED")
    assert e.exit_code() == 0
    lines = e.read("stdout").split()
    assert lines == ["0", "1", "2", "SigBlk:", "0" * 16, "SigIgn:", "0" * 16]


def test_zombies_are_reaped_and_signals_are_normal(run):
    e = run()
    e.agent.launch(
        "sh -c '(true &) ; exit 0'; i=0; "
        "while grep -q '^State:.Z' /proc/[0-9]*/status 2>/dev/null && [ $i -lt 200 ]; do i=$((i + 1)); sleep 0.05; done; ls -d /proc/[0-9]* | wc -l; "
        "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l; trap | wc -l"
    )
    e.agent.wait_state("TASK_FINISHED")
    e.exit_code()
    assert e.read("stdout").splitlines()[-1] == "0"
    if os.geteuid() == 0:
        assert int(e.read("stdout").splitlines()[0]) < 10  # a /proc of its own
        assert e.read("stdout").splitlines()[1] == "0"


@needs_root
def test_user(run):
    e = run("--user=nobody")
    os.chmod(e.sandbox, 0o777)
    e.agent.launch("id -un; touch mine; ls -l mine")
    e.agent.wait_state("TASK_FINISHED")
    e.exit_code()
    assert e.read("stdout").startswith("nobody\n")


@needs_root
def test_unknown_user(run):
    e = run("--user=nobody-knows-me")
    e.agent.launch("true")
    assert "nobody-knows-me" in e.agent.wait_state("TASK_FAILED")["message"]


def test_rlimits(run):
    e = run()
    e.agent.launch(
        "ulimit -n; ulimit -c",
        container={
            "type": "MESOS",
            "rlimit_info": {
                "rlimits": [{"type": "RLMT_NOFILE", "soft": 77, "hard": 78}, {"type": "RLMT_CORE", "soft": 0, "hard": 0}]
            },
        },
    )
    e.agent.wait_state("TASK_FINISHED")
    e.exit_code()
    assert e.read("stdout") == "77\n0\n"


def test_rotation(run):
    e = run("--max_stdout_size=64KB", "--log_files=2")
    e.agent.launch("i=0; while [ $i -lt 4000 ]; do echo line $i 0123456789012345678901234567890123456789; i=$((i+1)); done")
    e.agent.wait_state("TASK_FINISHED")
    e.exit_code()
    names = sorted(n for n in os.listdir(e.sandbox) if n.startswith("stdout"))
    assert names == ["stdout", "stdout.1", "stdout.2"]
    assert all(os.path.getsize(os.path.join(e.sandbox, n)) <= 65536 for n in names)
    text = e.read("stdout.2") + e.read("stdout.1") + e.read("stdout")
    assert text.splitlines()[-1].startswith("line 3999 ")
    numbers = [int(line.split()[1]) for line in text.splitlines()[1:]]
    assert numbers == list(range(numbers[0], 4000))


FAST = {"delay_seconds": 0, "interval_seconds": 0.05, "timeout_seconds": 5}


def test_command_health_check(run):
    e = run()
    e.agent.launch(
        f"sleep {marker()}",
        health_check={
            "type": "COMMAND",
            "command": {"value": "test -e healthy"},
            "grace_period_seconds": 0,
            "consecutive_failures": 1000,
            **FAST,
        },
    )
    status = wait_until(lambda: next((u for u in e.agent.updates if u.get("healthy") is False), None), "unhealthy")
    assert status["reason"] == "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED"
    assert status["state"] == "TASK_RUNNING"
    open(os.path.join(e.sandbox, "healthy"), "w").close()
    wait_until(lambda: e.agent.updates[-1].get("healthy") is True, "healthy")
    e.agent.kill()
    e.agent.wait_state("TASK_KILLED")


def test_health_kill(run):
    e = run()
    e.agent.launch(
        f"sleep {marker()}",
        health_check={
            "type": "COMMAND",
            "command": {"value": "exit 1"},
            "grace_period_seconds": 0,
            "consecutive_failures": 3,
            **FAST,
        },
    )
    status = e.agent.wait_state("TASK_KILLED")
    assert status["healthy"] is False
    assert len([u for u in e.agent.updates if u["state"] == "TASK_RUNNING" and u.get("healthy") is False]) == 3
    assert e.exit_code() == 0


def test_command_check_timeout_leaves_nothing(run):
    e = run()
    m = marker()
    e.agent.launch(
        f"sleep {marker()}",
        check={
            "type": "COMMAND",
            "command": {"command": {"value": f"if [ -e hang ]; then sleep {m}; fi; exit 3"}},
            "delay_seconds": 0,
            "interval_seconds": 0.05,
            "timeout_seconds": 0.3,
        },
    )
    first = e.agent.wait_state("TASK_RUNNING")
    assert first["check_status"] == {"type": "COMMAND", "command": {}}
    status = wait_until(
        lambda: next((u for u in e.agent.updates if u["check_status"]["command"].get("exit_code") == 3), None), "check"
    )
    assert status["reason"] == "REASON_TASK_CHECK_STATUS_UPDATED"
    open(os.path.join(e.sandbox, "hang"), "w").close()
    wait_until(lambda: e.agent.updates[-1]["check_status"]["command"] == {}, "timeout told")
    os.unlink(os.path.join(e.sandbox, "hang"))
    wait_until(lambda: not running(m), "the end of the hanging check")
    e.agent.kill()
    e.agent.wait_state("TASK_KILLED")


class Answers(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self):
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/final")
        else:
            self.send_response(type(self).status if self.path == "/final" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def web():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    Answers.status = 200
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_http_health_and_check(run, web):
    e = run()
    e.agent.launch(
        f"sleep {marker()}",
        health_check={
            "type": "HTTP",
            "http": {"port": web, "path": "/moved", "scheme": "http"},
            "grace_period_seconds": 0,
            "consecutive_failures": 1000,
            **FAST,
        },
        check={"type": "HTTP", "http": {"port": web, "path": "/moved"}, **FAST},
    )
    wait_until(lambda: e.agent.updates[-1].get("healthy") is True, "healthy")
    # A general check tells the status that it got, redirects are not followed.
    wait_until(lambda: e.agent.updates[-1]["check_status"]["http"].get("status_code") == 302, "status of the check")
    Answers.status = 500
    wait_until(lambda: e.agent.updates[-1].get("healthy") is False, "unhealthy")
    e.agent.kill()
    e.agent.wait_state("TASK_KILLED")


@pytest.fixture
def secure_web(tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        + ["-subj", "/CN=somebody-else", "-days", "2", "-out", certificate, "-keyout", key],
        check=True,
        capture_output=True,
    )
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    Answers.status = 200
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_https_health(run, secure_web):
    """A certificate that nobody signed and that names somebody else will do; redirects are followed."""
    e = run()
    e.agent.launch(
        f"sleep {marker()}",
        health_check={
            "type": "HTTP",
            "http": {"port": secure_web, "path": "/moved", "scheme": "https"},
            "grace_period_seconds": 0,
            "consecutive_failures": 1000,
            **FAST,
        },
    )
    wait_until(lambda: e.agent.updates[-1].get("healthy") is True, "healthy")
    Answers.status = 500
    wait_until(lambda: e.agent.updates[-1].get("healthy") is False, "unhealthy")
    e.agent.kill()
    e.agent.wait_state("TASK_KILLED")


def test_tcp_check(run):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
        e = run()
        e.agent.launch(f"sleep {marker()}", check={"type": "TCP", "tcp": {"port": port}, **FAST})
        wait_until(lambda: e.agent.updates[-1]["check_status"]["tcp"].get("succeeded") is False, "closed port")
        s.listen(5)
        wait_until(lambda: e.agent.updates[-1]["check_status"]["tcp"].get("succeeded") is True, "open port")
        e.agent.kill()
        e.agent.wait_state("TASK_KILLED")


def test_small_memory(run):
    e = run()
    e.agent.launch(f"sleep {marker()}")
    e.agent.wait_state("TASK_RUNNING")
    with open(f"/proc/{e.process.pid}/maps") as f:
        if "libasan" in f.read():
            pytest.skip("a sanitizer's own memory is in the way")
    with open(f"/proc/{e.process.pid}/smaps_rollup") as f:
        pss = next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
    assert pss < 2048, f"{pss} KB"


def test_says_what_is_missing():
    done = subprocess.run([binary("dcos-executor")], env={}, capture_output=True, text=True)
    assert done.returncode == 2
    assert "MESOS_FRAMEWORK_ID" in done.stderr
    with open("/dev/null") as null:
        done = subprocess.run([binary("dcos-launcher")], stdin=null, capture_output=True, text=True)
    assert done.returncode == 2
