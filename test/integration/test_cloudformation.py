"""dcos_generate_config.sh --aws-cloudformation: local copies, and uploads to a bucket whose guard checks signatures."""

import contextlib
import http.server
import io
import json
import os
import re
import tarfile
import threading
import urllib.parse
import urllib.request

import pytest

from cfn_rules import check_names, walk
from cloud_servers import guarded, npm, served
from cluster import free_port
from test_installer import Site, write

SECRET = "S3RVER"
BASE = {
    "aws_template_storage_bucket": "templates", "aws_template_storage_bucket_path": "/dcos/mine", "aws_template_storage_region_name": "eu-west-1",
    "aws_template_storage_access_key_id": "S3RVER", "aws_template_storage_secret_access_key": SECRET,
}
OFF = {"aws_template_upload": False}


class AwsSite(Site):
    def config(self, **more):
        write(self.at("genconf/config.yaml"), "".join(f"{k}: {json.dumps(v)}\n" for k, v in more.items()))

    def make(self, code=0, **more):
        self.config(**{k: v for k, v in {**BASE, **more}.items() if v is not None})
        out = self.run("--aws-cloudformation", code=code)
        assert f'"{SECRET}"' not in out + self.err and f" {SECRET}" not in out + self.err
        return out

    def made(self):
        """The only configuration's folder below config_id, and its files."""
        (name,) = os.listdir(self.at("genconf/cloudformation/config_id"))
        return name, self.tree(f"genconf/cloudformation/config_id/{name}")


@pytest.fixture
def site(tmp_path):
    return AwsSite(tmp_path)


def zens(files):
    return {n: json.loads(t) for n, t in files.items() if "-zen-" in n}


def check_files(files, url):
    """All that templates name is there; returns the names of templates with their parts."""
    assert [n for n in files if n.startswith("bootstrap/") and n.endswith(".bootstrap.tar.xz.sha256")]
    for name, text in files.items():
        if name.startswith("package_lists/"):
            for package in json.loads(text):
                path = f"packages/{package.partition('--')[0]}/{package}.tar.xz"
                assert path in files and path + ".sha256" in files
        elif name.startswith("cloudformation/"):
            template = json.loads(text)
            check_names(template)
            for node in walk(template):
                if "TemplateURL" in node:
                    assert node["TemplateURL"].removeprefix(f"{url}/") in files
                for value in node.values():
                    if isinstance(value, str) and "repository-url" in value:
                        assert f"{url}\\n" in value


def test_local_copies(site):
    out = site.make(**OFF)
    name, files = site.made()
    url = f"https://s3.eu-west-1.amazonaws.com/templates/dcos/mine/config_id/{name}"
    assert f"Upload that folder, as it is, to {url}\n" in out
    assert re.findall(r"^  (\S+)$", out, re.M) == [f"{url}/cloudformation/debian-zen-{n}.json" for n in (1, 3, 5, 7)]
    check_files(files, url)
    assert len(zens(files)) == 4 and "aws.html" not in files
    assert not [n for n in files if "multi-master" in n]
    # The name of the stack is the cluster's.
    assert zens(files)["cloudformation/debian-zen-3.json"]["Resources"]["MasterStack"]["Properties"]["Parameters"]["ClusterName"] == {"Ref": "AWS::StackName"}
    # Nodes are told nothing about the bucket's key, and the first login is drawn.
    for path, data in files.items():
        assert SECRET.encode() not in (data if isinstance(data, bytes) else data.encode())
        if path.endswith(".tar.xz") and "--setup_" in path:
            with tarfile.open(fileobj=io.BytesIO(data if isinstance(data, bytes) else open(site.at(f"genconf/cloudformation/config_id/{name}/{path}"), "rb").read())) as t:
                for member in t.getmembers():
                    assert not member.isfile() or SECRET.encode() not in t.extractfile(member).read()
    assert "genconf/superuser.password" in out and os.stat(site.at("genconf/superuser.password")).st_mode & 0o777 == 0o600
    # Again: the same; another configuration: another folder.
    site.make(**OFF)
    assert site.made() == (name, files)
    site.make(**OFF, oauth_enabled=False)
    assert len(os.listdir(site.at("genconf/cloudformation/config_id"))) == 2


def test_masters_of_ones_own(site):
    site.make(**OFF, master_list=["172.31.7.4", "172.31.7.9", "172.31.7.30"], cluster_name="mine")
    _, files = site.made()
    assert list(zens(files)) == ["cloudformation/debian-zen-3.json"]
    masters = json.loads(files["cloudformation/debian-advanced-master-3.json"])
    addresses = [r["Properties"]["PrivateIpAddress"] for r in masters["Resources"].values() if r["Type"] == "AWS::EC2::Instance"]
    assert addresses == ["172.31.7.4", "172.31.7.9", "172.31.7.30"]
    assert "ClusterName" not in masters["Parameters"]


@pytest.mark.parametrize(
    "more, messages",
    [
        ({"aws_template_storage_bucket": None}, ["aws_template_storage_bucket: Must set aws_template_storage_bucket, no way to calculate value."]),
        ({"aws_template_storage_region_name": None, **OFF}, ["aws_template_storage_region_name: Must set"]),
        ({"bootstrap_url": "http://x", "master_discovery": "static"},
         ["bootstrap_url: bootstrap_url must be calculated, but was explicitly set", "master_discovery: master_discovery must be", "(line 6)"]),
        ({"master_list": ["10.0.0.1", "10.0.0.2"]}, ["Must have 1, 3, 5, 7, or 9 masters. Found 2."]),
    ],
)
def test_wrong(site, more, messages):
    site.make(code=1, **more)
    for message in messages:
        assert message in site.err
    assert not os.path.exists(site.at("genconf/cloudformation"))


def test_upload(site, tmp_path, monkeypatch):
    folder = npm("s3rver", "3.7.1")
    port = free_port()
    (tmp_path / "s3").mkdir()
    argv = ["node", f"{folder}/bin/s3rver.js", "-d", str(tmp_path / "s3"), "-a", "127.0.0.1", "-p", str(port), "--configure-bucket", "templates"]
    with served(argv, port, tmp_path), guarded(port, SECRET) as guard:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{guard}")
        site.make(code=1, aws_template_storage_bucket_path_autocreate=False)
        assert "there is nothing below dcos/mine in the bucket templates" in site.err
        assert not os.path.exists(site.at("genconf/cloudformation"))
        out = site.make()
        name, files = site.made()
        url = f"http://127.0.0.1:{guard}/templates/dcos/mine/config_id/{name}"
        assert f"  {url}/cloudformation/debian-zen-3.json\n" in out
        check_files(files, url)
        local = site.at(f"genconf/cloudformation/config_id/{name}")
        for path in files:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/templates/dcos/mine/config_id/{name}/{urllib.parse.quote(path)}", timeout=30) as answer:
                with open(f"{local}/{path}", "rb") as f:
                    assert answer.read() == f.read(), path
                if path.startswith("cloudformation/"):
                    assert answer.headers["Content-Type"] == "application/json"
        # What is there is not sent again.
        assert {line for line in site.make(aws_template_storage_bucket_path_autocreate=False).splitlines() if line.startswith("Uploading ")} == {
            f"Uploading {n}" for n in files if n.startswith("cloudformation/")}
        site.make(code=1, aws_template_storage_secret_access_key="wrong")
        assert "403" in site.err


@contextlib.contextmanager
def bucket(refuse=None, says=True):
    """Takes everything, until a name with `refuse` in it; says that it is in eu-south-1."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status = 200
            if self.command == "PUT":
                status = 403 if refuse and refuse in self.path else 200
                if status == 200:
                    put[self.path] = body
            elif self.path.count("/") > 1 or not says:
                status = 200 if self.path in put else 404
            scopes.add(self.headers.get("Authorization", "///").split("/")[2])
            self.send_response(status)
            if says:
                self.send_header("x-amz-bucket-region", "eu-south-1")
            self.send_header("Content-Length", 0)
            self.end_headers()

        do_GET = do_HEAD = do_PUT = answer

        def log_message(self, *args):
            pass

    put, scopes = {}, set()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", put, scopes
        finally:
            server.shutdown()


def test_region_is_found_and_parts_come_first(site, monkeypatch):
    with bucket() as (endpoint, put, scopes):
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        site.make(aws_template_storage_region_name=None, aws_template_storage_bucket_path=None)
        assert scopes == {"", "eu-south-1"}
        names = list(put)
        prefix = "/templates/config_id/"
        assert all(n.startswith(prefix) for n in names)
        first = min(i for i, n in enumerate(names) if "/cloudformation/" in n)
        assert all("/cloudformation/" in n for n in names[first:])
        for i, name in enumerate(names):
            if "-zen-" in name:
                for node in walk(json.loads(put[name])):
                    if "TemplateURL" in node:
                        assert node["TemplateURL"].removeprefix(endpoint) in names[:i]


def test_an_upload_that_was_cut_off_goes_on(site, monkeypatch):
    with bucket(refuse="infra.json") as (endpoint, put, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        site.make(code=1)
        assert "infra.json" in site.err and not [n for n in put if "-zen-" in n]


def test_no_such_bucket(site, monkeypatch):
    with bucket(says=False) as (endpoint, put, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        site.make(code=1, aws_template_storage_region_name=None)
        assert "aws_template_storage_region_name: S3 does not say where the bucket templates is (it answers 404)" in site.err
        assert not put and not os.path.exists(site.at("genconf/cloudformation"))
