"""Power cuts where clusters are made: dcos-gen, the installer's folder, a release that is put out."""

import hashlib
import json
import os
import subprocess

import pytest

from cut import differences, each_cut, often, snapshot
from test_gen import GEN, Folder
from test_installer import BOOTSTRAP, COMMIT, INSTALLER, Site
from test_power_cut import tmp_path  # noqa: F401
from test_release import Project

PASSWORD = "$6$rounds=656000$123o/Uz.N.Fx0lXy$WKdSfUjFhhuVYvqcYMPjsvKZOCsRGeZGSz1PbZuWEIZGZwvMDxYCTDGqlN4bhe6xXaGPuZZBTqXlSNCLzFvI81"


def leftovers(files):
    return [k for k in files if ".tmp" in k or k.endswith(".part") or os.path.basename(k).startswith(".gen.")]


def digests_are_right(files):
    """What a digest stands beside is what it says."""
    for name, value in files.items():
        if name.endswith(".sha256") and name.removesuffix(".sha256") in files:
            content = files[name.removesuffix(".sha256")][1]
            assert hashlib.sha256(content).hexdigest() == value[1].decode().split()[0], name


def test_gen(tmp_path):  # noqa: F811
    """What cluster-package-list.latest names is there, whole; a second run makes what one alone makes."""
    folder = Folder(tmp_path / "gen")
    env = {"PATH": os.environ["PATH"], "BOOTSTRAP_ID": "b00", "DCOS_IMAGE_COMMIT": "c0ffee"}
    serve = folder.serve()
    command = [GEN, "generate"]
    for run in each_cut(folder.path, command, every=often(3), cwd=folder.path, env=env):
        assert run.cut or run.code == 0, run.err
        if not run.cut:
            after = snapshot(serve)
        files = snapshot(serve)
        if "cluster-package-list.latest" in files:
            named = f"package_lists/{files['cluster-package-list.latest'][1].decode()}.package_list.json"
            for package in json.loads(files[named][1]):
                assert f"packages/{package.split('--')[0]}/{package}.tar.xz" in files, run.where
        for name in files.keys() - set(leftovers(files)):
            assert "/.gen." in "/" + name or files[name] == after[name], (run.where, name)
        subprocess.run(command, cwd=folder.path, env=env, check=True, capture_output=True)
        assert not differences(snapshot(serve), after), run.where


@pytest.mark.parametrize("password", [PASSWORD, None], ids=["given", "drawn"])
def test_genconf(tmp_path, password):  # noqa: F811
    """dcos_install.sh, which is made last, means that all it fetches is there; a password is drawn once."""
    site = Site(tmp_path)
    site.config(**({"superuser_password_hash": password} if password else {}))
    site.run("--version")
    folders = [d for d in os.listdir(site.path) if d.startswith("dcos-genconf.")]
    program = site.at(f"{folders[0]}/installer/bin/dcos-installer")
    env = dict(os.environ, DCOS_IMAGE_COMMIT=COMMIT, BOOTSTRAP_ID=BOOTSTRAP)
    serve = site.at("genconf/serve")
    for run in each_cut(site.path, [program], every=often(17 if password else 67), cwd=site.path, env=env):
        assert run.cut or run.code == 0, run.err
        files = snapshot(serve) if os.path.isdir(serve) else {}
        if not run.cut:
            after = files
        digests_are_right(files)
        if "dcos_install.sh" in files:
            for package in json.loads(next(v[1] for k, v in files.items() if k.endswith(".package_list.json"))):
                assert f"packages/{package.split('--')[0]}/{package}.tar.xz.sha256" in files, run.where
            assert f"bootstrap/{BOOTSTRAP}.bootstrap.tar.xz.sha256" in files, run.where
        drawn = snapshot(site.at("genconf")).get("superuser.password")
        again = subprocess.run([program], cwd=site.path, env=env, capture_output=True, text=True, check=False)
        assert again.returncode == 0, (run.where, again.stderr)
        genconf = snapshot(site.at("genconf"))
        assert not leftovers(genconf), run.where
        if password:
            assert not differences(snapshot(serve), after), run.where
        else:
            assert (drawn or genconf["superuser.password"]) == genconf["superuser.password"]
            assert genconf["superuser.password"][0] == genconf["superuser.hash"][0] == "0o100600"
            # Ids follow the hash: nothing of another password's configuration is named.
            subprocess.run([program], cwd=site.path, env=env, capture_output=True, check=True)
            assert not differences(snapshot(site.at("genconf/serve")), {k[6:]: v for k, v in genconf.items() if k.startswith("serve/")})


def test_release(tmp_path):  # noqa: F811
    """A channel shows a whole release at any time: the one before, or the new one."""
    store = tmp_path / "all" / "store"
    p = Project(tmp_path / "all" / "project", {"here": {"kind": "local_path", "path": str(store)}}, "here")
    p.run("create", "master", "1", "default")
    (p.path / "packages/one/build").write_text("#!/bin/sh\nmkdir $PKG_PATH/etc; echo new > $PKG_PATH/etc/one\n")
    for run in each_cut(str(tmp_path / "all"), p.command("create", "master", "2", "default"), every=often(97), cwd=p.path):
        assert run.cut or run.code == 0, run.err
        files = snapshot(store)
        metadata = json.loads(files["testing/master/metadata.json"][1])
        assert metadata["tag"] in ("1", "2"), run.where
        for artifact in metadata["core_artifacts"]:
            if "reproducible_path" in artifact:
                assert "testing/" + artifact["reproducible_path"] in files, run.where
        # Names of a channel mean another file with each release: a digest that does not fit says so for a moment.
        digests_are_right({k: v for k, v in files.items() if not k.startswith("testing/master/")})
        p.run("create", "master", "2", "default")
        files = {k: v for k, v in snapshot(store).items() if ".dcos-release-" not in k}
        digests_are_right(files)
        if not run.cut:
            after = files
        assert not differences(files, after), run.where
