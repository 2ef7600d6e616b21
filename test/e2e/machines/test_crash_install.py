"""Killed while an installer works: the cluster can be destroyed, or the work be done again."""

import json
import os
import signal

from mini import wait_until


def kill_at(mini, step, *args, condition=lambda: True):
    """Starts a command, and kills it as soon as it tells that it is at a step of the installer."""
    child = mini.start(*args)
    text = ""
    while not text.endswith(step):
        piece = child.stderr.read(1)
        assert piece, (args, text, child.wait())
        text += piece
    wait_until(condition, f"something at {step}", 120)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()


def installers(mini):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/cwd").startswith(mini.home):
                found.append(pid)
        except OSError:
            continue
    return found


def test_a_create_that_is_killed(mini, installer):  # noqa: F811
    for step in ("--genconf", "--preflight", "--deploy"):
        kill_at(mini, step, "create", "-c", "a", installer, "--agents=1", "--public-agents=0")
        wait_until(lambda: not installers(mini), f"the installer to end at {step}")
        mini("destroy", "-c", "a")
        assert mini.traces() == [], step


def test_an_upgrade_that_is_killed(mini, installer, next_installer, tmp_path):  # noqa: F811
    """It can be called again; then the cluster is what it would be."""
    mini("create", "-c", "a", installer, "--agents=1", "--public-agents=0", "--wait-for-dcos", "--timeout=300")
    for step in ("--genconf", "--upgrade"):
        kill_at(mini, step, "upgrade", "-c", "a", next_installer)
        wait_until(lambda: not installers(mini), f"the installer to end at {step}")
    mini("upgrade", "-c", "a", next_installer, "--wait-for-dcos", "--timeout=300")
    for node in mini.nodes("a"):
        version = json.loads(mini.on(node, "cat /opt/mesosphere/etc/dcos-version.json", "a"))["version"]
        assert version == "99.1.0", node
    # One that does not get as far as the nodes does not stand in the way back.
    bad = tmp_path / "bad"
    bad.write_text("exit 9\n")
    assert "exit code 9" in mini("upgrade", "-c", "a", str(bad), code=9)
    kill_at(mini, "--rollback", "upgrade", "-c", "a", next_installer, "--rollback")
    mini("upgrade", "-c", "a", next_installer, "--rollback", "--wait-for-dcos", "--timeout=300")
    for node in mini.nodes("a"):
        version = json.loads(mini.on(node, "cat /opt/mesosphere/etc/dcos-version.json", "a"))["version"]
        assert version != "99.1.0", node
    # Destroying, killed too.
    child = mini.start("destroy", "-c", "a")
    wait_until(lambda: not os.path.exists(os.path.join(mini.folder("a"), "nodes")), "half of it to be gone")
    child.kill()
    child.communicate()
    mini.run("destroy", "-c", "a")
    assert mini.traces() == []
