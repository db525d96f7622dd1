"""A standby: a copy over TLS that no accident replaces, promoted where no other primary is left."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from databases import PRIMARIES, psql, standby_of
from hosts import put, wait_for
from play import changed_tasks, converge, playbook
from testinfra.host import Host

HOSTS = PRIMARIES
PASS_FILE = "/var/lib/postgresql/.lookout-replication"  # noqa: S105
PROMOTE = "postgresql : Ensure the standby is a primary"


@pytest.fixture(scope="module")
def standby(host: Host) -> Host:
    return standby_of(host)


@pytest.fixture(scope="module")
def name(host: Host) -> str:
    return str(host.check_output("hostname"))


def words(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join(done.stdout.split())


def databases(*hosts: str, **variables: object) -> subprocess.CompletedProcess[str]:
    """The role postgresql once more."""
    return converge(*hosts, playbook="database.yml", **variables)


def promote(name: str, **variables: object) -> subprocess.CompletedProcess[str]:
    extra = [part for key, value in variables.items() for part in ("-e", f"{key}={value}")]
    return playbook("playbooks/promote.yml", "-e", f"host={name}", *extra)


def takes_writes(host: Host) -> bool:
    return psql(host, "select pg_is_in_recovery()", "postgres").strip() == "f"


def rows(host: Host) -> list[str]:
    return psql(host, "table kept").split()


def test_it_has_what_the_primary_has_and_takes_no_writes(host: Host, standby: Host) -> None:
    psql(host, "drop table if exists kept; create table kept (word text)")
    psql(host, "insert into kept values ('first')")
    assert wait_for(
        lambda: (
            "first"
            in standby.run("cd / && runuser -u postgres -- psql -XAtqc 'table kept' app").stdout
        )
    )
    refused = standby.run("cd / && runuser -u postgres -- psql -XAtqc 'create table x ()' app")
    assert "read-only transaction" in refused.stderr


def test_the_way_is_tls_with_a_password_of_its_own(host: Host, standby: Host, name: str) -> None:
    shown = psql(
        host,
        "select usename, application_name, state, ssl, slot_name, wal_status, safe_wal_size > 0"
        " from pg_stat_replication r join pg_stat_ssl using (pid)"
        " join pg_replication_slots s on s.active_pid = r.pid",
    )
    slot = f"lookout_{name}_standby"
    assert shown == f"lookout_replication|{name}-standby|streaming|t|{slot}|reserved|t"
    way = f"host={name} user=lookout_replication passfile={PASS_FILE}"
    ask = "cd / && runuser -u postgres -- psql -XAtqw %s -c"
    assert standby.run(f"{ask} IDENTIFY_SYSTEM", f"{way} replication=true").rc == 0
    plain = standby.run(f"{ask} IDENTIFY_SYSTEM", f"{way} replication=true sslmode=disable")
    assert "no encryption" in plain.stderr
    wrong = f"{way} replication=true".replace(PASS_FILE, "/dev/null")
    assert "no password supplied" in standby.run(f"{ask} IDENTIFY_SYSTEM", wrong).stderr
    assert "no pg_hba.conf entry" in standby.run(f"{ask} 'select 1'", f"{way} dbname=app").stderr
    file = standby.file(PASS_FILE)
    assert (file.user, file.mode) == ("postgres", 0o600)
    secret = file.content_string.rpartition(":")[2].strip()
    assert len(secret) > 16
    places = "/etc /var/log /run/log /tmp"
    for one in (host, standby):
        assert one.run("grep -rlF -- %s " + places, secret).stdout == ""


def test_a_smaller_standby_has_no_less_than_its_primary_needs(host: Host, name: str) -> None:
    standby = f"{name}-standby"
    done = databases(standby, postgresql_settings={"max_connections": 20})
    assert done.returncode == 0, done.stdout
    assert psql(standby_of(host), "show max_connections") == "30"


def test_nothing_is_kept_for_a_standby_that_left(host: Host, name: str) -> None:
    psql(host, "select pg_create_physical_replication_slot('lookout_gone', true)")
    psql(host, "select pg_create_physical_replication_slot('own', true)")
    done = databases(name)
    assert changed_tasks(done) == ["postgresql : Ensure nothing is kept for them"], done.stdout
    slots = psql(host, "select slot_name from pg_replication_slots order by 1").split()
    assert slots == [f"lookout_{name}_standby", "own"]
    psql(host, "select pg_drop_replication_slot('own')")


def test_the_inventory_alone_turns_no_standby_into_a_primary(host: Host, name: str) -> None:
    standby = f"{name}-standby"
    done = databases(name, standby, postgresql_primary=standby)
    assert done.returncode != 0
    assert f"{standby} is the primary by the inventory, and its server is a standby" in words(done)
    assert changed_tasks(done) == []
    assert takes_writes(host)


def test_a_promotion_is_refused_while_the_primary_runs(
    host: Host, standby: Host, name: str
) -> None:
    done = promote(f"{name}-standby")
    assert done.returncode != 0
    assert f"{name} runs and takes writes. To hand over" in words(done)
    # Saying that it is gone does not make it so.
    done = promote(f"{name}-standby", postgresql_primary_is_gone=True)
    assert f"{name} runs and takes writes" in words(done)
    done = promote(name)
    assert "takes writes already" in words(done)
    assert changed_tasks(done) == []
    assert takes_writes(host)
    assert not takes_writes(standby)


def test_a_primary_that_is_gone_is_replaced_and_comes_back_as_a_standby(
    host: Host, standby: Host, name: str
) -> None:
    other = f"{name}-standby"
    psql(host, "insert into kept values ('before')")
    assert wait_for(lambda: "before" in rows(standby))
    container = host.backend.name
    subprocess.run(["podman", "pause", container], check=True, timeout=30)
    try:
        done = promote(other)
        assert done.returncode != 0
        assert "nobody can tell from here whether it still takes writes" in words(done)
        assert not takes_writes(standby)
        done = promote(other, postgresql_primary_is_gone=True)
        assert done.returncode == 0, done.stdout
        assert changed_tasks(done) == [PROMOTE]
        assert f"postgresql_primary: {other}" in words(done)
    finally:
        subprocess.run(["podman", "unpause", container], check=True, timeout=30)
    assert takes_writes(standby)
    psql(standby, "insert into kept values ('after')")

    # Now it is back and takes writes, too; no run throws its data away by itself.
    assert takes_writes(host)
    done = databases(name, other, postgresql_primary=other)
    assert done.returncode != 0
    assert f"{name} has databases of its own, and the inventory calls it a standby" in words(done)
    assert takes_writes(host)
    done = databases(name, other, postgresql_primary=other, postgresql_rebuild=name)
    assert done.returncode == 0, done.stdout
    assert not takes_writes(host)
    assert wait_for(lambda: rows(host) == ["first", "before", "after"])


def test_a_handover_loses_nothing(host: Host, standby: Host, name: str) -> None:
    """Back again, while somebody writes."""
    other = f"{name}-standby"
    put(standby, Path(__file__).with_name("writer.sh"))
    standby.check_output(
        "systemd-run --quiet --unit writer --working-directory=/ "
        "sh -c 'sh -eu /root/writer.sh >/root/said 2>/dev/null'"
    )
    time.sleep(2)
    done = promote(name, postgresql_stop_primary=True, postgresql_primary=other)
    assert done.returncode == 0, done.stdout
    assert takes_writes(host)
    said = standby.check_output("cat /root/said").split()
    assert len(said) > 5
    assert set(said) - set(rows(host)) == set()
    # A boot does not bring the former one back.
    unit = standby.check_output("ls /etc/systemd/system | grep -E '^postgresql@.*[.]service$'")
    assert standby.file(f"/etc/systemd/system/{unit}").linked_to == "/dev/null"
    standby.check_output("systemctl start postgresql")
    assert standby.run("pg_isready").rc != 0
    done = databases(name, other, postgresql_rebuild=other)
    assert done.returncode == 0, done.stdout
    assert wait_for(lambda: not takes_writes(standby))
    # A second run changes nothing, on a primary and its standby.
    assert changed_tasks(databases(name, other)) == []
    psql(host, "drop table kept")
