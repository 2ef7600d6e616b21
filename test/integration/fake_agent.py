"""An agent's executor API on a unix socket, in JSON, for tests of dcos-executor alone: it accepts SUBSCRIBE and UPDATE,
keeps what it got, acknowledges when told to, and can go away and come back."""

import base64
import json
import os
import signal
import socket
import subprocess
import tempfile
import shutil
import threading

from cluster import binary, wait_until

FRAMEWORK, EXECUTOR, CONTAINER = "framework-1", "task-1", "container-1"


class Connection(threading.Thread):
    """One client connection: requests one after the other; SUBSCRIBE keeps it for events."""

    def __init__(self, agent, sock):
        super().__init__(daemon=True)
        self.agent, self.sock = agent, sock

    def run(self):
        stream = self.sock.makefile("rb")
        try:
            while True:
                line = stream.readline()
                if not line:
                    break
                headers = {}
                while True:
                    header = stream.readline().strip()
                    if not header:
                        break
                    name, value = header.decode().split(":", 1)
                    headers[name.strip().lower()] = value.strip()
                body = stream.read(int(headers.get("content-length", "0")))
                self.agent.handle(self, line.decode().split(), headers, json.loads(body))
        except (OSError, ValueError):
            pass
        finally:
            self.agent.gone(self)
            self.sock.close()

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            pass

    def event(self, event):
        record = json.dumps(event).encode()
        frame = b"%d\n%s" % (len(record), record)
        self.send(b"%x\r\n%s\r\n" % (len(frame), frame))


class FakeAgent:
    def __init__(self, path, capabilities=(), acknowledge=True):
        self.path = path
        self.capabilities = list(capabilities)
        self.acknowledge = acknowledge
        self.lock = threading.RLock()
        self.subscriptions, self.updates, self.headers = [], [], []
        self.subscriber = None
        self.connections = []
        self.listener = None
        self.update_status = 202

    def start(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(16)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            connection = Connection(self, sock)
            with self.lock:
                self.connections.append(connection)
            connection.start()

    def stop(self):
        """As if the agent died."""
        with self.lock:
            if self.listener:
                self.listener.shutdown(socket.SHUT_RDWR)
                self.listener.close()
                self.listener = None
            for connection in self.connections:
                try:
                    connection.sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
            self.subscriber = None

    def gone(self, connection):
        with self.lock:
            if self.subscriber is connection:
                self.subscriber = None
            if connection in self.connections:
                self.connections.remove(connection)

    def handle(self, connection, request, headers, call):
        with self.lock:
            assert request[0] == "POST" and request[1] == "/api/v1/executor", request
            assert call["executor_id"]["value"] == EXECUTOR and call["framework_id"]["value"] == FRAMEWORK
            self.headers.append(headers)
            if call["type"] == "SUBSCRIBE":
                self.subscriptions.append(call["subscribe"])
                for update in call["subscribe"].get("unacknowledged_updates", []):
                    self._update(update["status"])
                self.subscriber = connection
                connection.send(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
                )
                connection.event(
                    {
                        "type": "SUBSCRIBED",
                        "subscribed": {
                            "executor_info": {"executor_id": {"value": EXECUTOR}, "command": {"value": "x"}},
                            "framework_info": {
                                "user": "root",
                                "name": "f",
                                "capabilities": [{"type": c} for c in self.capabilities],
                            },
                            "agent_info": {"hostname": "h"},
                            "container_id": {"value": CONTAINER},
                        },
                    }
                )
                self._acknowledge_all()
            elif call["type"] == "UPDATE":
                self._update(call["update"]["status"])
                reason = {202: "Accepted", 503: "Service Unavailable"}[self.update_status]
                connection.send(f"HTTP/1.1 {self.update_status} {reason}\r\nContent-Length: 0\r\n\r\n".encode())
                self._acknowledge_all()

    def _update(self, status):
        assert len(base64.b64decode(status["uuid"])) == 16
        assert status["source"] == "SOURCE_EXECUTOR"
        if status["uuid"] not in [u["uuid"] for u in self.updates]:
            status["acknowledged"] = False
            self.updates.append(status)

    def _acknowledge_all(self):
        if not self.acknowledge or not self.subscriber:
            return
        for status in self.updates:
            if not status["acknowledged"]:
                status["acknowledged"] = True
                self.event(
                    "ACKNOWLEDGED", {"task_id": status["task_id"], "uuid": status["uuid"]}
                )

    def acknowledge_now(self):
        with self.lock:
            self.acknowledge = True
            self._acknowledge_all()

    def event(self, kind, body=None):
        with self.lock:
            event = {"type": kind}
            if body is not None:
                event[kind.lower()] = body
            self.subscriber.event(event)

    def launch(self, command, **task):
        task.setdefault("name", "task")
        task.setdefault("task_id", {"value": EXECUTOR})
        task.setdefault("agent_id", {"value": "agent-1"})
        task["command"] = command if isinstance(command, dict) else {"value": command}
        self.event("LAUNCH", {"task": task})

    def launch_group(self, **tasks):
        """Task ids with their commands, or with what else they have."""
        infos = []
        for task_id, task in tasks.items():
            task = {"command": {"value": task}} if isinstance(task, str) else task
            infos.append({"name": "task", "task_id": {"value": task_id}, "agent_id": {"value": "agent-1"}, **task})
        self.event("LAUNCH_GROUP", {"task_group": {"tasks": infos}})

    def kill(self, grace=None, task=EXECUTOR):
        body = {"task_id": {"value": task}}
        if grace is not None:
            body["kill_policy"] = {"grace_period": {"nanoseconds": int(grace * 1e9)}}
        self.event("KILL", body)

    def states(self, task=None):
        with self.lock:
            return [u["state"] for u in self.updates if task in (None, u["task_id"]["value"])]

    def wait_state(self, state, task=None):
        def find():
            for u in list(self.updates):
                if u["state"] == state and task in (None, u["task_id"]["value"]):
                    return u
            return None

        return wait_until(find, f"{state} of {task or 'the task'} in {self.states()}")

    def wait_subscribed(self, times=1):
        wait_until(lambda: len(self.subscriptions) >= times and self.subscriber, "subscription")


class ExecutorUnderTest:
    """dcos-executor with its sandbox and its agent."""

    def __init__(self, *flags, agent_options=None, checkpoint=True, env=None, start_agent=True, wrapper=(), **options):
        self.folder = tempfile.mkdtemp(prefix="dcos-executor-")
        os.chmod(self.folder, 0o755)
        self.sandbox = os.path.join(self.folder, "sandbox")
        os.mkdir(self.sandbox)
        self.agent = FakeAgent(os.path.join(self.folder, "agent.sock"), **(agent_options or {}))
        if start_agent:
            self.agent.start()
        self.env = {
            "PATH": os.environ["PATH"],
            "MESOS_FRAMEWORK_ID": FRAMEWORK,
            "MESOS_EXECUTOR_ID": EXECUTOR,
            "MESOS_DOMAIN_SOCKET": self.agent.path,
            "MESOS_SANDBOX": self.sandbox,
            "MESOS_CHECKPOINT": "1" if checkpoint else "0",
            "MESOS_SUBSCRIPTION_BACKOFF_MAX": "50ms",
            "LIBPROCESS_IP": "127.0.0.1",
            "DCOS_STATUS_FILE": os.path.join(self.folder, "status"),
            **(env or {}),
        }
        self.process = subprocess.Popen(
            [*wrapper, binary("dcos-executor"), "--content_type=application/json", *flags],
            env=self.env,
            cwd=self.sandbox,
            stdin=subprocess.DEVNULL,
            stdout=open(os.path.join(self.sandbox, "stdout"), "ab"),
            stderr=open(os.path.join(self.sandbox, "stderr"), "ab"),
            start_new_session=True,
            **options,
        )
        if start_agent:
            self.agent.wait_subscribed()

    def read(self, name):
        with open(os.path.join(self.sandbox, name), encoding="utf-8", errors="replace") as f:
            return f.read()

    def exit_code(self):
        return wait_until(lambda: (self.process.poll() is not None and [self.process.returncode]), "executor's end")[0]

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.agent.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def running(marker):
    """Pids of processes with the marker in their command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if marker.encode() in f.read() and int(pid) != os.getpid():
                    found.append(int(pid))
        except OSError:
            pass
    return found
