"""Clusters of machines: what all tests here share."""

import os
import subprocess
import sys

import pytest

# As the original's end-to-end tests call it.
if os.environ.get("DCOS_E2E_GENCONF_PATH"):
    os.environ.setdefault("DCOS_INSTALLER", os.environ["DCOS_E2E_GENCONF_PATH"])
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from mini import DIST, FIGURE, NEXT, ROOT, Mini, why_not  # noqa: E402


def pytest_collection_modifyitems(items):
    reason = why_not()
    if reason:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter):
    """The figures that tests printed, which workers keep to themselves."""
    found = [line for reports in terminalreporter.stats.values() for report in reports
             for line in getattr(report, "capstdout", "").splitlines() if line.startswith(FIGURE)]
    if found:
        terminalreporter.section("measured")
        for line in dict.fromkeys(found):
            terminalreporter.line(line[len(FIGURE):])


@pytest.fixture
def mini():
    """minidcos with a folder of its own; whatever a test left is cleared away."""
    m = Mini()
    yield m
    m.close()


def released(variable, folder, *arguments):
    """The installer file that the variable names, or the one in the folder, which is made when it is not there."""
    path = os.environ.get(variable)
    if path:
        return os.path.abspath(path)
    path = os.path.join(folder, "dcos_generate_config.sh")
    if not os.path.exists(path):
        done = subprocess.run([os.path.join(ROOT, "dev"), "release", *arguments], capture_output=True, text=True,
                              timeout=3600, check=False)
        if not os.path.exists(path):
            pytest.fail(f"./dev release makes no installer: {done.stdout[-1000:]}{done.stderr[-1000:]}")
    return path


@pytest.fixture(scope="session")
def installer():
    return released("DCOS_INSTALLER", DIST)


@pytest.fixture(scope="session")
def next_installer():
    """A build of the same sources as another version: every program of ours differs."""
    return released("DCOS_NEXT_INSTALLER", f"{DIST}-{NEXT}", f"--version={NEXT}")
