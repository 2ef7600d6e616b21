"""Quotas, weights, roles, the trace of the allocator, and limits on calls."""

import json

import pytest
import requests

from cluster import wait_until
from raw import JSON, TIMEOUT, Scheduler, get, operator, post, rows


@pytest.fixture
def quiet(cluster):
    """A master with one agent of 4 cpus and 2,048 MB."""
    master = cluster.master(allocation_interval="50ms")
    cluster.agent(master, resources="cpus:4;mem:2048;disk:1024;cpus(eng):1")
    wait_until(lambda: get(master, "/slaves").json()["slaves"], "the agent")
    return master


def scalars(**values):
    return {name: {"value": value} for name, value in values.items()}


def update_quota(master, *configs, **more):
    return post(master, {"type": "UPDATE_QUOTA", "update_quota": {"quota_configs": list(configs), **more}})


def update_weights(master, **weights):
    infos = [{"role": role, "weight": weight} for role, weight in weights.items()]
    return post(master, {"type": "UPDATE_WEIGHTS", "update_weights": {"weight_infos": infos}})


def role_of(master, name):
    return next((r for r in get(master, "/roles").json()["roles"] if r["name"] == name), None)


def cpus(offers):
    return sum(r["scalar"]["value"] for o in offers for r in o["resources"] if r["name"] == "cpus")


# ---- quotas ----


@rows("1.1", 2)
def test_update_and_get_quota(quiet):
    assert operator(quiet, "GET_QUOTA") == {"status": {}}
    config = {"role": "dev", "guarantees": scalars(cpus=1.5, mem=64), "limits": scalars(cpus=2)}
    answer = update_quota(quiet, config, {"role": "ops", "limits": scalars(mem=0)})
    assert answer.status_code == 200 and answer.content == b""
    status = operator(quiet, "GET_QUOTA")["status"]
    assert status["configs"] == [
        {"role": "dev", "guarantees": scalars(cpus=1.5, mem=64.0), "limits": scalars(cpus=2.0)},
        {"role": "ops", "limits": scalars(mem=0.0)},
    ]
    assert status["infos"][0]["role"] == "dev"
    assert [(r["name"], r["scalar"]["value"]) for r in status["infos"][0]["guarantee"]] == [("cpus", 1.5), ("mem", 64.0)]
    line = role_of(quiet, "dev")
    assert line["quota"] == {"role": "dev", "guarantee": {"cpus": 1.5, "mem": 64.0}, "limit": {"cpus": 2.0}, "consumed": {}}
    # An empty one is the default again.
    assert update_quota(quiet, {"role": "dev"}, {"role": "ops"}).status_code == 200
    assert operator(quiet, "GET_QUOTA") == {"status": {}}
    assert role_of(quiet, "dev") is None


BAD = {
    "nested role": ({"role": "dev/web", "limits": scalars(cpus=1)}, {}, "nested"),
    "role *": ({"role": "*", "limits": scalars(cpus=1)}, {}, "'*'"),
    "bad role": ({"role": "a b"}, {}, "Invalid role"),
    "guarantee above limit": ({"role": "dev", "guarantees": scalars(cpus=2), "limits": scalars(cpus=1)}, {}, "limit"),
    "negative": ({"role": "dev", "limits": scalars(cpus=-1)}, {}, "negative"),
    "more than the cluster": ({"role": "dev", "guarantees": scalars(cpus=100)}, {}, "capacity"),
    "less than is reserved": ({"role": "eng", "limits": scalars(cpus=0.5)}, {}, "already consuming"),
    "guarantee above limit, forced": (
        {"role": "dev", "guarantees": scalars(cpus=2), "limits": scalars(cpus=1)}, {"force": True}, "limit",
    ),
}


@pytest.fixture(scope="module")
def refusing(shared_cluster):
    master = shared_cluster.master(name="refusing", allocation_interval="50ms")
    shared_cluster.agent(master, name="refused", resources="cpus:4;mem:2048;cpus(eng):1")
    wait_until(lambda: get(master, "/slaves").json()["slaves"], "the agent")
    return master


@rows("1.1")
@pytest.mark.parametrize("case", BAD)
def test_refused_quota_changes_nothing(refusing, case):
    config, more, text = BAD[case]
    answer = update_quota(refusing, {"role": "fine", "limits": scalars(cpus=1)}, config, **more)
    assert answer.status_code == 400 and text in answer.text, answer.text
    assert operator(refusing, "GET_QUOTA") == {"status": {}}


def test_force_overrides_what_the_cluster_has(quiet):
    config = {"role": "dev", "guarantees": scalars(cpus=100)}
    assert update_quota(quiet, config, force=True).status_code == 200
    assert update_quota(quiet, {"role": "eng", "limits": scalars(cpus=0.5)}, force=True).status_code == 200


@rows("4.4")
def test_limit_and_guarantee_shape_offers(quiet):
    assert update_quota(
        quiet, {"role": "dev", "limits": scalars(cpus=1, mem=512)}, {"role": "prod", "guarantees": scalars(cpus=2)}
    ).status_code == 200
    with Scheduler(quiet, role="dev/web") as dev:
        event = dev.until(lambda e: e["type"] == "OFFERS")[-1]
        assert cpus(event["offers"]["offers"]) == 1.0
        with Scheduler(quiet, role="ops") as ops:
            # Four less what dev has and what is kept for prod.
            event = ops.until(lambda e: e["type"] == "OFFERS")[-1]
            assert cpus(event["offers"]["offers"]) == 1.0
            with Scheduler(quiet, role="prod") as prod:
                event = prod.until(lambda e: e["type"] == "OFFERS")[-1]
                assert cpus(event["offers"]["offers"]) == 2.0


@rows("4.5", 2)
def test_lower_limit_rescinds(quiet):
    with Scheduler(quiet, role="dev") as dev:
        event = dev.until(lambda e: e["type"] == "OFFERS")[-1]
        assert cpus(event["offers"]["offers"]) == 4.0
        assert update_quota(quiet, {"role": "dev", "limits": scalars(cpus=1)}).status_code == 200
        events = dev.until(lambda e: e["type"] == "OFFERS")
        assert "RESCIND" in [e["type"] for e in events]
        assert cpus(events[-1]["offers"]["offers"]) == 1.0


@rows("5.1", 2)
def test_quotas_and_weights_outlive_the_master(quiet):
    assert update_quota(quiet, {"role": "dev", "limits": scalars(cpus=3)}).status_code == 200
    assert update_weights(quiet, dev=2.5).status_code == 200
    quiet.kill()
    quiet.start()
    assert operator(quiet, "GET_QUOTA")["status"]["configs"] == [{"role": "dev", "limits": scalars(cpus=3.0)}]
    assert operator(quiet, "GET_WEIGHTS")["weight_infos"] == [{"weight": 2.5, "role": "dev"}]


def resource(name, value, **more):
    return {"name": name, "type": "SCALAR", "scalar": {"value": value}, **more}


@rows("1.1", 2)
def test_set_and_remove_quota(quiet):
    request = {"role": "dev", "guarantee": [resource("cpus", 1), resource("mem", 64)]}
    assert post(quiet, {"type": "SET_QUOTA", "set_quota": {"quota_request": request}}).status_code == 200
    config = operator(quiet, "GET_QUOTA")["status"]["configs"][0]
    assert config["guarantees"] == config["limits"] == scalars(cpus=1.0, mem=64.0)
    again = post(quiet, {"type": "SET_QUOTA", "set_quota": {"quota_request": request}})
    assert again.status_code == 400 and "already has quota" in again.text
    remove = {"type": "REMOVE_QUOTA", "remove_quota": {"role": "dev"}}
    assert post(quiet, remove).status_code == 200
    assert post(quiet, remove).status_code == 400


@rows("2.1")
def test_quota_endpoint(quiet):
    assert get(quiet, "/quota").json() == get(quiet, "/master/quota").json() == {"infos": [], "configs": []}

    def put(**body):
        return requests.post(quiet.url + "/quota", data=json.dumps(body), timeout=TIMEOUT)

    guarantee = [resource("cpus", 2)]
    for bad in (
        {"guarantee": guarantee},
        {"role": "dev"},
        {"role": "dev", "guarantee": [resource("cpus", 2, role="x")]},
        {"role": "dev", "guarantee": guarantee * 2},
        {"role": "dev", "guarantee": [{"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 1, "end": 2}]}}]},
        {"role": "dev", "guarantee": [resource("cpus", 2, revocable={})]},
    ):
        assert put(**bad).status_code == 400, bad
    assert put(role="dev", guarantee=[resource("cpus", 200)]).status_code == 409
    assert put(role="dev", guarantee=guarantee).status_code == 200
    assert [i["role"] for i in get(quiet, "/quota").json()["infos"]] == ["dev"]
    assert requests.delete(quiet.url + "/quota/dev", timeout=TIMEOUT).status_code == 200
    assert requests.delete(quiet.url + "/quota/dev", timeout=TIMEOUT).status_code == 400
    assert requests.delete(quiet.url + "/quota", timeout=TIMEOUT).status_code == 400
    assert requests.post(quiet.url + "/quota", data="{", timeout=TIMEOUT).status_code == 400
    refused = requests.put(quiet.url + "/quota", data="{}", timeout=TIMEOUT)
    assert refused.status_code == 405 and refused.headers["Allow"] == "GET, HEAD, POST, DELETE"


# ---- weights and roles ----


@rows("1.1", 2)
def test_weights(quiet):
    assert operator(quiet, "GET_WEIGHTS") == {}
    assert update_weights(quiet, **{"dev": 2.0, "dev/web": 0.5}).status_code == 200
    assert operator(quiet, "GET_WEIGHTS")["weight_infos"] == [{"weight": 2.0, "role": "dev"}, {"weight": 0.5, "role": "dev/web"}]
    for role, weight in (("dev", 0), ("dev", -1), ("a b", 1), ("", 1), ("dev", 0.0001)):
        assert update_weights(quiet, **{"other": 3, role: weight}).status_code == 400, (role, weight)
    assert len(operator(quiet, "GET_WEIGHTS")["weight_infos"]) == 2
    with Scheduler(quiet, role="dev") as dev:
        dev.until(lambda e: e["type"] == "OFFERS")
        assert update_weights(quiet, elsewhere=4).status_code == 200
        assert update_weights(quiet, dev=3).status_code == 200
        dev.until(lambda e: e["type"] == "RESCIND")
        assert role_of(quiet, "dev")["weight"] == 3.0


@rows("2.1")
def test_weights_endpoint(quiet):
    def put(body):
        return requests.put(quiet.url + "/weights", data=body, timeout=TIMEOUT)

    assert get(quiet, "/weights").json() == []
    assert put(json.dumps([{"role": "dev", "weight": 4}])).status_code == 200
    assert get(quiet, "/master/weights").json() == [{"weight": 4.0, "role": "dev"}]
    for bad in ("{}", "[", '[{"role":"dev"}]', '[{"role":"dev","weight":-2}]'):
        assert put(bad).status_code == 400, bad
    refused = requests.post(quiet.url + "/weights", data="[]", timeout=TIMEOUT)
    assert refused.status_code == 405


@rows("2.5")
def test_roles_and_their_ancestors(quiet):
    with Scheduler(quiet, role="eng/web/blue") as web:
        event = web.until(lambda e: e["type"] == "OFFERS")[-1]
        assert cpus(event["offers"]["offers"]) == 5.0  # with what is reserved to its ancestor
        lines = {r["name"]: r for r in get(quiet, "/roles").json()["roles"]}
        assert sorted(lines) == ["eng", "eng/web", "eng/web/blue"]
        assert lines["eng"]["reserved"] == {"cpus": 1.0} and lines["eng/web"]["reserved"] == {}
        for line in lines.values():
            assert line["weight"] == 1.0 and line["allocated"] == {}
            assert line["offered"] == line["resources"] == {"cpus": 5.0, "mem": 2048.0, "disk": 1024.0}
        assert lines["eng"]["quota"]["consumed"] == {"cpus": 1.0}
        assert lines["eng/web/blue"]["frameworks"] == [web.framework_id] and lines["eng"]["frameworks"] == []
        v1 = {r["name"]: r for r in operator(quiet, "GET_ROLES")["roles"]}
        assert [r["name"] for r in v1["eng/web/blue"]["resources"]] == ["cpus", "mem", "disk"]


@rows("7.2", 5)
def test_flags_of_the_allocator(cluster):
    master = cluster.master(
        roles="dev,ops",
        weights="dev=2",
        role_sorter="random",
        framework_sorter="random",
        min_allocatable_resources="cpus:1;mem:100",
        fair_sharing_excluded_resource_names="gpus",
        allocation_interval="50ms",
    )
    cluster.agent(master, resources="cpus:4;mem:99")
    assert sorted(r["name"] for r in get(master, "/roles").json()["roles"]) == ["*", "dev", "ops"]
    assert operator(master, "GET_WEIGHTS")["weight_infos"] == [{"weight": 2.0, "role": "dev"}]
    refused = Scheduler(master, role="prod")
    event = refused.next()
    assert event["type"] == "ERROR" and "--roles" in event["error"]["message"]
    wait_until(lambda: get(master, "/slaves").json()["slaves"], "the agent")
    with Scheduler(master, role="dev") as dev:
        wait_until(lambda: "LESS_THAN_MINIMUM" in now_results(master, dev), "the reason")
        assert dev.offers == {}


@rows("7.2")
def test_whitelist(cluster, tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("elsewhere\n")
    master = cluster.master(whitelist=str(hosts), allocation_interval="50ms")
    cluster.agent(master)
    wait_until(lambda: get(master, "/slaves").json()["slaves"], "the agent")
    with Scheduler(master) as s:
        assert now_results(master, s) == ["AGENT_NOT_WHITELISTED"]
        hosts.write_text("elsewhere\n127.0.0.1\n")
        s.until(lambda e: e["type"] == "OFFERS")


# ---- why ----


def trace(master, **params):
    return get(master, "/allocator/trace", **params).json()


def now_results(master, framework):
    return [row["result"] for row in trace(master, framework_id=framework.framework_id).get("now", [])]


def test_trace_tells_why(quiet):
    with Scheduler(quiet, role="dev") as dev:
        event = dev.until(lambda e: e["type"] == "OFFERS")[-1]
        offer = event["offers"]["offers"][0]
        document = trace(quiet, framework_id=dev.framework_id)
        assert document["recovering"] is False and document["allocation_runs"] >= 1
        assert document["cycles"][0]["cycle"] == document["allocation_runs"]
        entry = next(e for e in document["entries"] if e["result"] == "OFFERED")
        assert entry["role"] == "dev" and entry["agent_id"] == offer["agent_id"]["value"]
        assert entry["resources"] == {"cpus": 4.0, "mem": 2048.0, "disk": 1024.0} and entry["stage"] == "FAIR_SHARE"
        # What is left is reserved to others, and this is what a second framework is told.
        assert [row["result"] for row in document["now"]] == ["RESERVED_FOR_OTHERS"]
        assert document["clients"][0]["results"]["OFFERED"] == 1

        dev.call("DECLINE", decline={"offer_ids": [offer["id"]], "filters": {"refuse_seconds": 3600}})
        row = trace(quiet, framework_id=dev.framework_id)["now"][0]
        assert row["result"] == "FILTERED" and row["until"] > document["cycles"][0]["time"] + 3500
        wait_until(
            lambda: any(e["result"] == "FILTERED" for e in trace(quiet, framework_id=dev.framework_id)["entries"]),
            "the decision",
        )
        dev.call("SUPPRESS")
        assert now_results(quiet, dev) == ["SUPPRESSED"]
        assert update_quota(quiet, {"role": "dev", "limits": scalars(cpus=0, mem=0)}).status_code == 200
        dev.call("REVIVE")
        row = trace(quiet, framework_id=dev.framework_id)["now"][0]
        assert row["result"] == "QUOTA_LIMIT" and row["resource"] in ("cpus", "mem")
        assert trace(quiet, framework_id=dev.framework_id, agent_id="nobody")["now"] == []
        assert len(trace(quiet, limit=1)["entries"]) == 1
        deactivate = {"type": "DEACTIVATE_AGENT", "deactivate_agent": {"agent_id": offer["agent_id"]}}
        assert post(quiet, deactivate).status_code == 200
        assert now_results(quiet, dev) == ["AGENT_DEACTIVATED"]
        assert get(quiet, "/master/allocator/trace").status_code == 200


def test_trace_can_be_off(cluster):
    master = cluster.master(allocation_interval="50ms", allocator_trace=0)
    cluster.agent(master)
    with Scheduler(master) as s:
        s.until(lambda e: e["type"] == "OFFERS")
        document = trace(master, framework_id=s.framework_id)
        assert document["entries"] == [] and len(document["now"]) == 1


def test_offer_constraints_debug(quiet):
    constraints = {
        "role_constraints": {
            "dev": {
                "groups": [
                    {"attribute_constraints": [{"selector": {"attribute_name": "rack"}, "predicate": {"exists": {}}}]}
                ]
            }
        }
    }
    with Scheduler(quiet, role="dev", subscribe={"offer_constraints": constraints}) as dev:
        path = "/hierarchical-allocator(1)/offer_constraints_debug"
        assert get(quiet, path).json() == {"frameworks": {dev.framework_id: constraints}}
        assert now_results(quiet, dev) == ["OFFER_CONSTRAINTS"]


@rows("3.1")
def test_metrics_of_the_allocator(quiet):
    assert update_quota(quiet, {"role": "dev", "guarantees": scalars(cpus=1), "limits": scalars(cpus=2)}).status_code == 200
    with Scheduler(quiet, role="dev") as dev:
        offer = dev.until(lambda e: e["type"] == "OFFERS")[-1]["offers"]["offers"][0]

        def metrics():
            return get(quiet, "/metrics/snapshot").json()

        m = metrics()
        prefix = "allocator/mesos/quota/roles/dev/resources/cpus/"
        assert (m[prefix + "guarantee"], m[prefix + "limit"], m[prefix + "offered_or_allocated"]) == (1.0, 2.0, 2.0)
        assert m["allocator/mesos/offer_filters/roles/dev/active"] == 0.0
        for name in ("allocator/mesos/allocation_run_ms", "allocator/mesos/allocation_run_latency_ms"):
            assert m[name] >= 0 and m[name + "/count"] >= 1 and m[name + "/p99"] <= m[name + "/max"]
        dev.call("DECLINE", decline={"offer_ids": [offer["id"]], "filters": {"refuse_seconds": 3600}})
        assert metrics()["allocator/mesos/offer_filters/roles/dev/active"] == 1.0


# ---- limits on calls ----


@rows("5.5")
def test_rate_limits(cluster, tmp_path):
    limits = {"limits": [{"principal": "slow", "qps": 0.001, "capacity": 1}, {"principal": "free"}]}
    path = tmp_path / "limits"
    path.write_text(json.dumps(limits))
    master = cluster.master(allocation_interval="50ms", rate_limits=f"file://{path}")
    with Scheduler(master, principal="free") as free:
        for _ in range(20):
            free.call("REVIVE")
        m = get(master, "/metrics/snapshot").json()
        assert m["frameworks/free/messages_received"] == m["frameworks/free/messages_processed"] == 21.0
    slow = Scheduler(master, principal="slow")
    slow.subscribed()  # the first goes through
    with pytest.raises(requests.exceptions.ReadTimeout):  # the second waits its turn
        requests.post(
            master.url + "/api/v1/scheduler",
            data=json.dumps({"type": "REVIVE", "framework_id": {"value": slow.framework_id}}),
            headers={**JSON, "Mesos-Stream-Id": slow.stream_id},
            timeout=(TIMEOUT, 0.3),
        )
    wait_until(
        lambda: get(master, "/metrics/snapshot").json()["frameworks/slow/messages_received"] == 2.0, "the second to be seen"
    )
    assert get(master, "/metrics/snapshot").json()["frameworks/slow/messages_processed"] == 1.0
    refused = slow.raw_call("REVIVE")
    assert refused.status_code == 429 and "capacity(1)" in refused.text and "slow" in refused.text
    slow.cut()


@pytest.mark.parametrize(
    "flags",
    [
        {"rate_limits": "{"},
        {"rate_limits": '{"limits":[{"qps":1}]}'},
        {"rate_limits": '{"limits":[{"principal":"a","qps":-1}]}'},
        {"rate_limits": '{"limits":[{"principal":"a"},{"principal":"a"}]}'},
        {"rate_limits": '{"limits":{}}'},
        {"role_sorter": "fair"},
        {"weights": "dev"},
        {"weights": "dev=0"},
        {"roles": "a b"},
        {"min_allocatable_resources": "ports:[1-2]"},
        {"domain": "{}"},
        {"allocator_agent_recovery_factor": "1.5"},
        {"whitelist": "/nowhere/at/all"},
    ],
    ids=lambda flags: next(iter(flags.items()))[0] + "-" + next(iter(flags.values()))[:12],
)
def test_bad_settings_end_the_start(cluster, flags):
    master = cluster.master(start=False, **flags)
    with pytest.raises(Exception):
        master.start()
    assert master.process.wait(TIMEOUT) != 0
