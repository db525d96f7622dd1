"""The history in SQLite: one file, written by short transactions, read while it is written."""

from __future__ import annotations

import fcntl
import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

LOG = logging.getLogger("lookout.status")

VERSION = 1
BUSY_MILLISECONDS = 10_000
# Files that were set aside and are kept; the oldest ones go first.
DAMAGED_KEPT = 3
DAMAGED = "damaged"

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE runs (
    task TEXT NOT NULL, started REAL NOT NULL, duration REAL NOT NULL, ok INTEGER NOT NULL,
    message TEXT NOT NULL, PRIMARY KEY (task, started)
) WITHOUT ROWID;
CREATE TABLE days (
    task TEXT NOT NULL, day TEXT NOT NULL, runs INTEGER NOT NULL, failed INTEGER NOT NULL,
    duration REAL NOT NULL, PRIMARY KEY (task, day)
) WITHOUT ROWID;
CREATE TABLE incidents (
    id INTEGER PRIMARY KEY, task TEXT NOT NULL, started REAL NOT NULL, ended REAL,
    message TEXT NOT NULL, runs INTEGER NOT NULL
);
CREATE INDEX incidents_started ON incidents (started);
CREATE TABLE heartbeats (name TEXT PRIMARY KEY, seen REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE reports (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, title TEXT NOT NULL, started REAL NOT NULL,
    duration REAL NOT NULL, ok INTEGER NOT NULL, message TEXT NOT NULL, columns TEXT NOT NULL,
    rows TEXT NOT NULL, truncated INTEGER NOT NULL
);
CREATE INDEX reports_started ON reports (name, started);
"""


class Newer(Exception):  # noqa: N818
    """The file was written by a later version of this program."""


def is_damage(error: BaseException) -> bool:
    """Whether an error says that the file itself is broken, and not the disk or the moment."""
    code = getattr(error, "sqlite_errorcode", None)
    broken = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return isinstance(error, sqlite3.DatabaseError) and code is not None and code & 0xFF in broken


def reader(path: Path) -> sqlite3.Connection:
    """Open the history for reading alone."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA query_only = 1")
    return connection


def _connect(path: Path) -> sqlite3.Connection:
    # Transactions are opened by hand, so that none is left open by a statement.
    connection = sqlite3.connect(path, timeout=BUSY_MILLISECONDS / 1000, isolation_level=None)
    connection.row_factory = sqlite3.Row
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the tables in a new file, and set what holds for a connection."""
    connection.execute("PRAGMA synchronous = NORMAL")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise Newer(f"the history has version {version}, this program knows {VERSION}: upgrade it")
    if version == VERSION:
        return
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    with transaction(connection):
        # Somebody else may have been faster.
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            for statement in filter(str.strip, SCHEMA.split(";")):
                connection.execute(statement)
            began = ("began", str(time.time()))
            connection.execute("INSERT INTO meta (key, value) VALUES (?, ?)", began)
            connection.execute(f"PRAGMA user_version = {VERSION}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing; waits for another writer before it reads anything."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


@contextmanager
def writer(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the history for one transaction. A broken file is set aside and a new one written."""
    try:
        with closing(_connect(path)) as connection:
            _prepare(connection)
            with transaction(connection):
                yield connection
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            set_aside_if_damaged(path)
        raise


def ensure(path: Path) -> Path | None:
    """Make the file where there is none; set a broken one aside. Returns where that went."""
    aside = set_aside_if_damaged(path)
    with closing(_connect(path)) as connection:
        _prepare(connection)
    return aside


def check(path: Path) -> str:
    """Return what SQLite finds wrong with the file; empty where nothing is."""
    if not path.exists():
        return ""
    try:
        with closing(reader(path)) as connection:
            found = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
            if found != ["ok"]:
                return "; ".join(map(str, found))
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == VERSION:
                connection.execute("SELECT count(*) FROM meta, runs, incidents LIMIT 0").fetchall()
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            return str(error)
        raise
    return ""


def set_aside_if_damaged(path: Path) -> Path | None:
    """Rename a broken file with its journal; under a lock, as others may find it broken too."""
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wrong = check(path)
        if not wrong:
            return None
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        aside = path.with_name(f"{path.name}.{DAMAGED}-{stamp}")
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
        LOG.error("the history is damaged (%s) and was set aside as %s", wrong, aside)
        for old in damaged(path)[:-DAMAGED_KEPT]:
            for suffix in ("", "-wal", "-shm"):
                old.with_name(old.name + suffix).unlink(missing_ok=True)
        with closing(_connect(path)) as connection:
            _prepare(connection)
        return aside


def damaged(path: Path) -> list[Path]:
    """Files that were set aside, the oldest first."""
    found = path.parent.glob(f"{path.name}.{DAMAGED}-*Z")
    return sorted(found)
