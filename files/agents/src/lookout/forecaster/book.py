"""A file of many entries, whole at any time, of which a reader keeps no more than the index.

The first line is a JSON object with what holds for all, and the index: name and group of each entry
and the lengths of its parts. The parts follow, JSON each, as the API answers them.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookout.kit.files import write_atomically

LOG = logging.getLogger("lookout.forecaster")

VERSION = 1
MOST_HEAD_BYTES = 16_000_000


@dataclass(frozen=True)
class Entry:
    """One of them: its id, the series that it belongs to, and its parts."""

    id: str
    group: str
    parts: Sequence[Mapping[str, Any] | None]


def dumped(data: Any) -> bytes:
    """JSON without spaces. Raises ValueError for a number that JSON has not."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).encode()


def write(path: Path, head: Mapping[str, Any], entries: Iterable[Entry]) -> None:
    """Replace the file. Raises OSError."""
    index: list[tuple[str, str, list[int]]] = []
    body: list[bytes] = []
    for entry in sorted(entries, key=lambda one: one.id):
        parts = [dumped(part) for part in entry.parts]
        index.append((entry.id, entry.group, [len(part) for part in parts]))
        body += parts
    first = dumped({**head, "version": VERSION, "index": index}) + b"\n"
    write_atomically(path, first + b"".join(body), 0o640)


class Pages:
    """A book that is open: it stays whole, whatever becomes of its file."""

    def __init__(self, path: Path) -> None:
        """Raises ValueError or OSError where it is none."""
        with path.open("rb") as file:
            first = file.readline(MOST_HEAD_BYTES)
            self._handle = os.dup(file.fileno())
        # When its last reader has let go of it
        weakref.finalize(self, os.close, self._handle)
        head = json.loads(first)
        if not isinstance(head, dict) or head.get("version") != VERSION:
            raise ValueError(f"is of another version than {VERSION}")
        self._places: dict[str, tuple[str, list[tuple[int, int]]]] = {}
        at = len(first)
        try:
            for name, group, lengths in head.pop("index"):
                places = []
                for length in lengths:
                    places.append((at, length))
                    at += length
                self._places[name] = (group, places)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError("its index cannot be read") from error
        if at != os.fstat(self._handle).st_size:
            raise ValueError("it is not as long as its index says")
        self.head: dict[str, Any] = head

    def ids(self, group: str | None = None) -> list[str]:
        """The ids of all entries, or of those of a group, in their order."""
        return [name for name, (of, _) in self._places.items() if group in (None, of)]

    def part(self, name: str, number: int = 0) -> bytes | None:
        """A part of an entry as JSON; None where there is no such entry."""
        if name not in self._places:
            return None
        at, length = self._places[name][1][number]
        return os.pread(self._handle, length, at)

    def read(self, name: str, number: int = 0) -> dict[str, Any] | None:
        """A part as an object."""
        found = self.part(name, number)
        if found is None:
            return None
        said: dict[str, Any] = json.loads(found)
        return said


class Book:
    """The file as it is now. Used from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._pages: Pages | None = None
        self._seen: tuple[int, ...] = ()

    def pages(self) -> Pages | None:
        """The newest edition; None where there is none, or none that can be read."""
        with self._lock:
            try:
                about = self._path.stat()
            except OSError:
                self._pages, self._seen = None, ()
                return None
            seen = (about.st_ino, about.st_mtime_ns, about.st_size)
            if seen != self._seen:
                self._pages, self._seen = self._open(), seen
            return self._pages

    def _open(self) -> Pages | None:
        try:
            return Pages(self._path)
        except (OSError, ValueError, RecursionError) as error:
            LOG.error("%s cannot be read, the next run writes it anew: %s", self._path, error)
            return None
