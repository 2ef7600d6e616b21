"""The v1 APIs with nothing in between: calls as they are written, events in the order in which they come. Streams
are read only when asked, so a test sees exactly what was sent between two of its own steps."""

import base64
import json
import socket
import struct
import time
import uuid

import requests

from api_rows import rows  # noqa: F401  (tests take it from here)
from cluster import wait_until
from scheduler import records, scalar

JSON = {"Content-Type": "application/json"}
PROTOBUF = {"Content-Type": "application/x-protobuf"}
CAPABILITIES = ("MULTI_ROLE", "RESERVATION_REFINEMENT", "PARTITION_AWARE")
UUID = base64.b64encode(bytes(range(16))).decode()
TIMEOUT = 60

def ids(**values):
    return {key: {"value": value} for key, value in values.items()}


def post(daemon, body, headers=None, path="/api/v1", **options):
    data = body if isinstance(body, (bytes, str)) else json.dumps(body)
    return requests.post(
        daemon.url + path, data=data, headers=JSON if headers is None else headers, timeout=TIMEOUT, **options
    )


def get(daemon, endpoint, /, **params):
    return requests.get(daemon.url + endpoint, params=params, timeout=TIMEOUT, allow_redirects=False)


def operator(daemon, kind, **body):
    response = post(daemon, {"type": kind, **body})
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["type"] == kind
    return answer[kind.lower()]


class Stream:
    """An endless answer, event by event."""

    def __init__(self, response):
        self.response = response
        self.events = records(response)

    def next(self):
        return next(self.events)

    def next_before(self, end, what):
        """Heartbeats keep a stream alive: who waits for something among its events needs a limit of their own."""
        assert time.monotonic() < end, f"timed out waiting for {what}"
        return self.next()

    def until(self, condition, what="the event"):
        """Events up to and with the first that fits."""
        seen, end = [], time.monotonic() + TIMEOUT
        while True:
            try:
                event = self.next_before(end, f"{what} after {seen}")
            except (StopIteration, requests.RequestException) as e:
                raise AssertionError(f"no {what} after {seen}: {e!r}") from e
            seen.append(event)
            if condition(event):
                return seen

    def cut(self):
        """The connection ends from our side."""
        try:
            self.response.raw._fp.fp.raw._sock.shutdown(socket.SHUT_RDWR)
        except (AttributeError, OSError):
            pass
        self.response.close()


class Scheduler(Stream):
    def __init__(self, master, framework_id=None, capabilities=CAPABILITIES, role="*", headers=None, subscribe=None, **info):
        self.master = master
        multi = "MULTI_ROLE" in capabilities
        self.role = role
        self.info = {
            "user": "root",
            "name": "raw",
            "failover_timeout": 3600.0,
            "capabilities": [{"type": c} for c in capabilities],
            **({"roles": [role]} if multi else {"role": role}),
            **info,
        }
        self.info = {k: v for k, v in self.info.items() if v is not None}
        body = {"type": "SUBSCRIBE", "subscribe": {"framework_info": self.info, **(subscribe or {})}}
        if framework_id:
            body["framework_id"] = self.info["id"] = {"value": framework_id}
        super().__init__(post(master, body, {**JSON, **(headers or {})}, "/api/v1/scheduler", stream=True))
        self.stream_id = self.response.headers.get("Mesos-Stream-Id")
        self.framework_id = framework_id
        self.offers = {}

    def __enter__(self):
        self.subscribed()
        return self

    def __exit__(self, *exc):
        self.raw_call("TEARDOWN")
        self.cut()

    def subscribed(self):
        event = self.next()
        assert event["type"] == "SUBSCRIBED", event
        assert self.next() == {"type": "HEARTBEAT"}
        self.framework_id = event["subscribed"]["framework_id"]["value"]
        return event["subscribed"]

    def next(self):
        event = super().next()
        if event["type"] == "OFFERS":
            for offer in event["offers"]["offers"]:
                self.offers[offer["id"]["value"]] = offer
        elif event["type"] == "RESCIND":
            self.offers.pop(event["rescind"]["offer_id"]["value"], None)
        return event

    # ---- calls ----

    def raw_call(self, kind, **body):
        call = {"framework_id": {"value": self.framework_id}, "type": kind, **body}
        return post(self.master, call, {**JSON, "Mesos-Stream-Id": self.stream_id}, "/api/v1/scheduler")

    def call(self, kind, **body):
        response = self.raw_call(kind, **body)
        assert response.status_code == 202, response.text
        assert response.content == b"" and response.headers["Content-Length"] == "0"
        return response

    def acknowledge(self, status):
        self.call("ACKNOWLEDGE", acknowledge={k: status[k] for k in ("agent_id", "task_id", "uuid")})

    def accept(self, offers, operations, refuse_seconds=0):
        offer_ids = [o["id"] if isinstance(o, dict) else {"value": o} for o in offers]
        for o in offer_ids:
            self.offers.pop(o["value"], None)
        self.call(
            "ACCEPT", accept={"offer_ids": offer_ids, "operations": operations, "filters": {"refuse_seconds": refuse_seconds}}
        )

    def reconcile(self, *tasks):
        self.call("RECONCILE", reconcile={"tasks": list(tasks)})

    def barrier(self):
        """Everything sent before now."""
        marker = "barrier-" + uuid.uuid4().hex
        self.reconcile(ids(task_id=marker))
        return self.until(lambda e: e["type"] == "UPDATE" and e["update"]["status"]["task_id"]["value"] == marker)[:-1]

    # ---- waiting ----

    def idle(self):
        """Until nothing runs on any agent: what ended in the test before is not offered in the midst of this one."""
        wait_until(
            lambda: all(a["used_resources"]["cpus"] == 0 for a in get(self.master, "/slaves").json()["slaves"]), "idle agents"
        )

    def offer(self, cpus=0.1, mem=32):
        def fits(offer):
            have = {}
            for r in offer["resources"]:
                if r["type"] == "SCALAR":
                    have[r["name"]] = have.get(r["name"], 0) + r["scalar"]["value"]
            return have.get("cpus", 0) >= cpus and have.get("mem", 0) >= mem

        end = time.monotonic() + TIMEOUT
        while True:
            for key, offer in list(self.offers.items()):
                if fits(offer):
                    return self.offers.pop(key)
            self.next_before(end, f"an offer, have {self.offers}")
            self._join_pieces(fits)

    def _join_pieces(self, fits):
        """What ended comes back in pieces, which the master joins when they are given back."""
        if any(map(fits, self.offers.values())):
            return
        for agent in {o["agent_id"]["value"] for o in self.offers.values()}:
            pieces = [o["id"] for o in self.offers.values() if o["agent_id"]["value"] == agent]
            if len(pieces) > 1:
                for p in pieces:
                    del self.offers[p["value"]]
                self.call("DECLINE", decline={"offer_ids": pieces, "filters": {"refuse_seconds": 0}})

    def update(self, task_id, acknowledge=True):
        """The task's next update."""
        event = self.until(
            lambda e: e["type"] == "UPDATE" and e["update"]["status"]["task_id"]["value"] == task_id, f"update of {task_id}"
        )[-1]
        status = event["update"]["status"]
        if acknowledge and "uuid" in status:
            self.acknowledge(status)
        return status

    def state(self, task_id, state):
        while True:
            status = self.update(task_id)
            if status["state"] == state:
                return status
            assert status["state"] in ("TASK_STARTING", "TASK_RUNNING", "TASK_KILLING"), status

    # ---- tasks ----

    def task(self, offer, task_id=None, cpus=0.1, mem=32, **fields):
        task_id = task_id or "t-" + uuid.uuid4().hex[:8]
        task = {
            "name": "task",
            "task_id": {"value": task_id},
            "agent_id": offer["agent_id"],
            "resources": [scalar("cpus", cpus), scalar("mem", mem)],
            "command": {"value": "exec sleep 1000"},
            **fields,
        }
        return {k: v for k, v in task.items() if v is not None}

    def launch(self, refuse_seconds=0, **fields):
        offer = self.offer(cpus=1, mem=256)
        task = self.task(offer, **fields)
        self.accept([offer], [launch(task)], refuse_seconds)
        return task["task_id"]["value"], offer["agent_id"]["value"]


def launch(*tasks, **extra):
    return {"type": "LAUNCH", "launch": {"task_infos": list(tasks)}, **extra}


def executor_info(executor_id="custom", **fields):
    return {
        "type": "CUSTOM",
        "executor_id": {"value": executor_id},
        "command": {"value": "exec sleep 1000"},
        "resources": [scalar("cpus", 0.1), scalar("mem", 32)],
        **fields,
    }


class Executor(Stream):
    """The executor API as an executor: the process in the container only has to live."""

    def __init__(self, agent, framework_id, executor_id, accept="application/json", **subscribe):
        self.agent, self.ids = agent, ids(framework_id=framework_id, executor_id=executor_id)
        super().__init__(
            self.call("SUBSCRIBE", {"Accept": accept}, stream=True, subscribe=subscribe)
        )

    def call(self, kind, headers=None, stream=False, **body):
        return executor_call(self.agent, {"type": kind, **self.ids, **body}, headers, stream)

    def update(self, task_id, state, code=202, **fields):
        status = {
            "task_id": {"value": task_id},
            "state": state,
            "source": "SOURCE_EXECUTOR",
            "uuid": base64.b64encode(uuid.uuid4().bytes).decode(),
            **fields,
        }
        response = self.call("UPDATE", update={"status": status})
        assert response.status_code == code, response.text
        return status["uuid"]


def executor_call(agent, body, headers=None, stream=False):
    return post(agent, body, {**JSON, **(headers or {})}, "/api/v1/executor", stream=stream)


# ---- protobuf by hand ----


def varint(n):
    out = b""
    while n > 0x7F:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def fields(message):
    """{number: [value, ...]} with numbers, doubles and bytes."""
    found, at = {}, 0

    def number():
        nonlocal at
        n = shift = 0
        while True:
            byte = message[at]
            at += 1
            n |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return n

    while at < len(message):
        key = number()
        kind = key & 7
        if kind == 0:
            value = number()
        elif kind == 1:
            value = struct.unpack_from("<d", message, at)[0]
            at += 8
        elif kind == 2:
            size = number()
            value = message[at : at + size]
            assert len(value) == size
            at += size
        else:
            raise AssertionError(f"wire type {kind}")
        found.setdefault(key >> 3, []).append(value)
    return found


def binary_records(response):
    pending = b""
    for chunk in response.iter_content(chunk_size=None):
        pending += chunk
        while True:
            head, newline, rest = pending.partition(b"\n")
            if not newline or len(rest) < int(head):
                break
            yield fields(rest[: int(head)])
            pending = rest[int(head) :]
