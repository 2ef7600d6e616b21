"""Certificates and tokens for tests, with the openssl program."""

import base64
import hashlib
import hmac
import json
import os
import subprocess

CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def openssl(*args, data=None):
    return subprocess.run(["openssl", *args], input=data, check=True, capture_output=True).stdout


def secret_file(path, text):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as f:
        f.write(text)
    return path


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder):
        os.makedirs(folder, exist_ok=True)
        self.folder = folder
        self.certificate = os.path.join(folder, "ca.crt")
        self.key = os.path.join(folder, "ca.key")
        openssl("req", "-x509", *CURVE, "-days", "2", "-keyout", self.key, "-out", self.certificate, "-subj",
                f"/CN={os.path.basename(folder)}")

    def issue(self, name, days=2, names="DNS:localhost,IP:127.0.0.1"):
        """Paths of certificate and key."""
        base = os.path.join(self.folder, name)
        openssl("req", "-new", *CURVE, "-keyout", base + ".key", "-out", base + ".csr", "-subj", f"/CN={name}")
        with open(base + ".ext", "w", encoding="utf-8") as f:
            f.write(f"subjectAltName={names}\n")
        openssl("x509", "-req", "-in", base + ".csr", "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
                "-days", str(days), "-extfile", base + ".ext", "-out", base + ".crt")
        os.chmod(base + ".key", 0o600)
        return base + ".crt", base + ".key"

    def flags(self, name, **more):
        certificate, key = self.issue(name, **more)
        return {"ssl_cert_file": certificate, "ssl_key_file": key, "ssl_ca_file": self.certificate}


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(header, claims):
    return url64(json.dumps(header).encode()) + "." + url64(json.dumps(claims).encode())


def hs256(secret, claims, **header):
    text = unsigned({"alg": "HS256", "typ": "JWT", **header}, claims)
    return text + "." + url64(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest())


def rs256(private_key, claims, **header):
    text = unsigned({"alg": "RS256", "typ": "JWT", **header}, claims)
    return text + "." + url64(openssl("dgst", "-sha256", "-sign", private_key, data=text.encode()))


def bearer(token):
    return {"Authorization": f"Bearer {token}"}
