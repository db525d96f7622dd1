"""PostgreSQL: what is asked of it, and databases that change places, without a server."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.backup.parts import Postgresql
from lookout.backup.sources import CannotJudgeError, SourceError
from lookout.backup.sources import postgresql_server as servers
from lookout.backup.sources import postgresql_sql as sql
from lookout.backup.sources.postgresql import LACKS, PostgresqlSource, file_of, undumped
from lookout.backup.sources.postgresql_server import Server
from lookout.backup.sources.postgresql_swap import Swap, named

GLOBALS = """\
--
-- PostgreSQL database cluster dump
--

\\restrict abc
SET default_transaction_read_only = off;

CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER LOGIN PASSWORD 'SCRAM-SHA-256$1:a$b:c';
CREATE ROLE readers;
CREATE ROLE "odd ""one";
ALTER ROLE "odd ""one" WITH NOSUPERUSER LOGIN PASSWORD 'x;
y';
ALTER ROLE "odd ""one" SET application_name TO 'it''s "so;';
GRANT readers TO "odd ""one" WITH INHERIT TRUE GRANTED BY postgres;
GRANT pg_monitor TO postgres GRANTED BY postgres;
\\unrestrict abc
"""
DATABASE: dict[str, Any] = {
    "owner": "spots",
    "encoding": "UTF8",
    "collate": "C.UTF-8",
    "ctype": "C.UTF-8",
    "provider": "c",
    "locale": None,
    "limit": -1,
    "large_objects": 0,
    "privileges": None,
    "settings": None,
    "tables": {"public.spots": [2, "1 1"], "public.more": [0, "0 0"]},
}


# --- statements ---


@given(
    st.lists(st.tuples(st.text("ab'\"; \n-\\", min_size=1), st.text("ab'\"; \n-\\")), max_size=4)
)
def test_a_script_is_cut_at_the_ends_of_its_statements(roles: list[tuple[str, str]]) -> None:
    made = [
        f"ALTER ROLE {sql.identifier(role)} PASSWORD {sql.literal(password)};"
        for role, password in roles
    ]
    script = "-- a comment\n\n" + "".join(f"{one}\n-- another; one\n" for one in made)
    assert [*sql.statements(script)] == made


def test_only_roles_that_are_not_there_are_made() -> None:
    assert sql.of_roles(GLOBALS, ["postgres", "readers"]) == [
        'CREATE ROLE "odd ""one";',
        'ALTER ROLE "odd ""one" WITH NOSUPERUSER LOGIN PASSWORD \'x;\ny\';',
        'ALTER ROLE "odd ""one" SET application_name TO \'it\'\'s "so;\';',
        'GRANT readers TO "odd ""one" WITH INHERIT TRUE;',
    ]
    assert sql.of_roles(GLOBALS, ["postgres", "readers", 'odd "one']) == []


def test_the_superuser_of_a_new_server_keeps_its_name_and_gets_no_password() -> None:
    made = "\n".join(sql.of_roles(GLOBALS, ["postgres"]))
    assert "CREATE ROLE readers;" in made
    assert "postgres" not in made


SAID = {
    "psql": """psql:<stdin>:2: ERROR:  syntax error at or near "login"
LINE 1: alter role shop password 'canary' login login
                                          ^
""",
    "pg_restore": """pg_restore: while PROCESSING TOC:
pg_restore: from TOC entry 3356; 1418 16401 USER MAPPING shop SERVER other postgres
pg_restore: error: could not execute query: ERROR:  server "other" does not exist
Command was: CREATE USER MAPPING FOR shop SERVER other OPTIONS (
    password 'canary',
    "user" 'shop'
);
""",
    "rows": """pg_restore: error: could not execute query: ERROR:  duplicate key value
DETAIL:  Key (name)=(canary) already exists.
CONTEXT:  COPY people, line 2
""",
}


@pytest.mark.parametrize("program", SAID)
def test_what_failed_is_said_without_the_password_that_stands_in_it(program: str) -> None:
    said = servers.complaint(SAID[program])
    assert "canary" not in said
    assert re.search(r"syntax error|server \"other\" does not exist|duplicate key", said)


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({}, "locale_provider libc"),
        ({"provider": None}, "lc_ctype 'C.UTF-8'"),
        ({"provider": "i", "locale": "de-x-o'r"}, "locale_provider icu icu_locale 'de-x-o''r'"),
        ({"provider": "b", "locale": "C.UTF-8"}, "builtin builtin_locale 'C.UTF-8'"),
    ],
)
def test_a_database_is_made_with_the_locale_that_it_had(
    properties: dict[str, Any], said: str
) -> None:
    statement = sql.create('o"dd', {**DATABASE, **properties})
    assert statement.startswith('create database "o""dd" template template0 owner "spots"')
    assert statement.endswith(said)


def test_privileges_and_settings_of_a_database_come_back() -> None:
    known = {
        **DATABASE,
        "limit": 20,
        "privileges": [["", "CONNECT", False], ["odd one", "CREATE", True]],
        "settings": [
            ["", 'search_path="$user", public'],
            ["", 'temp_tablespaces=""'],
            ["spots", "statement_timeout=3s"],
            ["", "lookout.note=it's"],
        ],
    }
    assert [*sql.dress("new", known)] == [
        'alter database "new" connection limit 20',
        'revoke all on database "new" from public, "spots"',
        'grant CONNECT on database "new" to public',
        'grant CREATE on database "new" to "odd one" with grant option',
        'alter database "new" set "search_path" to "$user", public',
        'alter database "new" set "temp_tablespaces" to \'\'',
        'alter role "spots" in database "new" set "statement_timeout" to \'3s\'',
        'alter database "new" set "lookout"."note" to \'it\'\'s\'',
    ]


def test_a_table_with_an_odd_name_is_counted() -> None:
    assert 'from only "pu""blic"."t;--"' in sql.summed('pu"blic', "t;--")


# --- what differs ---


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"tables": {"public.spots": [2, "1 1"]}}, ["table public.more is missing"]),
        (
            {"tables": {**DATABASE["tables"], "public.x": [0, "0 0"]}},
            ["table public.x is not part of the backup"],
        ),
        (
            {"tables": {**DATABASE["tables"], "public.spots": [1, "1 0"]}},
            ["table public.spots has 1 rows, had 2"],
        ),
        (
            {"tables": {**DATABASE["tables"], "public.spots": [2, "1 0"]}},
            ["table public.spots has other rows than it had"],
        ),
        ({"large_objects": 1}, ["1 large objects, were 0"]),
        ({"owner": "postgres"}, []),
    ],
)
def test_what_differs_is_named(changed: dict[str, Any], said: list[str]) -> None:
    assert [*sql.differences(DATABASE, {**DATABASE, **changed})] == said


def test_a_dump_without_a_table_is_found_out() -> None:
    listed = (
        ";\n; Archive created\n"
        "215; 1259 16390 TABLE public more spots\n"
        "3402; 0 16390 TABLE DATA public spots spots\n"
        "3403; 0 16395 TABLE DATA odd one a b c postgres\n"
    )
    assert undumped(listed, DATABASE["tables"]) == ["public.more"]
    assert undumped(listed, {"public.spots": [2, "1 1"]}) == []
    assert undumped("", {"public.spots": [0, "0 0"]}) == ["public.spots"]


@pytest.mark.parametrize("facts", [{}, {"databases": {}, "roles": ["a"]}])
def test_a_manifest_without_databases_proves_nothing(facts: dict[str, Any], tmp_path: Path) -> None:
    source = PostgresqlSource(Postgresql(Path("/bin"), Path("/run")))
    assert "no database was saved" in [*source.judge(tmp_path, facts, tmp_path)]


def test_missing_and_strange_files_are_named_before_a_server_is_started(tmp_path: Path) -> None:
    source = PostgresqlSource(Postgresql(Path("/bin"), Path("/run")))
    (tmp_path / "globals.sql").touch()
    (tmp_path / "more").touch()
    facts = {"databases": {"a/b": DATABASE}, "roles": ["spots"], "version": 150001}
    assert [*source.judge(tmp_path, facts, tmp_path)] == [
        "a%2Fb.dump is missing",
        "facts.json is missing",
        "more is not part of the backup",
    ]


def test_a_newer_dump_than_this_host_knows_is_not_the_dumps_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookout.backup.sources.postgresql.newest", lambda: (15, Path("/bin")))
    source = PostgresqlSource(Postgresql(Path("/bin"), Path("/run")))
    for name in ("globals.sql", "facts.json", file_of("spots")):
        (tmp_path / name).touch()
    facts = {"databases": {"spots": DATABASE}, "roles": ["spots"], "version": 170001}
    with pytest.raises(CannotJudgeError, match="of PostgreSQL 17, this host has 15"):
        [*source.judge(tmp_path, facts, tmp_path)]


@pytest.mark.parametrize(
    "said",
    [
        'pg_restore: error: could not execute query: ERROR:  extension "postgis" is not available',
        'ERROR:  collation "de_DE" for encoding "UTF8" does not exist',
        "ERROR:  could not extend file: No space left on device",
        "pg_restore: error: could not execute query: server closed the connection unexpectedly",
        "ERROR:  out of memory",
    ],
)
def test_what_the_host_lacks_is_told_from_a_bad_dump(said: str) -> None:
    assert re.search(LACKS, said)
    assert not re.search(LACKS, "pg_restore: error: could not read from input file: end of file")


def test_the_newest_server_is_taken_and_one_without_programs_is_none(tmp_path: Path) -> None:
    with pytest.raises(CannotJudgeError, match="no server of PostgreSQL"):
        servers.newest(tmp_path)
    for version, programs in (("9", servers.NEEDED), ("15", servers.NEEDED), ("17", ["psql"])):
        (tmp_path / version / "bin").mkdir(parents=True)
        for program in programs:
            (tmp_path / version / "bin" / program).touch(mode=0o755)
    assert servers.newest(tmp_path) == (15, tmp_path / "15/bin")


def test_a_name_is_never_taken_for_a_way_to_another_server() -> None:
    assert Server.way("host=evil 'x\\") == "dbname='host=evil \\'x\\\\'"


# --- change places ---


class KilledError(BaseException):
    """Stands for kill -9: nobody catches it."""


class Cluster:
    """What Swap asks of a server: databases by name, each with what it holds."""

    def __init__(self, **databases: str) -> None:
        self.databases: dict[str, str] = {"template1": "", **databases}
        self.closed: set[str] = set()
        self.kill_at = 0

    def execute(self, database: str, *statements: str) -> list[str]:
        assert database == "template1"
        before, open_transaction = self.state(), False
        for one in statements:
            self.kill_at -= 1
            if self.kill_at == 0:
                if open_transaction:
                    self.databases, self.closed = before
                raise KilledError
            open_transaction = one == "begin" or (open_transaction and one != "commit")
            self._run(one)
        return [f"[{','.join(repr(name) for name in self.databases)}]".replace("'", '"')]

    def _run(self, one: str) -> None:
        if renamed := re.fullmatch(r'alter database "(.+)" rename to "(.+)"', one):
            assert renamed[2] not in self.databases
            self.databases[renamed[2]] = self.databases.pop(renamed[1])
            if renamed[1] in self.closed:
                self.closed = self.closed - {renamed[1]} | {renamed[2]}
        elif allowed := re.fullmatch(r'alter database "(.+)" allow_connections (\w+)', one):
            assert allowed[1] in self.databases
            (self.closed.discard if allowed[2] == "True" else self.closed.add)(allowed[1])
        elif dropped := re.fullmatch(r'drop database if exists "(.+)" with \(force\)', one):
            self.databases.pop(dropped[1], None)
            self.closed.discard(dropped[1])
        else:
            assert one.startswith(("begin", "commit", "select "))

    def put(self, names: Sequence[str], aside: Path) -> None:
        """What the source does, with a restore that can be killed in its midst."""
        swap = Swap(cast("Server", self), aside)
        plan = swap.plan(names)
        for name in names:
            if swap.is_open(plan[name]):
                self.databases.pop(plan[name].fresh, None)
                self.databases[plan[name].fresh] = "half"
                self.kill_at -= 1
                if self.kill_at == 0:
                    raise KilledError
                self.databases[plan[name].fresh] = f"restored {name}"
        swap.do(plan)

    def state(self) -> tuple[dict[str, str], set[str]]:
        return dict(self.databases), set(self.closed)


@pytest.mark.parametrize("then", ["repeated", "undone"])
@pytest.mark.parametrize("step", range(1, 25))
def test_databases_change_places_whenever_it_is_killed(
    tmp_path: Path, step: int, then: str
) -> None:
    cluster = Cluster(spots="live", shop="live", other="live")
    before = cluster.state()
    names = ["spots", "shop", "gone"]
    cluster.kill_at = step
    with contextlib.suppress(KilledError):
        cluster.put(names, tmp_path)
    cluster.kill_at = 0
    # At no moment there was none
    assert {"spots", "shop", "other"} <= set(cluster.databases)
    assert {cluster.databases["spots"], cluster.databases["shop"]} in (
        {"live"},
        {"restored spots", "restored shop"},
    )
    if then == "repeated":
        cluster.put(names, tmp_path)
        for name in names:
            assert cluster.databases[name] == f"restored {name}"
            assert name not in cluster.closed
    swap = Swap(cast("Server", cluster), tmp_path)
    cluster.kill_at = step
    try:
        swap.undo()
    except KilledError:
        cluster.kill_at = 0
        swap.undo()
    cluster.kill_at = 0
    assert cluster.state() == before


def test_what_was_live_is_dropped_when_the_new_is_good(tmp_path: Path) -> None:
    cluster = Cluster(spots="live")
    cluster.put(["spots"], tmp_path)
    assert len(cluster.databases) == 3
    Swap(cast("Server", cluster), tmp_path).settle()
    assert cluster.databases == {"template1": "", "spots": "restored spots"}


def test_a_later_try_for_one_leaves_what_an_earlier_one_left_half(tmp_path: Path) -> None:
    cluster = Cluster(spots="live", shop="live")
    # In the restore of the second one: plan, is_open and restore of the first come before.
    while cluster.databases.get("shop_restored_1") != "half":
        cluster.databases = {"template1": "", "spots": "live", "shop": "live"}
        (tmp_path / "databases.json").unlink(missing_ok=True)
        last = getattr(cluster, "tried", 0) + 1
        cluster.tried = cluster.kill_at = last  # type: ignore[attr-defined]
        with pytest.raises(KilledError):
            cluster.put(["spots", "shop"], tmp_path)
    cluster.kill_at = 0
    cluster.put(["spots"], tmp_path)
    assert cluster.databases["spots"] == "restored spots"
    assert cluster.databases["shop"] == "live"


@given(st.text("aé語", min_size=1, max_size=70))
def test_names_are_short_enough_and_of_nobody_else(name: str) -> None:
    live = name.encode()[:63].decode(errors="ignore")
    first = named(live, {live})
    second = named(live, {live, first.fresh})
    for names in (first, second):
        assert len(names.fresh.encode()) <= 63
        assert len(names.kept.encode()) <= 63
    assert len({first.fresh, first.kept, second.fresh, second.kept, live}) == 5


# --- putting back ---


@pytest.mark.parametrize(
    ("about", "databases", "said"),
    [
        ({"standby": True}, None, "is a standby"),
        ({"version": 140000}, None, "the dump is of PostgreSQL 15, the server is older"),
        ({}, ("none",), "database none is not in the backup"),
    ],
)
def test_what_cannot_be_put_back_touches_nothing(
    about: dict[str, Any],
    databases: tuple[str, ...] | None,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    live = {"standby": False, "version": 150001, "roles": [], **about}
    monkeypatch.setattr(PostgresqlSource, "_about", lambda _: live)
    nothing: Callable[..., Any] = pytest.fail
    monkeypatch.setattr(Server, "execute", nothing)
    (tmp_path / file_of("spots")).touch()
    source = PostgresqlSource(Postgresql(Path("/bin"), Path("/run")))
    facts = {"databases": {"spots": DATABASE}, "roles": ["spots"], "version": 150001}
    with pytest.raises(SourceError, match=said):
        dataclasses.replace(source, databases=databases).put(tmp_path, facts, tmp_path / "aside")


def test_a_link_in_the_room_of_a_server_is_not_written_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    victim, room, programs = tmp_path / "victim", tmp_path / "room", tmp_path / "bin"
    victim.write_text("precious")
    room.mkdir()
    programs.mkdir()
    plants = f"data=${{1#*=}}; ln -s {victim} ${{data%/data}}/postgres.log"
    for name, does in (("initdb", plants), ("postgres", "echo cannot bind; exit 1")):
        (programs / name).write_text(f"#!/bin/sh\n{does}\n")
        (programs / name).chmod(0o755)
    with (
        pytest.raises(CannotJudgeError, match="cannot bind"),
        servers.scratch_server(programs, room, "postgres", 10),
    ):
        pytest.fail("it cannot have started")
    assert victim.read_text() == "precious"
