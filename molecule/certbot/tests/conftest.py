"""Every test that takes `gateway` gets each gateway of the scenario in turn."""

from __future__ import annotations

import pytest
from hosts import connect
from testinfra.host import Host


@pytest.fixture(scope="module", params=["trixie", "bookworm"])
def gateway(request: pytest.FixtureRequest) -> Host:
    return connect(request.param)
