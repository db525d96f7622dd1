"""Who gets in, how, and what they may do there."""

from __future__ import annotations

import re

import pytest
from database import LOG, PASSWORDS, Database


def test_an_application_gets_in_over_tls_alone(database: Database) -> None:
    done = database.connect(
        "spots", "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()"
    )
    assert done.rc == 0, done.stderr
    assert done.stdout.strip() == "t|TLSv1.3"
    refused = database.connect("spots", "select 1", sslmode="disable")
    assert refused.rc != 0
    assert "no encryption" in refused.stderr


def test_its_certificate_is_checked_by_the_name(database: Database) -> None:
    refused = database.connect("spots", "select 1", host="somebody-else", hostaddr="127.0.0.1")
    assert refused.rc != 0
    assert "does not match host name" in refused.stderr
    old = database.host.run(
        "openssl s_client -connect %s:5432 -starttls postgres -tls1_1 </dev/null", database.name
    )
    assert old.rc != 0


@pytest.mark.parametrize("role", list(PASSWORDS))
def test_a_wrong_password_is_refused(database: Database, role: str) -> None:
    place = {"host": "localhost", "database": "private"} if role == "keeper" else {}
    assert database.connect(role, "select 1", **place).rc == 0
    refused = database.connect(role, "select 1", password="canary-wrong-4711", **place)
    assert refused.rc != 0
    assert "password authentication failed" in refused.stderr


def test_nobody_gets_where_he_is_not_named(database: Database) -> None:
    for role, where in (("spots", "private"), ("keeper", "spots"), ("spots", "postgres")):
        refused = database.connect(role, "select 1", database=where)
        assert refused.rc != 0
        assert "no pg_hba.conf entry" in refused.stderr
    # Nor through the socket, where every system user may knock.
    shown = database.host.run("runuser -u daemon -- psql -XAtd private -U spots -c 'select 1'")
    assert "permission denied for database" in shown.stderr
    assert database.host.run("runuser -u daemon -- psql -XAtd spots -U keeper -c ''").rc != 0
    assert database.host.run("runuser -u daemon -- psql -XAtd spots -U postgres -c ''").rc != 0


def test_a_peer_needs_no_password(database: Database) -> None:
    done = database.host.run("runuser -u daemon -- psql -XAtd spots -U spots -c 'select 1'")
    assert done.rc == 0, done.stderr


def test_only_scram_is_kept_and_asked_for(database: Database) -> None:
    assert database.ask("show password_encryption") == "scram-sha-256"
    kept = database.ask("select distinct left(rolpassword, 19) from pg_authid where rolcanlogin")
    assert [line for line in kept.splitlines() if line] == ["SCRAM-SHA-256$4096:"]
    methods = database.ask(
        "select distinct type || ' ' || auth_method from pg_hba_file_rules order by 1"
    )
    assert methods.splitlines() == ["hostssl scram-sha-256", "local peer", "local scram-sha-256"]


def test_grafana_reads_and_does_no_more(database: Database) -> None:
    def ask(sql: str, where: str = "spots") -> str:
        done = database.connect("grafana_reader", sql, database=where)
        return str(done.stdout.strip() if done.rc == 0 else done.stderr)

    assert ask("select count(*) > 0 from spots") == "t"
    assert ask("select count(*) > 0 from last_day") == "t"
    writes = (
        "insert into spots (frequency_khz) values (1)",
        "delete from spots",
        "create table mine ()",
        "create schema mine",
    )
    for sql in writes:
        assert "read-only transaction" in ask(sql)
        # It can take that off for itself; it still has no right to.
        write = database.connect(
            "grafana_reader", sql, options="'-c default_transaction_read_only=off'"
        )
        assert re.search("permission denied|must be owner", write.stderr), sql
    assert "permission denied for schema archive" in ask("select * from archive.spots")
    assert "permission denied" in ask("select * from lookout.migrations")
    assert "no pg_hba.conf entry" in ask("select 1", "private")
    assert ask("show statement_timeout") == "30s"
    assert "statement timeout" in ask("set statement_timeout = '50ms'; select pg_sleep(5)")
    limit = "select rolconnlimit from pg_roles where rolname = 'grafana_reader'"
    assert database.ask(limit) == "15"


def test_grafana_reads_what_the_owner_makes_later(database: Database) -> None:
    made = database.connect("spots", "drop table if exists later; create table later (a int)")
    assert made.rc == 0, made.stderr
    assert database.connect("grafana_reader", "select count(*) from later").stdout.strip() == "0"
    assert database.connect("viewer", "select count(*) from later").rc != 0


def test_a_group_has_what_it_was_granted(database: Database) -> None:
    assert database.connect("viewer", "select count(*) > 0 from spots").stdout.strip() == "t"
    refused = database.connect("viewer", "delete from spots")
    assert "permission denied" in refused.stderr


def test_no_secret_is_left_anywhere(database: Database) -> None:
    places = "/etc /var/log /var/lib/lookout /var/lib/postgresql /tmp /run/log"
    found = database.host.run(f"grep -rlE 'canary-[a-z]+-4711' {places}")
    assert found.stdout == ""
    assert "canary" not in database.host.check_output("journalctl --no-pager")
    assert database.host.file(LOG).mode == 0o640
    verifiers = database.ask("select count(*) from pg_stat_statements where query ~ 'SCRAM|canary'")
    assert verifiers == "0"
