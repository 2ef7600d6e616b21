"""The Python module for people's own tests."""

import logging
import os
import subprocess
import sys

import pytest

from mini import PROGRAM, ROOT, Mini

sys.path.insert(0, os.path.join(ROOT, "src", "minidcos", "python"))

from minidcos import Cluster, DCOSTimeoutError, Output, Role, Transport  # noqa: E402


@pytest.fixture
def home(monkeypatch):
    """A folder with a blank; nothing is left of it."""
    mini = Mini()
    monkeypatch.setenv("MINIDCOS", PROGRAM)
    monkeypatch.setenv("MINIDCOS_CACHE", mini.env["MINIDCOS_CACHE"])
    yield mini
    assert mini.traces() == []
    mini.close()


def test_a_cluster_without_an_installer(home, tmp_path, caplog):
    with Cluster(agents=1, public_agents=0, home=home.home, options=["--custom-master-volume=/etc:/mnt/etc:ro"]) as cluster:
        master, agent = cluster.masters[0], cluster.agents[0]
        assert [n.role for n in cluster.nodes()] == [Role.MASTER, Role.AGENT] and cluster.public_agents == []
        assert master == cluster.masters[0] != agent and len({master, cluster.masters[0], agent}) == 2
        assert master.run(["printf", "%s|", "it's", "$HOME", ""]).stdout == "it's|$HOME||"
        assert master.run(["echo", "$WORD"], shell=True, env={"WORD": "a b'c"}).stdout == "a b'c\n"
        with pytest.raises(subprocess.CalledProcessError) as failed:
            agent.run(["sh", "-c", "echo out; echo err >&2; exit 5"])
        assert (failed.value.returncode, failed.value.stdout, failed.value.stderr) == (5, "out\n", "err\n")
        with caplog.at_level(logging.INFO, "minidcos"):
            assert agent.run(["echo", "logged"], output=Output.LOG_AND_CAPTURE).stdout == "logged\n"
        assert "logged" in caplog.text
        assert agent.run(["true"], output=Output.NO_CAPTURE).stdout is None
        child = agent.popen(["cat", "/etc/hostname"])
        assert child.communicate(timeout=30)[0].decode().strip() == agent.host_name and child.returncode == 0
        (tmp_path / "a b").write_text("sent")
        agent.send_file(tmp_path / "a b", "/root/new/it's")
        agent.download_file("/root/new/it's", tmp_path / "back")
        assert (tmp_path / "back").read_text() == "sent"
        with pytest.raises(subprocess.CalledProcessError):
            agent.download_file("/absent", tmp_path / "absent")
        assert sorted(os.listdir(tmp_path)) == ["a b", "back"]
        master.run(["mkdir -p /opt/mesosphere/active/dcos-integration-test; touch /opt/mesosphere/environment.export"],
                   shell=True)
        said = cluster.run_with_test_environment(["sh", "-c", "echo $MASTER_HOSTS $X"], env={"X": "y z"}).stdout
        assert said == f"{master.ip_address} y z\n"
        with pytest.raises(DCOSTimeoutError):
            cluster.wait_for_dcos_oss(http_checks=False, timeout=1)
        agent.kill()
        agent.start()
        assert agent.run(["cat", "/root/new/it's"]).stdout == "sent"
        again = Cluster.from_id(cluster.cluster_id, home=home.home)
        assert again.masters == cluster.masters and Transport.SSH.value == "ssh"
        again.destroy_node(again.agents[0])
        assert not again.inspect()["Nodes"]["agents"][0]["running"]
    with pytest.raises(subprocess.CalledProcessError):
        Cluster.from_id(cluster.cluster_id, home=home.home)


def test_a_cluster_that_cannot_be_made(home, tmp_path):
    with pytest.raises(subprocess.CalledProcessError) as failed:
        Cluster(masters=2, home=home.home)
    assert failed.value.returncode == 2
    with Cluster(agents=0, public_agents=0, home=home.home) as cluster:
        bad = tmp_path / "bad"
        bad.write_text("echo no >&2; exit 3\n")
        with pytest.raises(subprocess.CalledProcessError) as failed:
            cluster.install_dcos_from_path(bad, dcos_config={**cluster.base_config, "x": "y"})
        assert failed.value.returncode == 3
        with open(cluster.path("install", "genconf", "config.yaml"), encoding="utf-8") as f:
            assert 'x: "y"' in f.read()
        with pytest.raises(subprocess.CalledProcessError):
            cluster.install_dcos_from_url(f"file://{tmp_path}/absent")
        with pytest.raises(subprocess.CalledProcessError) as failed:
            cluster.install_dcos_from_url(f"file://{bad}")
        assert failed.value.returncode == 3
