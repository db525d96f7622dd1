"""Grafana on PostgreSQL, and the user that draws what other databases hold."""

from __future__ import annotations

from grafana import Grafana, secret
from test_provisioning import query
from testinfra.host import Host

HOSTS = ["bookworm"]


def psql(host: Host, sql: str, database: str = "postgres") -> str:
    """As postgres, through the socket."""
    return str(host.check_output("psql -XqAt -U postgres -d %s -c %s", database, sql))


def test_grafana_keeps_what_it_knows_there_over_tls(grafana: Grafana) -> None:
    grafana.signed_in("vera")
    sessions = (
        "select distinct usename, ssl from pg_stat_activity join pg_stat_ssl using (pid)"
        " where datname = 'grafana'"
    )
    assert psql(grafana.host, sessions) == "grafana|t"
    assert "vera" in psql(grafana.host, 'select login from "user"', "grafana").split()
    assert not grafana.host.file("/var/lib/grafana/grafana.db").exists


def test_the_reader_reads_and_does_no_more(grafana: Grafana) -> None:
    psql(grafana.host, "create table if not exists spots as select 42 as heard", "app")
    vera = grafana.signed_in("vera")
    assert vera.get("/api/datasources/uid/postgresql-app/health")["status"] == "OK"
    table = {"format": "table"}
    read = query(vera, "postgresql-app", rawSql="select heard from spots", **table)
    assert read.status == 200, read
    assert read.json["results"]["A"]["frames"][0]["data"]["values"] == [[42]]
    for sql in ("delete from spots", "create table mine ()", "select * from pg_authid"):
        refused = query(vera, "postgresql-app", rawSql=sql, **table)
        assert refused.status >= 400, refused
        assert "permission denied" in refused.body or "read-only" in refused.body
    assert psql(grafana.host, "select heard from spots", "app") == "42"


def test_the_reader_does_not_get_at_grafanas_own(grafana: Grafana) -> None:
    asked = "select has_database_privilege('grafana_reader', 'grafana', 'connect')"
    assert psql(grafana.host, asked) == "f"


def test_the_readers_password_is_shown_to_nobody(grafana: Grafana) -> None:
    ada = grafana.signed_in("ada")
    shown = str(ada.get("/api/datasources")) + str(ada.get("/api/datasources/uid/postgresql-app"))
    assert secret("postgresql_grafana_reader") not in shown
