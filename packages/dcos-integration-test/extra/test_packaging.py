"""Host packages of this node."""

import json
import os
import subprocess

from dcos import request

SOCKET = "/run/dcos/pkgpanda-api.sock"
ROOT = "/opt/mesosphere"


def ask(method, path, body=None):
    return request(method, f"http://localhost{path}", body, unix=SOCKET)


def pkgpanda(*args):
    return subprocess.run([f"{ROOT}/bin/pkgpanda", *args], capture_output=True, text=True, check=False)


def test_lists(cluster):
    repository, active = cluster.get("/pkgpanda/repository/").json, cluster.get("/pkgpanda/active/").json
    assert active and set(active) <= set(repository)
    assert active == sorted(active)
    with open(f"{ROOT}/active.buildinfo.full.json", encoding="utf-8") as f:
        assert set(json.load(f)) == {i.split("--")[0] for i in active}
    for package in set(repository) | set(active):
        shown = ask("GET", f"/repository/{package}").json
        assert shown["id"] == package and package == f"{shown['name']}--{shown['version']}"


def test_program(cluster):
    assert pkgpanda("active").stdout.split() == cluster.get("/pkgpanda/active/").json
    done = pkgpanda("check")
    assert done.returncode == 0, done.stderr


def test_errors():
    assert ask("GET", "/repository/foo").status == 404
    assert ask("GET", "/repository/foo--1").status == 404
    assert ask("PUT", "/active/", {"a": 1}).status == 400
    missing = ask("PUT", "/active/", ["foo--1"])
    assert missing.status == 409 and missing.json["missing_packages"] == ["foo--1"]
    active = ask("GET", "/active/").json[0]
    assert ask("DELETE", f"/repository/{active}").status == 409


def test_what_an_outsider_may(cluster):
    assert cluster("PUT", "/pkgpanda/active/", [], token=None).status == 401


def test_links_lead_somewhere():
    for at, folders, files in os.walk(f"{ROOT}/bin"):
        for name in folders + files:
            assert os.path.exists(os.path.join(at, name)), os.path.join(at, name)
    for name in os.listdir(f"{ROOT}/active"):
        assert os.path.isdir(os.path.join(ROOT, "active", name)), name


def test_roles():
    assert os.listdir("/etc/mesosphere/roles") == ["master"]
    assert os.listdir(f"{ROOT}/etc/roles") == ["master"]
