"""docs/walkthrough.md, command by command, while a client asks for the page all the time."""

import http.client
import os
import subprocess
import threading
import time

import pytest
import requests

import walkthrough
from cluster import ROOT, binary
from secure_door import SecureDoor
from test_minidcos import NOTHING, Mini

class Load:
    """Asks for the page as a load balancer does (nginx and its proxy_next_upstream, say): it knows the healthy
    instances from Marathon, and tries the next one when a connection ends before the answer began. A request that
    nobody answers, or with anything but the page, is a failure."""

    def __init__(self, marathon):
        self.marathon = marathon
        self.targets = []
        self.good = 0
        self.failures = []
        self.pages = set()
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.follow), threading.Thread(target=self.ask)]
        self.refresh()
        for t in self.threads:
            t.start()

    def refresh(self):
        tasks = requests.get(self.marathon + "/v2/apps/web/tasks", timeout=60).json()["tasks"]
        self.targets = [
            (t["host"], t["ports"][0])
            for t in tasks
            if t["state"] == "TASK_RUNNING" and t["healthCheckResults"] and all(
                h["alive"] for h in t["healthCheckResults"])
        ]

    def follow(self):
        while not self.ended.wait(0.05):
            try:
                self.refresh()
            except (requests.RequestException, KeyError, ValueError) as e:
                self.failures.append(f"marathon: {e}")

    def ask(self):
        turn = 0
        while not self.ended.wait(0.005):
            targets = self.targets
            turn += 1
            for i in range(len(targets)):
                host, port = targets[(turn + i) % len(targets)]
                connection = http.client.HTTPConnection(host, port, timeout=60)
                try:
                    connection.request("GET", "/")
                    answer = connection.getresponse()
                except (ConnectionError, http.client.RemoteDisconnected):
                    connection.close()
                    continue
                try:
                    body = answer.read().decode()
                    if answer.status != 200:
                        self.failures.append(f"{host}:{port}: {answer.status}")
                    self.pages.add(body.split(" from ")[0])
                    self.good += 1
                except (OSError, http.client.HTTPException) as e:
                    self.failures.append(f"{host}:{port}: {e!r}")
                finally:
                    connection.close()
                break
            else:
                self.failures.append(f"nobody of {targets} takes a connection")

    def end(self):
        self.ended.set()
        for t in self.threads:
            t.join()


def test_walkthrough():
    mini = Mini()
    load = None
    try:
        mini("create", "--ports=auto", "--wait")
        mini.remember("default")
        env = {**mini.env, "PATH": os.path.dirname(binary("dcos")) + ":/usr/bin:/bin"}
        steps = walkthrough.parse(os.path.join(ROOT, "docs", "walkthrough.md"))
        assert len(steps) > 10
        begin = time.monotonic()
        for step in steps:
            if load is None and "app update" in step.command:
                load = Load(mini.status()["marathon_url"])
            if "app remove" in step.command:
                load.end()
            walkthrough.run(step, env, ROOT)
        assert load.failures == []
        assert load.good > 100 and load.pages == {"hello", "welcome to version 2"}
        assert time.monotonic() - begin < 300
        mini("destroy")
        assert mini.leftovers() == NOTHING
    finally:
        if load:
            load.end()
        mini.close()


def test_walkthrough_through_a_secure_door(tmp_path):
    """The same commands against a cluster of which nothing is known but the address of its router and a login."""
    door = SecureDoor()
    try:
        door.create()
        if not door.has_router():
            pytest.skip("this build has no nginx or no module for it")
        env = {"HOME": str(tmp_path), "PATH": os.path.dirname(binary("dcos")) + ":/usr/bin:/bin"}
        password = os.path.join(door.folder, "secrets", "superuser.password")
        subprocess.run(["dcos", "cluster", "setup", door.url, f"--ca-certs={door.ca}", "--username=bootstrapuser",
                        f"--password-file={password}"], env=env, check=True, capture_output=True, timeout=60)
        for step in walkthrough.parse(os.path.join(ROOT, "docs", "walkthrough.md")):
            walkthrough.run(step, env, ROOT)
        door("destroy")
        assert door.leftovers() == NOTHING
    finally:
        door.close()


def test_a_wrong_transcript_is_noticed(tmp_path):
    document = tmp_path / "doc.md"
    document.write_text("```console\n$ echo one; echo two\none\n<word>\n$ false\n[exit 1]\n$ echo x\ny\n```\n")
    steps = walkthrough.parse(str(document))
    env = dict(os.environ)
    walkthrough.run(steps[0], env, "/")
    walkthrough.run(steps[1], env, "/")
    try:
        walkthrough.run(steps[2], env, "/")
    except AssertionError:
        return
    raise RuntimeError("x was taken for y")
