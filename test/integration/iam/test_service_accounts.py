"""Daemons that log in with the keys of their service accounts: master, agent, Marathon and dcos-net."""

import json
import os
import re
import sys

import pytest
import requests

from api import Iam, Key
from cluster import Daemon, wait_until
from keys import bearer, secret_file
from raw import TIMEOUT

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "net"))
from netd import Net  # noqa: E402

MASTER, POLICY = "dcos:mesos:master:", "dcos:iam:policy"
ACCOUNTS = {
    "dcos_master": [(POLICY, "read")],
    "dcos_agent": [(MASTER + "agent", "create"), (POLICY, "read")],
    "dcos_marathon": [(MASTER + "framework:role", "create"), (MASTER + "task:user", "create"), (POLICY, "read")],
    "dcos_net": [(MASTER + "framework:role", "read"), (MASTER + "task:app_id", "read")],
}
LOGGED_IN = "logged in at the identity service user="


class World:
    """A strict master and others around it, none of which is started yet."""

    def __init__(self, cluster, life=None):
        """`life` of the daemons' tokens; that of the test is not short-lived."""
        self.cluster = cluster
        folder = os.path.join(cluster.folder, "accounts")
        self.keys, self.files = {uid: Key(folder, uid) for uid in ACCOUNTS}, {}
        self.iam = Iam(cluster)
        for uid in ACCOUNTS:
            self.make_account(uid)
            self.files[uid] = self.secret(uid, self.keys[uid])
        if life:
            self.iam.daemon.flags["auth_token_life"] = life
            self.iam.daemon.restart()
        follow = {"iam_url": self.iam.daemon.url, "security_mode": "strict"}
        self.master = cluster.master(start=False, service_account=self.files["dcos_master"], allocation_interval="50ms",
                                     cluster="demo", **follow)
        self.master.start()
        self.agent = cluster.agent(self.master, start=False, service_account=self.files["dcos_agent"], **follow)
        self.marathon = cluster.marathon(self.master, start=False, service_account=self.files["dcos_marathon"],
                                         iam_url=self.iam.daemon.url)
        self.net = Net.start_in(cluster, self.master, start=False, service_account=self.files["dcos_net"])

    def make_account(self, uid):
        self.iam.ok("PUT", f"/users/{uid}", 201, json={"public_key": self.keys[uid].public})
        for rid, action in ACCOUNTS[uid]:
            self.iam.grant(rid, uid, action)

    def secret(self, uid, key):
        with open(key.private, encoding="utf-8") as f:
            pem = f.read()
        return secret_file(os.path.join(self.iam.folder, uid + ".json"), json.dumps({
            "scheme": "RS256", "uid": uid, "private_key": pem, "login_endpoint": self.iam.url + "/auth/login"}))

    def start(self):
        for daemon in (self.agent, self.marathon, self.net):
            daemon.start()
        return self

    def state(self):
        answer = requests.get(self.master.url + "/state", headers=bearer(self.iam.token), timeout=TIMEOUT)
        answer.raise_for_status()
        return answer.json()

    def agent_is_there(self):
        return self.state()["activated_slaves"] == 1

    def wait_whole(self):
        wait_until(self.agent_is_there, "the agent to be registered")
        wait_until(lambda: [f["principal"] for f in self.state()["frameworks"] if f["active"]] == ["dcos_marathon"],
                   "Marathon to be a framework")
        wait_until(lambda: self.net.ips("marathon.mesos"), "the name of the framework")

    def logins(self, daemon):
        with open(daemon.log_path, encoding="utf-8") as f:
            return f.read().count(LOGGED_IN)

    def has_logged(self, daemon, text):
        with open(daemon.log_path, encoding="utf-8") as f:
            return text in f.read()

    def check_logs(self):
        """Neither keys nor tokens are in any log."""
        for daemon in self.cluster.daemons:
            with open(daemon.log_path, encoding="utf-8") as f:
                text = f.read()
            assert "PRIVATE" not in text and not re.search(r"eyJ[\w-]{8,}\.", text), daemon.name


def test_the_service_comes_last_and_keys_rotate(cluster):
    world = World(cluster)
    world.iam.daemon.kill()
    world.start()
    wait_until(lambda: world.has_logged(world.agent, "cannot log in at the identity service"), "the agent to tell")
    wait_until(lambda: world.has_logged(world.net, "cannot log in at the identity service"), "dcos-net to tell")
    world.iam.daemon.start()
    world.wait_whole()
    # The service away again: who holds a token goes on, also through a restart of the master's clients' connections.
    logins = {d.name: world.logins(d) for d in (world.agent, world.marathon, world.net)}
    # Another key signs; the tokens of the old one are still good for new connections.
    before = world.iam.get("/auth/jwks").json()["keys"][0]["kid"]
    world.iam.ok("POST", "/internal/rotate-key", 202)
    wait_until(lambda: world.iam.get("/auth/jwks").json()["keys"][0]["kid"] != before, "another key to sign")
    world.master.restart()
    world.wait_whole()
    assert logins == {d.name: world.logins(d) for d in (world.agent, world.marathon, world.net)}
    # And a token of the new key, after a restart of its holder.
    world.agent.restart()
    wait_until(lambda: world.logins(world.agent) > logins[world.agent.name], "the agent to log in")
    world.wait_whole()
    world.check_logs()


def test_tokens_are_renewed_before_they_expire(cluster):
    world = World(cluster, life="10secs").start()
    wait_until(world.agent_is_there, "the agent to be registered")
    for daemon in (world.agent, world.marathon, world.net, world.master):
        wait_until(lambda d=daemon: world.logins(d) >= 3, f"{daemon.name} to log in anew")
    # The first tokens have expired by now.
    world.master.restart()
    world.wait_whole()
    for daemon in (world.agent, world.marathon, world.net):
        assert not world.has_logged(daemon, "the token is refused"), daemon.tail()
    world.check_logs()


def test_an_account_that_is_removed(cluster):
    world = World(cluster).start()
    world.wait_whole()
    world.iam.ok("DELETE", "/users/dcos_agent", 204)
    # The link that is open stays; the next one is refused, and the log says why.
    assert world.agent_is_there()
    world.master.restart()
    wait_until(lambda: world.has_logged(world.agent, "the token is refused, logging in again user=dcos_agent"),
               "the agent to tell")
    wait_until(lambda: world.has_logged(world.agent, "it does not know the account, or the account has another key"),
               "the agent to tell why")
    assert world.state()["activated_slaves"] == 0
    # It keeps trying. The account is made anew, with another key: the file counts without a restart.
    logins = world.logins(world.agent)
    world.keys["dcos_agent"] = Key(world.iam.folder, "rotated")
    world.make_account("dcos_agent")
    world.secret("dcos_agent", world.keys["dcos_agent"])
    wait_until(lambda: world.logins(world.agent) > logins, "the agent to log in with its new key", 90)
    wait_until(world.agent_is_there, "the agent to be back with it", 90)
    world.check_logs()


@pytest.mark.parametrize("flags,text", [
    ({"credential_token": "x"}, None),
    ({"iam_token_file": "x"}, "--service_account and --iam_token_file: give one"),
])
def test_one_of_two(cluster, flags, text):
    """Towards the master a credential may take its place; towards the identity service there is one."""
    world = World(cluster)
    token = secret_file(os.path.join(world.iam.folder, "x"), "x")
    daemon = world.agent
    daemon.flags.update({k: token for k in flags})
    daemon.start(wait=False)
    if text:
        assert daemon.process.wait(timeout=60) != 0
        assert text in daemon.tail()
    else:
        wait_until(lambda: world.has_logged(daemon, "does not take the agent yet"), "the token to be refused")


@pytest.mark.parametrize("program", ["dcos-net", "dcos-marathon", "dcos-agent", "dcos-master"])
def test_a_wrong_file_ends_the_start(cluster, program):
    path = secret_file(os.path.join(cluster.folder, "wrong.json"), '{"uid":"u","private_key":"SECRETTEXT"}')
    flags = {"master": "127.0.0.1:1", "work_dir": os.path.join(cluster.folder, "w"), "service_account": path}
    if program == "dcos-master":
        del flags["master"]
    if program == "dcos-agent":
        flags["launcher_dir"] = cluster.launcher_dir()
    if program == "dcos-net":
        del flags["work_dir"]
    daemon = Daemon("wrong", program, flags, cluster.folder)
    cluster.daemons.append(daemon)
    daemon.start(wait=False)
    assert daemon.process.wait(timeout=60) != 0
    assert "expected an object with uid, private_key and login_endpoint" in daemon.tail()
    assert "SECRETTEXT" not in daemon.tail()
