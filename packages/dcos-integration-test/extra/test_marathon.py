"""Apps and pods, through the router."""

import re

import pytest

from dcos import page_server, wait_until


def test_an_app_lives(cluster, deploy):
    app = deploy(page_server(instances=2))
    tasks = cluster.tasks(app)
    assert len(tasks) == 2 and all(t["state"] == "TASK_RUNNING" for t in tasks)
    assert all(t["host"] in cluster.private for t in tasks), "apps go to private agents"
    done = cluster("PUT", f"/service/marathon/v2/apps{app}", {"instances": 3})
    assert done.status == 200, done
    wait_until(lambda: cluster.ready(app, 3, True), "three instances")
    done = cluster("PUT", f"/service/marathon/v2/apps{app}", {"instances": 0})
    assert done.status == 200, done
    wait_until(lambda: cluster.ready(app, 0, False), "none")


def test_a_new_version_replaces_the_old_one(cluster, deploy):
    app = deploy(page_server(env={"VERSION": "1"}))
    before = cluster.tasks(app)[0]["id"]
    assert cluster("PUT", f"/service/marathon/v2/apps{app}", {"env": {"VERSION": "2"}}).status == 200
    wait_until(lambda: cluster.ready(app, 1, True) and cluster.tasks(app)[0]["id"] != before, "the new version")
    versions = cluster.get(f"/service/marathon/v2/apps{app}/versions").json["versions"]
    assert len(versions) == 2


def test_a_task_that_dies_is_started_again(cluster, deploy):
    app = deploy(page_server())
    before = cluster.tasks(app)[0]["id"]
    assert cluster("DELETE", f"/service/marathon/v2/apps{app}/tasks/{before}").status == 200
    wait_until(lambda: cluster.ready(app, 1, True) and cluster.tasks(app)[0]["id"] != before, "another task")


def test_a_service_through_the_router(cluster, deploy, app_id):
    name = app_id.strip("/").replace("/", "-")
    app = deploy(page_server(labels={"DCOS_SERVICE_NAME": name, "DCOS_SERVICE_PORT_INDEX": "0",
                                     "DCOS_SERVICE_SCHEME": "http"}))
    task = cluster.tasks(app)[0]
    reply = wait_until(lambda: (lambda r: r if r.status == 200 else None)(cluster.get(f"/service/{name}/")),
                       "the service's route")
    assert task["id"] in reply.text
    assert cluster.get(f"/service/{name}/", token=None).status == 401


def test_sandbox_through_the_router(cluster, deploy):
    app = deploy({"cmd": "echo to the log; echo content >file; exec sleep 1000", "cpus": 0.05, "mem": 32,
                  "instances": 1})
    task = cluster.tasks(app)[0]
    wait_until(lambda: cluster.sandbox_file(task, "file") == "content\n", "the file")
    assert "to the log" in cluster.sandbox_file(task, "stdout")


def test_a_pod_lives(cluster, deploy):
    if not cluster.private:
        pytest.skip("there is no private agent")
    pod = {"containers": [
        {"name": "one", "resources": {"cpus": 0.05, "mem": 32}, "exec": {"command": {"shell": "exec sleep 1000"}}},
        {"name": "two", "resources": {"cpus": 0.05, "mem": 32}, "exec": {"command": {"shell": "exec sleep 1000"}}}],
        "scaling": {"kind": "fixed", "instances": 1}}
    refused = cluster("POST", "/service/marathon/v2/pods", {"id": "/integration-test/probe"})
    if "not supported" in refused.text:
        pytest.skip("this version of Marathon has no pods")
    made = deploy(pod, "pod")
    status = cluster.get(f"/service/marathon/v2/pods{made}::status").json
    assert [c["status"] for i in status["instances"] for c in i["containers"]] == ["TASK_RUNNING"] * 2


def test_public_agents_take_what_asks_for_them(cluster, app_id):
    if not cluster.public:
        pytest.skip("there is no public agent")
    # Not in a group: its apps have the role of the group.
    app = "/" + app_id.strip("/").replace("/", "-")
    cluster.deploy({**page_server(acceptedResourceRoles=["slave_public"]), "id": app})
    try:
        assert cluster.tasks(app)[0]["host"] in cluster.public
    finally:
        cluster.remove(app)


def test_limits_of_a_task(cluster, deploy):
    """A control group holds it: it sees its own memory limit."""
    app = deploy({"cmd": "cat /proc/self/cgroup >groups; ulimit -n >files; exec sleep 1000", "cpus": 0.05, "mem": 40,
                  "instances": 1})
    task = cluster.tasks(app)[0]
    groups = wait_until(lambda: cluster.sandbox_file(task, "groups"), "the file")
    # A group of its own below the agent's, however the hierarchies are laid out.
    memory = [line for line in groups.splitlines() if ":memory:" in line or line.startswith("0::")][0]
    assert re.search(r"/dcos/[0-9a-f-]{36}", memory), groups
    assert int(cluster.sandbox_file(task, "files")) >= 1024


def test_a_bad_app_is_refused(cluster, app_id):
    reply = cluster("POST", "/service/marathon/v2/apps", {"id": f"{app_id}/bad", "cmd": "x", "instances": -1})
    assert reply.status == 422 and "details" in reply.json
