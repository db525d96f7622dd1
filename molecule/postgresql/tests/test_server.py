"""The server: its settings, its unit, what it survives, and what a run does to it."""

from __future__ import annotations

import re
import shlex
import time
from pathlib import Path

import pytest
import yaml
from database import LOG, Database
from hosts import put, wait_for
from play import changed_tasks, converge
from units import assert_hardened

from plugins.filter.postgresql import postgresql_tuned, postgresql_value

HERE = Path(__file__).parent
MOST_EXPOSURE = 5.0
RUN = "postgresql : Ensure PostgreSQL runs what is on disk"
TREE = "postgresql : Ensure settings and access are checked and in place"
SIZES = [(512, 1, 10), (1024, 1, 25), (4096, 2, 80), (16384, 4, 320), (65536, 16, 1280)]


def words(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def test_it_runs_with_what_was_derived(database: Database) -> None:
    disk = int(
        database.host.check_output("df -BM --output=size /var/lib/postgresql").split("\n")[1][:-1]
    )
    for name, value in postgresql_tuned(1024, 2, disk).items():
        asked = f"current_setting('{name}')"
        same = f"select {asked} = '{value}' or pg_size_bytes({asked}) = pg_size_bytes('{value}')"
        assert database.ask(same) == "t", name
    for name, value in {
        "data_checksums": "on",
        "ssl": "on",
        "log_min_duration_statement": "500ms",
        "max_stack_depth": "2MB",
        "jit": "off",
    }.items():
        assert database.ask(f"show {name}") == value, name
    assert int(database.ask("select count(*) from pg_stat_statements")) > 0


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_what_is_derived_for_other_machines_is_accepted(
    database: Database, size: tuple[int, int, int]
) -> None:
    """A server starts with it, in a scratch cluster on a socket of its own."""
    memory, cores, disk = size
    settings = postgresql_tuned(memory, cores, disk * 1024)
    put(database.host, HERE / "scratch.sh")
    database.host.check_output("install /root/scratch.sh /tmp/scratch.sh")
    lines = [f"{name} = {postgresql_value(value)}" for name, value in settings.items()]
    argv = ["runuser", "-u", "postgres", "--", "/tmp/scratch.sh", database.programs, *lines]  # noqa: S108
    shown = database.host.run(shlex.join(argv))
    assert shown.rc == 0, shown.stdout + shown.stderr
    assert shown.stdout.split()[0] == settings["max_connections"]


def test_the_unit_may_do_no_more_than_it_needs(database: Database) -> None:
    host = database.host
    assert_hardened(host, database.unit, MOST_EXPOSURE, user="postgres")
    pid = database.pid()
    assert host.run(f"nsenter --target {pid} --mount -- touch {database.config}/x").rc != 0


def test_its_log_is_where_logs_are(database: Database) -> None:
    database.run("select 1/0")
    assert "division by zero" in database.host.check_output(f"tail -n 5 {LOG}")
    database.host.check_output("logrotate --force /etc/logrotate.d/lookout")
    database.run("select 'after the rotation'::int")
    assert "after the rotation" in database.host.check_output(f"cat {LOG}")


def test_a_kill_under_load_loses_no_acknowledged_transaction(database: Database) -> None:
    """What a client was told is committed, and what is there afterwards, are compared."""
    host = database.host
    database.ask("drop table if exists said; create table said (id bigint)", "spots")
    put(host, HERE / "writer.py")
    as_server = f"runuser -u postgres -- {database.programs}"
    host.check_output(f"{as_server}/pgbench -i -q -s 1 postgres")
    bench = f"{database.programs}/pgbench -c 4 -T 20 postgres"
    host.check_output(f"systemd-run --quiet --unit bench --uid postgres -- {bench}")
    writers = "for c in 1 2 3; do python3 /root/writer.py $c >/root/said.$c & done; wait"
    host.check_output("systemd-run --quiet --unit load -- sh -c %s", writers)
    time.sleep(3)
    former = database.pid()
    host.check_output(f"kill -9 {former}")
    assert wait_for(lambda: database.pid() not in ("0", former), 30)
    assert wait_for(lambda: database.run("select 1").rc == 0, 60)
    assert wait_for(lambda: host.run("systemctl is-active load").rc != 0, 30)
    host.run("systemctl stop bench")
    said = {int(line) for line in host.check_output("cat /root/said.*").split()}
    there = {int(line) for line in database.ask("select id from said", "spots").split()}
    assert len(said) > 100
    assert said - there == set()
    database.ask("drop table said", "spots")
    for table in ("accounts", "branches", "history", "tellers"):
        database.ask(f"drop table pgbench_{table}")


def test_a_resized_machine_is_tuned_and_nobody_is_cut_off(database: Database) -> None:
    pid = database.pid()
    grown = {"postgresql_memory_mb": 2048}
    done = converge(database.name, check_mode=True, **grown)
    assert done.returncode == 0, done.stdout
    done = converge(database.name, **grown)
    # The role says so, and verification holds the run up until it was done.
    assert "needs a restart before it takes up max_connections, shared_buffers" in words(
        done.stdout
    )
    assert database.pid() == pid, "nobody allowed it"
    assert database.ask("show shared_buffers") == "256MB"
    assert database.ask("show effective_cache_size") == "1536MB", "what a reload does is done"
    done = converge(database.name, **grown, postgresql_restart_allowed=True)
    assert done.returncode == 0, done.stdout
    assert changed_tasks(done) == [RUN]
    assert database.pid() != pid
    assert database.ask("show shared_buffers") == "512MB"
    done = converge(database.name, postgresql_restart_allowed=True)
    assert done.returncode == 0, done.stdout
    assert database.ask("show shared_buffers") == "256MB"


REFUSED_BY_THE_SERVER = {
    "unknown setting": ("postgresql.conf", "shared_bufers = 1GB", "shared_bufers"),
    "impossible value": ("postgresql.conf", "work_mem = -3", "work_mem"),
    "setting of a library": (
        "postgresql.conf",
        "pg_stat_statements.most = 5",
        "pg_stat_statements.most",
    ),
    "unknown library": ("postgresql.conf", "shared_preload_libraries = no_such", "no_such"),
    "more memory than there is": ("postgresql.conf", "shared_buffers = 7TB", "shared memory"),
    "wrong network": (
        "pg_hba.conf",
        "hostssl a a 10.0.0.0/99 scram-sha-256",
        "pg_hba.conf, line",
    ),
    "unknown method": ("pg_hba.conf", "hostssl all all all scrum", "scrum"),
    "wrong map": ("pg_ident.conf", "lookout /( x", "pg_ident.conf, line"),
}


@pytest.mark.parametrize("case", list(REFUSED_BY_THE_SERVER))
def test_the_server_itself_reads_a_configuration_first(database: Database, case: str) -> None:
    file, line, said = REFUSED_BY_THE_SERVER[case]
    check = f"/usr/local/lib/lookout/postgresql_check {database.programs} /run/tree"
    database.host.check_output(f"rm -rf /run/tree && cp -rL {database.config} /run/tree")
    if case == "unknown setting":
        assert database.host.run(check).rc == 0, "the live one"
    database.host.check_output("echo %s >>/run/tree/" + file, line)
    refused = database.host.run(check)
    assert refused.rc != 0
    assert said in refused.stderr
    assert database.host.run("ls -d /tmp/tmp.*").rc != 0, "it cleans up after itself"


def test_what_the_server_refuses_never_goes_live(database: Database) -> None:
    pid = database.pid()
    live = database.host.check_output(f"readlink -f {database.config}")
    line = "hostssl spots spots 10.0.0.0/99 scram-sha-256"
    done = converge(database.name, postgresql_hba_lines=[line])
    assert done.returncode != 0
    assert "refuses the new configuration" in words(done.stdout)
    assert "pg_hba.conf, line" in done.stdout
    assert changed_tasks(done) == []
    assert database.host.check_output(f"readlink -f {database.config}") == live
    assert database.pid() == pid
    assert database.connect("spots", "select 1").rc == 0


def test_mistakes_are_all_named_before_anything_changes() -> None:
    privilege = {"role": "spots", "database": "spots", "objects": ["a"], "privileges": ["SELEKT"]}
    short = {"name": "short", "databases": ["spots"], "password": "x"}
    done = converge(
        "all",
        postgresql_databases=[{"name": "spots", "owner": "nobody"}],
        postgresql_roles=[{"name": "spots"}, short],
        postgresql_privileges=[privilege],
        postgresql_access=[{"databases": ["spot"], "roles": ["spots"], "sources": ["aplication"]}],
        postgresql_hba_lines=["host all all all trust"],
        postgresql_settings={"port": 5433},
    )
    assert done.returncode != 0
    assert changed_tasks(done) == []
    for said in (
        "there is no role nobody",
        "spots has no database",
        "its password needs 8 characters or more",
        "there is no privilege SELEKT; did you mean SELECT?",
        "there is no database spot; did you mean spots?",
        "there is no source aplication; did you mean application?",
        "only TLS (hostssl) and the local socket",
        "port is the role's own: set postgresql_port",
    ):
        assert said in words(done.stdout).replace("\\'", "'").replace("''", "'"), said


def test_a_cluster_of_another_version_is_left_alone(database: Database) -> None:
    other = "/var/lib/postgresql/13/main"
    database.host.check_output(f"mkdir -p {other} && echo 13 >{other}/PG_VERSION")
    try:
        done = converge(database.name)
    finally:
        database.host.check_output("rm -r /var/lib/postgresql/13")
    assert done.returncode != 0
    assert "has a cluster of PostgreSQL 13" in words(done.stdout)
    assert "pg_upgradecluster 13 main" in words(done.stdout)
    assert changed_tasks(done) == []


def test_a_renewed_certificate_is_served_without_a_restart(database: Database) -> None:
    pid = database.pid()
    chain = "/etc/lookout/tls/host/fullchain.pem"
    # Another text of the same certificate: a renewed one for whoever compares files
    database.host.check_output(f"echo >>{chain}")
    done = converge(database.name)
    assert done.returncode == 0, done.stdout
    # And nothing else: the runs before have left nothing to do.
    assert changed_tasks(done) == [TREE, RUN]
    assert database.pid() == pid


def test_a_run_that_died_before_the_reload_is_made_good(database: Database) -> None:
    pid = database.pid()
    database.host.check_output(f"ln -sfn lookout.trees/none {database.config}.loaded")
    assert changed_tasks(converge(database.name)) == [RUN]
    assert database.pid() == pid


def test_it_declares_its_port(database: Database) -> None:
    declared = yaml.safe_load(
        database.host.check_output("cat /etc/lookout/firewall.d/postgresql.yml")
    )
    assert declared["port"] == 5432
    assert "all" in declared["sources"]
