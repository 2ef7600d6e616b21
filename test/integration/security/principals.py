"""Who may log in to the daemons of these tests, and what they may do."""

import json
import os
import subprocess

from keys import secret_file

SECRETS = {"ops": "ops-secret-1", "nobody": "nobody-secret-2", "fw": "fw-secret-3", "other": "other-secret-4",
           "agent": "agent-secret-5"}
ANY = {"type": "ANY"}
VIEWS = ("view_frameworks", "view_tasks", "view_executors")


def only(principals, objects=None, key="users"):
    return [{"principals": {"values": list(principals)}, key: objects or ANY}]


# "nobody" may log in and nothing else; "fw" runs tasks as nobody in the role "web".
ACLS = {
    "permissive": False,
    "register_frameworks": only(["fw", "other"], {"values": ["web", "*"]}, "roles"),
    "run_tasks": only(["fw"], {"values": ["nobody", "root"]}),
    "register_agents": only(["agent"], key="agents"),
    **{view: only(["ops"]) for view in VIEWS},
    "view_roles": only(["ops"], key="roles"),
    "view_flags": only(["ops"], key="flags"),
    "view_containers": only(["ops"]),
    "access_sandboxes": only(["ops"]),
    "get_endpoints": only(["ops"], key="paths"),
}


class Files:
    """Secrets, keys and rules in the cluster's folder."""

    def __init__(self, folder):
        self.folder = os.path.join(folder, "secrets")
        os.makedirs(self.folder, 0o700, exist_ok=True)
        self.credentials = self.put("credentials", json.dumps(
            {"credentials": [{"principal": p, "secret": s} for p, s in SECRETS.items()]}))
        self.agent = self.put("agent.credential", f"agent {SECRETS['agent']}\n")
        self.wrong = self.put("wrong.credential", "agent something-else\n")
        self.shared = self.put("shared.key", "a shared secret")
        self.acls = self.put("acls.json", json.dumps(ACLS))
        self.private = os.path.join(self.folder, "token.key")
        self.public = os.path.join(self.folder, "token.pub")
        subprocess.run(["openssl", "genrsa", "-out", self.private, "2048"], check=True, capture_output=True)
        subprocess.run(["openssl", "rsa", "-in", self.private, "-pubout", "-out", self.public], check=True,
                       capture_output=True)

    def put(self, name, text):
        return secret_file(os.path.join(self.folder, name), text)
