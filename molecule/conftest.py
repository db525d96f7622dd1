"""Every test gets `host`: each host of the scenario in turn."""

from __future__ import annotations

import pytest
from hosts import connect, host_names
from testinfra.host import Host


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "host" in metafunc.fixturenames:
        metafunc.parametrize("host", host_names(), indirect=True, scope="module")


@pytest.fixture(scope="module")
def host(request: pytest.FixtureRequest) -> Host:
    return connect(request.param)
