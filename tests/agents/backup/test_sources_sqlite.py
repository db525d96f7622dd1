"""SQLite: a copy of one moment while others write, and what is wrong with another one."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookout.backup.parts import Sqlite
from lookout.backup.sources import SourceError
from lookout.backup.sources.sqlite import SqliteSource, contents, differences
from lookout.backup.sources.trees import user_name

USER = user_name(os.getuid())
VALUES = st.one_of(st.none(), st.integers(-9, 9), st.floats(width=16), st.text("aé'"), st.binary())
ROWS = st.lists(st.tuples(VALUES, VALUES), max_size=8)


def made(database: Path, rows: list[tuple[object, ...]]) -> None:
    database.unlink(missing_ok=True)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE things (a, b)")
        connection.executemany("INSERT INTO things VALUES (?, ?)", rows)
        connection.commit()


def done(database: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute(statement).fetchall()
        connection.commit()
        return found


@pytest.fixture
def live(tmp_path: Path) -> Path:
    database = tmp_path / "live/shop.db"
    database.parent.mkdir()
    made(database, [(number, f"thing {number}") for number in range(2000)])
    done(database, "PRAGMA journal_mode = wal")
    done(database, "PRAGMA user_version = 7")
    database.chmod(0o640)
    return database


@pytest.fixture
def source(live: Path) -> SqliteSource:
    return SqliteSource((Sqlite(live, USER, ("things",)),))


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    (tmp_path / "stage").mkdir()
    return tmp_path / "stage"


@pytest.fixture
def writer(live: Path) -> Iterator[None]:
    """Somebody who moves a thing from one number to another: the number of rows stays."""
    stop = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(live, timeout=30)) as connection:
            while not stop.is_set():
                connection.execute("DELETE FROM things WHERE a = (SELECT min(a) FROM things)")
                connection.execute("INSERT INTO things SELECT max(a) + 1, 'moved' FROM things")
                connection.commit()

    thread = threading.Thread(target=write)
    thread.start()
    yield
    stop.set()
    thread.join()


@settings(max_examples=50)
@given(rows=ROWS, shuffled=st.randoms())
def test_the_order_of_rows_does_not_count_and_everything_else_does(
    rows: list[tuple[object, ...]], shuffled: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    one, other = (tmp_path_factory.getbasetemp() / name for name in ("one.db", "other.db"))
    made(one, rows)
    again = rows.copy()
    shuffled.shuffle(again)  # type: ignore[attr-defined]
    made(other, again)
    assert contents(one) == contents(other)
    # A row more, one twice, another one
    for changed in ([*rows, (1, 1)], [*rows, *rows[:1]], [*rows[1:], ("1", 1)]):
        made(other, changed)
        same = sorted(map(repr, changed)) == sorted(map(repr, rows))
        assert (contents(one) == contents(other)) is same


@pytest.mark.usefixtures("writer")
def test_a_copy_is_of_one_moment_while_others_write(source: SqliteSource, stage: Path) -> None:
    source.save(stage)
    facts = source.describe(stage)
    assert facts["shop.db"]["tables"]["things"]["rows"] == 2000
    assert facts["shop.db"]["user_version"] == 7
    assert [*source.judge(stage, facts, stage)] == []


def test_nothing_of_anybody_else_is_left_beside_the_live_file(
    source: SqliteSource, stage: Path, live: Path
) -> None:
    source.save(stage)
    assert {path.name for path in live.parent.iterdir()} <= {
        "shop.db",
        "shop.db-wal",
        "shop.db-shm",
    }
    assert [path.name for path in stage.iterdir()] == ["shop.db"]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda file: file.unlink(), "is missing"),
        (lambda file: file.write_bytes(file.read_bytes()[:8192]), "is damaged"),
        (lambda file: file.write_bytes(b"x" * 9999), "is damaged"),
        (lambda file: file.write_bytes(b""), "has no table things"),
        (lambda file: done(file, "DELETE FROM things WHERE a = 5"), "has 1999 rows, had 2000"),
        (lambda file: done(file, "UPDATE things SET b = 'x' WHERE a = 5"), "other rows"),
        (lambda file: done(file, "DROP TABLE things"), "has no table things"),
        (lambda file: done(file, "CREATE TABLE more (a)"), "more is not part of the backup"),
        (lambda file: done(file, "CREATE INDEX i ON things (a)"), "schema is"),
        (lambda file: done(file, "PRAGMA user_version = 6"), "user_version is 6, was 7"),
        (lambda file: file.with_name("other.db").touch(), "other.db: not part of the backup"),
    ],
)
def test_damage_is_found(
    source: SqliteSource, stage: Path, damage: Callable[[Path], None], said: str
) -> None:
    source.save(stage)
    facts = source.describe(stage)
    damage(stage / "shop.db")
    found = [*source.judge(stage, facts, stage)]
    assert found
    assert said in " ".join(found)


def test_a_manifest_that_tells_nothing_proves_nothing(source: SqliteSource, stage: Path) -> None:
    source.save(stage)
    assert [*source.judge(stage, {}, stage)] == ["shop.db: the manifest tells nothing of it"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda live: live.unlink(), "does not exist"),
        (lambda live: live.write_bytes(b"x" * 9999), "not a database"),
        (lambda live: done(live, "ALTER TABLE things RENAME TO others"), "has no table things"),
    ],
)
def test_what_is_no_database_of_this_kind_is_not_saved(
    source: SqliteSource, stage: Path, live: Path, change: Callable[[Path], None], said: str
) -> None:
    change(live)

    def save() -> None:
        source.save(stage)
        source.describe(stage)

    with pytest.raises(SourceError, match=said):
        save()


def test_a_link_in_place_of_the_copy_is_not_followed(
    source: SqliteSource, stage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner of the database may write where the copy is made."""
    secret = tmp_path / "secret"
    secret.write_text("secret", encoding="ascii")
    secret.chmod(0o644)
    copying = "import os, sys; os.symlink(%r, sys.argv[2])" % str(secret)  # noqa: UP031
    monkeypatch.setattr("lookout.backup.sources.sqlite.COPY", copying)
    with pytest.raises(OSError, match="symbolic links"):
        source.save(stage)
    assert secret.stat().st_mode & 0o777 == 0o644


def test_two_databases_of_one_name_would_be_one_file(live: Path, stage: Path) -> None:
    other = live.parent / "other/shop.db"
    other.parent.mkdir()
    shutil.copy(live, other)
    both = SqliteSource((Sqlite(live, USER), Sqlite(other, USER)))
    with pytest.raises(SourceError, match="two databases of one name"):
        both.save(stage)


def test_what_is_put_back_can_be_undone(
    source: SqliteSource, stage: Path, live: Path, tmp_path: Path
) -> None:
    source.save(stage)
    facts = source.describe(stage)
    with closing(sqlite3.connect(live)) as connection:
        connection.execute("DELETE FROM things WHERE a > 10")
        connection.commit()
        # As a service leaves it that was killed: the deletion is in the log alone.
        names = sorted(path.name for path in live.parent.iterdir())
        for name in names:
            shutil.copy(live.parent / name, tmp_path / name)
    for name in names:
        shutil.copy(tmp_path / name, live.parent / name)
    assert "shop.db-wal" in names
    for _ in range(2):
        source.put(stage, facts, tmp_path / "aside")
        assert os.listdir(live.parent) == ["shop.db"]
        assert done(live, "SELECT count(*) FROM things") == [(2000,)]
        assert live.stat().st_mode & 0o777 == 0o640
    for _ in range(2):
        source.undo(tmp_path / "aside")
    assert done(live, "SELECT count(*) FROM things") == [(11,)]


def test_a_damaged_copy_does_not_replace_anything(
    source: SqliteSource, stage: Path, live: Path, tmp_path: Path
) -> None:
    source.save(stage)
    facts = source.describe(stage)
    (stage / "shop.db").write_bytes((stage / "shop.db").read_bytes()[:8192])
    with pytest.raises(SourceError, match="the copy is damaged"):
        source.put(stage, facts, tmp_path / "aside")
    assert done(live, "SELECT count(*) FROM things") == [(2000,)]


def test_a_table_of_the_facts_alone_is_missing() -> None:
    wanted = {"schema": "s", "tables": {"a": {"rows": 1, "checksum": "c"}}}
    assert [*differences(wanted, {"schema": "s", "tables": {}})] == ["table a is missing"]
