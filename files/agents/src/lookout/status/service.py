"""The history as the running page uses it: it goes on without, says so once, and counts it."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter

from lookout.status import storage
from lookout.status.records import put

LOG = logging.getLogger("lookout.status")
T = TypeVar("T")


class Unavailable(Exception):  # noqa: N818
    """The history cannot be used at the moment."""


class History:
    """Reads and writes the file; remembers what is wrong with it."""

    def __init__(
        self, path: Path, registry: CollectorRegistry, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self.path = path
        # What is wrong at the moment; empty where nothing is
        self.wrong = ""
        self._tell = tell
        self._errors = Counter(
            "status_database_errors",
            "Reads and writes of the history that failed.",
            ["what"],
            registry=registry,
        )
        for what in ("read", "write"):
            self._errors.labels(what)

    def read(self, ask: Callable[[sqlite3.Connection], T]) -> T:
        """Ask the history; a damaged file is set aside, and the empty new one is asked."""
        try:
            return self._ask(ask)
        except sqlite3.Error as error:
            if not storage.is_damage(error):
                raise self._failed("read", error) from error
            self._set_aside(error)
        try:
            return self._ask(ask)
        except sqlite3.Error as error:
            raise self._failed("read", error) from error

    def _ask(self, ask: Callable[[sqlite3.Connection], T]) -> T:
        with closing(storage.reader(self.path)) as connection:
            # One state of the history for all that is asked.
            connection.execute("BEGIN")
            return ask(connection)

    def write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Change the history in one transaction."""
        try:
            with storage.writer(self.path) as connection:
                done = change(connection)
        except (sqlite3.Error, OSError, storage.Newer) as error:
            raise self._failed("write", error) from error
        self._works()
        return done

    def look(self) -> None:
        """Write something small, so that a full disk is noticed before a task notices it."""
        try:
            if not self.path.exists():
                storage.ensure(self.path)
            self.write(lambda connection: put(connection, "checked", str(time.time())))
        except Unavailable:
            return
        except (sqlite3.Error, OSError, storage.Newer) as error:
            self._failed("write", error)

    def _set_aside(self, error: sqlite3.Error) -> None:
        self._errors.labels("read").inc()
        try:
            aside = storage.set_aside_if_damaged(self.path)
        except (sqlite3.Error, OSError) as worse:
            raise self._failed("write", worse) from error
        if aside:
            self._tell(f"the history was damaged and is set aside as {aside}")

    def _failed(self, what: str, error: Exception) -> Unavailable:
        self._errors.labels(what).inc()
        text = f"the history cannot be {'read' if what == 'read' else 'written'}: {error}"
        if not self.wrong:
            LOG.error("%s; the page goes on", text)
            self._tell(text)
        self.wrong = text
        return Unavailable(text)

    def _works(self) -> None:
        if self.wrong:
            LOG.info("the history can be written again")
        self.wrong = ""
