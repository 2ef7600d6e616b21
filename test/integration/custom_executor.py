"""An executor of its own kind for tests, over TCP in JSON, with nothing but Python: "runs" tasks in memory, ends
them on MESSAGE with their exit state, answers every other message with what it got."""

import base64
import http.client
import json
import os
import threading
import time
import uuid

FRAMEWORK = os.environ["MESOS_FRAMEWORK_ID"]
EXECUTOR = os.environ["MESOS_EXECUTOR_ID"]
HOST, PORT = os.environ["MESOS_AGENT_ENDPOINT"].rsplit(":", 1)
HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}

unacknowledged_tasks = {}
unacknowledged_updates = {}
lock = threading.Lock()


def call(kind, **body):
    message = {"type": kind, "executor_id": {"value": EXECUTOR}, "framework_id": {"value": FRAMEWORK}, **body}
    connection = http.client.HTTPConnection(HOST, int(PORT), timeout=30)
    connection.request("POST", "/slave(1)/api/v1/executor", json.dumps(message), HEADERS)
    return connection.getresponse()


def update(task_id, state):
    identity = base64.b64encode(uuid.uuid4().bytes).decode()
    status = {"task_id": {"value": task_id}, "state": state, "source": "SOURCE_EXECUTOR", "uuid": identity}
    with lock:
        unacknowledged_updates[identity] = {"status": status}
    try:
        assert call("UPDATE", update={"status": status}).status == 202
    except OSError:
        pass  # said again on the next subscription


def handle(event):
    kind = event["type"]
    if kind in ("LAUNCH", "LAUNCH_GROUP"):
        tasks = [event["launch"]["task"]] if kind == "LAUNCH" else event["launch_group"]["task_group"]["tasks"]
        if kind == "LAUNCH_GROUP":
            print("group of", len(tasks), flush=True)
        with lock:
            unacknowledged_tasks.update({task["task_id"]["value"]: task for task in tasks})
        for task in tasks:
            update(task["task_id"]["value"], "TASK_RUNNING")
    elif kind == "KILL":
        update(event["kill"]["task_id"]["value"], "TASK_KILLED")
    elif kind == "ACKNOWLEDGED":
        with lock:
            unacknowledged_updates.pop(event["acknowledged"]["uuid"], None)
            unacknowledged_tasks.pop(event["acknowledged"]["task_id"]["value"], None)
    elif kind == "MESSAGE":
        data = base64.b64decode(event["message"]["data"])
        if data.startswith(b"finish "):
            update(data[7:].decode(), "TASK_FINISHED")
        else:
            call("MESSAGE", message={"data": base64.b64encode(b"got " + data).decode()})
    elif kind == "SHUTDOWN":
        os._exit(0)


def stream():
    with lock:
        body = {
            "unacknowledged_tasks": list(unacknowledged_tasks.values()),
            "unacknowledged_updates": list(unacknowledged_updates.values()),
        }
    response = call("SUBSCRIBE", subscribe=body)
    if response.status != 200:
        raise OSError(f"{response.status} {response.read()}")
    print("subscribed", flush=True)
    while True:
        size = b""
        while not size.endswith(b"\n"):
            byte = response.read(1)
            if not byte:
                return
            size += byte
        handle(json.loads(response.read(int(size))))


while True:
    try:
        stream()
    except (OSError, http.client.HTTPException) as e:
        print("lost the agent:", e, flush=True)
    time.sleep(0.1)
