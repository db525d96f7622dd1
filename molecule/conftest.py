"""Every test gets `host`: each host of the scenario in turn, or of its module's HOSTS."""

from __future__ import annotations

import pytest
from hosts import connect, host_names
from testinfra.host import Host


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "host" in metafunc.fixturenames:
        names = getattr(metafunc.module, "HOSTS", None) or host_names()
        metafunc.parametrize("host", names, indirect=True, scope="module")


@pytest.fixture(scope="module")
def host(request: pytest.FixtureRequest) -> Host:
    return connect(request.param)
