"""Marathons that speak TLS: one that does not lead verifies the one that does before it passes calls on."""

import os
import sys

import pytest
import requests

import zookeeper
from cluster import ROOT, wait_until

sys.path.insert(0, os.path.join(ROOT, "test", "integration", "security"))

from keys import Authority  # noqa: E402


@pytest.fixture
def server():
    reason = zookeeper.missing()
    if reason:
        pytest.skip(reason)
    e = zookeeper.Ensemble(1).start()
    yield e
    e.close()


def test_standby_verifies_the_leader(cluster, server):
    ours, theirs = (Authority(os.path.join(cluster.folder, name)) for name in ("ours", "theirs"))

    def marathon(name, flags, wait):
        daemon = cluster.marathon("127.0.0.1:1", name, start=False, zk=server.url("/marathon"), zk_session_timeout=2000, **flags)
        return daemon.start(wait=wait)

    def asked(daemon, authority):
        return requests.get(f"https://127.0.0.1:{daemon.flags['http_port']}/v2/groups", verify=authority.certificate, timeout=10)

    leader = marathon("leader", ours.flags("leader"), True)
    assert asked(leader, ours).status_code == 200
    trusting = marathon("trusting", ours.flags("trusting"), False)
    blind = marathon("blind", {k: v for k, v in ours.flags("blind").items() if k != "ssl_ca_file"}, False)
    other = marathon("other", theirs.flags("other"), False)
    wait_until(lambda: asked(trusting, ours).status_code == 200, "a call that is passed on")
    # Without an authority of the cluster those of the system count, which do not know the leader; another cluster's is none.
    for daemon, authority in ((blind, ours), (other, theirs)):
        wait_until(lambda: asked(daemon, authority).status_code == 502 and "certificate" in daemon.tail(50), "a refusal")
