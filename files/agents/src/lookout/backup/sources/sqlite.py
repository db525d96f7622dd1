"""Databases of SQLite: copied by SQLite itself as of one moment, judged row by row."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

from lookout.backup.parts import Sqlite
from lookout.backup.sources import Facts, SourceError, commands, keeping, trees

# Beside a database; a new one must not find those of the former one.
COMPANIONS = ("-wal", "-shm", "-journal")
# Run as the owner of a database: how long others may hold it, then where it is, then the copy
COPY = """
import sqlite3, sys
from pathlib import Path
source = sqlite3.connect(f"{Path(sys.argv[1]).as_uri()}?mode=rw", uri=True, timeout=60)
source.execute("VACUUM INTO ?", (sys.argv[2],))
source.close()
"""
_SCHEMA = (
    "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!'"
)
# Rows are sums of hashes: the same whatever the order of the rows
_MODULUS = 1 << 128


def contents(database: Path) -> Facts:
    """What is in a database that nobody writes to. Raises sqlite3.DatabaseError."""
    with closing(_read_only(database)) as connection:
        schema = sorted(connection.execute(_SCHEMA), key=repr)
        tables = [
            name
            for kind, name, _, sql in schema
            # A virtual one keeps its rows in tables of its own
            if kind == "table" and not sql.upper().startswith("CREATE VIRTUAL")
        ]
        return {
            "user_version": connection.execute("PRAGMA user_version").fetchone()[0],
            "schema": sha256(repr(schema).encode(errors="surrogateescape")).hexdigest(),
            "tables": {name: _table(connection, name) for name in tables},
        }


def damage(database: Path) -> str:
    """What SQLite finds wrong with a database; empty where nothing is."""
    try:
        with closing(_read_only(database)) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if found == ["ok"] else "; ".join(found)


def _read_only(database: Path) -> sqlite3.Connection:
    # Nothing is written beside it, not even a lock.
    address = f"{database.absolute().as_uri()}?mode=ro&immutable=1"
    connection = sqlite3.connect(address, uri=True)
    # Some write bytes that are no UTF-8 where they say text.
    connection.text_factory = lambda raw: raw.decode(errors="surrogateescape")
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _table(connection: sqlite3.Connection, name: str) -> dict[str, Any]:
    count = total = 0
    quoted = name.replace('"', '""')
    for row in connection.execute(f'SELECT * FROM "{quoted}"'):  # noqa: S608
        raw = repr(row).encode()
        total += int.from_bytes(blake2b(raw, digest_size=16).digest(), "big")
        count += 1
    return {"rows": count, "checksum": f"{total % _MODULUS:032x}"}


def differences(wanted: Facts, found: Facts) -> Iterator[str]:
    """Where two descriptions of a database differ."""
    for key in ("user_version", "schema"):
        if wanted.get(key) != found.get(key):
            yield f"{key} is {found.get(key)}, was {wanted.get(key)}"
    before, now = wanted.get("tables") or {}, found.get("tables") or {}
    yield from (f"table {name} is missing" for name in sorted(set(before) - set(now)))
    yield from (
        f"table {name} is not part of the backup" for name in sorted(set(now) - set(before))
    )
    for name in sorted(set(before) & set(now)):
        if before[name]["rows"] != now[name]["rows"]:
            yield f"table {name} has {now[name]['rows']} rows, had {before[name]['rows']}"
        elif before[name] != now[name]:
            yield f"table {name} has other rows than it had"


@dataclass(frozen=True)
class SqliteSource:
    """The databases of a part."""

    databases: tuple[Sqlite, ...]
    timeout_seconds: float = 3600
    name: str = "sqlite"

    def bytes_needed(self) -> int:
        """Twice the files: each copy is made where its owner may write, and moved."""
        return 2 * sum(one.database.stat().st_size for one in self.databases)

    def save(self, folder: Path) -> None:
        """Have SQLite write a copy of each, and read it to its end."""
        names = [one.database.name for one in self.databases]
        if len(set(names)) != len(names):
            raise SourceError(f"two databases of one name: {', '.join(sorted(names))}")
        for one in self.databases:
            copied = folder / one.database.name
            if not one.database.exists():
                raise SourceError(f"{one.database} does not exist")
            self._copy(one, copied)
            wrong = damage(copied)
            if wrong:
                raise SourceError(f"{one.database} is damaged: {wrong}")

    def _copy(self, one: Sqlite, target: Path) -> None:
        # The owner may not enter the stage. PrivateTmp= cleans up after who is killed.
        with tempfile.TemporaryDirectory(prefix="lookout-sqlite-", dir="/var/tmp") as room:
            if os.geteuid() == 0:
                os.chown(room, trees.user_id(one.user), -1)
            fresh = Path(room) / one.database.name
            commands.run(
                [sys.executable, "-I", "-c", COPY, str(one.database.absolute()), str(fresh)],
                user=one.user,
                timeout_seconds=self.timeout_seconds,
            )
            # Not moved, as the owner may have it open; and no link of theirs is followed.
            trees.copy_file(fresh, target)
        target.chmod(0o600)

    def describe(self, folder: Path) -> Facts:
        """Schema, rows and a checksum of each table; who owns the live file."""
        facts: Facts = {}
        for one in self.databases:
            about = one.database.stat()
            facts[one.database.name] = {
                **contents(folder / one.database.name),
                "owner": trees.user_name(about.st_uid),
                "group": trees.group_name(about.st_gid),
                "mode": f"{about.st_mode & 0o777:04o}",
            }
            missing = set(one.tables) - set(facts[one.database.name]["tables"])
            if missing:
                raise SourceError(f"{one.database} has no table {', '.join(sorted(missing))}")
        return facts

    def judge(self, folder: Path, facts: Facts, scratch: Path) -> Iterator[str]:  # noqa: ARG002
        """Whole, with the tables that have to be, and the same rows."""
        for one in self.databases:
            copied = folder / one.database.name
            yield from (f"{copied.name}: {what}" for what in _judged(one, copied, facts))
        known = {one.database.name for one in self.databases}
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.name not in known:
                yield f"{path.name}: not part of the backup"

    def put(self, folder: Path, facts: Facts, aside: Path) -> None:
        """Replace each database, and take away what belongs to the former one."""
        for one in self.databases:
            wrong = damage(folder / one.database.name)
            if wrong:
                raise SourceError(f"{one.database.name}: the copy is damaged: {wrong}")
        for one in self.databases:
            known = facts[one.database.name]
            owner = trees.user_id(known["owner"]), trees.group_id(known["group"])
            for companion in _companions(one.database):
                keeping.keep(companion, aside)
                # Of a former try, after which the service ran
                keeping.delete(companion)
            make = partial(_make, folder / one.database.name, owner, int(known["mode"], 8))
            keeping.replace(one.database, aside, make)

    def undo(self, aside: Path) -> None:
        """Put back the databases and what belonged to them."""
        for one in self.databases:
            for companion in _companions(one.database):
                keeping.give_back(companion, aside)
            keeping.give_back(one.database, aside)

    def settle(self, aside: Path) -> None:
        """Forget what could not be moved to `aside`."""
        for one in self.databases:
            for path in (one.database, *_companions(one.database)):
                keeping.forget(path, aside)


def _companions(database: Path) -> list[Path]:
    return [database.with_name(f"{database.name}{end}") for end in COMPANIONS]


def _judged(one: Sqlite, copied: Path, facts: Facts) -> Iterator[str]:
    wanted = facts.get(copied.name)
    if not copied.exists():
        yield "is missing"
    elif not wanted:
        yield "the manifest tells nothing of it"
    elif wrong := damage(copied):
        yield f"is damaged: {wrong}"
    else:
        found = contents(copied)
        yield from (f"has no table {name}" for name in one.tables if name not in found["tables"])
        yield from differences(wanted, found)


def _make(source: Path, owner: tuple[int, int], mode: int, target: Path) -> None:
    shutil.copyfile(source, target)
    if os.geteuid() == 0:
        os.chown(target, *owner)
    target.chmod(mode)
