"""Databases that change places: the restored ones become live, the live ones are kept."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lookout.backup.sources.postgresql_server import MAINTENANCE, Server
from lookout.backup.sources.postgresql_sql import identifier, literal, parsed
from lookout.kit.files import write_atomically

PLAN = "databases.json"
# PostgreSQL cuts longer names.
LONGEST_NAME = 63
ALL = "select json_agg(datname) from pg_database"


@dataclass(frozen=True)
class Names:
    """What a database is called: when it is live, until then, and afterwards."""

    live: str
    fresh: str
    kept: str
    # Whether there was one
    existed: bool


def named(live: str, taken: set[str]) -> Names:
    """Names that nobody has yet."""
    for number in range(1, 10000):
        fresh, kept = (_ended(live, f"_{what}_{number}") for what in ("restored", "before"))
        if fresh not in taken and kept not in taken:
            return Names(live, fresh, kept, live in taken)
    raise ValueError(f"no name is left for {live}")


def _ended(name: str, end: str) -> str:
    # Of characters that take several bytes none is cut in two.
    return name.encode()[: LONGEST_NAME - len(end)].decode(errors="ignore") + end


def is_open(names: Names, there: set[str]) -> bool:
    """Whether the restored database has yet to be made: what a killed run left is no use."""
    if names.existed:
        return names.kept not in there
    return names.live not in there or names.fresh in there


def swapped(plan: Sequence[Names], there: set[str]) -> Iterator[str]:
    """Statements of one transaction, of those that are not swapped yet."""
    for names in plan:
        if names.fresh in there:
            if names.existed:
                yield _renamed(names.live, names.kept)
            yield _renamed(names.fresh, names.live)


def unswapped(plan: Sequence[Names], there: set[str]) -> Iterator[str]:
    """Statements of one transaction that give those their names again that were live."""
    for names in plan:
        if names.existed and names.kept in there:
            if names.live in there:
                yield _renamed(names.live, names.fresh)
            yield _renamed(names.kept, names.live)
        elif not names.existed and names.live in there:
            yield _renamed(names.live, names.fresh)


def _renamed(name: str, to: str) -> str:
    return f"alter database {identifier(name)} rename to {identifier(to)}"


class Swap:
    """The change of names on one server; which ones is written down before it begins."""

    def __init__(self, server: Server, aside: Path) -> None:
        self._server = server
        self._file = aside / PLAN

    def plan(self, databases: Sequence[str]) -> dict[str, Names]:
        """The names to use: those of a former try, if there was one."""
        plan = {names.live: names for names in self._planned()}
        there = self._there()
        for name in databases:
            if name not in plan:
                taken = there | {
                    one for names in plan.values() for one in (names.fresh, names.kept)
                }
                plan[name] = named(name, taken)
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self._file, json.dumps([asdict(names) for names in plan.values()]), 0o600)
        return {name: plan[name] for name in databases}

    def is_open(self, names: Names) -> bool:
        """Whether the restored database has yet to be made."""
        return is_open(names, self._there())

    def do(self, plan: dict[str, Names]) -> None:
        """Let them change places, all in one transaction."""
        self._rename([*swapped([*plan.values()], self._there())], [*plan])

    def undo(self) -> None:
        """Change back what has changed, and drop what was restored."""
        plan, there = self._planned(), self._there()
        live = [names.live for names in plan if names.live in there]
        self._rename([*unswapped(plan, there)], live)
        there = self._there()
        self._allow([names.live for names in plan if names.live in there], True)
        self._drop(names.fresh for names in plan)

    def settle(self) -> None:
        """Drop what was live before."""
        self._drop(names.kept for names in self._planned())

    def _rename(self, renames: list[str], live: Sequence[str]) -> None:
        if not renames:
            return
        # Nobody comes in between; those who are connected are sent away.
        there = [name for name in live if name in self._there()]
        self._allow(there, False)
        among = ", ".join(literal(name) for name in there) or "''"
        self._run(
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity"  # noqa: S608
            f" where datname in ({among})"
        )
        self._run("begin", *renames, "commit")
        now = self._there()
        self._allow([name for name in live if name in now], True)

    def _allow(self, names: Sequence[str], allowed: bool) -> None:
        self._run(
            *(f"alter database {identifier(name)} allow_connections {allowed}" for name in names)
        )

    def _drop(self, names: Iterator[str]) -> None:
        self._run(*(f"drop database if exists {identifier(name)} with (force)" for name in names))

    def _planned(self) -> list[Names]:
        if not self._file.exists():
            return []
        return [Names(**one) for one in json.loads(self._file.read_text(encoding="utf-8"))]

    def _there(self) -> set[str]:
        return set(parsed("".join(self._run(ALL))))

    def _run(self, *statements: str) -> list[str]:
        return self._server.execute(MAINTENANCE, *statements) if statements else []
