"""Metrics of master and agent: every name of the reference, per framework, as Prometheus text, and how often they are told."""

import re
import time

import pytest
import requests

from cluster import wait_until
from raw import TIMEOUT, Scheduler, get, operator, post, rows


def words(prefix, text):
    return {prefix + word for word in text.split()}


RESOURCES = "cpus gpus mem disk".split()
MASTER = (
    words("master/", "uptime_secs elected slaves_connected slaves_disconnected slaves_active slaves_inactive slaves_unreachable")
    | words("master/", "slave_registrations slave_reregistrations slave_removals slave_removals/reason_unhealthy")
    | words("master/slave_removals/reason_", "unregistered registered")
    | {f"master/{kind}_{step}" for kind in ("slave_shutdowns", "slave_unreachable") for step in ("scheduled", "completed", "canceled")}
    | words("master/", "recovery_slave_removals frameworks_connected frameworks_disconnected frameworks_active frameworks_inactive")
    | words("master/", "outstanding_offers dropped_messages http_cache_hits operator_event_stream_subscribers")
    | words("master/tasks_", "staging starting running killing unreachable finished failed killed lost error dropped gone gone_by_operator")
    | {f"master/{r}{kind}_{what}" for r in RESOURCES for kind in ("", "_revocable") for what in ("total", "used", "percent")}
    | words(
        "master/messages_",
        "register_framework reregister_framework unregister_framework deactivate_framework kill_task status_update_acknowledgement"
        " resource_request launch_tasks decline_offers revive_offers suppress_offers reconcile_operations reconcile_tasks"
        " framework_to_executor operation_status_update_acknowledgement executor_to_framework register_slave reregister_slave"
        " unregister_slave status_update exited_executor update_slave operation_status_update authenticate",
    )
    | {
        f"master/{kind}_{what}"
        for kind in ("valid", "invalid")
        for what in (
            "framework_to_executor_messages executor_to_framework_messages status_updates status_update_acknowledgements"
            " operation_status_updates operation_status_update_acknowledgements"
        ).split()
    }
    | words("master/event_queue_", "messages dispatches http_requests")
    | words("registrar/", "queued_operations registry_size_bytes log/recovered log/ensemble_size state_fetch_ms state_store_ms")
    | {f"registrar/state_store_ms/{what}" for what in "count max min p50 p90 p95 p99 p999 p9999".split()}
    | words("allocator/", "event_queue_dispatches mesos/event_queue_dispatches mesos/allocation_runs")
    | {f"allocator/mesos/resources/{r}/{what}" for r in RESOURCES for what in ("total", "offered_or_allocated")}
    | words("system/", "cpus_total load_1min load_5min load_15min mem_total_bytes mem_free_bytes")
)
OPERATIONS = words("master/operations/", "total pending finished failed error dropped unreachable gone_by_operator recovering") | {
    f"master/operations/{kind}/{state}"
    for kind in "reserve unreserve create destroy grow_volume shrink_volume create_disk destroy_disk".split()
    for state in "total pending finished failed error dropped unreachable gone_by_operator recovering".split()
}
AGENT = (
    words("slave/", "uptime_secs registered recovery_errors recovery_time_secs executor_directory_max_allowed_age_secs")
    | words("slave/", "frameworks_active executors_registering executors_running executors_terminating executors_terminated")
    | words("slave/", "executors_preempted container_launch_errors")
    | words("slave/tasks_", "staging starting running killing finished failed killed lost gone")
    | {f"slave/{kind}_{what}" for kind in ("valid", "invalid") for what in ("status_updates", "framework_messages")}
    | {f"slave/{r}{kind}_{what}" for r in RESOURCES for kind in ("", "_revocable") for what in ("total", "used", "percent")}
    | words("containerizer/mesos/", "container_destroy_errors filesystem/containers_new_rootfs provisioner/remove_container_errors")
    | words("containerizer/fetcher/", "task_fetches_succeeded task_fetches_failed cache_size_total_bytes cache_size_used_bytes")
    | words("gc/path_removals_", "succeeded failed pending")
    | words("resource_provider_manager/", "subscribed events/subscribe events/disconnect")
    | words("system/", "cpus_total load_1min load_5min load_15min mem_total_bytes mem_free_bytes")
)


def snapshot(daemon):
    return get(daemon, "/metrics/snapshot").json()


@rows("3.1", 12)
def test_master_names(master, agent):
    values = wait_until(
        lambda: (lambda v: v if v["master/slaves_connected"] == 1 and "registrar/state_store_ms/count" in v else None)(snapshot(master)),
        "the agent, and that it is stored",
    )
    assert MASTER | OPERATIONS <= values.keys(), sorted((MASTER | OPERATIONS) - values.keys())
    assert all(isinstance(v, float) for v in values.values())
    assert (values["master/elected"], values["registrar/log/recovered"]) == (1.0, 1.0)
    assert values["registrar/registry_size_bytes"] > 100  # the agent
    assert values["registrar/state_store_ms/count"] >= 1
    assert values["registrar/state_store_ms/min"] <= values["registrar/state_store_ms/p50"] <= values["registrar/state_store_ms/max"]
    # Metrics come into being with what they tell of, maybe between the two questions.
    wait_until(
        lambda: {m["name"] for m in operator(master, "GET_METRICS", get_metrics={})["metrics"]} == snapshot(master).keys(),
        "the same by the v1 API",
    )


@rows("3.2", 8)
def test_agent_names(agent):
    values = snapshot(agent)
    assert AGENT <= values.keys(), sorted(AGENT - values.keys())
    assert all(isinstance(v, float) for v in values.values())
    assert values["slave/recovery_time_secs"] >= 0
    assert values["containerizer/fetcher/cache_size_total_bytes"] > 0


CALLS = (
    "subscribe teardown accept decline accept_inverse_offers decline_inverse_offers revive suppress kill shutdown acknowledge"
    " acknowledge_operation_status reconcile reconcile_operations message request update_framework"
).split()
EVENTS = (
    "subscribed offers inverse_offers rescind rescind_inverse_offer update update_operation_status message failure error heartbeat"
).split()


@rows("3.1")
def test_per_framework(master, agent):
    with Scheduler(master, name="a b/%", role="eng") as s:
        prefix = f"master/frameworks/a%20b%2F%25/{s.framework_id}/"

        def mine():
            return {k[len(prefix) :]: v for k, v in snapshot(master).items() if k.startswith(prefix)}

        first = mine()
        assert words("calls/", " ".join(CALLS)) | words("events/", " ".join(EVENTS)) <= first.keys()
        assert words("", "subscribed calls events operations offers/sent offers/accepted offers/declined offers/rescinded") <= first.keys()
        assert words("operations/", "launch launch_group reserve unreserve create destroy grow_volume shrink_volume") <= first.keys()
        assert words("tasks/active/", "task_staging task_starting task_running task_killing") <= first.keys()
        assert words("tasks/terminal/", "task_finished task_failed task_killed task_lost task_error") <= first.keys()
        assert first["roles/eng/suppressed"] == 0 and first["subscribed"] == 1
        assert (first["calls"], first["calls/subscribe"], first["events/subscribed"]) == (1, 1, 1)
        task, _ = s.launch()
        s.state(task, "TASK_RUNNING")
        now = mine()
        assert (now["operations"], now["operations/launch"], now["calls/accept"]) == (1, 1, 1)
        assert (now["offers/accepted"], now["tasks/active/task_running"]) == (1, 1)
        assert now["offers/sent"] >= 1 and now["events/update"] >= 1 and now["calls/acknowledge"] >= 1
        assert now["calls"] == sum(v for k, v in now.items() if k.startswith("calls/"))
        s.call("KILL", kill={"task_id": {"value": task}})
        s.state(task, "TASK_KILLED")
        s.call("SUPPRESS")
        s.call("DECLINE", decline={"offer_ids": [o["id"] for o in s.offers.values()]})
        now = wait_until(
            lambda: (lambda v: v if v["tasks/active/task_running"] == 0 and v["tasks/terminal/task_killed"] == 1 else None)(mine()),
            "the task's end",
        )
        assert now["roles/eng/suppressed"] == 1
        assert now["offers/declined"] == len(s.offers)
    assert not mine()


def test_per_framework_off(cluster):
    master = cluster.master(publish_per_framework_metrics="false")
    with Scheduler(master):
        assert not [k for k in snapshot(master) if k.startswith("master/frameworks/")]
        assert snapshot(master)["master/frameworks_connected"] == 1


SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\]|\\.)*",?)+\})? (\S+)')


def parse(text):
    """Families with their type and samples, checked as Prometheus does."""
    families, current = {}, None
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, current, kind = line.split(" ")
            assert current not in families and kind in ("counter", "gauge")
            families[current] = (kind, {})
        else:
            name, labels, value = SAMPLE.fullmatch(line).groups()
            assert name == current and labels not in families[current][1]
            families[current][1][labels] = float(value)
    return families


@pytest.mark.parametrize("which", ["master", "agent"])
def test_prometheus(request, master, agent, which):
    daemon = request.getfixturevalue(which)
    with Scheduler(master, name='quo"ted'):

        def both():
            """The two documents of one moment: metrics come into being with what they tell of."""
            response, names = get(daemon, "/metrics"), snapshot(daemon)
            total = sum(len(samples) for _, samples in parse(response.text).values())
            return response if total == len(names) else None

        response = wait_until(both, "as many samples in one as in the other")
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        families = parse(response.text)
        assert all(name.endswith("_total") or name.endswith("mem_total") or kind == "gauge" for name, (kind, _) in families.items())
        if which == "master":
            kind, samples = families["dcos_master_framework_subscribed"]
            assert kind == "gauge" and any('framework_name="quo\\"ted"' in labels for labels in samples)
            assert families["dcos_master_tasks_finished_total"][0] == "counter"
            assert '{quantile="0.99"}' in families["dcos_registrar_state_store_ms_quantile"][1]
        else:
            assert families["dcos_slave_registered"] == ("gauge", {None: 1.0})


@rows("2.9")
def test_timeout(master, agent):
    for daemon in (master, agent):
        wait_until(
            lambda d=daemon: get(d, "/metrics/snapshot", timeout="2secs").json().keys() == snapshot(d).keys(), "the same names"
        )
        for bad in ("2", "soon", "2 secs", ""):
            assert get(daemon, "/metrics/snapshot", timeout=bad).status_code == 400
    assert get(master, "/metrics/snapshot.json").status_code == get(master, "/master/metrics/snapshot").status_code == 200
    assert get(master, "/metrics/snapshot", jsonp="f").text.startswith("f({")
    assert post(master, {}, path="/metrics/snapshot").status_code == 405


@rows("2.9")
def test_rate_limit(cluster):
    """Two a second; later requests wait, Prometheus does not."""
    master = cluster.master(start=False)
    master.env["LIBPROCESS_METRICS_SNAPSHOT_ENDPOINT_RATE_LIMIT"] = "4/1secs"
    master.start()
    began = time.monotonic()
    for _ in range(4):
        assert get(master, "/metrics/snapshot").status_code == 200
    assert time.monotonic() - began >= 0.74
    began = time.monotonic()
    for _ in range(80):  # they would take twenty seconds
        assert requests.get(master.url + "/metrics", timeout=TIMEOUT).status_code == 200
    assert time.monotonic() - began < 15
    bad = cluster.master(name="bad", start=False)
    bad.env["LIBPROCESS_METRICS_SNAPSHOT_ENDPOINT_RATE_LIMIT"] = "often"
    bad.start(wait=False)
    assert bad.process.wait(timeout=TIMEOUT) != 0
    assert "expecting N/DURATION" in bad.tail()
