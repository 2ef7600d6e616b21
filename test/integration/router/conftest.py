import os
import shutil
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cluster import BUILD  # noqa: E402
from frontdoor import Front, Signer  # noqa: E402

MODULE = os.path.join(BUILD, "src", "router", "nginx", "ngx_http_dcos_module.so")


def pytest_collection_modifyitems(items):
    # nginx has no sanitizers: builds with them have no module for it.
    if not os.path.exists(MODULE) or not shutil.which("nginx"):
        for item in items:
            if "/router/" in str(item.fspath):
                item.add_marker(pytest.mark.skip(reason="this build has no nginx or no module for it"))


@pytest.fixture(scope="module")
def front(shared_cluster):
    f = Front(shared_cluster)
    yield f
    f.close()


@pytest.fixture(scope="module")
def signer(tmp_path_factory):
    return Signer(str(tmp_path_factory.mktemp("signer")))
