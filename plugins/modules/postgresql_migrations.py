#!/usr/bin/python
"""Bring a database's schema up to date with plain SQL files, each applied once in a transaction."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_migrations
short_description: SQL files in order, each applied once, in a transaction, with its checksum
description:
  - Applies the files that the database has not yet had, in the order of their names, each in a
    transaction of its own together with its record in the table C(lookout.migrations). The first
    one that fails ends it, and leaves the database as the one before it left it.
  - A file that was applied and has changed since, or is gone, and one that sorts before another
    that was applied already, are refused before anything is applied.
  - Two runs at once wait for each other.
options:
  database:
    description: Database to change. It is reached through the local socket.
    type: str
    required: true
  port:
    description: Port of the server, which the socket is named after.
    type: int
    required: true
  socket_dir:
    description: Folder of the local socket.
    type: path
    default: /var/run/postgresql
  source:
    description: Whose files they are. Each source has an order of its own.
    type: str
    required: true
  files:
    description: Contents by name. A name begins with digits, as in C(0001_spots.sql).
    type: dict
    required: true
  role:
    description: Role that runs them and owns what they make. It need not be able to sign in.
    type: str
    default: postgres
  lock_timeout_seconds:
    description: How long a file may wait for a lock that somebody else holds.
    type: int
    default: 30
author: Lookout
"""

EXAMPLES = r"""
- name: Ensure the schema is up to date
  postgresql_migrations:
    database: spots
    port: 5432
    source: site
    files: {"0001_spots.sql": "create table spots (id bigint primary key);"}
    role: spots
"""

RETURN = r"""
applied:
  description: Names of the files that were applied, or would be in check mode.
  returned: always
  type: list
  elements: str
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

try:
    import psycopg2
    import psycopg2.sql
except ImportError:  # the module says so when it runs
    psycopg2 = None

NAME = re.compile(r"[0-9]+[A-Za-z0-9_.-]*\.sql")
# Any two runs of this module, in one database
LOCK = 7_064_715_210
# What ends or replaces the transaction that a file runs in
ENDING = re.compile(
    r"(begin|commit|rollback(?!\s+(work\s+|transaction\s+)?to\b)|end|abort|start\s+transaction|"
    r"prepare\s+transaction|discard\s+all)\b",
    re.IGNORECASE,
)
# What may hold a semicolon that ends no statement: comments, strings, quoted names, dollar quotes
TOKEN = re.compile(
    r"(?P<comment>--[^\n]*)|(?P<open>/\*)"
    r"|(?P<escaped>\b[eE]'(?:[^'\\]|\\.|'')*')|(?P<string>'(?:[^']|'')*')"
    r'|(?P<name>"(?:[^"]|"")*")'
    r"|(?<![A-Za-z0-9_$])(?P<dollar>\$(?:[A-Za-z_][A-Za-z0-9_]*)?\$)"
    r"|(?P<atomic>\bbegin\s+atomic\b)|(?P<end>;)",
    re.IGNORECASE | re.DOTALL,
)
ATOMIC_END = re.compile(r"\bend\s*(?=;|$)", re.IGNORECASE)
CREATE_RECORD = """
create schema if not exists lookout authorization postgres;
create table if not exists lookout.migrations (
    source text not null,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default now(),
    primary key (source, name)
)
"""


class MigrationError(Exception):
    """The files do not fit the database, or one of them failed."""


def comment_end(sql: str, start: int) -> int:
    """Where a comment ends that begins at `start`; such comments are nested."""
    depth, position = 0, start
    for found in re.finditer(r"/\*|\*/", sql[start:]):
        depth += 1 if found[0] == "/*" else -1
        position = start + found.end()
        if depth == 0:
            return position
    return len(sql)


def statements(sql: str) -> Iterator[str]:
    """The statements of a file without comments, strings and bodies of functions."""
    said: list[str] = []
    position = 0
    while found := TOKEN.search(sql, position):
        said.append(sql[position : found.start()])
        position = found.end()
        if found["open"]:
            position = comment_end(sql, found.start())
            said.append(" ")
        elif found["dollar"]:
            closing = sql.find(found["dollar"], position)
            position = len(sql) if closing < 0 else closing + len(found["dollar"])
            said.append("''")
        elif found["atomic"]:
            # The body of a function in SQL: its statements are none of the file's.
            body_end = ATOMIC_END.search(sql, position)
            position = body_end.end() if body_end else len(sql)
        elif found["end"]:
            yield "".join(said).strip()
            said = []
        else:
            said.append(" " if found["comment"] else "''")
    yield "".join([*said, sql[position:]]).strip()


def checksum(sql: str) -> str:
    return hashlib.sha256(sql.encode()).hexdigest()


def order(name: str) -> tuple[int, str]:
    """Files go by number first, so that 10 comes after 9."""
    return int(re.match(r"[0-9]+", name)[0]), name  # type: ignore[index]


def problems_of_files(files: Mapping[str, str]) -> list[str]:
    """What is wrong with files as such."""
    problems = [
        f"{name}: a name begins with its number and ends in .sql, as in 0001_spots.sql"
        for name in sorted(files)
        if not NAME.fullmatch(name)
    ]
    numbers: dict[int, str] = {}
    for name in sorted(files):
        if NAME.fullmatch(name):
            number = order(name)[0]
            if number in numbers:
                problems.append(f"{name} and {numbers[number]} have the same number")
            numbers[number] = name
    for name, sql in sorted(files.items()):
        problems += [
            f"{name}: {' '.join(statement.split()[:2])}: a file is one transaction already"
            for statement in statements(sql)
            if ENDING.match(statement)
        ]
    return problems


def pending(files: Mapping[str, str], recorded: Mapping[str, str]) -> list[str]:
    """The files to apply, in order; MigrationError where they do not fit the record."""
    problems = problems_of_files(files)
    for name, digest in sorted(recorded.items()):
        if name not in files:
            problems.append(f"{name} was applied, and its file is gone: put it back")
        elif checksum(files[name]) != digest:
            problems.append(
                f"{name} was applied, and has changed since: put it back as it was, and write what "
                "is to change into a new file"
            )
    wanted = sorted(
        set(files) - set(recorded), key=lambda n: order(n) if NAME.fullmatch(n) else (0, n)
    )
    if not problems and recorded:
        last = max(recorded, key=order)
        problems += [
            f"{name} sorts before {last}, which was applied already: give it a higher number"
            for name in wanted
            if order(name) < order(last)
        ]
    if problems:
        raise MigrationError("\n".join(problems))
    return wanted


def recorded(connection: Any, source: str) -> dict[str, str]:
    """Name -> checksum of what the database has had."""
    with connection.cursor() as cursor:
        cursor.execute("select to_regclass('lookout.migrations') is not null")
        if not cursor.fetchone()[0]:
            return {}
        cursor.execute("select name, checksum from lookout.migrations where source = %s", (source,))
        return dict(cursor.fetchall())


def apply(connection: Any, asked: Mapping[str, Any], name: str) -> None:
    """One file and its record, both or neither."""
    sql = asked["files"][name]
    role = psycopg2.sql.Identifier(asked["role"])
    with connection.cursor() as cursor:
        cursor.execute("set local lock_timeout = %s", (f"{asked['lock_timeout_seconds']}s",))
        cursor.execute(psycopg2.sql.SQL("set local role {}").format(role))
        cursor.execute(sql)
        cursor.execute("reset role")
        cursor.execute(
            "insert into lookout.migrations (source, name, checksum) values (%s, %s, %s)",
            (asked["source"], name, checksum(sql)),
        )
    connection.commit()


def words(error: Exception) -> str:
    """PostgreSQL's own words, with the line that they are about."""
    return " ".join(str(error).split()) or type(error).__name__


def migrate(asked: Mapping[str, Any], dry_run: bool) -> list[str]:
    """Apply what is missing. Returns the names of the files that were applied."""
    connection = psycopg2.connect(
        host=asked["socket_dir"], port=asked["port"], dbname=asked["database"], user="postgres"
    )
    try:
        with connection.cursor() as cursor:
            # Held until the connection ends, over all files
            cursor.execute("select pg_advisory_lock(%s)", (LOCK,))
        wanted = pending(asked["files"], recorded(connection, asked["source"]))
        connection.commit()
        if dry_run or not wanted:
            return wanted
        with connection.cursor() as cursor:
            cursor.execute(CREATE_RECORD)
        connection.commit()
        done: list[str] = []
        for name in wanted:
            try:
                apply(connection, asked, name)
            except psycopg2.Error as error:
                connection.rollback()
                before = f"; applied before it: {', '.join(done)}" if done else ""
                raise MigrationError(
                    f"{name} failed, and the database is as it was before it{before}: "
                    f"{words(error)}"
                ) from None
            done.append(name)
        return done
    finally:
        connection.close()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "database": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "socket_dir": {"type": "path", "default": "/var/run/postgresql"},
            "source": {"type": "str", "required": True},
            "files": {"type": "dict", "required": True},
            "role": {"type": "str", "default": "postgres"},
            "lock_timeout_seconds": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    if psycopg2 is None:
        module.fail_json(msg="python3-psycopg2 is not installed")
    where = f"{module.params['database']} ({module.params['source']})"
    try:
        applied = migrate(module.params, module.check_mode)
    except (MigrationError, psycopg2.Error) as error:
        module.fail_json(msg=f"{where}: {error}")
    module.exit_json(changed=bool(applied), applied=applied)


if __name__ == "__main__":
    main()
