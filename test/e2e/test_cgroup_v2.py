"""Containers on a host with nothing but cgroup v2, in a virtual machine: the tests of groups made for it, and those of
containers, executors and restarts that run on every host."""

import os
import re

import pytest

import vm

SUITES = ("unit-cgroup", "unit-containerizer", "groups", "containers", "custom", "restart")
TIMEOUT = 1800


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    vm.require()
    script = os.path.join(vm.HERE, "guest", "init.py")
    return vm.boot(str(tmp_path_factory.mktemp("vm")), script, TIMEOUT, "dcos.run=" + ",".join(SUITES))


def part(console, suite):
    """What the suite wrote, and its exit code (None: it did not end)."""
    found = re.search(rf"^== {suite}$\n(.*?)(?:^== {suite} ended with (-?\d+)$|\Z)", console, re.M | re.S)
    assert found, f"{suite} did not start:\n{console[-4000:]}"
    return found.group(1), found.group(2) and int(found.group(2))


@pytest.mark.parametrize("suite", SUITES)
def test_suite(console, suite):
    text, code = part(console, suite)
    assert code == 0, text[-12000:]
    # Something ran: all skipped would be no proof.
    assert re.search(r"PASSED|\[  PASSED  \]", text), text[-4000:]


def test_no_group_is_left(console):
    assert "== groups left: []" in console
