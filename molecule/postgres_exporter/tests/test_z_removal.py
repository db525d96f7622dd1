"""Last, as it takes the exporter off: PostgreSQL stays as it was without it."""

from __future__ import annotations

from databases import PRIMARIES, UNIT, psql
from play import changed_tasks, converge
from testinfra.host import Host

HOSTS = PRIMARIES
ROLE = "select count(*) from pg_roles where rolname = 'postgres_exporter'"


def test_nothing_of_it_is_left(host: Host) -> None:
    name = host.check_output("hostname")
    # As role postgresql may: a right on a database keeps a role from being dropped.
    psql(host, "grant connect on database app to postgres_exporter")
    assert psql(host, ROLE) == "1"
    done = converge(name, playbook="remove.yml")
    assert done.returncode == 0, done.stdout
    assert psql(host, ROLE) == "0"
    assert not host.package("prometheus-postgres-exporter").is_installed
    left = host.run(
        "find /etc /usr/bin /usr/lib /var/lib/systemd ! -type d"
        " | grep -E 'postgres[-_](exporter|queries)'"
        " | grep -v -e /etc/prometheus/config -e -standby.yml"
    )
    assert left.stdout == ""
    assert host.run(f"systemctl is-active {UNIT}").stdout.strip() == "inactive"
    assert host.service("postgresql").is_running
    # base takes it away when it goes itself.
    assert "postgres_exporter" in host.file("/var/lib/lookout/users.ours").content_string.split()

    again = converge(name, playbook="remove.yml")
    assert again.returncode == 0, again.stdout
    assert changed_tasks(again) == []


def test_it_comes_back(host: Host) -> None:
    done = converge(host.check_output("hostname"))
    assert done.returncode == 0, done.stdout
    assert psql(host, ROLE) == "1"
