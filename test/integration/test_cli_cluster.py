"""`dcos cluster`, `auth`, `security`, `service`, `node drain …` and completion: the program against a real dcos-iam, and
real daemons where they matter, behind a front door made of Python (fake_router.py)."""

import base64
import json
import os
import pty
import shutil
import signal
import stat
import subprocess
import time

import pytest

from cluster import Cluster, binary, wait_until
from fake_router import FakeRouter
from security.keys import Authority

FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
NEVER_SETUP = "no cluster is attached. Please run `dcos cluster attach <cluster-name>`"


class Cli:
    def __init__(self, folder):
        self.folder = str(folder)
        self.dir = os.path.join(self.folder, "dcos")
        self.env = {"PATH": f"{self.folder}/bin:/usr/bin:/bin", "HOME": self.folder, "DCOS_DIR": self.dir}

    def __call__(self, *args, stdin="", code=0):
        done = subprocess.run([binary("dcos"), *args], env=self.env, input=stdin, text=True, timeout=60, capture_output=True)
        assert done.returncode == code, (args, done.stdout, done.stderr)
        return done

    def out(self, *args, **options):
        done = self(*args, **options)
        assert done.stderr == "", done.stderr
        return done.stdout

    def error(self, *args, code=1, **options):
        done = self(*args, code=code, **options)
        assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1, done.stderr
        return done.stderr[len("Error: ") : -1]

    def path(self, *parts):
        return os.path.join(self.dir, "clusters", *parts)

    def text(self, *parts):
        with open(self.path(*parts), encoding="utf-8") as f:
            return f.read()

    def mode(self, *parts):
        return stat.S_IMODE(os.stat(self.path(*parts)).st_mode)

    def attached(self):
        return [c for c in sorted(os.listdir(self.path())) if os.path.exists(self.path(c, "attached"))]

    def token(self):
        return self.out("config", "show", "core.dcos_acs_token").strip()

    def program(self, name, script):
        path = os.path.join(self.folder, "bin", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\n" + script)
        os.chmod(path, 0o755)


@pytest.fixture
def cli(tmp_path):
    return Cli(tmp_path)


@pytest.fixture(scope="module")
def iam():
    c = Cluster()
    try:
        yield c.iam(login_failures_per_minute=1000)
    finally:
        c.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(str(tmp_path_factory.mktemp("authority")))


@pytest.fixture(scope="module")
def certificate(authority):
    return authority.issue("router")


@pytest.fixture
def router(iam):
    r = FakeRouter(iam)
    yield r
    r.close()


@pytest.fixture
def secure(iam, certificate, authority):
    r = FakeRouter(iam, certificate=certificate, authority=authority.certificate)
    yield r
    r.close()


LOGIN = ("--username=admin", "--password=secret")


def rows(text):
    return [line.split() for line in text.splitlines()]


def uid_of(token):
    claims = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["uid"]


# ---- setup ----


def test_setup_writes_the_documented_folder(cli, router):
    assert cli.out("cluster", "setup", router.url + "/", *LOGIN) == ""
    token = cli.token()
    assert uid_of(token) == "admin"
    assert cli.text("c-1", "dcos.toml") == (
        f'\n[cluster]\n  name = "mycl"\n\n[core]\n  dcos_acs_token = "{token}"\n  dcos_url = "{router.url}"\n  timeout = 180\n')
    assert sorted(os.listdir(cli.path("c-1"))) == ["attached", "dcos.toml"]
    assert cli.text("c-1", "attached") == ""
    assert cli.mode("c-1") == 0o755 and cli.mode("c-1", "dcos.toml") == 0o600
    # The requests, in the order of the original; none before the login carries a token.
    assert [(m, p) for m, p, _ in router.requests[:6]] == [
        ("HEAD", "/"), ("HEAD", "/pkgpanda/active.buildinfo.full.json"), ("GET", "/acs/api/v1/auth/providers"),
        ("POST", "/acs/api/v1/auth/login"), ("GET", "/metadata"), ("GET", "/mesos/state-summary")]
    assert [a for _, _, a in router.requests[:6]] == [None] * 4 + [f"token={token}"] * 2


def test_setup_without_a_timeout_and_with_a_name(cli, router):
    cli.out("cluster", "setup", router.url, "--no-timeout", "--name=other", *LOGIN)
    assert 'name = "other"' in cli.text("c-1", "dcos.toml") and "timeout = 0\n" in cli.text("c-1", "dcos.toml")
    assert ("GET", "/mesos/state-summary") not in [r[:2] for r in router.requests]


def test_setup_asks_before_it_trusts_the_clusters_authority(cli, secure, authority):
    fingerprint = subprocess.run(["openssl", "x509", "-in", authority.certificate, "-noout", "-fingerprint", "-sha256"],
                                 check=True, text=True, capture_output=True).stdout.strip().split("=")[1]
    done = cli("cluster", "setup", secure.url, *LOGIN, stdin="maybe\ny\n")
    assert done.stdout == "Do you trust it? [y/n] Do you trust it? [y/n] "
    assert fingerprint in done.stderr and "Issuer: CN=authority" in done.stderr and "Until: " in done.stderr
    with open(authority.certificate, encoding="utf-8") as f:
        assert cli.text("c-1", "dcos_ca.crt") == f.read()
    assert cli.mode("c-1", "dcos_ca.crt") == 0o644
    assert f'ssl_verify = "{cli.path("c-1", "dcos_ca.crt")}"' in cli.text("c-1", "dcos.toml")
    assert cli.out("cluster", "list", "--attached").splitlines()[1].split()[3] == "AVAILABLE"
    cli.out("auth", "login", *LOGIN)  # over the connection that is checked


@pytest.mark.parametrize("answers", ["", "n\n", "no\n", "No\n", "x\nx\nx\n", "YES\nYES\nYES\n"])
def test_setup_without_trust_leaves_nothing(cli, secure, answers):
    done = cli("cluster", "setup", secure.url, *LOGIN, stdin=answers, code=1)
    assert done.stderr.endswith("Error: couldn't get confirmation\n")
    assert not os.path.exists(cli.path())
    assert not any(r[1].startswith("/acs") for r in secure.requests)


@pytest.mark.parametrize("flag,verify", [("--no-check", "ca"), ("--insecure", '"false"'), ("--ca-certs", "ca")])
def test_setup_over_tls_without_a_question(cli, secure, authority, flag, verify):
    value = [authority.certificate] if flag == "--ca-certs" else []
    cli.out("cluster", "setup", secure.url, flag, *value, *LOGIN)
    if verify == "ca":
        verify = f'"{cli.path("c-1", "dcos_ca.crt")}"'
    assert f"ssl_verify = {verify}\n" in cli.text("c-1", "dcos.toml")
    assert os.path.exists(cli.path("c-1", "dcos_ca.crt")) == (flag != "--insecure")
    assert ("GET", "/ca/dcos-ca.crt") in [r[:2] for r in secure.requests] or flag != "--no-check"
    assert cli.out("cluster", "list").splitlines()[1].split()[3] == "AVAILABLE"


def test_setup_with_the_wrong_authority_is_refused(cli, secure, tmp_path):
    other = Authority(str(tmp_path / "other"))
    assert "SSL error" in cli.error("cluster", "setup", secure.url, "--ca-certs", other.certificate, *LOGIN)
    assert "not-there" in cli.error("cluster", "setup", secure.url, "--ca-certs", "/not-there", *LOGIN)
    assert not os.path.exists(cli.path())


def test_setup_needs_one_url(cli, router):
    assert cli.error("cluster", "setup") == "missing cluster URL"
    assert cli.error("cluster", "setup", "a", "b") == "received 2 arguments [a b], expects a single cluster URL"
    for url in ("http://", "http://user@host", "http://host/?q", "ftp://host", "http://host:99999"):
        assert "no URL of a cluster" in cli.error("cluster", "setup", url)
    assert f"127.0.0.1:{router.port}" in cli.error("cluster", "setup", f"127.0.0.1:{router.port}")  # means https://


def test_setup_follows_the_front_page_to_the_canonical_url(cli, router, iam):
    import http.server
    import threading

    class Redirect(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(302)
            self.send_header("Location", router.url.replace("127.0.0.1", "LOCALHOST") + "/")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Redirect) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        cli.out("cluster", "setup", f"http://127.0.0.1:{server.server_address[1]}", *LOGIN)
    assert f'dcos_url = "http://localhost:{router.port}"' in cli.text("c-1", "dcos.toml")


@pytest.mark.parametrize("bad", ["", "..", ".hidden", "a/b", "../../x", "x" * 200])
def test_setup_refuses_an_id_that_is_no_name_of_a_folder(cli, router, bad):
    router.cluster_id = bad
    assert "CLUSTER_ID" in cli.error("cluster", "setup", router.url, *LOGIN)
    assert not os.path.exists(cli.path())


def test_a_cluster_without_login(cli, router):
    router.requires_login = False
    done = cli("cluster", "setup", router.url)
    assert "asks for no login" in done.stderr
    assert 'dcos_acs_token = ""' in cli.text("c-1", "dcos.toml")
    assert cli.out("auth", "list-providers", "--json") == "{}\n"


def test_a_second_setup_keeps_other_settings(cli, router):
    cli.out("cluster", "setup", router.url, *LOGIN)
    cli.out("config", "set", "core.ssh_user", "me")
    cli.out("cluster", "setup", router.url, *LOGIN)
    assert cli.out("config", "show", "core.ssh_user") == "me\n"
    assert cli.attached() == ["c-1"]


# ---- logins ----


def test_login_with_a_wrong_password(cli, router):
    assert cli.error("cluster", "setup", router.url, "--username=admin", "--password=wrong") == "Invalid username or password."
    assert not os.path.exists(cli.path())
    cli.out("cluster", "setup", router.url, *LOGIN)
    before = cli.token()
    done = cli("auth", "login", "--username=admin", stdin="wrong\nwrong\nwrong\n", code=1)
    assert done.stdout == "Password: " * 3
    assert done.stderr == "Error: Invalid username or password.\n" * 3
    assert cli.token() == before
    done = cli("auth", "login", stdin="admin\nwrong\nadmin\nsecret\n")
    assert done.stdout == "Username: Password: " * 2
    assert cli.error("auth", "login", "--username=admin") == "there was no answer on stdin"


def test_login_from_the_environment(cli, router):
    cli.env |= {"DCOS_USERNAME": "admin", "DCOS_PASSWORD": "secret"}
    cli.out("cluster", "setup", router.url)
    assert uid_of(cli.token()) == "admin"
    del cli.env["DCOS_USERNAME"], cli.env["DCOS_PASSWORD"]
    cli.env["DCOS_CLUSTER_SETUP_ACS_TOKEN"] = "READY"
    cli.out("auth", "login")
    assert cli.token() == "READY"


def test_password_files_must_be_private(cli, router, tmp_path):
    path = tmp_path / "password"
    path.write_text("secret\n")
    for mode in (0o644, 0o640, 0o700, 0o604):
        path.chmod(mode)
        assert cli.error("cluster", "setup", router.url, "--username=admin", f"--password-file={path}") == (
            f"permissions {mode:04o} for '{path}' are too open, expected 0400 or 0600")
    for mode in (0o400, 0o600):
        path.chmod(mode)
        cli.out("cluster", "setup", router.url, "--username=admin", f"--password-file={path}")
    assert "cannot read" in cli.error("auth", "login", "--username=admin", "--password-file=/not-there")


def test_a_hidden_password_is_not_echoed(cli, router):
    cli.out("cluster", "setup", router.url, *LOGIN)
    leader, follower = pty.openpty()
    process = subprocess.Popen([binary("dcos"), "auth", "login", "--username=admin"], env=cli.env, stdin=follower,
                               stdout=follower, stderr=follower, start_new_session=True)
    os.close(follower)
    seen = b""
    try:
        while b"Password: " not in seen:
            seen += os.read(leader, 1024)
        os.write(leader, b"secret\n")
        try:
            while piece := os.read(leader, 1024):
                seen += piece
        except OSError:
            pass  # the terminal's other end is closed
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(leader)
    assert b"secret" not in seen


def test_login_with_the_key_of_a_service_account(cli, router, tmp_path):
    cli.out("cluster", "setup", router.url, *LOGIN)
    private, public = str(tmp_path / "key.pem"), str(tmp_path / "key.pub")
    cli.out("security", "org", "service-accounts", "keypair", private, public)
    assert stat.S_IMODE(os.stat(private).st_mode) == 0o600
    assert "exists already" in cli.error("security", "org", "service-accounts", "keypair", private, public)
    cli.out("security", "org", "service-accounts", "create", "-p", public, "-d", "a robot", "robot")
    try:
        cli.out("auth", "login", "--username=robot", f"--private-key={private}")
        assert uid_of(cli.token()) == "robot"
        assert cli.error("security", "org", "users", "show") == "you are not authorized to perform this operation"
        cli.out("auth", "login", *LOGIN)
        assert rows(cli.out("security", "org", "service-accounts", "show"))[1] == ["robot", "a", "robot", "service"]
        os.chmod(private, 0o644)
        assert "too open" in cli.error("auth", "login", "--username=robot", f"--private-key={private}")
        os.chmod(private, 0o600)
        assert cli.error("auth", "login", "--username=admin", f"--private-key={private}") == "Invalid username or password."
        other = str(tmp_path / "other.pem")
        cli.out("security", "org", "service-accounts", "keypair", other, str(tmp_path / "other.pub"))
        assert cli.error("auth", "login", "--username=robot", f"--private-key={other}") == "Invalid username or password."
        os.chmod(public, 0o600)
        assert "private key" in cli.error("auth", "login", "--username=robot", f"--private-key={public}")
    finally:
        cli.out("auth", "login", *LOGIN)
        cli.out("security", "org", "service-accounts", "delete", "robot")


def test_traces_hold_no_secrets(cli, router):
    done = cli("-vv", "cluster", "setup", router.url, *LOGIN)
    assert "> POST " in done.stderr and "< 200 application/json" in done.stderr and '"CLUSTER_ID"' in done.stderr
    token = cli.token()
    assert "secret" not in done.stderr and token not in done.stderr
    done = cli("-vv", "security", "org", "users", "create", "dora", "-p", "explorer", "-d", "Dora")
    assert "/users/dora" in done.stderr and "explorer" not in done.stderr and token not in done.stderr
    cli.out("security", "org", "users", "delete", "dora")


def test_providers(cli, router):
    listed = rows(cli.out("auth", "list-providers", router.url))
    assert listed[0] == ["PROVIDER", "ID", "LOGIN", "METHOD"]
    assert [r[0] for r in listed[1:]] == ["dcos-services", "dcos-users"]
    cli.out("cluster", "setup", router.url, *LOGIN)
    provider = json.loads(cli.out("auth", "list-providers", "--json"))["dcos-users"]
    assert provider["client-method"] == "dcos-usercredential-post-receive-authtoken"
    assert cli.error("auth", "login", "--provider=nosuch") == "unknown login provider ID 'nosuch'"
    cli.out("auth", "login", "--provider=dcos-users", *LOGIN)


def test_login_in_the_browser(cli, router, iam):
    """Two browser providers: one is chosen by number, its page is opened, a token is pasted."""
    cli.program("xdg-open", f'echo "$1" >> {cli.folder}/opened\n')
    cli.out("cluster", "setup", router.url, *LOGIN)
    good = cli.token()

    def provider(n):
        return {"authentication-type": "oidc-authorization-code-flow", "client-method": "browser-prompt-authtoken",
                "config": {"start_flow_url": f"/start{n}"}, "description": f"Provider {n}"}

    router.documents["/acs/api/v1/auth/providers"] = {"b": provider(2), "a": provider(1)}
    done = cli("auth", "login", stdin=f"9\n2\nnonsense\n{good}\n")
    assert done.stdout.startswith("Please select a login method:\n(1) Log in using OpenID Connect (Provider 1)\n(2) Log in using OpenID Connect (Provider 2)\n(1-2): (1-2): ")
    assert f"{router.url}/start2" in done.stderr and "Error: invalid auth token\n" in done.stderr
    assert cli.token() == good
    with open(wait_until(lambda: os.path.exists(f"{cli.folder}/opened") and f"{cli.folder}/opened", "the browser"),
              encoding="utf-8") as f:
        assert wait_until(lambda: f.read() or f.seek(0), "the page") == f"{router.url}/start2\n"
    assert "couldn't determine a login provider" in cli.error("auth", "login", *LOGIN)


def test_providers_by_the_challenge_where_there_is_no_list(cli, router):
    router.documents["/acs/api/v1/auth/providers"] = None
    router.routes = {"/acs/api/v1/auth/login": router.iam.url + "/acs/api/v1/auth/login"}
    router.challenge = "acsjwt"
    cli.out("cluster", "setup", router.url, *LOGIN)
    router.challenge = "oauthjwt"
    assert list(json.loads(cli.out("auth", "list-providers", "--json"))) == ["dcos-oidc-auth0"]
    router.challenge = "Basic"
    assert cli.error("auth", "login") == "unsupported WWW-Authenticate challenge 'Basic'"
    router.documents["/pkgpanda/active.buildinfo.full.json"] = None
    router.requires_login = False
    assert cli.error("auth", "login") == "expected status code 401, got 404"


def test_logout_and_a_token_that_does_not_count(cli, router):
    cli.out("cluster", "setup", router.url, *LOGIN)
    cli.out("auth", "logout")
    assert "dcos_acs_token" not in cli.text("c-1", "dcos.toml")
    cli.out("auth", "logout")
    said = "authentication failed, please run `dcos auth login`"
    assert cli.error("security", "org", "users", "show") == said
    cli.out("config", "set", "core.dcos_acs_token", "garbage")
    assert cli.error("security", "org", "users", "show") == said
    cli.out("auth", "login", *LOGIN)
    assert "admin" in cli.out("security", "org", "users", "show")


def test_a_token_that_expired(cli, tmp_path):
    """The identity service of this test gave the token out nine days ago."""
    if not os.path.exists(FAKETIME):
        pytest.skip(f"{FAKETIME} is missing (package faketime)")
    c = Cluster()
    try:
        iam = c.iam(start=False)
        iam.env = {"LD_PRELOAD": FAKETIME, "FAKETIME": "-9d", "ASAN_OPTIONS": "verify_asan_link_order=0"}
        iam.start()
        router = FakeRouter(iam)
        try:
            cli.out("cluster", "setup", router.url, *LOGIN)
            cli.out("security", "org", "users", "show")
            iam.kill()
            iam.env = {}
            iam.start()
            assert cli.error("security", "org", "users", "show") == "authentication failed, please run `dcos auth login`"
            cli.out("auth", "login", *LOGIN)
            cli.out("security", "org", "users", "show")
        finally:
            router.close()
    finally:
        c.close()


# ---- several clusters ----


@pytest.fixture
def two(iam, cli):
    routers = [FakeRouter(iam, cluster_id=f"id-{n}", name=n) for n in ("one", "two")]
    for r in routers:
        cli.out("cluster", "setup", r.url, *LOGIN)
    yield routers
    for r in routers:
        r.close()


def test_attach_moves_the_marker(cli, two):
    assert cli.attached() == ["id-two"]
    for word in ("one", "id-one", "id-o"):
        cli.out("cluster", "attach", "two")
        assert cli.attached() == ["id-two"]
        cli.out("cluster", "attach", word)
        assert cli.attached() == ["id-one"]
    assert cli.error("cluster", "attach", "nosuch") == "no match found"
    assert cli.error("cluster", "attach", "id-") == "multiple matches found"
    assert cli.attached() == ["id-one"]
    assert cli.out("config", "show", "core.dcos_url") == two[0].url + "\n"
    cli.env["DCOS_CLUSTER"] = "two"
    assert cli.out("config", "show", "core.dcos_url") == two[1].url + "\n"
    cli.env["DCOS_CLUSTER"] = "id-t"  # no prefixes here
    assert cli.error("config", "show").startswith("no match found")


def test_list(cli, two):
    table = rows(cli.out("cluster", "list"))
    assert table == [["NAME", "ID", "STATUS", "VERSION", "URL"], ["one", "id-one", "AVAILABLE", "2.2.0", two[0].url],
                     ["*", "two", "id-two", "AVAILABLE", "2.2.0", two[1].url]]
    assert cli.out("cluster", "list", "--names") == "one\ntwo\n"
    two[0].close()
    assert cli.out("cluster", "list", "--json") == (
        '[\n    {\n        "attached": false,\n        "cluster_id": "id-one",\n        "name": "one",\n'
        f'        "status": "UNAVAILABLE",\n        "url": "{two[0].url}",\n        "version": "UNKNOWN"\n    }},\n'
        '    {\n        "attached": true,\n        "cluster_id": "id-two",\n        "name": "two",\n'
        f'        "status": "AVAILABLE",\n        "url": "{two[1].url}",\n        "version": "2.2.0"\n    }}\n]\n')
    assert [r["name"] for r in json.loads(cli.out("cluster", "list", "--json", "--attached"))] == ["two"]
    os.unlink(cli.path("id-two", "attached"))
    assert cli.error("cluster", "list", "--attached") == NEVER_SETUP
    assert cli.error("node", "list").startswith("no cluster is attached")


def test_list_of_none(cli):
    assert json.loads(cli.out("cluster", "list", "--json")) == []
    assert cli.error("cluster", "list", "--attached") == NEVER_SETUP
    assert "no cluster is known" in cli.error("auth", "login", *LOGIN)


def test_the_only_cluster_needs_no_marker(cli, two):
    cli.out("cluster", "remove", "two")
    assert os.listdir(cli.path()) == ["id-one"] and cli.attached() == []
    assert cli.out("config", "show", "cluster.name") == "one\n"
    assert rows(cli.out("cluster", "list"))[1][0] == "*"


def test_every_folder_is_a_cluster(cli, two):
    os.makedirs(cli.path("empty"))
    assert rows(cli.out("cluster", "list"))[1] == ["empty", "UNAVAILABLE", "UNKNOWN"]
    assert cli.text("empty", "dcos.toml") == "" and cli.mode("empty", "dcos.toml") == 0o600


def test_remove_and_rename(cli, two):
    assert "cannot accept both" in cli.error("cluster", "remove", "one", "--all")
    assert "either a cluster name" in cli.error("cluster", "remove")
    assert cli.error("cluster", "remove", "nosuch") == "no match found"
    cli.out("cluster", "rename", "one", "uno")
    assert cli.out("cluster", "list", "--names") == "uno\ntwo\n"
    two[0].close()
    cli.out("cluster", "remove", "--unavailable")
    assert os.listdir(cli.path()) == ["id-two"]
    cli.out("cluster", "remove", "--all")
    assert os.listdir(cli.path()) == []
    assert not any(m == "DELETE" for r in two for m, _, _ in r.requests)


def test_open(cli, two):
    cli.program("xdg-open", f'echo "$1" > {cli.folder}/opened\n')
    cli.out("cluster", "open", "one")

    def opened():
        with open(f"{cli.folder}/opened", encoding="utf-8") as f:
            return f.read()

    assert wait_until(opened, "the browser") == two[0].url + "\n"
    if not shutil.which("xdg-open", path="/usr/bin:/bin"):
        os.unlink(os.path.join(cli.folder, "bin", "xdg-open"))
        assert two[1].url in cli.error("cluster", "open")


def test_links(cli, two):
    cli.out("cluster", "link", "one", "--provider=dcos-users")
    assert two[1].links == [{"id": "id-one", "name": "one", "url": two[0].url,
                             "login_provider": {"id": "dcos-users", "type": "dcos-uid-password"}}]
    assert cli.error("cluster", "link", "two", "--provider=dcos-users") == "cannot link a cluster to itself"
    cli.out("cluster", "remove", "one")
    assert rows(cli.out("cluster", "list"))[2] == ["one", "id-one", "UNCONFIGURED", "UNKNOWN", two[0].url]
    # Attaching to it sets it up, with the link's provider.
    done = cli("cluster", "attach", "one", stdin="admin\nsecret\n")
    assert done.stdout == "Username: Password: " and cli.attached() == ["id-one"]
    cli.out("cluster", "attach", "two")
    cli.out("cluster", "unlink", "one")
    assert two[1].links == []
    assert cli.error("cluster", "unlink", "one") == "no match found"
    two[1].links = None
    assert cli.error("cluster", "link", "one", "--provider=dcos-users") == "inaccessible endpoint, cannot link cluster"
    # One that is not set up is set up first, on request.
    two[1].links = []
    cli.out("cluster", "remove", "one")
    assert "couldn't get confirmation" in cli("cluster", "link", two[0].url, *LOGIN, stdin="n\n", code=1).stderr
    done = cli("cluster", "link", two[0].url, *LOGIN, stdin="\n")
    assert done.stdout.endswith("would you like to do it now? [Y/n] ")
    assert cli.attached() == ["id-two"] and two[1].links[0]["id"] == "id-one"


def test_version(cli, two):
    lines = cli.out("--version").splitlines()
    assert lines[0].startswith("dcoscli.version=")
    assert lines[1:] == ["dcos.version=2.2.0", "dcos.variant=open", "dcos.commit=N/A", "dcos.bootstrap-id=b1"]
    two[1].close()
    assert cli.out("--version").splitlines()[1:] == [f"dcos.{k}=N/A" for k in ("version", "variant", "commit", "bootstrap-id")]


# ---- users, groups, permissions ----


def test_users_groups_and_permissions(cli, router):
    cli.out("cluster", "setup", router.url, *LOGIN)
    org = ("security", "org")
    cli.out(*org, "users", "create", "alice", "-p", "wonder", "-d", "Alice L.")
    done = cli(*org, "users", "create", "bob", stdin="builder\n")
    assert done.stdout == "Password: "
    cli(*org, "users", "create", "carol@example.com", stdin="\n")  # remote: she has no password here
    assert "exists" in cli.error(*org, "users", "create", "alice", "-p", "wonder")
    assert rows(cli.out(*org, "users", "show"))[0] == ["UID", "DESCRIPTION", "TYPE", "PROVIDER"]
    assert rows(cli.out(*org, "users", "show", "alice", "bob"))[1:] == [["alice", "Alice", "L.", "local"], ["bob", "local"]]
    assert json.loads(cli.out(*org, "users", "show", "carol@example.com", "-j"))["is_remote"] is True
    cli.error(*org, "users", "show", "nosuch")

    cli.out(*org, "groups", "create", "devs", "-d", "Developers")
    cli.out(*org, "groups", "add_user", "devs", "alice")
    cli.out(*org, "groups", "add_user", "devs", "bob")
    cli.out(*org, "groups", "del_user", "devs", "bob")
    assert [r[0] for r in rows(cli.out(*org, "groups", "members", "devs"))] == ["UID", "alice"]
    assert rows(cli.out(*org, "groups", "show", "devs"))[1] == ["devs", "Developers"]

    rid = "dcos:service:marathon:marathon:services:/team/web"
    cli.out(*org, "users", "grant", "alice", rid, "read")
    cli.out(*org, "users", "grant", "alice", rid, "update", "--description=again")
    cli.out(*org, "groups", "grant", "devs", "dcos:adminrouter:service:marathon", "full")
    assert rows(cli.out(*org, "users", "show", "alice", "--permissions"))[1:] == [
        [rid, "read", "update"], ["dcos:adminrouter:service:marathon", "full", "devs"]]
    assert rows(cli.out(*org, "groups", "show", "devs", "--permissions"))[1] == ["dcos:adminrouter:service:marathon", "full"]
    assert rows(cli.out(*org, "permissions", "show", rid))[1] == [rid, "user", "alice", "read", "update"]
    assert [rid, "Created", "with", "the", "security", "CLI"] in rows(cli.out(*org, "permissions", "show"))
    cli.out(*org, "users", "revoke", "alice", rid, "read")
    assert rows(cli.out(*org, "permissions", "show", rid))[1] == [rid, "user", "alice", "update"]
    assert "no action" in cli.error(*org, "users", "grant", "alice", rid, "fly")

    # What she was given is what she may do: nothing here.
    cli.out("auth", "login", "--username=alice", "--password=wonder")
    assert cli.error(*org, "users", "create", "eve", "-p", "12345") == "you are not authorized to perform this operation"
    cli.out("auth", "login", *LOGIN)
    cli.out(*org, "permissions", "delete", rid)
    cli.out(*org, "groups", "delete", "devs")
    for uid in ("alice", "bob", "carol@example.com"):
        cli.out(*org, "users", "delete", uid)
    assert [r[0] for r in rows(cli.out(*org, "users", "show"))] == ["UID", "admin"]


def test_the_audit_log_names_who_did_what(cli, tmp_path):
    c = Cluster()
    router = None
    try:
        log = os.path.join(c.folder, "audit")
        iam = c.iam(audit_log=log)
        router = FakeRouter(iam)
        cli.out("cluster", "setup", router.url, *LOGIN)
        cli.out("security", "org", "users", "create", "alice", "-p", "wonderland")
        cli.out("auth", "login", "--username=alice", "--password=wonderland")
        cli.error("security", "org", "groups", "create", "devs")
        cli.error("security", "org", "users", "show")
        cli.error("auth", "login", "--username=alice", "--password=underland")
        assert stat.S_IMODE(os.stat(log).st_mode) == 0o600
        with open(log, encoding="utf-8") as f:
            text = f.read()
        lines = [json.loads(line) for line in text.splitlines()]
        base = "/acs/api/v1"
        assert [(e["who"], e["action"], e.get("object"), e["status"]) for e in lines if not e["action"].startswith("HEAD")] == [
            (None, f"POST {base}/auth/login", "admin", 200), ("admin", f"PUT {base}/users/alice", None, 201),
            (None, f"POST {base}/auth/login", "alice", 200), ("alice", f"PUT {base}/groups/devs", None, 403),
            ("alice", f"GET {base}/users", None, 403), (None, f"POST {base}/auth/login", "alice", 401)]
        assert "wonderland" not in text and "underland" not in text and "secret" not in text
        os.rename(log, log + ".1")
        os.kill(iam.pid, signal.SIGHUP)
        wait_until(lambda: os.path.exists(log), "the log to be opened anew")
        cli.out("auth", "login", *LOGIN)
        with open(log, encoding="utf-8") as f:
            assert json.loads(f.readline())["object"] == "admin"
    finally:
        if router:
            router.close()
        c.close()


# ---- the kernel's commands through the front door ----


@pytest.fixture(scope="module")
def whole(iam):
    """Master, Marathon and an agent behind a front door."""
    c = Cluster()
    r = None
    try:
        master = c.master(cluster="whole")
        marathon = c.marathon(master)
        agent = c.agent(master)
        r = FakeRouter(iam, cluster_id="c-whole", routes={"/mesos": master.url, "/service/marathon": marathon.url})
        folder = Cli(c.folder)
        folder.out("cluster", "setup", r.url, *LOGIN)
        wait_until(lambda: json.loads(folder.out("node", "list", "--json"))[0]["status"] == "ACTIVE", "the agent")
        agent_id = json.loads(folder.out("node", "list", "--json"))[0]["id"]
        r.routes[f"/agent/{agent_id}"] = r.routes[f"/slave/{agent_id}"] = agent.url
        folder.agent_id = agent_id
        folder.router = r
        yield folder
    finally:
        if r:
            r.close()
        c.close()


def test_names_come_from_the_cluster(whole):
    assert whole.out("config", "show", "cluster.name") == "whole\n"


def test_apps_tasks_and_logs_go_through_the_front_door(whole):
    app = {"id": "/web", "cmd": "echo hello; exec sleep 1000", "cpus": 0.1, "mem": 32,
           "labels": {"DCOS_PACKAGE_FRAMEWORK_NAME": "my/svc"}}
    whole(*("marathon", "app", "add"), stdin=json.dumps(app))
    wait_until(lambda: rows(whole.out("marathon", "app", "list"))[1][3] == "1/1", "the app")
    assert rows(whole.out("task", "list"))[1][0] == "web"
    wait_until(lambda: whole("task", "log", "web").stdout == "hello\n", "the log")
    assert whole.out("service", "log", "my/svc") == "hello\n"
    assert whole.error("service", "log", "nosuch") == "no service 'nosuch' was found"
    assert "no log service" in whole.error("service", "log", "marathon")
    whole.out("marathon", "app", "remove", "/web")
    # Every call was made with the token, none to a daemon directly.
    assert all(a for m, p, a in whole.router.requests if p.startswith(("/mesos", "/service", "/agent")))
    assert any(p.startswith(f"/agent/{whole.agent_id}/") for _, p, _ in whole.router.requests)


def test_services(whole):
    table = rows(whole.out("service", "list"))
    assert table[0] == ["NAME", "HOST", "ACTIVE", "TASKS", "CPU", "MEM", "DISK", "ID"]
    marathon = [r for r in table if r[0] == "marathon"][0]
    assert marathon[2] == "True" and len(marathon) == 8
    assert whole.out("service", "list", "-q") == marathon[-1] + "\n"
    assert [f["name"] for f in json.loads(whole.out("service", "list", "--json"))] == ["marathon"]
    assert json.loads(whole.out("service", "list", "--json", "--inactive")) == []
    assert json.loads(whole.out("service", "list", "--json", "--completed")) == []
    assert "deprecated" in whole("service").stderr
    assert whole.error("service", "shutdown", "nosuch", "--yes") == "could not teardown framework 'nosuch'"
    done = whole("service", "shutdown", marathon[-1], stdin="n\n", code=1)
    assert "Do you really want" in done.stdout
    assert rows(whole.out("service", "list"))[1][0] == "marathon"


def test_nodes_are_taken_out_of_service_and_back(whole):
    node = whole.agent_id

    def status():
        return json.loads(whole.out("node", "list", "--json", "--mesos-id", node))[0]["status"]

    whole.out("node", "deactivate", node)
    assert status() == "DEACTIVATED"
    whole.out("node", "reactivate", node)
    wait_until(lambda: status() == "ACTIVE", "the agent")
    assert whole.out("node", "drain", node, "--max-grace-period=90s", "--wait") == "Waiting for the agent to be drained...\n"
    assert status() == "DRAINED"
    whole.out("node", "reactivate", node)
    for verb, said in (("deactivate", "could not deactivate agent 'nosuch'"), ("reactivate", "could not reactivate agent 'nosuch'"),
                       ("decommission", "could not mark agent 'nosuch' as gone"), ("drain", "could not drain agent 'nosuch'")):
        assert whole.error("node", verb, "nosuch").startswith(said)
    assert "invalid duration" in whole.error("node", "drain", node, "--max-grace-period=soon")


# ---- completion ----


SHELLS = [s for s in ("bash", "zsh") if shutil.which(s)]


def test_completion_names_its_shells(cli):
    assert cli.out("completion", "bash") == cli.out("completion", "zsh")
    assert cli.error("completion", "fish") == "invalid shell 'fish' given"
    assert "completion" not in cli.out("--help")


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("line,expected", [
    ("dcos cl", ["cluster"]),
    ("dcos cluster re", ["remove", "rename"]),
    ("dcos cluster attach ", ["one", "two"]),
    ("dcos cluster remove t", ["two"]),
    ("dcos security org users gr", ["grant"]),
    ("dcos security org service-accounts k", ["keypair"]),
    ("dcos cluster setup --no", ["--no-check", "--no-timeout"]),
    ("dcos config set core.ti", ["core.timeout"]),
    ("dcos marathon app add --h", ["--help"]),
])
def test_completion_runs_in_shells(cli, two, shell, line, expected):
    cli.env["PATH"] = os.path.dirname(binary("dcos")) + ":" + cli.env["PATH"]
    words = line.split(" ")
    # What the shells do: both call the function with these variables and take COMPREPLY.
    script = (f"source <(dcos completion {shell})\n"
              + ("emulate -L ksh\n" if shell == "zsh" else "")
              + f"COMP_WORDS=({' '.join(w or chr(39) * 2 for w in words)})\nCOMP_CWORD={len(words) - 1}\n"
              + "_dcos_complete\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n")
    args = [shell, "--norc", "-c"] if shell == "bash" else [shell, "-f", "-c"]
    start = time.monotonic()
    done = subprocess.run([*args, "run() {\n" + script + "}\nrun"], env=cli.env, text=True, timeout=60, capture_output=True)
    assert done.stdout.split() == expected, (done.stdout, done.stderr)
    assert done.stderr == "" and time.monotonic() - start < 30
