"""PostgreSQL on a host, faults made there, and what exporter and Prometheus say."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from typing import Any

from hosts import CURL, wait_for
from testinfra.host import Host

UNIT = "prometheus-postgres-exporter.service"
URL = "https://127.0.0.1:9187/metrics"
PROMETHEUS = "https://127.0.0.1:9090"
QUERIES = "/etc/lookout/postgres_queries.yml"


def psql(host: Host, sql: str, database: str = "app", options: str = "") -> str:
    """Say something as the superuser; the rows, or a failed test."""
    return str(
        host.check_output(
            "cd / && runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 "
            f"{options} --dbname={database} --command=%s",
            sql,
        )
    )


def begin(host: Host, sql: str, seconds: float = 0, user: str = "postgres") -> None:
    """Open a session that says something, and stays so long with nothing to say."""
    host.check_output(
        'cd / && setsid --fork sh -c \'(printf "%%s\\n" "$0"; sleep "$1") '
        '| runuser -u "$2" -- psql -Xq app >/dev/null 2>&1\' %s %s %s',
        sql,
        str(seconds),
        user,
    )


def end_all(host: Host) -> None:
    """End every session of a client but the exporter's."""
    psql(
        host,
        "select pg_terminate_backend(pid) from pg_stat_activity where backend_type = "
        "'client backend' and usename <> 'postgres_exporter' and pid <> pg_backend_pid()",
        "postgres",
    )


def shown(host: Host) -> str:
    return str(host.check_output(f"{CURL} {URL}"))


def value(host: Host, metric: str, labels: str = "") -> float | None:
    """A sample of the exporter, whose labels begin like that; None where there is none."""
    found = re.search(rf"^{metric}(?:{{{labels}[^}}]*}})? (\S+)$", shown(host), re.MULTILINE)
    return float(found[1]) if found else None


def query(host: Host, promql: str) -> list[dict[str, Any]]:
    text = urllib.parse.urlencode({"query": promql})
    answer = host.check_output(f"{CURL} '{PROMETHEUS}/api/v1/query?{text}'")
    found: list[dict[str, Any]] = json.loads(answer)["data"]["result"]
    return found


def alerts(host: Host, name: str, labels: str = "") -> list[dict[str, Any]]:
    """The alert's series, pending or firing: most wait for minutes, which promtool's tests do."""
    return query(host, f'ALERTS{{alertname="{name}",{labels}}}')


def assert_alerts(host: Host, name: str, labels: str = "", seconds: float = 30) -> None:
    assert wait_for(lambda: alerts(host, name, labels), seconds), (name, query(host, "ALERTS"))


def assert_quiet(host: Host, name: str, labels: str = "", seconds: float = 30) -> None:
    """The alert has to end; sessions that were ended are seen by the next scrape."""
    deadline = time.monotonic() + seconds
    while (found := alerts(host, name, labels)) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not found, found


def standby(host: Host) -> str:
    """Build a standby on the same host, which says who it is on port 5433, and is scraped."""
    version = host.check_output("ls /usr/lib/postgresql")
    data, tools = "/var/lib/postgresql/standby", f"/usr/lib/postgresql/{version}/bin"
    host.check_output(
        f"cd / && runuser -u postgres -- {tools}/pg_basebackup --pgdata={data} --checkpoint=fast "
        "--write-recovery-conf --create-slot --slot=standby --wal-method=stream"
    )
    host.check_output(
        f"cd / && runuser -u postgres -- {tools}/pg_ctl start --pgdata={data} --wait --silent "
        f"--log=/var/lib/postgresql/standby.log --options='-p 5433 -c data_directory={data} "
        f"-c config_file=/etc/postgresql/{version}/main/postgresql.conf "
        "-c external_pid_file= -c archive_mode=off' </dev/null"
    )
    flags = host.check_output(
        "sed -n 's/^ARGS=\"\\(.*\\)\"/\\1/p' /etc/default/prometheus-postgres-exporter"
    )
    host.check_output(
        "systemd-run --quiet --unit=standby-exporter --uid=postgres_exporter "
        "--property=SupplementaryGroups=lookout-tls "
        "--setenv=DATA_SOURCE_NAME="
        "'user=postgres_exporter dbname=postgres host=/run/postgresql port=5433' "
        f"prometheus-postgres-exporter {flags.replace('127.0.0.1:9187', '127.0.0.1:9188')}"
    )
    target = [{"targets": ["127.0.0.1:9188"], "labels": {"instance": "standby"}}]
    host.check_output(
        "printf %%s %s > /etc/prometheus/targets/postgres_exporter/standby.yml", json.dumps(target)
    )
    return data


def remove_standby(host: Host) -> None:
    host.check_output("rm /etc/prometheus/targets/postgres_exporter/standby.yml")
    host.check_output("systemctl stop standby-exporter")
    host.check_output(
        "cd / && runuser -u postgres -- /usr/lib/postgresql/*/bin/pg_ctl stop "
        "--pgdata=/var/lib/postgresql/standby --mode=immediate"
    )
    psql(host, "select pg_drop_replication_slot(slot_name) from pg_replication_slots")
    host.check_output("rm -r /var/lib/postgresql/standby")
