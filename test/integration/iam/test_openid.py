"""Logins at a real provider of OpenID Connect."""

import base64
import json
from urllib.parse import parse_qs, urlsplit

import pytest

from api import PASSWORD, Iam
from cluster import wait_until
from openid import Browser, Provider, id_token, with_query
from raw import rows

ANN = "ann@example.org"


@pytest.fixture(scope="module")
def service(shared_cluster):
    return Iam(shared_cluster)


@pytest.fixture(scope="module")
def provider(service):
    p = Provider(service.url + "/auth/oidc/callback")
    service.ok("PUT", "/auth/oidc/providers/test", 201, json=p.configuration(service.daemon.url))
    service.ok("PUT", f"/users/{ANN}", 201, json={})
    yield p
    p.close()


def begin(service, browser, **params):
    response = browser.get(service.url + "/auth/login", params={"oidc-provider": "test", **params})
    assert response.status_code == 302, response.text
    return response.headers["Location"]


def log_in(service, who, browser=None, **params):
    browser = browser or Browser()
    back = browser.log_in(begin(service, browser, **params), who, service.url)
    return browser.get(back)


def refused(response, text):
    assert response.status_code == 401, response.text
    assert text in response.json()["description"], response.text
    assert "dcos-acs-auth-cookie" not in response.cookies


@rows("2.5", 1)
def test_configuration(service, provider):
    path = "/auth/oidc/providers/more"
    good = provider.configuration(service.daemon.url)
    for wrong in ({**good, "issuer": "nonsense"}, {**good, "more": 1}, {**good, "client_id": 5}, {**good, "ca_certs": "x"},
                  {**good, "verify_server_certificate": "yes"}, *({k: v for k, v in good.items() if k != name} for name in good)):
        service.refused("PUT", path, 400, "ERR_INVALID_DATA", json=wrong)
    service.refused("PUT", path, 400, "ERR_INVALID_DATA")
    service.ok("PUT", path, 201, json=good)
    service.refused("PUT", path, 409, "ERR_PROVIDER_EXISTS", json=good)
    shown = service.get(path).json()
    assert shown == {k: v for k, v in good.items() if k != "client_secret"}
    service.ok("PATCH", path, 204, json={"description": "Changed"})
    service.refused("PATCH", path, 400, "ERR_INVALID_DATA", json={"issuer": "nonsense"})
    assert service.get("/auth/oidc/providers", token="").json() == {"test": "Test provider", "more": "Changed"}
    listed = service.get("/auth/providers", token="").json()["more"]
    assert listed["authentication-type"] == "oidc-authorization-code-flow"
    assert listed["client-method"] == "browser-prompt-authtoken"
    service.daemon.restart()
    assert service.get(path).json()["description"] == "Changed"
    service.ok("DELETE", path, 204)
    service.refused("GET", path, 400, "ERR_UNKNOWN_PROVIDER_ID")
    service.refused("GET", path, 401, "ERR_UNAUTHENTICATED", token="")


@rows("2.1", 2)
def test_code_flow(service, provider):
    browser = Browser()
    away = begin(service, browser, target="/service/x/?y=1")
    query = {k: v[0] for k, v in parse_qs(urlsplit(away).query).items()}
    assert away.startswith(provider.issuer + "/auth?")
    assert (query["response_type"], query["client_id"], query["code_challenge_method"]) == ("code", "dcos", "S256")
    assert len(query["state"]) >= 43 and len(query["nonce"]) >= 43 and query["state"] != query["nonce"]
    response = browser.get(browser.log_in(away, ANN, service.url))
    assert response.status_code == 302 and response.headers["Location"] == "/service/x/?y=1"
    token = response.cookies["dcos-acs-auth-cookie"]
    assert json.loads(base64.b64decode(response.cookies["dcos-acs-info-cookie"].strip('"')))["uid"] == ANN
    assert service.get(f"/users/{ANN}", token=token).json()["is_remote"] is True
    assert service.get("/users", token=token).status_code == 403


def test_the_command_line_gets_a_page_to_copy_from(service, provider):
    response = log_in(service, ANN, target="dcos:authenticationresponse:html")
    assert response.status_code == 200 and response.headers["Content-Type"].startswith("text/html")
    token = response.text.split("<pre>")[1].split("</pre>")[0]
    assert service.get(f"/users/{ANN}", token=token).status_code == 200


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\tb"])
def test_nobody_is_sent_elsewhere(service, provider, target):
    service.refused("GET", "/auth/login", 400, "ERR_INVALID_DATA", token="", params={"oidc-provider": "test", "target": target})


def test_state_belongs_to_one_browser_and_counts_once(service, provider):
    browser = Browser()
    back = browser.log_in(begin(service, browser), ANN, service.url)
    refused(Browser().get(back), "not begun by this browser")
    refused(browser.get(with_query(back, state="x" * 43)), "not begun by this browser")
    refused(browser.get(with_query(back, state=None)), "not begun by this browser")
    assert browser.get(back).status_code == 302
    refused(browser.get(back), "not begun by this browser")


def test_wrong_code_and_refusal(service, provider):
    browser = Browser()
    back = browser.log_in(begin(service, browser), ANN, service.url)
    response = browser.get(with_query(back, code="nonsense"))
    assert response.status_code in (401, 502) and response.json()["code"], response.text
    browser = Browser()
    begun = begin(service, browser)
    state = parse_qs(urlsplit(begun).query)["state"][0]
    refused(browser.get(service.url + "/auth/oidc/callback", params={"state": state, "error": "access_denied"}), "access_denied")


def test_wrong_nonce(service, provider):
    browser = Browser()
    back = browser.log_in(with_query(begin(service, browser), nonce="another"), ANN, service.url)
    refused(browser.get(back), "belongs to another login")


def test_a_code_that_another_login_got(service, provider):
    """Code injection: PKCE binds a code to the login that asked for it."""
    browser, other = Browser(), Browser()
    back = browser.log_in(begin(service, browser), ANN, service.url)
    stolen = other.log_in(begin(service, other), "eve@example.org", service.url)
    code = parse_qs(urlsplit(stolen).query)["code"][0]
    response = browser.get(with_query(back, code=code))
    assert response.status_code in (401, 502) and "dcos-acs-auth-cookie" not in response.cookies


@rows("2.3", 1)
def test_who_may_come_in(service, provider):
    refused(log_in(service, "stranger@example.org"), "not known to the cluster")
    for uid in ("unverified-ann@example.org", "nomail-ann"):
        service.ok("PUT", f"/users/{uid}", 201, json={"provider_type": "oidc", "provider_id": "test"})
    refused(log_in(service, "unverified-ann@example.org"), "not verified")
    refused(log_in(service, "nomail-ann"), "no e-mail address")
    # A local user, and another provider's, are not this one's to speak for.
    service.ok("PUT", "/users/local@example.org", 201, json={"password": PASSWORD})
    service.ok("PUT", "/users/else@example.org", 201, json={"provider_type": "oidc", "provider_id": "else"})
    service.ok("PUT", "/users/saml@example.org", 201, json={"provider_type": "saml", "provider_id": "test"})
    service.ok("PUT", "/users/issuer@example.org", 201, json={"provider_type": "oidc", "provider_id": provider.issuer})
    for uid in ("local@example.org", "else@example.org", "saml@example.org"):
        refused(log_in(service, uid), "not known to the cluster")
    assert log_in(service, "issuer@example.org").status_code == 302


def test_id_token_login(service, provider):
    token = id_token(provider, ANN)
    response = service.post_login(token=token)
    assert response.status_code == 200, response.text
    assert service.get(f"/users/{ANN}", token=response.json()["token"]).status_code == 200
    header, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged = base64.urlsafe_b64encode(json.dumps({**claims, "email": "admin"}).encode()).rstrip(b"=").decode()
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    for wrong, text in ((f"{header}.{forged}.{signature}", ""), (f"{none}.{body}.", ""), (f"{header}.{body}.", ""),
                        (id_token(provider, ANN, client_id="another"), "another client"),
                        (id_token(provider, "stranger@example.org"), "not known"),
                        (id_token(provider, ANN, scope="openid"), "no e-mail")):
        refused(service.post_login(token=wrong), text)


def test_the_provider_changes_its_keys(service, provider):
    assert log_in(service, ANN).status_code == 302
    provider.rotate()
    # The old keys were asked for a moment ago; they are asked for anew, but not for each token that does not verify.
    wait_until(lambda: log_in(service, ANN).status_code == 302, "the new keys to be asked for")
    assert service.post_login(token=id_token(provider, ANN)).status_code == 200


def test_provider_is_gone(service, shared_cluster):
    p = Provider(service.url + "/auth/oidc/callback")
    service.ok("PUT", "/auth/oidc/providers/gone", 201, json=p.configuration(service.daemon.url))
    p.close()
    error = service.refused("GET", "/auth/login?oidc-provider=gone", 502, "ERR_PROVIDER", "cannot be reached", token="")
    assert "client secret" not in error["description"]
    service.ok("PATCH", "/auth/oidc/providers/gone", 204, json={"issuer": service.daemon.url})
    service.refused("GET", "/auth/login?oidc-provider=gone", 502, "ERR_PROVIDER", token="")
    service.ok("DELETE", "/auth/oidc/providers/gone", 204)


@rows("2.4", 1)
def test_first_user(cluster, provider):
    iam = Iam(cluster, empty=True)
    p = Provider(iam.url + "/auth/oidc/callback")
    try:
        assert iam.get("/uiconfig/", token="").json()["clusterConfiguration"]["firstUser"] is True
        assert iam.local("PUT", "/auth/oidc/providers/test", p.configuration(iam.daemon.url))[0] == 201
        response = log_in(iam, "first@example.org")
        assert response.status_code == 302, response.text
        iam.token = response.cookies["dcos-acs-auth-cookie"]
        assert iam.get("/uiconfig/", token="").json()["clusterConfiguration"]["firstUser"] is False
        assert [u["uid"] for u in iam.get("/users").json()["array"]] == ["first@example.org"]
        refused(log_in(iam, "second@example.org"), "not known to the cluster")
        iam.daemon.restart()
        assert iam.get("/users").status_code == 200
    finally:
        p.close()
