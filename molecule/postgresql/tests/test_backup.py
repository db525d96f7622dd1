"""Databases are saved while they are written to, proven elsewhere, and put back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from database import Database
from hosts import connect
from parts import DRILL, PLACE, Registered

CANNOT_JUDGE = 3
EVERYTHING = "select string_agg(x.*::text, ' ' order by 1) from (select * from saved) x"
OWNED = (
    "select pg_get_userbyid(relowner), relacl from pg_class where relname = 'spots';"
    " select datacl, datconnlimit, pg_get_userbyid(datdba)"
    " from pg_database where datname = 'spots';"
    " select extname from pg_extension order by 1"
)
# Every kind of value whose text depends on a setting
MADE = (
    "create table if not exists saved (id int primary key, f float8, r float4, n numeric,"
    " at timestamptz, d date, i interval, b bytea, j jsonb, m money, c regclass, t text);"
    " truncate saved; insert into saved select g, sqrt(g), 1.0 / g, g / 7.0, now(), current_date,"
    " now() - '2026-01-01'::timestamptz, decode(md5(g::text), 'hex'), '{\"b\": 1, \"a\": [null]}',"
    " 3.5, 'spots', 'Zoë \"' || g from generate_series(1, 5000) g"
)


def carry(part: Registered, there: Registered) -> None:
    """Bring the copy that is to be judged to the other host."""
    there.host.check_output(f"rm -rf {DRILL}")
    pack = f"podman exec {part.host.backend.name} tar -cC {PLACE} drill drill.json"
    unpack = f"podman exec -i {there.host.backend.name} tar -xC {PLACE}"
    subprocess.run(["bash", "-o", "pipefail", "-c", f"{pack} | {unpack}"], check=True, timeout=60)


@pytest.fixture
def part(database: Database) -> Iterator[Registered]:
    database.ask(MADE, "spots")
    yield Registered(database.host, "postgresql")
    database.ask("drop table if exists saved, gone", "spots")


def test_a_dump_and_what_is_told_of_it_are_of_one_moment(
    database: Database, part: Registered
) -> None:
    """While somebody writes, and judged by nobody, as whom PostgreSQL runs."""
    loop = "while psql -qU postgres -d spots -c"
    loop += " 'insert into saved (id) select max(id) + 1 from saved'; do :; done"
    way = ["podman", "exec", database.host.backend.name, "sh", "-c", loop]
    with subprocess.Popen(way, stderr=subprocess.DEVNULL) as writer:
        facts = part.assert_a_copy_is_good()["postgresql"]
        # That ends the writer.
        database.ask("alter table saved rename to gone", "spots")
        rows = int(database.ask("select count(*) from gone", "spots"))
        writer.wait(30)
    assert facts["version"] // 10000 == int(database.version)
    assert sorted(facts["databases"]) == ["postgres", "private", "spots"]
    assert 5000 < facts["databases"]["spots"]["tables"]["public.saved"][0] < rows
    assert database.host.run("pgrep -u nobody postgres").stdout == ""

    # A newer server judges an older dump, and never the other way.
    there = Registered(connect("bookworm" if database.name == "trixie" else "trixie"), "postgresql")
    carry(part, there)
    done = there.run("judge", DRILL, user="nobody")
    if database.name == "bookworm":
        assert (done.rc, done.stdout) == (0, ""), done.stderr
    else:
        assert done.rc == CANNOT_JUDGE
        assert "the dump is of PostgreSQL 17, this host has 15" in done.stderr


def test_damage_is_found(part: Registered) -> None:
    part.drill()
    part.host.check_output(
        f"cd {DRILL}/postgresql && truncate -s 500 private.dump"
        " && sed -i '/^CREATE ROLE viewer/,$d' globals.sql"
        """ && sed -i 's/"public.saved": .5000/"public.saved": [4999/' ../../drill.json"""
    )
    found = part.judged()
    for said in (
        "globals.sql is another file than was saved",
        "private.dump is another file than was saved",
        "role viewer is missing",
        "spots: table public.saved has 5000 rows, had 4999",
    ):
        assert said in found
    assert [one for one in found if one.startswith("private: pg_restore ended with 1")]


def test_settings_are_saved_and_proven(database: Database) -> None:
    """By a server that a drill starts, without any rights."""
    part = Registered(database.host, "configuration-postgresql")
    part.assert_a_copy_is_good()
    tree = f"files/etc/postgresql/{database.version}/main/lookout"
    part.assert_damage_is_found(f"echo port = none >> {tree}/postgresql.conf", "bytes is")
    refused = part.check()
    assert refused.rc == 1
    assert 'invalid value for parameter "port"' in refused.stderr
    part.forget()


def test_a_database_comes_back_as_it_was_and_what_was_there_can_too(
    database: Database, part: Registered
) -> None:
    part.done("save")
    before = [database.ask(EVERYTHING, "spots"), database.ask(OWNED, "spots")]
    database.ask("drop table saved", "spots")
    database.ask("create table made_since ()", "spots")
    # What belongs to the whole server: a role that is gone comes back with its password.
    database.ask("drop owned by viewer; drop role viewer", "spots")
    refused = database.connect("viewer", "select 1")
    assert refused.rc != 0
    part.done("put", "spots")
    assert [database.ask(EVERYTHING, "spots"), database.ask(OWNED, "spots")] == before
    assert database.connect("viewer", "select count(*) > 0 from spots").stdout.strip() == "t"
    assert database.ask("select count(*) from pg_database where datname ~ '_before_'") == "1"
    part.done("undo", "spots")
    assert database.run("select 1 from saved", "spots").rc != 0
    assert database.ask("select count(*) from made_since", "spots") == "0"
    part.done("put")
    part.done("settle")
    assert [database.ask(EVERYTHING, "spots"), database.ask(OWNED, "spots")] == before
    names = database.ask("select datname from pg_database order by 1").split()
    assert names == ["postgres", "private", "spots", "template0", "template1"]


def test_a_newer_server_takes_the_databases_of_an_older_one() -> None:
    """Live, as on a host that was built anew with the next release."""
    old, new = (Database(connect(name)) for name in ("bookworm", "trixie"))
    assert (old.version, new.version) == ("15", "17")
    here, there = (Registered(one.host, "postgresql") for one in (old, new))
    old.ask(MADE, "spots")
    here.drill()
    carry(here, there)
    new.ask("drop table if exists saved; create table made_since ()", "spots")
    done = there.run("put", DRILL)
    assert done.rc == 0, done.stderr
    owners = (
        "select relname, pg_get_userbyid(relowner) from pg_class where relname ~ '^sp' order by 1"
    )
    for query in (EVERYTHING, owners, "select * from lookout.migrations order by name"):
        assert new.ask(query, "spots") == old.ask(query, "spots") != ""
    assert new.run("select * from made_since", "spots").rc != 0
    assert new.connect("viewer", "select count(*) > 0 from spots").stdout.strip() == "t"
    done = there.run("undo", DRILL)
    assert done.rc == 0, done.stderr
    new.ask("drop table made_since", "spots")
    old.ask("drop table saved", "spots")


def test_a_restore_that_fails_leaves_what_is_live(database: Database, part: Registered) -> None:
    part.done("save")
    database.ask("insert into saved (id) values (0)", "spots")
    # As on a host that lacks a package
    extension = f"/usr/share/postgresql/{database.version}/extension/pg_trgm.control"
    database.host.check_output(f"mv {extension} /root/")
    done = part.run("put")
    database.host.check_output(f"mv /root/pg_trgm.control {extension}")
    assert done.rc == 1
    assert 'extension "pg_trgm" is not available' in done.stderr
    assert database.ask("select count(*) from saved", "spots") == "5001"
    part.done("undo")
    names = database.ask("select datname from pg_database order by 1").split()
    assert names == ["postgres", "private", "spots", "template0", "template1"]
    part.forget()
