"""PostgreSQL through psycopg2: the server's own memory, and data sources."""

from __future__ import annotations

from typing import Any

import psycopg2
import psycopg2.extras

from .settings import Settings

CONNECT_SECONDS = 5
Error = psycopg2.Error
# What a connection says that the other side has ended.
LOST = (psycopg2.OperationalError, psycopg2.InterfaceError)


def connect(settings: Settings) -> Any:
    """A connection to the database that `[database]` of grafana.ini names; rows are mappings."""

    def text(key: str, default: str = "") -> str:
        return settings.text("database", key, default)

    host, _, port = text("host").partition(":")
    ca = text("ca_cert_path")
    connection = psycopg2.connect(
        host=host, port=port or "5432", dbname=text("name"), user=text("user"),
        password=text("password"), sslmode=text("ssl_mode", "disable"),
        connect_timeout=CONNECT_SECONDS, cursor_factory=psycopg2.extras.RealDictCursor,
        **({"sslrootcert": ca} if ca else {}),
    )  # fmt: skip
    connection.autocommit = True
    return connection


def query(statement: str, **where: Any) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The columns and rows of one statement, on a connection of its own."""
    connection = psycopg2.connect(connect_timeout=CONNECT_SECONDS, **where)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            names = [column.name for column in cursor.description or ()]
            return names, cursor.fetchall() if names else []
    finally:
        connection.close()
