"""Which files are to be applied, and which do not fit; the database itself is in the scenario."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleLookupError
from hypothesis import given
from hypothesis import strategies as st

from plugins.lookup.migrations import read_folder
from plugins.modules.postgresql_migrations import (
    MigrationError,
    checksum,
    pending,
    problems_of_files,
    statements,
)

ONE, TWO, TEN = "1_one.sql", "2_two.sql", "10_ten.sql"


def test_files_go_by_number() -> None:
    files = {TEN: "c", ONE: "a", TWO: "b"}
    assert pending(files, {}) == [ONE, TWO, TEN]
    assert pending(files, {ONE: checksum("a")}) == [TWO, TEN]
    assert pending(files, {ONE: checksum("a"), TWO: checksum("b"), TEN: checksum("c")}) == []


@pytest.mark.parametrize(
    ("files", "record", "said"),
    [
        ({ONE: "changed"}, {ONE: "a"}, "has changed since"),
        ({}, {ONE: "a"}, "its file is gone"),
        ({ONE: "a", TWO: "b"}, {TWO: "b"}, "1_one.sql sorts before 2_two.sql"),
        ({"one.sql": "a"}, {}, "begins with its number"),
        ({"1_a.sql": "a", "01_b.sql": "b"}, {}, "have the same number"),
        ({ONE: "select 1; COMMIT"}, {}, "COMMIT: a file is one transaction already"),
    ],
)
def test_what_does_not_fit(files: dict[str, str], record: dict[str, str], said: str) -> None:
    with pytest.raises(MigrationError, match=said):
        pending(files, {name: checksum(sql) for name, sql in record.items()})


@pytest.mark.parametrize(
    "sql",
    [
        "begin",
        "BEGIN; select 1",
        "select 1;\n-- words\ncommit;",
        "/* a /* nested */ one */ end",
        "rollback work",
        "start  transaction read only",
        "prepare transaction 'x'",
        "select $$;$$; abort",
        "select 'it''s; commit'; commit",
        r"select E'\'; '; commit",
        "create function f() returns int language sql begin atomic select 1; end; commit",
    ],
)
def test_an_end_of_the_transaction_is_found(sql: str) -> None:
    assert problems_of_files({ONE: sql})


@pytest.mark.parametrize(
    "sql",
    [
        "savepoint a; rollback to a; rollback to savepoint a; release a",
        "select '; commit;'",
        'create table "; commit;" ()',
        "-- ; commit;",
        "/* ; commit; /* ; end; */ ; begin; */ select 1",
        "do $body$ begin perform 1; end $body$",
        "do $$ begin raise notice 'x;'; end; $$",
        "create function f() returns int language sql begin atomic select 1; end",
        "create table beginnings (endings int)",
        "select a$1$b, E'\\'; commit' from commits",
        "prepare p as select 1",
        "discard temp",
    ],
)
def test_what_only_looks_like_one_is_not(sql: str) -> None:
    assert problems_of_files({ONE: sql}) == []


@given(st.text(st.characters(exclude_characters="'", exclude_categories=["Cs"])))
def test_nothing_in_a_string_is_a_statement(text: str) -> None:
    assert list(statements(f"select '{text}'; commit")) == ["select ''", "commit"]


@given(st.text(st.sampled_from("'\"$-/*; abeginEND\\\n")))
def test_any_text_comes_to_an_end(text: str) -> None:
    assert list(statements(text))


def test_a_folder_is_read(tmp_path: Path) -> None:
    with pytest.raises(AnsibleLookupError, match=r"no [.]sql file"):
        read_folder(tmp_path)
    (tmp_path / ONE).write_text("select 1;")
    (tmp_path / "notes.md").write_text("no SQL")
    assert read_folder(tmp_path) == {ONE: "select 1;"}
    (tmp_path / TWO).write_bytes(b"\xff")
    with pytest.raises(AnsibleLookupError, match=r"2_two[.]sql is no UTF-8"):
        read_folder(tmp_path)
    with pytest.raises(AnsibleLookupError, match="there is no folder"):
        read_folder(tmp_path / "none")
