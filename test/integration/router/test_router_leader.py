"""The leading master, as ZooKeeper names it."""

import json

import pytest
import zookeeper
from backends import Backend, Master, agent
from cluster import wait_until
from frontdoor import Iam, Router

AGENT = "11111111-2222-3333-4444-555555555555-S0"


def announce(client, master):
    host, port = master.address.split(":")
    info = {"id": "x", "hostname": host, "port": int(port), "address": {"hostname": host, "ip": host, "port": int(port)}}
    client.ensure_path("/mesos")
    client.create("/mesos/json.info_", json.dumps(info).encode(), ephemeral=True, sequence=True)


def test_a_leader_that_is_not_ready_yet(cluster):
    """A new leader answers 503 until it has read its registry. ZooKeeper has nothing new to say about it then."""
    if zookeeper.missing():
        pytest.skip(zookeeper.missing())
    ensemble = zookeeper.Ensemble(1).start()
    node = Backend("agent")
    master = Master([agent(AGENT, node.address)])
    master.not_ready = 2
    try:
        client = ensemble.kazoo()
        announce(client, master)
        iam = Iam(cluster)
        router = Router(cluster, iam=iam.daemon.address, iam_socket=iam.socket, master=ensemble.url("/mesos"))
        router.token = iam.token
        wait_until(lambda: router.ask(f"/agent/{AGENT}/x").status_code == 200, "the agents of the new leader")
        client.stop()
        client.close()
    finally:
        master.close()
        node.close()
        ensemble.close()
