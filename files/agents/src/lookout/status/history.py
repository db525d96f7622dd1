"""What the history says, as the page, the API and Prometheus want it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lookout.status.options import StatusOptions
from lookout.status.records import DAY_SECONDS, Run, day_of

State = Literal["ok", "failing", "unknown"]
BARS = 90
RECENT_SECONDS = DAY_SECONDS
# What lies further ahead was written by a clock that was wrong.
AHEAD_SECONDS = 60


@dataclass(frozen=True)
class Day:
    """One day of one task, as UTC has it."""

    day: str
    runs: int = 0
    failed: int = 0

    @property
    def state(self) -> Literal["ok", "some", "failing", "unknown"]:
        """Whether all runs of the day worked, or some did, or few."""
        if not self.runs:
            return "unknown"
        if not self.failed:
            return "ok"
        return "failing" if 10 * self.failed >= self.runs else "some"


@dataclass(frozen=True)
class Incident:
    """From the first failed run to the first that worked again."""

    id: int
    task: str
    title: str
    started: float
    ended: float | None
    message: str
    runs: int


@dataclass(frozen=True)
class TaskView:
    """One task: its state, and what is shown of its past."""

    name: str
    title: str
    kind: str
    every_minutes: int
    state: State
    last: Run | None
    days: tuple[Day, ...]
    recent: tuple[Run, ...]

    @property
    def uptime(self) -> float | None:
        """Share of the runs that worked, of all days that are kept; None before the first."""
        runs = sum(day.runs for day in self.days)
        return 1 - sum(day.failed for day in self.days) / runs if runs else None


def state_of(last: Run | None, every_minutes: int, timeout_seconds: float, now: float) -> State:
    """A task that has not run for twice its time has no state; nobody knows."""
    if last is None or now - last.started > 120 * every_minutes + timeout_seconds:
        return "unknown"
    return "ok" if last.ok else "failing"


def _run(row: sqlite3.Row) -> Run:
    return Run(row["task"], row["started"], row["duration"], bool(row["ok"]), row["message"])


def runs_of(
    connection: sqlite3.Connection, name: str, now: float, since: float = 0, limit: int = 1000
) -> tuple[Run, ...]:
    """The latest runs of a task, the newest first; none that lies ahead, which would hide them.

    The table is kept in the order of `started` and knows no other.
    """
    rows = connection.execute(
        "SELECT * FROM runs WHERE task = ? AND started BETWEEN ? AND ?"
        " ORDER BY started DESC LIMIT ?",
        (name, since, now + AHEAD_SECONDS, limit),
    )
    return tuple(_run(row) for row in rows)


def days_of(connection: sqlite3.Connection, name: str, now: float) -> tuple[Day, ...]:
    """One entry for each of the last 90 days, the oldest first, with and without runs."""
    wanted = [day_of(now - ago * DAY_SECONDS) for ago in range(BARS - 1, -1, -1)]
    rows = connection.execute(
        "SELECT day, runs, failed FROM days WHERE task = ? AND day >= ?", (name, wanted[0])
    )
    known = {row["day"]: Day(row["day"], row["runs"], row["failed"]) for row in rows}
    return tuple(known.get(day, Day(day)) for day in wanted)


def task_view(
    connection: sqlite3.Connection, options: StatusOptions, name: str, now: float
) -> TaskView:
    """All about one task."""
    entry = options.tasks[name]
    newest = runs_of(connection, name, now, limit=1)
    last = newest[0] if newest else None
    return TaskView(
        name=name,
        title=options.title_of(name),
        kind=entry.kind,
        every_minutes=entry.every_minutes,
        state=state_of(last, entry.every_minutes, entry.timeout_seconds, now),
        last=last,
        days=days_of(connection, name, now),
        recent=runs_of(connection, name, now, since=now - RECENT_SECONDS)[::-1],
    )


def unseen(options: StatusOptions, now: float) -> list[TaskView]:
    """The tasks where nothing can be read of their past."""
    days = tuple(Day(day_of(now - ago * DAY_SECONDS)) for ago in range(BARS - 1, -1, -1))
    return [
        TaskView(
            name, options.title_of(name), entry.kind, entry.every_minutes, "unknown", None, days, ()
        )
        for name, entry in options.tasks.items()
    ]  # fmt: skip


def incidents(
    connection: sqlite3.Connection,
    options: StatusOptions,
    task: str | None = None,
    ongoing: bool | None = None,
    limit: int = 20,
) -> list[Incident]:
    """The latest incidents, as they were written; those that last come first."""
    rows = connection.execute(
        "SELECT * FROM incidents WHERE (?1 IS NULL OR task = ?1)"
        " AND (?2 IS NULL OR (ended IS NULL) = ?2)"
        " ORDER BY ended IS NOT NULL, id DESC LIMIT ?3",
        (task, ongoing, limit),
    )
    return [
        Incident(
            row["id"], row["task"], options.title_of(row["task"]), row["started"], row["ended"],
            row["message"], row["runs"],
        )
        for row in rows
    ]  # fmt: skip


@dataclass(frozen=True)
class ReportView:
    """One run of a report. The list of reports leaves the rows out."""

    id: int
    name: str
    title: str
    started: float
    duration: float
    ok: bool
    message: str
    truncated: bool
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()


_OF_REPORT = "id, name, title, started, duration, ok, message, truncated"


def _report(row: sqlite3.Row, rows: bool = False) -> ReportView:
    return ReportView(
        row["id"], row["name"], row["title"], row["started"], row["duration"], bool(row["ok"]),
        row["message"], bool(row["truncated"]),
        json.loads(row["columns"]) if rows else (), json.loads(row["rows"]) if rows else (),
    )  # fmt: skip


def reports(connection: sqlite3.Connection) -> list[ReportView]:
    """The latest run of each report."""
    rows = connection.execute(
        f"SELECT {_OF_REPORT} FROM reports WHERE id IN"  # noqa: S608
        " (SELECT max(id) FROM reports GROUP BY name) ORDER BY title, name"
    )
    return [_report(row) for row in rows]


def runs_of_report(
    connection: sqlite3.Connection, name: str, limit: int = BARS
) -> list[ReportView]:
    """When a report ran, the latest first."""
    rows = connection.execute(
        f"SELECT {_OF_REPORT} FROM reports WHERE name = ? ORDER BY id DESC LIMIT ?",  # noqa: S608
        (name, limit),
    )
    return [_report(row) for row in rows]


def report(
    connection: sqlite3.Connection, name: str, number: int | None = None
) -> ReportView | None:
    """One run of a report with its rows, the latest one without a number."""
    row = connection.execute(
        "SELECT * FROM reports WHERE name = ?1 AND (?2 IS NULL OR id = ?2)"
        " ORDER BY id DESC LIMIT 1",
        (name, number),
    ).fetchone()
    return _report(row, rows=True) if row else None


def facts(connection: sqlite3.Connection) -> dict[str, str]:
    """Facts about the history itself."""
    return {row["key"]: row["value"] for row in connection.execute("SELECT key, value FROM meta")}


def heartbeats(connection: sqlite3.Connection) -> dict[str, float]:
    """When each heartbeat came last."""
    return {row["name"]: row["seen"] for row in connection.execute("SELECT * FROM heartbeats")}
