"""Nodes seen from inside: which processes are there, what runs which file, who gets through to whom."""

import json
import os
import re
import shlex

from mini import wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPT = "/root/on_node.py"


class Inside:
    def __init__(self, mini, cluster="default"):
        self.mini, self.cluster = mini, cluster
        for node in mini.nodes(cluster):
            mini("send-file", "-c", cluster, "--node", node, os.path.join(HERE, "on_node.py"), SCRIPT)

    def on(self, node, command, **options):
        return self.mini.on(node, command, self.cluster, **options)

    def tasks(self, nodes):
        """{task id: [[pid, start], ...]} of all nodes."""
        found = {}
        for node in nodes:
            found.update(json.loads(self.on(node, f"python3 {SCRIPT} tasks")))
        return found

    def programs(self, node):
        return json.loads(self.on(node, f"python3 {SCRIPT} programs"))

    def active(self, node):
        return self.on(node, "/opt/mesosphere/bin/pkgpanda active").split()

    def version(self, node):
        return json.loads(self.on(node, "cat /opt/mesosphere/etc/dcos-version.json"))["version"]

    def changes(self, node, since):
        """Seconds (as time.time()) when the node's units began to stop and when the last of them was up again."""
        text = self.on(node, f"journalctl -q -o short-unix --since=@{int(since)} _PID=1")
        lines = [(float(line.split()[0]), line) for line in text.splitlines() if re.match(r"\d+\.\d+ ", line)]
        stops = [at for at, line in lines if at >= since and " Stopping dcos-" in line]
        starts = [at for at, line in lines if at >= since and " Started dcos-" in line and "checks-poststart" not in line
                  and "gen-resolvconf" not in line]
        assert stops and starts, (node, text[-2000:])
        return min(stops), max(starts)


class Knocking:
    """Requests on nodes, by a virtual address' name and by its number, for as long as the block lasts."""

    def __init__(self, inside, nodes, name, port=80):
        self.inside, self.nodes, self.name, self.port = inside, nodes, name, port
        self.found = {}

    def __enter__(self):
        for node in self.nodes:
            command = f"rm -f /root/knock /root/knock.stop; setsid -f python3 {SCRIPT} knock " \
                      f"{shlex.quote(self.name)} {self.port} /root/knock </dev/null >/root/knock.log 2>&1"
            self.inside.on(node, command)
        return self

    def __exit__(self, *unused):
        for node in self.nodes:
            self.inside.on(node, "touch /root/knock.stop")
        for node in self.nodes:
            text = wait_until(lambda: self.inside.on(node, "cat /root/knock /root/knock.log 2>/dev/null; true"),
                              f"what {node} says of its requests", 60)
            self.found[node] = json.loads(text)
