"""A real provider of OpenID Connect, and a browser that logs in there."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit, urlunsplit

import pytest
import requests

from cluster import BUILD

TIMEOUT = 60
FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "provider")
CLIENT = {"client_id": "dcos", "client_secret": "client secret: with % and +"}


def modules():
    """The provider's folder node_modules below the build directory, installed once for each lock file."""
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("node and npm are not installed: no provider to log in at")
    with open(os.path.join(FOLDER, "package-lock.json"), "rb") as f:
        name = "oidc-provider-" + hashlib.sha256(f.read()).hexdigest()[:16]
    folder = os.path.join(BUILD, name)
    done = os.path.join(folder, "installed")
    if not os.path.exists(done):
        os.makedirs(folder, exist_ok=True)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(os.path.join(FOLDER, file), folder)
        try:
            result = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--ignore-scripts"], cwd=folder, timeout=300,
                                    capture_output=True, text=True)
        except subprocess.TimeoutExpired:
            pytest.skip("npm took longer than five minutes to install oidc-provider")
        if result.returncode != 0:
            pytest.skip("npm cannot install oidc-provider: " + result.stderr.strip()[-300:])
        with open(done, "w", encoding="utf-8"):
            pass
    return os.path.join(folder, "node_modules")


class Provider:
    def __init__(self, redirect_uri):
        self.process = subprocess.Popen(
            ["node", os.path.join(FOLDER, "provider.mjs"), modules(), redirect_uri],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.issuer = self.line("http://")
        self.redirect_uri = redirect_uri

    def line(self, begin):
        """The next line that begins so; the library writes lines of its own between ours."""
        for line in self.process.stdout:
            if line.startswith(begin):
                return line.strip()
        raise AssertionError("the provider ended: " + self.process.stderr.read())

    def rotate(self):
        self.process.stdin.write(json.dumps({"rotate": True}) + "\n")
        self.process.stdin.flush()
        self.line("rotated")

    def close(self):
        self.process.kill()
        self.process.communicate()

    def configuration(self, base_url, **more):
        return {"description": "Test provider", "issuer": self.issuer, "base_url": base_url, **CLIENT, **more}


class Browser:
    """Cookies and forms; stops before it goes to `stop`."""

    def __init__(self):
        self.session = requests.Session()

    def get(self, url, **options):
        return self.session.get(url, allow_redirects=False, timeout=TIMEOUT, **options)

    def log_in(self, url, who, stop):
        """From the provider's address to the one it sends the browser back to."""
        response = self.get(url)
        for _ in range(20):
            if response.is_redirect:
                url = urljoin(response.url, response.headers["Location"])
                if url.startswith(stop):
                    return url
                response = self.get(url)
                continue
            assert response.status_code == 200, response.text
            form = re.search(r'<form[^>]*action="([^"]+)"', response.text).group(1)
            fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', response.text))
            response = self.session.post(urljoin(response.url, form), data={**fields, "login": who, "password": "any"},
                                         allow_redirects=False, timeout=TIMEOUT)
        raise AssertionError("the provider sends the browser around in circles")


def with_query(url, **changes):
    parts = urlsplit(url)
    query = {k: v[0] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
    query.update(changes)
    return urlunsplit(parts._replace(query=urlencode({k: v for k, v in query.items() if v is not None})))


def id_token(provider, who, client_id="dcos", scope="openid email"):
    """By the implicit flow, as the command line gets it from a browser."""
    url = provider.issuer + "/auth?" + urlencode({
        "client_id": client_id, "redirect_uri": provider.redirect_uri, "response_type": "id_token", "scope": scope,
        "nonce": "n-1", "state": "s-1"})
    back = Browser().log_in(url, who, provider.redirect_uri)
    return parse_qs(urlsplit(back).fragment)["id_token"][0]
