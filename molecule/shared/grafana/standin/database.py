"""The server's memory: SQLite below `paths.data`, or PostgreSQL where `[database]` says so.

Tables have Grafana's names and only the columns that are used here; it is not Grafana's schema.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .settings import RefusedError, Settings

Row = dict[str, Any]

TABLES = {
    "user": "id {id}, uid TEXT, login TEXT UNIQUE, email TEXT, name TEXT, password TEXT, "
    "salt TEXT, role TEXT, is_admin INTEGER, is_disabled INTEGER, is_service_account INTEGER, "
    "created TEXT, last_seen_at TEXT",
    "user_auth": "user_id INTEGER PRIMARY KEY, auth_module TEXT, auth_id TEXT",
    "user_auth_token": "id {id}, user_id INTEGER, auth_token TEXT UNIQUE, created_at {real}, "
    "seen_at {real}",
    "login_attempt": "username TEXT, at {real}",
    "api_key": "id {id}, service_account_id INTEGER, name TEXT, key TEXT, created TEXT, "
    "expires TEXT, last_used_at TEXT",
    "folder": "id {id}, uid TEXT UNIQUE, title TEXT, created TEXT, updated TEXT",
    "permission": "folder_uid TEXT, role TEXT, user_id INTEGER, permission INTEGER",
    "dashboard": "id {id}, uid TEXT UNIQUE, title TEXT, folder_uid TEXT, data TEXT, "
    "version INTEGER, created TEXT, updated TEXT, provider TEXT, file TEXT, checksum TEXT",
    "data_source": "id {id}, uid TEXT UNIQUE, name TEXT UNIQUE, type TEXT, access TEXT, url TEXT, "
    "username TEXT, db TEXT, basic_auth INTEGER, basic_auth_user TEXT, is_default INTEGER, "
    "json_data TEXT, secure_json_data TEXT, read_only INTEGER, is_prunable INTEGER, "
    "version INTEGER",
}


class Database:
    """One connection for all threads; statements use `?` for their values."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.postgres = settings.text("database", "type") == "postgres"
        self._lock = threading.RLock()
        self._connection: Any = None
        self._errors: tuple[type[Exception], ...] = (sqlite3.Error,)
        self._lost: tuple[type[Exception], ...] = ()
        try:
            self._connect()
            for name, columns in TABLES.items():
                made = columns.format(
                    id="SERIAL PRIMARY KEY"
                    if self.postgres
                    else "INTEGER PRIMARY KEY AUTOINCREMENT",
                    real="DOUBLE PRECISION" if self.postgres else "REAL",
                )
                self.run(f'CREATE TABLE IF NOT EXISTS "{name}" ({made})')
        except (*self._errors, OSError) as error:
            raise RefusedError(f"failed to connect to the database: {error}") from None

    def _connect(self) -> None:
        text = self.settings.text
        if not self.postgres:
            path = self.settings.data / text("database", "path", "grafana.db")
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._connection.row_factory = sqlite3.Row
            if self.settings.true("database", "wal"):
                self._connection.execute("PRAGMA journal_mode=WAL")
            Path(path).chmod(0o640)
            return
        # A server with SQLite starts without the PostgreSQL library.
        from . import postgres  # noqa: PLC0415

        self._errors, self._lost = (postgres.Error,), postgres.LOST
        self._connection = postgres.connect(self.settings)

    def run(self, statement: str, *values: object) -> list[Row]:
        """Run one statement and return its rows; a lost PostgreSQL connection is made anew once."""
        with self._lock:
            try:
                return self._run(statement, values)
            except self._lost:
                self._connect()
                return self._run(statement, values)

    def _run(self, statement: str, values: Sequence[object]) -> list[Row]:
        if self.postgres:
            statement = statement.replace("?", "%s")
        cursor = self._connection.cursor()
        try:
            cursor.execute(statement, tuple(values))
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []
        finally:
            cursor.close()

    def one(self, statement: str, *values: object) -> Row | None:
        rows = self.run(statement, *values)
        return rows[0] if rows else None

    def count(self, table: str, where: str = "1 = 1", *values: object) -> int:
        rows = self.run(f'SELECT count(*) AS n FROM "{table}" WHERE {where}', *values)  # noqa: S608
        return int(rows[0]["n"])

    def insert(self, table: str, **values: object) -> int:
        """Insert a row, return its id (0 where the table has none)."""
        names = ", ".join(values)
        marks = ", ".join("?" for _ in values)
        back = " RETURNING id" if "{id}" in TABLES[table] else ""
        statement = f'INSERT INTO "{table}" ({names}) VALUES ({marks}){back}'  # noqa: S608
        rows = self.run(statement, *values.values())
        return int(rows[0]["id"]) if rows else 0

    def update(self, table: str, key: str, value: object, **values: object) -> None:
        pairs = ", ".join(f"{name} = ?" for name in values)
        self.run(f'UPDATE "{table}" SET {pairs} WHERE {key} = ?', *values.values(), value)  # noqa: S608

    def delete(self, table: str, **values: object) -> None:
        pairs = " AND ".join(f"{name} = ?" for name in values)
        self.run(f'DELETE FROM "{table}" WHERE {pairs}', *values.values())  # noqa: S608

    def healthy(self) -> bool:
        try:
            return bool(self.run("SELECT 1 AS one"))
        except self._errors:
            return False


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
