"""The fixtures of the integration tests, which are found by PYTHONPATH inside the machine."""

import importlib.util
import os

spec = importlib.util.spec_from_file_location(
    "integration_conftest", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration", "conftest.py")
)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
cluster = module.cluster
pytest_runtest_makereport = module.pytest_runtest_makereport
