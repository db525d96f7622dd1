"""The databases of a PostgreSQL server: each dumped as of one moment, judged by restoring it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lookout.backup.parts import Postgresql
from lookout.backup.sources import CannotJudgeError, Facts, SourceError, trees
from lookout.backup.sources import postgresql_sql as sql
from lookout.backup.sources.postgresql_server import (
    MAINTENANCE,
    Server,
    contents,
    newest,
    scratch_server,
)
from lookout.backup.sources.postgresql_swap import Swap
from lookout.kit.files import write_atomically

GLOBALS = "globals.sql"
FACTS = "facts.json"
USER = "postgres"
# What a restore says when this host lacks something that the dump is right to expect
LACKS = (
    r'could not open extension control file|extension "[^"]*" is not available'
    r'|collation "[^"]*" for encoding "[^"]*" does not exist|could not create locale'
    r"|could not access file|could not load library|No space left on device"
    # A session that the kernel killed for want of memory takes the others with it.
    r"|out of memory|server closed the connection unexpectedly|because of crash of another server"
    r"|database system is (in recovery|not yet accepting)"
)


def file_of(database: str) -> str:
    """Name of a database's dump; a database may be named with a slash."""
    return f"{quote(database, safe='')}.dump"


def undumped(listed: str, tables: dict[str, Any]) -> list[str]:
    """Tables that `pg_restore --list` does not name with data."""
    held = [line.partition(" TABLE DATA ")[2] for line in listed.splitlines()]
    # "schema name owner": which spaces are whose, nobody can tell.
    return [name for name in tables if not any(_is_of(one, name) for one in held)]


def _is_of(one: str, name: str) -> bool:
    return one.replace(" ", ".", 1).startswith(f"{name} ")


@dataclass(frozen=True)
class PostgresqlSource:
    """The server of a part. `databases` limits putting back to some."""

    server: Postgresql
    timeout_seconds: float = 3600
    databases: tuple[str, ...] | None = None
    name: str = "postgresql"

    def bytes_needed(self) -> int:
        """Size of the databases: more than the dumps, which have no indexes."""
        return int(self._about()["bytes"])

    def save(self, folder: Path) -> None:
        """Dump each database, with what its dump holds as told by the server."""
        server = self._live()
        facts = {**self._about(), "databases": {}}
        server.run("pg_dumpall", "--globals-only", "--no-password", stdout=folder / GLOBALS)
        for name in sql.parsed(server.execute(MAINTENANCE, sql.DATABASES)[0]):
            facts["databases"][name] = self._dump(server, name, folder / file_of(name))
        wrong = list(sql.problems(facts))
        if wrong:
            raise SourceError("; ".join(wrong))
        # What the tables do not show: views, functions, passwords
        facts["files"] = {path.name: trees.digest(path) for path in sorted(folder.iterdir())}
        write_atomically(folder / FACTS, json.dumps(facts), 0o600)

    def _dump(self, server: Server, name: str, file: Path) -> dict[str, Any]:
        """Dump and facts see the same moment, whatever is written meanwhile."""
        with server.session(name) as session:
            session.ask("begin isolation level repeatable read, read only")
            snapshot = session.ask("select pg_export_snapshot()")[0]
            # Not compressed: that is restic's work, which then finds what is as it was yesterday.
            server.run(
                *("pg_dump", "--format=custom", "--compress=0", "--no-password"),
                *(f"--snapshot={snapshot}", f"--dbname={server.way(name)}"),
                stdout=file,
            )
            known = contents(session)
            known["bytes"] = int(session.ask(sql.SIZE)[0])
        missing = undumped(server.run("pg_restore", "--list", stdin=file), known["tables"])
        if missing:
            raise SourceError(f"{name}: the dump lacks {', '.join(missing[:5])}")
        return known

    def describe(self, folder: Path) -> Facts:
        """What the server told while it was dumped."""
        facts: Facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        return facts

    def judge(self, folder: Path, facts: Facts, scratch: Path) -> Iterator[str]:
        """Restore all of it into a server of one's own, and look into every table."""
        yield from sql.problems(facts)
        databases: dict[str, Any] = facts.get("databases") or {}
        wanted = {GLOBALS, FACTS, *map(file_of, databases)}
        found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        yield from (f"{name} is missing" for name in sorted(wanted - found))
        yield from (f"{name} is not part of the backup" for name in sorted(found - wanted))
        if wanted - found:
            return
        yield from (f"{name} is another file than was saved" for name in _changed(folder, facts))
        major, bin_dir = newest()
        if major < facts["version"] // 10000:
            raise CannotJudgeError(
                f"the dump is of PostgreSQL {facts['version'] // 10000}, this host has {major}"
            )
        with scratch_server(bin_dir, scratch, facts["superuser"], self.timeout_seconds) as server:
            yield from _judged(server, folder, facts)

    def room(self, facts: Facts) -> tuple[Path, int]:
        """Where `put` needs room beside the live databases, and how many bytes."""
        place = sql.parsed("".join(self._live().execute(MAINTENANCE, sql.PLACE)))
        known = [facts["databases"].get(name) or {} for name in self.databases or ()]
        # A copy from before it was told of each of them
        told = bool(known) and all("bytes" in one for one in known)
        size = sum(one["bytes"] for one in known) if told else int(facts["bytes"])
        # What is loaded goes through the log of changes as well.
        return Path(place["data"]), size + min(size, int(place["log_bytes"]))

    def put(self, folder: Path, facts: Facts, aside: Path) -> None:
        """Restore beside the live databases, then let all change their names in one moment.

        Roles that are missing are made, with their passwords; nothing about one that exists is
        changed. They stay after `undo`.
        """
        server, about = self._live(), self._about()
        if about["standby"]:
            raise SourceError("this server is a standby: restore on its primary")
        if about["version"] // 10000 < facts["version"] // 10000:
            raise SourceError(
                f"the dump is of PostgreSQL {facts['version'] // 10000}, the server is older"
            )
        databases = facts["databases"]
        names = self.databases or tuple(databases)
        for name in names:
            if name not in databases or not (folder / file_of(name)).exists():
                raise SourceError(f"database {name} is not in the backup")
        changed = _changed(folder, facts)
        if changed:
            raise SourceError(f"{', '.join(changed)} is another file than was saved")
        script = (folder / GLOBALS).read_text(encoding="utf-8")
        server.execute(MAINTENANCE, *sql.of_roles(script, about["roles"]))
        swap = Swap(server, aside)
        plan = swap.plan(names)
        for name in names:
            if swap.is_open(plan[name]):
                _restore(server, plan[name].fresh, databases[name], folder / file_of(name))
        swap.do(plan)

    def undo(self, aside: Path) -> None:
        """Give the databases that were live their names again."""
        Swap(self._live(), aside).undo()

    def settle(self, aside: Path) -> None:
        """Drop the databases that were live before."""
        Swap(self._live(), aside).settle()

    def _live(self) -> Server:
        one = self.server
        return Server(
            one.bin_dir, one.socket_dir, one.port, USER, timeout_seconds=self.timeout_seconds
        )

    def _about(self) -> dict[str, Any]:
        about: dict[str, Any] = sql.parsed("".join(self._live().execute(MAINTENANCE, sql.SERVER)))
        return about


def _changed(folder: Path, facts: Facts) -> list[str]:
    """Files that are not what was saved: PostgreSQL does not miss all that is missing."""
    digests: dict[str, str] = facts.get("files") or {}
    return [
        name
        for name, digest in digests.items()
        if (folder / name).exists() and trees.digest(folder / name) != digest
    ]


def _restore(server: Server, name: str, known: dict[str, Any], file: Path) -> None:
    """Make a database of a dump, with the properties that it had."""
    server.execute(MAINTENANCE, f"drop database if exists {sql.identifier(name)}")
    server.execute(MAINTENANCE, sql.create(name, known))
    _fill(server, name, file)
    server.execute(MAINTENANCE, *sql.dress(name, known))


def _fill(server: Server, name: str, file: Path) -> None:
    server.run(
        *("pg_restore", "--exit-on-error", "--no-tablespaces", "--no-password"),
        f"--dbname={server.way(name)}",
        stdin=file,
    )


def _judged(server: Server, folder: Path, facts: Facts) -> Iterator[str]:
    script = (folder / GLOBALS).read_text(encoding="utf-8")
    try:
        server.execute(MAINTENANCE, *sql.of_roles(script, [facts["superuser"]]))
    except SourceError as error:
        yield f"{GLOBALS}: {error}"
        return
    made = sql.parsed("".join(server.execute(MAINTENANCE, sql.SERVER)))["roles"]
    yield from (f"role {name} is missing" for name in sorted(set(facts["roles"]) - set(made)))
    for number, (name, known) in enumerate(sorted(facts["databases"].items())):
        # Names that can never be live ones
        scratch = f"lookout_judged_{number}"
        try:
            server.execute(MAINTENANCE, sql.create_plain(scratch, known))
            _fill(server, scratch, folder / file_of(name))
            with server.session(scratch) as session:
                found = contents(session)
        except SourceError as error:
            if re.search(LACKS, str(error), re.IGNORECASE):
                raise CannotJudgeError(f"{name}: {error}") from error
            yield f"{name}: {error}"
            continue
        yield from (f"{name}: {what}" for what in sql.differences(known, found))
        server.execute(MAINTENANCE, f"drop database {sql.identifier(scratch)}")
