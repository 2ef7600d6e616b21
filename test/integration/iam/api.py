"""The identity service for tests: started with a superuser, and called."""

import json
import os
import subprocess
import time
from urllib.parse import quote

import requests

from keys import openssl, rs256, secret_file

TIMEOUT = 60
PASSWORD = "correct horse battery"


def password_hash(password):
    """SHA-512 crypt, as it is exported from clusters of the Enterprise edition."""
    return openssl("passwd", "-6", "-salt", "saltsalt", password).decode().strip()


class Key:
    """An RSA key pair in files."""

    def __init__(self, folder, name, bits=2048):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self.private = os.path.join(folder, name + ".key")
        openssl("genrsa", "-out", self.private, str(bits))
        self.public = openssl("rsa", "-in", self.private, "-pubout").decode()

    def login_token(self, uid, life=300, **claims):
        return rs256(self.private, {"uid": uid, "exp": int(time.time()) + life, **claims})


class Iam:
    def __init__(self, cluster, name="iam", empty=False, **flags):
        self.cluster = cluster
        self.folder = os.path.join(cluster.folder, name + "-keys")
        self.key = Key(self.folder, "robot")
        hash_file = secret_file(os.path.join(self.folder, "hash"), password_hash(PASSWORD))
        self.socket = os.path.join(cluster.folder, name + ".sock")
        self.daemon = cluster.iam(name, start=False, superuser_username="admin", superuser_password_hash_file=hash_file,
                                  socket=self.socket, **flags)
        if empty:
            del self.daemon.flags["superuser_password_hash_file"]
        self.daemon.start()
        self.token = "" if empty else self.login("admin", PASSWORD)

    @property
    def url(self):
        return self.daemon.url + "/acs/api/v1"

    def call(self, method, path, token=None, **options):
        headers = options.pop("headers", {})
        token = self.token if token is None else token
        if token:
            headers = {"Authorization": "token=" + token, **headers}
        return requests.request(method, self.url + path, headers=headers, timeout=TIMEOUT, allow_redirects=False, **options)

    def get(self, path, **options):
        return self.call("GET", path, **options)

    def ok(self, method, path, status, **options):
        response = self.call(method, path, **options)
        assert response.status_code == status, f"{method} {path}: {response.status_code} {response.text}"
        return response

    def refused(self, method, path, status, code, text="", **options):
        """An error has the three members of the API, and changes nothing that the caller looks at afterwards."""
        response = self.ok(method, path, status, **options)
        error = response.json()
        assert set(error) == {"title", "description", "code"}, error
        assert response.headers["Content-Type"] == "application/json"
        assert error["title"] == response.reason
        assert error["code"] == code and text in error["description"], error
        return error

    def post_login(self, **body):
        return self.call("POST", "/auth/login", token="", json=body)

    def login(self, uid, password):
        response = self.post_login(uid=uid, password=password)
        assert response.status_code == 200, response.text
        return response.json()["token"]

    def login_key(self, uid, key):
        response = self.post_login(uid=uid, token=key.login_token(uid))
        assert response.status_code == 200, response.text
        return response.json()["token"]

    def user(self, uid, password=PASSWORD):
        self.ok("PUT", f"/users/{quote(uid, safe='')}", 201, json={"password": password})
        return self.login(uid, password)

    def service(self, uid, key=None):
        self.ok("PUT", f"/users/{uid}", 201, json={"public_key": (key or self.key).public})
        return self.login_key(uid, key or self.key)

    @staticmethod
    def rid(rid):
        """As in a URL: escaped twice, since the router undoes it once."""
        return quote(quote(rid, safe=":"), safe=":")

    def grant(self, rid, uid, *actions, kind="users"):
        response = self.call("PUT", f"/acls/{self.rid(rid)}", json={"description": rid})
        assert response.status_code in (201, 409), response.text
        for action in actions:
            self.ok("PUT", f"/acls/{self.rid(rid)}/{kind}/{uid}/{action}", 204)

    def take(self, rid, uid, kind="users"):
        self.ok("DELETE", f"/acls/{self.rid(rid)}/{kind}/{uid}", 204)

    def token_file(self, name, token):
        return secret_file(os.path.join(self.folder, name + ".token"), token + "\n")

    def local(self, method, path, body=None):
        """Over the unix socket."""
        command = ["curl", "-sS", "-X", method, "--unix-socket", self.socket, "-w", "\n%{http_code}", "-H",
                   "Content-Type: application/json"]
        if body is not None:
            command += ["-d", json.dumps(body)]
        out = subprocess.run(command + ["http://iam/acs/api/v1" + path], check=True, capture_output=True, text=True,
                             timeout=TIMEOUT).stdout
        text, status = out.rsplit("\n", 1)
        return int(status), text
