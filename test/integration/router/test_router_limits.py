"""Limits that take many of something, or time, to be seen."""

import re
import socket

import pytest
from api_rows import rows
from backends import Backend, Marathon, Master, app
from cluster import wait_until
from frontdoor import Router


class Odd:
    """A router with a Marathon of its own."""

    def __init__(self, front, cluster, names, **flags):
        self.back = Backend("odd")
        self.marathon = Marathon([app(f"/a{i}", self.back.port, name=name) for i, name in enumerate(names)])
        self.master = Master()
        self.router = Router(cluster, name="odd", iam=front.iam.daemon.address, iam_socket=front.iam.socket, workers=1,
                             marathon=self.marathon.address, master=self.master.address, **flags)
        self.router.token = front.iam.token
        self.ask = self.router.ask

    def close(self):
        for backend in (self.back, self.marathon, self.master):
            backend.close()


@pytest.fixture
def odd(front, cluster):
    made = []

    def make(names, **flags):
        made.append(Odd(front, cluster, names, **flags))
        return made[-1]

    yield make
    for each in made:
        each.close()


@rows("1.9", 1)
def test_labels_are_escaped(odd):
    """What a name of a service may hold, and a label or a page may not."""
    o = odd(['say "hi"', "back\\slash", "two\nlines", "<b>&"])
    paths = {"say%20%22hi%22": r'say \"hi\"', "back%5Cslash": r"back\\slash", "two%0Alines": r"two\nlines", "%3Cb%3E&": "<b>&"}
    for path in paths:
        wait_until(lambda path=path: o.ask(f"/service/{path}/x").status_code == 200, path)
    text = o.ask("/nginx/metrics", token=False).text
    for name in paths.values():
        assert f'nginx_vts_filter_requests_total{{filter="upstream",filter_name="service:={name}",code="2xx"}} ' in text, name
    # Every line is still one of the format.
    sample = re.compile(r'[a-z_:]+({[a-z_]+="([^"\\\n]|\\["\\n])*"(,[a-z_]+="([^"\\\n]|\\["\\n])*")*})? [0-9.]+')
    for line in text.splitlines():
        assert line.startswith("# ") or sample.fullmatch(line), line
    page = o.ask("/nginx/status", token=False).text
    assert "service:=&lt;b&gt;&amp;" in page and "<b>" not in page


@rows("1.9", 1)
def test_the_number_of_series_is_limited(odd):
    """All requests are counted in the sum, 256 services and upstreams on their own."""
    names = [f"s{i}" for i in range(300)]
    o = odd(names)
    wait_until(lambda: o.ask("/service/s0/").status_code == 200, "the services")
    for name in names:
        assert o.ask(f"/service/{name}/").status_code == 200

    def counted():
        text = o.ask("/nginx/metrics", token=False).text
        return (set(re.findall(r'nginx_vts_filter_requests_total{filter="upstream",filter_name="([^"]*)"', text)),
                int(re.search(r'nginx_vts_server_requests_total{host="\*",code="2xx"} (\d+)', text).group(1)))

    series, before = counted()
    assert len(series) == 256 and "service:=s0" in series and "service:=s299" not in series
    for _ in range(5):
        assert o.ask("/service/s299/").status_code == 200
    series, after = counted()
    assert len(series) == 256 and after == before + 6  # the look at the metrics before is one


@rows("1.6", 1)
@rows("10.1 services", 1)
def test_what_marathon_said_does_not_count_for_ever(odd):
    o = odd(["web"], stale_limit="8secs")
    wait_until(lambda: o.ask("/service/web/").status_code == 200, "the service")
    o.marathon.status = 500
    o.marathon.cut()
    assert o.ask("/service/web/").status_code == 200
    wait_until(lambda: o.ask("/service/web/").status_code != 200, "the end of it")
    gone = o.ask("/service/web/")
    assert (gone.status_code, gone.text) == (503, "503 Service Unavailable: invalid Marathon svcapps cache\n")
    assert "was away for too long" in o.router.daemon.tail()
    o.marathon.status = 200
    wait_until(lambda: o.ask("/service/web/").status_code == 200, "Marathon to be back")


@rows("1.1", 1)
def test_connections_of_a_worker(odd):
    o = odd(["web"], worker_connections=64)
    wait_until(lambda: o.ask("/service/web/").status_code == 200, "the service")
    opened = []
    try:
        for _ in range(80):
            s = socket.create_connection(o.router.address, timeout=60)
            opened.append(s)
            s.sendall(b"GET / HTTP/1.1\r\n")  # so that it is no idle connection, which may be closed
        wait_until(lambda: "64 worker_connections are not enough" in o.router.log(), "the limit")
    finally:
        for s in opened:
            s.close()
    wait_until(lambda: o.ask("/service/web/").status_code == 200, "room again")
    with open(f"{o.router.run_dir}/nginx.conf", encoding="utf-8") as f:
        assert "    worker_connections 64;\n" in f.read()
