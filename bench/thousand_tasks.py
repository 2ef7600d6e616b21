#!/usr/bin/python3
"""1,000 one-second command tasks on one agent, launched by a scheduler of our own in one go: real containers with
namespaces and control groups when run as root."""

import base64
import json
import time

import common
import requests

from cluster import Cluster

TASKS = 1000


class Records:
    """RecordIO over a requests stream."""

    def __init__(self, response):
        self.chunks = response.iter_content(chunk_size=None)
        self.data = b""

    def next(self):
        while True:
            head, sep, rest = self.data.partition(b"\n")
            if sep and len(rest) >= int(head):
                n = int(head)
                self.data = rest[n:]
                return json.loads(rest[:n])
            self.data += next(self.chunks)


def resource(name, value):
    return {"name": name, "type": "SCALAR", "scalar": {"value": value}}


def main():
    cluster = Cluster()
    try:
        master = cluster.master()
        agent = cluster.agent(master, resources=f"cpus:{TASKS};mem:{TASKS * 64};disk:1024;ports:[31000-31999]")
        url = master.url + "/api/v1/scheduler"
        session = requests.Session()
        stream = requests.post(
            url,
            json={"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "root", "name": "bench"}}},
            headers={"Accept": "application/json"},
            stream=True,
            timeout=120,
        )
        stream.raise_for_status()
        session.headers["Mesos-Stream-Id"] = stream.headers["Mesos-Stream-Id"]
        records = Records(stream)
        framework = None
        started = None
        running, finished, failed = set(), set(), []
        all_running = None
        while len(finished) + len(failed) < TASKS:
            event = records.next()
            if event["type"] == "SUBSCRIBED":
                framework = event["subscribed"]["framework_id"]
            elif event["type"] == "OFFERS" and started is None:
                offer = event["offers"]["offers"][0]
                tasks = [
                    {
                        "name": "t",
                        "task_id": {"value": f"t{i}"},
                        "agent_id": offer["agent_id"],
                        "command": {"value": "sleep 1"},
                        "resources": [resource("cpus", 0.5), resource("mem", 32)],
                    }
                    for i in range(TASKS)
                ]
                accept = {
                    "offer_ids": [offer["id"]],
                    "operations": [{"type": "LAUNCH", "launch": {"task_infos": tasks}}],
                }
                started = time.monotonic()
                r = session.post(url, json={"type": "ACCEPT", "framework_id": framework, "accept": accept}, timeout=60)
                assert r.status_code == 202, r.text
            elif event["type"] == "UPDATE":
                status = event["update"]["status"]
                task, state = status["task_id"]["value"], status["state"]
                if state == "TASK_RUNNING":
                    running.add(task)
                    if len(running) == TASKS and all_running is None:
                        all_running = time.monotonic()
                elif state == "TASK_FINISHED":
                    finished.add(task)
                    running.add(task)
                elif state not in ("TASK_STARTING", "TASK_STAGING"):
                    failed.append((task, state, status.get("message")))
                if "uuid" in status:
                    ack = {"agent_id": status["agent_id"], "task_id": status["task_id"], "uuid": status["uuid"]}
                    assert len(base64.b64decode(status["uuid"])) == 16
                    session.post(url, json={"type": "ACKNOWLEDGE", "framework_id": framework, "acknowledge": ack}, timeout=60)
        end = time.monotonic()
        common.report("tasks", TASKS, "")
        if all_running:
            common.report("until all were running", all_running - started, "s")
        common.report("until all were finished", end - started, "s")
        common.report("failed", len(failed), "tasks")
        common.report("agent cpu", common.cpu_seconds(agent.pid), "s")
        common.report("master cpu", common.cpu_seconds(master.pid), "s")
        common.report("agent memory", common.pss_kb(agent.pid) / 1024, "MiB")
        for f in failed[:5]:
            print("failed:", *f)
    finally:
        cluster.close()


main()
