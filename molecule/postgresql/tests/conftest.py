"""The server of each host in turn."""

from __future__ import annotations

import pytest
from database import Database
from testinfra.host import Host


@pytest.fixture(scope="module")
def database(host: Host) -> Database:
    return Database(host)
