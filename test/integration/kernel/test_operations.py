"""Reservations and volumes: operations of frameworks and of operators, on a real agent."""

import json
import signal

import pytest
import requests

from cluster import wait_until
from raw import TIMEOUT, Scheduler, get, ids, launch, operator, post, rows
from scheduler import scalar

CAPABILITIES = ("MULTI_ROLE", "RESERVATION_REFINEMENT", "PARTITION_AWARE", "SHARED_RESOURCES")


def reserved(resource, role="ops", principal="p", stack=()):
    entry = {"type": "DYNAMIC", "role": role, **({"principal": principal} if principal else {})}
    return {**resource, "reservations": [*stack, entry]}


def volume(size, persistence_id, path="data", role="ops", **fields):
    return {
        **reserved(scalar("disk", size), role),
        "disk": {
            "persistence": {"id": persistence_id, "principal": "p"},
            "volume": {"container_path": path, "mode": "RW"},
        },
        **fields,
    }


def operation(kind, operation_id=None, **body):
    field = {"RESERVE": "resources", "UNRESERVE": "resources", "CREATE": "volumes", "DESTROY": "volumes"}.get(kind)
    if field:
        body = {field: body.pop("items"), **body}
    return {"type": kind, kind.lower(): body, **({"id": {"value": operation_id}} if operation_id else {})}


def names(resources):
    """{(name, role, persistence id): amount}"""
    found = {}
    for r in resources:
        if r["type"] != "SCALAR":
            continue
        role = r["reservations"][-1]["role"] if r.get("reservations") else "*"
        key = (r["name"], role, r.get("disk", {}).get("persistence", {}).get("id"))
        found[key] = found.get(key, 0) + r["scalar"]["value"]
    return found


class Framework(Scheduler):
    def __init__(self, master, role="ops", **fields):
        super().__init__(master, role=role, capabilities=CAPABILITIES, principal="p", **fields)
        self.late = []

    def until(self, condition, what="the event"):
        """Updates of tasks that come before it are kept for whoever asks for them: they are not sent again so soon."""
        seen = super().until(condition, what)
        self.late += [e for e in seen[:-1] if e["type"] == "UPDATE"]
        return seen

    def update(self, task_id, acknowledge=True):
        for event in self.late:
            status = event["update"]["status"]
            if status["task_id"]["value"] == task_id:
                self.late.remove(event)
                if acknowledge and "uuid" in status:
                    self.acknowledge(status)
                return status
        return super().update(task_id, acknowledge)

    def until_offer(self, condition):
        """The next offer that fits; others are declined."""
        while True:
            offer = self.offer(cpus=0.5)
            if condition(names(offer["resources"])):
                return offer
            self.call("DECLINE", decline={"offer_ids": [offer["id"]], "filters": {"refuse_seconds": 0}})

    def operation_status(self, operation_id, acknowledge=True):
        event = self.until(
            lambda e: e["type"] == "UPDATE_OPERATION_STATUS"
            and e["update_operation_status"]["status"]["operation_id"]["value"] == operation_id
        )[-1]
        status = event["update_operation_status"]["status"]
        if acknowledge and "uuid" in status:
            self.call(
                "ACKNOWLEDGE_OPERATION_STATUS",
                acknowledge_operation_status={
                    "agent_id": status["agent_id"],
                    "operation_id": status["operation_id"],
                    "uuid": status["uuid"]["value"],
                },
            )
        return status

    def reconcile_operation(self, operation_id, agent_id=None):
        entry = {"operation_id": {"value": operation_id}, **({"agent_id": {"value": agent_id}} if agent_id else {})}
        self.call("RECONCILE_OPERATIONS", reconcile_operations={"operations": [entry]})
        return self.operation_status(operation_id, acknowledge=False)["state"]


@pytest.fixture
def master(cluster):
    return cluster.master(allocation_interval="50ms")


@pytest.fixture
def agent(cluster, master):
    return cluster.agent(master, resources="cpus:4;mem:1024;disk:1000")


@pytest.fixture
def framework(master, agent):
    with Framework(master) as s:
        yield s


def slave(master):
    return get(master, "/slaves").json()["slaves"][0]


def total(master):
    return names(operator(master, "GET_AGENTS")["agents"][0]["total_resources"])


def wait_total(master, key, amount):
    wait_until(lambda: total(master).get(key, 0) == amount, f"{amount} of {key}")


def metric(master, name):
    return get(master, "/metrics/snapshot").json()[name]


# ---- frameworks ----


@rows("6.3", 2)
@rows("6.6", 3)
def test_reserve_create_and_use(cluster, master, agent, framework):
    """All in one call; what the task wrote is there for the next."""
    offer = framework.offer(cpus=4)
    agent_id = offer["agent_id"]["value"]
    resources = [reserved(scalar("cpus", 1)), reserved(scalar("mem", 64)), volume(10, "v1")]
    task = framework.task(offer, resources=resources, command={"value": "echo kept > data/file"})
    framework.accept(
        [offer],
        [
            operation("RESERVE", "o1", items=[*resources[:2], reserved(scalar("disk", 10))]),
            operation("CREATE", "o2", items=[resources[2]]),
            launch(task),
        ],
    )
    statuses = {}
    while len(statuses) < 2:
        event = framework.until(lambda e: e["type"] == "UPDATE_OPERATION_STATUS")[-1]
        status = event["update_operation_status"]["status"]
        statuses[status["operation_id"]["value"]] = status
    for status in statuses.values():
        assert status["state"] == "OPERATION_FINISHED" and status["agent_id"] == {"value": agent_id}
        assert "uuid" in status
    assert operator(master, "GET_OPERATIONS")["operations"][0]["info"]["type"] == "RESERVE"
    assert metric(master, "master/operations/reserve/finished") == 1
    assert metric(master, "master/operations/total") == 2
    assert framework.reconcile_operation("o1") == "OPERATION_FINISHED"
    for status in statuses.values():
        framework.call(
            "ACKNOWLEDGE_OPERATION_STATUS",
            acknowledge_operation_status={
                "agent_id": status["agent_id"],
                "operation_id": status["operation_id"],
                "uuid": status["uuid"]["value"],
            },
        )
    assert framework.reconcile_operation("o1", agent_id) == "OPERATION_UNKNOWN"
    assert operator(master, "GET_OPERATIONS") == {}
    framework.state(task["task_id"]["value"], "TASK_FINISHED")

    offer = framework.until_offer(lambda n: n.get(("disk", "ops", "v1")) == 10)
    again = framework.task(offer, resources=resources, command={"value": "test $(cat data/file) = kept"})
    framework.accept([offer], [launch(again)])
    framework.state(again["task_id"]["value"], "TASK_FINISHED")

    offer = framework.until_offer(lambda n: n.get(("disk", "ops", "v1")) == 10)
    framework.accept(
        [offer],
        [
            operation("DESTROY", items=[resources[2]]),
            operation("UNRESERVE", "u", items=[*resources[:2], reserved(scalar("disk", 10))]),
        ],
    )
    assert framework.operation_status("u")["state"] == "OPERATION_FINISHED"
    wait_total(master, ("disk", "*", None), 1000)
    wait_until(lambda: operator(master, "GET_OPERATIONS") == {}, "the end of all operations")


@rows("6.6", 2)
def test_grow_and_shrink(master, agent, framework):
    offer = framework.offer(cpus=4)
    framework.accept(
        [offer],
        [operation("RESERVE", items=[reserved(scalar("disk", 30))]), operation("CREATE", items=[volume(10, "v1")])],
    )
    offer = framework.until_offer(lambda n: n.get(("disk", "ops", "v1")) == 10)
    framework.accept(
        [offer],
        [
            operation("GROW_VOLUME", "g", volume=volume(10, "v1"), addition=reserved(scalar("disk", 5))),
            operation("SHRINK_VOLUME", "s", volume=volume(15, "v1"), subtract={"value": 1}),
        ],
    )
    assert framework.operation_status("s")["state"] == "OPERATION_ERROR"
    assert framework.operation_status("g")["state"] == "OPERATION_FINISHED"
    offer = framework.until_offer(lambda n: n.get(("disk", "ops", "v1")) == 15)
    framework.accept([offer], [operation("SHRINK_VOLUME", "s2", volume=volume(15, "v1"), subtract={"value": 12})])
    assert framework.operation_status("s2")["state"] == "OPERATION_FINISHED"
    offer = framework.until_offer(lambda n: n.get(("disk", "ops", "v1")) == 3)
    assert names(offer["resources"])[("disk", "ops", None)] == 27


REFUSED = {
    "missing": {"type": "RESERVE"},
    "syntax": operation("RESERVE", items=[reserved(scalar("cpus", -1))]),
    "static": operation("RESERVE", items=[scalar("cpus", 1)]),
    "role": operation("RESERVE", items=[reserved(scalar("cpus", 1), role="other")]),
    "principal": operation("RESERVE", items=[reserved(scalar("cpus", 1), principal="q")]),
    "no principal": operation("RESERVE", items=[reserved(scalar("cpus", 1), principal=None)]),
    "revocable": operation("RESERVE", items=[{**reserved(scalar("cpus", 1)), "revocable": {}}]),
    "too much": operation("RESERVE", items=[reserved(scalar("cpus", 100))]),
    "source": operation("RESERVE", items=[reserved(scalar("cpus", 1))], source=[scalar("cpus", 1)]),
    "providers": operation("RESERVE", items=[reserved(scalar("cpus", 1)), {**reserved(scalar("mem", 1)), "provider_id": {"value": "x"}}]),
    "unreserve nothing": operation("UNRESERVE", items=[reserved(scalar("cpus", 1))]),
    "unreserve unreserved": operation("UNRESERVE", items=[scalar("cpus", 1)]),
    "create unreserved": operation("CREATE", items=[{**volume(1, "v"), "reservations": []}]),
    "create no volume": operation("CREATE", items=[reserved(scalar("disk", 1))]),
    "create host path": operation(
        "CREATE",
        items=[{**volume(1, "v"), "disk": {"persistence": {"id": "v", "principal": "p"}, "volume": {"container_path": "x", "mode": "RW", "host_path": "/"}}}],
    ),
    "create read-only": operation(
        "CREATE",
        items=[{**volume(1, "v"), "disk": {"persistence": {"id": "v", "principal": "p"}, "volume": {"container_path": "x", "mode": "RO"}}}],
    ),
    "create id": operation("CREATE", items=[volume(1, "a/b")]),
    "destroy nothing": operation("DESTROY", items=[volume(1, "v")]),
    "grow nothing": operation("GROW_VOLUME", volume=volume(1, "v"), addition=reserved(scalar("disk", 1))),
    "shrink nothing": operation("SHRINK_VOLUME", volume=volume(2, "v"), subtract={"value": 1}),
    "shrink all": operation("SHRINK_VOLUME", volume=volume(2, "v"), subtract={"value": 2}),
    "create disk": {"type": "CREATE_DISK", "create_disk": {"source": scalar("disk", 1), "target_type": "MOUNT"}},
    "destroy disk": {"type": "DESTROY_DISK", "destroy_disk": {"source": scalar("disk", 1)}},
}


@rows("6.2", 3)
@rows("6.6", 3)
def test_refused_operations(master, agent, framework):
    """Each is answered when it has an id, and changes nothing; a good one in their midst is applied."""
    offer = framework.offer(cpus=4)
    before = total(master)
    good = operation("RESERVE", "good", items=[reserved(scalar("mem", 1))])
    bad = [{**op, "id": {"value": name}} for name, op in REFUSED.items()]
    framework.accept([offer], [*bad[:5], good, *bad[5:], *REFUSED.values()])
    seen = {}
    while len(seen) <= len(bad):
        event = framework.until(lambda e: e["type"] == "UPDATE_OPERATION_STATUS")[-1]
        status = event["update_operation_status"]["status"]
        seen[status["operation_id"]["value"]] = status
    assert seen.pop("good")["state"] == "OPERATION_FINISHED"
    for name, status in seen.items():
        assert status["state"] == "OPERATION_ERROR" and status["message"], name
        assert "uuid" not in status and "agent_id" not in status, name
    before[("mem", "*", None)] -= 1
    before[("mem", "ops", None)] = 1
    assert total(master) == before


@rows("6.1", 1)
def test_void_offers(master, agent, framework):
    framework.accept(["nothing"], [operation("RESERVE", "o", items=[reserved(scalar("cpus", 1))])])
    assert framework.operation_status("o")["state"] == "OPERATION_ERROR"


@rows("6.6", 1)
def test_refined_reservation(master, agent):
    wait_until(lambda: get(master, "/slaves").json()["slaves"], "the agent")
    with Framework(master, role="ops/sub") as s:
        base = reserved(scalar("cpus", 1))
        response = post(master, {"type": "RESERVE_RESOURCES", "reserve_resources": {"agent_id": {"value": slave(master)["id"]}, "resources": [base]}})
        assert response.status_code == 202, response.text
        offer = s.until_offer(lambda n: ("cpus", "ops", None) in n)
        refined = reserved(scalar("cpus", 1), role="ops/sub", stack=base["reservations"])
        s.accept([offer], [operation("RESERVE", "o", items=[refined])])
        assert s.operation_status("o")["state"] == "OPERATION_FINISHED"
        offer = s.until_offer(lambda n: ("cpus", "ops/sub", None) in n)
        full = slave(master)["reserved_resources_full"]["ops/sub"][0]
        assert [r["role"] for r in full["reservations"]] == ["ops", "ops/sub"] and "role" not in full
        s.accept([offer], [operation("UNRESERVE", "u", items=[refined])])
        assert s.operation_status("u")["state"] == "OPERATION_FINISHED"
        s.until_offer(lambda n: ("cpus", "ops", None) in n)


@rows("6.4", 1)
@rows("6.6", 2)
def test_shared_volume(master, agent, framework):
    """Two tasks of one call use it; it cannot be destroyed meanwhile."""
    offer = framework.offer(cpus=4)
    shared = volume(10, "s1", shared={})
    tasks = [
        framework.task(offer, resources=[scalar("cpus", 0.1), scalar("mem", 32), shared], command={"value": f"touch data/{n}; exec sleep 1000"})
        for n in range(2)
    ]
    framework.accept(
        [offer],
        [
            operation("RESERVE", items=[reserved(scalar("disk", 10))]),
            operation("CREATE", items=[shared]),
            launch(*tasks),
        ],
    )
    running = set()
    while len(running) < 2:
        status = framework.until(lambda e: e["type"] == "UPDATE")[-1]["update"]["status"]
        framework.acknowledge(status)
        assert status["state"] in ("TASK_STARTING", "TASK_RUNNING"), status
        if status["state"] == "TASK_RUNNING":
            running.add(status["task_id"]["value"])
    offer = framework.until_offer(lambda n: ("disk", "ops", "s1") in n)
    framework.accept([offer], [operation("DESTROY", "d", items=[shared])])
    status = framework.operation_status("d")
    assert status["state"] == "OPERATION_ERROR" and "in use" in status["message"]


# ---- restarts ----


@rows("8.4", 3)
def test_restarts(cluster, master, agent, framework):
    """Reservations outlive the agent and the master; operations can be asked for after both."""
    offer = framework.offer(cpus=4)
    agent_id = offer["agent_id"]["value"]
    framework.accept([offer], [operation("RESERVE", "o", items=[reserved(scalar("cpus", 1))])])
    assert framework.operation_status("o", acknowledge=False)["state"] == "OPERATION_FINISHED"
    agent.kill()
    agent.start()
    wait_until(lambda: slave(master)["active"], "the agent's return")
    assert total(master)[("cpus", "ops", None)] == 1
    # Resent, because nobody acknowledged it.
    assert framework.operation_status("o", acknowledge=False)["state"] == "OPERATION_FINISHED"
    framework.cut()
    agent.kill()
    master.kill()
    master.start()
    with Framework(master, framework_id=framework.framework_id) as s:
        assert s.reconcile_operation("o", agent_id) == "OPERATION_RECOVERING"
        assert s.reconcile_operation("o", "nobody") == "OPERATION_UNKNOWN"
        agent.start()
        assert s.operation_status("o")["state"] == "OPERATION_FINISHED"
        wait_until(lambda: operator(master, "GET_OPERATIONS") == {}, "the acknowledgement")
        assert total(master)[("cpus", "ops", None)] == 1


@rows("6.6", 1)
def test_an_operation_that_never_arrives(master, agent, framework):
    """The master counts it when it sends it; the agent that comes back has not heard of it."""
    # It has its id on disk: otherwise it would come back as another.
    wait_until(lambda: metric(agent, "slave/registered") == 1, "the agent's registration")
    offer = framework.offer(cpus=4)
    before = total(master)
    agent.process.send_signal(signal.SIGSTOP)
    framework.accept([offer], [operation("RESERVE", "o", items=[reserved(scalar("cpus", 1))])])
    wait_total(master, ("cpus", "ops", None), 1)
    assert framework.reconcile_operation("o") == "OPERATION_PENDING"
    agent.kill()
    agent.start()
    status = framework.operation_status("o")
    assert status["state"] == "OPERATION_DROPPED" and "uuid" not in status
    assert total(master) == before
    assert operator(master, "GET_OPERATIONS") == {}


# ---- operators ----


def form(master, path, **fields):
    data = {k: v if isinstance(v, str) else json.dumps(v) for k, v in fields.items()}
    return requests.post(master.url + path, data=data, timeout=TIMEOUT)


@rows("2.1", 4)
@rows("2.4", 1)
def test_legacy_endpoints(master, agent):
    wait_until(lambda: get(master, "/slaves").json()["slaves"], "the agent")
    agent_id = slave(master)["id"]
    cpus, disk = reserved(scalar("cpus", 1)), reserved(scalar("disk", 20))
    old = {**scalar("mem", 100), "role": "ops", "reservation": {"principal": "p"}}
    assert form(master, "/reserve", slaveId=agent_id, resources=[cpus, disk, old]).status_code == 202
    s = slave(master)
    assert s["reserved_resources"]["ops"]["cpus"] == 1 and s["reserved_resources"]["ops"]["mem"] == 100
    assert s["unreserved_resources"]["cpus"] == 3
    full = {r["name"]: r for r in s["reserved_resources_full"]["ops"]}
    assert full["mem"]["role"] == "ops" and full["mem"]["reservation"] == {"principal": "p"}
    assert full["mem"]["reservations"] == [{"type": "DYNAMIC", "role": "ops", "principal": "p"}]
    assert form(master, "/create-volumes", slaveId=agent_id, volumes=[volume(5, "v1")]).status_code == 202
    assert total(master)[("disk", "ops", "v1")] == 5
    assert form(master, "/create-volumes", slaveId=agent_id, volumes=[volume(5, "v1")]).status_code == 400
    assert form(master, "/unreserve", slaveId=agent_id, resources=[reserved(scalar("disk", 20))]).status_code == 409
    assert form(master, "/destroy-volumes", slaveId=agent_id, volumes=[volume(5, "v1")]).status_code == 202
    moved = reserved(scalar("cpus", 1), role="other")
    assert form(master, "/reserve", slaveId=agent_id, source=[cpus], resources=[moved]).status_code == 202
    assert total(master)[("cpus", "other", None)] == 1 and ("cpus", "ops", None) not in total(master)
    assert form(master, "/unreserve", slaveId=agent_id, resources=[moved, disk, old]).status_code == 202
    assert slave(master)["reserved_resources"] == {}
    wait_until(lambda: operator(master, "GET_OPERATIONS") == {}, "the end of the operations")

    def refused(path, text, **fields):
        response = form(master, path, **fields)
        assert (response.status_code, text in response.text) == (400, True), response.text

    refused("/reserve", "Missing 'slaveId'", resources=[cpus])
    refused("/reserve", "Missing 'resources'", slaveId=agent_id)
    refused("/reserve", "Error in parsing 'resources'", slaveId=agent_id, resources="{")
    refused("/reserve", "Error in parsing 'resources'", slaveId=agent_id, resources={})
    refused("/reserve", "No agent found", slaveId="nobody", resources=[cpus])
    refused("/reserve", "not dynamically reserved", slaveId=agent_id, resources=[scalar("cpus", 1)])
    refused("/create-volumes", "Missing 'volumes'", slaveId=agent_id)
    refused("/create-volumes", "not a persistent volume", slaveId=agent_id, volumes=[disk])
    refused("/destroy-volumes", "not found", slaveId=agent_id, volumes=[volume(1, "v")])
    refused("/unreserve", "not dynamically reserved", slaveId=agent_id, resources=[scalar("cpus", 1)])
    assert form(master, "/reserve", slaveId=agent_id, resources=[reserved(scalar("cpus", 100))]).status_code == 409
    for path in ("/reserve", "/unreserve", "/create-volumes", "/destroy-volumes"):
        response = get(master, path)
        assert response.status_code == 405 and response.headers["Allow"] == "POST"


@rows("1.1", 6)
def test_operator_calls(master, agent, framework):
    """Offers in the way are taken back, no others; conflicts change nothing."""
    offer = framework.offer(cpus=4)
    agent_id = offer["agent_id"]

    def call(kind, code=202, **body):
        response = post(master, {"type": kind, kind.lower(): {"agent_id": agent_id, **body}})
        assert response.status_code == code, response.text
        assert code != 202 or response.content == b""
        return response.text

    call("RESERVE_RESOURCES", 409, resources=[reserved(scalar("cpus", 100))])
    call("RESERVE_RESOURCES", 400, resources=[scalar("cpus", 1)])
    assert not [e for e in framework.barrier() if e["type"] == "RESCIND"]
    call("RESERVE_RESOURCES", resources=[reserved(scalar("disk", 30))])
    rescind = framework.until(lambda e: e["type"] == "RESCIND")[-1]
    assert rescind["rescind"]["offer_id"] == offer["id"]
    call("CREATE_VOLUMES", volumes=[volume(10, "v1")])
    call("GROW_VOLUME", volume=volume(10, "v1"), addition=reserved(scalar("disk", 5)))
    call("SHRINK_VOLUME", volume=volume(15, "v1"), subtract={"value": 3})
    assert total(master)[("disk", "ops", "v1")] == 12
    framework.barrier()
    offer = framework.until_offer(lambda n: ("disk", "ops", "v1") in n)
    task = framework.task(offer, resources=[scalar("cpus", 0.1), scalar("mem", 32), volume(12, "v1")])
    framework.accept([offer], [launch(task)])
    framework.state(task["task_id"]["value"], "TASK_RUNNING")
    assert "in use" in call("DESTROY_VOLUMES", 400, volumes=[volume(12, "v1")])
    call("GROW_VOLUME", 409, volume=volume(12, "v1"), addition=reserved(scalar("disk", 5)))
    framework.call("KILL", kill=ids(task_id=task["task_id"]["value"]))
    framework.state(task["task_id"]["value"], "TASK_KILLED")
    call("DESTROY_VOLUMES", volumes=[volume(12, "v1")])
    call("UNRESERVE_RESOURCES", resources=[reserved(scalar("disk", 30))])
    call("UNRESERVE_RESOURCES", 409, resources=[reserved(scalar("disk", 30))])
    assert ("disk", "ops", None) not in total(master)
    agent_id = {"value": "nobody"}
    call("RESERVE_RESOURCES", 400, resources=[reserved(scalar("cpus", 1))])
    response = post(master, {"type": "GROW_VOLUME", "grow_volume": {"volume": volume(1, "v"), "addition": scalar("disk", 1)}})
    assert response.status_code == 400
