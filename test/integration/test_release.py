"""dcos-release: builds of small packages to local folders, and the kinds of storage against real servers."""

import base64
import hashlib
import hmac
import json
import os
import shutil
import signal
import subprocess
import tarfile
import urllib.request

import pytest

from cloud_servers import guarded, npm, served
from cluster import free_port

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("DCOS_BUILD", os.path.join(ROOT, "build", "debug"))
RELEASE = os.path.join(BUILD, "src", "release", "dcos-release")
COMMIT = "0123456789abcdef0123456789abcdef01234567"

# Stands for the installer: what it is asked for goes into the file, so that the test can see it.
INSTALLER = """#!/bin/sh
set -e
for a; do
    case $a in
    --output=*) output=${a#*=} ;;
    --artifacts=*) artifacts=${a#*=} ;;
    esac
done
cd "$artifacts"
ls installer/bin packages/* bootstrap complete | grep -v sha256 > "$output.new"
for a; do case $a in --output=*|--artifacts=*) ;; *) echo "$a" ;; esac; done >> "$output.new"
mv "$output.new" "$output"
"""


class Project:
    """Sources with two packages and a variant, an installer, a configuration."""

    def __init__(self, path, storages, preferred):
        self.path = path
        packages = path / "packages"
        for name, requires in (("one", []), ("two", ["one"])):
            (packages / name).mkdir(parents=True)
            (packages / name / "buildinfo.json").write_text(json.dumps({"requires": requires}))
            (packages / name / "build").write_text(f"#!/bin/sh\nset -e\nmkdir $PKG_PATH/etc\necho {name} > $PKG_PATH/etc/{name}\n")
            (packages / name / "build").chmod(0o755)
        (packages / "treeinfo.json").write_text("{}")
        (packages / "small.treeinfo.json").write_text('{"exclude": ["two"]}')
        (path / "installer/bin").mkdir(parents=True)
        (path / "installer/bin/dcos-installer").write_text(INSTALLER)
        (path / "installer/bin/dcos-installer").chmod(0o755)
        self.configure(storages, preferred)

    def configure(self, storages, preferred):
        config = {"storage": storages, "options": {"preferred": preferred, "cloudformation_s3_url": "https://s3.example/dcos"}}
        (self.path / "dcos-release.config.yaml").write_text(json.dumps(config))

    def command(self, *args):
        return [RELEASE, "--packages=packages", "--installer=installer", "--work=work", f"--commit={COMMIT}", *args]

    def run(self, *args, code=0):
        done = subprocess.run(
            self.command(*args), cwd=self.path, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr


def tree(path):
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


@pytest.fixture
def project(tmp_path):
    store = tmp_path / "store"
    return Project(tmp_path / "project", {"here": {"kind": "local_path", "path": str(store)}}, "here"), store


def test_create(project):
    p, store = project
    p.run("create", "master", "1.2", "default", "small")
    files = tree(store)
    metadata = json.loads(files["testing/master/metadata.json"])
    assert (metadata["commit"], metadata["tag"], metadata["build_name"]) == (COMMIT, "1.2", "testing/master")
    assert set(metadata["all_completes"]) == {"null", "small"}
    complete = metadata["complete_dict"]["null"]
    assert metadata["bootstrap_dict"]["null"] == complete["bootstrap"]
    assert len(complete["packages"]) == 2
    assert metadata["all_completes"]["small"]["packages"] == [i for i in complete["packages"] if i.startswith("one--")]
    assert metadata["packages"] == sorted(complete["packages"])
    assert metadata["repository_path"] == "testing"
    assert metadata["repository_url"] == f"file://{store}/testing"
    assert metadata["reproducible_artifact_path"] == f"testing/master/commit/{COMMIT}"
    assert metadata["storage_urls"] == {"here": f"file://{store}/"}
    assert metadata["cloudformation_s3_url_full"] == f"https://s3.example/dcos/testing/master/commit/{COMMIT}/cloudformation"
    assert metadata["azure_download_url"] == f"file://{store}/"
    channels = [a["channel_path"] for a in metadata["core_artifacts"] if "channel_path" in a]
    assert sorted(channels) == ["bootstrap.latest", "complete.latest.json", "small.bootstrap.latest", "small.complete.latest.json"]
    assert "local_" not in json.dumps(metadata)
    for package in complete["packages"]:
        path = f"testing/packages/{package.split('--')[0]}/{package}.tar.xz"
        digest, name = files[path + ".sha256"].decode().split()
        assert digest == hashlib.sha256(files[path]).hexdigest()
        assert os.path.basename(path) == name.lstrip("*")
    assert f"testing/bootstrap/{complete['bootstrap']}.bootstrap.tar.xz" in files
    assert json.loads(files[f"testing/bootstrap/{complete['bootstrap']}.active.json"]) == complete["packages"]
    assert files["testing/master/version"] == b"1.2"
    assert files["testing/master/bootstrap.latest"].decode() == complete["bootstrap"]
    assert json.loads(files["testing/master/complete.latest.json"]) == complete
    for name in ("dcos_generate_config.sh", "dcos_generate_config.small.sh"):
        text = files[f"testing/master/{name}"].decode()
        digest = hashlib.sha256(files[f"testing/master/{name}"]).hexdigest()
        assert files[f"testing/master/{name}.sha256"].decode() == f"{digest}  {name}\n"
        assert "dcos-installer\n" in text
        assert f"--commit={COMMIT}\n" in text
        assert "--version=1.2\n" in text
    assert f"--bootstrap-id={complete['bootstrap']}\n" in files["testing/master/dcos_generate_config.sh"].decode()
    # What is under the channel's name is under the commit too.
    latest = {k for k in files if k.startswith("testing/master/") and "/commit/" not in k}
    for name in latest:
        assert files[name] == files[name.replace("testing/master/", f"testing/master/commit/{COMMIT}/")]


def test_promote(project):
    p, store = project
    p.run("create", "master", "1.2", "default")
    shutil.rmtree(p.path / "work")  # everything comes from what was published
    p.run("promote", "testing/master", "stable", "--destination-channel=1")
    files = tree(store)
    metadata = json.loads(files["stable/1/metadata.json"])
    assert metadata["repository_path"] == "stable" and metadata["build_name"] == "stable/1"
    for name in ("packages", "bootstrap"):
        copied = {k.removeprefix("stable/"): v for k, v in files.items() if k.startswith(f"stable/{name}/") and "--setup" not in k}
        first = {k.removeprefix("testing/"): v for k, v in files.items() if k.startswith(f"testing/{name}/") and "--setup" not in k}
        assert copied == first
    assert files["stable/1/dcos_generate_config.sh"] == files["testing/master/dcos_generate_config.sh"]
    p.run("promote", "testing/master", "latest")
    assert "latest/metadata.json" in tree(store)
    out = p.run("--commit=" + "f" * 40, "promote", "testing/master", "other", code=1)
    assert "promote from there" in out


def test_create_installer(project):
    p, store = project
    p.run("create", "", "1.2", "default")
    before = tree(store)
    shutil.rmtree(p.path / "work")
    path = p.run("create-installer", "testing").splitlines()[0]
    assert open(path, "rb").read() == before["testing/dcos_generate_config.sh"]
    assert tree(store) == before


CLOUD = ["cloudformation/single-master.cloudformation.json", "cloudformation/multi-master.cloudformation.json", "aws.html",
         "azure/dcos-1master.azuredeploy.json", "azure/dcos-3master.azuredeploy.json", "azure/dcos-5master.azuredeploy.json", "azure.html"]
NESTED = ["infra", "debian-advanced-priv-agent", "debian-advanced-pub-agent", *(f"debian-{k}-{n}" for k in ("advanced-master", "zen") for n in (1, 3, 5, 7))]
CLOUD += [f"cloudformation/{name}.json" for name in NESTED]


def addresses(files, channel):
    """Where machines of each cloud are told to find packages, by the templates of a channel."""
    def one(name):
        text = files[f"{channel}/{name}"].decode()
        path = "/etc/mesosphere/setup-flags/repository-url"
        return text[text.index(path) + len(path):].split("content", 1)[1].split("://", 1)[1].split("\\", 1)[0]

    return one(CLOUD[0]), one(CLOUD[3])


def test_clouds(project):
    """Templates name what lies in the repository, that of the destination after a promotion."""
    p, store = project
    p.run("create", "master", "1.2", "default", "small")
    files = tree(store)
    for name in CLOUD:
        for variant in ("", "small."):
            folder, _, file = name.rpartition("/")
            if folder:
                assert f"testing/master/{folder}/{variant}{file}" in files
                assert f"testing/master/commit/{COMMIT}/{folder}/{variant}{file}" in files
    fixed = urllib.request.quote(f"https://s3.example/dcos/testing/master/commit/{COMMIT}/cloudformation/", safe="")
    assert fixed in files["testing/master/aws.html"].decode()
    assert addresses(files, "testing/master") == (f"{store}/testing",) * 2
    configs = [k for k in files if k.startswith("testing/packages/dcos-config/")]
    lists = [k for k in files if k.startswith("testing/package_lists/")]
    assert configs and lists and all(k + ".sha256" in files for k in configs if not k.endswith(".sha256"))
    for name in lists:
        for package in json.loads(files[name]):
            assert f"testing/packages/{package.split('--')[0]}/{package}.tar.xz" in files
    metadata = json.loads(files["testing/master/metadata.json"])
    assert {a["channel_path"] for a in metadata["channel_artifacts"] if "channel_path" in a} >= {*CLOUD, "version"}
    # A storage with a cloud's name is where machines of that cloud look.
    other = store.parent / "amazon"
    p.configure({"here": {"kind": "local_path", "path": str(store)}, "aws": {"kind": "local_path", "path": str(other)}}, "here")
    p.run("create", "master", "1.2", "default", "small")
    shutil.rmtree(p.path / "work")
    p.run("promote", "testing/master", "stable")
    files = tree(store)
    assert files == tree(other) | {k: v for k, v in files.items() if k not in tree(other)}
    assert addresses(files, "stable") == (f"{other}/stable", f"{store}/stable")
    assert f"https%3A%2F%2Fs3.example%2Fdcos%2Fstable%2Fcommit%2F{COMMIT}%2F" in files["stable/aws.html"].decode()
    assert [k for k in files if k.startswith("stable/packages/dcos-config/")]


def test_extension(project):
    """Templates are made with it, and installers carry it."""
    p, store = project
    (p.path / "gen_extra").mkdir()
    (p.path / "gen_extra/params.yaml").write_text(
        "parameters: {team: {help: x}}\nprovider_template_defaults: {team: red}\n")
    (p.path / "gen_extra/dcos-config.yaml").write_text("package:\n- path: /etc/team\n  content: {{ team | json }}\n")
    (p.path / "installer/bin/dcos-installer").write_text(INSTALLER.replace("ls installer/bin", "ls installer/bin installer/gen_extra"))
    p.run("create", "master", "1", "default")
    assert "params.yaml" in (store / "testing/master/dcos_generate_config.sh").read_text()
    packages = list((store / "testing/packages/dcos-config").glob("*.tar.xz"))
    assert packages
    for package in packages:
        with tarfile.open(package) as t:
            assert t.extractfile("./etc/team").read() == b"red"
    (p.path / "gen_extra/params.yaml").write_text("parameters: {team: {help: x}}\n")
    assert "Must set team" in p.run("create", "master", "1", "default", code=1)


def test_local_makes_no_templates(project):
    p, store = project
    p.run("--local", "create", "master", "1", "default")
    files = tree(store)
    assert not [k for k in files if "cloudformation" in k or "azure" in k or "html" in k]
    assert "testing/master/dcos_generate_config.sh" in files
    (p.path / "dcos-release.config.yaml").write_text(json.dumps(
        {"storage": {"here": {"kind": "local_path", "path": str(store)}}, "options": {"preferred": "here"}}))
    for args in (["create", "master", "1", "default"], ["promote", "testing/master", "stable"]):
        assert "options.cloudformation_s3_url is missing" in p.run(*args, code=1)
        assert tree(store) == files
    p.run("--local", "promote", "testing/master", "stable")
    assert "cloudformation_s3_url_full" not in json.loads(tree(store)["stable/metadata.json"])
    assert "no cloudformation_s3_url_full" in p.run("create-installer", "stable", code=1)


def test_create_installer_makes_all_again(project):
    p, store = project
    p.run("create", "master", "1", "default")
    before = tree(store)
    shutil.rmtree(p.path / "work")
    paths = p.run("create-installer", "testing/master").splitlines()
    made = {os.path.relpath(x, p.path / "work/artifacts"): open(x, "rb").read() for x in paths if x.startswith("/")}
    assert set(made) == {*CLOUD, "dcos_generate_config.sh", "dcos_generate_config.sh.sha256"}
    for name, content in made.items():
        assert content == before[f"testing/master/{name}"]
    assert tree(store) == before


def test_trees_that_only_help(project):
    """They are published, but nobody installs them."""
    p, store = project
    (p.path / "packages/x.installer.treeinfo.json").write_text('{"exclude": ["two"]}')
    p.run("create", "master", "1", "default", "x.installer")
    files = tree(store)
    metadata = json.loads(files["testing/master/metadata.json"])
    assert set(metadata["all_completes"]) == {"null", "x.installer"} and set(metadata["complete_dict"]) == {"null"}
    assert "testing/master/x.installer.bootstrap.latest" in files
    assert not [k for k in files if "dcos_generate_config.x.installer" in k or "/x.installer.dcos-" in k]
    shutil.rmtree(p.path / "work")
    p.run("promote", "testing/master", "stable")
    assert "stable/x.installer.bootstrap.latest" in tree(store)


def test_published_packages_are_not_built_again(project):
    p, store = project
    p.run("create", "master", "1", "default")
    before = tree(store)
    shutil.rmtree(p.path / "packages/cache")
    # Would fail if it were run: only what a script says is in an id, not what it finds.
    for name in ("one", "two"):
        (p.path / f"packages/{name}/build").chmod(0o644)
    p.run("create", "master", "1", "default")
    assert tree(store) == before


def test_a_published_package_that_is_corrupt_is_built(project):
    p, store = project
    p.run("create", "master", "1", "default")
    shutil.rmtree(p.path / "packages/cache")
    (package,) = (store / "testing/packages/two").glob("*.tar.xz")
    good = package.read_bytes()
    package.write_bytes(good[:-1] + b"?")
    p.run("create", "other", "1", "default")
    (built,) = (p.path / "packages/cache/packages/two").glob("*.tar.xz")
    assert built.read_bytes() == good


@pytest.mark.parametrize("where", ["all_completes", "complete_dict"])
def test_names_of_variants_stay_inside(project, where):
    """What a storage says is not ours: no file of it may land beside the working folder."""
    p, store = project
    (store / "testing/master").mkdir(parents=True)
    (store / "testing/packages/x").mkdir(parents=True)
    for name in ("packages/x/x--1.tar.xz", "bootstrap/b.bootstrap.tar.xz", "bootstrap/b.active.json"):
        (store / "testing" / name).parent.mkdir(exist_ok=True)
        (store / "testing" / name).write_text("theirs")
    (store / "testing/master/metadata.json").write_text(json.dumps({
        "commit": COMMIT, "tag": "1", "core_artifacts": [], "repository_path": "testing", "reproducible_artifact_path": "testing/master",
        "all_completes": {}, "complete_dict": {}, where: {"../../outside": {"bootstrap": "b", "packages": ["x--1"]}}}))
    said = p.run("create-installer", "testing/master", code=1)
    assert "../../outside is no name of a variant" in said
    assert not (p.path.parent / "outside").exists()


def test_noop_and_again(project):
    p, store = project
    assert "would upload" in p.run("--noop", "create", "master", "1", "default")
    assert tree(store) == {}
    p.run("create", "master", "1", "default")
    before = tree(store)
    kept = [f for f in store.rglob("*.tar.xz")]
    times = [f.stat().st_mtime_ns for f in kept]
    p.run("create", "master", "1", "default")
    assert tree(store) == before
    assert [f.stat().st_mtime_ns for f in kept] == times  # what is named after its contents is written once


@pytest.mark.parametrize("moment", range(6))
def test_killed(project, moment):
    """Whenever it is killed, what a channel shows is whole; the next run finishes it."""
    p, store = project
    p.run("create", "master", "1", "default")
    (p.path / "packages/one/build").write_text("#!/bin/sh\nmkdir $PKG_PATH/etc; echo new > $PKG_PATH/etc/one\n")
    with subprocess.Popen(
        p.command("create", "master", "2", "default"), cwd=p.path, stderr=subprocess.PIPE, text=True
    ) as run:
        seen = 0
        for line in run.stderr:
            seen += "does " in line
            if seen > moment * 14:
                break
        run.send_signal(signal.SIGKILL)
        run.stderr.read()
    files = tree(store)
    metadata = json.loads(files["testing/master/metadata.json"])
    assert metadata["tag"] in ("1", "2")
    for artifact in metadata["core_artifacts"]:
        if "reproducible_path" in artifact:
            assert "testing/" + artifact["reproducible_path"] in files
        else:
            assert f"{metadata['reproducible_artifact_path']}/{artifact['channel_path']}" in files
    assert not [k for k, v in files.items() if k.endswith(".sha256") and not v]
    p.run("create", "master", "2", "default")
    files = tree(store)
    assert json.loads(files["testing/master/metadata.json"])["tag"] == "2"
    for name, digest in [(k.removesuffix(".sha256"), v) for k, v in files.items() if k.endswith(".sha256")]:
        assert hashlib.sha256(files[name]).hexdigest() == digest.decode().split()[0]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["create", "master", "1"], "wrong number of arguments"),
        (["create", "../up", "1", "default"], "no name of a channel"),
        (["create", "master", "1", "nosuch"], "variant nosuch"),
        (["promote", "testing/nothing", "stable"], "testing/nothing/metadata.json"),
        (["build"], "unknown command build"),
        (["--colour", "create"], "unknown option"),
        (["--config=none.yaml", "create", "a", "b", "default"], "none.yaml"),
        (["--installer=/nonexistent", "create", "a", "b", "default"], "there is no installer"),
    ],
)
def test_refusals(project, args, message):
    p, store = project
    assert message in p.run(*args, code=1)
    assert tree(store) == {}


def test_storage_that_cannot_be_opened(project):
    """The channel stays as it was."""
    p, store = project
    p.run("create", "master", "1", "default")
    before = tree(store)
    p.configure({"here": {"kind": "local_path", "path": str(store)}, "full": {"kind": "local_path", "path": "/dev/full"}}, "here")
    assert "full" in p.run("create", "master", "2", "default", code=1)
    assert tree(store) == before


# ---- servers ----


def publish_and_look(tmp_path, storage, fetch):
    """The same build in the storage and in a folder; then promoted inside the storage."""
    store = tmp_path / "store"
    p = Project(tmp_path / "project", {"far": storage, "here": {"kind": "local_path", "path": str(store)}}, "far")
    p.run("create", "a b", "1", "default")
    files = tree(store)
    shutil.rmtree(p.path / "work")
    p.run("promote", "testing/a b", "stable")
    promoted = tree(store)
    assert len(promoted) > len(files) > 10
    for name, content in promoted.items():
        assert fetch(name) == content, name
    p.configure({"far": {**storage, "secret_access_key" if "bucket" in storage else "account_key": base64.b64encode(b"wrong").decode()}}, "far")
    assert "answers 403" in p.run("create", "b", "1", "default", code=1)


def test_s3(tmp_path):
    """s3rver, with somebody in front who checks signatures."""
    folder = npm("s3rver", "3.7.1")
    port = free_port()
    (tmp_path / "s3").mkdir()
    argv = ["node", f"{folder}/bin/s3rver.js", "-d", str(tmp_path / "s3"), "-a", "127.0.0.1", "-p", str(port), "--configure-bucket", "releases"]
    with served(argv, port, tmp_path), guarded(port, "S3RVER") as guard:
        url = f"http://127.0.0.1:{port}/releases/dcos/"
        storage = {
            "kind": "aws_s3", "bucket": "releases", "object_prefix": "dcos", "download_url": url, "region_name": "us-east-1",
            "access_key_id": "S3RVER", "secret_access_key": "S3RVER", "endpoint_url": f"http://127.0.0.1:{guard}",
        }

        def fetch(name):
            with urllib.request.urlopen(url + urllib.request.quote(name), timeout=30) as answer:
                return answer.read()

        publish_and_look(tmp_path, storage, fetch)
        with urllib.request.urlopen(url + "stable/metadata.json", timeout=30) as answer:
            assert answer.headers["Content-Type"] == "application/json"


def test_azure(tmp_path):
    """azurite checks signatures; the container is open for reading."""
    folder = npm("azurite", "3.37.0")
    port = free_port()
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    argv = [
        "node", f"{folder}/dist/src/blob/main.js", "--blobHost", "127.0.0.1", "--blobPort", str(port),
        "--location", str(tmp_path), "--silent", "--skipApiVersionCheck", "--disableTelemetry",
    ]
    with served(argv, port, tmp_path):
        endpoint = f"http://127.0.0.1:{port}/devstoreaccount1"
        storage = {
            "kind": "azure_block_blob", "account_name": "devstoreaccount1", "account_key": key, "container": "dcos",
            "download_url": endpoint + "/dcos/", "endpoint_url": endpoint,
        }
        make_container(endpoint, key)

        def fetch(name):
            with urllib.request.urlopen(endpoint + "/dcos/" + urllib.request.quote(name), timeout=30) as answer:
                return answer.read()

        publish_and_look(tmp_path, storage, fetch)


def make_container(endpoint, key):
    """Operators make containers; the test does it by hand."""
    from email.utils import formatdate

    date = formatdate(usegmt=True)
    text = (
        "PUT" + "\n" * 12 + f"x-ms-blob-public-access:container\nx-ms-date:{date}\nx-ms-version:2020-10-02\n"
        "/devstoreaccount1/devstoreaccount1/dcos\nrestype:container"
    )
    signature = base64.b64encode(hmac.new(base64.b64decode(key), text.encode(), "sha256").digest()).decode()
    request = urllib.request.Request(
        endpoint + "/dcos?restype=container", method="PUT", data=b"",
        headers={
            "x-ms-date": date, "x-ms-version": "2020-10-02", "x-ms-blob-public-access": "container", "Content-Type": "",
            "Authorization": f"SharedKey devstoreaccount1:{signature}",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 201
