"""PostgreSQL on a host, faults made there, and what exporter and Prometheus say."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from typing import Any

from hosts import CURL, connect, wait_for
from testinfra.host import Host

UNIT = "prometheus-postgres-exporter.service"
URL = "https://127.0.0.1:9187/metrics"
PROMETHEUS = "https://127.0.0.1:9090"
QUERIES = "/etc/lookout/postgres_queries.yml"
# Each has a standby, <name>-standby.
PRIMARIES = ["trixie", "bookworm"]


def psql(host: Host, sql: str, database: str = "app", options: str = "") -> str:
    """Say something as the superuser; the rows, or a failed test."""
    return str(
        host.check_output(
            "cd / && runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 "
            f"{options} --dbname={database} --command=%s",
            sql,
        )
    )


def server(host: Host, action: str) -> None:
    """Start or stop the server, and wait for it: `postgresql.service` itself waits for nothing."""
    version = host.check_output("ls /usr/lib/postgresql")
    host.check_output(f"systemctl {action} postgresql@{version}-main")


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


def standby_of(host: Host) -> Host:
    return connect(f"{host.check_output('hostname')}-standby")
