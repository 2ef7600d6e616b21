"""What the cluster consists of."""

import json
import os

from dcos import page_server, request


def test_numbers(cluster):
    masters = int(os.environ.get("DCOS_NUM_MASTERS") or len(cluster.masters))
    agents = int(os.environ.get("DCOS_NUM_AGENTS") or len(cluster.agents))
    assert len(cluster.masters) == masters
    active = [s for s in cluster.slaves() if s["active"]]
    assert len(active) == agents
    with open("/opt/mesosphere/etc/master_list", encoding="utf-8") as f:
        # Behind a load balancer nodes know no list.
        assert sorted(json.load(f) or cluster.masters) == sorted(cluster.masters)


def test_one_leader(cluster):
    leaders = set()
    for master in cluster.masters:
        reply = request("GET", f"http://{master}:5050/redirect", timeout=10)
        assert reply.status in (307, 302), (master, reply)
        leaders.add(reply.headers["location"])
    assert len(leaders) == 1


def test_agents_attributes(cluster):
    for slave in cluster.slaves():
        public = slave["hostname"] in cluster.public
        assert ("public_ip" in slave["attributes"]) == public, slave["hostname"]
        assert slave["resources"]["cpus"] > 0 and slave["resources"]["mem"] > 0
        if public:
            assert "slave_public" in slave["reserved_resources"], "a public agent's resources are of its role"


def test_all_nodes_have_one_version(cluster):
    reply = cluster.get("/mesos/slaves").json
    versions = {s["version"] for s in reply["slaves"]} | {cluster.get("/mesos/version").json["version"]}
    assert len(versions) == 1


def test_marathon_is_the_only_one(cluster):
    frameworks = cluster.get("/mesos/frameworks").json["frameworks"]
    assert [f["name"] for f in frameworks if f["active"] and f["name"] == "marathon"] == ["marathon"]


def test_every_agent_runs_a_task(cluster, deploy):
    """Public ones for whom asks for them."""
    assert cluster.agents
    for agent in cluster.private:
        app = deploy(page_server(constraints=[["hostname", "CLUSTER", agent]]), f"on-{agent.replace('.', '-')}")
        assert [t["host"] for t in cluster.tasks(app)] == [agent]


def test_names_of_the_cluster(cluster):
    """What it is called, and its id, are the same wherever one asks."""
    with open("/var/lib/dcos/cluster-id", encoding="utf-8") as f:
        wanted = f.read().strip()
    for master in cluster.masters:
        reply = request("GET", f"http://{master}/dcos-metadata/ui-config.json")
        assert reply.json["clusterConfiguration"]["id"] == wanted, (master, reply)
    state = cluster.get("/mesos/state-summary").json
    assert state["cluster"] == cluster.get("/mesos/state").json["cluster"]
