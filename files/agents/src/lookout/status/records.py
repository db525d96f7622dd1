"""What is written into the history: runs, heartbeats, reports, and what is too old."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass

MESSAGE_LENGTH = 500
DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Run:
    """One run of one task; times in seconds since 1970."""

    task: str
    started: float
    duration: float
    ok: bool
    message: str = ""


@dataclass(frozen=True)
class Change:
    """A task began to fail, or works again after so many seconds."""

    task: str
    ok: bool
    message: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Result:
    """One run of one report."""

    name: str
    title: str
    started: float
    duration: float
    ok: bool
    message: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str | int | float | bool | None, ...], ...] = ()
    truncated: bool = False


def plain(message: str, length: int = MESSAGE_LENGTH) -> str:
    """A message in one line, without what a terminal would obey."""
    text = " ".join("".join(c if c.isprintable() else " " for c in message).split())
    return text if len(text) <= length else f"{text[: length - 1]}…"


def day_of(moment: float) -> str:
    """The day of a moment, as UTC has it."""
    return time.strftime("%Y-%m-%d", time.gmtime(moment))


def add_run(connection: sqlite3.Connection, run: Run) -> Change | None:
    """Write a run, with its day and its incident; say whether the state of the task changed."""
    message = plain(run.message)
    connection.execute(
        "INSERT OR REPLACE INTO runs (task, started, duration, ok, message) VALUES (?, ?, ?, ?, ?)",
        (run.task, run.started, run.duration, run.ok, message),
    )
    connection.execute(
        "INSERT INTO days (task, day, runs, failed, duration) VALUES (?, ?, 1, ?, ?)"
        " ON CONFLICT (task, day) DO UPDATE SET runs = runs + 1,"
        " failed = failed + excluded.failed, duration = duration + excluded.duration",
        (run.task, day_of(run.started), not run.ok, run.duration),
    )
    incident = connection.execute(
        "SELECT id, started, message FROM incidents WHERE task = ? AND ended IS NULL"
        " ORDER BY id DESC LIMIT 1",
        (run.task,),
    ).fetchone()
    if run.ok and incident:
        connection.execute(
            "UPDATE incidents SET ended = ? WHERE task = ? AND ended IS NULL",
            (max(run.started, incident["started"]), run.task),
        )
        lasted = max(run.started - incident["started"], 0)
        return Change(run.task, True, incident["message"], lasted)
    if run.ok:
        return None
    if incident:
        connection.execute(
            "UPDATE incidents SET runs = runs + 1, message = ? WHERE id = ?",
            (message, incident["id"]),
        )
        return None
    connection.execute(
        "INSERT INTO incidents (task, started, message, runs) VALUES (?, ?, ?, 1)",
        (run.task, run.started, message),
    )
    return Change(run.task, False, message)


def add_heartbeat(connection: sqlite3.Connection, name: str, seen: float) -> None:
    """Write when a heartbeat came last."""
    connection.execute(
        "INSERT INTO heartbeats (name, seen) VALUES (?, ?)"
        " ON CONFLICT (name) DO UPDATE SET seen = excluded.seen",
        (name, seen),
    )


def add_result(connection: sqlite3.Connection, result: Result) -> None:
    """Write what a report found."""
    connection.execute(
        "INSERT INTO reports (name, title, started, duration, ok, message, columns, rows,"
        " truncated) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            result.name,
            result.title,
            result.started,
            result.duration,
            result.ok,
            plain(result.message),
            json.dumps(result.columns),
            json.dumps(result.rows),
            result.truncated,
        ),
    )


def put(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Write one fact about the history itself."""
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )


def close_gone(connection: sqlite3.Connection, tasks: set[str], now: float) -> int:
    """End the incidents of tasks that are configured no more; they would stay open for ever."""
    marks = ",".join("?" * len(tasks))
    done = connection.execute(
        f"UPDATE incidents SET ended = ? WHERE ended IS NULL AND task NOT IN ({marks})",  # noqa: S608
        (now, *sorted(tasks)),
    )
    return done.rowcount


def prune(connection: sqlite3.Connection, now: float, keep_days: int) -> int:
    """Delete what is older than so many days, and return how many rows that were."""
    oldest = now - keep_days * DAY_SECONDS
    deletes: tuple[tuple[str, float | str], ...] = (
        ("DELETE FROM runs WHERE started < ?", oldest),
        ("DELETE FROM days WHERE day < ?", day_of(oldest)),
        ("DELETE FROM incidents WHERE ended < ?", oldest),
        ("DELETE FROM reports WHERE started < ?", oldest),
        ("DELETE FROM heartbeats WHERE seen < ?", oldest),
    )
    deleted = sum(connection.execute(statement, (limit,)).rowcount for statement, limit in deletes)
    put(connection, "pruned", str(now))
    before = connection.execute("SELECT value FROM meta WHERE key = 'pruned_rows'").fetchone()
    put(connection, "pruned_rows", str((int(before[0]) if before else 0) + deleted))
    return deleted
