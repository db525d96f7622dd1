"""Runs one task, writes what it found, and tells who wants to know when its state changes."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable

from lookout.kit.config import ConfigError
from lookout.kit.reports import Reports
from lookout.status import kinds, notify, runner, storage, told
from lookout.status.options import StatusOptions, TaskOptions
from lookout.status.records import Change, Run, add_run, plain
from lookout.status.registry import Context, Failed

LOG = logging.getLogger("lookout.status")

# The child that sends a report takes as long to start on a busy host, beyond its own limit.
REPORT_START_SECONDS = 30


def attempt(options: StatusOptions, name: str) -> tuple[bool, str]:
    """Run the task in this process; whatever goes wrong is what it found."""
    entry = options.tasks[name]
    context = Context(name, options.database, entry.timeout_seconds)
    try:
        outcome = kinds.build(entry, options.task_classes).run(context)
        ok, message = bool(outcome.ok), str(outcome.message)
    except Failed as error:
        ok, message = False, str(error)
    except ConfigError as error:
        ok, message = False, "; ".join(error.problems)
    except Exception as error:
        # A mistake in a class is a failed run like any other; where it is stands in the log.
        LOG.warning("the task %s: %s", name, type(error).__name__, exc_info=True)
        ok, message = False, f"{type(error).__name__}: {error}"
    return ok, plain(context.redact(message))


def judge(entry: TaskOptions, duration: float, ok: bool, message: str) -> tuple[bool, str]:
    """A task that works and takes too long has failed as well."""
    if ok and entry.slow_seconds is not None and duration > entry.slow_seconds:
        return False, f"it took {duration:.2f} seconds, at most {entry.slow_seconds:g}: {message}"
    return ok, message


def run(options: StatusOptions, name: str) -> Run:
    """Run the task in a process of its own, and wait no longer than it may take."""
    entry = options.tasks[name]
    started, began = time.time(), time.monotonic()
    try:
        ok, message = runner.within(entry.timeout_seconds, lambda: attempt(options, name))
    except runner.Ended as error:
        ok, message = False, str(error)
    duration = time.monotonic() - began
    ok, message = judge(entry, duration, ok, message)
    LOG.log(
        logging.INFO if ok else logging.WARNING,
        "task %s: %s in %.2f s: %s", name, "works" if ok else "fails", duration, message,
    )  # fmt: skip
    return Run(name, started, duration, ok, message)


def save(options: StatusOptions, run_: Run) -> Change | None:
    """Write a run; once more into a new history where the old one turns out to be damaged."""
    try:
        with storage.writer(options.database) as connection:
            return add_run(connection, run_)
    except sqlite3.DatabaseError as error:
        if not storage.is_damage(error):
            raise
    with storage.writer(options.database) as connection:
        return add_run(connection, run_)


def main(
    options: StatusOptions,
    name: str,
    reports: Reports,
    tell: Callable[[StatusOptions, Change], None] = notify.tell,
) -> int:
    """Do all of it; the exit status is 0 also for a task that fails, as that is told elsewhere."""
    if name not in options.tasks:
        LOG.error("there is no task %s; there are: %s", name, ", ".join(options.tasks) or "none")
        return 2
    done, memory = run(options, name), told.Memory(options.told_directory)
    saved: Change | None = None
    trouble: Exception | None = None
    try:
        saved = save(options, done)
        memory.no_trouble()
    except (sqlite3.Error, OSError, storage.Newer) as error:
        trouble = error
    known = memory.of(name)
    change = told.change_of(known, done, saved, written=trouble is None)
    # People first: a report starts a thread, and what tells them forks, which has to come before.
    if change is not None:
        tell(options, change)
    if change is not None or known is None:
        memory.keep(done)
    if change is not None:
        title = options.title_of(name)
        reports.message(
            f"{title} works again" if change.ok else f"{title} fails: {change.message}",
            level="info" if change.ok else "error",
            fingerprint=["status", name],
            tags={"task": name},
        )
    if trouble is not None:
        new = memory.trouble()
        LOG.log(
            logging.ERROR if new else logging.INFO,
            "task %s: what it found cannot be written: %s", name, trouble,
        )  # fmt: skip
        if new:
            reports.exception(trouble, {"task": name})
    reports.flush(options.errors.timeout_seconds + REPORT_START_SECONDS)
    return 1 if trouble else 0
