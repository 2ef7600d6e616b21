"""Several masters on an ensemble of ZooKeeper, and who leads as a client of Mesos finds out."""

import itertools
import json

import requests

from cluster import wait_until

SESSION = 2.0  # seconds

paths = itertools.count()


class Masters:
    """Masters of one cluster, and who leads as a client of Mesos finds out: of the children of the path but
    log_replicas the smallest name, whose data is JSON with address.ip and address.port."""

    def __init__(self, cluster, ensemble, n=3, wait=True, env=None, **flags):
        self.cluster = cluster
        self.ensemble = ensemble
        self.path = f"/cluster{next(paths)}/mesos"
        self.zk = ensemble.url(self.path)
        self.kazoo = ensemble.kazoo()
        flags = {"zk": self.zk, "quorum": 2, "zk_session_timeout": f"{SESSION}secs", **flags}
        self.all = [cluster.master(f"master{i}", start=False, **flags) for i in range(n)]
        for master in self.all:
            master.env = env or {}
            master.start(wait=False)
        if wait:
            for master in self.all:
                master.wait_ready()
            self.wait_leader()

    def nodes(self):
        from kazoo.exceptions import NoNodeError

        try:
            return sorted(c for c in self.kazoo.retry(self.kazoo.get_children, self.path) if c != "log_replicas")
        except NoNodeError:
            return []

    def info(self):
        """MasterInfo of the leader, or None."""
        from kazoo.exceptions import NoNodeError

        nodes = self.nodes()
        if not nodes:
            return None
        try:
            return json.loads(self.kazoo.retry(self.kazoo.get, f"{self.path}/{min(nodes)}")[0])
        except NoNodeError:
            return None

    def leader(self):
        """The daemon that leads, or None."""
        info = self.info()
        return next((m for m in self.all if info and m.port == info["address"]["port"]), None)

    def serving(self):
        """The leader once it answers for itself."""
        leader = self.leader()
        if leader is None or not leader.alive():
            return None
        answer = requests.get(leader.url + "/state", timeout=5, allow_redirects=False)
        return leader if answer.status_code == 200 else None

    def wait_leader(self, other_than=None):
        return wait_until(
            lambda: (m := self.serving()) is not None and m is not other_than and m, "a leading master"
        )

    def standbys(self):
        leader = self.leader()
        return [m for m in self.all if m is not leader and m.alive()]

    def wait_members(self, n):
        wait_until(lambda: len(self.nodes()) == n, f"{n} masters in ZooKeeper")

    def agents(self):
        """Registered and active agents by id."""
        answer = requests.get(self.leader().url + "/slaves", timeout=5).json()
        return {a["id"]: a for a in answer["slaves"] if a["active"]}

    def wait_agents(self, *ids):
        return wait_until(lambda: set(ids) <= set(self.agents()) and self.agents(), f"agents {ids} to be back")

    def close(self):
        self.kazoo.stop()
        self.kazoo.close()
