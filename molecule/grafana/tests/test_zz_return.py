"""After the removal: the scenario's playbook brings it back, with nothing left in its way."""

from __future__ import annotations

from subprocess import CompletedProcess

import pytest
from grafana import SITES, Grafana
from play import converge

HOSTS = SITES


@pytest.fixture(scope="module")
def installation() -> CompletedProcess[str]:
    """Of both hosts at once."""
    return converge(*SITES)


def test_it_comes_back(grafana: Grafana, installation: CompletedProcess[str]) -> None:
    assert installation.returncode == 0, installation.stdout
    grafana.signed_in("vera")
