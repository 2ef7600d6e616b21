"""Three masters that nobody lists: they find each other in a folder that they share, agents ask one address for them."""

import json
import os
import random
import shutil
import tempfile
import urllib.request

import pytest

from mini import Mini, wait_until

NAME = "three"


@pytest.fixture(scope="module")
def cluster(installer, tmp_path_factory):
    mini = Mini()
    shared = tempfile.mkdtemp(prefix="dcos-e2e-shared-")
    os.chmod(shared, 0o1777)
    network = f"172.30.{random.randrange(200, 250)}"
    extra = tmp_path_factory.mktemp("config") / "extra.yaml"
    # The first master stands for a load balancer: what nodes do when it is gone is for others to test.
    extra.write_text(f"master_discovery: master_http_loadbalancer\nexhibitor_address: {network}.11\nnum_masters: 3\n"
                     "exhibitor_storage_backend: shared_filesystem\nexhibitor_fs_config_dir: /shared\n")
    try:
        mini("create", "-c", NAME, installer, "--masters=3", "--agents=1", "--public-agents=0", f"--network={network}.0/24",
             f"--extra-config={extra}", f"--custom-master-volume={shared}:/shared", "--wait-for-dcos", "--timeout=300")
        yield mini
        mini("destroy", "-c", NAME)
        assert mini.traces() == []
    finally:
        mini.close()
        shutil.rmtree(mini.home, ignore_errors=True)
        shutil.rmtree(shared, ignore_errors=True)


def config(address):
    try:
        with urllib.request.urlopen(f"http://{address}:8181/exhibitor/v1/config/get-state", timeout=5) as answer:
            return json.load(answer)["config"]
    except OSError:
        return {}


def test_suite(cluster):
    out = cluster("run", "-c", NAME, "--test-env", "python3 -m pytest -q test_exhibitor.py test_composition.py", timeout=300)
    assert " passed" in out and "skipped" not in out


def test_agents_know_the_servers(cluster):
    nodes = cluster.nodes(NAME)
    masters = sorted(ip for name, ip in nodes.items() if name.startswith("master"))
    assert cluster.on("agent_0", "cat /run/dcos/zookeeper/servers", NAME).strip() == ",".join(f"{ip}:2181" for ip in masters)
    assert cluster.on("agent_0", "cat /opt/mesosphere/etc/master_list", NAME).strip() == "[]"
    # dcos-net starts when the servers are known, /etc/resolv.conf is looked at every minute.
    for i, ip in enumerate(masters, 1):
        wait_until(lambda i=i, ip=ip: cluster.run("run", "-c", NAME, "--node", "agent_0", f"getent hosts zk-{i}.zk").stdout.split()[:1] == [ip],
                   f"the name of server {i}", timeout=120, pause=1)


def test_a_master_is_made_anew(cluster):
    """Its address with an empty disk is another member, which is taken in; tasks do not notice."""
    nodes = cluster.nodes(NAME)
    one, two, three = (nodes[f"master_{i}"] for i in range(3))
    agent = "systemctl show -p MainPID --value dcos-mesos-slave"
    before = cluster.on("agent_0", agent, NAME)
    assert config(one)["serversSpec"] == f"1:{one},2:{two},3:{three}"
    cluster.on("master_2", "systemctl stop dcos-exhibitor dcos-exhibitor-ensemble; rm -rf /var/lib/dcos/zookeeper/*; sync", NAME)
    cluster("kill", "-c", NAME, "--node", "master_2")
    cluster("start", "-c", NAME, "--node", "master_2")

    def settled():
        told = [config(ip) for ip in (one, two, three)]
        return all(c.get("serversSpec") == f"1:{one},2:{two},4:{three}" and not c["rollInProgress"] for c in told)

    wait_until(settled, "the new member to be taken in", timeout=240, pause=1)
    cluster("wait", "-c", NAME, "--timeout=180")
    assert cluster.on("agent_0", agent, NAME) == before
    cluster("run", "-c", NAME, "--test-env", "python3 -m pytest -q test_exhibitor.py", timeout=300)
