#!/usr/bin/python3
"""A master with simulated agents on real connections is killed and started again: how long until every agent is back.
Plain and with TLS. The time counts from the end of the first link, so the new process and its reading of the store are in it.
Usage: failover.py [AGENTS [TASKS_EACH]]"""

import os
import subprocess
import sys

import common

from cluster import Cluster

ROUNDS = 3


def certificate(folder):
    """A certificate for 127.0.0.1 that is its own authority."""
    cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )
    return cert, key


def run(name, agents, each, tls):
    cluster = Cluster()
    load = None
    try:
        master = cluster.master(start=False)
        extra = []
        if tls:
            cert, key = certificate(cluster.folder)
            master.env.update(
                LIBPROCESS_SSL_ENABLED="1", LIBPROCESS_SSL_CERT_FILE=cert, LIBPROCESS_SSL_KEY_FILE=key
            )
            extra = [cert]
        master.start()
        load = common.Load("load_agents", master.ip, str(master.port), str(agents), str(each), *extra)
        load.wait("registered.time")
        common.report(f"{name}.memory", common.pss_kb(master.pid) / 1024, "MiB")
        for _ in range(ROUNDS):
            master.restart()
            load.wait("back.time")
            common.report(f"{name}.master_cpu", common.cpu_seconds(master.pid), "s")
        load.finish()
    finally:
        if load:
            load.kill()
        cluster.close()


def main():
    agents = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    each = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    common.report("agents", agents, "agents")
    common.report("tasks", agents * each, "tasks")
    for name, tls in (("plain", False), ("tls", True)):
        print(f"{name}:", flush=True)
        run(name, agents, each, tls)


main()
