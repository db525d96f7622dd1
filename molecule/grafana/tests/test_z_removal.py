"""Last, as it takes Grafana off: the rest of the host stays as it was without it."""

from __future__ import annotations

from subprocess import CompletedProcess

import pytest
from grafana import SITES, UNIT, Grafana
from play import changed_tasks, converge

HOSTS = SITES
PLACES = "/etc /opt /usr/bin /usr/sbin /usr/lib /usr/share /usr/local /var/lib /var/log /run"
# What Prometheus and the gateway know of it, and what it was started from, goes when the host goes;
# PostgreSQL's with that one; apt forgets the list of its packages at the next update.
OTHERS = (
    "/etc/(prometheus|postgresql|lookout/(routes|backup).d)",
    "/var/lib/(prometheus|postgresql|lookout/started_from|apt/lists)",
)


@pytest.fixture(scope="session")
def removals() -> list[CompletedProcess[str]]:
    """It is taken off both hosts at once, and once more."""
    return [converge(*SITES, playbook="remove.yml") for _ in range(2)]


def test_nothing_of_it_is_left(grafana: Grafana, removals: list[CompletedProcess[str]]) -> None:
    host = grafana.host
    done, again = removals
    assert done.returncode == 0, done.stdout
    assert not host.package("grafana").is_installed
    left = host.run(f"find {PLACES} -iname '*grafana*' | grep -vE '^({'|'.join(OTHERS)})/'")
    assert left.stdout == ""
    assert host.check_output(f"systemctl show --property=LoadState --value {UNIT}") == "not-found"
    assert host.run("ss -Hltn 'sport = :3000'").stdout == ""
    # base takes it away when it goes itself.
    assert "grafana" in host.file("/var/lib/lookout/users.ours").content_string.split()

    assert again.returncode == 0, again.stdout
    assert changed_tasks(again) == []
