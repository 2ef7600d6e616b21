"""A secure cluster as people use it: its front door, the login that minidcos tells, names."""

import json
import os
import sys

import requests

from cluster import ROOT, wait_until
from test_minidcos import Mini

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "net"))
from netd import Answer, exchange, question  # noqa: E402

TIMEOUT = 60


class SecureDoor(Mini):
    def create(self, *args):
        self("create", "--ports=auto", "--agents=1", "--public-agents=0", "--secure", "--wait", "--timeout=280", *args)
        self.remember("default")
        self.folder = os.path.join(self.home, "default")
        self.ca = os.path.join(self.folder, "ca", "dcos-ca.crt")
        status = self.status()
        self.daemons = {d["name"]: d for d in status["daemons"]}
        self.url = status["url"]
        with open(os.path.join(self.folder, "cluster.json"), encoding="utf-8") as f:
            argv = {d["name"]: d["argv"] for d in json.load(f)["daemons"]}
        self.argv = argv
        self.dns = next(a for a in argv["net"] if a.startswith("--dns_listen=")).rsplit(":", 1)
        self.token = self.login()

    def has_router(self):
        return "router" in self.daemons

    def url_of(self, name):
        return f"https://{self.daemons[name]['ip']}:{self.daemons[name]['port']}"

    def login(self):
        """With what `minidcos status` tells."""
        with open(os.path.join(self.folder, "secrets", "superuser.password"), encoding="utf-8") as f:
            body = {"uid": "bootstrapuser", "password": f.read().strip()}
        answer = requests.post(self.url + "/acs/api/v1/auth/login", json=body, verify=self.ca, timeout=TIMEOUT)
        assert answer.status_code == 200, answer.text
        return answer.json()["token"]

    def get(self, path, token=True, url=None, **options):
        headers = {"Authorization": "token=" + (self.token if token is True else token)} if token else {}
        return requests.get((url or self.url) + path, headers=headers, verify=self.ca, timeout=TIMEOUT,
                            allow_redirects=False, **options)

    def add_hello(self, name="hello"):
        """examples/hello.json, through the router."""
        with open(os.path.join(ROOT, "examples", "hello.json"), encoding="utf-8") as f:
            app = json.load(f)
        app["id"] = "/" + name
        app["labels"]["DCOS_SERVICE_NAME"] = name
        answer = requests.post(self.url + "/service/marathon/v2/apps", json=app, verify=self.ca, timeout=TIMEOUT,
                               headers={"Authorization": "token=" + self.token})
        assert answer.status_code == 201, answer.text
        wait_until(lambda: f"hello from {name}." in self.get(f"/service/{name}/").text, "the page", 60)

    def ips(self, name):
        at = (self.dns[0].split("=")[1], int(self.dns[1]))
        return sorted(r.data for r in Answer(exchange(at, question(name))).answers)

    def log(self, name):
        with open(os.path.join(self.folder, "logs", name + ".log"), encoding="utf-8") as f:
            return f.read()
