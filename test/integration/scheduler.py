"""A small v1 scheduler in JSON for tests: subscribes, keeps offers and updates, acknowledges.

    with Scheduler(master.url) as s:
        task = s.launch({"command": {"value": "exit 0"}})
        s.wait_state(task, "TASK_FINISHED")
"""

import base64
import json
import threading
import time
import uuid

import requests

from cluster import wait_until


def scalar(name, value):
    return {"name": name, "type": "SCALAR", "scalar": {"value": value}}


def holds(offer, cpus=0.1, mem=32):
    have = {}
    for r in offer["resources"]:
        if r["type"] == "SCALAR":
            have[r["name"]] = have.get(r["name"], 0) + r["scalar"]["value"]
    return have.get("cpus", 0) >= cpus and have.get("mem", 0) >= mem


def records(stream):
    """JSON messages of a RecordIO body."""
    pending = b""
    for chunk in stream.iter_content(chunk_size=None):
        pending += chunk
        while True:
            head, newline, rest = pending.partition(b"\n")
            if not newline or len(rest) < int(head):
                break
            size = int(head)
            yield json.loads(rest[:size])
            pending = rest[size:]


class Scheduler:
    def __init__(self, url, role="*", framework_id=None, acknowledge=True, capabilities=("PARTITION_AWARE",), token=None,
                 **info):
        self.url = url
        self.shown = {"Authorization": "Bearer " + token} if token else {}
        self.acknowledge = acknowledge
        self.framework_id = framework_id
        self.offers = {}
        self.updates = []
        self.messages = []
        self.failures = []
        self.errors = []
        self.lock = threading.Condition()
        self.info = {
            "user": "root",
            "name": "test",
            "failover_timeout": 3600,
            "checkpoint": True,
            "roles": [role],
            "capabilities": [{"type": c} for c in ("MULTI_ROLE", "RESERVATION_REFINEMENT", *capabilities)],
            **info,
        }
        self.role = role
        self.response = None
        self.thread = None

    # ---- life ----

    def __enter__(self):
        return self.subscribe()

    def __exit__(self, *exc):
        self.close(teardown=True)

    def subscribe(self):
        info = dict(self.info)
        body = {"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}
        if self.framework_id:
            info["id"] = {"value": self.framework_id}
            body["framework_id"] = info["id"]
        self.session = requests.Session()

        def connect():
            response = self.session.post(
                self.url + "/api/v1/scheduler", json=body, headers={"Accept": "application/json", **self.shown}, stream=True,
                timeout=(5, 120),
            )
            if response.status_code == 503:
                response.close()
                return None
            response.raise_for_status()
            return response

        self.response = wait_until(connect, "the master to take the scheduler")
        self.stream_id = self.response.headers["Mesos-Stream-Id"]
        subscribed = threading.Event()
        self.thread = threading.Thread(target=self._read, args=(self.response, subscribed), daemon=True)
        self.thread.start()
        assert subscribed.wait(60), "no SUBSCRIBED"
        return self

    def close(self, teardown=False):
        if teardown:
            try:
                self.call("TEARDOWN")
            except requests.RequestException:
                pass
        if self.response is not None:
            # The reading thread holds the connection: cut it below Python's buffers.
            raw = self.response.raw
            connection = getattr(raw, "_connection", None) or getattr(raw, "connection", None)
            sock = getattr(connection, "sock", None)
            if sock is not None:
                try:
                    sock.shutdown(2)
                except OSError:
                    pass
            self.thread.join(60)
            self.response.close()
            self.response = None

    def _read(self, response, subscribed):
        try:
            for event in records(response):
                self._handle(event)
                if event["type"] == "SUBSCRIBED":
                    subscribed.set()
        except (requests.RequestException, OSError, ValueError, AttributeError):
            pass
        with self.lock:
            self.lock.notify_all()

    def _handle(self, event):
        kind = event["type"]
        with self.lock:
            if kind == "SUBSCRIBED":
                self.framework_id = event["subscribed"]["framework_id"]["value"]
            elif kind == "OFFERS":
                for offer in event["offers"]["offers"]:
                    self.offers[offer["id"]["value"]] = offer
            elif kind == "RESCIND":
                self.offers.pop(event["rescind"]["offer_id"]["value"], None)
            elif kind == "UPDATE":
                self.updates.append(event["update"]["status"])
            elif kind == "MESSAGE":
                self.messages.append(event["message"])
            elif kind == "FAILURE":
                self.failures.append(event["failure"])
            elif kind == "ERROR":
                self.errors.append(event["error"]["message"])
            self.lock.notify_all()
        if kind == "UPDATE" and self.acknowledge:
            self.acknowledge_update(event["update"]["status"])

    # ---- calls ----

    def call(self, kind, **body):
        message = {"framework_id": {"value": self.framework_id}, "type": kind, **body}
        response = requests.post(
            self.url + "/api/v1/scheduler", json=message, headers={"Mesos-Stream-Id": self.stream_id, **self.shown},
            timeout=60
        )
        response.raise_for_status()
        return response

    def acknowledge_update(self, status):
        if "uuid" in status:
            self.call(
                "ACKNOWLEDGE",
                acknowledge={"agent_id": status["agent_id"], "task_id": status["task_id"], "uuid": status["uuid"]},
            )

    def decline_all(self, refuse_seconds=5):
        """Gives back the offers at hand."""
        with self.lock:
            offers, self.offers = list(self.offers.values()), {}
        if offers:
            self.call("DECLINE", decline={"offer_ids": [o["id"] for o in offers], "filters": {"refuse_seconds": refuse_seconds}})

    def kill(self, task, grace_us=None):
        kill = {"task_id": {"value": task}}
        if grace_us is not None:
            kill["kill_policy"] = {"grace_period": {"nanoseconds": grace_us * 1000}}
        self.call("KILL", kill=kill)

    def reconcile(self, *tasks):
        self.call("RECONCILE", reconcile={"tasks": [{"task_id": {"value": t}} for t in tasks]})

    def message(self, agent_id, executor_id, data):
        self.call(
            "MESSAGE",
            message={
                "agent_id": {"value": agent_id},
                "executor_id": {"value": executor_id},
                "data": base64.b64encode(data).decode(),
            },
        )

    def shutdown(self, agent_id, executor_id):
        self.call("SHUTDOWN", shutdown={"agent_id": {"value": agent_id}, "executor_id": {"value": executor_id}})

    # ---- waiting ----

    def wait(self, condition, what, timeout=60):
        end = time.monotonic() + timeout
        with self.lock:
            while True:
                value = condition()
                if value:
                    return value
                left = end - time.monotonic()
                assert left > 0, f"timed out waiting for {what}; updates: {self.updates}, errors: {self.errors}"
                self.lock.wait(min(left, 0.5))

    def take_offer(self, fits, what="an offer", timeout=60):
        """The first offer that fits. What ended comes back in pieces, which the master joins when they are given back."""
        end = time.monotonic() + timeout
        while True:
            with self.lock:
                for again in (False, True):
                    for key, offer in self.offers.items():
                        if fits(offer):
                            return self.offers.pop(key)
                    if not again:
                        self.lock.wait(0.2)
            assert time.monotonic() < end, f"timed out waiting for {what}; have: {self.offers}, errors: {self.errors}"
            try:
                self.decline_all(0)
            except requests.RequestException:
                pass  # between two masters, say

    def offer(self, cpus=0.1, mem=32, timeout=60):
        """Takes an offer that holds so much."""
        return self.take_offer(lambda offer: holds(offer, cpus, mem), f"an offer of {cpus} cpus and {mem} MB", timeout)

    def of(self, task):
        return [u for u in self.updates if u["task_id"]["value"] == task]

    def wait_state(self, task, state, timeout=60):
        """The first status of the task with the state."""
        return self.wait(
            lambda: next((u for u in self.of(task) if u["state"] == state), None), f"{state} of {task}", timeout
        )

    # ---- launching ----

    def launch_anew(self, *args, **options):
        """Launches behind a restart of the agent: an offer may be from before without the word of that being here yet."""
        while True:
            task_id = self.launch(*args, **options)
            self.wait(lambda: self.of(task_id), f"news of {task_id}")
            if self.of(task_id)[0].get("reason") not in ("REASON_INVALID_OFFERS", "REASON_AGENT_DISCONNECTED"):
                return task_id

    def launch(self, task=None, task_id=None, cpus=0.1, mem=32, refuse_seconds=0, resources=None):
        """Launches on the next offer that is large enough; returns the task's id."""
        offer = self.offer(cpus, mem)
        task_id = task_id or "t-" + uuid.uuid4().hex[:8]
        info = {
            "name": task_id,
            "task_id": {"value": task_id},
            "agent_id": offer["agent_id"],
            "resources": resources or [scalar("cpus", cpus), scalar("mem", mem)],
            **(task or {}),
        }
        for r in info["resources"]:
            r.setdefault("allocation_info", {"role": self.role})
        self.call(
            "ACCEPT",
            accept={
                "offer_ids": [offer["id"]],
                "operations": [{"type": "LAUNCH", "launch": {"task_infos": [info]}}],
                "filters": {"refuse_seconds": refuse_seconds},
            },
        )
        return task_id
