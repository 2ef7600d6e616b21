"""Executors show the token that they were started with, and no other's."""

import os

import pytest
import requests

from keys import bearer, hs256
from raw import rows
from scheduler import Scheduler


@pytest.fixture(scope="module")
def agent(shared_cluster, files):
    shared_cluster.only_master = shared_cluster.master(allocation_interval="50ms")
    return shared_cluster.agent(shared_cluster.only_master, jwt_secret_key=files.shared,
                                authenticate_http_executors="true")


@pytest.fixture(scope="module")
def framework(shared_cluster, agent):
    with Scheduler(shared_cluster.only_master.url) as s:
        yield s


def call(agent, framework_id, executor_id, headers):
    body = {"type": "SUBSCRIBE", "framework_id": {"value": framework_id}, "executor_id": {"value": executor_id},
            "subscribe": {}}
    return requests.post(agent.url + "/api/v1/executor", json=body, timeout=60, stream=True,
                         headers={"Accept": "application/json", **headers})


@rows("1.3", 2)
@rows("9.2", 1)
def test_tokens(agent, framework):
    # A task that prints what it inherited.
    task = framework.launch({"command": {"value": "env; exec sleep 1000"}})
    framework.wait_state(task, "TASK_RUNNING")
    executor = requests.get(agent.url + "/state", timeout=60).json()["frameworks"][0]["executors"][0]
    container = executor["container"]
    with open(os.path.join(executor["directory"], "stdout"), encoding="utf-8") as f:
        assert "AUTHENTICATION_TOKEN" not in f.read()
    mine = {"fid": framework.framework_id, "eid": task, "cid": container}
    secret = "a shared secret"
    assert call(agent, framework.framework_id, task, {}).status_code == 401
    assert call(agent, framework.framework_id, task, bearer(hs256("guess", mine))).status_code == 401
    assert call(agent, framework.framework_id, task, bearer(hs256(secret, {**mine, "exp": 1}))).status_code == 401
    for claim in mine:
        for wrong in ({**mine, claim: "x"}, {k: v for k, v in mine.items() if k != claim}):
            answer = call(agent, framework.framework_id, task, bearer(hs256(secret, wrong)))
            assert answer.status_code == 403, (claim, answer.text)
    # Unknown ids are told before the claims are looked at.
    assert call(agent, "unknown", task, bearer(hs256(secret, mine))).status_code == 400
    with call(agent, framework.framework_id, task, bearer(hs256(secret, mine))) as right:
        assert right.status_code == 200


def test_token_outlives_the_agent(agent, framework):
    task = framework.launch({"command": {"value": "exec sleep 1000"}})
    framework.wait_state(task, "TASK_RUNNING")
    agent.restart()
    framework.kill(task)
    framework.wait_state(task, "TASK_KILLED")
