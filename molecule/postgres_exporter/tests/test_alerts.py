"""Faults that are made for real, and the rules on what Prometheus stores of them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from databases import (
    PRIMARIES,
    PROMETHEUS,
    alerts,
    assert_alerts,
    assert_quiet,
    begin,
    end_all,
    psql,
    query,
    server,
    standby_of,
    value,
)
from hosts import CURL, wait_for
from testinfra.host import Host

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/contracts"))
from metric_names import selectors  # noqa: E402

RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load(
        (ROOT / "roles/postgres_exporter/files/alerts/postgres_exporter.yml").read_text("utf-8")
    )["groups"]
    for rule in group["rules"]
]
HOSTS = PRIMARIES
# Of other roles, or of faults that these tests do not make
ELSEWHERE = ("lookout:threshold:", "node_filesystem_")


@pytest.fixture(scope="module", autouse=True)
def world(host: Host) -> Iterator[None]:
    """A table of an application, a user of its own."""
    up = 'up{job="postgres_exporter"} == 1'
    assert wait_for(lambda: query(host, up)), host.check_output(
        f"{CURL} {PROMETHEUS}/api/v1/targets"
    )
    psql(
        host,
        "create table spots (id int primary key, heard int default 0)"
        " with (autovacuum_enabled = off);"
        "insert into spots select generate_series(1, 20000);"
        "create role crowd login; grant connect on database app to crowd",
    )
    host.check_output("useradd --system crowd")
    standby = f"{host.check_output('hostname')}-standby"
    receiving = f'lookout_postgresql_standby_receiving{{instance="{standby}"}} == 1'
    assert wait_for(lambda: query(host, receiving))
    yield
    end_all(host)
    host.check_output("userdel crowd")
    psql(host, "drop table spots; revoke connect on database app from crowd; drop role crowd")


def test_all_is_quiet_while_nothing_is_wrong(host: Host) -> None:
    assert wait_for(lambda: query(host, "lookout_postgresql_table_dead_rows"))
    found = {
        series["metric"]["alertname"] for series in query(host, 'ALERTS{job="postgres_exporter"}')
    }
    # It was started a moment ago.
    assert found <= {"PostgresqlRestarted"}
    assert value(host, "pg_exporter_last_scrape_error") == 0


def test_what_the_rules_select_is_there(host: Host) -> None:
    """Names and labels, by the same names with PostgreSQL 15 and 17."""
    wanted = {s.prettify() for rule in RULES for s in selectors(rule["expr"])}
    for text in sorted(t for t in wanted if not t.startswith(ELSEWHERE)):
        asked = f"count_over_time({text}[10m])"
        assert wait_for(lambda a=asked: query(host, a)), text


def test_the_socket_is_no_label(host: Host) -> None:
    assert query(host, 'count by (server) ({job="postgres_exporter",server!=""})') == []


def test_locks_and_forgotten_transactions_are_noticed_and_end(host: Host) -> None:
    begin(host, "begin; lock table spots in access exclusive mode;", 60)
    assert wait_for(lambda: psql(host, "select 1 from pg_locks where relation = 'spots'::regclass"))
    begin(host, "select count(*) from spots;")
    for name in (
        "PostgresqlIdleInTransaction",
        "PostgresqlTransactionLong",
        "PostgresqlLockWaitLong",
    ):
        assert_alerts(host, name, 'datname="app",alertstate="firing"')
        assert alerts(host, name, 'datname="postgres"') == []
    # The exporter itself does not wait for the table.
    assert value(host, "pg_exporter_last_scrape_error") == 0
    assert value(host, "lookout_postgresql_sessions_waiting_for_locks", 'datname="app"') == 1
    end_all(host)
    for name in (
        "PostgresqlIdleInTransaction",
        "PostgresqlTransactionLong",
        "PostgresqlLockWaitLong",
    ):
        assert_quiet(host, name)


def test_deadlocks_are_counted(host: Host) -> None:
    step = (
        "set deadlock_timeout = '200ms'; begin; update spots set heard = 1 where id = {};"
        "select pg_sleep(1); update spots set heard = 1 where id = {}; commit;"
    )
    metric = "pg_stat_database_deadlocks"
    labels = 'datid="[0-9]+",datname="app"'
    before = value(host, metric, labels) or 0
    for first in range(1, 9, 2):
        begin(host, step.format(first, first + 1))
        begin(host, step.format(first + 1, first))
    assert_alerts(host, "PostgresqlDeadlocks", 'datname="app",alertstate="firing"')
    assert wait_for(lambda: value(host, metric, labels) == before + 4)


def test_connections_used_up_are_still_measured(host: Host) -> None:
    come = "runuser -u crowd -- psql -Xq app"
    host.check_output(
        "cd / && for i in $(seq 30); do "
        f"setsid --fork {come} -c 'select pg_sleep(60)' >/dev/null 2>&1; done"
    )
    assert wait_for(lambda: host.run(f"cd / && {come} -c 'select 1'").rc), "nobody is turned away"
    assert_alerts(host, "PostgresqlConnectionsNearlyUsedUp", 'severity="warning"')
    assert_alerts(host, "PostgresqlConnectionsNearlyUsedUp", 'severity="critical"')
    assert value(host, "pg_up") == 1
    end_all(host)
    assert_quiet(host, "PostgresqlConnectionsNearlyUsedUp")


def test_rollbacks_slow_statements_and_checkpoints_are_noticed(host: Host) -> None:
    psql(host, "select 1", options="".join("-c 'begin' -c 'rollback' " for _ in range(120)))
    assert_alerts(host, "PostgresqlRollbackRatioHigh", 'datname="app"')
    for _ in range(9):
        psql(host, "select pg_sleep(0.5)")
        psql(host, "checkpoint")
    assert_alerts(host, "PostgresqlStatementsSlow", 'datname="app"')
    assert_alerts(host, "PostgresqlCheckpointsTooOften", 'alertstate="firing"')
    slow = {series["metric"]["queryid"] for series in alerts(host, "PostgresqlStatementsSlow")}
    sleeps = "select queryid from pg_stat_statements where query = 'select pg_sleep($1)'"
    assert slow & set(psql(host, sleeps, "postgres").split())


def test_dead_rows_are_counted_by_what_autovacuum_begins_at(host: Host) -> None:
    psql(host, "update spots set heard = 2")
    assert_alerts(
        host, "PostgresqlAutovacuumBehind", 'datname="app",schemaname="public",relname="spots"'
    )
    labels = 'datname="app",relname="spots"'
    assert (value(host, "lookout_postgresql_table_dead_rows", labels) or 0) >= 20000
    psql(host, "vacuum analyze spots")
    assert_quiet(host, "PostgresqlAutovacuumBehind")
    assert value(host, "lookout_postgresql_table_dead_rows", labels) == 0


def test_an_archive_that_fails_is_noticed(host: Host) -> None:
    psql(host, "alter system set archive_command = '/bin/false'")
    psql(host, "select pg_reload_conf()")
    psql(host, "update spots set heard = 3 where id = 1; select pg_switch_wal()")
    assert_alerts(host, "PostgresqlArchiverFailing")
    psql(host, "alter system reset archive_command")
    psql(host, "select pg_reload_conf()")
    # It tries thrice, then pauses for a minute.
    assert_quiet(host, "PostgresqlArchiverFailing", seconds=90)


def test_a_standby_that_is_cut_off_is_noticed_on_both_sides(host: Host) -> None:
    standby = standby_of(host)
    name = standby.check_output("hostname")
    slot = f"lookout_{name}".replace("-", "_")
    assert query(host, f'lookout_postgresql_replication_lag_bytes{{instance!="{name}"}}')
    assert query(host, f'lookout_postgresql_slot_active{{slot_name="{slot}"}} == 1')
    psql(standby, "alter system set primary_conninfo = ''")
    psql(standby, "select pg_reload_conf()")
    assert_alerts(host, "PostgresqlReplicationBroken", f'instance="{name}"')
    for _ in range(3):
        psql(host, "update spots set heard = 4; select pg_switch_wal()")
    assert_alerts(host, "PostgresqlSlotInactive", f'slot_name="{slot}"')
    assert_alerts(host, "PostgresqlReplicationLagging", f'instance="{name}"')

    psql(standby, "alter system reset primary_conninfo")
    psql(standby, "select pg_reload_conf()")
    for alert in (
        "PostgresqlReplicationBroken",
        "PostgresqlReplicationLagging",
        "PostgresqlSlotInactive",
    ):
        assert_quiet(host, alert)


def test_a_slot_whose_log_is_gone_is_noticed(host: Host) -> None:
    psql(host, "select pg_create_physical_replication_slot('nobody', true)")
    psql(host, "alter system set max_slot_wal_keep_size = '1MB'")
    psql(host, "select pg_reload_conf()")
    for _ in range(3):
        psql(host, "update spots set heard = 5 where id = 1; select pg_switch_wal()")
    psql(host, "checkpoint")
    assert_alerts(host, "PostgresqlSlotLost", 'slot_name="nobody",alertstate="firing"')
    psql(host, "alter system reset max_slot_wal_keep_size")
    psql(host, "select pg_reload_conf()")
    psql(host, "select pg_drop_replication_slot('nobody')")


def test_a_query_that_fails_is_noticed(host: Host) -> None:
    psql(host, "drop extension pg_stat_statements", "postgres")
    assert_alerts(host, "PostgresqlExporterFailing")
    psql(host, "create extension pg_stat_statements", "postgres")
    assert_quiet(host, "PostgresqlExporterFailing")


def test_a_crash_of_a_process_is_a_restart(host: Host) -> None:
    metric = "lookout_postgresql_server_started_timestamp_seconds"
    before, postmaster = value(host, metric), value(host, "pg_postmaster_start_time_seconds")
    begin(host, "select pg_sleep(60);")
    slept = "select pid from pg_stat_activity where query = 'select pg_sleep(60);'"
    pid = wait_for(lambda: psql(host, slept))
    host.check_output(f"kill -9 {pid}")
    assert wait_for(lambda: (value(host, metric) or 0) > (before or 0))
    assert value(host, "pg_postmaster_start_time_seconds") == postmaster
    assert_alerts(host, "PostgresqlRestarted", 'alertstate="firing",instance!~".*-standby"')


def test_a_server_that_is_down_is_noticed(host: Host) -> None:
    server(host, "stop")
    assert_alerts(host, "PostgresqlDown", 'instance!~".*-standby"')
    assert not alerts(host, "PostgresqlExporterFailing", 'instance!~".*-standby"')
    server(host, "start")
    assert_quiet(host, "PostgresqlDown")


def test_what_is_recorded_can_be_drawn(host: Host) -> None:
    for name in [rule["record"] for rule in RULES if "record" in rule]:
        found = wait_for(lambda recorded=name: query(host, recorded))
        assert found, name
        level = set(re.split(r"_(?=datname|queryid)", name.partition(":")[0]))
        for series in found:
            assert set(series["metric"]) == {"__name__", "job", *level}
