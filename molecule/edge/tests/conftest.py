"""The site, its robots, and on each robot a program that is scraped."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from testinfra.host import Host

sys.path.insert(0, str(Path(__file__).parent))
from hosts import connect
from robots import Robot, serve


@pytest.fixture(scope="session")
def mon() -> Host:
    return connect("mon")


@pytest.fixture(scope="session")
def robots() -> list[Robot]:
    """Both of them: what has to be waited for is done to both at once."""
    found = [Robot(name, connect(name)) for name in ("trixie", "bookworm")]
    for robot in found:
        serve(robot)
    return found
