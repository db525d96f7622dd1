"""The exporter as a service: how it gets in, who reaches it, what it may do."""

from __future__ import annotations

import pytest
import yaml
from databases import PRIMARIES, QUERIES, UNIT, URL, psql, server, shown, value
from hosts import CURL, wait_for
from parts import Registered
from play import changed_tasks, converge
from testinfra.host import Host
from units import assert_hardened, assert_survives_a_kill, main_pid

HOSTS = PRIMARIES
# Some 15 MB on Debian 12, 18 on 13
MOST_MEMORY_KB = 30_000
RUN = "postgres_exporter : Ensure the exporter runs what is on disk"
AS_EXPORTER = "cd / && runuser -u postgres_exporter -- psql -XAtq"


@pytest.fixture
def name(host: Host) -> str:
    return str(host.check_output("hostname"))


def test_it_may_see_statistics_and_no_data(host: Host) -> None:
    psql(host, "create table secrets (word text)")
    asked = "select count(*) from pg_stat_activity where query = '<insufficient privilege>'"
    assert host.check_output(f"{AS_EXPORTER} postgres -c %s", asked) == "0"
    refused = host.run(f"{AS_EXPORTER} app -c 'table secrets'")
    assert "permission denied" in refused.stderr
    assert host.run(f"{AS_EXPORTER} app -c 'create table mine ()'").rc != 0
    psql(host, "drop table secrets")


def test_it_has_no_password_and_comes_from_nowhere_else(host: Host) -> None:
    asked = (
        "select rolpassword is null, rolsuper, rolcreaterole, rolcreatedb, rolreplication"
        " from pg_authid where rolname = 'postgres_exporter'"
    )
    assert psql(host, asked) == "t|f|f|f|f"
    other = host.run(
        "cd / && runuser -u nobody -- psql -XAtqw -U postgres_exporter postgres -c 'select 1'"
    )
    assert other.rc != 0
    tcp = host.run(f"{AS_EXPORTER}w -h 127.0.0.1 postgres -c 'select 1'")
    assert tcp.rc != 0
    assert "no pg_hba.conf entry" in tcp.stderr


def test_its_statements_end_by_themselves(host: Host) -> None:
    ended = host.run(f"{AS_EXPORTER} postgres -c 'select pg_sleep(30)'")
    assert "statement timeout" in ended.stderr


def test_it_listens_on_loopback_while_nobody_else_has_to_reach_it(host: Host) -> None:
    listening = host.check_output("ss -Hltn 'sport = :9187'").splitlines()
    assert [line.split()[3] for line in listening] == ["127.0.0.1:9187"]


def test_it_turns_away_who_has_no_certificate(host: Host) -> None:
    assert host.run(f"curl -sS --cacert /etc/lookout/tls/ca.pem {URL}").rc != 0
    assert host.run(f"curl -sS {URL.replace('https', 'http')} | grep pg_up").rc != 0


def test_it_is_registered_under_the_name_of_the_inventory(host: Host, name: str) -> None:
    file = host.file(f"/etc/prometheus/targets/postgres_exporter/{name}.yml")
    assert yaml.safe_load(file.content_string) == [
        {"targets": ["127.0.0.1:9187"], "labels": {"instance": name}}
    ]


def test_it_may_do_no_more_than_it_needs(host: Host) -> None:
    assert_hardened(host, UNIT, 1.5, user="postgres_exporter")


def test_it_fits_into_a_small_host(host: Host) -> None:
    for _ in range(20):
        shown(host)
    pss = host.check_output(f"grep ^Pss: /proc/{main_pid(host, UNIT)}/smaps_rollup")
    assert int(pss.split()[1]) < MOST_MEMORY_KB


def test_its_configuration_is_saved_and_proven(host: Host) -> None:
    part = Registered(host, "configuration-postgres_exporter")
    part.assert_a_copy_is_good()
    part.assert_damage_is_found("rm files/etc/lookout/postgres_queries.yml", "missing")
    part.forget()


def test_it_is_back_after_a_kill(host: Host) -> None:
    assert_survives_a_kill(host, UNIT, URL)


def test_it_may_be_started_before_the_server(host: Host) -> None:
    """As at a boot."""
    server(host, "stop")
    host.check_output(f"systemctl restart {UNIT}")
    assert wait_for(lambda: "pg_up 0" in host.run(f"{CURL} {URL}").stdout)
    server(host, "start")
    assert wait_for(lambda: value(host, "pg_up") == 1)
    assert wait_for(lambda: value(host, "lookout_postgresql_server_connections"))
    assert host.check_output(f"systemctl show --property=NRestarts --value {UNIT}") == "0"


def test_what_a_dead_run_left_unread_and_its_role_lost_is_made_good(host: Host, name: str) -> None:
    """The state between the change of a file and the restart, as a kill leaves it; and rights."""
    host.check_output(f"touch {QUERIES}")
    psql(
        host,
        "revoke pg_monitor from postgres_exporter;"
        "revoke connect on database app from postgres_exporter",
    )
    done = converge(name)
    given = "Ensure the exporter has a role in PostgreSQL that may see its statistics"
    assert changed_tasks(done) == [f"postgres_exporter : {given}", RUN], done.stdout
    assert changed_tasks(converge(name)) == []
    assert host.check_output(f"{AS_EXPORTER} app -c 'select 1'") == "1"


def test_a_query_of_ones_own_is_added_and_taken_away(host: Host, name: str) -> None:
    """And a log of changes on a disk of its own is found by the run that takes it away."""
    own = {
        "shop_orders": {
            "master": True,
            "query": "select 42 as open",
            "metrics": [{"open": {"usage": "GAUGE", "description": "Orders"}}],
        }
    }
    done = converge(name, postgres_exporter_extra_queries=own)
    assert done.returncode == 0, done.stdout
    assert wait_for(lambda: value(host, "shop_orders_open") == 42)

    data = psql(host, "show data_directory")
    server(host, "stop")
    host.check_output(
        f"mv {data}/pg_wal {data}/former && install -d -o postgres -m 700 {data}/pg_wal"
        f" && mount -t tmpfs -o uid=postgres,mode=700 none {data}/pg_wal"
        f" && cp -a {data}/former/. {data}/pg_wal/"
    )
    server(host, "start")
    assert converge(name).returncode == 0
    assert value(host, "shop_orders_open") is None
    assert directories(host) == ["/", f"{data}/pg_wal"]
    server(host, "stop")
    host.check_output(
        f"rm -r {data}/former && cp -a {data}/pg_wal {data}/former && umount {data}/pg_wal"
        f" && rmdir {data}/pg_wal && mv {data}/former {data}/pg_wal"
    )
    server(host, "start")
    assert converge(name).returncode == 0
    assert directories(host) == ["/"]


def directories(host: Host) -> list[str]:
    """Those that the exporter tells the size of."""
    found = [
        line for line in shown(host).splitlines() if line.startswith("lookout_postgresql_directory")
    ]
    return [line.partition('"')[2].partition('"')[0] for line in found]


def test_a_server_that_does_not_answer_ends_the_run_with_its_words(host: Host, name: str) -> None:
    server(host, "stop")
    done = converge(name)
    server(host, "start")
    assert done.returncode != 0
    assert "Is the server running" in " ".join(done.stdout.split())
    assert changed_tasks(done) == []


def test_a_flag_that_it_does_not_know_is_reported_with_its_own_words(host: Host, name: str) -> None:
    done = converge(name, postgres_exporter_flags=["no-such-flag"])
    assert done.returncode != 0
    assert "no-such-flag" in done.stdout
    assert "the former one is live again" in " ".join(done.stdout.split())
    assert host.run(f"{CURL} {URL}").rc == 0, "it has to run as it did before"
    assert converge(name).returncode == 0
