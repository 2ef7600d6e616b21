"""dcos-cfn-signal against a metadata service and a CloudFormation that look closely."""

import contextlib
import http.server
import json
import os
import subprocess
import threading
import urllib.parse

import pytest

from cloud_servers import amazon_signature

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("DCOS_BUILD", os.path.join(ROOT, "build", "debug"))
SIGNAL = os.path.join(BUILD, "src", "cfn", "dcos-cfn-signal")
CREDENTIALS = {"AccessKeyId": "AKIAEXAMPLE", "SecretAccessKey": "the/secret+of", "Token": "a/session+token=="}
TOKEN = "imds-token"


@contextlib.contextmanager
def server(answer):
    """Calls answer(method, path, headers) -> (status, text); remembers what was asked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def reply(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append((self.command, self.path, dict(self.headers)))
            status, text = answer(self.command, self.path, self.headers)
            self.send_response(status)
            self.send_header("Content-Length", len(text))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_PUT = reply

        def log_message(self, *args):
            pass

    asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as s:
        threading.Thread(target=s.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{s.server_address[1]}", asked
        finally:
            s.shutdown()


def metadata(method, path, headers):
    if (method, path) == ("PUT", "/latest/api/token"):
        return (200, TOKEN) if 0 < int(headers["X-aws-ec2-metadata-token-ttl-seconds"]) <= 21600 else (400, "")
    if headers.get("X-aws-ec2-metadata-token") != TOKEN:
        return 401, ""
    texts = {
        "instance-id": "i-0123456789abcdef0",
        "iam/security-credentials/": "SignalRole-X",
        "iam/security-credentials/SignalRole-X": json.dumps({"Code": "Success", **CREDENTIALS}),
    }
    name = path.removeprefix("/latest/meta-data/")
    return (200, texts[name]) if name in texts else (404, "")


def cloudformation(method, path, headers):
    path, _, query = path.partition("?")
    given, wanted = amazon_signature(method, path, query, headers, CREDENTIALS["SecretAccessKey"])
    scope = headers["Authorization"].split("Credential=")[1].split(",")[0].split("/")
    signed = headers["Authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    if given != wanted or headers["x-amz-security-token"] != CREDENTIALS["Token"] or "x-amz-security-token" not in signed:
        return 403, "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>"
    if scope[0] != CREDENTIALS["AccessKeyId"] or scope[2:4] != ["eu-west-1", "cloudformation"]:
        return 403, "<ErrorResponse><Error><Code>IncompleteSignature</Code></Error></ErrorResponse>"
    return 200, "<SignalResourceResponse/>"


def signal(imds, cfn, masters="", leader="localhost", stack="arn:aws:cloudformation:eu-west-1:1:stack/a b/c"):
    env = {
        "PATH": os.environ["PATH"], "AWS_EC2_METADATA_SERVICE_ENDPOINT": imds, "CFN_ENDPOINT": cfn, "CFN_REGION": "eu-west-1",
        "CFN_STACK": stack, "CFN_RESOURCE": "Master1", "DCOS_MASTERS": masters, "http_proxy": "",
    }
    return subprocess.run([SIGNAL, f"--leader={leader}"], env=env, capture_output=True, text=True, timeout=120, check=False)


def test_signals():
    with server(metadata) as (imds, _), server(cloudformation) as (cfn, asked), server(lambda *_: (302, "")) as (masters, calls):
        done = signal(imds, cfn, masters.removeprefix("http://"))
        assert done.returncode == 0, done.stderr
        assert [c[:2] for c in calls] == [("GET", "/")]
        assert len(asked) == 1
        assert dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(asked[0][1]).query)) == {
            "Action": "SignalResource", "LogicalResourceId": "Master1", "Status": "SUCCESS", "UniqueId": "i-0123456789abcdef0",
            "StackName": "arn:aws:cloudformation:eu-west-1:1:stack/a b/c", "Version": "2010-05-15",
        }
        assert CREDENTIALS["SecretAccessKey"] not in done.stdout + done.stderr


def test_waits_for_the_leader_and_the_masters():
    with server(metadata) as (imds, asked), server(cloudformation) as (cfn, signals):
        done = signal(imds, cfn, leader="no-such-name.invalid")
        assert done.returncode == 1 and "no-such-name.invalid: " in done.stderr
        with server(lambda *_: (501, "nobody there")) as (masters, _):
            done = signal(imds, cfn, masters.removeprefix("http://"))
        assert done.returncode == 1 and "answers 501" in done.stderr
        assert not asked and not signals


@pytest.mark.parametrize(
    "status, text, code",
    [
        (400, "<ErrorResponse><Error><Code>ValidationError</Code><Message>is in CREATE_COMPLETE state</Message></Error></ErrorResponse>", 0),
        (400, "<ErrorResponse><Error><Code>ValidationError</Code><Message>Stack [x] does not exist</Message></Error></ErrorResponse>", 1),
        (400, "<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>", 1),
        (403, "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>", 1),
    ],
)
def test_refused(status, text, code):
    with server(metadata) as (imds, _), server(lambda *_: (status, text)) as (cfn, asked):
        done = signal(imds, cfn)
        assert done.returncode == code and len(asked) == 1
        assert ("SignalResource: the server answers" in done.stderr) == bool(code)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"/latest/meta-data/iam/security-credentials/": (404, "")}, "this machine has no role"),
        ({"/latest/meta-data/iam/security-credentials/SignalRole-X": (200, "{}")}, "has no credentials yet"),
        ({"/latest/meta-data/iam/security-credentials/SignalRole-X": (200, "{")}, ""),
        ({"/latest/api/token": (200, "a\r\nb")}, "says more than a word"),
        ({"/latest/meta-data/instance-id": (200, "")}, "says nothing useful"),
        ({"/latest/api/token": (403, "")}, "the metadata service answers 403"),
    ],
)
def test_odd_metadata(change, message):
    def odd(method, path, headers):
        return change.get(path) or metadata(method, path, headers)

    with server(odd) as (imds, _), server(cloudformation) as (cfn, asked):
        done = signal(imds, cfn)
        assert done.returncode == 1 and message in done.stderr and not asked


def test_usage():
    done = subprocess.run([SIGNAL], env={}, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and "CFN_ENDPOINT is not set" in done.stderr
    assert subprocess.run([SIGNAL, "--help"], capture_output=True, timeout=60, check=True).stdout.startswith(b"dcos-cfn-signal")
