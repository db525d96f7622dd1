"""PostgreSQL: all servers in one table, then their work, their waits and their upkeep."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from tools.dashboards.look import BLUE, GREEN, THIRD, UP, bars, graph
from tools.dashboards.page import TARGET, page, row
from tools.dashboards.tables import Column, table

# Templates do no work of their own.
WORK = f'{TARGET},datname!~"template.*|[(]shared[)]"'
OF_DATABASE = "{{instance}} {{datname}}"
TABLE = "lookout_postgresql_table"
TABLE_LABELS = "instance, datname, relname"
SESSIONS = "lookout_postgresql_sessions"
AGE = ["wraparound_age", "wraparound_critical_age"]
CONNECTIONS = ["connections_used_percent", "connections_used_critical_percent"]


def worst(metric: str, by: str = "instance") -> str:
    return f"max by ({by}) ({metric}{{{TARGET}}})"


def worst_of_database(metric: str) -> str:
    return f"max by (instance, datname) ({metric}{{{WORK}}})"


SERVERS = table(
    "Servers",
    "Whether each answers, what it is, and how far it is from its limits.",
    [
        Column("Server", worst("pg_up"), values=UP),
        Column(
            "Role",
            worst("lookout_postgresql_server_in_recovery"),
            values={"0": ("primary", GREEN), "1": ("standby", BLUE)},
        ),
        Column(
            "Running for",
            f"time() - {worst('lookout_postgresql_server_started_timestamp_seconds')}",
            "s",
            decimals=1,
        ),
        Column(
            "Connections used",
            worst("instance:lookout_postgresql_connections:percent"),
            "percent",
            CONNECTIONS,
            decimals=0,
        ),
        Column(
            "Oldest transaction",
            worst(f"{SESSIONS}_oldest_transaction_seconds"),
            "s",
            ["transaction_seconds"],
            decimals=0,
        ),
        Column(
            "Behind the primary",
            worst("lookout_postgresql_standby_lag_seconds"),
            "s",
            ["replication_lag_seconds"],
            decimals=0,
        ),
        Column(
            "Size", f"sum by (instance) (pg_database_size_bytes{{{TARGET}}})", "bytes", decimals=1
        ),
    ],
    alerts=["PostgresqlDown", "PostgresqlRestarted"],
    links={"instance": "/d/system-overview?var-instance=${__data.fields.instance}"},
    height=6,
)


def dashboard() -> Dashboard:
    return page(
        "postgresql",
        "PostgreSQL",
        "Whether the databases answer, what they do, what they wait for, and whether their "
        "upkeep keeps up.",
        team="infrastructure",
        job="postgres_exporter",
        content=[
            SERVERS,
            row("Work"),
            graph(
                "Transactions",
                "Committed and rolled back, by database.",
                "ops",
                (
                    "sum by (instance, datname) "
                    f"(instance_datname:pg_stat_database_transactions:rate5m{{{WORK}}})",
                    OF_DATABASE,
                ),
            ),
            graph(
                "Active sessions",
                "How many sessions execute something at a time, on average over 5 minutes.",
                "short",
                (
                    "sum by (instance, datname) "
                    f"(instance_datname:pg_stat_database_active_sessions:rate5m{{{WORK}}})",
                    OF_DATABASE,
                ),
            ),
            graph(
                "Connections used",
                "Of those that are no superuser's.",
                "percent",
                (worst("instance:lookout_postgresql_connections:percent"), "{{instance}}"),
                limits=CONNECTIONS,
                maximum=100,
            ),
            graph(
                "Rolled back",
                "Share of transactions; applications roll back when something failed.",
                "percent",
                (
                    "max by (instance, datname) "
                    f"(instance_datname:pg_stat_database_rollback:percent_rate10m{{{WORK}}})",
                    OF_DATABASE,
                ),
                limits=["rollback_percent"],
            ),
            graph(
                "Found in the cache",
                "Share of pages that were in the server's own cache. Below the line is worth an "
                "alert only with many reads.",
                "percent",
                (
                    "min by (instance, datname) "
                    f"(instance_datname:pg_stat_database_cache_hit:percent_rate5m{{{WORK}}})",
                    OF_DATABASE,
                ),
                limits=["cache_hit_percent"],
                maximum=100,
            ),
            bars(
                "Slowest statements",
                "Mean time of a call in the last 10 minutes, by the number that "
                "pg_stat_statements gives the statement.",
                "s",
                (
                    "topk(10, "
                    f"instance_datname_queryid:lookout_postgresql_statement:seconds_mean10m{{{TARGET}}})",
                    "{{instance}} {{datname}} {{queryid}}",
                ),
                limits=["statement_mean_seconds"],
                empty="no statements",
            ),
            row("Waits"),
            graph(
                "Oldest open transaction",
                "VACUUM cannot clean up behind it.",
                "s",
                (worst_of_database(f"{SESSIONS}_oldest_transaction_seconds"), OF_DATABASE),
                limits=["transaction_seconds"],
                alerts=["PostgresqlIdleInTransaction"],
            ),
            graph(
                "Longest wait for a lock",
                "Of the sessions that wait now.",
                "s",
                (worst_of_database(f"{SESSIONS}_longest_lock_wait_seconds"), OF_DATABASE),
                limits=["lock_wait_seconds"],
            ),
            graph(
                "Deadlocks",
                "Within 15 minutes: programs that lock in different orders.",
                "short",
                (
                    "sum by (instance, datname) "
                    f"(increase(pg_stat_database_deadlocks{{{WORK}}}[15m]))",
                    OF_DATABASE,
                ),
                limits=["deadlocks"],
            ),
            graph(
                "Standbys behind their primary",
                "How old what a standby shows is at most.",
                "s",
                (worst("lookout_postgresql_standby_lag_seconds"), "{{instance}}"),
                limits=["replication_lag_seconds"],
                alerts=["PostgresqlReplicationBroken"],
            ),
            row("Upkeep"),
            graph(
                "Size",
                "By database.",
                "bytes",
                (f"max by (instance, datname) (pg_database_size_bytes{{{WORK}}})", OF_DATABASE),
            ),
            graph(
                "Log of changes kept for readers",
                "By replication slot; a reader that does not come fills the disk.",
                "bytes",
                (
                    worst("lookout_postgresql_slot_retained_wal_bytes", "instance, slot_name"),
                    "{{instance}} {{slot_name}}",
                ),
                limits=["slot_retained_bytes"],
                alerts=["PostgresqlSlotLost"],
            ),
            graph(
                "Checkpoints asked for",
                "Within 30 minutes, on top of those by time.",
                "short",
                (
                    "sum by (instance) "
                    f"(increase(pg_stat_checkpointer_num_requested_total{{{TARGET}}}[30m]))",
                    "{{instance}}",
                ),
                limits=["requested_checkpoints"],
                width=THIRD,
            ),
            bars(
                "Tables that wait for VACUUM",
                "Dead rows, as a multiple of the number at which autovacuum begins.",
                "short",
                (
                    f"topk(10, {worst(f'{TABLE}_autovacuum_due_ratio', TABLE_LABELS)})",
                    "{{instance}} {{datname}} {{relname}}",
                ),
                limits=["autovacuum_due_ratio"],
                decimals=2,
                empty="no tables",
                width=THIRD,
            ),
            bars(
                "Age of the oldest transaction number",
                "PostgreSQL stops writing at 2,100 million.",
                "short",
                (
                    f"topk(10, {worst_of_database('lookout_postgresql_database_wraparound_age')})",
                    OF_DATABASE,
                ),
                limits=AGE,
                maximum=2_100_000_000,
                width=THIRD,
            ),
        ],
    )
