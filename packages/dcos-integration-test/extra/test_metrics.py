"""What services tell of themselves in numbers."""

import re

from dcos import request, wait_until


def families(text):
    """{family: value of its first line} of Prometheus' text format; every line has to be readable."""
    found = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? (\S+)( \d+)?", line)
        assert match, line
        found.setdefault(match[1], float(match[3]))
    return found


def test_master(cluster):
    leading = [m for m in cluster.masters
               if request("GET", f"http://{m}:5050/metrics/snapshot", token=cluster.token).json["master/elected"] == 1]
    assert len(leading) == 1
    numbers = cluster.get("/mesos/metrics/snapshot").json
    assert numbers["master/slaves_active"] == len(cluster.agents)
    assert numbers["master/frameworks_active"] >= 1
    assert numbers["registrar/log/recovered"] == 1
    text = families(cluster.get("/mesos/metrics").text)
    assert len(text) > 50


def test_agents(cluster):
    for slave in cluster.slaves():
        numbers = cluster.get(f"/slave/{slave['id']}/metrics/snapshot")
        assert numbers.status == 200 and numbers.json["slave/registered"] == 1, (slave["hostname"], numbers)
        assert numbers.json["slave/cpus_total"] == slave["resources"]["cpus"]
        assert families(cluster.get(f"/slave/{slave['id']}/metrics").text)["dcos_slave_registered"] == 1


def test_a_containers_use(cluster, deploy):
    """The agent tells what a task uses, out of its control group."""
    app = deploy({"cmd": "exec sleep 1000", "cpus": 0.1, "mem": 40, "instances": 1})
    task = cluster.tasks(app)[0]

    def used():
        for container in cluster.get(f"/slave/{task['slaveId']}/containers").json:
            if container["executor_id"] == task["id"]:
                return container["statistics"]
        return None
    statistics = wait_until(used, "the container's numbers")
    assert statistics["mem_limit_bytes"] >= 40 << 20
    assert 0 < statistics["mem_rss_bytes"] < statistics["mem_limit_bytes"]
    assert statistics["cpus_limit"] >= 0.1
    assert statistics["cpus_user_time_secs"] + statistics["cpus_system_time_secs"] >= 0
    listed = cluster.get(f"/slave/{task['slaveId']}/monitor/statistics").json
    assert [s for s in listed if s["executor_id"] == task["id"]]


def test_tasks_are_counted(cluster, deploy):
    before = cluster.get("/mesos/metrics/snapshot").json["master/tasks_running"]
    deploy({"cmd": "exec sleep 1000", "cpus": 0.05, "mem": 32, "instances": 2})
    wait_until(lambda: cluster.get("/mesos/metrics/snapshot").json["master/tasks_running"] == before + 2, "both to be counted")


def test_marathon(cluster):
    reply = cluster.get("/service/marathon/metrics")
    assert reply.status == 200 and reply.json, reply
    assert families(cluster.get("/service/marathon/metrics/prometheus").text)


def test_names(cluster):
    for url in ("http://127.0.0.1:62080/v1/metrics", f"{cluster.url}/net/v1/metrics"):
        reply = request("GET", url, token=cluster.token if url.startswith(cluster.url) else None)
        assert reply.status == 200 and reply.text, (url, reply)


def test_router(cluster):
    path = "/mesos/version"
    name = re.compile(r'nginx_\w*requests\w*\{[^}]*\} (\d+)')

    def total():
        reply = cluster.get("/nginx/metrics", token=None)
        assert reply.status == 200
        families(reply.text)
        return sum(int(n) for n in name.findall(reply.text))
    before = total()
    for _ in range(5):
        assert cluster.get(path).status == 200
    wait_until(lambda: total() >= before + 5, "the requests to be counted")
