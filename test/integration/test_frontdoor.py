"""docs/frontdoor.md, command by command, against a local cluster with its router."""

import os

import pytest

import walkthrough
from cluster import ROOT, binary
from test_minidcos import NOTHING, Mini


@pytest.fixture
def mini():
    m = Mini()
    yield m
    m.close()


@pytest.mark.parametrize("secure", [[], ["--secure"]], ids=["plain", "secure"])
def test_frontdoor(mini, tmp_path, secure):
    mini("create", "--ports=auto", "--agents=1", "--public-agents=0", "--wait", *secure)
    mini.remember("default")
    routers = [d for d in mini.status()["daemons"] if d["name"] == "router"]
    if not routers:
        pytest.skip("this build has no nginx or no module for it")
    env = {k: v for k, v in mini.env.items() if not k.startswith(("DCOS_", "MINIDCOS_"))}
    env["HOME"] = str(tmp_path)
    env["PATH"] = os.path.dirname(binary("dcos")) + ":/usr/bin:/bin"
    steps = walkthrough.parse(os.path.join(ROOT, "docs", "frontdoor.md"))
    assert len(steps) > 20
    door = f"https://localhost:{routers[0]['port']}"
    for step in steps:
        # Where this cluster is.
        step.command = step.command.replace("https://localhost", door).replace(".local/", mini.home + "/")
        step.expected = [line.replace("https://localhost", door) for line in step.expected]
        walkthrough.run(step, env, ROOT)
    assert mini.status()["url"] == f"https://127.0.0.1:{routers[0]['port']}"
    mini("destroy")
    assert mini.leftovers() == NOTHING


def test_a_killed_router_leaves_nothing(mini):
    """nginx goes on when its daemon is killed, is taken over by the next one, and is found by destroy."""
    mini("create", "--ports=auto", "--agents=0", "--public-agents=0", "--wait")
    mini.remember("default")
    status = mini.status()
    routers = [d for d in status["daemons"] if d["name"] == "router"]
    if not routers:
        pytest.skip("this build has no nginx or no module for it")
    pid_file = os.path.join(routers[0]["work_dir"], "nginx.pid")

    def nginx():
        with open(pid_file, encoding="utf-8") as f:
            return int(f.read())

    before = nginx()
    mini("kill", "router")
    assert nginx() == before
    for pid in (status["supervisor"]["pid"], mini.daemon("router")["pid"]):
        os.kill(pid, 9)
    mini("destroy")
    assert mini.leftovers() == NOTHING
    try:
        with open(f"/proc/{before}/cmdline", encoding="utf-8") as f:
            assert f.read() == ""  # dead, and not yet asked for by its parent
    except FileNotFoundError:
        pass
