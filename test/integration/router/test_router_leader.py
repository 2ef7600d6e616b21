"""The leading master, as ZooKeeper names it."""

import json
import signal

import pytest
import zookeeper
from backends import Backend, Marathon, Master, agent, app
from cluster import wait_until
from frontdoor import PASSWORD, Iam, Router

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


def test_a_router_on_each_of_three_masters(cluster):
    """Each asks the identity service of its own node; who leads is that one's business. Logins, permissions and
    revocations count on all of them, and go on when the leader is gone."""
    if zookeeper.missing():
        pytest.skip(zookeeper.missing())
    ensemble = zookeeper.Ensemble(1).start()
    net = Backend("net")
    try:
        iams = [Iam(cluster, f"iam{i}", store=ensemble.url("/dcos/iam"), peers="127.0.0.1:0", zk_session_timeout="2secs") for i in range(3)]
        routers = [Router(cluster, f"router{i}", iam=iam.daemon.address, iam_socket=iam.socket, net=net.address)
                   for i, iam in enumerate(iams)]

        def login(router, uid="admin"):
            answer = router.ask("/acs/api/v1/auth/login", token=False, method="POST", json={"uid": uid, "password": PASSWORD})
            return answer.json()["token"] if answer.status_code == 200 else None

        def everywhere(token, status):
            for router in routers:
                wait_until(lambda router=router: router.ask("/net/x", token=token).status_code == status, f"{status} at {router.url}")

        for router in routers:
            token = wait_until(lambda router=router: login(router), "a login")
            everywhere(token, 200)
        # Changes made at one that does not lead.
        user = iams[1].user("ann")
        everywhere(user, 403)
        iams[2].user("ann2", "dcos:adminrouter:ops:networking")
        iams[2].call("PUT", "/acls/dcos:adminrouter:ops:networking/users/ann/full")
        everywhere(user, 200)
        iams[0].daemon.kill(signal.SIGKILL)  # the first leads
        del routers[0]
        everywhere(user, 200)  # known tokens go on meanwhile
        for router in routers:
            everywhere(wait_until(lambda router=router: login(router), "a login with the new leader", timeout=30), 200)
        iams[1].token = login(routers[0])
        iams[1].call("DELETE", "/users/ann")
        everywhere(user, 401)
    finally:
        for daemon in cluster.daemons:
            daemon.kill(signal.SIGTERM)
        net.close()
        ensemble.close()


def test_events_come_from_the_marathon_that_leads(front, cluster):
    """One that does not lead sends who wants events to the one that does, and passes the rest on."""
    leader, standby, master = Marathon(), Marathon(), Master()
    try:
        standby.redirect = leader.address
        router = Router(cluster, iam=front.iam.daemon.address, iam_socket=front.iam.socket, master=master.address, marathon=standby.address)
        router.token = front.iam.token

        def answers(name):
            return lambda: router.ask(f"/service/{name}/").status_code == 200

        wait_until(lambda: leader.followers, "the router to follow the leader")
        standby.apps = [app("/one", front.service.port)]
        leader.event("deployment_success", id="x")
        wait_until(answers("one"), "a service that the leader told of")
        # The other takes over.
        standby.redirect = None
        leader.close()
        wait_until(lambda: standby.followers, "the router to follow the new leader")
        standby.set(app("/one", front.service.port), app("/two", front.service.port))
        wait_until(answers("two"), "a service that the new leader told of")
        assert answers("one")()
    finally:
        standby.close()
        master.close()
